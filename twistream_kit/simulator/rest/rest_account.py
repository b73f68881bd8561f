"""The REST resources of the account itself and of its verified numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from twistream_kit.simulator.rest.account_record import AccountRecord
from twistream_kit.simulator.rest.errors import Refusal, not_found
from twistream_kit.simulator.rest.form import answer, login_of
from twistream_kit.simulator.rest.resources import account_json, caller_id_json, page_json


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
