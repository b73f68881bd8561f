"""The account: its type, its credentials, its numbers, and the numbers that it may call.

`SimulatedAccount` holds the settings of the user, each of which makes Twilio refuse something;
`AccountRecord` is the present state of the account (PROTOCOL.md §5.3, §6.7); `Credentials` are the
names and secrets that the REST API accepts (§5.3, §6.1).

The permissions of test credentials, and their magic numbers, are here too.  The codes are from
Twilio's page on test credentials and Twilio's error dictionary (21210): a call is checked like any
other and then not placed, no status callback is sent, and everything else is refused (§6.7).  Here
only calls and look-ups are allowed; numbers cannot be bought and messages cannot be sent.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from base64 import b64decode
from binascii import Error as Base64Error
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Literal, get_args

from aiohttp import web

from twistream_kit.errors import CallRefused, WrongType, WrongValue, require_type
from twistream_kit.listing import describe_changes
from twistream_kit.protocol.rest import is_e164
from twistream_kit.simulator.model.assumptions import Behaviour, Trial, check_behaviour
from twistream_kit.simulator.model.numbers import (
    COUNTRIES,
    AccountNumber,
    Sids,
    draw_auth_token,
    find_country,
    format_national,
    require_e164,
)
from twistream_kit.simulator.rest._errors import REFUSALS, Refusal
from twistream_kit.simulator.rest._resources import make_account_uri

AccountType = Literal["Full", "Trial"]
"""The `type` of the account resource (the SDK's `AccountInstance.Type`)."""

AccountStatus = Literal["active", "suspended", "closed"]
"""The `status` of the account resource (the SDK's `AccountInstance.Status`)."""

Login = Literal["account", "key", "test"]
"""The kind of credentials: account SID and auth token, an API key, or the test credentials."""

VERIFIED_LIMIT = 5
"""The largest number of verified numbers of a trial account (PROTOCOL.md §6.7)."""

TRIAL_CALLS_AT_ONCE = 5
"""The largest number of simultaneous calls of a trial account (§6.7)."""

_LONGEST_SHIFT_SECONDS = 10 * 366 * 86400.0

MAGIC_FROM = "+15005550006"
"""The only number that test credentials can call from."""

_REFUSED_TO = {
    "+15005550001": (21217, "Phone number does not appear to be valid"),
    "+15005550002": (21214, "The 'To' phone number cannot be reached"),
    "+15005550003": (21215, "Account not authorized to call phone number"),
    "+15005550004": (21216, "Account not allowed to call phone number"),
}

_REFUSED_FROM = {"+15005550001": 21212}


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """The type, status and permissions of a Twilio account.

    The defaults are those of the tutorial: paid for, active, without restrictions.

    Twilio also says that a trial account of 2026 may give only some of the parameters of a call,
    and that it may call only within its own country.  The response to other requests is not
    documented, so neither is simulated; minutes and days are not counted either (§6.7).

    Attributes:
        type: ``Full`` or ``Trial``.  A trial account may call verified numbers only (21219), may
            have five calls at once (10004), and no `<Stream>`: see `Behaviour.trial` (PROTOCOL.md
            §0, §6.7).
        status: ``active``; ``suspended``: credentials are accepted, but every request is refused
            (10001 for calls, else 20005; only the account itself can still be read [ASM]);
            ``closed``: the credentials are not accepted any more (20003 [ASM]).
        verified: The verified numbers, E.164; at most five on a trial account (§6.7).  A full
            account may use them as `from_` (§5.3, 21210).
        blocked_countries: ISO codes of the countries without geographic permission (21215).
        blocklist: Numbers that no Twilio account may call (21216).
        voiceless: Numbers of the account that support text messages only, no calls.
        calls_at_once: The largest number of simultaneous calls (10004); None for no limit, or five
            on a trial account.
        clock_ahead_seconds: The offset of Twilio's clock, which each response shows in its Date
            header, from the clock of this machine; negative when it is behind.

    Example:
        >>> import twistream_kit as kit
        >>> account = kit.SimulatedAccount(type="Trial", verified=("+15550100001",))
        >>> twilio = kit.start(kit.SimulatedTwilio(account=account))
        >>> twilio.client.api.account.fetch().type
        'Trial'
        >>> checks = kit.preflight(twilio.client, to="+15550100002").result(30)
        >>> [check.name for check in checks.failed]
        ['account', 'to']
    """

    type: AccountType = "Full"
    status: AccountStatus = "active"
    verified: tuple[str, ...] = ()
    blocked_countries: frozenset[str] = frozenset()
    blocklist: tuple[str, ...] = ()
    voiceless: tuple[str, ...] = ()
    calls_at_once: int | None = None
    clock_ahead_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name, legal in (("type", AccountType), ("status", AccountStatus)):
            if (value := getattr(self, name)) not in get_args(legal):
                choices = ", ".join(map(repr, get_args(legal)))
                raise WrongValue(f"{name} is {value!r}; it must be one of {choices}")
        for name in ("verified", "blocklist", "voiceless"):
            _require_numbers(name, getattr(self, name))
        self._require_countries()
        if self.type == "Trial" and len(set(self.verified)) > VERIFIED_LIMIT:
            raise WrongValue(
                f"verified has {len(set(self.verified))} numbers; a trial account can verify "
                f"{VERIFIED_LIMIT}"
            )
        if self.calls_at_once is not None and (
            not isinstance(self.calls_at_once, int) or self.calls_at_once < 0
        ):
            raise WrongValue(
                f"calls_at_once is {self.calls_at_once!r}; give a whole number or None"
            )
        shift = self.clock_ahead_seconds
        if not isinstance(shift, int | float) or not abs(shift) <= _LONGEST_SHIFT_SECONDS:
            raise WrongValue(f"clock_ahead_seconds is {shift!r}; give seconds, at most ten years")

    @property
    def call_limit(self) -> int | None:
        """The largest number of simultaneous calls, or None."""
        if self.calls_at_once is None and self.type == "Trial":
            return TRIAL_CALLS_AT_ONCE
        return self.calls_at_once

    def __repr__(self) -> str:
        return describe_changes(self)

    def _require_countries(self) -> None:
        countries = self.blocked_countries
        require_type("a list, tuple or set", blocked_countries=countries)
        if not set(countries) <= COUNTRIES.keys():
            known = " ".join(sorted(COUNTRIES))
            raise WrongValue(
                f"blocked_countries is {countries!r}; give a set of the ISO codes whose calling "
                f"codes the simulator knows: {known}"
            )


def reconcile(account: object, behaviour: object) -> tuple[SimulatedAccount, Behaviour]:
    """Return both such that exactly a trial account has the rules of a trial.

    Raises:
        WrongType: If one of them is something else.
    """
    behaviour = check_behaviour(behaviour)
    if not isinstance(account, SimulatedAccount | None):
        kind = type(account).__name__
        raise WrongType(f"account is {kind}; give a kit.SimulatedAccount, with names and values")
    account = account or SimulatedAccount()
    if behaviour.trial != "off":
        account = replace(account, type="Trial")
    elif account.type == "Trial":
        behaviour = replace(behaviour, trial="blocked")
    return account, behaviour


def _require_numbers(name: str, numbers: object) -> None:
    # A common mistake is a single number instead of a tuple; its characters are no numbers.
    if isinstance(numbers, str):
        raise WrongType(f"{name} is {numbers!r}; give a tuple of numbers: ({numbers!r},)")
    require_type("a list, tuple or set", **{name: numbers})
    for number in tuple(numbers):  # type: ignore[var-annotated, arg-type]
        if not is_e164(number):
            raise WrongValue(
                f"{name} has {number!r}; numbers are written in E.164, such as +15550100001"
            )


class AccountRecord:
    """The present state of the account.

    Any thread may call `verify` and `refuse_next` and read everything.

    Args:
        settings: The type, status and permissions of the account.
        regime: The rules for trial accounts that apply.
        numbers: The account's own numbers, E.164.
        sids: Makes the SIDs of the account, its numbers and its keys.

    Attributes:
        settings: The settings as given.
        credentials: The credentials of the account.
        numbers: The account's own numbers by SID.
        created: The time when the account was created.
    """

    def __init__(
        self, settings: SimulatedAccount, regime: Trial, numbers: tuple[str, ...], sids: Sids
    ) -> None:
        if strange := sorted(set(settings.voiceless) - set(numbers)):
            raise WrongValue(f"voiceless has {strange[0]}, which is no number of the account")
        self.settings = settings
        self.credentials = Credentials.draw(sids)
        self.created = datetime.now(UTC)
        own = [
            AccountNumber(
                sids.make("PN"), each, format_national(each), voice=each not in settings.voiceless
            )
            for each in numbers
        ]
        self.numbers = {number.sid: number for number in own}
        self._regime = regime
        self._sids = sids
        self._verified: dict[str, str] = {}
        self._refusals: deque[int] = deque()
        self._lock = threading.Lock()
        for number in settings.verified:
            self.verify(number)

    @property
    def verified(self) -> dict[str, str]:
        """The SIDs of the verified numbers, by number."""
        with self._lock:
            return dict(self._verified)

    @property
    def date(self) -> str:
        """The present time by Twilio's clock, as a Date header (RFC 9110)."""
        shift = timedelta(seconds=self.settings.clock_ahead_seconds)
        return format_datetime(datetime.now(UTC) + shift, usegmt=True)

    def own(self, number: str) -> AccountNumber | None:
        """Return the account's own number `number`, or None."""
        return next((own for own in self.numbers.values() if own.phone_number == number), None)

    def verify(self, number: str) -> None:
        """Add `number` to the verified numbers; nothing happens if it is one already.

        Raises:
            ValueError: If it is not E.164, or exceeds the limit of a trial account.
        """
        require_e164(number)
        with self._lock:
            if number in self._verified:
                return
            if self.settings.type == "Trial" and len(self._verified) >= VERIFIED_LIMIT:
                raise WrongValue(
                    f"{number} cannot be verified: a trial account can verify only "
                    f"{VERIFIED_LIMIT} numbers"
                )
            # A caller ID has a SID of the same kind as a number of the account.
            self._verified[number] = self._sids.make("PN")

    def refuse_next(self, code: int, times: int = 1) -> None:
        """Refuse the next requests with `code`.

        Raises:
            ValueError: If `code` is no error code of the REST API, or `times` is not positive.
        """
        require_type("a whole number", code=code)
        if code not in REFUSALS:
            known = ", ".join(map(str, REFUSALS))
            raise WrongValue(
                f"code is {code!r}; the REST API refuses a request with one of {known}"
            )
        if not isinstance(times, int) or times < 1:
            raise WrongValue(f"times is {times!r}; give how many requests to refuse, 1 or more")
        with self._lock:
            self._refusals.extend([code] * times)

    def take_refusal(self) -> Refusal | None:
        """Return the error that `refuse_next` set for this request, or None."""
        with self._lock:
            return Refusal(self._refusals.popleft()) if self._refusals else None

    def allow(self, to: str, from_: str) -> str:
        """Return the SID of the number `from_` if it may call `to`.

        Raises:
            Refusal: With the code of §5.3 for the first obstacle.
        """
        sid = self._find_caller(from_)
        if to in self.settings.blocklist:
            raise Refusal(21216, f"Account not allowed to call {to}")
        country = find_country(to)
        if country is not None and country.iso in self.settings.blocked_countries:
            raise Refusal(
                21215,
                f"Account not authorized to call {to}. Perhaps you need to enable some "
                "international permissions: "
                "https://www.twilio.com/console/voice/calls/geo-permissions/low-risk",
            )
        if self.settings.type == "Trial" and to not in self.verified:
            raise Refusal(
                21219,
                f"The number {to} is unverified. Trial accounts may only make calls to verified "
                "numbers.",
            )
        return sid

    def require_room(self, running: int) -> None:
        """Raise `Refusal` 10004 if `running` calls have reached the limit."""
        limit = self.settings.call_limit
        if limit is not None and running >= limit:
            raise Refusal(10004, f"Call concurrency limit exceeded: {limit} at once")

    def refuse_incoming(
        self, caller: str, number: AccountNumber, running: int
    ) -> CallRefused | None:
        """Return the error of a call from `caller` to an own number, or None if it is accepted."""
        settings = self.settings
        if settings.status != "active":
            # The console shows 10003 then; the sentence is from Twilio's error dictionary.
            return _make_refusal("incoming call rejected due to inactive account", code=10003)
        if not number.voice:
            return _make_refusal(f"{number.phone_number} takes text messages only, no calls")
        if number.elsewhere:
            return _make_refusal(
                f"calls to {number.phone_number} go to {number.elsewhere}, and the simulator has "
                "neither applications nor trunks",
                fix='Set its voice_application_sid and trunk_sid to ""',
            )
        if self._regime == "blocked" and caller not in self.verified:
            # Calls of a trial account of 2026 come from verified numbers, too (§6.7).
            return _make_refusal(
                f"{caller} is not verified, and a trial account takes calls from verified numbers",
                fix="twilio.verify(number)",
            )
        if settings.call_limit is not None and running >= settings.call_limit:
            return _make_refusal(f"the account has {running} calls already", code=10004)
        return None

    def _find_caller(self, from_: str) -> str:
        number = self.own(from_)
        if number is not None and number.voice:
            return number.sid
        if self.settings.type == "Full" and from_ in self.verified:
            return self.verified[from_]
        # This code for a number without voice is an assumption [ASM].
        raise Refusal(
            21210,
            f"The source phone number provided, {from_}, is not yet verified for your account. "
            "You may only make calls from phone numbers that you've verified or purchased.",
        )


def _make_refusal(problem: str, *, code: int | None = None, fix: str = "") -> CallRefused:
    return CallRefused(problem, code=code, consequence="The call was not put through", fix=fix)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of an account.  No repr shows the secrets.

    Attributes:
        account_sid: AC and 32 hex digits, the same in every run, as all SIDs are.
        auth_token: A new random token for each simulator.
        api_key: SK and 32 hex digits.
        api_secret: A new random secret for each simulator.
        test_sid: The account SID of the test credentials.
        test_token: A new random token for each simulator.
    """

    account_sid: str
    auth_token: str = field(repr=False)
    api_key: str
    api_secret: str = field(repr=False)
    test_sid: str
    test_token: str = field(repr=False)

    @classmethod
    def draw(cls, sids: Sids) -> Credentials:
        """Make credentials with new random secrets, and SIDs from `sids`."""
        return cls(
            account_sid=sids.make("AC"),
            auth_token=draw_auth_token(),
            api_key=sids.make("SK"),
            api_secret=secrets.token_hex(16),
            test_sid=sids.make("AC"),
            test_token=draw_auth_token(),
        )

    def identify(self, header: str) -> Login | None:
        """Return which credentials an `Authorization` header holds, or None if they are wrong."""
        scheme, _, encoded = header.partition(" ")
        try:
            given = b64decode(encoded, validate=True)
        except (Base64Error, ValueError):
            return None
        if scheme.lower() != "basic":
            return None
        pairs: dict[Login, tuple[str, str]] = {
            "account": (self.account_sid, self.auth_token),
            "key": (self.api_key, self.api_secret),
            "test": (self.test_sid, self.test_token),
        }
        # All are compared, so that the duration does not reveal which name exists.
        found: Login | None = None
        for login, pair in pairs.items():
            if hmac.compare_digest(given, ":".join(pair).encode()):
                found = login
        return found


def allow_with_test_credentials(to: str, from_: str) -> None:
    """Check that test credentials may request a call between these numbers.

    Raises:
        Refusal: With the code of the magic number.
    """
    if from_ != MAGIC_FROM:
        code = _REFUSED_FROM.get(from_, 21210)
        raise Refusal(code, f"The 'From' number {from_} cannot be used with test credentials")
    if to in _REFUSED_TO:
        code, why = _REFUSED_TO[to]
        raise Refusal(code, f"{why}: {to}")


def opens_to_test_credentials(request: web.Request, test_sid: str) -> bool:
    """Whether test credentials may make `request`."""
    if request.method == "POST":
        return request.path == f"{make_account_uri(test_sid)}/Calls.json"
    return request.method == "GET" and request.path.startswith("/v2/PhoneNumbers/")
