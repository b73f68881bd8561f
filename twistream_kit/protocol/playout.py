"""Estimate how much Twilio has played, and limit how far ahead of its playout sound is sent.

Twilio queues our audio and plays it in the order received, 8000 bytes a second, without pacing
from us (PROTOCOL.md §4).  Only marks report the progress: each is sent back when the last byte
before it has left the buffer.  Between marks, `PlayoutModel` computes it from the time that it is
given: an empty buffer plays silence until more arrives (§4, an assumption), and a clear empties the
buffer at once.

The model starts from an upper bound (no byte is played before it was sent, nor faster than real
time) and subtracts the smallest delay of all marks since the buffer was last empty.  The smallest
delay is the best estimate, because a mark may arrive late for other reasons.

`SendAhead` limits the sound that waits at Twilio.  Twilio needs no pacing, and sound that it has
received keeps playing while the notebook is busy; but it discards what goes beyond ten minutes
(§4), so the send-ahead has a limit.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import itemgetter

from twistream_kit.errors import WrongValue, require_type

BYTES_PER_SECOND = 8000
"""PCMU at 8 kHz, one byte a sample (§3, mediaFormat)."""

CAPACITY_SECONDS = 600.0
"""Twilio buffers ten minutes of audio and discards the rest, with `MEDIA_DISCARDED` (§4)."""

MEDIA_DISCARDED = 31931
"""Twilio's code for it; a warning, logged once per stream (§5.1)."""

SEND_AHEAD_SECONDS = 10.0
"""The default send-ahead: it outlasts the time for which a cell usually blocks the notebook."""

LEAST_SEND_AHEAD_SECONDS = 0.2
"""The smallest send-ahead: working senders keep 100 to 200 ms ahead (§4)."""

_BURST_SECONDS = 0.5
"""How much the buffer drains before it is refilled; a quarter of a send-ahead below 2 s."""

_ROUNDING = 0.01
"""A tolerance in bytes, about a microsecond: a byte counts as played at the moment it ends."""


class PlayoutModel:
    """A model of Twilio's playout buffer.  It has no clock: time is an argument.

    Positions are counted in bytes over all bytes ever sent on the stream.  Bytes that a clear
    removed count as passed, though they were not heard.

    Args:
        negligible_seconds: Sound after a shorter silence counts as played without interruption,
            and all of it as that much later.  Frames that are sent one by one come a little late
            each, and an interval for each takes as much memory as its sound.

    Attributes:
        sent_bytes: The number of all bytes ever sent.
    """

    def __init__(self, *, negligible_seconds: float = 0.0) -> None:
        self._negligible = negligible_seconds
        self.sent_bytes = 0
        self._run_started = 0.0
        self._run_first = 0
        self._delay: float | None = None
        # Tuples of numbers, because the garbage collector does not track them.
        self._finished: list[tuple[float, int, int]] = []

    def note_sent(self, size: int, now: float) -> float:
        """Note that `size` more bytes were sent at `now`.

        Returns:
            For how many seconds Twilio had nothing to play before; 0 after a clear, and for the
            first sound.
        """
        queued = self.sent_bytes - self._run_first
        silence = now - self._run_started - (self._delay or 0.0) - queued / BYTES_PER_SECOND
        if queued and silence * BYTES_PER_SECOND < -_ROUNDING:  # not all of it has been played
            silence = 0.0
        elif queued and silence < self._negligible:
            self._run_started += silence
        else:
            silence = silence if queued else 0.0
            self._close_run(self.sent_bytes)
            self._run_started = now
            self._delay = None
        self.sent_bytes += size
        return silence

    def try_send(self, size: int, now: float, limit: int) -> float | None:
        """Do as `note_sent` if less than `limit` bytes are waiting at Twilio; else return None."""
        queued = self.sent_bytes - self._run_first
        silence = now - self._run_started - (self._delay or 0.0) - queued / BYTES_PER_SECOND
        if -silence * BYTES_PER_SECOND >= limit:
            return None
        # Here what `note_sent` does with most frames that are sent singly.
        if queued and silence < self._negligible:
            self.sent_bytes += size
            if silence * BYTES_PER_SECOND < -_ROUNDING:
                return 0.0
            self._run_started += silence
            return silence
        return self.note_sent(size, now)

    def note_mark(self, position: int, now: float) -> None:
        """Note that the mark after byte `position` came back at `now`, without a clear."""
        if self._run_first < position <= self.sent_bytes:
            expected = self._run_started + (position - self._run_first) / BYTES_PER_SECOND
            delay = max(0.0, now - expected)
            self._delay = delay if self._delay is None else min(self._delay, delay)

    def note_clear(self, now: float) -> int:
        """Note that a clear was sent at `now`; return how many bytes it removed."""
        position = self.count_played(now)
        self._close_run(position)
        lost, self._run_first = self.sent_bytes - position, self.sent_bytes
        return lost

    def count_played(self, now: float) -> int:
        """Return how many of all bytes ever sent have been played or cleared by `now`."""
        played = (now - self._run_started - (self._delay or 0.0)) * BYTES_PER_SECOND
        return min(self.sent_bytes, self._run_first + max(0, int(played + _ROUNDING)))

    def count_buffered(self, now: float) -> int:
        """Return how many bytes are waiting at Twilio to be played."""
        played = (now - self._run_started - (self._delay or 0.0)) * BYTES_PER_SECOND
        return max(0, self.sent_bytes - self._run_first - max(0, int(played + _ROUNDING)))

    def find_play_time(self, position: int) -> float:
        """Return when byte `position` has been played, or will have been if nothing is cleared.

        For a cleared byte, and for position 0, this is the end of the sound played before it.
        """
        if position > self._run_first:
            seconds = (position - self._run_first) / BYTES_PER_SECOND
            return self._run_started + (self._delay or 0.0) + seconds
        place = bisect_left(self._finished, position, key=itemgetter(1))
        if not place:
            return self._run_started
        started, first, size = self._finished[place - 1]
        return started + min(position - first, size) / BYTES_PER_SECOND

    def list_intervals(self, now: float) -> list[Interval]:
        """Return the intervals of sound played by `now`, in order."""
        position = self.count_played(now)
        running = [self._measure_interval(position)] if position > self._run_first else []
        return [Interval(*past) for past in [*self._finished, *running]]

    def _close_run(self, position: int) -> None:
        if position > self._run_first:
            self._finished.append(self._measure_interval(position))
        self._run_first = position

    def _measure_interval(self, position: int) -> tuple[float, int, int]:
        started = self._run_started + (self._delay or 0.0)
        return started, self._run_first, position - self._run_first


@dataclass(frozen=True, slots=True)
class Interval:
    """Sound played without interruption.

    Attributes:
        started: When its first byte was played, in seconds of the given clock.
        first: The position of that byte, counted over all bytes ever sent.
        size: How many bytes were played.
    """

    started: float
    first: int
    size: int


class SendAhead:
    """Decides whether more sound may be sent, so that Twilio's buffer holds a given amount.

    Sound is sent in bursts, so that the sender wakes only twice a second.

    Args:
        seconds: How much sound is sent ahead of its playout, 0.2 to 590 s.

    Attributes:
        size: The same in bytes.

    Raises:
        ValueError: If it is out of range.
    """

    def __init__(self, seconds: float = SEND_AHEAD_SECONDS) -> None:
        check_send_ahead(seconds)
        self.size = round(seconds * BYTES_PER_SECOND)
        self._refill = self.size - round(min(_BURST_SECONDS, seconds / 4) * BYTES_PER_SECOND)
        self._filling = True

    def has_room(self, buffered: int) -> bool:
        """Whether more may be sent while `buffered` bytes are waiting at Twilio."""
        if buffered >= self.size:
            self._filling = False
        elif buffered <= self._refill:
            self._filling = True
        return self._filling

    def wait_seconds(self, buffered: int) -> float:
        """Return the seconds until there is room, if nothing is cleared meanwhile."""
        return max(0.0, (buffered - self._refill) / BYTES_PER_SECOND) + 0.001

    def restart(self) -> None:
        """Refill the buffer, because a clear has emptied it."""
        self._filling = True


def to_milliseconds(size: int) -> int:
    """Return the duration of `size` bytes of PCMU."""
    return round(size * 1000 / BYTES_PER_SECOND)


def check_send_ahead(seconds: float) -> None:
    """Refuse a send-ahead that starves Twilio's buffer or overfills it (31931, §4).

    Raises:
        ValueError: If `seconds` is not between 0.2 and 590.
    """
    require_type("a number", send_ahead_seconds=seconds)
    if not LEAST_SEND_AHEAD_SECONDS <= seconds <= CAPACITY_SECONDS - 10:
        raise WrongValue(
            f"send_ahead_seconds is {seconds}; it must be between {LEAST_SEND_AHEAD_SECONDS} (less "
            f"starves Twilio's buffer) and {CAPACITY_SECONDS - 10:.0f} (Twilio discards what goes "
            "beyond ten minutes)"
        )
