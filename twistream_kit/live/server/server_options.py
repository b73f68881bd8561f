"""What a server may be told, checked before it starts; and why it cannot listen."""

from __future__ import annotations

import errno
import re
from urllib.parse import urlsplit

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.secret import Secret, revealed

OWN_PATHS = TWIML_PATH, STATUS_PATH, HEALTH_PATH = "/twiml", "/status", "/health"
"""Where the server answers besides the streams."""


def check_path(path: str) -> None:
    """Refuse a path at which no stream can connect.

    Raises:
        SettingsError: If it is relative, has a query, or is one of the server's own.
    """
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
    try:
        parts = urlsplit(url)
    except ValueError:  # an IPv6 address cut off, for example
        parts = urlsplit("")
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname or parts.query:
        raise SettingsError(
            f"the public address {re.sub('.*@', '…@', url)!r} cannot be used",
            consequence="It needs a scheme and a host, and no query",
            fix="Give it as https://example.com, without the path of the stream",
        )


def check_token(auth_token: str | Secret | None) -> None:
    """Refuse a token that lets nobody in.

    Raises:
        SettingsError: If it is empty.
    """
    if auth_token is not None and not revealed(auth_token):
        raise SettingsError(
            "auth_token is empty",
            consequence="No signature could ever fit, so nobody would get in",
            fix="Give the account's token, or leave it out to check nothing",
        )


def check_handler(handler: object) -> None:
    """Refuse a handler that cannot be called.

    Raises:
        TypeError: If it cannot.
    """
    if handler is not None and not callable(handler):
        raise TypeError(
            f"handler is {type(handler).__name__}, not a function: give `async def (stream)` or an "
            "ordinary function of one stream"
        )


def port_error(error: OSError, host: str, port: int) -> OSError:
    """Say in words why the server cannot listen, and what to do."""
    what = f"the stream server cannot listen on {host}, port {port}: {error.strerror or error}. "
    fix = "Say host='127.0.0.1', or another address of this machine"
    if error.errno == errno.EADDRINUSE:
        fix = (
            "Another program has it, or the earlier server still runs. Say port=0 for a free one, "
            "or stop the other"
        )
    elif error.errno == errno.EACCES:
        fix = "Ports below 1024 belong to the administrator. Say port=0 for a free one"
    return OSError(error.errno, what + fix)
