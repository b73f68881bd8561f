"""A public address for a server, and the proof that it leads to this very process."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from twistream_kit.errors import SettingsError, TunnelError
from twistream_kit.live.environment import setting
from twistream_kit.live.server import StreamServer
from twistream_kit.live.webhooks import HEALTH_PATH
from twistream_kit.protocol.stream_address import is_loopback

logger = logging.getLogger("twistream_kit.live")

PROOF_SECONDS = 10.0
"""How long the proof may take."""


class Tunnel:
    """A public address; an async context manager that sets and resets `server.public_url`.

    Attributes:
        provider: Where the address comes from.
        public_url: The address, once proved.
    """

    def __init__(self, server: StreamServer, provider: str, url: str) -> None:
        self._server = server
        self._url = url.rstrip("/")
        self.provider = provider
        self.public_url: str | None = None

    def __repr__(self) -> str:
        state = self.public_url or "not open"
        return f"<Tunnel ({self.provider}): {state}>"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(_prove, self._url, self._server.nonce)
        self._server.public_url = self.public_url = self._url
        logger.info("the public address %s leads here", self._url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server.public_url == self.public_url:
            self._server.public_url = None
        self.public_url = None


def open_tunnel(
    server: StreamServer,
    provider: str = "auto",
    *,
    url: str | None = None,
    unsigned: bool = False,
) -> Tunnel:
    """Give `server` a public address: ``tunnel = kit.start(kit.open_tunnel(server))``.

    On entering, the address is proved: ``/health`` asked through it must answer with what only
    this process knows.

    Args:
        server: A running server.
        provider: ``"static"`` for an address that leads here already (your own proxy, a domain,
            Codespaces); ``"auto"`` takes that of ``TWISTREAM_PUBLIC_URL``.
        url: The address, for ``"static"``: ``https://example.com``.
        unsigned: Allow a server that checks no signatures.

    Returns:
        A tunnel that is not open yet.

    Raises:
        TunnelError: If the server lets anybody in, or there is no such provider; on entering, if
            the address does not lead here.
        SettingsError: If the address is missing or malformed.
    """
    if not server.checks_signatures and not unsigned:
        raise TunnelError(
            "this server checks no signatures",
            consequence="Anyone who finds the address could play into your call",
            fix="Make it with StreamServer(auth_token=…), or say unsigned=True",
        )
    if provider == "auto":
        url = url or setting("TWISTREAM_PUBLIC_URL")
        if not url:
            raise TunnelError(
                "there is no public address to use",
                consequence="Twilio cannot reach this machine",
                fix="Set TWISTREAM_PUBLIC_URL, or say open_tunnel(server, 'static', url=…)",
            )
    elif provider != "static":
        raise TunnelError(
            f"there is no tunnel provider {provider!r}",
            fix="Say 'static' with url=…, or 'auto' with TWISTREAM_PUBLIC_URL set",
        )
    if not url:
        raise SettingsError("a static tunnel needs its address", fix="Say url='https://…'")
    _check_url(url)
    return Tunnel(server, provider, url)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    ):
        return
    raise SettingsError(
        f"{url!r} is not an https address",
        consequence="Twilio connects streams over TLS only",
        fix="Give the https address under which this machine is reached",
    )


def _prove(url: str, nonce: str) -> None:
    import requests

    address = url + HEALTH_PATH
    session = requests.Session()
    # A proxy named in the environment must not catch what stays on this machine.
    session.trust_env = not is_loopback(url)
    try:
        with session:
            response = session.get(address, timeout=PROOF_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise TunnelError(
            f"{address} does not answer ({type(error).__name__})",
            consequence="Twilio would not reach this server either",
            fix="Start the proxy or tunnel that leads to this server's port, and try again",
        ) from error
    if response.text.strip() != nonce:
        raise TunnelError(
            f"{address} answers, but not from this process (HTTP {response.status_code})",
            consequence="Calls would go to somebody else's server, or to an earlier one of yours",
            fix="Point the proxy or tunnel at this server's port",
        )
