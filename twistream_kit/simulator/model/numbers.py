"""SIDs, telephone numbers, countries, and the numbers of the simulated account.

SIDs are two letters and 32 hex digits (PROTOCOL.md §1.7).  They are computed from a counter, not at
random, so that a notebook run twice shows the same ones.  The auth token is the exception: it
protects a server behind a tunnel, and a token that can be looked up protects nothing.

Countries are identified by calling code: enough for geographic permissions, without a numbering
plan.  A number belongs to the country with the longest matching calling code.  Countries that share
a code are not distinguished: every +1 is the United States, though Canada and the Caribbean use +1
too.  Codes that are not listed here belong to no country and are never blocked.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from dataclasses import dataclass

from twistream_kit.errors import WrongValue
from twistream_kit.protocol.rest import is_e164

ACCOUNT_NUMBERS = ("+15005550006", "+15005550009")
"""The numbers of the simulated account: Twilio's magic numbers, which reach no phone (§6.7)."""


def require_e164(number: str) -> None:
    """Raise `ValueError` unless `number` is in E.164 form."""
    if not is_e164(number):
        raise WrongValue(
            f"{number!r} is not a number in E.164 form: plus, country code and number, "
            "such as +15550100001"
        )


def format_national(number: str) -> str:
    """Format a number as in Twilio's ``…_formatted`` fields: (415) 867-5308 in the US (§6.2)."""
    if re.fullmatch(r"\+1\d{10}", number):
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number


class Sids:
    """Makes the SIDs of one simulator, the same in every run."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()

    def make(self, prefix: str) -> str:
        """Return the next SID with a prefix: AC, CA, MZ or PN."""
        self._made[prefix] += 1
        seed = f"twistream {prefix} {self._made[prefix]}"
        return prefix + hashlib.sha256(seed.encode()).hexdigest()[:32]


def draw_auth_token() -> str:
    """Return a random auth token: 32 hex digits, like Twilio's."""
    return secrets.token_hex(16)


@dataclass(slots=True)
class AccountNumber:
    """A number of the account, with the handling of its incoming calls.

    Attributes:
        sid: PN and 32 hex digits.
        phone_number: The number in E.164 form.
        friendly_name: The name that the console shows.
        voice: Whether it can place and receive calls.
        voice_url: The URL of the TwiML for an incoming call; empty if none was set.
        voice_method: GET or POST.
        voice_fallback_url: The URL that is fetched if `voice_url` fails.
        voice_fallback_method: GET or POST.
        status_callback: The URL that is notified when a call to this number ends.
        status_callback_method: GET or POST.
        voice_application_sid: AP and 32 hex digits: the application that handles its calls, or
            empty.  If there is one, the URLs above are not used.
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
        """The SID of the application or trunk that replaces its URLs; empty if there is none."""
        return self.voice_application_sid or self.trunk_sid


def find_country(number: str) -> Country | None:
    """Return the country of `number`, in E.164 form, or None if its code is not listed."""
    digits = number.removeprefix("+")
    # Calling codes have one to three digits, and none is a prefix of another (E.164).
    return next(
        (found for size in (3, 2, 1) if (found := _BY_CALLING_CODE.get(digits[:size]))), None
    )


@dataclass(frozen=True, slots=True)
class Country:
    """A country with a calling code.

    Attributes:
        iso: Two capital letters, ISO 3166-1.
        calling_code: The prefix of its numbers, without the plus.
        name: The English name.
        continent: The continent by Twilio's REST API, such as ``NORTH_AMERICA``.
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
