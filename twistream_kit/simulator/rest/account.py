"""What kind of account the simulator has: every field makes Twilio refuse something."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.model.countries import COUNTRIES
from twistream_kit.simulator.model.numbers import is_e164

AccountType = Literal["Full", "Trial"]
"""What the account resource shows as `type` (the SDK's `AccountInstance.Type`)."""

AccountStatus = Literal["active", "suspended", "closed"]
"""What the account resource shows as `status` (the SDK's `AccountInstance.Status`)."""

VERIFIED_LIMIT = 5
"""How many numbers a trial account can verify (PROTOCOL.md §6.7)."""

TRIAL_CALLS_AT_ONCE = 5
"""How many calls a trial account has at once (§6.7)."""

_LONGEST_SHIFT_SECONDS = 10 * 366 * 86400.0


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """An account as it stands with Twilio.

    With its defaults it is what the tutorial needs: paid for, active, nothing forbidden.

    Of a trial account of 2026 Twilio also says that it may give only some of the parameters of a
    call and that it calls within its own country.  How a request is answered that does otherwise
    is not documented, so neither is simulated; minutes and days are not counted either (§6.7).

    Attributes:
        type: ``Full`` or ``Trial``.  A trial account calls verified numbers only (21219), has five
            calls at once (10004), and no `<Stream>`: see `Behaviour.trial` (PROTOCOL.md §0, §6.7).
        status: ``active``; ``suspended``: credentials are accepted and nothing is done (10001 for
            calls, else 20005; only the account itself can still be read [ASM]); ``closed``: the
            credentials are not accepted any more (20003 [ASM]).
        verified: Numbers that were verified, E.164; at most five on a trial account (§6.7).  A full
            account may use them as `from_` (§5.3, 21210).
        blocked_countries: ISO codes of the countries without geographic permission (21215).
        blocklist: Numbers that Twilio calls from no account (21216).
        voiceless: Numbers of the account that can do text messages only, no calls.
        calls_at_once: How many calls there can be at once (10004), or None: no limit, on a trial
            account five.
        clock_ahead_seconds: How far Twilio's clock, which each answer shows in its Date header, is
            ahead of this machine's; negative when it is behind.
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
                raise ValueError(f"{name} is {value!r}; it must be one of {choices}")
        for name in ("verified", "blocklist", "voiceless"):
            _require_numbers(name, getattr(self, name))
        self._require_countries()
        if self.type == "Trial" and len(set(self.verified)) > VERIFIED_LIMIT:
            raise ValueError(
                f"verified has {len(set(self.verified))} numbers; a trial account can verify "
                f"{VERIFIED_LIMIT}"
            )
        if self.calls_at_once is not None and (
            not isinstance(self.calls_at_once, int) or self.calls_at_once < 0
        ):
            raise ValueError(
                f"calls_at_once is {self.calls_at_once!r}; give a whole number or None"
            )
        shift = self.clock_ahead_seconds
        if not isinstance(shift, int | float) or not abs(shift) <= _LONGEST_SHIFT_SECONDS:
            raise ValueError(f"clock_ahead_seconds is {shift!r}; give seconds, at most ten years")

    @property
    def call_limit(self) -> int | None:
        """How many calls there can be at once, or None."""
        if self.calls_at_once is None and self.type == "Trial":
            return TRIAL_CALLS_AT_ONCE
        return self.calls_at_once

    def _require_countries(self) -> None:
        countries = self.blocked_countries
        if not set(countries) <= COUNTRIES.keys():
            known = " ".join(sorted(COUNTRIES))
            raise ValueError(
                f"blocked_countries is {countries!r}; give a set of ISO codes, of those that the "
                f"simulator knows by their calling codes: {known}"
            )


def agreeing(
    account: SimulatedAccount | None, behaviour: Behaviour | None
) -> tuple[SimulatedAccount, Behaviour]:
    """Return both such that a trial account has a trial's rules, and no other account has them."""
    account, behaviour = account or SimulatedAccount(), behaviour or Behaviour()
    if behaviour.trial != "off":
        account = replace(account, type="Trial")
    elif account.type == "Trial":
        behaviour = replace(behaviour, trial="blocked")
    return account, behaviour


def _require_numbers(name: str, numbers: object) -> None:
    # A single number instead of a tuple of one is the usual slip; its letters are no numbers.
    if isinstance(numbers, str):
        raise TypeError(f"{name} is {numbers!r}; give a tuple of numbers: ({numbers!r},)")
    for number in tuple(numbers):  # type: ignore[var-annotated, arg-type]
        if not isinstance(number, str) or not is_e164(number):
            raise ValueError(
                f"{name} has {number!r}; numbers are written in E.164, such as +15550100001"
            )
