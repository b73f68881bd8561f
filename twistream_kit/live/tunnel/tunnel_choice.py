"""Which provider a tunnel takes: the one that is asked for, or the first that can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twistream_kit.errors import SettingsError, TunnelError
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.settings.settings import Settings
from twistream_kit.live.settings.settings import settings as read_settings
from twistream_kit.live.tunnel import cloudflared as tunnel_cloudflared
from twistream_kit.live.tunnel import ngrok as tunnel_ngrok
from twistream_kit.live.tunnel.cloudflared import CloudflaredTunnel
from twistream_kit.live.tunnel.ngrok import NgrokTunnel
from twistream_kit.live.tunnel.provider import Provider, StaticAddress
from twistream_kit.live.tunnel.ssh import SshTunnel

PROVIDERS = ("auto", "static", "ngrok", "cloudflared", "ssh")

_WAYS = (
    "Set TWISTREAM_PUBLIC_URL to an https address that leads here, or set NGROK_AUTHTOKEN and "
    "install the package ngrok, or put cloudflared on the PATH"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `open_tunnel` was asked for.

    Attributes:
        provider: One of `PROVIDERS`.
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


def choose(wanted: Wanted) -> Provider:
    """Make the provider, not opened yet.

    Raises:
        TunnelError: If there is none of that name, or none to be had.
        SettingsError: If what it needs is missing or malformed.
    """
    if wanted.provider not in PROVIDERS:
        raise TunnelError(
            f"there is no tunnel provider {wanted.provider!r}",
            fix=f"Say one of {', '.join(map(repr, PROVIDERS))}",
        )
    if wanted.provider == "ssh":
        if not wanted.ssh:
            raise SettingsError("a tunnel by ssh needs its host", fix="Say ssh='user@host'")
        return SshTunnel(
            wanted.ssh,
            url=wanted.url,
            remote_port=wanted.remote_port,
            options=wanted.ssh_options,
        )
    if wanted.ssh is not None or wanted.remote_port is not None or wanted.ssh_options:
        raise SettingsError(
            f"ssh, ssh_options and remote_port mean nothing to {wanted.provider!r}",
            fix="Say open_tunnel(server, 'ssh', ssh='user@host', …)",
        )
    if wanted.provider == "static" or (wanted.provider == "auto" and wanted.url):
        if not wanted.url:
            raise SettingsError("a static tunnel needs its address", fix="Say url='https://…'")
        return StaticAddress(wanted.url)
    if wanted.url:
        raise SettingsError(
            f"{wanted.provider} gives the address, so url means nothing to it",
            fix="Leave url away, or say 'static'; a name kept at ngrok goes into NGROK_DOMAIN",
        )
    if wanted.provider == "cloudflared":
        return CloudflaredTunnel()
    settings = read_settings() if wanted.settings is None else wanted.settings
    return _ngrok(settings) if wanted.provider == "ngrok" else _first_to_be_had(settings)


def _first_to_be_had(settings: Settings) -> Provider:
    url = settings.get("public_url")
    if url is not None:
        return StaticAddress(settings.public_url, source="TWISTREAM_PUBLIC_URL")
    has_token = settings.get("ngrok_authtoken") is not None
    if has_token and tunnel_ngrok.is_installed():
        return _ngrok(settings)
    if tunnel_cloudflared.is_installed():
        return CloudflaredTunnel()
    if has_token:
        problem = "NGROK_AUTHTOKEN is set, but the package ngrok is not installed"
        fix = "Say pip install 'twistream-kit[tunnel]'"
    else:
        problem = (
            "TWISTREAM_PUBLIC_URL and NGROK_AUTHTOKEN are not set, and cloudflared is not on the "
            "PATH"
        )
        fix = _WAYS
    raise TunnelError(
        problem,
        consequence="There is no public address, and Twilio cannot reach this machine",
        fix=fix,
    )


def _ngrok(settings: Settings) -> NgrokTunnel:
    # Checked before the SDK is asked, whose one error does not tell this from anything else.
    token: Secret = settings.ngrok_authtoken
    return NgrokTunnel(token, domain=str(settings.get("ngrok_domain") or ""))
