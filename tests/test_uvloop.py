"""uvloop, the extra `fast`: for servers outside notebooks; `kit.start` has a loop of its own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import twistream_kit as kit

if sys.platform == "win32":
    pytest.skip("there is no uvloop for Windows", allow_module_level=True)

import uvloop

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


async def answer(stream):
    await stream.play(kit.Clip.tone(440, 0.2))
    stream.close()


async def serve_one_call():
    """Serve one call; return the loop that did, and the report of the call."""
    async with kit.StreamServer(answer) as server:
        report = await kit.simulate_call(server.url)
    return asyncio.get_running_loop(), report


def run_on_a_runner(work):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@pytest.mark.parametrize("run", [uvloop.run, run_on_a_runner], ids=["uvloop.run", "Runner"])
def test_a_server_serves_a_call_on_uvloop(run):
    loop, report = run(serve_one_call())
    assert isinstance(loop, uvloop.Loop)
    assert report.ok, report
    assert report.sound_seconds == 0.2
    assert report.ended.cause == "server-closed"


def test_the_extra_brings_the_uvloop_that_the_tests_use():
    [fast] = PROJECT["optional-dependencies"]["fast"]
    assert re.fullmatch(r"uvloop>=[\d.]+; sys_platform != 'win32'", fast)
    assert fast in PROJECT["optional-dependencies"]["test"]


def test_a_server_that_kit_start_runs_can_nest_where_uvloop_is_the_policy():
    # In a process of its own, because the policy is that of all threads.
    program = """
        import asyncio, uvloop
        import twistream_kit as kit

        async def answer(stream):
            print(stream.play(kit.Clip.tone(440, 0.2)).result(10).ending)
            print(type(asyncio.get_running_loop()).__name__)
            stream.close()

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        server = kit.start(kit.StreamServer(answer))
        print(kit.simulate_call(server.url).result(10).ok)
        kit.stop()
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["heard", "KitLoop", "True"], done.stderr
    assert done.stderr == ""
