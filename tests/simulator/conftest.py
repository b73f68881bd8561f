"""Servers of a customer, to try the simulator against, and a way to place calls.

Nothing here imports `twistream_kit.live`: if the simulator were tried only against our own server,
one bug would agree with itself.
"""

from __future__ import annotations

import asyncio

import pytest
import websockets
from aiohttp import web

from support.media_server import MediaServer
from support.web_server import WebServer


@pytest.fixture
def place(twilio):
    """Place a call with the unchanged SDK, on a worker thread; the phone is +15550100001."""

    async def create(verbs=None, *, phone="+15550100001", **options):
        if verbs is not None:
            options["twiml"] = f"<Response>{verbs}</Response>"
        options.setdefault("from_", twilio.numbers[0])
        return await asyncio.to_thread(twilio.client.calls.create, to=phone, **options)

    return create


@pytest.fixture
async def site():
    """A web server of the customer's."""
    server = WebServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    server.origin = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def media():
    """A Media Streams server of the customer's."""
    server = MediaServer()
    async with websockets.serve(server.serve, "127.0.0.1", 0, close_timeout=0.2) as running:
        port = running.sockets[0].getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/media"
        yield server
