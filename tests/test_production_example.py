"""`examples/production` is run as its docstring says, and called."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest

import twistream_kit as kit
from support.cases import free_port, is_taken
from support.far_end import TOKEN
from support.waiting import LIMIT_SECONDS, eventually, soon

pytestmark = pytest.mark.realtime

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "production"
GREETING = ROOT / "sample_audio" / "reply.wav"


@pytest.fixture
async def base():
    """The public URL of the example, which runs under uvicorn."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--proxy-headers",
        cwd=FOLDER,
        env={
            **os.environ, "TWILIO_AUTH_TOKEN": TOKEN, "PUBLIC_URL": url,
            "GREETING": str(GREETING), "PYTHONPATH": str(ROOT),
        },
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await eventually(lambda: process.returncode is not None or is_taken(port))
        assert process.returncode is None, "the example has ended"
        yield url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_caller_hears_the_greeting_and_each_key(base):
    greeting = kit.load_clip(GREETING).seconds
    url = base.replace("http", "ws", 1) + "/voice/media"
    listens = kit.simulate_call(url, auth_token=TOKEN)
    presses = kit.simulate_call(url, auth_token=TOKEN, press="1#")
    heard = await soon(listens, greeting + LIMIT_SECONDS)
    assert heard.sound_seconds == pytest.approx(greeting, abs=0.1)
    assert heard.ending == "stopped"
    closed = await soon(presses)
    assert closed.close_code == 1000
    assert closed.received["clear"] == 2
    with pytest.raises(kit.CallRefused, match="403"):
        await soon(kit.simulate_call(url))


async def test_the_other_routes_of_the_application_are_its_own(base):
    def read():
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(base + "/", timeout=LIMIT_SECONDS) as answer:
            return json.load(answer)

    assert await asyncio.to_thread(read) == {"open streams of this worker": 0}


@pytest.mark.slow
async def test_it_survives_every_fault(base):
    url = base.replace("http", "ws", 1) + "/voice/media"
    report = await soon(kit.inject_faults(url, auth_token=TOKEN, scale=0.1), 200)
    assert report.ok, report
