"""The head of an HTTP request: how many bytes of it are read, what is refused, what it says.

h11 reads it.  Nobody has signed it yet, so it is bounded first, since h11 bounds only heads that
are incomplete; and what h11 takes in more than one way is refused, since the program that reads
the head after us may take it in the other.  Nobody reads the bytes that came a second time: a head
that goes any further is written anew from what h11 understood (`RequestHead.written`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import h11

MAX_HEAD_BYTES = 32_768
"""Of a request, its empty line included.  Twilio's have about a kilobyte."""

MAX_HEADERS = 128
"""Of a request.  Twilio sends some ten, and proxies add a few; `websockets` takes no more."""

MAX_LENGTH_DIGITS = 20
"""Of a Content-Length; h11 reads no more."""

MAX_TOKENS = 16
"""Of the list in one header; nobody offers more protocols to upgrade to than two or three."""

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
"""What is answered with the statuses of `BadRequest`, and with 405."""

_LENGTH = re.compile(rb"\ncontent-length:([^\r]*)")
_TEXT = b"\t\n\r" + bytes(code for code in range(0x20, 0x100) if code != 0x7F)
_FIRST_VISIBLE = 0x21


class BadRequest(Exception):
    """What came is no head of a request, or none that is read here.

    Attributes:
        status: The HTTP status that says so.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A head that was accepted.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        target: The path with its query, as requested.
        version: Of HTTP: ``1.0`` or ``1.1``.
        headers: Names, as they were spelled, and values without the spaces around them, in order.
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
    def of(cls, raw: bytes) -> Self:
        """Read a head, its empty line included.

        Raises:
            BadRequest: If it is none, or none that is read here.
        """
        # Before anything is done for each header.
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
        """Whether it asks for a WebSocket; what is none gets no ``Upgrade`` through."""
        return self.method == "GET" and self.has_token("Upgrade", "websocket")

    def all(self, name: str) -> list[str]:
        """Return the values of a header, as many as there are."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def has_token(self, name: str, token: str) -> bool:
        """Whether `token` is among the first of the list that a header holds."""
        # The rest is left together: a list of nothing but commas would take milliseconds.
        lists = (value.lower().split(",", MAX_TOKENS)[:MAX_TOKENS] for value in self.all(name))
        return any(token in map(str.strip, each) for each in lists)

    def without(self, names: Iterable[str]) -> list[tuple[bytes, bytes]]:
        """Return all other headers."""
        unwanted = {name.lower().encode() for name in names}
        return [(name, value) for name, value in self.headers if name.lower() not in unwanted]

    def first_line(self, method: str) -> bytes:
        """Return the request line with this method, without its end."""
        return f"{method} {self.target} HTTP/{self.version}".encode("ascii")

    def written(self, headers: Iterable[tuple[bytes, bytes]], *, method: str = "") -> bytes:
        """Return the head anew, with these headers and, if one is given, another method."""
        lines = [name + b": " + value for name, value in headers]
        return b"\r\n".join([self.first_line(method or self.method), *lines, b"", b""])


def begins_badly(received: bytes | bytearray) -> bool:
    """Whether no more needs to come to see that this is no request: TLS, an empty line, zeros."""
    return bool(received) and received[0] < _FIRST_VISIBLE


def _check_characters(raw: bytes) -> None:
    """Refuse what h11 reads as if it were something else, or in more than linear time.

    h11 takes a bare LF for the end of a line, joins folded lines, and lets most control characters
    pass (RFC 9112 §2.2, §5.2; RFC 9110 §5.5).  Its pattern of a header goes back and forth over
    spaces, in quadratic time, before a character that no header may have; here there is none.
    """
    if begins_badly(raw) or raw.translate(None, _TEXT):
        raise BadRequest(400)
    if not raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n"):
        raise BadRequest(400)
    if b"\n " in raw or b"\n\t" in raw:
        raise BadRequest(400)


def _check_lengths(raw: bytes) -> None:
    """Refuse a list of lengths, which h11 makes one of, and say of a huge one what it is."""
    for length in _LENGTH.findall(raw.lower()):
        digits = length.strip(b" \t")
        if b"," in digits:
            raise BadRequest(400)
        if digits.isdigit() and len(digits) > MAX_LENGTH_DIGITS:
            raise BadRequest(413)


def _check_meaning(request: h11.Request, named: dict[bytes, bytes]) -> None:
    """Refuse what h11 reads and nothing here has an answer to."""
    if request.http_version not in (b"1.0", b"1.1"):
        raise BadRequest(505)
    if b"transfer-encoding" in named:
        # With a length beside it, or from a time before it, it is a trap (RFC 9112 §6.1, §6.3).
        is_trap = b"content-length" in named or request.http_version == b"1.0"
        raise BadRequest(400 if is_trap else 411)
    if request.method == b"CONNECT" or (request.method, request.target) == (b"OPTIONS", b"*"):
        raise BadRequest(501)
    # An absolute target has a host of its own, which Host is not compared with.
    if not request.target.startswith(b"/"):
        raise BadRequest(400)
