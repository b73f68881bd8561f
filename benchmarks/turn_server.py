"""A server that answers and stops after times that it is given, and logs when it really did.

It is a process of its own, on plain `websockets`, without a line of the package: its log is the
truth with which `turn_truth.py` compares.  The parameters of a call say what it does:

    trial       the name of the call in the log
    answers     the files of the answers, clean and as they are sent, and of the noise or ""
    delays      the seconds from the caller's last audible frame to each answer
    stops       the seconds from the caller's first audible frame until the server stops
    timing      ``ahead`` (a whole clip at once, a clear stops it), ``paced`` (frame by frame) or
                ``frames`` (as ``paced``, but without a clock: every time is a number of frames
                that came, and a frame is written for a frame that came, before the next is read)

It recognises the caller's clips by their bytes, which a simulated line does not change: the first
audible frame of the question or of the interruption, and from there it counts frames.

It also measures how late it is itself: a task that sleeps for 5 ms sees how much longer that took,
and each call is told of it for the time that it lasted.  By so much it may have read the caller's
frames too late.

python turn_server.py FOLDER    prints its port; lines of JSON follow, one for each call
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

FRAME = 160
SECONDS = 0.02
AUDIBLE_DB = -50.0
WATCHED_SECONDS = 0.005


def _expand(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


SAMPLES = [_expand(code) for code in range(256)]
"""G.711 in one line; the package has its own."""


def is_audible(frame: bytes) -> bool:
    """Whether a frame of a clean clip is above -50 dBFS."""
    values = [SAMPLES[code] for code in frame]
    mean = sum(values) / len(values)
    power = sum((value - mean) ** 2 for value in values) / len(values) / 32768**2
    return power > 0 and 10 * math.log10(power) > AUDIBLE_DB


@cache
def split(clip: bytes) -> list[bytes]:
    """Return the frames of a clip, the last one filled with silence."""
    return [clip[at : at + FRAME].ljust(FRAME, b"\xff") for at in range(0, len(clip), FRAME)]


Act = Callable[[], Coroutine[Any, Any, None]]


@cache
def read_clip(path: Path) -> bytes:
    """Return the sound of a file, which is read once."""
    return path.read_bytes()


@cache
def find_audible(clip: bytes) -> list[bool]:
    """Return of each frame of a clean clip whether it is audible."""
    return [is_audible(frame) for frame in split(clip)]


class Lag:
    """How late the loop of this process was, at each moment of the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=12_000)

    async def watch(self) -> None:
        """Measure until it is cancelled."""
        while True:
            due = time.monotonic() + WATCHED_SECONDS
            await asyncio.sleep(WATCHED_SECONDS)
            now = time.monotonic()
            self._seen.append((now, now - due))

    def describe(self, since: float) -> list[float]:
        """Return the median, the 99th percentile and the worst since a time, in milliseconds."""
        late = sorted(1000 * each for at, each in self._seen if at >= since) or [0.0]
        return [round(late[int(share * (len(late) - 1))], 2) for share in (0.5, 0.99, 1.0)]


class KnownClip:
    """A clip that the caller says, recognised by its first audible frame; then frames are counted.

    Attributes:
        heard: For each time that it was said, when its first and its last audible frame came.
    """

    def __init__(self, clip: bytes) -> None:
        frames = split(clip)
        audible = [number for number, loud in enumerate(find_audible(clip)) if loud]
        self._first = frames[audible[0]]
        self._length = audible[-1] - audible[0]
        self._left = -1
        self.heard: list[list[float]] = []

    def take(self, frame: bytes, now: float) -> str:
        """Look at the next frame of the caller; return ``begins`` or ``ends`` if the clip does."""
        if self._left < 0:
            if frame != self._first:
                return ""
            self._left = self._length
            self.heard.append([now, now])
            return "begins"
        self._left -= 1
        if self._left:
            return ""
        self._left = -1
        self.heard[-1][1] = now
        return "ends"


@dataclass
class Answer:
    """A clip of the server, and what became of it.

    Attributes:
        audible: Of each frame, whether it is audible in the clean clip.
        sent: The frames as they are sent.
        began: When the first audible frame was written; None if none was.
        ended: When the last audible frame had been heard, or was taken away by a clear.
        or_ended: The same if the frame in which the clear fell was not heard any more, where that
            is more than a frame earlier.  The ear plays up to a frame later than the sound is
            written, so nobody here knows whether that frame was begun.
        written: How many frames were written.
    """

    audible: list[bool]
    sent: list[bytes]
    began: float | None = None
    ended: float | None = None
    or_ended: float | None = None
    written: int = 0

    def note_all(self, now: float) -> None:
        """Note that all of it was written at once."""
        loud = [number for number, audible in enumerate(self.audible) if audible]
        self.began = now + loud[0] * SECONDS
        self.ended = now + (loud[-1] + 1) * SECONDS
        self.written = len(self.sent)

    def note_clear(self, began: float, now: float) -> None:
        """Note that a clear took away what was not played."""
        played = int((now - began) / SECONDS) + 1
        loud = [number for number, audible in enumerate(self.audible[:played]) if audible]
        self.ended = min(now, began + (loud[-1] + 1) * SECONDS) if loud else None
        if loud and loud[-1] == played - 1:
            before = began + (loud[-2] + 1) * SECONDS if len(loud) > 1 else None
            is_far = before is not None and now - before > SECONDS
            self.or_ended = before if is_far else None

    def take_frame(self, now: float) -> bytes | None:
        """Return the next frame that is to be written, or None."""
        if self.written == len(self.sent):
            return None
        if self.audible[self.written]:
            self.began = now if self.began is None else self.began
            self.ended = now + SECONDS
        self.written += 1
        return self.sent[self.written - 1]


class Call:
    """One call: what its parameters say, carried out."""

    def __init__(self, socket: ServerConnection, start: dict[str, Any], folder: Path) -> None:
        self._socket = socket
        self._sid = start["streamSid"]
        parameters = start["customParameters"]
        self._trial, self._timing = parameters["trial"], parameters["timing"]
        self._delays, self._stops = (json.loads(parameters[name]) for name in ("delays", "stops"))
        self._answers: list[Answer] = []
        self._noise: list[bytes] = []
        for clean, sent, noise in json.loads(parameters["answers"]):
            audible = find_audible(read_clip(folder / clean))
            self._answers.append(Answer(audible, split(read_clip(folder / sent))))
            self._noise = split(read_clip(folder / noise)) if noise else self._noise
        self._question, self._stop = (
            KnownClip(read_clip(folder / f"{name}.ulaw")) for name in ("question", "stop")
        )
        self._began = time.monotonic()
        self._n_frames = 0
        self._due: list[tuple[int, Act]] = []
        self._speaking: Answer | None = None
        self._written_at = 0.0
        self._n_answers = self._n_stops = 0
        self._tasks: set[asyncio.Task[None]] = set()
        if self._timing == "paced":
            self._spawn(self._send_frames())

    async def take(self, frame: bytes) -> None:
        """React to the next frame of the caller."""
        now = time.monotonic()
        self._n_frames += 1
        question, stop = self._question.take(frame, now), self._stop.take(frame, now)
        if stop == "begins" and self._n_stops < len(self._stops):
            self._plan(self._stops[self._n_stops], now, self._fall_silent)
            self._n_stops += 1
        if "ends" in (question, stop) and self._n_answers < len(self._answers):
            answer = self._answers[self._n_answers]
            self._plan(self._delays[self._n_answers], now, partial(self._begin, answer))
            self._n_answers += 1
        if self._timing == "frames":
            for act in [act for number, act in self._due if number == self._n_frames]:
                await act()
            await self._send_frame(self._n_frames)

    def close(self, lag: Lag) -> dict[str, Any]:
        """End everything; return the log of the call."""
        for task in self._tasks:
            task.cancel()
        answers = [
            {"began": each.began, "ended": each.ended, "or_ended": each.or_ended}
            for each in self._answers
        ]
        heard = {"question": self._question.heard, "stop": self._stop.heard}
        late = lag.describe(self._began)
        return {"trial": self._trial, "answers": answers, "late_ms": late, **heard}

    def _plan(self, seconds: float, since: float, act: Act) -> None:
        """Do something after a time, by the clock or by the frames that come."""
        if self._timing == "frames":
            self._due.append((self._n_frames + round(seconds / SECONDS), act))
        else:
            self._spawn(self._act_at(since + seconds, act))

    async def _act_at(self, due: float, act: Act) -> None:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await act()

    async def _begin(self, answer: Answer) -> None:
        self._speaking = answer
        if self._timing == "ahead":
            self._written_at = time.monotonic()
            await self._send(b"".join(answer.sent))
            answer.note_all(self._written_at)

    async def _fall_silent(self) -> None:
        answer, self._speaking = self._speaking, None
        if answer is not None and self._timing == "ahead":
            now = time.monotonic()
            await self._socket.send(json.dumps({"event": "clear", "streamSid": self._sid}))
            answer.note_clear(self._written_at, now)

    async def _send_frames(self) -> None:
        """Write a frame each 20 ms: noise, or an answer with the noise in it."""
        began, number = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(0.0, began + number * SECONDS - time.monotonic()))
            await self._send_frame(number)
            number += 1

    async def _send_frame(self, number: int) -> None:
        frame = self._speaking.take_frame(time.monotonic()) if self._speaking else None
        if frame is None and self._noise:
            frame = self._noise[number % len(self._noise)]
        if frame is not None:
            await self._send(frame)

    async def _send(self, payload: bytes) -> None:
        media = {"payload": b64encode(payload).decode()}
        text = {"event": "media", "streamSid": self._sid, "media": media}
        await self._socket.send(json.dumps(text))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))


async def handle(socket: ServerConnection, folder: Path, lag: Lag) -> None:
    """Run one call; log it when it is over."""
    call: Call | None = None
    with suppress(ConnectionClosed):
        async for text in socket:
            message = json.loads(text)
            if message["event"] == "start":
                call = Call(socket, message["start"], folder)
            elif message["event"] == "media" and call is not None:
                await call.take(b64decode(message["media"]["payload"]))
    if call is not None:
        write_line(json.dumps(call.close(lag)))


def write_line(line: str) -> None:
    """Write to standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    """Serve until standard input is closed."""
    folder, lag = Path(sys.argv[1]), Lag()
    watching = asyncio.create_task(lag.watch())
    async with serve(
        lambda socket: handle(socket, folder, lag), "127.0.0.1", 0, compression=None
    ) as server:
        write_line(str(server.sockets[0].getsockname()[1]))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    watching.cancel()


if __name__ == "__main__":
    asyncio.run(main())
