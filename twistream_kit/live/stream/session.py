"""The I/O of one stream: its WebSocket, read and watched by tasks, and written by a sender.

None of them runs user code.  Every end of a stream (the stop message, a Close frame, 1005,
1006, silence, an exception in the handler, the stop of the server) leads to the same teardown.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from twistream_kit.capture.message_text import describe_message
from twistream_kit.errors import RemoteProtocolError
from twistream_kit.guard import format_error, log_user_error
from twistream_kit.live.stream.delivery import DeliveringConnection
from twistream_kit.live.stream.handler import Handler, start_handler
from twistream_kit.live.stream.state import (
    StreamState,
    do_nothing,
    refuse_frame,
)
from twistream_kit.live.stream.stream import MediaStream, get_state
from twistream_kit.pending import HomeLoop
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import (
    ABNORMAL_CLOSURE,
    CLOSED_HERE,
    NORMAL_CLOSURE,
    STOPPED_IN_WORDS,
    EndCause,
    StreamEnd,
)
from twistream_kit.sound_file import CheckedPayload

logger = logging.getLogger("twistream_kit.live")

HANDLER_SECONDS = 2.0
"""How long `run` waits for a cancelled handler before it ends the stream without it."""

START_SECONDS = 10.0
"""How long a socket may take to send `start`; Twilio takes milliseconds (PROTOCOL.md §2.3)."""

GOING_AWAY = 1001
"""The code of a peer that leaves, as a browser's page does."""

SERVICE_RESTART = 1012
"""The code with which an ASGI server that stops closes its connections."""

FAIRNESS = 32
"""How many messages one stream sends before it yields to the other streams."""

FRAME_HEAD_BYTES = 4
"""The head of a WebSocket frame of a server, of up to 64 kB."""

SHARED_SECONDS = 0.001
"""A command that follows another's write sooner than this shares its write with what comes after
it: a system call costs more than a message."""

TIMER_SLACK_SECONDS = 0.005
"""A timer is not set anew for less: the times are estimates, whole bytes of 0.125 ms."""


@dataclass(frozen=True, slots=True)
class SocketEnd:
    """How a WebSocket ended.

    Attributes:
        code: The code of the Close frame; 1005 if it had none, 1006 if there was no Close frame.
        reason: Its reason, often empty.
        is_ours: Whether this side sent a Close frame that was not answered, because a message of
            the other side broke a rule of WebSocket.
    """

    code: int
    reason: str = ""
    is_ours: bool = False


class StreamSocket(Protocol):
    """A WebSocket after its handshake, used on one event loop.

    A session reads one message after the other, and writes without waiting.  It writes no more than
    `room` allows, and then waits for `wait_for_room`: what was not written stays in the outbox,
    where a clear reaches it.
    """

    async def receive(self) -> str | bytes | None:
        """Return the next message; None once the connection has ended (see `end`)."""

    def deliver_to(self, take: Callable[[str], None]) -> None:
        """Allow the socket to call `take` with a message as it arrives, in place of `receive`.

        The messages keep their order.  A socket may do without it.
        """

    @property
    def end(self) -> SocketEnd:
        """How the connection ended; defined once `receive` has returned None."""

    def write(self, texts: Iterable[bytes]) -> None:
        """Send text messages in order, without waiting; on a closed connection they are lost.

        They are UTF-8.
        """

    @property
    def room(self) -> int:
        """How many bytes may be written until the high-water mark is exceeded; 0 if it was.

        After that, there is room again from the low-water mark on.
        """

    @property
    def is_full(self) -> bool:
        """Whether there is no room, not even for one message."""

    async def wait_for_room(self) -> None:
        """Wait until there is room, or the connection has ended; return at once if there is."""

    async def close(self, code: int) -> None:
        """Close the connection, if it is open, and wait, within a limit, until it is closed."""


def build_frame(text: bytes) -> bytes:
    """Return the WebSocket frame of a server with a whole text message (RFC 6455, 5.2).

    `websockets` would make the same bytes by a dozen calls, for which a message on a server that is
    mostly idle takes twice as long.
    """
    size = len(text)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + text
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2) + text
    return b"\x81\x7f" + size.to_bytes(8) + text


class WebSocketsSocket:
    """The `StreamSocket` of a connection of the `websockets` library."""

    def __init__(self, connection: DeliveringConnection) -> None:
        self._connection = connection
        self._end: SocketEnd | None = None

    async def receive(self) -> str | bytes | None:
        """Return the next message; None once the connection has ended (see `end`)."""
        try:
            return await self._connection.take_queued()
        except ConnectionClosed as closed:
            self._end = self._describe_end(closed)
            return None

    def deliver_to(self, take: Callable[[str], None]) -> None:
        """Call `take` with each text message that arrives, once no other one is waiting."""
        self._connection.deliver_to(take)

    @property
    def end(self) -> SocketEnd:
        """How the connection ended; defined once `receive` has returned None."""
        return self._end or SocketEnd(ABNORMAL_CLOSURE)

    def write(self, texts: Iterable[bytes]) -> None:
        """Send text messages in order, without waiting; on a closed connection they are lost.

        What is written together goes out in one system call, which costs more than a message.
        """
        connection = self._connection
        if connection.protocol.state is State.OPEN:
            parts: list[bytes] = []
            for text in texts:
                size = len(text)
                if 126 <= size < 65_536:  # a media message, as `build_frame` frames it
                    parts += (b"\x81\x7e", size.to_bytes(2), text)
                else:
                    parts.append(build_frame(text))
            connection.transport.write(b"".join(parts))

    @property
    def room(self) -> int:
        """How many bytes may be written until the high-water mark is exceeded; 0 if it was."""
        connection = self._connection
        if connection.paused:
            return 0
        held: int = connection.transport.get_write_buffer_size()
        return max(1, (connection.write_limit_high or 0) - held)

    # Read for each frame of a speech, and so without a call of a function.
    is_full: bool = property(  # type: ignore[assignment]
        attrgetter("_connection.paused"),
        doc="Whether there is no room, not even for one message.",
    )

    async def wait_for_room(self) -> None:
        """Wait until there is room, or the connection has ended; return at once if there is."""
        with suppress(OSError, EOFError):  # the connection is lost: `receive` says so
            await self._connection.drain()

    async def close(self, code: int) -> None:
        """Close the connection, if it is open, and wait, within a limit, until it is closed."""
        self._connection.deliver_to(None)  # it refers to the session, which refers to it
        await self._connection.close(code)

    def _describe_end(self, closed: ConnectionClosed) -> SocketEnd:
        if (sent := closed.sent) is not None and closed.rcvd is None:
            return SocketEnd(int(sent.code), sent.reason, is_ours=True)
        code, reason = self._connection.close_code, self._connection.close_reason
        return SocketEnd(ABNORMAL_CLOSURE if code is None else code, reason or "")


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
        socket: StreamSocket,
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
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[StreamEnd] = self._loop.create_future()
        self._runner: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sender: StreamSender | None = None

    async def await_start(self) -> MediaStream | None:
        """Read messages up to `start`; return the stream, or None if no start arrives."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while (text := await self._socket.receive()) is not None:
                    if (start := _find_start(text)) is not None:
                        return self._make_stream(start)
        except TimeoutError:
            logger.warning("a socket sent no start within %.0f s; closed", START_SECONDS)
        else:
            if (end := self._socket.end).code not in (NORMAL_CLOSURE, GOING_AWAY):
                logger.warning("a socket closed before its start: %d %s", end.code, end.reason)
        return None

    async def run(self, stream: MediaStream, handler: Handler | None) -> None:
        """Serve the stream until it ends."""
        state = get_state(stream)
        self._runner = asyncio.current_task()
        end = StreamEnd("server stopped", EndCause("server-stopped"))
        try:
            # The handler is first in the loop's queue: what came in one packet with `start` is
            # read only after its first step, and so reaches the readers that step has made.
            if handler is not None:
                task = start_handler(handler, stream, self._is_own_cancellation)
                task.add_done_callback(partial(self._note_handler_end, state))
                self._tasks.add(task)
            self._start_task(self._read(state))
            self._start_task(self._watch(state))
            end = await self._ended
            end = await self._explain(state, end)
        finally:
            self._end(end)
            state.end(end)
            if self._sender is not None:
                self._sender.stop()
            # They and the session refer to each other: sound would wait for the garbage collector.
            self._sender, tasks, self._tasks = None, self._tasks, set()
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
        self._sender = StreamSender(state, self._socket, self._home, self._fail)
        state.on_outgoing, state.on_frame = self._sender.send, self._sender.send_frame
        state.on_close_wanted = partial(self._close_when_heard, state)
        values = state.describe_event("stream.started")
        logger.info("stream %s started, call %s", start.stream_sid, start.call_sid, extra=values)
        return MediaStream(state)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        task.add_done_callback(self._check_ended)
        self._tasks.add(task)

    def _check_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End the stream because of an error in this program, after which it must not go on."""
        logger.error("a stream was ended by an error of this program", exc_info=error)
        detail = f"an error of this program: {error!r}"
        self._end(StreamEnd("lost", EndCause("server-closed", NORMAL_CLOSURE, detail=detail)))

    def _end(self, end: StreamEnd) -> None:
        if not self._ended.done():
            self._ended.set_result(end)

    async def _read(self, state: StreamState) -> None:
        take = partial(self._take, state)
        self._socket.deliver_to(take)
        while (text := await self._socket.receive()) is not None:
            take(text)
        self._end(describe_end(self._socket.end))

    def _take(self, state: StreamState, text: str | bytes) -> None:
        if self._ended.done():
            return
        try:
            # Nearly all are: past the call of `parse`.
            if type(text) is str and (media := from_twilio.parse_usual_media(text)) is not None:
                self._last_message = now = time.monotonic()
                state.receive(media, now)
                return
            try:
                message = from_twilio.parse(text)
            except RemoteProtocolError as error:
                _note_unreadable(error)
                return
            self._last_message = now = time.monotonic()
            state.receive(message, now)
            if type(message) is from_twilio.Unknown:
                _note_unknown(message)
            elif type(message) is from_twilio.Stop:
                cause = EndCause("twilio-stopped", detail=STOPPED_IN_WORDS)
                self._end(StreamEnd("stop", cause))
        except Exception as error:  # noqa: BLE001 - it is passed on
            self._fail(error)

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

    def _close_when_heard(self, state: StreamState) -> None:
        if not self._ended.done():
            self._start_task(self._close_after(state))

    async def _close_after(self, state: StreamState) -> None:
        await state.wait_heard()
        self._end(StreamEnd("closed", CLOSED_HERE))

    def _is_own_cancellation(self, error: BaseException) -> bool:
        """Whether `error` comes from our own cancellation of the handler."""
        if isinstance(error, GeneratorExit):  # raised by Python in a coroutine of a closed loop
            return not self._home.is_current()
        if not isinstance(error, asyncio.CancelledError):
            return False
        return self._ended.done() or (self._runner is not None and self._runner.cancelling() > 0)

    def _note_handler_end(
        self, state: StreamState, task: asyncio.Task[BaseException | None]
    ) -> None:
        error = None if task.cancelled() else task.result()
        if error is None:
            return
        state.handler_error = error
        sid, values = state.start.stream_sid, state.describe_event("handler.failed")
        log_user_error(logger, f"the handler of stream {sid} failed", error, values)
        cause = EndCause("handler-failed", 1011, detail=format_error(error))
        self._end(StreamEnd("handler", cause))


class StreamSender:
    """Writes the messages of a stream to its socket, as soon as they may be sent.

    It has no task of its own: a command of the stream calls `send`, and one timer sends what waits
    for room in Twilio's buffer.  Only while the socket has no room does a task wait for that.

    Args:
        state: The state whose messages are sent.
        socket: The socket.
        home: The server's event loop.
        fail: A function that is called with an error in this program.
    """

    def __init__(
        self,
        state: StreamState,
        socket: StreamSocket,
        home: HomeLoop,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._state = state
        self._home = home
        self._socket = socket
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._encoder = to_twilio.MessageEncoder(state.start.stream_sid)
        self._wrote_at = -math.inf
        self._is_called_soon = False
        self._timer: asyncio.Handle | None = None
        self._due = math.inf
        self._waiter: asyncio.Task[None] | None = None
        self._is_over = False

    def send(self) -> None:
        """Send what may be sent, at once or together with what follows in this turn of the loop."""
        if self._is_called_soon or self._waiter is not None:
            return
        now = time.monotonic()
        if now - self._wrote_at < SHARED_SECONDS:
            self._call_soon()
            return
        try:
            self._write(now)
        except Exception as error:  # noqa: BLE001 - it is passed on
            self._fail(error)

    def send_frame(self, handle: str, payload: CheckedPayload) -> bool:
        """Send a piece of a speech at once, if nothing is before it; return whether it was sent."""
        state, now, home = self._state, time.monotonic(), self._home
        if (
            self._is_called_soon
            or self._waiter is not None
            or self._is_over
            or now - self._wrote_at < SHARED_SECONDS
            or state.stopped_at is not None
            or home.queued
            or home.is_carrying_out
            or _get_running_loop() is not self._loop
            or self._socket.is_full
        ):
            return False
        try:
            has_more = state.conversation.pass_frame(handle, payload, now)
            if has_more is None:
                return False
            self._wrote_at = now
            self._socket.write((self._encoder.encode_media(payload),))
            state.capture.append_sent(payload, now)
            if (reviewer := state.reviewer) is None:
                state.review(payload)
            elif reviewer.takes_more:
                reviewer.take(payload)
            if has_more:
                self._call_soon()
        except Exception as error:  # noqa: BLE001 - it is passed on
            self._fail(error)
        return True

    def stop(self) -> None:
        """Send no more."""
        self._is_over = True
        self._state.on_outgoing = self._state.on_close_wanted = do_nothing
        self._state.on_frame = refuse_frame
        if self._timer is not None:
            self._timer.cancel()
        if self._waiter is not None:
            self._waiter.cancel()

    def _call_soon(self) -> None:
        self._is_called_soon = True
        self._loop.call_soon(self._send_now)

    def _send_now(self) -> None:
        self._is_called_soon = False
        self._wrote_at = -math.inf
        self.send()

    def _write(self, now: float) -> None:
        if self._is_over:
            return
        state, room = self._state, self._socket.room
        conversation = state.conversation
        texts: list[bytes] = []
        waits = room > 0 or conversation.has_waiting
        while room > 0 and len(texts) < FAIRNESS and state.stopped_at is None:
            message = conversation.take_message(now)
            waits = conversation.has_waiting
            if message is None:
                break
            state.capture.append(message, now)
            text = self._encoder.encode(message)
            texts.append(text)
            room -= len(text) + FRAME_HEAD_BYTES
            if not waits:
                break
        if texts:
            self._wrote_at = now
            self._socket.write(texts)
        if not waits or state.stopped_at is not None:
            return
        if len(texts) == FAIRNESS and room > 0:
            self._call_soon()
            return
        seconds = conversation.wait_seconds(now)
        if seconds is None:
            return
        if room <= 0:
            self._waiter = self._loop.create_task(self._socket.wait_for_room())
            self._waiter.add_done_callback(self._resume)
        else:
            self._set_timer(now, seconds)

    def _resume(self, waiter: asyncio.Task[None]) -> None:
        self._waiter = None
        error = None if waiter.cancelled() else waiter.exception()
        if error is not None:
            self._fail(error)
        else:
            self._send_now()

    def _set_timer(self, now: float, seconds: float) -> None:
        # By the clock of the estimates: that of uvloop stands still within a turn, so a time by it
        # would seem earlier the longer the turn has taken.
        due = now + seconds
        if self._timer is not None:
            if self._due <= due + TIMER_SLACK_SECONDS:
                return  # it looks anew then
            self._timer.cancel()
        # uvloop counts whole milliseconds; for a wait that rounds to none it returns a handle
        # without `when`.
        self._timer, self._due = self._loop.call_later(seconds, self._end_wait), due

    def _end_wait(self) -> None:
        self._timer = None
        self._send_now()


def _find_start(text: str | bytes) -> from_twilio.Start | None:
    try:
        message = from_twilio.parse(text)
    except RemoteProtocolError as error:
        _note_unreadable(error)
        return None
    if isinstance(message, from_twilio.Unknown):
        _note_unknown(message)
    return message if isinstance(message, from_twilio.Start) else None


def _note_unreadable(error: RemoteProtocolError) -> None:
    logger.warning("a message could not be parsed and is ignored: %s", error)


def _note_unknown(message: from_twilio.Unknown) -> None:
    logger.warning("%s; kept in the capture", describe_message(message))


def _choose_close_code(end: StreamEnd) -> int:
    """Return the code with which this side closes the connection, if it is still open."""
    code = end.cause.close_code
    return code if end.reason == "handler" and code is not None else NORMAL_CLOSURE


def describe_end(end: SocketEnd) -> StreamEnd:
    """Return how a stream ended whose connection ended before a stop message.

    1000, 1005 and 1006 all mean that the call is over (§2.3).
    """
    if end.is_ours and end.code == SERVICE_RESTART:
        return StreamEnd("server stopped", EndCause("server-stopped", end.code, end.reason))
    if end.is_ours:
        detail = "a message from the other side broke a rule of WebSocket"
        return StreamEnd("lost", EndCause("server-closed", end.code, end.reason, detail))
    if end.code == ABNORMAL_CLOSURE:
        return StreamEnd("lost", EndCause("connection-lost", ABNORMAL_CLOSURE))
    quoted = f" {end.reason!r}" if end.reason else ""
    detail = f"it closed the connection ({end.code}{quoted}) without a stop message"
    return StreamEnd("far end", EndCause("twilio-stopped", end.code, end.reason, detail))
