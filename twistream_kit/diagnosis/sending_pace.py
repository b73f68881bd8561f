"""Whether sound is sent in time: neither slower than it is played nor ten minutes ahead.

Twilio plays what it has, 8000 bytes a second, and silence where it has none (PROTOCOL.md §4).  A
server that sleeps 20 ms after each 20 ms of sound is therefore always late, by what else it does,
and the caller hears a stutter (§9, item 2).  A pause between two sentences is none: there, the
sound is soft on one side at least.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from twistream_kit.protocol.objection import Objection
from twistream_kit.protocol.playout import BYTES_PER_SECOND, CAPACITY_SECONDS

FIELD = "media"

DISCARDED = 31931
"""Twilio's warning for audio beyond ten minutes in its buffer (§5.1)."""

SHORTEST_GAP, LONGEST_GAP = 0.001, 0.4
"""In seconds.  Twilio plays frames, so a gap of a millisecond now and then costs 20 of them; what
is longer than the other is heard as a pause."""

FEWEST_GAPS = 5
GAPS_TOGETHER = 0.1
"""In seconds.  What the network or a busy machine delays now and then is far below it: whoever
sends by a clock is ahead again after each delay."""

WITHIN_SECONDS = 10.0
"""Gaps that lie further back are forgotten."""

_EDGE_BYTES = 80
"""10 ms before and behind a gap tell whether sound was cut in two."""

_LOUD = 0x60
"""Codes without their sign count downwards: up to this one lies all from -39 dBFS upwards."""

_MAGNITUDES = bytes(code & 0x7F for code in range(256))


class SendingPace:
    """Twilio's buffer as far as its level goes.  It has no clock: time is an argument."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._last = b""
        self._gaps: deque[tuple[float, float]] = deque()
        self._is_late = self._is_full = False

    def sent(self, payload: bytes, at: float) -> Objection | None:
        """Note sound sent at `at`, in seconds; return what is wrong with the pace, once each."""
        if not payload:
            return None
        found = None
        gap = at - self._until
        if gap > 0:
            if gap >= SHORTEST_GAP and not self._is_late:
                found = self._ran_dry(gap, payload, at)
            self._until = at
        self._until += len(payload) / BYTES_PER_SECOND
        self._last = payload
        if self._until - at > CAPACITY_SECONDS:
            self._until = at + CAPACITY_SECONDS  # the rest is discarded
            found, self._is_full = (None if self._is_full else _TOO_FAR_AHEAD), True
        return found

    def is_joined(self, at: float) -> bool:
        """Whether sound sent at `at` is played right behind the sound before it."""
        return at - self._until < SHORTEST_GAP

    def cleared(self, at: float) -> None:
        """Note that a clear was sent: what comes next is something new."""
        self._until = min(self._until, at)
        self._last = b""

    def _ran_dry(self, gap: float, payload: bytes, at: float) -> Objection | None:
        if gap > LONGEST_GAP or not _is_cut(self._last, payload):
            return None
        self._gaps.append((at, gap))
        while at - self._gaps[0][0] > WITHIN_SECONDS:
            self._gaps.popleft()
        together = sum(length for _, length in self._gaps)
        if len(self._gaps) < FEWEST_GAPS or together < GAPS_TOGETHER:
            return None
        self._is_late = True
        return _too_slow([length for _, length in self._gaps], at - self._gaps[0][0])


def _is_cut(before: bytes, behind: bytes) -> bool:
    edges = (before[-_EDGE_BYTES:], behind[:_EDGE_BYTES])
    return all(edge and min(edge.translate(_MAGNITUDES)) <= _LOUD for edge in edges)


def _too_slow(gaps: list[float], seconds: float) -> Objection:
    usual_ms = max(1, round(1000 * median(gaps)))
    return Objection(
        None,
        FIELD,
        f"{_TOO_SLOW}: {len(gaps)} gaps of some {usual_ms} ms in {seconds:.1f} s",
        "Twilio plays silence in each gap, logging nothing: the caller hears a stutter",
        "Send ahead: stream.play(clip) does; if you pace, then by a clock and not by sleeps, and"
        " stay 200 ms ahead",
        "warning",
    )


_TOO_SLOW = "comes more slowly than it sounds"


def is_about_pace(objection: Objection) -> bool:
    """Whether `objection` is about when sound was sent, which a busy machine changes too."""
    return objection.problem.startswith(_TOO_SLOW)


_TOO_FAR_AHEAD = Objection(
    DISCARDED,
    FIELD,
    "is more than ten minutes ahead of what the caller hears",
    "Twilio discards what does not fit, with warning 31931, logged once per stream",
    "Wait for a mark to come back before you send more; stream.play(clip) keeps 10 s ahead",
)
