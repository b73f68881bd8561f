"""What a microphone picks up, on its way into the mouth of a simulated telephone.

A microphone delivers by its own clock, in pieces and not always in time, while the call takes 20 ms
every 20 ms (PROTOCOL.md §3).  So a little is kept back before the first frame is given, and what
piles up is thrown away, the oldest first: a caller may be heard late by a fraction of a second, and
never later and later.
"""

from __future__ import annotations

import threading
from collections import deque

from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.simulator.assumptions import SILENT_FRAME

KEPT_FRAMES = 3
"""How many frames are waited for before the first is given: 60 ms."""

MOST_FRAMES = 12
"""How many may wait: 240 ms."""


class LiveVoice:
    """A queue of frames between a microphone and a mouth.

    Attributes:
        kept: How many frames are waited for, at the beginning and after each gap.
        given: How many frames of the microphone's were taken.
        dropped: How many were thrown away because too many waited.
        gaps: How often it ran empty.
    """

    def __init__(self, kept: int = KEPT_FRAMES) -> None:
        self.kept = kept
        self.given = self.dropped = self.gaps = 0
        self._frames: deque[bytes] = deque()
        self._rest = b""
        self._flows = False
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
            self._flows = bool(self._frames)
            if not self._flows:
                self.gaps += 1
                return SILENT_FRAME
            self.given += 1
            return self._frames.popleft()

    def hush(self) -> None:
        """Forget what waits: the microphone was switched off."""
        with self._lock:
            self._frames.clear()
            self._rest, self._flows = b"", False
