"""One stream that goes wrong on purpose: Twilio's half of it, its socket, and what came back.

The socket, the handshake, the messages and the playout buffer are those of every simulated call
(`stream.client`, `stream.leg`); here is only what differs while a fault lasts.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from twistream_kit.audio.clip import Clip
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.simulator._calls_loop import SharedLoop
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.client import STOPPED, StreamClient
from twistream_kit.simulator.stream.ending import StreamEnding
from twistream_kit.simulator.stream.leg import PlayoutBuffer, StreamLeg, is_audible
from twistream_kit.simulator.stream.pacer import Lateness

Opening = Literal["nothing", "connected", "start"]
"""The last message that Twilio's side sends by itself after the handshake."""

ACCOUNT_SID = f"AC{0:032x}"
"""The account of all streams here."""

UTTERANCE_SECONDS = 1.4
"""What the caller says, again and again, with the pause behind it."""

_UTTERANCE = Clip.tone(440, 0.4) + Clip.silence(UTTERANCE_SECONDS - 0.4)
"""Something for a server that answers to a voice, and a pause in which it knows that it may."""

_TCP_SECONDS = 0.1
"""How long TCP may stay open behind the server's Close frame before it is closed from here."""


class _KeepsMarks(PlayoutBuffer):
    """A playout buffer that plays everything and returns no mark."""

    def mark(self, name: str) -> list[str]:
        """Take a mark; it never comes back."""
        super().mark(name)
        return []

    def clear(self) -> list[str]:
        """Discard all waiting audio and its marks."""
        super().clear()
        return []

    def play(self, size: int) -> tuple[bytes, list[str]]:
        """Take the next `size` bytes, without the marks that they reach."""
        return super().play(size)[0], []


class FaultyLeg(StreamLeg):
    """Twilio's half of a stream that may end before it has begun, or keep the marks.

    Args:
        call_sid: The call; None makes one of its own.
        opening: What it sends after the handshake.
        keeps_marks: Whether no mark comes back.
        parameters: The ``<Parameter>`` names and values.
        behaviour: The switches for behaviour of Twilio that is not known.

    Attributes:
        opening: As given.
    """

    def __init__(
        self,
        *,
        call_sid: str | None = None,
        opening: Opening = "start",
        keeps_marks: bool = False,
        parameters: Mapping[str, str] | None = None,
        behaviour: Behaviour | None = None,
    ) -> None:
        super().__init__(
            # Not counted: two runs against one server must not have the same stream.
            stream_sid=f"MZ{uuid.uuid4().hex}",
            call_sid=call_sid or f"CA{uuid.uuid4().hex}",
            account_sid=ACCOUNT_SID,
            parameters=parameters,
            behaviour=behaviour,
        )
        self.opening = opening
        if keeps_marks:
            self.playout = _KeepsMarks()

    def begin(self) -> list[from_twilio.Message]:
        """Return the first messages, as far as they are sent."""
        first = super().begin()
        return first[: ("nothing", "connected", "start").index(self.opening)]

    def stop(self) -> list[from_twilio.Message]:
        """End the stream; there is a stop message only where there was a start message."""
        messages = super().stop()
        return messages if self.opening == "start" else []

    def take_stop(self) -> from_twilio.Stop:
        """Return one more stop message, also after the first."""
        sequence = self._take_sequence()
        return from_twilio.Stop(self.stream_sid, self.account_sid, self.call_sid, sequence)

    def take_sequence(self) -> str:
        """Return the next sequence number, as it stands on the wire."""
        return str(self._take_sequence())


class FaultyClient(StreamClient):
    """The client of a stream, which can also send other texts, be silent, and vanish.

    Attributes:
        rewrite: Returns the text to send for a message, if not None.
        drops_media: Whether frames of the caller are not sent.
        is_tcp_left_open: Whether TCP stayed open behind the server's Close frame.
    """

    rewrite: Callable[[from_twilio.Message], str] | None = None
    drops_media = False
    is_tcp_left_open = False

    async def stop(self, ended: EndCause = STOPPED) -> None:
        """End the stream as Twilio does; the server's Close frame ends it, not the end of TCP.

        A server may close TCP as late as it likes, or leave that to this side.
        """
        stopping = asyncio.ensure_future(super().stop(ended))
        try:
            await self._wait_for_close_frame(stopping)
            await asyncio.wait([stopping], timeout=_TCP_SECONDS)
            if not stopping.done() and self._connection is not None:
                self.is_tcp_left_open = True
                self._connection.transport.close()
            await stopping
        finally:
            if not stopping.done():
                stopping.cancel()
                await asyncio.wait([stopping])

    async def _wait_for_close_frame(self, stopping: asyncio.Future[None]) -> None:
        while not stopping.done():
            await asyncio.wait([stopping], timeout=0.01)
            if self._connection is None or self._connection.protocol.close_rcvd is not None:
                return

    def send_text(self, text: str) -> None:
        """Send any text, as a message of Twilio's that no version has yet."""
        connection = self._connection
        if connection is not None and self.is_open:
            connection.protocol.send_text(text.encode())
            connection.send_data()

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._connection is not None and self._connection.protocol.state.name == "OPEN"

    def send(self, messages: Iterable[from_twilio.Message]) -> None:
        """Send messages now, outside the beat of 20 ms."""
        self._send(messages, time.monotonic())

    def abort(self) -> None:
        """Break the connection without a Close frame: the server sees 1006."""
        if self._connection is not None:
            self._connection.transport.abort()

    def stop_reading(self) -> None:
        """Read nothing more, so that what the server sends stays in the buffers of TCP."""
        if self._connection is not None and not self.is_closed:
            self._connection.transport.pause_reading()

    def read_on(self) -> None:
        """Read again what has come, and what comes."""
        if self._connection is None or self.is_closed:
            return
        if not self._connection.transport.is_closing():
            self._connection.transport.resume_reading()

    def _send(self, messages: Iterable[from_twilio.Message], now: float) -> None:
        if self.drops_media:
            messages = [each for each in messages if not isinstance(each, from_twilio.Media)]
        if self.rewrite is None or not self.is_open:
            super()._send(messages, now)
            return
        for message in messages:
            self.send_text(self.rewrite(message))


class FaultyStream:
    """One stream of a fault: its caller speaks until something else is asked.

    It belongs to the loop of `shared`.

    Args:
        leg: Twilio's half of it.
        client: Its socket.
        shared: The loop, with its timer.
        lateness: Counts how late its frames are.

    Attributes:
        sounds: When messages with sound of the server came, ascending.
        first_audible_at: When the first of them came that is not silence, or None.
        marks: How many marks the server has sent.
        strangers: The SIDs of other streams that stood in messages of the server to this one.
        ending: How it ended, or None while it goes on.
    """

    def __init__(
        self, leg: FaultyLeg, client: FaultyClient, shared: SharedLoop, lateness: Lateness
    ) -> None:
        self.leg = leg
        self.client = client
        self.client.finishes_later = True  # nothing here reviews the sound
        self.sounds: list[float] = []
        self.first_audible_at: float | None = None
        self.marks = 0
        self.strangers: set[str] = set()
        self.ending: StreamEnding | None = None
        self.begun_at = self.ended_at = 0.0
        self._shared = shared
        self._lateness = lateness
        self._watch: asyncio.Task[None] | None = None
        self._voice = deque(_UTTERANCE.frames())
        self._is_held = self._is_mute = False
        self._held: list[bytes] = []
        leg.on_message = self._note
        leg.on_odd = self._note_odd

    @classmethod
    def make(
        cls,
        url: str,
        auth_token: str | None,
        leg: FaultyLeg,
        shared: SharedLoop,
        lateness: Lateness,
    ) -> FaultyStream:
        """Return a stream that is not connected yet."""
        client = FaultyClient(leg, url=url, auth_token=auth_token, debugger=Debugger())
        return cls(leg, client, shared, lateness)

    @property
    def stream_sid(self) -> str:
        """Its SID."""
        return self.leg.stream_sid

    @property
    def seconds(self) -> float:
        """How long it has lasted, until its end."""
        return (self.ended_at if self.ending else time.monotonic()) - self.begun_at

    @property
    def first_sound_at(self) -> float | None:
        """When the first sound of the server came, or None."""
        return self.sounds[0] if self.sounds else None

    def has_sound_after(self, moment: float) -> bool:
        """Whether sound of the server came later than `moment`."""
        return bool(self.sounds) and self.sounds[-1] > moment

    async def open(self) -> None:
        """Connect, send the first messages, and let the caller speak.

        Raises:
            StreamFailed: If the server cannot be reached or refuses.
        """
        await self.client.connect()
        self.begun_at = time.monotonic()
        self._watch = asyncio.create_task(self._wait_for_end())
        if self.leg.opening == "start":
            self._shared.pacer.add(self._tick, self._lateness, after_seconds=PTIME_MS / 1000)

    async def wait_for_end(self, seconds: float) -> None:
        """Wait until it has ended, for so many seconds at most."""
        if self._watch is not None:
            await asyncio.wait([self._watch], timeout=seconds)

    def keep_frames(self) -> None:
        """Let frames wait, as in a gap of the network."""
        self._is_held = True

    def send_frames(self) -> None:
        """Send the frames that wait, all at once."""
        self._is_held = False

    def set_silent(self) -> None:
        """Let the caller say nothing: every frame is silence."""
        self._voice = deque([SILENT_FRAME])

    def set_mute(self) -> None:
        """Neither send nor read: the connection is half open."""
        self._is_mute = True
        self.client.stop_reading()

    def stop_beat(self) -> None:
        """Send no more frames."""
        self._shared.pacer.remove(self._tick)

    async def release(self) -> None:
        """Leave nothing of it: neither socket nor task."""
        self.stop_beat()
        self.leg.on_message = self.leg.on_odd = None
        self.client.abort()
        self.client.read_on()
        if self._watch is not None:
            await asyncio.wait([self._watch], timeout=1)
            self._watch.cancel()

    def _tick(self, now: float) -> None:
        if self._is_mute or self.ending is not None:
            return
        self._voice.rotate(-1)
        self._held.append(self._voice[0])
        if self._is_held:
            return
        frames, self._held = self._held, []
        for frame in frames:
            self.client.tick(now, frame or SILENT_FRAME)

    async def _wait_for_end(self) -> None:
        ending = await self.client.wait_closed()
        self.ended_at = time.monotonic()
        self.ending = ending
        self.stop_beat()

    def _note(self, message: to_twilio.Message, now: float) -> None:
        if isinstance(message, to_twilio.Media):
            self.sounds.append(now)
            if self.first_audible_at is None and is_audible(message.payload):
                self.first_audible_at = now
        self.marks += isinstance(message, to_twilio.Mark)

    def _note_odd(self, message: str | bytes, _now: float) -> None:
        try:
            sid = json.loads(message).get("streamSid")
        except (ValueError, AttributeError):
            return
        if isinstance(sid, str) and sid != self.stream_sid:
            self.strangers.add(sid)
