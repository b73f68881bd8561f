"""The form of a REST request, its credentials, and its response."""

from __future__ import annotations

import zlib
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_exceptions import HTTPBadRequest

from twistream_kit.simulator.rest._errors import Refusal
from twistream_kit.simulator.rest.account import Credentials, Login

_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1"})

_UNREADABLE = (
    *(ValueError, LookupError, TypeError, AssertionError, RuntimeError, EOFError, zlib.error),
    *(ClientPayloadError, BadHttpMessage, HTTPBadRequest),
)
"""What aiohttp raises for the bodies that it cannot read."""


_LONGEST_PARTS = 20_000
"""In bytes: inline TwiML, the longest value, has 4000 characters at most, and parts are slow to
read."""

_LONGEST_CONTENT_TYPE = 300
"""Python reads the parameters of a Content-Type in more than linear time."""


class RequestForm:
    """The form of one request."""

    def __init__(self, fields: Any) -> None:
        self._fields = fields

    def get(self, key: str, default: str = "", /) -> str:
        """Return the first value of `key`."""
        return str(self._fields.get(key, default))

    def get_all(self, key: str, /) -> list[str]:
        """Return every value of `key`."""
        return [str(value) for value in self._fields.getall(key, [])]

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    @classmethod
    async def read(cls, request: web.Request) -> RequestForm:
        """Read the body of a request.

        Raises:
            Refusal: If it is no form: its charset is unknown, its boundary is missing, or its bytes
                are not what its headers say.
        """
        content_type = request.headers.get("Content-Type", "")
        if len(content_type) > _LONGEST_CONTENT_TYPE:
            raise Refusal(20422, f"The Content-Type has {len(content_type)} characters")
        is_in_parts = content_type.lower().startswith("multipart/")
        # A body in chunks has no length, so it may be as long as it likes.
        if is_in_parts and (
            request.content_length is None or request.content_length > _LONGEST_PARTS
        ):
            raise Refusal(20422, "The parts of the body are too long: send a urlencoded form")
        # Python knows charsets whose decoding takes quadratic time, such as Punycode.
        try:
            charset = request.charset or "utf-8"
        except (IndexError, ValueError) as error:  # of Python's own reader of headers
            raise Refusal(20422, "The Content-Type of the request cannot be read") from error
        if charset.lower() not in _CHARSETS:
            raise Refusal(20422, f"The charset {charset[:40]!r} is not read; send UTF-8")
        try:
            return cls(await request.post())
        except _UNREADABLE as error:
            message = "The body of the request is not a form as its Content-Type says"
            raise Refusal(20422, message) from error


def answer(body: dict[str, Any], status: int = 200) -> web.Response:
    """Answer a request with JSON."""
    return web.json_response(body, status=status)


def read_login(request: web.Request, credentials: Credentials) -> Login | None:
    """Return which credentials `request` carries, or None if they are not valid."""
    return credentials.identify(request.headers.get("Authorization", ""))
