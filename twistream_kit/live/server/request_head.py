"""Parse the head of an HTTP request with h11, within limits.

The request is not authenticated yet.  So its size is limited before h11 parses it, because h11
limits only incomplete heads.  A head that can be interpreted in more than one way is refused,
because the next program may interpret it differently.  The received bytes are never passed on: a
head is serialized again from the result of h11 (`RequestHead.serialize`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import h11

MAX_HEAD_BYTES = 32_768
"""The limit of a head, including its empty line.  Twilio's have about a kilobyte."""

MAX_HEADERS = 128
"""The limit of `websockets`.  Twilio sends some ten headers, and proxies add a few."""

MAX_LENGTH_DIGITS = 20
"""The limit of h11 for the digits of a Content-Length."""

MAX_TOKENS = 16
"""The limit of a list in a header; clients offer two or three protocols to upgrade to."""

END_OF_HEAD = b"\r\n\r\n"

REFUSALS = {
    400: "This request is refused, because two programs could read its head in two ways, or none "
    "at all.  Send it as RFC 9112 has it: lines that end with CR LF, one Host, one Content-Length "
    "of digits alone, and a target that begins with a slash.\n",
    405: "This method is not answered here.  Send GET or POST.\n",
    411: "A body in chunks is not read, so this request is refused.  Send Content-Length instead "
    "of Transfer-Encoding.\n",
    413: "The body of this request is too long to be read.  Send less.\n",
    431: f"The head of this request is too long: at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} "
    "headers are read.  Send fewer or shorter headers, or a shorter URL.\n",
    501: "This request is refused, because CONNECT, OPTIONS of * and transfer codings are not "
    "implemented.  Send GET or POST for a path, with Content-Length.\n",
    505: "This version of HTTP is not spoken here.  Send HTTP/1.1.\n",
}
"""The bodies of the answers with the statuses of `BadRequest`, and of 405."""

_LENGTH = re.compile(rb"\ncontent-length:([^\r]*)")
_TEXT = b"\t\n\r" + bytes(code for code in range(0x20, 0x100) if code != 0x7F)
_FIRST_VISIBLE = 0x21


class BadRequest(Exception):
    """The head of a request is malformed or not supported.

    Attributes:
        status: The HTTP status of the answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A valid head of a request.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        target: The path with its query, as requested.
        version: The version of HTTP: ``1.0`` or ``1.1``.
        headers: The headers in order: names as they were spelled, and values without the spaces
            around them.
        body_bytes: The size of the body.
        expects_continue: Whether the client waits for ``100 Continue`` before it sends the body.
    """

    method: str
    target: str
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body_bytes: int
    expects_continue: bool

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parse a head, including its empty line.

        Raises:
            BadRequest: If it is malformed or not supported.
        """
        # Check the limits before any work for each header.
        if len(raw) > MAX_HEAD_BYTES or raw.count(b"\r\n") > MAX_HEADERS + 2:
            raise BadRequest(431)
        _check_characters(raw)
        if not raw.endswith(END_OF_HEAD):
            raise BadRequest(400)
        _check_lengths(raw)
        connection = h11.Connection(h11.SERVER, MAX_HEAD_BYTES)
        connection.receive_data(raw)
        try:
            request = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint) from error
        if not isinstance(request, h11.Request) or connection.trailing_data[0]:
            raise BadRequest(400)
        named = dict(request.headers)
        _check_meaning(request, named)
        return cls(
            request.method.decode("ascii"),
            request.target.decode("ascii"),
            request.http_version.decode("ascii"),
            tuple(request.headers.raw_items()),
            int(named.get(b"content-length", b"0")),
            connection.they_are_waiting_for_100_continue,
        )

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a WebSocket; no other ``Upgrade`` is passed on."""
        return self.method == "GET" and self.has_token("Upgrade", "websocket")

    def get_all(self, name: str) -> list[str]:
        """Return all values of a header."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def has_token(self, name: str, token: str) -> bool:
        """Whether `token` is among the first `MAX_TOKENS` of the list in a header."""
        # Without the limit, a list of nothing but commas would take milliseconds.
        lists = (value.lower().split(",", MAX_TOKENS)[:MAX_TOKENS] for value in self.get_all(name))
        return any(token in map(str.strip, each) for each in lists)

    def drop_headers(self, names: Iterable[str]) -> list[tuple[bytes, bytes]]:
        """Return all headers except `names`."""
        unwanted = {name.lower().encode() for name in names}
        return [(name, value) for name, value in self.headers if name.lower() not in unwanted]

    def build_first_line(self, method: str) -> bytes:
        """Build the request line with this method, without its end."""
        return f"{method} {self.target} HTTP/{self.version}".encode("ascii")

    def serialize(self, headers: Iterable[tuple[bytes, bytes]], *, method: str = "") -> bytes:
        """Serialize the head with these headers and, if one is given, another method."""
        lines = [name + b": " + value for name, value in headers]
        return b"\r\n".join([self.build_first_line(method or self.method), *lines, b"", b""])


def is_malformed_start(received: bytes | bytearray) -> bool:
    """Whether the first byte cannot begin a request: that of TLS, an empty line or zeros."""
    return bool(received) and received[0] < _FIRST_VISIBLE


def _check_characters(raw: bytes) -> None:
    """Refuse characters that h11 interprets leniently, or in more than linear time.

    h11 accepts a bare LF as the end of a line, joins folded lines, and accepts most control
    characters (RFC 9112 §2.2, §5.2; RFC 9110 §5.5).  Its regular expression for a header takes
    quadratic time for spaces before an invalid character; after this check there is none.
    """
    if is_malformed_start(raw) or raw.translate(None, _TEXT):
        raise BadRequest(400)
    if not raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n"):
        raise BadRequest(400)
    if b"\n " in raw or b"\n\t" in raw:
        raise BadRequest(400)


def _check_lengths(raw: bytes) -> None:
    """Refuse a list of lengths, which h11 merges, with 400, and a length that is too large."""
    for length in _LENGTH.findall(raw.lower()):
        digits = length.strip(b" \t")
        if b"," in digits:
            raise BadRequest(400)
        if digits.isdigit() and len(digits) > MAX_LENGTH_DIGITS:
            raise BadRequest(413)


def _check_meaning(request: h11.Request, named: dict[bytes, bytes]) -> None:
    """Refuse requests that h11 accepts but that are not supported here."""
    if request.http_version not in (b"1.0", b"1.1"):
        raise BadRequest(505)
    if b"transfer-encoding" in named:
        # With a Content-Length, or in HTTP/1.0, it is a smuggling attempt (RFC 9112 §6.1, §6.3).
        is_trap = b"content-length" in named or request.http_version == b"1.0"
        raise BadRequest(400 if is_trap else 411)
    if request.method == b"CONNECT" or (request.method, request.target) == (b"OPTIONS", b"*"):
        raise BadRequest(501)
    # An absolute target contains a host, which is not compared with the Host header.
    if not request.target.startswith(b"/"):
        raise BadRequest(400)
