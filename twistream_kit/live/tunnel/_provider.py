"""The interface of tunnel providers, their table, and the provider of a fixed address.

`_table` fills `PROVIDERS`, because it imports the modules of all providers.  `PROVIDERS` is defined
here, so that the providers can name each other in their errors (`suggest_another_way`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twistream_kit.errors import SettingsError, hide_user, quote
from twistream_kit.live.settings.schema import BY_NAME, describe_address_fault
from twistream_kit.live.settings.settings import Settings
from twistream_kit.live.settings.settings import settings as read_settings


class Provider(Protocol):
    """A source of a public address; its constructor touches no loop, process or network.

    Attributes:
        name: The name that `open_tunnel` takes.
        settles_within: For how many seconds after `open` the address may not work yet, while DNS
            and proxies are updated.
        lookup_after: For how many seconds after `open` its name may be missing in the DNS; it is
            not looked up before.
    """

    name: str
    settles_within: float
    lookup_after: float

    async def open(self, origin: str) -> str:
        """Open a public address that forwards to `origin`, ``127.0.0.1:8080``; return its URL.

        Raises:
            TunnelError: If it cannot be opened.
            SettingsError: If a setting that only the user can give is missing or malformed.
        """

    async def wait_closed(self) -> str:
        """Wait until the address is lost other than by `close`; return a description of why."""

    async def close(self) -> None:
        """Give up the address and end everything that was started; also after a failed `open`."""


@dataclass(frozen=True, slots=True)
class TunnelRequest:
    """The arguments of `open_tunnel` that choose a provider and configure it.

    Attributes:
        provider: ``"auto"``, or a name in `PROVIDERS`.
        url: For ``"static"``, and for ``"ssh"`` to a host of your own.
        ssh: For ``"ssh"``: ``user@host``.
        remote_port: For ``"ssh"``.
        ssh_options: For ``"ssh"``.
        settings: The settings; None reads them when they are needed.
    """

    provider: str
    url: str | None = None
    ssh: str | None = None
    remote_port: int | None = None
    ssh_options: Sequence[str] = ()
    settings: Settings | None = None

    def get_settings(self) -> Settings:
        """Return the given settings, or read them."""
        return read_settings() if self.settings is None else self.settings


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """The description of a provider.

    Attributes:
        name: The name that `open_tunnel` takes.
        make: Makes it, not opened yet; raises a `SettingsError` if a setting is missing.
        words: What it is for, as the docstring of `open_tunnel` describes it.
        arguments: The arguments of `open_tunnel` that it uses.
        usage: An example of a call with these arguments.
        set_up: How to set it up for ``"auto"``; empty if ``"auto"`` never chooses it.
        way: Its name in a list of alternatives: a program or a setting; empty for `name`.
        setting: The attribute name of the setting that it needs.
        is_installed: Whether its program or package is installed; None if it needs none.
        not_installed: The error message if it is not installed.
        install: The remedy for that error.
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
        """The environment variable of the setting that it needs."""
        return BY_NAME[self.setting].variable if self.setting else ""

    def is_set(self, settings: Settings) -> bool:
        """Whether the setting that it needs is set; true if it needs none."""
        return not self.setting or settings.get(self.setting) is not None

    def can_run(self) -> bool:
        """Whether the program or package that it needs is installed; true if it needs none."""
        return self.is_installed is None or self.is_installed()


PROVIDERS: dict[str, ProviderRow] = {}
"""The providers by name, in the order in which ``"auto"`` tries them."""


def list_auto_rows() -> list[ProviderRow]:
    """Return the providers that ``"auto"`` tries, in its order."""
    return [row for row in PROVIDERS.values() if row.set_up]


def suggest_another_way(besides: str) -> str:
    """Return the end of a remedy, which names the alternatives to one provider."""
    ways = [row.way or row.name for row in list_auto_rows() if row.name != besides]
    return f", or use another way: {join_words(ways, 'or')}" if ways else ""


def join_words(words: Sequence[str], last: str) -> str:
    """Join words to a list: ``a, b and c``."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def make_static(request: TunnelRequest) -> StaticAddress:
    """Make a provider of `request.url`, or of the address in the settings."""
    if request.url:
        return StaticAddress(request.url)
    if request.provider != "auto":
        raise SettingsError("a static tunnel needs its address", fix="Say url='https://…'")
    source = BY_NAME["public_url"].variable
    return StaticAddress(request.get_settings().public_url, source=source)


class StaticAddress:
    """A fixed address that already leads here: your own proxy, a domain, Codespaces.

    Args:
        url: ``https://example.com``; plain http only on loopback.
        source: The source of the URL for error messages, such as the name of a variable.

    Raises:
        SettingsError: If `url` is not such an address.
    """

    name = "static"
    settles_within = lookup_after = 0.0

    def __init__(self, url: str, *, source: str = "") -> None:
        check_url(url, source=source)
        self._url = url.rstrip("/")

    async def open(self, origin: str) -> str:  # noqa: ARG002 - required by the interface
        """Return the address."""
        return self._url

    async def wait_closed(self) -> str:
        """Never return, because the end of another program's proxy cannot be detected."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self) -> None:
        """Do nothing, because another program owns the address."""


def check_url(url: str, *, source: str = "") -> None:
    """Refuse a URL that Twilio cannot use: one with a query, or not https (or http on loopback).

    Raises:
        SettingsError: If `url` is not such an address.
    """
    fault = describe_address_fault(url)
    if not fault:
        return
    if not fault.startswith("has a query"):
        fault = "is not an https address"
    # Remove a password even if the address is malformed.
    problem = f"{quote(hide_user(url), 200)} {fault}"
    raise SettingsError(
        f"{source}: {problem}" if source else problem,
        consequence="Twilio connects streams over TLS only",
        fix="Give the https address under which this machine is reached",
    )
