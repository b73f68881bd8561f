"""Bytes of a file become numbers: one decoder for each way in which samples lie in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.alaw import decode_alaw
from twistream_kit.audio.formats import Format
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.wav_format import ByteOrder


@dataclass(frozen=True, slots=True)
class Decoder:
    """How to read one encoding.

    Attributes:
        size: Bytes a sample.
        scale: What brings a decoded sample into [-1, 1].
        decode: Bytes, a whole number of samples, to int16, int32 or float, shape ``(n,)``.
    """

    size: int
    scale: float
    decode: Callable[[bytes], NDArray[Any]]


def decoder_for(form: Format) -> Decoder | None:
    """Return the decoder for a format, or None when it has to be left to libsndfile."""
    order: ByteOrder = form.byte_order
    match form.encoding, form.sample_bytes:
        case "PCMU", 1:
            return Decoder(1, 2.0**-15, decode_ulaw)
        case "PCMA", 1:
            return Decoder(1, 2.0**-15, decode_alaw)
        case "PCM", 1:
            return Decoder(1, 2.0**-7, _unsigned)
        case "PCM", 2:
            return Decoder(2, 2.0**-15, _plain("i2", order))
        case "PCM", 3:
            return Decoder(3, 2.0**-31, _three_bytes(order))
        case "PCM", 4:
            return Decoder(4, 2.0**-31, _plain("i4", order))
        case "IEEE_FLOAT", (4 | 8) as size:
            return Decoder(size, 1.0, _plain(f"f{size}", order))
    return None


HEADERLESS = {
    "PCMU": ("PCMU", 8, "little"),
    "PCMA": ("PCMA", 8, "little"),
    "PCM_U8": ("PCM", 8, "little"),
    "PCM_S16LE": ("PCM", 16, "little"),
    "PCM_S16BE": ("PCM", 16, "big"),
    "PCM_S24LE": ("PCM", 24, "little"),
    "PCM_S32LE": ("PCM", 32, "little"),
    "FLOAT32LE": ("IEEE_FLOAT", 32, "little"),
}
"""The encodings of headerless sound that `load_clip` knows, by the names that it takes."""


def headerless_format(encoding: str, sample_rate: int) -> Format:
    """Return the format of mono sound without a header.

    Raises:
        ValueError: If `encoding` is none of `HEADERLESS`.
        TypeError: If `sample_rate` is not a whole number.
    """
    if encoding not in HEADERLESS:
        raise ValueError(f"encoding is {encoding!r}, not one of {', '.join(HEADERLESS)}")
    if not isinstance(sample_rate, int):
        raise TypeError(f"sample_rate is {sample_rate!r}; give a whole number of Hz, such as 8000")
    name, bits, order = HEADERLESS[encoding]
    size = bits // 8
    byte_order: ByteOrder = "big" if order == "big" else "little"
    return Format(name, 1, sample_rate, bits, size, size * sample_rate, byte_order)


def _unsigned(raw: bytes) -> NDArray[np.int16]:
    return np.frombuffer(raw, np.uint8).astype(np.int16) - np.int16(128)


def _plain(kind: str, order: ByteOrder) -> Callable[[bytes], NDArray[Any]]:
    dtype = np.dtype(kind).newbyteorder("<" if order == "little" else ">")
    return lambda raw: np.frombuffer(raw, dtype)


def _three_bytes(order: ByteOrder) -> Callable[[bytes], NDArray[np.int32]]:
    def decode(raw: bytes) -> NDArray[np.int32]:
        # Into the upper three bytes of four, which puts the sign where it belongs.
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        place = slice(1, 4) if order == "little" else slice(0, 3)
        wide[:, place] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return wide.view("<i4" if order == "little" else ">i4").reshape(-1).astype(np.int32)

    return decode
