"""Twilio's half of one stream, without I/O and without a clock (PROTOCOL.md §3, §4).

Whoever owns the time calls `StreamLeg.frame` once in 20 ms and sends what it returns; whoever owns
the socket hands what the server says to `StreamLeg.receive` and sends what that returns.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from twistream_kit.errors import Objection
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.simulator.model.assumptions import (
    FIRST_TIMESTAMPS_MS,
    INITIAL_BURST_FRAMES,
    SILENT_FRAME,
    TIMESTAMP_JITTER_MS,
    Behaviour,
    frames_in,
)
from twistream_kit.simulator.stream.judge import Judge, Warned
from twistream_kit.simulator.stream.playout import PlayoutBuffer

DIGITS = frozenset("0123456789*#ABCD")
"""The keys of a telephone, the rare fourth column included (§3)."""

PROTOCOL_ERROR = 31924
"""For whatever is sent on a stream that only listens; the stream ends by it (§4, §5.1)."""

MEDIA_DISCARDED = 31931
"""For audio beyond ten minutes in the playout buffer (§4)."""


class StreamLeg:
    """One stream as Twilio lives it.

    Args:
        stream_sid, call_sid, account_sid: Its names; MZ, CA and AC with 32 hex digits.
        tracks: ``inbound`` (the caller), ``outbound`` (what the caller hears), or both.
        parameters: The ``<Parameter>`` names and values.
        bidirectional: False for ``<Start>``: whatever the server says ends the stream (31924).
        behaviour: The switches for what is not known of Twilio.
        first_timestamp_ms: Where the timestamps begin; drawn from `stream_sid` if None, so that
            the same stream always has the same.

    Attributes:
        playout: The audio that waits to be heard.
        on_message: Called with each message that was obeyed and its time, if not None.
        on_dropped: Called with each message that was not, as it came, and its time, if not None.
        broken: Whether the server broke a rule that ends the stream.
    """

    def __init__(
        self,
        *,
        stream_sid: str,
        call_sid: str,
        account_sid: str,
        tracks: Sequence[str] = ("inbound",),
        parameters: Mapping[str, str] | None = None,
        bidirectional: bool = True,
        behaviour: Behaviour | None = None,
        first_timestamp_ms: int | None = None,
    ) -> None:
        if not tracks or not set(tracks) <= {"inbound", "outbound"}:
            raise ValueError(f"tracks is {tracks!r}; it may hold 'inbound' and 'outbound'")
        self.stream_sid = stream_sid
        self.call_sid = call_sid
        self.account_sid = account_sid
        self.tracks = tuple(tracks)
        self.parameters = dict(parameters or {})
        self.bidirectional = bidirectional
        self.behaviour = behaviour or Behaviour()
        if first_timestamp_ms is None:
            # Fixed by the name, not secret.
            first_timestamp_ms = random.Random(stream_sid).choice(FIRST_TIMESTAMPS_MS)  # noqa: S311
        self._timestamp_ms = first_timestamp_ms
        self.playout = PlayoutBuffer()
        self._judge = Judge(stream_sid, self.behaviour)
        self.on_message: Callable[[to_twilio.Message, float], None] | None = None
        self.on_dropped: Callable[[str | bytes, float], None] | None = None
        self.broken = False
        self._sequence = 0
        self._chunk = 0
        self._frames = 0
        self._stopped = False
        self._hold_frames = frames_in(self.behaviour.playout_delay_ms)
        self._held = 0

    @property
    def received(self) -> Counter[str]:
        """How many messages came: ``media``, ``mark``, ``clear``, ``invalid``, ``binary``."""
        return self._judge.received

    @property
    def objections(self) -> Counter[Objection]:
        """What `review` found in them, and the ear in their sound, and how often."""
        return self._judge.objections

    @property
    def stopped(self) -> bool:
        """Whether `stop` was sent; nothing follows it."""
        return self._stopped

    def opening(self) -> list[from_twilio.Message]:
        """Return the first two messages: connected, which has no number, and start, which is 1."""
        start = from_twilio.Start(
            self.stream_sid,
            self.account_sid,
            self.call_sid,
            self.tracks,
            custom_parameters=self.parameters,
            sequence_number=self._next_sequence(),
        )
        return [from_twilio.Connected(), start]

    def frame(
        self,
        inbound: bytes,
        now: float,  # noqa: ARG002 - time is an argument of every step, also where it is not needed
        outbound: bytes | None = None,
    ) -> tuple[bytes, list[from_twilio.Message]]:
        """Let 20 ms pass.

        Args:
            inbound: What the caller said, 160 bytes PCMU.
            now: Monotonic seconds.
            outbound: What the caller is played by others than this stream, 160 bytes; for a
                stream that listens to the outbound track.

        Returns:
            What the caller hears of this stream, 160 bytes, and the messages to send: the media
            of each track, then the marks whose audio has been played.
        """
        heard, names = self._play()
        if self._stopped:
            return heard, []
        messages: list[from_twilio.Message] = []
        if not self._frames:
            # The backlog of a stream that has just been connected arrives at once (§10.20).
            for _ in range(INITIAL_BURST_FRAMES - 1):
                self._media(messages, SILENT_FRAME, SILENT_FRAME)
        self._media(messages, inbound, heard if outbound is None else outbound)
        messages.extend(self._mark(name) for name in names)
        return heard, messages

    def receive(self, message: str | bytes, now: float) -> list[from_twilio.Message]:
        """Obey one message from the server, or note why not; return the marks to send back."""
        if self._stopped:
            return []
        if not self.bidirectional:
            self._break(message)
            return []
        obeyed = self._judge.judge(message, now)
        if obeyed is None:
            if self.on_dropped is not None:
                self.on_dropped(message, now)
            return []
        if self.on_message is not None:
            self.on_message(obeyed, now)
        return [self._mark(name) for name in self._obey(obeyed)]

    def listen(self, now: float) -> bool:
        """Listen on to the server's sound, if there is time; return whether something was found."""
        return self._judge.listen(now)

    def press(self, digit: str) -> list[from_twilio.Message]:
        """Press a key.  Only a bidirectional stream is told of it (§1.1, §1.2).

        Raises:
            ValueError: If `digit` is not a key of a telephone.
        """
        if digit not in DIGITS:
            raise ValueError(f"{digit!r} is no key of a telephone; press one of 0-9, *, #, A-D")
        if self._stopped or not self.bidirectional:
            return []
        return [from_twilio.Dtmf(self.stream_sid, digit, self._next_sequence())]

    def stop(self) -> list[from_twilio.Message]:
        """End the stream from Twilio's side; the second time nothing is left to be sent."""
        if self._stopped:
            return []
        self._stopped = True
        sequence = self._next_sequence()
        return [from_twilio.Stop(self.stream_sid, self.account_sid, self.call_sid, sequence)]

    def take_warnings(self) -> list[Warned]:
        """Return what Twilio has logged since the last time this was asked."""
        return self._judge.take_warnings()

    def take_unlogged(self) -> list[Objection]:
        """Return what was found since the last time this was asked and Twilio does not log."""
        return self._judge.take_unlogged()

    def finish(self, now: float) -> None:
        """Note that the server will say nothing more."""
        self._judge.finish(now)

    def warn(self, code: int, text: str, message: str | bytes | None = None) -> None:
        """Note `code`; what Twilio logs once per stream is noted once."""
        self._judge.warn(Warned(code, text, message))

    def _play(self) -> tuple[bytes, list[str]]:
        if not len(self.playout):
            self._held = 0
            return SILENT_FRAME, []
        if self._held < self._hold_frames:
            self._held += 1
            return SILENT_FRAME, []
        return self.playout.play(FRAME_BYTES)

    def _media(self, messages: list[from_twilio.Message], inbound: bytes, outbound: bytes) -> None:
        jitter = TIMESTAMP_JITTER_MS[self._frames % len(TIMESTAMP_JITTER_MS)]
        timestamp = self._timestamp_ms + self._frames * PTIME_MS + jitter
        self._frames += 1
        for track in self.tracks:
            self._chunk += 1  # shared by both tracks, as in the documentation's example (§3)
            payload = inbound if track == "inbound" else outbound
            sequence = self._next_sequence()
            messages.append(
                from_twilio.Media(self.stream_sid, payload, sequence, track, self._chunk, timestamp)
            )

    def _obey(self, message: to_twilio.Message) -> list[str]:
        """Do what `message` says; return the names of the marks that come back at once."""
        if isinstance(message, to_twilio.Mark):
            return self.playout.mark(message.name)
        if isinstance(message, to_twilio.Clear):
            return self.playout.clear()
        lost = self.playout.queue(message.payload)
        if lost:
            text = f"ten minutes of audio are waiting already: {lost} bytes were discarded"
            self.warn(MEDIA_DISCARDED, text)
        return []

    def _break(self, message: str | bytes) -> None:
        self._judge.refuse(message)
        if self.broken:
            return
        self.broken = True
        text = "a message came on a stream of <Start>, which only listens; use <Connect> to speak"
        self.warn(PROTOCOL_ERROR, text, message)

    def _mark(self, name: str) -> from_twilio.Mark:
        return from_twilio.Mark(self.stream_sid, name, self._next_sequence())

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence
