"""A child process that ends on request, and when this process exits or is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from twistream_kit.live.process import _guard
from twistream_kit.pending import Pending, Subject, fulfil, on_worker

KEPT_LINES = 50
"""The number of last lines that `ChildProcess.lines` returns."""

_SEARCHED_LINES = 1000
"""The number of last lines that `ChildProcess.find` searches."""

_LINE_BYTES = 8192
"""A longer line is read in pieces of this size."""

_NOT_TEXT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_SECRET_NAME = re.compile("TOKEN|SECRET|PASS|KEY|COOKIE|CREDENTIAL", re.IGNORECASE)
_PASSED_ON = re.compile(
    "PATH|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|LANG|LANGUAGE|LC_[A-Z]+"
    "|TMPDIR|TEMP|TMP|XDG_(CONFIG_HOME|CACHE_HOME|DATA_HOME|RUNTIME_DIR)"
    "|(HTTP|HTTPS|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)"
    "|SSH_(AUTH_SOCK|AGENT_PID|ASKPASS|ASKPASS_REQUIRE)|KRB5CCNAME|GNUPGHOME"
    "|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|DBUS_SESSION_BUS_ADDRESS"
    # Windows
    "|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|USERNAME|USERPROFILE|HOMEDRIVE|HOMEPATH"
    "|APPDATA|LOCALAPPDATA|PROGRAMDATA|PROGRAMFILES",
    re.IGNORECASE,
)
"""The names of the variables that a program gets."""
_SHORTEST_SECRET = 8
_NEW_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # only Windows has it


class ChildProcess:
    """A program in its own process group, with a guard that ends it if this process is killed.

    A thread reads its output, both streams together, and delivers it on the loop on which the
    program was started.  Of our environment the program gets only what it needs to find its files,
    the network and an SSH agent, since any other variable may be a secret.

    Args:
        command: The program and its arguments; no shell is used.
        environment: Changes to that environment; None removes a variable.
        noise: Lines that match are searched by `find`, but not kept.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str | None] | None = None,
        noise: re.Pattern[str] | None = None,
    ) -> None:
        self.command = list(command)
        self._changes = dict(environment or {})
        self._noise = noise
        self._hidden = [
            value
            for name, value in os.environ.items()
            if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
        ]
        self._lines: deque[str] = deque(maxlen=_SEARCHED_LINES)
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._searches: dict[asyncio.Future[re.Match[str] | None], re.Pattern[str]] = {}
        self._exited: Pending[int] = Pending(
            None, Subject("end of a program", "exit code", kind=int)
        )
        self._starting: Pending[subprocess.Popen[bytes]] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_released = self._is_over = False

    def __repr__(self) -> str:
        if self._process is None:
            state = "not started"
        else:
            state = f"ended with {self._exited.result()}" if self._exited.done() else "running"
        return f"<ChildProcess {Path(self.command[0]).name}: {state}>"

    @property
    def lines(self) -> list[str]:
        """The last lines of its output, oldest first, without noise and secrets."""
        return list(self._kept)

    @property
    def exited(self) -> Pending[int]:
        """A `Pending` with its exit code, which is 128 + n if signal n ended it."""
        return self._exited

    async def start(self) -> None:
        """Start the program.  `end` must be called afterwards, also after a cancellation.

        Raises:
            OSError: If no process can be started.
        """
        self._loop = asyncio.get_running_loop()
        self._starting = on_worker("starting a program", self._spawn)
        self._starting.add_done_callback(self._discard_unwanted)
        self._process = await self._starting
        reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="reading a program", daemon=True
        )
        waiter = threading.Thread(
            target=self._wait, args=(reader,), name="waiting for a program", daemon=True
        )
        reader.start()
        waiter.start()

    async def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the match of the first line, past or future; None if the program ends first.

        It must be called on the loop on which the program was started.  Cancelling is safe.
        """
        for line in self._lines:
            if match := pattern.search(line):
                return match
        if self._is_over:
            return None
        found: asyncio.Future[re.Match[str] | None] = asyncio.get_running_loop().create_future()
        self._searches[found] = pattern
        try:
            return await found
        finally:
            self._searches.pop(found, None)

    async def end(self) -> None:
        """End the program and its process group: SIGTERM, then SIGKILL; wait for its exit."""
        self._is_released = True
        if self._process is None:
            starting = self._starting
            if starting is not None and starting.done():
                # It was started, but `start` was cancelled before it could take the process.
                await on_worker("ending a program", lambda: self._discard_unwanted(starting))
            return
        _close_stdin(self._process)
        try:
            async with asyncio.timeout(_guard.GRACE_SECONDS + 1.5):
                await self._exited
        except TimeoutError:
            _kill_group(self._process)
            await self._exited

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = {
            name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)
        }
        for name, value in self._changes.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        return subprocess.Popen(  # noqa: S603 - a list of arguments, never a shell's line
            # -I and -S, so that neither the environment nor site packages influence the guard.
            [sys.executable, "-I", "-S", _guard.__file__, str(os.getpid()), *self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            creationflags=_NEW_GROUP,
        )

    def _discard_unwanted(self, starting: Future[subprocess.Popen[bytes]]) -> None:
        if starting.exception() is None and self._is_released:
            process = starting.result()
            _close_stdin(process)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _read(self, output: IO[bytes]) -> None:
        with output:
            while raw := output.readline(_LINE_BYTES):
                self._notify_loop(self._take, self._clean(raw))

    def _clean(self, raw: bytes) -> str:
        line = _NOT_TEXT.sub("", raw.decode(errors="replace")).rstrip()
        for secret in self._hidden:
            line = line.replace(secret, "…")
        return line

    def _wait(self, reader: threading.Thread) -> None:
        process = self._process
        if process is None:
            return
        if hasattr(os, "waitid"):
            # Not reaped yet, so that the process group ID cannot have been reused.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        _kill_group(process)
        code = process.wait()
        _close_stdin(process)
        reader.join(1)
        fulfil(self._exited, code if code >= 0 else 128 - code)
        self._notify_loop(self._note_exit)

    def _notify_loop(self, function: Callable[..., None], *args: str) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(function, *args)

    def _take(self, line: str) -> None:
        self._lines.append(line)
        if line and not (self._noise and self._noise.search(line)):
            self._kept.append(line)
        for found, pattern in self._searches.items():
            if not found.done() and (match := pattern.search(line)):
                found.set_result(match)

    def _note_exit(self) -> None:
        self._is_over = True
        for found in self._searches:
            if not found.done():
                found.set_result(None)


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
