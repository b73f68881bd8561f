"""Ways to wait for what must happen.  The limit is reached by a failure and by nothing else."""

from __future__ import annotations

import asyncio
import threading
import time

LIMIT_SECONDS = 30
"""So long that a busy machine does not reach it."""


async def soon(awaitable, seconds=LIMIT_SECONDS):
    """Return what `awaitable` gives; raise TimeoutError when it gives nothing."""
    return await asyncio.wait_for(awaitable, seconds)


async def eventually(condition, seconds=LIMIT_SECONDS):
    """Return what `condition()` gives once that is true; raise TimeoutError when it never is."""
    async with asyncio.timeout(seconds):
        while not (result := condition()):  # noqa: ASYNC110 - any condition, of any thread
            await asyncio.sleep(0.003)  # sleeps: between two looks at any condition
    return result


def until(condition, seconds=LIMIT_SECONDS):
    """Do what `eventually` does on a thread that has no loop, or that may stand still."""
    pause, limit = threading.Event(), time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < limit, "what was waited for never came"
        pause.wait(0.005)
    return result
