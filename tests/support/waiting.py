"""Ways to wait for what must happen.  The limit is reached by a failure and by nothing else."""

from __future__ import annotations

import asyncio
import threading
import time

LIMIT_SECONDS = 30
"""So long that a busy machine does not reach it."""

MOST_SECONDS_A_LOOK = 0.5
"""What lies between two looks counts as no more: a machine that stood still did nothing else."""


class Patience:
    """Says when a wait has lasted too long, in time during which the machine ran.

    Virtual machines stand still for half a minute now and then.  What is waited for did not run
    in that time either, and must get its turn afterwards.

    Args:
        seconds: How long the wait may last.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._looked = time.monotonic()

    def is_over(self) -> bool:
        """Whether the time is over; to be asked once between two looks."""
        now = time.monotonic()
        self._left -= min(now - self._looked, MOST_SECONDS_A_LOOK)
        self._looked = now
        return self._left < 0


async def soon(awaitable, seconds=LIMIT_SECONDS):
    """Return what `awaitable` gives; raise TimeoutError when it gives nothing."""
    return await asyncio.wait_for(awaitable, seconds)


async def eventually(condition, seconds=LIMIT_SECONDS):
    """Return what `condition()` gives once that is true; raise TimeoutError when it never is."""
    patience = Patience(seconds)
    while not (result := condition()):
        if patience.is_over():
            raise TimeoutError("what was waited for never came")
        await asyncio.sleep(0.003)  # sleeps: between two looks at any condition
    return result


def until(condition, seconds=LIMIT_SECONDS):
    """Do what `eventually` does on a thread that has no loop, or that may stand still."""
    pause, patience = threading.Event(), Patience(seconds)
    while not (result := condition()):
        assert not patience.is_over(), "what was waited for never came"
        pause.wait(0.005)
    return result
