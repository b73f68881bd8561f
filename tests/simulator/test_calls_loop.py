"""Many calls of one process: one thread, one timer, and nobody's function delays the others."""

from __future__ import annotations

import asyncio
import threading

import pytest

from simulator.test_scripted_call import ANSWER, BACKLOG, QUESTION, serving
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import CallRefused, ServerStopped
from twistream_kit.simulator import _calls_loop, caller
from twistream_kit.simulator.simulate_call import simulate_call


def list_loops():
    return [t for t in threading.enumerate() if t.name == _calls_loop.THREAD_NAME]


async def end_of_loops():
    for thread in list_loops():
        await asyncio.to_thread(thread.join, LIMIT_SECONDS)


@pytest.fixture(autouse=True)
async def no_other_calls():
    """Wait for the calls of other tests."""
    await end_of_loops()


async def test_calls_that_are_made_at_once_share_a_thread_which_ends_with_the_last():
    async with serving({BACKLOG + 5: ANSWER}) as server:
        script = [caller.listen(pause=0.1), caller.hang_up()]
        calls = [simulate_call(server.url, script=script) for _ in range(20)]
        seen = len(list_loops())
        reports = await asyncio.gather(*calls)
    assert seen == 1
    await end_of_loops()
    assert list_loops() == []
    assert len({report.stream_sid for report in reports}) == 20
    for report in reports:  # each counts its own frames, and hears its own sound
        assert report.lateness.frames - len(report.heard.payload) // 160 in {0, 1, 2}
        assert report.sound_seconds == pytest.approx(ANSWER.seconds)


async def test_a_call_after_the_last_one_begins_a_thread_again():
    for _ in range(2):
        with pytest.raises(CallRefused):
            await simulate_call("ws://127.0.0.1:1/media")
        await end_of_loops()
        assert list_loops() == []


async def test_a_function_that_waits_for_the_report_of_another_call_gets_it():
    second, waited = [], []

    def wait_for_the_other(_: Clip) -> bool:
        waited.append(second[0].result(LIMIT_SECONDS).ended.cause)
        return True

    script = [caller.wait(0.1, expect=wait_for_the_other), caller.hang_up()]
    async with serving({}) as server:
        first = simulate_call(server.url, script=script)
        second.append(simulate_call(server.url, seconds=0.4, expect_silence=True))
        report = await first
    assert report.acts[0].ok
    assert waited == ["caller-hung-up"]


async def test_a_done_callback_that_blocks_delays_no_other_call():
    may_go_on = threading.Event()
    async with serving({}) as server:
        first = simulate_call(server.url, seconds=0.1)
        first.add_done_callback(lambda _: may_go_on.wait(LIMIT_SECONDS))
        await simulate_call(server.url, seconds=0.3)
        assert first.done()
        may_go_on.set()


async def test_what_a_server_that_counts_frames_answers_is_heard_in_the_same_frame_after_a_stall(
    eventually,
):
    """The server goes on while the loop of the calls stands still: it is on another thread.

    On a busy machine it may be too late for another reason, so one call out of some must do; all
    that was missed at once would make each fifteen frames late.
    """
    script = [caller.wait(0.1), caller.say(QUESTION), caller.listen(pause=0.1), caller.hang_up()]
    answered = BACKLOG + 30

    async def measure_response(stall_seconds):
        async with serving({answered: ANSWER}) as server:
            call = simulate_call(server.url, script=script)
            await eventually(lambda: len(server.of("media")) >= answered - 3)
            loop = _calls_loop._current._loop
            loop.call_soon_threadsafe(threading.Event().wait, stall_seconds)
            report = await call
        await end_of_loops()
        assert report.lateness.max_ms > 500 * stall_seconds
        (response_ms,) = report.turns.response_ms.values
        return response_ms

    response_ms = await measure_response(0.0)
    differences = [abs(await measure_response(0.3) - response_ms)]
    while min(differences) > 120 and len(differences) < 5:
        response_ms = await measure_response(0.0)
        differences.append(abs(await measure_response(0.3) - response_ms))
    assert min(differences) <= 120, differences


async def test_a_loop_that_ends_fails_the_calls_under_way_and_the_next_call_has_another(
    caplog,
):
    def end():
        raise SystemExit(3)

    async with serving({}) as server:
        call = simulate_call(server.url, seconds=30)
        _calls_loop._current._loop.call_soon_threadsafe(end)
        with pytest.raises(ServerStopped, match="the event loop of all simulated calls has ended"):
            await call
        await end_of_loops()
        report = await simulate_call(server.url, seconds=0.1, expect_silence=True)
    assert report.ok
    assert [record.exc_info[0] for record in caplog.records] == [SystemExit]


async def test_where_no_thread_can_be_started_the_end_of_a_call_is_made_on_the_loop(monkeypatch):
    started, start = [], threading.Thread.start

    def refuse_the_second(thread):
        started.append(thread.name)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_second)
    call = simulate_call("ws://127.0.0.1:1/media")
    with pytest.raises(CallRefused):
        await call
    assert started[0] == _calls_loop.THREAD_NAME
    assert len(started) == 2
