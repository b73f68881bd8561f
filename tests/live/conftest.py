"""Servers, far ends that dial them, and raw requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys

import pytest

from support.far_end import TOKEN, FarEnd
from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.live.calls import exit_hooks
from twistream_kit.live.server.server import StreamServer

ON_BOTH_LOOPS = ("/live/stream/", "/live/server/")
"""The tests that each run tries on asyncio's loop and on uvloop's, whose transports differ."""

ON_ONE_LOOP = ("test_admission.py", "test_http_signature_traps.py", "test_request_head.py")
"""The ones among them that try hundreds of heads; `make test-slow` runs these on uvloop, too."""


def pytest_addoption(parser):
    parser.addoption(
        "--loop",
        choices=("asyncio", "uvloop"),
        help="run all tests of this folder on this event loop, and on no other",
    )


def pytest_asyncio_loop_factories(config, item):
    """Return the event loops that a test runs on, one after the other."""
    loops = {"asyncio": asyncio.new_event_loop}
    if sys.platform != "win32":  # for which there is no uvloop
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    chosen = config.getoption("--loop", None)
    if chosen is None and not _is_tried_on_both(item.path):
        chosen = "asyncio"
    return loops if chosen is None else {chosen: loops[chosen]}


def _is_tried_on_both(path):
    is_among = any(folder in path.as_posix() for folder in ON_BOTH_LOOPS)
    return is_among and path.name not in ON_ONE_LOOP


@pytest.fixture
def in_thread():
    """Run something on a thread that has no loop, and return what it gave."""

    async def run(work, *args):
        async with asyncio.timeout(LIMIT_SECONDS):
            return await asyncio.to_thread(work, *args)

    return run


@pytest.fixture
async def dial():
    """Open a WebSocket to a server, signed if it wants that; by default up to its `start`."""
    async with contextlib.AsyncExitStack() as open_ends:

        async def open_one(server, *, start=True, signed_url=None, url=None, **parameters):
            end = await FarEnd.dial(server, signed_url=signed_url, url=url)
            open_ends.push_async_callback(end.connection.close)
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
async def server(serve):
    """A server that checks signatures."""
    return await serve(auth_token=TOKEN)


@pytest.fixture
async def pair(serve, dial):
    """A stream and the far end it leads to."""

    async def make(handler=None, **options):
        server = await serve(handler, **options)
        end = await dial(server)
        stream = await soon(server.next_stream(call=end.call_sid))
        return stream, end

    return make


@pytest.fixture
def ask():
    """Send raw bytes to a server, in pieces if asked; return all that it answers."""

    async def send(server, *pieces, eof=False, seconds=LIMIT_SECONDS):
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

    return send


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


@pytest.fixture
def nothing_left_for_the_exit(monkeypatch):
    """Forget what is to be undone at the exit, before and after the test."""
    monkeypatch.setattr(exit_hooks, "_hooks", {})


@pytest.fixture
def nobody():
    """An address of this machine, host and port, at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"
