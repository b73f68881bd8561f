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
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - the method itself is inspected
    )


async def _run_async(
    handler: Handler, stream: MediaStream, is_own_cancellation: Callable[[BaseException], bool]
) -> BaseException | None:
    try:
        await handler(stream)
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
        _refuse_coroutine(handler(stream))
    except BaseException as raised:  # noqa: BLE001 - a thread has no caller to raise to
        error = raised
    get_state(stream).end_handler()
    with suppress(RuntimeError):  # the loop is closed: the server has stopped
        loop.call_soon_threadsafe(_report, ended, error)


def _refuse_coroutine(returned: object) -> None:
    if inspect.iscoroutine(returned):
        returned.close()
        raise WrongType(
            "the handler is an ordinary function and returned a coroutine, which is not awaited; "
            "make the handler `async def`"
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
