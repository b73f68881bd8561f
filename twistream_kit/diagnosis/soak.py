"""`SoakReport`: what waves of calls over minutes or hours have shown of a server and its process.

Times are those of merged histograms; a wave in which the callers' side was late is said, and its
times are left out.  Whether memory, descriptors and threads grow is decided in `growth`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from twistream_kit.diagnosis.growth import KINDS, Growth, UsageReading, count_warm_up
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.junit import build_junit
from twistream_kit.diagnosis.load import LoadCall, list_fields
from twistream_kit.diagnosis.load_figure import (
    SHARES,
    TIMES,
    LoadFigure,
    check_limit,
    describe_short,
    say_percent,
    summarise,
)
from twistream_kit.diagnosis.turn_figures import say_number, say_times
from twistream_kit.errors import Objection
from twistream_kit.listing import Series

GROWTH_LIMITS = tuple(kind.limit for kind in KINDS.values())
"""The names of the limits of growth."""

LEAST_VALID = 0.5
"""With a smaller share of valid waves, the times are those of too few."""

MOST_FAILED_CALLS = 100
"""So many of the calls that failed are kept, the first of them."""


@dataclass(frozen=True, slots=True)
class SoakWave:
    """Calls that began together, and the rest after them.

    Attributes:
        number: Its number, from 1.
        begins: When it began, in seconds of the run.
        ends: When its last call, and the last fault beside it, had ended.
        calls: How many calls were made.
        failed: How many of them failed.
        invalid: What makes its times unreliable, in words; empty for a valid wave.
        faults: The faults that were tried beside its calls.
    """

    number: int
    begins: float
    ends: float
    calls: int
    failed: int
    invalid: str = ""
    faults: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the callers' side did its part."""
        return not self.invalid

    def __repr__(self) -> str:
        failed = f"{self.failed} failed" if self.failed else "none failed"
        parts = [f"{self.begins:.0f} to {self.ends:.0f} s", say_number(self.calls, "call"), failed]
        if self.faults:
            parts.append(f"beside {', '.join(self.faults)}")
        if self.invalid:
            parts.append(f"invalid: {self.invalid}")
        return f"<SoakWave {self.number}: {', '.join(parts)}>"


@dataclass(frozen=True, slots=True)
class SoakFault:
    """One kind of fault, as often as it was tried beside the calls.

    Attributes:
        name: Its name, as in `inject_faults`.
        tried: How often it was tried.
        red: How often the server did not survive it.
        skipped: How often it could not be tried, besides.
        seen: What was seen the first time that the server did not survive it; else why it was not
            tried the last time; or empty.
        repair: What to change in a server that does not survive it.
        source: Where it is known from that this happens.
        beside: How many calls beside it failed while it was tried, or within a second after.
    """

    name: str
    tried: int
    red: int
    skipped: int
    seen: str
    repair: str
    source: str
    beside: int = 0

    @property
    def ok(self) -> bool:
        """Whether the server survived it each time, the calls beside it left aside."""
        return not self.red

    def describe(self) -> str:
        """Return what came of it, in words."""
        if not self.tried:
            said = f"not tried: {self.seen}" if self.seen else "not tried"
        elif not self.red:
            said = f"survived {say_times(self.tried)}"
        else:
            said = f"not survived {say_times(self.red)} of {self.tried}. "
            said += f"The first time: {self.seen}"
        return f"{said}; {self.describe_beside()}" if self.beside else said

    def describe_beside(self) -> str:
        """Return how many calls failed beside it, in words."""
        calls = say_number(self.beside, "call")
        return f"{calls} beside it failed, in it or within a second after: by it, as a guess"

    def __repr__(self) -> str:
        return f"<SoakFault {self.name}: {self.describe()}>"


@dataclass(frozen=True, slots=True, repr=False)
class SoakReport:
    """What a server has done over a long time.

    Attributes:
        url: The address of the server.
        minutes: How long the run was to last.
        seconds: How long it lasted.
        at_once: How many calls were made at once.
        call_seconds: The length of each.
        waves: The waves of calls, in order.
        times: The times of all calls of valid waves, merged, by the names of the figures.
        late_frames: How many frames of the server's sound were silent because of gaps.
        heard_frames: How many were played.
        failures: Why calls failed, and how many for each reason, the most frequent first.
        failed_calls: The first 100 of the calls that failed, with numbers that go on from wave to
            wave.
        limits: What the figures and the growth are held against, by name.
        growth: Whether memory, descriptors and threads grow; empty without a process.
        readings: What the process used at rest, before the first wave and after each.
        samples: What it used meanwhile, every few seconds.
        process: The process, in words; empty without one.
        faults: The faults beside the calls.
        fault_scale: What the times that they lasted were multiplied with.
        notes: What is good to know: that the process may be another one, that a share of the calls
            could not have been stopped.
        ended: Why the run ended before its time, or empty.
        is_interrupted: Whether the user ended it.
        own_late_ms: How late the callers' own frames were in valid waves.
        echo_idle_ms: How long this machine's loopback took before the calls of the waves.
        echo_loaded_ms: The same during the calls.
        recorded: The report of each call that was recorded and reviewed and is kept, by its number:
            those of the first wave, of the last one, and of the last in which such a call failed.
        line: What the lines of the callers do, in words; empty if nothing.
        replaced: How many child processes of the process ended and were replaced by others.
        first_replaced: When the first of them ended, in words; or empty.
        is_replaced_wrongly: Whether calls failed in such a wave, or faults were tried beside the
            calls.  Otherwise it is a note: a server may replace its workers now and then.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.1))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> soak = kit.run_soak(
        ...     server.url, 0.01, 2, seconds=1, ramp_seconds=0, rest_seconds=0.1
        ... )
        >>> report = soak.result(30)
        >>> report.calls, report.failed, len(report.waves)
        (2, 0, 1)
    """

    url: str
    minutes: float
    seconds: float
    at_once: int
    call_seconds: float
    waves: Series[SoakWave]
    times: Mapping[str, Histogram] = field(compare=False)
    late_frames: float
    heard_frames: int
    failures: Mapping[str, int]
    failed_calls: Series[LoadCall]
    limits: Mapping[str, float]
    growth: Series[Growth]
    readings: Series[UsageReading]
    samples: Series[UsageReading]
    process: str
    faults: Series[SoakFault]
    fault_scale: float
    notes: Series[Objection]
    ended: str
    is_interrupted: bool
    own_late_ms: Histogram = field(compare=False)
    echo_idle_ms: Histogram = field(compare=False)
    echo_loaded_ms: Histogram = field(compare=False)
    recorded: Mapping[int, Any] = field(default_factory=dict, compare=False)
    line: str = ""
    replaced: int = 0
    first_replaced: str = ""
    is_replaced_wrongly: bool = False

    @property
    def calls(self) -> int:
        """How many calls were made."""
        return sum(wave.calls for wave in self.waves)

    @property
    def failed(self) -> int:
        """How many calls failed, those of invalid waves included."""
        return sum(wave.failed for wave in self.waves)

    @property
    def failed_percent(self) -> float:
        """The share of calls that failed, 0 to 100."""
        return 100 * self.failed / max(1, self.calls)

    @property
    def late_percent(self) -> float:
        """The share of frames of the server's sound that gaps have made silent, 0 to 100."""
        return 100 * self.late_frames / max(1.0, self.late_frames + self.heard_frames)

    @property
    def first_sound_ms(self) -> LoadFigure:
        """The time to the first sound, for each call that heard one."""
        return self._make("first_sound_ms")

    @property
    def response_ms(self) -> LoadFigure:
        """The response times of all calls with a script."""
        return self._make("response_ms")

    @property
    def barge_in_ms(self) -> LoadFigure:
        """The barge-in times of all calls with a script."""
        return self._make("barge_in_ms")

    @property
    def gap_ms(self) -> LoadFigure:
        """The gaps in the server's sound."""
        return self._make("gap_ms")

    @property
    def figures(self) -> Series[LoadFigure]:
        """All times."""
        return Series.of(map(self._make, TIMES), "figures")

    @property
    def invalid(self) -> Series[SoakWave]:
        """The waves in which the callers' side did not do its part."""
        return Series.of((wave for wave in self.waves if not wave.valid), "waves")

    @property
    def valid(self) -> bool:
        """Whether at least half of the waves are valid, so that the times speak of the server."""
        return len(self.invalid) <= (1 - LEAST_VALID) * len(self.waves)

    @property
    def warm_up_seconds(self) -> float:
        """How much of the beginning was left out where growth is concerned."""
        left = self.readings[count_warm_up(self.readings) :]
        return left[0].at if left else self.seconds

    @property
    def ok(self) -> bool:
        """Whether the run is valid and went on to its end, and nothing is wrong."""
        return self.calls > 0 and not any(self.list_cases().values())

    @property
    def verdict(self) -> str:
        """Whether it is `ok`, in words."""
        if self.ended:
            return f"not ok: {self.ended}"
        if not self.calls:
            return "no call was made"
        cases = self.list_cases()
        left_out = ("valid", "ran to its end")
        wrong = [name for name, problem in cases.items() if problem and name not in left_out]
        said = f"not ok: {', '.join(wrong)}" if wrong else "ok" if self.valid else ""
        if not self.valid:
            said += f"{'; ' if said else ''}invalid: the times say little of the server"
        elif not wrong:
            for verdict in ("too short to tell", "cannot tell"):
                if names := [each.name for each in self.growth if each.verdict == verdict]:
                    said += f", but {verdict} of {', '.join(names)}"
        if not self.is_interrupted:
            return said
        said = (
            said.replace("ok", "nothing wrong until then", 1) if self.valid and not wrong else said
        )
        return f"ended early, after {self._describe_spent()}: {said}"

    def list_cases(self) -> dict[str, str]:
        """Return what is wrong with each thing that is held against a limit, or empty, by name."""
        cases = {"ran to its end": self.ended or self._describe_early()}
        cases["valid"] = "" if self.valid else self._describe_invalid()
        for name, limit in self.limits.items():
            if name in (*TIMES, *SHARES):
                cases[name] = check_limit(getattr(self, name), limit)
        # Without a limit, what the run was too short to tell is nothing that was kept.
        cases |= {
            KINDS[each.name].limit: each.problem
            for each in self.growth
            if each.limit is not None or not each.is_open
        }
        if self.replaced:
            cases["child processes"] = self.describe_replaced() if self.is_replaced_wrongly else ""
        for fault in self.faults:
            if fault.tried or fault.beside:
                # Where the limit allows calls that fail, they are only said.
                is_wrong = not fault.ok or (fault.beside and cases.get("failed_percent"))
                repair = f" Repair: {fault.repair}"
                cases[fault.name] = f"{fault.describe()}{repair}" if is_wrong else ""
        return cases

    def list_open(self) -> dict[str, str]:
        """Return what the run does not say, without a limit, in words, by the names of limits."""
        return {
            KINDS[each.name].limit: each.describe()
            for each in self.growth
            if each.limit is None and each.is_open
        }

    def _describe_spent(self) -> str:
        return f"{self.seconds / 60:.1f} of {self.minutes:g} minutes"

    def _describe_early(self) -> str:
        if not self.is_interrupted:
            return ""
        return f"the run was ended early, after {self._describe_spent()}"

    def describe_replaced(self) -> str:
        """Return how many child processes ended and were replaced, and when the first, in words."""
        some = "1 child process ended and was" if self.replaced == 1 else ""
        some = some or f"{self.replaced} child processes ended and were"
        return f"{some} replaced, the first {self.first_replaced}"

    def describe(self, *, in_shell: bool = False) -> dict[str, str]:
        """Describe the run in one sentence per topic, for its text and its display.

        Args:
            in_shell: Whether it is read where there is no Python to ask for more.
        """
        said = {"verdict": self.verdict}
        waves = say_number(len(self.waves), "wave")
        said["calls"] = (
            f"{self.calls} to {self.url} in {waves} of {self.at_once}, {self.call_seconds:g} s "
            f"each; {self._describe_spent()}"
        )
        if self.line:
            said["line"] = self.line
        share = say_percent(self.failed_percent)
        said["failed"] = f"{self.failed} ({share})" if self.failed else "none"
        if self.invalid and self.valid:
            said["invalid waves"] = self._describe_invalid()
        said |= {figure.name: figure.describe() for figure in self.figures if len(figure)}
        missing = "not measured" if self._has_valid_wave else "left out: no wave is valid"
        late = f"{say_percent(self.late_percent, 2)} of the frames of the server's sound"
        said["late"] = late if self.heard_frames or self.late_frames else missing
        said["process"] = self.process or "not measured: no process was given (pid=, --pid)"
        said |= {each.name: each.describe() for each in self.growth}
        if self.readings:
            said["read at rest"] = (
                f"{say_number(len(self.readings), 'time')}; of the slopes the first "
                f"{self.warm_up_seconds / 60:.1f} minutes are left out, intervals are of 95 %"
            )
        if self.replaced:
            said["child processes"] = self.describe_replaced()
        if self.faults:
            said["faults"] = self._describe_faults()
        own, idle, loaded = map(
            describe_short, (self.own_late_ms, self.echo_idle_ms, self.echo_loaded_ms)
        )
        said["own frames"] = f"late by {own}" if len(self.own_late_ms) else missing
        loopback = f"there and back, idle: {idle}; under the calls: {loaded}"
        said["loopback"] = loopback if len(self.echo_loaded_ms) else missing
        if self.recorded:
            numbers = ", ".join(map(str, self.recorded))
            where = "--save-recorded DIR" if in_shell else "report.recorded[number]"
            said["recorded"] = f"kept of call {numbers}: {where}"
        return said

    @property
    def _has_valid_wave(self) -> bool:
        return len(self.invalid) < len(self.waves)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the recorded calls' sound as plain values, ready for JSON."""
        return {
            "url": self.url,
            "ok": self.ok,
            "valid": self.valid,
            "verdict": self.verdict,
            "ended": self.ended,
            "is_interrupted": self.is_interrupted,
            "minutes": self.minutes,
            "seconds": round(self.seconds, 2),
            "at_once": self.at_once,
            "call_seconds": self.call_seconds,
            "line": self.line,
            "limits": dict(self.limits),
            "cases": self.list_cases(),
            "calls": self.calls,
            "failed": self.failed,
            "failed_percent": round(self.failed_percent, 3),
            "late_percent": round(self.late_percent, 3),
            "failures": dict(self.failures),
            "failed_calls": [list_fields(each) for each in self.failed_calls],
            **{figure.name: figure.to_dict() for figure in self.figures},
            "process": self.process,
            "notes": [each.to_dict() | {"text": str(each)} for each in self.notes],
            "warm_up_seconds": round(self.warm_up_seconds, 2),
            "growth": [each.to_dict() for each in self.growth],
            "readings": [_list_usage(each) for each in self.readings],
            "samples": [_list_usage(each) for each in self.samples],
            "faults": [asdict(each) | {"ok": each.ok} for each in self.faults],
            "fault_scale": self.fault_scale,
            "replaced": self.replaced,
            "first_replaced": self.first_replaced,
            "own_late_ms": summarise(self.own_late_ms),
            "echo_idle_ms": summarise(self.echo_idle_ms),
            "echo_loaded_ms": summarise(self.echo_loaded_ms),
            "waves": [asdict(each) for each in self.waves],
            "recorded": list(self.recorded),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_junit(self) -> str:
        """Return the report as XML of JUnit: a test case for each limit, growth and fault."""
        cases = self.list_cases()
        if not self.calls and not self.ended:
            cases["ran to its end"] = "no call was made"
        skipped = {each.name: each.seen for each in self.faults if each.name not in cases}
        skipped |= self.list_open()
        if self.is_interrupted and self.calls and not self.ended:
            # As in the report of a load: nothing passes that was not run to its end.
            early = self._describe_early()
            cases["ran to its end"] = ""
            skipped |= {name: early for name, problem in cases.items() if not problem}
        return build_junit(
            "twistream load",
            {name: problem for name, problem in cases.items() if name not in skipped},
            self.seconds,
            repr(self),
            skipped,
            {KINDS[each.name].limit: each.describe() for each in self.growth},
        )

    def __repr__(self) -> str:
        return self.to_text()

    def to_text(self, *, in_shell: bool = False) -> str:
        """Return the report as text, as ``print`` shows it.

        Args:
            in_shell: Whether it is read where there is no Python: what to ask for is an option.
        """
        lines = [f"{self.seconds / 60:.1f} minutes of calls: {self.verdict}"]
        lines += [f"  note: {each}" for each in self.notes]
        lines += [f"  {name}: {problem}" for name, problem in self.list_cases().items() if problem]
        about = self.describe(in_shell=in_shell)
        del about["verdict"]
        width = max(map(len, about))
        lines += [f"  {name:<{width}}  {said}" for name, said in about.items()]
        lines += [f"  {times} × {why}" for why, times in list(self.failures.items())[:5]]
        return "\n".join(lines)

    def _describe_invalid(self) -> str:
        first = self.invalid[0]
        return (
            f"{len(self.invalid)} of {len(self.waves)}, whose times are left out; the first, "
            f"{first.number}: {first.invalid}"
        )

    def _describe_faults(self) -> str:
        tried = sum(each.tried for each in self.faults)
        red = sum(each.red for each in self.faults)
        kinds = sum(each.tried > 0 for each in self.faults)
        said = f"{tried} beside the calls, of {say_number(kinds, 'kind')}: "
        said += f"{red} not survived" if red else "all survived"
        if self.replaced:
            said += ", but child processes ended"
        if not tried:
            said = "none could be tried to its end"
        if beside := [f"{each.name} ({each.beside})" for each in self.faults if each.beside]:
            said += f"; calls that failed beside them, by them as a guess: {', '.join(beside)}"
        if left := [each.name for each in self.faults if not each.tried]:
            said += f"; not tried: {', '.join(left)}"
        return f"{said}; their times multiplied with {self.fault_scale:.2g}"

    def _make(self, name: str) -> LoadFigure:
        return LoadFigure(name, self.times[name])


def _list_usage(reading: UsageReading) -> dict[str, Any]:
    found = asdict(reading)
    return found | {"at": round(reading.at, 2), "memory": round(reading.memory, 3)}
