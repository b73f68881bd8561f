"""The playout buffer at Twilio: the real one, in which the simulated call's audio waits.

The server's half has an estimate of its own in `protocol.playout`; the two share no code, so that
one cannot hide the other's mistake.
"""

from __future__ import annotations

from collections import deque

from twistream_kit.simulator.model.assumptions import PLAYOUT_CAPACITY, SILENCE


class PlayoutBuffer:
    """Audio waiting to be heard, with the marks that lie between its bytes (PROTOCOL.md §4).

    It never waits and never looks at a clock: whoever owns the time calls `play` once for each
    frame.  Marks come back from `play`, `mark` and `clear` as the names that Twilio would send at
    that moment, in order.
    """

    def __init__(self, capacity: int = PLAYOUT_CAPACITY) -> None:
        self._capacity = capacity
        self._audio = bytearray()
        self._played = 0
        self._marks: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        """Return the bytes that wait."""
        return len(self._audio)

    @property
    def waiting_marks(self) -> list[str]:
        """The marks that have not come back, in the order sent."""
        return [name for _, name in self._marks]

    def queue(self, payload: bytes) -> int:
        """Append PCMU of any length; return how many bytes did not fit and were discarded."""
        room = self._capacity - len(self._audio)
        self._audio += payload if len(payload) <= room else payload[:room]
        return max(0, len(payload) - room)

    def mark(self, name: str) -> list[str]:
        """Place a mark behind the audio so far; with none waiting it comes back at once."""
        if not self._audio:
            return [name]
        self._marks.append((self._played + len(self._audio), name))
        return []

    def clear(self) -> list[str]:
        """Throw all waiting audio away and return all waiting marks."""
        self._audio.clear()
        names = self.waiting_marks
        self._marks.clear()
        return names

    def play(self, size: int) -> tuple[bytes, list[str]]:
        """Take the next `size` bytes, padded with silence, and the marks that they reach."""
        audio = bytes(self._audio[:size])
        del self._audio[:size]
        self._played += len(audio)
        names: list[str] = []
        while self._marks and self._marks[0][0] <= self._played:
            names.append(self._marks.popleft()[1])
        if len(audio) < size:
            audio += bytes([SILENCE]) * (size - len(audio))
        return audio, names
