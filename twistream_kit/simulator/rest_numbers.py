"""The REST resource of the account's numbers: what happens when somebody dials them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiohttp import web

from twistream_kit.simulator.call_request import checked_url, method_of
from twistream_kit.simulator.numbers import AccountNumber
from twistream_kit.simulator.refusal import not_found
from twistream_kit.simulator.resources import number_json, page_json
from twistream_kit.simulator.rest_form import RequestForm, answer

_NUMBER_FIELDS = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
}


class NumberResources:
    """Shows and changes numbers.

    Args:
        account_sid: Whose they are.
        numbers: The numbers by SID.
        created: When the account came to be, and they with it.
    """

    def __init__(
        self, account_sid: str, numbers: dict[str, AccountNumber], created: datetime
    ) -> None:
        self._account_sid = account_sid
        self._numbers = numbers
        self._created = created

    def routes(self, account: str) -> Iterable[web.RouteDef]:
        """Return the routes below the path `account`."""
        numbers = f"{account}/IncomingPhoneNumbers"
        return [
            web.get(f"{numbers}.json", self._list_numbers),
            web.get(f"{numbers}/{{number}}.json", self._fetch_number),
            web.post(f"{numbers}/{{number}}.json", self._update_number),
        ]

    async def _list_numbers(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        found = [
            self._number_json(number)
            for number in self._numbers.values()
            if query.get("PhoneNumber", number.phone_number) == number.phone_number
        ]
        return answer(page_json("incoming_phone_numbers", found, path=request.path, query=query))

    async def _fetch_number(self, request: web.Request) -> web.Response:
        return answer(self._number_json(self._number(request)))

    async def _update_number(self, request: web.Request) -> web.Response:
        number, form = self._number(request), await RequestForm.of(request)
        changes = {}
        for key, attribute in _NUMBER_FIELDS.items():
            if key not in form:
                continue
            value = form.get(key)
            if key.endswith("Method"):
                value = method_of(form, key)
            elif value and key != "FriendlyName":
                checked_url(value, key)
            changes[attribute] = value
        # All or nothing: nothing changes when one of them is refused.
        self._numbers[number.sid] = replace(number, **changes)
        return answer(self._number_json(self._numbers[number.sid]))

    def _number_json(self, number: AccountNumber) -> dict[str, Any]:
        return number_json(self._account_sid, number, self._created)

    def _number(self, request: web.Request) -> AccountNumber:
        number = self._numbers.get(request.match_info["number"])
        if number is None:
            raise not_found(request.path)
        return number
