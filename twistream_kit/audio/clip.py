"""A clip: sound that a call can take as it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import SILENCE, decode_ulaw, encode_ulaw, is_int16
from twistream_kit.audio.mono import MOST_CHANNELS, mono
from twistream_kit.audio.resample import FULL_SCALE, SAMPLE_RATE, Resampler, as_float
from twistream_kit.audio.tones import dtmf, tone
from twistream_kit.audio.write import replacing, require_place, write_ulaw_wav
from twistream_kit.errors import WavError

FRAME_BYTES = 160
"""20 ms of PCMU, the portion in which Twilio sends and plays (PROTOCOL.md §3)."""


@dataclass(frozen=True, slots=True, repr=False)
class Clip:
    """Bare PCMU at 8000 Hz in mono, without any header.

    Attributes:
        payload: One byte a sample.
        name: For people; not unique.
        clipped: How many samples were beyond full scale when it was made, and were cut.
        missing_seconds: How much sound its WAV file promised and did not hold: it was cut off.

    Raises:
        TypeError: If the payload is not bytes.
        WavError: If the payload is a whole WAV file.
    """

    payload: bytes
    name: str = ""
    clipped: int = 0
    missing_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.payload, bytes | bytearray | memoryview):
            raise TypeError(f"payload is {type(self.payload).__name__}; give PCMU as bytes")
        object.__setattr__(self, "payload", bytes(self.payload))
        if self.payload[:4] in (b"RIFF", b"RIFX", b"RF64") and self.payload[8:12] == b"WAVE":
            raise WavError(
                "the payload is a whole WAV file, not bare PCMU",
                source=self.name,
                offset=0,
                consequence="Its header would be played as noise",
                fix="Use kit.load_clip(source)",
            )

    def __repr__(self) -> str:
        cut = f", {self.clipped} samples clipped" if self.clipped else ""
        missing = f", {self.missing_seconds:.2f} s missing" if self.missing_seconds else ""
        return f"Clip({self.name!r}, {self.seconds:.2f} s{missing}{cut})"

    def __bytes__(self) -> bytes:
        return self.payload

    def __add__(self, other: Clip) -> Clip:
        """Return one clip after the other."""
        if not isinstance(other, Clip):
            return NotImplemented
        name = " + ".join(filter(None, (self.name, other.name)))
        return Clip(
            self.payload + other.payload,
            name,
            self.clipped + other.clipped,
            self.missing_seconds + other.missing_seconds,
        )

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        return len(self.payload) / SAMPLE_RATE

    def frames(self) -> list[bytes]:
        """Return its payload in frames of 160 bytes, 20 ms each, the last filled with silence."""
        starts = range(0, len(self.payload), FRAME_BYTES)
        frames = [self.payload[start : start + FRAME_BYTES] for start in starts]
        if frames:
            frames[-1] = frames[-1].ljust(FRAME_BYTES, bytes([SILENCE]))
        return frames

    def samples(self) -> NDArray[np.int16]:
        """Return its linear samples, int16, shape ``(n,)``, at 8000 Hz."""
        return decode_ulaw(self.payload)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as a μ-law WAV file with a header of 58 bytes, and return the path.

        A file of that name is replaced only by a whole new one.

        Raises:
            WavError: If `path` is a folder, or in a folder that does not exist.
        """
        path = Path(path)
        require_place(path)
        with replacing(path) as file:
            write_ulaw_wav(file, iter([self.payload]))
        return path

    @classmethod
    def from_samples(cls, samples: NDArray[Any], sample_rate: int, *, name: str = "") -> Self:
        """Make a clip of linear samples.

        Args:
            samples: int16, or float in [-1, 1]; shape ``(n,)`` or ``(n, channels)``.
            sample_rate: Of `samples`, 4000 to 192,000 Hz.
            name: The name of the clip.

        Raises:
            TypeError: If `samples` is neither int16 nor float.
            ValueError: If the shape or the sample rate is out of range, or a sample is NaN.
        """
        samples = np.asarray(samples)
        if samples.ndim == 2:
            samples = _mixed(samples)
        resampler = Resampler(sample_rate)
        linear = np.concatenate([resampler.push(as_float(samples)), resampler.flush()])
        return cls(encode_ulaw(linear), name, resampler.clipped)

    @classmethod
    def tone(cls, hz: float, seconds: float, *, level_db: float = -12.0) -> Self:
        """Make a sine tone.

        Args:
            hz: Its frequency, above 0 and below 4000, which is half the sample rate.
            seconds: Its duration.
            level_db: Its level, 0 for a full-scale sine, in dB.

        Raises:
            ValueError: If an argument is out of range.
        """
        samples = tone((hz,), seconds, level_db)
        return cls(encode_ulaw(samples), f"{hz:g} Hz")

    @classmethod
    def silence(cls, seconds: float) -> Self:
        """Make silence.

        Raises:
            ValueError: If `seconds` is negative.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds is {seconds}; a clip cannot last less than nothing")
        return cls(bytes([SILENCE]) * round(seconds * SAMPLE_RATE), "silence")

    @classmethod
    def dtmf(cls, digits: str, *, tone_ms: int = 100, gap_ms: int = 100) -> Self:
        """Make the tones of telephone keys, as the phone of a caller would.

        Args:
            digits: Of ``0123456789*#ABCD``.
            tone_ms: How long each sounds.
            gap_ms: The silence after each.

        Raises:
            ValueError: If `digits` is empty or holds something else.
        """
        return cls(encode_ulaw(dtmf(digits, tone_ms, gap_ms)), f"DTMF {digits.upper()}")


def _mixed(samples: NDArray[Any]) -> NDArray[np.float32]:
    n, channels = samples.shape
    if not 1 <= channels <= MOST_CHANNELS:
        hint = "; turn it with samples.T" if 1 <= n <= MOST_CHANNELS else ""
        raise ValueError(
            f"samples have shape {samples.shape}: {channels} channels of {n} samples, "
            f"and at most {MOST_CHANNELS} channels can be mixed{hint}"
        )
    if not is_int16(samples.dtype) and samples.dtype.kind != "f":
        raise TypeError(f"samples are {samples.dtype}; give int16, or float in [-1, 1]")
    return mono(samples, 1 / FULL_SCALE if is_int16(samples.dtype) else 1.0)
