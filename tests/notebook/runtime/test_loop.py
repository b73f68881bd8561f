"""The kit's own loop: entered again while one of its tasks waits, and only it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import textwrap
import threading

import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.errors import WouldDeadlock
from twistream_kit.notebook.runtime.loop import HURRIED_SWITCH_SECONDS, KitLoop
from twistream_kit.pending import HomeLoop, fail, fulfil

BEFORE = (asyncio.run, asyncio.Task, asyncio.Future, asyncio.get_event_loop)


@pytest.fixture
def loop():
    """A `KitLoop` that runs on a thread."""
    loop = KitLoop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT_SECONDS)
    loop.close()


@pytest.fixture
def on(loop):
    """Run a coroutine on the loop and return what it returns."""

    def run(work, seconds=5):
        return asyncio.run_coroutine_threadsafe(work, loop).result(seconds)

    return run


@pytest.fixture
def home(loop, on):
    """A home on that loop."""
    home = HomeLoop("the thing")

    async def enter():
        home.enter()

    on(enter())
    yield home
    on(home.leave())


def test_result_inside_an_async_function_enters_the_loop_again(loop, on, home):
    async def handler():
        pending = home.make_pending()
        loop.call_later(0.02, fulfil, pending, "heard")
        return pending.result(LIMIT_SECONDS)

    assert on(handler()) == "heard"


def test_an_error_comes_out_of_a_nested_wait(loop, on, home):
    async def handler():
        pending = home.make_pending()
        loop.call_later(0.02, fail, pending, KeyError("gone"))
        with pytest.raises(KeyError, match="gone"):
            pending.result(LIMIT_SECONDS)

    on(handler())


def test_a_nested_wait_that_times_out_leaves_it_pending(on, home):
    async def handler():
        pending = home.make_pending()
        with pytest.raises(TimeoutError, match=r"within 0\.02 s\. It is still on its way"):
            pending.result(0.02)
        assert not pending.done()
        fulfil(pending, 1)
        return pending.result(0)

    assert on(handler()) == 1


def test_other_tasks_go_on_during_a_nested_wait(on, home):
    turns = []

    async def other():
        for number in range(5):
            turns.append(number)
            await asyncio.sleep(0)

    async def handler():
        pending = home.start(asyncio.sleep(0.05, "done"))
        task = asyncio.create_task(other())
        assert pending.result(LIMIT_SECONDS) == "done"
        assert turns == [0, 1, 2, 3, 4]
        await task

    on(handler())


def test_the_waiting_task_is_the_current_one_before_and_after(on, home):
    async def handler():
        mine = asyncio.current_task()
        home.start(asyncio.sleep(0.01)).result(LIMIT_SECONDS)
        assert asyncio.current_task() is mine
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.sleep(0)

    on(handler())


def test_nested_waits_one_after_the_other_are_fine(on, home):
    async def handler():
        return [home.start(asyncio.sleep(0, n)).result(LIMIT_SECONDS) for n in range(20)]

    assert on(handler()) == list(range(20))


def test_a_second_nested_wait_at_the_same_time_is_refused_and_the_first_goes_on(on, home):
    async def second():
        with pytest.raises(WouldDeadlock) as caught:
            home.start(asyncio.sleep(1)).result(LIMIT_SECONDS)
        return str(caught.value)

    async def first():
        return home.start(second()).result(LIMIT_SECONDS)

    assert on(first()) == (
        "result() was called on the kit's loop while another such call waits there. Nested waits "
        "end last in, first out: the first would wait for this. Use `await pending`, or make the "
        "handler an ordinary function."
    )


def test_what_is_done_already_can_be_asked_for_during_a_nested_wait(on, home):
    async def second():
        done = home.make_pending()
        fulfil(done, 7)
        return done.result(LIMIT_SECONDS)

    async def first():
        return home.start(second()).result(LIMIT_SECONDS)

    assert on(first()) == 7


def test_await_works_as_on_any_loop(on, home):
    async def handler():
        one, two = home.start(asyncio.sleep(0.01, 1)), home.start(asyncio.sleep(0.01, 2))
        return [await one, *await asyncio.gather(two, one)]

    assert on(handler()) == [1, 2, 1]


def test_result_blocks_plainly_on_every_other_thread(home):
    pending = home.start(asyncio.sleep(0.02, "done"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: pending.result(LIMIT_SECONDS), range(8))) == ["done"] * 8


def test_asyncio_and_other_loops_are_what_they_were(loop):
    assert (asyncio.run, asyncio.Task, asyncio.Future, asyncio.get_event_loop) == BEFORE
    assert not hasattr(asyncio, "_nest_patched")
    assert not hasattr(asyncio.SelectorEventLoop, "_nest_patched")
    assert type(loop).run_until_complete is not asyncio.SelectorEventLoop.run_until_complete


async def test_another_loop_still_refuses_to_be_entered_again(loop):
    work = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already running"):
        asyncio.get_running_loop().run_until_complete(work)
    work.close()


def test_the_switch_interval_is_short_until_the_last_call_is_over(loop):
    usual = sys.getswitchinterval()
    loop.hurry()
    loop.hurry()
    assert sys.getswitchinterval() == pytest.approx(HURRIED_SWITCH_SECONDS)
    loop.relax()
    assert sys.getswitchinterval() == pytest.approx(HURRIED_SWITCH_SECONDS)
    loop.relax()
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_a_switch_interval_that_is_shorter_already_is_left_alone(loop):
    usual = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.0001)
        loop.hurry()
        assert sys.getswitchinterval() == pytest.approx(0.0001, abs=5e-6)
        loop.relax()
        assert sys.getswitchinterval() == pytest.approx(0.0001, abs=5e-6)
    finally:
        sys.setswitchinterval(usual)


def test_a_home_on_the_kits_loop_hurries_it_and_one_elsewhere_does_not(on, home):
    usual = sys.getswitchinterval()

    def interval_in_a_hurry(of):
        with of.hurry_loop():
            return sys.getswitchinterval()

    async def elsewhere():
        other = HomeLoop("another")
        other.enter()
        interval = interval_in_a_hurry(other)
        await other.leave()
        return interval

    assert interval_in_a_hurry(home) == pytest.approx(HURRIED_SWITCH_SECONDS)
    assert asyncio.run(elsewhere()) == pytest.approx(usual)
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_a_call_shortens_the_switch_interval_and_puts_it_back(make_call, until):
    usual = sys.getswitchinterval()
    up = make_call()
    until(lambda: sys.getswitchinterval() < usual)
    up.call.hang_up().result(LIMIT_SECONDS)
    up.stream.closed.result(LIMIT_SECONDS)
    until(lambda: sys.getswitchinterval() == pytest.approx(usual))


def test_an_async_handler_may_say_result_in_mid_call(make_call, tone, until):
    said = []

    async def handler(stream):
        said.append(stream.play(tone.payload[:1600]).result(LIMIT_SECONDS))
        said.append(stream.mark("after").result(LIMIT_SECONDS).ending)

    make_call(handler)
    until(lambda: len(said) == 2)
    assert (said[0].ending, said[0].total_ms) == ("heard", 200)
    assert said[1] == "heard"


def test_an_ordinary_handler_blocks_only_its_own_thread(make_call, tone, until):
    said = []

    def handler(stream):
        said.append(stream.play(tone.payload[:1600]).result(LIMIT_SECONDS).ending)
        said.append(threading.current_thread().name)

    up = make_call(handler)
    until(lambda: len(said) == 2)
    assert said == ["heard", f"handler of {up.stream.stream_sid}"]


def test_the_loop_works_where_nest_asyncio_has_patched_every_loop_before():
    program = """
        import asyncio, nest_asyncio
        asyncio.set_event_loop(asyncio.new_event_loop())
        nest_asyncio.apply()
        import twistream_kit as kit
        def handler_of(endings):
            async def handler(stream):
                endings.append(stream.play(b"\\xff" * 800).result(30).ending)
            return handler
        endings = []
        server = kit.start(kit.StreamServer(handler_of(endings)))
        kit.simulate_call(server.url, seconds=0.5).result(30)
        print(endings)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("['heard']\n", "")
