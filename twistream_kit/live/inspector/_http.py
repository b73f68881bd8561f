"""The heads of HTTP messages that pass through an inspector.

h11 parses the head of a request (`server.request_head`), and the inspector serializes it again:
names, with their spelling, values and order stay the same, except for the few headers that a proxy
must change.  So the server receives the same request as without the inspector, and nothing that h11
did not accept.  The head of a response comes from the user's own server and is relayed unchanged.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Self

from twistream_kit.live.server.request_head import (
    END_OF_HEAD,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    BadRequest,
    RequestHead,
    is_malformed_start,
)

READ_AHEAD_BYTES = 65_536
"""How much asyncio reads ahead, which is also the size limit of the head of a response."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: .*)?")


def build_forwarded_head(head: RequestHead, host: str, *, came_from: str, scheme: str) -> bytes:
    """Return the head of a request as it is sent to the server.

    ``Host`` becomes the server's own, and the ``X-Forwarded`` headers hold the original; those that
    a tunnel set stay.  A handshake offers no extension, because Twilio offers none (§2.1) and the
    inspector cannot read compressed WebSocket frames.  Any other request is the last of its
    connection.

    Args:
        head: The head that arrived.
        host: The host of the server, with its port.
        came_from: The address of the client.
        scheme: ``http`` or ``https``, as the client used it.
    """
    before = ", ".join([*head.get_all("X-Forwarded-For"), came_from])
    headers = [(b"Host", host.encode("latin-1"))]
    unwanted = ["Host", "X-Forwarded-For"]
    if head.is_upgrade:
        headers += head.drop_headers([*unwanted, "Sec-WebSocket-Extensions"])
    else:
        headers += head.drop_headers([*unwanted, "Connection", "Keep-Alive", "Upgrade"])
        headers.append((b"Connection", b"close"))
    headers.append((b"X-Forwarded-For", before.encode("latin-1")))
    if not head.get_all("X-Forwarded-Host"):
        headers += [(b"X-Forwarded-Host", each.encode("latin-1")) for each in head.get_all("Host")]
    if not head.get_all("X-Forwarded-Proto"):
        headers.append((b"X-Forwarded-Proto", scheme.encode()))
    return head.serialize(headers)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of a response: its first line and its other lines, without line ends."""

    first: bytes
    lines: tuple[bytes, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Split a head into lines, without checking them."""
        first, *lines = raw.removesuffix(END_OF_HEAD).split(b"\r\n")
        return cls(first, tuple(lines))

    @property
    def status(self) -> int:
        """The HTTP status; 0 if this is not HTTP."""
        line = _STATUS_LINE.fullmatch(self.first)
        return int(line[1]) if line else 0

    def has(self, name: str) -> bool:
        """Whether there is a header of this name."""
        wanted = name.lower().encode()
        return any(line.partition(b":")[0].lower() == wanted for line in self.lines)


async def read_head(reader: asyncio.StreamReader) -> RequestHead | None:
    """Read the head of a request; return None if the client disconnects before its end.

    It reads at most `MAX_HEAD_BYTES` and one line, and waits for no more than asyncio reads ahead.
    Cancelling is safe if nothing else is read from `reader` afterwards.

    Raises:
        BadRequest: If the head is malformed or too long; the rest of it stays unread.
        OSError: If the connection is lost.
    """
    n_lines = 0
    try:
        raw = bytearray(await reader.readexactly(1))
        if is_malformed_start(raw):
            raise BadRequest(400)  # bytes that are not HTTP may never contain a line end
        # Line by line, because a head whose lines end with LF alone never ends with CRLF CRLF.
        while not raw.endswith(END_OF_HEAD):
            line = await reader.readuntil(b"\n")
            raw += line
            n_lines += 1
            if len(raw) > MAX_HEAD_BYTES or n_lines > MAX_HEADERS + 2:
                raise BadRequest(431)
            if not line.endswith(b"\r\n"):
                raise BadRequest(400)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest(431) from error
    return RequestHead.parse(bytes(raw))


async def read_response_head(reader: asyncio.StreamReader) -> bytes:
    """Read a response up to its empty line, or what arrives before the server disconnects.

    Returns nothing if the head is longer than `READ_AHEAD_BYTES`.

    Raises:
        OSError: If the connection is lost.
    """
    try:
        return await reader.readuntil(END_OF_HEAD)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return b""
