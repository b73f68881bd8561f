"""`Growth`: whether memory, descriptors or threads of a process grow over a long run, and how fast.

What a process uses is read while no call is under way.  The first quarter of the readings is left
out: caches fill and allocators take what they will keep.  What grows for certain and goes on
growing is a leak; what rose once may be a cache, and what falls back is memory that a garbage
collector has not freed yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from twistream_kit.diagnosis.slope import (
    LEAST_READINGS,
    Slope,
    compute_slope,
    find_largest_fall,
    fit_slope,
    remove_largest_step,
)

WARM_UP_SHARE = 0.25
"""This share of the readings at rest is left out, at the beginning …"""

LEAST_WARM_UP = 2
"""… at least so many readings, the one before the first call among them …"""

MOST_WARM_UP_SECONDS = 900.0
"""… and not more than so long."""

_LASTING_SHARE = 0.25
"""What grows on does so later and without its largest step, by at least this share of the whole."""

_FALL_SHARE = 0.4
"""A fall by this share of the whole rise leaves open whether anything is left of it.

A collector's sawtooth of at least 0.4 times the run rises in the fitted part, three quarters of the
run, by at most 1.9 times what it falls.
"""

_LONGEST_FACTOR = 1000.0


@dataclass(frozen=True, slots=True)
class GrowthKind:
    """What may grow.

    Attributes:
        unit: Its unit; empty for a count.
        limit: The name of its limit.
        resolution: Changes up to this say nothing: allocators take memory in pieces of 1 MB or so,
            and a count changes by 1.
        negligible: Growth by less than this an hour is none, unless it is certain.
    """

    unit: str
    limit: str
    resolution: float
    negligible: float


KINDS: Mapping[str, GrowthKind] = {
    "memory": GrowthKind("MB", "memory_mb_per_hour", 1.0, 20.0),
    "descriptors": GrowthKind("", "descriptors_per_hour", 1.0, 20.0),
    "threads": GrowthKind("", "threads_per_hour", 1.0, 20.0),
}
"""What is read of a process, by its name."""

GrowthVerdict = Literal["grows", "does not grow", "too short to tell", "cannot tell"]


@dataclass(frozen=True, slots=True)
class UsageReading:
    """What the process of a server used at one time.

    Attributes:
        at: When, in seconds of the run.
        calls: How many calls had ended until then.
        under_way: How many calls were under way; 0 at rest.
        memory: Resident memory with that of its children, in MB (1,000,000 bytes).
        descriptors: Open files and sockets; on Windows, handles.
        threads: Threads.
        wave: The number of the wave under way, or of the last one; 0 before the first.
    """

    at: float
    calls: int
    under_way: int
    memory: float
    descriptors: float
    threads: float
    wave: int = 0

    def __repr__(self) -> str:
        return (
            f"<UsageReading at {self.at:.1f} s: {self.memory:.1f} MB, {self.descriptors:.0f} "
            f"descriptors, {self.threads:.0f} threads, {self.under_way} calls under way>"
        )


@dataclass(frozen=True, slots=True)
class Growth:
    """Whether something of a process grows.

    Attributes:
        name: What it is: ``memory``, ``descriptors`` or ``threads``.
        verdict: ``grows``, ``does not grow``, ``too short to tell``; or ``cannot tell``, where
            child processes were replaced, with which what they had kept is gone.
        per_hour: By how much an hour, with the interval of 95 %; memory in MB.  None if there were
            too few readings.
        per_1000_calls: The same for each 1,000 calls.
        before: Its value before the first call.
        first: The first reading after the warm-up.
        last: The last one.
        readings: How many readings at rest there were after the warm-up.
        minutes: The time between the first and the last of them.
        limit: The limit of its growth an hour; None if there is none.
        needed_minutes: How long the whole run would have to be, as a guess, if this one was too
            short; else None.
        why: Why it is too short, beside the interval; or empty.
    """

    name: str
    verdict: GrowthVerdict
    per_hour: Slope | None
    per_1000_calls: Slope | None
    before: float
    first: float
    last: float
    readings: int
    minutes: float
    limit: float | None = None
    needed_minutes: float | None = None
    why: str = ""

    @property
    def unit(self) -> str:
        """The unit of its values: MB, or empty for a count."""
        return KINDS[self.name].unit

    @property
    def threshold(self) -> float:
        """Growth by at most so much an hour is none: its limit, or what is negligible."""
        return KINDS[self.name].negligible if self.limit is None else self.limit

    @property
    def is_open(self) -> bool:
        """Whether the run does not say if it grows."""
        return self.verdict in ("too short to tell", "cannot tell")

    @property
    def problem(self) -> str:
        """What is wrong, in words, or empty: it grows for certain, or may be beyond its limit."""
        if self.limit is None:
            return f"it grows: {self.describe_slopes()}" if self.verdict == "grows" else ""
        unit = f" {self.unit}" if self.unit else ""
        about = f"{self.limit:g}{unit} an hour is the limit"
        if self.per_hour is None:
            return f"{self.describe_need()}, and {about}"
        if self.per_hour.high <= self.limit and self.verdict != "cannot tell":
            return ""
        if self.verdict == "grows" and self.per_hour.low > self.limit:
            return f"it grows: {self.describe_slopes()}, and {about}"
        return f"{self.describe_slopes()}, and {about}: {self.describe_need()}"

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem

    def describe_slopes(self) -> str:
        """Return by how much it grows, in words."""
        if self.per_hour is None:
            return f"{self.readings} readings give no slope"
        said = f"{say_slope(self.per_hour, self.unit)} an hour"
        if self.per_1000_calls is not None:
            said += f", {say_slope(self.per_1000_calls, self.unit)} for 1,000 calls"
        return said

    def describe_need(self) -> str:
        """Return that the run was too short, and how long it would have to be."""
        if self.verdict == "cannot tell":
            return f"cannot tell: {self.why}"
        said = f"the run is too short to tell{f', {self.why}' if self.why else ''}"
        if self.needed_minutes is None:
            return said
        return f"{said}; {say_minutes(self.needed_minutes)} may be enough"

    def describe_verdict(self) -> str:
        """Return the verdict, with what it means or why there is none."""
        if self.verdict != "does not grow":
            return self.describe_need() if self.is_open else str(self.verdict)
        unit = f" {self.unit}" if self.unit else ""
        return f"does not grow by more than {self.threshold:g}{unit} an hour"

    def describe(self) -> str:
        """Return everything in words."""
        unit = f" {self.unit}" if self.unit else ""
        said = self.describe_verdict()
        if self.per_hour is not None:
            said += f": {self.describe_slopes()}"
        return (
            f"{said}; {say_value(self.before)} before, {say_value(self.first)} warmed up, "
            f"{say_value(self.last)}{unit} at the end"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self) | {"unit": self.unit, "ok": self.ok, "problem": self.problem}

    def __repr__(self) -> str:
        return f"<Growth of {self.name}: {self.describe()}>"


def count_warm_up(readings: Sequence[UsageReading]) -> int:
    """Return how many of the readings at rest are left out, at the beginning."""
    if not readings:
        return 0
    began = readings[0].at
    short = sum(reading.at - began < MOST_WARM_UP_SECONDS for reading in readings)
    return max(LEAST_WARM_UP, min(math.ceil(WARM_UP_SHARE * len(readings)), short))


def find_growth(
    name: str, readings: Sequence[UsageReading], *, limit: float | None = None, replaced: int = 0
) -> Growth | None:
    """Say whether something of a process grows, from the readings while it rested.

    Args:
        name: What: one of `KINDS`.
        readings: All of them, the one before the first call included.
        limit: The limit of its growth an hour.
        replaced: How many child processes were replaced by others meanwhile.

    Returns:
        What was found; None without a reading.
    """
    if not readings:
        return None
    kind = KINDS[name]
    left = readings[count_warm_up(readings) :]
    hours = [reading.at / 3600 for reading in left]
    values = [float(getattr(reading, name)) for reading in left]
    window = hours[-1] - hours[0] if left else 0.0
    before = float(getattr(readings[0], name))
    exact = fit_slope(hours, values)
    slope = None if exact is None else exact.widen(kind.resolution / window)
    verdict: GrowthVerdict = "too short to tell"
    why = ""
    enough = kind.negligible if limit is None else limit
    if slope is not None and slope.low > 0:
        why = _find_fall(left, values, slope.value * window, kind) or _find_pause(
            hours, values, slope.value
        )
        verdict = "too short to tell" if why else "grows"
    elif slope is not None and slope.high <= enough:
        verdict = "does not grow"
    elif slope is not None and slope.value > 0:
        why = _find_fall(left, values, slope.value * window, kind)
    is_doubled = bool(why) and slope is not None and slope.low > 0
    if replaced and verdict != "grows":
        verdict, why = "cannot tell", "the child processes were replaced"
    needed = None
    if verdict == "too short to tell" or (
        limit is not None and slope is not None and slope.low <= limit < slope.high
    ):
        needed = _estimate_minutes(
            readings, window, exact, kind.resolution, enough, doubled=is_doubled
        )
    return Growth(
        name,
        verdict,
        slope,
        _fit_calls(left, values, kind.resolution),
        before,
        values[0] if values else before,
        values[-1] if values else float(getattr(readings[-1], name)),
        len(left),
        60 * window,
        limit,
        needed,
        why,
    )


def _fit_calls(
    left: Sequence[UsageReading], values: Sequence[float], resolution: float
) -> Slope | None:
    thousands = [reading.calls / 1000 for reading in left]
    slope = fit_slope(thousands, values)
    return None if slope is None else slope.widen(resolution / (thousands[-1] - thousands[0]))


def _find_fall(
    left: Sequence[UsageReading], values: Sequence[float], rise: float, kind: GrowthKind
) -> str:
    """Return that it fell by so much that nothing of its rise may last, or empty."""
    fall = find_largest_fall(values)
    if fall is None or fall.size < max(kind.resolution, _FALL_SHARE * rise):
        return ""
    reading = left[fall.place]
    when = f"in wave {reading.wave}" if reading.wave else f"{reading.at / 60:.1f} minutes on"
    unit = f" {kind.unit}" if kind.unit else ""
    return f"for it fell from {say_value(fall.before)} to {say_value(fall.after)}{unit} {when}"


def _find_pause(hours: Sequence[float], values: Sequence[float], slope: float) -> str:
    """Return why what has grown may not grow on, or empty."""
    middle, least = len(values) // 2, _LASTING_SHARE * slope
    times, later = hours[middle:], values[middle:]
    is_unsure = False
    if len(later) >= 2 * LEAST_READINGS:  # with fewer, an interval would hide most leaks
        of_later = fit_slope(times, later)
        is_unsure = of_later is not None and of_later.low <= 0
    if is_unsure or compute_slope(times, later) <= least:
        return "for it rose, and in the later half not for certain"
    if compute_slope(hours, remove_largest_step(values)) <= least:
        return "for it rose in one step"
    return ""


def _estimate_minutes(
    readings: Sequence[UsageReading],
    window: float,
    slope: Slope | None,
    resolution: float,
    enough: float,
    *,
    doubled: bool,
) -> float | None:
    """Return how many minutes in all would tell, if the readings go on as they were.

    The interval of a slope shrinks with the power 1.5 of the time.
    """
    spent = (readings[-1].at - readings[0].at) / 60
    if slope is None:
        wanted = math.ceil(LEAST_READINGS / (1 - WARM_UP_SHARE)) + 1
        each = spent / max(1, len(readings) - 1)
        return wanted * each if spent else None
    if doubled:
        return 2 * spent
    difference = max(slope.value, enough - slope.value)
    factor = 1.1
    while factor < _LONGEST_FACTOR:
        if slope.half_width / factor**1.5 + resolution / (window * factor) < difference:
            return spent * factor
        factor *= 1.1
    return None


def say_value(value: float) -> str:
    """Return a value with as many figures as matter."""
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.1f}"


def say_slope(slope: Slope, unit: str) -> str:
    """Return a slope and its interval in words."""
    low, value, high = (_sign(each) for each in (slope.low, slope.value, slope.high))
    return f"{value}{f' {unit}' if unit else ''} ({low} to {high})"


def say_minutes(minutes: float) -> str:
    """Return a time in minutes or hours, rounded up."""
    if minutes < 90:
        return "1 minute" if minutes <= 1 else f"{math.ceil(minutes)} minutes"
    return f"{math.ceil(minutes / 60)} hours"


def _sign(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1
    said = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return "0" if not said.strip("+\N{MINUS SIGN}0.") else said
