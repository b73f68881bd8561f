"""Names in the simulated world: SIDs, telephone numbers, countries, the numbers of the account.

SIDs are two letters and 32 hex digits (PROTOCOL.md §1.7).  They are counted, not drawn by lot, so
that a notebook run twice shows the same ones.  The auth token is the exception: it is what keeps
strangers out of a server behind a tunnel, and a token that everybody can look up keeps out nobody.

Countries are known by calling code: enough to have geographic permissions, and no numbering plan.
A number belongs to the country with the longest calling code that it begins with.  What shares a
code is not told apart: every +1 is the United States, though Canada and the Caribbean dial +1 too.
Codes that are not listed here belong to no country, and nothing is forbidden there.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from dataclasses import dataclass

from twistream_kit.protocol.rest import is_e164

ACCOUNT_NUMBERS = ("+15005550006", "+15005550009")
"""The numbers of the simulated account: Twilio's magic numbers, which ring nowhere (§6.7)."""


def require_e164(number: str) -> None:
    """Raise `ValueError` unless `number` is in E.164 form."""
    if not is_e164(number):
        raise ValueError(
            f"{number!r} is not a number in E.164 form: plus, country code and number, "
            "such as +15550100001"
        )


def in_national_form(number: str) -> str:
    """Write a number as Twilio's ``…_formatted`` fields do: (415) 867-5308 in the US (§6.2)."""
    if re.fullmatch(r"\+1\d{10}", number):
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number


class Sids:
    """Makes the SIDs of one simulator, the same ones in every run."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()

    def make(self, prefix: str) -> str:
        """Return the next SID of a kind: `prefix` is AC, CA, MZ or PN."""
        self._made[prefix] += 1
        seed = f"twistream {prefix} {self._made[prefix]}"
        return prefix + hashlib.sha256(seed.encode()).hexdigest()[:32]


def new_auth_token() -> str:
    """Draw an auth token: 32 hex digits, as Twilio's are."""
    return secrets.token_hex(16)


@dataclass(slots=True)
class AccountNumber:
    """A number of the account, and what happens when somebody dials it.

    Attributes:
        sid: PN and 32 hex digits.
        phone_number: E.164.
        friendly_name: As the console shows it.
        voice: Whether it can make and take calls.
        voice_url: Where the TwiML of an incoming call is fetched; empty when nothing was set.
        voice_method: GET or POST.
        voice_fallback_url: Fetched when `voice_url` fails.
        voice_fallback_method: GET or POST.
        status_callback: Told when a call to this number ends.
        status_callback_method: GET or POST.
        voice_application_sid: AP and 32 hex digits: the application that handles its calls, or
            empty.  While there is one, the URLs above are not used.
        trunk_sid: TK and 32 hex digits: the SIP trunk that handles its calls, or empty; likewise.
    """

    sid: str
    phone_number: str
    friendly_name: str
    voice: bool = True
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    voice_application_sid: str = ""
    trunk_sid: str = ""

    @property
    def elsewhere(self) -> str:
        """What handles its calls in place of its URLs: a SID, or empty."""
        return self.voice_application_sid or self.trunk_sid


def country_of(number: str) -> Country | None:
    """Return the country of `number`, E.164, or None when its code is not listed."""
    digits = number.removeprefix("+")
    # Calling codes have one to three digits, and none is the beginning of another (E.164).
    return next(
        (found for size in (3, 2, 1) if (found := _BY_CALLING_CODE.get(digits[:size]))), None
    )


@dataclass(frozen=True, slots=True)
class Country:
    """A country that has telephones.

    Attributes:
        iso: Two capital letters, ISO 3166-1.
        calling_code: What its numbers begin with, without the plus.
        name: In English.
        continent: As Twilio's REST API writes it, such as ``NORTH_AMERICA``.
    """

    iso: str
    calling_code: str
    name: str
    continent: str


_COUNTRY_TABLE = (
    Country("US", "1", "United States/Canada", "NORTH_AMERICA"),
    Country("RU", "7", "Russia", "EUROPE"),
    Country("EG", "20", "Egypt", "AFRICA"),
    Country("ZA", "27", "South Africa", "AFRICA"),
    Country("GR", "30", "Greece", "EUROPE"),
    Country("NL", "31", "Netherlands", "EUROPE"),
    Country("BE", "32", "Belgium", "EUROPE"),
    Country("FR", "33", "France", "EUROPE"),
    Country("ES", "34", "Spain", "EUROPE"),
    Country("IT", "39", "Italy", "EUROPE"),
    Country("CH", "41", "Switzerland", "EUROPE"),
    Country("AT", "43", "Austria", "EUROPE"),
    Country("GB", "44", "United Kingdom", "EUROPE"),
    Country("DK", "45", "Denmark", "EUROPE"),
    Country("SE", "46", "Sweden", "EUROPE"),
    Country("NO", "47", "Norway", "EUROPE"),
    Country("PL", "48", "Poland", "EUROPE"),
    Country("DE", "49", "Germany", "EUROPE"),
    Country("MX", "52", "Mexico", "NORTH_AMERICA"),
    Country("CU", "53", "Cuba", "NORTH_AMERICA"),
    Country("AR", "54", "Argentina", "SOUTH_AMERICA"),
    Country("BR", "55", "Brazil", "SOUTH_AMERICA"),
    Country("AU", "61", "Australia", "OCEANIA"),
    Country("ID", "62", "Indonesia", "ASIA"),
    Country("NZ", "64", "New Zealand", "OCEANIA"),
    Country("JP", "81", "Japan", "ASIA"),
    Country("KR", "82", "South Korea", "ASIA"),
    Country("CN", "86", "China", "ASIA"),
    Country("TR", "90", "Turkey", "ASIA"),
    Country("IN", "91", "India", "ASIA"),
    Country("NG", "234", "Nigeria", "AFRICA"),
    Country("KE", "254", "Kenya", "AFRICA"),
    Country("PT", "351", "Portugal", "EUROPE"),
    Country("IE", "353", "Ireland", "EUROPE"),
    Country("FI", "358", "Finland", "EUROPE"),
    Country("LV", "371", "Latvia", "EUROPE"),
    Country("UA", "380", "Ukraine", "EUROPE"),
    Country("CZ", "420", "Czech Republic", "EUROPE"),
    Country("IL", "972", "Israel", "ASIA"),
)

COUNTRIES = {country.iso: country for country in _COUNTRY_TABLE}
"""The countries by ISO code."""

_BY_CALLING_CODE = {country.calling_code: country for country in _COUNTRY_TABLE}
