"""What Twilio makes of a message from the server: it obeys, or it drops and warns (PROTOCOL.md §4).

Twilio names neither the message nor the field, and warns once per stream; of what a message sounds
like it says nothing at all.  The judge keeps all that `review` has to say about every message, and
`SoundReview` about all of them together, for the debugger and for reports.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from twistream_kit.diagnosis.message import review
from twistream_kit.diagnosis.sound import FIELD, SoundReview
from twistream_kit.errors import Objection, RemoteProtocolError
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.simulator.model.assumptions import ONCE_PER_STREAM, Behaviour


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
    """

    def __init__(self, stream_sid: str, behaviour: Behaviour) -> None:
        self.received: Counter[str] = Counter()
        self._reviewed: Counter[Objection] = Counter()
        self._sound = SoundReview(stream_sid, at_leisure=True)
        self._unlogged: list[Objection] = []
        self._stream_sid = stream_sid
        self._behaviour = behaviour
        self._warnings: list[Warned] = []
        self._warned: set[int] = set()

    @property
    def objections(self) -> Counter[Objection]:
        """What `review` found in the messages, and the ear in their sound, and how often."""
        return self._reviewed + self._sound.found

    def judge(self, message: str | bytes, now: float) -> to_twilio.Message | None:
        """Return the message if Twilio would obey it; note what it, or the ear, objects to.

        Args:
            message: As it came.
            now: Monotonic seconds.
        """
        try:
            parsed: to_twilio.Message | None = to_twilio.parse(message)
        except RemoteProtocolError:
            parsed = None
        if (
            parsed is None
            or parsed.stream_sid != self._stream_sid
            or not _is_plain(parsed, message)
        ):
            return self._review(parsed, message, now)
        return self._obeyed(parsed, now)

    def listen(self, now: float) -> bool:
        """Listen on to the sound if it is this stream's turn; return whether something was found.

        One step is done in 20 ms, for all streams of this process together, so that however many
        calls there are, none of them is late for it.
        """
        if not self._sound.has_more_to_hear or not _TURNS.take(now):
            return False
        found = self._sound.listen()
        self._note(found)
        return bool(found)

    def finish(self, now: float) -> None:
        """Note what is to be said of the sound now that no more will come."""
        self._note(self._sound.finish(now))

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

    def take_unlogged(self) -> list[Objection]:
        """Return what was found since the last time this was asked and Twilio does not log."""
        unlogged, self._unlogged = self._unlogged, []
        return unlogged

    def _review(
        self, parsed: to_twilio.Message | None, message: str | bytes, now: float
    ) -> to_twilio.Message | None:
        objections = review(message, stream_sid=self._stream_sid)
        logged = [objection for objection in objections if objection.code in ONCE_PER_STREAM]
        if logged or parsed is None:
            code = logged[0].code if logged else None
            reason = "" if logged else "the message is none of media, mark and clear"
            warned = Warned(code or to_twilio.INVALID_MESSAGE, reason, message, tuple(objections))
            self.warn(warned)
        fatal = any(objection.severity == "error" for objection in logged)
        if parsed is None or fatal or (logged and self._behaviour.extra_fields == "drop"):
            self._reviewed.update(objections)
            self.refuse(message)
            return None
        # What is wrong with the sound of a message that is obeyed, `_obeyed` finds.
        about_form = [each for each in objections if not _is_about_sound(each)]
        self._reviewed.update(about_form)
        if not logged:
            self._note(about_form)
        return self._obeyed(parsed, now)

    def _obeyed(self, message: to_twilio.Message, now: float) -> to_twilio.Message:
        self.received[_KINDS[type(message)]] += 1
        if isinstance(message, to_twilio.Media):
            if found := self._sound.sent(message.payload, now):
                self._note(found)
        elif isinstance(message, to_twilio.Clear):
            self._sound.cleared(now)
        return message

    def _note(self, objections: list[Objection]) -> None:
        self._unlogged += [each for each in objections if each.code is None]


class _Turns:
    """Lets one in at a time, with a pause of a frame behind each."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def take(self, now: float) -> bool:
        # Time that runs back is another's: that of a test, or of a call in a world of its own.
        if 0 <= now - self._last < PTIME_MS / 1000 * 0.9:
            return False
        self._last = now
        return True


_TURNS = _Turns()

_KINDS: dict[type, str] = {
    to_twilio.Media: "media",
    to_twilio.Mark: "mark",
    to_twilio.Clear: "clear",
}


def _is_about_sound(objection: Objection) -> bool:
    return objection.code is None and objection.field == FIELD


def _is_plain(parsed: to_twilio.Message, message: str | bytes) -> bool:
    """Whether `message` holds exactly what was parsed, so that it needs no review.

    Most messages do, and fifty of them come in a second; Python's own spaces are allowed for.
    """
    text = parsed.to_json()
    return text == message or (isinstance(message, str) and text == message.replace(" ", ""))
