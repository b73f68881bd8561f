"""One channel out of many: a telephone has one ear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CHANNELS = 8


def mono(block: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """Mix all channels into one at equal parts.

    Args:
        block: int16, int32 or float, shape ``(n, channels)``.
        scale: What brings a sample of `block` into [-1, 1].

    Returns:
        float32, shape ``(n,)``, a new array.
    """
    # Column by column: `block.mean(axis=1)` takes several times as long for two channels.
    mixed = block[:, 0].astype(np.float32)
    for channel in range(1, block.shape[1]):
        mixed += block[:, channel]
    mixed *= np.float32(scale / block.shape[1])
    return mixed
