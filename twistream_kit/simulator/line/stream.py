"""`LineStream`, the way of the sound of one direction of a call through a line, frame by frame."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import FRAME_BYTES, Clip
from twistream_kit.audio.g711 import SILENCE, decode_ulaw, encode_ulaw
from twistream_kit.audio.resample import FULL_SCALE, SAMPLE_RATE
from twistream_kit.errors import WrongType, WrongValue, quote, require_finite
from twistream_kit.simulator.line._concealment import Concealer
from twistream_kit.simulator.line._noise import build_noise
from twistream_kit.simulator.line._parameters import Parameters
from twistream_kit.simulator.line._runs import Losses, Runs, make_random

SPEECH_DB = -20.0
"""The level of speech that is assumed where it is not known, in dBFS."""

_AUDIBLE_DB = -50.0
"""From which level on a frame of a clean clip is audible, in dBFS."""

_SILENT = bytes([SILENCE]) * FRAME_BYTES

_NO_SOUND = b"\xff\x7f"


class LineStream:
    """A line for the sound of one direction of a call; made by `Line.open`.

    Args:
        line: Its parameters.
        seed: Decides what is left to chance.
        is_back: Whether it is the way back, which loses other frames.
        speech_db: The level of the speech that will pass, in dBFS; None for `SPEECH_DB`.
    """

    def __init__(
        self, line: Parameters, seed: int, *, is_back: bool, speech_db: float | None
    ) -> None:
        if speech_db is None:
            speech_db = SPEECH_DB
        require_finite(speech_db=speech_db)
        if not isinstance(is_back, bool):
            raise WrongType(f"is_back is {quote(is_back)}; give True or False")
        if not -100 <= speech_db <= 10:
            raise WrongValue(f"speech_db is {speech_db}; it must lie between -100 and 10 dBFS")
        self._line = line
        way = int(is_back)
        runs = Runs(make_random(seed, 0, way), line.loss, line.burst) if line.loss else None
        self._losses = Losses(runs)
        self._concealer = Concealer() if line.loss else None
        self._microphone = _make_microphone(line, make_random(seed, 1, way), speech_db)
        self._delay = ByteDelay(round(line.delay_ms * SAMPLE_RATE / 1000))

    def __repr__(self) -> str:
        return f"<LineStream of {self._line!r}>"

    @property
    def frames_inside(self) -> int:
        """The number of frames that are on their way."""
        return self._delay.frames

    def take(self, frame: bytes, heard: bytes = _SILENT) -> bytes:
        """Return what comes out of the line while a frame goes in.

        Args:
            frame: PCMU, 160 bytes.
            heard: What the caller hears meanwhile, likewise, for the echo.

        Raises:
            TypeError: If one is no bytes.
            ValueError: If one has another length.
        """
        for given in (frame, heard):
            if not isinstance(given, bytes):
                raise WrongType(f"a frame is PCMU bytes, and this is {type(given).__name__}")
            if len(given) != FRAME_BYTES:
                raise WrongValue(
                    f"a frame has {FRAME_BYTES} bytes, and this one has {len(given)}; "
                    "clip.frames() gives frames"
                )
        if self._microphone is not None:
            frame = self._microphone.take(frame, heard)
        if self._concealer is not None:
            is_lost, is_next_lost = self._losses.take()
            frame = self._concealer.take(frame, is_lost=is_lost, is_next_lost=is_next_lost)
        return self._delay.take(frame)


class ByteDelay:
    """Delays sound by a number of samples; before it there is silence."""

    def __init__(self, samples: int) -> None:
        self._inside = bytes([SILENCE]) * samples

    @property
    def frames(self) -> int:
        """The number of frames that bring out all that is inside."""
        return -(-len(self._inside) // FRAME_BYTES)

    def take(self, frame: bytes) -> bytes:
        """Put a frame in and take one out."""
        if not self._inside:
            return frame
        inside = self._inside + frame
        self._inside = inside[len(frame) :]
        return inside[: len(frame)]


class _Microphone:
    """The echo, the level, the noise and the clipping of a telephone and its place."""

    def __init__(self, line: Parameters, random: np.random.Generator, speech_db: float) -> None:
        gain = 10 ** (line.gain_db / 20)
        self._table = (_build_samples() * gain).astype(np.float32)
        self._limit = np.float32(FULL_SCALE * 10 ** (line.clipping_db / 20))
        self._noise: NDArray[np.float32] | None = None
        self._at = 0
        if math.isfinite(line.snr_db):
            self._noise = build_noise(line.noise)
            self._at = int(random.random() * len(self._noise))
            level_db = speech_db + line.gain_db - line.snr_db
            self._noise_gain = np.float32(FULL_SCALE * 10 ** (level_db / 20))
        self._echo: ByteDelay | None = None
        if math.isfinite(line.echo_db):
            self._echo = ByteDelay(round(line.echo_ms * SAMPLE_RATE / 1000))
            self._echo_table = (_build_samples() * 10 ** (line.echo_db / 20)).astype(np.float32)

    def take(self, frame: bytes, heard: bytes) -> bytes:
        samples = self._table.take(np.frombuffer(frame, np.uint8))
        if self._echo is not None:
            leaking = self._echo.take(heard)
            if leaking.strip(_NO_SOUND):
                samples += self._echo_table.take(np.frombuffer(leaking, np.uint8))
        if self._noise is not None:
            samples += self._noise[self._at] * self._noise_gain
            self._at = (self._at + 1) % len(self._noise)
        np.rint(samples, out=samples)
        np.minimum(samples, self._limit, out=samples)
        np.maximum(samples, -self._limit, out=samples)
        return encode_ulaw(samples.astype(np.int16))


def _make_microphone(
    line: Parameters, random: np.random.Generator, speech_db: float
) -> _Microphone | None:
    """Return what the microphone does; None if nothing."""
    is_plain = not (line.gain_db or line.clipping_db)
    if is_plain and not math.isfinite(line.snr_db) and not math.isfinite(line.echo_db):
        return None
    return _Microphone(line, random, speech_db)


def measure_speech_db(*clips: Clip) -> float | None:
    """Return the level of the audible frames of clean clips, in dBFS; None without any."""
    powers = [
        power
        for clip in clips
        for power in np.square(
            decode_ulaw(b"".join(clip.frames())).reshape(-1, FRAME_BYTES) / FULL_SCALE
        ).mean(axis=1)
        if power > 10 ** (_AUDIBLE_DB / 10)
    ]
    return 10 * math.log10(sum(powers) / len(powers)) if powers else None


@cache
def _build_samples() -> NDArray[np.float64]:
    """Return the linear sample of each code of μ-law."""
    return decode_ulaw(bytes(range(256))).astype(np.float64)
