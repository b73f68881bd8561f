"""One event loop on one daemon thread for all that a notebook starts.

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
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, cast, overload

from twistream_kit.errors import TwistreamError, WouldDeadlock
from twistream_kit.notebook.event_log import event_log
from twistream_kit.notebook.kit_loop import KitLoop

T = TypeVar("T")

logger = logging.getLogger("twistream_kit.notebook")

START_SECONDS = 10.0
"""How long `start` waits for something to be entered, and `stop` for it to be left."""

_LOCK = threading.RLock()
_ORDER = itertools.count()
_loop: KitLoop | None = None
_keepers: dict[str, Keeper] = {}


class Keeper:
    """Keeps one thing entered: one task enters it, waits, and leaves it.

    The same task must do both, because cancel scopes and context variables belong to a task.
    """

    def __init__(self, key: str, thing: Any, loop: KitLoop) -> None:
        self.key = key
        self.thing = thing
        self.value: Any = None
        self.order = next(_ORDER)
        self._loop = loop
        self._stop = asyncio.Event()
        self._entered = threading.Event()
        self._left = threading.Event()
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        loop.call_soon_threadsafe(self._begin)

    def owns(self, thing: Any) -> bool:
        """Whether `thing` is what was started, or what entering it gave."""
        return thing is self.thing or thing is self.value

    def wait_entered(self) -> Any:
        """Wait until the thing is entered; return what that gave, or raise what it raised."""
        if not self._entered.wait(START_SECONDS):
            self.request_stop()
            raise TwistreamError(
                f"{self.key} was not ready within {START_SECONDS:g} s",
                consequence="It was given up and is being stopped",
                fix="Look at what it waits for, then start it again",
            )
        if self._error is not None:
            raise self._error
        return self.value

    def request_stop(self) -> None:
        """Ask for the end; returns at once."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def wait_left(self) -> bool:
        """Wait until it has been left; return False if that takes too long."""
        return self._left.wait(START_SECONDS)

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._keep(), name=f"keeper of {self.key}")

    def _end(self) -> None:
        self._stop.set()
        if not self._entered.is_set() and self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        try:
            async with _manager_of(self.thing) as value:
                self.value = value
                self._entered.set()
                await self._stop.wait()
        except asyncio.CancelledError as error:
            self._error = error
        except BaseException as error:
            self._error = error
            if self._entered.is_set():
                logger.error("stopping %s failed", self.key, exc_info=error)
        finally:
            self._entered.set()
            self._left.set()


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
        TwistreamError: If it is not ready within ten seconds.
        Exception: Whatever entering it raised.
    """
    _check_startable(thing)
    _refuse_on_own_loop("start")
    key = name or _name_of(thing)
    with _LOCK:
        for keeper in _keepers.values():
            if keeper.owns(thing):
                return keeper.value
        known = _keepers.get(key)
        if known is not None:
            logger.info("%s is started anew; the earlier one is stopped", key)
            _stop_keepers([known])
        keeper = Keeper(key, thing, _running_loop())
        _keepers[key] = keeper
        try:
            return keeper.wait_entered()
        except BaseException:
            keeper.request_stop()
            _keepers.pop(key, None)
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
            _stop_keepers(sorted(_keepers.values(), key=lambda keeper: -keeper.order))
            return
        found = [k for k in _keepers.values() if thing == k.key or k.owns(thing)]
        if not found:
            running = ", ".join(_keepers) or "nothing"
            raise TwistreamError(
                f"{thing!r} does not run", fix=f"What runs is: {running}; stop() stops all"
            )
        _stop_keepers(found)


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
        return [k.key for k in sorted(_keepers.values(), key=lambda keeper: keeper.order)]


def _stop_keepers(keepers: list[Keeper]) -> None:
    for keeper in keepers:
        keeper.request_stop()
        if not keeper.wait_left():
            logger.error("%s did not stop within %g s", keeper.key, START_SECONDS)
        _keepers.pop(keeper.key, None)


def _running_loop() -> KitLoop:
    global _loop  # noqa: PLW0603 - one loop for the process is the point
    if _loop is None or _loop.is_closed():
        _loop = KitLoop()
        thread = threading.Thread(target=_loop.run_forever, name="twistream_kit", daemon=True)
        thread.start()
        event_log()  # without it, what goes wrong there would be printed into somebody's cell
        atexit.register(_at_exit)
    return _loop


def _at_exit() -> None:
    if _loop is None or _loop.is_closed():
        return
    try:
        stop()
    finally:
        _loop.call_soon_threadsafe(_loop.stop)


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


def _is_factory(thing: Any) -> bool:
    return callable(thing) and not hasattr(type(thing), "__aenter__")


def _manager_of(thing: Any) -> AbstractAsyncContextManager[Any, bool | None]:
    if not _is_factory(thing):
        return cast("AbstractAsyncContextManager[Any, bool | None]", thing)
    made = thing()
    if inspect.iscoroutine(made):
        made.close()
    if not hasattr(type(made), "__aenter__"):
        raise TypeError(
            f"{_name_of(thing)} returned {type(made).__name__}, which is not an async context "
            "manager: start() has nothing to enter; return one, such as websockets.serve(…)"
        )
    return cast("AbstractAsyncContextManager[Any, bool | None]", made)


def _check_startable(thing: Any) -> None:
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


def _name_of(thing: Any) -> str:
    if _is_factory(thing):
        return str(getattr(thing, "__name__", type(thing).__name__)).strip("<>")
    return type(thing).__name__
