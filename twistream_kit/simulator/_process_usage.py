"""What the process of a server uses: memory, descriptors and threads, read by `psutil`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twistream_kit.errors import SettingsError

_INSTALL = "Say pip install 'twistream-kit[load]'"


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process and its children use; each figure is None if it cannot be read.

    Attributes:
        memory: Resident memory in bytes.
        descriptors: Open files and sockets; on Windows, handles.
        threads: Threads.
    """

    memory: int | None
    descriptors: int | None
    threads: int | None

    @property
    def is_unreadable(self) -> bool:
        """Whether not one of them can be read."""
        return self.memory is None and self.descriptors is None and self.threads is None

    def __str__(self) -> str:
        memory = "memory unreadable" if self.memory is None else f"{self.memory / 1e6:.1f} MB"
        return f"{memory}, {count(self.descriptors, 'descriptor')}, {count(self.threads, 'thread')}"


def count(number: int | None, what: str) -> str:
    """Return a number of things in words."""
    if number is None:
        return f"{what}s unreadable"
    return f"{number} {what}{'' if number == 1 else 's'}"


class ProcessWatch:
    """Reads what a process on this machine uses.

    Args:
        pid: Its number.

    Raises:
        SettingsError: If there is no such process, it may not be read, or psutil is not installed.
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
        self._psutil: Any = psutil
        self._errors: tuple[type[Exception], ...] = (psutil.Error, OSError)
        try:
            self._process: Any = psutil.Process(pid)
            used = self.read()
        except self._errors as error:
            raise SettingsError(
                f"process {pid} cannot be read: {error}",
                fix="Give the number of the running server, as ps or the task manager shows it",
            ) from error
        if used is None:
            raise SettingsError(
                f"process {pid} has ended",
                fix="Give the number of the running server, as ps or the task manager shows it",
            )
        if used.is_unreadable:
            raise SettingsError(
                f"process {pid} cannot be read: it belongs to another user",
                fix="Run this as the user of the server, or leave the number of the process out",
            )

    def read(self) -> ProcessUsage | None:
        """Return what it uses now, with its children; None if it has ended."""
        try:
            if not self._process.is_running() or self._process.status() == "zombie":
                return None
            used = [self._read_one(self._process)]
        except self._psutil.NoSuchProcess:
            return None
        for child in self._list_children():
            with contextlib.suppress(*self._errors):  # it has ended meanwhile
                used.append(self._read_one(child))
        return ProcessUsage(*(_add(values) for values in zip(*used, strict=True)))

    def describe_doubt(self, port: int) -> str:
        """Return why it may not be the server that listens on `port` of this machine, or empty."""
        tree = [self._process, *self._list_children()]
        who = f"process {self.pid}{self._name(self._process)}"
        try:
            if any(self._listens(process, port) for process in tree):
                return ""
        except self._errors:
            return (
                f"Whether {who} listens on port {port} cannot be read: that its figures are those "
                "of the server is a guess."
            )
        others = self._find_listeners(port)
        but = f", and {' and '.join(others)} does" if others else ""
        return (
            f"{who[0].upper()}{who[1:]} does not listen on port {port}{but}: that its figures are "
            "those of the server is a guess."
        )

    def _list_children(self) -> list[Any]:
        try:
            children: list[Any] = self._process.children(recursive=True)
        except self._errors:  # it has ended, or may not be read
            return []
        return [child for child in children if child.pid != os.getpid()]

    def _listens(self, process: Any, port: int) -> bool:
        # psutil before version 6 has another name for it.
        read = getattr(process, "net_connections", None) or process.connections
        return _has_listener(read(kind="tcp"), port)

    def _find_listeners(self, port: int) -> list[str]:
        with contextlib.suppress(*self._errors):
            pids = {
                each.pid
                for each in self._psutil.net_connections(kind="tcp")
                if _has_listener([each], port) and each.pid
            }
            return [f"process {pid}{self._name(self._psutil.Process(pid))}" for pid in sorted(pids)]
        return []

    def _name(self, process: Any) -> str:
        try:
            return f" ({process.name()})"
        except self._errors:
            return ""

    def _read_one(self, process: Any) -> tuple[int | None, int | None, int | None]:
        with process.oneshot():
            descriptors = getattr(process, "num_fds", None) or process.num_handles
            return (
                self._try(lambda: int(process.memory_info().rss)),
                self._try(descriptors),
                self._try(process.num_threads),
            )

    def _try(self, read: Callable[[], int]) -> int | None:
        try:
            return read()
        except self._psutil.AccessDenied:
            return None


def _add(figures: Iterable[int | None]) -> int | None:
    known = list(figures)
    return None if None in known else sum(each for each in known if each is not None)


def _has_listener(connections: Iterable[Any], port: int) -> bool:
    return any(
        each.status == "LISTEN" and each.laddr and each.laddr.port == port for each in connections
    )
