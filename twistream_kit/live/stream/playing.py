"""A playback under way, as its user sees it."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from twistream_kit.pending import Pending, fail, fulfil
from twistream_kit.protocol.marks import PlayOutcome
from twistream_kit.protocol.playout import BYTES_PER_SECOND


class PlaybackSource(Protocol):
    """What a `Playing` asks of its stream."""

    def heard_bytes(self, handle: str) -> int:
        """Return how much of the playback was heard by now; from any thread."""

    def watch(self, playing: Playing, size: int, wait: Pending[float]) -> None:
        """Fulfil `wait` when `size` bytes of it were heard; from any thread."""


class Playing(Pending[PlayOutcome]):
    """Audio on its way to the caller's ear: a `Pending` whose result is a `PlayOutcome`.

    Attributes:
        total_ms: The duration of the whole.
        mark: The name given to `MediaStream.play`, or None.
    """

    def __init__(
        self,
        source: PlaybackSource,
        size: int,
        mark: str | None,
        home: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(home)
        self.total_ms = round(size * 1000 / BYTES_PER_SECOND)
        self.mark = mark
        self.handle = ""
        self._size = size
        self._source = source
        self._furthest = 0

    @property
    def heard_ms(self) -> int:
        """How much was heard by now, by the playout model; it never goes back."""
        if self.done():
            heard = self._furthest if self.exception(0) else self.result(0).heard_ms
        else:
            heard = round(self._source.heard_bytes(self.handle) * 1000 / BYTES_PER_SECOND)
        # The model may find by a late mark that it had been too hopeful.
        self._furthest = max(self._furthest, heard)
        return self._furthest

    @property
    def progress(self) -> float:
        """How much of it was heard by now, from 0 to 1."""
        return self.heard_ms / self.total_ms if self.total_ms else float(self.done())

    def heard(self, seconds: float) -> Pending[float]:
        """Wait for sound, not for the clock.

        Returns:
            A `Pending` with the seconds heard: `seconds` or a little more, or less when the
            playback ended earlier.

        Raises:
            ValueError: If `seconds` is negative or not finite.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"heard() takes a duration in seconds, 0 or more, not {seconds!r}")
        wait: Pending[float] = Pending(self._home)
        size = min(self._size, math.ceil(seconds * BYTES_PER_SECOND))
        self.add_done_callback(lambda _: self._settle_wait(wait))
        self._source.watch(self, size, wait)
        return wait

    def _settle_wait(self, wait: Pending[float]) -> None:
        error = self.exception(0)
        if error is not None:
            fail(wait, error)
        else:
            fulfil(wait, self.result(0).heard_ms / 1000)
