"""One stream behind its handle: what was agreed with Twilio, what waits to end, and who reads.

A `StreamState` belongs to the server's loop.  The session feeds it with what arrived and sends
what it gives out; the commands of the handle, from any thread, queue their work there and return
at once.  What was agreed with Twilio is `protocol.conversation`'s to know.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.resample import Resampler
from twistream_kit.capture.capture import Capture
from twistream_kit.errors import ServerStopped
from twistream_kit.live.stream._reader import Reader
from twistream_kit.pending import HomeLoop, Pending, fail, fulfil
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.conversation import Conversation, Outcome
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome
from twistream_kit.protocol.playout import BYTES_PER_SECOND, SEND_AHEAD_SECONDS
from twistream_kit.sound_file import CheckedPayload

logger = logging.getLogger("twistream_kit.live")

CLOSE_MARGIN_SECONDS = 5.0
"""How much longer than its sound what is queued is waited for at a goodbye (§9 item 13)."""

BLAME_SECONDS = 3.0
"""For how long the loss of the public address explains a connection that broke before it."""


class StreamState:
    """The conversation, the capture, the waits and the readers of one stream.

    Args:
        start: The start message, which names the stream and its call.
        home: The loop that everything here belongs to.
        send_ahead_seconds: How much sound is sent ahead.
        clock: Gives monotonic seconds.

    Attributes:
        start: As given.
        capture: Everything that passed.
        closed: A `Pending` with the `StreamEnd`.
        handler_error: What the handler raised, or None.
        newest: The playback asked for last, or None.
        disconnect_reason: Why its public address was lost, or empty.
        outgoing: Set when something may be ready to be sent.
        close_wanted: Set when the stream is to be closed once everything queued was heard.
    """

    def __init__(
        self,
        start: from_twilio.Start,
        home: HomeLoop,
        *,
        send_ahead_seconds: float = SEND_AHEAD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.start = start
        self._home = home
        self._clock = clock
        self._conversation = Conversation(start.stream_sid, send_ahead_seconds=send_ahead_seconds)
        self._waiting: dict[str, Pending[Any]] = {}
        self._event_readers: list[Reader[from_twilio.Message]] = []
        self._audio_readers: list[Reader[NDArray[np.int16]]] = []
        self._resamplers: list[Resampler] = []
        self._is_closing = False
        self.outgoing = asyncio.Event()
        self.close_wanted = asyncio.Event()
        self.capture = Capture(start.stream_sid, start.call_sid, started=clock())
        self.closed: Pending[StreamEnd] = Pending(home.loop)
        self.closed.add_done_callback(lambda _: self._end_readers())
        self.handler_error: BaseException | None = None
        self.newest: Playing | None = None
        self.disconnect_reason = ""
        self._broke_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether something can still be played on it."""
        return self._conversation.ended is None and not self._is_closing

    @property
    def broke_lately(self) -> bool:
        """Whether its connection broke within the last `BLAME_SECONDS`.

        A tunnel that dies takes the connection along, and its end is noticed a little later.
        """
        return self._broke_at is not None and self._clock() - self._broke_at < BLAME_SECONDS

    @property
    def has_queued(self) -> bool:
        """Whether something is still on its way to the caller's ear, or waits for its mark."""
        return bool(self._waiting)

    # Commands, from any thread.

    def play(self, payload: CheckedPayload, mark: str | None) -> Playing:
        """Queue audio; on a stream that has ended or is closing it is lost at once."""
        playing = self.newest = Playing(self, len(payload), mark, self._home.loop)
        if not self._command(self._begin_play, playing, payload):
            fulfil(playing, _lost(playing))
        return playing

    def mark(self, name: str) -> Pending[MarkOutcome]:
        """Queue a mark behind all audio queued so far."""
        wait: Pending[MarkOutcome] = Pending(self._home.loop)
        lost = MarkOutcome("lost", name, 0)
        if not self._command(self._begin_mark, wait, name, lost):
            fulfil(wait, lost)
        return wait

    def clear(self) -> None:
        """Silence everything queued, here and at Twilio."""
        for resampler in list(self._resamplers):
            resampler.clear()
        self._command(self._clear)

    def close(self, *, now: bool) -> Pending[StreamEnd]:
        """Take no more audio, and end once what is queued was heard, or `now`."""
        if not self._command(self._begin_close, now):
            fulfil(self.closed, StreamEnd("server stopped", "the server had stopped"))
        return self.closed

    def resampler(self, sample_rate: int) -> Resampler:
        """Make a `Resampler` that a clear empties too."""
        resampler = Resampler(sample_rate)
        self._resamplers.append(resampler)
        return resampler

    def read_events(self) -> Reader[from_twilio.Message]:
        """Read the messages without media from now on."""
        reader: Reader[from_twilio.Message] = Reader(lambda message: message, self._home.loop)
        self._attach(reader, self._event_readers)
        return reader

    def read_audio(self) -> Reader[NDArray[np.int16]]:
        """Read the caller's voice from now on."""
        reader: Reader[NDArray[np.int16]] = Reader(decode_ulaw, self._home.loop)
        self._attach(reader, self._audio_readers)
        return reader

    # For `Playing`.

    def heard_bytes(self, handle: str) -> int:
        """Return how many bytes of a playback were heard by now; from any thread."""
        return self._conversation.heard_bytes(handle, self._clock())

    def watch(self, playing: Playing, size: int, wait: Pending[float]) -> None:
        """Fulfil `wait` as soon as `size` bytes of `playing` were heard; from any thread."""
        self._command(self._check_heard, playing, size, wait)

    # For the session and the server, on their loop.

    def receive(self, message: from_twilio.Message, now: float) -> None:
        """Take in one message that arrived at `now`."""
        self.capture.append(message, now)
        if isinstance(message, from_twilio.Media):
            for audio_reader in self._audio_readers:
                audio_reader._push(message.payload, now)  # noqa: SLF001 - its owner
        else:
            for event_reader in self._event_readers:
                event_reader._push(message, now)  # noqa: SLF001 - its owner
        self._settle(self._conversation.receive(message, now))

    def next_message(self) -> to_twilio.Message | None:
        """Return what may be sent now, noted in the capture, or None."""
        now = self._clock()
        message = self._conversation.next_message(now)
        if message is not None:
            self.capture.append(message, now)
        return message

    def wait_seconds(self) -> float | None:
        """Return how long `next_message` will have nothing, or None until the next command."""
        return self._conversation.wait_seconds(self._clock())

    def let_time_pass(self) -> None:
        """End what has waited too long for its mark."""
        self._settle(self._conversation.advance(self._clock()))

    def end(self, end: StreamEnd) -> None:
        """End everything that is still open; idempotent."""
        self._settle(self._conversation.end(end.reason, self._clock()))
        if end.reason == "lost" and not self.closed.done():
            self._broke_at = self._clock()
        if fulfil(self.closed, end):
            logger.info("stream %s ended: %s", self.start.stream_sid, end.detail)

    def lose_address(self, why: str) -> None:
        """Note that the public address is lost, if the stream is open or broke just now."""
        if not self.closed.done() or self.broke_lately:
            self.disconnect_reason = why

    async def heard_out(self) -> None:
        """Wait until everything queued has ended, at most its length and `CLOSE_MARGIN_SECONDS`."""
        queued = sum(p.total_ms for p in self._waiting.values() if isinstance(p, Playing))
        waits = [asyncio.wrap_future(pending) for pending in self._waiting.values()]
        if waits:
            await asyncio.wait(waits, timeout=queued / 1000 + CLOSE_MARGIN_SECONDS)

    # Commands, carried out on the server's loop.

    def _command(self, function: Callable[..., None], *args: Any) -> bool:
        try:
            self._home.call(function, *args)
        except ServerStopped:
            return False
        return True

    def _begin_play(self, playing: Playing, payload: CheckedPayload) -> None:
        if not self.is_open:
            self._refuse(playing, _lost(playing))
            return
        handle = self._conversation.play(payload, self._clock(), mark=playing.mark)
        playing._handle = handle  # noqa: SLF001 - its owner
        self._waiting[handle] = playing
        self.outgoing.set()

    def _begin_mark(self, wait: Pending[MarkOutcome], name: str, lost: MarkOutcome) -> None:
        if not self.is_open:
            self._refuse(wait, lost)
            return
        self._waiting[self._conversation.mark(name, self._clock())] = wait
        self.outgoing.set()

    def _refuse(self, wait: Pending[Any], lost: Outcome) -> None:
        logger.warning("stream %s has ended or is closing; lost: %s", self.start.stream_sid, lost)
        fulfil(wait, lost)

    def _clear(self) -> None:
        self._settle(self._conversation.clear(self._clock()))
        self.outgoing.set()

    def _begin_close(self, now: bool) -> None:
        # Set here and not in `close`, so that what was played before it is still accepted.
        self._is_closing = True
        if now and self._conversation.ended is None:
            self._settle(self._conversation.end("closed", self._clock()))
        self.close_wanted.set()

    def _check_heard(self, playing: Playing, size: int, wait: Pending[float]) -> None:
        if wait.done() or playing.done():
            return  # an ended playback settles its waits itself
        now, handle = self._clock(), playing._handle  # noqa: SLF001 - its owner
        heard = self._conversation.heard_bytes(handle, now)
        if heard >= size and handle:
            fulfil(wait, heard / BYTES_PER_SECOND)
            return
        delay = self._conversation.heard_in(handle, size, now)
        # Sound that has not been sent yet has no time of its own: look again, a frame later.
        pause = 0.02 if delay is None else max(delay, 0.001)
        asyncio.get_running_loop().call_later(pause, self._check_heard, playing, size, wait)

    def _settle(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self.capture.note_ending(outcome.handle, outcome.ending)
            fulfil(self._waiting.pop(outcome.handle), outcome)

    def _end_readers(self) -> None:
        # After `closed`, so that a reader attached meanwhile is ended here or by `_attach`.
        readers: list[Reader[Any]] = [*self._event_readers, *self._audio_readers]
        for reader in readers:
            reader._end()  # noqa: SLF001 - its owner

    def _attach(self, reader: Reader[Any], readers: list[Reader[Any]]) -> None:
        readers.append(reader)
        if self.closed.done():
            reader._end()  # noqa: SLF001 - its owner


class Playing(Pending[PlayOutcome]):
    """Audio on its way to the caller's ear: a `Pending` whose result is a `PlayOutcome`.

    Attributes:
        total_ms: The duration of the whole.
        mark: The name given to `MediaStream.play`, or None.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> playing = stream.play(kit.Clip.tone(440, 10))
        >>> playing.heard(0.1).result(10) >= 0.1
        True
        >>> stream.clear()
        >>> playing.result(10).ending
        'cleared'
        >>> playing.progress < 1
        True
    """

    def __init__(
        self,
        stream: StreamState,
        size: int,
        mark: str | None,
        home: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(home)
        self.total_ms = round(size * 1000 / BYTES_PER_SECOND)
        self.mark = mark
        self._handle = ""
        self._size = size
        self._stream = stream
        self._furthest = 0

    @property
    def heard_ms(self) -> int:
        """How much was heard by now, by the playout model; it never goes back."""
        if self.done():
            heard = self._furthest if self.exception(0) else self.result(0).heard_ms
        else:
            heard = round(self._stream.heard_bytes(self._handle) * 1000 / BYTES_PER_SECOND)
        # The model may find by a late mark that it had been too hopeful.
        self._furthest = max(self._furthest, heard)
        return self._furthest

    @property
    def progress(self) -> float:
        """How much of it was heard by now, from 0 to 1."""
        return self.heard_ms / self.total_ms if self.total_ms else float(self.done())

    def heard(self, seconds: float) -> Pending[float]:
        """Wait for sound, not for the clock.

        Returns:
            A `Pending` with the seconds heard: `seconds` or a little more, or less when the
            playback ended earlier.

        Raises:
            ValueError: If `seconds` is negative or not finite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"heard() takes a duration in seconds, 0 or more, not {seconds!r}")
        wait: Pending[float] = Pending(self._home)
        size = min(self._size, math.ceil(seconds * BYTES_PER_SECOND))
        self.add_done_callback(lambda _: self._settle_wait(wait))
        self._stream.watch(self, size, wait)
        return wait

    def _settle_wait(self, wait: Pending[float]) -> None:
        error = self.exception(0)
        if error is not None:
            fail(wait, error)
        else:
            fulfil(wait, self.result(0).heard_ms / 1000)


EndReason = Literal["stop", "far end", "lost", "silent", "closed", "server stopped", "handler"]
"""``stop``: Twilio said so.  ``far end``: it closed the socket.  ``lost``: the connection broke.
``silent``: no message for too long.  ``closed``: `MediaStream.close`.  ``handler``: it raised."""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended.

    Attributes:
        reason: One of `EndReason`.
        detail: The same in words, with the close code where there was one.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url, seconds=0.1).result(10)
        >>> end = server.streams[-1].closed.result(10)
        >>> end.reason
        'stop'
    """

    reason: EndReason
    detail: str

    def __repr__(self) -> str:
        return f"<StreamEnd {self.reason}: {self.detail}>"


def _lost(playing: Playing) -> PlayOutcome:
    """Return the outcome of a playback that is not even queued."""
    return PlayOutcome("lost", 0, playing.total_ms)
