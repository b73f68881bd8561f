"""The figures of a call: counts, the first sound, gaps, underruns, what waited, late marks.

All of it is read from a `Replay`, so by the playout model: with the real service the caller's ear
is 50 to 300 ms behind (PROTOCOL.md §4).  `DEFINITIONS` says what each figure means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill
from typing import Literal, NamedTuple

import numpy as np

from twistream_kit.capture.entry import Entry
from twistream_kit.capture.message_text import event_of
from twistream_kit.capture.replay import Playback, Replay, SentMark
from twistream_kit.listing import Listing, Series
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending, MarkName
from twistream_kit.protocol.playout import BYTES_PER_SECOND

GAP_SECONDS = 0.1
"""Media comes every 20 ms (§3); a pause of five messages is worth a word (our choice)."""

PAUSE_SECONDS = 1.0
"""A silence longer than this is a pause between two things said (our choice)."""

LEAST_UNDERRUN_SECONDS = 0.0005
"""Below it lies what clocks and rounding do."""

LATE_MARK_SECONDS = 0.25
"""A mark takes the network's time, and a busy reader's; more is worth a word (our choice)."""

MISSING_MARK_SECONDS = 1.0
"""A mark that is not back so long after it should be is missing; a later one is not expected."""

DEFINITIONS: Mapping[str, str] = {
    "first sound": (
        "from the start message to the first sample you sent that is not 0, and to when Twilio"
        " played it"
    ),
    "gaps from Twilio": (
        f"more than {GAP_SECONDS:g} s between two media messages of the caller, which come every"
        " 20 ms; missing: messages left out by their chunk numbers"
    ),
    "gaps in sending": (
        f"more than {GAP_SECONDS:g} s between two media messages of yours; no fault in itself:"
        " what was sent ahead plays on"
    ),
    "underruns": (
        "Twilio had played all it had, and more of the same utterance came later: within"
        f" {PAUSE_SECONDS:g} s, and behind no clear and no named playback"
    ),
    "lead": (
        "seconds of sound that waited at Twilio: the median over the time in which any did, and"
        " the most"
    ),
    "deaf window": (
        "how long the caller could have interrupted in vain: the sound that waited when it was"
        " most plays on, unless you send a clear"
    ),
    "late marks": (
        f"back more than {LATE_MARK_SECONDS:g} s after the last sound before them was played, or"
        " cleared"
    ),
    "missing marks": (
        f"not back {MISSING_MARK_SECONDS:g} s after the last sound before them was played, or"
        " cleared"
    ),
}
"""What each figure means, by its name in the report; the playout model says what was played."""

MOST_NAMES = 5
"""Of late and missing marks so many are named; the others are counted."""

MOST_ENDINGS = 12
"""Where more marks than this differ in name or ending, each ending is counted."""


def summarise(
    stream_sid: str, call_sid: str, entries: Sequence[Entry], endings: Mapping[str, Ending]
) -> CaptureSummary:
    """Count and measure the messages of a capture."""
    counts = {"twilio": Counter[str](), "server": Counter[str]()}
    sizes = Counter[str]()
    start_at = 0.0
    for entry in entries:
        sender, event = _MEDIA.get(type(entry.message)) or (entry.sender, event_of(entry.message))
        counts[sender][event] += 1
        sizes[sender] += entry.size
        if type(entry.message) is from_twilio.Start:
            start_at = entry.at
    replay = Replay(entries, endings)
    first_sent_ms, first_sound_ms = _find_first_sound(replay, start_at)
    gaps_and_missing = _find_caller_gaps(entries, replay.seconds)
    waiting = measure_queue(replay)
    return CaptureSummary(
        stream_sid,
        call_sid,
        replay.seconds,
        dict(counts["twilio"]),
        dict(counts["server"]),
        sizes["twilio"] / BYTES_PER_SECOND,
        sizes["server"] / BYTES_PER_SECOND,
        replay.heard_bytes / BYTES_PER_SECOND,
        Series.of(replay.playbacks(), "playbacks"),
        Series.of(_name_endings(replay), "marks"),
        first_sent_ms,
        first_sound_ms,
        *gaps_and_missing,
        _find_gaps([at for at, _ in replay.sent]),
        find_underruns(replay),
        waiting.median_seconds,
        waiting.most_seconds,
        waiting.most_at,
        _find_late_marks(replay),
        tuple(mark.name for mark in find_missing_marks(replay)),
    )


_NO_GAPS: Series[Gap] = Series.of((), "gaps")

_NO_MARKS: Series[LateMark] = Series.of((), "late marks")


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
    playbacks: Series[Playback]
    marks: Series[MarkEnding]
    first_sent_ms: float | None = None
    first_sound_ms: float | None = None
    caller_gaps: Series[Gap] = _NO_GAPS
    caller_missing: int = 0
    sent_gaps: Series[Gap] = _NO_GAPS
    underruns: Series[Gap] = _NO_GAPS
    lead_seconds: float = 0.0
    deaf_seconds: float = 0.0
    deaf_at: float = 0.0
    late_marks: Series[LateMark] = _NO_MARKS
    missing_marks: tuple[str, ...] = ()

    @property
    def definitions(self) -> Mapping[str, str]:
        """How each figure of `figures` was measured, by its name."""
        return DEFINITIONS

    def figures(self) -> Listing[Figure]:
        """Return the figures of the call's timing in words, each with its definition."""
        values = {
            "first sound": _describe_first_sound(self.first_sent_ms, self.first_sound_ms),
            "gaps from Twilio": _describe_gaps(self.caller_gaps, missing=self.caller_missing),
            "gaps in sending": _describe_gaps(self.sent_gaps),
            "underruns": _describe_gaps(self.underruns, in_all=True),
            "lead": _describe_lead(self.lead_seconds, self.deaf_seconds),
            "deaf window": _describe_deaf_window(self.deaf_seconds, self.deaf_at),
            "late marks": _describe_late_marks(self.late_marks),
            "missing marks": _describe_missing_marks(self.missing_marks),
        }
        found = (Figure(name, value, DEFINITIONS[name]) for name, value in values.items())
        return Listing.of(found, "figures")

    def counts(self) -> dict[str, str]:
        """Return what was said, heard and marked in words, by whom and what it is about."""
        came, went = _format_counts(self.from_twilio), _format_counts(self.to_twilio)
        return {
            "from Twilio": f"{came}; {self.caller_seconds:.2f} s of sound",
            "to Twilio": f"{went}; {self.sent_seconds:.2f} s of sound, "
            f"{self.heard_seconds:.2f} s heard",
            "marks": _describe_marks(self.marks),
        }

    def report(self) -> str:
        """Return the whole in words, with the definition of each figure under it."""
        lines = self._count_lines()
        for figure in self.figures():
            lines += [f"{figure.name}: {figure.value}", _indent_definition(figure.definition)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = [f"{figure.name}: {figure.value}" for figure in self.figures()]
        return "\n".join(self._count_lines() + figures)

    def _count_lines(self) -> list[str]:
        heading = f"Stream {self.stream_sid or '(no name)'}, {self.seconds:.2f} s"
        return [heading, *(f"{name}: {value}" for name, value in self.counts().items())]


class MarkEnding(NamedTuple):
    """How a mark with a name ended.

    Attributes:
        name: As the user gave it.
        ending: As in `MarkOutcome`, or ``open`` if that is not known yet.
    """

    name: str
    ending: Ending | Literal["open"]

    def __repr__(self) -> str:
        return f"<MarkEnding {self.name!r}: {self.ending}>"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a call.

    Attributes:
        name: As in `DEFINITIONS`.
        value: In words, with its unit.
        definition: What was measured.
    """

    name: str
    value: str
    definition: str

    def __repr__(self) -> str:
        return f"<Figure {self.name}: {self.value}>"


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nothing came, or nothing was there to be played.

    Attributes:
        at: When it began, in seconds since the start of the capture.
        seconds: How long it lasted.
    """

    at: float
    seconds: float

    def __repr__(self) -> str:
        return f"<Gap of {self.seconds:.2f} s at {self.at:.2f} s>"


@dataclass(frozen=True, slots=True)
class LateMark:
    """A mark that came back later than the model says.

    Attributes:
        name: As the user gave it.
        at: When it came back, in seconds since the start of the capture.
        late_ms: By how much it was late.
    """

    name: str
    at: float
    late_ms: float

    def __repr__(self) -> str:
        return f"<LateMark {self.name!r} at {self.at:.2f} s: {self.late_ms:.0f} ms late>"


def _name_endings(replay: Replay) -> Iterator[MarkEnding]:
    for mark in replay.marks:
        if mark.name:
            yield MarkEnding(mark.name, replay.ending_of(mark))


_MEDIA = {from_twilio.Media: ("twilio", "media"), to_twilio.Media: ("server", "media")}
"""Looked up, because nearly all messages are media."""


def find_underruns(replay: Replay) -> Series[Gap]:
    """Return where Twilio ran out of sound while more of the same utterance came later."""
    ended = {mark.position for mark in replay.marks if _ends_an_utterance(mark)}
    clears = np.asarray(sorted(replay.clears))
    found = []
    for before, behind in pairwise(replay.intervals):
        empty_at = before.started + before.size / BYTES_PER_SECOND
        pause = behind.started - empty_at
        if not LEAST_UNDERRUN_SECONDS <= pause <= PAUSE_SECONDS:
            continue
        if before.first + before.size != behind.first or behind.first in ended:
            continue  # the rest was cleared, or it was all
        place = int(np.searchsorted(clears, empty_at))
        if place == len(clears) or clears[place] > behind.started:
            found.append(Gap(empty_at, pause))
    underruns = Series(found)
    underruns.what = "underruns"
    return underruns


def _ends_an_utterance(mark: SentMark) -> bool:
    """Whether a playback of this package ends there that was given a name.

    Other servers put a mark behind each piece of the same sentence.
    """
    wire = MarkName.parse(mark.wire_name)
    return wire.is_ours and not wire.is_own


def measure_queue(replay: Replay) -> QueueFigures:
    """Return how much sound waited at Twilio."""
    if not replay.sent:
        return QueueFigures()
    levels = np.asarray(replay.levels)
    high = levels[:, 2] / BYTES_PER_SECOND
    low = np.append(levels[1:, 1], levels[-1, 1]) / BYTES_PER_SECOND
    most = int(np.argmax(high))
    return QueueFigures(_median(low, high), float(high[most]), float(levels[most, 0]))


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How much sound waited at Twilio.

    Attributes:
        median_seconds: The median over all the time in which something waited.
        most_seconds: The most there ever was.
        most_at: When that was, in seconds since the start of the capture.
    """

    median_seconds: float = 0.0
    most_seconds: float = 0.0
    most_at: float = 0.0


def _median(low: np.ndarray, high: np.ndarray) -> float:
    """Return the median over the time in which it ran from each `high` down to its `low`.

    It runs a second a second, so the time spent between two levels is their difference.
    """
    half = float(np.sum(high - low)) / 2
    if half <= 0:
        return 0.0
    below, above = 0.0, float(np.max(high))
    for _ in range(24):  # to a hundredth of a millisecond
        middle = (below + above) / 2
        if float(np.sum(np.clip(middle - low, 0, high - low))) < half:
            below = middle
        else:
            above = middle
    return above


def find_missing_marks(replay: Replay) -> list[SentMark]:
    """Return the marks with a name that should be back and are not, in the order sent."""
    latest = replay.seconds - MISSING_MARK_SECONDS
    return [
        mark
        for mark in replay.marks
        if mark.name
        and mark.returned_at is None
        and mark.expected_at is not None
        and mark.expected_at <= latest
    ]


def _describe_marks(marks: Sequence[tuple[str, str]]) -> str:
    """Say how the marks ended, by name if there are not too many names."""
    ended = Counter(f"{name} {ending}" for name, ending in marks)
    if len(ended) > MOST_ENDINGS:
        counts = Counter(ending for _, ending in marks)
        return ", ".join(f"{count} {ending}" for ending, count in counts.items())
    return ", ".join(f"{text} × {n}" if n > 1 else text for text, n in ended.items()) or "none"


def _find_first_sound(replay: Replay, start_at: float) -> tuple[float | None, float | None]:
    """Return after how many ms the first audible sample was sent, and when it was heard.

    Audible is every sample but 0; None where there was none, or none was played.
    """
    codes = np.frombuffer(replay.sound, np.uint8)
    audible = np.flatnonzero((codes | 0x80) != 0xFF)  # 0x7F and 0xFF are the sample 0
    if not len(audible):
        return None, None
    ends = np.cumsum([size for _, size in replay.sent])
    sent_at = replay.sent[int(np.searchsorted(ends, audible[0], "right"))][0]
    heard_at = None
    for interval in replay.intervals:
        place = int(np.searchsorted(audible, interval.first))
        if place < len(audible) and audible[place] < interval.first + interval.size:
            offset = int(audible[place]) - interval.first
            heard_at = interval.started + offset / BYTES_PER_SECOND
            break
    return (sent_at - start_at) * 1000, None if heard_at is None else (heard_at - start_at) * 1000


def _find_caller_gaps(entries: Sequence[Entry], seconds: float) -> tuple[Series[Gap], int]:
    """Return the gaps in the caller's media, and how many messages are missing by their numbers."""
    times, missing, expected = [], 0, 0
    for entry in entries:
        message = entry.message
        if type(message) is from_twilio.Media and message.track == "inbound":
            times.append(entry.at)
            if message.chunk > expected > 0:
                missing += message.chunk - expected
            expected = message.chunk + 1
    return _find_gaps([*times, seconds] if times else times), missing


def _find_gaps(times: Sequence[float]) -> Series[Gap]:
    """Return the pauses of more than `GAP_SECONDS` between times, in order."""
    if len(times) < 2:
        return Series.of((), "gaps")
    pauses = np.diff(np.asarray(times))
    places = np.flatnonzero(pauses > GAP_SECONDS).tolist()
    return Series.of((Gap(times[place], float(pauses[place])) for place in places), "gaps")


def _find_late_marks(replay: Replay) -> Series[LateMark]:
    """Return the marks with a name that came back too late, in the order sent."""
    found = []
    for mark in replay.marks:
        if mark.name and mark.returned_at is not None and mark.expected_at is not None:
            late = mark.returned_at - mark.expected_at
            if late > LATE_MARK_SECONDS:
                found.append(LateMark(mark.name, mark.returned_at, late * 1000))
    return Series.of(found, "late marks")


def _describe_first_sound(sent_ms: float | None, heard_ms: float | None) -> str:
    """Say when something was first sent and heard."""
    if sent_ms is None:
        return "none was sent"
    if heard_ms is None:
        return f"sent {sent_ms:.0f} ms after the start, never heard"
    return f"heard {heard_ms:.0f} ms after the start, sent {sent_ms:.0f} ms after it"


def _describe_gaps(found: Sequence[Gap], *, missing: int = 0, in_all: bool = False) -> str:
    """Say how many gaps there were, and which was the longest."""
    parts = []
    if found:
        longest = max(found, key=lambda gap: gap.seconds)
        total = f", {_format_seconds(sum(gap.seconds for gap in found))} in all" if in_all else ""
        number = f"{len(found)}{total}, the longest" if len(found) > 1 else "1,"
        parts.append(f"{number} {_format_seconds(longest.seconds)} at {longest.at:.2f} s")
    if missing:
        parts.append(f"{missing} message{'' if missing == 1 else 's'} missing")
    return "; ".join(parts) or "none"


def _describe_lead(median_seconds: float, most_seconds: float) -> str:
    """Say how far ahead sound was sent."""
    if not most_seconds:
        return "none"
    return (
        f"{_format_seconds(median_seconds)} in the median, {_format_seconds(most_seconds)} at most"
    )


def _describe_deaf_window(seconds: float, at: float) -> str:
    """Say for how long an interruption would have been in vain."""
    return f"{_format_seconds(seconds)}, at {at:.2f} s" if seconds else "none"


def _describe_late_marks(marks: Sequence[LateMark]) -> str:
    """Say which marks were late, and by how much."""
    return _list_names([f"{mark.name} by {_format_seconds(mark.late_ms / 1000)}" for mark in marks])


def _describe_missing_marks(names: Sequence[str]) -> str:
    """Say which marks never came back."""
    return _list_names(names)


def _list_names(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_NAMES
    shown = ", ".join(texts[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _format_seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if 0 < seconds < 0.01 else f"{seconds:.2f} s"


def _indent_definition(definition: str) -> str:
    return fill(f"({definition})", 92, initial_indent="    ", subsequent_indent="    ")


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {event}" for event, count in counts.items()) or "nothing"
