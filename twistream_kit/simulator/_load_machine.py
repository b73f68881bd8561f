"""What a share of many calls reads of its machine: clock, sockets, and who has the cores."""

from __future__ import annotations

import importlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twistream_kit.errors import TwistreamError
from twistream_kit.simulator._load_link import LinkAddress, find_ways, is_reachable


@dataclass(frozen=True, slots=True)
class WorkerClock:
    """What one worker of an executor has said of itself; it can be pickled.

    Attributes:
        host: The name of its machine.
        pid: The number of its process.
        at: Its wall clock when it began.
        took: How long it was busy, in seconds.
        is_linked: Whether it can connect to the one who asked.
        addresses: Those of its machine, as far as it knows them.
    """

    host: str
    pid: int
    at: float
    took: float
    is_linked: bool
    addresses: tuple[str, ...] = ()


def measure_clock(_number: int, seconds: float, link: LinkAddress | None = None) -> WorkerClock:
    """Read the clock of a worker, try its connection, and keep it busy for some time."""
    now, began = time.time(), time.monotonic()
    is_linked, addresses = is_reachable(link), tuple(find_ways())
    left = began + seconds - time.monotonic()
    threading.Event().wait(max(0.0, left))  # so that each worker of an executor gets one
    took = time.monotonic() - began
    return WorkerClock(socket.gethostname(), os.getpid(), now, took, is_linked, addresses)


def check_descriptors(calls: int) -> None:
    """Refuse calls for which this process may not open enough sockets.

    Raises:
        TwistreamError: If the limit is too low.
    """
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = calls + 64
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").is_dir() else Path("/dev/fd")
    if folder.is_dir():
        needed += sum(1 for _ in folder.iterdir())
    if most != resource.RLIM_INFINITY and needed > most:
        raise TwistreamError(
            f"{calls} calls need about {needed} file descriptors, and this process may open {most}",
            consequence="Some calls would fail, and look as if the server had refused them",
            fix=f"Allow more before Python starts (ulimit -n {2 * needed}), or make fewer calls",
        )


def measure_machine() -> float | None:
    """Return the share of all cores in use since the last time, if psutil (extra load) is there."""
    try:
        psutil: Any = importlib.import_module("psutil")
    except ImportError:
        return None
    return float(psutil.cpu_percent(None)) / 100


def read_wait(thread: int | None) -> float | None:
    """Return for how many seconds a thread wanted to run and had no core, where Linux says it."""
    try:
        text = Path(f"/proc/self/task/{thread}/schedstat").read_text("ascii")
        return int(text.split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
