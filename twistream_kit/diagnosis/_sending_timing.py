"""Whether sound is sent in time: not more slowly than it is played, and not ten minutes ahead.

Twilio plays silence while it has no sound.  So a server that sleeps 20 ms after each 20 ms of sound
is always late by the time of its other work, and the caller hears a stutter (PROTOCOL.md §9, item
2).  A pause between two sentences does not count, because the sound is soft on at least one side of
it.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from twistream_kit.errors import Objection
from twistream_kit.protocol.playout import (
    BYTES_PER_SECOND,
    CAPACITY_SECONDS,
    MEDIA_DISCARDED,
    SEND_AHEAD_SECONDS,
)

_TIMING_FIELD = "media"
"""The name of the field in objections to timing."""

_SHORTEST_GAP, _LONGEST_GAP = 0.001, 0.4
"""The limits of a gap in seconds.  Twilio plays whole frames, so a gap of a millisecond may cause
20 ms of silence; a gap above the upper limit is heard as a pause."""

_FEWEST_GAPS = 5

_GAPS_TOGETHER = 0.1
"""The least sum of the gaps, in seconds.  Occasional delays of the network or a busy machine are
far below it: a server that sends by a clock is ahead again after each delay."""

_WITHIN_SECONDS = 10.0
"""Older gaps are discarded."""

_EDGE_BYTES = 80
"""10 ms before and after a gap, by which it is decided whether the gap interrupts sound."""

_LOUD = 0x60
"""The largest code, without its sign bit, of a loud sample: -39 dBFS.  Smaller codes are louder."""

_MAGNITUDES = bytes(code & 0x7F for code in range(256))

TOO_SLOW = "comes more slowly than it sounds"
"""How the problem begins that a busy machine can cause, too."""

_TOO_FAR_AHEAD = Objection(
    MEDIA_DISCARDED,
    _TIMING_FIELD,
    "is more than ten minutes ahead of what the caller hears",
    f"Twilio discards what does not fit, with warning {MEDIA_DISCARDED}, logged once per stream",
    "Wait for a mark to come back before you send more; "
    f"stream.play(clip) keeps {SEND_AHEAD_SECONDS:g} s ahead",
)


class SendingTiming:
    """Checks the timing by the level of Twilio's buffer.  It has no clock: time is an argument."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._last = b""
        self._gaps: deque[tuple[float, float]] = deque()
        self._is_late = self._is_full = False

    def note_sent(self, payload: bytes, at: float) -> Objection | None:
        """Note sound sent at `at`, in seconds; return an objection to the timing, once per kind."""
        if not payload:
            return None
        found = None
        gap = at - self._until
        if gap > 0:
            if gap >= _SHORTEST_GAP and not self._is_late:
                found = self._check_gap(gap, payload, at)
            self._until = at
        self._until += len(payload) / BYTES_PER_SECOND
        self._last = payload
        if self._until - at > CAPACITY_SECONDS:
            self._until = at + CAPACITY_SECONDS  # the rest is discarded
            found, self._is_full = (None if self._is_full else _TOO_FAR_AHEAD), True
        return found

    def is_joined(self, at: float) -> bool:
        """Whether sound sent at `at` is played directly after the sound before it."""
        return at - self._until < _SHORTEST_GAP

    def note_clear(self, at: float) -> None:
        """Note that a clear was sent: the next sound continues nothing."""
        self._until = min(self._until, at)
        self._last = b""

    def _check_gap(self, gap: float, payload: bytes, at: float) -> Objection | None:
        if gap > _LONGEST_GAP or not _is_cut_in_two(self._last, payload):
            return None
        self._gaps.append((at, gap))
        while at - self._gaps[0][0] > _WITHIN_SECONDS:
            self._gaps.popleft()
        together = sum(length for _, length in self._gaps)
        if len(self._gaps) < _FEWEST_GAPS or together < _GAPS_TOGETHER:
            return None
        self._is_late = True
        return _object_to_slowness([length for _, length in self._gaps], at - self._gaps[0][0])


def _is_cut_in_two(before: bytes, behind: bytes) -> bool:
    edges = (before[-_EDGE_BYTES:], behind[:_EDGE_BYTES])
    return all(edge and min(edge.translate(_MAGNITUDES)) <= _LOUD for edge in edges)


def _object_to_slowness(gaps: list[float], seconds: float) -> Objection:
    usual_ms = max(1, round(1000 * median(gaps)))
    return Objection(
        None,
        _TIMING_FIELD,
        f"{TOO_SLOW}: {len(gaps)} gaps of some {usual_ms} ms in {seconds:.1f} s",
        "Twilio plays silence in each gap, logging nothing: the caller hears a stutter",
        "Send ahead: stream.play(clip) does; if you time the sending yourself, use a clock and not"
        " sleeps, and stay 200 ms ahead",
        "warning",
    )
