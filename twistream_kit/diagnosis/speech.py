"""Speech detection in telephone sound, by level: when somebody begins to speak, and when they end.

`SpeechDetector` takes frames as they come and reports each begin and end; `find_speech` does the
same for sound that is complete.  `find_audible` needs no detector: it finds the audible part of a
clip that is known to be clean.  Time is counted in frames, so a recording gives the same result as
a call.
"""

from __future__ import annotations

import math
from collections import deque
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.errors import WrongValue, require_finite, require_type
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS

AUDIBLE_DB = -50.0
"""The level of a frame from which it is audible, in dBFS: the noise of a good line is below it."""

ABOVE_NOISE_DB = 6.0
"""How far a frame must be above the noise to belong to speech that has begun.  The frames of steady
noise differ from their mean by 2 dB at most."""

CLEARLY_ABOVE_DB = 9.0
"""How far one frame at least must be above the noise for speech to begin."""

BEGIN_MS = 60
"""Shorter sound is a click; the shortest word lasts about 100 ms."""

PAUSE_MS = 400
"""Shorter silence is a pause within a sentence: a stop consonant closes for 150 ms at most, and a
speaker who draws breath is silent for about 300 ms."""

_SILENT_DB = -96.0
"""The level that is given for digital silence."""

_QUIETEST_NOISE_DB = -60.0
"""Lower noise is taken for this: it changes nothing, since `AUDIBLE_DB` is higher."""

_LOUDEST_NOISE_DB = -30.0
"""Louder sound that lasts, such as a tone or music, is never taken for noise."""

_RISE_DB = 0.12
"""How fast the estimate of the noise rises while there is sound, in dB a frame: 6 dB a second."""

_NOISE_FRAMES = 75
"""The noise is looked for in the quietest frame of so many, 1.5 s: people pause more often."""

_QUIET_GAP, _NOISY_GAP = 5, 1
"""How many frames may be missing between one above the threshold and the next at the begin of
speech: soft speech rises above it, falls below it and rises again; in noise that is chance."""

_BACK_FRAMES = 25
"""How far back the begin of speech is looked for when it is certain, 500 ms."""

_FIRST_FRAMES = 20
"""So many frames, 400 ms, decide whether a call that is not quiet at its begin is noisy."""

_STEADY_DB = (0.3, 8.0)
"""The difference between the loudest and the quietest of these frames in noise.  That of a tone is
less, that of speech 14 dB or more; white noise has 2 dB, such as falls by 6 dB an octave 5 dB, one
time in a hundred 8 dB (measured)."""

_SETTLED_DB = 3.0
"""The quietest tenth of a clip with noise is so far apart at most; the pauses of clean speech, in
which sound fades out, are far more apart."""

_LEAST_FRAMES = 25
"""In a clip of half a second there is no telling noise from speech."""

_FULL_SCALE = 32768.0

_SILENT_FRAME = b"\xff" * FRAME_BYTES

Edge = Literal["begins", "ends"]


class SpeechEdge(NamedTuple):
    """The begin or the end of speech.

    Attributes:
        kind: ``begins`` or ``ends``.
        frame: The number of the first frame of the speech, or of the first frame after it; the
            first frame of all is 0.  It lies in the past: a begin is certain 60 ms later, an end
            after a pause.
    """

    kind: Edge
    frame: int

    @property
    def seconds(self) -> float:
        """The time of the begin of that frame, from the first frame of all."""
        return self.frame * PTIME_MS / 1000


class SpeechSpan(NamedTuple):
    """Speech from its first frame to its last.

    Attributes:
        first: The number of the first frame.
        end: The number of the first frame after it.
    """

    first: int
    end: int


class SpeechDetector:
    """Finds where speech begins and ends, in frames of 20 ms as they come.

    The level of each frame is compared with two thresholds: speech begins if 60 ms are above the
    lower one and at least one frame is above the higher one, and ends after a pause below the lower
    one.  On a quiet line both are -50 dBFS, the level from which a frame is audible; where there is
    noise, they are 6 and 9 dB above it.  The noise is estimated from the
    frames that are not speech, and from the quietest frame of the last 1.5 s.  Sound with which a
    call begins is noise if its level is steady for 400 ms, though not as steady as that of a tone.

    A begin or an end is reported later than it was, but with the number of the frame in which it
    was.  It tells sound from silence and noise, not speech from music: a tone is speech too.

    Args:
        pause_ms: The silence after which speech has ended, in milliseconds, at least 20.

    Attributes:
        speaking: Whether speech has begun and not ended.
        frames: The number of frames so far.
        level_db: The level of the last frame, -96 to 0 dBFS.
        noise_db: The estimate of the noise, in dBFS.

    Raises:
        ValueError: If `pause_ms` is less than a frame.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit.diagnosis.speech import SpeechDetector
        >>> detector = SpeechDetector()
        >>> sound = kit.Clip.silence(0.5) + kit.Clip.tone(440, 1.0) + kit.Clip.silence(0.5)
        >>> for number, frame in enumerate(sound.frames()):
        ...     for edge in detector.feed(frame):
        ...         print(f"after frame {number}: {edge.kind} with frame {edge.frame}")
        after frame 27: begins with frame 25
        after frame 94: ends with frame 75
    """

    def __init__(self, *, pause_ms: float = PAUSE_MS) -> None:
        require_type("a number", pause_ms=pause_ms)
        require_finite(pause_ms=pause_ms)
        if pause_ms < PTIME_MS:
            raise WrongValue(
                f"pause_ms is {pause_ms:g}; sound is measured in frames of {PTIME_MS} ms, so a "
                "pause cannot be shorter"
            )
        self.speaking = False
        self.frames = 0
        self.level_db = self.noise_db = _SILENT_DB
        self._pause_frames = math.ceil(pause_ms / PTIME_MS)
        self._levels: deque[float] = deque(maxlen=_NOISE_FRAMES)
        self._count = 0
        self._had_clear = False
        self._is_settled = False
        self._last = 0
        """The number of the frame after the last one that belonged to speech."""

    def feed(self, frame: bytes) -> list[SpeechEdge]:
        """Process the next frame; return what became certain with it.

        Args:
            frame: 20 ms of PCMU, 160 bytes.

        Returns:
            No edge, or one.

        Raises:
            ValueError: If `frame` has another length.
        """
        if len(frame) != FRAME_BYTES:
            raise WrongValue(
                f"frame has {len(frame)} bytes; give frames of {FRAME_BYTES}, as Clip.frames() does"
            )
        self.level_db = level = measure_level(frame)
        self._levels.append(level)
        self.frames += 1
        if not self._is_settled:
            self._settle(level)
        edges = self._count_down(level) if self.speaking else self._count_up(level)
        self._estimate_noise(level)
        return edges

    def finish(self) -> list[SpeechEdge]:
        """Return the end of speech that has not ended, because the sound has."""
        if not self.speaking:
            return []
        self.speaking = False
        return [SpeechEdge("ends", self._last)]

    def __repr__(self) -> str:
        state = "speech" if self.speaking else "no speech"
        return (
            f"<SpeechDetector: {state} at {self.frames * PTIME_MS / 1000:.2f} s, "
            f"{self.level_db:.0f} dBFS, noise {self.noise_db:.0f} dBFS>"
        )

    @property
    def _threshold_db(self) -> float:
        return max(AUDIBLE_DB, self.noise_db + ABOVE_NOISE_DB)

    def _count_up(self, level: float) -> list[SpeechEdge]:
        """Process the level of a frame before speech has begun."""
        is_loud = level > self._threshold_db
        self._count = max(0, self._count + (1 if is_loud else -1))
        if not self._count:
            self._had_clear = False
            return []
        if level > self.noise_db + CLEARLY_ABOVE_DB:
            self._had_clear = True
        is_long = (self._count + (not is_loud)) * PTIME_MS >= BEGIN_MS
        if not (is_long and self._had_clear and self._is_settled):
            return []
        first = self._find_begin()
        self.speaking, self._count, self._had_clear = True, 0, False
        self._last = self.frames if is_loud else self.frames - 1
        return [SpeechEdge("begins", first)]

    def _count_down(self, level: float) -> list[SpeechEdge]:
        """Process the level of a frame while there is speech."""
        if level > self._threshold_db:
            self._last = self.frames
            return []
        if self.frames - self._last < self._pause_frames:
            return []
        self.speaking = False
        return [SpeechEdge("ends", self._last)]

    def _find_begin(self) -> int:
        """Return the first of the frames above the threshold that belong together."""
        threshold = self._threshold_db
        gap = _QUIET_GAP if threshold == AUDIBLE_DB else _NOISY_GAP
        first = number = self.frames - 1
        oldest = max(self._last, self.frames - min(len(self._levels), _BACK_FRAMES))
        while number >= oldest and first - number <= gap + 1:
            if self._levels[number - self.frames] > threshold:
                first = number
            number -= 1
        return first

    def _settle(self, level: float) -> None:
        """Estimate the noise with which the call begins."""
        self.noise_db = _QUIETEST_NOISE_DB
        self._is_settled = level <= AUDIBLE_DB or self.frames == _FIRST_FRAMES
        if level <= AUDIBLE_DB:
            self.noise_db = max(_QUIETEST_NOISE_DB, level)
        if level <= AUDIBLE_DB or not self._is_settled:
            return
        steady = [*self._levels][2:]  # a tone fades in
        least, most = _STEADY_DB
        if least < max(steady) - min(steady) < most:
            self.noise_db = sum(steady) / len(steady)
            self._count, self._had_clear = 0, False

    def _estimate_noise(self, level: float) -> None:
        if not self._is_settled:
            return
        if level < self.noise_db:
            self.noise_db = max(_QUIETEST_NOISE_DB, (self.noise_db + level) / 2)
        elif self.speaking or self._count:
            quietest = min(self._levels)
            is_tone = max(self._levels) - quietest < _STEADY_DB[0]
            if quietest > self.noise_db and len(self._levels) == _NOISE_FRAMES and not is_tone:
                highest = max(self.noise_db, _LOUDEST_NOISE_DB)
                self.noise_db = min(self.noise_db + _RISE_DB, quietest, highest)
        else:
            self.noise_db += (level - self.noise_db) / 10


def find_speech(payload: bytes, *, pause_ms: float = PAUSE_MS) -> list[SpeechSpan]:
    """Return the speech in sound that is complete, in order.

    Args:
        payload: PCMU; a last frame that is not complete is filled with silence.
        pause_ms: As in `SpeechDetector`.
    """
    detector = SpeechDetector(pause_ms=pause_ms)
    spans: list[SpeechSpan] = []
    first = 0
    edges: list[SpeechEdge] = []
    for begin in range(0, len(payload), FRAME_BYTES):
        edges += detector.feed(payload[begin : begin + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff"))
    for edge in [*edges, *detector.finish()]:
        if edge.kind == "begins":
            first = edge.frame
        else:
            spans.append(SpeechSpan(first, edge.frame))
    return spans


def find_audible(payload: bytes) -> SpeechSpan | None:
    """Return the audible part of a clean clip, from its first audible frame to its last.

    Args:
        payload: PCMU without noise.

    Returns:
        The frames; a frame is audible if its level is above -50 dBFS.  None if none is.
    """
    starts = range(0, len(payload), FRAME_BYTES)
    levels = (measure_level(payload[at : at + FRAME_BYTES]) for at in starts)
    loud = [number for number, level in enumerate(levels) if level > AUDIBLE_DB]
    return SpeechSpan(loud[0], loud[-1] + 1) if loud else None


def find_spoken(payload: bytes) -> SpeechSpan | None:
    """Return the speech in a clip of which nothing is known, from its first frame to its last.

    Args:
        payload: PCMU.

    Returns:
        The audible part; of a clip in steady noise the part that is 6 dB above that.  None if
        there is none.
    """
    starts = range(0, len(payload), FRAME_BYTES)
    levels = [measure_level(payload[at : at + FRAME_BYTES]) for at in starts]
    threshold = max(AUDIBLE_DB, _find_noise(levels) + ABOVE_NOISE_DB)
    loud = [number for number, level in enumerate(levels) if level > threshold]
    return SpeechSpan(loud[0], loud[-1] + 1) if loud else None


def _find_noise(levels: list[float]) -> float:
    """Return the level of the noise in a clip, or that of silence if it has none."""
    ordered = sorted(levels)
    quiet, loud = len(ordered) // 10, len(ordered) * 9 // 10
    if len(ordered) < _LEAST_FRAMES or ordered[quiet] - ordered[0] > _SETTLED_DB:
        return _SILENT_DB
    return ordered[quiet] if ordered[loud] - ordered[quiet] > CLEARLY_ABOVE_DB else _SILENT_DB


def measure_level(frame: bytes) -> float:
    """Return the level of PCMU without its DC offset, in dB of full scale, -96 to 0."""
    if frame == _SILENT_FRAME:  # most of a call is silence
        return _SILENT_DB
    samples = _build_samples().take(np.frombuffer(frame, np.uint8))
    power = float(samples @ samples) / len(samples) - (float(samples.sum()) / len(samples)) ** 2
    # A rounding error remains of a constant; the smallest step of μ-law is at -72 dB.
    return 10 * math.log10(power) if power > 1e-9 else _SILENT_DB


@cache
def _build_samples() -> NDArray[np.float64]:
    return decode_ulaw(bytes(range(256))) / _FULL_SCALE
