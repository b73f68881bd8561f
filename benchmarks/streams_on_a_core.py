"""The server that is measured: on one core, in a process of its own.

``bare`` is a plain server of `websockets` that sends back whatever comes; ``plays`` plays a long
clip and listens meanwhile; ``echoes`` plays each frame of the caller's back.  Two more are plain:
``answers`` has one ready media message for each that comes, ``answers with marks`` a mark besides,
as many messages as ``echoes``.  Asked ``cpu``, it says how many seconds of CPU it has used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from contextlib import AbstractAsyncContextManager, suppress

from measuring import stay_on_the_first_core
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.protocol import from_twilio, to_twilio

CLIP = Clip.tone(440, 120.0)


async def send_back(socket: ServerConnection) -> None:
    async for text in socket:
        await socket.send(text)


async def answer(socket: ServerConnection, *, with_mark: bool = False) -> None:
    replies: list[str] = []
    with suppress(ConnectionClosed):
        async for text in socket:
            if text.startswith('{"event":"media"'):
                for reply in replies:
                    await socket.send(reply)
            elif '"start"' in text:
                sid = from_twilio.parse(text).stream_sid
                replies = [to_twilio.Media(sid, b"\x2a" * from_twilio.FRAME_BYTES).to_json()]
                replies += [to_twilio.Mark(sid, "play#1").to_json()] if with_mark else []


async def answer_with_mark(socket: ServerConnection) -> None:
    await answer(socket, with_mark=True)


async def play_and_listen(stream: MediaStream) -> None:
    stream.play(CLIP)
    async for _samples in stream.audio():
        pass


async def echo(stream: MediaStream) -> None:
    async for samples in stream.audio():
        stream.play(encode_ulaw(samples))


def plain(handler: object) -> AbstractAsyncContextManager:
    # The same options as the kit: no compression, no pings.
    return serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None)


KINDS = {
    "bare": lambda: plain(send_back),
    "answers": lambda: plain(answer),
    "answers with marks": lambda: plain(answer_with_mark),
    "plays": lambda: StreamServer(play_and_listen),
    "echoes": lambda: StreamServer(echo),
}


async def main(kind: str) -> None:
    loop, asked_to_end = asyncio.get_running_loop(), asyncio.Event()
    async with KINDS[kind]() as server:
        url = getattr(server, "url", None)
        if url is None:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        print(json.dumps({"url": url}), flush=True)
        threading.Thread(target=_answer_questions, args=(loop, asked_to_end), daemon=True).start()
        await asked_to_end.wait()


def _answer_questions(loop: asyncio.AbstractEventLoop, asked_to_end: asyncio.Event) -> None:
    for _question in sys.stdin:
        print(json.dumps({"cpu": time.process_time()}), flush=True)
    loop.call_soon_threadsafe(asked_to_end.set)


if __name__ == "__main__":
    # A call that ends loses the frames in transit; do not log that here.
    logging.disable(logging.WARNING)
    stay_on_the_first_core()
    asyncio.run(main(sys.argv[1]))
