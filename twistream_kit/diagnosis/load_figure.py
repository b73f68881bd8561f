"""The times of many calls: what each is, its percentiles, and limits for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.turn_figures import (
    LEAST_FOR_PERCENTILES,
    as_json,
    say_ms,
    say_number,
    say_times,
)
from twistream_kit.errors import WrongState, WrongType, WrongValue, is_finite

TIMES: Mapping[str, str] = {
    "first_sound_ms": "from the start message to the first sound that the caller heard",
    "response_ms": (
        "from the end of the caller's speech to the beginning of the server's answer, as in"
        " report.turns"
    ),
    "barge_in_ms": (
        "from the beginning of the caller's interruption to the end of the server's sound, as in"
        " report.turns"
    ),
    "gap_ms": (
        "silence of up to 2 s within the server's sound, because what followed came too late: up to"
        " 200 ms of it always, and more where it cuts audible sound off, without a clear, a mark"
        " behind the whole or an act of the caller"
    ),
}
"""The times of a load report, and what each is."""

SHARES: Mapping[str, str] = {
    "late_percent": "the share of frames of the server's sound that were silent, because of gaps",
    "failed_percent": "the share of calls that failed: refused, broken off, or with an error",
}
"""Its shares, and what each is."""

NOT_SHOWN = "no call has shown such a time"
"""What is said of a limit of a time that was not measured."""

LEAST_WAIT = 0.05
"""A share that waited for a core for less of the time had it for itself."""

BELOW_ZERO = "the server began before the caller had ended"
"""What a response time below 0 means."""

DEFAULT_LIMITS: Mapping[str, float] = {"failed_percent": 0.0}
"""Without limits no call may fail."""


@dataclass(frozen=True, slots=True, repr=False)
class LoadFigure:
    """One kind of time of all calls.

    Attributes:
        name: As in `TIMES`.
        histogram: The times; infinite for what never came.
    """

    name: str
    histogram: Histogram

    @property
    def definition(self) -> str:
        """What was measured."""
        return TIMES[self.name]

    @property
    def max(self) -> float:
        """The greatest value.

        Raises:
            WrongState: If there is none.
        """
        self._require(1, "max")
        return self.histogram.max

    @property
    def p50(self) -> float:
        """The median, as all percentiles at most 1 % too high.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        return self._find(50)

    @property
    def p95(self) -> float:
        """The value that 95 % of the values do not exceed.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        return self._find(95)

    @property
    def p99(self) -> float:
        """The value that 99 % of the values do not exceed.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        return self._find(99)

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.histogram)

    @property
    def checked(self) -> tuple[str, float]:
        """What a limit is compared with, and its value: ``p95``; with few values ``max``."""
        if len(self) >= LEAST_FOR_PERCENTILES:
            return "p95", self.p95
        return "max", self.max

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; what is infinite is None and counted in never."""
        found: dict[str, Any] = {"values": len(self), "never": self.histogram.never}
        found["max"] = as_json(self.max) if len(self) else None
        if len(self) >= LEAST_FOR_PERCENTILES:
            found |= {name: as_json(getattr(self, name)) for name in ("p50", "p95", "p99")}
        found["bins"] = [
            [round(begin, 3), round(end, 3), n] for begin, end, n in self.histogram.list_bins()
        ]
        return found

    def describe(self) -> str:
        """Return the values in words: percentiles from 20 on, below that the greatest."""
        n = len(self)
        if not n:
            return "none"
        parts = []
        if n >= LEAST_FOR_PERCENTILES:
            parts.append(f"median {say_ms(self.p50)}, 95 % {_say_within(self.p95)}")
            parts.append(f"99 % {_say_within(self.p99)}")
        if len(self) > self.histogram.never:
            parts.append(f"at most {say_ms(self.histogram.longest)}")
        if self.histogram.never:
            parts.append(f"{say_times(self.histogram.never)} never")
        said = f"{', '.join(parts)} ({say_number(n, 'value')})"
        if below := self.histogram.below_zero:
            said += f"; {say_times(below)} below 0: {BELOW_ZERO}"
        return said

    def __repr__(self) -> str:
        return f"<LoadFigure {self.name}: {self.describe()}>"

    def _find(self, percent: int) -> float:
        self._require(LEAST_FOR_PERCENTILES, f"p{percent}")
        return self.histogram.find(percent / 100)

    def _require(self, least: int, name: str) -> None:
        if len(self) < least:
            raise WrongState(
                f"{self.name}.{name} needs {say_number(least, 'value')}, and there are "
                f"{len(self)}; ask for max, or make more calls"
                if len(self)
                else f"{self.name} has no values: no call has shown one"
            )


def _say_within(milliseconds: float) -> str:
    return "never" if math.isinf(milliseconds) else f"within {say_ms(milliseconds)}"


def check_limit(value: LoadFigure | float, limit: float) -> str:
    """Return what is wrong with a time or a share that has this limit, or empty."""
    if not isinstance(value, LoadFigure):
        return _compare(value, limit, "%")
    if not len(value):
        return "" if value.name == "gap_ms" else NOT_SHOWN
    what, checked = value.checked
    if math.isinf(checked):
        return f"{what} is never, and {say_plainly(limit)} ms is the limit"
    said = _compare(checked, limit, "ms")
    return f"{what} is {said}" if said else ""


def _compare(value: float, limit: float, unit: str) -> str:
    """Say that a value exceeds its limit, with as many decimals as that takes; else empty."""
    if value <= limit:
        return ""
    least = 0 if unit == "ms" or value == int(value) else 1
    rounded = (f"{value:.{decimals}f}" for decimals in range(least, 12))
    said = next((text for text in rounded if float(text) > limit), say_plainly(value))
    return f"{said} {unit}, and {say_plainly(limit)} {unit} is the limit"


def say_plainly(number: float) -> str:
    """Return a number as a person writes it: no exponent, and no zeros at its end."""
    said = format(Decimal(repr(float(number))), "f")
    return said.rstrip("0").rstrip(".") if "." in said else said


def say_percent(share: float, decimals: int = 1) -> str:
    """Return a share of 0 to 100 in words; only what is none or all is said to be 0 % or 100 %."""
    if share in (0, 100):
        return f"{share:.0f} %"
    rounded = (f"{share:.{digits}f}" for digits in range(decimals, 12))
    return f"{next((text for text in rounded if 0 < float(text) < 100), say_plainly(share))} %"


def check_limits(limits: Mapping[str, float] | None, also: Sequence[str] = ()) -> dict[str, float]:
    """Return the limits of a run, `DEFAULT_LIMITS` among them where nothing else is said.

    Args:
        limits: Those that were given.
        also: Names of further limits, which are returned as they are.

    Raises:
        TypeError, ValueError: If one has no such name, or is no number from 0 on.
    """
    if not isinstance(limits, Mapping | None):
        raise WrongType(f"limits is {limits!r}; give a dict such as {{'response_ms': 800}}")
    known = [*TIMES, *SHARES, *also]
    for name, limit in (limits or {}).items():
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            nearest = f"the nearest is {close[0]!r}; " if close else ""
            raise WrongValue(f"limits has {name!r}; {nearest}there are {', '.join(known)}")
        is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if not is_number or not is_finite(limit) or limit < 0:
            raise WrongValue(f"the limit {name} is {limit!r}; give a number from 0 on")
    return {**DEFAULT_LIMITS, **(limits or {})}


def describe_short(histogram: Histogram) -> str:
    """Return the median and the 99th percentile in words."""
    if not len(histogram):
        return "not measured"
    half, most = histogram.find(0.5), histogram.find(0.99)
    return f"{half:.1f} ms (median), {most:.1f} ms (99 %)"


def summarise(histogram: Histogram) -> dict[str, Any]:
    """Return percentiles as plain values for JSON."""
    if not len(histogram):
        return {"values": 0}
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: as_json(histogram.find(share)) for name, share in shares.items()}
    return {"values": len(histogram), **found, "max": as_json(histogram.max)}
