"""The figures of a conversation: what each is, its values, and how exact they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NoReturn

from twistream_kit.diagnosis._turn_meter import DEAD_AIR_MS, FALSE_BARGE_IN_MS, UNANSWERED_MS
from twistream_kit.diagnosis.speech import PAUSE_MS
from twistream_kit.errors import WrongState, WrongType, build_unknown_name, quote

LEAST_FOR_PERCENTILES = 20
"""With fewer values, a percentile would be the greatest value or chance."""

DEFINITIONS: Mapping[str, str] = {
    "response_ms": (
        "from the end of the last audible frame of the caller to the beginning of the first audible"
        " frame of the server that comes after it; below 0 if the server began before the caller"
        f" had ended, infinite if it was silent for {UNANSWERED_MS / 1000:g} s or longer until the"
        " caller spoke again or the call ended"
    ),
    "barge_in_ms": (
        "from the beginning of the first audible frame of the caller, while the server speaks, to"
        " the end of the server's last audible frame, whether it stopped or spoke to its end;"
        f" infinite if it spoke on for {UNANSWERED_MS / 1000:g} s or longer, until the call ended"
    ),
    "overlap_ms": "how long both were audible, for each turn of the server in which they were",
    "dead_air_ms": (
        f"silence of both of {DEAD_AIR_MS / 1000:g} s or longer that the server ends, or that"
        " follows the caller until the call ends"
    ),
    "false_barge_ins": (
        "how often the server was stopped by a sound that was not meant to interrupt: it fell"
        f" silent abruptly, or sent a clear, within {FALSE_BARGE_IN_MS / 1000:g} s after the sound"
        " began"
    ),
    "cleared": (
        "how often a clear ended a turn of the server while the caller did not speak: for a key,"
        " for noise on the line, or because the server had something else to say"
    ),
    "cut_off_ms": "sound of the server's last words that nobody heard, because it closed too early",
}
"""What each figure of `Turns` is; all are measured at the ear, in milliseconds."""

WITHOUT_VALUES: Mapping[str, str] = {
    "response_ms": "the caller said nothing that the server could have answered",
    "barge_in_ms": "the caller did not speak while the server spoke",
    "overlap_ms": "they did not speak at the same time",
    "dead_air_ms": "there was no such silence",
}
"""Why a figure has no values."""

FIXES: Mapping[str, str] = {
    "response_ms": "Let the caller say something, and wait for the answer",
    "barge_in_ms": "Let the caller interrupt the server while it speaks",
}

RUN_TOGETHER = (
    f"or not audibly so: it spoke on without a clear, and what follows within"
    f" {PAUSE_MS / 1000:g} s counts as the same turn"
)
"""What is said of an answer that is missing behind an interruption that did not stop the server."""

EXACT_UNCERTAINTY = (
    "each edge lies in a frame of 20 ms, so a time between two edges is right to ±20 ms on a quiet"
    " line if the speech is not below -30 dBFS; with steady noise 20 dB below the speech 99 of 100"
    " times are right to ±80 ms; with noise 10 dB below it half are right to ±20 ms, 1 of 100 is"
    " off by 140 to 600 ms, and 1 interruption of 10 is not found; with more noise, or other voices"
    " behind the speech, do not rely on them"
)
"""Measured in 1,000 conversations without noise and 100 with each: ``benchmarks/README.md``."""

ESTIMATE_UNCERTAINTY = (
    "estimated from your side of the call: response_ms and barge_in_ms lack the way from the"
    " caller's phone to you and back, 100 to 600 ms with the real service, so the caller waited"
    " longer by that; overlap_ms may be off by as much either way; dead_air_ms lacks it where the"
    " caller spoke last; the edges of the caller's speech are found by a detector, right"
    " to ±60 ms on a quiet line"
)


@dataclass(frozen=True, slots=True, repr=False)
class TurnFigure:
    """One figure of a conversation: its values in the order of the call, in milliseconds.

    Attributes:
        name: As in `DEFINITIONS`.
        values: The values; infinite for an answer or an end that never came.
        to_its_end: Of barge-in times, how many are those of a server that did not stop, but spoke
            to its end.
        reason: Why there are no values, if the call says so.
        fix: What to do to have some, likewise.
    """

    name: str
    values: tuple[float, ...] = ()
    to_its_end: int = 0
    reason: str = ""
    fix: str = ""

    if not TYPE_CHECKING:  # which finds a wrong name, and a comparison, by itself

        def __getattr__(self, name: str) -> NoReturn:
            __tracebackhide__ = True  # of pytest, which shows the line of the test instead
            raise build_no_attribute(self, name)

        def _refuse_to_compare(self, other: object) -> NoReturn:
            __tracebackhide__ = True
            raise WrongType(
                f"{self.name} has {say_number(len(self.values), 'value')}, and cannot be compared "
                f"with {quote(other)}; compare {self.name}.max, or from {LEAST_FOR_PERCENTILES} "
                f"values on {self.name}.p50 or .p95"
            )

        __lt__ = __le__ = __gt__ = __ge__ = _refuse_to_compare

    @property
    def definition(self) -> str:
        """What was measured."""
        return DEFINITIONS[self.name]

    @property
    def never(self) -> int:
        """How many of the values are infinite."""
        return sum(math.isinf(value) for value in self.values)

    @property
    def max(self) -> float:
        """The greatest value.

        Raises:
            WrongState: If there is none.
        """
        __tracebackhide__ = True  # of pytest, which shows the line of the test instead
        return max(self._require())

    @property
    def min(self) -> float:
        """The least value.

        Raises:
            WrongState: If there is none.
        """
        __tracebackhide__ = True
        return min(self._require())

    @property
    def total(self) -> float:
        """The sum of the values; 0 if there are none."""
        return sum(self.values)

    @property
    def p50(self) -> float:
        """The median.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        __tracebackhide__ = True
        return float(median(self._require_many("p50")))

    @property
    def p95(self) -> float:
        """The value that 95 % of the values do not exceed.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        __tracebackhide__ = True
        return self._find_percentile(95)

    @property
    def p99(self) -> float:
        """The value that 99 % of the values do not exceed.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        __tracebackhide__ = True
        return self._find_percentile(99)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; what is infinite is ``None``, counted in ``never``.

        Percentiles are there from 20 values on.
        """
        found: dict[str, Any] = {"values": [as_json(value) for value in self.values]}
        found["never"] = self.never
        found["max"] = as_json(self.max) if self.values else None
        if self.name == "barge_in_ms":
            found["to_its_end"] = self.to_its_end
        if not self.values:
            found["reason"] = self.reason or WITHOUT_VALUES[self.name]
        if len(self.values) >= LEAST_FOR_PERCENTILES:
            found |= {name: as_json(getattr(self, name)) for name in ("p50", "p95", "p99")}
        return found

    def describe(self) -> str:
        """Return the values in words: percentiles from 20 on, below that the greatest."""
        n = len(self.values)
        if not n:
            return f"none: {self.reason}" if self.reason else "none"
        if n == 1:
            return say_ms(self.max) + (", to its end" if self.to_its_end else "")
        ends = [value for value in self.values if math.isfinite(value)]
        parts = [f"at most {say_ms(max(ends))}"] if ends else []
        if n >= LEAST_FOR_PERCENTILES:
            parts.insert(0, f"median {say_ms(self.p50)}, 95 % within {say_ms(self.p95)}")
        if self.never:
            parts.append(f"{say_times(self.never)} never")
        if self.to_its_end:
            parts.append(f"{say_times(self.to_its_end)} to its end")
        return f"{', '.join(parts)} ({n} values)"

    def __repr__(self) -> str:
        return f"<TurnFigure {self.name}: {self.describe()}>"

    def _find_percentile(self, percent: int) -> float:
        __tracebackhide__ = True
        ordered = sorted(self._require_many(f"p{percent}"))
        return ordered[math.ceil(percent / 100 * len(ordered)) - 1]

    def _require_many(self, name: str) -> tuple[float, ...]:
        __tracebackhide__ = True
        values = self._require()
        if len(values) < LEAST_FOR_PERCENTILES:
            raise WrongState(
                f"{self.name}.{name} needs {LEAST_FOR_PERCENTILES} values, and there are "
                f"{len(values)}; ask for {self.name}.max, or measure more"
            )
        return values

    def _require(self) -> tuple[float, ...]:
        __tracebackhide__ = True
        if not self.values:
            raise WrongState(f"{self.name} has {self.explain()}")
        return self.values

    def explain(self) -> str:
        """Return why there are no values, and what to do."""
        reason = self.reason or WITHOUT_VALUES[self.name]
        fix = self.fix or FIXES.get(self.name, f"Ask for {self.name}.total, which is 0")
        return f"no values: {reason}. {fix}"


def say_ms(milliseconds: float) -> str:
    """Return a time in words."""
    if math.isinf(milliseconds):
        return "never"
    return f"{round(milliseconds)} ms"  # without a sign for 0


def build_no_attribute(thing: object, name: str) -> AttributeError:
    """Return the error for a name that a figure or the turns do not have, with the nearest."""
    names = [each for each in dir(type(thing)) if not each.startswith("_")]
    fix = "Ask for .p50, the median, or for .max" if name in _AVERAGES and "p50" in names else ""
    return build_unknown_name(f"a {type(thing).__name__} has no {name!r}", name, names, fix=fix)


_AVERAGES = ("mean", "average", "avg", "median")


def say_number(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def say_times(number: int) -> str:
    """Return how often something happened."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def as_json(milliseconds: float | None) -> float | None:
    """Return a time for JSON, which has no infinity."""
    if milliseconds is None or math.isinf(milliseconds):
        return None
    return round(milliseconds, 1)
