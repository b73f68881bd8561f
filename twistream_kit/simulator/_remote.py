"""The refusal of addresses on other machines, for what burdens or breaks a server."""

from __future__ import annotations

from urllib.parse import urlsplit

from twistream_kit.errors import SettingsError, hide_user
from twistream_kit.protocol.twiml import is_loopback_host


def refuse_remote(url: str, what: str) -> None:
    """Refuse an address on another machine, which might be in use.

    Args:
        url: The address.
        what: What would be done to it, to follow "would".

    Raises:
        SettingsError: If its host is not this machine by its name or number alone.
    """
    host = urlsplit(url).hostname or ""
    if is_loopback_host(host):
        return
    raise SettingsError(
        f"{hide_user(url)} is not on this machine, and this would {what}",
        consequence="Callers who use it at the same time may notice, and it may stop working",
        fix="If it is yours and nobody uses it, say remote=True (--remote in a shell)",
    )
