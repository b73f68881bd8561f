"""The proof that a public address leads to this very process, before any call is placed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from http import HTTPStatus

from twistream_kit.errors import TunnelError
from twistream_kit.live.server.server_options import HEALTH_PATH
from twistream_kit.pending import on_worker
from twistream_kit.protocol.signature import without_user
from twistream_kit.protocol.twiml import is_loopback

PROOF_SECONDS = 8.0
"""How long one attempt may take."""

PAUSE_SECONDS = 0.4
"""Between two attempts."""

# What a proxy answers while the way behind it is not there yet; 530 is Cloudflare's own, with
# error 1033, for a tunnel that has not registered.
_NOT_YET = {
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
    530,
}
_ANSWER_BYTES = 1024

HEALTH_OF_HEADER = "X-Twistream-Health-Of"
"""Names the process that is asked, for an `Inspector`, behind which another one answers too."""


def health_of(nonce: str) -> str:
    """Return the name, for `HEALTH_OF_HEADER`, of the process with this nonce; it gives none away.

    Were the nonce itself sent, whoever sends back what he is sent could pass for that process.
    """
    return hashlib.sha256(nonce.encode()).hexdigest()[:32]


async def prove(url: str, nonce: str, *, settles_within: float = 0.0) -> None:
    """Ask ``/health`` through `url` until it brings `nonce` back.

    "Not there yet" (no name, no connection, HTTP 502, 503, 504, 530) is asked again; an answer
    from somebody else is final.  Cancelling is safe.

    Args:
        url: The public address, without a slash at the end.
        nonce: What only this process answers.
        settles_within: For how many seconds to ask again.

    Raises:
        TunnelError: If it does not lead here.
    """
    end = time.monotonic() + settles_within
    while True:
        try:
            # The resolver of names keeps to no limit of requests'.
            async with asyncio.timeout(PROOF_SECONDS + 1):
                trouble = await on_worker("tunnel proof", lambda: _ask(url, nonce))
        except TimeoutError:
            trouble = "does not answer (timed out)"
        if trouble is None:
            return
        if time.monotonic() + PAUSE_SECONDS > end:
            raise TunnelError(
                f"{without_user(url) + HEALTH_PATH} {trouble}",
                consequence="Twilio would not reach this server either",
                fix="Start the proxy or tunnel that leads to this server's port, and try again",
            )
        await asyncio.sleep(PAUSE_SECONDS)


def _ask(url: str, nonce: str) -> str | None:
    """Return None if it leads here, or words for "not yet"."""
    import requests

    address = url + HEALTH_PATH
    session = requests.Session()
    # A proxy named in the environment must not catch what stays on this machine.
    session.trust_env = not is_loopback(url)
    failed = ""
    try:
        with (
            session,
            session.get(
                address,
                timeout=PROOF_SECONDS,
                allow_redirects=False,
                stream=True,
                headers={HEALTH_OF_HEADER: health_of(nonce)},
            ) as response,
        ):
            status = response.status_code
            text = next(response.iter_content(_ANSWER_BYTES), b"")
    except requests.exceptions.SSLError:
        raise _bad_certificate(address) from None
    except (requests.RequestException, OSError) as error:
        failed = type(error).__name__
    if failed:
        return f"does not answer ({failed})"
    if text.decode(errors="replace").strip() == nonce:
        return None
    if status in _NOT_YET:
        return f"leads nowhere (HTTP {status})"
    raise TunnelError(
        f"{without_user(address)} answers, but not from this process (HTTP {status})",
        consequence="Calls would go to somebody else's server, or to an earlier one of yours",
        fix="Point the proxy or tunnel at this server's port" + _hint(status),
    )


def _hint(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or 300 <= status < 400:
        return ", and make it public: it asks for a login, which Twilio does not have"
    return ""


def _bad_certificate(address: str) -> TunnelError:
    return TunnelError(
        f"the certificate of {without_user(address)} does not hold",
        consequence="Twilio would refuse the connection with 31910",
        fix="Give the proxy a certificate for this very name from a public authority",
    )
