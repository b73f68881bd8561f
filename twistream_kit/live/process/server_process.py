"""Run a server of the user, in any language, in a process beside the notebook."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from twistream_kit.errors import ServerStopped, TwistreamError, WrongType, require_type
from twistream_kit.live.process._guard import CANNOT_START
from twistream_kit.live.process.process import ChildProcess

logger = logging.getLogger("twistream_kit.live")

READY_SECONDS = 30.0
"""The time that a server gets to print its address; large frameworks need some seconds."""

FIRST_ADDRESS = r"\b(?:https?|wss?)://[^\s'\"<>/?#]+:\d+(?:/[^\s'\"<>]*)?"
"""The first address with a port: uvicorn, hypercorn, Flask, Node and Go print one.

An address without a port is usually a link to documentation.
"""

_OWN_WAY = "if it prints its address in a way of its own, say ready=r'…' with that as its group"
_HELD_BACK = "If it runs, it may hold its output back: have it flush what it prints"
_LOOK_FOR_IT = (
    "Look whether it is installed, and whether this kernel's PATH leads to it; for one of Python's "
    "modules say [sys.executable, '-m', 'uvicorn', …]"
)

_SHOWN_LINES = 5

_MISSING_MODULE = re.compile(r"No module named '?(\w+)")
"""What Python says of a module that it does not find; of a package, the name before the dot."""


class ServerProcess:
    """A server in a process of its own; an async context manager that ends the process.

    ``server = kit.start(kit.ServerProcess([sys.executable, "-m", "uvicorn", "mine:app"]))``, then
    ``kit.simulate_call(server.url)``.  The server is ready when it has printed its address.

    Args:
        command: The program and its arguments.  For Python, use ``sys.executable``.
        path: The path at which its streams connect.
        ready: A regular expression to find in its output.  Its first group, or else the whole
            match, is the address, such as ``http://127.0.0.1:8000``, or the port alone.
        environment: Changes to its environment, which is ours with ``PYTHONUNBUFFERED=1``; None
            removes a variable.

    Attributes:
        start_seconds: How long `kit.start` waits for it.

    Raises:
        TypeError: If `command` is a string: no shell is used.
        re.error: If `ready` is not a valid regular expression.

    Example:
        >>> import twistream_kit as kit
        >>> import sys
        >>> command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
        >>> server = kit.start(kit.ServerProcess(command))
        >>> server.url
        'ws://127.0.0.1:.../media'
        >>> server.lines[0]
        'Serving HTTP on 127.0.0.1 port ...'
        >>> kit.stop(server)
        >>> server
        <ServerProcess ... -m http.server --bind 127.0.0.1 0: not running>
    """

    start_seconds = READY_SECONDS + 5

    def __init__(
        self,
        command: Sequence[str],
        *,
        path: str = "/media",
        ready: str = FIRST_ADDRESS,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        if isinstance(command, str) or not command:
            raise WrongType("command is a list: the program, then each argument by itself")
        require_type("a list, tuple or set", command=command)
        require_type("a dict of names and values", environment=environment or {})
        require_type("a string", path=path, ready=ready)
        self._command = [str(part) for part in command]
        self._path = path
        self._ready = re.compile(ready)
        self._environment = dict(environment or {})
        self._process: ChildProcess | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The URL at which its streams connect: ``ws://127.0.0.1:8000/media``.

        Raises:
            ServerStopped: If it is not running.
        """
        if self._url is None:
            raise ServerStopped(
                f"{self._command[0]} is not running", fix="Start it with kit.start(…)"
            )
        return self._url

    @property
    def lines(self) -> list[str]:
        """The last lines of its output, oldest first."""
        return [] if self._process is None else self._process.lines

    def __repr__(self) -> str:
        return f"<ServerProcess {' '.join(self._command)}: {self._url or 'not running'}>"

    async def __aenter__(self) -> Self:
        # Unlike a tunnel, this is the user's own program, and gets the whole environment.
        # A Python program that writes to a pipe would buffer up to 8 kB of output.
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self._environment}
        self._process = ChildProcess(self._command, environment=environment)
        try:
            self._url = await self._wait_ready(self._process)
        except BaseException:
            await self._process.end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._url = None
        if self._process is not None:
            await self._process.end()

    async def _wait_ready(self, process: ChildProcess) -> str:
        match: re.Match[str] | None = None
        why = f"did not say where it listens within {READY_SECONDS:g} s"
        fix = f"{_HELD_BACK}; {_OWN_WAY}"
        try:
            async with asyncio.timeout(READY_SECONDS):
                await process.start()
                match = await process.find(self._ready)
                if match is None:
                    code = await process.exited
                    why = f"ended with {code} before it said where it listens"
                    fix = _LOOK_FOR_IT if code == CANNOT_START else _explain_exit(process.lines)
        except TimeoutError:
            pass
        if match is None:
            raise self._build_error(process, why, fix)
        found = match[1] if match.re.groups else match[0]
        try:
            return _build_stream_url(found, self._path)
        except ValueError:
            why = f"said {found!r}, which is no address"
            fix = "Say ready=r'…' with its address, or its port alone, as the group"
            raise self._build_error(process, why, fix) from None

    def _build_error(self, process: ChildProcess, why: str, fix: str) -> TwistreamError:
        said = " | ".join(process.lines[-_SHOWN_LINES:]) or "nothing"
        problem = f"{self._command[0]} {why}"
        return TwistreamError(problem, consequence=f"Its last words: {said}", fix=fix)


def _explain_exit(lines: Sequence[str]) -> str:
    """Return the remedy for a program that has ended, by what it has printed."""
    for line in reversed(lines):
        if missing := _MISSING_MODULE.search(line):
            name = missing[1]
            return (
                f"If {name} is a package, say pip install {name} for the Python of the command; if "
                "it is a file of yours, have the command name its folder"
            )
    return "Run the command in a terminal"


def _build_stream_url(found: str, path: str) -> str:
    found = found.rstrip(".,;:!)]}")  # punctuation after the address
    if found.isdigit():
        found = f"127.0.0.1:{found}"
    parts = urlsplit(found if "://" in found else f"http://{found}")
    host = parts.hostname or "127.0.0.1"
    # A server that listens on all addresses is reached at loopback.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    authority = f"[{host}]" if ":" in host else host
    if parts.port is not None:
        authority += f":{parts.port}"
    scheme = "wss" if parts.scheme in ("https", "wss") else "ws"
    own_path = parts.path if parts.path not in ("", "/") else path
    return f"{scheme}://{authority}{own_path}"
