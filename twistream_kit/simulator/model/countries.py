"""Countries by calling code: enough to have geographic permissions, and no numbering plan.

A number belongs to the country with the longest calling code that it begins with.  What shares a
code is not told apart: every +1 is the United States, though Canada and the Caribbean dial +1 too.
Codes that are not listed here belong to no country, and nothing is forbidden there.
"""

from __future__ import annotations

from dataclasses import dataclass


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


_TABLE = (
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

COUNTRIES = {country.iso: country for country in _TABLE}
"""The countries by ISO code."""

_BY_CALLING_CODE = {country.calling_code: country for country in _TABLE}


def country_of(number: str) -> Country | None:
    """Return the country of `number`, E.164, or None when its code is not listed."""
    digits = number.removeprefix("+")
    # Calling codes have one to three digits, and none is the beginning of another (E.164).
    return next(
        (found for size in (3, 2, 1) if (found := _BY_CALLING_CODE.get(digits[:size]))), None
    )
