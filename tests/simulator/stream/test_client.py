"""The socket of one stream, against small raw servers; none of them is ours."""

import asyncio
import contextlib
import json
import socket
import struct

import pytest
from websockets.asyncio.server import serve

from support.addresses import MALFORMED
from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.model.assumptions import (
    CLOSE_WAIT_SECONDS,
    SILENT_FRAME,
    Behaviour,
)
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.client import STOPPED, StreamClient
from twistream_kit.simulator.stream.ending import StreamEnding
from twistream_kit.simulator.stream.handshake import read_url
from twistream_kit.simulator.stream.leg import StreamLeg
from twistream_kit.simulator.stream.refusal import StreamFailed

SID = "MZ" + "0" * 32
CALL = "CA" + "0" * 32
ACCOUNT = "AC" + "0" * 32
TOKEN = "12345"


@pytest.mark.parametrize("url", MALFORMED)
def test_malformed_url_is_quoted_without_its_password(url):
    with pytest.raises(StreamFailed) as failed:
        read_url(f"{url}?a=b", Behaviour(strict=True))
    assert "hunter2" not in str(failed.value)


def client_for(url, *, behaviour=None, bidirectional=True, auth_token=TOKEN, tracks=("inbound",)):
    leg = StreamLeg(
        stream_sid=SID,
        call_sid=CALL,
        account_sid=ACCOUNT,
        behaviour=behaviour,
        bidirectional=bidirectional,
        tracks=tracks,
    )
    return StreamClient(leg, url=url, auth_token=auth_token, debugger=Debugger())


@contextlib.asynccontextmanager
async def websocket_server(handler):
    """A server whose connections end in `state`: messages received, and the close code seen."""
    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/media"


@contextlib.asynccontextmanager
async def tcp_server(handler):
    tasks = set()

    async def run(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ticking(client, frames=500):
    """Crank the client by hand, faster than real time, until its stream is over."""
    over = asyncio.create_task(client.wait_closed())
    for number in range(frames):
        if over.done():
            break
        client.tick(number * 0.02, SILENT_FRAME)
        await asyncio.sleep(0.001)  # sleeps: stands for the beat, twenty times as fast
    return await soon(over)


class Recorder:
    """A handler that keeps what it receives, and how the connection ended."""

    def __init__(self, *, send=(), close=None):
        self.messages, self.request, self.close_code = [], None, None
        self.connection = None
        self.send, self.close = send, close
        self.ended = asyncio.Event()

    async def __call__(self, connection):
        self.request, self.connection = connection.request, connection
        with contextlib.suppress(Exception):
            async for message in connection:
                self.messages.append(from_twilio.parse(message))
                if isinstance(self.messages[-1], from_twilio.Start):
                    for text in self.send:
                        await connection.send(text)
                    if self.close is not None:
                        await connection.close(*self.close)
        self.close_code = connection.protocol.close_code
        self.ended.set()

    def of(self, kind):
        return [message for message in self.messages if isinstance(message, kind)]


def closed(code, reason, error_code=None):
    """Return the ending of a stream that the server closed."""
    return StreamEnding(EndCause("server-closed", code, reason), code, error_code)


async def test_a_call_goes_from_connected_to_stop_and_the_server_sees_1005():
    server = Recorder(send=[to_twilio.Mark(SID, "hello").to_json()])
    async with websocket_server(server) as url:
        client = client_for(url)
        await client.connect()
        for number in range(5):
            client.tick(number * 0.02, SILENT_FRAME)
            await asyncio.sleep(0.005)  # sleeps: stands for the beat, four times as fast
        await eventually(lambda: client.sent["mark"])
        client.press("7")
        await client.stop()
        assert await client.wait_closed() == StreamEnding(STOPPED, 1005)
        await soon(server.ended.wait())
    kinds = [type(message).__name__ for message in server.messages]
    assert kinds[:2] == ["Connected", "Start"]
    assert kinds[-2:] == ["Dtmf", "Stop"]
    assert len(server.of(from_twilio.Media)) == 7
    assert [mark.name for mark in server.of(from_twilio.Mark)] == ["hello"]
    assert server.close_code == 1005
    assert list(client._debugger) == []
    assert client.sent == {"connected": 1, "start": 1, "media": 7, "mark": 1, "dtmf": 1, "stop": 1}


async def test_what_the_server_sends_is_heard():
    sound = b"\x21" * 160
    server = Recorder(send=[to_twilio.Media(SID, sound * 2).to_json()])
    async with websocket_server(server) as url:
        client = client_for(url)
        await client.connect()
        heard = b""
        await eventually(lambda: client.leg.received["media"])
        for number in range(10):
            heard += client.tick(number * 0.02, SILENT_FRAME)
        await client.stop()
    assert heard.replace(b"\xff", b"") == sound * 2


async def test_stop_before_connect_does_nothing_and_stop_may_be_said_twice():
    async with websocket_server(Recorder()) as url:
        client = client_for(url)
        await client.stop()
        with pytest.raises(RuntimeError, match="never connected"):
            await client.wait_closed()
        await client.connect()
        await asyncio.gather(client.stop(), client.stop())
        await client.stop()
        assert (await client.wait_closed()).reason == "stopped"
    assert client.sent["stop"] == 1


@pytest.mark.parametrize(
    ("close", "normal_close", "ending", "logged"),
    [
        ((1000, "bye"), "31921", closed(1000, "bye", 31921), [(31921, "note")]),
        ((1000, "bye"), "silent", closed(1000, "bye"), []),
        ((1001, ""), "silent", closed(1001, "", 31921), [(31921, "error")]),
        ((1011, "oops"), "31921", closed(1011, "oops", 31921), [(31921, "error")]),
    ],
)
async def test_a_close_by_the_server_ends_the_stream_and_no_stop_is_sent(
    close, normal_close, ending, logged
):
    server = Recorder(close=close)
    async with websocket_server(server) as url:
        client = client_for(url, behaviour=Behaviour(normal_close=normal_close))
        await client.connect()
        assert await ticking(client) == ending
    assert [(entry.code, entry.level) for entry in client._debugger] == logged
    assert ending.failed == ("error" in dict(logged).values())
    assert server.of(from_twilio.Stop) == []


async def test_a_connection_that_dies_is_31903():
    async def die(connection):
        await connection.recv()
        connection.transport.abort()

    async with websocket_server(die) as url:
        client = client_for(url)
        await client.connect()
        assert await ticking(client) == StreamEnding(EndCause("connection-lost", 1006), 1006, 31903)
    assert client._debugger.codes == [31903]


async def test_at_the_end_of_a_call_the_close_may_carry_1000():
    server = Recorder()
    async with websocket_server(server) as url:
        client = client_for(url, behaviour=Behaviour(close_at_end="1000"))
        await client.connect()
        await client.stop()
        await soon(server.ended.wait())
    assert server.close_code == 1000
    assert (await client.wait_closed()).reason == "stopped"


async def test_at_the_end_of_a_call_the_socket_may_stay_open_without_a_word():
    server = Recorder()
    async with websocket_server(server) as url:
        client = client_for(url, behaviour=Behaviour(close_at_end="nothing"))
        await client.connect()
        await asyncio.gather(client.stop(), client.stop())
        assert await soon(client.wait_closed()) == StreamEnding(STOPPED, 1006)
        await eventually(lambda: server.of(from_twilio.Stop))
        # The answer to a ping is behind all that was said before it.
        await soon(await server.connection.ping())
        assert server.connection.protocol.close_rcvd is None
        assert not server.ended.is_set()
        client.drop()
        await soon(server.ended.wait())
    assert server.close_code == 1006


async def test_a_server_that_closes_by_itself_is_waited_for_before_the_socket_is_dropped():
    async def hang_up_on_stop(connection):
        async for message in connection:
            if isinstance(from_twilio.parse(message), from_twilio.Stop):
                await connection.close(1000)
                codes.append(connection.protocol.close_code)

    codes = []
    async with websocket_server(hang_up_on_stop) as url:
        client = client_for(url, behaviour=Behaviour(close_at_end="nothing"))
        await client.connect()
        await client.stop()
        await soon(client.release(LIMIT_SECONDS))
        await eventually(lambda: codes)
    assert codes == [1000]  # the closing handshake was answered


@pytest.mark.parametrize("plays_after_close", [False, True])
async def test_what_waits_when_the_server_closes_is_heard_only_where_that_is_assumed(
    plays_after_close,
):
    sound = to_twilio.Media(SID, b"\x01" * 1600).to_json()
    server = Recorder(send=[sound], close=(1000,))
    behaviour = Behaviour(plays_after_close=plays_after_close)
    async with websocket_server(server) as url:
        client = client_for(url, behaviour=behaviour)
        await client.connect()
        over = asyncio.create_task(client.wait_over())
        await soon(client.wait_closed())
        heard = b""
        for number in range(20):
            await asyncio.sleep(0)
            if over.done():
                break
            heard += client.tick(number * 0.02, SILENT_FRAME)
        assert (await soon(over)).close_code == 1000
    assert heard == (b"\x01" * 1600 if plays_after_close else b"")


async def test_a_caller_who_hangs_up_does_not_wait_for_what_plays_after_the_close():
    server = Recorder(send=[to_twilio.Media(SID, b"\x01" * 1600).to_json()], close=(1000,))
    async with websocket_server(server) as url:
        client = client_for(url, behaviour=Behaviour(plays_after_close=True))
        await client.connect()
        over = asyncio.create_task(client.wait_over())
        await soon(client.wait_closed())
        await client.stop()
        assert (await soon(over)).reason == "server-closed"


@pytest.mark.parametrize("frame", [b"\x09\x00", b"\xc1\x00", b"\x81\x02\xff\xfe"])
async def test_after_a_violation_the_socket_may_stay_half_open(frame):
    server = Recorder()

    async def violate(connection):
        await connection.recv()
        connection.transport.write(frame)
        await server(connection)

    async with websocket_server(violate) as url:
        client = client_for(url, behaviour=Behaviour(after_protocol_error="half-open"))
        await client.connect()
        ending = await ticking(client)
        assert (ending.reason, ending.error_code) == ("protocol-error", 31924)
        assert server.connection.protocol.close_rcvd is None
        assert not server.ended.is_set()
        client.drop()
        await soon(server.ended.wait())
    assert server.close_code == 1006
    assert client._debugger.codes == [31924]


async def test_a_stream_that_only_listens_may_stay_half_open_once_it_was_spoken_to():
    server = Recorder(send=[to_twilio.Clear(SID).to_json()])
    async with websocket_server(server) as url:
        behaviour = Behaviour(after_protocol_error="half-open")
        client = client_for(url, behaviour=behaviour, bidirectional=False)
        await client.connect()
        ending = await ticking(client)
        assert (ending.reason, ending.error_code) == ("protocol-error", 31924)
        assert not server.ended.is_set()
        client.drop()
        await soon(server.ended.wait())
    assert server.close_code == 1006


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (b"\x09\x00", "fragmented control frame"),
        (b"\xc1\x00", "reserved bits"),  # RSV1, as for compression
        (b"\x81\x82\x00\x00\x00\x00{}", "masking"),  # which is for clients
        (b"\x81\x02\xff\xfe", "invalid start byte"),  # text that is not UTF-8
    ],
)
async def test_a_violation_of_websocket_is_31924_and_names_the_rule(frame, rule):
    async def violate(connection):
        await connection.recv()
        connection.transport.write(frame)
        with contextlib.suppress(Exception):
            await connection.wait_closed()

    async with websocket_server(violate) as url:
        client = client_for(url)
        await client.connect()
        ending = await ticking(client)
    assert (ending.reason, ending.error_code) == ("protocol-error", 31924)
    assert client._debugger.codes == [31924]
    assert rule in client._debugger[0].text


async def test_a_server_that_closes_but_never_hangs_up_does_not_keep_the_stream(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.stream.client.CLOSE_WAIT_SECONDS", 0.1)
    over = asyncio.Event()

    async def half_close(connection):
        await connection.recv()
        connection.transport.write(b"\x88" + bytes([2]) + struct.pack("!H", 1000))
        await over.wait()
        connection.transport.abort()

    async with websocket_server(half_close) as url:
        client = client_for(url)
        await client.connect()
        assert await ticking(client) == closed(1000, "", 31921)
        over.set()


async def test_a_server_that_ignores_the_close_is_dropped_after_the_limit(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.stream.client.CLOSE_WAIT_SECONDS", 0.1)

    async def deaf(reader, writer):
        await answer_upgrade(reader, writer)
        await asyncio.sleep(30)  # sleeps: stands for a server that does nothing

    async with tcp_server(deaf) as url:
        client = client_for(url)
        await client.connect()
        await soon(client.stop())
        assert await client.wait_closed() == StreamEnding(STOPPED, 1006)


async def answer_upgrade(reader, writer, more=b""):
    from websockets.utils import accept_key

    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    accept = accept_key(key.partition(":")[2].strip())
    writer.write(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        + more
    )


async def test_a_server_that_does_not_read_loses_the_callers_frames_with_31930(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.stream.client._SLOW_READER_BYTES", 20_000)

    async def never_reads(reader, writer):
        await answer_upgrade(reader, writer)
        writer.transport.pause_reading()
        await asyncio.sleep(30)  # sleeps: stands for a server that does nothing

    async with tcp_server(never_reads) as url:
        client = client_for(url)
        await client.connect()
        connection = client._connection.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for number in range(40_000):
            client.tick(number * 0.02, SILENT_FRAME)
            if client.dropped > 10:
                break
            if not number % 100:
                await asyncio.sleep(0)
        assert client.dropped > 10
        assert client._connection.transport.get_write_buffer_size() < 60_000
        assert client._debugger.codes == [31930]
        client._connection.transport.abort()
        await client.wait_closed()


async def test_a_message_on_a_stream_that_only_listens_ends_it_with_31924():
    server = Recorder(send=[to_twilio.Media(SID, b"\x21" * 160).to_json()])
    async with websocket_server(server) as url:
        client = client_for(url, bidirectional=False)
        await client.connect()
        ending = await ticking(client)
        await soon(server.ended.wait())
    assert (ending.reason, ending.error_code) == ("protocol-error", 31924)
    assert client._debugger.codes == [31924]
    assert server.close_code == 1002


async def test_the_answer_to_our_close_is_seen_behind_many_messages():
    many = [to_twilio.Media(SID, b"\x21" * 160).to_json()] * 200
    server = Recorder(send=many)
    async with websocket_server(server) as url:
        client = client_for(url, bidirectional=False)
        await client.connect()
        assert (await ticking(client)).close_code == 1002


async def test_a_flood_from_the_server_does_not_stop_the_beat():
    async def flood(connection):
        await connection.recv()
        text = to_twilio.Media(SID, b"\x21" * 160).to_json()
        with contextlib.suppress(Exception):
            for _ in range(3000):
                await connection.send(text)
        async for _ in connection:
            pass

    async with websocket_server(flood) as url:
        client = client_for(url)
        await client.connect()
        most, before = 0, 0
        while (received := client.leg.received["media"]) < 3000:
            most, before = max(most, received - before), received
            client.tick(0.0, SILENT_FRAME)
            await asyncio.sleep(0)
        await client.stop()
    assert most < 300, "so many messages were taken in one turn of the loop"


async def test_the_message_at_fault_and_its_review_are_in_the_debugger():
    bad = json.dumps({"event": "media", "streamSid": SID, "media": {"playload": "/w=="}})
    server = Recorder(send=[bad, bad], close=(1000,))
    async with websocket_server(server) as url:
        client = client_for(url)
        await client.connect()
        await ticking(client)
    entry, closed = client._debugger
    assert (closed.code, closed.level) == (31921, "note")
    assert (entry.code, entry.message, entry.stream_sid, entry.call_sid) == (31951, bad, SID, CALL)
    assert any("playload" in str(objection) for objection in entry.objections)


async def test_a_server_that_goes_away_while_the_call_lasts_leaves_no_task_behind():
    before = asyncio.all_tasks()
    async with websocket_server(Recorder()) as url:
        client = client_for(url)
        await client.connect()
        client.tick(0.0, SILENT_FRAME)
    await ticking(client)
    await eventually(lambda: all(task.done() for task in asyncio.all_tasks() - before))


# How a stream fails to open ------------------------------------------------------------------


async def failure(url, **options):
    client = client_for(url, **options)
    with pytest.raises(StreamFailed) as caught:
        await client.connect()
    assert client._debugger.codes == [caught.value.code]
    assert caught.value.text in repr(client._debugger)
    return caught.value


async def test_a_server_that_is_not_there_is_31902(unused_tcp_port):
    for host in ("127.0.0.1", "localhost"):
        error = await failure(f"ws://{host}:{unused_tcp_port}/media")
        assert error.code == 31902
        assert "Is the server running, and on this port?" in str(error)


async def test_a_name_that_nobody_knows_is_31904():
    assert (await failure("wss://nobody.invalid/media")).code == 31904


async def test_a_server_that_says_nothing_is_31901(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.stream.handshake.HANDSHAKE_SECONDS", 0.1)

    async def silent(reader, writer):
        await asyncio.sleep(30)  # sleeps: stands for a server that does nothing

    async with tcp_server(silent) as url:
        error = await failure(url)
    assert error.code == 31901
    assert "did not answer within 0.1 s" in str(error)


@pytest.mark.parametrize("status", [200, 302, 403, 404, 500])
async def test_any_answer_but_101_is_31920(status):
    def answer(connection, request):
        response = connection.respond(status, "no room for you\n")
        response.headers["Location"] = "ws://127.0.0.1:1/elsewhere"
        return response

    async with serve(Recorder(), "127.0.0.1", 0, process_request=answer) as server:
        error = await failure(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert error.code == 31920
    assert f"HTTP {status} instead of 101" in str(error)
    assert "no room for you" in str(error)


@pytest.mark.parametrize("answer", [b"", b"220 smtp.example.com ready\r\n\r\n"])
async def test_a_server_of_another_kind_is_31920(answer):
    async def other(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with tcp_server(other) as url:
        assert (await failure(url)).code == 31920


async def test_wss_to_a_server_without_tls_is_31910():
    async with websocket_server(Recorder()) as url:
        error = await failure(url.replace("ws://", "wss://"))
    assert error.code == 31910


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/media", 31922),
        ("ftp://example.com", 31922),
        ("example.com/media", 31922),
        ("", 31923),
        ("ws://example.com/media", 31922),
        ("ws://10.0.0.1/media", 31922),
        ("wss://", 31923),
        ("wss://host:port/media", 31923),
        ("wss://host:99999/media", 31923),
        ("wss://[::1/media", 31923),
        ("wss://exa mple.com/", 31923),
        (f"wss://{'a' * 70}.com/", 31923),
    ],
)
async def test_urls_that_twilio_would_not_open(url, code):
    assert (await failure(url)).code == code


async def test_what_to_do_is_said_with_the_url_and_in_the_debugger(unused_tcp_port):
    assert "holds a blank" in str(await failure("wss://example.com/ x"))
    client = client_for(f"ws://127.0.0.1:{unused_tcp_port}/media")
    with pytest.raises(StreamFailed):
        await client.connect()
    assert client._debugger[0].text.endswith("Is the server running, and on this port?")


async def test_a_query_string_is_31920_when_the_behaviour_is_strict():
    error = await failure("ws://127.0.0.1:1/media?token=1", behaviour=Behaviour(strict=True))
    assert error.code == 31920
    assert "<Parameter>" in str(error)


async def test_cancelling_the_handshake_leaves_no_socket():
    asked, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        gone.set()

    async with tcp_server(silent) as url:
        client = client_for(url)
        attempt = asyncio.create_task(client.connect())
        await soon(asked.wait())
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await soon(gone.wait())


def test_a_client_can_be_made_where_no_loop_runs():
    client_for("ws://127.0.0.1:1/")


@pytest.mark.parametrize("comes_with_the_101", [True, False])
async def test_a_close_frame_ends_the_stream_however_long_tcp_stays_open(comes_with_the_101):
    frame = b"\x88\x05\x03\xf3why"  # a Close frame with 1011

    async def close_and_stay(reader, writer):
        if comes_with_the_101:
            await answer_upgrade(reader, writer, frame)
        else:
            await answer_upgrade(reader, writer)
            await asyncio.sleep(0.01)  # sleeps: the frame is to come in a segment of its own
            writer.write(frame)
        await asyncio.sleep(30)  # sleeps: stands for a server that does nothing more

    async with tcp_server(close_and_stay) as url:
        client = client_for(url)
        await client.connect()
        ending = await soon(client.wait_closed(), CLOSE_WAIT_SECONDS / 2)
        assert ending == closed(1011, "why", 31921)
        client.drop()


async def test_cancelling_the_wait_before_the_first_message_leaves_no_socket(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.stream.client.CONNECTED_AFTER_SECONDS", 30)
    upgraded, closed_again = asyncio.Event(), asyncio.Event()

    async def wait_for_the_end(reader, writer):
        await answer_upgrade(reader, writer)
        upgraded.set()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        closed_again.set()

    async with tcp_server(wait_for_the_end) as url:
        connecting = asyncio.create_task(client_for(url).connect())
        await soon(upgraded.wait())
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await soon(closed_again.wait())


async def test_the_review_of_a_flood_of_sound_is_broken_off(monkeypatch):
    client = client_for("ws://127.0.0.1:1/media")
    steps = iter(range(1000))
    monkeypatch.setattr(client.leg, "finish_in_steps", lambda _now: steps)
    monkeypatch.setattr(client, "_unlogged_ending", StreamEnding(STOPPED, 1000))
    monkeypatch.setattr("twistream_kit.simulator.stream.client.REVIEW_SECONDS", 0.0)

    async def wait():
        pytest.fail("no step more")

    assert not await client.finish(wait)
    assert next(steps) == 1
    assert await client.finish(wait), "and once only"
