"""The beat of 20 ms, in real time."""

import asyncio
from itertools import pairwise

import pytest

from support.clock import Clock
from twistream_kit.simulator.stream import pacer as pacer_module
from twistream_kit.simulator.stream.pacer import Lateness, Pacer


@pytest.fixture
def clock(monkeypatch):
    """The clock of all pacers: it shows what they slept, and what the test adds."""
    clock = Clock()
    monkeypatch.setattr(pacer_module, "time", clock.time)
    monkeypatch.setattr(pacer_module, "asyncio", clock.asyncio)
    return clock


async def test_every_tick_comes_once_in_20_ms_without_drift(clock, eventually):
    times = []
    async with Pacer() as pacer:
        pacer.add(times.append)
        await eventually(lambda: len(times) >= 501)
    gaps = [later - earlier for earlier, later in pairwise(times[:501])]
    assert gaps == pytest.approx([0.02] * 500)
    assert times[500] - times[0] == pytest.approx(10.0)
    assert pacer.lateness.report().max_ms == pytest.approx(0, abs=1e-6)


async def test_after_a_stall_the_missed_ticks_come_in_a_burst_and_the_cadence_is_as_before(
    clock, eventually
):
    times = []

    def tick(now):
        times.append(now)
        if len(times) == 5:
            clock.seconds += 0.31  # a computation that holds the loop

    async with Pacer() as pacer:
        pacer.add(tick)
        await eventually(lambda: len(times) >= 51)
    at = [round((now - times[0]) * 1000) for now in times[:51]]
    assert at[:5] == [0, 20, 40, 60, 80]
    assert at[5:20] == [390] * 15, "what was missed comes at once"
    assert at[20:] == list(range(400, 1020, 20)), "and then as if nothing had been"
    assert pacer.lateness.report().max_ms == pytest.approx(290)


async def test_after_a_stall_a_pacer_with_a_least_gap_catches_up_at_twice_the_speed(
    clock, eventually
):
    times = []

    def tick(now):
        times.append(now)
        if len(times) == 5:
            clock.seconds += 0.31  # a computation that holds the loop

    async with Pacer(least_gap=0.5) as pacer:
        pacer.add(tick)
        await eventually(lambda: len(times) >= 51)
    at = [round((now - times[0]) * 1000) for now in times[:51]]
    assert at[:6] == [0, 20, 40, 60, 80, 390]
    assert at[5:34] == list(range(390, 680, 10)), (
        "each leaves time for the answer to the one before"
    )
    assert at[34:] == list(range(680, 1020, 20)), "and then as if nothing had been"


async def test_the_lateness_of_each_tick_is_counted_by_itself(clock, eventually):
    own, others, counted = Lateness(), [], []

    def tick(now):
        clock.seconds += 0.005  # a computation, for which the next one waits

    async with Pacer() as pacer:
        pacer.add(tick)
        for _ in range(9):
            pacer.add(others.append)
        pacer.add(counted.append, own)  # in the slot of the first
        await eventually(lambda: len(counted) >= 20)
    assert own.report().frames == len(counted)
    assert own.report().p50_ms == pytest.approx(5, abs=0.2)
    assert pacer.lateness.report().frames >= 10 * len(counted)


async def test_work_that_can_wait_gives_way_while_a_frame_is_due_but_not_for_ever(
    clock, eventually
):
    order = []
    async with Pacer() as pacer:
        await pacer.wait_for_spare_time()
        assert clock.seconds == 0, "there is no call that it could delay"

        def tick(now):
            order.append("frame")
            clock.seconds += 0.03  # more than the machine can do

        pacer.add(tick)
        for _ in range(3):
            await pacer.wait_for_spare_time()
            order.append("work")
    assert order.count("work") == 3
    assert order.count("frame") >= 2


async def test_a_pacer_keeps_the_time_of_this_machine(eventually):
    loop, times = asyncio.get_running_loop(), []
    async with Pacer() as pacer:
        began = loop.time()
        pacer.add(times.append)
        await eventually(lambda: len(times) >= 51)
    assert times[50] - began >= 49 * 0.02
    assert times == sorted(times)


async def test_many_calls_are_spread_over_the_20_ms(clock, eventually):
    order = []
    async with Pacer() as pacer:
        for number in range(20):
            pacer.add(lambda now, number=number: order.append(number))
        await eventually(lambda: len(order) >= 40)
    assert sorted(set(order)) == list(range(20))
    assert len({number % 10 for number in order[:10]}) == 5  # two calls share each moment


async def test_a_tick_may_ask_for_some_time_before_it_is_called_first(clock, eventually):
    times, asked = {}, {}

    def make_tick(number):
        return lambda now: times.setdefault(number, now)

    async with Pacer() as pacer:
        pacer.add(make_tick("first"))
        await eventually(lambda: times)
        for number in range(20):
            asked[number] = clock.seconds
            pacer.add(make_tick(number), after_seconds=0.02)
        await eventually(lambda: len(times) == 21)
    waits = [times[number] - at for number, at in asked.items()]
    assert min(waits) >= 0.02 - 1e-9
    assert max(waits) <= 0.04 + 1e-9


async def test_a_removed_tick_is_not_called_again(eventually):
    calls = []
    async with Pacer() as pacer:

        def tick(now):
            calls.append(now)
            pacer.remove(tick)

        pacer.add(tick)
        other = []
        pacer.add(other.append)
        await eventually(lambda: len(other) >= 3)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", [KeyError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_tick_that_raises_is_dropped_and_the_others_go_on(eventually, kind):
    reported, calls = [], []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context["exception"]))

    def broken(now):
        raise kind("oops")

    async with Pacer() as pacer:
        pacer.add(broken)
        pacer.add(calls.append)
        await eventually(lambda: len(calls) >= 3)
    assert [repr(error) for error in reported] == [f"{kind.__name__}('oops')"]


async def test_an_idle_pacer_starts_again_with_the_next_call(eventually):
    first, second = [], []
    async with Pacer() as pacer:
        pacer.add(first.append)
        await eventually(lambda: first)
        pacer.remove(first.append)
        await asyncio.sleep(0.05)  # sleeps: two beats, in which nothing may happen
        pacer.add(second.append)
        await eventually(lambda: second)


async def test_leaving_the_pacer_leaves_no_task():
    before = asyncio.all_tasks()
    async with Pacer() as pacer:
        pacer.add(lambda now: None)
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


def test_a_pacer_can_be_made_where_no_loop_runs():
    Pacer().add(lambda now: None)


def test_lateness_reports_percentiles_and_the_worst():
    lateness = Lateness()
    for number in range(100):
        lateness.record(number / 10_000)  # 0 to 9.9 ms
    report = lateness.report()
    assert report.frames == 100
    assert report.p50_ms == pytest.approx(5.0, abs=0.2)
    assert report.p99_ms == pytest.approx(9.9, abs=0.2)
    assert report.max_ms == pytest.approx(9.9)
    assert report.late == 0
    assert report.believable


def test_lateness_of_one_frame_in_twenty_is_not_to_be_believed():
    lateness = Lateness()
    for number in range(100):
        lateness.record(0.03 if number % 20 == 0 else 0.0)
    report = lateness.report()
    assert report.late == 5
    assert not report.believable


def test_one_gap_of_a_fifth_of_a_second_is_not_to_be_believed():
    lateness = Lateness()
    for number in range(1000):
        lateness.record(0.25 if number == 500 else 0.0)
    assert not lateness.report().believable


def test_lateness_of_nothing_is_nothing():
    report = Lateness().report()
    assert (report.frames, report.p99_ms, report.max_ms) == (0, 0.0, 0.0)
    assert report.believable


def test_lateness_beyond_a_second_is_kept_as_the_worst():
    lateness = Lateness()
    lateness.record(7.5)
    assert lateness.report().max_ms == 7500
