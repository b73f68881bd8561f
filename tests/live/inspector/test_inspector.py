"""What passes through an inspector: every byte as it came, whatever either side does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
import ssl
import subprocess

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as plain_serve
from websockets.frames import Frame, Opcode

from support.addresses import MALFORMED
from support.far_end import TOKEN
from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.diagnosis.files import review_capture
from twistream_kit.errors import ServerStopped, SettingsError, TunnelError
from twistream_kit.live.inspector._relay import Peer as RelayPeer
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.live.server.local_proxy import LocalProxy
from twistream_kit.live.tunnel.tunnel import open_tunnel
from twistream_kit.protocol import from_twilio, signature, to_twilio

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(
    hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
).decode()
YES = (
    "HTTP/1.1 101 Switching Protocols\r\nupgrade:WebSocket\r\nConnection:  Upgrade\r\n"
    f"Sec-WebSocket-Accept: {ACCEPT}\r\nX-Odd:   spaces  \r\n\r\n"
).encode()
SID = "MZ" + "1" * 32
CALL = "CA" + "1" * 32
LOCAL = b"\r\nHost: localhost\r\n\r\n"


class Peer:
    """One end of a TCP connection, byte by byte."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, raw):
        self.writer.write(raw)
        await self.writer.drain()

    async def head(self):
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def exactly(self, size):
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.reader.readexactly(size)

    async def rest(self):
        """Read to the end; a connection that is broken has one too."""
        found = b""
        async with asyncio.timeout(LIMIT_SECONDS):
            with contextlib.suppress(OSError):
                while piece := await self.reader.read(65536):
                    found += piece
        return found

    def vanish(self):
        self.writer.transport.abort()


class RawServer:
    """A server that does nothing; the test does it all."""

    def __init__(self):
        self.peers = asyncio.Queue()
        self.listener = None

    async def accept(self):
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.peers.get()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.listener.sockets[0].getsockname()[1]}/media"

    async def handshaken(self):
        peer = await self.accept()
        head = await peer.head()
        await peer.send(YES)
        return peer, head


@pytest.fixture
async def raw_server():
    server, connected = RawServer(), []

    async def take(reader, writer):
        connected.append(writer)
        server.peers.put_nowait(Peer(reader, writer))

    server.listener = await asyncio.start_server(take, "127.0.0.1", 0)
    yield server
    server.listener.close()
    for writer in connected:
        writer.transport.abort()
    await server.listener.wait_closed()
    await asyncio.sleep(0)


@pytest.fixture
async def inspect():
    """Run an inspector until the test ends."""
    async with contextlib.AsyncExitStack() as running:

        async def start(upstream, **options):
            options = {"allowed_hosts": ["public.example"]} | options  # the host of `handshake`
            return await running.enter_async_context(Inspector(upstream, **options))

        yield start


@pytest.fixture
async def open_connection():
    """Connect to a port; the connections end with the test."""
    made = []

    async def dial(inspector):
        reader, writer = await asyncio.open_connection("127.0.0.1", inspector.port)
        made.append(writer)
        return Peer(reader, writer)

    yield dial
    for writer in made:
        writer.transport.abort()
    await asyncio.sleep(0)


@pytest.fixture
async def pair(raw_server, inspect, open_connection):
    """Both ends of a WebSocket that passes through an inspector, after the handshake."""

    async def make(**options):
        inspector = await inspect(raw_server.url, **options)
        client = await open_connection(inspector)
        await client.send(handshake())
        server, _ = await raw_server.handshaken()
        assert await client.exactly(len(YES)) == YES
        return inspector, client, server

    return make


def handshake(*more, target="/media"):
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: public.example",
        "user-agent: Twilio.TmeWs/1.0",
        "connection: Upgrade",
        "Upgrade: websocket",
        "sec-websocket-version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(message, *, mask=False, fin=True, opcode=None):
    if opcode is None:
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    payload = message.encode() if isinstance(message, str) else message
    return Frame(opcode, payload, fin).serialize(mask=mask)


def start_message():
    return from_twilio.Start(SID, "AC" + "0" * 32, CALL).to_json()


def random_traffic(rng, *, mask):
    """Frames of all kinds, in fragments and with pings between, some of them long."""
    raw = b""
    for _ in range(rng.randrange(5, 30)):
        size = rng.choice([0, 1, 125, 126, 300, 70_000])
        kind = rng.random()
        if kind < 0.2:
            opcode = rng.choice([Opcode.PING, Opcode.PONG])
            raw += frame(rng.randbytes(size % 126), mask=mask, opcode=opcode)
        elif kind < 0.4:
            raw += frame(rng.randbytes(size), mask=mask, fin=False)
            raw += frame(b"?", mask=mask, opcode=Opcode.PING)
            raw += frame(rng.randbytes(size), mask=mask, opcode=Opcode.CONT)
        else:
            raw += frame("ü" * size if kind < 0.7 else rng.randbytes(size), mask=mask)
    return raw


async def send_in_pieces(peer, raw, rng):
    at = 0
    while at < len(raw):
        size = rng.choice([1, 7, 160, 5000, 100_000])
        await peer.send(raw[at : at + size])
        at += size
        if rng.random() < 0.3:
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(8))
async def test_every_byte_passes_unaltered_in_both_directions(pair, seed):
    _, client, server = await pair()
    rng = random.Random(seed)
    up, down = random_traffic(rng, mask=True), random_traffic(rng, mask=False)
    got_up, got_down, *_ = await asyncio.gather(
        server.exactly(len(up)),
        client.exactly(len(down)),
        send_in_pieces(client, up, random.Random(seed)),
        send_in_pieces(server, down, random.Random(seed)),
    )
    assert got_up == up
    assert got_down == down


@pytest.mark.parametrize("seed", range(4))
async def test_bytes_that_are_no_websocket_at_all_pass_too(pair, seed):
    _, client, server = await pair()
    up, down = random.Random(seed).randbytes(50_000), random.Random(-seed).randbytes(50_000)
    await client.send(up)
    await server.send(down)
    assert await server.exactly(len(up)) == up
    assert await client.exactly(len(down)) == down


async def test_request_reaches_the_server_as_it_was_but_for_host_and_compression(
    raw_server, inspect, open_connection
):
    inspector = await inspect(raw_server.url)
    client = await open_connection(inspector)
    await client.send(
        handshake(
            "x-twilio-signature: c2lnbmVk",
            "Sec-WebSocket-Extensions: permessage-deflate",
            "x-ODD-header:  two  spaces ",
            target="/media?x=%20y",
        )
    )
    peer = await raw_server.accept()
    lines = (await peer.head()).decode().split("\r\n")
    authority = raw_server.url.removeprefix("ws://").removesuffix("/media")
    assert lines == [
        "GET /media?x=%20y HTTP/1.1",
        f"Host: {authority}",
        "user-agent: Twilio.TmeWs/1.0",
        "connection: Upgrade",
        "Upgrade: websocket",
        "sec-websocket-version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        "x-twilio-signature: c2lnbmVk",
        "x-ODD-header: two  spaces",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Host: public.example",
        "X-Forwarded-Proto: http",
        "",
        "",
    ]


async def test_what_a_tunnel_says_of_its_client_stays(raw_server, inspect, open_connection):
    inspector = await inspect(raw_server.url, public_url="https://public.example")
    client = await open_connection(inspector)
    await client.send(
        handshake(
            "X-Forwarded-For: 3.83.109.252",
            "X-Forwarded-Host: abc.ngrok.app",
            "X-Forwarded-Proto: https",
        )
    )
    head = (await (await raw_server.accept()).head()).decode()
    assert "X-Forwarded-For: 3.83.109.252, 127.0.0.1\r\n" in head
    assert head.count("X-Forwarded-Host") == head.count("X-Forwarded-Proto") == 1
    assert "X-Forwarded-Host: abc.ngrok.app\r\n" in head


async def test_refusal_of_the_server_comes_back_as_it_is_and_is_logged(
    raw_server, inspect, open_connection, said
):
    inspector = await inspect(raw_server.url)
    client = await open_connection(inspector)
    await client.send(handshake())
    peer = await raw_server.accept()
    await peer.head()
    answer = b"HTTP/1.1 403 Nope\r\nx-why:  because\r\nContent-Length: 5\r\n\r\nsorry"
    await peer.send(answer)
    assert await client.exactly(len(answer)) == answer
    peer.writer.close()
    assert await client.rest() == b""
    assert any("refused a stream with HTTP 403; Twilio would log 31920" in line for line in said())
    assert inspector.streams == ()


async def test_server_that_answers_no_handshake_is_logged(
    raw_server, inspect, open_connection, said
):
    client = await open_connection(await inspect(raw_server.url))
    await client.send(handshake())
    peer = await raw_server.accept()
    await peer.head()
    peer.writer.close()
    assert await client.rest() == b""
    assert any("did not answer a handshake; Twilio would log 31920" in line for line in said())


async def test_client_that_gives_up_takes_its_handshake_along(raw_server, inspect, open_connection):
    client = await open_connection(await inspect(raw_server.url))
    await client.send(handshake())
    peer = await raw_server.accept()
    await peer.head()
    client.writer.close()
    assert await peer.rest() == b""


async def test_server_that_does_not_run_is_a_bad_gateway_in_words(
    raw_server, inspect, open_connection, said
):
    inspector = await inspect(raw_server.url)
    raw_server.listener.close()
    client = await open_connection(inspector)
    await client.send(handshake())
    answer = (await client.rest()).decode()
    assert answer.startswith("HTTP/1.1 502 Bad Gateway\r\n")
    assert "the connection was refused: it does not run, or not on this port" in answer
    (line,) = (line for line in said() if "cannot be reached" in line)
    assert "would log 31902" in line


async def test_early_bytes_of_a_client_wait_for_the_answer(raw_server, inspect, open_connection):
    client = await open_connection(await inspect(raw_server.url))
    early = frame(start_message(), mask=True)
    await client.send(handshake() + early)
    peer = await raw_server.accept()
    await peer.head()
    await peer.send(YES)
    assert await peer.exactly(len(early)) == early


async def test_stream_shows_what_was_said_in_both_directions(pair):
    inspector, client, server = await pair()
    wait = inspector.next_stream()
    await client.send(frame(from_twilio.Connected().to_json(), mask=True))
    await client.send(frame(start_message(), mask=True))
    stream = await soon(wait)
    assert (stream.stream_sid, stream.call_sid) == (SID, CALL)
    assert stream.is_open
    await server.exactly(1)
    await server.send(frame(to_twilio.Media(SID, b"\x2a" * 160).to_json()))
    await server.send(frame(to_twilio.Mark(SID, "here").to_json()))
    mark = frame(from_twilio.Mark(SID, "here").to_json(), mask=True)
    await client.send(mark)
    await server.send(frame(b"\x03\xe8", opcode=Opcode.CLOSE))
    await client.send(frame(b"\x03\xe9", mask=True, opcode=Opcode.CLOSE))
    client.writer.close()
    server.writer.close()
    end = await soon(stream.closed)
    assert {end.server_code, end.twilio_code} == {1000, 1001}
    assert not end.said_stop
    kinds = [type(entry.message) for entry in stream.capture.entries]
    assert kinds[:2] == [from_twilio.Connected, from_twilio.Start]
    assert sorted(kind.__module__ for kind in kinds[2:]) == [
        "twistream_kit.protocol.from_twilio",
        "twistream_kit.protocol.to_twilio",
        "twistream_kit.protocol.to_twilio",
    ]
    assert stream.capture.entries[0].at == 0
    assert stream.objections == []
    assert inspector.streams == (stream,)


async def test_twilio_has_ended_what_it_stopped_even_if_the_server_closes_first(pair):
    inspector, client, server = await pair()
    wait = inspector.next_stream()
    await client.send(frame(start_message(), mask=True))
    stop = from_twilio.Stop(SID, "AC" + "0" * 32, CALL).to_json()
    await client.send(frame(stop, mask=True))
    stream = await soon(wait)
    await server.exactly(len(frame(start_message(), mask=True)) + len(frame(stop, mask=True)))
    await server.send(frame(b"\x03\xe8", opcode=Opcode.CLOSE))
    await client.exactly(4)
    await client.send(frame(b"", mask=True, opcode=Opcode.CLOSE))
    client.writer.close()
    server.writer.close()
    end = await soon(stream.closed)
    assert (end.ended_by, end.said_stop, end.server_code) == ("twilio", True, 1000)


@pytest.fixture
def ended():
    """Send what one side says, then close both; return the stream."""

    async def end(inspector, client, server, *, up=b"", down=b""):
        await client.send(up)
        await server.send(down)
        await server.exactly(len(up)) if up else None
        await client.exactly(len(down)) if down else None
        client.writer.close()
        await server.rest()
        server.writer.close()
        (stream,) = inspector.streams
        await soon(stream.closed)
        return stream

    return end


WRONG = f'{{"event":"media","streamSid":"{SID}","media":{{"playload":"/////w=="}}}}'


async def test_bad_messages_of_the_server_are_objected_to_and_stand_in_the_findings(pair, ended):
    inspector, client, server = await pair()
    await client.send(frame(start_message(), mask=True))
    stream = await soon(inspector.next_stream())
    extra = f'{{"event":"mark","streamSid":"{SID}","mark":{{"name":"x"}},"track":"outbound"}}'
    down = [frame(WRONG), frame(WRONG), frame(b"binary"), frame(extra)]
    down += [frame(to_twilio.Clear("MZ" + "2" * 32).to_json())]
    await ended(inspector, client, server, down=b"".join(down))
    codes = {objection.code for objection in stream.objections}
    assert codes == {31950, 31951}
    first = stream.violations[0]
    assert first.text == WRONG
    assert any("playload" in str(each) for each in first.objections)
    assert set(stream.times.values()) == {1, 2}
    assert all(stream.times[each] == 2 for each in first.objections)
    # Of what Twilio may obey the capture knows, and of nothing else.
    sent = [e.message for e in stream.capture.entries if e.sender == "server"]
    assert sent == [to_twilio.Mark(SID, "x")]
    # What is at fault stands beside it as it came, so that a saved capture tells the same.
    other = to_twilio.Clear("MZ" + "2" * 32).to_json()
    assert [message for _, message in stream.capture.odd] == [WRONG, WRONG, b"binary", extra, other]
    reviewed = {str(each.objection): each.times for each in review_capture(stream.capture)}
    assert reviewed == {str(each): times for each, times in stream.times.items()}


async def test_message_before_the_start_is_objected_to(pair, ended):
    inspector, client, server = await pair()
    early = frame(to_twilio.Mark(SID, "early").to_json())
    stream = await ended(inspector, client, server, down=early)
    assert stream.start is None
    assert any("before Twilio's start message" in each.problem for each in stream.objections)
    assert repr(stream).startswith("<InspectedStream (no start yet): ended, Twilio disconnected")


async def test_sound_that_is_a_file_is_objected_to_once_with_its_count(pair, ended):
    inspector, client, server = await pair()
    await client.send(frame(start_message(), mask=True))
    stream = await soon(inspector.next_stream())
    wav = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x80" * 300
    payload = base64.b64encode(wav).decode()
    media = f'{{"event":"media","streamSid":"{SID}","media":{{"payload":"{payload}"}}}}'
    await ended(inspector, client, server, down=frame(media) * 3)
    (riff,) = (each for each in stream.objections if "a whole WAV file" in each.problem)
    assert riff.code is None
    assert stream.times[riff] == 3
    assert stream.violations[0].in_capture


async def test_rules_of_websocket_broken_by_the_server_are_31924(pair, ended):
    inspector, client, server = await pair()
    stream = await ended(inspector, client, server, down=b"\xc1\x02hi" + b"\x09\x00")
    assert [each.code for each in stream.objections] == [31924, 31924]


AFTER_TWILIO_CLOSED = [
    b"\x88\x00HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 500 INTERNAL SERVER ERROR\r\nServer: example/1.0\r\n\r\n<html>" + b"x" * 300,
]


@pytest.mark.parametrize("end", [b"", b"\x03\xe8"])
@pytest.mark.parametrize("answer", AFTER_TWILIO_CLOSED)
async def test_what_a_server_answers_to_a_close_frame_is_not_objected_to(pair, answer, end):
    inspector, client, server = await pair()
    up = frame(end, mask=True, opcode=Opcode.CLOSE)
    await client.send(up)
    await server.exactly(len(up))
    await server.send(answer)
    server.writer.close()
    assert await client.rest() == answer
    client.writer.close()
    (stream,) = inspector.streams
    ended = await soon(stream.closed)
    assert stream.objections == []
    assert (ended.ended_by, ended.error_code) == ("twilio", None)
    assert ended.server_code == (1005 if answer.startswith(b"\x88") else 1006)


async def test_http_without_a_close_frame_during_the_stream_is_31924_alone(pair, ended):
    stream = await ended(*await pair(), down=AFTER_TWILIO_CLOSED[1])
    assert {each.code for each in stream.objections} == {31924}
    end = stream.closed.result(0)
    assert (end.cause.cause, end.error_code) == ("protocol-error", 31924)


SERVERS_ENDS = {
    b"\x03\xe8": (1000, "", None),
    b"\x03\xe9": (1001, "", 31921),
    b"\x03\xf3boom": (1011, "boom", 31921),
    b"\x0f\xa0": (4000, "", 31921),
    b"": (1005, "", 31921),
}


@pytest.mark.parametrize(("payload", "expected"), SERVERS_ENDS.items())
async def test_a_close_of_the_server_has_the_code_that_twilio_logs(pair, payload, expected):
    inspector, client, server = await pair()
    await server.send(frame(payload, opcode=Opcode.CLOSE))
    await client.exactly(2 + len(payload))
    await client.send(frame(payload[:2], mask=True, opcode=Opcode.CLOSE))
    server.writer.close()
    client.writer.close()
    (stream,) = inspector.streams
    end = await soon(stream.closed)
    code, reason, logged = expected
    assert [each.code for each in stream.objections] == ([logged] if logged else [])
    assert (end.server_code, end.cause.close_reason, end.error_code) == (code, reason, 31921)
    assert all(repr(reason) in text for text in (end.detail, end.cause.in_words) if reason)


@pytest.mark.parametrize("drop", ["vanish", "close"])
async def test_a_server_that_drops_the_connection_is_31903(pair, drop):
    inspector, client, server = await pair()
    server.vanish() if drop == "vanish" else server.writer.close()
    await client.rest()
    client.writer.close()
    (stream,) = inspector.streams
    end = await soon(stream.closed)
    assert [each.code for each in stream.objections] == [31903]
    assert (end.error_code, end.cause.cause) == (31903, "connection-lost")


async def test_twilio_that_vanishes_is_no_fault_of_the_server(pair):
    inspector, client, server = await pair()
    client.vanish()
    await server.rest()
    server.writer.close()
    (stream,) = inspector.streams
    end = await soon(stream.closed)
    assert stream.objections == []
    assert (end.ended_by, end.cause.cause) == ("twilio", "connection-lost")


async def test_twilio_that_vanishes_with_the_tunnel_is_a_lost_tunnel(pair):
    inspector, client, server = await pair()
    await eventually(lambda: inspector.streams)
    inspector.lose_public_url("ngrok has ended")
    await eventually(lambda: inspector.streams[0].disconnect_reason)
    client.vanish()
    await server.rest()
    server.writer.close()
    end = await soon(inspector.streams[0].closed)
    assert end.cause.in_words == "the tunnel was lost: ngrok has ended"


async def test_what_twilio_never_says_is_a_warning(pair, ended):
    inspector, client, server = await pair()
    up = frame("hello?", mask=True) + frame(b"binary", mask=True)
    stream = await ended(inspector, client, server, up=up)
    assert [each.severity for each in stream.objections] == ["warning", "warning"]
    assert [finding.sender for finding in stream.violations] == ["twilio", "twilio"]


async def test_compression_that_nobody_offered_is_objected_to(
    raw_server, inspect, open_connection, ended
):
    inspector = await inspect(raw_server.url)
    client = await open_connection(inspector)
    await client.send(handshake())
    server = await raw_server.accept()
    await server.head()
    answer = YES[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    await server.send(answer)
    assert await client.exactly(len(answer)) == answer
    stream = await ended(inspector, client, server)
    (objection,) = stream.objections
    assert objection.code == 31924
    assert "compression" in objection.problem


@pytest.mark.parametrize("who", ["client", "server"])
async def test_one_side_that_vanishes_ends_the_other(pair, who):
    inspector, client, server = await pair()
    gone, left = (client, server) if who == "client" else (server, client)
    gone.vanish()
    assert await left.rest() == b""
    left.writer.close()
    (stream,) = inspector.streams
    end = await soon(stream.closed)
    assert end.ended_by == ("twilio" if who == "client" else "server")
    assert (end.twilio_code, end.server_code) == (1006, 1006)
    assert "without a Close frame (1006)" in end.detail


async def test_server_that_ends_in_the_middle_of_a_frame_is_passed_on_so_far(pair):
    inspector, client, server = await pair()
    half = frame("x" * 5000)[:1000]
    await server.send(half)
    server.writer.close()
    assert await client.rest() == half
    client.writer.close()
    (stream,) = inspector.streams
    assert (await soon(stream.closed)).server_code == 1006


async def test_half_of_an_end_passes_and_the_other_half_may_still_speak(pair):
    _, client, server = await pair()
    client.writer.write_eof()
    assert await server.rest() == b""
    last = frame("a last word")
    await server.send(last)
    assert await client.exactly(len(last)) == last


async def test_a_connection_is_closed_with_bytes_still_to_send(raw_server):
    host, port = raw_server.listener.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    far = await raw_server.accept()
    while not writer.transport.get_write_buffer_size():
        writer.write(bytes(65536))
    closing = asyncio.create_task(RelayPeer(reader, writer).close())
    await eventually(writer.is_closing)
    await far.rest()
    await soon(closing)


async def test_stop_ends_streams_and_waits_with_outcomes(raw_server, open_connection):
    inspector = Inspector(raw_server.url, allowed_hosts=["public.example"])
    async with inspector:
        client = await open_connection(inspector)
        await client.send(handshake())
        server, _ = await raw_server.handshaken()
        await client.exactly(len(YES))
        wait = inspector.next_stream()
    (stream,) = inspector.streams
    assert stream.closed.result(0).ended_by == "inspector"
    assert await client.rest() == await server.rest() == b""
    with pytest.raises(ServerStopped):
        await wait
    with pytest.raises(ServerStopped, match="the inspector is not running"):
        _ = inspector.url
    assert repr(inspector) == f"<Inspector of {raw_server.url}: not running>"
    async with inspector:
        assert inspector.port
    assert inspector.loop is None


async def test_stop_does_not_wait_for_who_never_asks(raw_server, open_connection):
    inspector = await Inspector(raw_server.url, allowed_hosts=["public.example"]).__aenter__()
    silent = await open_connection(inspector)
    await silent.send(b"GET /media HT")
    stopping = asyncio.create_task(inspector.__aexit__(None, None, None))
    await eventually(stopping.done, 8)  # websockets would wait for ten seconds
    await stopping
    assert await silent.rest() == b""


async def test_what_the_listener_fails_at_does_not_hurt_the_traffic(pair, monkeypatch, said):
    inspector, client, server = await pair()

    def broken(self, *args):
        raise ZeroDivisionError

    monkeypatch.setattr(InspectedStream, "take", broken)
    up = frame(start_message(), mask=True) * 3
    await client.send(up)
    assert await server.exactly(len(up)) == up
    await server.send(frame("x"))
    assert await client.exactly(3) == frame("x")
    client.writer.close()
    server.writer.close()
    (stream,) = inspector.streams
    await soon(stream.closed)
    assert sum("can no longer be read; it is relayed unread" in line for line in said()) == 1


@pytest.mark.parametrize("size", [1 << 20, 20 << 20])
async def test_big_messages_pass_whole_and_the_biggest_pass_unread(pair, ended, size):
    inspector, client, server = await pair()
    big = frame("x" * size)
    sending = asyncio.create_task(server.send(big))
    assert await client.exactly(len(big)) == big
    await sending
    stream = await ended(inspector, client, server)
    assert any("too many to be reviewed" in o.problem for o in stream.objections) == (
        size > 16 << 20
    )


async def test_slow_reader_is_waited_for_and_nothing_piles_up(pair):
    _, client, server = await pair()
    piece, sent = b"\x82\x7e\xff\xff" + bytes(0xFFFF), 0
    client.writer.transport.pause_reading()
    with contextlib.suppress(TimeoutError):
        while sent < 400 << 20:
            async with asyncio.timeout(0.5):
                await server.send(piece)
            sent += len(piece)
    assert sent < 64 << 20, "the server was never asked for patience"
    client.writer.transport.resume_reading()
    assert len(await client.exactly(sent)) == sent


async def test_fifty_streams_at_a_time_stay_apart(inspect):
    async def echo(socket):
        async for text in socket:
            await socket.send(text)

    async with plain_serve(echo, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        inspector = await inspect(f"ws://127.0.0.1:{port}")

        async def call(number):
            sid = f"MZ{number:032x}"
            async with connect(inspector.url, compression=None, proxy=None) as socket:
                start = from_twilio.Start(sid, call_sid=f"CA{number:032x}").to_json()
                await socket.send(start)
                assert await socket.recv() == start
                for count in range(20):
                    text = to_twilio.Mark(sid, f"{number}-{count}").to_json()
                    await socket.send(text)
                    assert await socket.recv() == text

        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*map(call, range(50)))
        await eventually(lambda: len(inspector.streams) == 10)  # of those that ended the last ten


async def test_streams_are_handed_out_like_a_servers(inspect, serve, dial, in_thread):
    server = await serve()
    inspector = await inspect(server.url)
    waits = inspector.next_stream(), inspector.next_stream()
    first = await dial(inspector, url=inspector.url)
    one, same = [await soon(wait) for wait in waits]
    assert one is same
    assert one.stream_sid == first.stream_sid
    wanted = inspector.next_stream("CA" + "f" * 32)
    await dial(inspector, url=inspector.url)
    second = await in_thread(lambda: inspector.next_stream().result(LIMIT_SECONDS))
    assert second is not one
    assert not wanted.done()
    assert inspector.streams == (one, second)
    assert repr(inspector) == (f"<Inspector {inspector.url} -> {server.url}: 2 open of 2 streams>")


async def test_kit_server_behind_it_plays_and_hears(inspect, serve, dial):
    server = await serve()
    inspector = await inspect(server.url)
    end = await dial(inspector, url=inspector.url)
    stream = await soon(server.next_stream())
    playing = stream.play(b"\x2a" * 1600, mark="end")
    await end.until(to_twilio.Mark, 1)
    await end.echo()
    assert (await soon(playing)).ending == "heard"
    await end.stop()
    passed = await soon(inspector.next_stream())
    await end.connection.close()
    outcome = await soon(passed.closed)
    assert outcome.said_stop
    assert passed.objections == []
    assert passed.capture.summary().sent_seconds == 0.2


@pytest.mark.parametrize("url", MALFORMED)
def test_refused_address_is_quoted_without_its_password(url):
    with pytest.raises(SettingsError) as refused:
        Inspector(f"{url}?a=b")
    assert "hunter2" not in str(refused.value)


class TestSignature:
    async def test_handshake_with_a_signature_gets_through(self, inspect, serve, dial):
        server = await serve()
        inspector = await inspect(server.url, auth_token=TOKEN, public_url="https://public.example")
        assert inspector.checks_signatures
        assert inspector.stream_url == "wss://public.example/media"
        await dial(inspector, url=inspector.url)
        await soon(inspector.next_stream())

    async def test_signature_passes_so_that_the_server_can_check_it_too(self, inspect, serve, dial):
        server = await serve(auth_token=TOKEN, public_url="https://public.example")
        inspector = await inspect(server.url, auth_token=TOKEN, public_url="https://public.example")
        await dial(inspector, url=inspector.url)
        await soon(server.next_stream())

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            ["x-twilio-signature: d3Jvbmc="],
            ["x-twilio-signature: {right}", "x-twilio-signature: {right}"],
        ],
    )
    async def test_handshake_that_twilio_did_not_sign_reaches_nobody(
        self, raw_server, inspect, open_connection, said, headers
    ):
        inspector = await inspect(raw_server.url, auth_token=TOKEN)
        right = signature.sign(TOKEN, inspector.stream_url)
        client = await open_connection(inspector)
        await client.send(handshake(*(line.format(right=right) for line in headers)))
        assert (await client.rest()).startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert raw_server.peers.empty()
        (line,) = (line for line in said() if "was refused" in line)
        assert TOKEN not in line
        assert right not in line

    @pytest.mark.parametrize("path", ["//media", "///media", "/media//", "/./media", "/media%2f"])
    async def test_signature_of_one_path_opens_no_other(
        self, raw_server, inspect, open_connection, path
    ):
        inspector = await inspect(
            raw_server.url, auth_token=TOKEN, public_url="https://public.example"
        )
        right = signature.sign(TOKEN, "wss://public.example/media")
        client = await open_connection(inspector)
        request = handshake(f"x-twilio-signature: {right}")
        assert b" /media " in request
        await client.send(request.replace(b" /media ", f" {path} ".encode()))
        assert (await client.rest()).startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert raw_server.peers.empty()

    async def test_no_disguise_gets_a_websocket_past_the_check(
        self, raw_server, inspect, open_connection
    ):
        inspector = await inspect(raw_server.url, auth_token=TOKEN)
        for disguise in (
            handshake().replace(b"Upgrade: websocket", b"Upgrade : websocket"),
            handshake().replace(b"Upgrade: websocket", b" Upgrade: websocket"),
            handshake().replace(b"Upgrade: websocket", b"X: y\n\rUpgrade: websocket"),
            handshake().replace(b"GET ", b"GET http://x"),
            handshake("Content-Length: 5"),
            handshake("Upgrade: h2c"),
        ):
            client = await open_connection(inspector)
            await client.send(disguise)
            assert (await client.rest()).startswith((b"HTTP/1.1 400", b"HTTP/1.1 403")), disguise
        assert raw_server.peers.empty()
        client = await open_connection(inspector)
        await client.send(handshake().replace(b"Upgrade: websocket", b"Upgrade: WebSockets"))
        assert b"pgrade" not in await (await raw_server.accept()).head()

    def test_token_is_never_shown(self):
        inspector = Inspector("ws://localhost:1/media", auth_token=TOKEN)
        assert TOKEN not in repr(vars(inspector)) + repr(inspector._admission.__dict__)


class TestLongHeads:
    @pytest.mark.parametrize("piece_bytes", [1 << 20, 1000], ids=["at once", "1 kB"])
    @pytest.mark.parametrize(
        "lines",
        [
            [b"x: " + b"y" * 33_000],
            [b"x: " + b"y" * 60_000],
            [b"x: " + b"y" * 120_000],
            [b"Upgrade: " + b"," * 60_000],
            [b"x:"] * 129,
            [b"x:"] * 15_000,
        ],
        ids=["33 kB", "60 kB", "120 kB", "commas", "129", "15000"],
    )
    async def test_head_that_is_too_long_is_refused_in_words(
        self, raw_server, inspect, ask, lines, piece_bytes
    ):
        inspector = await inspect(raw_server.url)
        whole = b"\r\n".join([b"GET / HTTP/1.1", *lines]) + b"\r\nHost: localhost\r\n\r\n"
        pieces = (whole[at : at + piece_bytes] for at in range(0, len(whole), piece_bytes))
        answer = await ask(inspector, *pieces)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"at most 32768 bytes and 128 headers are read" in answer
        assert raw_server.peers.empty()

    @pytest.mark.parametrize(("commas", "asks"), [(15, True), (16, False), (7000, False)])
    async def test_long_list_of_protocols_is_not_taken_for_a_handshake(
        self, raw_server, inspect, open_connection, commas, asks
    ):
        client = await open_connection(await inspect(raw_server.url))
        listed = b"Upgrade: " + b"," * commas + b" websocket"
        await client.send(handshake().replace(b"Upgrade: websocket", listed))
        head = await (await raw_server.accept()).head()
        assert (b"\r\nUpgrade: " in head) is asks
        assert (b"Connection: close" in head) is not asks

    async def test_longest_head_passes(self, raw_server, inspect, open_connection):
        client = await open_connection(await inspect(raw_server.url))
        lines = [b"GET / HTTP/1.1", b"Host: localhost", *[b"x: y"] * 126]
        head = b"\r\n".join(lines) + b"\r\nx: "
        await client.send(head + b"y" * (32_768 - len(head) - 4) + b"\r\n\r\n")
        assert b"\r\nx: yyyy" in await (await raw_server.accept()).head()


class TestOrdinaryRequests:
    async def test_webhooks_pass_with_their_bodies(self, inspect, serve, ask):
        server = await serve(public_url="https://public.example")
        inspector = await inspect(server.url)
        form = b"CallSid=CA1&CallStatus=ringing&From=%2B15550100001"
        head = (
            f"POST /twiml HTTP/1.1\r\nHost: public.example\r\nContent-Length: {len(form)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        ).encode()
        answer = await ask(inspector, head, form[:10], form[10:])
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"wss://public.example/media" in answer
        await ask(inspector, head.replace(b"/twiml", b"/status") + form)
        assert server.status_events[0].call_sid == "CA1"

    async def test_health_is_the_servers_own(self, inspect, serve, ask):
        server = await serve()
        inspector = await inspect(server.url)
        answer = await ask(inspector, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.endswith(server.nonce.encode())

    async def test_what_follows_a_request_on_its_connection_reaches_nobody(
        self, raw_server, inspect, open_connection
    ):
        client = await open_connection(await inspect(raw_server.url))
        first = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
        await client.send(first + handshake())
        peer = await raw_server.accept()
        assert b"Connection: close\r\n" in await peer.head()
        assert await peer.exactly(3) == b"abc"
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        peer.writer.close()
        assert await client.rest() == b"HTTP/1.1 204 No Content\r\n\r\n"
        assert await peer.rest() == b""

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked" + LOCAL, 411),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2" + LOCAL, 400),
            (b"POST / HTTP/1.1\r\nContent-Length: x" + LOCAL, 400),
            (b"nonsense\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20000, 431),
        ],
    )
    async def test_requests_that_could_be_read_in_two_ways_are_refused(
        self, raw_server, inspect, ask, request_, status
    ):
        answer = await ask(await inspect(raw_server.url), request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


class TestTunnel:
    async def test_tunnel_leads_to_an_inspector_and_resets_its_address(self, inspect, serve):
        server = await serve()
        inspector = await inspect(server.url, auth_token=TOKEN)
        async with LocalProxy(inspector) as proxy:
            async with open_tunnel(inspector, "static", url=proxy.url):
                assert inspector.public_url == proxy.url
                assert inspector.stream_url == proxy.url.replace("http", "ws") + "/media"
            assert inspector.public_url is None

    async def test_tunnel_of_a_server_behind_an_inspector_is_proved_by_the_server(
        self, inspect, serve
    ):
        server = await serve(auth_token=TOKEN)
        inspector = await inspect(server.url)
        async with open_tunnel(server, "static", url=f"http://127.0.0.1:{inspector.port}"):
            assert server.public_url is not None

    async def test_inspector_that_checks_nothing_is_refused_a_tunnel(self, inspect):
        inspector = await inspect("ws://127.0.0.1:1/media")
        with pytest.raises(TunnelError, match="Inspector\\(auth_token=…\\)"):
            open_tunnel(inspector, "static", url="https://public.example")

    async def test_lost_address_ends_the_waits_and_is_noted_on_open_streams(
        self, inspect, serve, dial
    ):
        server = await serve()
        inspector = await inspect(server.url, public_url="https://public.example")
        await dial(inspector, url=inspector.url)
        stream = await soon(inspector.next_stream())
        wait = inspector.next_stream()
        inspector.lose_public_url("the tunnel fell in")
        with pytest.raises(TunnelError, match="the tunnel fell in"):
            await soon(wait)
        assert stream.disconnect_reason == inspector.disconnect_reason == "the tunnel fell in"
        assert inspector.stream_url == inspector.url


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
async def secure_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def echo(socket):
        async for text in socket:
            await socket.send(text)
        await socket.close(4321, "done")

    async with plain_serve(echo, "127.0.0.1", 0, ssl=context, close_timeout=1) as server:
        yield f"wss://localhost:{server.sockets[0].getsockname()[1]}/media"


async def test_server_behind_tls_is_reached(secure_server, certificate, inspect):
    inspector = await inspect(
        secure_server, ssl_context=ssl.create_default_context(cafile=certificate[0])
    )
    async with connect(inspector.url, compression=None, proxy=None) as socket:
        await socket.send(start_message())
        assert await socket.recv() == start_message()
        stream = await soon(inspector.next_stream())
        await socket.close(3000)
    end = await soon(stream.closed)
    assert (end.ended_by, end.twilio_code, end.server_code) == ("twilio", 3000, 3000)


async def test_certificate_that_does_not_hold_is_a_bad_gateway_in_words(
    secure_server, inspect, open_connection, said
):
    client = await open_connection(await inspect(secure_server))
    await client.send(handshake())
    assert b"TLS failed" in await client.rest()
    assert any("would log 31910" in line for line in said())


async def test_tls_to_a_server_without_it_is_reported_in_words(
    raw_server, inspect, open_connection, said
):
    client = await open_connection(await inspect(raw_server.url.replace("ws:", "wss:")))
    await client.send(handshake())
    (await raw_server.accept()).writer.transport.abort()
    assert b"is it ws, not wss?" in await client.rest()
    assert any("is it ws, not wss?" in line for line in said())


async def test_no_tls_to_a_server_that_wants_it_is_reported_in_words(
    secure_server, inspect, open_connection, said
):
    client = await open_connection(await inspect(secure_server.replace("wss:", "ws:")))
    await client.send(handshake())
    await client.rest()
    assert any("is its address wss, not ws?" in line for line in said())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8080", "is not the address of a WebSocket server"),
        ("ftp://localhost/media", "is not the address of a WebSocket server"),
        ("ws://localhost:x/", "is not the address of a WebSocket server"),
        ("ws://localhost/media?token=1", "has a query"),
        ("ws://me:secret@localhost/media", "or a user"),
    ],
)
def test_address_that_nobody_can_be_reached_at_is_refused(url, words):
    with pytest.raises(SettingsError, match=words) as raised:
        Inspector(url)
    assert "secret" not in str(raised.value)


def test_address_of_the_server_keeps_its_path_and_gets_its_port():
    assert Inspector("wss://example.com").upstream_url == "wss://example.com/"
    assert Inspector("ws://[::1]:8080/a/b").upstream_url == "ws://[::1]:8080/a/b"


async def test_port_that_is_taken_is_reported_in_words(inspect, serve):
    server = await serve()
    with pytest.raises(OSError, match=r"^the inspector cannot listen on"):
        await Inspector(server.url, port=server.port).__aenter__()
    with pytest.raises(ValueError, match="from 1 to 65535"):
        Inspector(server.url, port=70000)
