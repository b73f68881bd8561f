"""The connection between a run of many calls and its shares elsewhere: counts come, a stop goes.

An executor has no way to speak to a function that it runs.  So the process of the run listens, and
each share connects to it from wherever it is, over plain TCP:

    listener → share   16 random bytes, once
    share → listener   its number, and the HMAC of both with the token of the run, once
    share → listener   three counts, several times a second: calls begun, ended and refused
    listener → share   the HMAC of the random bytes and "stop", once, to end the share

The token comes to the share in its order and is never sent here, and what arrives is compared and
counted, not unpickled.  Only a stop ends a share: one whose connection is lost goes on, since its
calls are still worth having, and tries to connect again.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

CONNECT_SECONDS = 1.0
"""How long a share tries one address, and waits for what the listener says first."""

THREAD_NAME = "load link"
"""The name of the thread of a share that keeps its connection."""

_STEP_SECONDS = 0.25
"""How often counts are sent."""

_AGAIN_SECONDS = 2.0
"""How long a share without a connection waits before it tries again."""

_HELLO_SECONDS = 5.0
"""How long one who connects may take to say who it is."""

_LOST_SECONDS = 10
"""How long what was sent may stay unconfirmed before a connection is taken for lost."""

_MOST_CONNECTIONS = 10_064
"""As many as a run may have shares, and some strangers."""

_MOST_LOOKED_UP = 8
"""How many names of machines are looked up, which may take seconds for a name that is not known."""

_LOOPBACK = "127.0.0.1"
_ELSEWHERE = "192.0.2.1"
"""An address of nobody (RFC 5737); the way to it is the default route.  Nothing is sent to it."""

_NONCE_BYTES = 16
_HASH_BYTES = 32
_NUMBER = struct.Struct("!I")
_COUNTS = struct.Struct("!III")

Place = tuple[str, int]
"""An address and a port."""


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """Where a share finds the one who asked for it; it can be pickled.

    Attributes:
        host: The name of the machine of the run.
        near: For shares on that machine.
        far: For shares on others, the most probable first.
        token: The secret of the run.
    """

    host: str
    near: Place
    far: tuple[Place, ...]
    token: bytes = field(repr=False)

    def choose(self) -> tuple[Place, ...]:
        """Return what is to be tried on this machine, in this order.

        A loopback is not tried on another machine, where something else may listen.
        """
        return (self.near,) if socket.gethostname() == self.host else self.far


@dataclass(frozen=True, slots=True)
class Counts:
    """How many calls of a share have got so far."""

    begun: int
    ended: int
    refused: int


class Watched(Protocol):
    """A running share: `Watch` of `_load_share`."""

    stop: threading.Event
    begun: int
    ended: int
    refused: int


class ShareListener:
    """The end of the one who asked for the shares; an async context manager.

    Where it cannot listen, `address` is None, and shares go on to their end.

    Attributes:
        counts: How far each share has got that has connected, by its number.
    """

    def __init__(self) -> None:
        self.counts: dict[int, Counts] = {}
        self._token = secrets.token_bytes(_HASH_BYTES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: list[asyncio.Server] = []
        self._near: Place | None = None
        self._far: list[Place] = []
        self._shares: dict[asyncio.StreamWriter, bytes] = {}
        self._visits: set[asyncio.Task[Any]] = set()
        self._has_stopped = False

    def __repr__(self) -> str:
        return f"<ShareListener {self._near}, {self._far}: {self.counts}>"

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        with suppress(OSError):
            self._near = await self._listen(_LOOPBACK)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        for visit in self._visits:
            visit.cancel()
        if self._visits:
            await asyncio.wait(self._visits)

    @property
    def address(self) -> LinkAddress | None:
        """What each share is given; None where nothing listens."""
        if self._near is None:
            return None
        return LinkAddress(socket.gethostname(), self._near, tuple(self._far), self._token)

    def open_to(self, hosts: Mapping[str, Sequence[str]], limit: float = CONNECT_SECONDS) -> None:
        """Listen for shares on these machines as well; callable from any thread but the loop's.

        Args:
            hosts: Their names, with the addresses that each has found for itself.
            limit: How long opening a port may take, in seconds.
        """
        others = {host: hosts[host] for host in hosts if host != socket.gethostname()}
        if not others or self._loop is None or self._near is None:
            return
        addresses = [address for each in others.values() for address in each]
        for address in find_ways([*addresses, *list(others)[:_MOST_LOOKED_UP]]):
            opening = asyncio.run_coroutine_threadsafe(self._listen(address), self._loop)
            with suppress(OSError, TimeoutError):
                self._far.append(opening.result(limit))

    def stop(self) -> None:
        """Let all shares end, those as well that connect later; callable from any thread."""
        if self._loop is not None and not self._has_stopped:
            self._has_stopped = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._send_stop)

    async def _listen(self, address: str) -> Place:
        server = await asyncio.start_server(self._visit, address, 0, limit=1024)
        self._servers.append(server)
        return address, int(server.sockets[0].getsockname()[1])

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._visits) >= _MOST_CONNECTIONS:
            writer.close()
            return
        self._visits.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # a share that is lost connects again, and a stranger is none
        finally:
            self._visits.discard(task)
            self._shares.pop(writer, None)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        writer.write(nonce)
        async with asyncio.timeout(_HELLO_SECONDS):
            said = await reader.readexactly(_NUMBER.size)
            proof = await reader.readexactly(_HASH_BYTES)
        if not hmac.compare_digest(proof, _sign(self._token, nonce, said)):
            return
        [number] = _NUMBER.unpack(said)
        self._shares[writer] = _sign(self._token, nonce, b"stop")
        if self._has_stopped:
            writer.write(self._shares[writer])
        while True:
            counts = _COUNTS.unpack(await reader.readexactly(_COUNTS.size))
            self.counts[number] = Counts(*counts)

    def _send_stop(self) -> None:
        for writer, word in self._shares.items():
            writer.write(word)


class ShareLink:
    """The end of a share: it sends the counts, and sets the event of its watch when it is to stop.

    Args:
        address: Where the listener is.
        number: The number of the share.
        watch: The share.
    """

    def __init__(self, address: LinkAddress, number: int, watch: Watched) -> None:
        self._address = address
        self._number = number
        self._watch = watch
        self._is_over = threading.Event()
        self._is_connected = self._was_connected = False
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)

    def begin(self) -> None:
        """Connect, and stay so until `end`; without a thread there is no connection."""
        with suppress(RuntimeError):
            self._thread.start()

    def end(self) -> str:
        """Close the connection; return what was wrong with it at the end, or nothing."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join(2 * CONNECT_SECONDS)
        if self._is_connected:
            return ""
        return "was lost" if self._was_connected else "could not be made"

    def _run(self) -> None:
        while not self._is_over.is_set():
            found = connect(self._address, self._number)
            if found is None:
                self._is_over.wait(_AGAIN_SECONDS)
                continue
            connection, word = found
            self._is_connected = self._was_connected = True
            with connection, suppress(OSError):
                if self._serve(connection, word):
                    return
            self._is_connected = False
            self._is_over.wait(_STEP_SECONDS)

    def _serve(self, connection: socket.socket, word: bytes) -> bool:
        """Send the counts and wait for the stop; return whether it went on to the end."""
        connection.settimeout(_STEP_SECONDS)
        got = b""
        while True:
            watch, is_over = self._watch, self._is_over.is_set()
            connection.sendall(_COUNTS.pack(watch.begun, watch.ended, watch.refused))
            if is_over:
                return True
            try:  # and no select, which cannot wait for a descriptor above 1023
                more = connection.recv(_HASH_BYTES - len(got))
            except TimeoutError:
                continue
            if not more:
                return False
            got += more
            if len(got) >= _HASH_BYTES:
                if not hmac.compare_digest(got, word):
                    return False
                watch.stop.set()
                got = b""


def connect(address: LinkAddress, number: int) -> tuple[socket.socket, bytes] | None:
    """Connect as a share to the one who asked for it; return also the word that means stop."""
    for place in address.choose():
        with suppress(OSError):
            connection = socket.create_connection(place, CONNECT_SECONDS)
            try:
                nonce = _receive(connection, _NONCE_BYTES)
                said = _NUMBER.pack(number)
                connection.sendall(said + _sign(address.token, nonce, said))
                if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; a network that is cut says nothing
                    connection.setsockopt(
                        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _LOST_SECONDS
                    )
            except OSError:
                connection.close()
                raise
            return connection, _sign(address.token, nonce, b"stop")
    return None


def is_reachable(address: LinkAddress | None) -> bool:
    """Return whether this process can connect to the one who asked."""
    if address is None:
        return False
    for place in address.choose():
        with suppress(OSError), socket.create_connection(place, CONNECT_SECONDS) as connection:
            _receive(connection, _NONCE_BYTES)
            return True
    return False


def find_ways(hosts: Iterable[str] = ()) -> list[str]:
    """Return the addresses of this machine by which these may reach it.

    They are those of the interfaces through which the way there leads, that of the default route
    and that of the name of this machine; nothing is sent.
    """
    found: dict[str, None] = {}
    for host in [*hosts, _ELSEWHERE, socket.gethostname()]:
        with suppress(OSError):  # a name that is not known here, or no way
            for family, kind, _, _, place in socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM):
                with suppress(OSError), socket.socket(family, kind) as sounding:
                    sounding.connect(place)  # of a datagram socket: it only chooses the interface
                    found[sounding.getsockname()[0]] = None
    return [address for address in found if not address.startswith(("127.", "::1", "fe80"))]


def _receive(connection: socket.socket, count: int) -> bytes:
    """Read so many bytes within the timeout of the connection.

    Raises:
        OSError: If they do not come.
    """
    got, until = b"", time.monotonic() + CONNECT_SECONDS
    while len(got) < count:
        more = connection.recv(count - len(got))
        if not more or time.monotonic() > until:
            raise OSError("the listener said nothing")
        got += more
    return got


def _sign(token: bytes, nonce: bytes, said: bytes) -> bytes:
    return hmac.digest(token, nonce + said, "sha256")
