"""How long unsigned requests block the event loop of a server.

Heads of 60 kB of several kinds, of the most that is read, of a byte more and of 1 MB are sent, one
and then ten at once, to a stream server and to an inspector in another process, whose loop looks
every millisecond how much of the processor its thread has used meanwhile.  The most is the figure:
what other programs of the machine take does not count, and neither do waits of the kernel's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import statistics
import sys
import threading
import time

from measuring import Companion, Figure, stay_on_the_first_core

from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.server.server import StreamServer

AIM_MS = 20.0
HEAD_BYTES = 60_000
TICK_SECONDS = 0.001
LIMIT_SECONDS = 60


def measure(*, tiny: bool = False) -> list[Figure]:
    """Send heads, and measure each time how long the loop was blocked."""
    rounds, size = (1, 2_000) if tiny else (5, HEAD_BYTES)
    figures = []
    with Companion("heads.py") as companion:
        for name, port in companion.hello.items():
            for count in (1, 10):
                held = max(
                    statistics.median(_held(companion, port, head, count) for _ in range(rounds))
                    for head in heads(size)
                )
                what = f"{name}, loop held by {count} head{'s' if count > 1 else ''}"
                figure = f"{held:.1f} ms (the worst of {len(heads(size))} kinds)"
                figures.append(Figure(what, figure, f"<= {AIM_MS:g} ms", held <= AIM_MS))
    return figures


def heads(size: int) -> list[bytes]:
    """Return heads of about `size` bytes that may be slow to parse."""
    lines = [
        b"Content-Length: a" + b" " * size + b"b",
        b"Upgrade: " + b"," * size,
        b"x: " + b"\r" * size,
        b"\r\n".join([b"x:"] * (size // 4)),
        b"\r\n".join([b"x: " + b"y" * (size // 100 - 5)] * 100),
        # Short enough not to be refused for their size, so that they are parsed completely.
        b"\r\n".join([b"Upgrade: " + b"," * (size // 8 - 11)] * 4),
        b"\r\n".join([b"Transfer-Encoding: a" + b" " * (size // 8 - 30) + b"b"] * 4),
    ]
    # The size limit, one byte more, and a megabyte; or less, in proportion to `size`.
    lines += [_padding(whole * size // HEAD_BYTES) for whole in (32_768, 32_769, 1_000_000)]
    # A control character at the end, after text on which a pattern may backtrack.
    lines.append(b"x: " + b" " * (size // 2) + b"\x0b")
    first = b"POST /status HTTP/1.1\r\nHost: localhost\r\n"
    get = first.replace(b"POST", b"GET")
    return [each + line + b"\r\n\r\n" for line in lines for each in (first, get)] + [
        get.replace(b"/status", b"/" + b"%2" * (size // 2)) + b"\r\n",
        get.replace(b"/status", b"/status?" + b"a&" * (size // 16)) + b"\r\n",
        b"POST /status HTTP/1.1\r\n" + (b"\r\n\r" * size)[:size],
    ]


def _padding(size: int) -> bytes:
    """Return headers that make a GET of `heads` one of `size` bytes, at most 127 up to 32 kB."""
    left = size - len(b"GET /status HTTP/1.1\r\nHost: localhost\r\n") - 4
    lines = [b"x: " + b"y" * (size // 120)] * (left // (size // 120 + 5))
    lines.append(b"x: " + b"y" * (left - 3 - sum(len(line) + 2 for line in lines)))
    return b"\r\n".join(lines)


def _held(companion: Companion, port: int, head: bytes, count: int) -> float:
    companion.ask("begin")
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for each in sockets:
        each.sendall(head)
    for each in sockets:
        each.settimeout(LIMIT_SECONDS)
        with contextlib.suppress(ConnectionError), each:
            each.shutdown(socket.SHUT_WR)
            while each.recv(65536):
                pass
    return companion.ask("held")


async def _serve() -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    held = [0.0]

    async def tick() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(TICK_SECONDS)
            held[0] = max(held[0], time.thread_time() - began)

    async def answer(question: str) -> None:
        await asyncio.sleep(3 * TICK_SECONDS)  # until the clock has been read once more
        print(json.dumps(held[0] * 1000), flush=True)
        if question.strip() == "begin":
            held[0] = 0.0

    def listen() -> None:
        for question in sys.stdin:
            asyncio.run_coroutine_threadsafe(answer(question), loop).result()
        loop.call_soon_threadsafe(ended.set)

    # The benchmark needs no server behind the inspector.
    async with StreamServer() as server, Inspector("ws://127.0.0.1:9/media") as inspector:
        ticking = asyncio.create_task(tick())
        print(json.dumps({"server": server.port, "inspector": inspector.port}), flush=True)
        threading.Thread(target=listen, daemon=True).start()
        await ended.wait()
        ticking.cancel()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    stay_on_the_first_core()
    asyncio.run(_serve())
