"""Calls over a long time: waves, rests, faults beside them, and the process that is read."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

import twistream_kit as kit
from simulator.test_load import Server, running
from support import leaky_servers
from support.faulty_servers import SoundServer
from support.waiting import eventually, soon, until
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadCall, LoadReport
from twistream_kit.errors import Objection, TwistreamError
from twistream_kit.listing import Series
from twistream_kit.pending import Subject, fail, fulfil
from twistream_kit.simulator import _load_share, _process_usage, _soak_run
from twistream_kit.simulator._fault_rows import FAULTS
from twistream_kit.simulator._load_run import LoadRun
from twistream_kit.simulator._load_share import Watch
from twistream_kit.simulator._load_validity import SERVER_ELSEWHERE
from twistream_kit.simulator._process_usage import ProcessUsage, ProcessWatch
from twistream_kit.simulator._soak_children import ChildWatch
from twistream_kit.simulator._soak_faults import FaultsBeside, TriedFault, _order_endlessly
from twistream_kit.simulator._soak_run import SoakPlan, SoakProgress, SoakRun, run_waves
from twistream_kit.simulator._soak_tally import MOST_REASONS, OTHER_REASONS, FaultTally, SoakTally
from twistream_kit.simulator.fault_report import FaultRow
from twistream_kit.simulator.faults import FAULT_NAMES
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.soak import _Numbered, _Wave, run_soak

QUICK: dict[str, Any] = {"seconds": 0.2, "ramp_seconds": 0, "rest_seconds": 0.1}


async def test_waves_follow_one_another_and_are_merged(monkeypatch) -> None:
    monkeypatch.setattr(_load_share, "IDLE_SECONDS", 0.01)
    async with running(Server()) as server:
        run = run_soak(
            server.url, 60, 2, **QUICK, parameters=lambda number: {"customer": str(number)}
        )
        await eventually(lambda: run._progress.waves >= 2)  # type: ignore[attr-defined]
        run.stop()
        report = await soon(run)
    assert report.failed == 0, report
    assert report.calls >= 4
    # The numbers of the calls go on from wave to wave.
    customers = [start["start"]["customParameters"]["customer"] for start in server.starts]
    assert sorted(map(int, customers)) == list(range(1, len(customers) + 1))
    assert len({start["streamSid"] for start in server.starts}) == len(customers)
    assert 2 in report.recorded
    assert all(one.ends <= other.begins for one, other in pairwise(report.waves))
    valid = [wave.calls for wave in report.waves if wave.valid]
    assert len(report.first_sound_ms) <= sum(valid)
    assert not report.readings
    assert not report.growth


class MadeUpProcess:
    """Reads usage that was made up, in place of a process; the last one again and again."""

    pid = 4711
    title = "python"

    def __init__(self, *usages: ProcessUsage | None) -> None:
        self.usages = [*usages]

    def has_ended(self) -> bool:
        return self.usages[0] is None

    def read(self) -> ProcessUsage | None:
        return self.usages.pop(0) if len(self.usages) > 1 else self.usages[0]


USUAL = ProcessUsage(50_000_000, 12, 3)


def make_run(report: LoadReport | None = None, *, begun: int = 1) -> LoadRun:
    """Return a wave that has ended with this report, or goes on until it is stopped."""
    watch = Watch()
    watch.begun = begun
    run = LoadRun(Subject("a wave", "LoadReport"), watch, 1, progress=False)
    if report is not None:
        fulfil(run, report)
    else:
        run.stop = lambda: fulfil(run, make_wave(make_call(1)))  # type: ignore[method-assign]
    return run


def make_plan(
    *waves: LoadRun | Exception, process: MadeUpProcess | None = None, **others: Any
) -> SoakPlan:
    """Return the plan of a soak with these waves, of which there are no more."""
    left = iter(waves)

    def make_one(offset: int) -> LoadRun:
        wave = next(left, None) or TwistreamError("there is no more")
        if isinstance(wave, Exception):
            raise wave
        return wave

    values: dict[str, Any] = {
        "url": "ws://x", "minutes": 60.0, "calls": 1, "call_seconds": 1.0, "ramp_seconds": 0.0,
        "rest_seconds": 0.0, "make_wave": make_one, "limits": {"failed_percent": 0.0},
        "usage": process, "notes": (), "faults": None,
    }  # fmt: skip
    return SoakPlan(**{**values, **others})


def begin_soak(plan: SoakPlan, before: ProcessUsage | None = None) -> SoakRun:
    """Begin one on a thread."""
    progress = SoakProgress()
    pending = SoakRun(Subject("a soak", "SoakReport"), progress, plan, shows=True)
    first = plan.make_wave(0)
    threading.Thread(target=run_waves, args=(pending, plan, progress, before, first)).start()
    return pending


GOOD = ("", "", "")


def make_ended(failures: Sequence[str]) -> list[LoadRun]:
    return [make_run(make_wave(make_call(1, failure))) for failure in failures]


def test_the_process_is_read_before_the_first_wave_and_after_each() -> None:
    plan = make_plan(*make_ended(GOOD), process=MadeUpProcess(USUAL))
    report = begin_soak(plan, USUAL).result(20)
    assert len(report.waves) == 3
    assert [each.calls for each in report.readings] == [0, 1, 2, 3]
    assert {each.under_way for each in report.readings} == {0}
    assert report.readings[0].memory == 50
    assert report.process == "4711 (python)"
    assert [each.verdict for each in report.growth] == ["too short to tell"] * 3


def test_notes_come_first_and_a_line_for_each_wave(capsys) -> None:
    notes = (Objection(None, "process 4711", "is made up"),)
    run = begin_soak(make_plan(make_run(), process=MadeUpProcess(USUAL), notes=notes), USUAL)
    with pytest.raises(kit.NoResultYet):
        run.result(0.01)
    threading.Timer(0.05, run.stop).start()
    run.result(20)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "process 4711 is made up."
    assert "made up" not in last
    assert "of 60 minutes: wave 1, 1 call, none failed" in last


def test_a_wave_that_cannot_begin_ends_the_run_in_words() -> None:
    report = begin_soak(make_plan(*make_ended(GOOD))).result(20)
    assert report.ended == "no further wave could begin: there is no more."
    assert (report.ok, report.calls) == (False, 3)


def test_a_wave_that_breaks_ends_the_run_and_the_first_one_fails_it() -> None:
    broken = make_run(None)
    fail(broken, TwistreamError("a worker has gone"))
    report = begin_soak(make_plan(*make_ended(GOOD), broken)).result(20)
    assert report.ended == "wave 4 failed: a worker has gone."
    with pytest.raises(TwistreamError, match="a worker has gone"):
        begin_soak(make_plan(broken)).result(20)


def test_of_each_rest_the_least_values_count() -> None:
    low, high = ProcessUsage(40_000_000, 14, 3), ProcessUsage(50_000_000, 12, 5)
    process = MadeUpProcess(low, high, USUAL)
    plan = make_plan(*make_ended(GOOD[:1]), process=process, rest_seconds=0.3)
    [reading] = begin_soak(plan).result(20).readings
    assert (reading.memory, reading.descriptors, reading.threads) == (40, 12, 3)


def test_it_is_read_under_the_calls_too(monkeypatch) -> None:
    monkeypatch.setattr(_soak_run, "LEAST_SAMPLE_SECONDS", 0.0)
    plan = make_plan(make_run(begun=3), process=MadeUpProcess(USUAL), minutes=0.0)
    run = begin_soak(plan)
    until(lambda: run._progress.usage is not None)
    run.stop()
    assert {each.under_way for each in run.result(20).samples} == {3}


def test_a_process_that_ends_ends_the_run(monkeypatch) -> None:
    monkeypatch.setattr(_soak_run, "LEAST_SAMPLE_SECONDS", 0.0)
    plan = make_plan(make_run(), process=MadeUpProcess(USUAL, None), minutes=0.0)
    report = begin_soak(plan, USUAL).result(20)
    assert not report.ok
    assert "the process of the server, 4711, has ended or cannot be read" in report.verdict
    assert (report.calls, report.is_interrupted, len(report.readings)) == (1, False, 1)


def test_a_process_that_ends_at_rest_ends_the_run() -> None:
    report = begin_soak(make_plan(*make_ended(GOOD), process=MadeUpProcess(None))).result(20)
    assert report.ended.endswith("0 s after the beginning, at rest after wave 1")
    assert not report.readings


@pytest.mark.parametrize("missing", ["memory", "descriptors", "threads"])
def test_a_process_of_which_something_cannot_be_read_is_refused(monkeypatch, missing) -> None:
    used = replace(USUAL, **{missing: None})
    monkeypatch.setattr(ProcessWatch, "read", lambda _: used)
    with pytest.raises(kit.SettingsError, match=r"cannot be read whole .* unreadable"):
        run_soak("ws://127.0.0.1:9/media", 1, pid=os.getpid())


def test_what_cannot_be_read_meanwhile_is_left_out() -> None:
    unread = replace(USUAL, memory=None)
    plan = make_plan(*make_ended(GOOD), process=MadeUpProcess(USUAL, unread, USUAL))
    report = begin_soak(plan, USUAL).result(20)
    assert [each.wave for each in report.readings] == [0, 1, 3]


def test_a_result_that_is_not_there_says_how_long_was_waited() -> None:
    run = begin_soak(make_plan(make_run()))
    with pytest.raises(kit.NoResultYet, match=r"no result within 0\.01 s"):
        run.result(0.01)
    run.stop()
    run.result(20)


ONE, OTHER, THIRD = ((number, float(number)) for number in (1, 2, 3))


def test_children_that_are_replaced_are_counted_and_those_of_single_calls_are_not() -> None:
    children = ChildWatch()

    def see(*seen: tuple[int, float], wave: int, is_at_rest: bool = False) -> int:
        children.add(frozenset(seen), wave, lambda: f"in {wave}", is_at_rest=is_at_rest)
        return children.replaced

    assert see(ONE, wave=0, is_at_rest=True) == 0
    assert see(ONE, (7, 7.0), wave=1) == 0  # of a call
    assert see(ONE, (8, 8.0), wave=1) == 0
    assert see(ONE, wave=1, is_at_rest=True) == 0
    assert see(wave=2) == 0  # it has ended
    assert see(OTHER, wave=2) == 1
    assert see(THIRD, wave=2) == 2
    assert see(wave=3, is_at_rest=True) == 2
    assert (children.first, children.waves) == ("in 2", {2})


def use(*children: tuple[int, float]) -> ProcessUsage:
    return ProcessUsage(50_000_000, 12, 3, frozenset(children))


@pytest.mark.parametrize(("failures", "is_ok"), [(GOOD, True), (("", "lost", ""), False)])
def test_replaced_children_are_a_note_or_wrong_where_calls_failed(failures, is_ok) -> None:
    usages = [use(ONE), use(OTHER), use(OTHER)]
    plan = make_plan(
        *make_ended(failures), process=MadeUpProcess(*usages), limits={"failed_percent": 90}
    )
    report = begin_soak(plan, use(ONE)).result(20)
    said = "1 child process ended and was replaced, the first 0 s after the beginning, at rest"
    assert report.replaced == 1
    assert report.describe()["child processes"].startswith(f"{said} after wave 2")
    assert {each.verdict for each in report.growth} == {"cannot tell"}
    cases = report.list_cases()
    assert (not cases["child processes"]) == is_ok
    assert len(report.notes) == is_ok


def make_beside(*tried: TriedFault) -> FaultsBeside:
    """Return faults beside a wave, tried at these times."""
    beside = FaultsBeside(cast("Any", None), FAULTS, 0, 1.0)
    beside._wave = cast("Any", SimpleNamespace(tried=[*tried], names=[]))
    return beside


FIRST, SECOND = FAULTS[:2]


def test_a_process_that_ends_while_a_fault_is_tried_names_it_as_a_guess() -> None:
    beside = make_beside(TriedFault(FIRST, 0.0, 9.5), TriedFault(SECOND, 10.0))
    said = f"while {SECOND.name} was tried, 5.0 s after its beginning"
    assert beside.add_ended(15.0) == said
    first, second, *_ = beside.tally.list()
    assert (first.tried, first.red) == (0, 0)
    assert (second.tried, second.red, second.repair) == (1, 1, SECOND.repair)
    assert second.seen == f"the process of the server ended {said}; that it was this is a guess"
    assert beside._wave is not None
    assert beside._wave.names == [SECOND.name]


def test_a_process_that_ends_shortly_after_a_fault_counts_once() -> None:
    beside = make_beside(TriedFault(FIRST, 0.0, 9.5))
    beside.tally.add(FaultRow(FIRST.name, "", "green", "fine", "", "", ""))
    assert beside.add_ended(9.9) == f"0.4 s after {FIRST.name}"
    assert beside.add_ended(9.9)
    first = beside.tally.list()[0]
    assert (first.tried, first.red) == (1, 1)
    assert beside.describe_near(30.0) == ""


def test_where_a_fault_has_just_begun_the_one_before_it_is_named_too() -> None:
    beside = make_beside(TriedFault(FIRST, 0.0, 9.5), TriedFault(SECOND, 10.0))
    assert beside.add_ended(10.5) == (
        f"while {SECOND.name} was tried, 0.5 s after its beginning and 1.0 s after {FIRST.name}"
    )


def test_calls_that_fail_beside_a_fault_are_counted_with_it() -> None:
    beside = make_beside(TriedFault(FIRST, 5.0, 9.0), TriedFault(SECOND, 9.5))
    beside.count_failed([1.0, 6.0, 9.8, 30.0])
    first, second, *_ = beside.tally.list()
    assert (first.beside, second.beside) == (2, 2)


def test_the_fault_of_a_process_that_ended_is_in_the_report() -> None:
    began = time.monotonic()
    beside = make_beside(TriedFault(FIRST, began))
    beside.begin = lambda *_: SimpleNamespace(wait=lambda _: True, names=[])  # type: ignore[method-assign,assignment,misc]
    plan = make_plan(make_run(), process=MadeUpProcess(None), faults=beside)
    report = begin_soak(plan, USUAL).result(20)
    assert f"in wave 1, while {FIRST.name} was tried, " in report.ended
    assert report.ended.endswith("(a guess)")
    assert "that it was this is a guess" in report.list_cases()[FIRST.name]
    assert f'name="{FIRST.name}"' in report.to_junit()


def test_a_stop_ends_it_with_what_it_has() -> None:
    run = begin_soak(make_plan(make_run()))
    run.stop()
    report = run.result(20)
    assert (report.calls, report.is_interrupted, report.verdict) == (
        1, True, "ended early, after 0.0 of 60 minutes: nothing wrong until then",
    )  # fmt: skip


def test_an_interrupt_of_result_ends_it_with_what_it_has(monkeypatch) -> None:
    run = begin_soak(make_plan(make_run()))
    monkeypatch.setattr(run, "_show_progress", interrupt)
    assert run.result().is_interrupted


def interrupt(_timeout: float | None) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("failures", "ended"),
    [
        (["refused"], "no call of the first wave went well: refused"),
        (["", "refused", "refused"], "no call of 2 waves one after the other went well: refused"),
    ],
)
def test_waves_in_which_no_call_goes_well_end_the_run(failures, ended) -> None:
    report = begin_soak(make_plan(*make_ended([*failures, *GOOD]))).result(20)
    assert (len(report.waves), report.ended) == (len(failures), ended)


def test_no_wave_begins_that_would_last_beyond_the_end() -> None:
    report = begin_soak(make_plan(*make_ended(GOOD), minutes=1e-6)).result(20)
    assert (len(report.waves), report.ended, report.ok) == (1, "", True)


@pytest.mark.slow
async def test_calls_are_hung_up_when_it_is_stopped() -> None:
    async with running(Server()) as server:
        run = run_soak(server.url, 60, 2, seconds=60, ramp_seconds=0)
        await eventually(lambda: len(server.starts) == 2)
        run.stop()
        report = await soon(run)
    assert (report.calls, report.failed, report.is_interrupted) == (2, 0, True)


@pytest.mark.slow
async def test_a_server_that_is_not_there_is_refused_after_the_first_wave(unused_tcp_port) -> None:
    url = f"ws://127.0.0.1:{unused_tcp_port}/media"
    with pytest.raises(kit.CallRefused, match="refused the connection"):
        await soon(run_soak(url, 60, 2, **QUICK, faults=["gaps"], fault_scale=0.05))


@pytest.mark.slow
async def test_streams_break_beside_the_calls() -> None:
    server = SoundServer()
    async with server.running() as url:
        report = await soon(
            run_soak(
                url, 0.001, 2, seconds=3, ramp_seconds=0, rest_seconds=0.1, fault_scale=0.05,
                faults=["hang-up-after-connected", "unknown-fields"], seed=4,
            ),
            60,
        )  # fmt: skip
    [wave] = report.waves
    assert report.failed == 0, report
    assert wave.faults
    tried = Counter({each.name: each.tried for each in report.faults})
    assert tried == Counter(wave.faults)
    assert not any(each.red for each in report.faults), report


@pytest.mark.slow
async def test_a_stop_ends_a_fault_that_is_under_way() -> None:
    server = SoundServer()
    async with server.running() as url:
        run = run_soak(
            url, 60, 1, seconds=60, ramp_seconds=0, faults="half-open", fault_scale=2, sample=0
        )
        await eventually(lambda: len(server.server.connections) >= 2)
        run.stop()
        report = await soon(run)
    assert report.is_interrupted
    assert report.seconds < 40
    [fault] = report.faults
    assert (fault.tried, fault.red) == (0, 0)
    await eventually(
        lambda: not any(each.name == "faults beside calls" for each in threading.enumerate())
    )


def test_each_round_has_every_fault_once_in_another_order() -> None:
    names = ["a", "b", "c", "d", "e"]

    def take(seed: int, count: int = 15) -> list[Any]:
        endless = _order_endlessly(names, seed)  # type: ignore[arg-type]
        return [next(endless) for _ in range(count)]

    first = take(1)
    rounds = [first[:5], first[5:10], first[10:]]
    assert all(sorted(each) == names for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
    assert take(1) == first != take(2)


def make_call(number: int, failure: str = "", **others: Any) -> LoadCall:
    return LoadCall(number, 1, 1.0, 2.0, 0, not failure, failure, **others)


def make_wave(*calls: LoadCall, invalid: str = "", recorded: Any = None) -> LoadReport:
    objections = [Objection(None, "share 1", invalid)] if invalid else []
    return LoadReport(
        url="ws://x", asked=len(calls), seconds=3.0, calls=Series.of(calls, "calls"),
        shares=Series.of([], "shares"), limits={}, invalid=Series.of(objections, "objections"),
        own_late_ms=Histogram([2]), echo_idle_ms=Histogram([1]), echo_loaded_ms=Histogram([1]),
        recorded=recorded or {},
    )  # fmt: skip


def test_times_are_merged_and_those_of_an_invalid_wave_left_out() -> None:
    tally = SoakTally()
    tally.add(make_wave(make_call(1, first_sound_ms=80.0, heard_frames=50)), 0, 5, 0, ["gaps"])
    tally.add(make_wave(make_call(1, first_sound_ms=900.0), invalid="was late"), 6, 9, 1, [])
    tally.add(make_wave(make_call(1, first_sound_ms=90.0, gaps_ms=(40.0,))), 10, 15, 2, [])
    assert len(tally.times["first_sound_ms"]) == 2
    assert tally.times["first_sound_ms"].max == 90
    assert (tally.late_frames, tally.heard_frames, len(tally.own_late_ms)) == (2, 50, 2)
    assert [wave.valid for wave in tally.waves] == [True, False, True]
    assert tally.waves[0].faults == ("gaps",)


def test_a_server_that_is_read_here_is_not_to_run_elsewhere() -> None:
    invalid = f"was late: end other programs{SERVER_ELSEWHERE}; run it again"
    for is_here in (False, True):
        tally = SoakTally(is_server_here=is_here)
        tally.add(make_wave(make_call(1), invalid=invalid), 0, 5, 0, [])
        assert ("another one" in tally.waves[0].invalid) != is_here
        assert "; run it again" in tally.waves[0].invalid


def test_what_is_kept_is_bounded() -> None:
    tally = SoakTally()
    for wave in range(300):
        calls = [make_call(1, f"reason {wave} after {wave}.5 s", is_recorded=True), make_call(2)]
        tally.add(make_wave(*calls, recorded={1: f"report {wave}"}), 10.0 * wave, 0, 2 * wave, [])
    assert tally.calls == 600
    assert len(tally.failed_calls) == 100
    assert (tally.failed_calls[1].number, tally.failed_calls[1].begins) == (3, 11.0)
    assert len(tally.failures) == MOST_REASONS + 1
    assert tally.failures[OTHER_REASONS] == 300 - MOST_REASONS
    assert sum(tally.failures.values()) == 300
    assert tally.recorded == {1: "report 0", 599: "report 299"}


def test_a_note_of_its_waves_is_kept_once() -> None:
    tally = SoakTally()
    notes = [Objection(None, "share 1", "is out of reach", severity="note")]
    for wave in range(3):
        report = replace(make_wave(make_call(1)), notes=Series.of(notes, "notes"))
        tally.add(report, 10.0 * wave, 0, wave, [])
    assert tally.notes == notes


def test_the_last_recorded_call_that_failed_is_kept() -> None:
    tally = SoakTally()
    for wave in range(5):
        call = make_call(1, "broken" if wave == 2 else "", is_recorded=True)
        tally.add(make_wave(call, recorded={1: wave}), 0, 0, wave, [])
    assert tally.recorded == {1: 0, 3: 2, 5: 4}


def test_waves_without_a_good_call_are_counted_to_the_last() -> None:
    tally = SoakTally()
    for failure in ("", "refused", "refused"):
        tally.add(make_wave(make_call(1, failure)), 0, 0, 0, [])
    assert tally.fruitless_waves == 2


def test_what_came_of_a_fault_is_counted() -> None:
    row = FaultRow("gaps", "", "green", "fine", "goes on", "read on", "§3")
    tally = FaultTally(["gaps", "no-close"])
    for outcome, seen in (("green", "fine"), ("red", "it closed"), ("red", "again")):
        tally.add(replace(row, outcome=outcome, seen=seen))  # type: ignore[arg-type]
    tally.add(replace(row, name="no-close", outcome="not tried", seen="it sends no mark"))
    tally.add_untried("no-close", "refused")
    gaps, no_close = tally.list()
    assert (gaps.tried, gaps.red, gaps.seen, gaps.repair) == (3, 2, "it closed", "read on")
    assert (no_close.tried, no_close.skipped, no_close.seen) == (0, 2, "it sends no mark")


def test_a_wave_has_numbers_seeds_and_lines_of_its_own(monkeypatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        "twistream_kit.simulator.soak.simulate_calls",
        lambda url, calls, **options: seen.update(options),
    )
    behaviour = kit.Behaviour(line=Line("mobile", seed=3))
    wave = _Wave("ws://x", 20, lambda number: {"n": str(number)}, 7, behaviour, {"sample": 1})
    wave.begin(40)
    assert seen["seed"] == 47
    assert seen["parameters"](2) == {"n": "42"}
    assert seen["behaviour"].line.seed == 43
    assert (seen["sample"], seen["progress"]) == (1, False)


async def test_its_callers_speak_to_a_server_that_only_echoes() -> None:
    async def echo(stream: kit.MediaStream) -> None:
        async for samples in stream.audio():
            stream.play(samples)

    async with kit.StreamServer(echo) as server:
        options = QUICK | {"seconds": 1.0}
        report = await soon(run_soak(server.url, 0.001, 1, **options, say=kit.Clip.tone(440, 0.5)))
    assert (report.calls, report.failed) == (1, 0), report


def number_of(number: int) -> dict[str, str]:
    return {"n": str(number)}


def test_its_parameters_can_be_given_to_a_process() -> None:
    assert pickle.loads(pickle.dumps(_Numbered(number_of, 20)))(1) == {"n": "21"}


@pytest.mark.slow
async def test_an_executor_makes_the_waves() -> None:
    with ThreadPoolExecutor(2) as executor:
        async with running(Server()) as server:
            report = await soon(
                run_soak(server.url, 0.001, 2, **QUICK, executor=executor, workers=2), 60
            )
    assert (report.calls, report.failed) == (2, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"minutes": 0}, "minutes is 0; give a number more than 0"),
        ({"minutes": "x"}, "minutes is 'x'; give a number"),
        ({"minutes": 1e9}, "minutes is 1000000000.0; give a number"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"rest_seconds": -1}, "rest_seconds is -1; give a number from 0 on"),
        ({"calls": 0}, "calls is 0"),
        ({"seconds": "x"}, "seconds is 'x'"),
        ({"faults": "gap"}, "there is no fault 'gap'"),
        ({"faults": 5}, "faults is 5; give names of faults"),
        ({"faults": None}, "faults is None; give True"),
        ({"faults": []}, "faults is empty; give True for all kinds"),
        ({"faults": True, "fault_scale": 0}, "fault_scale is 0"),
        ({"fault_scale": 2}, "is given, and no faults; give faults=True"),
        ({"pid": True}, "pid is True"),
        ({"pid": 2**31 - 1}, "process 2147483647 cannot be read"),
        ({"limits": {"memory": 5}}, "limits has 'memory'; there are first_sound_ms, response_ms"),
        ({"limits": {"memory_mb_per_hour": 5}}, "memory_mb_per_hour is limited, and no process"),
        ({"limits": {"threads_per_hour": 0}, "pid": 1}, "the limit threads_per_hour is 0"),
        ({"script": "missing.toml"}, "missing.toml"),
        ({"workers": 2}, "workers is 2, and there is no executor"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused_at_once(options, words) -> None:
    with pytest.raises(kit.TwistreamError, match=words.replace("(", r"\(")):
        run_soak("ws://127.0.0.1:9/media", **options)


def test_another_machine_is_refused_with_what_would_be_done_to_it() -> None:
    with pytest.raises(kit.SettingsError, match="make 20 calls of 30 s to it at once, for 60 min"):
        run_soak("wss://bot.example.com/media")
    with pytest.raises(kit.SettingsError, match="and break streams on it"):
        run_soak("wss://bot.example.com/media", faults=True)
    with pytest.raises(kit.SettingsError, match=r"is not on this machine, and process \d+ is"):
        run_soak("wss://bot.example.com/media", remote=True, pid=os.getpid())


async def test_the_process_of_the_callers_is_noticed() -> None:
    async with running(Server()) as server:
        doubt = ProcessWatch(os.getpid()).find_doubt(urlsplit(server.url).port or 0)
    assert doubt is not None
    assert "is this one: the callers run in it, too" in str(doubt)
    parent = ProcessWatch(os.getppid()).find_doubt(1)
    assert parent is not None
    assert "is this one or began it" in str(parent)


@pytest.fixture
def idle_process():
    """A process that listens nowhere."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(20)


async def test_a_process_that_does_not_listen_is_named_as_a_guess(idle_process) -> None:
    async with running(Server()) as server:
        port = urlsplit(server.url).port or 0
        doubt = ProcessWatch(idle_process.pid).find_doubt(port)
    assert doubt is not None
    assert doubt.severity == "warning"
    assert f"does not listen on port {port}, and process {os.getpid()} (" in str(doubt)
    assert "it may be another than the server's" in str(doubt)


def test_the_ports_of_another_user_are_not_guessed(idle_process, monkeypatch) -> None:
    def refuse(*_: object) -> set[int]:
        raise PermissionError

    monkeypatch.setattr(_process_usage.ProcessWatch, "_list_ports", refuse)
    doubt = ProcessWatch(idle_process.pid).find_doubt(80)
    assert doubt is not None
    assert doubt.severity == "note"
    assert "that cannot be read here" in str(doubt)


@pytest.mark.slow
async def test_a_server_in_a_process_of_its_own_is_read_and_found_to_listen() -> None:
    with leaky_servers.running("nothing") as (url, process):
        watch = ProcessWatch(process.pid)
        report = await soon(run_soak(url, 0.001, 2, **QUICK, pid=process.pid))
        assert not report.notes
        process.terminate()
        process.wait(20)
        assert watch.read() is None
    assert report.readings[0].memory > 10
    assert (report.calls, report.failed, report.ended) == (2, 0, ""), report
    json.loads(report.to_json())


MINUTES = 5.0
LEAKS = ("memory", "descriptors", "threads")


@pytest.mark.slow
@pytest.mark.timeout(700)
async def test_five_minutes_with_faults_are_flat_and_planted_leaks_beside_them_are_found() -> None:
    async def soak(leak: str, calls: int, **options: Any) -> kit.SoakReport:
        with leaky_servers.running(leak) as (url, process):
            run = run_soak(
                url, MINUTES, calls, seconds=8, ramp_seconds=1.5, sample=0, pid=process.pid,
                **options,
            )  # fmt: skip
            return await soon(run, 60 * MINUTES + 200)

    sound, *leaky = await asyncio.gather(
        soak("nothing", 10, faults=True), *(soak(leak, 2) for leak in LEAKS)
    )
    assert not sound.ended
    assert (sound.failed, [each for each in sound.faults if not each.ok]) == (0, []), sound
    assert sum(each.tried for each in sound.faults) >= len(FAULT_NAMES)
    assert [str(each) for each in sound.growth if not each.ok] == [], sound
    memory, *counts = sound.growth
    assert [each.verdict for each in counts] == ["does not grow"] * 2, sound
    # Of memory, five minutes tell no more than that: 12 MB when ended calls waited for a full
    # garbage collection, 2 MB since they do not.
    assert memory.last - memory.first < 8, sound
    for leak, report in zip(LEAKS, leaky, strict=True):
        grown = {each.name for each in report.growth if each.verdict == "grows"}
        assert leak in grown, report
        assert grown <= {leak, "memory"}, report  # a thread has memory, too
        assert not report.ok
        slope = next(each for each in report.growth if each.name == leak).per_1000_calls
        assert slope is not None
        wanted = leaky_servers.LEAKED_BYTES / 1e3 if leak == "memory" else 1000
        assert 0.8 * wanted < slope.value < 1.5 * wanted, report
