"""What became of each piece of sound in a capture."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from twistream_kit.protocol.marks import Ending
from twistream_kit.protocol.playout import BYTES_PER_SECOND, Interval


@dataclass(frozen=True, slots=True)
class Playback:
    """A piece of sound that was sent, up to a mark or a clear.  Times count from the start.

    Attributes:
        name: Of its mark as the user gave it; ``play`` for a playback without one; empty where no
            mark tells.
        sent_at: When its first byte was sent, in seconds.
        heard_ms: How much of it was played, by the playout model.
        total_ms: How much of it was sent.
        ending: As in `PlayOutcome`, or ``open`` if the capture stops before it is known.
        heard_from: When its first byte was played, by the model, in seconds; None if none was.
        heard_to: When the last byte of it that was played had been.
        cleared_at: When the clear was sent that took the rest away; None if none did.
    """

    name: str
    sent_at: float
    heard_ms: int
    total_ms: int
    ending: Ending | Literal["open"]
    heard_from: float | None = None
    heard_to: float | None = None
    cleared_at: float | None = None


class _Mark(Protocol):
    returned_at: float | None


@dataclass(slots=True)
class Piece:
    """Sound from byte `first` to before byte `end` of all that was sent, and its mark."""

    first: int
    sent_at: float
    end: int = 0
    name: str = ""
    mark: _Mark | None = None


class Played:
    """What the model says was played, to be asked when and how much.

    Args:
        intervals: In order.
    """

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._intervals = intervals
        self._firsts = [interval.first for interval in intervals]

    def at(self, position: int) -> float | None:
        """Return when byte `position`, counted from 0, was played, in seconds; None if never."""
        place = bisect_right(self._firsts, position) - 1
        if place < 0:
            return None
        interval = self._intervals[place]
        offset = position - interval.first
        return interval.started + offset / BYTES_PER_SECOND if offset < interval.size else None

    def of(self, piece: Piece) -> tuple[int, float | None, float | None]:
        """Return how many bytes of a piece were played, from when and to when."""
        heard, begin, end = 0, None, None
        place = max(0, bisect_right(self._firsts, piece.first) - 1)
        while place < len(self._firsts) and self._firsts[place] < piece.end:
            interval = self._intervals[place]
            low = max(piece.first, interval.first)
            high = min(piece.end, interval.first + interval.size)
            if low < high:
                heard += high - low
                if begin is None:
                    begin = interval.started + (low - interval.first) / BYTES_PER_SECOND
                end = interval.started + (high - interval.first) / BYTES_PER_SECOND
            place += 1
        return heard, begin, end


def playback(
    piece: Piece, played: Played, cleared: Sequence[tuple[int, int, float]], *, is_over: bool
) -> Playback:
    """Return what became of a piece.

    Args:
        piece: What was sent.
        played: What was played of all.
        cleared: For each clear that took something away its first byte, its end, and when.
        is_over: Whether the stream has stopped.
    """
    size = piece.end - piece.first
    heard, begin, end = played.of(piece)
    cleared_at = next((at for a, b, at in cleared if a < piece.end and piece.first < b), None)
    ending: Ending | Literal["open"]
    if cleared_at is not None:
        ending = "cleared"
    elif piece.mark is not None and piece.mark.returned_at is not None:
        ending = "heard"
        if heard < size:  # the mark was quicker than the model
            heard, end = size, piece.mark.returned_at
            begin = end if begin is None else begin
    elif heard == size:
        ending = "heard"
    else:
        ending = "lost" if is_over else "open"
    return Playback(
        piece.name,
        piece.sent_at,
        _milliseconds(heard),
        _milliseconds(size),
        ending,
        begin,
        end,
        cleared_at,
    )


def _milliseconds(size: int) -> int:
    return round(size * 1000 / BYTES_PER_SECOND)
