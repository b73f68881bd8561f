"""One call straight to a server's WebSocket; the servers are raw ones."""

import asyncio
import contextlib
import json
import threading
import weakref
from base64 import b64encode
from dataclasses import replace

import pytest
from websockets.asyncio.server import serve

from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import CallRefused, LocalProtocolError
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.signature import sign
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.simulate_call import simulate_call
from twistream_kit.simulator.stream.pacer import LatenessReport

SOUND = b"\x21" * 800  # 0.1 s


@contextlib.asynccontextmanager
async def server(handler, **options):
    """Serve `handler(connection, stream_sid)`, which is called when *start* has come."""

    async def handle(connection):
        with contextlib.suppress(Exception):
            while (message := json.loads(await connection.recv()))["event"] != "start":
                pass
            await handler(connection, message)

    async with serve(handle, "127.0.0.1", 0, close_timeout=0.2, **options) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/media"


async def listen(connection, start):
    async for _ in connection:
        pass


def media(start, payload=SOUND, key="payload"):
    content = {key: b64encode(payload).decode()}
    return json.dumps({"event": "media", "streamSid": start["streamSid"], "media": content})


def mark(start, name):
    return json.dumps({"event": "mark", "streamSid": start["streamSid"], "mark": {"name": name}})


async def call_in_full(url, *, seconds, **options):
    """Call until the caller hears most of the time: a clock ends the call, also after a stall."""
    for _ in range(5):
        report = await simulate_call(url, seconds=seconds, **options)
        if report.heard.seconds >= 0.8 * seconds:
            break
    return report


async def test_a_good_server_is_reported_as_ok():
    async def good(connection, start):
        await connection.send(media(start))
        await connection.send(mark(start, "end"))
        await listen(connection, start)

    async with server(good) as url:
        report = await call_in_full(url, seconds=0.4)
    assert report.ok
    assert report.received == {"media": 1, "mark": 1}
    assert (report.marks_received, report.marks_returned) == (1, 1)
    assert report.sent["connected"] == report.sent["start"] == report.sent["stop"] == 1
    assert report.sent["media"] >= 15
    assert report.heard.payload.strip(b"\xff") == SOUND
    assert report.sound_seconds == pytest.approx(0.1)
    assert report.first_sound_ms >= 0
    assert 0.3 < report.seconds < 30
    assert (report.ending, report.close_code, report.error_code) == ("stopped", 1005, None)
    assert len(report.capture) >= 18
    assert "no objections" in repr(report)
    assert "1 of 1 returned" in repr(report)


async def test_nothing_is_heard_after_hanging_up_however_slow_the_close_wait(monkeypatch):
    close_wait = 2.0
    monkeypatch.setattr("twistream_kit.simulator.stream.client.CLOSE_WAIT_SECONDS", close_wait)

    async def deaf(connection, start):
        connection.transport.pause_reading()
        await connection.send(media(start, SOUND * 200))
        await asyncio.sleep(4)  # sleeps: stands for a server that does not read

    async with server(deaf) as url:
        report = await simulate_call(url, seconds=0.3)
    assert report.ending == "stopped"
    assert 0.2 < report.seconds < close_wait
    assert report.heard.seconds < close_wait


async def test_the_server_of_the_question_learns_what_is_wrong():
    async def misspelt(connection, start):
        for _ in range(3):
            await connection.send(media(start, key="playload"))
        await listen(connection, start)

    async with server(misspelt) as url:
        report = await simulate_call(url, seconds=0.3)
    assert not report.ok
    assert report.first_sound_ms is None
    assert [entry.code for entry in report.debugger] == [31951]
    assert report.received == {"invalid": 3}
    worst = next(iter(report.objections))
    assert worst.code == 31951
    assert report.objections[worst] == 3
    assert "playload" in repr(report)
    assert "nothing but silence" in repr(report)


async def test_a_wav_header_makes_the_report_not_ok_although_twilio_logs_nothing():
    async def whole_file(connection, start):
        await connection.send(media(start, b"RIFF\x00\x00\x00\x00WAVEfmt " + SOUND))
        await listen(connection, start)

    async with server(whole_file) as url:
        report = await simulate_call(url, seconds=0.2)
    assert report.debugger == ()
    assert not report.ok
    assert [objection.code for objection in report.objections] == [None]


async def test_the_caller_says_then_presses_then_listens():
    got = []

    async def record(connection, start):
        got[:] = [json.loads(text) async for text in connection]

    async with server(record) as url:
        await call_in_full(url, say=Clip(SOUND), press="1#", seconds=1.0)
    events = [message["event"] for message in got]
    sound = b64encode(b"\x21" * 160).decode()
    spoken = [
        n for n, m in enumerate(got) if m["event"] == "media" and m["media"]["payload"] == sound
    ]
    digits = [message["dtmf"]["digit"] for message in got if message["event"] == "dtmf"]
    assert len(spoken) == 5
    assert digits == ["1", "#"]
    assert events.index("dtmf") > spoken[-1]


async def test_without_a_length_the_call_ends_when_both_are_silent(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.simulate_call.QUIET_SECONDS", 0.2)

    async def late(connection, start):
        await connection.send(media(start, SOUND * 4))
        await listen(connection, start)

    async with server(late) as url:
        report = await simulate_call(url, say=SOUND)
    assert 0.5 <= report.seconds < 30
    assert report.sound_seconds == pytest.approx(0.4)
    assert report.ending == "stopped"
    assert report.quiet_seconds == 0.2
    async with server(late) as url:
        assert (await simulate_call(url, seconds=0.8)).quiet_seconds is None


async def test_a_call_without_a_length_ends_at_the_limit(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.simulate_call.LONGEST_SECONDS", 0.3)

    async def chatty(connection, start):
        await connection.send(media(start, SOUND * 100))
        await listen(connection, start)

    async with server(chatty) as url:
        report = await simulate_call(url)
    assert report.seconds < 10, "all of its sound was heard"
    assert report.ending == "stopped"


async def test_the_call_ends_when_the_server_closes():
    async def brief(connection, start):
        await connection.close(1011, "oops")

    async with server(brief) as url:
        report = await simulate_call(url, seconds=30)
    assert (report.ending, report.close_code, report.error_code) == ("server-closed", 1011, 31921)
    assert [entry.code for entry in report.debugger] == [31921]
    assert not report.ok
    assert report.ended == EndCause("server-closed", 1011, "oops")
    assert repr(report).startswith(
        "Heard nothing, then your server closed the connection (1011 'oops')\n"
    )
    assert "\n  logged: 31921 " in repr(report)


async def test_a_server_that_closes_with_1000_is_logged_and_fine():
    async def brief(connection, start):
        await connection.close(1000)

    async with server(brief) as url:
        report = await simulate_call(url, seconds=30, expect_silence=True)
        behaviour = Behaviour(normal_close="silent")
        silent = await simulate_call(url, seconds=30, behaviour=behaviour, expect_silence=True)
    assert (report.ending, report.close_code, report.error_code) == ("server-closed", 1000, 31921)
    (entry,) = report.debugger
    assert (entry.code, entry.level) == (31921, "note")
    assert report.ok
    assert "expected when you meant to" in repr(report)
    assert (silent.error_code, silent.debugger, silent.ok) == (None, (), True)


async def test_a_call_may_end_without_a_close_and_leaves_nothing_open():
    ended = asyncio.Event()

    async def patient(connection, start):
        async for message in connection:
            if isinstance(from_twilio.parse(message), from_twilio.Stop):
                await connection.close(1000)
        ended.set()

    async with server(patient) as url:
        report = await simulate_call(url, seconds=0.2, behaviour=Behaviour(close_at_end="nothing"))
        await soon(ended.wait())
    assert (report.ending, report.close_code) == ("stopped", 1006)


async def test_parameters_and_the_signature_reach_the_server():
    seen = {}

    async def look(connection, start):
        seen["parameters"] = start["start"]["customParameters"]
        seen["signature"] = connection.request.headers["x-twilio-signature"]
        await connection.close()

    async with server(look) as url:
        report = await simulate_call(url, parameters={"name": "Ada"}, auth_token="12345")
    assert seen["parameters"] == {"name": "Ada"}
    assert seen["signature"] == sign("12345", url)
    assert "12345" not in repr(report)


async def test_a_query_string_is_dropped_and_objected_to():
    paths = []

    async def look(connection, start):
        paths.append(connection.request.path)
        await connection.close()

    async with server(look) as url:
        report = await simulate_call(f"{url}?token=1", expect_silence=True)
    assert paths == ["/media"]
    assert [objection.field for objection in report.objections] == ["url"]
    assert not report.ok


async def test_two_calls_at_once_have_two_stream_sids():
    sids = []

    async def look(connection, start):
        sids.append(start["streamSid"])
        await listen(connection, start)

    async with server(look) as url:
        calls = [simulate_call(url, seconds=0.2) for _ in range(2)]
        reports = await asyncio.gather(*calls)
    assert sorted(sids) == sorted(report.stream_sid for report in reports)
    assert len(set(sids)) == 2


async def test_to_dict_can_become_json():
    async def bad(connection, start):
        await connection.send("nonsense")
        await connection.close()

    async with server(bad) as url:
        report = await simulate_call(url)
    read = json.loads(json.dumps(report.to_dict()))
    assert read["ok"] is False
    assert read["ending"] == "server-closed"
    assert read["objections"][0]["code"] == 31951
    assert read["objections"][0]["times"] == 1
    assert read["debugger"][0]["code"] == 31951
    assert read["lateness"]["frames"] >= 0


async def test_a_report_of_a_late_simulator_says_that_its_timings_are_not_to_be_believed():
    async def brief(connection, start):
        await connection.close()

    async with server(brief) as url:
        report = await simulate_call(url)
    late = replace(report, lateness=LatenessReport(100, 1.0, 40.0, 90.0, 300.0, 10))
    assert not late.believable
    assert "The simulator itself was late: times in which" in repr(late)


async def test_a_server_that_is_not_there_refuses_the_call():
    pending = simulate_call("ws://127.0.0.1:1/media", seconds=1)
    with pytest.raises(CallRefused) as caught:
        await pending
    assert caught.value.code == 31902
    assert "refused the connection" in str(caught.value)
    assert "31902" in str(caught.value)


async def test_nothing_is_left_running_after_a_call():
    async with server(listen) as url:
        await simulate_call(url, seconds=0.1)
        with pytest.raises(CallRefused):
            await simulate_call("ws://127.0.0.1:1/media")
    for thread in threading.enumerate():
        if thread.name.startswith("simulated call"):
            thread.join(LIMIT_SECONDS)
            assert not thread.is_alive()


@pytest.mark.usefixtures("collects_nothing")
async def test_a_report_that_nobody_keeps_waits_for_no_garbage_collection(eventually):
    async with server(listen) as url:
        report = await simulate_call(url, seconds=0.1)
    sound = weakref.ref(report.capture)
    del report
    await eventually(lambda: sound() is None)  # its thread may just be ending


def test_the_report_can_be_waited_for_without_a_loop():
    with pytest.raises(CallRefused):
        simulate_call("ws://127.0.0.1:1/media").result(LIMIT_SECONDS)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"url": "http://127.0.0.1/"}, CallRefused, "is not a wss URL"),
        ({"url": "ws://example.com/"}, CallRefused, "is not encrypted"),
        ({"say": b"RIFF\x00\x00\x00\x00WAVE"}, LocalProtocolError, "whole WAV file"),
        (
            {"say": b"\xff" * 160 + b"RIFF\x00\x00\x00\x00WAVE"},
            LocalProtocolError,
            "say holds the header of a WAV file at byte 160",
        ),
        ({"say": "hello.wav"}, TypeError, "say must be a Clip or PCMU bytes, not str"),
        ({"press": "12x"}, ValueError, "'x', which is no key of a telephone"),
        ({"seconds": 0}, ValueError, "seconds is 0; a call lasts more than 0"),
        ({"seconds": -1}, ValueError, "seconds is -1"),
        ({"seconds": float("nan")}, ValueError, "seconds is nan"),
        ({"url": 5}, TypeError, "url is 5; give a string"),
        ({"press": 5}, TypeError, "give the keys as a string"),
        ({"seconds": "3"}, TypeError, "seconds is '3'; give a number"),
        ({"parameters": ["a"]}, TypeError, "give a dict of names and values"),
        ({"parameters": {"a": 1}}, TypeError, "names and values must be strings"),
        (
            {"parameters": {"a": "x" * 499}},
            ValueError,
            "has 500 characters, name and value together",
        ),
        ({"behaviour": Behaviour(strict=True), "url": "ws://127.0.0.1/?a"}, CallRefused, "query"),
    ],
)
def test_a_wrong_argument_is_refused_at_once_in_words(arguments, error, text):
    before = threading.active_count()
    with pytest.raises(error, match=text):
        simulate_call(**{"url": "ws://127.0.0.1:1/", **arguments})
    assert threading.active_count() <= before


async def test_what_twilio_would_drop_is_kept_in_the_capture_as_it_came():
    async def answer(socket):
        async for text in socket:
            if '"start"' in text:
                await socket.send("no JSON at all")

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        report = await simulate_call(f"ws://127.0.0.1:{port}/media", seconds=0.3)
    assert [message for _, message in report.capture.odd] == ["no JSON at all"]
