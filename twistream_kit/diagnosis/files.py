"""What a server sent on one call, as people keep it, and what is to be objected to in it.

`messages_in` reads a file of messages: one a line, one JSON document, or a capture.
`review_capture` says what Twilio, or the caller's ear, would object to in all of a capture.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.file import FORMAT
from twistream_kit.diagnosis.sound import mistake_in
from twistream_kit.diagnosis.stream import CaptureReview
from twistream_kit.errors import Objection, sort_by_severity


def messages_in(raw: bytes) -> Iterator[tuple[str, str | bytes]]:
    """Yield each message, and where it stands (``line 3``, ``message 1``).

    One message a line is what a log holds.  A text that begins with a list, or with a brace alone
    on its line, is one document: a message laid out over several lines, or a list of messages.
    Of a capture the messages of the server are taken, as far as they were kept.  Nothing is refused
    here: what is no JSON, or no text, comes out as one message, for `review_message`.

    Args:
        raw: The whole file.
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
    """Say what is to be objected to in the messages of a server, and in the sound they made.

    Each mistake stands there once, in the order of time, those of the sound last.

    Args:
        capture: Of the call.
        stream_sid: The stream that the messages should be for; that of the capture if not given.

    Example:
        >>> import twistream_kit as kit
        >>> capture = kit.Capture("MZ" + "0" * 32)
        >>> capture.append(kit.from_twilio.Start(capture.stream_sid), at=0.0)
        >>> capture.append(kit.to_twilio.Mark("MZ" + "1" * 32, "end"), at=0.5)
        >>> kit.review_capture(capture)
        0.50 s: error 31951: streamSid is 'MZ1...' but this stream is 'MZ0...'. Twilio would ...
    """
    review = CaptureReview(capture, stream_sid=stream_sid)
    found: dict[tuple[int | None, str, str], Mistake] = {}
    in_sound: list[Objection] = []
    for passed, reviewed in review.new():
        for objection in reviewed.objections:
            mistake = found.setdefault(_mistake_key(objection), Mistake(objection, passed.at, 0))
            mistake.times += 1
            mistake.at = passed.at if mistake.at is None else min(mistake.at, passed.at)
        in_sound += reviewed.sound
    mistakes = sorted(found.values(), key=attrgetter("at"))
    for objection in sort_by_severity([*in_sound, *review.finish()]):
        if _mistake_key(objection) not in found:
            mistakes.append(Mistake(objection, None))
    n_sent = sum(entry.sender == "server" for entry in capture.entries)
    return Mistakes(mistakes, f"{count_messages(n_sent)} to Twilio", capture=capture)


def count_messages(number: int) -> str:
    """Return a number of messages in words: ``3 messages``."""
    return "1 message" if number == 1 else f"{number} messages"


class Mistakes(list["Mistake"]):
    """What is to be objected to in several messages, each kind with its place.

    Args:
        mistakes: In the order of what was reviewed.
        reviewed: What that was: ``3 messages``.
        capture: The capture that was reviewed, if it was one.

    Attributes:
        reviewed: As given.
        capture: As given, or None.
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
        """Whether nothing worse than a note is objected to."""
        return all(mistake.objection.severity == "note" for mistake in self)

    def add_unplaced(self, times: Mapping[Objection, int]) -> None:
        """Add what was objected to while the stream was followed, and is not among them yet.

        A capture does not show all of it: a wrong WebSocket frame, for one.

        Args:
            times: To how many messages each objection applied.
        """
        known = {_mistake_key(mistake.objection) for mistake in self}
        for objection, count in times.items():
            if _mistake_key(objection) not in known:
                known.add(_mistake_key(objection))
                self.append(Mistake(objection, None, count, where="stream"))

    def __repr__(self) -> str:
        nothing = (
            f"{self.reviewed}: nothing to object to." if self.reviewed else "nothing to object to"
        )
        return "\n".join(map(str, self)) or nothing


@dataclass(slots=True)
class Mistake:
    """The same objection, as often as it applied.

    Attributes:
        objection: As it was the first time.
        at: When that was, in seconds since the start; None for one to the sound as a whole.
        times: To how many messages it applied.
        where: Where it stands, in words, if that is no time: ``line 3``.
    """

    objection: Objection
    at: float | None
    times: int = 1
    where: str = ""

    @property
    def place(self) -> str:
        """Where it stands, or when it first applied and to how many more messages, in words."""
        if self.where:
            return self.where
        if self.at is None:
            return "sound"
        more = "" if self.times == 1 else f" and {self.times - 1} more"
        return f"{self.at:.2f} s{more}"

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
    # A single message stays as it is written, so that a key written twice is still seen.
    messages = document if isinstance(document, list) else [text]
    for number, message in enumerate(messages, 1):
        yield f"message {number}", message if isinstance(message, str) else json.dumps(message)


def _mistake_key(objection: Objection) -> tuple[int | None, str, str]:
    return objection.code, *mistake_in(objection)
