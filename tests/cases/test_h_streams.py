"""The rows H03 to H06, and H02 at the server: what a stream misses, and who ended it."""

from __future__ import annotations

import asyncio
import re

import pytest
from websockets.asyncio.client import connect

from support.cases import CASES, running
from support.waiting import eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.tones import find_tones
from twistream_kit.diagnosis.sound import review_sound
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.server.server import StreamServer
from twistream_kit.protocol import from_twilio
from twistream_kit.simulator.simulate_call import simulate_call
from twistream_kit.simulator.twilio import SimulatedTwilio

SID = "MZ" + "1" * 32


async def inspect(program, **call):
    """Call a server of a row through an inspector; return the stream and the report."""
    async with running(program) as url, Inspector(url) as inspector:
        report = await soon(simulate_call(inspector.stream_url, **call))
        (stream,) = inspector.streams
        await soon(stream.closed)
        return stream, report


async def test_h03_keys_sent_as_sound_are_called_tones_and_pressed_as_the_words_say():
    keys = "4821#"
    mixed = Clip.silence(0.3) + Clip.tone(1000, 0.3) + Clip.dtmf(keys, tone_ms=60, gap_ms=50)
    (objection,) = review_sound(mixed.frames())
    assert objection.problem == (
        "holds DTMF, the tones of telephone keys: '4821#'; they are not key events"
    )
    play = re.search(r"<Play digits=[^>]*>", objection.fix)[0]
    async with (
        SimulatedTwilio(ring_seconds=0) as twilio,
        StreamServer(lambda stream: stream.close()) as server,
    ):
        twiml = f'<Response>{play}<Connect><Stream url="{server.url}"/></Connect></Response>'
        phone = twilio.phone("+15550100001")
        await asyncio.to_thread(
            twilio.client.calls.create, to=phone.number, from_=twilio.numbers[0], twiml=twiml
        )
        stream = await soon(server.next_stream())
        await soon(stream.closed)
        await eventually(lambda: twilio.calls[0].over)
    # The other side has heard them before the stream began, and they are the keys that were meant.
    assert "".join(tone.key for tone in find_tones(phone.heard)) == keys


async def test_h05_what_a_server_writes_after_its_close_frame_is_not_looked_at():
    stream, report = await inspect("h05.py", seconds=0.5)
    assert stream.objections == []
    end = stream.closed.result(0)
    assert (end.ended_by, end.said_stop, end.server_code) == ("twilio", True, 1005)
    assert report.error_code is None


async def test_h06_close_by_the_server_is_31921_as_the_simulator_logs_it():
    stream, report = await inspect("g06.py")
    (objection,) = stream.objections
    assert (objection.code, objection.severity) == (31921, "error")
    assert "1011 'upstream quota used up'" in objection.problem
    assert report.error_code == 31921
    end = stream.closed.result(0)
    assert "1011 'upstream quota used up'" in end.detail
    assert (end.error_code, end.cause.cause, end.cause.close_code) == (31921, "server-closed", 1011)
    assert end.cause.close_reason == "upstream quota used up"


@pytest.mark.parametrize("program", ["g02.py", "g07.py"])
async def test_a_close_with_1000_is_no_error_for_either(program):
    stream, report = await inspect(program)
    assert [each for each in stream.objections if each.code] == []
    assert stream.closed.result(0).error_code == report.error_code == 31921
    assert not stream.closed.result(0).cause.is_error


FRAMES = [bytes([0x80 + n]) * 160 for n in range(5)]
IN_ONE_GO = (
    from_twilio.Connected(),
    from_twilio.Start(SID, "AC" + "0" * 32, "CA" + "1" * 32),
    *(from_twilio.Media(SID, frame) for frame in FRAMES),
    from_twilio.Dtmf(SID, "5"),
)
"""Connected, start, five media and a key."""


async def read_asynchronously(stream):
    audio, events = stream.audio(), stream.events()
    frames = [await anext(audio) for _ in range(5)]
    return frames, await anext(events)


def read_on_a_thread(stream):
    audio, events = iter(stream.audio()), iter(stream.events())
    return [next(audio) for _ in range(5)], next(events)


@pytest.mark.parametrize("read", [read_asynchronously, read_on_a_thread])
async def test_h04_a_handler_sees_all_that_came_in_one_go_with_start(read):
    loop = asyncio.get_running_loop()
    seen = loop.create_future()

    async def handler(stream):
        seen.set_result(await read(stream))

    def ordinary_handler(stream):
        loop.call_soon_threadsafe(seen.set_result, read(stream))

    is_async = asyncio.iscoroutinefunction(read)
    async with (
        StreamServer(handler if is_async else ordinary_handler) as server,
        connect(server.url, compression=None) as socket,
    ):
        async with socket.send_context():
            for message in IN_ONE_GO:
                socket.protocol.send_text(message.to_json().encode())
            socket.transport.write(b"".join(socket.protocol.data_to_send()))
        frames, key = await soon(seen)
    assert [frame.tolist() for frame in frames] == [decode_ulaw(each).tolist() for each in FRAMES]
    assert key.digit == "5"


async def test_h02_a_server_hears_that_the_twiml_was_replaced():
    twiml = (CASES / "h02.xml").read_text(encoding="utf-8")
    async with SimulatedTwilio(ring_seconds=0) as twilio, StreamServer() as server:
        twilio.phone("+15550100001")
        placing = place_call(
            twilio.client, to="+15550100001", from_=twilio.numbers[0], stream_url=server.stream_url
        )
        call = await soon(placing)
        stream = await soon(server.next_stream(call))
        playing = stream.play(Clip.tone(440, 20))
        twiml = twiml.replace("wss://voice.example.com/media", server.stream_url)
        await asyncio.to_thread(lambda: twilio.client.calls(call.sid).update(twiml=twiml))
        words = "the call's TwiML was replaced during the stream (probably)"
        assert (await soon(stream.closed)).detail == words
        assert (await soon(playing)).why == words
        assert stream.cause.in_words == words
        assert call.cause is None  # it goes on
