"""The ASGI application that is measured: under uvicorn, on one core, in a process of its own.

``starlette`` sends back whatever comes; ``stream app`` is `kit.StreamApp` with an echo by `speak`,
which checks the signature of each handshake.  The options of uvicorn are the same: the loop of
asyncio, no compression, no pings, and the logging of Python as it is without a configuration.
It answers the questions of `streams_on_a_core`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from callers import AUTH_TOKEN
from measuring import stay_on_the_first_core
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from streams_on_a_core import answer_questions, count_captured, echo_by_speak

import twistream_kit as kit


async def send_back(socket: WebSocket) -> None:
    await socket.accept()
    with suppress(WebSocketDisconnect):  # the caller's last message is in one packet with its Close
        async for text in socket.iter_text():
            await socket.send_text(text)


KINDS: dict[str, Callable[[str], Any]] = {
    "starlette": lambda _: Starlette(routes=[WebSocketRoute("/media", send_back)]),
    "stream app": lambda base_url: kit.StreamApp(
        echo_by_speak, auth_token=AUTH_TOKEN, public_url=base_url
    ),
}


async def main(kind: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    authority = f"127.0.0.1:{listener.getsockname()[1]}"
    app = KINDS[kind](f"http://{authority}")
    config = uvicorn.Config(
        app,
        loop="asyncio",
        log_config=None,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ws_ping_timeout=None,
    )
    config.load()
    server = uvicorn.Server(config)  # what connects before it accepts waits in the backlog
    serving = asyncio.create_task(server.serve([listener]))
    await answer_questions(
        f"ws://{authority}/media",
        lambda: count_captured(getattr(app, "streams", ())),
        ws=config.ws_protocol_class.__name__,
    )
    server.should_exit = True
    await serving


if __name__ == "__main__":
    stay_on_the_first_core()
    asyncio.run(main(sys.argv[1]))
