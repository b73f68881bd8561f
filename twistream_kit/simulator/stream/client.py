"""The WebSocket of one stream: the messages sent every 20 ms, and the ending.

`StreamLeg` decides which messages are sent; `StreamClient` does the I/O.  It sends without waiting,
because a hundred calls share one timer.  Data that the server does not read stays in the write
buffer of the socket; when that is too full, the caller's frames are dropped, as Twilio does
(PROTOCOL.md §5.1, 31930).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from websockets.protocol import State

from twistream_kit.errors import Severity, WrongState, join_sentences
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.line.arrival import Arrivals, make_jitter
from twistream_kit.simulator.model.assumptions import (
    CLOSE_WAIT_SECONDS,
    CONNECTED_AFTER_SECONDS,
    HALF_OPEN_SECONDS,
    NORMAL_CLOSE,
    PROTOCOL_ERROR_CLOSE,
    SILENT_END_SECONDS,
    SLOW_READER_SECONDS,
    Behaviour,
)
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.ending import StreamEnding, read_ending
from twistream_kit.simulator.stream.handshake import Socket, open_socket, read_url
from twistream_kit.simulator.stream.leg import DIGITS, StreamLeg, Warned
from twistream_kit.simulator.stream.refusal import StreamFailed

OVERFLOW = 31930
"""Twilio's code for a server that reads too slowly, so that caller audio is dropped (§5.1)."""

REVIEW_SECONDS = 10.0
"""How long the rest of a stream's sound is reviewed after its end, at most."""

STOPPED = EndCause("twilio-stopped")
"""The cause of a stop for which no other was named."""

_SENT_BYTES_PER_SECOND = 50 * 400
"""A media message of 20 ms has about 400 bytes."""

_SLOW_READER_BYTES = int(SLOW_READER_SECONDS * _SENT_BYTES_PER_SECOND)

_MESSAGES_AT_A_TIME = 64
"""The number of messages from the server after which the reader yields to other tasks."""

_KINDS: dict[type, str] = {
    from_twilio.Connected: "connected",
    from_twilio.Start: "start",
    from_twilio.Media: "media",
    from_twilio.Dtmf: "dtmf",
    from_twilio.Mark: "mark",
    from_twilio.Stop: "stop",
}


class StreamClient:
    """The WebSocket client of one stream; it runs on one event loop.

    Args:
        leg: Twilio's half of the stream.
        url: The URL of the server: wss, or ws on loopback.
        auth_token: The token that signs the handshake; None sends no signature.
        debugger: Records warnings and errors.
        behaviour: The switches for behaviour of Twilio that is not known.
        signed_url: The URL to sign in place of `url`, for a server with another public name.

    Attributes:
        sent: How many messages of each kind were sent.
        dropped: How many frames of the caller were dropped because the server read too slowly.
        on_sent: Called with each message that was sent and its time, if not None.
        is_close_unanswered: Whether the Close frame of `stop` was not answered in time.
        rest: What a telephone that hangs up has said and is still on its way, in frames; it is sent
            before *stop*.
        finishes_later: Whether the rest of the sound is not reviewed, and the ending not logged,
            as soon as the stream has ended, but by `finish`.
        is_light: Whether it costs as little as it can: `on_sent` is not called for media, and
            messages are taken as they arrive, without a queue.  Set before `connect`, for a stream
            with the inbound track.
        is_narrow: Whether its buffers hold a few kB.  Set before `connect`.
    """

    def __init__(
        self,
        leg: StreamLeg,
        *,
        url: str,
        auth_token: str | None,
        debugger: Debugger,
        behaviour: Behaviour | None = None,
        signed_url: str | None = None,
    ) -> None:
        self.leg = leg
        self.url = url
        self.sent: Counter[str] = Counter()
        self.dropped = 0
        self.is_close_unanswered = False
        self.finishes_later = False
        self.rest: Sequence[bytes] = ()
        self.is_light = False
        self.is_narrow = False
        self.on_sent: Callable[[from_twilio.Message, float], None] | None = None
        self._auth_token = auth_token
        self._debugger = debugger
        self._behaviour = behaviour or leg.behaviour
        self._signed_url = signed_url
        self._connection: Socket | None = None
        self._reader: asyncio.Task[StreamEnding] | None = None
        self._stopping = False
        self._stopped_by: EndCause | None = None
        self._left_open: asyncio.TimerHandle | None = None
        self._heard_out = asyncio.Event()
        self._congested = False
        self._giving_up = False
        self._unlogged_ending: StreamEnding | None = None
        line = self._behaviour.way_there
        self._keys: deque[tuple[str, float]] = deque()
        self._key_seconds = 0.0 if line is None else line.delay_ms / 1000
        self._arrivals: Arrivals[bytes] | None = None
        self._next_arrival: asyncio.TimerHandle | None = None
        if line is not None and line.changes_arrival and "inbound" in leg.tracks:
            self._arrivals = Arrivals(make_jitter(line, line.seed))

    @property
    def is_closed(self) -> bool:
        """Whether its connection is closed, or was never opened."""
        return self._connection is None or self._connection.state is State.CLOSED

    async def connect(self) -> None:
        """Perform the handshake and send *connected* and *start*, within `HANDSHAKE_SECONDS`.

        A server that closes at once gets neither of them.

        Cancelling it leaves no socket open.

        Raises:
            StreamFailed: If the server cannot be reached or refuses; the debugger logs it too.
        """
        try:
            target = read_url(self.url, self._behaviour)
            signed = self._signed_url or target.signed
            self._connection = await open_socket(
                target.url, signed, self._auth_token, is_narrow=self.is_narrow
            )
            self._connection.is_mute_after_error = self._is_half_open_after_error
        except StreamFailed as failure:
            self._log(failure.code or 0, join_sentences(failure.problem, failure.fix))
            raise
        name = f"simulated stream {self.leg.stream_sid}"
        self._connection.on_close_frame = self._note_close_frame
        self._reader = asyncio.create_task(self._read(self._connection), name=name)
        self._note_close_frame()  # which may have come with the 101
        if self.is_light:
            self._connection.deliver_to(self._take_text)
        try:
            await asyncio.wait([self._reader], timeout=CONNECTED_AFTER_SECONDS)
        except asyncio.CancelledError:
            self._reader.cancel()
            self._connection.transport.abort()
            raise
        self._send(self.leg.begin(), time.monotonic())

    def tick(self, now: float, inbound_frame: bytes, outbound_frame: bytes | None = None) -> bytes:
        """Advance by 20 ms: send the caller's frame and return the frame that the caller hears.

        Args:
            now: Monotonic seconds.
            inbound_frame: The caller's audio, 160 bytes PCMU.
            outbound_frame: What other sources play to the caller, for a stream with the outbound
                track.
        """
        if self.is_light:
            return self._tick_lightly(now, inbound_frame)
        late = self._put_on_line(inbound_frame, now)
        heard, messages = self.leg.advance(None if late else inbound_frame, now, outbound_frame)
        if self._reader is not None and self._reader.done() and not len(self.leg.playout):
            self._heard_out.set()
        if messages:
            self._send_in_time(messages, now)
        if self.leg.listen(now):
            self._log_warnings()
        return heard

    def _tick_lightly(self, now: float, inbound_frame: bytes) -> bytes:
        """Do the same as `tick`; the media are not made objects of."""
        late = self._put_on_line(inbound_frame, now)
        heard, texts, marks = self.leg.advance_encoded(None if late else inbound_frame)
        if self._reader is not None and self._reader.done() and not len(self.leg.playout):
            self._heard_out.set()
        if texts:
            self._send_texts(texts)
        if marks:
            self._send(marks, now)
        return heard

    def _send_texts(self, texts: list[bytes]) -> None:
        """Send media that are texts, but none to a server that reads too slowly."""
        connection = self._connection
        if connection is None:
            return
        if self._is_congested():
            self.dropped += len(texts)
        elif connection.protocol.state is State.OPEN:
            connection.write_texts(texts)
            self.sent["media"] += len(texts)
        else:
            self._give_up_later(connection)

    def _take_text(self, text: str) -> None:
        """Obey a message as it arrives."""
        now = time.monotonic()
        if replies := self.leg.receive(text, now):
            self._send(replies, now)
        if self.leg.has_warnings:
            self._log_warnings()

    def press(self, digit: str) -> None:
        """Send a DTMF digit to the server, except on a stream of ``<Start>``.

        It is under way for as long as the line delays sound.
        """
        if not self._key_seconds or digit not in DIGITS:  # which raises at once
            self._send(self.leg.press(digit), time.monotonic())
            return
        self._keys.append((digit, time.monotonic() + self._key_seconds))
        asyncio.get_running_loop().call_later(self._key_seconds, self._press_next)

    def _press_next(self) -> None:
        if self._keys:  # otherwise the end of the call has brought them all
            digit, _ = self._keys.popleft()
            self._send(self.leg.press(digit), time.monotonic())

    def _put_on_line(self, frame: bytes, now: float) -> bool:
        """Send a frame off on a line on which frames come late; return whether it is one."""
        if self._arrivals is None:
            return False
        self._arrivals.put(frame, now)
        self._take_arrivals(now)
        return True

    def _take_arrivals(self, now: float) -> None:
        """Send the frames of the caller that have come, and wait for the next one."""
        if self._arrivals is None:
            return
        self._send_late(self._arrivals.take(now), now)
        if (at := self._arrivals.next_at) is not None and self._next_arrival is None:
            loop = asyncio.get_running_loop()
            self._next_arrival = loop.call_later(at - now, self._note_arrival)

    def _send_late(self, frames: list[bytes], now: float) -> None:
        """Send the media of frames that have come late."""
        for frame in frames:
            if self.is_light:
                self._send_texts(self.leg.take_late_encoded(frame))
            else:
                self._send_in_time(self.leg.take_late(frame), now)

    def _note_arrival(self) -> None:
        self._next_arrival = None
        self._take_arrivals(time.monotonic())

    def _take_rest(self) -> None:
        """Send what the line still has on its way, because the call ends."""
        now = time.monotonic()
        if self._arrivals is not None:
            self._send_late(self._arrivals.take_all(), now)
        rest = self.rest if "inbound" in self.leg.tracks else ()
        for number, frame in enumerate(rest):
            comes_at = now + (number + 0.5) * from_twilio.PTIME_MS / 1000
            while self._keys and self._keys[0][1] <= comes_at:
                self._press_next()
            self._send_late([frame], now)
        while self._keys:
            self._press_next()
        if self._next_arrival is not None:
            self._next_arrival.cancel()

    def _send_in_time(self, messages: list[from_twilio.Message], now: float) -> None:
        """Send messages, but no media to a server that reads too slowly."""
        if self._is_congested():
            self.dropped += len(messages)
            messages = [m for m in messages if not isinstance(m, from_twilio.Media)]
            self.dropped -= len(messages)
        self._send(messages, now)

    async def stop(self, ended: EndCause = STOPPED) -> None:
        """End the stream from Twilio's side: send *stop*, then a Close frame.

        It takes at most `CLOSE_WAIT_SECONDS`.  `ended` says who ends it, and why.

        `Behaviour.close_at_end` chooses the Close frame; without one, the connection stays open
        until `release`.  This method may be called at any time, and more than once.  Cancelling it
        aborts the connection.
        """
        if self._connection is None or self._reader is None:
            return
        has_begun, self._stopping = self._stopping, True
        self._heard_out.set()
        if not has_begun and self._connection.protocol.state is State.OPEN:
            self._stopped_by = ended
            self._take_rest()
            self._send(self.leg.stop(), time.monotonic())
            if self._behaviour.close_at_end == "nothing":
                self._leave_open(SILENT_END_SECONDS)
                self._reader.cancel()
            else:
                self._close(NORMAL_CLOSE if self._behaviour.close_at_end == "1000" else None)
        try:
            _, late = await asyncio.wait([self._reader], timeout=CLOSE_WAIT_SECONDS)
            self.is_close_unanswered |= bool(late) and self._connection.protocol.close_rcvd is None
        finally:
            if self._left_open is None:
                self._connection.transport.abort()
        await asyncio.wait([self._reader])

    async def release(self, seconds: float) -> None:
        """Wait until the server closes a connection left open; abort it after `seconds`."""
        if self._connection is None or self._left_open is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._connection.wait_closed()
        except TimeoutError:
            pass  # `drop` aborts it
        finally:
            self.drop()

    def drop(self) -> None:
        """Abort a connection that was left open."""
        if self._connection is not None and self._left_open is not None:
            self._left_open.cancel()
            self._connection.transport.abort()

    async def wait_closed(self) -> StreamEnding:
        """Wait until the stream has ended.

        Several tasks may wait at the same time; cancelling one of them is safe.

        Raises:
            RuntimeError: If the stream was never connected.
        """
        if self._reader is None:
            raise WrongState("the stream was never connected: await connect() first")
        return await asyncio.shield(self._reader)

    async def wait_over(self) -> StreamEnding:
        """Wait until the stream has ended and its remaining audio has been played.

        Only with `Behaviour.plays_after_close` can audio remain: what the server had sent before it
        closed.  The calling code must continue to call `tick` meanwhile.
        """
        ending = await self.wait_closed()
        if ending.ended.cause == "server-closed" and self._behaviour.plays_after_close:
            await self._heard_out.wait()
        return ending

    @property
    def _is_half_open_after_error(self) -> bool:
        return self._behaviour.after_protocol_error == "half-open"

    async def _read(self, connection: Socket) -> StreamEnding:
        count = 0
        try:
            while not self.leg.broken:
                message = await connection.take_message()
                now = time.monotonic()
                self._send(self.leg.receive(message, now), now)
                self._log_warnings()
                count += 1
                if not count % _MESSAGES_AT_A_TIME:
                    await asyncio.sleep(0)  # a server that floods us must not block the timer
            await self._end_after_error(connection)
        except (EOFError, TimeoutError):
            pass  # `read_ending` reads from the connection how it was closed
        except asyncio.CancelledError:
            if self._left_open is None:
                raise
        finally:
            if self._left_open is None:
                connection.transport.abort()
        if not (self._behaviour.plays_after_close and connection.is_closed_by_peer):
            self.leg.stop_playing()
        ending = read_ending(
            connection.protocol,
            broken=self.leg.broken,
            stopped_by=self._stopped_by,
            normal_close=self._behaviour.normal_close,
        )
        self._unlogged_ending = ending
        if not self.finishes_later:
            self.leg.finish(time.monotonic())
            self._log_ending()
        return ending

    async def finish(self, wait_for_spare_time: Callable[[], Awaitable[None]]) -> bool:
        """Review the rest of the sound, and log how the stream ended; once, after its end.

        The review takes up to a tenth of a second, in steps of about a millisecond; that of a
        server that sends minutes of sound in seconds is broken off after `REVIEW_SECONDS`.

        Args:
            wait_for_spare_time: Called between the steps; lets other streams have their turn.

        Returns:
            Whether all sound was reviewed.
        """
        if self._unlogged_ending is None:
            return True
        until, is_complete = time.monotonic() + REVIEW_SECONDS, True
        for _ in self.leg.finish_in_steps(time.monotonic()):
            if time.monotonic() > until:
                is_complete = False
                break
            await wait_for_spare_time()
        self._log_ending()
        return is_complete

    def _log_ending(self) -> None:
        self._log_warnings()
        ending, self._unlogged_ending = self._unlogged_ending, None
        if ending is not None and ending.error_code is not None and not self.leg.broken:
            self._log(ending.error_code, ending.in_words, level=None if ending.failed else "note")

    async def _end_after_error(self, connection: Socket) -> None:
        if self._is_half_open_after_error:
            self._leave_open(HALF_OPEN_SECONDS)
            return
        self._close(PROTOCOL_ERROR_CLOSE)
        async with asyncio.timeout(1):
            while True:  # a full queue would block the server's answer to the Close frame
                await connection.take_message()
                await asyncio.sleep(0)

    def _note_close_frame(self) -> None:
        """End the stream when the server's Close frame comes, however long TCP stays open."""
        if self._connection is None or self._stopping or not self._connection.is_closed_by_peer:
            return
        if not self._behaviour.plays_after_close:
            self.leg.stop_playing()
        self._giving_up = True
        self._leave_open(CLOSE_WAIT_SECONDS)
        self._connection.end_messages()

    def _leave_open(self, seconds: float) -> None:
        """Let the server close the connection; abort it `seconds` later."""
        if self._connection is not None:
            loop, connection = asyncio.get_running_loop(), self._connection
            self._left_open = loop.call_later(seconds, connection.abort)

    def _send(self, messages: Iterable[from_twilio.Message], now: float) -> None:
        connection = self._connection
        if connection is None:
            return
        protocol = connection.protocol
        if protocol.state is not State.OPEN:
            self._give_up_later(connection)
            return
        for message in messages:
            protocol.send_text(message.to_json().encode())
            self.sent[_KINDS[type(message)]] += 1
            if self.on_sent is not None:
                self.on_sent(message, now)
        if data := protocol.data_to_send():
            connection.transport.write(b"".join(data))

    def _give_up_later(self, connection: Socket) -> None:
        """Limit the time of a closing handshake, even if the server never closes TCP."""
        if not self._giving_up:
            self._giving_up = True
            if connection.is_mute and self._reader is not None:
                self._leave_open(HALF_OPEN_SECONDS)
                self._reader.cancel()
                return
            loop = asyncio.get_running_loop()
            loop.call_later(CLOSE_WAIT_SECONDS, connection.abort)

    def _close(self, code: int | None) -> None:
        connection = self._connection
        if connection is not None and connection.protocol.state is State.OPEN:
            connection.protocol.send_close(code)
            connection.send_data()

    def _is_congested(self) -> bool:
        connection = self._connection
        if connection is None:
            return False
        waiting = connection.transport.get_write_buffer_size()
        if waiting > _SLOW_READER_BYTES and not self._congested:
            self._congested = True
            self._log(OVERFLOW, f"{waiting} bytes wait for the server to read them")
        elif self._congested and waiting < _SLOW_READER_BYTES // 2:
            self._congested = False
        return self._congested

    def _log_warnings(self) -> None:
        for warned in self.leg.take_warnings():
            self._log(warned.code, warned.text, warned)
        for objection in self.leg.take_unlogged():
            self._debugger.note(objection, self.leg.stream_sid, self.leg.call_sid)

    def _log(
        self, code: int, text: str, warned: Warned | None = None, *, level: Severity | None = None
    ) -> None:
        self._debugger.log(
            code,
            text,
            level=level,
            stream_sid=self.leg.stream_sid,
            call_sid=self.leg.call_sid,
            message=warned.message if warned else None,
            objections=warned.objections if warned else (),
        )
