"""What a notebook starts and stops: one event loop on one daemon thread for all of it.

A server on the kernel's own loop stands still while a cell computes, so the kit's sockets live on
a thread of their own.  `start` runs an async context manager there and gives back what entering
it gave; running the cell again replaces what it started before.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import itertools
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar, cast, overload

from twistream_kit.errors import ServerStopped, TwistreamError, WouldDeadlock
from twistream_kit.notebook.runtime.activity_log import activity_log
from twistream_kit.notebook.runtime.loop import KitLoop
from twistream_kit.pending import Pending, fail, fulfil

logger = logging.getLogger("twistream_kit.notebook")

START_SECONDS = 10.0
"""How long `start` waits for something to be entered, and `stop` for it to be left.

What needs longer by its nature, such as a tunnel whose name must first become known to the world,
says so itself, in an attribute `start_seconds`.
"""

T = TypeVar("T")

_LOCK = threading.RLock()

_loop: KitLoop | None = None

_lifespans: dict[str, Lifespan] = {}


@overload
def start(thing: AbstractAsyncContextManager[T, bool | None], *, name: str | None = None) -> T: ...


@overload
def start(
    thing: Callable[[], AbstractAsyncContextManager[T, bool | None]], *, name: str | None = None
) -> T: ...


def start(thing: Any, *, name: str | None = None) -> Any:
    """Run something beside the notebook's cells, until it is stopped or replaced.

    Args:
        thing: An async context manager, such as a `StreamServer`, a `SimulatedTwilio` or a tunnel;
            or a function without arguments that makes one and is called on the kit's loop.
        name: Under which it can be stopped and replaced; its class name if not given.

    Returns:
        What entering it gave; for the kit's own things, the thing itself.  Starting the same
        object again returns the same; starting another under the same name stops the earlier.

    Raises:
        TypeError: If it is neither.
        WouldDeadlock: If said on the kit's own loop.
        TwistreamError: If it is not ready within ten seconds, or within `thing.start_seconds`.
        ServerStopped: If the kit's loop ends meanwhile; the next `start` makes a new one.
        Exception: Whatever entering it raised.
    """
    _check_startable(thing)
    _refuse_on_own_loop("start")
    key = name or _choose_name(thing)
    with _LOCK:
        _forget_ended()
        for lifespan in _lifespans.values():
            if lifespan.owns(thing):
                return lifespan.value
        known = _lifespans.get(key)
        if known is not None:
            logger.info("%s is started anew; the earlier one is stopped", key)
            _end_lifespans([known])
        lifespan = Lifespan(key, thing, _running_loop())
        _lifespans[key] = lifespan
        try:
            return lifespan.wait_entered(getattr(thing, "start_seconds", START_SECONDS))
        except BaseException:
            lifespan.request_stop()
            _lifespans.pop(key, None)
            raise


def stop(thing: Any = None) -> None:
    """Stop one thing, given itself or its name; without an argument everything, newest first.

    Raises:
        TwistreamError: If nothing of that name runs.
        WouldDeadlock: If said on the kit's own loop.
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
                f"{thing!r} does not run", fix=f"What runs is: {names}; stop() stops all"
            )
        _end_lifespans(found)


def url_of(thing: Any) -> str:
    """Return the ws:// address of a running server, ours or a plain one of `websockets`.

    Raises:
        TypeError: If it has no address.
    """
    url = getattr(thing, "url", None)
    if isinstance(url, str):
        return url
    sockets = list(getattr(thing, "sockets", None) or ())
    if not sockets:
        raise TypeError(
            f"{type(thing).__name__} has no address: give url_of what kit.start(…) returned for "
            "a StreamServer or for `lambda: websockets.serve(…)`"
        )
    host, port = sockets[0].getsockname()[:2]
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


def running() -> list[str]:
    """Return the names of all that runs, oldest first."""
    with _LOCK:
        ordered = sorted(_lifespans.values(), key=lambda lifespan: lifespan.order)
        return [lifespan.key for lifespan in ordered if not lifespan.is_over]


def _check_startable(thing: Any) -> None:
    """Refuse what cannot be started.

    Raises:
        TypeError: If it is no async context manager, and no function that could make one.
    """
    if hasattr(type(thing), "__aenter__"):
        return
    if inspect.iscoroutine(thing):
        thing.close()
    elif callable(thing) and not inspect.isclass(thing) and not _needs_arguments(thing):
        return
    what = f"the class {thing.__name__}" if inspect.isclass(thing) else type(thing).__name__
    raise TypeError(
        f"start() takes an async context manager, or a function without arguments that returns "
        f"one, not {what}; for example kit.start(kit.StreamServer()) or "
        "kit.start(lambda: websockets.serve(handler, '127.0.0.1', 0))"
    )


def _needs_arguments(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is p.empty and p.kind not in variable for p in parameters)


def _is_factory(thing: Any) -> bool:
    """Whether `thing` makes what is to be started, rather than being it."""
    return callable(thing) and not hasattr(type(thing), "__aenter__")


def _choose_name(thing: Any) -> str:
    """Return the name under which `thing` is kept if none is given."""
    if _is_factory(thing):
        return str(getattr(thing, "__name__", type(thing).__name__)).strip("<>")
    return type(thing).__name__


def _forget_ended() -> None:
    for key, lifespan in tuple(_lifespans.items()):
        # What a loop that ends still leaves may hold the port that is wanted next.
        if lifespan.is_over or (lifespan.is_ending and lifespan.wait_left(START_SECONDS)):
            del _lifespans[key]


def _end_lifespans(lifespans: list[Lifespan]) -> None:
    for lifespan in lifespans:
        lifespan.request_stop()
        if not lifespan.wait_left(START_SECONDS):
            logger.error("%s did not stop within %g s", lifespan.key, START_SECONDS)
        _lifespans.pop(lifespan.key, None)


def _running_loop() -> KitLoop:
    global _loop  # noqa: PLW0603 - one loop for the process is the point
    if _loop is None or _loop.is_ending or _loop.is_closed():
        _loop = KitLoop()
        thread = threading.Thread(target=_loop.run_on_thread, name="twistream_kit", daemon=True)
        thread.start()
        activity_log()  # without it, what goes wrong there would be printed into somebody's cell
        atexit.register(_at_exit)
    return _loop


def _at_exit() -> None:
    if _loop is None or _loop.is_closed():
        return
    try:
        stop()
    finally:
        with suppress(RuntimeError):  # it was closed meanwhile
            _loop.call_soon_threadsafe(_loop.retire)


def _refuse_on_own_loop(what: str) -> None:
    try:
        on_own_loop = asyncio.get_running_loop() is _loop and _loop is not None
    except RuntimeError:
        return
    if on_own_loop:
        raise WouldDeadlock(
            f"kit.{what}() was called on the kit's own loop",
            consequence="It would wait for itself",
            fix="There, say `async with thing:` instead",
        )


_order = itertools.count()


class Lifespan:
    """The time from entering one thing to leaving it; one task enters it, waits, and leaves it.

    The same task must do both, because cancel scopes and context variables belong to a task.
    """

    def __init__(self, key: str, thing: Any, loop: KitLoop) -> None:
        self.key = key
        self.thing = thing
        self.value: Any = None
        self.order = next(_order)
        self._loop = loop
        self._stop = asyncio.Event()
        # They fail when the loop ends first, so nobody waits for what cannot come.
        self._entered: Pending[Any] = Pending(loop)
        self._left: Pending[None] = Pending(loop)
        self._task: asyncio.Task[None] | None = None
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(self._begin)

    @property
    def is_over(self) -> bool:
        """Whether the thing was left, or its loop has ended."""
        return self._left.done()

    @property
    def is_ending(self) -> bool:
        """Whether the loop that it is entered on ends or has ended."""
        return self._loop.is_ending

    def owns(self, thing: Any) -> bool:
        """Whether `thing` is what was started, or what entering it gave."""
        return thing is self.thing or thing is self.value

    def wait_entered(self, limit: float) -> Any:
        """Wait until the thing is entered; return what that gave, or raise what it raised."""
        try:
            return self._entered.result(limit)
        except TimeoutError:
            if self._entered.done():
                raise
            self.request_stop()
            raise TwistreamError(
                f"{self.key} was not ready within {limit:g} s",
                consequence="It was given up and is being stopped",
                fix="Look at what it waits for, then start it again",
            ) from None

    def request_stop(self) -> None:
        """Ask for the end; returns at once."""
        with suppress(RuntimeError):  # the loop is closed, and has ended it
            self._loop.call_soon_threadsafe(self._end)

    def wait_left(self, limit: float) -> bool:
        """Wait until it has been left, or cannot be any more; return False if that takes long."""
        try:
            self._left.exception(limit)
        except TimeoutError:
            return False
        return True

    def _begin(self) -> None:
        self._task = self._loop.keep(self._run(), self._end, f"lifespan of {self.key}")
        self._task.add_done_callback(self._note_end)

    def _note_end(self, _: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step settles nothing itself.
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
    """Return what can be entered, made by `thing` if it is a function; on the kit's loop.

    Raises:
        TypeError: If the function returned something else.
    """
    if not _is_factory(thing):
        return cast("AbstractAsyncContextManager[Any, bool | None]", thing)
    made = thing()
    if inspect.iscoroutine(made):
        made.close()
    if not hasattr(type(made), "__aenter__"):
        raise TypeError(
            f"{_choose_name(thing)} returned {type(made).__name__}, which is not an async context "
            "manager: start() has nothing to enter; return one, such as websockets.serve(…)"
        )
    return cast("AbstractAsyncContextManager[Any, bool | None]", made)
