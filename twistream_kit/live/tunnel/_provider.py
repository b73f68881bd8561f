"""The interface of a tunnel's providers, and the one that needs no program: a fixed address."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import describe_address_fault


class Provider(Protocol):
    """A source of a public address; its constructor touches no loop, process or network.

    Attributes:
        name: As `open_tunnel` calls it.
        settles_within: For how many seconds after `open` the address may not lead here yet, for
            names to spread and proxies to wake.
    """

    name: str
    settles_within: float

    async def open(self, origin: str) -> str:
        """Lead a public address to `origin`, ``127.0.0.1:8080``; return it, ``https://…``.

        Raises:
            TunnelError: If it cannot be had, in words.
            SettingsError: If something that only the user can give is missing or malformed.
        """

    async def wait_closed(self) -> str:
        """Wait until the address is lost other than by `close`; return why, in words."""

    async def close(self) -> None:
        """Give the address up and end all that was started; also after a failed `open`."""


class StaticAddress:
    """An address that leads here already: your own proxy, a domain, Codespaces.

    Args:
        url: ``https://example.com``; plain http only on loopback.
        source: What to call it in an error, such as the name of a variable.

    Raises:
        SettingsError: If it is not such an address.
    """

    name = "static"
    settles_within = 0.0

    def __init__(self, url: str, *, source: str = "") -> None:
        check_url(url, source=source)
        self._url = url.rstrip("/")

    async def open(self, origin: str) -> str:  # noqa: ARG002 - the interface; it leads there already
        """Return the address."""
        return self._url

    async def wait_closed(self) -> str:
        """Never return: nothing here learns that another program's proxy has stopped."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self) -> None:
        """Do nothing: it is not ours to end."""


def check_url(url: str, *, source: str = "") -> None:
    """Refuse what Twilio cannot reach: anything but https, or plain http on loopback; a query.

    Raises:
        SettingsError: If `url` is not such an address.
    """
    fault = describe_address_fault(url)
    if not fault:
        return
    if not fault.startswith("has a query"):
        fault = "is not an https address"
    # A password in it is not to be shown, however malformed the address is around it.
    problem = f"{re.sub('.*@', '…@', url)!r} {fault}"
    raise SettingsError(
        f"{source}: {problem}" if source else problem,
        consequence="Twilio connects streams over TLS only",
        fix="Give the https address under which this machine is reached",
    )
