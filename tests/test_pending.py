"""Results on their way: one outcome each, awaitable anywhere, never waited for in vain."""

import asyncio
import contextvars
import copy
import gc
import logging
import math
import pickle
import threading
import weakref
from collections import deque
from concurrent.futures import Future, as_completed
from concurrent.futures import wait as wait_for_futures
from contextlib import contextmanager
from functools import partial

import pytest

from support.waiting import LIMIT_SECONDS as LIMIT
from support.waiting import eventually, soon
from twistream_kit.errors import (
    NoResultYet,
    ServerStopped,
    TwistreamError,
    WouldDeadlock,
    WrongType,
    WrongValue,
)
from twistream_kit.live.stream.state import Playing
from twistream_kit.pending import (
    HomeLoop,
    Pending,
    ReentrantLoop,
    end_tasks,
    fail,
    fulfil,
    on_worker,
)


class WorkError(Exception):
    """Something that only these tests raise."""


@contextmanager
def loop_on_a_thread():
    """Run an event loop on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
        loop.close()
        assert not thread.is_alive()


def run_on(loop, coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(LIMIT)


def run_in_threads(functions):
    """Run all `functions` at the same moment; return what they returned, in order."""
    barrier = threading.Barrier(len(functions))
    results = [None] * len(functions)

    def run(index):
        barrier.wait(LIMIT)
        results[index] = functions[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    return results


# Pending: one outcome.


def test_fulfilled_pending_has_its_result():
    pending = Pending()
    assert not pending.done()
    assert fulfil(pending, 7)
    assert pending.done()
    assert pending.result() == 7
    assert pending.exception() is None


def test_failed_pending_raises_its_error():
    pending = Pending()
    error = WorkError("no")
    assert fail(pending, error)
    assert pending.exception() is error
    with pytest.raises(WorkError):
        pending.result()


def test_pending_can_be_fulfilled_with_none():
    pending = Pending()
    assert fulfil(pending, None)
    assert pending.result(0) is None
    assert not fulfil(pending, 1)


def test_first_outcome_wins_and_later_ones_are_refused():
    pending = Pending()
    assert fulfil(pending, 1)
    assert not fulfil(pending, 2)
    assert not fail(pending, WorkError())
    assert pending.result() == 1


def test_exactly_one_of_many_racing_threads_gives_the_outcome():
    for _ in range(50):
        pending, called = Pending(), []
        pending.add_done_callback(called.append)
        functions = [partial(fulfil, pending, number) for number in range(6)]
        functions += [partial(fail, pending, WorkError(number)) for number in range(6, 12)]
        won = run_in_threads(functions)
        assert won.count(True) == 1
        winner = won.index(True)
        if winner < 6:
            assert pending.result(0) == winner
        else:
            assert pending.exception(0).args == (winner,)
        assert called == [pending]


def test_done_callback_may_ask_for_the_outcome_and_try_another():
    pending, seen = Pending(), []
    pending.add_done_callback(lambda done: seen.append((done.result(0), fulfil(done, 2))))
    fulfil(pending, 1)
    assert seen == [(1, False)]


def test_done_callback_that_raises_leaves_the_outcome_alone(caplog):
    pending = Pending()
    pending.add_done_callback(lambda done: 1 / 0)
    assert fulfil(pending, 1)
    assert pending.result(0) == 1
    assert "ZeroDivisionError" in caplog.text


class Alarm(BaseException):
    """Something that is neither an Exception nor known to anybody."""


KINDS = [WorkError, SystemExit, KeyboardInterrupt, Alarm, GeneratorExit, asyncio.CancelledError]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_done", [False, True])
def test_what_a_done_callback_raises_is_logged_and_goes_no_further(caplog, kind, is_done):
    pending, called = Pending(), []

    def fails(done):
        raise kind("enough")

    if is_done:
        fulfil(pending, 1)
    pending.add_done_callback(fails)
    pending.add_done_callback(called.append)
    fulfil(pending, 1)
    assert called == [pending]
    (record,) = caplog.records
    assert record.getMessage() == "a done-callback of a Pending failed"
    assert record.name == "twistream_kit"
    assert type(record.exc_info[1]) is kind
    assert record.exc_info[2] is not None


def test_nobody_outside_can_cancel_or_fulfil_it():
    pending = Pending()
    assert pending.cancel() is False
    with pytest.raises(TypeError, match="fulfilled by what it stands for"):
        pending.set_result(1)
    with pytest.raises(TypeError, match="fulfilled by what it stands for"):
        pending.set_exception(WorkError())
    with pytest.raises(TypeError, match="runs from the moment"):
        pending.set_running_or_notify_cancel()
    assert pending.running()
    assert not pending.cancelled()
    assert fulfil(pending, 1)
    assert pending.cancel() is False
    assert pending.result() == 1


def test_repr_says_what_came_of_it():
    assert repr(Pending()) == "<Pending: pending; .result(10) or await>"
    fulfilled, failed = Pending(), Pending()
    fulfil(fulfilled, "PlayOutcome")
    fail(failed, WorkError("no"))
    assert repr(fulfilled) == "<Pending: 'PlayOutcome'>"
    assert repr(failed) == "<Pending: WorkError: no>"


def test_pending_is_an_ordinary_future_to_the_standard_library():
    pendings = [Pending() for _ in range(3)]
    assert isinstance(pendings[0], Future)
    for number, pending in enumerate(pendings):
        threading.Thread(target=fulfil, args=(pending, number)).start()
    assert {done.result() for done in as_completed(pendings, LIMIT)} == {0, 1, 2}
    assert not wait_for_futures(pendings, LIMIT).not_done


# Pending: waiting in a thread.


@pytest.mark.parametrize("wait", ["result", "exception"])
def test_wait_that_times_out_leaves_it_pending(wait):
    pending = Pending()
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError) as caught:
            getattr(pending, wait)(timeout)
        assert str(caught.value) == (
            f"no result within {timeout} s. It is still on its way and can be waited for again."
        )
    assert not pending.done()
    assert fulfil(pending, 1)
    assert pending.result() == 1


def test_timeout_that_is_the_outcome_is_not_taken_for_one_of_the_wait():
    pending = Pending()
    error = TimeoutError("the phone was not answered")
    fail(pending, error)
    assert pending.exception(0) is error
    with pytest.raises(TimeoutError, match="the phone was not answered"):
        pending.result(0)


def make_playing(home):
    return Playing(None, 0, None, home)


@pytest.mark.parametrize("make", [Pending, make_playing])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_is_the_same_one_because_its_owner_knows_one(make, duplicate):
    pending = make(None)
    assert duplicate(pending) is pending
    with pytest.raises(WrongType, match="cannot be pickled: its result comes to this process"):
        pickle.dumps(pending)


@pytest.mark.parametrize("wait", ["result", "exception"])
@pytest.mark.parametrize(
    ("timeout", "kind", "text"),
    [
        ("10", WrongType, "timeout is '10'; give a number."),
        (True, WrongType, "timeout is True; give a number."),
        ([], WrongType, "timeout is []; give a number."),
        (float("nan"), WrongValue, "timeout is nan; give seconds, or None to wait without limit."),
    ],
)
def test_a_timeout_that_is_none_is_refused_by_name(wait, timeout, kind, text):
    with pytest.raises(kind) as caught:
        getattr(Pending(), wait)(timeout)
    assert str(caught.value) == text


@pytest.mark.parametrize("wait", ["result", "exception"])
def test_a_timeout_that_is_over_already_says_0_s(wait):
    with pytest.raises(NoResultYet, match=r"^no result within 0 s\."):
        getattr(Pending(), wait)(-1)


@pytest.mark.parametrize("timeout", [math.inf, 1e30, 10**400])
def test_a_timeout_may_be_longer_than_a_lock_can_wait(timeout):
    pending, asked = Pending(), threading.Event()
    results = []

    def wait():
        asked.set()
        results.append(pending.result(timeout))

    thread = threading.Thread(target=wait)
    thread.start()
    assert asked.wait(LIMIT)
    fulfil(pending, "here")
    thread.join(LIMIT)
    assert results == ["here"]


@pytest.mark.parametrize("wrong", [None, 5, "print"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_callback_that_cannot_be_called_is_refused_where_it_is_given(wrong, is_done):
    pending = Pending()
    if is_done:
        fulfil(pending, 1)
    with pytest.raises(WrongType, match="; give a function that takes this Pending"):
        pending.add_done_callback(wrong)


def test_result_wakes_when_another_thread_fulfils_it():
    pending = Pending()
    waiters = [lambda: pending.result(LIMIT) for _ in range(3)]
    assert run_in_threads([*waiters, lambda: fulfil(pending, 5)]) == [5, 5, 5, True]


@pytest.mark.parametrize("wait", ["result", "exception"])
async def test_waiting_on_the_home_loop_is_refused_at_once(wait):
    pending = Pending(asyncio.get_running_loop())
    with pytest.raises(WouldDeadlock) as caught:
        getattr(pending, wait)()  # without a limit: it must not even begin to wait
    assert str(caught.value) == (
        "result() was called on the event loop that has to bring the result. Both would wait for "
        "ever. Say `await` instead, or call it from an ordinary function on another thread."
    )
    assert not pending.done()


async def test_outcome_that_is_there_may_be_asked_for_on_the_home_loop():
    pending = Pending(asyncio.get_running_loop())
    fulfil(pending, 3)
    assert pending.result() == 3
    assert pending.exception() is None


async def test_result_on_another_running_loop_blocks_until_it_comes():
    with loop_on_a_thread() as home:
        pending = Pending(home)
        home.call_soon_threadsafe(home.call_later, 0.02, fulfil, pending, "there")
        assert pending.result(LIMIT) == "there"


async def test_result_on_another_running_loop_times_out_as_elsewhere():
    with loop_on_a_thread() as home:
        pending = Pending(home)
        with pytest.raises(TimeoutError):
            pending.result(0.01)
        assert not pending.done()


# Pending: a loop that can be entered again.


class EnteredAgain(asyncio.SelectorEventLoop):
    """Stands in for the kit's loop: it runs its own callbacks while somebody waits on it."""

    def __init__(self):
        super().__init__()
        self.waits = []
        self.on_wait = lambda pending: None

    def run_nested(self, pending, timeout):
        self.waits.append((pending, timeout))
        self.on_wait(pending)


@pytest.fixture
def entered_again():
    loop = EnteredAgain()
    yield loop
    loop.close()


@pytest.mark.parametrize("wait", ["result", "exception"])
def test_wait_on_a_loop_that_can_be_entered_again_enters_it(entered_again, wait):
    pending = Pending(entered_again)
    entered_again.on_wait = lambda waited: fulfil(waited, 9)

    async def handler():
        return getattr(pending, wait)(2.5)

    assert isinstance(entered_again, ReentrantLoop)
    answer = entered_again.run_until_complete(handler())
    assert answer == (9 if wait == "result" else None)
    assert entered_again.waits == [(pending, 2.5)]


@pytest.mark.parametrize("wait", ["result", "exception"])
def test_nested_wait_that_was_in_vain_is_a_timeout(entered_again, wait):
    pending = Pending(entered_again)

    async def handler():
        getattr(pending, wait)(0.5)

    with pytest.raises(TimeoutError):
        entered_again.run_until_complete(handler())
    assert not pending.done()


def test_done_pending_does_not_enter_the_loop_again(entered_again):
    pending = Pending(entered_again)
    fulfil(pending, 1)

    async def handler():
        return pending.result()

    assert entered_again.run_until_complete(handler()) == 1
    assert entered_again.waits == []


def test_refusal_of_a_second_nested_wait_reaches_the_caller(entered_again):
    def refuse(waited):
        raise WouldDeadlock("a second wait")

    entered_again.on_wait = refuse

    async def handler():
        Pending(entered_again).result(1)

    with pytest.raises(WouldDeadlock, match="a second wait"):
        entered_again.run_until_complete(handler())


def test_thread_beside_such_a_loop_simply_blocks(entered_again):
    pending = Pending(entered_again)
    assert run_in_threads([lambda: pending.result(LIMIT), lambda: fulfil(pending, 4)]) == [4, True]
    assert entered_again.waits == []


# Pending: awaiting.


async def test_pending_can_be_awaited_before_and_after_it_is_done():
    pending = Pending()
    asyncio.get_running_loop().call_soon(fulfil, pending, 1)
    assert await pending == 1
    assert await pending == 1


async def test_awaiting_a_failed_pending_raises_its_error():
    pending = Pending()
    asyncio.get_running_loop().call_soon(fail, pending, WorkError("no"))
    with pytest.raises(WorkError, match="no"):
        await pending


async def test_pending_can_be_awaited_on_the_loop_that_brings_it():
    loop = asyncio.get_running_loop()
    pending = Pending(loop)
    loop.call_soon(fulfil, pending, 1)
    assert await soon(pending) == 1


async def test_pending_is_awaited_on_several_loops_at_once():
    pending = Pending()

    async def elsewhere():
        return await pending

    with loop_on_a_thread() as one, loop_on_a_thread() as other:
        waits = [asyncio.run_coroutine_threadsafe(elsewhere(), loop) for loop in (one, other)]
        here = asyncio.ensure_future(pending)
        threading.Thread(target=fulfil, args=(pending, "all")).start()
        assert await soon(here) == "all"
        assert [wait.result(LIMIT) for wait in waits] == ["all", "all"]


async def test_wait_for_that_times_out_leaves_it_pending():
    pending = Pending()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pending, 0.01)
    assert not pending.done()
    fulfil(pending, 1)
    assert await pending == 1


async def test_cancelling_one_waiter_leaves_the_others_waiting():
    pending = Pending()
    first, second = asyncio.ensure_future(pending), asyncio.ensure_future(pending)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not pending.done()
    fulfil(pending, 2)
    assert await soon(second) == 2


async def test_gather_takes_pendings_as_they_are():
    pendings = [Pending() for _ in range(3)]
    for number, pending in enumerate(pendings):
        threading.Thread(target=fulfil, args=(pending, number)).start()
    assert await soon(asyncio.gather(*pendings)) == [0, 1, 2]


async def test_gather_that_is_cancelled_leaves_them_pending():
    pendings = [Pending(), Pending()]
    together = asyncio.gather(*pendings)
    await asyncio.sleep(0)
    together.cancel()
    with pytest.raises(asyncio.CancelledError):
        await together
    assert not any(pending.done() for pending in pendings)


async def test_asyncio_wait_takes_them_through_ensure_future():
    pending = Pending()
    waiter = asyncio.ensure_future(pending)
    fulfil(pending, 1)
    done, _ = await asyncio.wait([waiter], timeout=LIMIT)
    assert done == {waiter}


@pytest.mark.parametrize("settle", [fulfil, fail])
def test_a_done_pending_does_not_keep_its_callbacks(settle):
    class Owner:
        def note(self, _):
            self.is_noted = True

    pending, owner = Pending(), Owner()
    pending.add_done_callback(owner.note)
    settle(pending, WorkError("done"))
    assert owner.is_noted
    gone = weakref.ref(owner)
    del owner
    assert gone() is None


async def test_abandoned_pendings_log_nothing(caplog):
    caplog.set_level(logging.DEBUG)
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))
    never_awaited, timed_out, never_done = Pending(), Pending(), Pending()
    for pending in (timed_out, never_done):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pending, 0.01)
    fail(never_awaited, WorkError("nobody asks"))
    fail(timed_out, WorkError("nobody asks any more"))
    del never_awaited, timed_out, never_done, pending
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_outcome_after_the_waiters_loop_was_closed_logs_nothing(caplog):
    pending = Pending()
    loop = asyncio.new_event_loop()

    async def wait():
        await pending

    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert fulfil(pending, 1)
    assert caplog.records == []
    task._log_destroy_pending = False  # it is this test that leaves it behind
    del task


# HomeLoop.


@pytest.fixture
async def home():
    home = HomeLoop("the stream server")
    home.enter()
    yield home
    await home.leave()


NOT_RUNNING = "the stream server is not running. Enter it with `async with` or kit.start(…)."


def test_home_loop_can_be_made_without_a_loop_and_on_any_thread():
    home = HomeLoop("the stream server")
    assert home.loop is None
    assert not home.is_current()


async def test_home_loop_is_the_running_one_while_entered():
    home = HomeLoop("the stream server")
    home.enter()
    assert home.loop is asyncio.get_running_loop()
    assert home.is_current()
    assert not await asyncio.to_thread(home.is_current)
    await home.leave()
    assert home.loop is None
    assert not home.is_current()


def test_entering_without_a_running_loop_fails_and_leaves_it_free():
    home = HomeLoop("the stream server")
    with pytest.raises(RuntimeError):
        home.enter()
    assert home.loop is None


async def test_entering_twice_is_refused_in_words(home):
    with pytest.raises(RuntimeError) as caught:
        home.enter()
    expected = "the stream server is running already; stop it before entering it."
    assert str(caught.value) == expected


async def test_it_can_be_entered_again_after_leaving():
    home, seen = HomeLoop("the stream server"), []
    for turn in range(3):
        home.enter()
        home.call(seen.append, turn)
        await home.leave()
    assert seen == [0, 1, 2]


def test_it_can_be_entered_again_on_another_loop():
    home, loops = HomeLoop("the stream server"), []

    async def live():
        home.enter()
        loops.append(home.loop)
        value = await home.start(asyncio.sleep(0, "alive"))
        await home.leave()
        return value

    assert [asyncio.run(live()), asyncio.run(live())] == ["alive", "alive"]
    assert loops[0] is not loops[1]


async def test_call_does_not_run_the_command_before_it_returns(home):
    seen = []
    home.call(seen.append, 1)
    assert seen == []
    await asyncio.sleep(0)
    assert seen == [1]


async def test_commands_run_on_the_home_loop_from_any_thread(home):
    done = Pending()
    await asyncio.to_thread(home.call, lambda: fulfil(done, home.is_current()))
    assert await soon(done)


def test_command_wakes_a_loop_that_has_nothing_else_to_do():
    home = HomeLoop("the stream server")

    async def enter():
        home.enter()

    with loop_on_a_thread() as loop:
        run_on(loop, enter())
        for _ in range(3):
            idle = threading.Event()
            loop.call_soon_threadsafe(loop.call_soon, loop.call_soon, idle.set)
            assert idle.wait(LIMIT)
            done = home.make_pending()
            home.call(fulfil, done, "woken")
            assert done.result(LIMIT) == "woken"
        run_on(loop, home.leave())


async def test_commands_of_many_threads_are_carried_out_in_order(home):
    seen, count, threads = [], 200, 8

    def say(thread):
        for number in range(count):
            home.call(seen.append, (thread, number))

    await asyncio.to_thread(
        run_in_threads, [lambda thread=thread: say(thread) for thread in range(threads)]
    )
    last = Pending()
    home.call(fulfil, last, None)
    await soon(last)
    assert len(seen) == threads * count
    for thread in range(threads):
        assert [number for who, number in seen if who == thread] == list(range(count))


async def test_a_call_that_ctrl_c_ends_before_it_woke_the_loop_does_not_hold_up_the_next(home):
    """An interrupt of a cell may come between the queue and the loop's wake."""
    loop, done = asyncio.get_running_loop(), []
    home._loop = InterruptedLoop(loop)
    with pytest.raises(KeyboardInterrupt):
        home.call(done.append, "interrupted")
    home._loop = loop
    home.call(done.append, "next")
    await eventually(lambda: len(done) == 2)
    assert done == ["interrupted", "next"]


class InterruptedLoop:
    """A loop whose wake is interrupted before it has happened."""

    def __init__(self, loop):
        self.is_closed = loop.is_closed

    def call_soon_threadsafe(self, *_):
        raise KeyboardInterrupt


async def test_a_finaliser_may_give_a_command_while_one_is_given(home):
    """The garbage collector runs where memory is asked for, under the lock of `call`, too."""
    done = []

    class Queue(deque):
        is_first = True

        def append(self, item):
            if self.is_first:
                self.is_first = False
                home.call(done.append, "by the finaliser")
            super().append(item)

    home.queued = Queue()
    given = threading.Thread(target=home.call, args=(done.append, "by the thread"), daemon=True)
    given.start()
    await eventually(lambda: len(done) == 2)
    given.join(LIMIT)
    assert sorted(done) == ["by the finaliser", "by the thread"]


async def test_command_that_raises_does_not_take_the_next_away(home):
    complaints, seen = [], []
    asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))
    home.call(lambda: 1 / 0)
    home.call(seen.append, "next")
    await asyncio.sleep(0)
    assert seen == ["next"]
    (complaint,) = complaints
    assert complaint["message"] == "a command to the stream server failed"
    assert isinstance(complaint["exception"], ZeroDivisionError)


@pytest.mark.parametrize("kind", KINDS)
async def test_command_that_exits_does_not_take_the_next_away(home, kind):
    complaints, seen = [], []
    asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))

    def exits():
        raise kind("enough")

    home.call(exits)
    home.call(seen.append, "next")
    await asyncio.sleep(0)
    assert seen == ["next"]
    assert [type(complaint["exception"]) for complaint in complaints] == [kind]


async def test_command_said_by_a_command_comes_after_those_already_waiting(home):
    seen = []
    home.call(lambda: home.call(seen.append, "last"))
    home.call(seen.append, "first")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == ["first", "last"]


def test_call_before_entering_is_refused_in_words():
    with pytest.raises(ServerStopped) as caught:
        HomeLoop("the stream server").call(print)
    assert str(caught.value) == NOT_RUNNING


async def test_call_after_leaving_is_refused_in_words():
    home = HomeLoop("the stream server")
    home.enter()
    await home.leave()
    with pytest.raises(ServerStopped) as caught:
        home.call(print)
    assert str(caught.value) == NOT_RUNNING


async def test_commands_said_just_before_leaving_are_still_carried_out():
    home, seen = HomeLoop("the stream server"), []
    home.enter()
    for number in range(5):
        home.call(seen.append, number)
    await home.leave()
    assert seen == [0, 1, 2, 3, 4]
    await asyncio.sleep(0)
    assert seen == [0, 1, 2, 3, 4]


async def test_every_command_that_was_taken_is_carried_out_when_leaving_races_with_threads():
    for _ in range(20):
        home, seen, taken = HomeLoop("the stream server"), [], []
        home.enter()
        going = threading.Event()

        def say(home=home, seen=seen, taken=taken, going=going):
            for number in range(100000):
                try:
                    home.call(seen.append, number)
                except ServerStopped:
                    return
                taken.append(number)
                if number == 20:
                    going.set()

        thread = threading.Thread(target=say)
        thread.start()
        await asyncio.to_thread(going.wait, LIMIT)
        await home.leave()
        await asyncio.to_thread(thread.join, LIMIT)
        assert not thread.is_alive()
        assert seen == taken


def test_call_after_the_loop_was_closed_without_leaving_is_refused():
    home = HomeLoop("the stream server")

    async def enter_only():
        home.enter()

    asyncio.run(enter_only())
    with pytest.raises(ServerStopped):
        home.call(print)


# HomeLoop: work.


async def test_work_brings_its_result(home):
    assert await soon(home.start(asyncio.sleep(0, "done"))) == "done"


async def test_work_may_be_started_and_waited_for_on_another_thread(home):
    def elsewhere():
        work = asyncio.sleep(0.01, "done")  # sleeps: the work itself, so that there is a wait
        return home.start(work).result(LIMIT)

    assert await asyncio.to_thread(elsewhere) == "done"


async def test_work_that_raises_gives_its_error_to_the_pending_and_to_nobody_else(home, caplog):
    async def work():
        raise WorkError("no")

    pending = home.start(work())
    with pytest.raises(WorkError, match="no"):
        await soon(pending)
    del pending
    gc.collect()
    await asyncio.sleep(0)
    assert caplog.records == []


@pytest.mark.parametrize("kind", KINDS)
async def test_work_that_exits_gives_that_to_the_pending_and_leaves_the_loop(home, kind):
    async def work():
        await asyncio.sleep(0)
        raise kind("enough")

    pending, other = home.start(work()), home.start(asyncio.sleep(0.01, "done"))
    assert await asyncio.wait_for(other, LIMIT) == "done"
    assert type(pending.exception(0)) is kind


async def test_work_that_cancels_itself_is_not_reported_as_a_stop(home):
    async def work():
        other = asyncio.ensure_future(asyncio.Event().wait())
        other.cancel()
        await other

    pending, last = home.start(work()), home.start(asyncio.sleep(0.01))
    await asyncio.wait_for(last, LIMIT)
    assert isinstance(pending.exception(0), asyncio.CancelledError)


async def test_home_whose_loop_was_closed_is_entered_anew_without_its_old_commands():
    home, seen = HomeLoop("the stream server"), []

    async def enters_and_says_something():
        home.enter()
        asyncio.get_running_loop().stop()
        home.call(seen.append, "old")

    loop = asyncio.new_event_loop()
    task = loop.create_task(enters_and_says_something())
    await asyncio.to_thread(loop.run_forever)
    assert task.done()
    loop.close()
    home.enter()
    home.call(seen.append, "new")
    await home.leave()
    assert seen == ["new"]


async def test_result_of_own_work_on_the_home_loop_is_refused(home):
    pending = home.start(asyncio.sleep(0))
    with pytest.raises(WouldDeadlock):
        pending.result()
    with pytest.raises(WouldDeadlock):
        home.make_pending().result()
    await pending


async def test_giving_up_a_wait_does_not_end_the_work(home):
    release = asyncio.Event()

    async def work():
        await release.wait()
        return "done"

    pending = home.start(work())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pending, 0.01)
    release.set()
    assert await soon(pending) == "done"


async def test_leaving_cancels_the_work_and_fails_its_pending():
    home, ends = HomeLoop("the stream server"), []
    home.enter()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # cleaning up takes a moment, and is waited for
            ends.append("cleaned up")

    pendings = [home.start(work()) for _ in range(3)]
    await asyncio.sleep(0.01)  # sleeps: until the tasks have begun; nothing tells from outside
    await home.leave()
    assert ends == ["cleaned up"] * 3
    for pending in pendings:
        with pytest.raises(ServerStopped) as caught:
            pending.result(0)
        assert str(caught.value) == NOT_RUNNING


async def test_work_that_was_not_begun_fails_when_its_home_is_left():
    home = HomeLoop("the stream server")
    home.enter()
    pending = home.start(asyncio.sleep(0))
    await home.leave()
    with pytest.raises(ServerStopped):
        pending.result(0)
    gc.collect()  # a coroutine never awaited would warn here, and warnings are errors


def test_work_given_to_what_was_never_entered_fails_without_a_warning():
    pending = HomeLoop("the stream server").start(asyncio.sleep(0))
    with pytest.raises(ServerStopped) as caught:
        pending.result(0)
    assert str(caught.value) == NOT_RUNNING
    gc.collect()


async def test_work_that_ends_just_before_leaving_keeps_its_result():
    home = HomeLoop("the stream server")
    home.enter()
    release = asyncio.Event()

    async def work():
        await release.wait()
        return "done"

    pending = home.start(work())
    await asyncio.sleep(0)
    release.set()
    await asyncio.sleep(0)
    await home.leave()
    assert pending.result(0) == "done"


async def test_work_may_leave_its_own_home():
    home = HomeLoop("the stream server")
    home.enter()

    async def work():
        await home.leave()
        return "left"

    assert await soon(home.start(work())) == "left"
    assert home.loop is None


async def test_leaving_what_was_never_entered_does_nothing():
    await HomeLoop("the stream server").leave()


async def test_work_started_by_work_ends_with_the_home_too():
    home, inner = HomeLoop("the stream server"), []
    home.enter()

    async def work():
        inner.append(home.start(asyncio.Event().wait()))
        await asyncio.Event().wait()

    outer = home.start(work())
    await asyncio.sleep(0.01)  # sleeps: until the tasks have begun; nothing tells from outside
    await home.leave()
    for pending in (outer, *inner):
        assert isinstance(pending.exception(0), ServerStopped)


async def test_command_does_not_change_the_context_of_those_who_wait(home):
    variable = contextvars.ContextVar("variable", default="outside")

    async def work():
        variable.set("inside")

    await home.start(work())
    assert variable.get() == "outside"


async def test_end_tasks_waits_for_all_but_the_task_that_says_it():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    tasks = {asyncio.create_task(work()) for _ in range(3)}
    await asyncio.sleep(0)
    await end_tasks(tasks | {asyncio.current_task()})
    assert len(ended) == 3
    await end_tasks(set())


# HomeLoop: a hurry.


class HurriedLoop(asyncio.SelectorEventLoop):
    """A loop that counts how often it was asked to hurry."""

    hurries = 0

    def hurry(self):
        self.hurries += 1

    def relax(self):
        self.hurries -= 1


def test_hurry_lasts_as_long_as_the_block_even_when_it_raises():
    loop, home, seen = HurriedLoop(), HomeLoop("the stream server"), []

    async def live():
        home.enter()
        with home.hurry_loop(), home.hurry_loop():
            seen.append(loop.hurries)
        with pytest.raises(WorkError), home.hurry_loop():
            raise WorkError
        await home.leave()
        with home.hurry_loop():
            seen.append(loop.hurries)

    loop.run_until_complete(live())
    loop.close()
    assert seen == [2, 0]
    assert loop.hurries == 0


async def test_loop_that_cannot_hurry_is_left_alone(home):
    with home.hurry_loop():
        assert home.is_current()


async def test_work_is_done_on_a_thread_of_that_name():
    name = await soon(on_worker("digger", lambda: threading.current_thread().name))
    assert name == "digger"


async def test_error_of_the_work_goes_to_the_one_who_waits():
    def fails():
        raise KeyError("nothing there")

    with pytest.raises(KeyError, match="nothing there"):
        await soon(on_worker("digger", fails))


def test_work_that_blocks_blocks_nobody_who_does_not_wait():
    go = threading.Event()
    pending = on_worker("digger", lambda: go.wait(5))
    assert not pending.done()
    with pytest.raises(TimeoutError, match="still on its way"):
        pending.result(0.01)
    go.set()
    assert pending.result(5) is True


def test_work_for_which_no_thread_can_be_started_fails_for_the_one_who_waits(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pending = on_worker("digger", lambda: 1)
    with pytest.raises(TwistreamError) as caught:
        pending.result(0)
    assert str(caught.value) == (
        "no thread could be started for digger: can't start new thread. It was not done. "
        "End other work of this process or of this machine, then try again."
    )


async def test_commands_of_threads_the_loop_and_callbacks_have_one_order():
    home, carried_out, depth, deepest = HomeLoop("the test"), [], 0, 0
    home.enter()
    returned = {1: -1, 2: -1}  # of each thread: the last command whose call has returned

    def carry_out(source, number):
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        carried_out.append((source, number))
        if source != "callback" and number % 3 == 0:  # as a done-callback would
            home.carry_out(carry_out, "callback", (source, number))
            assert carried_out[-1] == (source, number), "it recursed"
        depth -= 1

    def talk(thread):
        for number in range(300):
            home.carry_out(carry_out, thread, number)
            returned[thread] = number

    threads = [threading.Thread(target=talk, args=(number,)) for number in returned]
    for thread in threads:
        thread.start()
    for number in range(300):
        before = {(thread, last) for thread, last in returned.items() if last >= 0}
        home.carry_out(carry_out, "loop", number)
        assert ("loop", number) in carried_out, "it was put off"
        assert before <= set(carried_out), "it overtook a thread's"
        await asyncio.sleep(0)
    await eventually(lambda: len(carried_out) == 900 + 300)
    for source in (1, 2, "loop"):
        assert [n for s, n in carried_out if s == source] == list(range(300))
    assert len({key for source, key in carried_out if source == "callback"}) == 300
    assert deepest == 1
    await home.leave()


async def test_a_command_that_fails_is_reported_and_the_next_is_carried_out():
    home, problems, done = HomeLoop("the test"), [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    home.enter()

    def fail_in_a_command():
        home.carry_out(done.append, "behind")
        raise SystemExit(3)

    home.carry_out(fail_in_a_command)
    home.carry_out(done.append, "after")
    assert done == ["behind", "after"]
    assert [str(context["exception"]) for context in problems] == ["3"]
    await home.leave()
    with pytest.raises(ServerStopped):
        home.carry_out(done.append, "late")


def test_a_pending_makes_its_lock_only_when_somebody_waits():
    pending = Pending()
    assert not pending.done()
    assert isinstance(pending, Future)
    fulfil(pending, 7)
    assert pending.done()
    assert "_condition" not in vars(pending)
    assert pending.result(0) == 7
    waited_for = Pending()
    done = []
    waited_for.add_done_callback(done.append)
    assert "_condition" in vars(waited_for)
    fulfil(waited_for, 8)
    assert done == [waited_for]
    assert wait_for_futures([pending, waited_for], 10).not_done == set()


def test_waits_and_callbacks_that_come_with_the_result_miss_nothing():
    for _ in range(300):
        pending, seen = Pending(), []
        threads = [
            threading.Thread(target=fulfil, args=(pending, 1)),
            threading.Thread(target=lambda p=pending, s=seen: s.append(p.result(LIMIT))),
            threading.Thread(target=pending.add_done_callback, args=(seen.append,)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert sorted(map(str, seen)) == sorted(["1", str(pending)])
