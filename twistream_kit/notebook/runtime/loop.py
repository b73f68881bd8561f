"""The event loop of the kit, a class of its own, so that only this loop is made re-entrant.

An async handler that calls ``pending.result()`` would block the loop that has to produce the
result.  Only in this case the loop is entered again while it waits.  nest_asyncio can do that, but
its ``apply`` patches the class of the loop it is given, the kernel's too, and `asyncio.run` for the
whole process, after which a notebook's Run All can hang for ever.  So only this class is patched,
by the private ``_patch_loop``; the package is archived and pinned, so that function cannot change.

The loop runs on one thread for all calls.  `asyncio` lets SystemExit and KeyboardInterrupt out of
any task or callback through ``run_forever``; here they are logged, and the loop continues.  If its
thread ends nevertheless, every `Pending` that only this loop can complete fails.

`allow_nested_asyncio` is for users who want `asyncio.run()` in their own cells; it patches the
kernel's loop, and the kit itself never needs it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata as metadata
import logging
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import nest_asyncio

from twistream_kit.errors import ServerStopped, SettingsError, WouldDeadlock
from twistream_kit.guard import Guard, format_error, report
from twistream_kit.pending import Pending, fail

logger = logging.getLogger("twistream_kit.notebook")

LEAVE_SECONDS = 5.0
"""How long the context managers may take to be left when the thread ends unexpectedly."""

CANCEL_SECONDS = 1.0
"""How long all other tasks may take to end afterwards."""

HURRIED_SWITCH_SECONDS = 0.001
"""The interpreter's switch interval while a call is active.  Measured: a cell that computes in pure
Python then delays the server by 3.5 ms instead of 15, and is slowed by at most an eighth."""

HOW_TO_START_A_SERVER = (
    'kit.start(kit.ServerProcess([sys.executable, "-m", "uvicorn", "mine:app", "--port", "0"]))'
)
"""The line that runs a server with a runner of its own, which is in the file ``mine.py``."""

SAFE_NEST_ASYNCIO2 = (1, 7, 3)
"""From here on nest_asyncio2 keeps the messages that reach the kernel during a nested run."""

_PlatformLoop: Any = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)


class KitLoop(_PlatformLoop):  # type: ignore[misc]
    """An event loop that can be entered again while one of its own tasks waits.

    Attributes:
        is_ending: Whether its thread is ending or has ended; it accepts nothing more then.
    """

    _run_once: Any

    def __init__(self) -> None:
        super().__init__()
        self.is_ending = False
        self._is_retired = False
        self._is_over = False
        self._pendings: weakref.WeakSet[Pending[Any]] = weakref.WeakSet()
        self._kept: dict[asyncio.Task[None], Callable[[], object]] = {}
        self._nested = 0
        self._hurried = 0
        self._usual_switch = sys.getswitchinterval()
        self._lock = threading.RLock()  # a finaliser may make a Pending anywhere
        nest_asyncio._patch_loop(self)  # noqa: SLF001 - see the module
        # C tasks refuse to be entered while another one runs; the Python ones do not.
        self.set_task_factory(_make_task)
        self._run_patched = self._run_once
        # On the instance: the patch is on the class, for all loops, and may have been made before.
        self._run_once = self._run_guarded

    def run_on_thread(self) -> None:
        """Run until it is stopped, then end everything on it and close it; a thread's target."""
        error: BaseException | None = None
        try:
            self.run_forever()
        except BaseException as raised:  # noqa: BLE001 - whatever it is, the waiting callers must get it
            error = raised
        finally:
            self._end(error)

    def retire(self) -> None:
        """Stop for good, because the interpreter exits; on the loop."""
        self._is_retired = True
        self.stop()

    def adopt(self, pending: Pending[Any]) -> None:
        """Fail `pending` with `ServerStopped` when the thread ends, or now if it has."""
        with self._lock:
            if not self._is_over:
                self._pendings.add(pending)
                return
        fail(pending, _make_loop_ended_error())

    def keep(
        self, work: Coroutine[Any, Any, None], end: Callable[[], object], name: str
    ) -> asyncio.Task[None]:
        """Run `work` as a task, and call ``end()`` to end it in order when the thread ends.

        It must be called on the loop.
        """
        task: asyncio.Task[None] = self.create_task(work, name=name)
        self._kept[task] = end
        task.add_done_callback(lambda done: self._kept.pop(done, None))
        return task

    def run_nested(self, pending: Pending[Any], timeout: float | None) -> None:
        """Run the loop until `pending` is done, or `timeout` seconds are over.

        Raises:
            WouldDeadlock: If another nested wait is under way: they end last in, first out, so
                the first would wait for the second.
        """
        if self._nested:
            raise WouldDeadlock(
                "result() was called on the kit's loop while another such call waits there",
                consequence="Nested waits end last in, first out: the first would wait for this",
                fix="Use `await pending`, or make the handler an ordinary function",
            )
        self._nested += 1
        try:
            self.run_until_complete(_wait_until_done(pending, timeout))
        finally:
            self._nested -= 1

    def hurry(self) -> None:
        """Shorten the interpreter's switch interval while at least one call is active."""
        with self._lock:
            self._hurried += 1
            if self._hurried == 1:
                self._usual_switch = sys.getswitchinterval()
                sys.setswitchinterval(min(HURRIED_SWITCH_SECONDS, self._usual_switch))

    def relax(self) -> None:
        """Restore the switch interval when the last call is over."""
        with self._lock:
            self._hurried -= 1
            if self._hurried == 0:
                sys.setswitchinterval(self._usual_switch)

    def _run_guarded(self) -> None:
        # Each turn takes its callbacks from the queue first, so none is called twice or lost.
        try:
            self._run_patched()
        except (SystemExit, KeyboardInterrupt) as error:
            report("a task or a callback tried to end the kit's event loop; it goes on", error)

    def stop(self) -> None:
        """Stop the loop for good: its thread ends; nothing happens if it is ending already."""
        if not self.is_ending:
            super().stop()

    def _end(self, error: BaseException | None) -> None:
        self.is_ending = True
        self._stopping = False  # else every wait below would return at once
        if not self._is_retired:
            why = "it was stopped" if error is None else format_error(error)
            logger.error(
                "the kit's event loop has ended (%s), and everything started on it; "
                "kit.start(…) makes a new one",
                why,
                exc_info=error,
            )
        for end in (self._leave_in_order, self._cancel_others, self._fail_pendings, self.close):
            with Guard("an error occurred while the kit's event loop ended"):
                end()

    def _leave_in_order(self) -> None:
        deadline = time.monotonic() + LEAVE_SECONDS
        for task, end in reversed(list(self._kept.items())):
            end()
            limit = max(0.0, deadline - time.monotonic())
            self._finish(asyncio.wait({task}, timeout=limit))

    def _cancel_others(self) -> None:
        if tasks := asyncio.all_tasks(self):
            for task in tasks:
                task.cancel()
            self._finish(asyncio.wait(tasks, timeout=CANCEL_SECONDS))
        self._finish(self.shutdown_asyncgens())

    def _finish(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            self.run_until_complete(work)
        finally:
            work.close()  # a broken loop did not start it

    def _fail_pendings(self) -> None:
        with self._lock:
            self._is_over = True
            left = list(self._pendings)
            if self._hurried:
                sys.setswitchinterval(self._usual_switch)
        for pending in left:
            fail(pending, _make_loop_ended_error())


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.tasks._PyTask(work, loop=loop, **options)  # type: ignore[attr-defined]  # noqa: SLF001 - see the module
    return task


async def _wait_until_done(pending: Pending[Any], timeout: float | None) -> None:
    await asyncio.wait([asyncio.wrap_future(pending)], timeout=timeout)


def _make_loop_ended_error() -> ServerStopped:
    return ServerStopped(
        "the kit's event loop has ended",
        consequence="The result cannot arrive any more",
        fix="Start everything again with kit.start(…), which makes a new loop",
    )


_WHAT_WORKS = (
    "asyncio.run() and run_until_complete() work in cells now; asyncio.Runner does not, nor what"
    " makes one, such as uvicorn.run(). Start such a server beside the cells: "
    f"{HOW_TO_START_A_SERVER}."
)


def allow_nested_asyncio() -> str:
    """Make `asyncio.run()` and `run_until_complete()` work in this notebook's cells.

    `asyncio.Runner` does not work in cells, and with it what makes one, such as ``uvicorn.run``;
    `ServerProcess` runs such a server beside the cells.

    On ipykernel 7.1 and newer a nested run under nest_asyncio 1.6.0 loses the cells that are queued
    behind it: Run All then hangs for ever.  On those versions nest_asyncio2 is applied, on older
    ones nest_asyncio, never both.  It may be called before or after `kit.start`, and repeatedly.

    Returns:
        The name of the package that is applied, and what works now and what does not.

    Raises:
        SettingsError: If the kernel's loop cannot be patched, or the wrong package has been
            applied already.

    Example:
        >>> import twistream_kit as kit
        >>> import asyncio
        >>> kit.allow_nested_asyncio()
        'nest_asyncio... is applied: asyncio.run() and run_until_complete() work in cells now; ...'
        >>> async def cell():
        ...     return asyncio.run(asyncio.sleep(0, "run inside a running loop"))
        >>> asyncio.run(cell())
        'run inside a running loop'
    """
    if _find_applied() is not None:
        return _check_applied(str(_find_applied()))
    module = "nest_asyncio2" if _loses_cells() else "nest_asyncio"
    if module == "nest_asyncio2" and _read_version(module) < SAFE_NEST_ASYNCIO2:
        raise SettingsError(
            f"nest_asyncio2 {metadata.version(module)} loses queued cells on this kernel",
            consequence="Run All would hang for ever",
            fix="Install nest-asyncio2 1.7.3 or newer, or use `await` instead of asyncio.run()",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            __import__(module).apply()
    except ValueError as error:
        loop = type(asyncio.get_event_loop()).__name__
        raise SettingsError(
            f"the kernel's event loop, {loop}, cannot be entered again",
            consequence="asyncio.run() will not work in a cell",
            fix="Use `await` instead, which every cell allows",
        ) from error
    return f"{module} {metadata.version(module)} is applied: {_WHAT_WORKS}"


def _find_applied() -> str | None:
    if hasattr(asyncio, "_nest_asyncio2"):
        return "nest_asyncio2"
    return "nest_asyncio" if hasattr(asyncio, "_nest_patched") else None


def _check_applied(module: str) -> str:
    if module == "nest_asyncio" and _loses_cells():
        raise SettingsError(
            "nest_asyncio has already been applied, and on this kernel it loses queued cells",
            consequence="Run All would hang for ever",
            fix="Restart the kernel and call kit.allow_nested_asyncio() in place of "
            "nest_asyncio.apply()",
        )
    return f"{module} {metadata.version(module)} was applied before: {_WHAT_WORKS}"


def _loses_cells() -> bool:
    try:
        return _read_version("ipykernel") >= (7, 1)
    except metadata.PackageNotFoundError:
        return False


def _read_version(package: str) -> tuple[int, ...]:
    numbers = metadata.version(package).split(".")[:3]
    return tuple(int(number) for number in numbers if number.isdigit())
