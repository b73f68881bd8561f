"""The table of providers: a new one is a module beside this, and a row here.

The table determines the names and arguments that `open_tunnel` takes, the order of ``"auto"``, and
the alternatives that error messages name.
"""

from __future__ import annotations

from twistream_kit.errors import SettingsError, TunnelError
from twistream_kit.live.tunnel import _cloudflared, _ngrok, _provider, _ssh
from twistream_kit.live.tunnel._provider import (
    PROVIDERS,
    Provider,
    ProviderRow,
    TunnelRequest,
    join_words,
    list_auto_rows,
)

_ROWS = (
    ProviderRow(
        "static",
        _provider.make_static,
        "an address that leads here already (your own proxy, a domain, Codespaces)",
        arguments=("url",),
        set_up="set TWISTREAM_PUBLIC_URL to an https address that leads here",
        way="TWISTREAM_PUBLIC_URL",
        setting="public_url",
    ),
    ProviderRow(
        "ngrok",
        _ngrok.make,
        "an https endpoint of an ngrok account",
        set_up="set NGROK_AUTHTOKEN and install the package ngrok",
        setting="ngrok_authtoken",
        is_installed=_ngrok.is_installed,
        not_installed=_ngrok.NOT_INSTALLED,
        install=_ngrok.INSTALL,
    ),
    ProviderRow(
        "cloudflared",
        _cloudflared.make,
        "a quick tunnel of Cloudflare's, without an account",
        set_up="put cloudflared on the PATH",
        is_installed=_cloudflared.is_installed,
        not_installed="cloudflared is not on the PATH",
    ),
    ProviderRow(
        "ssh",
        _ssh.make,
        "a forward through a host of yours, or a service",
        arguments=("url", "ssh", "ssh_options", "remote_port"),
        usage="open_tunnel(server, 'ssh', ssh='user@host', …)",
        is_installed=_ssh.is_installed,
        not_installed=_ssh.NOT_INSTALLED,
    ),
)

PROVIDERS.update({row.name: row for row in _ROWS})


def list_rows() -> list[ProviderRow]:
    """Return the rows, in the order in which ``"auto"`` tries them."""
    return [*_ROWS]


def choose_provider(request: TunnelRequest) -> Provider:
    """Make the provider, not opened yet.

    Raises:
        TunnelError: If there is no provider of that name, or none is available.
        SettingsError: If a setting is missing or malformed, or the provider does not use an
            argument that was given.
    """
    names = ["auto", *PROVIDERS]
    if request.provider not in names:
        raise TunnelError(
            f"there is no tunnel provider {request.provider!r}",
            fix=f"Say one of {', '.join(map(repr, names))}",
        )
    is_auto = request.provider == "auto"
    row = PROVIDERS.get("static" if is_auto and request.url else request.provider)
    _check_arguments(request, () if row is None else row.arguments)
    return (row or _find_available(request)).make(request)


def _check_arguments(request: TunnelRequest, taken: tuple[str, ...]) -> None:
    for row in PROVIDERS.values():
        own = [name for name in row.arguments if name != "url" and name not in taken]
        # remote_port=0 is a valid argument, so test for None and ().
        if any(getattr(request, name) not in (None, ()) for name in own):
            raise SettingsError(
                f"{join_words(own, 'and')} mean nothing to {request.provider!r}",
                fix=f"Say {row.usage}",
            )
    if request.url and "url" not in taken:
        raise SettingsError(
            f"{request.provider} gives the address, so url means nothing to it",
            fix="Leave url out, or say 'static'; a domain reserved at ngrok goes into NGROK_DOMAIN",
        )


def _find_available(request: TunnelRequest) -> ProviderRow:
    settings = request.get_settings()
    rows = list_auto_rows()
    for row in rows:
        if row.is_set(settings) and row.can_run():
            return row
    for row in rows:
        if row.setting and row.is_set(settings):
            problem, fix = f"{row.variable} is set, but {row.not_installed}", row.install
            break
    else:
        unset = [row.variable for row in rows if row.setting]
        verb = "is" if len(unset) == 1 else "are"
        missing = [f"{join_words(unset, 'and')} {verb} not set"] if unset else []
        missing += [row.not_installed for row in rows if not row.setting]
        problem = ", and ".join(missing)
        ways = ", or ".join(row.set_up for row in rows)
        fix = ways[:1].upper() + ways[1:]
    raise TunnelError(
        problem,
        consequence="There is no public address, and Twilio cannot reach this machine",
        fix=fix,
    )
