"""The heads of HTTP messages that pass through an inspector.

The head of a request is read by h11 (`server.request_head`) and written anew from that: names, as
they were spelled, values and order stay, but for the few headers that a proxy must change.  So a
server sees through the inspector what it would see without, and nothing that was not accepted.  The
head of a response comes from the user's own server and is passed on as it came.
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
"""How much asyncio reads ahead, and so the most that the head of a response may have."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: .*)?")


def forwarded(head: RequestHead, host: str, *, came_from: str, scheme: str) -> bytes:
    """Return the head of a request as it is to reach the server.

    ``Host`` becomes the server's own, and the ``X-Forwarded`` headers say what it was; those of a
    tunnel before stay.  A WebSocket asks for no extension, because Twilio does not (§2.1) and
    because compressed frames could not be read in passing.  Any other request is the last of its
    connection.

    Args:
        head: As it came.
        host: Of the server, with its port.
        came_from: The address of the client.
        scheme: ``http`` or ``https``: how the client came.
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
    """The head of a response: the first line and the others, as they came, without line ends."""

    first: bytes
    lines: tuple[bytes, ...]

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Cut a head into lines, whatever they hold."""
        first, *lines = raw.removesuffix(END_OF_HEAD).split(b"\r\n")
        return cls(first, tuple(lines))

    @property
    def status(self) -> int:
        """The HTTP status; 0 if this is no HTTP."""
        line = _STATUS_LINE.fullmatch(self.first)
        return int(line[1]) if line else 0

    def has(self, name: str) -> bool:
        """Whether there is a header of this name."""
        wanted = name.lower().encode()
        return any(line.partition(b":")[0].lower() == wanted for line in self.lines)


async def read_head(reader: asyncio.StreamReader) -> RequestHead | None:
    """Read the head of a request; None if the far end goes away before it has ended.

    No more is read of one than `MAX_HEAD_BYTES` and a line, and no more than asyncio reads ahead is
    waited for.  Cancelling is safe, if nothing else is read from `reader` afterwards.

    Raises:
        BadRequest: If it is none, or none that is read here; what is left of it is unread.
        OSError: If the connection breaks.
    """
    n_lines = 0
    try:
        raw = bytearray(await reader.readexactly(1))
        if is_malformed_start(raw):
            raise BadRequest(400)  # what is no HTTP may have no line to wait for
        # Line by line: a head that ends by LF alone has no other end to wait for.
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
