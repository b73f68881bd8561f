"""The local and public addresses of a server, and checks of its options.

`PublicAddress` is what all servers have in common: the address at which Twilio reaches them, the
loop of a run, its beginning and its end.  `ServerAddresses` is that of a server or an inspector
that listens itself; `Reachable` is what a tunnel asks of either.  The checks refuse what
cannot be used before anything starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from twistream_kit.errors import (
    CannotListen,
    ServerStopped,
    SettingsError,
    TunnelError,
    WrongValue,
    hide_user,
    quote,
    require_type,
)
from twistream_kit.live.server.admission import (
    is_ip_address,
    is_wildcard,
    normalise_host,
    normalise_hosts,
)
from twistream_kit.live.settings.secret import Secret, reveal_text
from twistream_kit.pending import HomeLoop, Pending, Subject, fulfil
from twistream_kit.protocol.twiml import build_stream_url
from twistream_kit.protocol.url_repair import repair_url

logger = logging.getLogger("twistream_kit.live")

OWN_PATHS = TWIML_PATH, STATUS_PATH, HEALTH_PATH = "/twiml", "/status", "/health"
"""The paths at which the server answers requests that are not for streams."""

MAX_PORTS = 20
"""How many ports are tried that are to be free on each address of a host."""


class Listener(Protocol):
    """A listener of asyncio or of `websockets`."""

    @property
    def sockets(self) -> Iterable[Any]:
        """Its sockets, one for each address."""

    def close(self, *args: Any) -> None:
        """Accept no more."""

    async def wait_closed(self) -> None:
        """Wait until it has closed."""


L = TypeVar("L", bound=Listener)


class PublicAddress:
    """The address at which Twilio reaches a server; all may be read from any thread.

    Args:
        path: Where streams connect, below the address.
        public_url: The address, or None.
        auth_token: The auth token of the server, or None.
        allowed_hosts: Further hosts by which it is known.

    Raises:
        SettingsError: If `public_url`, `auth_token` or `allowed_hosts` cannot be used.
    """

    _called = ("the stream server", "server")

    def __init__(
        self,
        path: str,
        public_url: str | None,
        auth_token: str | Secret | None,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        _check_token(auth_token)
        self._path = path
        self._allowed_hosts = normalise_hosts(allowed_hosts)
        self._home = HomeLoop(self._called[0])
        self._disconnect_reason = ""
        self._stopped: Pending[None] = Pending(None, _STOP)
        fulfil(self._stopped, None)
        self.public_url = public_url

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop it runs on, or None."""
        return self._home.loop

    @property
    def public_url(self) -> str | None:
        """The address at which Twilio reaches this server, without the path, or None."""
        return self._public_url

    @public_url.setter
    def public_url(self, url: str | None) -> None:
        if url is not None:
            check_public_url(url)
            self._disconnect_reason = ""
        self._public_url = url

    @property
    def disconnect_reason(self) -> str:
        """Why the public address was lost, or empty; setting a new address clears it."""
        return self._disconnect_reason

    @property
    def stopped(self) -> Pending[None]:
        """A `Pending` that is done when the current run has stopped.

        Each run has its own; while the server is not running, it is that of the last run, which is
        done.  ``await server.stopped`` works on any loop, and cancelling that wait does not stop
        the server.  It gets a `ServerStopped` if the loop's thread ended before the server could
        be stopped.

        >>> async def run():
        ...     async with StreamServer() as server:
        ...         stopped = server.stopped
        ...         print(stopped)
        ...     print(stopped)
        >>> asyncio.run(run())
        <Pending stop of the server: pending; .result(10) or await>
        <Pending stop of the server: None>
        """
        return self._stopped

    @property
    def base_url(self) -> str:
        """The base address of webhooks and `/health`: the public address, else the local one."""
        if self.public_url is None:
            return self._local_url
        # A public address configured as wss is the same host.
        return re.sub(r"\Aws", "http", self.public_url, flags=re.IGNORECASE).rstrip("/")

    @property
    def stream_url(self) -> str:
        """The URL for ``<Stream url>``: the wss form of `public_url`, else the local address."""
        if self.public_url is None:
            return re.sub(r"\Ahttp", "ws", self._local_url) + self._path
        return build_stream_url(self.public_url, self._path)

    @property
    def twiml_url(self) -> str:
        """The ``voice_url`` of a number, for incoming calls."""
        return self.base_url + TWIML_PATH

    @property
    def status_url(self) -> str:
        """The URL for status callbacks of calls and streams; see `status_events`."""
        return self.base_url + STATUS_PATH

    def _is_own_host(self, authority: str) -> bool:
        """Whether a ``Host`` header names this server, as its addresses are now.

        These are loopback, the host of `public_url`, and the allowed hosts.
        """
        host = normalise_host(authority)
        if not host:
            return False
        if is_ip_address(host) and ip_address(host).is_loopback:
            return True
        public = normalise_host(urlsplit(self.public_url or "").hostname or "")
        return host in {"localhost", public} | self._allowed_hosts

    def lose_public_url(self, why: str) -> None:
        """Note that the public address no longer leads here; callable from any thread.

        No new stream can arrive from outside, so all waits for streams get a `TunnelError`.  Open
        streams get `why` as their `disconnect_reason`; they end when their connections do, or when
        no message arrives any more.

        Args:
            why: The reason, in words.
        """
        with contextlib.suppress(ServerStopped):
            self._home.call(self._lose_public_url, why)

    def _lose_public_url(self, why: str) -> TunnelError:
        """Clear the address; return the error for the waits for a stream."""
        self._public_url, self._disconnect_reason = None, why
        logger.error("the public address is gone: %s", why)
        return TunnelError(
            f"the public address is gone: {why}",
            consequence="No stream can come in from outside",
            fix="Open a tunnel again and place the call anew",
        )

    def _begin_run(self) -> None:
        fulfil(self._stopped, None)  # not done yet if the loop of the last run was closed
        self._stopped = Pending(asyncio.get_running_loop(), _STOP)

    def _end_run(self) -> None:
        fulfil(self._stopped, None)

    @property
    def _local_url(self) -> str:
        """The base address on this machine.

        Raises:
            ServerStopped: If it is not known.
        """
        raise NotImplementedError


class ServerAddresses(PublicAddress):
    """The addresses of a server that listens itself; all may be read from any thread.

    Args:
        host: The address it listens on.
        port: Where; 0 takes a free one.
        path: Where streams connect.
        public_url: The address at which Twilio reaches it, or None.
        auth_token: Its auth token, or None.
        allowed_hosts: Further hosts by which it is known.

    Raises:
        SettingsError: If `host`, `public_url`, `auth_token` or `allowed_hosts` cannot be used.
        ValueError: If `port` is out of range.
    """

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        public_url: str | None,
        auth_token: str | Secret | None,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        require_type("a whole number", port=port)
        if not 0 <= port <= 65535:
            raise WrongValue(f"port is {port}; it is from 1 to 65535, or 0 for a free one")
        _check_host(host)
        self._host, self._wanted_port = host, port
        self._port: int | None = None
        super().__init__(path, public_url, auth_token, allowed_hosts)

    @property
    def port(self) -> int:
        """The port that the server listens on.

        Raises:
            ServerStopped: If it is not running.
        """
        if self._port is None:
            raise ServerStopped(
                f"{self._called[0]} is not running, so it has no port",
                fix=f"Start it with kit.start({self._called[1]}) or `async with {self._called[1]}`",
            )
        return self._port

    @property
    def url(self) -> str:
        """The local address of the WebSocket."""
        return f"ws://{self._authority}{self._path}"

    def _is_own_host(self, authority: str) -> bool:
        """Whether a ``Host`` header names this server.

        Besides those of its public address, these are the address it listens on, and any IP
        address, if it listens on all addresses of the machine.
        """
        host = normalise_host(authority)
        if host and host == normalise_host(self._host):
            return True
        if is_wildcard(self._host) and is_ip_address(host):
            return True
        return super()._is_own_host(authority)

    @contextlib.asynccontextmanager
    async def _start_run(self) -> AsyncIterator[None]:
        """Begin a run; an exception in the block ends it, and an `OSError` gets a helpful text."""
        self._home.enter()
        self._begin_run()
        try:
            yield
        except BaseException as error:
            await self._home.leave()
            self._end_run()
            if isinstance(error, OSError):
                raise _describe_port_error(
                    error, self._called[0], self._host, self._wanted_port
                ) from error
            raise

    async def _listen(self, start: Callable[[int], Awaitable[L]]) -> L:
        """Start a listener; on a free port, a host with several addresses has the same on each.

        Args:
            start: Starts a listener on a port; 0 takes a free one, for each address another.
        """
        port = self._wanted_port
        for _ in range(MAX_PORTS):
            try:
                listener = await start(port)
            except OSError as error:
                if port == self._wanted_port or error.errno != errno.EADDRINUSE:
                    raise
                port = self._wanted_port  # it was free on one address and taken on another
                continue
            ports = {each.getsockname()[1] for each in listener.sockets}
            if len(ports) == 1:
                return listener
            listener.close()
            await listener.wait_closed()
            port = ports.pop()
        raise OSError(errno.EADDRINUSE, "no port is free on all of its addresses")

    @property
    def _local_url(self) -> str:
        return f"http://{self._authority}"

    @property
    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"


class Reachable(Protocol):
    """A server that a tunnel can make public: it listens here and can get a public address.

    Attributes:
        public_url: The address at which Twilio reaches it, without the path, or None.
    """

    public_url: str | None

    @property
    def url(self) -> str:
        """The local address of its WebSocket."""

    @property
    def nonce(self) -> str:
        """The random string that ``/health`` returns; it identifies this process."""

    @property
    def checks_signatures(self) -> bool:
        """Whether streams must be signed by Twilio."""

    def lose_public_url(self, why: str) -> None:
        """Note that the public address no longer leads here; callable from any thread."""

    @property
    def stopped(self) -> Pending[None]:
        """A `Pending` that is done when the current run has stopped, or if there is none."""


def check_path(path: str) -> None:
    """Refuse a path at which no stream can connect.

    Raises:
        SettingsError: If it is relative, has a query, or is one of the server's own.
    """
    require_type("a string", path=path)
    if not path.startswith("/") or "?" in path or "#" in path or path in OWN_PATHS:
        raise SettingsError(
            f"the path {path!r} cannot be used for streams",
            consequence="It has to begin with a slash, hold no query (Twilio drops one), and be "
            f"none of {', '.join(OWN_PATHS)}",
            fix="Leave it out, or say path='/media'",
        )


def check_public_url(url: str) -> None:
    """Refuse a public address without scheme or host, or with a query.

    Raises:
        SettingsError: If it is one.
    """
    if repair := repair_url(url, "https"):
        problem, fix = f"the public address {repair.problem}", repair.fix
        raise SettingsError(problem, consequence="Nobody could reach the server there", fix=fix)
    try:
        parts = urlsplit(url)
    except ValueError:  # an IPv6 address cut off, for example
        parts = urlsplit("")
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname or parts.query:
        raise SettingsError(
            f"the public address {quote(hide_user(url), 200)} cannot be used",
            consequence="It needs a scheme and a host, and no query",
            fix="Give it as https://example.com, without the path of the stream",
        )


def _check_host(host: object) -> None:
    """Refuse a host that names no address.

    Raises:
        SettingsError: If it is no text, or empty.
    """
    if not isinstance(host, str) or not host.strip():
        raise SettingsError(
            f"host is {host!r}, which names no address",
            consequence="The server would listen on all addresses of this machine, for IPv4 and "
            "IPv6 on different ports, and its URL would name neither",
            fix="Say host='127.0.0.1' for this machine alone, or host='0.0.0.0' for all of its "
            "IPv4 addresses",
        )


def _check_token(auth_token: str | Secret | None) -> None:
    """Refuse an empty token, with which no signature is valid.

    Raises:
        SettingsError: If it is empty.
        TypeError: If it is neither text nor a Secret.
    """
    if auth_token is not None and not reveal_text(auth_token):
        raise SettingsError(
            "auth_token is empty",
            consequence="No signature could be valid, so every request would be refused",
            fix="Give the account's token, or leave it out to check nothing",
        )


_STOP = Subject("stop of the server", "None", kind=type(None))


def _describe_port_error(error: OSError, called: str, host: str, port: int) -> CannotListen:
    """Return an error with words for why the server cannot listen, and what to do."""
    problem = f"{called} cannot listen on {host}, port {port}: {error.strerror or error}"
    consequence, fix = "", "Say host='127.0.0.1', or another address of this machine"
    if error.errno == errno.EADDRINUSE:
        consequence = "Another program has it, or the earlier server still runs"
        fix = "Say port=0 for a free one, or stop the other"
    elif error.errno == errno.EACCES:
        consequence = "Ports below 1024 belong to the administrator"
        fix = "Say port=0 for a free one"
    return CannotListen(problem, errno=error.errno, consequence=consequence, fix=fix)
