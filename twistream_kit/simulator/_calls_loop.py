"""One thread with an event loop for all simulated calls of this process that have no other loop.

Threads with a loop each would wait for one another's lock of the interpreter: with a hundred of
them frames came up to a second late.  On one loop, with one timer, calls take turns as tasks do.
The thread begins with the first call and ends with the last one under way.  No code of the user may
run on it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twistream_kit.guard import report
from twistream_kit.simulator.stream.pacer import Pacer

THREAD_NAME = "simulated calls"
"""The name of the thread, as it shows in a list of threads."""


class SharedLoop:
    """What calls on one loop share.

    Attributes:
        pacer: The timer of all.
        review_turn: Held by the one that reviews the rest of its sound, after its end.
    """

    def __init__(self) -> None:
        self.pacer = Pacer(least_gap=LEAST_GAP)
        self.review_turn = asyncio.Lock()


Work = Callable[[SharedLoop], Coroutine[Any, Any, None]]
"""Returns the coroutine of one call; it must raise nothing but a cancellation."""

LEAST_GAP = 0.5
"""After a stall of this process each call gets its frames at twice the speed, not all at once: what
the server answers to one frame can then come before the next, as it would have without the stall.
"""

_lock = threading.RLock()  # a finaliser may begin a call anywhere
_current: _CallsThread | None = None
_of_parent: list[_CallsThread] = []
"""What a forked child has inherited: kept, since closing a loop would change what both share."""


def run_call(work: Work, abandon: Callable[[], object]) -> None:
    """Run a call on the shared loop, beginning its thread if there is none; from any thread.

    Args:
        work: Returns the coroutine of the call.
        abandon: Called if the loop ends before the call.

    Raises:
        RuntimeError: If no thread can be started.
    """
    global _current  # noqa: PLW0603 - one for the process, as is its purpose
    with _lock:
        if _current is None:
            _current = _CallsThread()
        _current.add(work, abandon)


def begin_thread(name: str, work: Callable[..., object], *args: Any) -> None:
    """Run ``work(*args)`` on a thread of its own, since it is or calls code of the user.

    Where no thread can be started, it runs here.
    """
    try:
        threading.Thread(target=work, args=args, name=name, daemon=True).start()
    except RuntimeError:
        work(*args)


class _CallsThread:
    """The thread from the first call to the last; all but `add` runs on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._abandons: dict[Work, Callable[[], object]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared = SharedLoop()
        self._over = asyncio.Event()
        thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        try:
            thread.start()
        except BaseException:
            self._loop.close()
            raise

    def add(self, work: Work, abandon: Callable[[], object]) -> None:
        """Begin a call; the caller holds the lock."""
        self._loop.call_soon_threadsafe(self._begin, work)
        self._abandons[work] = abandon

    def _begin(self, work: Work) -> None:
        task = self._loop.create_task(work(self._shared))
        self._tasks.add(task)  # a loop has only a weak reference to it
        task.add_done_callback(partial(self._end, work))

    def _end(self, work: Work, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return  # the loop ends, and `_run` abandons it
        with _lock:
            del self._abandons[work]
            if not self._abandons:
                self._retire()

    def _retire(self) -> None:
        """Let the next call begin another thread, and end this one."""
        global _current  # noqa: PLW0603 - see `run_call`
        with _lock:
            if _current is self:
                _current = None
        self._over.set()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                try:
                    runner.run(self._serve())
                finally:
                    self._retire()  # before the loop is closed, which cancels what is left
        except BaseException as error:  # noqa: BLE001 - a thread has nobody to raise it to
            report("the event loop of all simulated calls has ended, and every call on it", error)
        finally:
            for abandon in self._abandons.values():
                abandon()

    async def _serve(self) -> None:
        async with self._shared.pacer:
            await self._over.wait()


def _leave_to_parent() -> None:
    """Forget in a forked child the thread that only its parent has."""
    global _current, _lock
    if _current is not None:
        _of_parent.append(_current)
    _current, _lock = None, threading.RLock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_leave_to_parent)
