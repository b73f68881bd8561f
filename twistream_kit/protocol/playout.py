"""What Twilio has played so far, by what was sent and which marks came back; and the send-ahead.

Twilio queues our audio and plays it in the order received, 8000 bytes a second, without pacing
from us (PROTOCOL.md §4).  The wire tells how far it is only by marks, each sent back when the
last byte before it left the buffer.  Between marks this model runs on the clock it is given: an
empty buffer plays silence until more arrives (§4, an assumption), a clear empties it at once.

It knows an upper bound (nothing is played before it was sent, nor faster than it sounds) and
lowers it by the smallest delay that a mark has shown since the buffer was last empty: of all
marks the least delayed one tells most, because a mark may be late for reasons of its own.

`SendAhead` says from it how far ahead of its playing sound may be sent.  Twilio needs no pacing,
and what it holds already is immune to a busy notebook; but it discards what goes beyond ten
minutes (§4), so the lead has an end.
"""

from __future__ import annotations

from dataclasses import dataclass

BYTES_PER_SECOND = 8000
"""PCMU at 8 kHz, one byte a sample (§3, mediaFormat)."""

CAPACITY_SECONDS = 600.0
"""Twilio discards what goes beyond ten minutes of buffered audio, with `MEDIA_DISCARDED` (§4)."""

MEDIA_DISCARDED = 31931
"""Twilio's code for it; a warning, logged once per stream (§5.1)."""

LEAD_SECONDS = 10.0
"""How much sound is sent ahead if nothing else is said; it outlasts a busy notebook."""

LEAST_LEAD_SECONDS = 0.2
"""The least lead: senders that work keep 100 to 200 ms ahead (§4)."""

_BURST_SECONDS = 0.5
"""How far the lead falls before it is filled up again; of a short lead it is a quarter."""

_ROUNDING = 0.01
"""In bytes, a microsecond: at the very moment when a byte has been played, it counts as played."""


class PlayoutModel:
    """Twilio's playout buffer as seen from here.  It has no clock: time is an argument.

    Positions are counts of bytes over all bytes ever sent on the stream; what a clear threw
    away counts as passed, though it was not heard.
    """

    def __init__(self) -> None:
        self._sent = 0
        self._run_started = 0.0
        self._run_first = 0
        self._delay: float | None = None
        # Bare tuples of numbers: the garbage collector leaves them out, however many there are.
        self._finished: list[tuple[float, int, int]] = []

    @property
    def sent_bytes(self) -> int:
        """All bytes ever sent."""
        return self._sent

    def sent(self, size: int, now: float) -> None:
        """Note that `size` more bytes were sent at `now`."""
        if self.buffered(now) == 0:
            self._close_run(self._sent)
            self._run_started = now
            self._delay = None
        self._sent += size

    def returned(self, position: int, now: float) -> None:
        """Note that the mark behind byte `position` came back at `now`, without a clear."""
        if self._run_first < position <= self._sent:
            expected = self._run_started + (position - self._run_first) / BYTES_PER_SECOND
            delay = max(0.0, now - expected)
            self._delay = delay if self._delay is None else min(self._delay, delay)

    def cleared(self, now: float) -> int:
        """Note that a clear was sent at `now`; return how many bytes it threw away."""
        position = self.position(now)
        self._close_run(position)
        lost, self._run_first = self._sent - position, self._sent
        return lost

    def position(self, now: float) -> int:
        """Return how many of all bytes ever sent have been played or cleared by `now`."""
        played = (now - self._run_started - (self._delay or 0.0)) * BYTES_PER_SECOND
        return min(self._sent, self._run_first + max(0, int(played + _ROUNDING)))

    def buffered(self, now: float) -> int:
        """Return how many bytes wait at Twilio to be played."""
        return self._sent - self.position(now)

    def reaches(self, position: int) -> float:
        """Return when byte `position` was played, or will have been if nothing is cleared.

        For one that was cleared, or stood at the very beginning, it is the end of what was played
        before it.
        """
        if position > self._run_first:
            seconds = (position - self._run_first) / BYTES_PER_SECOND
            return self._run_started + (self._delay or 0.0) + seconds
        for started, first, size in reversed(self._finished):
            if position > first:
                return started + min(position - first, size) / BYTES_PER_SECOND
        return self._run_started

    def intervals(self, now: float) -> list[Interval]:
        """Return what was played by `now`, in order."""
        position = self.position(now)
        running = [self._interval(position)] if position > self._run_first else []
        return [Interval(*past) for past in [*self._finished, *running]]

    def _close_run(self, position: int) -> None:
        if position > self._run_first:
            self._finished.append(self._interval(position))
        self._run_first = position

    def _interval(self, position: int) -> tuple[float, int, int]:
        started = self._run_started + (self._delay or 0.0)
        return started, self._run_first, position - self._run_first


@dataclass(frozen=True, slots=True)
class Interval:
    """Sound played without a break.

    Attributes:
        started: When its first byte was played, in seconds of the given clock.
        first: The number of that byte, counted over all bytes ever sent.
        size: How many bytes were played.
    """

    started: float
    first: int
    size: int


class SendAhead:
    """How far ahead of its playing sound is sent: when there is room for more at Twilio.

    The room comes in bursts, so that the sender wakes twice a second.

    Args:
        seconds: How much sound is sent ahead, 0.2 to 590 s.

    Raises:
        ValueError: If it is out of range.
    """

    def __init__(self, seconds: float = LEAD_SECONDS) -> None:
        check_lead(seconds)
        self._full = round(seconds * BYTES_PER_SECOND)
        self._refill = self._full - round(min(_BURST_SECONDS, seconds / 4) * BYTES_PER_SECOND)
        self._filling = True

    def has_room(self, buffered: int) -> bool:
        """Whether more may be sent while `buffered` bytes wait at Twilio."""
        if buffered >= self._full:
            self._filling = False
        elif buffered <= self._refill:
            self._filling = True
        return self._filling

    def wait_seconds(self, buffered: int) -> float:
        """Return in how many seconds there will be room, if nothing is cleared meanwhile."""
        return max(0.0, (buffered - self._refill) / BYTES_PER_SECOND) + 0.001

    def restart(self) -> None:
        """Fill up again from now on: a clear has emptied the buffer."""
        self._filling = True


def milliseconds(size: int) -> int:
    """Return how long so many bytes of PCMU last."""
    return round(size * 1000 / BYTES_PER_SECOND)


def check_lead(seconds: float) -> None:
    """Refuse a lead that starves Twilio's buffer or overfills it (31931, §4).

    Raises:
        ValueError: If `seconds` is not between 0.2 and 590.
    """
    if not LEAST_LEAD_SECONDS <= seconds <= CAPACITY_SECONDS - 10:
        raise ValueError(
            f"lead_seconds is {seconds}; it must be between {LEAST_LEAD_SECONDS} (less "
            f"starves Twilio's buffer) and {CAPACITY_SECONDS - 10:.0f} (Twilio discards what goes "
            "beyond ten minutes)"
        )
