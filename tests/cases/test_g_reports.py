"""Servers that stay silent, close early or listen late: what the report of a call says of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64encode

import aiohttp.web
import pytest
import pytest_asyncio
from websockets.asyncio.server import serve

from support.cases import running
from twistream_kit import cli
from twistream_kit.audio.clip import Clip
from twistream_kit.live.server.server import StreamServer
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.simulate_call import simulate_call

SOUND = Clip.tone(440, 2.0).payload


async def report_of(program, **options):
    async with running(program) as url:
        return await simulate_call(url, **options)


HEARS_ALL = Behaviour(plays_after_close=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reports():
    """Of the calls that take long: they mostly wait, and so run side by side.

    The programs start before, as that keeps a machine busy.
    """
    calls = {
        "g01.py": ("g01.py", {"seconds": 1}),
        "g02.py": ("g02.py", {}),
        "g03.py": ("g03.py", {"seconds": 0.5}),
        "g03.py, silence expected": ("g03.py", {"seconds": 0.5, "expect_silence": True}),
        "g04.py": ("g04.py", {}),
        "g08.py": ("g08.py", {}),
        "g04.py, all heard": ("g04.py", {"behaviour": HEARS_ALL}),
        "g08.py, all heard": ("g08.py", {"behaviour": HEARS_ALL}),
        "g06.py": ("g06.py", {}),
    }
    async with contextlib.AsyncExitStack() as stack:
        entering = [stack.enter_async_context(running(program)) for program, _ in calls.values()]
        urls = await asyncio.gather(*entering)
        made = [
            simulate_call(url, **options)
            for url, (_, options) in zip(urls, calls.values(), strict=True)
        ]
        return dict(zip(calls, await asyncio.gather(*made), strict=True))


def only_objection(report):
    [(objection, times)] = report.objections.items()
    assert times == 1
    return objection


# The rows.


def test_g01_a_server_that_reads_one_message_took_in_nothing_more(reports):
    report = reports["g01.py"]
    assert not report.ok
    assert "took in nothing that can be seen after the connected message" in repr(report)
    assert "did not answer Twilio's Close frame" in repr(report)
    assert "no objections" not in repr(report)


def test_g02_a_server_that_returns_closed_before_anything_was_heard(reports):
    report = reports["g02.py"]
    assert not report.ok
    assert repr(report).startswith("Heard nothing, then your server closed the connection (1000)\n")
    objection = only_objection(report)
    assert "before the caller heard anything" in objection.problem
    assert "Twilio goes on with the TwiML behind <Connect>, or hangs up" in objection.consequence


def test_g03_a_silent_server_is_fine_only_where_it_is_expected(reports):
    report = reports["g03.py"]
    assert not report.ok
    problem = only_objection(report).problem
    assert problem == "the server sent no message, and the caller said nothing"
    assert reports["g03.py, silence expected"].ok


@pytest.mark.parametrize("program", ["g04.py", "g08.py"])
def test_g04_and_g08_what_is_queued_when_the_close_frame_comes_is_not_heard(reports, program):
    report = reports[program]
    assert not report.ok
    # The server's own 0.5 s; a machine that stands still meanwhile hears less of them, or more.
    assert 0 < report.sound_seconds < 1.5
    assert report.sound_seconds + report.lost_seconds == pytest.approx(3.0, abs=0.03)
    assert report.seconds < 2.5
    assert report.headline.endswith("of 3.0 s, then your server closed the connection (1000)")
    problem = only_objection(report).problem
    assert "of 3.0 s of sound were queued and not heard" in problem
    assert "the mark 'bye' did not come back" in problem


@pytest.mark.parametrize("program", ["g04.py", "g08.py"])
def test_what_is_queued_is_heard_where_that_is_assumed(reports, program):
    report = reports[f"{program}, all heard"]
    assert report.ok, report
    assert report.sound_seconds == pytest.approx(3.0, abs=0.03)


async def test_g05_a_listener_that_comes_late_has_missed_the_start_message():
    report = await report_of("g05.py", seconds=1.5)  # alone: it is about times
    assert not report.ok
    objection = only_objection(report)
    assert "the start message was probably never taken in" in objection.problem
    assert "a listener that was attached late" in objection.problem
    assert "Add streamSid" not in repr(report)
    assert report.received["invalid"] > 30


def test_g06_the_reason_of_a_close_frame_is_shown(reports):
    report = reports["g06.py"]
    assert (report.close_code, report.close_reason) == (1011, "upstream quota used up")
    assert report.to_dict()["close_reason"] == "upstream quota used up"
    first = repr(report).splitlines()[0]
    assert first.endswith("your server closed the connection (1011 'upstream quota used up')")
    assert "1011 'upstream quota used up'" in only_objection(report).fix
    assert not report.ok


async def test_g07_a_server_that_closes_at_once_has_closed_before_the_start_message():
    report = await report_of("g07.py")
    assert not report.ok
    assert report.sent == {}
    assert only_objection(report).problem == (
        "the server closed the connection before the start message"
    )
    assert not (await report_of("g07.py", expect_silence=True)).ok


async def test_the_command_exits_with_1_and_says_the_same(capsys):
    async with running("g03.py") as url:
        arguments = ["call", url, "--seconds", "0.5"]
        assert await asyncio.to_thread(cli.main, arguments) == 1
        assert "the server sent no message" in capsys.readouterr().out
        assert await asyncio.to_thread(cli.main, [*arguments, "--json"]) == 1
        read = json.loads(capsys.readouterr().out)
        assert (read["ok"], read["verdict"]) == (False, "not ok")
        assert await asyncio.to_thread(cli.main, [*arguments, "--expect-silence"]) == 0
        assert "verdict   ok, no objections" in capsys.readouterr().out


# Others of the same kind, and good ones beside them.


@contextlib.asynccontextmanager
async def server(handler):
    """Serve `handler(connection, stream_sid)`, which is called when *start* has come."""

    async def handle(connection):
        with contextlib.suppress(Exception):
            while (message := json.loads(await connection.recv()))["event"] != "start":
                pass
            await handler(connection, message["streamSid"])

    async with serve(handle, "127.0.0.1", 0, close_timeout=0.2) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/media"


async def called(handler, **options):
    async with server(handler) as url:
        return await simulate_call(url, **options)


def media(sid, payload=SOUND):
    return json.dumps(
        {"event": "media", "streamSid": sid, "media": {"payload": b64encode(payload).decode()}}
    )


def mark(sid, name="end"):
    return json.dumps({"event": "mark", "streamSid": sid, "mark": {"name": name}})


async def listen(connection, until="nothing"):
    async for text in connection:
        if json.loads(text)["event"] == until:
            return


async def test_a_server_that_waits_for_its_mark_is_ok():
    async def good(connection, sid):
        await connection.send(media(sid, SOUND[:2400]))
        await connection.send(mark(sid))
        await listen(connection, until="mark")

    for behaviour in (Behaviour(), Behaviour(latency_ms=200), Behaviour(playout_delay_ms=100)):
        report = await called(good, behaviour=behaviour)
        assert report.ok, report
        assert report.verdict == "ok, no objections"
        assert report.sound_seconds == pytest.approx(0.3)
        assert report.headline == (
            "heard 0.3 s of sound, then your server closed the connection (1000)"
        )


async def test_a_server_that_closes_after_a_clear_is_ok():
    async def cleared(connection, sid):
        await connection.send(media(sid))
        for _ in range(20):
            await connection.recv()
        await connection.send(json.dumps({"event": "clear", "streamSid": sid}))

    report = await called(cleared)
    assert report.ok, report
    assert "were cleared" in report.headline
    assert report.cleared_seconds + report.sound_seconds == pytest.approx(2.0, abs=0.05)


async def test_a_caller_who_hangs_up_while_the_server_speaks_loses_nothing_of_its_doing():
    async def speaks(connection, sid):
        await connection.send(media(sid))
        await listen(connection)

    report = await called(speaks, seconds=0.4)
    assert report.ok, report
    assert report.headline.endswith("of 2.0 s, then the caller hung up")


async def test_servers_of_the_kit_are_ok():
    async def good(stream):
        await stream.play(Clip.tone(440, 0.2))
        await stream.close()

    async with StreamServer(good) as running:
        report = await simulate_call(running.url)
    assert report.ok, report


async def test_a_connection_that_breaks_off_loses_what_is_queued():
    async def breaks(connection, sid):
        await connection.send(media(sid))
        for _ in range(20):
            await connection.recv()
        connection.transport.abort()

    report = await called(breaks)
    assert not report.ok
    assert report.headline.endswith("of 2.0 s, then the connection was lost without a Close frame")
    assert "because the connection was lost" in only_objection(report).problem


async def test_what_closes_the_connection_at_once_need_not_be_websockets():
    async def close(request):
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=4000, message=b"not today")
        return socket

    application = aiohttp.web.Application()
    application.router.add_get("/media", close)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        report = await simulate_call(f"ws://127.0.0.1:{port}/media")
    finally:
        await runner.cleanup()
    assert not report.ok
    assert "before the start message" in repr(report)
    assert report.headline.endswith("(4000 'not today')")


@pytest.mark.parametrize("value", [None, "", "None", "undefined"])
async def test_a_variable_that_was_never_set_points_at_the_start_message_too(value):
    async def speaks(connection, _sid):
        for _ in range(2):
            await connection.send(media(value, SOUND[:800]))
        await listen(connection)

    report = await called(speaks, seconds=0.4)
    assert not report.ok
    assert "the start message was probably never taken in" in only_objection(report).problem


async def test_a_server_that_took_in_the_start_message_is_only_to_add_the_sid():
    def answer(text):
        payload = json.loads(text)["media"]["payload"]
        return json.dumps({"event": "media", "media": {"payload": payload}})

    async def echoes_at_once(connection, _sid):
        async for text in connection:
            if json.loads(text)["event"] == "media":
                await connection.send(answer(text))

    async def greets_once(connection, _sid):
        for _ in range(20):
            text = await connection.recv()
        await connection.send(answer(text))
        await listen(connection)

    for handler in (echoes_at_once, greets_once):
        report = await called(handler, seconds=0.8)
        assert not report.ok
        [(objection, _)] = report.objections.items()
        assert objection.fix.startswith("Add streamSid")


async def test_silence_says_which_kind_of_silence_it_is():
    async def sends_silence(connection, sid):
        await connection.send(media(sid, b"\xff" * 1600))
        await listen(connection)

    async def only_marks(connection, sid):
        await connection.send(mark(sid))
        await listen(connection)

    async def clears(connection, sid):
        # In one write, so that no frame is played between the two.
        connection.transport.pause_reading()
        connection.protocol.send_text(media(sid).encode())
        connection.protocol.send_text(json.dumps({"event": "clear", "streamSid": sid}).encode())
        connection.transport.write(b"".join(connection.protocol.data_to_send()))
        connection.transport.resume_reading()
        await listen(connection)

    for handler, words in (
        (sends_silence, "the server sent nothing but silence, and the caller said nothing"),
        (only_marks, "the server sent no media message"),
        (clears, "a clear removed all sound before any of it was heard"),
    ):
        report = await called(handler, seconds=0.4)
        assert not report.ok
        assert words in repr(report)
        assert (await called(handler, seconds=0.4, expect_silence=True)).ok


async def test_a_server_that_is_heard_and_then_hangs_gets_a_note(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.stream.client.CLOSE_WAIT_SECONDS", 0.3)

    async def hangs(connection, sid):
        await connection.send(media(sid, SOUND[:1600]))
        connection.transport.pause_reading()
        await asyncio.sleep(3)  # sleeps: stands for a server that does not read any more

    report = await called(hangs, seconds=0.5)
    assert report.ok
    assert "did not answer Twilio's Close frame" in only_objection(report).problem
    assert only_objection(report).severity == "note"


async def test_a_server_that_counts_the_time_is_ok_if_it_counts_enough():
    def closes_after(frames, sound):
        async def handler(connection, sid):
            await connection.send(media(sid, sound))
            async for text in connection:
                message = json.loads(text)
                if message["event"] == "media" and int(message["media"]["chunk"]) > frames:
                    return

        return handler

    # Far longer, and far shorter, than it counts: a busy machine moves the moment of the close.
    report = await called(closes_after(20, Clip.tone(440, 10.0).payload))
    assert not report.ok
    assert 0 < report.sound_seconds < 10
    assert report.sound_seconds + report.lost_seconds == pytest.approx(10.0, abs=0.03)
    report = await called(closes_after(90, Clip.tone(440, 0.5).payload))
    assert report.ok
    assert report.sound_seconds == pytest.approx(0.5, abs=0.03)
    assert report.lost_seconds == 0


async def test_342_equal_objections_are_one_with_its_count():
    async def misspelt(connection, sid):
        for number in range(342):
            await connection.send(
                json.dumps(
                    {"event": "media", "streamSid": sid, "media": {"playload": f"{number:04}"}}
                )
            )
        await listen(connection)

    report = await called(misspelt, seconds=1.5)
    assert list(report.objections.values()) == [342]
    assert repr(report).count("playload") == 1
