"""Starts and stops the servers of a notebook, on one event loop on one daemon thread.

A server on the kernel's own loop is blocked while a cell computes, so the kit's sockets live on a
thread of their own.  `start` enters an async context manager there and returns the value of
``async with``; if the cell is run again, the new one replaces the old one.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar, cast, overload

from twistream_kit.errors import ServerStopped, TwistreamError, WouldDeadlock, WrongType
from twistream_kit.notebook.runtime.activity_log import get_activity_log
from twistream_kit.notebook.runtime.loop import HOW_TO_START_A_SERVER, KitLoop
from twistream_kit.notebook.runtime.nested_run import explain_nested_runs
from twistream_kit.pending import Pending, fail, fulfil

logger = logging.getLogger("twistream_kit.notebook")

START_SECONDS = 10.0
"""How long `start` waits for a context manager to be entered, and `stop` for it to be left.

An object that needs longer, such as a tunnel whose name has to reach the DNS first, has an
attribute `start_seconds`.
"""

T = TypeVar("T")

_LOCK = threading.RLock()

_loop: KitLoop | None = None

_lifespans: dict[str, Lifespan] = {}

_of_parent: list[object] = []
"""What a forked child has inherited: finalisers would change the selector that both share."""


@overload
def start(thing: AbstractAsyncContextManager[T, bool | None], *, name: str | None = None) -> T: ...


@overload
def start(
    thing: Callable[[], AbstractAsyncContextManager[T, bool | None]], *, name: str | None = None
) -> T: ...


def start(thing: Any, *, name: str | None = None) -> Any:
    """Run an async context manager beside the notebook's cells, until it is stopped or replaced.

    Args:
        thing: An async context manager, such as a `StreamServer`, a `SimulatedTwilio` or a tunnel;
            or a function without arguments that returns one and is called on the kit's loop.
        name: The name under which it can be stopped and replaced; by default its class name.

    Returns:
        The value of ``async with``; for the kit's own classes, the object itself.  Starting the
        same object again returns the same value; starting another one under the same name stops
        the earlier one.

    Raises:
        TypeError: If `thing` is neither.
        WouldDeadlock: If called on the kit's own loop.
        TwistreamError: If it is not ready within ten seconds, or within `thing.start_seconds`.
        ServerStopped: If the kit's loop ends meanwhile; the next `start` makes a new one.
        Exception: The exception that entering it raised.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> server.url
        'ws://127.0.0.1:.../media'
        >>> kit.start(server) is server
        True
        >>> list(kit.running())
        ['StreamServer']
    """
    _check_startable(thing)
    _refuse_on_own_loop("start")
    explain_nested_runs()
    key = name or _choose_name(thing)
    with _LOCK:
        _forget_ended()
        for lifespan in _lifespans.values():
            if lifespan.owns(thing):
                return lifespan.value
        known = _lifespans.get(key)
        if known is not None:
            logger.info("%s is started again; the earlier one is stopped", key)
            _end_lifespans([known])
        begun: Lifespan | None = None
        try:
            _lifespans[key] = begun = Lifespan(key, thing, _get_loop())
            return begun.wait_entered(getattr(thing, "start_seconds", START_SECONDS))
        except BaseException as error:
            if begun is not None:
                begun.request_stop()
            _lifespans.pop(key, None)
            if isinstance(error, KeyboardInterrupt):
                error.add_note(
                    f"{key} was not ready yet and is stopped; kit.start(…) starts it anew."
                )
            raise


def stop(thing: Any = None) -> None:
    """Stop what `start` started.

    Args:
        thing: An object or its name; without it, everything is stopped, newest first.

    Raises:
        TwistreamError: If it is not running.
        WouldDeadlock: If called on the kit's own loop.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> list(kit.running())
        ['StreamServer']
        >>> kit.stop(server)
        >>> list(kit.running())
        []
    """
    _refuse_on_own_loop("stop")
    with _LOCK:
        if thing is None:
            _end_lifespans(sorted(_lifespans.values(), key=lambda lifespan: -lifespan.order))
            return
        found = [each for each in _lifespans.values() if thing == each.key or each.owns(thing)]
        if not found:
            names = ", ".join(running()) or "nothing"
            raise TwistreamError(
                f"{thing!r} is not running", fix=f"Running: {names}; stop() stops everything"
            )
        _end_lifespans(found)


def url_of(thing: Any) -> str:
    """Return the ws:// address of a running server, of the kit or of `websockets`.

    Raises:
        ServerStopped: If it does not run.
        WrongType: If it is no server, and has no address.

    Example:
        >>> import twistream_kit as kit
        >>> import websockets
        >>> async def answer(socket):
        ...     await socket.wait_closed()
        >>> server = kit.start(lambda: websockets.serve(answer, "127.0.0.1", 0))
        >>> kit.url_of(server)
        'ws://127.0.0.1:...'
    """
    url = getattr(thing, "url", None)
    if isinstance(url, str):
        return url
    sockets = list(getattr(thing, "sockets", None) or ())
    if not sockets and hasattr(type(thing), "sockets"):
        raise ServerStopped(
            f"this {type(thing).__name__} does not listen any more, so it has no address",
            fix="Start it again with kit.start(…), and give url_of what that returns",
        )
    if not sockets:
        raise WrongType(
            f"{type(thing).__name__} has no address: give url_of what kit.start(…) returned for "
            "a StreamServer or for `lambda: websockets.serve(…)`"
        )
    host, port = sockets[0].getsockname()[:2]
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


def running() -> RunningThings:
    """Return the names of everything that `start` started and that still runs, oldest first.

    The repr of the list says what each is.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> twilio = kit.start(kit.SimulatedTwilio(), name="Twilio")
        >>> list(kit.running())
        ['StreamServer', 'Twilio']
    """
    with _LOCK:
        ordered = sorted(_lifespans.values(), key=lambda lifespan: lifespan.order)
        found = [(each.key, each.thing, each.value) for each in ordered if not each.is_over]
    # Outside the lock: a repr may be anybody's.
    return RunningThings(
        (key, _describe(thing if value is None else value)) for key, thing, value in found
    )


class RunningThings(list[str]):
    """The names of what ran when `running` was asked.

    Args:
        found: Name and state of each.

    Attributes:
        states: What each is and does, in words, in the same order.
    """

    def __init__(self, found: Iterable[tuple[str, str]] = ()) -> None:
        self.states: list[str] = []
        for name, state in found:
            self.append(name)
            self.states.append(state)

    def __repr__(self) -> str:
        rows = zip(self, self.states, strict=False)
        return "\n".join(f"{name}: {state}" for name, state in rows) or "nothing runs"


def _describe(thing: object) -> str:
    try:
        return repr(thing)
    except Exception as error:  # noqa: BLE001 - another package's repr must not hide what runs
        return f"<{type(thing).__name__}, whose repr raised {type(error).__name__}>"


def _check_startable(thing: Any) -> None:
    """Check that `start` can start `thing`.

    Raises:
        TypeError: If it is no async context manager, and no function that could return one.
    """
    if hasattr(type(thing), "__aenter__"):
        return
    if inspect.iscoroutine(thing):
        thing.close()
    elif callable(thing) and not inspect.isclass(thing) and not _needs_arguments(thing):
        return
    what = f"the class {thing.__name__}" if inspect.isclass(thing) else type(thing).__name__
    raise WrongType(
        f"start() takes an async context manager, or a function without arguments that returns "
        f"one, not {what}; for example kit.start(kit.StreamServer()) or "
        "kit.start(lambda: websockets.serve(handler, '127.0.0.1', 0)). A server of your own, or "
        f"an application in mine.py, runs in a process of its own: {HOW_TO_START_A_SERVER}"
    )


def _needs_arguments(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is p.empty and p.kind not in variable for p in parameters)


def _is_factory(thing: Any) -> bool:
    """Whether `thing` is a function that returns the context manager, not the manager itself."""
    return callable(thing) and not hasattr(type(thing), "__aenter__")


def _choose_name(thing: Any) -> str:
    """Return the default name of `thing`."""
    if _is_factory(thing):
        return str(getattr(thing, "__name__", type(thing).__name__)).strip("<>")
    return type(thing).__name__


def _forget_ended() -> None:
    for key, lifespan in tuple(_lifespans.items()):
        # A loop that is ending may still hold the port that the next server needs.
        if lifespan.is_over or (lifespan.is_ending and lifespan.wait_left(START_SECONDS)):
            del _lifespans[key]


def _end_lifespans(lifespans: list[Lifespan]) -> None:
    for lifespan in lifespans:
        lifespan.request_stop()
        if not lifespan.wait_left(START_SECONDS):
            logger.error("%s did not stop within %g s", lifespan.key, START_SECONDS)
        _lifespans.pop(lifespan.key, None)


def _get_loop() -> KitLoop:
    global _loop  # noqa: PLW0603 - there is one loop for each process
    if _loop is None or _loop.is_ending or _loop.is_closed():
        _loop = KitLoop()
        thread = threading.Thread(target=_loop.run_on_thread, name="twistream_kit", daemon=True)
        thread.start()
        get_activity_log()  # else logging would print the errors of this thread into some cell
        atexit.register(_stop_at_exit)
    return _loop


def _stop_at_exit() -> None:
    if _loop is None or _loop.is_closed():
        return
    try:
        stop()
    finally:
        with suppress(RuntimeError):  # it was closed meanwhile
            _loop.call_soon_threadsafe(_loop.retire)


def _leave_to_parent() -> None:
    """Forget in a forked child what runs in its parent; `start` makes a new loop there."""
    global _LOCK, _loop
    _of_parent.append((_loop, list(_lifespans.values())))
    _LOCK, _loop = threading.RLock(), None
    _lifespans.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_leave_to_parent)


def _refuse_on_own_loop(what: str) -> None:
    try:
        on_own_loop = asyncio.get_running_loop() is _loop and _loop is not None
    except RuntimeError:
        return
    if on_own_loop:
        raise WouldDeadlock(
            f"kit.{what}() was called on the kit's own loop",
            consequence="It would wait for itself",
            fix="Use `async with thing:` there",
        )


_order = itertools.count()


class Lifespan:
    """The lifespan of one context manager: one task enters it, waits, and leaves it.

    The same task must enter and leave, because cancel scopes and context variables belong to a
    task.
    """

    def __init__(self, key: str, thing: Any, loop: KitLoop) -> None:
        self.key = key
        self.thing = thing
        self.value: Any = None
        self.order = next(_order)
        self._loop = loop
        self._stop = asyncio.Event()
        # They fail if the loop ends first, so that no caller waits for ever.
        self._entered: Pending[Any] = Pending(loop)
        self._left: Pending[None] = Pending(loop)
        self._task: asyncio.Task[None] | None = None
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(self._begin)

    @property
    def is_over(self) -> bool:
        """Whether the context manager was left, or its loop has ended."""
        return self._left.done()

    @property
    def is_ending(self) -> bool:
        """Whether its loop is ending or has ended."""
        return self._loop.is_ending

    def owns(self, thing: Any) -> bool:
        """Whether `thing` is the object that was started, or the value of its ``async with``."""
        return thing is self.thing or thing is self.value

    def wait_entered(self, limit: float) -> Any:
        """Wait until it is entered; return the value of ``async with``, or raise its exception."""
        try:
            return self._entered.result(limit)
        except TimeoutError:
            if self._entered.done():
                raise
            self.request_stop()
            raise TwistreamError(
                f"{self.key} was not ready within {limit:g} s",
                consequence="It is being stopped",
                fix="Find out what it waits for, then start it again",
            ) from None

    def request_stop(self) -> None:
        """Request the stop and return at once."""
        with suppress(RuntimeError):  # the loop is closed, and has stopped it
            self._loop.call_soon_threadsafe(self._end)

    def wait_left(self, limit: float) -> bool:
        """Wait until it was left, or its loop has ended; return False after `limit` seconds."""
        try:
            self._left.exception(limit)
        except TimeoutError:
            return False
        return True

    def _begin(self) -> None:
        self._task = self._loop.keep(self._run(), self._end, f"lifespan of {self.key}")
        self._task.add_done_callback(self._note_end)

    def _note_end(self, _: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step does not run its own `finally`.
        fail(self._entered, ServerStopped(f"{self.key} was stopped before it was ready"))
        fulfil(self._left, None)

    def _end(self) -> None:
        self._stop.set()
        if not self._entered.done() and self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            async with _make_manager(self.thing) as value:
                self.value = value
                fulfil(self._entered, value)
                await self._stop.wait()
        except BaseException as error:
            if not fail(self._entered, error):
                doing = "stopping" if self._stop.is_set() else "running"
                logger.error("%s %s failed", doing, self.key, exc_info=error)


def _make_manager(thing: Any) -> AbstractAsyncContextManager[Any, bool | None]:
    """Return the context manager: `thing`, or its result if it is a function; on the kit's loop.

    Raises:
        TypeError: If the function returned something else.
    """
    if not _is_factory(thing):
        return cast("AbstractAsyncContextManager[Any, bool | None]", thing)
    made = thing()
    if inspect.iscoroutine(made):
        made.close()
    if not hasattr(type(made), "__aenter__"):
        raise WrongType(
            f"{_choose_name(thing)} returned {type(made).__name__}, which is not an async context "
            "manager; start() needs one, such as websockets.serve(…). A server of your own runs in "
            f"a process of its own: {HOW_TO_START_A_SERVER}"
        )
    return cast("AbstractAsyncContextManager[Any, bool | None]", made)
