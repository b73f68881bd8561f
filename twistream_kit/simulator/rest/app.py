"""The REST API as a web application: authentication and routes (PROTOCOL.md §5.3, §6).

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
    find_country,
    format_national,
)
from twistream_kit.simulator.rest._calls import CallResources
from twistream_kit.simulator.rest._errors import Refusal, make_not_found
from twistream_kit.simulator.rest._form import RequestForm, answer, read_login
from twistream_kit.simulator.rest._resources import (
    make_account_json,
    make_account_uri,
    make_caller_id_json,
    make_number_json,
    make_page_json,
)
from twistream_kit.simulator.rest.account import AccountRecord, Login, opens_to_test_credentials
from twistream_kit.simulator.rest.call_request import check_url, read_method

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
"""The prefix of each SID, and the error code of a malformed one: 21218 is from §5.3, the other is
an assumption [ASM]."""

_COUNTRIES_PATH = "/v1/DialingPermissions/Countries"

_VOICE_ORIGIN = "https://voice.twilio.com"

_LOOKUPS_PATH = "/v2/PhoneNumbers"

_LOOKUP_PACKAGES = (
    "caller_name", "sim_swap", "call_forwarding", "line_status", "line_type_intelligence",
    "identity_match", "reassigned_number", "sms_pumping_risk", "phone_number_quality_score",
    "pre_fill",
)  # fmt: skip
"""The packages that cost money with Twilio; null here, as they are there if not requested."""

_E164_DIGITS = range(7, 16)
"""The number of digits of an E.164 number, with its country code (see `protocol.rest.E164`)."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RestApi:
    """Twilio's REST resources for the calls and the account of one simulator.

    Twilio uses several hosts (``api``, ``voice``, ``lookups``); their paths differ, so one server
    serves all of them.

    Args:
        context: The objects that all calls share.
        calls: The calls.
        account: The credentials and permissions.
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

    def build_application(self) -> web.Application:
        """Build the web application."""
        account = make_account_uri("{account}")

        @web.middleware
        async def handle(
            request: web.Request,
            handler: _Handler,
        ) -> web.StreamResponse:
            response = await self._guard(request, handler)
            response.headers["Date"] = self._account.date
            return response

        application = web.Application(middlewares=[handle], client_max_size=1 << 20)
        for resource in self._resources:
            application.add_routes(resource.list_routes(account))
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
            # Wrong path, wrong case and wrong method have the same response (§5.3).
            if error.status not in {404, 405}:
                raise
            nowhere = make_not_found(request.path)
            return answer(nowhere.to_json(), nowhere.status)

    def _admit(self, request: web.Request) -> None:
        """Raise `Refusal` unless `request` may be carried out."""
        credentials = self._account.credentials
        login = read_login(request, credentials)
        if login is None or self._account.settings.status == "closed":
            raise Refusal(20003)
        if (refusal := self._account.take_refusal()) is not None:
            raise refusal
        if login == "test" and not opens_to_test_credentials(request, credentials.test_sid):
            raise Refusal(20008)
        mine = credentials.test_sid if login == "test" else credentials.account_sid
        if request.match_info.get("account", mine) != mine:
            raise make_not_found(request.path)
        if self._account.settings.status == "suspended":
            self._refuse_suspended(request, login)

    def _refuse_suspended(self, request: web.Request, login: Login) -> None:
        account = make_account_uri(self._account.credentials.account_sid)
        if request.path == f"{account}.json" and login == "account":
            return
        # Which requests get which of the two codes is not known [ASM] (§5.3).
        raise Refusal(10001 if request.path.startswith(f"{account}/Calls") else 20005)


async def serve(application: web.Application, resources: AsyncExitStack) -> str:
    """Serve `application` on a free port of loopback; return its scheme, host and port.

    Args:
        application: The application.
        resources: The exit stack that stops the server; the caller closes it.
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
        account: The account.
    """

    def __init__(self, account: AccountRecord) -> None:
        self._account = account

    def list_routes(self, account: str) -> Iterable[web.RouteDef]:
        """Return the routes at and below the path `account`."""
        verified = f"{account}/OutgoingCallerIds"
        return [
            web.get(f"{account}.json", self._fetch_account),
            web.get(f"{verified}.json", self._list_verified),
            web.get(f"{verified}/{{verified}}.json", self._fetch_verified),
        ]

    async def _fetch_account(self, request: web.Request) -> web.Response:
        if read_login(request, self._account.credentials) == "key":
            # A standard API key may access everything but accounts and keys; this error code is an
            # assumption [ASM].
            raise Refusal(20003)
        settings = self._account.settings
        sid = self._account.credentials.account_sid
        return answer(
            make_account_json(
                sid, self._account.created, type_=settings.type, status=settings.status
            )
        )

    async def _list_verified(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        found = [
            shown
            for shown in self._list_shown()
            if query.get("PhoneNumber", shown["phone_number"]) == shown["phone_number"]
            and query.get("FriendlyName", shown["friendly_name"]) == shown["friendly_name"]
        ]
        return answer(make_page_json("outgoing_caller_ids", found, path=request.path, query=query))

    async def _fetch_verified(self, request: web.Request) -> web.Response:
        sid = request.match_info["verified"]
        for shown in self._list_shown():
            if shown["sid"] == sid:
                return answer(shown)
        raise make_not_found(request.path)

    def _list_shown(self) -> list[dict[str, Any]]:
        account = self._account
        return [
            make_caller_id_json(account.credentials.account_sid, sid, number, account.created)
            for number, sid in account.verified.items()
        ]


class NumberResources:
    """Shows and changes the account's own numbers and the handling of their incoming calls.

    A number can be assigned to an application or a SIP trunk, which do not exist here: any SID of
    the right format is accepted, and calls to the number then fail.

    Args:
        account: The account.
    """

    def __init__(self, account: AccountRecord) -> None:
        self._account = account
        self._numbers = account.numbers

    def list_routes(self, account: str) -> Iterable[web.RouteDef]:
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
            self._make_number_json(number)
            for number in self._numbers.values()
            if query.get("PhoneNumber", number.phone_number) == number.phone_number
        ]
        return answer(
            make_page_json("incoming_phone_numbers", found, path=request.path, query=query)
        )

    async def _fetch_number(self, request: web.Request) -> web.Response:
        return answer(self._make_number_json(self._find_number(request)))

    async def _update_number(self, request: web.Request) -> web.Response:
        number, form = self._find_number(request), await RequestForm.read(request)
        changes = {
            attribute: _check_field(form, key)
            for key, attribute in _NUMBER_FIELDS.items()
            if key in form
        }
        # Each of these two deletes the other (the SDK's IncomingPhoneNumberInstance).
        if changes.get("trunk_sid"):
            changes["voice_application_sid"] = ""
        elif changes.get("voice_application_sid"):
            changes["trunk_sid"] = ""
        # If one of the fields is refused, none is changed.
        self._numbers[number.sid] = replace(number, **changes)
        return answer(self._make_number_json(self._numbers[number.sid]))

    def _make_number_json(self, number: AccountNumber) -> dict[str, Any]:
        account = self._account
        return make_number_json(account.credentials.account_sid, number, account.created)

    def _find_number(self, request: web.Request) -> AccountNumber:
        number = self._numbers.get(request.match_info["number"])
        if number is None:
            raise make_not_found(request.path)
        return number


def _check_field(form: RequestForm, key: str) -> Any:
    """Return the field `key` of a form, or raise `Refusal` if its value is not valid."""
    value = form.get(key)
    if key.endswith("Method"):
        return read_method(form, key)
    if key in _NUMBER_SIDS:
        prefix, code = _NUMBER_SIDS[key]
        if value and not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
            raise Refusal(code, f"{key} {value} is not valid: {prefix} and 32 hex digits")
    elif value and key != "FriendlyName":
        check_url(value, key)
    return value


class PermissionResources:
    """Shows geographic permissions: one country at a time, as the SDK's `CountryInstance`.

    High-risk numbers are never permitted here: no simulated telephone has one.

    Args:
        account: The account, with the countries without permission.
    """

    def __init__(self, account: AccountRecord) -> None:
        self._account = account

    def list_routes(self, _account: str) -> Iterable[web.RouteDef]:
        """Return the routes; they do not lie below the account's path."""
        return [web.get(f"{_COUNTRIES_PATH}/{{iso}}", self._fetch)]

    async def _fetch(self, request: web.Request) -> web.Response:
        country = COUNTRIES.get(request.match_info["iso"])
        if country is None:
            raise make_not_found(request.path)
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
    """Looks one number up, in the format of the SDK's lookups v2 `PhoneNumberInstance`.

    Only the length decides whether a number is valid, because there is no numbering plan here: the
    numbers of the simulated telephones, such as +15550100001, would not be valid in one.
    """

    def list_routes(self, _account: str) -> Iterable[web.RouteDef]:
        """Return the routes; they do not lie below the account's path."""
        return [web.get(f"{_LOOKUPS_PATH}/{{number}}", self._fetch)]

    async def _fetch(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        faults = find_validation_errors(number)
        country = None if faults else find_country(number)
        return answer(
            {
                "calling_country_code": country and country.calling_code,
                "country_code": country and country.iso,
                "phone_number": number,
                "national_format": format_national(number),
                "valid": not faults,
                "validation_errors": faults,
                "url": f"https://lookups.twilio.com{_LOOKUPS_PATH}/{number}",
            }
            | dict.fromkeys(_LOOKUP_PACKAGES)
        )


def find_validation_errors(number: str) -> list[str]:
    """Return the validation errors of `number`, by Twilio's names; empty if it is valid."""
    digits = number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return ["NOT_A_NUMBER"]
    if not number.startswith("+") or digits.startswith("0"):
        return ["INVALID_COUNTRY_CODE"]
    if len(digits) < _E164_DIGITS.start:
        return ["TOO_SHORT"]
    return [] if len(digits) in _E164_DIGITS else ["TOO_LONG"]
