"""The caller's telephone without a screen and without a clock: a mouth and an ear.

Both deal in frames of 160 bytes PCMU (PROTOCOL.md §3); every 20 ms the owner of the clock asks the
mouth for one and gives one to the ear.  Everything here belongs to one loop; `Handset.heard` may be
read, and `LiveVoice` filled, from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.pending import Guard
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.simulator.model.assumptions import (
    ECHO_DELAY_MS,
    ECHO_GAIN,
    SILENCE,
    SILENT_FRAME,
    Behaviour,
    frames_in,
)

_SILENT_BYTES = b"\xff\x7f"

KEPT_FRAMES = 3
"""How many frames are waited for before the first is given: 60 ms."""

MOST_FRAMES = 12
"""How many may wait: 240 ms."""

WATCHED_FRAMES = 25
"""How long more than is kept may wait without need: 500 ms."""


class Handset:
    """A mouth and an ear, with the latency and the echo of `behaviour`."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        behaviour = behaviour or Behaviour()
        latency = frames_in(behaviour.latency_ms)
        self.mouth = Mouth(latency)
        if behaviour.echo:
            self.mouth.echo = DelayLine(frames_in(ECHO_DELAY_MS))
            self.ear: Ear = _LeakingEar(latency, self.mouth)
        else:
            self.ear = Ear(latency)

    @property
    def heard(self) -> Clip:
        """All that reached the ear so far; callable from any thread."""
        return self.ear.heard


class Mouth:
    """What the caller says, one utterance after the other, silence in between.

    Attributes:
        live: A microphone, heard wherever no utterance is being said; None without one.
    """

    def __init__(self, latency_frames: int = 0) -> None:
        self.live: LiveVoice | None = None
        self._utterances: deque[Utterance] = deque()
        self._delay = DelayLine(latency_frames)
        self.echo: DelayLine | None = None
        self._leaking = SILENT_FRAME

    @property
    def speaking(self) -> bool:
        """Whether something is still to be said."""
        return bool(self._utterances)

    def say(self, payload: bytes, on_done: Callable[[float], None] | None = None) -> Utterance:
        """Say `payload` after all that is to be said already; an empty one is done at once."""
        utterance = Utterance(payload, on_done)
        if payload:
            self._utterances.append(utterance)
        else:
            utterance.end()
        return utterance

    def next_frame(self) -> bytes:
        """Take the next 20 ms; one utterance may end and the next begin within it."""
        frame = SILENT_FRAME if self.live is None else self.live.next_frame()
        if self._utterances:
            frame = self._spoken()
        if self.echo is not None:
            frame = _mix(frame, self.echo.through(self._leaking))
        return self._delay.through(frame)

    def stop(self) -> None:
        """Say no more: all utterances end with what was said of them, because the call is over."""
        while self._utterances:
            self._utterances.popleft().end()

    def leak(self, frame: bytes) -> None:
        """Note what the ear plays now; with an echo, some of it comes back later."""
        self._leaking = frame

    def _spoken(self) -> bytes:
        frame = b""
        while self._utterances and len(frame) < FRAME_BYTES:
            utterance = self._utterances[0]
            frame += utterance.take(FRAME_BYTES - len(frame))
            if utterance.done and self._utterances and self._utterances[0] is utterance:
                self._utterances.popleft()
        return frame.ljust(FRAME_BYTES, bytes([SILENCE]))


@dataclass(slots=True, eq=False)
class Utterance:
    """Something the caller is to say, and how much of it was said.

    Attributes:
        payload: PCMU of any length.
        on_done: Called once, with the seconds said, when the last byte was said or the call ended.
        said: How many bytes were said so far.
        done: Whether `on_done` was called.
    """

    payload: bytes
    on_done: Callable[[float], None] | None = None
    said: int = field(default=0, init=False)
    done: bool = field(default=False, init=False)

    @property
    def seconds_said(self) -> float:
        """How much of it was said so far."""
        return self.said / BYTES_PER_SECOND

    def take(self, size: int) -> bytes:
        """Say up to `size` bytes more."""
        piece = self.payload[self.said : self.said + size]
        self.said += len(piece)
        if self.said >= len(self.payload):
            self.end()
        return piece

    def end(self) -> None:
        """Say no more; calls `on_done` the first time."""
        if not self.done:
            self.done = True
            if self.on_done is not None:
                with Guard("what was to be told that something was said failed"):
                    self.on_done(self.seconds_said)


class LiveVoice:
    """A queue of frames between a microphone and a mouth.

    A microphone delivers by its own clock, in pieces and not always in time, while the call takes
    20 ms every 20 ms (PROTOCOL.md §3).  So a little is kept back before the first frame is given,
    and what piles up is thrown away, the oldest first.  What was not needed for half a second is
    thrown away too: a caller whose microphone once stood still is not heard late for the rest of
    the call.

    Attributes:
        kept: How many frames are waited for, at the beginning and after each gap.
        given: How many frames of the microphone's were taken.
        dropped: How many were thrown away because too many waited, or waited without need.
        gaps: How often it ran empty.
    """

    def __init__(self, kept: int = KEPT_FRAMES) -> None:
        self.kept = kept
        self.given = self.dropped = self.gaps = 0
        self._frames: deque[bytes] = deque()
        self._rest = b""
        self._flows = False
        self._least = self._watched = 0
        self._lock = threading.Lock()

    def push(self, payload: bytes) -> None:
        """Take what the microphone picked up, PCMU of any length; from any thread."""
        with self._lock:
            payload = self._rest + payload
            whole = len(payload) - len(payload) % FRAME_BYTES
            self._rest = payload[whole:]
            for start in range(0, whole, FRAME_BYTES):
                self._frames.append(payload[start : start + FRAME_BYTES])
            if len(self._frames) > MOST_FRAMES + self.kept:
                while len(self._frames) > self.kept:
                    self._frames.popleft()
                    self.dropped += 1

    def next_frame(self) -> bytes:
        """Take the next 20 ms, silence where there is nothing."""
        with self._lock:
            if not self._flows and len(self._frames) < max(self.kept, 1):
                return SILENT_FRAME
            if not self._flows:
                self._watched = 0
            self._flows = bool(self._frames)
            if not self._flows:
                self.gaps += 1
                return SILENT_FRAME
            self.given += 1
            frame = self._frames.popleft()
            self._shed()
            return frame

    def _shed(self) -> None:
        """Throw away what was not needed for a while: the least that waited, but for `kept`."""
        waiting = len(self._frames)
        self._least = min(self._least, waiting) if self._watched else waiting
        self._watched += 1
        if self._watched < WATCHED_FRAMES:
            return
        self._watched = 0
        for _ in range(self._least - self.kept):
            self._frames.popleft()
            self.dropped += 1

    def clear(self) -> None:
        """Forget what waits: the microphone was switched off."""
        with self._lock:
            self._frames.clear()
            self._rest, self._flows = b"", False


class Ear:
    """What reached the caller, without gaps since the call was answered.

    Attributes:
        on_frame: Functions called with each frame and the monotonic time in seconds.
        first_audible_at: The time of the first frame that was not silent, or None.
        last_audible_at: The time of the last such frame, or None.
    """

    def __init__(self, latency_frames: int = 0) -> None:
        self._heard = bytearray()
        self._delay = DelayLine(latency_frames)
        self.on_frame: list[Callable[[bytes, float], None]] = []
        self.first_audible_at: float | None = None
        self.last_audible_at: float | None = None

    def hear(self, frame: bytes, now: float) -> bytes:
        """Take 20 ms; return what is heard at this moment, which latency makes an earlier frame."""
        frame = self._delay.through(frame)
        self._heard += frame
        if is_audible(frame):
            self.last_audible_at = now
            if self.first_audible_at is None:
                self.first_audible_at = now
        for listener in tuple(self.on_frame):
            with Guard("a listener to what a phone hears failed, and is told no more") as guard:
                listener(frame, now)
            if guard.error is not None and listener in self.on_frame:
                self.on_frame.remove(listener)
        return frame

    @property
    def heard(self) -> Clip:
        """All of it so far, as a copy."""
        clip = Clip(b"", "heard")
        # Past Clip's own check: a server that sends a whole WAV file is heard to do so.
        object.__setattr__(clip, "payload", bytes(self._heard))
        return clip


class _LeakingEar(Ear):
    """An ear so near to the mouth that the mouth picks up what it plays."""

    def __init__(self, latency_frames: int, mouth: Mouth) -> None:
        super().__init__(latency_frames)
        self._mouth = mouth

    def hear(self, frame: bytes, now: float) -> bytes:
        frame = super().hear(frame, now)
        self._mouth.leak(frame)
        return frame


class DelayLine:
    """Frames come out `frames` calls after they went in; silence until then."""

    def __init__(self, frames: int) -> None:
        self._inside = deque([SILENT_FRAME] * frames)

    def through(self, frame: bytes) -> bytes:
        """Put one frame in and take one out."""
        if not self._inside:
            return frame
        self._inside.append(frame)
        return self._inside.popleft()


def is_audible(frame: bytes) -> bool:
    """Whether `frame` holds anything but the two silences of μ-law, 0xFF and 0x7F."""
    return frame is not SILENT_FRAME and bool(frame.strip(_SILENT_BYTES))


def _mix(frame: bytes, leaking: bytes) -> bytes:
    """Return `frame` with `leaking` in it at the level of an echo."""
    if not is_audible(leaking):
        return frame
    echo = decode_ulaw(leaking).astype(np.float32) * ECHO_GAIN
    loud = np.clip(decode_ulaw(frame) + echo, -32768, 32767)
    return encode_ulaw(loud.astype(np.int16))
