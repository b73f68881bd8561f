"""An async context manager on a thread of its own, for tests that have no loop."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.errors import TwistreamError
from twistream_kit.simulator._own_thread import on_own_thread


class Guest:
    """Notes who enters and leaves it; may fail, or hang."""

    def __init__(self, *, enter=None, leave=None):
        self.enter, self.leave = enter, leave
        self.tasks = []
        self.was_cancelled = False

    async def __aenter__(self):
        self.tasks.append(asyncio.current_task())
        self.thread = threading.current_thread()
        await self._do(self.enter)
        return self

    async def __aexit__(self, *_):
        self.tasks.append(asyncio.current_task())
        await self._do(self.leave)

    async def _do(self, what):
        if isinstance(what, Exception):
            raise what
        if what == "hang":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.was_cancelled = True
                raise


def test_it_is_entered_and_left_by_one_task_of_another_thread():
    guest = Guest()
    with on_own_thread(guest) as value:
        assert value is guest
        assert guest.thread is not threading.current_thread()
        assert len(guest.tasks) == 1
    entered, left = guest.tasks
    assert entered is left
    assert not guest.thread.is_alive()


def test_what_goes_wrong_on_entering_is_raised_in_the_thread_that_waits():
    guest = Guest(enter=ValueError("no room"))
    with pytest.raises(ValueError, match="no room"), on_own_thread(guest):
        pytest.fail("it was never entered")
    assert len(guest.tasks) == 1


def test_what_goes_wrong_on_leaving_is_raised_too():
    with (
        pytest.raises(ValueError, match="lost the key"),
        on_own_thread(Guest(leave=ValueError("lost the key"))),
    ):
        pass


def test_it_is_left_when_the_block_fails():
    guest = Guest()
    with pytest.raises(KeyError), on_own_thread(guest):
        raise KeyError("x")
    assert len(guest.tasks) == 2


def test_what_never_enters_is_given_up_and_cancelled():
    guest = Guest(enter="hang")
    with (
        pytest.raises(TwistreamError, match=r"Guest did not start within 0\.05 s"),
        on_own_thread(guest, limit=0.05),
    ):
        pytest.fail("it was never entered")
    guest.thread.join(LIMIT_SECONDS)
    assert guest.was_cancelled


def test_what_never_leaves_is_given_up():
    guest = Guest(leave="hang")
    with (
        pytest.raises(TwistreamError, match=r"Guest did not stop within 0\.05 s"),
        on_own_thread(guest, limit=0.05),
    ):
        pass
    guest.tasks[0].get_loop().call_soon_threadsafe(guest.tasks[0].cancel)
    guest.thread.join(LIMIT_SECONDS)
    assert guest.was_cancelled
    assert not guest.thread.is_alive()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("when", ["enter", "leave"])
def test_an_exit_there_is_an_error_here_and_no_exit(when, kind):
    class Exits(Guest):
        async def _do(self, what):
            if what == "exit":
                raise kind("enough")

    with (
        pytest.raises(
            TwistreamError, match=rf"^{kind.__name__}: enough ended the loop of"
        ) as caught,
        on_own_thread(Exits(**{when: "exit"})),
    ):
        assert when == "leave"
    assert isinstance(caught.value.__cause__, kind)


def test_an_exit_in_a_callback_there_leaves_what_ran_there_and_is_an_error_here():
    guest = Guest()
    with (
        pytest.raises(TwistreamError, match=r"^SystemExit: 3 ended the loop of Guest") as caught,
        on_own_thread(guest),
    ):
        loop = guest.tasks[0].get_loop()
        loop.call_soon_threadsafe(sys.exit, 3)
        guest.thread.join(LIMIT_SECONDS)
    assert len(guest.tasks) == 2
    assert caught.value.fix
