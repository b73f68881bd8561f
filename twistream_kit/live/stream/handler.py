"""Run the user's handler of a stream: a coroutine as a task, a function on a thread of its own.

What it raises, SystemExit included, is returned and ends its stream only.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twistream_kit.errors import TwistreamError, WrongType
from twistream_kit.live.stream.stream import MediaStream, get_state

Handler = Callable[[MediaStream], Any]


_GIVE = "give `async def (stream)` or an ordinary function of one stream"


def check_handler(handler: object) -> None:
    """Refuse a handler that cannot be called with a stream, or whose body a call would not run.

    Raises:
        TypeError: If it is one.
    """
    if handler is None:
        return
    if not callable(handler):
        raise WrongType(f"handler is {type(handler).__name__}, not a function: {_GIVE}")
    name = getattr(handler, "__name__", type(handler).__name__)
    if _is_any(handler, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        raise WrongType(
            f"the handler {name} contains `yield`, so a call makes a generator and runs nothing "
            f"of it: {_GIVE}, without `yield`"
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # of a built-in function
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise WrongType(
            f"the handler {name}{signature} cannot be called with one argument, the stream "
            f"({error}): {_GIVE}"
        ) from None


def start_handler(
    handler: Handler, stream: MediaStream, is_own_cancellation: Callable[[BaseException], bool]
) -> asyncio.Task[BaseException | None]:
    """Start a handler.

    Args:
        handler: ``async def (stream)``, or an ordinary function.
        stream: Its stream.
        is_own_cancellation: Whether what a coroutine raised comes from the cancellation of the
            returned task; then the task raises it, too.

    Returns:
        A task of the running loop that returns what the handler raised, or None.
    """
    loop = asyncio.get_running_loop()
    if is_async(handler):
        return loop.create_task(_run_async(handler, stream, is_own_cancellation))
    get_state(stream).keep_early()
    ended: asyncio.Future[BaseException | None] = loop.create_future()
    thread = threading.Thread(
        target=_run_on_thread,
        args=(handler, stream, loop, ended),
        name=f"handler of {stream.stream_sid}",
        daemon=True,
    )
    try:
        thread.start()
    except RuntimeError as error:
        ended.set_result(_build_thread_error(error))
    return loop.create_task(_wait_for(ended))


def is_async(handler: Handler) -> bool:
    """Whether calling `handler` returns a coroutine."""
    return _is_any(handler, inspect.iscoroutinefunction)


def _is_any(handler: object, *kinds: Callable[[object], bool]) -> bool:
    """Whether what runs when `handler` is called is one of these kinds of function."""
    code = [handler]
    if not inspect.isclass(handler):  # its method is that of its objects
        code.append(getattr(handler, "__call__", None))  # noqa: B004 - the method is inspected
    return any(kind(each) for kind in kinds for each in code)


async def _run_async(
    handler: Handler, stream: MediaStream, is_own_cancellation: Callable[[BaseException], bool]
) -> BaseException | None:
    try:
        _refuse_unrun(await handler(stream), "an async function")
    except BaseException as error:
        # The handler is user code.  SystemExit and KeyboardInterrupt would end the loop of all
        # streams, and a CancelledError would be lost: only our own cancellation is raised.
        if is_own_cancellation(error):
            raise
        return error
    return None


async def _wait_for(ended: asyncio.Future[BaseException | None]) -> BaseException | None:
    return await ended


def _run_on_thread(
    handler: Handler,
    stream: MediaStream,
    loop: asyncio.AbstractEventLoop,
    ended: asyncio.Future[BaseException | None],
) -> None:
    error: BaseException | None = None
    get_state(stream).begin_handler()
    try:
        _refuse_unrun(handler(stream), "an ordinary function")
    except BaseException as raised:  # noqa: BLE001 - a thread has no caller to raise to
        error = raised
    get_state(stream).end_handler()
    with suppress(RuntimeError):  # the loop is closed: the server has stopped
        loop.call_soon_threadsafe(_report, ended, error)


def _refuse_unrun(returned: object, kind: str) -> None:
    """Report what the handler returned instead of running it: its code would never run."""
    if inspect.iscoroutine(returned):
        returned.close()
        fix = (
            "say `await` before it"
            if kind.startswith("an async")
            else "make the handler `async def`"
        )
        raise WrongType(
            f"the handler is {kind} and returned a coroutine, which is not awaited; {fix}"
        )
    if inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        raise WrongType(
            f"the handler is {kind} and returned a generator, of which nothing runs; take the "
            "`yield` out of the function that makes it"
        )


def _report(ended: asyncio.Future[BaseException | None], error: BaseException | None) -> None:
    if not ended.done():
        ended.set_result(error)


def _build_thread_error(error: RuntimeError) -> TwistreamError:
    failure = TwistreamError(
        f"no thread could be started for the handler: {error}",
        consequence="No handler serves the caller, so the stream is closed",
        fix="Make the handler `async def`, which needs no thread, or end other threads",
    )
    failure.__cause__ = error
    return failure
