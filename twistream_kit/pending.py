"""Futures for results that take time, and the event loop or thread that brings them.

A notebook has several threads and at least two event loops: cells run on the kernel's loop, widget
callbacks on a thread that depends on the version of ipykernel, and our sockets on a loop of their
own.  Commands are therefore plain functions that any thread may call.  A command that takes time
returns a `Pending`, which any thread can wait for: with ``await`` on any loop, or with
``.result(timeout)``.

An object that lives on a loop has a `HomeLoop`, by which other threads call it there.  Blocking
work, such as the Twilio SDK's, runs on a thread of its own, started by `on_worker`, never on a
loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from asyncio import _get_running_loop
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures._base import FINISHED, RUNNING
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self, SupportsIndex, TypeVar, runtime_checkable

from twistream_kit.cell_errors import shorten_in_cells
from twistream_kit.errors import (
    NoResultYet,
    NoSuchAttribute,
    ServerStopped,
    TwistreamError,
    WouldDeadlock,
    WrongState,
    WrongType,
    WrongValue,
    hides_frames,
    quote,
    require_type,
)
from twistream_kit.guard import Guard, report
from twistream_kit.user_frames import render_handled

T = TypeVar("T")

_waited_for: weakref.WeakSet[Pending[Any]] = weakref.WeakSet()
"""Those that somebody waits for; a forked child fails the ones without a result."""

_settling = threading.RLock()
"""Held while a `Pending` gets its result, or the lock by which others wait for it."""

_forks = 0
"""How many forks lie between this process and the one that imported the module."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a `Pending` stands for, in words.

    Attributes:
        name: The operation or the thing, ``Call to +15550100001``.
        result: The kind of its result, a noun without an article: ``Call``.
        state: A function that returns how far it is; asked only when somebody reads the text.
        silence: The way to silence what sounds while somebody waits for it; else empty.
        ends: When it ends by itself, where nobody can end it; else empty.
        late: A function of the seconds waited in vain that returns the error to raise; else None.
        kind: The class of its result, NoneType if it has none; None where it is not known.
    """

    name: str
    result: str
    state: Callable[[], str] | None = None
    silence: str = ""
    ends: str = ""
    late: Callable[[float], NoResultYet] | None = None
    kind: type | None = None

    @property
    def state_in_words(self) -> str:
        """How far it is, or empty if it cannot be said."""
        state = ""
        with suppress(Exception):  # the text of an error must not fail
            state = self.state() if self.state is not None else ""
        return state


class Pending(Future[T]):
    """A future whose result only its owner can set.

    It is a `concurrent.futures.Future` that users can neither cancel nor fulfil, because the
    operation behind it (a call that rings, a sound that plays) continues whether anyone waits or
    not.  ``await pending`` works on any loop; a timeout or cancellation of that wait ends only the
    wait.  ``pending.result(timeout)`` blocks the calling thread.

    Args:
        home: The loop that brings the result, if there is one.  `result` would block it, and
            therefore raises an error when it is called on that loop.
        subject: What it stands for, in words.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> ringing = twilio.phone("+15550100001").until("ringing")
        >>> ringing
        <Pending state 'ringing' of phone +15550100001: idle; .result(10) or await>
        >>> ringing.done()
        False
        >>> ringing.result(0.1)
        Traceback (most recent call last):
        twistream_kit.errors.NoResultYet: state 'ringing' of phone +15550100001: no result ...
        >>> twilio.phone("+15550100001").until("idle").result(10)
        'idle'
    """

    _subject: Subject | None = None

    def __init__(
        self, home: asyncio.AbstractEventLoop | None = None, subject: Subject | None = None
    ) -> None:
        # Without `Future.__init__`: it makes a lock and two lists, and of fifty playbacks a second
        # hardly any is waited for.  `__getattr__` makes them when they are needed.
        self._state = RUNNING
        self._result: T | None = None
        self._exception: BaseException | None = None
        self._home = home
        self._settled = False
        self._made_after = _forks
        if subject is not None:
            self._subject = subject
        if (adopt := getattr(home, "adopt", None)) is not None:  # an `EndingLoop`
            adopt(self)

    def __getattr__(self, name: str) -> Any:
        if name in ("_waiters", "_done_callbacks"):
            return self.__dict__.setdefault(name, [])
        if name != "_condition":
            raise self._build_attribute_error(name)
        with _settling:
            if name not in self.__dict__:
                self.__dict__[name] = threading.Condition()
                _waited_for.add(self)
            return self.__dict__[name]

    def __copy__(self) -> Self:
        # There is one operation, and its owner knows one Pending: a second would never be done.
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        raise WrongType(
            f"a {type(self).__name__} cannot be pickled: its result comes to this process",
            fix="Pickle its result: .result(10) or await it",
        )

    def __await__(self) -> Generator[Any, None, T]:
        __tracebackhide__ = hides_frames
        # wrap_future forwards a cancellation of the wait to `cancel`, which does nothing.
        try:
            return (yield from asyncio.wrap_future(self).__await__())
        except (asyncio.CancelledError, KeyboardInterrupt) as error:
            self._explain_interrupt(error)
            raise
        except TwistreamError as error:  # as in `result`
            raise error.with_traceback(None) from error.__cause__

    def cancel(self) -> bool:
        """Return False: the operation cannot be cancelled by those who wait for it."""
        return False

    def cancelled(self) -> bool:
        """Return False, as `cancel` does nothing."""
        return False

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        if self._made_after != _forks:
            self._fail_after_fork()
        return self._state == FINISHED

    def running(self) -> bool:
        """Whether there is no result yet."""
        return not self.done()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result.

        Inside an async function on the kit's own loop, the loop is run nested until the result is
        there.  A second such wait at the same time is refused, because nested waits can only end
        in reverse order.

        Args:
            timeout: In seconds; None waits without limit.  After a timeout the result is still
                pending and can be waited for again.

        Raises:
            NoResultYet: If there is no result within `timeout`; it is a TimeoutError.
            WouldDeadlock: If this thread is the one that has to bring the result.
            TypeError: If `timeout` is no number; a ValueError if it is NaN.
        """
        __tracebackhide__ = hides_frames
        timeout = _check_timeout(timeout)
        blocks = self._blocks_a_loop(timeout)
        try:
            self._prepare_wait(timeout)
            return super().result(0 if self._waits_on_a_nested_loop() else timeout)
        except KeyboardInterrupt as error:
            if not self.done():
                self._explain_interrupt(error)
            raise
        except TimeoutError as error:
            if not self.done():
                raise self._build_late_error(timeout, blocks=blocks) from None
            if isinstance(error, TwistreamError):
                raise error.with_traceback(None) from error.__cause__
            raise
        except TwistreamError as error:
            if blocks and isinstance(error.__cause__, TimeoutError):
                _explain_block(error)
            # The text of our errors suffices.  Their traceback would grow with each call.
            raise error.with_traceback(None) from error.__cause__

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait like `result`, and return the exception, or None if there was none."""
        timeout = _check_timeout(timeout)
        blocks = self._blocks_a_loop(timeout)
        self._prepare_wait(timeout)
        try:
            return super().exception(0 if self._waits_on_a_nested_loop() else timeout)
        except TimeoutError:
            raise self._build_late_error(timeout, blocks=blocks) from None

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call ``fn(self)`` when the result or an exception is there, or at once if it is.

        It is called on the thread that brings the result.  An exception that it raises,
        ``sys.exit()`` included, is logged with its traceback and not propagated.

        Raises:
            TypeError: If `fn` cannot be called.
        """
        if not callable(fn):
            raise WrongType(
                f"fn is {quote(fn)}; give a function that takes this {type(self).__name__}"
            )
        self.done()  # which fails it in a forked child
        super().add_done_callback(partial(_call_back, fn))

    def set_result(self, result: T) -> None:  # noqa: ARG002 - Future's signature
        """Raise TypeError: only the owner sets the result."""
        raise WrongType("a Pending is fulfilled by what it stands for, not from outside")

    def set_exception(self, exception: BaseException | None) -> None:  # noqa: ARG002 - Future's
        """Raise TypeError: only the owner sets the exception."""
        raise WrongType("a Pending is fulfilled by what it stands for, not from outside")

    def set_running_or_notify_cancel(self) -> bool:
        """Raise TypeError: it has been running since it was made."""
        raise WrongType("a Pending runs from the moment it is made")

    def __repr__(self) -> str:
        subject, name = self._get_subject(), type(self).__name__
        if subject is not None:
            name += f" {subject.name}"
        if not self.done():
            state = "" if subject is None else subject.state_in_words
            return f"<{name}: {state or 'pending'}; .result(10) or await>"
        error = super().exception(0)
        state = repr(super().result(0)) if error is None else f"{type(error).__name__}: {error}"
        return f"<{name}: {state}>"

    def _get_subject(self) -> Subject | None:
        return self._subject

    def _build_attribute_error(self, name: str) -> AttributeError:
        kind, subject = type(self).__name__, self._get_subject()
        # IPython and others probe for names with an underscore; nobody reads those errors.
        if subject is None or name.startswith("_"):
            return AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=self)
        return _build_misuse_error(kind, subject, name, dir(self))

    def _build_late_error(self, timeout: float | None, *, blocks: bool) -> NoResultYet:
        subject, seconds = self._get_subject(), 0.0 if timeout is None else timeout
        if subject is not None and subject.late is not None:
            error = subject.late(seconds)
        else:
            error = self._build_plain_late_error(subject, seconds)
        if blocks:
            _explain_block(error)
        return error

    def _build_plain_late_error(self, subject: Subject | None, seconds: float) -> NoResultYet:
        name = f"{subject.name}: " if subject is not None else ""
        state = subject.state_in_words if subject is not None else ""
        ends = f"; it {subject.ends}" if subject is not None and subject.ends else ""
        return NoResultYet(
            f"{name}no result within {seconds:g} s{f' ({state})' if state else ''}",
            consequence=f"It is still on its way and can be waited for again{ends}",
        )

    def _explain_interrupt(self, error: BaseException) -> None:
        """Say beside an interrupted wait that what was waited for goes on, in one line."""
        if (subject := self._get_subject()) is None:
            return
        if subject.silence:
            note = f"Only the wait has ended, the sound goes on: {subject.silence} silences it."
        else:
            ends = f", and {subject.ends}" if subject.ends else ""
            note = f"Only the wait has ended: {subject.name} is still on its way{ends}."
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
            # For IPython; Python prints notes by itself.  It must not refer to the error, whose
            # frames, sound included, would stay until a full garbage collection.
            shown: Any = error
            shown._render_traceback_ = render_handled
            shorten_in_cells()  # `asyncio.wait_for` makes an error of its own of it

    def _waits_on_a_nested_loop(self) -> bool:
        return isinstance(get_running_loop(), ReentrantLoop)

    def _blocks_a_loop(self, timeout: float | None) -> bool:
        """Whether a wait would block a running event loop, on which something may have to run."""
        loop = get_running_loop()
        is_blocked = loop is not None and not isinstance(loop, ReentrantLoop)
        return is_blocked and timeout != 0 and not self.done()

    def _prepare_wait(self, timeout: float | None) -> None:
        if self.done() or (loop := get_running_loop()) is None:
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

    def _fail_after_fork(self) -> None:
        """Fail it in a forked child, in which the thread that brings its result does not exist."""
        # A thread that the child does not have may hold the lock; and the callbacks are those of
        # the parent: of its loops, its widgets and its threads.
        self._made_after = _forks
        self.__dict__.pop("_condition", None)
        self._done_callbacks = []
        if self._state != FINISHED:
            self._settled = True
            super().set_exception(
                ServerStopped(
                    "this process was forked, and what brings the result runs in its parent only",
                    consequence="The result cannot arrive here",
                    fix="Start it in this process, or make new processes with the start method "
                    "'spawn' of multiprocessing",
                )
            )

    def _settle(self, value: T | None, error: BaseException | None) -> bool:
        with _settling:
            if self._settled:
                return False
            self._settled = True
            if "_condition" not in self.__dict__:  # nobody waits, and nobody is to be called
                self._result, self._exception, self._state = value, error, FINISHED
                return True
        # Outside the lock, because done callbacks run here, and they are user code.
        if error is None:
            super().set_result(value)  # type: ignore[arg-type]
        else:
            super().set_exception(error)
        # `concurrent.futures` keeps them, and with them their objects, whose result this often is:
        # such a cycle would stay until a full garbage collection, sound included.
        self._done_callbacks = []
        return True


def _call_back(function: Callable[[Future[T]], object], done: Future[T]) -> None:
    with Guard(f"a done-callback of a {type(done).__name__} failed", of_user=True):
        function(done)


_BLOCKED = (
    "The wait blocked this event loop, and what runs on it, such as a server, could not answer: "
    "say `await` instead"
)


def _explain_block(error: TwistreamError) -> None:
    """Say first what is the likely cause: result() blocked the event loop that called it."""
    if not error.fix.startswith(_BLOCKED):
        error.fix = f"{_BLOCKED}. {error.fix}" if error.fix else _BLOCKED


def _check_timeout(timeout: float | None) -> float | None:
    """Return how long to wait in what a lock takes: 0 for less, its longest for infinity.

    Raises:
        WrongType: If it is no number.
        WrongValue: If it is NaN.
    """
    if timeout is None:
        return None
    require_type("a number", timeout=timeout)
    if timeout != timeout:  # only NaN is
        raise WrongValue("timeout is nan; give seconds, or None to wait without limit")
    return min(max(timeout, 0), threading.TIMEOUT_MAX)


_SILENCING = {"abort", "cancel", "clear", "close", "end", "flush", "interrupt", "pause", "stop"}
"""How one would call what silences a sound."""


def _build_misuse_error(
    kind: str, subject: Subject, name: str, own_names: Sequence[str]
) -> NoSuchAttribute:
    """Return the error for a name that a `Pending` lacks, with what helps.

    Args:
        kind: The class of the `Pending`.
        subject: What it stands for.
        name: The name that was looked for.
        own_names: Those that the `Pending` has.
    """
    from difflib import get_close_matches

    if subject.kind is type(None):
        return NoSuchAttribute(
            f"this is a {kind} without a result, and has no {name!r}",
            fix=f"Say .result(10) or await it to wait for the {subject.name}",
        )
    of_result = f"{kind} of {_add_article(subject.result)}"
    names = None if subject.kind is None else _list_names(subject.kind)
    if names is None or name in names:
        return NoSuchAttribute(
            f"this is a {of_result}, and has no {name!r}", fix="Say .result(10) or await it"
        )
    if subject.silence and name in _SILENCING:
        fix = f"{subject.silence} silences it"
    elif close := get_close_matches(name, _leave_public(own_names), 1):
        fix = f"Did you mean .{close[0]}?"
    elif close := get_close_matches(name, _leave_public(names), 1):
        fix = f"Did you mean .result(10).{close[0]}?"
    else:
        fix = f"The {subject.result} comes with .result(10) or await; dir() lists what each has"
    return NoSuchAttribute(f"this is a {of_result}, and neither has {name!r}", fix=fix)


def _list_names(kind: type) -> set[str]:
    """Return what an instance of a class may have: also what its ``__init__`` sets."""
    names = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
    for each in kind.__mro__:
        code = getattr(each.__dict__.get("__init__"), "__code__", None)
        names.update(() if code is None else code.co_names)
    return names


def _leave_public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]


def _add_article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'AEIOUaeiou' else 'a'} {noun}"


def get_running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, or None."""
    return _get_running_loop()


def fulfil(pending: Pending[T], value: T) -> bool:
    """Set the result of `pending`; return False if it is done already.  For its owner only."""
    return pending._settle(value, None)  # noqa: SLF001 - the owner's side of the same class


def fail(pending: Pending[Any], error: BaseException) -> bool:
    """Set the exception of `pending`; return False if it is done already.  For its owner only."""
    return pending._settle(None, error)  # noqa: SLF001 - the owner's side of the same class


def drop_callback(pending: Pending[Any], fn: Callable[[Future[Any]], object]) -> None:
    """Remove a done-callback from `pending`, which would otherwise keep it until it is done.

    `concurrent.futures` has no counterpart of `asyncio.Future.remove_done_callback`.
    """
    pending._drop_callback(fn)  # noqa: SLF001 - the owner's side of the same class


@runtime_checkable
class ReentrantLoop(Protocol):
    """A loop that can run nested in itself, such as `notebook.runtime.loop.KitLoop`."""

    def run_nested(self, pending: Pending[Any], timeout: float | None) -> None:
        """Run the loop until `pending` is done or `timeout` seconds have passed."""


@runtime_checkable
class HurryingLoop(Protocol):
    """A loop on a thread of its own that can shorten the interpreter's thread switch interval."""

    def hurry(self) -> None:
        """Shorten the switch interval; calls are counted."""

    def relax(self) -> None:
        """Undo one call of `hurry`."""


@runtime_checkable
class EndingLoop(Protocol):
    """A loop that fails its pending results when its thread ends."""

    def adopt(self, pending: Pending[Any]) -> None:
        """Register a `Pending` whose result only this loop can bring."""


class HomeLoop:
    """The event loop that an object runs on; other threads call the object through it.

    Args:
        owner: The name of the object in errors, such as ``"the stream server"``.

    Attributes:
        queued: The commands that are still to be carried out.
        is_carrying_out: Whether one is being carried out.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.RLock()  # a finaliser may call it anywhere
        self.queued: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.is_carrying_out = False
        self._is_woken = False
        self._tasks: set[asyncio.Task[Any]] = set()
        _home_loops.add(self)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop while the object runs, else None."""
        return self._loop

    def enter(self) -> None:
        """Use the running loop from now on; for ``__aenter__``."""
        with self._lock:
            if self._loop is not None and not self._loop.is_closed():
                raise WrongState(f"{self._owner} is running already; stop it before entering it")
            if self._loop is not None:  # its thread ended before `leave` was called
                self.queued.clear()
                self._tasks.clear()
            self._loop = asyncio.get_running_loop()
            self._is_woken = False

    async def leave(self) -> None:
        """Run the queued commands, cancel the tasks, and accept no more; for ``__aexit__``."""
        with self._lock:
            self._loop = None
        self._carry_out_queued()
        await end_tasks(self._tasks)

    def _leave_after_fork(self) -> None:
        """Accept no more in a forked child, in which the thread of the loop does not exist."""
        self._lock = threading.RLock()
        # Kept, because what ends with a loop would change the selector that both processes share.
        _of_parent.append((self._loop, self.queued, self._tasks))
        self._loop, self.queued, self._tasks = None, deque(), set()
        self._is_woken = False

    def is_current(self) -> bool:
        """Whether the calling code runs on the home loop."""
        return self._loop is not None and get_running_loop() is self._loop

    @contextmanager
    def hurry_loop(self) -> Iterator[None]:
        """Let a loop that shares the interpreter with a busy cell run sooner, within the block."""
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
        """Schedule ``function(*args)`` on the loop, in order; from any thread.

        Raises:
            ServerStopped: If the object is not running.
        """
        with self._lock:
            if self._loop is None:
                raise self._build_stopped_error()
            self.queued.append((function, args))
            if self._is_woken and not self._loop.is_closed():
                return  # for an earlier one; the loop carries out all
            try:
                self._loop.call_soon_threadsafe(self._carry_out_after_wake)
                # Not before: Ctrl-C may end this call anywhere, and the next must wake the loop.
                self._is_woken = True
            except RuntimeError as error:  # the loop was closed meanwhile
                self.queued.clear()
                raise self._build_stopped_error() from error

    def carry_out(self, function: Callable[..., object], *args: Any) -> None:
        """Carry out ``function(*args)``: at once on the loop, in order with those of `call`.

        On another thread it is `call`.  A command that is given while another is carried out, by
        a done-callback, is carried out after that one, so that commands do not recurse.

        Raises:
            ServerStopped: If the object is not running.
        """
        loop = _get_running_loop()
        if loop is None or loop is not self._loop:
            self.call(function, *args)
        elif self.is_carrying_out:
            self.queued.append((function, args))
            # A done-callback may wait for it, which enters the loop again (`ReentrantLoop`).
            loop.call_soon(self._carry_out_queued)
        elif self.queued:
            self.queued.append((function, args))
            self._carry_out_queued()
        else:
            self.is_carrying_out = True
            try:
                function(*args)
            except BaseException as error:  # noqa: BLE001 - as `Guard`, without its cost
                report(f"a command to {self._owner} failed", error, loop)
            finally:
                self.is_carrying_out = False
            if self.queued:
                self._carry_out_queued()

    def make_pending(self, subject: Subject | None = None) -> Pending[Any]:
        """Make a `Pending` whose result this loop will bring."""
        return Pending(self._loop, subject)

    def start(self, work: Coroutine[Any, Any, T], subject: Subject | None = None) -> Pending[T]:
        """Run a coroutine on the loop as a task; from any thread.

        When the object stops, the task is cancelled and the `Pending` gets a `ServerStopped`.
        """
        pending: Pending[T] = self.make_pending(subject)
        try:
            self.call(self._begin, work, pending)
        except ServerStopped as error:
            work.close()
            fail(pending, error)
        return pending

    def _begin(self, work: Coroutine[Any, Any, T], pending: Pending[T]) -> None:
        if self._loop is None:
            work.close()
            fail(pending, self._build_stopped_error())
            return
        task = self._loop.create_task(_catch_outcome(work))
        self._tasks.add(task)

        def end(done: asyncio.Task[tuple[T | None, BaseException | None]]) -> None:
            work.close()  # a task that is cancelled before its first step never started it
            self._finish(done, pending)

        task.add_done_callback(end)

    def _finish(
        self, task: asyncio.Task[tuple[T | None, BaseException | None]], pending: Pending[T]
    ) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            fail(pending, self._build_stopped_error())
        else:
            pending._settle(*task.result())  # noqa: SLF001 - the owner's side

    def _carry_out_after_wake(self) -> None:
        with self._lock:  # held by `call` until it has noted that it woke the loop
            self._is_woken = False
        self._carry_out_queued()

    def _carry_out_queued(self) -> None:
        outer, self.is_carrying_out = self.is_carrying_out, True
        try:
            while self.queued:
                function, args = self.queued.popleft()
                loop = asyncio.get_running_loop()
                # An exception in one command must not prevent the next.
                with Guard(f"a command to {self._owner} failed", loop=loop):
                    function(*args)
        finally:
            self.is_carrying_out = outer

    def _build_stopped_error(self) -> ServerStopped:
        return ServerStopped(
            f"{self._owner} is not running", fix="Enter it with `async with` or kit.start(…)"
        )


_home_loops: weakref.WeakSet[HomeLoop] = weakref.WeakSet()
"""All that exist."""

_of_parent: list[object] = []
"""What a forked child has inherited and cannot use."""


def _leave_to_parent() -> None:
    """End in a forked child whatever needs a thread of its parent."""
    global _forks, _settling  # noqa: PLW0603 - of this process, like the lock
    _forks += 1
    _settling = threading.RLock()
    for home in list(_home_loops):
        home._leave_after_fork()  # noqa: SLF001 - the same module
    for pending in list(_waited_for):
        pending._fail_after_fork()  # noqa: SLF001 - the same module


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_leave_to_parent)


async def _catch_outcome(work: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    # SystemExit or KeyboardInterrupt raised in a task would stop the loop, so nothing is raised.
    try:
        return await work, None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None, error
    except GeneratorExit as error:
        if get_running_loop() is None:  # the loop is gone, and the coroutine is being closed
            raise
        return None, error
    except BaseException as error:  # noqa: BLE001 - the Pending raises it
        return None, error


async def end_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until each has ended; safe to call from one of them."""
    others = [task for task in tasks if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)


def on_worker(
    name: str,
    work: Callable[[], T],
    *,
    home: asyncio.AbstractEventLoop | None = None,
    subject: Subject | None = None,
) -> Pending[T]:
    """Run `work` on a daemon thread; return a `Pending` with its result or its error.

    If no thread can be started, the `Pending` gets that error.

    Args:
        name: The name of the thread, as it shows in a list of threads.
        work: A function that may block.
        home: A loop that must keep running for `work` to end, if there is one.
        subject: What the `Pending` stands for, in words.
    """
    pending: Pending[T] = Pending(home, subject)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - the Pending raises it
            fail(pending, error)
        else:
            fulfil(pending, result)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        # Like every other failure, it is raised by the Pending.
        fail(pending, _build_thread_error(name, error))
    return pending


def _build_thread_error(name: str, error: RuntimeError) -> TwistreamError:
    failure = TwistreamError(
        f"no thread could be started for {name}: {error}",
        consequence="It was not done",
        fix="End other work of this process or of this machine, then try again",
    )
    failure.__cause__ = error
    return failure
