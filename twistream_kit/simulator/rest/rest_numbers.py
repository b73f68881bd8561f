"""The REST resource of the account's numbers: what happens when somebody dials them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from aiohttp import web

from twistream_kit.simulator.model.numbers import AccountNumber
from twistream_kit.simulator.rest.account_record import AccountRecord
from twistream_kit.simulator.rest.call_request import checked_url, method_of
from twistream_kit.simulator.rest.errors import Refusal, not_found
from twistream_kit.simulator.rest.form import RequestForm, answer
from twistream_kit.simulator.rest.resources import number_json, page_json

_NUMBER_FIELDS = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
}

_SIDS = {"VoiceApplicationSid": ("AP", 21218), "TrunkSid": ("TK", 20422)}
"""How these begin, and what a malformed one is refused with: 21218 is §5.3's, the other [ASM]."""


class NumberResources:
    """Shows and changes numbers.

    A number can be handed to an application or a SIP trunk, of which there are none here: any SID
    of the right shape will do, and calls to the number then find nobody.

    Args:
        account: Whose they are.
    """

    def __init__(self, account: AccountRecord) -> None:
        self._account = account
        self._numbers = account.numbers

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
        changes = {
            attribute: _checked(form, key)
            for key, attribute in _NUMBER_FIELDS.items()
            if key in form
        }
        # Each of these two deletes the other (the SDK's IncomingPhoneNumberInstance).
        if changes.get("trunk_sid"):
            changes["voice_application_sid"] = ""
        elif changes.get("voice_application_sid"):
            changes["trunk_sid"] = ""
        # All or nothing: nothing changes when one of them is refused.
        self._numbers[number.sid] = replace(number, **changes)
        return answer(self._number_json(self._numbers[number.sid]))

    def _number_json(self, number: AccountNumber) -> dict[str, Any]:
        account = self._account
        return number_json(account.credentials.account_sid, number, account.created)

    def _number(self, request: web.Request) -> AccountNumber:
        number = self._numbers.get(request.match_info["number"])
        if number is None:
            raise not_found(request.path)
        return number


def _checked(form: RequestForm, key: str) -> Any:
    """Return the field `key` of a form if a number can have it."""
    value = form.get(key)
    if key.endswith("Method"):
        return method_of(form, key)
    if key in _SIDS:
        prefix, code = _SIDS[key]
        if value and not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
            raise Refusal(code, f"{key} {value} is not valid: {prefix} and 32 hex digits")
    elif value and key != "FriendlyName":
        checked_url(value, key)
    return value
