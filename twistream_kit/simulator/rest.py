"""The REST API as a whole: who may ask, and which path leads where (PROTOCOL.md §5.3, §6)."""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from aiohttp import web

from twistream_kit.simulator.calls import Calls
from twistream_kit.simulator.exchange import Exchange
from twistream_kit.simulator.numbers import AccountNumber
from twistream_kit.simulator.refusal import Refusal, not_found
from twistream_kit.simulator.resources import account_json, account_uri
from twistream_kit.simulator.rest_calls import CallResources
from twistream_kit.simulator.rest_form import answer
from twistream_kit.simulator.rest_numbers import NumberResources


class RestApi:
    """Twilio's REST resources for calls, over one simulator's calls and numbers.

    Args:
        exchange: What calls share.
        calls: The calls.
        numbers: The account's numbers by SID.
    """

    def __init__(self, exchange: Exchange, calls: Calls, numbers: dict[str, AccountNumber]) -> None:
        self._exchange = exchange
        self._created = datetime.now(UTC)
        self._resources = (
            CallResources(exchange, calls, numbers),
            NumberResources(exchange.account_sid, numbers, self._created),
        )

    def application(self) -> web.Application:
        """Build the web application."""
        account = account_uri("{account}")

        @web.middleware
        async def guard(
            request: web.Request,
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        ) -> web.StreamResponse:
            return await self._guard(request, handler)

        application = web.Application(middlewares=[guard], client_max_size=1 << 20)
        application.add_routes([web.get(f"{account}.json", self._account)])
        for resource in self._resources:
            application.add_routes(resource.routes(account))
        return application

    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        try:
            self._authenticate(request)
            if request.match_info.get("account", self._exchange.account_sid) != (
                self._exchange.account_sid
            ):
                raise not_found(request.path)
            return await handler(request)
        except Refusal as refusal:
            return answer(refusal.to_json(), refusal.status)
        except web.HTTPException as error:
            # Wrong path, wrong case or wrong method: one and the same answer (§5.3).
            if error.status not in {404, 405}:
                raise
            nowhere = not_found(request.path)
            return answer(nowhere.to_json(), nowhere.status)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        try:
            given = b64decode(secret, validate=True)
        except Base64Error:
            given = b""
        wanted = f"{self._exchange.account_sid}:{self._exchange.auth_token}".encode()
        if scheme.lower() != "basic" or not hmac.compare_digest(given, wanted):
            raise Refusal(20003, "Authenticate")

    async def _account(self, _request: web.Request) -> web.Response:
        return answer(account_json(self._exchange.account_sid, self._created))


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
