"""The I/O of one stream: tasks that read, write, watch and close its WebSocket.

These tasks never run user code.  Every end of a stream (the stop message, a Close frame, 1005,
1006, silence, an exception in the handler, the stop of the server) leads to the same teardown.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from twistream_kit.capture.message_text import describe_message
from twistream_kit.errors import RemoteProtocolError, TwistreamError
from twistream_kit.live.stream.state import CLOSED_HERE, StreamEnd, StreamState
from twistream_kit.live.stream.stream import MediaStream, get_state
from twistream_kit.pending import HomeLoop, format_error
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.ending import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    STOPPED_IN_WORDS,
    EndCause,
)

logger = logging.getLogger("twistream_kit.live")

Handler = Callable[[MediaStream], Any]

HANDLER_SECONDS = 2.0
"""How long `run` waits for a cancelled handler before it ends the stream without it."""

START_SECONDS = 10.0
"""How long a socket may take to send `start`; Twilio takes milliseconds (PROTOCOL.md §2.3)."""

FAIRNESS = 32
"""How many messages one stream sends before it yields to the other streams."""


class StreamSession:
    """The I/O of one WebSocket, from its `start` message to its end.

    Args:
        socket: The connection, after the handshake.
        home: The server's event loop.
        send_ahead_seconds: How much sound is sent ahead.
        dead_after: The timeout in seconds after which a silent peer counts as lost.
        explain_stop: Waits, within limits, until it is known why Twilio stopped a stream of the
            call with the SID given at the time given; None leaves that unknown.
    """

    def __init__(
        self,
        socket: ServerConnection,
        home: HomeLoop,
        *,
        send_ahead_seconds: float,
        dead_after: float,
        explain_stop: Callable[[str, float], Awaitable[EndCause]] | None = None,
    ) -> None:
        self._socket = socket
        self._home = home
        self._send_ahead_seconds = send_ahead_seconds
        self._dead_after = dead_after
        self._explain_stop = explain_stop
        self._last_message = time.monotonic()
        self._ended: asyncio.Future[StreamEnd] = asyncio.get_running_loop().create_future()
        self._runner: asyncio.Task[Any] | None = None

    async def await_start(self) -> MediaStream | None:
        """Read messages up to `start`; return the stream, or None if no start arrives."""
        try:
            async with asyncio.timeout(START_SECONDS):
                async for text in self._socket:
                    message = self._parse(text)
                    if isinstance(message, from_twilio.Start):
                        return self._make_stream(message)
        except TimeoutError:
            logger.warning("a socket sent no start within %.0f s; closed", START_SECONDS)
        except ConnectionClosed as closed:
            logger.warning("a socket closed before its start: %s", closed)
        return None

    async def run(self, stream: MediaStream, handler: Handler | None) -> None:
        """Serve the stream until it ends."""
        loop, state = asyncio.get_running_loop(), get_state(stream)
        self._runner = asyncio.current_task()
        end = StreamEnd("server stopped", EndCause("server-stopped"))
        tasks: list[asyncio.Task[Any]] = []
        try:
            # The handler is first in the loop's queue: what came in one packet with `start` is
            # read only after its first step, and so reaches the readers that step has made.
            if handler is not None:
                tasks.append(self._start_handler(stream, handler))
            for work in (
                self._read(state),
                self._write(state),
                self._watch(state),
                self._close_when_wanted(state),
            ):
                task = loop.create_task(work)
                task.add_done_callback(self._check_ended)
                tasks.append(task)
            end = await self._ended
            end = await self._explain(state, end)
        finally:
            state.end(end)
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=HANDLER_SECONDS)
            if stuck:
                logger.error("the handler of %s did not end when it was cancelled", stream)
            await self._socket.close(_choose_close_code(end))

    def stop(self) -> None:
        """End the stream because the server stops."""
        self._end(StreamEnd("server stopped", EndCause("server-stopped")))

    async def _explain(self, state: StreamState, end: StreamEnd) -> StreamEnd:
        """Return how the stream ended, with the reason of Twilio's stop if it becomes known."""
        if end.reason not in ("stop", "far end") or self._explain_stop is None:
            return end
        state.stop(time.monotonic())
        at = time.monotonic() if state.stopped_at is None else state.stopped_at
        cause = await self._explain_stop(state.start.call_sid, at)
        if cause.cause == "twilio-stopped" and end.reason == "far end":
            return end
        return replace(end, cause=cause)

    def _make_stream(self, start: from_twilio.Start) -> MediaStream:
        self._last_message = time.monotonic()
        state = StreamState(start, self._home, send_ahead_seconds=self._send_ahead_seconds)
        state.capture.append(start, self._last_message)
        logger.info("stream %s started, call %s", start.stream_sid, start.call_sid)
        return MediaStream(state)

    def _check_ended(self, task: asyncio.Task[None]) -> None:
        # These tasks should never raise.  If one does, the stream must not go on without it.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("a stream was ended by an error of this program", exc_info=error)
            detail = f"an error of this program: {error!r}"
            self._end(StreamEnd("lost", EndCause("server-closed", NORMAL_CLOSURE, detail=detail)))

    def _end(self, end: StreamEnd) -> None:
        if not self._ended.done():
            self._ended.set_result(end)

    async def _read(self, state: StreamState) -> None:
        try:
            async for text in self._socket:
                message = self._parse(text)
                if message is None:
                    continue
                self._last_message = now = time.monotonic()
                state.receive(message, now)
                if isinstance(message, from_twilio.Stop):
                    cause = EndCause("twilio-stopped", detail=STOPPED_IN_WORDS)
                    self._end(StreamEnd("stop", cause))
                    return
        except ConnectionClosed as closed:
            # 1000, 1005 and 1006 all mean that the call is over (§2.3).  A Close frame that was
            # sent and not answered means that `websockets` closed because of an invalid message.
            if (sent := closed.sent) is not None and closed.rcvd is None:
                detail = "a message from the other side broke a rule of WebSocket"
                cause = EndCause("server-closed", int(sent.code), sent.reason, detail)
                self._end(StreamEnd("lost", cause))
                return
        code, reason = self._socket.close_code, self._socket.close_reason or ""
        if code == ABNORMAL_CLOSURE:
            self._end(StreamEnd("lost", EndCause("connection-lost", ABNORMAL_CLOSURE)))
            return
        quoted = f" {reason!r}" if reason else ""
        detail = f"it closed the connection ({code}{quoted}) without a stop message"
        self._end(StreamEnd("far end", EndCause("twilio-stopped", code, reason, detail)))

    def _parse(self, text: str | bytes) -> from_twilio.Message | None:
        try:
            message = from_twilio.parse(text)
        except RemoteProtocolError as error:
            logger.warning("a message could not be parsed and is ignored: %s", error)
            return None
        if isinstance(message, from_twilio.Unknown):
            logger.warning("%s; kept in the capture", describe_message(message))
        return message

    async def _write(self, state: StreamState) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                texts = list(itertools.islice(_take_texts(state), FAIRNESS))
                if texts:
                    await self._send(texts)
                if len(texts) == FAIRNESS:
                    await asyncio.sleep(0)
                    continue
                seconds = state.wait_seconds()
                alarm = None if seconds is None else loop.call_later(seconds, state.outgoing.set)
                await state.outgoing.wait()
                state.outgoing.clear()
                if alarm is not None:
                    alarm.cancel()
        except ConnectionClosed:
            return  # the reading task gets the same exception and records how the stream ended

    async def _send(self, texts: list[str]) -> None:
        # What is sent together goes out in one write: a system call costs more than a message.
        async with self._socket.send_context():
            for text in texts:
                self._socket.protocol.send_text(text.encode())
            self._socket.transport.write(b"".join(self._socket.protocol.data_to_send()))

    async def _watch(self, state: StreamState) -> None:
        # Some streams end with neither stop nor Close (§2.3), so a timeout ends them too.
        pause = min(1.0, self._dead_after / 4)
        while True:
            await asyncio.sleep(pause)
            state.let_time_pass()
            silent = time.monotonic() - self._last_message
            if silent > self._dead_after:
                detail = f"nothing arrived for {silent:.0f} s"
                cause = EndCause("connection-lost", ABNORMAL_CLOSURE, detail=detail)
                self._end(StreamEnd("silent", cause))
                return

    async def _close_when_wanted(self, state: StreamState) -> None:
        await state.close_wanted.wait()
        await state.wait_heard()
        self._end(StreamEnd("closed", CLOSED_HERE))

    def _start_handler(self, stream: MediaStream, handler: Handler) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if is_async(handler):
            return loop.create_task(self._run_async(stream, handler))
        get_state(stream).keep_early()
        failed: asyncio.Future[BaseException | None] = loop.create_future()
        thread = threading.Thread(
            target=_run_on_thread,
            args=(handler, stream, loop, failed),
            name=f"handler of {stream.stream_sid}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            failed.set_result(_build_thread_error(error))
        return loop.create_task(self._await_thread(stream, failed))

    async def _run_async(self, stream: MediaStream, handler: Handler) -> None:
        try:
            await handler(stream)
        except BaseException as error:
            # The handler is user code.  SystemExit and KeyboardInterrupt would end the loop of all
            # streams, and a CancelledError would be lost: only our own cancellation is raised.
            if self._is_own_cancellation(error):
                raise
            self._note_failure(stream, error)

    def _is_own_cancellation(self, error: BaseException) -> bool:
        """Whether `error` comes from our own cancellation of the handler."""
        if isinstance(error, GeneratorExit):  # raised by Python in a coroutine of a closed loop
            return not self._home.is_current()
        if not isinstance(error, asyncio.CancelledError):
            return False
        return self._ended.done() or (self._runner is not None and self._runner.cancelling() > 0)

    async def _await_thread(
        self, stream: MediaStream, failed: asyncio.Future[BaseException | None]
    ) -> None:
        error = await failed
        if error is not None:
            self._note_failure(stream, error)

    def _note_failure(self, stream: MediaStream, error: BaseException) -> None:
        get_state(stream).handler_error = error
        logger.error("the handler of stream %s failed", stream.stream_sid, exc_info=error)
        cause = EndCause("handler-failed", 1011, detail=format_error(error))
        self._end(StreamEnd("handler", cause))


def is_async(handler: Handler) -> bool:
    """Whether calling `handler` returns a coroutine."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - the method itself is inspected
    )


def _choose_close_code(end: StreamEnd) -> int:
    """Return the code with which this side closes the connection, if it is still open."""
    code = end.cause.close_code
    return code if end.reason == "handler" and code is not None else NORMAL_CLOSURE


def _take_texts(state: StreamState) -> Iterator[str]:
    while (message := state.take_message()) is not None:
        yield message.to_json()


def _run_on_thread(
    handler: Handler,
    stream: MediaStream,
    loop: asyncio.AbstractEventLoop,
    failed: asyncio.Future[BaseException | None],
) -> None:
    error: BaseException | None = None
    get_state(stream).begin_handler()
    try:
        _refuse_coroutine(handler(stream))
    except BaseException as raised:  # noqa: BLE001 - a thread has no caller to raise to
        error = raised
    get_state(stream).end_handler()
    with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
        loop.call_soon_threadsafe(_report, failed, error)


def _refuse_coroutine(returned: object) -> None:
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError(
            "the handler is an ordinary function and returned a coroutine, which is not awaited; "
            "make the handler `async def`"
        )


def _report(failed: asyncio.Future[BaseException | None], error: BaseException | None) -> None:
    if not failed.done():
        failed.set_result(error)


def _build_thread_error(error: RuntimeError) -> TwistreamError:
    failure = TwistreamError(
        f"no thread could be started for the handler: {error}",
        consequence="No handler serves the caller, so the stream is closed",
        fix="Make the handler `async def`, which needs no thread, or end other threads",
    )
    failure.__cause__ = error
    return failure
