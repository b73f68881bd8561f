"""When things happened on a call: the first sound, gaps, underruns, what waited, late marks.

All of it is read from a `Replay`, so by the playout model: with the real service the caller's ear
is 50 to 300 ms behind (PROTOCOL.md §4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from twistream_kit.capture.entry import Entry
from twistream_kit.capture.replay import Replay, SentMark
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.outbox import is_own_mark, spoken_name
from twistream_kit.protocol.playout import BYTES_PER_SECOND

GAP_SECONDS = 0.1
"""Media comes every 20 ms (§3); a pause of five messages is worth a word (our choice)."""

LEAST_UNDERRUN_SECONDS = 0.0005
"""Below it lies what clocks and rounding do."""

PAUSE_SECONDS = 1.0
"""A silence longer than this is a pause between two things said (our choice)."""

LATE_MARK_SECONDS = 0.25
"""A mark takes the network's time, and a busy reader's; more is worth a word (our choice)."""

MISSING_MARK_SECONDS = 1.0
"""A mark that is not back so long after it should be is missing; a later one is not expected."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nothing came, or nothing was there to be played.

    Attributes:
        at: When it began, in seconds since the start of the capture.
        seconds: How long it lasted.
    """

    at: float
    seconds: float


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


@dataclass(frozen=True, slots=True)
class Queued:
    """How much sound waited at Twilio.

    Attributes:
        median_seconds: The median over all the time in which something waited.
        most_seconds: The most there ever was.
        most_at: When that was, in seconds since the start of the capture.
    """

    median_seconds: float = 0.0
    most_seconds: float = 0.0
    most_at: float = 0.0


def first_sound(replay: Replay, start_at: float) -> tuple[float | None, float | None]:
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


def caller_gaps(entries: Sequence[Entry], seconds: float) -> tuple[tuple[Gap, ...], int]:
    """Return the gaps in the caller's media, and how many messages are missing by their numbers."""
    times, missing, expected = [], 0, 0
    for entry in entries:
        message = entry.message
        if type(message) is from_twilio.Media and message.track == "inbound":
            times.append(entry.at)
            if message.chunk > expected > 0:
                missing += message.chunk - expected
            expected = message.chunk + 1
    return gaps([*times, seconds] if times else times), missing


def gaps(times: Sequence[float]) -> tuple[Gap, ...]:
    """Return the pauses of more than `GAP_SECONDS` between times, in order."""
    if len(times) < 2:
        return ()
    pauses = np.diff(np.asarray(times))
    places = np.flatnonzero(pauses > GAP_SECONDS).tolist()
    return tuple(Gap(times[place], float(pauses[place])) for place in places)


def underruns(replay: Replay) -> tuple[Gap, ...]:
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
    return tuple(found)


def _ends_an_utterance(mark: SentMark) -> bool:
    """Whether a playback of this package ends there that was given a name.

    Other servers put a mark behind each piece of the same sentence.
    """
    return not is_own_mark(mark.wire_name) and spoken_name(mark.wire_name) != mark.wire_name


def queued(replay: Replay) -> Queued:
    """Return how much sound waited at Twilio."""
    if not replay.sent:
        return Queued()
    levels = np.asarray(replay.levels)
    high = levels[:, 2] / BYTES_PER_SECOND
    low = np.append(levels[1:, 1], levels[-1, 1]) / BYTES_PER_SECOND
    most = int(np.argmax(high))
    return Queued(_median(low, high), float(high[most]), float(levels[most, 0]))


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


def late_marks(replay: Replay) -> tuple[LateMark, ...]:
    """Return the marks with a name that came back too late, in the order sent."""
    found = []
    for mark in replay.marks:
        if mark.name and mark.returned_at is not None and mark.expected_at is not None:
            late = mark.returned_at - mark.expected_at
            if late > LATE_MARK_SECONDS:
                found.append(LateMark(mark.name, mark.returned_at, late * 1000))
    return tuple(found)


def missing(replay: Replay) -> list[SentMark]:
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
