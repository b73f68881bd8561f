"""What the process of a server uses: memory, descriptors and threads, read by `psutil`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twistream_kit.errors import SettingsError

_INSTALL = "Say pip install 'twistream-kit[load]'"


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process and its children use.

    Attributes:
        memory: Resident memory in bytes.
        descriptors: Open files and sockets; on Windows, handles.
        threads: Threads.
    """

    memory: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.memory / 1e6:.1f} MB, {self.descriptors} descriptors, {self.threads} threads"


class ProcessWatch:
    """Reads what a process on this machine uses.

    Args:
        pid: Its number.

    Raises:
        SettingsError: If there is no such process, or psutil is not installed.
    """

    def __init__(self, pid: int) -> None:
        try:
            import psutil
        except ModuleNotFoundError as error:
            raise SettingsError(
                "what a process uses is read by psutil, which is not installed",
                consequence="Without it the faults can be tried, but not what they leave behind",
                fix=f"{_INSTALL}, or leave the number of the process out",
            ) from error
        self.pid = pid
        self._errors: tuple[type[Exception], ...] = (psutil.Error, OSError)
        try:
            self._process: Any = psutil.Process(pid)
            self._process.memory_info()
        except self._errors as error:
            raise SettingsError(
                f"process {pid} cannot be read: {error}",
                fix="Give the number of the running server, as ps or the task manager shows it",
            ) from error

    def read(self) -> ProcessUsage | None:
        """Return what it uses now, with its children; None if it has ended."""
        try:
            if not self._process.is_running() or self._process.status() == "zombie":
                return None
            used = [self._read_one(self._process)]
            for child in self._process.children(recursive=True):
                try:
                    used.append(self._read_one(child))
                except self._errors:  # it has ended meanwhile
                    continue
        except self._errors:
            return None
        return ProcessUsage(*(sum(values) for values in zip(*used, strict=True)))

    def _read_one(self, process: Any) -> tuple[int, int, int]:
        with process.oneshot():
            count = getattr(process, "num_fds", None) or process.num_handles
            return process.memory_info().rss, count(), process.num_threads()
