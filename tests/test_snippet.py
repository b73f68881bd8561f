"""The heart of the package, as short as it is promised to stay."""

import itertools
import socket
import threading
from pathlib import Path

import pytest

import twistream_kit as kit

SNIPPET = """
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())                  # Twilio's side, on this machine
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))   # yours
phone = twilio.phone("+15550100001")                       # answers by itself
client, to, from_ = twilio.client, phone.number, twilio.numbers[0]

call = kit.place_call(client, to=to, from_=from_, stream_url=server.stream_url).result(10)
stream = server.next_stream().result(10)
playing = stream.play(kit.load_clip("../sample_audio/greeting.wav"), mark="greeting")
playing.heard(0.4).result(5)                               # wait for 0.4 s of sound, not for the clock
stream.clear()
playing.result(5)                                          # PlayOutcome(ending='cleared', heard_ms=420, total_ms=4210), give or take a frame
"""  # noqa: E501 - exactly as it is written where it is promised


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
    assert 400 <= outcome.heard_ms <= 600
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
