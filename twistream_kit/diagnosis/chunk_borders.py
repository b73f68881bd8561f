"""Clicks where one message ends and the next begins: a converter started anew for each piece.

Twilio plays payloads one behind the other (PROTOCOL.md §4), so nothing at all marks their borders
in good sound.  A resampler without a memory, or a piece that is missing, leaves a break: the next
samples are not those that the ones before led one to expect.  That is measured by predicting each
sample from the eight before it; the error at a border is compared with the errors at eight other
places near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw

FEWEST_BORDERS = 12
"""Fewer than this prove nothing."""

_SHORTEST = 64
"""In bytes: shorter messages have no inside to compare their borders with."""

_BEFORE, _BEHIND = 1, 4
"""In samples: where around a place its greatest error is looked for."""

_PLACES = np.array([-0.5, -0.375, -0.25, -0.125, 0.125, 0.25, 0.375, 0.5])
"""Where else it is looked for, in parts of a message before and behind the border."""

_ORDER = 8
_TIMES_GREATER = 2.0
_AUDIBLE = 100
"""Of 32,768: a softer click is lost in the sound."""

_FEWEST_CLICKS, _SHARE = 5, 0.1
"""Measured: speech, music, noise and tones that are whole have up to 0.05; what was converted piece
by piece 0.15 to 1, as far as it is loud enough at the borders."""

Samples = NDArray[np.float64]


def clicks_at(payload: bytes, borders: Sequence[int]) -> int:
    """Return at how many of the borders there is a click; 0 where it may be by chance.

    Args:
        payload: PCMU without gaps.
        borders: The positions in it at which messages begin, rising, without 0.
    """
    edges = np.array([0, *borders, len(payload)])
    sizes = np.diff(edges)
    room = np.minimum(sizes[:-1], sizes[1:])
    inside = room >= _SHORTEST
    if np.count_nonzero(inside) < FEWEST_BORDERS:
        return 0
    at, room = edges[1:-1][inside], room[inside]
    errors = _errors(decode_ulaw(payload).astype(np.float64))
    here = _greatest(errors, at)
    elsewhere = _greatest(errors, at[:, None] + np.rint(room[:, None] * _PLACES).astype(int))
    breaks = (here > _TIMES_GREATER * elsewhere.max(axis=1)) & (here > _AUDIBLE)
    clicks = int(np.count_nonzero(breaks))
    return clicks if clicks >= max(_FEWEST_CLICKS, _SHARE * len(at)) else 0


def _errors(samples: Samples) -> Samples:
    """Return how far each sample lies from what the eight before it lead one to expect."""
    n_samples = len(samples)
    # Not `@`: the threads of a BLAS wait for each other 70 ms long where the machine is busy.
    alike = np.array(
        [np.einsum("i,i->", samples[: n_samples - lag], samples[lag:]) for lag in range(_ORDER + 1)]
    )
    alike[0] = alike[0] * 1.0001 + 100 * n_samples  # a trace of noise, or silence has no solution
    lags = np.abs(np.subtract.outer(np.arange(_ORDER), np.arange(_ORDER)))
    weights = np.linalg.solve(alike[lags], alike[1:])
    return np.abs(np.convolve(samples, np.concatenate([[1.0], -weights]))[:n_samples])


def _greatest(errors: Samples, places: NDArray[Any]) -> Samples:
    near = places[..., None] + np.arange(-_BEFORE, _BEHIND)
    greatest: Samples = errors[np.clip(near, 0, len(errors) - 1)].max(axis=-1)
    return greatest
