"""The heart of the package, as short as it is promised to stay."""

import itertools
import socket
import threading
from pathlib import Path

import pytest

import twistream_kit as kit
from support.snippet import SNIPPET


def run_as_a_cell(text):
    """Run `text`; return its names, with the value of the last line as ``_``."""
    *lines, last = text.strip().splitlines()
    names = {}
    exec("\n".join(lines), names)
    names["_"] = eval(last, names)
    return names


@pytest.fixture
def nothing_left():
    before = set(threading.enumerate())
    yield
    kit.stop()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert left <= {"twistream_kit"}, "only the kit's own loop may stay, for the next start"


@pytest.mark.realtime
@pytest.mark.usefixtures("nothing_left")
def test_snippet_plays_is_cleared_and_tells_what_was_heard(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent / "notebooks")
    names = run_as_a_cell(SNIPPET)
    outcome, phone, server = names["_"], names["phone"], names["server"]
    assert outcome.ending == "cleared"
    assert 400 <= outcome.heard_ms < 4210
    assert outcome.total_ms == 4210
    assert len(names["twilio"].debugger) == 0

    names["call"].hang_up().result(10)
    names["stream"].closed.result(10)
    late_ms = names["twilio"].pacer.lateness.report().max_ms  # of the simulator itself
    ear = phone.heard.payload
    greeting = kit.load_clip("../sample_audio/greeting.wav").payload
    begin = ear.find(greeting[:1600])
    assert begin >= 0, "the beginning of the greeting itself reached the ear"
    same = itertools.takewhile(
        lambda two: two[0] == two[1], zip(ear[begin:], greeting, strict=False)
    )
    ear_ms = len(list(same)) / 8
    assert abs(ear_ms - outcome.heard_ms) <= 40 + 20 + 2 * late_ms
    assert set(ear[begin + round(ear_ms * 8) :]) <= {0xFF}, "after the clear there is silence"

    ports = [server.port, int(names["twilio"].url.rpartition(":")[2])]
    kit.stop()
    for port in ports:
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("127.0.0.1", port))
