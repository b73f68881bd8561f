"""Will this call work?  Everything that can be known before dialling, checked at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from twistream_kit.live.preflight._account import (
    CALLED,
    CALLER,
    CLOCK,
    COUNTRY,
    CREDENTIALS,
    STANDING,
    Account,
    called_checks,
    caller_checks,
    clock_check,
    look_at_account,
)
from twistream_kit.live.preflight._address import (
    ADDRESS,
    SIGNATURES,
    SOCKET,
    TWIML,
    address_checks,
    twiml_checks,
)
from twistream_kit.live.preflight.check import Check, Checks, settled, unknown
from twistream_kit.pending import Pending, on_worker

if TYPE_CHECKING:
    from twilio.rest import Client

    from twistream_kit.live.server.server import StreamServer

PART_SECONDS = 45.0
"""How long all steps of one part may take together, should each of them only just answer."""


def preflight(
    client: Client,
    *,
    to: str | None = None,
    from_: str | None = None,
    server: StreamServer | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Pending[Checks]:
    """Find out before dialling what would go wrong; callable from any thread.

    Nothing is changed and nobody is called: it asks Twilio about the account and the numbers,
    asks ``/health`` through the public address, and opens a WebSocket there that it closes without
    a word.

    Args:
        client: As for `place_call`: the real ``twilio.rest.Client``, or a simulator's.
        to: Whom you want to call, E.164; without it that part is left out.
        from_: A number of the account's, E.164; without it that part is left out.
        server: Where the stream is to connect; without it that part is left out.
        parameters: As for `place_call`.

    Returns:
        A `Pending` with ten checks, each ✓, ✗ or –: credentials, account, from_, to, country,
        public address, WebSocket, signatures, TwiML, clock.  It gets no error for what it finds.
        It takes a second or two; where things do not answer, a minute and a half at the most.
    """
    # A simulator, and the server, answer on loops of this process, which must not be blocked.
    home = getattr(client.http_client, "loop", None) or (server.loop if server else None)
    work = partial(_all_checks, client, to, from_, server, parameters)
    return on_worker("preflight", work, home=home)


def _all_checks(
    client: Client,
    to: str | None,
    from_: str | None,
    server: StreamServer | None,
    parameters: Mapping[str, str] | None,
) -> Checks:
    from twistream_kit.live.preflight._timed_client import timed_client

    timed, http_client = timed_client(client)
    account, checks = _account(timed)
    parts = [
        _Part((CALLER,), partial(caller_checks, timed, from_, account)),
        _Part((CALLED, COUNTRY), partial(called_checks, timed, to, from_, account)),
        *_server_parts(client, server, parameters, account),
    ]
    for part in parts:
        checks.extend(part.checks())
    checks.extend(settled((CLOCK,), lambda: [clock_check(http_client.readings)]))
    return checks


def _account(client: Client) -> tuple[Account, Checks]:
    found: list[Account] = []

    def look() -> list[Check]:
        found.append(look_at_account(client))
        return [found[0].credentials, found[0].standing]

    checks = Checks(_Part((CREDENTIALS, STANDING), look).checks())
    why = "not asked, because the account could not be looked at"
    return (found[0] if found else Account(checks[0], checks[1], why)), checks


def _server_parts(
    client: Client,
    server: StreamServer | None,
    parameters: Mapping[str, str] | None,
    account: Account,
) -> list[_Part]:
    names = (ADDRESS, SOCKET, SIGNATURES, TWIML)
    if server is None:
        return [_Part(names, lambda: [unknown(name, "no server was given") for name in names])]
    loopback = bool(getattr(client.http_client, "dials_loopback", False))
    token = None
    if account.credentials.passed and str(client.username or "").startswith("AC"):
        token = client.password
    return [
        _Part(names[:3], partial(address_checks, server, loopback=loopback, token=token)),
        _Part(names[3:], partial(twiml_checks, server, parameters, loopback=loopback)),
    ]


class _Part:
    """Some checks, on a thread of their own from the moment this is made.

    Args:
        names: Of the checks.
        look: Makes them; blocks.
    """

    def __init__(self, names: Sequence[str], look: Callable[[], list[Check]]) -> None:
        self._names = names
        self._end = time.monotonic() + PART_SECONDS
        self._pending = on_worker(f"preflight: {', '.join(names)}", partial(settled, names, look))

    def checks(self) -> list[Check]:
        """Wait for them, but not for ever."""
        try:
            return self._pending.result(max(0.0, self._end - time.monotonic()))
        except TimeoutError:
            why = f"could not be found out within {PART_SECONDS:.0f} s"
            return [unknown(name, why) for name in self._names]
