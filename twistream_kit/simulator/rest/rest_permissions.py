"""The REST resource of geographic permissions: which countries may be called."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from twistream_kit.simulator.model.countries import COUNTRIES
from twistream_kit.simulator.rest.account_record import AccountRecord
from twistream_kit.simulator.rest.errors import not_found
from twistream_kit.simulator.rest.form import answer

_COUNTRIES = "/v1/DialingPermissions/Countries"

_ORIGIN = "https://voice.twilio.com"


class PermissionResources:
    """Shows one country at a time, in the shape of the SDK's `CountryInstance`.

    Numbers of high risk are never permitted here: no simulated telephone has one.

    Args:
        account: Has the countries without permission.
    """

    def __init__(self, account: AccountRecord) -> None:
        self._account = account

    def routes(self, _account: str) -> Iterable[web.RouteDef]:
        """Return the routes; they do not lie below the account's path."""
        return [web.get(f"{_COUNTRIES}/{{iso}}", self._fetch)]

    async def _fetch(self, request: web.Request) -> web.Response:
        country = COUNTRIES.get(request.match_info["iso"])
        if country is None:
            raise not_found(request.path)
        url = f"{_ORIGIN}{_COUNTRIES}/{country.iso}"
        blocked = country.iso in self._account.settings.blocked_countries
        return answer(
            {
                "iso_code": country.iso,
                "name": country.name,
                "continent": country.continent,
                "country_codes": [f"+{country.calling_code}"],
                "low_risk_numbers_enabled": not blocked,
                "high_risk_special_numbers_enabled": False,
                "high_risk_tollfraud_numbers_enabled": False,
                "url": url,
                "links": {"highrisk_special_prefixes": f"{url}/HighRiskSpecialPrefixes"},
            }
        )
