"""Gaps in the server's sound: silence in its midst, because what followed came too late.

Whether a silence is a gap or a pause is known only from what is around it.  A short one is always
taken for a gap.  A longer one is taken for a gap if the sound was cut off by it, and nothing says
that what follows is something else: a clear, a mark behind the whole, or an act of the caller.
"""

from __future__ import annotations

from collections import Counter, deque

from twistream_kit.capture.summary import FEW_MARKS
from twistream_kit.diagnosis.speech import AUDIBLE_DB, measure_level
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS

SURE_GAP_MS = 200
"""Sound that goes on within this time after it ran out was late, whatever is around it."""

LONGEST_GAP_MS = 2000
"""A longer silence is taken for a pause, even where it cut the sound off."""

_SURE_GAP = SURE_GAP_MS // PTIME_MS
_LONGEST_GAP = LONGEST_GAP_MS // PTIME_MS

_EDGE_FRAMES = 5
"""Sound is cut off if it is audible within so many frames before a silence, and after it."""

_REACTION_FRAMES = 50
"""What stops within this time after an act of the caller may have stopped because of it."""


class GapMeter:
    """Finds the gaps of one stream; its owner calls it once for each frame.

    Attributes:
        found: How often there was a gap of how many frames.
        empty_frames: How long nothing has been played; 0 while there is sound.
    """

    def __init__(self) -> None:
        self.found: Counter[int] = Counter()
        self.empty_frames = _LONGEST_GAP + 1
        self._last: deque[bytes] = deque(maxlen=_EDGE_FRAMES)
        self._frames = 0
        self._acted_at = -_LONGEST_GAP
        self._marks = 0
        self._has_end = False

    def pass_silence(self) -> None:
        """Note a frame in which nothing was there to be played."""
        self._frames += 1
        self.empty_frames += 1

    def pass_sound(self, frame: bytes, marks: int, *, is_last: bool) -> None:
        """Note a frame of the server's sound.

        Args:
            frame: 160 bytes PCMU.
            marks: How many marks it has reached.
            is_last: Whether nothing waits behind it.
        """
        self._frames += 1
        self._last.append(frame)
        if marks or self._has_end:
            self._marks += marks
            self._has_end = bool(marks) and is_last

    def note_resumption(self, upcoming: bytes) -> None:
        """Note that sound goes on after a silence.

        Args:
            upcoming: What waits, PCMU; its first frames are enough.
        """
        is_gap = self.empty_frames <= _SURE_GAP or (
            self.empty_frames <= _LONGEST_GAP and self._is_cut_off(upcoming)
        )
        if is_gap:
            self.found[self.empty_frames] += 1
        else:
            self._marks = 0
        self.empty_frames, self._has_end = 0, False

    def note_mark(self, *, is_behind_all: bool) -> None:
        """Note a mark that came; one that comes when all was played is behind the whole."""
        if is_behind_all:
            self._marks += 1
            self._has_end = True

    def note_act(self) -> None:
        """Note that the caller begins or ends to speak, or presses a key."""
        self._acted_at = self._frames

    def end_sound(self) -> None:
        """Note a clear: what follows is something else."""
        self.empty_frames = _LONGEST_GAP + 1

    def _is_cut_off(self, upcoming: bytes) -> bool:
        """Whether a silence is in the midst of something."""
        if self._has_end and self._marks <= FEW_MARKS + 1:
            return False
        if self._acted_at >= self._frames - self.empty_frames - _REACTION_FRAMES:
            return False
        first = [
            upcoming[begin : begin + FRAME_BYTES]
            for begin in range(0, min(len(upcoming), _EDGE_FRAMES * FRAME_BYTES), FRAME_BYTES)
        ]
        return _is_any_audible(self._last) and _is_any_audible(first)


def _is_any_audible(frames: deque[bytes] | list[bytes]) -> bool:
    return any(measure_level(frame) > AUDIBLE_DB for frame in frames)
