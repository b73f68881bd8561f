import asyncio
import contextlib
import doctest
import functools
import gc
import math
import socket
import threading
import weakref
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import websockets

from support.far_end import TOKEN
from support.waiting import soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import ServerStopped, SettingsError, WouldDeadlock
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.server.local_proxy import LocalProxy
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.server.stream_app import StreamApp
from twistream_kit.live.server.stream_host import find_server
from twistream_kit.live.server.stream_list import KEPT_ENDED_STREAMS
from twistream_kit.live.tunnel._provider import StaticAddress
from twistream_kit.live.tunnel.tunnel import Tunnel
from twistream_kit.simulator.twilio import SimulatedTwilio

VECTORS = "12345"


async def test_addresses_of_a_server(serve):
    server = await serve()
    assert server.url == f"ws://127.0.0.1:{server.port}/media" == server.stream_url
    assert server.status_url == f"http://127.0.0.1:{server.port}/status"
    assert server.twiml_url == f"http://127.0.0.1:{server.port}/twiml"
    server.public_url = "https://example.com/"
    assert server.url == f"ws://127.0.0.1:{server.port}/media"
    assert server.stream_url == "wss://example.com/media"
    assert server.status_url == "https://example.com/status"
    assert server.twiml_url == "https://example.com/twiml"


async def test_server_on_ipv6_has_brackets_in_its_address(serve):
    server = await serve(host="::1")
    assert server.url == f"ws://[::1]:{server.port}/media"
    assert server.base_url == f"http://[::1]:{server.port}"


async def test_repr_counts_streams_and_tells_no_token(serve, dial, eventually):
    server = await serve(auth_token=TOKEN)
    end = await dial(server)
    stream = await soon(server.next_stream(call=end.call_sid))
    await dial(server)
    await eventually(lambda: len(server.streams) == 2)
    await end.stop()
    await soon(stream.closed)
    assert repr(server) == f"<StreamServer {server.url}: 1 open of 2 streams>"
    assert TOKEN not in repr(server) + repr(vars(server))
    assert repr(StreamServer()) == "<StreamServer: not running>"


async def test_next_stream_is_the_next_to_start(serve, dial):
    server = await serve()
    wait = server.next_stream()
    assert not wait.done()
    end = await dial(server)
    assert (await soon(wait)).stream_sid == end.stream_sid


async def test_next_stream_is_the_oldest_not_handed_out(serve, dial, eventually):
    server = await serve()
    ends = [await dial(server) for _ in range(2)]
    await eventually(lambda: len(server.streams) == 2)
    got = [await soon(server.next_stream()) for _ in range(2)]
    assert {s.stream_sid for s in got} == {end.stream_sid for end in ends}
    assert got == list(server.streams)


async def test_next_stream_is_none_that_has_ended(serve, dial, eventually):
    server = await serve()
    end = await dial(server)
    await eventually(lambda: server.streams)
    await end.stop()
    await soon(server.streams[0].closed)
    wait = server.next_stream()
    again = await dial(server)
    assert (await soon(wait)).stream_sid == again.stream_sid


async def test_several_waits_get_the_same_stream_so_that_an_abandoned_one_takes_nothing(
    serve, dial
):
    server = await serve()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.next_stream(), 0.01)
    waits = [server.next_stream(), server.next_stream()]
    end = await dial(server)
    assert [(await soon(wait)).stream_sid for wait in waits] == [end.stream_sid] * 2


async def test_next_stream_of_a_call_is_that_of_no_other(serve, dial):
    server = await serve()
    one = await dial(server)
    first = await soon(server.next_stream(call=one.call_sid))
    wait, unrelated = server.next_stream(), server.next_stream(call="CA-another")
    two = await dial(server)
    assert first.call_sid == one.call_sid
    assert (await soon(wait)).call_sid == two.call_sid
    assert not unrelated.done()
    call = SimpleNamespace(sid=one.call_sid)
    assert await soon(server.next_stream(call)) is first
    assert await soon(server.next_stream(call=one.call_sid)) is first


async def test_stopped_server_ends_all_waits(dial):
    server = StreamServer()
    async with server:
        waits = [server.next_stream(), server.next_stream(call="CA1")]
    for wait in waits:
        with pytest.raises(ServerStopped, match="stopped before a stream started"):
            wait.result(0)
    with pytest.raises(ServerStopped, match="not running"):
        server.next_stream().result(0)


async def test_server_can_be_entered_again(dial):
    server = StreamServer()
    for _ in range(2):
        async with server:
            wait = server.next_stream()
            end = await dial(server)
            assert (await soon(wait)).stream_sid == end.stream_sid


async def test_server_entered_twice_at_once_is_refused(serve):
    server = await serve()
    with pytest.raises(RuntimeError, match="running already"):
        await server.__aenter__()


async def test_last_ten_that_ended_are_kept(serve, dial, eventually):
    server = await serve()
    open_end = await dial(server)
    await soon(server.next_stream())
    for _ in range(KEPT_ENDED_STREAMS + 3):
        end = await dial(server)
        stream = await soon(server.next_stream())
        await end.stop()
        await end.close_code()
        await soon(stream.closed)
    await eventually(lambda: len(server.streams) == KEPT_ENDED_STREAMS + 1)
    sids = [stream.stream_sid for stream in server.streams]
    assert sids[0] == open_end.stream_sid
    assert sids[-1] == end.stream_sid


@pytest.mark.parametrize("speaks", [False, True])
async def test_the_sound_of_a_forgotten_stream_waits_for_no_garbage_collection(
    serve, dial, eventually, collects_nothing, speaks
):
    async def answer(stream):
        stream.play(Clip.tone(440, 0.5), mark="greeting").add_done_callback(lambda _: None)
        if speaks:  # what is written in pieces is reviewed beside the playing
            stream.speak().write(Clip.tone(440, 0.1).payload)
        with contextlib.suppress(asyncio.CancelledError):
            async for _ in stream.audio():
                stream.mark("again")

    server = await serve(answer)
    captures = []
    for _ in range(KEPT_ENDED_STREAMS + 3):
        end = await dial(server)
        stream = await soon(server.next_stream())
        await end.stop()
        await end.close_code()
        await soon(stream.closed)
        captures.append(weakref.ref(stream.capture))
    del stream
    await eventually(lambda: len(server.streams) == KEPT_ENDED_STREAMS)
    wanted = [*[True] * 3, *[False] * KEPT_ENDED_STREAMS]
    await eventually(lambda: [capture() is None for capture in captures] == wanted)


async def test_port_in_use_is_said_and_can_be_had_later():
    async with StreamServer() as one:
        port = one.port
        two = StreamServer(port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1, port {port}"):
            await two.__aenter__()
    async with two:
        assert two.port == port


async def test_port_is_free_after_a_stop_in_mid_call(dial):
    async with StreamServer() as server:
        port = server.port
        end = await dial(server)
        await soon(server.next_stream())
    assert await end.close_code() == 1001
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


async def test_peer_that_never_closes_does_not_hold_up_the_stop(eventually):
    server = StreamServer()
    await server.__aenter__()
    wait = server.next_stream()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /media HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    start = b'{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1"}}'
    writer.write(bytes([0x81, 0x80 | len(start), 0, 0, 0, 0]) + start)
    await soon(wait)
    stopping = asyncio.create_task(server.__aexit__(None, None, None))
    await eventually(stopping.done, 8)  # websockets would wait for ten seconds
    await stopping
    assert wait.result(0).closed.result(0).reason == "server stopped"
    writer.close()


@pytest.mark.parametrize(
    ("signed_url", "public_url", "admitted"),
    [
        (None, None, True),
        ("wss://example.com/media", None, False),
        ("wss://example.com/media", "https://example.com", True),
        ("wss://example.com/media/", "https://example.com/", True),
        ("https://example.com/media", "https://example.com", True),
        ("wss://example.com/media", "wss://example.com:443", True),
        ("wss://example.com/other", "https://example.com", False),
        ("ws://example.com/media", "https://example.com", False),
    ],
)
async def test_only_who_signs_the_configured_address_gets_in(
    serve, dial, said, signed_url, public_url, admitted
):
    server = await serve(auth_token=TOKEN, public_url=public_url)
    if admitted:
        await dial(server, signed_url=signed_url)
        assert (await soon(server.next_stream())).is_open
        return
    with pytest.raises(websockets.InvalidStatus) as refused:
        await dial(server, signed_url=signed_url)
    assert refused.value.response.status_code == 403
    assert any("a stream without a valid signature was refused" in line for line in said())
    assert server.streams == ()


@pytest.mark.parametrize("path", ["//media", "///media", "/media//", "/./media", "/media%2f"])
async def test_a_path_that_was_not_signed_does_not_pass_as_the_one_that_was(serve, dial, path):
    server = await serve(auth_token=TOKEN, public_url="https://example.com")
    here = server.url.removesuffix("/media")
    with pytest.raises(websockets.InvalidStatus) as refused:
        await dial(server, url=here + path, signed_url="wss://example.com/media")
    assert refused.value.response.status_code in (403, 404)
    assert server.streams == ()


async def test_handshake_with_the_vector_of_the_notes_is_admitted(serve):
    server = await serve(auth_token=VECTORS, public_url="https://example.com", path="/media-stream")
    head = (
        "GET /media-stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "x-twilio-signature: {}\r\n\r\n"
    )
    vector, other = "XFfwGS2Ev7f9qAP9MmRoMS7C724=", "WhInc32piEQH5iWNct/7FHs5ew8="
    for given, status in ((vector, b"101"), (other, b"403")):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head.format(given).encode())
        answer = await soon(reader.readuntil(b"\r\n\r\n"))
        assert answer.startswith(b"HTTP/1.1 " + status)
        writer.close()


@pytest.mark.parametrize(
    "path", ["media", "", "/media?x=1", "/a#b", "/twiml", "/status", "/health"]
)
def test_path_where_no_stream_can_connect_is_refused(path):
    with pytest.raises(SettingsError, match="cannot be used for streams"):
        StreamServer(path=path)


@pytest.mark.parametrize(
    "url", ["example.com", "", "ftp://a", "https://", "https://a?b=c", "https://[::1", "//a"]
)
def test_public_address_that_is_none_is_refused(url):
    with pytest.raises(SettingsError, match=r"the public address .* cannot be used"):
        StreamServer(public_url=url)


@pytest.mark.parametrize(
    "options",
    [
        {"send_ahead_seconds": 0.1},
        {"send_ahead_seconds": 1000},
        {"send_ahead_seconds": math.nan},
        {"dead_after": 0},
        {"dead_after": -1},
        {"dead_after": math.nan},
        {"port": -1},
        {"port": 65536},
    ],
    ids=str,
)
def test_number_out_of_range_is_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} is "):
        StreamServer(**options)


def test_empty_token_and_handler_that_is_none_are_refused():
    with pytest.raises(SettingsError, match="every request would be refused"):
        StreamServer(auth_token="")
    with pytest.raises(TypeError, match="handler is str, not a function"):
        StreamServer("handler")


def make_generator(stream):
    stream.clear()
    yield


async def make_async_generator(stream):
    stream.clear()
    yield


class MakesGenerator:
    """An object that is a generator function."""

    def __call__(self, stream):
        yield stream

    def method(self, stream):
        yield stream


@pytest.mark.parametrize(
    "handler",
    [
        make_generator,
        make_async_generator,
        MakesGenerator(),
        MakesGenerator().method,
        functools.partial(make_generator),
    ],
)
def test_a_handler_of_which_nothing_would_run_is_refused(handler):
    with pytest.raises(TypeError, match="contains `yield`, so a call makes a generator and runs"):
        StreamServer(handler)
    with pytest.raises(TypeError, match="contains `yield`, so a call makes a generator and runs"):
        StreamApp(handler, auth_token=TOKEN, public_url="https://example.com")


class HasStream:
    """A class that is made with a stream; its objects are generator functions."""

    def __init__(self, stream):
        self.stream = stream

    def __call__(self):
        yield self.stream


def take_nothing():
    """Take no stream."""


async def take_two(stream, call):
    """Take one more than there is."""


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (take_nothing, r"the handler take_nothing\(\) cannot be called with one argument, the "),
        (lambda: None, r"<lambda>\(\) .*too many positional arguments"),
        (take_two, r"take_two\(stream, call\) .*missing a required argument: 'call'"),
        (functools.partial(take_nothing), "too many positional arguments"),
    ],
)
def test_a_handler_that_cannot_be_called_with_a_stream_is_refused(handler, said):
    with pytest.raises(TypeError, match=said) as caught:
        StreamServer(handler)
    assert "give `async def (stream)` or an ordinary function of one stream" in str(caught.value)


@pytest.mark.parametrize(
    "handler",
    [
        print,
        lambda *streams: None,
        HasStream,
        lambda stream, more=1: None,
        functools.partial(take_two, call=1),
        Mock(),
    ],
)
def test_every_handler_that_takes_a_stream_is_taken(handler):
    StreamServer(handler)


def test_constructors_touch_no_loop():
    """Each is made on a thread whose loop is another than the one it is entered on."""
    made = {}

    async def make():
        made["twilio"] = SimulatedTwilio(ring_seconds=0)
        made["server"] = StreamServer()
        made["proxy"] = LocalProxy(made["server"])
        made["address"] = StaticAddress("http://127.0.0.1:1")
        made["tunnel"] = Tunnel(made["server"], made["address"])

    thread = threading.Thread(target=asyncio.run, args=(make(),))
    thread.start()
    thread.join()

    async def enter():
        async with made["twilio"], made["server"] as server, made["proxy"] as proxy:
            made["address"]._url = proxy.url
            async with made["tunnel"]:
                assert server.public_url == proxy.url
            assert made["twilio"].url

    asyncio.run(enter())


@pytest.fixture(params=[StreamServer, lambda: Inspector("ws://127.0.0.1:9/media")])
def either(request):
    """A stream server, or an inspector: both say when they have stopped."""
    return request.param()


async def test_each_run_has_a_stop_of_its_own(either):
    assert either.stopped.done()
    async with either:
        first = either.stopped
        waiting = asyncio.ensure_future(_outcome(first))
        assert not first.done()
        with pytest.raises(WouldDeadlock):
            first.result(1)
    assert await soon(waiting) is None
    async with either:
        assert either.stopped is not first
        assert not either.stopped.done()
        assert first.done()
    assert either.stopped.result(0) is None


async def test_what_waits_for_the_stop_finds_it_stopped(either):
    found = []
    async with either:
        either.stopped.add_done_callback(lambda _: found.append((either.loop, repr(either))))
    ((loop, text),) = found
    assert loop is None
    assert "not running" in text


async def test_what_cannot_be_entered_has_stopped(either, serve):
    either._wanted_port = (await serve()).port
    with pytest.raises(OSError, match="port"):
        await either.__aenter__()
    assert either.stopped.result(0) is None


def test_a_run_whose_loop_was_closed_under_it_has_stopped_at_the_next():
    server = StreamServer()
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(server.__aenter__())
        first = server.stopped
        server._server.close()
        loop.run_until_complete(server._server.wait_closed())
    assert not first.done()

    async def enter():
        async with server:
            assert first.result(0) is None
            assert not server.stopped.done()

    asyncio.run(enter())


def test_the_example_of_stopped_shows_what_it_says():
    examples = doctest.DocTestFinder(recurse=False).find(
        StreamServer.stopped, "stopped", globs={"asyncio": asyncio, "StreamServer": StreamServer}
    )
    assert len(examples) == 1
    ran = doctest.DocTestRunner().run(examples[0])
    assert ran == (0, 2)


async def _outcome(pending):
    return await pending


def test_nothing_is_left_of_a_server_that_was_stopped():
    before = set(threading.enumerate())

    async def run():
        async with StreamServer() as server:
            wait = server.next_stream()
        with pytest.raises(ServerStopped):
            await wait
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(run()) == set()
    assert set(threading.enumerate()) <= before, "one of another test may end meanwhile"
    gc.collect()


async def test_result_of_next_stream_on_the_loop_of_the_server_is_refused(serve):
    server = await serve()
    with pytest.raises(WouldDeadlock, match="Both would wait for ever"):
        server.next_stream().result(1)


@pytest.mark.parametrize(
    ("public_url", "base"),
    [("wss://example.com/", "https://example.com"), ("ws://127.0.0.1:1", "http://127.0.0.1:1")],
)
def test_an_address_with_the_scheme_of_the_stream_serves_webhooks_too(public_url, base):
    server = StreamServer(public_url=public_url)
    assert (server.base_url, server.twiml_url) == (base, f"{base}/twiml")
    assert server.stream_url == public_url.rstrip("/") + "/media"


async def test_a_running_server_is_found_by_its_address(serve):
    one, two = await serve(), await serve(public_url="https://example.com")
    assert find_server(one.stream_url) is one
    assert find_server("wss://example.com/media") is two
    assert find_server(two.url) is None
    assert find_server("wss://elsewhere.example/media") is None


async def test_a_server_that_has_stopped_is_not_found():
    async with StreamServer() as server:
        url = server.stream_url
        assert find_server(url) is server
    assert find_server(url) is None


async def test_a_server_that_never_ran_is_not_found():
    server = StreamServer(public_url="https://never.example")
    assert find_server(server.stream_url) is None


async def test_servers_are_not_kept_alive():
    async with StreamServer() as server:
        url = server.url
    del server
    gc.collect()
    assert find_server(url) is None


@pytest.mark.parametrize("make", [StreamServer, functools.partial(Inspector, "ws://127.0.0.1:1")])
@pytest.mark.parametrize("host", ["", " ", None, b"127.0.0.1", ["127.0.0.1"]])
def test_host_that_names_no_address_is_refused(make, host):
    with pytest.raises(SettingsError, match="names no address") as raised:
        make(host=host)
    assert "host='127.0.0.1'" in raised.value.fix


@pytest.mark.parametrize("make", [StreamServer, functools.partial(Inspector, "ws://127.0.0.1:1")])
async def test_host_with_two_addresses_has_the_same_free_port_on_both(make, monkeypatch):
    loop = asyncio.get_running_loop()
    create_server = loop.create_server  # patched here, because uvloop resolves names in C

    def listen(protocol_factory, host=None, *args, **options):
        hosts = ["127.0.0.1", "127.0.0.2"] if host == "two.example" else host
        return create_server(protocol_factory, hosts, *args, **options)

    monkeypatch.setattr(loop, "create_server", listen)
    async with make(host="two.example") as server:
        listener = server._server if isinstance(server, StreamServer) else server._listener
        names = {each.getsockname() for each in listener.sockets}
        assert names == {("127.0.0.1", server.port), ("127.0.0.2", server.port)}
        for address in ("127.0.0.1", "127.0.0.2"):
            _, writer = await asyncio.open_connection(address, server.port)
            writer.close()
            await writer.wait_closed()
