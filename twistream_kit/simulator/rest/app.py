"""The REST API as a whole: who may ask, and which path leads where (PROTOCOL.md §5.3, §6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from twistream_kit.simulator.call.calls import Calls
from twistream_kit.simulator.call.context import Exchange
from twistream_kit.simulator.rest.account_record import AccountRecord
from twistream_kit.simulator.rest.calls import CallResources
from twistream_kit.simulator.rest.credentials import Login
from twistream_kit.simulator.rest.errors import Refusal, not_found
from twistream_kit.simulator.rest.form import answer, login_of
from twistream_kit.simulator.rest.magic_numbers import may_ask
from twistream_kit.simulator.rest.resources import account_uri
from twistream_kit.simulator.rest.rest_account import AccountResources
from twistream_kit.simulator.rest.rest_lookups import LookupResources
from twistream_kit.simulator.rest.rest_numbers import NumberResources
from twistream_kit.simulator.rest.rest_permissions import PermissionResources

_Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RestApi:
    """Twilio's REST resources for calls, over one simulator's calls and account.

    Twilio spreads them over several hosts (``api``, ``voice``, ``lookups``); their paths differ, so
    one server has them all.

    Args:
        exchange: What calls share.
        calls: The calls.
        account: Who may ask, and for what.
    """

    def __init__(self, exchange: Exchange, calls: Calls, account: AccountRecord) -> None:
        self._account = account
        self._resources = (
            AccountResources(account),
            CallResources(exchange, calls, account),
            NumberResources(account),
            PermissionResources(account),
            LookupResources(),
        )

    def application(self) -> web.Application:
        """Build the web application."""
        account = account_uri("{account}")

        @web.middleware
        async def guard(
            request: web.Request,
            handler: _Answerer,
        ) -> web.StreamResponse:
            response = await self._guard(request, handler)
            response.headers["Date"] = self._account.date
            return response

        application = web.Application(middlewares=[guard], client_max_size=1 << 20)
        for resource in self._resources:
            application.add_routes(resource.routes(account))
        return application

    async def _guard(
        self,
        request: web.Request,
        handler: _Answerer,
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
        if login == "test" and not may_ask(request, credentials.test_sid):
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
