"""Read files of messages, and review captures.

`read_messages` reads a file of messages: one message per line, one JSON document, or a capture.
`review_capture` reviews all messages of a capture and their sound.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.file import FORMAT
from twistream_kit.diagnosis.sound import identify_mistake
from twistream_kit.diagnosis.stream import CaptureReview
from twistream_kit.errors import Objection, WrongType, quote, sort_by_severity

STREAM = "stream"
"""The place of an objection to the stream as a whole."""


def read_messages(raw: bytes) -> Iterator[tuple[str, str | bytes]]:
    """Yield each message with its place in the file (``line 3``, ``message 1``).

    A log has one message per line.  A text that begins with a list, or with a brace alone on its
    line, is one JSON document: a message over several lines, or a list of messages.  From a
    capture, the server's messages are read if their sound was kept.  Nothing is refused: content
    that is not JSON or not text is yielded as one message, for `review_message`.

    Args:
        raw: The whole content of the file.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield "message 1", raw
        return
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if lines and (lines[0][1].lstrip().startswith("[") or lines[0][1].strip() == "{"):
        yield from _read_document(text)
        return
    if lines and _is_header(lines[0][1]):
        yield from _read_capture(lines[1:])
        return
    for number, line in lines:
        yield f"line {number}", line.strip()


def review_capture(capture: Capture, *, stream_sid: str | None = None) -> Mistakes:
    """Review the messages of a server in a capture, and their sound.

    Each mistake is returned once, in order of time; those of the sound come last.

    Args:
        capture: The capture of the call.
        stream_sid: The stream that the messages should be for; that of the capture if not given.

    Example:
        >>> import twistream_kit as kit
        >>> capture = kit.Capture("MZ" + "0" * 32)
        >>> capture.append(kit.from_twilio.Start(capture.stream_sid), at=0.0)
        >>> capture.append(kit.to_twilio.Mark("MZ" + "1" * 32, "end"), at=0.5)
        >>> kit.review_capture(capture)
        0.50 s: error 31951: streamSid is 'MZ1...' but this stream is 'MZ0...'. Twilio would ...
    """
    if not isinstance(capture, Capture):
        raise WrongType(
            f"capture is {quote(capture)}; give a Capture, such as stream.capture or "
            "kit.Capture.load(path)"
        )
    review = CaptureReview(capture, stream_sid=stream_sid)
    found: dict[tuple[int | None, str, str], Mistake] = {}
    in_sound: list[Objection] = []
    for passed, reviewed in review.read_new():
        for objection in reviewed.objections:
            mistake = found.setdefault(
                _make_mistake_key(objection), Mistake(objection, passed.at, 0)
            )
            mistake.times += 1
            mistake.at = passed.at if mistake.at is None else min(mistake.at, passed.at)
        in_sound += reviewed.sound
    mistakes = sorted(found.values(), key=attrgetter("at"))
    for objection in sort_by_severity([*in_sound, *review.finish()]):
        if _make_mistake_key(objection) not in found:
            mistakes.append(Mistake(objection, None))
    n_sent = sum(entry.sender == "server" for entry in capture.entries)
    return Mistakes(mistakes, f"{count_messages(n_sent)} to Twilio", capture=capture)


def count_messages(number: int) -> str:
    """Return a number of messages as text: ``3 messages``."""
    return "1 message" if number == 1 else f"{number} messages"


class Mistakes(list["Mistake"]):
    """The objections to several messages, each kind with its place.

    Args:
        mistakes: The mistakes, in the order of the messages.
        reviewed: A description of what was reviewed: ``3 messages``.
        capture: The capture that was reviewed, if it was one.

    Attributes:
        reviewed: The same description.
        capture: The capture, or None.
    """

    def __init__(
        self,
        mistakes: Iterable[Mistake] = (),
        reviewed: str = "",
        *,
        capture: Capture | None = None,
    ) -> None:
        super().__init__(mistakes)
        self.reviewed = reviewed
        self.capture = capture

    @property
    def ok(self) -> bool:
        """Whether there is no objection worse than a note."""
        return all(mistake.objection.severity == "note" for mistake in self)

    def add_unplaced(self, times: Mapping[Objection, int]) -> None:
        """Put the objections made during the call that are missing here before the others.

        A capture does not show all of them, such as a wrong WebSocket frame, or that the server
        closed too early; they are about the whole, and causes of the others.

        Args:
            times: To how many messages each objection applied.
        """
        known = {_make_mistake_key(mistake.objection) for mistake in self}
        found = []
        for objection, count in times.items():
            if _make_mistake_key(objection) not in known:
                known.add(_make_mistake_key(objection))
                found.append(Mistake(objection, None, count, where=STREAM))
        self[:0] = found

    @classmethod
    def join_equal(cls, found: Iterable[tuple[str, Objection]], reviewed: str) -> Mistakes:
        """Return each kind of objection once, with its first place.

        Args:
            found: The place of each objection, and the objection.
            reviewed: A description of what was reviewed.
        """
        mistakes: dict[tuple[int | None, str, str], Mistake] = {}
        for place, objection in found:
            first = Mistake(objection, None, 0, where=place)
            mistakes.setdefault(_make_mistake_key(objection), first).times += 1
        return cls(mistakes.values(), reviewed)

    def __repr__(self) -> str:
        nothing = (
            f"{self.reviewed}: nothing to object to." if self.reviewed else "nothing to object to"
        )
        return "\n".join(map(str, self)) or nothing


@dataclass(slots=True)
class Mistake:
    """One kind of objection, with its first place and the number of messages it applied to.

    Attributes:
        objection: The first objection of this kind.
        at: Its time in seconds since the start; None for an objection to the sound as a whole.
        times: To how many messages it applied.
        where: The place, if it is not a time: ``line 3``; the first of several.
    """

    objection: Objection
    at: float | None
    times: int = 1
    where: str = ""

    @property
    def place(self) -> str:
        """The place, or the first time and the number of further messages, as text."""
        more = "" if self.times == 1 else f" and {self.times - 1} more"
        if self.where == STREAM:
            return STREAM if self.times == 1 else f"{STREAM}, {self.times} times"
        if self.where:
            return self.where + more
        return "sound" if self.at is None else f"{self.at:.2f} s{more}"

    def __str__(self) -> str:
        code = f" {self.objection.code}" if self.objection.code else ""
        return f"{self.place}: {self.objection.severity}{code}: {self.objection}"

    def __repr__(self) -> str:
        return f"<Mistake at {self}>"


def _is_header(line: str) -> bool:
    header = _read_object(line)
    return header.get("format") == FORMAT


def _read_capture(lines: list[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    for number, line in lines:
        entry = _read_object(line)
        if entry.get("from") == "server" and "size" not in entry:
            yield f"line {number}", json.dumps(entry.get("message"))


def _read_object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_document(text: str) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        yield "message 1", text
        return
    # A single message keeps its text, so that the review can find a duplicate key.
    messages = document if isinstance(document, list) else [text]
    for number, message in enumerate(messages, 1):
        yield f"message {number}", message if isinstance(message, str) else json.dumps(message)


def _make_mistake_key(objection: Objection) -> tuple[int | None, str, str]:
    return objection.code, *identify_mistake(objection)
