"""Reads the events of one call and their times from a capture, for `call` to draw."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.replay import Replay, render_caller
from twistream_kit.capture.summary import Gap, find_missing_marks, find_underruns, measure_queue
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND

if TYPE_CHECKING:
    from twistream_kit.capture.entry import Entry
    from twistream_kit.capture.replay import SentMark
    from twistream_kit.protocol.marks import Ending

EARLY_SHARE, EARLY_SECONDS = 0.5, 1.0
"""How far before the stream the picture begins, in lengths of the stream or in seconds, whichever
is more: if a call waited for an hour, its audio must not be squeezed into a corner."""

LATE_SHARE, LATE_SECONDS = 0.15, 0.5
"""The same for status reports that came after the end of the stream."""


def read_timeline(
    entries: Sequence[Entry],
    endings: Mapping[str, Ending] | None = None,
    statuses: Sequence[tuple[float, str]] = (),
) -> Timeline:
    """Replay a call through the playout model that also measures live calls."""
    replay = Replay(entries, endings)
    timeline = Timeline(render_caller(entries), replay.render_heard(), seconds=replay.seconds)
    timeline.sent = [(at, size / BYTES_PER_SECOND) for at, size in replay.sent]
    timeline.buffered = _find_corners(replay)
    timeline.underruns = find_underruns(replay)
    waiting = measure_queue(replay)
    if waiting.most_seconds:
        timeline.deaf = (waiting.most_at, waiting.most_at + waiting.most_seconds)
    timeline.marks = [mark for mark in replay.marks if mark.name]
    timeline.mark_ends = _find_mark_ends(replay)
    timeline.progress = [
        mark.returned_at for mark in replay.marks if not mark.name and mark.returned_at
    ]
    timeline.clears = replay.clears
    timeline.silences = _find_silences(replay)
    timeline.keys = [
        (entry.at, entry.message.digit)
        for entry in entries
        if isinstance(entry.message, from_twilio.Dtmf)
    ]
    timeline.reports = [_place_report(at, name, timeline.seconds) for at, name in statuses]
    timeline.begins = min([0.0, *(report.at for report in timeline.reports)])
    timeline.ends = max([timeline.seconds, *(report.at for report in timeline.reports)])
    return timeline


def _place_report(at: float, name: str, seconds: float) -> Report:
    earliest = -max(EARLY_SHARE * seconds, EARLY_SECONDS)
    latest = seconds + max(LATE_SHARE * seconds, LATE_SECONDS)
    if at < earliest:
        return Report(earliest, name, f"‹ {name} {_format_duration(-at)} before")
    if at > latest:
        return Report(latest, name, f"{name} {_format_duration(at - seconds)} later ›")
    return Report(at, name, name)


def _format_duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _find_corners(replay: Replay) -> list[tuple[float, float]]:
    """Return the corners of the buffer level at Twilio, with the moments at which it ran empty."""
    corners: list[tuple[float, float]] = []
    waiting = 0
    for at, before, behind, empty_at in replay.levels:
        if waiting and not before and empty_at < at:
            corners.append((empty_at, 0.0))
        corners.append((at, before / BYTES_PER_SECOND))
        if behind != before:
            corners.append((at, behind / BYTES_PER_SECOND))
        waiting = behind
    return corners


def _find_mark_ends(replay: Replay) -> list[MarkEnd]:
    ends = []
    lost = {id(mark) for mark in find_missing_marks(replay)}
    for mark in replay.marks:
        if mark.name and mark.returned_at is not None:
            cleared = replay.get_ending(mark) == "cleared"
            ends.append(MarkEnd(mark.returned_at, mark.name, "cleared" if cleared else "heard"))
        elif id(mark) in lost:
            ends.append(MarkEnd(mark.expected_at or mark.sent_at, mark.name, "missing"))
    return ends


def _find_silences(replay: Replay) -> list[tuple[float, float]]:
    """Return the interval from each clear to the next audio, or to the end.

    It is empty for a clear that found nothing to discard: what is silent then was so before.
    """
    begins = [interval.started for interval in replay.intervals]
    effective = {at for at, before, behind, _ in replay.levels if before and not behind}
    silences = []
    for clear in replay.clears:
        if clear not in effective:
            silences.append((clear, clear))
            continue
        place = bisect_left(begins, clear)
        silences.append((clear, begins[place] if place < len(begins) else replay.seconds))
    return silences


@dataclass(slots=True)
class Timeline:
    """The events of one call; all times are in seconds since the stream began.

    Attributes:
        caller: What the caller said.
        heard: What the caller heard.
        sent: The time and the duration of each piece of sound sent, in seconds.
        buffered: The corners of the buffer level at Twilio: time, and seconds of sound.
        underruns: The times when Twilio ran out of sound in the middle of a playback.
        deaf: The begin and the end of the longest time during which an interruption by the caller
            would have had no effect; None if nothing was ever buffered.
        marks: The marks that have a name, in the order sent.
        mark_ends: How and when they ended, in the order sent.
        progress: When the marks that only measure progress came back.
        clears: When each clear was sent.
        silences: The begin and the end of the silence after each clear; both are the same where
            nothing waited.
        keys: The time and the digit of each key that the caller pressed.
        reports: The status reports of Twilio about the call, in the order of time.
        seconds: The duration of the stream.
        begins: Where the picture begins: at 0, or earlier if there is an earlier report.
        ends: Where the picture ends: at `seconds`, or later if there is a later report.
    """

    caller: Clip
    heard: Clip
    sent: list[tuple[float, float]] = field(default_factory=list)
    buffered: list[tuple[float, float]] = field(default_factory=list)
    underruns: tuple[Gap, ...] = ()
    deaf: tuple[float, float] | None = None
    marks: list[SentMark] = field(default_factory=list)
    mark_ends: list[MarkEnd] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)
    keys: list[tuple[float, str]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0
    begins: float = 0.0
    ends: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """A status report of Twilio about the call.

    Attributes:
        at: Its position in the picture, in seconds since the stream began.
        name: The status, as Twilio spells it.
        text: The label: the status, with its time if that lies outside the picture.
    """

    at: float
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class MarkEnd:
    """The end of a mark.

    Attributes:
        at: When it came back, or should have, in seconds since the stream began.
        name: As the user gave it.
        ending: ``missing`` if it never came back.
    """

    at: float
    name: str
    ending: Literal["heard", "cleared", "missing"]
