"""What Twilio makes of a message from the server: it obeys, or it drops and warns (PROTOCOL.md §4).

Twilio names neither the message nor the field, and warns once per stream.  The judge keeps all that
`review` has to say about every message, for the debugger and for reports.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from twistream_kit.errors import RemoteProtocolError
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.objection import Objection
from twistream_kit.protocol.payload import look_inside
from twistream_kit.protocol.review import review
from twistream_kit.simulator.assumptions import ONCE_PER_STREAM, Behaviour


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that Twilio logs about this stream.

    Attributes:
        code: Twilio's number for it.
        text: What happened, in a sentence.
        message: The message at fault, as it came.
        objections: What `review` says of it.
    """

    code: int
    text: str
    message: str | bytes | None = None
    objections: tuple[Objection, ...] = ()


class Judge:
    """The judge of one stream's messages.

    Args:
        stream_sid: The name that every message must carry.
        behaviour: Whether an extra field costs the message or only a warning.

    Attributes:
        received: How many messages of each kind came: ``media``, ``mark``, ``clear``,
            ``invalid``, ``binary``.
        objections: What `review` found in them, and how often.
    """

    def __init__(self, stream_sid: str, behaviour: Behaviour) -> None:
        self.received: Counter[str] = Counter()
        self.objections: Counter[Objection] = Counter()
        self._stream_sid = stream_sid
        self._behaviour = behaviour
        self._warnings: list[Warned] = []
        self._warned: set[int] = set()

    def judge(self, message: str | bytes) -> to_twilio.Message | None:
        """Return the message if Twilio would obey it; note what it, or the ear, objects to."""
        try:
            parsed: to_twilio.Message | None = to_twilio.parse(message)
        except RemoteProtocolError:
            parsed = None
        if (
            parsed is None
            or parsed.stream_sid != self._stream_sid
            or not _is_plain(parsed, message)
        ):
            return self._review(parsed, message)
        if isinstance(parsed, to_twilio.Media) and (found := look_inside(parsed.payload)):
            self.objections.update(found)
        return self._obeyed(parsed)

    def refuse(self, message: str | bytes) -> None:
        """Count a message that Twilio drops."""
        self.received["binary" if isinstance(message, bytes) else "invalid"] += 1

    def warn(self, warned: Warned) -> None:
        """Note what Twilio logs; the codes that it logs once per stream are noted once."""
        if warned.code in self._warned:
            return
        if warned.code in ONCE_PER_STREAM:
            self._warned.add(warned.code)
        self._warnings.append(warned)

    def take_warnings(self) -> list[Warned]:
        """Return what was noted since the last time this was asked."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _review(
        self, parsed: to_twilio.Message | None, message: str | bytes
    ) -> to_twilio.Message | None:
        objections = review(message, stream_sid=self._stream_sid)
        self.objections.update(objections)
        logged = [objection for objection in objections if objection.code in ONCE_PER_STREAM]
        if logged or parsed is None:
            code = logged[0].code if logged else None
            reason = "" if logged else "the message is none of media, mark and clear"
            warned = Warned(code or to_twilio.INVALID_MESSAGE, reason, message, tuple(objections))
            self.warn(warned)
        fatal = any(objection.severity == "error" for objection in logged)
        if parsed is None or fatal or (logged and self._behaviour.extra_fields == "drop"):
            self.refuse(message)
            return None
        return self._obeyed(parsed)

    def _obeyed(self, message: to_twilio.Message) -> to_twilio.Message:
        self.received[_KINDS[type(message)]] += 1
        return message


_KINDS: dict[type, str] = {
    to_twilio.Media: "media",
    to_twilio.Mark: "mark",
    to_twilio.Clear: "clear",
}


def _is_plain(parsed: to_twilio.Message, message: str | bytes) -> bool:
    """Whether `message` holds exactly what was parsed, so that it needs no review.

    Most messages do, and fifty of them come in a second; Python's own spaces are allowed for.
    """
    text = parsed.to_json()
    return text == message or (isinstance(message, str) and text == message.replace(" ", ""))
