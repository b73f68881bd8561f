"""The interface of a tunnel's providers, their table, and the one that needs no program.

`PROVIDERS` is filled by `_table`, which imports the modules of all providers; it stands here, so
that those can name each other in their errors (`or_another_way`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import BY_NAME, describe_address_fault
from twistream_kit.live.settings.settings import Settings
from twistream_kit.live.settings.settings import settings as read_settings


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


@dataclass(frozen=True, slots=True)
class TunnelRequest:
    """The arguments of `open_tunnel` that decide which provider is taken, and what it gets.

    Attributes:
        provider: ``"auto"``, or a name in `PROVIDERS`.
        url: For ``"static"``, and for ``"ssh"`` to a host of your own.
        ssh: For ``"ssh"``: ``user@host``.
        remote_port: For ``"ssh"``.
        ssh_options: For ``"ssh"``.
        settings: None reads them when they are needed.
    """

    provider: str
    url: str | None = None
    ssh: str | None = None
    remote_port: int | None = None
    ssh_options: Sequence[str] = ()
    settings: Settings | None = None

    def get_settings(self) -> Settings:
        """Return the settings given, or read them."""
        return read_settings() if self.settings is None else self.settings


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """All that is known of a provider before it is made.

    Attributes:
        name: As `open_tunnel` calls it.
        make: Makes it, not opened yet; raises a `SettingsError` if what it needs is missing.
        words: What it is for, as the docstring of `open_tunnel` says it after its name.
        arguments: Those of `open_tunnel` that mean something to it.
        usage: A call that gives them.
        set_up: What to do for ``"auto"`` to take it, in words; empty if it never does.
        way: What to call it where ways are counted: its name, or the setting that is all of it.
        setting: The setting that it needs, by its attribute.
        is_installed: Whether its program or package is there; None if it needs none.
        not_installed: What to say if that is not there.
        install: What to do then.
    """

    name: str
    make: Callable[[TunnelRequest], Provider]
    words: str
    arguments: tuple[str, ...] = ()
    usage: str = ""
    set_up: str = ""
    way: str = ""
    setting: str = ""
    is_installed: Callable[[], bool] | None = None
    not_installed: str = ""
    install: str = ""

    @property
    def variable(self) -> str:
        """The setting that it needs, by its name in the environment."""
        return BY_NAME[self.setting].variable if self.setting else ""

    def is_set(self, settings: Settings) -> bool:
        """Whether the setting that it needs is there; also if it needs none."""
        return not self.setting or settings.get(self.setting) is not None

    def can_run(self) -> bool:
        """Whether the program that it needs is there; also if it needs none."""
        return self.is_installed is None or self.is_installed()


PROVIDERS: dict[str, ProviderRow] = {}
"""By name, in the order in which ``"auto"`` tries them."""


def auto_rows() -> list[ProviderRow]:
    """Return those that ``"auto"`` tries, in its order."""
    return [row for row in PROVIDERS.values() if row.set_up]


def or_another_way(besides: str) -> str:
    """Return the end of a remedy, which names all ways but one to a public address."""
    ways = [row.way or row.name for row in auto_rows() if row.name != besides]
    return f", or use another way: {listed(ways, 'or')}" if ways else ""


def listed(words: Sequence[str], last: str) -> str:
    """Return words in a row: ``a, b and c``."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def make_static(request: TunnelRequest) -> StaticAddress:
    """Make what leads to `request.url`, or to the address that is set."""
    if request.url:
        return StaticAddress(request.url)
    if request.provider != "auto":
        raise SettingsError("a static tunnel needs its address", fix="Say url='https://…'")
    source = BY_NAME["public_url"].variable
    return StaticAddress(request.get_settings().public_url, source=source)


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
