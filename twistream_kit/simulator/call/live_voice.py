"""What a microphone picks up, on its way into the mouth of a simulated telephone.

A microphone delivers by its own clock, in pieces and not always in time, while the call takes 20 ms
every 20 ms (PROTOCOL.md §3).  So a little is kept back before the first frame is given, and what
piles up is thrown away, the oldest first.  What was not needed for half a second is thrown away
too: a caller whose microphone once stood still is not heard late for the rest of the call.
"""

from __future__ import annotations

import threading
from collections import deque

from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.simulator.model.assumptions import SILENT_FRAME

KEPT_FRAMES = 3
"""How many frames are waited for before the first is given: 60 ms."""

MOST_FRAMES = 12
"""How many may wait: 240 ms."""

WATCHED_FRAMES = 25
"""How long more than is kept may wait without need: 500 ms."""


class LiveVoice:
    """A queue of frames between a microphone and a mouth.

    Attributes:
        kept: How many frames are waited for, at the beginning and after each gap.
        given: How many frames of the microphone's were taken.
        dropped: How many were thrown away because too many waited, or waited without need.
        gaps: How often it ran empty.
    """

    def __init__(self, kept: int = KEPT_FRAMES) -> None:
        self.kept = kept
        self.given = self.dropped = self.gaps = 0
        self._frames: deque[bytes] = deque()
        self._rest = b""
        self._flows = False
        self._least = self._watched = 0
        self._lock = threading.Lock()

    def push(self, payload: bytes) -> None:
        """Take what the microphone picked up, PCMU of any length; from any thread."""
        with self._lock:
            payload = self._rest + payload
            whole = len(payload) - len(payload) % FRAME_BYTES
            self._rest = payload[whole:]
            for start in range(0, whole, FRAME_BYTES):
                self._frames.append(payload[start : start + FRAME_BYTES])
            if len(self._frames) > MOST_FRAMES + self.kept:
                while len(self._frames) > self.kept:
                    self._frames.popleft()
                    self.dropped += 1

    def next_frame(self) -> bytes:
        """Take the next 20 ms, silence where there is nothing."""
        with self._lock:
            if not self._flows and len(self._frames) < max(self.kept, 1):
                return SILENT_FRAME
            if not self._flows:
                self._watched = 0
            self._flows = bool(self._frames)
            if not self._flows:
                self.gaps += 1
                return SILENT_FRAME
            self.given += 1
            frame = self._frames.popleft()
            self._shed()
            return frame

    def _shed(self) -> None:
        """Throw away what was not needed for a while: the least that waited, but for `kept`."""
        waiting = len(self._frames)
        self._least = min(self._least, waiting) if self._watched else waiting
        self._watched += 1
        if self._watched < WATCHED_FRAMES:
            return
        self._watched = 0
        for _ in range(self._least - self.kept):
            self._frames.popleft()
            self.dropped += 1

    def hush(self) -> None:
        """Forget what waits: the microphone was switched off."""
        with self._lock:
            self._frames.clear()
            self._rest, self._flows = b"", False
