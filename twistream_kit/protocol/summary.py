"""A capture in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.capture_entry import Entry
from twistream_kit.protocol.outbox import is_progress_mark
from twistream_kit.protocol.outcomes import Ending
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.protocol.replay import Playback, Replay


@dataclass(frozen=True, slots=True, repr=False)
class CaptureSummary:
    """One call in numbers.

    Attributes:
        stream_sid: MZ and 32 hex digits.
        call_sid: CA and 32 hex digits.
        seconds: From the start to the last message.
        from_twilio: Messages from Twilio by event; marks that the kit sent to measure progress
            count as ``progress mark``.
        to_twilio: Messages to Twilio by event, likewise.
        caller_seconds: Sound that came from the caller.
        sent_seconds: Sound that was sent.
        heard_seconds: Sound of that which was played, by the playout model.
        playbacks: What became of each piece of sound.
        marks: The marks with a name and how they ended; ``open`` if that is not known yet.
    """

    stream_sid: str
    call_sid: str
    seconds: float
    from_twilio: Mapping[str, int]
    to_twilio: Mapping[str, int]
    caller_seconds: float
    sent_seconds: float
    heard_seconds: float
    playbacks: tuple[Playback, ...]
    marks: tuple[tuple[str, Ending | Literal["open"]], ...]

    def __repr__(self) -> str:
        ended = Counter(f"{name} {ending}" for name, ending in self.marks)
        marks = ", ".join(f"{text} × {n}" if n > 1 else text for text, n in ended.items())
        came = f"{_counts(self.from_twilio)}; {self.caller_seconds:.2f} s of sound"
        went = f"{_counts(self.to_twilio)}; {self.sent_seconds:.2f} s of sound"
        return "\n".join(
            [
                f"Stream {self.stream_sid or '(no name)'}, {self.seconds:.2f} s",
                f"from Twilio: {came}",
                f"to Twilio: {went}, {self.heard_seconds:.2f} s heard",
                f"marks: {marks or 'none'}",
            ]
        )


def summarise(
    stream_sid: str, call_sid: str, entries: Sequence[Entry], endings: Mapping[str, Ending]
) -> CaptureSummary:
    """Count and measure the messages of a capture."""
    counts = {"twilio": Counter[str](), "server": Counter[str]()}
    sizes = Counter[str]()
    for entry in entries:
        counts[entry.sender][event_of(entry)] += 1
        sizes[entry.sender] += entry.size
    replay = Replay(entries, endings)
    return CaptureSummary(
        stream_sid,
        call_sid,
        max((entry.at for entry in entries), default=0.0),
        dict(counts["twilio"]),
        dict(counts["server"]),
        sizes["twilio"] / BYTES_PER_SECOND,
        sizes["server"] / BYTES_PER_SECOND,
        replay.heard_bytes / BYTES_PER_SECOND,
        tuple(replay.playbacks()),
        tuple((mark.name, replay.ending_of(mark)) for mark in replay.marks if mark.name),
    )


def event_of(entry: Entry) -> str:
    """Return the event of a message as on the wire; of the kit's own marks ``progress mark``."""
    message = entry.message
    if isinstance(message, from_twilio.Unknown):
        return message.event
    if isinstance(message, from_twilio.Mark | to_twilio.Mark) and is_progress_mark(message.name):
        return "progress mark"
    return type(message).__name__.lower()


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {event}" for event, count in counts.items()) or "nothing"
