"""A capture in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Literal

from twistream_kit.capture.capture_playback import Playback
from twistream_kit.capture.capture_words import (
    DEFINITIONS,
    Figure,
    deaf_in_words,
    first_sound_in_words,
    gaps_in_words,
    late_in_words,
    lead_in_words,
    marks_in_words,
    missing_in_words,
)
from twistream_kit.capture.entry import Entry
from twistream_kit.capture.pace import (
    Gap,
    LateMark,
    caller_gaps,
    first_sound,
    gaps,
    late_marks,
    missing,
    queued,
    underruns,
)
from twistream_kit.capture.replay import Replay
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending
from twistream_kit.protocol.outbox import is_progress_mark
from twistream_kit.protocol.playout import BYTES_PER_SECOND


@dataclass(frozen=True, slots=True, repr=False)
class CaptureSummary:
    """One call in numbers; `definitions` says how each was measured.

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
        first_sent_ms: From the start message to the first sample sent that is not 0; None if there
            was none.
        first_sound_ms: From the start message to when that was played, by the model.
        caller_gaps: More than 0.1 s between two media messages of the caller.
        caller_missing: How many of them were left out, by their chunk numbers.
        sent_gaps: More than 0.1 s between two media messages of yours.
        underruns: When Twilio had played all it had, and more of the same utterance came later:
            within 1 s, and behind no clear and no playback with a name.
        lead_seconds: Sound that waited at Twilio: the median over the time in which any did.
        deaf_seconds: The most that ever waited.  An interruption at that moment would have had no
            effect for so long without a clear.
        deaf_at: When that was, in seconds since the start.
        late_marks: Marks that came back more than 0.25 s after the last sound before them was
            played, by the model, or cleared.
        missing_marks: Marks that were not back 1 s after that.
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
    first_sent_ms: float | None = None
    first_sound_ms: float | None = None
    caller_gaps: tuple[Gap, ...] = ()
    caller_missing: int = 0
    sent_gaps: tuple[Gap, ...] = ()
    underruns: tuple[Gap, ...] = ()
    lead_seconds: float = 0.0
    deaf_seconds: float = 0.0
    deaf_at: float = 0.0
    late_marks: tuple[LateMark, ...] = ()
    missing_marks: tuple[str, ...] = ()

    @property
    def definitions(self) -> Mapping[str, str]:
        """How each figure of `figures` was measured, by its name."""
        return DEFINITIONS

    def figures(self) -> list[Figure]:
        """Return the figures of the call's timing in words, each with its definition."""
        values = {
            "first sound": first_sound_in_words(self.first_sent_ms, self.first_sound_ms),
            "gaps from Twilio": gaps_in_words(self.caller_gaps, missing=self.caller_missing),
            "gaps in sending": gaps_in_words(self.sent_gaps),
            "underruns": gaps_in_words(self.underruns, in_all=True),
            "lead": lead_in_words(self.lead_seconds, self.deaf_seconds),
            "deaf window": deaf_in_words(self.deaf_seconds, self.deaf_at),
            "late marks": late_in_words(self.late_marks),
            "missing marks": missing_in_words(self.missing_marks),
        }
        return [Figure(name, value, DEFINITIONS[name]) for name, value in values.items()]

    def report(self) -> str:
        """Return the whole in words, with the definition of each figure under it."""
        lines = self._counts()
        for figure in self.figures():
            lines += [f"{figure.name}: {figure.value}", _gloss(figure.definition)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = [f"{figure.name}: {figure.value}" for figure in self.figures()]
        return "\n".join(self._counts() + figures)

    def _counts(self) -> list[str]:
        came = f"{_counts(self.from_twilio)}; {self.caller_seconds:.2f} s of sound"
        went = f"{_counts(self.to_twilio)}; {self.sent_seconds:.2f} s of sound"
        return [
            f"Stream {self.stream_sid or '(no name)'}, {self.seconds:.2f} s",
            f"from Twilio: {came}",
            f"to Twilio: {went}, {self.heard_seconds:.2f} s heard",
            f"marks: {marks_in_words(self.marks)}",
        ]


def summarise(
    stream_sid: str, call_sid: str, entries: Sequence[Entry], endings: Mapping[str, Ending]
) -> CaptureSummary:
    """Count and measure the messages of a capture."""
    counts = {"twilio": Counter[str](), "server": Counter[str]()}
    sizes = Counter[str]()
    start_at = 0.0
    for entry in entries:
        sender, event = _MEDIA.get(type(entry.message)) or (entry.sender, event_of(entry))
        counts[sender][event] += 1
        sizes[sender] += entry.size
        if type(entry.message) is from_twilio.Start:
            start_at = entry.at
    replay = Replay(entries, endings)
    first_sent_ms, first_sound_ms = first_sound(replay, start_at)
    missing_from = caller_gaps(entries, replay.seconds)
    waiting = queued(replay)
    return CaptureSummary(
        stream_sid,
        call_sid,
        replay.seconds,
        dict(counts["twilio"]),
        dict(counts["server"]),
        sizes["twilio"] / BYTES_PER_SECOND,
        sizes["server"] / BYTES_PER_SECOND,
        replay.heard_bytes / BYTES_PER_SECOND,
        tuple(replay.playbacks()),
        tuple((mark.name, replay.ending_of(mark)) for mark in replay.marks if mark.name),
        first_sent_ms,
        first_sound_ms,
        *missing_from,
        gaps([at for at, _ in replay.sent]),
        underruns(replay),
        waiting.median_seconds,
        waiting.most_seconds,
        waiting.most_at,
        late_marks(replay),
        tuple(mark.name for mark in missing(replay)),
    )


_MEDIA = {from_twilio.Media: ("twilio", "media"), to_twilio.Media: ("server", "media")}
"""Looked up, because nearly all messages are media."""


def event_of(entry: Entry) -> str:
    """Return the event of a message as on the wire; of the kit's own marks ``progress mark``."""
    message = entry.message
    if isinstance(message, from_twilio.Unknown):
        return message.event
    if isinstance(message, from_twilio.Mark | to_twilio.Mark) and is_progress_mark(message.name):
        return "progress mark"
    return type(message).__name__.lower()


def _gloss(definition: str) -> str:
    return fill(f"({definition})", 92, initial_indent="    ", subsequent_indent="    ")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {event}" for event, count in counts.items()) or "nothing"
