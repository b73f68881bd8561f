"""The server that is measured: on one core, in a process of its own.

Four kinds are plain servers of `websockets`: ``bare`` sends back whatever comes, ``answers`` has a
ready media message for each that comes, ``answers with marks`` a mark besides, and ``first sound``
sends one media message on *start*.  The others are handlers of the kit: ``speak`` writes each frame
of the caller into one speech, ``play`` plays each frame, ``clip`` plays a long clip and reads
nothing, ``clip and reader`` listens meanwhile, ``no handler`` does neither.

The kit checks the signature of each handshake, keeps the capture, sends its marks, and logs as it
does when nothing is configured.  With ``--uvloop`` the loop is uvloop's.

Asked ``cpu``, it says how many seconds of CPU it has used; asked ``captured``, how many bytes of
sound the captures of its streams hold; ``memory``, how many KiB it has; ``profile`` begins a
profile, ``profiled`` ends it.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import os
import pstats
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

from callers import AUTH_TOKEN
from measuring import stay_on_the_first_core
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from twistream_kit.audio.clip import Clip
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.protocol import from_twilio, to_twilio

CLIP = Clip.tone(440, 120.0)
ANSWER = b"\x2a" * from_twilio.FRAME_BYTES


async def send_back(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for text in socket:
            await socket.send(text)


async def answer(socket: ServerConnection) -> None:
    reply = ""
    with suppress(ConnectionClosed):
        async for text in socket:
            if text.startswith('{"event":"media"'):
                await socket.send(reply)
            elif '"start"' in text:
                reply = to_twilio.Media(from_twilio.parse(text).stream_sid, ANSWER).to_json()


async def answer_with_mark(socket: ServerConnection) -> None:
    reply, sid, count = "", "", 0
    with suppress(ConnectionClosed):
        async for text in socket:
            if text.startswith('{"event":"media"'):
                count += 1
                await socket.send(reply)
                await socket.send(to_twilio.Mark(sid, f"play#{count}").to_json())
            elif '"start"' in text:
                sid = from_twilio.parse(text).stream_sid
                reply = to_twilio.Media(sid, ANSWER).to_json()


async def answer_start(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for text in socket:
            if '"event":"start"' in text:
                sid = json.loads(text)["streamSid"]
                frame = CLIP.payload[: from_twilio.FRAME_BYTES]
                await socket.send(to_twilio.Media(sid, frame).to_json())


async def echo_by_speak(stream: MediaStream) -> None:
    speech = stream.speak()
    async for samples in stream.audio():
        speech.write(samples)


async def echo_by_play(stream: MediaStream) -> None:
    async for samples in stream.audio():
        stream.play(samples)


async def play(stream: MediaStream) -> None:
    stream.play(CLIP)


async def play_and_listen(stream: MediaStream) -> None:
    stream.play(CLIP)
    async for _samples in stream.audio():
        pass


def plain(handler: object) -> AbstractAsyncContextManager:
    # The same options as the kit: no compression, no pings.
    return serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None)


def kit(handler: Callable[[MediaStream], Any] | None) -> StreamServer:
    return StreamServer(handler, auth_token=AUTH_TOKEN)


KINDS: dict[str, Callable[[], AbstractAsyncContextManager]] = {
    "bare": lambda: plain(send_back),
    "answers": lambda: plain(answer),
    "answers with marks": lambda: plain(answer_with_mark),
    "first sound": lambda: plain(answer_start),
    "speak": lambda: kit(echo_by_speak),
    "play": lambda: kit(echo_by_play),
    "no handler": lambda: kit(None),
    "clip": lambda: kit(play),
    "clip and reader": lambda: kit(play_and_listen),
}


async def main(kind: str) -> None:
    async with KINDS[kind]() as server:
        url = getattr(server, "url", None)
        if url is None:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        await answer_questions(url, lambda: count_captured(getattr(server, "streams", ())))


async def answer_questions(url: str, captured: Callable[[], dict[str, int]], **hello: str) -> None:
    """Say `url` and `hello`; answer the questions of a `measuring.Companion` to their end."""
    loop, asked_to_end = asyncio.get_running_loop(), asyncio.Event()
    profile = cProfile.Profile(time.thread_time)  # what other processes take does not count
    answers: dict[str, Callable[[], object]] = {
        "cpu": read_cpu,
        "captured": captured,
        "memory": read_memory,
        "profile": profile.enable,
        "profiled": lambda: list_profile(profile),
    }

    def read_questions() -> None:
        for question in sys.stdin:
            loop.call_soon_threadsafe(answer, question.strip())
        loop.call_soon_threadsafe(asked_to_end.set)

    def answer(question: str) -> None:
        print(json.dumps(answers[question]()), flush=True)

    print(json.dumps({"url": url, **hello}), flush=True)
    threading.Thread(target=read_questions, daemon=True).start()
    await asked_to_end.wait()


def read_cpu() -> dict[str, float]:
    user, system, *_ = os.times()
    return {"cpu": time.process_time(), "user": user, "system": system}


def read_memory() -> float | None:
    """Return the KiB that this process shares with no other; None if the system does not say."""
    gc.collect()
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        return None
    rows = [line.split() for line in rollup.read_text(encoding="ascii").splitlines()]
    return sum(float(row[1]) for row in rows if row[0] in ("Private_Clean:", "Private_Dirty:"))


def count_captured(streams: Any) -> dict[str, int]:
    """Return how many bytes of sound the captures of the open streams hold, by direction."""
    sizes = {from_twilio.Media: 0, to_twilio.Media: 0}
    for stream in streams:
        if stream.is_open:
            for entry in stream.capture.entries:
                if entry.size:
                    sizes[type(entry.message)] += entry.size
    return {"in": sizes[from_twilio.Media], "out": sizes[to_twilio.Media]}


def list_profile(profile: cProfile.Profile) -> list[tuple[str, int, float, float]]:
    """End a profile; return a name, calls, and seconds without and with what it calls."""
    profile.disable()
    rows = []
    for (path, line, name), (_, calls, own, whole, _) in pstats.Stats(profile).stats.items():
        place = "" if path == "~" else f"{os.path.relpath(path).split('site-packages/')[-1]}:{line}"
        rows.append((f"{name} {place}".strip(), calls, own, whole))
    return sorted(rows, key=lambda row: -row[2])


if __name__ == "__main__":
    stay_on_the_first_core()
    factory = None
    if "--uvloop" in sys.argv:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(sys.argv[1]))
