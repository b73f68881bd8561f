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
from twistream_kit.audio.resample import SAMPLE_RATE
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

_QUIET_GAP, _NOISY_GAP = 15, 1
"""How many frames may be missing between one above the threshold and the next at the beginning of
speech: soft speech rises above it, falls below it and rises again; in noise that is chance."""

_FRAGMENT_FRAMES = 30
"""Up to so many frames after speech a word that was cut off belongs to it, 600 ms."""

_BACK_FRAMES = 25
"""How far back the beginning of speech is looked for when it is certain, 500 ms."""

_STEADY_FRAMES = 20
"""So many frames, 400 ms, are compared to tell noise from speech."""

_STEADY_DB = (0.6, 8.0)
"""The difference between the loudest and the quietest of these frames in noise: 1 dB or more in
white noise, 8 dB in half of the noise that falls by 6 dB an octave.  A tone has at most 0.6 dB,
speech 9 dB or more, but for a vowel that is held (measured)."""

_FLAT = 0.32
"""The spectral flatness of these frames in noise: 0.5 or more for white and pink noise, 0.33 or
more where few bands hold it.  That of a vowel that is held is 0.27 at most, of six voices at once
0.21, of music 0.17, of a tone in noise 0.09, also of one that rises (measured)."""

_FLATNESS_SIZE = 800
"""The spectrum is taken of so many samples, 100 ms: more, and a tone that rises is a band."""

_BANDS = 16
"""Into so many bands the spectrum is divided, of 240 Hz each."""

_LOWEST_HZ = 60
"""What is lower does not pass a telephone line."""

_UNLIKE_NOISE_FRAMES = 5
"""After a spectrum that is not flat the next one is taken so many frames later: it costs more than
all else."""

_KNOWN_DB = 1.5
"""Noise whose level is estimated as well as that is not compared again."""

_SHORT_NOISE_FRAMES = 9
"""Noise that is shorter cannot be distinguished from a consonant, 180 ms."""

_ALIKE_DB = 3.0
"""The mean level of 100 ms of noise is so close to that of other parts of it."""

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
            first frame of all is 0.  It lies in the past: a beginning is certain 60 ms later, an
            end after a pause.
    """

    kind: Edge
    frame: int

    @property
    def seconds(self) -> float:
        """The time of the beginning of that frame, from the first frame of all."""
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
    frames that are not speech, and from the quietest frame of the last 1.5 s.  Sound of a steady
    level and a flat spectrum is noise when it has lasted for 400 ms, in the middle of a call too.

    A begin or an end is reported later than it was, but with the number of the frame in which it
    was.  If what began turns out to be noise, it ends with the frame with which it began.  It tells
    sound from silence and noise, not speech from music: a tone is speech too, and so are several
    voices in the background.

    Args:
        pause_ms: The silence after which speech has ended, in milliseconds, at least 20.

    Attributes:
        speaking: Whether speech has begun and not ended.
        frames: The number of frames so far.
        level_db: The level of the last frame, -96 to 0 dBFS.
        noise_db: The estimate of the noise, in dBFS.
        noises: The levels of the noises that were found so far, in whole dBFS.

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
        self.noises: set[int] = set()
        self._pause_frames = math.ceil(pause_ms / PTIME_MS)
        self._levels: deque[float] = deque(maxlen=_NOISE_FRAMES)
        self._sound: deque[bytes] = deque(maxlen=_STEADY_FRAMES)
        self._compare_at = _STEADY_FRAMES
        self._begin = 0
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
        self._sound.append(frame)
        self.frames += 1
        if not self._is_settled:
            self._settle(level)
        elif (self.speaking or self._count) and self._is_noise():
            self._take_for_noise()
        edges = self._count_down(level) if self.speaking else self._count_up(level)
        self._estimate_noise(level)
        return edges

    def finish(self) -> list[SpeechEdge]:
        """Return the end of speech that has not ended, because the sound has.

        Returns:
            No edge, or one; two if the sound was too short to tell that speech had begun.
        """
        edges: list[SpeechEdge] = []
        if not self._is_settled and self._count * PTIME_MS >= BEGIN_MS:
            edges.append(SpeechEdge("begins", self._find_begin()))
            self._is_settled = self.speaking = True
            self._last = self.frames
        if self.speaking:
            self.speaking = False
            edges.append(SpeechEdge("ends", self._last))
        return edges

    @property
    def spoken_frames(self) -> int:
        """How many frames the speech that has not ended has from its first to its last so far.

        A pause after its last frame does not count; 0 if there is no speech.
        """
        return self._last - self._begin if self.speaking else 0

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
        first = self._begin = self._find_begin()
        self.speaking, self._count, self._had_clear = True, 0, False
        self._last = self.frames if is_loud else self.frames - 1
        return [SpeechEdge("begins", first)]

    def _count_down(self, level: float) -> list[SpeechEdge]:
        """Process the level of a frame while there is speech."""
        if level > self._threshold_db:
            self._last = self.frames
            return []
        if self._begin < self._last and self.frames - self._last < self._pause_frames:
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
        self._is_settled = level <= AUDIBLE_DB or self.frames == _STEADY_FRAMES
        if self._is_noise():
            self._take_for_noise()

    def _is_noise(self) -> bool:
        """Whether the last frames are noise: steady, but not as a tone is, and of no pitch."""
        if self.frames < self._compare_at:
            return False
        levels = sorted([*self._levels][-_STEADY_FRAMES:])
        quietest, loudest = levels[0], levels[-1]
        is_known = sum(levels) / len(levels) < self.noise_db + _KNOWN_DB
        if is_known or quietest <= AUDIBLE_DB - ABOVE_NOISE_DB:
            return False
        least, most = _STEADY_DB
        # A tone fades in and out within two frames.
        if loudest - quietest >= most or loudest - levels[2] <= least:
            return False
        if measure_flatness(b"".join(self._sound)) > _FLAT:
            return True
        self._compare_at = self.frames + _UNLIKE_NOISE_FRAMES
        return False

    def _take_for_noise(self) -> None:
        """Estimate the noise from the last frames, and take from speech what belongs to it."""
        levels = [*self._levels]
        steady = levels[-_STEADY_FRAMES:]
        self.noise_db = sum(steady) / len(steady)
        self.noises.add(round(self.noise_db))
        self._count, self._had_clear = 0, False
        if not self.speaking:
            return
        last = self.frames
        while last > self.frames - len(levels) and (
            levels[last - 1 - self.frames] <= self._threshold_db
        ):
            last -= 1
        self._last = max(self._begin, last)

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
            # At first it takes less, but one frame is not enough: sound may fade in.
            self.noise_db += (level - self.noise_db) / min(self.frames + 1, 10)


def find_speech(payload: bytes, *, pause_ms: float = PAUSE_MS) -> list[SpeechSpan]:
    """Return the speech in sound that is complete, in order.

    Args:
        payload: PCMU; a last frame that is not complete is filled with silence.
        pause_ms: As in `SpeechDetector`.
    """
    detector = SpeechDetector(pause_ms=pause_ms)
    edges: list[SpeechEdge] = []
    levels: list[float] = []
    for begin in range(0, len(payload), FRAME_BYTES):
        edges += detector.feed(payload[begin : begin + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff"))
        levels.append(detector.level_db)
    edges += detector.finish()
    ends = zip(edges[::2], edges[1::2], strict=True)
    spans = [SpeechSpan(one.frame, two.frame) for one, two in ends if two.frame > one.frame]
    noises = [*detector.noises, *_find_short_noise(spans, levels, payload)]
    limits = [*(span.first for span in spans), len(levels)][1:]
    whole = [_add_fragment(span, levels[:limit]) for span, limit in zip(spans, limits, strict=True)]
    return [_trim(span, levels, noises) for span in whole]


def _add_fragment(span: SpeechSpan, levels: list[float]) -> SpeechSpan:
    """Return a piece of speech with the word that was cut off after it, on a quiet line.

    Who is stopped right after a pause is heard for less than 60 ms, which is no speech by itself.
    """
    after = levels[span.end : span.end + _FRAGMENT_FRAMES]
    loud = [number for number, level in enumerate(after, 1) if level > AUDIBLE_DB]
    is_quiet = min(after, default=0.0) <= _QUIETEST_NOISE_DB
    return SpeechSpan(span.first, span.end + loud[-1]) if loud and is_quiet else span


def _find_short_noise(spans: list[SpeechSpan], levels: list[float], payload: bytes) -> list[float]:
    """Return the levels of noise that begins shortly before speech and ends shortly after.

    A consonant such as s can be as long, as steady and as flat, but hardly at the beginning of one
    piece and, with the same level, at the end of another.
    """
    size = _SHORT_NOISE_FRAMES
    long_ones = [span for span in spans if span.end - span.first > 2 * size]

    def measure_noise(begin: int) -> float | None:
        part = levels[begin : begin + size]
        sound = payload[begin * FRAME_BYTES : (begin + size) * FRAME_BYTES]
        is_steady = len(part) == size and max(part) - min(part) < _STEADY_DB[1]
        is_noise = is_steady and min(part) > AUDIBLE_DB and measure_flatness(sound) > _FLAT
        return sum(part) / size if is_noise else None

    heads = [measure_noise(span.first) for span in long_ones]
    # The noise may have been learnt meanwhile, and then it follows the speech.
    ends = [end for span in long_ones for end in (span.end - size, span.end)]
    tails = [level for end in ends if (level := measure_noise(end)) is not None]
    return [
        head
        for head in heads
        if head is not None and any(abs(head - tail) < _ALIKE_DB for tail in tails)
    ]


def _trim(span: SpeechSpan, levels: list[float], noises: list[float]) -> SpeechSpan:
    """Return a piece of speech without the noise with which it begins and ends."""
    first, end = span
    for noise in noises:
        threshold = max(AUDIBLE_DB, noise + ABOVE_NOISE_DB)
        loud = [number for number in range(first, end) if levels[number] > threshold]
        if not loud:
            continue
        if _is_level_of(noise, levels[first : loud[0]]):
            first = loud[0]
        if _is_level_of(noise, levels[loud[-1] + 1 : end]):
            end = loud[-1] + 1
    return SpeechSpan(first, end)


def _is_level_of(noise: float, levels: list[float]) -> bool:
    """Whether frames, and not only a few, have the level of a noise."""
    if len(levels) * PTIME_MS < BEGIN_MS:
        return False
    is_steady = max(levels) - min(levels) < _STEADY_DB[1]
    return is_steady and abs(sum(levels) / len(levels) - noise) < _ALIKE_DB


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


def measure_flatness(payload: bytes) -> float:
    """Return the spectral flatness of PCMU within narrow bands, weighted by their power.

    The spectrum of noise of any colour is flat within such a band; a pitch makes lines in it.

    Args:
        payload: At least 100 ms of PCMU.

    Returns:
        The geometric mean of the power by its arithmetic mean: 0 for a tone, 0.56 for noise.
    """
    samples = _build_samples().take(np.frombuffer(payload, np.uint8))
    pieces = samples[: len(samples) // _FLATNESS_SIZE * _FLATNESS_SIZE].reshape(-1, _FLATNESS_SIZE)
    pieces = (pieces - pieces.mean(axis=1, keepdims=True)) * _build_window()
    power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2 + 1e-12
    lowest = math.ceil(_LOWEST_HZ * _FLATNESS_SIZE / SAMPLE_RATE)
    width = (power.shape[1] - lowest) // _BANDS
    bands = power[:, lowest : lowest + width * _BANDS].reshape(len(power), _BANDS, width)
    means = bands.mean(axis=2)
    flatness = np.exp(np.log(bands).mean(axis=2)) / means
    return float((flatness * means).sum() / means.sum())


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


@cache
def _build_window() -> NDArray[np.float64]:
    return np.hanning(_FLATNESS_SIZE)
