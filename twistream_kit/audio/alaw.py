"""A-law, the European half of ITU-T G.711; files in it are read, a call never takes it."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


def decode_alaw(payload: bytes | memoryview) -> NDArray[np.int16]:
    """Expand PCMA to linear samples.

    Args:
        payload: Bare PCMA, any length, one byte a sample.

    Returns:
        Mono, int16, shape ``(len(payload),)``, in [-32256, 32256].
    """
    return _decoded()[np.frombuffer(payload, np.uint8)]


@cache
def _decoded() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    segment = code >> 4 & 7
    mantissa = (code & 15) << 4
    magnitude = np.where(segment == 0, mantissa + 8, mantissa + 0x108 << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
