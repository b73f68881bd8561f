"""The programs of `examples/`: each runs as examples/README.md says, and is called."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import soundfile
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import twistream_kit as kit
from support.waiting import LIMIT_SECONDS, soon

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
GREETING = ROOT / "sample_audio" / "greeting.wav"


@contextlib.asynccontextmanager
async def running(name, **environment):
    """Run a program of `examples/`; yield the process and the address that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / name,
        env={**os.environ, "PORT": "0", "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        url = (await soon(process.stdout.readline())).decode().strip()
        assert url.startswith("ws://"), (await soon(process.communicate()))[1].decode()
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def call(url, *options):
    """Run `twistream call`, and return its report."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "twistream_kit", "call", url, "--json", *options,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await soon(process.communicate())
    assert process.returncode == 0, output.decode()
    return json.loads(output)


async def interrupt(process):
    """End a program with Ctrl-C; return the rest of what it printed."""
    process.send_signal(signal.SIGINT)
    output, errors = await soon(process.communicate())
    assert b"Traceback" not in errors, errors.decode()
    assert process.returncode == 0
    return output.decode()


@pytest.fixture
def import_program(monkeypatch):
    """Import a program of `examples/`, with its folder first in the path, as if it were run."""
    before = set(sys.modules)

    def load(name):
        path = EXAMPLES / name
        monkeypatch.syspath_prepend(path.parent)
        spec = importlib.util.spec_from_file_location(f"{path.stem}_example", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name, module in [*sys.modules.items()]:
        if name not in before and str(EXAMPLES) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def tracing(import_program):
    """The example, imported."""
    return import_program("tracing.py")


@pytest.fixture
def menu(import_program, monkeypatch):
    """The menu, with sounds so short that a test can hear all of them."""
    module = import_program("menu.py")
    monkeypatch.setattr(module, "PROMPT", kit.Clip.tone(440, 0.4))
    choices = {key: kit.Clip.tone(600 + 100 * int(key), 0.5) for key in module.CHOICES}
    monkeypatch.setattr(module, "CHOICES", choices)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.3)
    return module


@pytest.fixture
def bridge(import_program):
    """The bridge to a speech service, imported."""
    return import_program("speech_bridge/bridge.py")


@pytest.fixture
async def stand_in(bridge):
    """The speech service that stands in for a real one."""
    async with sys.modules["stand_in"].StandIn() as service:
        yield service


@contextlib.asynccontextmanager
async def talking(bridge, url):
    """Serve the conversations of the bridge with the speech service at `url`."""
    handler = partial(bridge.talk, service=bridge.SpeechService(url))
    async with kit.StreamServer(handler) as server:
        yield server


@pytest.fixture
def spans(tracing):
    """Trace streams as the example does; return the spans that have ended, oldest first."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    logger = logging.getLogger("twistream_kit.live")
    level = logger.level
    handler = tracing.trace_streams(provider.get_tracer("test"))
    yield exporter.get_finished_spans
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform == "win32", reason="a program cannot be sent Ctrl-C alone")
async def test_a_caller_of_the_echo_hears_what_they_say():
    async with running("echo.py") as (process, url):
        report = await call(url, "--say", GREETING, "--seconds", "8")
        assert report["sound_seconds"] == pytest.approx(kit.load_clip(GREETING).seconds, abs=0.2)
        await interrupt(process)


async def test_the_menu_plays_what_a_key_asks_for_and_then_the_prompt_again(menu):
    async with kit.StreamServer(menu.answer) as server:
        report = await soon(kit.simulate_call(server.url, press="2", seconds=1.6))
    names = [(each.name, each.ending) for each in report.capture.playbacks()]
    assert names[:3] == [("prompt", "cleared"), ("key 2", "heard"), ("prompt", "heard")]
    assert report.received["clear"] == 1


async def test_an_unknown_key_of_the_menu_is_answered_by_a_tone_of_its_own(menu):
    async with kit.StreamServer(menu.answer) as server:
        report = await soon(kit.simulate_call(server.url, press="7#"))
    names = [(each.name, each.total_ms) for each in report.capture.playbacks()]
    assert names == [("prompt", 400), ("key 7", 300)]
    assert (report.ending, report.received["clear"]) == ("server-closed", 2)


async def test_the_menu_ends_the_call_of_a_caller_who_presses_nothing(menu):
    async with kit.StreamServer(menu.answer) as server:
        report = await soon(kit.simulate_call(server.url))
    names = [(each.name, each.ending) for each in report.capture.playbacks()]
    assert names == [("prompt", "heard")] * menu.PROMPTS
    assert report.ending == "server-closed"


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform == "win32", reason="a program cannot be sent Ctrl-C alone")
async def test_the_menu_answers_a_key():
    async with running("menu.py") as (process, url):
        report = await call(url, "--press", "2", "--seconds", "2")
        assert report["received"]["clear"] == 1
        assert report["sound_seconds"] > 1
        await interrupt(process)


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform == "win32", reason="a program cannot be sent Ctrl-C alone")
async def test_a_recording_has_the_caller_left_and_what_they_heard_right(tmp_path):
    folder = tmp_path / "calls"
    async with running("recording.py", FOLDER=str(folder)) as (process, url):
        report = await call(url, "--say", GREETING, "--seconds", "2.5")
        printed = await interrupt(process)  # what is not written yet is written then
    [file] = folder.iterdir()
    assert printed.startswith(f"{file}: ")
    samples, rate = soundfile.read(file, dtype="int16")
    assert (rate, samples.shape[1]) == (8000, 2)
    assert len(samples) / rate == pytest.approx(report["seconds"], abs=0.3)
    said = kit.decode_ulaw(kit.load_clip(GREETING).payload)
    heard = kit.decode_ulaw(kit.load_clip(ROOT / "sample_audio" / "reply.wav").payload)
    assert contains(samples[:, 0], said[8000:12000])
    assert contains(samples[:, 1], heard[4000:8000])
    assert not contains(samples[:, 0], heard[4000:8000])


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform == "win32", reason="a program cannot be sent Ctrl-C alone")
async def test_a_call_that_the_end_of_the_program_cuts_off_is_recorded_too(tmp_path):
    async with running("recording.py", FOLDER=str(tmp_path), SUFFIX=".flac") as (process, url):
        calling = kit.simulate_call(url, seconds=60)
        # The program may be stopped once it has answered: there is a recording from the start on.
        connected = kit.simulate_call(url, seconds=0.5)
        await soon(connected)
        await interrupt(process)
        await soon(calling)
    assert [file.suffix for file in tmp_path.iterdir()] == [".flac"] * 2


def contains(samples, part):
    """Whether a part stands somewhere in the samples, sample by sample."""
    first = samples.tobytes().find(part.tobytes())
    return first >= 0 and first % 2 == 0


@pytest.mark.realtime
async def test_a_caller_interrupts_the_bot_and_is_answered(bridge, stand_in):
    # The greeting has 2.25 s; the caller begins to speak in it, and pauses.
    words = kit.Clip.silence(0.6) + kit.Clip.tone(440, 1.0)
    async with talking(bridge, stand_in.url) as server:
        report = await soon(kit.simulate_call(server.url, say=words, seconds=5))
    greeting, answer = report.capture.playbacks()
    assert greeting.ending == "cleared"
    assert 600 <= greeting.heard_ms < 1600  # not before the voice, and before its end
    assert answer.ending == "heard"
    assert answer.heard_from > 1.6  # after the voice
    first, second = stand_in.asked
    assert first == bridge.GREETING
    spoken = re.fullmatch(r"I heard a voice of ([\d.]+) seconds", second)
    assert float(spoken[1]) == pytest.approx(1.0, abs=0.2)
    assert report.ok


@pytest.mark.realtime
async def test_a_caller_who_only_listens_hears_the_whole_greeting(bridge, stand_in):
    async with talking(bridge, stand_in.url) as server:
        report = await soon(kit.simulate_call(server.url, seconds=3))
    [greeting] = report.capture.playbacks()
    assert (greeting.ending, greeting.total_ms) == ("heard", 2250)
    assert "clear" not in report.received


async def test_a_call_that_ends_leaves_no_synthesis_running(bridge, stand_in, eventually):
    async with talking(bridge, stand_in.url) as server:
        await soon(kit.simulate_call(server.url, seconds=0.3))
        await eventually(lambda: stand_in.synthesising == 0)
        [stream] = server.streams
    assert stand_in.asked == [bridge.GREETING]
    assert stream.handler_error is None


async def test_a_caller_hears_that_the_service_fails(bridge, unused_tcp_port):
    async with talking(bridge, f"ws://127.0.0.1:{unused_tcp_port}") as server:
        report = await soon(kit.simulate_call(server.url))
    assert report.sound_seconds == pytest.approx(1.0, abs=0.05)  # two tones
    assert (report.ending, report.close_code) == ("server-closed", 1000)


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform == "win32", reason="a program cannot be sent Ctrl-C alone")
async def test_the_bridge_runs_with_its_stand_in():
    async with running("speech_bridge/bridge.py") as (process, url):
        report = await call(url, "--seconds", "1")
        assert report["sound_seconds"] > 0.3
        await interrupt(process)


@pytest.fixture
def run_project(tmp_path):
    """Run the tests of the pytest project as its user does, in a copy, after a change."""

    def run(*options, old="", new=""):
        folder = shutil.copytree(EXAMPLES / "pytest_project", tmp_path / "project")
        bot = folder / "bot.py"
        text = bot.read_text(encoding="utf-8")
        assert old in text
        bot.write_text(text.replace(old, new, 1), encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS * 3,
            check=False,
        )

    return run


@pytest.mark.slow
@pytest.mark.realtime
def test_the_tests_of_the_pytest_project_pass(run_project):
    done = run_project()
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.realtime
def test_the_tests_of_the_pytest_project_fail_with_a_report_when_the_bot_is_silent(run_project):
    done = run_project("-k", "beep", old='stream.play(BEEP, mark="beep")', new="pass")
    assert done.returncode == 1
    assert "FAILED tests/test_bot.py::test_a_caller_hears_the_beep" in done.stdout
    assert "Captured report of a simulated call" in done.stdout
    assert "the caller heard nothing" in done.stdout.lower()


@pytest.mark.slow
@pytest.mark.realtime
def test_the_tests_of_the_pytest_project_fail_with_the_turns_when_the_bot_does_not_stop(
    run_project,
):
    options = ("-k", "interrupted", "--twistream-plots", "plots")
    done = run_project(
        *options,
        old="        if trigger.push(samples):\n            stream.clear()",
        new="        if trigger.push(samples):",
    )
    assert done.returncode == 1
    assert re.search(r"barge_in_ms 1: \d+ ms, and the limit is 1000 ms", done.stdout), done.stdout
    assert re.search(r"plot: plots.test_bot\.py.*\.png$", done.stdout, re.MULTILINE)


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform == "win32", reason="a program cannot be sent Ctrl-C alone")
async def test_the_tracing_example_prints_its_spans():
    async with running("tracing.py") as (process, url):
        report = await call(url)
        printed = await interrupt(process)
    assert report["sound_seconds"] == 1
    assert re.findall(r'^    "name": "(\w+)"', printed, re.MULTILINE) == [
        "playback", "playback", "stream",
    ]  # fmt: skip


async def test_a_stream_is_a_span_and_its_playbacks_are_spans_in_it(tracing, spans):
    async with kit.StreamServer(tracing.answer) as server:
        report = await soon(kit.simulate_call(server.url))
        [stream] = server.streams
    first, second, whole = spans()
    assert report.ok
    assert [each.name for each in spans()] == ["playback", "playback", "stream"]
    assert first.parent.span_id == second.parent.span_id == whole.context.span_id
    assert whole.parent is None
    ids = {"stream_sid": stream.stream_sid, "call_sid": stream.call_sid}
    heard = {"ending": "heard", "heard_ms": 500, "total_ms": 500, "gaps": 0, "gap_ms": 0}
    assert first.attributes == ids | heard | {"playback": "first#1", "mark": "first"}
    assert second.attributes == ids | heard | {"playback": "second#2", "mark": "second"}
    closed = {"reason": "closed", "cause": "server-closed", "close_code": 1000, "error_code": 31921}
    assert whole.attributes == ids | closed
    assert whole.start_time <= first.start_time <= second.start_time
    assert first.end_time <= second.end_time <= whole.end_time
    # The second was queued at once, and heard after the first: half a second each.
    assert second.end_time - whole.start_time > 0.9e9


async def test_a_handler_that_fails_marks_the_span_of_its_stream(spans):
    async def fail(stream):
        raise ZeroDivisionError("by nothing")

    async with kit.StreamServer(fail) as server:
        await soon(kit.simulate_call(server.url))
    [span] = spans()
    assert (span.status.is_ok, span.status.description) == (
        False,
        "ZeroDivisionError('by nothing')",
    )
    assert [event.attributes["exception.type"] for event in span.events] == ["ZeroDivisionError"]
    assert span.attributes["cause"] == "handler-failed"


async def test_a_stream_that_began_before_the_tracing_does_it_no_harm(tracing, request):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def answer(stream):
        begun.set()
        await go_on.wait()
        await tracing.answer(stream)

    async with kit.StreamServer(answer) as server:
        calling = kit.simulate_call(server.url)
        await soon(begun.wait())
        spans = request.getfixturevalue("spans")
        go_on.set()
        assert (await soon(calling)).ok
    assert [(each.name, each.parent) for each in spans()] == [("playback", None)] * 2


PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_all_programs():
    named = set(re.findall(r"^\| \[`([\w./]+)`\]", PAGE, re.MULTILINE))
    files = {path.name for path in EXAMPLES.glob("*.py")}
    assert named == files | {f"{path.parent.name}/" for path in EXAMPLES.glob("*/*.py")}


@pytest.mark.parametrize("program", sorted(EXAMPLES.glob("**/*.py")), ids=lambda path: path.name)
def test_the_commands_of_a_program_are_those_of_the_readme(program):
    wanted = re.findall(
        r"^    ((?:python|twistream) .*)$", program.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [command for command in wanted if f"`{command}`" not in PAGE] == []


PROGRAMS = ["echo.py", "menu.py", "recording.py", "speech_bridge/bridge.py", "tracing.py"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_survives_every_fault_and_keeps_nothing_of_it(name, tmp_path):
    async with running(name, FOLDER=str(tmp_path)) as (process, url):
        drained = asyncio.create_task(process.stdout.read())  # spans are printed
        errors = asyncio.create_task(process.stderr.read())
        report = await soon(kit.inject_faults(url, scale=0.1, pid=process.pid), 200)
        process.kill()
        await asyncio.gather(drained, errors)
    assert report.ok, report
    assert b"Traceback" not in errors.result(), errors.result().decode()


@pytest.mark.slow
async def test_so_does_the_bot_of_the_pytest_project(import_program):
    async with kit.StreamServer(import_program("pytest_project/bot.py").answer) as server:
        report = await soon(kit.inject_faults(server.url, scale=0.1), 200)
    assert report.ok, report
