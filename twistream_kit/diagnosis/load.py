"""`LoadReport`: what many simulated calls at once have shown of a server, against limits.

Percentiles are those of merged histograms.  What makes a run invalid is what the callers' side has
done wrong: then its figures say nothing of the server.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.junit import build_junit
from twistream_kit.diagnosis.turn_figures import (
    LEAST_FOR_PERCENTILES,
    as_json,
    say_ms,
    say_number,
    say_times,
)
from twistream_kit.errors import Objection, WrongState, WrongType, WrongValue, is_finite
from twistream_kit.listing import Series

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

_DECIMALS = re.compile(r"\d+\.\d+(?= m?s\b)")

LEAST_WAIT = 0.05
"""A share that waited for a core for less of the time had it for itself."""

DEFAULT_LIMITS: Mapping[str, float] = {"failed_percent": 0.0}
"""Without limits no call may fail."""


@dataclass(frozen=True, slots=True)
class LoadCall:
    """One of the calls.

    Attributes:
        number: Its number, from 1.
        share: The number of the share that made it.
        begins: When it began, in seconds of the run.
        ends: When it ended.
        beside: How many calls of its share were under way when it began.
        ok: Whether it went well.
        failure: Why not, or empty.
        first_sound_ms: The time to the first sound; None if nothing was heard.
        response_ms: The response times; infinite where no answer came.
        barge_in_ms: The barge-in times; infinite where the server did not stop.
        gaps_ms: The gaps in the server's sound.
        heard_frames: How many frames of the server's sound were played.
        is_recorded: Whether it was recorded and its sound reviewed.
    """

    number: int
    share: int
    begins: float
    ends: float
    beside: int
    ok: bool
    failure: str = ""
    first_sound_ms: float | None = None
    response_ms: tuple[float, ...] = ()
    barge_in_ms: tuple[float, ...] = ()
    gaps_ms: tuple[float, ...] = ()
    heard_frames: int = 0
    is_recorded: bool = False

    def __repr__(self) -> str:
        first = "nothing heard" if self.first_sound_ms is None else say_ms(self.first_sound_ms)
        said = f"first sound {first}" if self.ok or self.first_sound_ms else ""
        parts = [f"{self.begins:.1f} to {self.ends:.1f} s", said, self.failure]
        return f"<LoadCall {self.number}: {', '.join(filter(None, parts))}>"


@dataclass(frozen=True, slots=True)
class LoadShare:
    """The part of a run that one process made.

    Attributes:
        number: Its number, from 1.
        host: The name of its machine.
        pid: The number of its process.
        calls: How many calls it made.
        late_seconds: How much later than agreed it began.
        busy: The share of a core that its process used while all calls were under way, 0 to 1 or
            more; of the server's work, too, if that runs in the same process.
        own_late_ms: How late its own frames were (99th percentile).
        machine_busy: The share of all cores of its machine that was used meanwhile; None without
            psutil, which the extra ``load`` brings.
        waited: The share of the time in which its calls had something to do and other programs had
            the core; None where the system (Linux) does not say it.
    """

    number: int
    host: str
    pid: int
    calls: int
    late_seconds: float
    busy: float
    own_late_ms: float
    machine_busy: float | None = None
    waited: float | None = None

    def __repr__(self) -> str:
        return (
            f"<LoadShare {self.number} on {self.host}, process {self.pid}: "
            f"{say_number(self.calls, 'call')}, {self.busy:.0%} of a core, own frames late by "
            f"{self.own_late_ms:.1f} ms (99 %)>"
        )


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
        return f"{', '.join(parts)} ({say_number(n, 'value')})"

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


@dataclass(frozen=True, slots=True, repr=False)
class LoadReport:
    """What many calls at once have shown.

    Attributes:
        url: The URL of the server.
        asked: How many calls were asked for.
        seconds: How long the run lasted.
        calls: The calls that were made, by number.
        shares: The processes that made them.
        limits: What the figures are held against, by name.
        invalid: What makes the figures unreliable; empty for a valid run.
        own_late_ms: How late the callers' own frames were.
        echo_idle_ms: How long this machine's loopback took there and back before the calls.
        echo_loaded_ms: The same during the calls: what of the times is the callers' own.
        is_interrupted: Whether the run was ended early.
        recorded: The report of each call that was recorded and reviewed, by its number.
        line: What the lines of the callers do, in words; empty if nothing.
        notes: What is good to know, and makes nothing unreliable: a share that could not have been
            stopped.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> report = kit.simulate_calls(server.url, 3, seconds=2, ramp_seconds=0.2).result(20)
        >>> len(report.calls), report.failed
        (3, 0)
    """

    url: str
    asked: int
    seconds: float
    calls: Series[LoadCall]
    shares: Series[LoadShare]
    limits: Mapping[str, float]
    invalid: Series[Objection]
    own_late_ms: Histogram = field(compare=False)
    echo_idle_ms: Histogram = field(compare=False)
    echo_loaded_ms: Histogram = field(compare=False)
    is_interrupted: bool = False
    recorded: Mapping[int, Any] = field(default_factory=dict, compare=False)
    line: str = ""
    notes: Series[Objection] = field(default_factory=lambda: Series[Objection].of((), "notes"))

    @property
    def first_sound_ms(self) -> LoadFigure:
        """The time to the first sound, for each call that heard one."""
        firsts = (each.first_sound_ms for each in self.calls)
        return self._make("first_sound_ms", [first for first in firsts if first is not None])

    @property
    def response_ms(self) -> LoadFigure:
        """The response times of all calls with a script."""
        return self._make("response_ms", [ms for each in self.calls for ms in each.response_ms])

    @property
    def barge_in_ms(self) -> LoadFigure:
        """The barge-in times of all calls with a script."""
        return self._make("barge_in_ms", [ms for each in self.calls for ms in each.barge_in_ms])

    @property
    def gap_ms(self) -> LoadFigure:
        """The gaps in the server's sound."""
        return self._make("gap_ms", [ms for each in self.calls for ms in each.gaps_ms])

    @property
    def figures(self) -> Series[LoadFigure]:
        """All times."""
        made = (self.first_sound_ms, self.response_ms, self.barge_in_ms, self.gap_ms)
        return Series.of(made, "figures")

    @property
    def failed(self) -> int:
        """How many calls failed."""
        return sum(not each.ok for each in self.calls)

    @property
    def failed_percent(self) -> float:
        """The share of calls that failed, 0 to 100."""
        return 100 * self.failed / max(1, len(self.calls))

    @property
    def late_percent(self) -> float:
        """The share of frames of the server's sound that gaps have made silent, 0 to 100."""
        silent = sum(ms for each in self.calls for ms in each.gaps_ms) / 20
        heard = sum(each.heard_frames for each in self.calls)
        return 100 * silent / max(1.0, silent + heard)

    @property
    def failures(self) -> Mapping[str, int]:
        """Why calls failed, and how many for each reason, the most frequent first.

        Times within a reason, which differ from call to call, are left out.
        """
        reasons = (_DECIMALS.sub("…", each.failure) for each in self.calls if not each.ok)
        return dict(Counter(reasons).most_common())

    @property
    def valid(self) -> bool:
        """Whether the callers' side did its part, so that the figures speak of the server."""
        return not self.invalid

    @property
    def ok(self) -> bool:
        """Whether the run is valid, and no limit was passed."""
        return self.valid and bool(self.calls) and not any(self.list_cases().values())

    @property
    def verdict(self) -> str:
        """Whether it is `ok`, in words."""
        if not self.calls:
            return "no call was made"
        if not self.valid:
            return "invalid: the figures say little of the server"
        broken = sum(map(bool, self.list_cases().values()))
        said = f"not ok: {say_number(broken, 'limit')} passed" if broken else "ok"
        return f"{said} (interrupted)" if self.is_interrupted else said

    def list_cases(self) -> dict[str, str]:
        """Return what is wrong with each limit, or empty, by its name."""
        return {name: self._check(name, limit) for name, limit in self.limits.items()}

    def _check(self, name: str, limit: float) -> str:
        if name in SHARES:
            value = float(getattr(self, name))
            return f"{value:.2g} %, and {limit:g} % is the limit" if value > limit else ""
        figure: LoadFigure = getattr(self, name)
        if not len(figure):
            return "" if name == "gap_ms" else "no call has shown such a time"
        what, value = figure.checked
        return f"{what} is {say_ms(value)}, and {limit:g} ms is the limit" if value > limit else ""

    def describe(self) -> dict[str, str]:
        """Describe the run in one sentence per topic, for its text and its display."""
        said = {"verdict": self.verdict}
        made = f"{len(self.calls)} of {self.asked}" if self.is_interrupted else str(self.asked)
        processes = say_number(len(self.shares), "process").replace("processs", "processes")
        said["calls"] = f"{made} to {self.url} in {self.seconds:.1f} s, from {processes}"
        if self.line:
            said["line"] = self.line
        said["failed"] = f"{self.failed} ({self.failed_percent:.1f} %)" if self.failed else "none"
        said |= {figure.name: figure.describe() for figure in self.figures if len(figure)}
        said["late"] = f"{self.late_percent:.2f} % of the frames of the server's sound"
        said["own frames"] = f"late by {_describe_short(self.own_late_ms)}"
        idle, loaded = _describe_short(self.echo_idle_ms), _describe_short(self.echo_loaded_ms)
        said["loopback"] = f"there and back, idle: {idle}; under the calls: {loaded}"
        busiest = max((each.busy for each in self.shares), default=0.0)
        said["callers' core"] = f"{busiest:.0%} used"
        machines = [each.machine_busy for each in self.shares if each.machine_busy is not None]
        if machines:
            said["callers' core"] += f", of the whole machine {max(machines):.0%}"
        waits = [each.waited for each in self.shares if each.waited is not None]
        if waits and max(waits) >= LEAST_WAIT:
            said["callers' core"] += f"; waited for it {max(waits):.0%} of the time"
        if self.recorded:
            numbers = ", ".join(map(str, self.recorded))
            said["recorded"] = f"call {numbers}: report.recorded[number], --save-recorded DIR"
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return all but the recorded calls' sound as plain values, ready for JSON."""
        return {
            "url": self.url,
            "ok": self.ok,
            "valid": self.valid,
            "verdict": self.verdict,
            "is_interrupted": self.is_interrupted,
            "asked": self.asked,
            "seconds": round(self.seconds, 2),
            "line": self.line,
            "limits": dict(self.limits),
            "cases": self.list_cases(),
            "invalid": [each.to_dict() | {"text": str(each)} for each in self.invalid],
            "notes": [each.to_dict() | {"text": str(each)} for each in self.notes],
            "failed": self.failed,
            "failed_percent": round(self.failed_percent, 3),
            "late_percent": round(self.late_percent, 3),
            "failures": dict(self.failures),
            **{figure.name: figure.to_dict() for figure in self.figures},
            "own_late_ms": _summarise(self.own_late_ms),
            "echo_idle_ms": _summarise(self.echo_idle_ms),
            "echo_loaded_ms": _summarise(self.echo_loaded_ms),
            "shares": [asdict(each) for each in self.shares],
            "calls": [_list_fields(each) for each in self.calls],
            "recorded": list(self.recorded),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_junit(self) -> str:
        """Return the limits as test cases of JUnit; the first one says whether the run is valid."""
        problem = "; ".join(str(each) for each in self.invalid)
        cases = {"valid": problem or ("" if self.calls else "no call was made")}
        cases |= self.list_cases()
        return build_junit("twistream load", cases, self.seconds, repr(self))

    def __repr__(self) -> str:
        lines = [f"{say_number(len(self.calls), 'call')} at once: {self.verdict}"]
        lines += [f"  invalid: {each}" for each in self.invalid]
        lines += [f"  note: {each}" for each in self.notes]
        lines += [f"  {name}: {failure}" for name, failure in self.list_cases().items() if failure]
        about = self.describe()
        del about["verdict"]
        width = max(map(len, about))
        lines += [f"  {name:<{width}}  {said}" for name, said in about.items()]
        failures = list(self.failures.items())
        lines += [f"  {times} × {why}" for why, times in failures[:5]]
        if len(failures) > 5:
            lines.append(f"  … and {len(failures) - 5} more reasons, in report.failures")
        return "\n".join(lines)

    def _make(self, name: str, values: Sequence[float]) -> LoadFigure:
        return LoadFigure(name, Histogram(values))


def check_limits(limits: Mapping[str, float] | None) -> dict[str, float]:
    """Return the limits of a run, `DEFAULT_LIMITS` among them where nothing else is said.

    Raises:
        TypeError, ValueError: If one has no such name, or is no number from 0 on.
    """
    if not isinstance(limits, Mapping | None):
        raise WrongType(f"limits is {limits!r}; give a dict such as {{'response_ms': 800}}")
    known = [*TIMES, *SHARES]
    for name, limit in (limits or {}).items():
        if name not in known:
            raise WrongValue(f"limits has {name!r}; there are {', '.join(known)}")
        is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if not is_number or not is_finite(limit) or limit < 0:
            raise WrongValue(f"the limit {name} is {limit!r}; give a number from 0 on")
    return {**DEFAULT_LIMITS, **(limits or {})}


def _describe_short(histogram: Histogram) -> str:
    if not len(histogram):
        return "not measured"
    half, most = histogram.find(0.5), histogram.find(0.99)
    return f"{half:.1f} ms (median), {most:.1f} ms (99 %)"


def _summarise(histogram: Histogram) -> dict[str, Any]:
    if not len(histogram):
        return {"values": 0}
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: as_json(histogram.find(share)) for name, share in shares.items()}
    return {"values": len(histogram), **found, "max": as_json(histogram.max)}


def _list_fields(call: LoadCall) -> dict[str, Any]:
    found = asdict(call)
    for name in ("response_ms", "barge_in_ms", "gaps_ms"):
        found[name] = [as_json(ms) for ms in found[name]]
    for name in ("begins", "ends", "first_sound_ms"):
        found[name] = None if found[name] is None else round(found[name], 3)
    return found
