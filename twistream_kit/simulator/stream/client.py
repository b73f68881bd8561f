"""One stream's socket: the handshake, what is sent every 20 ms, and how it ends.

What is said is decided by `StreamLeg`; this is the shell around it.  It sends without ever
waiting, because a hundred calls share one beat: what the server does not read in time stays in
the socket's own buffer, and when that holds too much the caller's frames are dropped, as Twilio
does (PROTOCOL.md §5.1, 31930).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from twistream_kit.errors import sentences
from twistream_kit.protocol import from_twilio
from twistream_kit.simulator.model.assumptions import (
    CLOSE_WAIT_SECONDS,
    PROTOCOL_ERROR_CLOSE,
    SLOW_READER_SECONDS,
    Behaviour,
)
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.handshake import StreamFailed, open_socket, read_url
from twistream_kit.simulator.stream.judge import Warned
from twistream_kit.simulator.stream.leg import StreamLeg
from twistream_kit.simulator.stream.stream_ending import StreamEnding, ending_of

__all__ = ["StreamClient", "StreamEnding", "StreamFailed"]

OVERFLOW = 31930
"""The server reads too slowly: frames of the caller were dropped (§5.1)."""

_WIRE_BYTES_PER_SECOND = 50 * 400
_SLOW_READER_BYTES = int(SLOW_READER_SECONDS * _WIRE_BYTES_PER_SECOND)
_MESSAGES_AT_A_TIME = 64


class StreamClient:
    """The socket of one stream; everything on one loop.

    Args:
        leg: Twilio's half of the stream.
        url: Where the server is: wss, or ws on this machine.
        auth_token: Signs the handshake; None sends no signature.
        debugger: Where warnings and errors go.
        behaviour: The switches for what is not known of Twilio.
        signed_url: Signed in place of `url`, for a server that is known by another name.

    Attributes:
        sent: How many messages of each kind were sent.
        dropped: How many frames of the caller were dropped because the server read too slowly.
        on_sent: Called with each message that was sent and its time, if not None.
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
        self.on_sent: Callable[[from_twilio.Message, float], None] | None = None
        self._auth_token = auth_token
        self._debugger = debugger
        self._behaviour = behaviour or leg.behaviour
        self._signed_url = signed_url
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[StreamEnding] | None = None
        self._stopping = False
        self._congested = False
        self._giving_up = False

    async def connect(self) -> None:
        """Shake hands and send *connected* and *start*; at most 10 s.

        Cancelling it leaves no socket open.

        Raises:
            StreamFailed: If the server cannot be reached or refuses; it is in the debugger, too.
        """
        try:
            target = read_url(self.url, self._behaviour)
            signed = self._signed_url or target.signed
            self._connection = await open_socket(target.url, signed, self._auth_token)
        except StreamFailed as failure:
            self._log(failure.code or 0, sentences(failure.problem, failure.fix))
            raise
        name = f"simulated stream {self.leg.stream_sid}"
        self._reader = asyncio.create_task(self._read(self._connection), name=name)
        self._send(self.leg.opening(), time.monotonic())

    def tick(self, now: float, inbound_frame: bytes, outbound_frame: bytes | None = None) -> bytes:
        """Let 20 ms pass: send the caller's frame, return the one for the ear.

        Args:
            now: Monotonic seconds.
            inbound_frame: What the caller said, 160 bytes PCMU.
            outbound_frame: What others play to the caller, for a stream that listens to that.
        """
        heard, messages = self.leg.frame(inbound_frame, now, outbound_frame)
        if messages:
            if self._is_congested():
                self.dropped += len(messages)
                messages = [m for m in messages if not isinstance(m, from_twilio.Media)]
                self.dropped -= len(messages)
            self._send(messages, now)
        if self.leg.listen(now):
            self._log_warnings()
        return heard

    def press(self, digit: str) -> None:
        """Tell the server of a key; a stream of ``<Start>`` is not told."""
        self._send(self.leg.press(digit), time.monotonic())

    async def stop(self) -> None:
        """End the stream from Twilio's side: *stop*, a Close without status, at most 5 s [OBS].

        It may be called at any time, and more than once; cancelling it breaks the connection off.
        """
        if self._connection is None or self._reader is None:
            return
        if not self._stopping and self._connection.protocol.state is State.OPEN:
            self._stopping = True
            self._send(self.leg.stop(), time.monotonic())
            self._close(None)
        try:
            await asyncio.wait([self._reader], timeout=CLOSE_WAIT_SECONDS)
        finally:
            self._connection.transport.abort()
        await asyncio.wait([self._reader])

    async def closed(self) -> StreamEnding:
        """Wait until the stream is over; any number of tasks may, and may be cancelled.

        Raises:
            RuntimeError: If the stream was never connected.
        """
        if self._reader is None:
            raise RuntimeError("the stream was never connected: await connect() first")
        return await asyncio.shield(self._reader)

    async def _read(self, connection: ClientConnection) -> StreamEnding:
        count = 0
        try:
            while not self.leg.broken:
                message = await connection.recv()
                now = time.monotonic()
                self._send(self.leg.receive(message, now), now)
                self._log_warnings()
                count += 1
                if not count % _MESSAGES_AT_A_TIME:
                    await asyncio.sleep(0)  # a server that floods us must not stop the beat
            self._close(PROTOCOL_ERROR_CLOSE)
            async with asyncio.timeout(1):
                while True:  # or a full queue would hide the server's answer to the Close
                    await connection.recv()
                    await asyncio.sleep(0)
        except (ConnectionClosed, TimeoutError):
            pass  # how it was closed is read from the connection
        finally:
            connection.transport.abort()
        self.leg.finish(time.monotonic())
        self._log_warnings()
        ending = ending_of(
            connection.protocol,
            broken=self.leg.broken,
            stopping=self._stopping,
            strict=self._behaviour.strict,
        )
        if ending.error_code is not None and not self.leg.broken:
            self._log(ending.error_code, ending.in_words)
        return ending

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

    def _give_up_later(self, connection: ClientConnection) -> None:
        """See to it that a closing handshake ends, even if the server never drops TCP."""
        if not self._giving_up:
            self._giving_up = True
            loop = asyncio.get_running_loop()
            loop.call_later(CLOSE_WAIT_SECONDS, connection.transport.abort)

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

    def _log(self, code: int, text: str, warned: Warned | None = None) -> None:
        self._debugger.log(
            code,
            text,
            stream_sid=self.leg.stream_sid,
            call_sid=self.leg.call_sid,
            message=warned.message if warned else None,
            objections=warned.objections if warned else (),
        )


_KINDS: dict[type, str] = {
    from_twilio.Connected: "connected",
    from_twilio.Start: "start",
    from_twilio.Media: "media",
    from_twilio.Dtmf: "dtmf",
    from_twilio.Mark: "mark",
    from_twilio.Stop: "stop",
}
