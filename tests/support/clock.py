"""A clock that the test turns by hand."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace


class Clock:
    """Stands for `time` and for `asyncio` in one module: who sleeps there turns it on at once.

    Attributes:
        seconds: What it shows.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.time = SimpleNamespace(monotonic=lambda: self.seconds)
        self.asyncio = SimpleNamespace(**{**vars(asyncio), "sleep": self._sleep})

    async def _sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)
