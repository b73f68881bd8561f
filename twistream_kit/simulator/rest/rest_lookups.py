"""The REST resource of look-ups: what a telephone number is.

Validity is judged by length alone, for there is no numbering plan here: the simulated telephones
themselves, such as +15550100001, would not pass one.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from twistream_kit.simulator.model.countries import country_of
from twistream_kit.simulator.model.numbers import in_national_form
from twistream_kit.simulator.rest.form import answer

_NUMBERS = "/v2/PhoneNumbers"

_PACKAGES = (
    "caller_name", "sim_swap", "call_forwarding", "line_status", "line_type_intelligence",
    "identity_match", "reassigned_number", "sms_pumping_risk", "phone_number_quality_score",
    "pre_fill",
)  # fmt: skip
"""What costs money with Twilio and is null here, as it is there when nobody asks for it."""

_DIGITS = range(7, 16)
"""How many digits a number in E.164 has, with its country code (see `numbers.E164`)."""


class LookupResources:
    """Looks one number up, in the shape of the SDK's lookups v2 `PhoneNumberInstance`."""

    def routes(self, _account: str) -> Iterable[web.RouteDef]:
        """Return the routes; they do not lie below the account's path."""
        return [web.get(f"{_NUMBERS}/{{number}}", self._fetch)]

    async def _fetch(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        faults = validation_errors(number)
        country = None if faults else country_of(number)
        return answer(
            {
                "calling_country_code": country and country.calling_code,
                "country_code": country and country.iso,
                "phone_number": number,
                "national_format": in_national_form(number),
                "valid": not faults,
                "validation_errors": faults,
                "url": f"https://lookups.twilio.com{_NUMBERS}/{number}",
            }
            | dict.fromkeys(_PACKAGES)
        )


def validation_errors(number: str) -> list[str]:
    """Return what is wrong with `number`, in Twilio's words; an empty list if nothing is."""
    digits = number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return ["NOT_A_NUMBER"]
    if not number.startswith("+") or digits.startswith("0"):
        return ["INVALID_COUNTRY_CODE"]
    if len(digits) < _DIGITS.start:
        return ["TOO_SHORT"]
    return [] if len(digits) in _DIGITS else ["TOO_LONG"]
