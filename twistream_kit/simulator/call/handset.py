"""The sound of a telephone, without a screen and without a clock: a mouth and an ear.

Both use frames of 160 bytes PCMU (PROTOCOL.md §3); every 20 ms the owner of the clock takes one
from the mouth and passes one to the ear.  Everything here belongs to one loop; any thread may read
`Handset.heard` and fill a `LiveVoice`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.guard import Guard
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.line.stream import ByteDelay, LineStream
from twistream_kit.simulator.model.assumptions import (
    ECHO_DELAY_MS,
    ECHO_GAIN,
    SILENCE,
    SILENT_FRAME,
    Behaviour,
    count_frames,
)
from twistream_kit.simulator.stream.leg import is_audible

KEPT_FRAMES = 3
"""The number of frames that are buffered before the first one is returned: 60 ms."""

MOST_FRAMES = 12
"""The largest number of buffered frames: 240 ms."""

WATCHED_FRAMES = 25
"""Frames that were not needed for this long are dropped: 500 ms."""


DROPPED = "heard; the sound is kept of the last ten ended calls only"
"""The name of the empty clip in place of a sound that was dropped."""


class Handset:
    """A mouth and an ear, with the latency, the echo and the line of `behaviour`.

    Args:
        behaviour: The switches for behaviour of Twilio that is not known.
        speech_db: The level of the speech that will be said, in dBFS, for the noise of the line.
    """

    def __init__(
        self, behaviour: Behaviour | None = None, *, speech_db: float | None = None
    ) -> None:
        behaviour = behaviour or Behaviour()
        latency = count_frames(behaviour.latency_ms)
        there, back = behaviour.way_there, behaviour.way_back
        self.mouth = Mouth(latency)
        if there is not None:
            self.mouth.line = there.open(speech_db=speech_db)
        if behaviour.echo:
            self.mouth.echo = DelayLine(count_frames(ECHO_DELAY_MS))
        if behaviour.echo or (there is not None and there.has_echo):
            self.ear: Ear = _LeakingEar(latency, self.mouth, back)
        else:
            self.ear = Ear(latency, back)

    @property
    def heard(self) -> Clip:
        """The sound that reached the ear so far; callable from any thread."""
        return self.ear.heard

    @property
    def clean(self) -> Clip:
        """The same as it would be if the line did no more than delay it; from any thread."""
        return self.ear.clean

    def drop(self) -> None:
        """Forget all sound, after the end of the call."""
        self.ear.drop()
        self.mouth.drop()


class Prompter(Protocol):
    """What decides what is said next."""

    def prompt(self) -> None:
        """Decide, before a frame is taken from the mouth."""

    def end(self) -> None:
        """Note that the call is over."""


class Mouth:
    """The sound that the caller says: one utterance after the other, with silence in between.

    Attributes:
        live: A microphone that is heard while no utterance is said; None without one.
        prompter: What decides before each frame what is said, such as a script; or None.
        line: What the line does to it; None for nothing.
        said: With a line, all that was said, before the line changed it.
    """

    def __init__(self, latency_frames: int = 0) -> None:
        self.live: LiveVoice | None = None
        self.prompter: Prompter | None = None
        self._utterances: list[Utterance] = []  # an empty deque takes ten times the memory
        self._delay = DelayLine(latency_frames)
        self.echo: DelayLine | None = None
        self.line: LineStream | None = None
        self.said = bytearray()
        self._leaking = SILENT_FRAME

    @property
    def speaking(self) -> bool:
        """Whether an utterance is not finished."""
        return bool(self._utterances)

    def say(self, payload: bytes, on_done: Callable[[float], None] | None = None) -> Utterance:
        """Say `payload` after all earlier utterances; an empty one is done at once."""
        utterance = Utterance(payload, on_done)
        if payload:
            self._utterances.append(utterance)
        else:
            utterance.end()
        return utterance

    def take_frame(self) -> bytes:
        """Take the next 20 ms; one utterance may end and the next one begin within it."""
        if self.prompter is not None:
            self.prompter.prompt()
        frame = SILENT_FRAME if self.live is None else self.live.take_frame()
        if self._utterances:
            frame = self._take_spoken()
        if self.echo is not None:
            frame = _mix(frame, self.echo.pass_through(self._leaking))
        if self.line is not None:
            self.said += frame
            frame = self.line.take(frame, self._leaking)
        return self._delay.pass_through(frame)

    def take_rest(self) -> list[bytes]:
        """Take what is on its way, because nothing follows it."""
        inside = self._delay.frames
        if self.line is not None:
            inside += self.line.frames_inside
        rest = []
        for _ in range(inside):
            frame = SILENT_FRAME if self.line is None else self.line.take(SILENT_FRAME)
            rest.append(self._delay.pass_through(frame))
        return rest

    def stop(self) -> None:
        """End all utterances, finished or not, because the call is over."""
        while self._utterances:
            self._utterances.pop(0).end()
        prompter, self.prompter = self.prompter, None
        if prompter is not None:
            prompter.end()

    def drop(self) -> None:
        """Forget the microphone and what is on its way, after the end of the call."""
        self.live = self.echo = self.line = None
        self.said = bytearray()
        self._delay.drop()

    def leak(self, frame: bytes) -> None:
        """Pass on the frame that the ear plays now; with an echo, it comes back later."""
        self._leaking = frame

    def _take_spoken(self) -> bytes:
        frame = b""
        while self._utterances and len(frame) < FRAME_BYTES:
            utterance = self._utterances[0]
            frame += utterance.take(FRAME_BYTES - len(frame))
            if utterance.done and self._utterances and self._utterances[0] is utterance:
                self._utterances.pop(0)
        return frame.ljust(FRAME_BYTES, bytes([SILENCE]))


@dataclass(slots=True, eq=False)
class Utterance:
    """A piece of sound that the caller says, and its progress.

    Attributes:
        payload: PCMU of any length.
        on_done: Called once, with the seconds said, when the last byte was said or the call ended.
        said: The number of bytes said so far.
        done: Whether `on_done` was called.
    """

    payload: bytes
    on_done: Callable[[float], None] | None = None
    said: int = field(default=0, init=False)
    done: bool = field(default=False, init=False)

    @property
    def seconds_said(self) -> float:
        """The duration said so far."""
        return self.said / BYTES_PER_SECOND

    def take(self, size: int) -> bytes:
        """Say up to `size` bytes more."""
        piece = self.payload[self.said : self.said + size]
        self.said += len(piece)
        if self.said >= len(self.payload):
            self.end()
        return piece

    def end(self) -> None:
        """End the utterance; calls `on_done` the first time."""
        if not self.done:
            self.done = True
            if self.on_done is not None:
                with Guard("a callback at the end of an utterance failed"):
                    self.on_done(self.seconds_said)


class LiveVoice:
    """A jitter buffer between a microphone and a mouth.

    A microphone delivers sound by its own clock, in pieces and with jitter, while the call takes
    20 ms every 20 ms (PROTOCOL.md §3).  So some frames are buffered before the first one is
    returned, and if too many wait, the oldest are dropped.  Frames that were not needed for half a
    second are dropped too: after a pause of the microphone, the caller is not delayed for the rest
    of the call.

    Attributes:
        kept: The number of frames that are buffered at the beginning and after each gap.
        given: The number of frames of the microphone that were taken.
        dropped: The number of frames dropped because too many waited, or because they were not
            needed.
        gaps: How often the buffer ran empty.
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
        """Add sound of the microphone, PCMU of any length; from any thread."""
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

    def take_frame(self) -> bytes:
        """Take the next 20 ms; silence if the buffer is empty."""
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
        """Drop the frames that were not needed: the smallest buffer level, less `kept`."""
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
        """Drop all frames, because the microphone was switched off."""
        with self._lock:
            self._frames.clear()
            self._rest, self._flows = b"", False


class Ear:
    """The sound that reached the caller, without gaps since the call was answered.

    Attributes:
        latency_frames: How many frames later than it was sent a frame is heard.
        clean_frame: The newest frame as it would be heard if the line did no more than delay it.
        on_frame: Functions called with each frame and the monotonic time in seconds.
        first_audible_at: The time of the first frame that was not silent, or None.
        last_audible_at: The time of the last such frame, or None.
    """

    def __init__(self, latency_frames: int = 0, line: Line | None = None) -> None:
        self._heard = bytearray()
        self._is_dropped = False
        self._delay = DelayLine(latency_frames)
        self._line: LineStream | None = None
        self._clean = self._heard
        if line is not None:
            self._line = line.open(is_back=True)
            self._line_delay = ByteDelay(line.delay_samples)
            self._clean = bytearray()
            latency_frames += count_frames(line.delay_ms)
        self.latency_frames = latency_frames
        self.clean_frame = SILENT_FRAME
        self.on_frame: list[Callable[[bytes, float], None]] = []
        self.first_audible_at: float | None = None
        self.last_audible_at: float | None = None

    @property
    def frames(self) -> int:
        """The number of frames heard so far, which is the clock of the call."""
        return len(self._heard) // FRAME_BYTES

    def hear(self, frame: bytes, now: float) -> bytes:
        """Take a frame; return the frame that is heard now, an earlier one if there is latency."""
        clean = frame = self._delay.pass_through(frame)
        if self._line is not None:
            clean = self._line_delay.take(frame)
            frame = self._line.take(frame)
            self._clean += clean
        self._heard += frame
        self.clean_frame = clean
        if is_audible(clean):
            self.last_audible_at = now
            if self.first_audible_at is None:
                self.first_audible_at = now
        for listener in tuple(self.on_frame):
            problem = "a listener of a phone's ear failed, and is not called again"
            with Guard(problem, of_user=True) as guard:
                listener(frame, now)
            if guard.error is not None and listener in self.on_frame:
                self.on_frame.remove(listener)
        return frame

    def drain(self, now: float) -> None:
        """Hear what is on its way, because nothing follows it."""
        for _ in range(self.latency_frames):
            self.hear(SILENT_FRAME, now)

    def drop(self) -> None:
        """Forget what was heard, after the end of the call."""
        self._heard = self._clean = bytearray()
        self._line = None
        self._delay.drop()
        self.on_frame = []
        self._is_dropped = True

    @property
    def heard(self) -> Clip:
        """A copy of the sound so far; empty after `drop`, and named so."""
        return self._copy(self._heard)

    @property
    def clean(self) -> Clip:
        """The same as it would be if the line did no more than delay it."""
        return self._copy(self._clean)

    def _copy(self, sound: bytearray) -> Clip:
        clip = Clip(b"", DROPPED if self._is_dropped else "heard")
        # Skips Clip's own check: if a server sends a whole WAV file, the caller hears it.
        object.__setattr__(clip, "payload", bytes(sound))
        return clip


class _LeakingEar(Ear):
    """An ear whose sound the mouth picks up as an echo."""

    def __init__(self, latency_frames: int, mouth: Mouth, line: Line | None = None) -> None:
        super().__init__(latency_frames, line)
        self._mouth = mouth

    def hear(self, frame: bytes, now: float) -> bytes:
        frame = super().hear(frame, now)
        self._mouth.leak(frame)
        return frame


class DelayLine:
    """Delays frames by `frames` calls; returns silence until then."""

    def __init__(self, frames: int) -> None:
        self._inside: deque[bytes] | None = deque([SILENT_FRAME] * frames) if frames else None

    @property
    def frames(self) -> int:
        """The number of frames inside."""
        return len(self._inside or ())

    def pass_through(self, frame: bytes) -> bytes:
        """Put one frame in and return the delayed one."""
        if self._inside is None:
            return frame
        self._inside.append(frame)
        return self._inside.popleft()

    def drop(self) -> None:
        """Forget what is inside; frames are not delayed any more."""
        self._inside = None


def _mix(frame: bytes, leaking: bytes) -> bytes:
    """Mix `leaking` into `frame` at the level of an echo."""
    if not is_audible(leaking):
        return frame
    echo = decode_ulaw(leaking).astype(np.float32) * ECHO_GAIN
    loud = np.clip(decode_ulaw(frame) + echo, -32768, 32767)
    return encode_ulaw(loud.astype(np.int16))
