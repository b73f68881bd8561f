"""Knocking at a stream's address as Twilio does, and going away again (PROTOCOL.md §2.1)."""

from __future__ import annotations

import ssl
from typing import Any

from twistream_kit.errors import TunnelError
from twistream_kit.protocol.twiml import is_loopback

KNOCK_SECONDS = 10.0
"""How long a handshake may take; how long Twilio waits is not known (§10)."""

PROBE_HEADER = "x-twistream-preflight"
"""Carries the nonce of the server that is probed, so that it can tell a probe from a stranger."""

_CLOSE_SECONDS = 2.0

OPENED = 101


def knock(stream_url: str, signature: str | None, *, nonce: str = "") -> int:
    """Open a WebSocket and close it without a message; blocks.

    Args:
        stream_url: Where, ``wss://`` or ``ws://``.
        signature: What to send as ``x-twilio-signature``, or None for nothing.
        nonce: What to send as `PROBE_HEADER`, if anything.

    Returns:
        The HTTP status: 101 if it opened.  A redirection is not followed.

    Raises:
        TunnelError: If there was no answer, or none that is HTTP.
    """
    from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
    from websockets.sync.client import connect

    headers = {"x-twilio-signature": signature} if signature is not None else {}
    if nonce:
        headers[PROBE_HEADER] = nonce
    options: dict[str, Any] = {
        "additional_headers": headers,
        "compression": None,  # Twilio offers none (§2.1)
        "create_connection": _once(),
        "open_timeout": KNOCK_SECONDS,
        "close_timeout": _CLOSE_SECONDS,
        "ping_interval": None,
        # A proxy variable in the environment must not catch what never leaves this machine.
        "proxy": None if is_loopback(stream_url) else True,
    }
    try:
        with connect(stream_url, **options):
            return OPENED
    except InvalidStatus as refused:
        return int(refused.response.status_code)
    except _Redirected:
        return 302
    except ssl.SSLError as error:
        raise _unsafe(stream_url, error) from error
    except (OSError, EOFError, InvalidHandshake, InvalidURI) as error:
        raise _silent(stream_url, error) from error


class _Redirected(Exception):
    """The host wants the handshake made elsewhere; there a signature is nobody's business."""


def _once() -> Any:
    from websockets.sync.client import ClientConnection

    made: list[ClientConnection] = []

    def make(*args: Any, **kwargs: Any) -> ClientConnection:
        if made:
            raise _Redirected
        made.append(ClientConnection(*args, **kwargs))
        return made[0]

    return make


def _unsafe(url: str, error: ssl.SSLError) -> TunnelError:
    reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
    return TunnelError(
        f"{url} cannot be reached by TLS ({reason})",
        consequence="Twilio would not open the stream (31910)",
        fix="Put something with a valid certificate in front: an HTTPS tunnel or a reverse proxy",
    )


def _silent(url: str, error: Exception) -> TunnelError:
    return TunnelError(
        f"no WebSocket could be opened at {url} ({type(error).__name__})",
        consequence="Twilio would answer the call and open no stream (31901, 31902 or 31920)",
        fix="See that the tunnel or proxy leads to this server's port and passes WebSockets on",
    )
