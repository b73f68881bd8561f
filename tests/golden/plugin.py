"""The pytest plugin: its fixtures, its options, and what it shows under a test that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from common import Pages

TESTS = """
import asyncio

import pytest

import twistream_kit as kit


async def plays(stream):
    await stream.play(kit.Clip.tone(440, 0.1), mark="tone")
    await stream.close()


@pytest.fixture
def server():
    running = kit.start(kit.StreamServer(plays))
    yield running
    kit.stop(running)


def test_call(twistream_call, server):
    assert twistream_call(server.url).ok


def test_call_that_is_shown(twistream_call, server):
    assert twistream_call(server.url).marks_returned == 7


def test_call_without_server(twistream_call):
    twistream_call("ws://127.0.0.1:1/media")


@pytest.mark.twilio(ring_seconds=0.5, numbers=("+15005550006",))
def test_twilio(twistream_twilio):
    assert len(twistream_twilio.numbers) == 1
    assert twistream_twilio.client.calls.list() == []


def test_debugger_is_shown(twistream_twilio):
    twistream_twilio.client.calls.create(
        to="+15550100001", from_=twistream_twilio.numbers[0], twiml="<Response/>"
    )
    twistream_twilio.debugger.wait_for(21214).result(30)
    assert False


@pytest.mark.twilio(colour="blue")
def test_wrong_option(twistream_twilio):
    pass


@pytest.mark.twilio("positional")
def test_wrong_marker(twistream_twilio):
    pass


def test_on_a_loop(twistream_call):
    async def call():
        twistream_call("ws://127.0.0.1:1/media")

    asyncio.run(call())
"""


def record() -> dict[str, str]:
    """What pytest says of the plugin."""
    pages = Pages()
    Path("test_calls.py").write_text(TESTS)
    for name, argument in {
        "fixtures": "--fixtures",
        "markers": "--markers",
        "help": "--help",
    }.items():
        pages.add("plugin", name, _about_us(_pytest(argument, "test_calls.py")))
    shown = re.compile(r"E  (?! +\+)|[.FE]{8} |FAILED|ERROR|-+ Captured [rT]|\d{5} ")
    lines = _pytest("-q", "test_calls.py").splitlines()
    kept = [_steady(line) for line in lines if shown.match(line)]
    pages.add("run", "lines of a run", "\n".join(kept))
    return pages.texts()


def _pytest(*arguments: str) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "twistream_kit",  # the name of its entry point
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir=.",
    ]
    done = subprocess.run(
        [*command, *arguments],
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout + done.stderr


def _about_us(text: str) -> str:
    """Return the lines about this plugin, without where its module lies."""
    lines = text.splitlines()
    ours = [
        number
        for number, line in enumerate(lines)
        if re.search(r"twistream[_-](call|load|faults|twilio|plots)|mark\.twilio", line)
        and "test_calls" not in line
    ]
    kept = sorted(
        {after for number in ours for after in range(number, number + 6) if after < len(lines)}
    )
    end = re.compile(r"^\S|^  \S+ .*:$")
    found: list[str] = []
    for number in kept:
        line = re.sub(r" -- .*", "", lines[number]).rstrip()
        if number in ours or (found and found[-1] and not end.match(line)):
            found.append(line)
    return "\n".join(found)


def _steady(line: str) -> str:
    """Return a line of pytest's without widths, and without where our classes lie."""
    line = re.sub(r"twistream_kit(?:\.\w+)+: ", "(ours) ", line.strip("- "))
    line = re.sub(r"^(FAILED|ERROR) (\S+).*", r"\1 \2", line)
    return re.sub(r"\s+", " ", line)
