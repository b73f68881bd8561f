"""Servers of which the caller hears nothing, or not all, and how each goes on as its fix says."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

import twistream_kit as kit
from twistream_kit.errors import Objection
from twistream_kit.protocol.to_twilio import Mark, Media

Handler = Callable[[ServerConnection], Awaitable[None]]


@dataclass(frozen=True)
class Trial:
    """A call to a server.

    Attributes:
        handler: Handles a connection.
        options: The options of the call.
        mended: The handler that does what the fix says, where a server has to do it.
    """

    handler: Handler
    options: dict[str, Any] = field(default_factory=dict)
    mended: Handler | None = None


def review(trial: Trial) -> list[Objection]:
    """Call the server, and return the objections of the report."""
    return asyncio.run(_call(trial))


async def _call(trial: Trial) -> list[Objection]:
    async with serve(trial.handler, "127.0.0.1", 0, close_timeout=1) as server:
        port = server.sockets[0].getsockname()[1]
        report = await kit.simulate_call(f"ws://127.0.0.1:{port}/media", **trial.options)
        return list(report.objections)


def follow(trial: Trial, objection: Objection) -> Trial:
    """Set the options that the fix names, or take its loop; else change to the mended server."""
    if "let the caller speak, with say=" in objection.fix:
        return replace(trial, options=trial.options | {"say": kit.Clip.tone(440, 0.3)})
    if setting := re.search(r"(?:call it with|Let the call last longer:) (\w+=\w+)", objection.fix):
        return replace(trial, options=trial.options | eval(f"dict({setting[1]})"))
    if loop := re.search(r"`(async for message in websocket)`", objection.fix):
        return replace(trial, handler=_make_loop(loop[1]))
    assert objection.fix.startswith("Send a mark after the last sound, and close the connection")
    assert trial.mended
    return replace(trial, handler=trial.mended, mended=None)


def _make_loop(line: str) -> Handler:
    names: dict[str, Any] = {"answer": _answer}
    exec(f"async def handle(websocket):\n {line}:\n  await answer(websocket, message)", names)
    return names["handle"]


async def _answer(connection: ServerConnection, message: str | bytes) -> None:
    """Answer the fifth media message with a tone."""
    read = json.loads(message)
    if read["event"] == "media" and read["media"]["chunk"] == "5":
        await connection.send(Media(read["streamSid"], kit.Clip.tone(440, 0.3).payload).to_json())


async def _take_start(connection: ServerConnection) -> str:
    while (message := json.loads(await connection.recv()))["event"] != "start":
        pass
    return message["streamSid"]


async def _read_on(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


async def reads_three(connection: ServerConnection) -> None:
    """Read three messages and return."""
    for _ in range(3):
        await _answer(connection, await connection.recv())


async def listens(connection: ServerConnection) -> None:
    """Read, and send nothing."""
    await _read_on(connection)


async def sends_marks(connection: ServerConnection) -> None:
    """Send a mark, and no sound."""
    await connection.send(Mark(await _take_start(connection), "x").to_json())
    await _read_on(connection)


async def sends_silence(connection: ServerConnection) -> None:
    """Send silence."""
    sid = await _take_start(connection)
    await connection.send(Media(sid, kit.Clip.silence(0.2).payload).to_json())
    await _read_on(connection)


async def echoes(connection: ServerConnection) -> None:
    """Send back what is heard."""
    sid = await _take_start(connection)
    async for message in connection:
        read = json.loads(message)
        if read["event"] == "media":
            payload = base64.b64decode(read["media"]["payload"])
            await connection.send(Media(sid, payload).to_json())


async def begins_late(connection: ServerConnection) -> None:
    """Send sound after a second of silence, and close when it has been heard."""
    sid = await _take_start(connection)
    clip = kit.Clip.silence(1.0) + kit.Clip.tone(440, 0.5)
    await connection.send(Media(sid, clip.payload).to_json())
    await _close_after_mark(connection, sid)


async def closes_early(connection: ServerConnection) -> None:
    """Send half a second of sound, and close when half of it has been heard."""
    sid = await _take_start(connection)
    await connection.send(Media(sid, kit.Clip.tone(440, 0.25).payload).to_json())
    await connection.send(Mark(sid, "half").to_json())
    await connection.send(Media(sid, kit.Clip.tone(440, 1.0).payload).to_json())
    await _wait_for_mark(connection)


async def closes_after_a_mark(connection: ServerConnection) -> None:
    """Do the same, but send a mark after the last sound, and close when it has come back."""
    sid = await _take_start(connection)
    await connection.send(Media(sid, kit.Clip.tone(440, 1.25).payload).to_json())
    await _close_after_mark(connection, sid)


async def _close_after_mark(connection: ServerConnection, sid: str) -> None:
    await connection.send(Mark(sid, "end").to_json())
    await _wait_for_mark(connection)


async def _wait_for_mark(connection: ServerConnection) -> None:
    async for message in connection:
        if json.loads(message)["event"] == "mark":
            return


TRIALS = {
    "it reads three messages": Trial(reads_three),
    "it only listens": Trial(listens, {"seconds": 1, "press": "1"}),
    "it sends marks only": Trial(sends_marks, {"seconds": 1, "press": "1"}),
    "it sends silence": Trial(sends_silence, {"seconds": 1, "press": "1"}),
    "it echoes, and nobody speaks": Trial(echoes, {"seconds": 1}),
    "the call is too short": Trial(begins_late, {"seconds": 0.5}),
    "it closes early": Trial(closes_early, mended=closes_after_a_mark),
}
"""By what is wrong."""
