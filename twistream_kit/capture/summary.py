"""The figures of a call: counts, first sound, gaps, underruns, send-ahead, late marks.

All figures are computed from a `Replay`, that is by the playout model: with the real service the
caller hears everything 50 to 300 ms later (PROTOCOL.md §4).  `DEFINITIONS` defines each figure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill
from typing import Literal, NamedTuple

import numpy as np

from twistream_kit.capture.entry import Entry, Sender
from twistream_kit.capture.message_text import get_event
from twistream_kit.capture.replay import Playback, Replay, SentMark
from twistream_kit.listing import Listing, Series
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending, MarkName
from twistream_kit.protocol.playout import BYTES_PER_SECOND

GAP_SECONDS = 0.1
"""A pause of five messages is reported; media comes every 20 ms (§3, our choice)."""

PAUSE_SECONDS = 1.0
"""A longer silence counts as a pause between two utterances (our choice)."""

FEW_MARKS = 2
"""A server with more marks within a sound puts one after each piece, and so the last of them does
not say that the sound was complete."""

LEAST_UNDERRUN_SECONDS = 0.0005
"""Shorter underruns are within the precision of clocks and rounding."""

LATE_MARK_SECONDS = 0.25
"""The delay from which a mark is reported; less is due to network and reader (our choice)."""

MISSING_MARK_SECONDS = 1.0
"""A mark that is more overdue than this counts as missing."""

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
        f"more than {GAP_SECONDS:g} s between two media messages of yours; no error in itself:"
        " the sound that was sent ahead keeps playing"
    ),
    "underruns": (
        "Twilio had played all its sound, and more of the same utterance came later: within"
        f" {PAUSE_SECONDS:g} s, and not after a clear, a named playback, or a mark after the whole"
    ),
    "send-ahead": (
        "seconds of sound that waited at Twilio: the median over the time in which any waited, and"
        " the maximum"
    ),
    "deaf window": (
        "how long an interruption by the caller could have had no effect: the maximum of the sound"
        " that waited, which keeps playing unless you send a clear"
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
"""The definition of each figure, by its name in the report; "played" is by the playout model."""

MOST_NAMES = 5
"""How many late and missing marks are named; the others are counted."""

MOST_ENDINGS = 12
"""If more marks than this differ in name or ending, only the endings are counted."""


def summarise(
    stream_sid: str, call_sid: str, entries: Iterable[Entry], endings: Mapping[str, Ending]
) -> CaptureSummary:
    """Count and measure the messages of a capture, which are read once."""
    counted = _Counted()
    replay = Replay(counted.watch(entries), endings)
    counts, sizes = counted.counts, counted.sizes
    first_sent_ms, first_sound_ms = _find_first_sound(replay, counted.start_at)
    caller_gaps = _find_gaps([*counted.caller_times, replay.seconds])
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
        Series.of(replay.list_playbacks(), "playbacks"),
        Series.of(_name_endings(replay), "marks"),
        first_sent_ms,
        first_sound_ms,
        caller_gaps if counted.caller_times else _NO_GAPS,
        counted.caller_missing,
        _find_gaps([at for at, _ in replay.sent]),
        find_underruns(replay),
        waiting.median_seconds,
        waiting.most_seconds,
        waiting.most_at,
        _find_late_marks(replay),
        tuple(mark.name for mark in find_missing_marks(replay)),
    )


class _Counted:
    """The counts of messages that pass, on their way to a `Replay`."""

    def __init__(self) -> None:
        self.counts = {"twilio": Counter[str](), "server": Counter[str]()}
        self.sizes = Counter[str]()
        self.start_at = 0.0
        self.caller_times = array("d")
        self.caller_missing = 0
        self._expected = 0

    def watch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Count each message and pass it on."""
        n_caller = n_server = caller_bytes = server_bytes = 0
        for entry in entries:
            message = entry.message
            if type(message) is from_twilio.Media:  # nearly all messages are media
                if not n_caller:
                    self.counts["twilio"]["media"] = 0  # events are listed as they began
                n_caller += 1
                caller_bytes += entry.size
                if message.track == "inbound":
                    self._note_caller(entry.at, message.chunk)
            elif type(message) is to_twilio.Media:
                if not n_server:
                    self.counts["server"]["media"] = 0
                n_server += 1
                server_bytes += entry.size
            else:
                self.counts[entry.sender][get_event(message)] += 1
                if type(message) is from_twilio.Start:
                    self.start_at = entry.at
            yield entry
        self._note_media("twilio", n_caller, caller_bytes)
        self._note_media("server", n_server, server_bytes)

    def _note_caller(self, at: float, chunk: int) -> None:
        self.caller_times.append(at)
        if chunk > self._expected > 0:
            self.caller_missing += chunk - self._expected
        self._expected = chunk + 1

    def _note_media(self, sender: Sender, number: int, size: int) -> None:
        if number:
            self.counts[sender]["media"] = number
            self.sizes[sender] = size


_NO_GAPS: Series[Gap] = Series.of((), "gaps")

_NO_MARKS: Series[LateMark] = Series.of((), "late marks")


@dataclass(frozen=True, slots=True, repr=False)
class CaptureSummary:
    """The figures of one call; `definitions` says how each was measured.

    Attributes:
        stream_sid: MZ and 32 hex digits.
        call_sid: CA and 32 hex digits.
        seconds: The time from the start to the last message.
        from_twilio: The number of messages from Twilio by event; marks that the kit sent to measure
            progress count as ``progress mark``.
        to_twilio: The number of messages to Twilio by event, likewise.
        caller_seconds: The duration of the sound that came from the caller.
        sent_seconds: The duration of the sound that was sent.
        heard_seconds: The duration of the sound that was played, by the playout model.
        playbacks: The pieces of sound, with their endings.
        marks: The marks with a name and their endings; ``open`` if the ending is not known yet.
        first_sent_ms: The time from the start message to the first sample sent that is not 0; None
            if there was none.
        first_sound_ms: The time from the start message until that sample was played, by the model.
        caller_gaps: The gaps of more than 0.1 s between two media messages of the caller.
        caller_missing: How many of these messages are missing, by their chunk numbers.
        sent_gaps: The gaps of more than 0.1 s between two media messages of yours.
        underruns: The times when Twilio had played all its sound, and more of the same utterance
            came later: within 1 s, and not after a clear, a playback with a name, or a mark after
            the whole of it.
        send_ahead_seconds: The sound that waited at Twilio: the median over the time in which any
            waited.
        deaf_seconds: The maximum of the sound that waited.  An interruption at that moment would
            have had no effect for this time without a clear.
        deaf_at: The time of that maximum, in seconds since the start.
        late_marks: The marks that came back more than 0.25 s after the last sound before them was
            played, by the model, or cleared.
        missing_marks: The marks that were not back 1 s after that.
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
    send_ahead_seconds: float = 0.0
    deaf_seconds: float = 0.0
    deaf_at: float = 0.0
    late_marks: Series[LateMark] = _NO_MARKS
    missing_marks: tuple[str, ...] = ()

    @property
    def definitions(self) -> Mapping[str, str]:
        """How each figure of `list_figures` was measured, by its name."""
        return DEFINITIONS

    def list_figures(self) -> Listing[Figure]:
        """Return the figures of the call's timing as text, each with its definition."""
        values = {
            "first sound": _describe_first_sound(self.first_sent_ms, self.first_sound_ms),
            "gaps from Twilio": _describe_gaps(self.caller_gaps, missing=self.caller_missing),
            "gaps in sending": _describe_gaps(self.sent_gaps),
            "underruns": _describe_gaps(self.underruns, in_all=True),
            "send-ahead": _describe_send_ahead(self.send_ahead_seconds, self.deaf_seconds),
            "deaf window": _describe_deaf_window(self.deaf_seconds, self.deaf_at),
            "late marks": _describe_late_marks(self.late_marks),
            "missing marks": _describe_missing_marks(self.missing_marks),
        }
        found = (Figure(name, value, DEFINITIONS[name]) for name, value in values.items())
        return Listing.of(found, "figures")

    def describe_counts(self) -> dict[str, str]:
        """Return the counts of messages, sound and marks as text, by topic."""
        came, went = _format_counts(self.from_twilio), _format_counts(self.to_twilio)
        return {
            "from Twilio": f"{came}; {self.caller_seconds:.2f} s of sound",
            "to Twilio": f"{went}; {self.sent_seconds:.2f} s of sound, "
            f"{self.heard_seconds:.2f} s heard",
            "marks": _describe_marks(self.marks),
        }

    def report(self) -> str:
        """Return the summary as text, with the definition of each figure below it."""
        lines = self._count_lines()
        for figure in self.list_figures():
            lines += [f"{figure.name}: {figure.value}", _indent_definition(figure.definition)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        figures = [f"{figure.name}: {figure.value}" for figure in self.list_figures()]
        return "\n".join(self._count_lines() + figures)

    def _count_lines(self) -> list[str]:
        heading = f"Stream {self.stream_sid or '(no name)'}, {self.seconds:.2f} s"
        return [heading, *(f"{name}: {value}" for name, value in self.describe_counts().items())]


class MarkEnding(NamedTuple):
    """How a mark with a name ended.

    Attributes:
        name: The user's name of the mark.
        ending: As in `MarkOutcome`, or ``open`` if the ending is not known yet.
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
        value: The value as text, with its unit.
        definition: What was measured.
    """

    name: str
    value: str
    definition: str

    def __repr__(self) -> str:
        return f"<Figure {self.name}: {self.value}>"


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without messages, or without sound to play.

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
    """A mark that came back later than the model expects.

    Attributes:
        name: The user's name of the mark.
        at: When it came back, in seconds since the start of the capture.
        late_ms: The delay.
    """

    name: str
    at: float
    late_ms: float

    def __repr__(self) -> str:
        return f"<LateMark {self.name!r} at {self.at:.2f} s: {self.late_ms:.0f} ms late>"


def _name_endings(replay: Replay) -> Iterator[MarkEnding]:
    for mark in replay.marks:
        if mark.name:
            yield MarkEnding(mark.name, replay.get_ending(mark))


def find_underruns(replay: Replay) -> Series[Gap]:
    """Return the gaps in which Twilio had no sound while more of the same utterance came later."""
    ends = _list_ends(replay)
    clears = np.asarray(sorted(replay.clears))
    found = []
    for before, behind in pairwise(replay.intervals):
        empty_at = before.started + before.size / BYTES_PER_SECOND
        pause = behind.started - empty_at
        if not LEAST_UNDERRUN_SECONDS <= pause <= PAUSE_SECONDS:
            continue
        if before.first + before.size != behind.first or behind.first in ends:
            continue  # the rest was cleared, or the utterance had ended
        place = int(np.searchsorted(clears, empty_at))
        if place == len(clears) or clears[place] > behind.started:
            found.append(Gap(empty_at, pause))
    underruns = Series(found)
    underruns.what = "underruns"
    return underruns


def _list_ends(replay: Replay) -> set[int]:
    """Return the positions at which a mark says that an utterance was complete.

    That is the mark of a named playback of this package.  Other servers send one after an utterance
    or after each piece of it: one that came back, whose name comes once, and with few within the
    same sound, stands after an utterance.
    """
    named = [mark for mark in replay.marks if not MarkName.parse(mark.wire_name).is_own]
    ends = {mark.position for mark in named if MarkName.parse(mark.wire_name).is_ours}
    times = Counter(mark.wire_name for mark in named)
    positions = sorted({mark.position for mark in named})
    began_at = sorted(interval.first for interval in replay.intervals)
    for mark in named:
        if mark.returned_at is None or mark.cleared or times[mark.wire_name] > 1:
            continue
        begin = began_at[max(0, bisect_left(began_at, mark.position) - 1)] if began_at else 0
        within = bisect_left(positions, mark.position) - bisect_right(positions, begin)
        if within <= FEW_MARKS:
            ends.add(mark.position)
    return ends


def measure_queue(replay: Replay) -> QueueFigures:
    """Return how much sound waited at Twilio."""
    if not replay.sent:
        return QueueFigures()
    levels = np.asarray(replay.levels)
    high = levels[:, 2] / BYTES_PER_SECOND
    low = np.append(levels[1:, 1], levels[-1, 1]) / BYTES_PER_SECOND
    most = int(np.argmax(high))
    return QueueFigures(_compute_median(low, high), float(high[most]), float(levels[most, 0]))


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How much sound waited at Twilio.

    Attributes:
        median_seconds: The median over the time in which any sound waited.
        most_seconds: The maximum.
        most_at: The time of the maximum, in seconds since the start of the capture.
    """

    median_seconds: float = 0.0
    most_seconds: float = 0.0
    most_at: float = 0.0


def _compute_median(low: np.ndarray, high: np.ndarray) -> float:
    """Return the median of a level that falls from each `high` to its `low`.

    It falls by a second per second, so the time spent between two levels is their difference.
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
    """Return the marks with a name that are overdue, in the order sent."""
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
    """Describe how the marks ended, by name if there are not too many names."""
    ended = Counter(f"{name} {ending}" for name, ending in marks)
    if len(ended) > MOST_ENDINGS:
        counts = Counter(ending for _, ending in marks)
        return ", ".join(f"{count} {ending}" for ending, count in counts.items())
    return ", ".join(f"{text} × {n}" if n > 1 else text for text, n in ended.items()) or "none"


def _find_first_sound(replay: Replay, start_at: float) -> tuple[float | None, float | None]:
    """Return the ms from the start until the first audible sample was sent, and until it was heard.

    Every sample but 0 is audible; None if there was none, or none was played.
    """
    audible = replay.sound.find_audible()
    if audible is None:
        return None, None
    ends = np.cumsum([size for _, size in replay.sent])
    sent_at = replay.sent[int(np.searchsorted(ends, audible, "right"))][0]
    heard_at = None
    for interval in replay.intervals:
        found = replay.sound.find_audible(interval.first, interval.first + interval.size)
        if found is not None:
            heard_at = interval.started + (found - interval.first) / BYTES_PER_SECOND
            break
    return (sent_at - start_at) * 1000, None if heard_at is None else (heard_at - start_at) * 1000


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
    """Describe when sound was first sent and heard."""
    if sent_ms is None:
        return "none was sent"
    if heard_ms is None:
        return f"sent {sent_ms:.0f} ms after the start, never heard"
    return f"heard {heard_ms:.0f} ms after the start, sent {sent_ms:.0f} ms after it"


def _describe_gaps(found: Sequence[Gap], *, missing: int = 0, in_all: bool = False) -> str:
    """Describe how many gaps there were, and the longest of them."""
    parts = []
    if found:
        longest = max(found, key=lambda gap: gap.seconds)
        total = f", {_format_seconds(sum(gap.seconds for gap in found))} in all" if in_all else ""
        number = f"{len(found)}{total}, the longest" if len(found) > 1 else "1,"
        parts.append(f"{number} {_format_seconds(longest.seconds)} at {longest.at:.2f} s")
    if missing:
        parts.append(f"{missing} message{'' if missing == 1 else 's'} missing")
    return "; ".join(parts) or "none"


def _describe_send_ahead(median_seconds: float, most_seconds: float) -> str:
    """Describe how far ahead sound was sent."""
    if not most_seconds:
        return "none"
    return (
        f"{_format_seconds(median_seconds)} in the median, {_format_seconds(most_seconds)} at most"
    )


def _describe_deaf_window(seconds: float, at: float) -> str:
    """Describe for how long an interruption would have had no effect."""
    return f"{_format_seconds(seconds)}, at {at:.2f} s" if seconds else "none"


def _describe_late_marks(marks: Sequence[LateMark]) -> str:
    """Describe which marks were late, and by how much."""
    return _list_names([f"{mark.name} by {_format_seconds(mark.late_ms / 1000)}" for mark in marks])


def _describe_missing_marks(names: Sequence[str]) -> str:
    """Describe which marks never came back."""
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
