"""What happened on one call and when, read from a capture and ready to be drawn."""

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
is more: a call that waited for an hour must not squash what was said on it."""

LATE_SHARE, LATE_SECONDS = 0.15, 0.5
"""The same for what was reported behind the end."""


def read_timeline(
    entries: Sequence[Entry],
    endings: Mapping[str, Ending] | None = None,
    statuses: Sequence[tuple[float, str]] = (),
) -> Timeline:
    """Follow a call through the same playout model that measures it live."""
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
    """Return the line of what waits at Twilio, with the moments at which it ran empty."""
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
            cleared = replay.ending_of(mark) == "cleared"
            ends.append(MarkEnd(mark.returned_at, mark.name, "cleared" if cleared else "heard"))
        elif id(mark) in lost:
            ends.append(MarkEnd(mark.expected_at or mark.sent_at, mark.name, "missing"))
    return ends


def _find_silences(replay: Replay) -> list[tuple[float, float]]:
    """From each clear to the next sound, or to the end."""
    begins = [interval.started for interval in replay.intervals]
    silences = []
    for clear in replay.clears:
        place = bisect_left(begins, clear)
        silences.append((clear, begins[place] if place < len(begins) else replay.seconds))
    return silences


@dataclass(slots=True)
class Timeline:
    """All times in seconds since the stream began.

    Attributes:
        caller: What the caller said.
        heard: What the caller heard.
        sent: For each piece of sound sent, its time and its duration in seconds.
        buffered: Corners of the line of what waits at Twilio: time and seconds of sound.
        underruns: When Twilio ran out of sound in the middle of something.
        deaf: From when to when the caller would have interrupted in vain, at most; None if nothing
            ever waited.
        marks: The marks that have a name, in the order sent.
        mark_ends: How and when they ended, in the order sent.
        progress: When marks that only measure progress came back.
        clears: When a clear was sent.
        silences: For each clear, from when to when nothing was heard after it.
        keys: The caller's keys and their times.
        reports: What Twilio reported of the call, in the order of time.
        seconds: The whole.
        begins: Where the picture begins: 0, or before it if something was reported earlier.
        ends: Where it ends: at `seconds`, or behind it if something was reported later.
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
    """What Twilio reported of the call.

    Attributes:
        at: Where it stands in the picture, in seconds since the stream began.
        name: Twilio's word.
        text: The same, with the time if it lies beyond the picture.
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
