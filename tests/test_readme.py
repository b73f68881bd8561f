"""What the README promises is run: its programs, its tables, its commands."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import websockets

import twistream_kit as kit
from support.waiting import soon

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


def test_every_test_named_in_the_readme_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", README)
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_every_make_target_named_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`?make (\w+)", README))
    assert {name for name in named if f"\n{name}:" not in makefile} == set()
