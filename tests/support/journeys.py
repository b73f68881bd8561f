"""Which modules of the package a piece of work enters: the journeys of docs/ARCHITECTURE.md.

Each journey is made by public names on a real server, so that a module may be moved, split or
joined without a change here.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import websockets

import twistream_kit as kit
from support.waiting import eventually, soon

PACKAGE = Path(kit.__file__).parent
REPLY = PACKAGE.parent / "sample_audio" / "reply.wav"
RUNS = 2
FRAMES = 8
CALLER_FRAME = b64encode(bytes(range(0x20, 0xC0))).decode()


@contextmanager
def entered_modules() -> Iterator[list[str]]:
    """Give the modules that this thread enters, in the order of their first entry."""
    names: dict[str, None] = {}
    entered: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            names[".".join(path.relative_to(PACKAGE).with_suffix("").parts)] = None

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield entered
    finally:
        sys.setprofile(before)
        entered += names


class OpenCall:
    """One call to a server of the package, played by hand from Twilio's end."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._sequence = 0
        self.sid = f"MZ{0:032x}"

    async def begin(self) -> None:
        await self._socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = {
            "accountSid": f"AC{0:032x}",
            "callSid": f"CA{0:032x}",
            "streamSid": self.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        }
        await self.send("start", start)

    async def send(self, event: str, content: dict[str, object]) -> None:
        self._sequence += 1
        number = str(self._sequence)
        message = {"event": event, "sequenceNumber": number, "streamSid": self.sid, event: content}
        await self._socket.send(json.dumps(message))

    async def send_frame(self) -> None:
        """Send 20 ms of the caller's voice."""
        number = self._sequence
        media = {"track": "inbound", "chunk": str(number), "timestamp": str(20 * number)}
        await self.send("media", {**media, "payload": CALLER_FRAME})

    async def finish(self, marks: list[str]) -> None:
        """Send marks back, a key, and the stop."""
        for name in marks:
            await self.send("mark", {"name": name})
        await self.send("dtmf", {"track": "inbound_track", "digit": "1"})
        await self.send("stop", {"accountSid": f"AC{0:032x}", "callSid": f"CA{0:032x}"})

    async def receive(self, clip: kit.Clip) -> list[str]:
        """Return the names of the marks that come with a clip, once all of its sound is here."""
        left, marks = len(clip.payload), []
        while left > 0:
            message = json.loads(await soon(self._socket.recv()))
            if message["event"] == "media":
                left -= len(b64decode(message["media"]["payload"]))
            elif message["event"] == "mark":
                marks.append(message["mark"]["name"])
        return marks


def _holds_more(capture: kit.Capture, passed: int) -> bool:
    """Whether messages were appended; this look of the test's own is no part of a journey."""
    profiler = sys.getprofile()
    sys.setprofile(None)
    try:
        return len(capture) > passed
    finally:
        sys.setprofile(profiler)


async def journeys() -> dict[str, list[str]]:
    """Make each journey; return the modules that it enters, by its name.

    What is entered in one run and not in another belongs to tasks that woke meanwhile.
    """
    # What is loaded when it is first asked for is loaded before.
    load_clip, live_scope, plot_timeline = kit.load_clip, kit.LiveScope, kit.plot_timeline
    sounds, readings, pictures, timelines = [], [], [], []
    for _ in range(RUNS):
        async with kit.StreamServer() as server, websockets.connect(server.url, proxy=None) as far:
            call = OpenCall(far)
            await call.begin()
            stream = await soon(server.next_stream())
            clip = load_clip(REPLY)  # once more below; the first time it loads libraries

            with entered_modules() as entered:
                clip = load_clip(REPLY)
                stream.play(clip)
                marks = await call.receive(clip)
            sounds.append(entered)

            for _ in range(FRAMES):
                arrived = partial(_holds_more, stream.capture, len(stream.capture))
                with entered_modules() as entered:
                    await call.send_frame()
                    await eventually(arrived)
                    scope = live_scope(stream)
                scope.close()
                pictures.append(entered)

            reader = stream.audio()
            for _ in range(FRAMES):
                with entered_modules() as entered:
                    await call.send_frame()
                    await soon(anext(reader))
                readings.append(entered)

            await call.finish(marks)
            stream.clear()
            await soon(stream.closed)
        capture = stream.capture
        plot_timeline(capture)
        with entered_modules() as entered:
            plot_timeline(capture)
        timelines.append(entered)
    return {
        "a WAV path to the wire": _in_all(sounds),
        "an inbound frame to a reader": _in_all(readings),
        "an inbound frame to a picture": _in_all(pictures),
        "plot_timeline(capture)": _in_all(timelines),
    }


def _in_all(runs: list[list[str]]) -> list[str]:
    first, *others = runs
    return [module for module in first if all(module in other for other in others)]
