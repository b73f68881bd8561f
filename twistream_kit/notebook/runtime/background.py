"""One event loop on one daemon thread for all that a notebook starts.

A server on the kernel's own loop stands still while a cell computes, so the kit's sockets live on
a thread of their own.  `start` runs an async context manager there and gives back what entering
it gave; running the cell again replaces what it started before.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar, overload

from twistream_kit.errors import TwistreamError, WouldDeadlock
from twistream_kit.notebook.runtime.event_log import event_log
from twistream_kit.notebook.runtime.keeper import Keeper, check_startable, name_of
from twistream_kit.notebook.runtime.loop import KitLoop

T = TypeVar("T")

logger = logging.getLogger("twistream_kit.notebook")

START_SECONDS = 10.0
"""How long `start` waits for something to be entered, and `stop` for it to be left.

What needs longer by its nature, such as a tunnel whose name must first become known to the world,
says so itself, in an attribute `start_seconds`.
"""

_LOCK = threading.RLock()
_loop: KitLoop | None = None
_keepers: dict[str, Keeper] = {}


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
    check_startable(thing)
    _refuse_on_own_loop("start")
    key = name or name_of(thing)
    with _LOCK:
        _forget_ended()
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
            return keeper.wait_entered(getattr(thing, "start_seconds", START_SECONDS))
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
            names = ", ".join(running()) or "nothing"
            raise TwistreamError(
                f"{thing!r} does not run", fix=f"What runs is: {names}; stop() stops all"
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
        ordered = sorted(_keepers.values(), key=lambda keeper: keeper.order)
        return [keeper.key for keeper in ordered if not keeper.is_over]


def _forget_ended() -> None:
    for key, keeper in tuple(_keepers.items()):
        # What a loop that ends still leaves may hold the port that is wanted next.
        if keeper.is_over or (keeper.is_ending and keeper.wait_left(START_SECONDS)):
            del _keepers[key]


def _stop_keepers(keepers: list[Keeper]) -> None:
    for keeper in keepers:
        keeper.request_stop()
        if not keeper.wait_left(START_SECONDS):
            logger.error("%s did not stop within %g s", keeper.key, START_SECONDS)
        _keepers.pop(keeper.key, None)


def _running_loop() -> KitLoop:
    global _loop  # noqa: PLW0603 - one loop for the process is the point
    if _loop is None or _loop.is_ending or _loop.is_closed():
        _loop = KitLoop()
        thread = threading.Thread(target=_loop.run_on_thread, name="twistream_kit", daemon=True)
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
