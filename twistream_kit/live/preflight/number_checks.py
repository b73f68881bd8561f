"""Whether the account may call from one number to the other (PROTOCOL.md §5.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twistream_kit.errors import TwistreamError, shown
from twistream_kit.live.calls.twilio_errors import ask
from twistream_kit.live.preflight.account import Account
from twistream_kit.live.preflight.check import Check, failed, passed, unknown
from twistream_kit.protocol.codes import explain

if TYPE_CHECKING:
    from twilio.rest import Client

CALLER, CALLED, COUNTRY = "from_", "to", "country"

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")

_NAMED = 5
"""How many of the account's own numbers an objection names."""


def caller_checks(client: Client, from_: str | None, account: Account) -> list[Check]:
    """Look at the number that calls; blocks.

    Args:
        client: Whom to ask.
        from_: The number, or None if there is none yet.
        account: What is known of the account.
    """
    if from_ is None:
        return [unknown(CALLER, "no from_ was given")]
    if not _is_e164(from_):
        return [_malformed(CALLER, from_, 21212)]
    if account.why_silent:
        return [unknown(CALLER, account.why_silent)]
    try:
        return [_caller(client, from_)]
    except TwistreamError as error:
        return [_unanswered(CALLER, error)]


def called_checks(
    client: Client, to: str | None, from_: str | None, account: Account
) -> list[Check]:
    """Look at the number to be called, and at the permission to call its country; blocks.

    Args:
        client: Whom to ask.
        to: The number, or None if there is none yet.
        from_: The number that calls, or None.
        account: What is known of the account.
    """
    if to is None:
        return [unknown(CALLED, "no to was given"), unknown(COUNTRY, "no to was given")]
    if not _is_e164(to):
        return [_malformed(CALLED, to, 21211), unknown(COUNTRY, "to names no country")]
    same = to == from_
    if account.why_silent:
        called = _same(to) if same else unknown(CALLED, account.why_silent)
        return [called, unknown(COUNTRY, account.why_silent)]
    found: Found
    try:
        found = _look_up(client, to)
    except TwistreamError as error:
        found = error
    called = _same(to) if same else _called(client, to, account, found)
    return [called, _country_check(client, found)]


def _is_e164(number: object) -> bool:
    return isinstance(number, str) and _E164.fullmatch(number) is not None


def _malformed(name: str, number: object, code: int) -> Check:
    return failed(
        name,
        f"{shown(number)} is not a telephone number in E.164 form",
        f"Twilio would refuse the call with {code}",
        explain(code).remedy,
    )


def _same(to: str) -> Check:
    return failed(
        CALLED,
        f"{to} is from_ as well: a number cannot call itself",
        "Twilio would refuse the call with 21211",
        "Give the number of another telephone",
    )


def _unanswered(name: str, error: TwistreamError) -> Check:
    return unknown(name, f"could not be found out: {error.problem}")


def _caller(client: Client, from_: str) -> Check:
    numbers = ask(
        lambda: client.incoming_phone_numbers.list(phone_number=from_, limit=20),
        "to show the account's numbers",
    )
    # The filter is for part of a number, so what it brings may be others.
    own = next((number for number in numbers if number.phone_number == from_), None)
    if own is None:
        return _caller_id(client, from_)
    if dict(own.capabilities or {}).get("voice") is False:
        return failed(
            CALLER,
            f"{from_} is the account's, but cannot be used for voice",
            "Twilio would refuse the call, with 21210 or 21212",
            "Use one with the capability Voice, or buy one in the console",
        )
    return passed(CALLER, f"{from_} is a number of the account's")


def _caller_id(client: Client, from_: str) -> Check:
    if _is_verified(client, from_):
        return passed(CALLER, f"{from_} is a verified caller ID of the account's")
    numbers = ask(
        lambda: client.incoming_phone_numbers.list(limit=_NAMED), "to show the account's numbers"
    )
    own = ", ".join(str(number.phone_number) for number in numbers)
    return failed(
        CALLER,
        f"{from_} is neither a number of the account's nor a verified caller ID",
        "Twilio would refuse the call with 21210",
        f"Use a number of the account's, such as {own}" if own else explain(21210).remedy,
    )


def _is_verified(client: Client, number: str) -> bool:
    found = ask(
        lambda: client.outgoing_caller_ids.list(phone_number=number, limit=20),
        "to show the verified numbers",
    )
    return any(each.phone_number == number for each in found)


class _LookedUp:
    """What Twilio's Lookup says of a number: its country, and whether there can be such a one."""

    def __init__(self, country: str | None, valid: bool | None) -> None:
        self.country = country
        self.valid = valid


Found = _LookedUp | TwistreamError


def _look_up(client: Client, number: str) -> _LookedUp:
    answer = ask(client.lookups.v2.phone_numbers(number).fetch, f"to look {number} up")
    return _LookedUp(answer.country_code, answer.valid)


def _called(client: Client, to: str, account: Account, found: Found) -> Check:
    if isinstance(found, _LookedUp) and found.valid is False:
        return failed(
            CALLED,
            f"{to} is not a number that can exist, says Twilio's Lookup",
            "Twilio would probably refuse the call, with 21211 or 21217",
            explain(21217).remedy,
        )
    if not account.is_trial:
        doubt = "; on a trial account it would have to be verified" * (account.is_trial is None)
        return passed(CALLED, f"{to} is in E.164 form{doubt}")
    try:
        verified = _is_verified(client, to)
    except TwistreamError as error:
        return _unanswered(CALLED, error)
    if verified:
        return passed(CALLED, f"{to} is verified, as a trial account needs it")
    return failed(
        CALLED,
        f"{to} is not verified, and this is a trial account",
        "Twilio would refuse the call with 21219",
        "Verify the number in the console, or upgrade the account",
    )


def _country_check(client: Client, found: Found) -> Check:
    if isinstance(found, TwistreamError):
        return _unanswered(COUNTRY, found)
    if not found.country:
        return unknown(COUNTRY, "Twilio's Lookup names no country for this number")
    countries = client.voice.v1.dialing_permissions.countries
    try:
        country = ask(
            countries(found.country).fetch, f"to show the permissions for {found.country}"
        )
    except TwistreamError as error:
        return _unanswered(COUNTRY, error)
    name = f"{country.name} ({found.country})" if country.name else found.country
    if country.low_risk_numbers_enabled is None:
        return unknown(COUNTRY, f"Twilio does not say whether {name} may be called")
    if country.low_risk_numbers_enabled:
        risky = (
            country.high_risk_special_numbers_enabled
            and country.high_risk_tollfraud_numbers_enabled
        )
        exception = "" if risky else ", apart from numbers with a high risk of fraud"
        return passed(COUNTRY, f"{name} may be called{exception}")
    return failed(
        COUNTRY,
        f"the account's geographic permissions do not allow calls to {name}",
        "Twilio would refuse the call with 21215 or 13227",
        explain(21215).remedy,
    )
