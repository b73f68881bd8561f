"""A public address for a server: opened, verified to lead to this process, and watched.

`open_tunnel` chooses the requested provider, or the first that is available.  `Tunnel` opens it,
sets the server's address once it is verified, and resets it when the provider fails or the server
stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from twistream_kit.errors import (
    ServerStopped,
    SettingsError,
    TunnelError,
    TwistreamError,
    WrongType,
    quote,
)
from twistream_kit.live.server.addresses import Reachable
from twistream_kit.live.server.probe import prove
from twistream_kit.live.server.stream_app import StreamApp
from twistream_kit.live.settings.settings import Settings
from twistream_kit.live.tunnel._provider import Provider, StaticAddress, TunnelRequest
from twistream_kit.live.tunnel._table import choose_provider
from twistream_kit.pending import HomeLoop, Pending, Subject, end_tasks, fulfil
from twistream_kit.protocol.signature import remove_user
from twistream_kit.protocol.twiml import is_loopback

logger = logging.getLogger("twistream_kit.live")

SERVER_STOPPED = "the server that it leads to has stopped"
"""Why a tunnel ended, if its server has stopped."""

_LISTENING_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def open_tunnel(
    server: Reachable,
    provider: str = "auto",
    *,
    url: str | None = None,
    fallback_url: str | None = None,
    ssh: str | None = None,
    remote_port: int | None = None,
    ssh_options: Sequence[str] = (),
    unsigned: bool = False,
    settings: Settings | None = None,
) -> Tunnel:
    """Give `server` a public address: ``tunnel = kit.start(kit.open_tunnel(server))``.

    On entering, the address is verified: a request for ``/health`` through it must return a secret
    of this process.

    Args:
        server: A `StreamServer` or an `Inspector` that runs when the tunnel is entered.
        provider: ``"static"``: an address that leads here already (your own proxy, a domain,
            Codespaces); ``"ngrok"``: an https endpoint of an ngrok account; ``"cloudflared"``: a
            quick tunnel of Cloudflare's, without an account; ``"ssh"``: a forward through a host of
            yours, or a service.  ``"auto"`` takes the first to be had: ``TWISTREAM_PUBLIC_URL``,
            where it is set; ngrok, where ``NGROK_AUTHTOKEN`` is set and its program or package is
            installed; cloudflared, where its program or package is installed.
        url: For ``"static"``, the address: ``https://example.com``.  For ``"ssh"`` to a host of
            yours, the public address of its proxy, in which ``{port}`` stands for the port.
        fallback_url: An address to use if no provider is available or the provider fails, such as
            that of a `LocalProxy`; the repr of the tunnel and the log then say so.
        ssh: ``user@host``, for ``"ssh"``; a service such as ``nokey@localhost.run`` needs no `url`.
        remote_port: The port on that host, for ``"ssh"``: 8080 if not given, and 80 for a
            service; 0 lets the host choose.
        ssh_options: More arguments for ssh: ``("-p", "2222", "-i", "key")``.
        unsigned: Allow a server that checks no signatures.
        settings: The result of `kit.settings`; None reads them.

    Returns:
        A tunnel that is not open yet.

    Raises:
        TunnelError: If the server checks no signatures, no provider is available, or `server` is a
            `StreamApp`, whose port only the program that runs it knows; on entering,
            if the address cannot be opened or does not lead here.
        SettingsError: If a setting of the provider is missing or malformed.
        ValueError: If `remote_port` is out of range.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
        >>> proxy = kit.start(kit.LocalProxy(server))
        >>> tunnel = kit.start(kit.open_tunnel(server, "static", url=proxy.url))
        >>> tunnel
        <Tunnel (static): http://127.0.0.1:...>
        >>> server.public_url == proxy.url
        True
    """
    if isinstance(server, StreamApp):
        raise TunnelError(
            "a StreamApp does not know at which port it is served",
            consequence="No tunnel can be led there from here",
            fix="Lead a tunnel to the port of uvicorn, hypercorn or granian by its own program, "
            "and give the address: StreamApp(…, public_url='https://…') with the mount's path",
        )
    if not hasattr(server, "checks_signatures"):
        raise WrongType(f"server is {quote(server)}; give a StreamServer, or an Inspector")
    if not server.checks_signatures and not unsigned:
        raise TunnelError(
            "this server checks no signatures",
            consequence="Anyone who finds the address could play into your call",
            fix=f"Make it with {type(server).__name__}(auth_token=…), or say unsigned=True",
        )
    fallback = None if fallback_url is None else StaticAddress(fallback_url, source="fallback_url")
    request = TunnelRequest(provider, url, ssh, remote_port, ssh_options, settings)
    try:
        return Tunnel(server, choose_provider(request), fallback=fallback)
    except (TunnelError, SettingsError) as error:
        if fallback is None or provider != "auto":
            raise
        return Tunnel(server, None, fallback=fallback, why_not=error.problem)


_END = Subject("end of the tunnel", "reason", lambda: "open", kind=str)


class Tunnel:
    """A public address; an async context manager that sets and resets `server.public_url`.

    It is watched while it is open: when the provider fails, the server is notified, and
    `disconnect_reason` says why.  When the server stops, the tunnel closes too, because another
    program may take its port.
    Leaving ends everything that was started for it, also after entering failed or was interrupted.

    Args:
        server: The server that the address leads to.
        provider: The source of the address; None if none is available.
        fallback: The source to use when `provider` is None or fails.
        why_not: A description of why there is no provider.

    Attributes:
        start_seconds: How long `kit.start` waits for it.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
        >>> proxy = kit.start(kit.LocalProxy(server))
        >>> tunnel = kit.start(kit.open_tunnel(server, "static", url=proxy.url))
        >>> tunnel.provider, tunnel.public_url
        ('static', 'http://127.0.0.1:...')
        >>> kit.stop(tunnel)
        >>> tunnel
        <Tunnel (static): not open>
    """

    start_seconds = 45.0

    def __init__(
        self,
        server: Reachable,
        provider: Provider | None,
        *,
        fallback: StaticAddress | None = None,
        why_not: str = "",
    ) -> None:
        self._server = server
        self._requested, self._fallback, self._why_not = provider, fallback, why_not
        self._home = HomeLoop("the tunnel")
        self._open: Provider | None = None
        self._watch: asyncio.Task[None] | None = None
        self._url: str | None = None
        self._disconnect_reason = self._fallback_reason = ""
        self._ended: Pending[str] = Pending(None, _END)

    @property
    def provider(self) -> str:
        """The name of the provider."""
        provider = self._open or self._requested or self._fallback
        return provider.name if provider is not None else ""

    @property
    def public_url(self) -> str | None:
        """The address while it is open and verified; else None."""
        return self._url

    @property
    def fallback_reason(self) -> str:
        """Why the fallback is used; empty if it is not."""
        return self._fallback_reason

    @property
    def disconnect_reason(self) -> str:
        """Why the address was lost, if the tunnel was not closed; else empty."""
        return self._disconnect_reason

    @property
    def ended(self) -> Pending[str]:
        """A `Pending` with the reason why the tunnel ended; ``"closed"`` if it was closed."""
        return self._ended

    def __repr__(self) -> str:
        if self._url is None:
            state = f"gone: {self._disconnect_reason}" if self._disconnect_reason else "not open"
            return f"<Tunnel ({self.provider}): {state}>"
        state = remove_user(self._url)
        if self._server.public_url != self._url:
            state += f"; not used, the server's address is {_show_url(self._server.public_url)}"
        if self._fallback_reason:
            state += f"; {self._describe_fallback()}"
        return f"<Tunnel ({self.provider}): {state}>"

    async def __aenter__(self) -> Self:
        self._home.enter()
        if self._ended.done():
            self._ended = self._home.make_pending(_END)
        self._disconnect_reason = self._fallback_reason = ""
        try:
            url = await self._open_one()
            self._server.public_url = self._url = url
        except BaseException:
            await self._close("it could not be opened")
            raise
        if self._fallback_reason:
            logger.warning("%s: %s", self._describe_fallback(), remove_user(url))
        else:
            logger.info("the public address %s leads here (%s)", remove_user(url), self.provider)
        self._watch = asyncio.create_task(self._watch_address(), name="watching a tunnel")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close("closed")

    async def _open_one(self) -> str:
        why_not = self._why_not
        if self._requested is not None:
            try:
                return await self._open_and_prove(self._requested)
            except TwistreamError as error:
                if self._fallback is None:
                    raise
                why_not = f"{self._requested.name}: {error.problem}"
                await self._requested.close()
        if self._fallback is None:
            raise TunnelError("this tunnel has no provider", fix="Make it with open_tunnel(…)")
        self._fallback_reason = why_not
        return await self._open_and_prove(self._fallback)

    async def _open_and_prove(self, provider: Provider) -> str:
        self._open = provider
        url = await provider.open(_get_origin(self._server))
        proof = asyncio.ensure_future(
            prove(
                url,
                self._server.nonce,
                settles_within=provider.settles_within,
                lookup_after=provider.lookup_after,
            )
        )
        closed = asyncio.ensure_future(provider.wait_closed())
        try:
            await asyncio.wait((proof, closed), return_when=asyncio.FIRST_COMPLETED)
            if not proof.done():
                raise TunnelError(
                    f"the tunnel opened and closed at once: {await closed}",
                    consequence="There is no public address",
                    fix="Its last line may say why; if it does not, try again",
                )
            await proof
        finally:
            await end_tasks({proof, closed})
        return url

    async def _watch_address(self) -> None:
        if self._open is None or self._url is None:
            return
        why = await _wait_for_end(self._open, self._server)
        self._disconnect_reason = why
        if why == SERVER_STOPPED:
            logger.info("the tunnel to %s is closed: %s", remove_user(self._url), why)
            self._take_address_back()
        elif self._server.public_url == self._url:
            self._server.lose_public_url(why)
        else:
            logger.error("the tunnel to %s is gone: %s", remove_user(self._url), why)
        self._url = None
        await self._open.close()
        fulfil(self._ended, why)

    def _take_address_back(self) -> None:
        if self._url is not None and self._server.public_url == self._url:
            self._server.public_url = None

    async def _close(self, why: str) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            await end_tasks({watch})
        self._take_address_back()
        self._url = None
        provider, self._open = self._open, None
        try:
            if provider is not None:
                await provider.close()
        finally:
            await self._home.leave()
            fulfil(self._ended, self._disconnect_reason or why)

    def _describe_fallback(self) -> str:
        reach = "from this machine only" if is_loopback(self._url or "") else "in its place"
        return f"no public address: {self._fallback_reason.rstrip('.')}; this one works {reach}"


def _show_url(url: str | None) -> str:
    return "none" if url is None else remove_user(url)


def _get_origin(server: Reachable) -> str:
    parts = urlsplit(server.url)
    host = _LISTENING_EVERYWHERE.get(parts.hostname or "", parts.hostname or "127.0.0.1")
    return f"[{host}]:{parts.port}" if ":" in host else f"{host}:{parts.port}"


async def _wait_for_end(provider: Provider, server: Reachable) -> str:
    """Wait until `provider` fails or `server` stops; return a description of which.

    Another program may listen on the port as soon as the server has stopped, and would be exposed
    to the internet.  So an address must not outlive its server.

    Args:
        provider: An open provider.
        server: The server, on any event loop.
    """
    if server.stopped.done():
        return SERVER_STOPPED
    closed = asyncio.ensure_future(provider.wait_closed())
    stop = asyncio.ensure_future(_wait_for_stop(server))
    try:
        await asyncio.wait((closed, stop), return_when=asyncio.FIRST_COMPLETED)
        return closed.result() if closed.done() else SERVER_STOPPED
    finally:
        await end_tasks({closed, stop})


async def _wait_for_stop(server: Reachable) -> None:
    with contextlib.suppress(ServerStopped):  # the thread of its loop has ended
        await server.stopped
