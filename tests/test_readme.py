"""What the README promises is run: its programs, its tables, its commands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import websockets

import twistream_kit as kit
from support.far_end import TOKEN
from support.waiting import eventually, soon
from twistream_kit.protocol.signature import sign

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def python_block(containing: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if containing in block)


@pytest.fixture
def question() -> ModuleType:
    module = ModuleType("question")
    code = compile(python_block("async def answer"), "README.md", "exec")
    exec(code, module.__dict__)
    return module


def test_the_answer_without_the_kit_finds_the_sound_behind_any_header(question: Any) -> None:
    for name in ("question.wav", "reply.wav"):
        path = ROOT / "sample_audio" / name
        report = kit.inspect_wav(path)
        assert question.sound(path) == path.read_bytes()[report.header_bytes :]


@pytest.mark.realtime
async def test_the_answer_without_the_kit_is_heard_on_a_simulated_call(
    question: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    async with (
        kit.SimulatedTwilio() as twilio,
        websockets.serve(question.answer, "127.0.0.1", 0) as server,
    ):
        phone = twilio.phone("+15550100001")
        who = phone.number, twilio.numbers[0], kit.url_of(server)
        await asyncio.to_thread(question.dial, twilio.client, *who)
        await soon(phone.until("in-call"))
        await soon(phone.until("idle"))
        assert question.sound("sample_audio/question.wav") in phone.heard.payload
        assert [(entry.code, entry.level) for entry in twilio.debugger] == [(31921, "note")]


@pytest.mark.realtime
def test_the_first_sample_runs_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    try:
        exec(compile(python_block("kit.SimulatedTwilio()"), "README.md", "exec"), names)
        outcome = names["playing"].result(5)
        assert outcome.ending == "cleared"
        assert 400 <= outcome.heard_ms < 4210
    finally:
        kit.stop()


async def tts(words: str) -> AsyncIterator[Any]:
    """Return a tone of a second at 24,000 Hz, in pieces as services send them, cut anywhere."""
    assert words
    samples = (np.sin(np.arange(24_000) * 2 * np.pi * 440 / 24_000) * 8000).astype(np.int16)
    for start in range(0, 24_000, 5000):
        yield samples[start : start + 5000]
        await asyncio.sleep(0)


async def test_the_bot_that_speaks_is_heard_and_interrupted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"tts": tts}
    exec(python_block("stream.speak("), names)

    async def answer(stream: kit.MediaStream) -> None:
        await names["bot"](stream)
        stream.close()

    async with kit.StreamServer(answer) as server:
        report = await soon(kit.simulate_call(server.url))
        assert (report.sound_seconds, report.close_code) == (1.0, 1000)

    async def interrupted(stream: kit.MediaStream) -> None:
        speaking = asyncio.create_task(answer(stream))
        await eventually(lambda: stream.newest)
        assert stream.newest is not None
        await stream.newest.heard(0.2)
        stream.clear()
        await speaking

    async with kit.StreamServer(interrupted) as server:
        assert (await soon(kit.simulate_call(server.url))).sound_seconds < 0.9
    heard, cleared = capsys.readouterr().out.splitlines()
    assert heard == "<PlayOutcome heard: 1000 of 1000 ms heard>"
    assert cleared.startswith("<PlayOutcome cleared: ")


async def test_the_application_for_production_answers_below_its_mount() -> None:
    names: dict[str, Any] = {"kit": kit, "token": TOKEN, "bot": None}
    exec(python_block("app.mount("), names)
    assert names["voice"].twiml_url == "https://example.com/voice/twiml"
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    signature = sign(TOKEN, names["voice"].twiml_url, None)
    await names["app"](
        {
            "type": "http", "method": "GET", "path": "/voice/twiml", "root_path": "",
            "raw_path": b"/voice/twiml", "query_string": b"",
            "headers": [(b"x-twilio-signature", signature.encode())],
        },
        receive, send,
    )  # fmt: skip
    assert sent[0]["status"] == 200
    assert b"wss://example.com/voice/media" in sent[1]["body"]


def test_every_test_named_in_the_readme_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", README)
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_every_make_target_named_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`?make (\w+)", README))
    assert {name for name in named if f"\n{name}:" not in makefile} == set()
