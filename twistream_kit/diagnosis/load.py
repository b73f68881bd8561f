"""`LoadReport`: what many simulated calls at once have shown of a server, against limits.

Percentiles are those of merged histograms.  What makes a run invalid is what the callers' side has
done wrong: then its figures say nothing of the server.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from twistream_kit.diagnosis.failure_reasons import FailureReason, group_reasons
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.junit import build_junit
from twistream_kit.diagnosis.load_figure import (
    LEAST_WAIT,
    SHARES,
    TIMES,
    LoadFigure,
    check_limit,
    describe_short,
    say_percent,
    summarise,
)
from twistream_kit.diagnosis.turn_figures import as_json, say_ms, say_number
from twistream_kit.errors import Objection
from twistream_kit.listing import Series

_WIDTH = 100
"""The width of the sentences below a reason."""

NO_SOUND = "no call has heard any sound of the server"
"""What is said of a limit of gaps where there was nothing that could have had one."""

MOST_REASONS = 5
"""Of more reasons for which calls failed, a text has the most frequent, unless it has all."""


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
        repair: What follows from the failure, and what to do; empty where that is not known.
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
    repair: str = ""

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
            f"{say_number(self.calls, 'call')}, {self.describe_work()}>"
        )

    def describe_work(self) -> str:
        """Return how busy its process was, and how late with its own frames, as far as known."""
        parts = [f"{100 * self.busy:.0f} % of a core"] if self.busy else []
        if self.own_late_ms:
            parts.append(f"own frames late by {self.own_late_ms:.1f} ms (99 %)")
        return ", ".join(parts) or "nothing was measured of it"


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
    def reasons(self) -> Series[FailureReason]:
        """Why calls failed, each with what to do and the calls, the most frequent first.

        What differs from call to call within a reason, such as times and SIDs, makes no other one.
        """
        failed = ((each.number, each.failure, each.repair) for each in self.calls if not each.ok)
        return Series.of(group_reasons(failed), "reasons")

    @property
    def failures(self) -> Mapping[str, int]:
        """The reasons, and how many calls failed for each."""
        return {each.reason: each.times for each in self.reasons}

    @property
    def valid(self) -> bool:
        """Whether the callers' side did its part, so that the figures speak of the server."""
        return not self.invalid

    @property
    def ok(self) -> bool:
        """Whether the run is valid and complete, and every limit was measured and not exceeded."""
        is_whole = self.valid and bool(self.calls) and not self.is_interrupted
        return is_whole and not any(self.list_cases().values())

    @property
    def has_sound(self) -> bool:
        """Whether any call has heard something of the server."""
        return any(each.heard_frames or each.first_sound_ms is not None for each in self.calls)

    @property
    def verdict(self) -> str:
        """Whether it is `ok`, in words."""
        if not self.calls:
            return "no call was made"
        early = f"ended early, after {self.describe_made()}" if self.is_interrupted else ""
        if not self.valid:
            said = "invalid: the figures say little of the server"
            return f"{said}; {early}" if early else said
        wrong = self.describe_limits()
        said = wrong or "no limit exceeded"
        if early:
            return f"{early}: {said}"
        return f"not ok: {said}" if wrong else "ok"

    def describe_limits(self) -> str:
        """Return how many limits were exceeded or not measured, in words; empty for none."""
        wrong = [name for name, failure in self.list_cases().items() if failure]
        missing = sum(not self.is_measured(name) for name in wrong)
        exceeded = len(wrong) - missing
        parts = [f"{say_number(exceeded, 'limit')} exceeded"] if exceeded else []
        if missing:
            noun = "" if exceeded else " limit" if missing == 1 else " limits"
            parts.append(f"{missing}{noun} not measured")
        return ", ".join(parts)

    def describe_made(self) -> str:
        """Return how many calls were made, of how many, in words."""
        made = len(self.calls)
        if made == self.asked:
            return say_number(made, "call")
        return f"{made} of {say_number(self.asked, 'call')}"

    def is_measured(self, name: str) -> bool:
        """Return whether the calls have shown anything of what has this name among the limits.

        Without gaps there is nothing late, but without sound nothing is known of either.
        """
        if name in ("gap_ms", "late_percent"):
            return self.has_sound
        return bool(self.calls) if name in SHARES else bool(len(getattr(self, name)))

    def list_cases(self) -> dict[str, str]:
        """Return what is wrong with each limit, or empty, by its name."""
        return {
            name: check_limit(getattr(self, name), limit)
            if self.is_measured(name) or name not in ("gap_ms", "late_percent")
            else NO_SOUND
            for name, limit in self.limits.items()
        }

    def describe(self, *, in_shell: bool = False) -> dict[str, str]:
        """Describe the run in one sentence per topic, for its text and its display.

        Args:
            in_shell: Whether it is read where there is no Python to ask for more.
        """
        said = {"verdict": self.verdict}
        made = f"{len(self.calls)} of {self.asked}" if self.is_interrupted else str(self.asked)
        processes = say_number(len(self.shares), "process").replace("processs", "processes")
        said["calls"] = f"{made} to {self.url} in {self.seconds:.1f} s, from {processes}"
        if self.line:
            said["line"] = self.line
        share = say_percent(self.failed_percent)
        said["failed"] = f"{self.failed} ({share})" if self.failed else "none"
        said |= {figure.name: figure.describe() for figure in self.figures if len(figure)}
        late = f"{say_percent(self.late_percent, 2)} of the frames of the server's sound"
        said["late"] = late if self.has_sound else f"not measured: {NO_SOUND}"
        if len(self.own_late_ms):
            said["own frames"] = f"late by {describe_short(self.own_late_ms)}"
        idle, loaded = describe_short(self.echo_idle_ms), describe_short(self.echo_loaded_ms)
        said["loopback"] = f"there and back, idle: {idle}; under the calls: {loaded}"
        if core := self._describe_core():
            said["callers' core"] = core
        if self.recorded:
            said["recorded"] = f"call {', '.join(map(str, self.recorded))}"
            said["recorded"] += ": --save-recorded DIR" if in_shell else ": report.recorded[number]"
        return said

    def _describe_core(self) -> str:
        """Return how busy the callers' processes and machines were, as far as it was measured."""
        parts = []
        if busiest := max((each.busy for each in self.shares), default=0.0):
            parts.append(f"{100 * busiest:.0f} % used")
        machines = [each.machine_busy for each in self.shares if each.machine_busy is not None]
        if machines:
            parts.append(f"of the whole machine {100 * max(machines):.0f} %")
        waits = [each.waited for each in self.shares if each.waited is not None]
        waited = ""
        if waits and max(waits) >= LEAST_WAIT:
            waited = f"waited for {'it' if parts else 'one'} {100 * max(waits):.0f} % of the time"
        return "; ".join(filter(None, (", ".join(parts), waited)))

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
            "reasons": [each.to_dict() for each in self.reasons],
            **{figure.name: figure.to_dict() for figure in self.figures},
            "own_late_ms": summarise(self.own_late_ms),
            "echo_idle_ms": summarise(self.echo_idle_ms),
            "echo_loaded_ms": summarise(self.echo_loaded_ms),
            "shares": [asdict(each) for each in self.shares],
            "calls": [list_fields(each) for each in self.calls],
            "recorded": list(self.recorded),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_junit(self) -> str:
        """Return the limits as test cases of JUnit; the first one says whether the run is valid.

        Nothing passes that was not measured: with a run that was ended early, or is invalid, limits
        that were not exceeded are skipped.
        """
        problem = "; ".join(str(each) for each in self.invalid)
        cases = {"valid": problem or ("" if self.calls else "no call was made")} | self.list_cases()
        early = f"the run was ended early, after {self.describe_made()}"
        skipped: dict[str, str] = {}
        for name, failure in cases.items():
            is_missing = name != "valid" and not self.is_measured(name)
            if self.is_interrupted and (not failure or is_missing):
                skipped[name] = early
            elif not failure and not self.valid:
                skipped[name] = "not exceeded, but the run is invalid"
            elif not failure and not len(self.own_late_ms):
                skipped[name] = "no call was connected, so nothing of this was measured"
        about = self.describe()
        values = {figure.name: figure.describe() for figure in self.figures if len(figure)}
        values |= {"failed_percent": about["failed"], "late_percent": about["late"]}
        definitions = {name: text for name, text in {**TIMES, **SHARES}.items() if name in cases}
        return build_junit(
            "twistream load",
            {name: failure for name, failure in cases.items() if name not in skipped},
            self.seconds,
            self.to_text(verbose=True),
            skipped,
            values,
            details=definitions | {"failed_percent": "\n".join(map(repr, self.reasons))},
        )

    def to_text(self, *, verbose: bool = False, in_shell: bool = False) -> str:
        """Return the report as text, as ``print`` shows it.

        Args:
            verbose: Whether to list every reason for which calls failed, not the most frequent.
            in_shell: Whether it is read where there is no Python: what to ask for is an option.
        """
        lines = [f"{say_number(len(self.calls), 'call')} at once: {self.verdict}"]
        lines += [f"  invalid: {each}" for each in self.invalid]
        lines += [f"  note: {each}" for each in self.notes]
        lines += [f"  {name}: {failure}" for name, failure in self.list_cases().items() if failure]
        about = self.describe(in_shell=in_shell)
        del about["verdict"]
        width = max(map(len, about))
        lines += [f"  {name:<{width}}  {said}" for name, said in about.items()]
        reasons = self.reasons
        for each in reasons if verbose else reasons[:MOST_REASONS]:
            lines.append(f"  {each.times} × {each.reason}")
            lines += textwrap.wrap(
                each.repair, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        if len(reasons) > MOST_REASONS and not verbose:
            where = "--verbose" if in_shell else "report.reasons"
            more = say_number(len(reasons) - MOST_REASONS, "more reason")
            lines.append(f"  … and {more}: {where}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.to_text()

    def _make(self, name: str, values: Sequence[float]) -> LoadFigure:
        return LoadFigure(name, Histogram(values))


def list_fields(call: LoadCall) -> dict[str, Any]:
    """Return a call as plain values for JSON."""
    found = asdict(call)
    for name in ("response_ms", "barge_in_ms", "gaps_ms"):
        found[name] = [as_json(ms) for ms in found[name]]
    for name in ("begins", "ends", "first_sound_ms"):
        found[name] = None if found[name] is None else round(found[name], 3)
    return found
