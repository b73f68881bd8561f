"""A light stream: the same messages as those of any other stream, in less time."""

import asyncio
import contextlib
import json

import pytest
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from support.waiting import soon
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.client import StreamClient
from twistream_kit.simulator.stream.leg import StreamLeg

SID = f"MZ{1:032x}"
MEDIA = to_twilio.Media(SID, b"\x21" * 160).to_json().encode()
SPACED = json.dumps(json.loads(MEDIA)).encode()
LONG = to_twilio.Media(SID, b"\x21" * 90_000).to_json().encode()
MARK = to_twilio.Mark(SID, "end").to_json().encode()


def frame(data, opcode=Opcode.TEXT, *, fin=True):
    return Frame(opcode, data, fin=fin).serialize(mask=False)


USUAL = (
    frame(MEDIA)
    + frame(b"still there?", Opcode.PING)
    + frame(SPACED)
    + frame(b"{}")
    + frame(MARK)
    + frame(MEDIA)
)
"""What is taken as it arrives: three media, a mark and a message that Twilio drops."""

RARE = {
    "nothing more": b"",
    "a long message": frame(LONG),
    "fragments": frame(MEDIA[:50], fin=False)
    + frame(b"", Opcode.PONG)
    + frame(MEDIA[50:], Opcode.CONT),
    "a wrong text": frame(b"\xff"),
    "a reserved bit": b"\xc1\x00",
    "a masked frame": Frame(Opcode.TEXT, MEDIA).serialize(mask=True),
}
"""What is left to `websockets`, which ends the connection for some of it."""

CLOSE = frame((4000).to_bytes(2) + b"over", Opcode.CLOSE)


@contextlib.asynccontextmanager
async def server_that_sends(sent, size):
    """A server that answers the first message with bytes, in pieces of a size."""

    over = asyncio.Event()

    async def answer(reader, writer):
        try:
            await send(reader, writer)
        finally:
            writer.close()
            over.set()

    async def send(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        keys = [line for line in head.split("\r\n") if "sec-websocket-key" in line.lower()]
        accept = accept_key(keys[0].partition(":")[2].strip())
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        await reader.read(10)
        with contextlib.suppress(ConnectionError):
            for place in range(0, len(sent), size):
                writer.write(sent[place : place + size])
                await writer.drain()
                await asyncio.sleep(0)
            while await reader.read(65536):
                pass

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        await soon(over.wait())


async def take_all(sent, size, *, is_light):
    """Return the ending, what was received, and what was logged."""
    leg = StreamLeg(stream_sid=SID, call_sid="CA", account_sid="AC", hears=not is_light)
    async with server_that_sends(sent, size) as url:
        client = StreamClient(leg, url=url, auth_token=None, debugger=Debugger())
        client.is_light = is_light
        await client.connect()
        over = asyncio.create_task(client.wait_closed())
        while not over.done():
            client.tick(0.0, SILENT_FRAME)
            await asyncio.sleep(0.001)  # sleeps: stands for the beat, twenty times as fast
        await client.stop()
        client.drop()
    return await over, leg.received, client._debugger.codes


@pytest.mark.parametrize("size", [7, 100_000])
@pytest.mark.parametrize("rare", RARE)
async def test_a_light_stream_takes_what_any_stream_takes_however_it_arrives(
    rare, size, monkeypatch
):
    monkeypatch.setattr("twistream_kit.simulator.stream.client.CLOSE_WAIT_SECONDS", 0.05)
    # A reader may find the wrong text before or after the Close frame behind it.
    sent = USUAL + RARE[rare] + (CLOSE if rare != "a wrong text" else b"")
    light = await take_all(sent, size, is_light=True)
    assert light == await take_all(sent, 100_000, is_light=False)
    assert light[1]["media"] >= 3
    assert light[1]["mark"] == light[1]["invalid"] == 1


@pytest.mark.parametrize("sid", [SID, 'M"Z %d ü'])
def test_media_of_a_light_stream_are_the_same_bytes(sid):
    plain = StreamLeg(stream_sid=sid, call_sid="CA", account_sid="AC")
    light = StreamLeg(stream_sid=sid, call_sid="CA", account_sid="AC")
    plain.begin()
    light.begin()
    for number in range(300):
        voice = bytes([number % 256]) * 160
        heard, messages = plain.advance(voice, 0.0)
        same, texts, marks = light.advance_encoded(voice)
        assert (same, marks) == (heard, [])
        assert texts == [message.to_json().encode() for message in messages]


@pytest.mark.parametrize("sid", [SID, 'M"Z %d ü'])
def test_late_media_of_a_light_stream_are_the_same_bytes(sid):
    plain = StreamLeg(stream_sid=sid, call_sid="CA", account_sid="AC")
    light = StreamLeg(stream_sid=sid, call_sid="CA", account_sid="AC")
    for leg in (plain, light):
        leg.begin()
        leg.playout.enqueue(b"\x21" * 800)
        leg.playout.mark("end")  # comes back between two frames that are late
    numbers = iter(range(300))
    for come in [0, 0, 3, 1, 0, 2] * 50:
        heard, marks = plain.advance(None, 0.0)
        assert light.advance_encoded(None) == (heard, [], marks)
        for _ in range(come):
            voice = bytes([next(numbers) % 256]) * 160
            texts = [message.to_json().encode() for message in plain.take_late(voice)]
            assert light.take_late_encoded(voice) == texts
            assert texts
    assert next(numbers, None) is None
    assert plain.stop() == light.stop()
    assert plain.take_late(SILENT_FRAME) == light.take_late_encoded(SILENT_FRAME) == []


def test_usual_media_are_read_as_json_reads_them():
    reader = to_twilio.MediaReader(SID)
    for text in (MEDIA.decode(), SPACED.decode()):
        assert reader.read(text) == to_twilio.parse(text).payload
    for other in (
        MARK.decode(),
        MEDIA.decode().replace("MZ", "MX"),
        MEDIA.decode().replace('"}}', '="}}'),
        MEDIA.decode().replace('"}}', '","x":""}}'),
        MEDIA.decode()[:-1],
        json.dumps({**json.loads(MEDIA), "more": 1}),
    ):
        assert reader.read(other) is None


async def send_all(behaviour, rest=(), *, is_light):
    """Let a stream send 300 frames, of which the number is the sound; return what came, and it."""
    from websockets.asyncio.server import serve

    texts, over = [], asyncio.Event()

    async def keep(connection):
        texts.extend([text async for text in connection])
        over.set()

    async with serve(keep, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        leg = StreamLeg(
            stream_sid=SID, call_sid="CA", account_sid="AC", behaviour=behaviour, hears=not is_light
        )
        client = StreamClient(leg, url=url, auth_token=None, debugger=Debugger())
        client.is_light = is_light
        await client.connect()
        for number in range(300):
            client.tick(number * 0.02, bytes([number % 256]) * 160)
        client.rest = rest
        await client.stop()
        await soon(over.wait())
    return texts, client


@pytest.mark.parametrize(
    "line", [None, Line(jitter_ms=30, bunching=0.3, bunch=6, seed=4)], ids=["even", "late"]
)
async def test_a_light_stream_sends_what_any_stream_sends_also_over_a_line(line):
    behaviour = Behaviour(line=line)
    rest = [bytes([number % 256]) * 160 for number in (300, 301)]  # on its way at the end
    texts, light = await send_all(behaviour, rest, is_light=True)
    same, plain = await send_all(behaviour, rest, is_light=False)
    assert texts == same
    assert light.sent == plain.sent
    media = [from_twilio.parse(text) for text in texts if '"media"' in text[:20]]
    assert [each.payload[0] for each in media[2:]] == [number % 256 for number in range(302)]


async def test_a_light_stream_sends_whole_masked_frames_that_a_server_reads():
    texts, client = await send_all(Behaviour(), is_light=True)
    media = [from_twilio.parse(text) for text in texts if '"media"' in text[:20]]
    assert client.sent["media"] == len(media) == 302  # with Twilio's first burst (§10.20)
    assert [each.payload for each in media[:2]] == [SILENT_FRAME] * 2
    assert media[-1].payload == bytes([299 % 256]) * 160
    assert [each.sequence_number for each in media] == list(range(2, 304))
    assert from_twilio.parse(texts[-1]).sequence_number == 304
