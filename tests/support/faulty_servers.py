"""Servers of plain `websockets` with one planted fault each, and the sound one that they come from.

Each fault is one that servers have in earnest: state that outlives a stream, a reader that waits, a
strict model of messages.  Without the fault the server survives everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import twistream_kit as kit

GREETING = kit.Clip.tone(440, 0.1).payload

KNOWN_FIELDS = {
    "event", "sequenceNumber", "streamSid", "protocol", "version", "start", "media", "dtmf", "mark",
    "stop",
}  # fmt: skip


class SoundServer:
    """Greets, echoes what it hears, and forgets a stream at its end."""

    def __init__(self) -> None:
        self.ws_of: dict[str, ServerConnection] = {}
        self.marks: dict[str, asyncio.Event] = {}
        self.sid = ""
        self.is_busy = False
        self.server: Any = None
        self.lock = asyncio.Lock()
        self.tasks: set[Any] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve on a free port; give the address, and leave nothing of a handler that hangs."""
        # Without pings, which end a connection of their own accord where a machine is late.
        server = self.server = await serve(
            self.handle, "127.0.0.1", 0, close_timeout=0.2, ping_interval=None
        )
        try:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        finally:
            for task in self.tasks:
                task.cancel()
            for connection in [*server.connections]:
                connection.transport.abort()
            server.close()
            await server.wait_closed()

    async def handle(self, ws: ServerConnection) -> None:
        state: dict[str, Any] = {}
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionClosed):
            try:
                await self.read(ws, state)
            finally:
                self.end(state)

    async def read(self, ws: ServerConnection, state: dict[str, Any]) -> None:
        async for text in ws:
            message = json.loads(text)
            if await self.take(ws, state, message):
                return

    async def take(self, ws: ServerConnection, state: dict[str, Any], message: Any) -> bool:
        """Handle a message; return whether the stream has ended."""
        match message["event"]:
            case "start":
                state["sid"] = message["streamSid"]
                state["call"] = message["start"]["callSid"]
                await self.greet(ws, state)
            case "media":
                await self.hear(ws, state, message["media"]["payload"])
            case "stop":
                return True
        return False

    async def greet(self, ws: ServerConnection, state: dict[str, Any]) -> None:
        await ws.send(kit.to_twilio.Media(state["sid"], GREETING).to_json())
        await ws.send(kit.to_twilio.Mark(state["sid"], "greeted").to_json())

    async def hear(self, ws: ServerConnection, state: dict[str, Any], payload: str) -> None:
        echo = {"event": "media", "streamSid": state["sid"], "media": {"payload": payload}}
        await ws.send(json.dumps(echo))

    def end(self, state: dict[str, Any]) -> None:
        """Forget the stream."""


class NeverReadsOn(SoundServer):
    """Greets at start, and then works without reading."""

    async def greet(self, ws, state):
        await super().greet(ws, state)
        await ws.wait_closed()


class OneStreamSid(SoundServer):
    """Has one global streamSid: that of the last start."""

    async def greet(self, ws, state):
        self.sid = state["sid"]
        await super().greet(ws, state)

    async def hear(self, ws, state, payload):
        await super().hear(ws, {"sid": self.sid}, payload)


class AnswersOnTheFirst(SoundServer):
    """Keeps the WebSocket of a call, and answers its second stream there."""

    async def greet(self, ws, state):
        await super().greet(self.ws_of.setdefault(state["call"], ws), state)

    async def hear(self, ws, state, payload):
        await super().hear(self.ws_of[state["call"]], state, payload)

    def end(self, state):
        self.ws_of.pop(state.get("call", ""), None)


class KeepsTheTask(SoundServer):
    """Takes stop for nothing: the task waits for a Close frame."""

    async def take(self, ws, state, message):
        await super().take(ws, state, message)
        return False


class RaisesAtUnknownEvents(SoundServer):
    """Looks an event up among those of today."""

    async def take(self, ws, state, message):
        {"connected": 1, "start": 1, "media": 1, "dtmf": 1, "mark": 1, "stop": 1}[message["event"]]
        return await super().take(ws, state, message)


class LeavesAtUnknownEvents(SoundServer):
    """Leaves the loop at an event that it does not know, as if the stream were over."""

    async def take(self, ws, state, message):
        known = message["event"] in ("connected", "start", "media", "dtmf", "mark")
        return not known or await super().take(ws, state, message)


class RefusesUnknownFields(SoundServer):
    """Has a model of messages that allows no other field."""

    async def take(self, ws, state, message):
        if strange := set(message) - KNOWN_FIELDS:
            raise ValueError(strange)
        return await super().take(ws, state, message)


class HasRoomForFewKeys(SoundServer):
    """Puts keys into a queue of five, and fails when that is full."""

    async def take(self, ws, state, message):
        if message["event"] == "dtmf":
            state.setdefault("keys", asyncio.Queue(5)).put_nowait(message["dtmf"]["digit"])
        return await super().take(ws, state, message)


class KeepsAMarkForLater(SoundServer):
    """Waits for the mark in the task that reads, so that nothing is read until it is there."""

    async def greet(self, ws, state):
        await super().greet(ws, state)
        state["marks"] = 0

    async def take(self, ws, state, message):
        if message["event"] == "media" and state["marks"] == 0:
            state["frames"] = state.get("frames", 0) + 1
            if state["frames"] > 10:  # by then the greeting has been heard, it thinks
                await asyncio.Event().wait()
        state["marks"] = state.get("marks", 0) + (message["event"] == "mark")
        return await super().take(ws, state, message)


class CannotStopTwice(SoundServer):
    """Reads to the Close frame, and removes what is not there at the second stop."""

    async def take(self, ws, state, message):
        if message["event"] == "stop":
            del state["sid"]
            return False
        return await super().take(ws, state, message)


class TakesGapsForTheEnd(SoundServer):
    """Gives the next frame 150 ms, and ends the stream if it does not come."""

    async def read(self, ws, state):
        while True:
            limit = 0.15 if "sid" in state else None
            message = json.loads(await asyncio.wait_for(ws.recv(), limit))
            if await self.take(ws, state, message):
                return


class NeedsMedia(SoundServer):
    """Takes frames for its clock: it fails if the first media is not there 200 ms after start."""

    first_media_seconds = 0.2

    async def greet(self, ws, state):
        await super().greet(ws, state)
        async with asyncio.timeout(self.first_media_seconds):
            while json.loads(await ws.recv())["event"] != "media":
                pass


class ServesOneAtATime(SoundServer):
    """Holds a lock of all streams as long as one lasts."""

    async def read(self, ws, state):
        async with self.lock:
            await super().read(ws, state)


class SendsUnderALock(SoundServer):
    """Sends minutes of sound at once, under a lock that all streams share."""

    async def greet(self, ws, state):
        async with self.lock:
            await super().greet(ws, state)
            for _ in range(60):
                await ws.send(kit.to_twilio.Media(state["sid"], b"\x55" * 160_000).to_json())


class _Busy(SoundServer):
    """Serves one caller, and takes itself for busy until that one has said stop."""

    async def take(self, ws, state, message):
        if message["event"] == "start":
            if self.is_busy:
                await ws.close(1013, "busy")
                return True
            self.occupy()
        if message["event"] == "stop":
            self.is_busy = False
        return await super().take(ws, state, message)

    def occupy(self) -> None:
        self.is_busy = True


class ForgetsNoBrokenStream(_Busy):
    """Is busy for good after a stream that broke."""


class IsBusyFromTheHandshake(_Busy):
    """Is busy from the handshake to the stop message."""

    async def read(self, ws, state):
        if self.is_busy:
            await ws.close(1013, "busy")
            return
        self.is_busy = True
        await super().read(ws, state)

    async def take(self, ws, state, message):
        self.is_busy = message["event"] != "stop"
        return await SoundServer.take(self, ws, state, message)


class IsBusyFromConnected(_Busy):
    """Is busy from connected to the stop message."""

    async def take(self, ws, state, message):
        if message["event"] == "connected":
            if self.is_busy:
                await ws.close(1013, "busy")
                return True
            self.is_busy = True
        if message["event"] == "stop":
            self.is_busy = False
        return await SoundServer.take(self, ws, state, message)


class LogsInTooLong(SoundServer):
    """Begins at start a login that goes on when the stream has ended, and holds what all need."""

    async def greet(self, ws, state):
        async with self.lock:
            await super().greet(ws, state)
        task = asyncio.create_task(self.log_in(state))
        self.tasks.add(task)

    async def log_in(self, state):
        await asyncio.sleep(0.15)  # sleeps: the login of a service takes its time
        if "over" in state:
            await self.lock.acquire()

    def end(self, state):
        state["over"] = True


class GoesOnSpeaking(SoundServer):
    """Is occupied by an answer until its mark comes back, whether the caller is there or not."""

    async def take(self, ws, state, message):
        if message["event"] == "start" and self.is_busy:
            await ws.close(1013, "busy")
            return True
        if message["event"] == "mark":
            self.is_busy = False
        return await super().take(ws, state, message)

    async def greet(self, ws, state):
        self.is_busy = True
        await super().greet(ws, state)


class _Deaf(SoundServer):
    """Goes on reading, and is silent from some moment on: its worker is dead, its socket open."""

    async def hear(self, ws, state, payload):
        if "deaf" not in state:
            await super().hear(ws, state, payload)


class IsSilentAfterAGap(_Deaf):
    """Takes a gap of 200 ms for the end of the call."""

    async def hear(self, ws, state, payload):
        now = asyncio.get_running_loop().time()
        if now - state.get("heard", now) > 0.2:
            state["deaf"] = True
        state["heard"] = now
        await super().hear(ws, state, payload)


class IsSilentAfterUnknownEvents(_Deaf):
    """Has a worker that dies at an event that it does not know; its reader drains the rest."""

    async def take(self, ws, state, message):
        if message["event"] not in ("connected", "start", "media", "dtmf", "mark", "stop"):
            state["deaf"] = True
        return await super().take(ws, state, message)


class DropsUnknownFields(SoundServer):
    """Drops each media message that has a field which it does not know."""

    async def take(self, ws, state, message):
        if message["event"] == "media" and set(message) - KNOWN_FIELDS:
            return False
        return await super().take(ws, state, message)


class IsSilentAfterKeys(_Deaf):
    """Has room for ten keys, and a worker that dies at the eleventh."""

    async def take(self, ws, state, message):
        if message["event"] == "dtmf":
            state["keys"] = state.get("keys", 0) + 1
            if state["keys"] > 10:
                state["deaf"] = True
        return await super().take(ws, state, message)


class IsDeafUntilItsMark(SoundServer):
    """Ignores what the caller says until its mark comes back, and waits for that without end."""

    async def hear(self, ws, state, payload):
        if "mark" in state:
            await super().hear(ws, state, payload)

    async def take(self, ws, state, message):
        if message["event"] == "mark":
            state["mark"] = True
        return await super().take(ws, state, message)


class EndsTheOtherStream(SoundServer):
    """Has a table by callSid: the end of one stream of a call makes the other mute."""

    async def greet(self, ws, state):
        self.ws_of[state["call"]] = ws
        await super().greet(ws, state)

    async def hear(self, ws, state, payload):
        if state["call"] in self.ws_of:
            await super().hear(ws, state, payload)

    def end(self, state):
        self.ws_of.pop(state.get("call", ""), None)


class SpeaksByTheFrames(SoundServer):
    """Says something of its own, a frame for each that it hears: no frames, no sound."""

    async def greet(self, ws, state):
        pass

    async def hear(self, ws, state, payload):
        await ws.send(kit.to_twilio.Media(state["sid"], GREETING[:160]).to_json())


class IsSilentOnceBlocked(_Deaf):
    """Plays music by a task that ends for good when a send has taken long."""

    async def greet(self, ws, state):
        await super().greet(ws, state)
        self.tasks.add(asyncio.create_task(self.play(ws, state)))

    async def play(self, ws, state):
        loop = asyncio.get_running_loop()
        while "deaf" not in state:
            begun = loop.time()
            await ws.send(kit.to_twilio.Media(state["sid"], b"\x55" * 6400).to_json())
            if loop.time() - begun > 0.2:
                state["deaf"] = True
            await asyncio.sleep(0.02)  # sleeps: music, faster than it is heard


class PlaysUnderALock(SoundServer):
    """Plays music as it is heard, and holds a lock of all streams while it sends."""

    async def greet(self, ws, state):
        async with self.lock:
            await super().greet(ws, state)
        self.tasks.add(asyncio.create_task(self.play(ws, state)))

    async def play(self, ws, state):
        while True:
            await asyncio.sleep(0.02)  # sleeps: a frame is heard for so long
            async with self.lock:
                await ws.send(kit.to_twilio.Media(state["sid"], b"\x55" * 6400).to_json())


class LeaksItsSender(SoundServer):
    """Ends its sender at stop only: that of a broken stream writes to the newest WebSocket."""

    async def greet(self, ws, state):
        self.ws_of["newest"] = ws
        await super().greet(ws, state)
        state["sender"] = asyncio.create_task(self.play(state["sid"]))
        self.tasks.add(state["sender"])

    async def play(self, sid):
        while True:
            await asyncio.sleep(0.02)  # sleeps: a frame is heard for so long
            with contextlib.suppress(ConnectionClosed):
                await self.ws_of["newest"].send(kit.to_twilio.Media(sid, GREETING[:160]).to_json())

    async def take(self, ws, state, message):
        if message["event"] == "stop":
            state["sender"].cancel()
        return await super().take(ws, state, message)


PLANTED: dict[type[SoundServer], str] = {
    NeverReadsOn: "hang-up-in-media",
    OneStreamSid: "second-stream",
    AnswersOnTheFirst: "second-stream",
    KeepsTheTask: "no-close",
    RaisesAtUnknownEvents: "unknown-events",
    LeavesAtUnknownEvents: "unknown-events",
    RefusesUnknownFields: "unknown-fields",
    HasRoomForFewKeys: "key-burst",
    KeepsAMarkForLater: "lost-marks",
    CannotStopTwice: "stop-twice",
    TakesGapsForTheEnd: "gaps",
    NeedsMedia: "no-media",
    ServesOneAtATime: "half-open",
    SendsUnderALock: "slow-reader",
    ForgetsNoBrokenStream: "abrupt-end",
    IsBusyFromTheHandshake: "hang-up-before-connected",
    IsBusyFromConnected: "hang-up-after-connected",
    LogsInTooLong: "hang-up-after-start",
    GoesOnSpeaking: "hang-up-in-answer",
    IsSilentAfterAGap: "gaps",
    IsSilentAfterUnknownEvents: "unknown-events",
    DropsUnknownFields: "unknown-fields",
    IsSilentAfterKeys: "key-burst",
    IsDeafUntilItsMark: "lost-marks",
    EndsTheOtherStream: "second-stream",
    SpeaksByTheFrames: "no-media",
    IsSilentOnceBlocked: "slow-reader",
    PlaysUnderALock: "half-open",
    LeaksItsSender: "abrupt-end",
}
"""The row that is meant for each of them."""
