"""Preflight: check everything that can be known before dialling, in parallel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from twistream_kit.live.calls.sdk import check_client
from twistream_kit.live.preflight._account import (
    ACCOUNT_CHECKS,
    CALLED_CHECKS,
    CALLER_CHECKS,
    CLOCK_CHECKS,
    Account,
    check_called,
    check_caller,
    check_clock,
    look_at_account,
)
from twistream_kit.live.preflight._address import (
    ADDRESS_CHECKS,
    TWIML_CHECKS,
    check_address,
    check_twiml,
)
from twistream_kit.live.preflight.check import Check, Checks, run_checks, skip_check
from twistream_kit.pending import Pending, Subject, on_worker

if TYPE_CHECKING:
    from twilio.rest import Client

    from twistream_kit.live.server.server import StreamServer
    from twistream_kit.live.server.stream_app import StreamApp

PART_SECONDS = 45.0
"""The time limit of a group of checks."""


def preflight(
    client: Client,
    *,
    to: str | None = None,
    from_: str | None = None,
    server: StreamServer | StreamApp | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Pending[Checks]:
    """Check before dialling whether a call would work; callable from any thread.

    It changes nothing and calls nobody: it queries Twilio for the account and the numbers, requests
    ``/health`` through the public address, and opens and closes a WebSocket there.

    Args:
        client: As for `place_call`: the real ``twilio.rest.Client``, or a simulator's.
        to: The number of the callee, E.164; without it, its checks are skipped.
        from_: A number of the account, E.164; without it, its checks are skipped.
        server: The server for the stream; without it, its checks are skipped.
        parameters: As for `place_call`.

    Returns:
        A `Pending` with the checks, each ✓, ✗ or –: credentials, account, from_, to, country,
        public address, WebSocket, signatures, TwiML, clock.  A failed check raises no exception.
        It takes a second or two, and at most a minute and a half if there are timeouts.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> checks = kit.preflight(twilio.client, from_=twilio.numbers[0]).result(30)
        >>> checks.ok
        True
        >>> [check.name for check in checks if check.passed]
        ['credentials', 'account', 'from_', 'clock']
    """
    # A simulator and the server answer on loops of this process, which must not be blocked.
    check_client(client)
    home = getattr(client.http_client, "loop", None) or (server.loop if server else None)
    work = partial(_run_all, client, to, from_, server, parameters)
    return on_worker(
        "preflight", work, home=home, subject=Subject("preflight", "Checks", kind=Checks)
    )


def _run_all(
    client: Client,
    to: str | None,
    from_: str | None,
    server: StreamServer | StreamApp | None,
    parameters: Mapping[str, str] | None,
) -> Checks:
    from twistream_kit.live.preflight._timed_client import make_timed_client

    timed, http_client = make_timed_client(client)
    account, checks = _check_account(timed)
    parts = [
        _CheckGroup(CALLER_CHECKS, partial(check_caller, timed, from_, account)),
        _CheckGroup(CALLED_CHECKS, partial(check_called, timed, to, from_, account)),
        *_list_server_parts(client, server, parameters, account),
    ]
    for part in parts:
        checks.extend(part.wait())
    checks.extend(run_checks(CLOCK_CHECKS, lambda: [check_clock(http_client.readings)]))
    return checks


def _check_account(client: Client) -> tuple[Account, Checks]:
    found: list[Account] = []

    def look() -> list[Check]:
        found.append(look_at_account(client))
        return [found[0].credentials, found[0].standing]

    checks = Checks(_CheckGroup(ACCOUNT_CHECKS, look).wait())
    why = "not asked, because the account could not be looked at"
    return (found[0] if found else Account(checks[0], checks[1], why)), checks


def _list_server_parts(
    client: Client,
    server: StreamServer | StreamApp | None,
    parameters: Mapping[str, str] | None,
    account: Account,
) -> list[_CheckGroup]:
    if server is None:
        names = (*ADDRESS_CHECKS, *TWIML_CHECKS)
        return [
            _CheckGroup(names, lambda: [skip_check(name, "no server was given") for name in names])
        ]
    loopback = bool(getattr(client.http_client, "dials_loopback", False))
    token = None
    if account.credentials.passed and str(client.username or "").startswith("AC"):
        token = client.password
    return [
        _CheckGroup(ADDRESS_CHECKS, partial(check_address, server, loopback=loopback, token=token)),
        _CheckGroup(TWIML_CHECKS, partial(check_twiml, server, parameters, loopback=loopback)),
    ]


class _CheckGroup:
    """A group of checks, which runs on a thread of its own.

    Args:
        names: The names of the checks.
        look: A function that makes the checks; it may block.
    """

    def __init__(self, names: Sequence[str], look: Callable[[], list[Check]]) -> None:
        self._names = names
        self._end = time.monotonic() + PART_SECONDS
        self._pending = on_worker(
            f"preflight: {', '.join(names)}", partial(run_checks, names, look)
        )

    def wait(self) -> list[Check]:
        """Wait for the results, until the time limit."""
        try:
            return self._pending.result(max(0.0, self._end - time.monotonic()))
        except TimeoutError:
            why = f"could not be found out within {PART_SECONDS:.0f} s"
            return [skip_check(name, why) for name in self._names]
