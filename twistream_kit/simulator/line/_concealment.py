"""Concealment of lost frames, after the rule of ITU-T G.711 Appendix I.

What was heard last is repeated in steps of its own pitch, 5 to 15 ms; joints are overlapped.  For
10 ms it keeps its level, then it loses 20 % of it every 10 ms, and from 60 ms on there is silence.
Two things are simpler than in the appendix: one period is repeated, where that takes up to three as
the loss lasts; and the joint at the begin costs no delay of 3.75 ms, because a simulated line knows
before the loss that it comes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import FRAME_BYTES
from twistream_kit.audio.g711 import SILENCE, decode_ulaw, encode_ulaw

_SILENT = bytes([SILENCE]) * FRAME_BYTES

_MS = 8
"""The samples of a millisecond."""

LEAST_LAG, MOST_LAG = 5 * _MS, 15 * _MS
"""The shortest and the longest period that is repeated, in samples."""

KEPT_MS, FADE_MS = 10, 50
"""How long the level stays, and how long it then takes to fall to nothing."""

_COMPARED = 20 * _MS
"""The samples that are compared with earlier ones to find the period."""

_LONGEST_JOINT = 10 * _MS
"""The longest overlap with what comes after a loss, in samples."""


class Concealer:
    """Replaces lost frames by what was heard before; it has the state of one stream."""

    def __init__(self) -> None:
        self._recent = _SILENT * 3
        self._period = np.zeros(LEAST_LAG, np.float32)
        self._concealed = 0

    def take(self, frame: bytes, *, is_lost: bool, is_next_lost: bool) -> bytes:
        """Return what is heard in place of the next frame.

        Args:
            frame: PCMU, 160 bytes; passed over if it is lost.
            is_lost: Whether it is lost.
            is_next_lost: Whether the frame after it will be.
        """
        if is_lost:
            frame = self._make_frame()
        elif self._concealed or is_next_lost:
            samples = decode_ulaw(frame).astype(np.float32)
            if self._concealed:
                self._join(samples)
            if is_next_lost:
                self._prepare(samples)
            frame = _encode(samples)
        self._recent = self._recent[FRAME_BYTES:] + frame
        return frame

    def _make_frame(self) -> bytes:
        since, self._concealed = self._concealed, self._concealed + FRAME_BYTES
        if since >= (KEPT_MS + FADE_MS) * _MS:
            return _SILENT
        return _encode(self._repeat(since, FRAME_BYTES))

    def _repeat(self, since: int, size: int) -> NDArray[np.float32]:
        """Return the repeated sound from a sample of the loss on."""
        numbers = np.arange(since, since + size)
        gains = _build_gains().take(numbers, mode="clip")
        return self._period.take(numbers, mode="wrap") * gains

    def _join(self, samples: NDArray[np.float32]) -> None:
        """Lead from the repeated sound over to the first samples after a loss."""
        since, self._concealed = self._concealed, 0
        lost_ms = since // _MS
        size = min(_LONGEST_JOINT, len(self._period) // 4 + 4 * _MS * lost_ms // 10)
        rising = _build_ramp(size)
        samples[:size] = samples[:size] * rising + self._repeat(since, size) * (1 - rising)

    def _prepare(self, samples: NDArray[np.float32]) -> None:
        """Take the last period of what was heard, and let it end as what comes before it ends."""
        heard = np.concatenate([decode_ulaw(self._recent[FRAME_BYTES:]), samples])
        lag = find_lag(heard)
        quarter = lag // 4
        rising = _build_ramp(quarter)
        end = len(heard)
        joint = heard[end - quarter :] * (1 - rising)
        joint += heard[end - lag - quarter : end - lag] * rising
        samples[-quarter:] = heard[-quarter:] = joint
        self._period = heard[-lag:]


def find_lag(heard: NDArray[np.float32]) -> int:
    """Return the period of the end of a sound, in samples: where it is most like itself.

    Args:
        heard: Linear samples, float32, shape ``(n,)``, at least 280 of them.
    """
    last = heard[-_COMPARED:]
    before = np.lib.stride_tricks.sliding_window_view(
        heard[-_COMPARED - MOST_LAG : -LEAST_LAG], _COMPARED
    )
    likeness = before @ last
    powers = np.concatenate([[0.0], np.cumsum(heard[-_COMPARED - MOST_LAG :].astype(float) ** 2)])
    power = (powers[_COMPARED:] - powers[:-_COMPARED])[: len(likeness)]
    best = int(np.argmax(likeness / np.sqrt(np.maximum(power, 1.0))))
    return MOST_LAG - best


@cache
def _build_gains() -> NDArray[np.float32]:
    """Return the gain of each sample of a loss; the last one holds for all later ones."""
    ms = np.arange((KEPT_MS + FADE_MS) * _MS + 1) / _MS
    return np.clip(1 - (ms - KEPT_MS) / FADE_MS, 0, 1).astype(np.float32)


@cache
def _build_ramp(size: int) -> NDArray[np.float32]:
    return ((np.arange(size) + 1) / (size + 1)).astype(np.float32)


def _encode(samples: NDArray[np.float32]) -> bytes:
    return encode_ulaw(np.clip(np.rint(samples), -32768, 32767).astype(np.int16))
