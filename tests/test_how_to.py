"""The pages of `docs/how-to/` and their like do what they say: each block of code is run."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import websockets

import twistream_kit as kit
from support.far_end import TOKEN
from support.waiting import eventually, soon
from twistream_kit.protocol.signature import sign

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def python_blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def python_block(page: str, containing: str) -> str:
    [block] = [block for block in python_blocks(page) if containing in block]
    return block


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the samples, in which a page's programs run and may write."""
    for name in ("sample_audio", "examples"):
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    kit.stop()


RUN_AS_PRINTED = ("how-to/play-a-file.md", "how-to/interrupt.md", "how-to/nothing-is-heard.md",
    "how-to/scripted-callers.md", "how-to/measure-a-conversation.md",
    "how-to/bad-lines.md", "how-to/mailboxes.md", "how-to/load.md", "how-to/soak.md",
    "how-to/faults.md")  # fmt: skip
PATIENT = ("how-to/scripted-callers.md", "how-to/measure-a-conversation.md", "how-to/bad-lines.md",
    "how-to/mailboxes.md", "how-to/faults.md", "how-to/load.md", "how-to/soak.md")  # fmt: skip
"""Pages that hold whole conversations, in real time."""

WITH_A_STAND_IN = ("how-to/real-call.md", "how-to/tunnels.md")
RUN_BY_A_TEST_OF_ITS_OWN = (
    "how-to/stream-speech.md", "how-to/test-in-ci.md", "how-to/without-the-kit.md",
)  # fmt: skip


def test_every_page_with_code_is_run() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.glob("how-to/*.md")}
    with_code = {page for page in pages if python_blocks(page)}
    assert with_code == {*RUN_AS_PRINTED, *WITH_A_STAND_IN, *RUN_BY_A_TEST_OF_ITS_OWN}


@pytest.mark.realtime
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in PATIENT else ())
        for page in RUN_AS_PRINTED
    ],
)
def test_the_programs_of_a_page_run_and_print_what_their_comments_show(
    page: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for block in python_blocks(page):
        exec(compile(block, page, "exec"), names)
        printed = without_figures(capsys.readouterr().out)
        for shown in re.findall(r"# (<.*>)$", block, re.MULTILINE):
            assert without_figures(shown) in printed


def without_figures(text: str) -> str:
    return re.sub(r"\d+", "0", text)


async def test_the_causes_of_the_reviewed_message_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(python_block("how-to/nothing-is-heard.md", "kit.review("), {"kit": kit})
    printed = capsys.readouterr().out
    assert "media.payload" in printed
    assert "streamSid" in printed
    assert "wss" in printed


def test_the_file_of_the_page_about_scripts_is_a_script(folder: Path) -> None:
    page = (DOCS / "how-to" / "scripted-callers.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (folder / "talk.toml").write_text(block)
    script = kit.caller.load_script("talk.toml")
    kinds = ["listen", "say", "interrupt", "press", "wait", "hang_up"]
    assert [step.kind for step in script.steps] == kinds
    assert script.seed == 7


@pytest.mark.realtime
def test_a_real_call_is_placed_as_printed_with_the_simulator_as_twilio(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twilio = kit.start(kit.SimulatedTwilio())
    phone = twilio.phone("+15550100001")
    found = SimpleNamespace(
        client=lambda: twilio.client,
        call_to=phone.number,
        phone_number=twilio.numbers[0],
        auth_token=twilio.auth_token,
    )

    def open_tunnel(server: kit.StreamServer) -> kit.Tunnel:
        proxy = kit.start(kit.LocalProxy(server))
        return kit.open_tunnel(server, "static", url=proxy.url)

    ours = {name: getattr(kit, name) for name in kit.__all__}
    stand_in = SimpleNamespace(**{**ours, "settings": lambda: found, "open_tunnel": open_tunnel})
    names: dict[str, Any] = {"kit": stand_in}
    settings, placing = python_blocks("how-to/real-call.md")
    [tunnel] = python_blocks("how-to/tunnels.md")
    assert tunnel.strip() in re.sub(r" +# .*", "", settings)
    exec(settings, names)
    assert "signature" in capsys.readouterr().out
    exec(placing, names)
    assert names["stream"].is_open
    assert names["server"].public_url == names["tunnel"].public_url


@pytest.mark.realtime
def test_a_server_in_another_process_is_tested_as_printed(folder: Path) -> None:
    (folder / "test_media.py").write_text(python_block("how-to/test-in-ci.md", "ServerProcess"))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_media.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in run.stdout, run.stdout + run.stderr


async def test_the_first_test_of_the_page_passes_for_a_server_that_speaks(folder: Path) -> None:
    def answer(stream: kit.MediaStream) -> None:
        stream.play(kit.Clip.tone(440, 0.2))
        stream.close()

    async with kit.StreamServer(answer) as server:
        names: dict[str, Any] = {}
        exec(python_block("how-to/test-in-ci.md", 'press="1"'), names)
        report = await soon(kit.simulate_call(server.url, press="1"))
        names["test_the_greeting_is_heard"](lambda url, press: report)


@pytest.mark.realtime
def test_a_conversation_is_tested_as_printed(folder: Path) -> None:
    bot: dict[str, Any] = {}
    exec((ROOT / "examples" / "pytest_project" / "bot.py").read_text(encoding="utf-8"), bot)
    server = kit.start(kit.StreamServer(bot["answer"]))
    names: dict[str, Any] = {}
    # A busy machine may take longer than the limits of the page.
    printed = python_block("how-to/test-in-ci.md", "turns.check(")
    limits = "response_ms=800, barge_in_ms=300"
    assert limits in printed
    exec(printed.replace(limits, "response_ms=5000, barge_in_ms=3000"), names)
    names["test_it_answers_soon_and_can_be_interrupted"](
        lambda url, script: kit.simulate_call(server.url, script=script).result(60)
    )


@pytest.fixture
def question() -> ModuleType:
    module = ModuleType("question")
    code = compile(python_block("how-to/without-the-kit.md", "async def answer"), "answer", "exec")
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
    exec(python_block("how-to/stream-speech.md", "stream.speak("), names)

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
    names: dict[str, Any] = {"token": TOKEN, "answer": None}
    exec(python_block("PRODUCTION.md", "app.mount("), names)
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


# What stood in the README stands here -----------------------------------------------------------


def test_the_exit_codes_are_those_of_the_command() -> None:
    for page in ("how-to/shell.md", "how-to/test-in-ci.md"):
        text = " ".join((DOCS / page).read_text(encoding="utf-8").split())
        assert "0 fine, 1 something is objected to, 2 usage, 3 no connection" in text


def test_every_test_named_on_a_page_exists() -> None:
    named = [
        path
        for page in DOCS.glob("how-to/*.md")
        for path in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text(encoding="utf-8"))
    ]
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
