"""The server behind an inspector: where it is, and why it cannot be reached."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from socket import gaierror
from urllib.parse import urlsplit

from twistream_kit.errors import SettingsError
from twistream_kit.protocol.signature import without_user

CONNECT_SECONDS = 10.0
"""How long connecting may take; Twilio's own limit is not documented (PROTOCOL.md §2.3)."""

_FORM = "Give it as ws://localhost:8080/media, or wss://example.com/media"


class Unreachable(Exception):
    """There is nobody at the server's address.

    Attributes:
        code: What Twilio would log, if it connected there itself (§5.1).
        problem: Why, in words.
    """

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Upstream:
    """The address of a server.

    Attributes:
        host: Its name or number.
        port: Where it listens.
        path: Where its streams connect.
        is_secure: Whether it speaks TLS.
    """

    host: str
    port: int
    path: str
    is_secure: bool

    @classmethod
    def of(cls, url: str) -> Upstream:
        """Take an address apart.

        Raises:
            SettingsError: If it is no ws or wss URL, or has a query or a user.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        secure = {"ws": False, "http": False, "wss": True, "https": True}.get(parts.scheme)
        if secure is None or not host:
            problem = f"{without_user(url)!r} is not the address of a WebSocket server"
            raise SettingsError(problem, fix=_FORM)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise SettingsError(
                f"the address {without_user(url)!r} has a query, a fragment or a user",
                consequence="Twilio supports none of them, so nobody would ask for it",
                fix=_FORM,
            )
        return cls(host, port or (443 if secure else 80), parts.path or "/", secure)

    @property
    def authority(self) -> str:
        """Host and port, as a ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address of its WebSocket."""
        return f"{'wss' if self.is_secure else 'ws'}://{self.authority}{self.path}"

    async def connect(
        self, context: ssl.SSLContext | None, limit: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it; cancelling leaves nothing open.

        Args:
            context: For TLS; None trusts the authorities that this machine trusts.
            limit: How many bytes to read ahead.

        Raises:
            Unreachable: If that cannot be done.
        """
        secure = (context or ssl.create_default_context()) if self.is_secure else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(self.host, self.port, ssl=secure, limit=limit)
        except TimeoutError:
            raise Unreachable(31901, f"no answer within {CONNECT_SECONDS:g} s") from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
            raise Unreachable(31910, f"TLS failed ({reason})") from None
        except ConnectionRefusedError:
            problem = "the connection was refused: it does not run, or not on this port"
            raise Unreachable(31902, problem) from None
        except gaierror:
            raise Unreachable(31904, "its name is not known") from None
        except ConnectionResetError:
            broken = "it broke the connection off"
            problem = f"{broken} before TLS began; is it ws, not wss?" if secure else broken
            raise Unreachable(31904, problem) from None
        except OSError as error:
            reason = str(error.strerror or error) or type(error).__name__
            raise Unreachable(31904, reason) from None
