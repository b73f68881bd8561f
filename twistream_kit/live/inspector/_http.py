"""The head of an HTTP message, kept as it came but for the few lines that a proxy must change.

Spelling, order and spaces of all other lines stay: what a server sees through the inspector shall
be what it would see without.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from twistream_kit.live.server.http import END_OF_HEAD, MAX_HEAD_BYTES, MAX_HEADERS

MAX_TOKENS = 16
"""Of the list in one header; nobody offers more protocols to upgrade to than two or three."""

READ_AHEAD_BYTES = 65_536
"""How much asyncio reads ahead, and so the most that the head of a response may have."""


_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[^\s]*) HTTP/1\.[01]")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: .*)?")
_HEADER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*")


class BadHead(Exception):
    """What came is no head of an HTTP message.

    Attributes:
        status: The HTTP status that says so.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Head:
    """The first line and the others, as they came, without line ends."""

    first: bytes
    lines: tuple[bytes, ...]

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Cut a head into lines, whatever they hold."""
        first, *lines = raw.removesuffix(END_OF_HEAD).split(b"\r\n")
        return cls(first, tuple(lines))

    def all(self, name: str) -> list[str]:
        """Return the values of a header, as many as there are."""
        wanted = name.lower().encode()
        pairs = (line.split(b":", 1) for line in self.lines)
        return [value.strip().decode("latin-1") for key, value in pairs if key.lower() == wanted]

    def has_token(self, name: str, token: str) -> bool:
        """Whether `token` is among the first of the list that a header holds."""
        # The rest is left together: a list of nothing but commas would take milliseconds.
        lists = (value.lower().split(",", MAX_TOKENS)[:MAX_TOKENS] for value in self.all(name))
        return any(token in map(str.strip, each) for each in lists)

    def without(self, names: Iterable[str]) -> list[bytes]:
        """Return the lines of all other headers."""
        unwanted = {name.lower().encode() for name in names}
        return [line for line in self.lines if line.split(b":", 1)[0].lower() not in unwanted]


@dataclass(frozen=True, slots=True)
class RequestHead(_Head):
    """The head of a request."""

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Cut a head into lines.

        Raises:
            BadHead: If it is none, or too long.
        """
        # Before anything is done for each header, since nobody has signed them.
        if len(raw) > MAX_HEAD_BYTES or raw.count(b"\r\n") > MAX_HEADERS + 2:
            raise BadHead(431)
        head = super(RequestHead, cls).of(raw)
        # A line that two programs could read in two ways would get past the check of one.
        if not _REQUEST_LINE.fullmatch(head.first) or not all(map(_HEADER.fullmatch, head.lines)):
            raise BadHead(400)
        return head

    @property
    def method(self) -> str:
        """``GET``, ``POST`` and so on."""
        return self.first.split(b" ")[0].decode("latin-1")

    @property
    def target(self) -> str:
        """The path with its query, as requested."""
        return self.first.split(b" ")[1].decode("latin-1")

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a WebSocket; what is none gets no ``Upgrade`` through."""
        return self.method == "GET" and self.has_token("Upgrade", "websocket")

    @property
    def size(self) -> int:
        """The size of the body in bytes.

        Raises:
            BadHead: If it has none to be relied on; a body in chunks is refused with 411.
        """
        if self.all("Transfer-Encoding"):
            raise BadHead(411)
        lengths = set(self.all("Content-Length")) or {"0"}
        length = lengths.pop()
        if lengths or not re.fullmatch("[0-9]{1,15}", length):
            raise BadHead(400)
        return int(length)

    def forwarded(self, host: str, *, came_from: str, scheme: str) -> bytes:
        """Return the head as it is to reach the server.

        ``Host`` becomes the server's own, and the ``X-Forwarded`` headers say what it was; those
        of a tunnel before stay.  A WebSocket asks for no extension, because Twilio does not (§2.1)
        and because compressed frames could not be read in passing.  Any other request is the last
        of its connection.

        Args:
            host: Of the server, with its port.
            came_from: The address of the client.
            scheme: ``http`` or ``https``: how the client came.
        """
        before = ", ".join([*self.all("X-Forwarded-For"), came_from])
        lines = [b"Host: " + host.encode("latin-1")]
        unwanted = ["Host", "X-Forwarded-For"]
        if self.is_upgrade:
            lines += self.without([*unwanted, "Sec-WebSocket-Extensions"])
        else:
            lines += self.without([*unwanted, "Connection", "Keep-Alive", "Upgrade"])
            lines.append(b"Connection: close")
        lines.append(b"X-Forwarded-For: " + before.encode("latin-1"))
        if not self.all("X-Forwarded-Host"):
            lines += [b"X-Forwarded-Host: " + each.encode("latin-1") for each in self.all("Host")]
        if not self.all("X-Forwarded-Proto"):
            lines.append(b"X-Forwarded-Proto: " + scheme.encode())
        return b"\r\n".join([self.first, *lines, b"", b""])


@dataclass(frozen=True, slots=True)
class ResponseHead(_Head):
    """The head of a response."""

    @property
    def status(self) -> int:
        """The HTTP status; 0 if this is no HTTP."""
        line = _STATUS_LINE.fullmatch(self.first)
        return int(line[1]) if line else 0


async def read_head(reader: asyncio.StreamReader) -> bytes | None:
    """Read up to the empty line that ends a head; None if the far end goes away before it.

    Cancelling is safe, if nothing else is read from `reader` afterwards.

    Raises:
        BadHead: If it is too long.
        OSError: If the connection breaks.
    """
    try:
        return await reader.readuntil(END_OF_HEAD)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise BadHead(431) from error


async def read_response_head(reader: asyncio.StreamReader) -> bytes:
    """Read a response up to its empty line, or what there is before the far end goes away.

    What is longer than any head is left unread.

    Raises:
        OSError: If the connection breaks.
    """
    try:
        return await reader.readuntil(END_OF_HEAD)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return b""
