"""Servers written in five ways: the same verdicts through an inspector and without it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.cases import free_port, is_taken
from support.servers.script import REASON
from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.simulator.simulate_call import simulate_call

pytestmark = [pytest.mark.realtime, pytest.mark.slow]

SERVERS = Path(__file__).parent / "support" / "servers"

PYTHON_SERVERS = {
    "FastAPI, websockets": ("fastapi_server.py", ["websockets"], ["fastapi", "uvicorn"]),
    "FastAPI, websockets-sansio": (
        "fastapi_server.py", ["websockets-sansio"], ["fastapi", "uvicorn"],
    ),
    "FastAPI, wsproto": ("fastapi_server.py", ["wsproto"], ["fastapi", "uvicorn", "wsproto"]),
    "aiohttp": ("aiohttp_server.py", [], ["aiohttp"]),
    "Flask-Sock": ("flask_sock_server.py", [], ["flask", "flask_sock"]),
}  # fmt: skip
NODE = "Node, ws"

STOPPED = ("stopped", None)
CLOSED = ("server-closed", 31921)
BROKEN = ("broken", 31903)
RAISED = [CLOSED, BROKEN, ("protocol-error", 31924)]
"""An exception ends a stream in one way or another: Werkzeug writes an HTTP response into it."""

WANTED = {
    "good": CLOSED,
    "listens": STOPPED,
    "misspelt": STOPPED,
    "binary": STOPPED,
    "closes": CLOSED,
    "raises": RAISED,
    "exits": BROKEN,
}
"""What a server does, and how Twilio's side sees its stream end."""


@pytest.fixture(scope="session")
def tone(tmp_path_factory):
    """A file with 0.4 s of sound, as a server would have it."""
    file = tmp_path_factory.mktemp("tone") / "tone.ulaw"
    file.write_bytes(Clip.tone(440, 0.4).payload)
    return file


def find_ws():
    """Return the folder in which Node finds `ws`, or None."""
    node = shutil.which("node")
    places = [os.environ.get("NODE_PATH", ""), "/usr/share/nodejs", "/usr/lib/node_modules"]
    if node is not None:
        places.append(str(Path(node).resolve().parents[1] / "lib" / "node_modules"))
    found = (place for place in ":".join(places).split(":") if place)
    return next((place for place in found if Path(place, "ws", "package.json").exists()), None)


@pytest.fixture(scope="session")
def ws_folder(tmp_path_factory):
    """The folder in which Node finds `ws`; npm brings it where TWISTREAM_REQUIRE_NODE is set."""
    found = find_ws()
    if found is None and os.environ.get("TWISTREAM_REQUIRE_NODE") == "1" and shutil.which("npm"):
        folder = tmp_path_factory.mktemp("node")
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "ws@8"]
        done = subprocess.run(install, cwd=folder, check=False, timeout=4 * LIMIT_SECONDS)
        found = str(folder / "node_modules") if done.returncode == 0 else None
    return found


@pytest.fixture
async def start(tone, ws_folder):
    """Start a server in a process of its own; return its address without the path."""
    running = []

    async def start_one(server):
        port, environment = free_port(), dict(os.environ)
        if server == NODE:
            if shutil.which("node") is None or ws_folder is None:
                pytest.skip("Node finds no package `ws`: npm install ws, and set NODE_PATH")
            environment["NODE_PATH"] = ws_folder
            command = ["node", str(SERVERS / "ws_server.js"), str(port), str(tone)]
        else:
            program, options, needed = PYTHON_SERVERS[server]
            missing = [name for name in needed if importlib.util.find_spec(name) is None]
            if missing:
                pytest.skip(f"{' and '.join(missing)} is not installed: pip install -e '.[test]'")
            command = [sys.executable, str(SERVERS / program), str(port), str(tone), *options]
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        running.append(process)
        await eventually(lambda: process.returncode is not None or is_taken(port))
        assert process.returncode is None, f"the server {server} has ended"
        return f"ws://127.0.0.1:{port}"

    yield start_one
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.wait()


def read_verdict(report):
    """Return what a report says of a server, without what differs from call to call."""
    # Whether a server answers the Close frame behind *stop* in time is no matter of its verdict.
    code = None if report.ending == "stopped" else report.close_code
    return {
        "ending": (report.ending, code, report.error_code),
        "logged": [(entry.code, entry.level) for entry in report.debugger],
        "objections": sorted(
            (each.code or 0, each.severity, _without_figures(each.problem, report.stream_sid))
            for each in report.objections
        ),
        "ok": report.ok,
        "heard": round(report.sound_seconds, 1),
        "marks": (report.marks_received, report.marks_returned),
    }


def _without_figures(problem, stream_sid):
    return re.sub(r"[0-9.]+ s\b", "some s", problem.replace(stream_sid, "MZ"))


@pytest.mark.parametrize("server", [*PYTHON_SERVERS, NODE])
async def test_the_verdict_is_the_same_through_an_inspector_and_without_it(start, server):
    url = await start(server)
    for wanted, expected in WANTED.items():
        address = f"{url}/{wanted}"
        seconds = 0.7 if expected == STOPPED else 20
        if expected in (STOPPED, CLOSED):
            alone, (report, stream) = await asyncio.gather(
                call(address, seconds), call_through_inspector(address, seconds)
            )
        else:  # the server may end with its first call
            alone = await call(address, seconds)
            url = await start(server)
            report, stream = await call_through_inspector(f"{url}/{wanted}", seconds)
            url = await start(server)
        assert read_verdict(report) == read_verdict(alone), wanted
        ending = report.ending, report.error_code
        assert ending in (RAISED if expected == RAISED else [expected]), wanted
        end = stream.closed.result(0)
        logged = {entry.code for entry in report.debugger if entry.level != "note"}
        assert {each.code for each in stream.objections if each.code} == logged, wanted
        assert end.error_code == report.error_code, wanted
        if report.ending == "server-closed":
            assert (end.ended_by, end.server_code) == ("server", report.close_code), wanted
        if wanted == "good":
            assert report.close_code == 1000
            assert report.ok
        if wanted == "closes":
            assert report.close_code == 1011
            assert repr(REASON) in end.detail
            assert end.cause.close_reason == REASON


async def call(url, seconds):
    return await soon(simulate_call(url, seconds=seconds), 4 * LIMIT_SECONDS)


async def call_through_inspector(url, seconds):
    """Call a server through an inspector; return the report, and the stream that was inspected."""
    async with Inspector(url) as inspector:
        report = await call(inspector.stream_url, seconds)
        (stream,) = inspector.streams
        await soon(stream.closed)
    return report, stream
