"""A far end under the test's control, raw requests, and ways to wait.

The far end is a plain `websockets` client and no part of the simulator: it signs its handshake,
says what it is told to, and sends a mark back only when the test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import threading

import pytest
import websockets
from websockets.asyncio.client import connect

from twistream_kit.live.server import StreamServer
from twistream_kit.protocol import from_twilio, signature, to_twilio

LIMIT_SECONDS = 8
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def eventually():
    """Wait until `condition()` is true, and fail when it never is."""

    async def wait(condition):
        async with asyncio.timeout(LIMIT_SECONDS):
            while not (result := condition()):  # noqa: ASYNC110 - any condition
                await asyncio.sleep(0.002)  # sleeps: between two looks at any condition
        return result

    return wait


@pytest.fixture
def in_thread():
    """Run something on a thread that has no loop, and return what it gave."""

    async def run(work, *args):
        async with asyncio.timeout(LIMIT_SECONDS):
            return await asyncio.to_thread(work, *args)

    return run


class FarEnd:
    """Twilio's end of one stream, message by message."""

    _numbers = itertools.count(1)

    def __init__(self, connection, number):
        self.connection = connection
        self.stream_sid = f"MZ{number:032x}"
        self.call_sid = f"CA{number:032x}"
        self.received = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.connection:
                self.received.append(to_twilio.parse(text))

    async def begin(self, **parameters):
        await self.send(from_twilio.Connected())
        await self.send(
            from_twilio.Start(
                self.stream_sid, "AC" + "0" * 32, self.call_sid, custom_parameters=parameters
            )
        )

    async def send(self, message):
        await self.connection.send(message if isinstance(message, str) else message.to_json())

    async def media(self, payload=b"\xff" * 160):
        await self.send(from_twilio.Media(self.stream_sid, payload))

    async def echo(self, *names):
        for name in names or [mark.name for mark in self.of(to_twilio.Mark)]:
            await self.send(from_twilio.Mark(self.stream_sid, name))

    async def stop(self):
        await self.send(from_twilio.Stop(self.stream_sid, "AC" + "0" * 32, self.call_sid))

    def of(self, kind):
        return [message for message in self.received if isinstance(message, kind)]

    async def until(self, kind, count=1):
        """Wait until `count` messages of a kind have come; return them all."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while len(self.of(kind)) < count:
                assert not self._reading.done(), f"closed before {count} {kind.__name__} came"
                await asyncio.sleep(0.002)  # sleeps: between two looks at what has come
        return self.of(kind)

    async def close_code(self):
        """Wait for the end of the socket; return its code."""
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._reading
            await self.connection.wait_closed()
        return self.connection.close_code

    def vanish(self):
        """Break the connection, as a killed process does."""
        self.connection.transport.abort()


@pytest.fixture
async def dial():
    """Open a WebSocket to a server, signed if it wants that; by default up to its `start`."""
    async with contextlib.AsyncExitStack() as open_ends:

        async def open_one(server, *, start=True, signed_url=None, url=None, **parameters):
            headers = {}
            if server.checks_signatures:
                signed = signature.sign(TOKEN, signed_url or server.stream_url)
                headers["x-twilio-signature"] = signed
            # A socket of our own keeps proxies named in the environment out of it.
            own = socket.create_connection(("127.0.0.1", server.port))
            own.setblocking(False)
            connection = await connect(
                url or server.url, sock=own, compression=None, ping_interval=None,
                additional_headers=headers, close_timeout=0.5,
            )  # fmt: skip
            open_ends.push_async_callback(connection.close)
            end = FarEnd(connection, next(FarEnd._numbers))
            if start:
                await end.begin(**parameters)
            return end

        yield open_one


@pytest.fixture
async def serve():
    """Run a server until the test ends."""
    async with contextlib.AsyncExitStack() as running:

        async def start(handler=None, **options):
            return await running.enter_async_context(StreamServer(handler, **options))

        yield start


@pytest.fixture
async def pair(serve, dial):
    """A stream and the far end it leads to."""

    async def make(handler=None, **options):
        server = await serve(handler, **options)
        end = await dial(server)
        stream = await asyncio.wait_for(server.next_stream(call=end.call_sid), LIMIT_SECONDS)
        return stream, end

    return make


@pytest.fixture
def ask():
    """Send raw bytes to a server, in pieces if told so; return all that it answers."""

    async def exchange(server, *pieces, eof=False, seconds=LIMIT_SECONDS):
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if eof:
                    writer.write_eof()
                return await reader.read()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    return exchange


@pytest.fixture
def other_loop():
    """Run coroutines on a loop that runs on another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="another loop")
    thread.start()

    async def run(coroutine):
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        return await asyncio.wait_for(asyncio.wrap_future(future), LIMIT_SECONDS)

    run.loop = loop
    yield run
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    loop.close()


@pytest.fixture
def said(caplog):
    """Return what the kit logged from a level on."""
    caplog.set_level(logging.INFO, "twistream_kit")

    def lines(level=logging.INFO):
        return [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith("twistream_kit") and record.levelno >= level
        ]

    return lines
