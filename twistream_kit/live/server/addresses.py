"""Where a server is reached: here, and from outside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from twistream_kit.errors import ServerStopped
from twistream_kit.live.server.admission import checked_hosts, host_of, is_ip_address, is_wildcard
from twistream_kit.live.server.server_options import STATUS_PATH, TWIML_PATH, check_public_url
from twistream_kit.protocol.twiml import stream_url as stream_url_of


class ServerAddresses:
    """The addresses of one server; all may be read from any thread.

    Args:
        host: The address it listens on.
        path: Where streams connect.
        public_url: The address at which Twilio reaches it, or None.
        allowed_hosts: Further hosts by which it is known.
    """

    _called = ("the stream server", "server")

    def __init__(
        self, host: str, path: str, public_url: str | None, allowed_hosts: Sequence[str] = ()
    ) -> None:
        self._host, self._path = host, path
        self._allowed_hosts = checked_hosts(allowed_hosts)
        self._port: int | None = None
        self._trouble = ""
        self.public_url = public_url

    @property
    def public_url(self) -> str | None:
        """The address at which Twilio reaches this server, without the path; None if unknown."""
        return self._public_url

    @public_url.setter
    def public_url(self, url: str | None) -> None:
        if url is not None:
            check_public_url(url)
            self._trouble = ""
        self._public_url = url

    @property
    def trouble(self) -> str:
        """Why the public address is gone, or empty; a new address takes it away."""
        return self._trouble

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            ServerStopped: If it does not run.
        """
        if self._port is None:
            raise ServerStopped(
                f"{self._called[0]} is not running, so it has no port",
                fix=f"Start it with kit.start({self._called[1]}) or `async with {self._called[1]}`",
            )
        return self._port

    @property
    def base_url(self) -> str:
        """Where webhooks and `/health` are asked for: the public address, else the local one."""
        if self.public_url is None:
            return f"http://{self._authority}"
        # Whoever configured it with the scheme of the stream meant the same place.
        return re.sub(r"\Aws", "http", self.public_url, flags=re.IGNORECASE).rstrip("/")

    @property
    def url(self) -> str:
        """The local address of the WebSocket."""
        return f"ws://{self._authority}{self._path}"

    @property
    def stream_url(self) -> str:
        """What ``<Stream url>`` needs: the wss form of `public_url`, else `url`."""
        return self.url if self.public_url is None else stream_url_of(self.public_url, self._path)

    @property
    def twiml_url(self) -> str:
        """What a number's ``voice_url`` needs, for incoming calls."""
        return self.base_url + TWIML_PATH

    @property
    def status_url(self) -> str:
        """Where status callbacks of calls and streams may be sent; see `status_events`."""
        return self.base_url + STATUS_PATH

    def is_own_host(self, authority: str) -> bool:
        """Whether a ``Host`` header names this server, as its addresses are now.

        These do: loopback, the address it listens on, the host of `public_url`, and the allowed
        hosts; and any IP address, if it listens on all that the machine has.
        """
        host = host_of(authority)
        if not host:
            return False
        if is_ip_address(host) and (is_wildcard(self._host) or ip_address(host).is_loopback):
            return True
        public = host_of(urlsplit(self.public_url or "").hostname or "")
        return host in {"localhost", host_of(self._host), public} | self._allowed_hosts

    @property
    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"
