"""What keeps one thing entered on the kit's loop, and what can be kept."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, cast

from twistream_kit.errors import ServerStopped, TwistreamError
from twistream_kit.notebook.runtime.loop import KitLoop
from twistream_kit.pending import Pending, fail, fulfil

logger = logging.getLogger("twistream_kit.notebook")

_ORDER = itertools.count()


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
        self._task = self._loop.keep(self._keep(), self._end, f"keeper of {self.key}")
        self._task.add_done_callback(self._note_end)

    def _note_end(self, _: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step settles nothing itself.
        fail(self._entered, ServerStopped(f"{self.key} was stopped before it was ready"))
        fulfil(self._left, None)

    def _end(self) -> None:
        self._stop.set()
        if not self._entered.done() and self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        try:
            async with manager_of(self.thing) as value:
                self.value = value
                fulfil(self._entered, value)
                await self._stop.wait()
        except BaseException as error:
            if not fail(self._entered, error):
                doing = "stopping" if self._stop.is_set() else "running"
                logger.error("%s %s failed", doing, self.key, exc_info=error)


def is_factory(thing: Any) -> bool:
    """Whether `thing` makes what is to be started, rather than being it."""
    return callable(thing) and not hasattr(type(thing), "__aenter__")


def manager_of(thing: Any) -> AbstractAsyncContextManager[Any, bool | None]:
    """Return what can be entered, made by `thing` if it is a function; on the kit's loop.

    Raises:
        TypeError: If the function returned something else.
    """
    if not is_factory(thing):
        return cast("AbstractAsyncContextManager[Any, bool | None]", thing)
    made = thing()
    if inspect.iscoroutine(made):
        made.close()
    if not hasattr(type(made), "__aenter__"):
        raise TypeError(
            f"{name_of(thing)} returned {type(made).__name__}, which is not an async context "
            "manager: start() has nothing to enter; return one, such as websockets.serve(…)"
        )
    return cast("AbstractAsyncContextManager[Any, bool | None]", made)


def check_startable(thing: Any) -> None:
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


def name_of(thing: Any) -> str:
    """Return the name under which `thing` is kept if none is given."""
    if is_factory(thing):
        return str(getattr(thing, "__name__", type(thing).__name__)).strip("<>")
    return type(thing).__name__
