"""The checks that query Twilio: credentials, account, both numbers, country and clock.

They check whether the account may place calls with a stream (PROTOCOL.md §0, §5.3), and whether it
may call the one number from the other (§5.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twistream_kit.errors import CallRefused, TwistreamError, quote
from twistream_kit.live.calls.sdk import ask
from twistream_kit.live.preflight.check import (
    Check,
    fail_by_error,
    fail_check,
    pass_check,
    skip_check,
)
from twistream_kit.protocol.codes import get_code
from twistream_kit.protocol.rest import is_e164, is_other_address

if TYPE_CHECKING:
    from twilio.rest import Client

    from twistream_kit.live.preflight._timed_client import ClockReading

CREDENTIALS, STANDING, CLOCK = "credentials", "account", "clock"
CALLER, CALLED, COUNTRY = "from_", "to", "country"

NOT_ACTIVE = (20005, 10001)
"""The errors for requests of an account that is suspended or closed (§5.3)."""

CLOCK_SECONDS = 5.0
"""The allowed difference between the local clock and Twilio's."""

_SHOWN_NUMBERS = 5
"""The number of the account's own numbers that a fix names."""


@dataclass(frozen=True, slots=True)
class Account:
    """The state of an account: two checks, and properties that other checks use.

    Attributes:
        credentials: The check whether Twilio accepts the credentials.
        standing: The check whether the account may place calls with a stream.
        why_silent: Why Twilio cannot be queried further, or empty.
        is_trial: Whether it is a trial account; None if that is not known.
    """

    credentials: Check
    standing: Check
    why_silent: str = ""
    is_trial: bool | None = None


ACCOUNT_CHECKS = (CREDENTIALS, STANDING)
"""What `look_at_account` checks, in the order of its results."""


def look_at_account(client: Client) -> Account:
    """Check the credentials and the account at Twilio; blocks."""
    objection = _check_locally(client)
    if objection is not None:
        return _build_refused_account(objection)
    by_key = str(client.username or "").startswith("SK")
    try:
        if by_key:
            # A standard API key may not read the account itself, but it may list calls.
            ask(lambda: client.calls.list(limit=1), "to list the calls")
            return _look_by_key(client)
        account = ask(client.api.accounts(client.account_sid).fetch, "to show the account")
    except CallRefused as refused:
        if refused.code in NOT_ACTIVE:
            credentials = pass_check(CREDENTIALS, "Twilio knows them")
            return Account(
                credentials, fail_by_error(STANDING, refused), "the account is not active"
            )
        return _build_refused_account(_explain_refusal(refused, str(client.region or "")))
    except TwistreamError as error:  # a simulator that has stopped, for example
        return _build_refused_account(fail_by_error(CREDENTIALS, error))
    return _check_standing(
        pass_check(CREDENTIALS, f"Twilio accepts them for {client.account_sid}"), account
    )


def _check_locally(client: Client) -> Check | None:
    """Check the credentials without a request; return a failure or None."""
    given = client.username and client.password
    if not given and getattr(client, "credential_provider", None) is None:
        return fail_check(
            CREDENTIALS,
            "the client has none: the SDK's Client() does not object to that by itself",
            "Twilio would refuse every request with 20003",
            "Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, and take kit.client_from_environment()",
        )
    if not re.fullmatch(r"AC[0-9a-fA-F]{32}", str(client.account_sid or "")):
        return fail_check(
            CREDENTIALS,
            "the client does not know its account: account_sid is not AC and 32 hex digits",
            "Twilio would find nothing at the addresses it asks for (20404)",
            "With an API key say Client(key, secret, account_sid='AC…'); else copy the SID anew",
        )
    return None


def _explain_refusal(refused: CallRefused, region: str) -> Check:
    check = fail_by_error(CREDENTIALS, refused)
    if refused.code != 20003 or not region:
        return check
    fix = (
        f"{check.fix} This client asks the region {region}, and each region has tokens and keys of "
        "its own: take those of that region, or leave TWILIO_REGION and region= out"
    )
    return fail_check(CREDENTIALS, check.detail, check.consequence, fix)


def _build_refused_account(credentials: Check) -> Account:
    why = "not asked, because the credentials do not work"
    return Account(credentials, skip_check(STANDING, why), why)


def _look_by_key(client: Client) -> Account:
    credentials = pass_check(
        CREDENTIALS,
        f"Twilio accepts the API key for {client.account_sid}; signatures are checked with the "
        "account's auth token all the same",
    )
    try:
        account = ask(client.api.accounts(client.account_sid).fetch, "to show the account")
    except CallRefused:
        why = "a standard API key may not read the account: whether it is a trial one is not known"
        return Account(credentials, skip_check(STANDING, why))
    return _check_standing(credentials, account)


def _check_standing(credentials: Check, account: object) -> Account:
    status = str(getattr(account, "status", "") or "")
    kind = str(getattr(account, "type", "") or "")
    is_trial = kind.lower() == "trial" if kind else None
    if status != "active":
        standing = fail_check(
            STANDING,
            f"the account is {status or 'in an unknown state'}",
            "Twilio refuses its calls (20005)",
            "Look at the account and its balance in Twilio's console",
        )
        return Account(credentials, standing, f"the account is {status}", is_trial)
    if is_trial:
        return Account(credentials, _object_to_trial(), is_trial=True)
    standing = pass_check(STANDING, f"active, {f'type {kind}' if kind else 'of an unknown type'}")
    return Account(credentials, standing, is_trial=is_trial)


def _object_to_trial() -> Check:
    return fail_check(
        STANDING,
        "active, but a trial account, and <Stream> is blocked on those since 2026",
        "Twilio would speak a sentence in its place and open no stream. Older trial accounts may "
        "still work, after the person called has pressed a key",
        "Upgrade the account, or practise with kit.SimulatedTwilio()",
    )


CALLER_CHECKS = (CALLER,)
"""What `check_caller` checks."""


def check_caller(client: Client, from_: str | None, account: Account) -> list[Check]:
    """Check the number of the caller; blocks.

    Args:
        client: The client for requests.
        from_: The number, or None if there is none yet.
        account: The state of the account.
    """
    if from_ is None:
        return [skip_check(CALLER, "no from_ was given")]
    if is_other_address(from_):
        return [skip_check(CALLER, f"{quote(from_)} is no telephone number: only a call shows it")]
    if not is_e164(from_):
        return [_object_to_format(CALLER, from_, 21212)]
    if account.why_silent:
        return [skip_check(CALLER, account.why_silent)]
    try:
        return [_check_caller_number(client, from_)]
    except TwistreamError as error:
        return [_report_unanswered(CALLER, error)]


def _check_caller_number(client: Client, from_: str) -> Check:
    numbers = ask(
        lambda: client.incoming_phone_numbers.list(phone_number=from_, limit=20),
        "to show the account's numbers",
    )
    # The filter also matches parts of a number, so the result may contain others.
    own = next((number for number in numbers if number.phone_number == from_), None)
    if own is None:
        return _check_caller_id(client, from_)
    if dict(own.capabilities or {}).get("voice") is False:
        return fail_check(
            CALLER,
            f"{from_} is the account's, but cannot be used for voice",
            "Twilio would refuse the call, with 21210 or 21212",
            "Use one with the capability Voice, or buy one in the console",
        )
    return pass_check(CALLER, f"{from_} is a number of the account's")


def _check_caller_id(client: Client, from_: str) -> Check:
    if _is_verified(client, from_):
        return pass_check(CALLER, f"{from_} is a verified caller ID of the account's")
    numbers = ask(
        lambda: client.incoming_phone_numbers.list(limit=_SHOWN_NUMBERS),
        "to show the account's numbers",
    )
    own = ", ".join(str(number.phone_number) for number in numbers)
    return fail_check(
        CALLER,
        f"{from_} is neither a number of the account's nor a verified caller ID",
        "Twilio would refuse the call with 21210",
        f"Use a number of the account's, such as {own}" if own else get_code(21210).remedy,
    )


CALLED_CHECKS = (CALLED, COUNTRY)
"""What `check_called` checks, in the order of its results."""


def check_called(
    client: Client, to: str | None, from_: str | None, account: Account
) -> list[Check]:
    """Check the number of the callee, and the permission to call its country; blocks.

    Args:
        client: The client for requests.
        to: The number, or None if there is none yet.
        from_: The number of the caller, or None.
        account: The state of the account.
    """
    if to is None:
        return [skip_check(CALLED, "no to was given"), skip_check(COUNTRY, "no to was given")]
    if is_other_address(to):
        why = f"{quote(to)} is no telephone number: only a call shows whether it is reached"
        return [skip_check(CALLED, why), skip_check(COUNTRY, "to names no country")]
    if not is_e164(to):
        return [_object_to_format(CALLED, to, 21211), skip_check(COUNTRY, "to names no country")]
    same = to == from_
    if account.why_silent:
        called = _object_to_same_number(to) if same else skip_check(CALLED, account.why_silent)
        return [called, skip_check(COUNTRY, account.why_silent)]
    found: _LookupResult
    try:
        found = _look_up(client, to)
    except TwistreamError as error:
        found = error
    called = (
        _object_to_same_number(to) if same else _check_called_number(client, to, account, found)
    )
    return [called, _check_country(client, found)]


def _object_to_same_number(to: str) -> Check:
    return fail_check(
        CALLED,
        f"{to} is from_ as well: a number cannot call itself",
        "Twilio would refuse the call with 21211",
        "Give the number of another telephone",
    )


def _look_up(client: Client, number: str) -> _LookedUp:
    answer = ask(client.lookups.v2.phone_numbers(number).fetch, f"to look {number} up")
    return _LookedUp(answer.country_code, answer.valid)


class _LookedUp:
    """The answer of Twilio's Lookup for a number: its country, and whether it is valid."""

    def __init__(self, country: str | None, valid: bool | None) -> None:
        self.country = country
        self.valid = valid


_LookupResult = _LookedUp | TwistreamError


def _check_called_number(client: Client, to: str, account: Account, found: _LookupResult) -> Check:
    if isinstance(found, _LookedUp) and found.valid is False:
        return fail_check(
            CALLED,
            f"{to} is not a valid number, according to Twilio's Lookup",
            "Twilio would probably refuse the call, with 21211 or 21217",
            get_code(21217).remedy,
        )
    if not account.is_trial:
        doubt = "; on a trial account it would have to be verified" * (account.is_trial is None)
        return pass_check(CALLED, f"{to} is in E.164 form{doubt}")
    try:
        verified = _is_verified(client, to)
    except TwistreamError as error:
        return _report_unanswered(CALLED, error)
    if verified:
        return pass_check(CALLED, f"{to} is verified, as a trial account needs it")
    return fail_check(
        CALLED,
        f"{to} is not verified, and this is a trial account",
        "Twilio would refuse the call with 21219",
        "Verify the number in the console, or upgrade the account",
    )


def _check_country(client: Client, found: _LookupResult) -> Check:
    if isinstance(found, TwistreamError):
        return _report_unanswered(COUNTRY, found)
    if not found.country:
        return skip_check(COUNTRY, "Twilio's Lookup names no country for this number")
    countries = client.voice.v1.dialing_permissions.countries
    try:
        country = ask(
            countries(found.country).fetch, f"to show the permissions for {found.country}"
        )
    except TwistreamError as error:
        return _report_unanswered(COUNTRY, error)
    name = f"{country.name} ({found.country})" if country.name else found.country
    if country.low_risk_numbers_enabled is None:
        return skip_check(COUNTRY, f"Twilio does not say whether {name} may be called")
    if country.low_risk_numbers_enabled:
        risky = (
            country.high_risk_special_numbers_enabled
            and country.high_risk_tollfraud_numbers_enabled
        )
        exception = "" if risky else ", apart from numbers with a high risk of fraud"
        return pass_check(COUNTRY, f"{name} may be called{exception}")
    return fail_check(
        COUNTRY,
        f"the account's geographic permissions do not allow calls to {name}",
        "Twilio would refuse the call with 21215 or 13227",
        get_code(21215).remedy,
    )


def _is_verified(client: Client, number: str) -> bool:
    found = ask(
        lambda: client.outgoing_caller_ids.list(phone_number=number, limit=20),
        "to show the verified numbers",
    )
    return any(each.phone_number == number for each in found)


def _object_to_format(name: str, number: object, code: int) -> Check:
    return fail_check(
        name,
        f"{quote(number)} is not a telephone number in E.164 form",
        f"Twilio would refuse the call with {code}",
        get_code(code).remedy,
    )


def _report_unanswered(name: str, error: TwistreamError) -> Check:
    return skip_check(name, f"could not be found out: {error.problem}")


CLOCK_CHECKS = (CLOCK,)
"""What `check_clock` checks."""


def check_clock(readings: Sequence[ClockReading]) -> Check:
    """Compare the local clock with Twilio's.

    Args:
        readings: The clock readings; the one with the shortest request is the most precise.
    """
    if not readings:
        return skip_check(CLOCK, "no answer of Twilio's had a date")
    reading = min(readings, key=lambda each: each.received - each.sent)
    # Between `sent` and `received`, Twilio's clock was between `date` and `date` + 1.
    least, most = reading.date - reading.received, reading.date + 1 - reading.sent
    if least <= CLOCK_SECONDS and most >= -CLOCK_SECONDS:
        return pass_check(CLOCK, f"it agrees with Twilio's to within {CLOCK_SECONDS:g} s")
    off = round((least + most) / 2)
    return fail_check(
        CLOCK,
        f"the clock of this machine is {abs(off)} s {'behind' if off > 0 else 'ahead of'} Twilio's",
        "Times here will not agree with those of Twilio's console and callbacks, and with a large "
        "difference valid certificates are refused",
        "Have the clock set by the network (NTP)",
    )
