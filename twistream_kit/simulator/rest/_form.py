"""The form of a REST request, its credentials, and its response."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from twistream_kit.simulator.rest.account import Credentials, Login


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
        """Read the body of a request."""
        return cls(await request.post())


def answer(body: dict[str, Any], status: int = 200) -> web.Response:
    """Answer a request with JSON."""
    return web.json_response(body, status=status)


def read_login(request: web.Request, credentials: Credentials) -> Login | None:
    """Return which credentials `request` carries, or None if they are not valid."""
    return credentials.identify(request.headers.get("Authorization", ""))
