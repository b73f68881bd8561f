"""Resample sound to 8000 Hz, and mix channels into one.

The resampler keeps its state between pieces.  If each piece were resampled on its own, the
signal-to-noise ratio would be 40 dB instead of 134, and a buzz at the rate of the pieces audible.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import is_int16
from twistream_kit.errors import WavError, WrongType, WrongValue
from twistream_kit.sound_file import CONVERT_FIRST

SAMPLE_RATE = 8000
"""The sample rate of a telephone call in Hz."""

LOWEST_RATE, HIGHEST_RATE = 4000, 192_000
"""The range of supported sample rates, in Hz."""

FULL_SCALE = 32768.0
"""The int16 value that corresponds to 1.0 in floating-point sound."""

_LOUDEST = np.float32(2.0**20)
"""The largest sample that is resampled, a million times full scale."""

MOST_CHANNELS = 8
"""The largest number of channels that can be mixed."""


BLOCK = 65536
"""Samples per channel in a block: many for each function call, but few enough for the cache."""

QUIETLY = partial(np.errstate, over="ignore", invalid="ignore")
"""Floats from outside may exceed every range: what is infinite or no number is refused by value,
and numpy's warnings on standard error would say nothing more."""


class Resampler:
    """Converts a stream of sound, piece by piece, to another sample rate.

    It must not be used by two threads at once.

    Args:
        rate_in: The sample rate of the input, 4000 to 192,000 Hz.
        rate_out: The sample rate of the output, in the same range.

    Attributes:
        clipped: How many samples have exceeded full scale after resampling and were clipped.

    Raises:
        ValueError: If a rate is out of range.

    Example:
        >>> import twistream_kit as kit
        >>> heard = kit.load_clip("sample_audio/reply.wav")
        >>> to_16_khz = kit.Resampler(8000, 16000)
        >>> pieces = [to_16_khz.push(kit.decode_ulaw(frame)) for frame in heard.frames()]
        >>> pieces.append(to_16_khz.flush())
        >>> len(heard.frames()) * 160, sum(len(piece) for piece in pieces)
        (15840, 31680)
    """

    def __init__(self, rate_in: int, rate_out: int = SAMPLE_RATE) -> None:
        for name, rate in {"rate_in": rate_in, "rate_out": rate_out}.items():
            if not issubclass(type(rate), Real):
                raise WrongType(f"{name} is {rate!r}; give a number of Hz, such as 8000")
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise WrongValue(
                    f"a sample rate of {rate} Hz is out of range; "
                    f"{LOWEST_RATE} to {HIGHEST_RATE} Hz are possible"
                )
        self.rate_in = rate_in
        self.rate_out = rate_out
        self.clipped = 0
        self._stream: Any = None

    def __repr__(self) -> str:
        return f"Resampler({self.rate_in} Hz to {self.rate_out} Hz)"

    def push(self, samples: NDArray[Any]) -> NDArray[np.int16]:
        """Resample the next piece; the output lags a few milliseconds behind.

        Args:
            samples: Mono, shape ``(n,)``, any length: int16, or float in [-1, 1].

        Returns:
            int16, shape ``(m,)``; `m` may be 0.

        Raises:
            TypeError: If `samples` is neither int16 nor float.
            ValueError: If it has more than one dimension, or contains NaN or infinity.
        """
        return self._resample(as_float(samples), last=False)

    def flush(self) -> NDArray[np.int16]:
        """End the sound and return the rest of it; the next piece begins a new sound."""
        rest = self._resample(np.empty(0, np.float32), last=True)
        self._stream = None
        return rest

    def clear(self) -> None:
        """Discard the samples that have not been returned yet, for example after a clear."""
        self._stream = None

    def _resample(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.int16]:
        if self.rate_in != self.rate_out:
            if self._stream is None:
                self._stream = _open_soxr_stream(self.rate_in, self.rate_out)
            # The filter would add infinities of both signs; beyond full scale all is clipped alike.
            limited = np.clip(samples, -_LOUDEST, _LOUDEST)
            samples = self._stream.resample_chunk(limited, last=last)
        with QUIETLY():
            scaled = np.rint(samples * np.float32(FULL_SCALE))
        held = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1)
        self.clipped += int(np.count_nonzero(held != scaled))
        finished: NDArray[np.int16] = held.astype(np.int16)
        return finished


def check_range(name: str, sample_rate: int, channels: int) -> None:
    """Check that sound can be converted.

    Raises:
        WavError: If its sample rate or number of channels is out of range.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise WavError(
            f"its sample rate is {sample_rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} Hz can be read",
            source=name,
            fix=CONVERT_FIRST,
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise WavError(
            f"it has {channels} channels; 1 to {MOST_CHANNELS} can be mixed into one",
            source=name,
            fix=CONVERT_FIRST,
        )


def resample_blocks(
    blocks: Iterator[NDArray[np.float32]], rate_in: int, rate_out: int
) -> Iterator[NDArray[np.float32]]:
    """Resample a whole sound; it may exceed full scale afterwards.

    Args:
        blocks: float32, each of the shape ``(n,)`` or ``(n, channels)``, n > 0.
        rate_in: Their sample rate in Hz.
        rate_out: That of the result; if both are the same, the blocks pass unchanged.
    """
    if rate_in == rate_out:
        yield from blocks
        return
    stream: Any = None
    empty = np.empty(0, np.float32)
    for block in blocks:
        stream = stream or _open_soxr_stream(rate_in, rate_out, block.shape[1:])
        empty = block[:0]
        if len(resampled := stream.resample_chunk(block)):
            yield resampled
    if stream and len(rest := stream.resample_chunk(empty, last=True)):
        yield rest


def mix_to_mono(block: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """Mix all channels into one, in equal parts.

    Args:
        block: int16, int32 or float, shape ``(n, channels)``.
        scale: The factor that scales a sample of `block` to [-1, 1].

    Returns:
        float32, shape ``(n,)``, a new array.
    """
    # Column by column: `block.mean(axis=1)` takes several times as long for two channels.
    with QUIETLY():
        mixed = block[:, 0].astype(np.float32)
        for channel in range(1, block.shape[1]):
            mixed += block[:, channel]
        mixed *= np.float32(scale / block.shape[1])
    return mixed


def convert_samples(block: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """Return samples of any kind as float32, multiplied by `scale`; NaN and infinity stay."""
    with QUIETLY():
        scaled: NDArray[np.float32] = block.astype(np.float32) * np.float32(scale)
    return scaled


def as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return mono samples as float32 in [-1, 1]; floats keep their value.

    Raises:
        TypeError: If `samples` is neither int16 nor float.
        ValueError: If it has more than one dimension, or contains NaN or infinity.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise WrongValue(f"samples have shape {samples.shape}, not (n,); push one channel")
    if is_int16(samples.dtype):
        return samples.astype(np.float32) * np.float32(1 / FULL_SCALE)
    if samples.dtype.kind == "f":
        # A NaN would spread over the whole length of the resampler's filter.
        if not np.isfinite(samples).all():
            raise WrongValue("samples hold NaN or infinity, which is no sound; repair the source")
        _refuse_wrong_scale(samples)
        return np.ascontiguousarray(samples, dtype=np.float32)
    raise build_dtype_error(samples)


_MOST_PEAK = 16.0
"""24 dB beyond full scale: no recording is so loud, so the samples are of another scale."""


def _refuse_wrong_scale(samples: NDArray[Any]) -> None:
    """Refuse floats that are meant as integers.

    Raises:
        ValueError: If they go far beyond [-1, 1], or are whole numbers that go beyond it.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < 2 or (peak < _MOST_PEAK and (samples != np.rint(samples)).any()):
        return
    scale = next((full for full in (2**15, 2**23, 2**31) if peak <= full), None)
    fix = "divide by the largest value that is possible"
    if scale is not None:
        fix = f"divide by {scale}" + (", or give int16" if scale == FULL_SCALE else "")
    raise WrongValue(f"samples go to ±{peak:.0f} where ±1 is meant: {fix}")


def build_dtype_error(samples: NDArray[Any]) -> TypeError:
    """Build the error for samples that are neither int16 nor float, with what makes them so."""
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    fix = ""
    if kind == "i" and size == 1:
        fix = "samples / 128"
    elif kind == "i":
        peak = int(np.abs(samples.astype(np.float64)).max(initial=0.0))
        scale = next((full for full in (2**15, 2**23, 2**31) if peak <= full), None)
        if scale is not None:
            fix = "samples.astype('int16')" if scale == FULL_SCALE else f"samples / {scale}"
    elif kind == "u" and size == 1:
        fix = "(samples - 128.0) / 128 for 8-bit PCM, kit.Clip(samples.tobytes()) for μ-law"
    elif kind == "u" and size == 2:
        fix = "(samples - 32768.0) / 32768"
    advice = f": {fix}" if fix else ""
    return WrongType(f"samples are {samples.dtype}; give int16, or float in [-1, 1]{advice}")


def _open_soxr_stream(rate_in: int, rate_out: int, channels: tuple[int, ...] = ()) -> Any:
    import soxr

    count = channels[0] if channels else 1
    return soxr.ResampleStream(rate_in, rate_out, count, dtype="float32", quality="HQ")
