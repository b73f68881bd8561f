"""Raw servers to try the simulator against, and ways to wait for it.

Nothing here imports `twistream_kit.live`: if the simulator were tried only against our own server,
one bug would agree with itself.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

import pytest
import websockets
from aiohttp import web

from twistream_kit.simulator.twilio import SimulatedTwilio

LIMIT_SECONDS = 8


@pytest.fixture
def eventually():
    """Wait until `condition()` is true, and fail when it never is."""

    async def wait(condition):
        async with asyncio.timeout(LIMIT_SECONDS):
            while not (result := condition()):  # noqa: ASYNC110 - any condition, of any thread
                await asyncio.sleep(0.005)  # sleeps: between two looks at any condition
        return result

    return wait


@pytest.fixture
async def twilio():
    async with SimulatedTwilio(ring_seconds=0.02) as simulated:
        yield simulated


@pytest.fixture
def place(twilio):
    """Place a call with the unchanged SDK, on a worker thread; the phone is +15550100001."""

    async def create(verbs=None, *, phone="+15550100001", **options):
        if verbs is not None:
            options["twiml"] = f"<Response>{verbs}</Response>"
        options.setdefault("from_", twilio.numbers[0])
        return await asyncio.to_thread(twilio.client.calls.create, to=phone, **options)

    return create


@dataclass
class Received:
    path: str
    method: str
    params: dict
    headers: dict
    url: str
    body: bytes = b""


@dataclass
class WebServer:
    """Records every request; answers as told, else 404."""

    origin: str = ""
    requests: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)

    def serve(self, path, body=b"", kind="text/xml", status=200, **headers):
        """Answer `path` so from now on; return its URL."""
        body = body.encode() if isinstance(body, str) else body
        self.answers[path] = (body, kind, status, headers)
        return self.origin + path

    def twiml(self, path, verbs):
        return self.serve(path, f"<Response>{verbs}</Response>")

    def at(self, path):
        return [request for request in self.requests if request.path == path]

    async def answer(self, request):
        body = await request.read()
        params = dict(await request.post()) if request.method == "POST" else dict(request.query)
        self.requests.append(
            Received(
                request.path, request.method, params, dict(request.headers),
                self.origin + request.raw_path, body,
            )
        )  # fmt: skip
        known = self.answers.get(request.path, (b"", "text/plain", 404, {}))
        if callable(known):
            return await known(request)
        content, kind, status, headers = known
        return web.Response(body=content, status=status, headers={"Content-Type": kind, **headers})


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


class MediaServer:
    """A Media Streams server that keeps what it gets and does what the test says."""

    def __init__(self):
        self.connections = []
        self.messages = []
        self.endings = []
        self.url = ""

    def of(self, event):
        return [message for message in self.messages if message["event"] == event]

    def noun(self, *, inside="", **attributes):
        """Return a <Stream> that leads here."""
        pairs = {"url": self.url, **attributes}
        text = " ".join(f"{name}={quoteattr(value)}" for name, value in pairs.items())
        return f"<Stream {text}>{inside}</Stream>"

    def connect(self, *, inside="", **attributes):
        return f"<Connect>{self.noun(inside=inside, **attributes)}</Connect>"

    async def say(self, payload, *, mark=None):
        sid = self.of("start")[-1]["streamSid"]
        media = {"payload": b64encode(payload).decode()}
        await self.send({"event": "media", "streamSid": sid, "media": media})
        if mark is not None:
            await self.send({"event": "mark", "streamSid": sid, "mark": {"name": mark}})

    async def send(self, message):
        await self.connections[-1].send(json.dumps(message))

    async def close(self, code=1000):
        await self.connections[-1].close(code)

    async def serve(self, connection):
        self.connections.append(connection)
        try:
            async for text in connection:
                self.messages.append(json.loads(text))
        except websockets.ConnectionClosed:
            pass
        self.endings.append(connection.close_code)


@pytest.fixture
async def media():
    """A Media Streams server of the customer's."""
    server = MediaServer()
    async with websockets.serve(server.serve, "127.0.0.1", 0, close_timeout=0.2) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/media"
        yield server
