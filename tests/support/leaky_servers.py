"""Programs that serve streams and keep something of each call, or nothing.

    python -m support.leaky_servers memory

The first line of the output is the address.  They end when their standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import twistream_kit as kit

KEPT: list[object] = []
LEAKED_BYTES = 1_000_000

TESTS = Path(__file__).parents[1]


def keep_memory() -> None:
    """Keep as much as the sound of both sides of a call of a minute."""
    KEPT.append(bytearray(os.urandom(LEAKED_BYTES)))


def keep_a_descriptor() -> None:
    KEPT.append(os.open(os.devnull, os.O_RDONLY))


def keep_a_thread() -> None:
    threading.Thread(target=threading.Event().wait, daemon=True).start()


LEAKS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "memory": keep_memory,
    "descriptors": keep_a_descriptor,
    "threads": keep_a_thread,
}
"""What a server keeps of each call, by the name of what grows."""


async def serve(leak: Callable[[], None]) -> None:
    async def echo(stream: kit.MediaStream) -> None:
        leak()
        stream.play(kit.Clip.tone(440, 0.1))
        async for samples in stream.audio():
            stream.play(samples)

    async with kit.StreamServer(echo) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


@contextlib.contextmanager
def running(leak: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run one in a process of its own; give its address and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.leaky_servers", leak],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
    )
    pipes: Any = process
    try:
        yield pipes.stdout.readline().strip(), process
    finally:
        pipes.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        pipes.stdout.close()


if __name__ == "__main__":
    asyncio.run(serve(LEAKS[sys.argv[1]]))
