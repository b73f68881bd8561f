"""The I/O of one stream: tasks that read its socket, write it, watch for silence and close it.

No code of the user's runs in any of them.  Whatever ends the stream (stop, Close, 1005, 1006,
silence, the handler's exception, the server's stop) comes to the same teardown.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from twistream_kit.capture.message_text import describe_message
from twistream_kit.errors import RemoteProtocolError, TwistreamError
from twistream_kit.live.stream.state import StreamEnd, StreamState
from twistream_kit.live.stream.stream import MediaStream, state_of
from twistream_kit.pending import HomeLoop, format_error
from twistream_kit.protocol import from_twilio

logger = logging.getLogger("twistream_kit.live")

Handler = Callable[[MediaStream], Any]

HANDLER_SECONDS = 2.0
"""How long a cancelled handler may take to end, before the stream ends without it."""

START_SECONDS = 10.0
"""How long a socket may take to say `start`; Twilio needs some milliseconds (PROTOCOL.md §2.3)."""

FAIRNESS = 32
"""How many messages are sent at a time before the other streams get their turn."""


class StreamSession:
    """One WebSocket, from its `start` to its end.

    Args:
        socket: The connection, past the handshake.
        home: The server's loop.
        send_ahead_seconds: How much sound is sent ahead.
        dead_after: Seconds without any message after which the far end is given up.
    """

    def __init__(
        self,
        socket: ServerConnection,
        home: HomeLoop,
        *,
        send_ahead_seconds: float,
        dead_after: float,
    ) -> None:
        self._socket = socket
        self._home = home
        self._send_ahead_seconds = send_ahead_seconds
        self._dead_after = dead_after
        self._last_message = time.monotonic()
        self._ended: asyncio.Future[StreamEnd] = asyncio.get_running_loop().create_future()
        self._runner: asyncio.Task[Any] | None = None

    async def await_start(self) -> MediaStream | None:
        """Read up to `start`; return the stream, or None if there was no start."""
        try:
            async with asyncio.timeout(START_SECONDS):
                async for text in self._socket:
                    message = self._parse(text)
                    if isinstance(message, from_twilio.Start):
                        return self._make_stream(message)
        except TimeoutError:
            logger.warning("a socket said no start within %.0f s; closed", START_SECONDS)
        except ConnectionClosed as closed:
            logger.warning("a socket closed before its start: %s", closed)
        return None

    async def run(self, stream: MediaStream, handler: Handler | None) -> None:
        """Serve the stream until it ends, for whatever reason."""
        loop, state = asyncio.get_running_loop(), state_of(stream)
        self._runner = asyncio.current_task()
        end = StreamEnd("server stopped", "the server stopped")
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
        finally:
            state.end(end)
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=HANDLER_SECONDS)
            if stuck:
                logger.error("the handler of %s does not let itself be cancelled", stream)
            await self._socket.close(1011 if end.reason == "handler" else 1000)

    def stop(self) -> None:
        """End the stream because the server stops."""
        self._end(StreamEnd("server stopped", "the server stopped"))

    def _make_stream(self, start: from_twilio.Start) -> MediaStream:
        self._last_message = time.monotonic()
        state = StreamState(start, self._home, send_ahead_seconds=self._send_ahead_seconds)
        state.capture.append(start, self._last_message)
        logger.info("stream %s started, call %s", start.stream_sid, start.call_sid)
        return MediaStream(state)

    def _check_ended(self, task: asyncio.Task[None]) -> None:
        # None of ours raises; if one ever does, the stream must not live on without it.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("a stream had to be ended", exc_info=error)
            self._end(StreamEnd("lost", f"an error of this program: {error!r}"))

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
                    self._end(StreamEnd("stop", "Twilio said stop"))
                    return
        except ConnectionClosed as closed:
            # 1000, 1005 and 1006 all mean that the call is over (§2.3).  Nothing received after
            # what we sent means that `websockets` itself closed, over a message it could not take.
            if closed.sent is not None and closed.rcvd is None:
                detail = f"a message broke the rules; the socket was closed: {closed.sent}"
                self._end(StreamEnd("lost", detail))
                return
        code = self._socket.close_code
        if code == CloseCode.ABNORMAL_CLOSURE:
            self._end(StreamEnd("lost", f"the connection broke without a goodbye ({code:d})"))
        else:
            self._end(StreamEnd("far end", f"the far end closed the socket ({code})"))

    def _parse(self, text: str | bytes) -> from_twilio.Message | None:
        try:
            message = from_twilio.parse(text)
        except RemoteProtocolError as error:
            logger.warning("a message was not understood and is ignored: %s", error)
            return None
        if isinstance(message, from_twilio.Unknown):
            logger.warning("%s; kept in the capture", describe_message(message))
        return message

    async def _write(self, state: StreamState) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                texts = list(itertools.islice(_texts(state), FAIRNESS))
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
            return  # the reader finds the same, and says which end it was

    async def _send(self, texts: list[str]) -> None:
        # What is sent together goes out in one write: a system call costs more than a message.
        async with self._socket.send_context():
            for text in texts:
                self._socket.protocol.send_text(text.encode())
            self._socket.transport.write(b"".join(self._socket.protocol.data_to_send()))

    async def _watch(self, state: StreamState) -> None:
        # Streams sometimes die with neither stop nor Close (§2.3), so silence ends them too.
        pause = min(1.0, self._dead_after / 4)
        while True:
            await asyncio.sleep(pause)
            state.let_time_pass()
            silent = time.monotonic() - self._last_message
            if silent > self._dead_after:
                detail = f"nothing arrived for {silent:.0f} s"
                self._end(StreamEnd("silent", detail))
                return

    async def _close_when_wanted(self, state: StreamState) -> None:
        await state.close_wanted.wait()
        await state.heard_out()
        self._end(StreamEnd("closed", "closed here"))

    def _start_handler(self, stream: MediaStream, handler: Handler) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if is_async(handler):
            return loop.create_task(self._run_async(stream, handler))
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
            failed.set_result(_no_thread(error))
        return loop.create_task(self._await_thread(stream, failed))

    async def _run_async(self, stream: MediaStream, handler: Handler) -> None:
        try:
            await handler(stream)
        except BaseException as error:
            # It is the user's code.  SystemExit and KeyboardInterrupt would end the loop of all
            # streams, and a CancelledError would vanish: only what we asked for is raised again.
            if self._asked_for(error):
                raise
            self._handler_failed(stream, error)

    def _asked_for(self, error: BaseException) -> bool:
        """Whether `error` is how we end a handler, rather than how it ended by itself."""
        if isinstance(error, GeneratorExit):  # from Python, for a coroutine whose loop is gone
            return not self._home.is_current()
        if not isinstance(error, asyncio.CancelledError):
            return False
        return self._ended.done() or (self._runner is not None and self._runner.cancelling() > 0)

    async def _await_thread(
        self, stream: MediaStream, failed: asyncio.Future[BaseException | None]
    ) -> None:
        error = await failed
        if error is not None:
            self._handler_failed(stream, error)

    def _handler_failed(self, stream: MediaStream, error: BaseException) -> None:
        state_of(stream).handler_error = error
        logger.error("the handler of stream %s failed", stream.stream_sid, exc_info=error)
        self._end(StreamEnd("handler", f"the handler raised {format_error(error)}"))


def is_async(handler: Handler) -> bool:
    """Whether calling `handler` gives a coroutine."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - asked of the object's class, not whether
    )


def _texts(state: StreamState) -> Iterator[str]:
    while (message := state.next_message()) is not None:
        yield message.to_json()


def _run_on_thread(
    handler: Handler,
    stream: MediaStream,
    loop: asyncio.AbstractEventLoop,
    failed: asyncio.Future[BaseException | None],
) -> None:
    error: BaseException | None = None
    try:
        _refuse_coroutine(handler(stream))
    except BaseException as raised:  # noqa: BLE001 - a thread has no caller to raise to
        error = raised
    with contextlib.suppress(RuntimeError):  # the loop is closed: the server has long stopped
        loop.call_soon_threadsafe(_report, failed, error)


def _refuse_coroutine(returned: object) -> None:
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError(
            "the handler is an ordinary function and returned a coroutine, which nobody awaits; "
            "make it `async def`"
        )


def _report(failed: asyncio.Future[BaseException | None], error: BaseException | None) -> None:
    if not failed.done():
        failed.set_result(error)


def _no_thread(error: RuntimeError) -> TwistreamError:
    failure = TwistreamError(
        f"no thread could be started for the handler: {error}",
        consequence="Nobody answers the caller, so the stream is closed",
        fix="Make the handler `async def`, which needs no thread, or end other threads",
    )
    failure.__cause__ = error
    return failure
