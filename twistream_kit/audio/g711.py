"""ITU-T G.711: sound in 8 bits a sample, as μ-law (PCMU) and as A-law (PCMA).

A call takes μ-law only.  A-law, used in Europe, is decoded because there are files in it, but never
encoded.  The μ-law encoder is bit-exact with the reference code of ITU-T G.191, which differs from
Python's old ``audioop`` on 508 negative inputs by one code.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.errors import WrongType, WrongValue, require_type

SILENCE = 0xFF
"""The μ-law code of 0; 0x7F is a second zero, negative."""


def encode_ulaw(samples: NDArray[np.int16]) -> bytes:
    """Compand linear samples to PCMU (ITU-T G.711, bit-exact with the code of G.191).

    Args:
        samples: Mono, int16, shape ``(n,)``; for a call at 8000 Hz (PROTOCOL.md §4).  Those beyond
            ±32,635, the largest that μ-law has a code for, are clipped.

    Returns:
        ``n`` bytes, one for each sample, without a header.

    Raises:
        TypeError: If `samples` is not int16.  Floats in [-1, 1] would all become silence.
        ValueError: If `samples` has more than one dimension.

    Example:
        >>> import twistream_kit as kit
        >>> import numpy as np
        >>> kit.encode_ulaw(np.array([0, 1000, -1000, 32767], np.int16)).hex(" ")
        'ff ce 4e 80'
    """
    # The sound of one message comes fifty times a second and call: no check, copy or block for it.
    if (
        type(samples) is np.ndarray
        and samples.dtype == _INT16
        and samples.ndim == 1
        and len(samples) <= _BLOCK
    ):
        return _build_ulaw_codes().take(samples.view(_UINT16), mode="wrap").tobytes()
    if not isinstance(samples, np.ndarray) or not is_int16(samples.dtype):
        kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise WrongType(
            f"samples are {kind}, not int16; "
            "kit.Clip.from_samples(samples, sample_rate) takes floats and scales them"
        )
    if samples.ndim != 1:
        raise WrongValue(
            f"samples have shape {samples.shape}, not (n,); "
            "kit.Clip.from_samples(samples, sample_rate) mixes channels into one"
        )
    # A strided or big-endian array has to be copied before it can be viewed as uint16.
    codes = np.ascontiguousarray(samples, dtype=np.int16).view(np.uint16)
    return _look_up(_build_ulaw_codes(), codes).tobytes()


def decode_ulaw(payload: bytes | bytearray | memoryview) -> NDArray[np.int16]:
    """Expand PCMU to linear samples (ITU-T G.711).

    Args:
        payload: Bare PCMU without a file header, any length, one byte a sample.

    Returns:
        Mono, int16, shape ``(len(payload),)``, in [-32124, 32124], at the sample rate of `payload`:
        8000 Hz in a call (PROTOCOL.md §3).

    Raises:
        TypeError: If `payload` is not bytes-like.

    Example:
        >>> import twistream_kit as kit
        >>> kit.decode_ulaw(bytes.fromhex("ff ce 4e 80")).tolist()
        [0, 988, -988, 32124]
    """
    try:
        codes = np.frombuffer(payload, np.uint8)
    except TypeError:
        require_type("PCMU as bytes", payload=payload)
        raise
    if len(codes) <= _FEW_CODES:
        return _build_ulaw_samples().take(codes, mode="wrap")
    even = len(codes) - len(codes) % 2
    samples = np.empty(len(codes), np.int16)
    # Decode two codes at a time: half the look-ups, twice the speed of a table of 256 entries.
    _look_up(
        _build_ulaw_sample_pairs(), codes[:even].view(np.uint16), samples[:even].view(np.uint32)
    )
    samples[even:] = _build_ulaw_samples()[codes[even:]]
    return samples


def decode_alaw(payload: bytes | memoryview) -> NDArray[np.int16]:
    """Expand PCMA to linear samples.

    Args:
        payload: Bare PCMA, any length, one byte a sample.

    Returns:
        Mono, int16, shape ``(len(payload),)``, in [-32256, 32256].
    """
    return _build_alaw_samples()[np.frombuffer(payload, np.uint8)]


def is_int16(dtype: np.dtype[Any]) -> bool:
    """Whether samples are int16, in either byte order."""
    return dtype.kind == "i" and dtype.itemsize == 2


# Measured on 10 million samples: a single `take` converts all its indices to 64 bits, four times
# the memory of the sound; in blocks of this size the converted indices stay in the cache.
_BLOCK = 32768

_FEW_CODES = 1024
"""Up to so many codes, a table of pairs saves less time than its three views take."""

_INT16, _UINT16 = np.dtype(np.int16), np.dtype(np.uint16)
"""In this machine's byte order; a dtype is compared and viewed faster than its class."""


def _look_up(
    table: NDArray[Any], indices: NDArray[np.uint16], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return ``table[indices]`` for a table of 65,536 entries, written to `out` if it is given."""
    out = np.empty(len(indices), table.dtype) if out is None else out
    for start in range(0, len(indices), _BLOCK):
        block = slice(start, start + _BLOCK)
        # An index of 16 bits is always inside a table of 65,536, so "wrap" changes only the speed:
        # the default, "raise", copies the result once more.
        np.take(table, indices[block], out=out[block], mode="wrap")
    return out


@cache
def _build_ulaw_codes() -> NDArray[np.uint8]:
    """Return the μ-law code of each of the 65,536 samples, indexed by the sample as uint16."""
    x = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    sign = x >> 31 & 0x80
    m = np.minimum(33 + ((x ^ x >> 31) >> 2), 0x1FFF)
    segment = np.frexp(m)[1] - 6
    mantissa = m >> segment + 1 & 15
    codes: NDArray[np.uint8] = (~(sign | segment << 4 | mantissa) & 0xFF).astype(np.uint8)
    return codes


@cache
def _build_ulaw_samples() -> NDArray[np.int16]:
    """Return the sample of each of the 256 codes of μ-law."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((code & 15) << 3) + 132 << (code >> 4 & 7)
    return np.where(code & 0x80, 132 - magnitude, magnitude - 132).astype(np.int16)


@cache
def _build_ulaw_sample_pairs() -> NDArray[np.uint32]:
    """Return two samples for each pair of μ-law codes, both in this machine's byte order."""
    codes = np.arange(65536, dtype=np.uint16).view(np.uint8)
    return np.ascontiguousarray(_build_ulaw_samples()[codes]).view(np.uint32)


@cache
def _build_alaw_samples() -> NDArray[np.int16]:
    """Return the sample of each of the 256 codes of A-law."""
    code = np.arange(256) ^ 0x55
    segment = code >> 4 & 7
    mantissa = (code & 15) << 4
    magnitude = np.where(segment == 0, mantissa + 8, mantissa + 0x108 << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
