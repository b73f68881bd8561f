"""The programs of `examples/`: each runs as examples/README.md says, and is called."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import twistream_kit as kit
from support.waiting import soon

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
GREETING = ROOT / "sample_audio" / "greeting.wav"


@contextlib.asynccontextmanager
async def running(name):
    """Run a program of `examples/`; yield the process and the address that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / name,
        env={**os.environ, "PORT": "0", "PYTHONPATH": str(ROOT)},
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
def tracing():
    """The example, imported."""
    spec = importlib.util.spec_from_file_location("tracing_example", EXAMPLES / "tracing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_the_readme_names_all_programs():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| \[`(\w+\.py)`\]", page, re.MULTILINE))
    assert named == {path.name for path in EXAMPLES.glob("*.py")}
