"""What the process of a server uses: memory, descriptors and threads, read by `psutil`.

And whether it is the server's: what is known of the ports on which it listens.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twistream_kit.errors import Objection, SettingsError, WrongType, WrongValue, quote

_INSTALL = "Say pip install 'twistream-kit[load]'"


Children = frozenset[tuple[int, float]]
"""Processes, each by its number and the time when it began."""


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What a process and its children use; each figure is None if it cannot be read.

    Attributes:
        memory: Resident memory in bytes.
        descriptors: Open files and sockets; on Windows, handles.
        threads: Threads.
        children: The children.
    """

    memory: int | None
    descriptors: int | None
    threads: int | None
    children: Children = frozenset()

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

    Attributes:
        pid: As given.
        title: The name of its program; empty if that is not known.

    Raises:
        SettingsError: If there is no such process, it may not be read, or psutil is not installed.
    """

    def __init__(self, pid: int) -> None:
        try:
            import psutil
        except ModuleNotFoundError as error:
            raise SettingsError(
                "what a process uses is read by psutil, which is not installed",
                consequence="Without it the server can be tried, but not what it keeps",
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
        self.title = self._find_title()

    def _find_title(self) -> str:
        try:
            return str(self._process.name())
        except self._errors:
            return ""

    def find_doubt(self, port: int) -> Objection | None:
        """Return why it may not be the process of the server that listens on a port, or None."""
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except self._errors:
            return None
        who = f"process {self.pid}{f' ({self.title})' if self.title else ''}"
        if any(each.pid == os.getpid() for each in family):
            is_own = self.pid == os.getpid()
            return Objection(
                None,
                who,
                f"is this one{'' if is_own else ' or began it'}: the callers run in it, too",
                "What they use is counted as the server's, and may grow with the run",
                "Start the server in a process of its own, and give the number of that",
                "warning",
            )
        try:
            if any(port in self._list_ports(each) for each in family):
                return None
        except self._errors:
            return Objection(
                None,
                who,
                f"may not be the one that listens on port {port}: that cannot be read here",
                fix="See that it is the server's: ps or the task manager shows it",
                severity="note",
            )
        other = self._find_listener(port)
        said = f", and {other} does" if other else ""
        return Objection(
            None,
            who,
            f"does not listen on port {port}{said}; it may be another than the server's",
            "What it uses then says nothing of the server. Behind a proxy it may be right",
            "Give the number of the server's process",
            "warning",
        )

    def _list_ports(self, process: Any) -> set[int]:
        list_connections = getattr(process, "net_connections", None) or process.connections
        return {
            each.laddr.port
            for each in list_connections("tcp")
            if each.status == self._psutil.CONN_LISTEN
        }

    def _find_listener(self, port: int) -> str:
        """Return the process that listens on a port, in words; empty if that is not known."""
        try:
            for each in self._psutil.net_connections("tcp"):
                is_it = each.status == self._psutil.CONN_LISTEN and each.laddr.port == port
                if is_it and each.pid is not None:
                    return f"process {each.pid} ({self._psutil.Process(each.pid).name()})"
        except self._errors:
            pass
        return ""

    def read(self) -> ProcessUsage | None:
        """Return what it uses now, with its children; None if it has ended."""
        try:
            if not self._process.is_running() or self._process.status() == "zombie":
                return None
            used = [self._read_one(self._process)]
        except self._psutil.NoSuchProcess:
            return None
        found: set[tuple[int, float]] = set()
        for child in self._list_children():
            with contextlib.suppress(*self._errors):  # it has ended meanwhile
                used.append(self._read_one(child))
                if child.status() != "zombie":
                    found.add((child.pid, child.create_time()))
        memory, descriptors, threads = (_add(values) for values in zip(*used, strict=True))
        return ProcessUsage(memory, descriptors, threads, frozenset(found))

    def has_ended(self) -> bool:
        """Return whether it has ended; in less time than `read` takes."""
        try:
            return not self._process.is_running() or self._process.status() == "zombie"
        except self._psutil.NoSuchProcess:
            return True
        except self._errors:
            return False

    def _list_children(self) -> list[Any]:
        try:
            children: list[Any] = self._process.children(recursive=True)
        except self._errors:  # it has ended, or may not be read
            return []
        return children

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


def check_pid(pid: int) -> int:
    """Return the number of a process.

    Raises:
        WrongType, WrongValue: If it is none.
    """
    if not isinstance(pid, int) or isinstance(pid, bool):
        raise WrongType(f"pid is {quote(pid)}; give the number of the server's process")
    if not 0 < pid < 2**31:
        raise WrongValue(f"pid is {pid}; give the number of a process, which is more than 0")
    return pid
