"""Whether Twilio lets the account place a call to a stream at all (PROTOCOL.md §0, §5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twistream_kit.errors import CallRefused, TwistreamError
from twistream_kit.live.calls.twilio_errors import ask
from twistream_kit.live.preflight.check import Check, failed, failed_by, passed, unknown

if TYPE_CHECKING:
    from twilio.rest import Client

    from twistream_kit.live.calls.timed_http import ClockReading

CREDENTIALS, STANDING, CLOCK = "credentials", "account", "clock"

NOT_ACTIVE = (20005, 10001)
"""What a request gets that comes from an account which is suspended or closed (§5.3)."""

CLOCK_SECONDS = 5.0
"""How far the clock here may be from Twilio's."""


@dataclass(frozen=True, slots=True)
class Account:
    """What was found out about an account.

    Attributes:
        credentials: Whether Twilio accepts them.
        standing: Whether the account may do what is wanted.
        why_silent: Why Twilio cannot be asked anything further, or empty.
        is_trial: Whether it is a trial account; None if that is not known.
    """

    credentials: Check
    standing: Check
    why_silent: str = ""
    is_trial: bool | None = None


def look_at_account(client: Client) -> Account:
    """Ask Twilio for the account; blocks."""
    objection = _without_asking(client)
    if objection is not None:
        return _refused(objection)
    by_key = str(client.username or "").startswith("SK")
    try:
        if by_key:
            # A standard API key may not read the account itself, but it may list calls.
            ask(lambda: client.calls.list(limit=1), "to list the calls")
            return _seen_by_key(client)
        account = ask(client.api.accounts(client.account_sid).fetch, "to show the account")
    except CallRefused as refused:
        if refused.code in NOT_ACTIVE:
            credentials = passed(CREDENTIALS, "Twilio knows them")
            return Account(credentials, failed_by(STANDING, refused), "the account is not active")
        return _refused(_not_accepted(refused, str(client.region or "")))
    except TwistreamError as error:  # a simulator that has stopped, for example
        return _refused(failed_by(CREDENTIALS, error))
    return _seen(passed(CREDENTIALS, f"Twilio accepts them for {client.account_sid}"), account)


def clock_check(readings: Sequence[ClockReading]) -> Check:
    """Compare the clock here with Twilio's.

    Args:
        readings: Of which the one that took the shortest time says the most.
    """
    if not readings:
        return unknown(CLOCK, "no answer of Twilio's told the time")
    reading = min(readings, key=lambda each: each.received - each.sent)
    # Twilio's clock showed `date` to `date` + 1, and that between `sent` and `received`.
    least, most = reading.date - reading.received, reading.date + 1 - reading.sent
    if least <= CLOCK_SECONDS and most >= -CLOCK_SECONDS:
        return passed(CLOCK, "it agrees with Twilio's to within 5 s")
    off = round((least + most) / 2)
    return failed(
        CLOCK,
        f"the clock of this machine is {abs(off)} s {'behind' if off > 0 else 'ahead of'} Twilio's",
        "What you see here and what Twilio's console and callbacks say will not fit together in "
        "time, and a clock far off makes good certificates look invalid",
        "Switch on the setting of the time by the network (NTP)",
    )


def _without_asking(client: Client) -> Check | None:
    """Object to credentials that need no question to be found wanting."""
    given = client.username and client.password
    if not given and getattr(client, "credential_provider", None) is None:
        return failed(
            CREDENTIALS,
            "the client has none: the SDK's Client() does not object to that by itself",
            "Twilio would refuse every request with 20003",
            "Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, and take kit.client_from_environment()",
        )
    if not re.fullmatch(r"AC[0-9a-fA-F]{32}", str(client.account_sid or "")):
        return failed(
            CREDENTIALS,
            "the client does not know its account: account_sid is not AC and 32 hex digits",
            "Twilio would find nothing at the addresses it asks for (20404)",
            "With an API key say Client(key, secret, account_sid='AC…'); else copy the SID anew",
        )
    return None


def _not_accepted(refused: CallRefused, region: str) -> Check:
    check = failed_by(CREDENTIALS, refused)
    if refused.code != 20003 or not region:
        return check
    fix = (
        f"{check.fix} This client asks the region {region}, and each region has tokens and keys of "
        "its own: take those of that region, or leave TWILIO_REGION and region= out"
    )
    return failed(CREDENTIALS, check.detail, check.consequence, fix)


def _refused(credentials: Check) -> Account:
    why = "not asked, because the credentials do not work"
    return Account(credentials, unknown(STANDING, why), why)


def _seen_by_key(client: Client) -> Account:
    credentials = passed(
        CREDENTIALS,
        f"Twilio accepts the API key for {client.account_sid}; signatures are checked with the "
        "account's auth token all the same",
    )
    try:
        account = ask(client.api.accounts(client.account_sid).fetch, "to show the account")
    except CallRefused:
        why = "a standard API key may not read the account: whether it is a trial one is not known"
        return Account(credentials, unknown(STANDING, why))
    return _seen(credentials, account)


def _seen(credentials: Check, account: object) -> Account:
    status = str(getattr(account, "status", "") or "")
    kind = str(getattr(account, "type", "") or "")
    is_trial = kind.lower() == "trial" if kind else None
    if status != "active":
        standing = failed(
            STANDING,
            f"the account is {status or 'in an unknown state'}",
            "Twilio refuses its calls (20005)",
            "Look at the account and its balance in Twilio's console",
        )
        return Account(credentials, standing, f"the account is {status}", is_trial)
    if is_trial:
        return Account(credentials, _trial(), is_trial=True)
    standing = passed(STANDING, f"active, {f'type {kind}' if kind else 'of an unknown type'}")
    return Account(credentials, standing, is_trial=is_trial)


def _trial() -> Check:
    return failed(
        STANDING,
        "active, but a trial account, and <Stream> is blocked on those since 2026",
        "Twilio would speak a sentence in its place and open no stream. Older trial accounts may "
        "still work, after the person called has pressed a key",
        "Upgrade the account, or practise with kit.SimulatedTwilio()",
    )
