"""The account as it stands now: its numbers, and whom it may call (PROTOCOL.md §5.3, §6.7)."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from twistream_kit.errors import CallRefused
from twistream_kit.simulator.model.assumptions import Trial
from twistream_kit.simulator.model.countries import country_of
from twistream_kit.simulator.model.numbers import (
    AccountNumber,
    Sids,
    in_national_form,
    require_e164,
)
from twistream_kit.simulator.rest.account import VERIFIED_LIMIT, SimulatedAccount
from twistream_kit.simulator.rest.credentials import Credentials
from twistream_kit.simulator.rest.errors import REFUSALS, Refusal


class AccountRecord:
    """One account's books.  `verify`, `refuse_next` and what is read may be used from any thread.

    Args:
        settings: What kind of account it is.
        regime: Which rules for trial accounts apply.
        numbers: The account's own numbers, E.164.
        sids: Names for it, its numbers and its keys.

    Attributes:
        settings: As given.
        credentials: What it is entered with.
        numbers: Its own numbers by SID.
        created: When it came to be.
    """

    def __init__(
        self, settings: SimulatedAccount, regime: Trial, numbers: tuple[str, ...], sids: Sids
    ) -> None:
        if strange := sorted(set(settings.voiceless) - set(numbers)):
            raise ValueError(f"voiceless has {strange[0]}, which is no number of the account")
        self.settings = settings
        self.credentials = Credentials.drawn(sids)
        self.created = datetime.now(UTC)
        own = [
            AccountNumber(
                sids.make("PN"), each, in_national_form(each), voice=each not in settings.voiceless
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
        """The present moment by Twilio's clock, as a Date header (RFC 9110)."""
        shift = timedelta(seconds=self.settings.clock_ahead_seconds)
        return format_datetime(datetime.now(UTC) + shift, usegmt=True)

    def own(self, number: str) -> AccountNumber | None:
        """Return the account's own number that is `number`."""
        return next((own for own in self.numbers.values() if own.phone_number == number), None)

    def verify(self, number: str) -> None:
        """Note that `number` was verified; nothing happens if it was already.

        Raises:
            ValueError: If it is not E.164, or one more than a trial account may have.
        """
        require_e164(number)
        with self._lock:
            if number in self._verified:
                return
            if self.settings.type == "Trial" and len(self._verified) >= VERIFIED_LIMIT:
                raise ValueError(
                    f"{number} would be one too many: a trial account can verify "
                    f"{VERIFIED_LIMIT} numbers"
                )
            # A caller ID has a SID of the same kind as a number of the account.
            self._verified[number] = self._sids.make("PN")

    def refuse_next(self, code: int, times: int = 1) -> None:
        """Have the next requests refused with `code`.

        Raises:
            ValueError: If the REST API refuses nothing with `code`, or `times` is not positive.
        """
        if code not in REFUSALS:
            known = ", ".join(map(str, REFUSALS))
            raise ValueError(
                f"code is {code!r}; the REST API refuses a request with one of {known}"
            )
        if not isinstance(times, int) or times < 1:
            raise ValueError(f"times is {times!r}; give how many requests to refuse, 1 or more")
        with self._lock:
            self._refusals.extend([code] * times)

    def take_refusal(self) -> Refusal | None:
        """Return what the request at hand is refused with as `refuse_next` said, or None."""
        with self._lock:
            return Refusal(self._refusals.popleft()) if self._refusals else None

    def allow(self, to: str, from_: str) -> str:
        """Return the SID of the number `from_` if it may call `to`.

        Raises:
            Refusal: With the code of §5.3 for the first thing in the way.
        """
        sid = self._caller(from_)
        if to in self.settings.blocklist:
            raise Refusal(21216, f"Account not allowed to call {to}")
        country = country_of(to)
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
        """Raise `Refusal` 10004 if `running` calls are as many as there can be at once."""
        limit = self.settings.call_limit
        if limit is not None and running >= limit:
            raise Refusal(10004, f"Call concurrency limit exceeded: {limit} at once")

    def turned_away(self, caller: str, number: AccountNumber, running: int) -> CallRefused | None:
        """Return why a call from `caller` to an own number is not put through, or None."""
        settings = self.settings
        if settings.status != "active":
            # 10003 is what the console shows then; Twilio's dictionary has the sentence.
            return _turned_away("incoming call rejected due to inactive account", code=10003)
        if not number.voice:
            return _turned_away(f"{number.phone_number} takes text messages only, no calls")
        if number.elsewhere:
            return _turned_away(
                f"{number.phone_number} is handed to {number.elsewhere}, and the simulator has "
                "neither applications nor trunks",
                fix='Set its voice_application_sid and trunk_sid to ""',
            )
        if self._regime == "blocked" and caller not in self.verified:
            # Calls of a trial account of 2026 come from verified numbers, too (§6.7).
            return _turned_away(
                f"{caller} is not verified, and a trial account takes calls from verified numbers",
                fix="twilio.verify(number)",
            )
        if settings.call_limit is not None and running >= settings.call_limit:
            return _turned_away(f"the account has {running} calls already", code=10004)
        return None

    def _caller(self, from_: str) -> str:
        number = self.own(from_)
        if number is not None and number.voice:
            return number.sid
        if self.settings.type == "Full" and from_ in self.verified:
            return self.verified[from_]
        # That a number without voice is refused so is an assumption [ASM].
        raise Refusal(
            21210,
            f"The source phone number provided, {from_}, is not yet verified for your account. "
            "You may only make calls from phone numbers that you've verified or purchased.",
        )


def _turned_away(problem: str, *, code: int | None = None, fix: str = "") -> CallRefused:
    return CallRefused(problem, code=code, consequence="The call was not put through", fix=fix)
