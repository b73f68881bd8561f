"""Clicks where one message ends and the next begins.

In good sound, nothing distinguishes these borders.  A resampler without memory, or a missing piece,
causes a discontinuity: the next samples differ from the prediction.  Each sample is predicted from
the eight before it, and the error at a border is compared with the errors at eight places near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw

FEWEST_BORDERS = 12
"""The least number of borders; fewer prove nothing."""

_SHORTEST_MESSAGE = 64
"""The least size in bytes; a shorter message has no inner places to compare its borders with."""

_ORDER = 8
"""The order of the linear prediction: the number of samples before each sample."""

_ERROR_BEFORE, _ERROR_BEHIND = 1, 4
"""The range around a border in which the greatest error is searched, in samples."""

_PLACES = np.array([-0.5, -0.375, -0.25, -0.125, 0.125, 0.25, 0.375, 0.5])
"""The places to compare it with, as fractions of a message before and after the border."""

_TIMES_GREATER = 2.0

_AUDIBLE = 100
"""The least error of an audible click, of 32,768: a softer one is masked by the sound."""

_FEWEST_CLICKS, _SHARE_OF_CLICKS = 5, 0.1
"""The least number and share of clicks.  Measured shares: up to 0.05 in intact speech, music, noise
and tones; 0.15 to 1 in sound converted piece by piece, if it is loud enough at the borders."""

_Samples = NDArray[np.float64]


def count_clicks(payload: bytes, borders: Sequence[int]) -> int:
    """Return at how many of the borders there is a click; 0 if that may be by chance.

    Args:
        payload: PCMU without gaps.
        borders: The positions in it at which messages begin, in ascending order, without 0.
    """
    edges = np.array([0, *borders, len(payload)])
    sizes = np.diff(edges)
    room = np.minimum(sizes[:-1], sizes[1:])
    inside = room >= _SHORTEST_MESSAGE
    if np.count_nonzero(inside) < FEWEST_BORDERS:
        return 0
    at, room = edges[1:-1][inside], room[inside]
    errors = _find_prediction_errors(decode_ulaw(payload).astype(np.float64))
    here = _find_greatest(errors, at)
    elsewhere = _find_greatest(errors, at[:, None] + np.rint(room[:, None] * _PLACES).astype(int))
    breaks = (here > _TIMES_GREATER * elsewhere.max(axis=1)) & (here > _AUDIBLE)
    clicks = int(np.count_nonzero(breaks))
    if clicks and np.mean(_has_jump_inside(errors, at[breaks], here[breaks])) > _OWN_JUMPS:
        return 0
    return clicks if clicks >= max(_FEWEST_CLICKS, _SHARE_OF_CLICKS * len(at)) else 0


def _has_jump_inside(errors: _Samples, places: NDArray[Any], here: _Samples) -> NDArray[Any]:
    """Return at which borders the sound jumps as far within the 8 ms before or after, too.

    A sawtooth jumps once in a period, and may do so at each border.
    """
    near = np.arange(_NOT_THE_BORDER, _SHORTEST_MESSAGE)
    around = places[:, None] + np.concatenate([-near, near])
    greatest = errors[np.clip(around, 0, len(errors) - 1)].max(axis=1)
    jumps: NDArray[Any] = greatest > _ALIKE * here
    return jumps


_NOT_THE_BORDER, _ALIKE, _OWN_JUMPS = 8, 0.7, 0.8
"""How far from a border a jump is another one, how large it is, and at what share of borders."""


def _find_prediction_errors(samples: _Samples) -> _Samples:
    """Return the error of each sample's prediction from the eight samples before it."""
    n_samples = len(samples)
    # Not `@`: on a busy machine, the threads of a BLAS wait up to 70 ms for each other.
    alike = np.array(
        [np.einsum("i,i->", samples[: n_samples - lag], samples[lag:]) for lag in range(_ORDER + 1)]
    )
    alike[0] = alike[0] * 1.0001 + 100 * n_samples  # without some noise, silence has no solution
    lags = np.abs(np.subtract.outer(np.arange(_ORDER), np.arange(_ORDER)))
    weights = np.linalg.solve(alike[lags], alike[1:])
    return np.abs(np.convolve(samples, np.concatenate([[1.0], -weights]))[:n_samples])


def _find_greatest(errors: _Samples, places: NDArray[Any]) -> _Samples:
    near = places[..., None] + np.arange(-_ERROR_BEFORE, _ERROR_BEHIND)
    greatest: _Samples = errors[np.clip(near, 0, len(errors) - 1)].max(axis=-1)
    return greatest
