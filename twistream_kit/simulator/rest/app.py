"""The REST API as a web application: who may ask, and what each path shows (PROTOCOL.md §5.3, §6).

The account, its verified numbers, its own numbers, geographic permissions and look-ups are here;
calls and their streams are in `_calls`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from aiohttp import web

from twistream_kit.simulator.call.call import Calls
from twistream_kit.simulator.call.context import CallContext
from twistream_kit.simulator.model.numbers import (
    COUNTRIES,
    AccountNumber,
    country_of,
    in_national_form,
)
from twistream_kit.simulator.rest._calls import CallResources
from twistream_kit.simulator.rest._errors import Refusal, not_found
from twistream_kit.simulator.rest._form import RequestForm, answer, login_of
from twistream_kit.simulator.rest._resources import (
    account_json,
    account_uri,
    caller_id_json,
    number_json,
    page_json,
)
from twistream_kit.simulator.rest.account import AccountRecord, Login, opens_to_test_credentials
from twistream_kit.simulator.rest.call_request import checked_url, method_of

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

_NUMBER_SIDS = {"VoiceApplicationSid": ("AP", 21218), "TrunkSid": ("TK", 20422)}
"""How these begin, and what a malformed one is refused with: 21218 is §5.3's, the other [ASM]."""

_COUNTRIES_PATH = "/v1/DialingPermissions/Countries"

_VOICE_ORIGIN = "https://voice.twilio.com"

_LOOKUPS_PATH = "/v2/PhoneNumbers"

_LOOKUP_PACKAGES = (
    "caller_name", "sim_swap", "call_forwarding", "line_status", "line_type_intelligence",
    "identity_match", "reassigned_number", "sms_pumping_risk", "phone_number_quality_score",
    "pre_fill",
)  # fmt: skip
"""What costs money with Twilio and is null here, as it is there when nobody asks for it."""

_E164_DIGITS = range(7, 16)
"""How many digits a number in E.164 has, with its country code (see `protocol.rest.E164`)."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RestApi:
    """Twilio's REST resources for calls, over one simulator's calls and account.

    Twilio spreads them over several hosts (``api``, ``voice``, ``lookups``); their paths differ, so
    one server has them all.

    Args:
        context: What calls share.
        calls: The calls.
        account: Who may ask, and for what.
    """

    def __init__(self, context: CallContext, calls: Calls, account: AccountRecord) -> None:
        self._account = account
        self._resources = (
            AccountResources(account),
            CallResources(context, calls, account),
            NumberResources(account),
            PermissionResources(account),
            LookupResources(),
        )

    def application(self) -> web.Application:
        """Build the web application."""
        account = account_uri("{account}")

        @web.middleware
        async def middleware(
            request: web.Request,
            handler: _Handler,
        ) -> web.StreamResponse:
            response = await self._guard(request, handler)
            response.headers["Date"] = self._account.date
            return response

        application = web.Application(middlewares=[middleware], client_max_size=1 << 20)
        for resource in self._resources:
            application.add_routes(resource.routes(account))
        return application

    async def _guard(
        self,
        request: web.Request,
        handler: _Handler,
    ) -> web.StreamResponse:
        try:
            self._admit(request)
            return await handler(request)
        except Refusal as refusal:
            return answer(refusal.to_json(), refusal.status)
        except web.HTTPException as error:
            # Wrong path, wrong case or wrong method: one and the same answer (§5.3).
            if error.status not in {404, 405}:
                raise
            nowhere = not_found(request.path)
            return answer(nowhere.to_json(), nowhere.status)

    def _admit(self, request: web.Request) -> None:
        """Return if `request` may be carried out, else raise `Refusal`."""
        credentials = self._account.credentials
        login = login_of(request, credentials)
        if login is None or self._account.settings.status == "closed":
            raise Refusal(20003)
        if (refusal := self._account.take_refusal()) is not None:
            raise refusal
        if login == "test" and not opens_to_test_credentials(request, credentials.test_sid):
            raise Refusal(20008)
        mine = credentials.test_sid if login == "test" else credentials.account_sid
        if request.match_info.get("account", mine) != mine:
            raise not_found(request.path)
        if self._account.settings.status == "suspended":
            self._refuse_suspended(request, login)

    def _refuse_suspended(self, request: web.Request, login: Login) -> None:
        account = account_uri(self._account.credentials.account_sid)
        if request.path == f"{account}.json" and login == "account":
            return
        # Which of the two codes comes for what is not known [ASM] (§5.3).
        raise Refusal(10001 if request.path.startswith(f"{account}/Calls") else 20005)


async def serve(application: web.Application, resources: AsyncExitStack) -> str:
    """Serve `application` on a free port of loopback; return its scheme, host and port.

    Args:
        application: What answers.
        resources: Closed by the caller, who thereby ends the service.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    resources.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    return f"http://{host}:{port}"


class AccountResources:
    """Shows the account and its verified numbers, which Twilio calls outgoing caller IDs.

    Args:
        account: Whose they are.
    """

    def __init__(self, account: AccountRecord) -> None:
        self._account = account

    def routes(self, account: str) -> Iterable[web.RouteDef]:
        """Return the routes at and below the path `account`."""
        verified = f"{account}/OutgoingCallerIds"
        return [
            web.get(f"{account}.json", self._fetch_account),
            web.get(f"{verified}.json", self._list_verified),
            web.get(f"{verified}/{{verified}}.json", self._fetch_verified),
        ]

    async def _fetch_account(self, request: web.Request) -> web.Response:
        if login_of(request, self._account.credentials) == "key":
            # A standard API key opens everything but accounts and keys; that it is refused with
            # this code is an assumption [ASM].
            raise Refusal(20003)
        settings = self._account.settings
        sid = self._account.credentials.account_sid
        return answer(
            account_json(sid, self._account.created, type_=settings.type, status=settings.status)
        )

    async def _list_verified(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        found = [
            shown
            for shown in self._shown()
            if query.get("PhoneNumber", shown["phone_number"]) == shown["phone_number"]
            and query.get("FriendlyName", shown["friendly_name"]) == shown["friendly_name"]
        ]
        return answer(page_json("outgoing_caller_ids", found, path=request.path, query=query))

    async def _fetch_verified(self, request: web.Request) -> web.Response:
        sid = request.match_info["verified"]
        for shown in self._shown():
            if shown["sid"] == sid:
                return answer(shown)
        raise not_found(request.path)

    def _shown(self) -> list[dict[str, Any]]:
        account = self._account
        return [
            caller_id_json(account.credentials.account_sid, sid, number, account.created)
            for number, sid in account.verified.items()
        ]


class NumberResources:
    """Shows and changes the account's own numbers: what happens when somebody dials them.

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
            attribute: _checked_field(form, key)
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


def _checked_field(form: RequestForm, key: str) -> Any:
    """Return the field `key` of a form if a number can have it."""
    value = form.get(key)
    if key.endswith("Method"):
        return method_of(form, key)
    if key in _NUMBER_SIDS:
        prefix, code = _NUMBER_SIDS[key]
        if value and not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
            raise Refusal(code, f"{key} {value} is not valid: {prefix} and 32 hex digits")
    elif value and key != "FriendlyName":
        checked_url(value, key)
    return value


class PermissionResources:
    """Shows geographic permissions: one country at a time, as the SDK's `CountryInstance`.

    Numbers of high risk are never permitted here: no simulated telephone has one.

    Args:
        account: Has the countries without permission.
    """

    def __init__(self, account: AccountRecord) -> None:
        self._account = account

    def routes(self, _account: str) -> Iterable[web.RouteDef]:
        """Return the routes; they do not lie below the account's path."""
        return [web.get(f"{_COUNTRIES_PATH}/{{iso}}", self._fetch)]

    async def _fetch(self, request: web.Request) -> web.Response:
        country = COUNTRIES.get(request.match_info["iso"])
        if country is None:
            raise not_found(request.path)
        url = f"{_VOICE_ORIGIN}{_COUNTRIES_PATH}/{country.iso}"
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


class LookupResources:
    """Looks one number up, in the shape of the SDK's lookups v2 `PhoneNumberInstance`.

    Length alone decides whether a number is valid, for there is no numbering plan here: the
    simulated telephones themselves, such as +15550100001, would not pass one.
    """

    def routes(self, _account: str) -> Iterable[web.RouteDef]:
        """Return the routes; they do not lie below the account's path."""
        return [web.get(f"{_LOOKUPS_PATH}/{{number}}", self._fetch)]

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
                "url": f"https://lookups.twilio.com{_LOOKUPS_PATH}/{number}",
            }
            | dict.fromkeys(_LOOKUP_PACKAGES)
        )


def validation_errors(number: str) -> list[str]:
    """Return what is wrong with `number`, in Twilio's words; an empty list if nothing is."""
    digits = number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return ["NOT_A_NUMBER"]
    if not number.startswith("+") or digits.startswith("0"):
        return ["INVALID_COUNTRY_CODE"]
    if len(digits) < _E164_DIGITS.start:
        return ["TOO_SHORT"]
    return [] if len(digits) in _E164_DIGITS else ["TOO_LONG"]
