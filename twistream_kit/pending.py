"""Results that take time, and the loop or the thread they come from.

A notebook has several threads and at least two event loops: cells run on the kernel's, widget
callbacks on one that nobody can predict, our sockets on a third.  So a command is a plain
function that any thread may call, and what takes time returns a `Pending` that any of them may
wait for: with ``await`` on whatever loop, or with ``.result(timeout)``.

An object that lives on a loop has a `HomeLoop`, by which any thread reaches it there.  Blocking
work, such as the Twilio SDK's, is done by `on_worker` on a thread of its own, never on a loop.
What foreign code raises, a `Guard` keeps away from both.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from twistream_kit.errors import ServerStopped, TwistreamError, WouldDeadlock

T = TypeVar("T")

logger = logging.getLogger("twistream_kit")


class Pending(Future[T]):
    """A result that is on its way, and gets exactly one outcome.

    It is a `concurrent.futures.Future` that nobody outside can cancel or fulfil, because what it
    stands for (a call that rings, a sound that plays) goes on whether somebody waits or not.
    ``await pending`` works on any loop, and ending that wait by a timeout or a cancellation ends
    only that wait.  ``pending.result(timeout)`` blocks the thread that says it.

    Args:
        home: The loop that brings the result, where there is one: waiting *on that loop* with
            `result` would stop it, and is refused.
    """

    def __init__(self, home: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._home = home
        self._settled = False
        super().set_running_or_notify_cancel()
        if home is not None and isinstance(home, EndingLoop):
            home.adopt(self)

    def __await__(self) -> Generator[Any, None, T]:
        # wrap_future forwards a cancelled wait to `cancel`, which refuses.
        return asyncio.wrap_future(self).__await__()

    def cancel(self) -> bool:
        """Return False: what has been started goes on, whoever waits for it."""
        return False

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result.

        On the kit's own loop, inside an async function, the loop is entered again meanwhile; a
        second such wait at the same time is refused, because nested waits end last in, first out.

        Args:
            timeout: In seconds; None waits without limit.  Timing out leaves it pending.

        Raises:
            TimeoutError: If there is no outcome within `timeout`.
            WouldDeadlock: If this thread is the one that has to bring the result.
        """
        self._prepare_wait(timeout)
        try:
            return super().result(0 if self._waits_on_a_nested_loop() else timeout)
        except TimeoutError:
            if self.done():
                raise
            raise TimeoutError(_still_pending(timeout)) from None
        except TwistreamError as error:
            # Its words say it all; the frames it came through, more with each call, do not.
            raise error.with_traceback(None) from error.__cause__

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait like `result`, and return the error, or None."""
        self._prepare_wait(timeout)
        try:
            return super().exception(0 if self._waits_on_a_nested_loop() else timeout)
        except TimeoutError:
            raise TimeoutError(_still_pending(timeout)) from None

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Have ``fn(self)`` called when there is an outcome, or at once if there is one.

        It is called on the thread that brings the outcome.  What it raises, ``sys.exit()``
        included, is logged with its traceback and goes no further.
        """
        super().add_done_callback(partial(_call_back, fn))

    def set_result(self, result: T) -> None:  # noqa: ARG002 - Future's signature
        """Refuse: only the owner fulfils it."""
        raise TypeError("a Pending is fulfilled by what it stands for, not from outside")

    def set_exception(self, exception: BaseException | None) -> None:  # noqa: ARG002 - Future's
        """Refuse: only the owner fulfils it."""
        raise TypeError("a Pending is fulfilled by what it stands for, not from outside")

    def set_running_or_notify_cancel(self) -> bool:
        """Refuse: it has been running since it was made."""
        raise TypeError("a Pending runs from the moment it is made")

    def __repr__(self) -> str:
        if not self.done():
            return f"<{type(self).__name__}: pending>"
        error = super().exception(0)
        state = repr(super().result(0)) if error is None else f"{type(error).__name__}: {error}"
        return f"<{type(self).__name__}: {state}>"

    def _waits_on_a_nested_loop(self) -> bool:
        return isinstance(running_loop(), ReentrantLoop)

    def _prepare_wait(self, timeout: float | None) -> None:
        loop = running_loop()
        if loop is None or self.done():
            return
        if isinstance(loop, ReentrantLoop):
            loop.run_nested(self, timeout)
        elif loop is self._home:
            raise WouldDeadlock(
                "result() was called on the event loop that has to bring the result",
                consequence="Both would wait for ever",
                fix="Say `await` instead, or call it from an ordinary function on another thread",
            )

    def _drop_callback(self, fn: Callable[[Future[T]], object]) -> None:
        with self._condition:
            kept = self._done_callbacks  # type: ignore[has-type]
            self._done_callbacks = [each for each in kept if getattr(each, "args", ()) != (fn,)]

    def _settle(self, value: T | None, error: BaseException | None) -> bool:
        with self._condition:
            if self._settled:
                return False
            self._settled = True
        # Outside the lock: done callbacks run here, and may be anybody's.
        if error is None:
            super().set_result(value)  # type: ignore[arg-type]
        else:
            super().set_exception(error)
        return True


def _call_back(function: Callable[[Future[T]], object], done: Future[T]) -> None:
    with Guard(f"a done-callback of a {type(done).__name__} failed"):
        function(done)


def _still_pending(timeout: float | None) -> str:
    return f"no result within {timeout} s; it is still on its way and can be waited for again"


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def fulfil(pending: Pending[T], value: T) -> bool:
    """Give `pending` its result; return False if it has an outcome already.  Owners only."""
    return pending._settle(value, None)  # noqa: SLF001 - the owner's side of the same class


def fail(pending: Pending[Any], error: BaseException) -> bool:
    """Give `pending` an error; return False if it has an outcome already.  Owners only."""
    return pending._settle(None, error)  # noqa: SLF001 - the owner's side of the same class


def drop_callback(pending: Pending[Any], fn: Callable[[Future[Any]], object]) -> None:
    """Have `pending` forget a done-callback, which it would else keep until its outcome.

    `asyncio.Future.remove_done_callback` does so; `concurrent.futures` has nothing like it.
    """
    pending._drop_callback(fn)  # noqa: SLF001 - the owner's side of the same class


@runtime_checkable
class ReentrantLoop(Protocol):
    """A loop that can be entered again while it runs, such as `notebook.runtime.loop.KitLoop`."""

    def run_nested(self, pending: Pending[Any], timeout: float | None) -> None:
        """Run the loop until `pending` is done or `timeout` seconds are over."""


@runtime_checkable
class HurryingLoop(Protocol):
    """A loop on a thread of its own that can ask for shorter turns of the others."""

    def hurry(self) -> None:
        """Ask for them; may be asked several times over."""

    def relax(self) -> None:
        """Take one asking back."""


@runtime_checkable
class EndingLoop(Protocol):
    """A loop that fails what still waits for it when its thread ends."""

    def adopt(self, pending: Pending[Any]) -> None:
        """Take in a `Pending` that only this loop can bring."""


class HomeLoop:
    """The loop that an object was entered on, and the way to it from any thread.

    Args:
        owner: What to call the object in an error, such as ``"the stream server"``.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._commands: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop while the object is entered, else None."""
        return self._loop

    def enter(self) -> None:
        """Take the running loop as home; for ``__aenter__``."""
        with self._lock:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError(f"{self._owner} is running already; stop it before entering it")
            if self._loop is not None:  # its thread ended before it could be left
                self._commands.clear()
                self._tasks.clear()
            self._loop = asyncio.get_running_loop()

    async def leave(self) -> None:
        """Carry out what was commanded so far, end the tasks, take no more; for ``__aexit__``."""
        with self._lock:
            self._loop = None
        self._carry_out()
        await end_tasks(self._tasks)

    def is_current(self) -> bool:
        """Whether the calling code runs on the home loop."""
        return self._loop is not None and running_loop() is self._loop

    @contextmanager
    def in_a_hurry(self) -> Iterator[None]:
        """While it lasts, a loop beside the notebook's cells gets its turns sooner."""
        loop: object = self._loop
        if not isinstance(loop, HurryingLoop):
            yield
            return
        loop.hurry()
        try:
            yield
        finally:
            loop.relax()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Have ``function(*args)`` called on the loop, soon and in order; from any thread.

        Raises:
            ServerStopped: If the object is not entered.
        """
        with self._lock:
            if self._loop is None:
                raise self._stopped()
            self._commands.append((function, args))
            try:
                self._loop.call_soon_threadsafe(self._carry_out)
            except RuntimeError as error:  # the loop was closed under us
                self._commands.clear()
                raise self._stopped() from error

    def pending(self) -> Pending[Any]:
        """Make a `Pending` that this loop will bring."""
        return Pending(self._loop)

    def start(self, work: Coroutine[Any, Any, T]) -> Pending[T]:
        """Run a coroutine on the loop as a task that ends with the object; from any thread.

        If the object stops first, the `Pending` gets a `ServerStopped`.
        """
        pending: Pending[T] = self.pending()
        try:
            self.call(self._begin, work, pending)
        except ServerStopped as error:
            work.close()
            fail(pending, error)
        return pending

    def _begin(self, work: Coroutine[Any, Any, T], pending: Pending[T]) -> None:
        if self._loop is None:
            work.close()
            fail(pending, self._stopped())
            return
        task = self._loop.create_task(_outcome_of(work))
        self._tasks.add(task)

        def end(done: asyncio.Task[tuple[T | None, BaseException | None]]) -> None:
            work.close()  # a task that is cancelled before its first step never began it
            self._ended(done, pending)

        task.add_done_callback(end)

    def _ended(
        self, task: asyncio.Task[tuple[T | None, BaseException | None]], pending: Pending[T]
    ) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            fail(pending, self._stopped())
        else:
            pending._settle(*task.result())  # noqa: SLF001 - the owner's side

    def _carry_out(self) -> None:
        while self._commands:
            function, args = self._commands.popleft()
            loop = asyncio.get_running_loop()
            # One command must not take the next away.
            with Guard(f"a command to {self._owner} failed", loop=loop):
                function(*args)

    def _stopped(self) -> ServerStopped:
        return ServerStopped(
            f"{self._owner} is not running", fix="Enter it with `async with` or kit.start(…)"
        )


async def _outcome_of(work: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    # A task that raises SystemExit or KeyboardInterrupt takes its loop along, so nothing is raised.
    try:
        return await work, None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None, error
    except GeneratorExit as error:
        if running_loop() is None:  # the loop is gone, and the coroutine is being closed
            raise
        return None, error
    except BaseException as error:  # noqa: BLE001 - it goes to those who wait
        return None, error


async def end_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until each has ended; safe to call from one of them."""
    others = [task for task in tasks if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)


async def stop_listening(
    listener: asyncio.Server | None, connections: set[asyncio.Task[Any]]
) -> None:
    """Accept no more, end the tasks of the `connections`, and wait until nothing is left open."""
    if listener is not None:
        listener.close()
    await end_tasks(set(connections))
    if listener is not None:
        await listener.wait_closed()


def on_worker(
    name: str, work: Callable[[], T], *, home: asyncio.AbstractEventLoop | None = None
) -> Pending[T]:
    """Do `work` on a daemon thread; return a `Pending` with its result or its error.

    If no thread can be started, that is the error.

    Args:
        name: Of the thread, for people who look at a list of them.
        work: May block as long as it likes.
        home: A loop that must keep running for `work` to end, if there is one.
    """
    pending: Pending[T] = Pending(home)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it goes to those who wait
            fail(pending, error)
        else:
            fulfil(pending, result)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        # It goes like every other failure to those who wait for the result.
        fail(pending, _no_thread(name, error))
    return pending


def _no_thread(name: str, error: RuntimeError) -> TwistreamError:
    failure = TwistreamError(
        f"no thread could be started for {name}: {error}",
        consequence="It was not done",
        fix="End other work of this process or of this machine, then try again",
    )
    failure.__cause__ = error
    return failure


class Guard:
    """Around code that is not ours: whatever it raises is reported, and goes no further.

    `asyncio` lets SystemExit and KeyboardInterrupt out of a task or a callback through
    ``run_forever``, and `concurrent.futures` lets every BaseException out of a done-callback: one
    ``sys.exit()`` of somebody's would end the thread that all calls share.

    >>> with Guard("a listener failed") as guard:
    ...     raise SystemExit(3)
    >>> guard.error
    SystemExit(3)

    Args:
        message: What to log, with the traceback, if something is raised.
        loop: Whose exception handler gets the error instead of the log.

    Attributes:
        error: What was raised, or None.
    """

    __slots__ = ("_loop", "_message", "error")

    def __init__(self, message: str, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._message = message
        self._loop = loop
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        self.error = error
        report(self._message, error, self._loop)
        return True


def report(
    message: str, error: BaseException, loop: asyncio.AbstractEventLoop | None = None
) -> None:
    """Log an error with its traceback, or hand it to the exception handler of `loop`."""
    with suppress(BaseException):  # what a log is written with may be somebody's too
        if loop is None:
            logger.error("%s", message, exc_info=error)
        else:
            loop.call_exception_handler({"message": message, "exception": error})


def error_text(error: BaseException) -> str:
    """Return the class of `error` and its text in one line; it may be of anybody's class."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - somebody's __str__ is code that is not ours
        text = "(its text cannot be had)"
    return f"{name}: {text}" if text else name
