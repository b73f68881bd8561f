"""Encode sound for a call piece by piece, as it comes from a text-to-speech service or a model.

A piece may end anywhere, in the middle of a sample too: what is left over waits for the next piece.
The resampler keeps its state between pieces.
"""

from __future__ import annotations

import numbers
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw, is_int16
from twistream_kit.audio.resample import MOST_CHANNELS, SAMPLE_RATE, Resampler
from twistream_kit.errors import WrongType, WrongValue

Encoding = Literal["PCMU", "PCM_S16LE"]
"""The encodings of sound that is given as bytes, by the names that `load_clip` takes."""

Piece = NDArray[Any] | bytes | bytearray | memoryview
"""A piece of sound: an array of samples, or bytes."""

_INT16, _LINEAR = np.dtype(np.int16), np.dtype("<i2")


class PayloadEncoder:
    """Encodes one sound, piece by piece, to PCMU.

    It must not be used by two threads at once.

    Args:
        sample_rate: The sample rate of the pieces, 4000 to 192,000 Hz.
        encoding: The encoding of pieces that are bytes: ``PCMU``, the default at 8000 Hz, or
            ``PCM_S16LE``, the default at any other rate.

    Attributes:
        is_direct: Whether `encode` does with an array of int16 what `encode_ulaw` does.
        dropped_bytes: How many bytes were dropped because the rest of their sample never came.

    Raises:
        TypeError: If `sample_rate` is no number.
        ValueError: If it is out of range, or `encoding` is none of the two.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, encoding: Encoding | None = None) -> None:
        self._resampler = Resampler(_check_rate(sample_rate))
        self._is_at_rate = sample_rate == SAMPLE_RATE
        self._is_linear = _choose_encoding(sample_rate, encoding) == "PCM_S16LE"
        self._odd = b""
        self.dropped_bytes = 0
        self.is_direct = self._is_at_rate and not self._is_linear

    @property
    def clipped(self) -> int:
        """How many samples have exceeded full scale after resampling and were clipped."""
        return self._resampler.clipped

    def encode(self, piece: Piece) -> bytes:
        """Encode the next piece; the output lags a few milliseconds behind if it is resampled.

        Args:
            piece: Mono, shape ``(n,)``, any length: int16, or float in [-1, 1]; or bytes.

        Returns:
            PCMU of any length; maybe none.

        Raises:
            TypeError: If `piece` is neither an array nor bytes, or neither int16 nor float.
            ValueError: If it has more than one dimension, contains NaN or infinity, or its floats
                go far beyond [-1, 1].
        """
        sound: Any = piece
        if not isinstance(sound, np.ndarray | bytes | bytearray | memoryview):
            sound = _read_piece(sound)
        if isinstance(sound, memoryview) and sound.format not in _BYTE_FORMATS:
            sound = np.asarray(sound)
        if isinstance(sound, np.ndarray):
            return self._encode_samples(sound)
        return self._encode_bytes(sound)

    def flush(self) -> bytes:
        """End the sound and return the rest of it; the next piece begins a new sound."""
        self._drop_half_sample()
        return b"" if self._is_at_rate else encode_ulaw(self._resampler.flush())

    def clear(self) -> None:
        """Discard what has not been returned yet, for example after a clear."""
        self._odd = b""
        self._resampler.clear()

    def _encode_samples(self, samples: NDArray[Any]) -> bytes:
        if samples.ndim != 1:
            raise _build_shape_error(samples)
        if self._is_at_rate and (samples.dtype == _INT16 or is_int16(samples.dtype)):
            payload = encode_ulaw(samples)
        else:
            payload = encode_ulaw(self._resampler.push(samples))
        if self._odd:
            self._drop_half_sample()
        return payload

    def _encode_bytes(self, piece: bytes | bytearray | memoryview) -> bytes:
        if not self._is_linear:
            if self._is_at_rate:
                return bytes(piece)
            return encode_ulaw(self._resampler.push(decode_ulaw(bytes(piece))))
        whole = self._odd + piece if self._odd else bytes(piece)
        even = len(whole) - len(whole) % _LINEAR.itemsize
        self._odd = whole[even:]
        samples = np.frombuffer(whole, _LINEAR, even // _LINEAR.itemsize)
        if self._is_at_rate:
            return encode_ulaw(samples)
        return encode_ulaw(self._resampler.push(samples))

    def _drop_half_sample(self) -> None:
        self.dropped_bytes += len(self._odd)
        self._odd = b""


def encode_sound(
    sound: Clip | Piece, sample_rate: int = SAMPLE_RATE, encoding: Encoding | None = None
) -> bytes:
    """Encode a whole sound to PCMU.

    Args:
        sound: A `Clip`, whose payload is returned unchanged, whatever the other arguments are; or
            what `PayloadEncoder.encode` takes.
        sample_rate: The sample rate of `sound`, 4000 to 192,000 Hz.
        encoding: As `PayloadEncoder` takes it.

    Raises:
        TypeError: As `PayloadEncoder` and its `encode`.
        ValueError: Likewise; or if the bytes are no whole number of samples.
    """
    if isinstance(sound, Clip):
        return sound.payload
    if sample_rate == SAMPLE_RATE and encoding is None and _is_usual(sound):
        return encode_ulaw(sound)  # a frame of the caller's voice, fifty times a second
    encoder = PayloadEncoder(sample_rate, encoding)
    payload = encoder.encode(sound) + encoder.flush()
    if encoder.dropped_bytes:
        raise WrongValue(
            "the bytes are no whole number of 16-bit samples; check where they were cut, or say "
            "encoding='PCMU' if they are PCMU; stream.speak() takes pieces that end in mid-sample"
        )
    return payload


def _is_usual(sound: object) -> TypeGuard[NDArray[np.int16]]:
    return isinstance(sound, np.ndarray) and sound.ndim == 1 and sound.dtype == _INT16


_BYTE_FORMATS = ("B", "b", "c")


def _read_piece(piece: Any) -> NDArray[Any] | memoryview:
    """Return the samples or the bytes of an object of another library, a tensor for example."""
    if hasattr(piece, "__array__"):
        return np.asarray(piece)
    try:
        return memoryview(piece)
    except TypeError:
        pass
    fix = "stream.play(kit.load_clip(path)) plays a file"
    if isinstance(piece, Clip):
        fix = "stream.play(clip) plays it"
    elif isinstance(piece, list | tuple):
        fix = "np.array(samples, 'int16') makes an array, of floats np.array(samples, 'float32')"
    raise WrongType(
        "sound is bytes, or an array of int16 or of float in [-1, 1], "
        f"not {type(piece).__name__}; {fix}"
    )


def _check_rate(sample_rate: Any) -> int:
    is_number = isinstance(sample_rate, numbers.Real) and not isinstance(sample_rate, bool)
    if not is_number or sample_rate != sample_rate // 1:
        raise WrongType(
            f"sample_rate is {sample_rate!r}; give a whole number of Hz, {SAMPLE_RATE} for example"
        )
    return int(sample_rate)


def _choose_encoding(sample_rate: int, encoding: str | None) -> str:
    if encoding is None:
        return "PCMU" if sample_rate == SAMPLE_RATE else "PCM_S16LE"
    if encoding not in ("PCMU", "PCM_S16LE"):
        raise WrongValue(
            f"encoding is {encoding!r}; 'PCMU' and 'PCM_S16LE' are possible, and "
            f"kit.load_clip(sound, sample_rate={sample_rate}, encoding=…) reads others"
        )
    return encoding


def _build_shape_error(samples: NDArray[Any]) -> ValueError:
    fix = "give one channel"
    if samples.ndim == 0:
        fix = "give the samples in one array"
    elif samples.ndim == 2:
        rows, columns = samples.shape
        is_in_columns = columns <= MOST_CHANNELS
        fix += ", samples[:, 0]" if is_in_columns else ", samples[0]"
        turned = "samples" if is_in_columns else "samples.T"
        if 1 < min(rows, columns) <= MOST_CHANNELS:
            fix += f"; kit.Clip.from_samples({turned}, sample_rate) mixes all of a whole sound"
    return WrongValue(f"samples have shape {samples.shape}, not (n,): {fix}")
