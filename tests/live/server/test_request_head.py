"""Heads of requests, at the stream server and at the inspector: what is refused, and how."""

from __future__ import annotations

import asyncio
import contextlib

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.streams import StreamReader

from support.heads import HIDDEN, MALFORMED, REFUSED, SMUGGLING, head, padded, post
from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.live.inspector import _http as inspector_http
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.server.http import RequestReader
from twistream_kit.live.server.request_head import MAX_HEAD_BYTES, BadRequest, RequestHead

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FORM = b"CallSid=CA1"


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split(b" ")[1])


class Recorder:
    """A server that keeps every byte, and answers all with 204."""

    def __init__(self):
        self.n_connections, self.received = 0, b""
        self.url = ""

    async def take(self, reader, writer):
        self.n_connections += 1
        with contextlib.suppress(OSError):
            self.received += await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            writer.write_eof()
            self.received += await reader.read()
        writer.close()


@pytest.fixture
async def recorder():
    recorder = Recorder()
    async with await asyncio.start_server(recorder.take, "127.0.0.1", 0) as running:
        recorder.url = f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/media"
        yield recorder


@pytest.fixture
async def inspector(recorder):
    """An inspector before the recorder."""
    async with Inspector(recorder.url) as inspector:
        yield inspector


@pytest.fixture
def h11_bytes(monkeypatch):
    """The sizes of all that h11 is given to read."""
    sizes, receive = [], h11.Connection.receive_data

    def record(self, data):
        sizes.append(len(data))
        return receive(self, data)

    monkeypatch.setattr(h11.Connection, "receive_data", record)
    return sizes


def test_there_are_enough_of_them_and_each_is_another():
    assert len(MALFORMED) >= 57
    assert len(SMUGGLING) >= 27
    assert len({raw for raw, _ in REFUSED.values()}) == len(REFUSED)
    assert {code for _, code in REFUSED.values()} == {400, 411, 413, 431, 501, 505}


@pytest.mark.parametrize("name", REFUSED)
async def test_server_refuses(serve, ask, name):
    raw, expected = REFUSED[name]
    server = await serve()
    answer = await ask(server, raw)
    assert status(answer) == expected
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.partition(b"\r\n\r\n")[2].strip()  # it says why
    assert server.status_events == []
    assert server.streams == ()


@pytest.mark.parametrize("name", REFUSED)
async def test_inspector_refuses_and_passes_nothing_on(inspector, recorder, ask, name):
    raw, expected = REFUSED[name]
    answer = await ask(inspector, raw)
    assert status(answer) == expected
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.partition(b"\r\n\r\n")[2].strip()
    assert (recorder.n_connections, recorder.received) == (0, b"")


async def test_recorder_keeps_what_is_passed_on(inspector, recorder, ask):
    assert status(await ask(inspector, post(b"Content-Length: 11") + FORM)) == 204
    assert recorder.n_connections == 1
    assert recorder.received.startswith(b"POST /status HTTP/1.1\r\nHost: 127.0.0.1:")
    assert recorder.received.endswith(b"\r\n\r\n" + FORM)


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_does_not_depend_on_the_pieces(name):
    raw, expected = REFUSED[name]
    for size in (1, 2, 3, 7):
        reader = RequestReader()
        answers = (reader.take(raw[at : at + size]) for at in range(0, len(raw), size))
        handed_over = next(answer for answer in answers if answer is not None)
        assert reader.request.refusal == expected
        assert handed_over == b"GET / HTTP/1.1\r\n\r\n"  # nothing of it reaches `websockets`


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (head(first=b"BREW /status HTTP/1.1"), 405),
        (head(first=b"get /status HTTP/1.1"), 405),
        (head(b"Content-Length: 5", first=b"PUT /status HTTP/1.1"), 405),
        (head(b"Upgrade: websocket", first=b"POST /media HTTP/1.1"), 405),
        (post(b"Content-Length: 65537"), 413),
        (post(b"Content-Length: " + b"9" * 20), 413),
        (head(first=b"GET /" + b"a" * 8180 + b" HTTP/1.1"), 414),
        (head(b"X-A: " + b"a" * 8186), 431),
    ],
)
async def test_server_refuses_what_only_another_server_may_take(serve, ask, raw, expected):
    answer = await ask(await serve(), raw)
    assert status(answer) == expected
    assert answer.partition(b"\r\n\r\n")[2].strip()


# Bounds


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES + 1, 1_000_000], ids=["32 kB + 1", "1 MB"])
@pytest.mark.parametrize("where", ["server", "inspector"])
async def test_head_that_is_too_long_is_refused_and_not_read(
    serve, inspector, recorder, ask, h11_bytes, size, where
):
    at = inspector if where == "inspector" else await serve()
    answer = await ask(at, head(b"X-A: b"))
    assert len(h11_bytes) == 1  # h11 reads what is short
    assert len(padded(size)) == size
    # Of a line that does not end, the inspector reads what asyncio reads ahead.
    endless = max(size, inspector_http.READ_AHEAD_BYTES + 2 if where == "inspector" else 0)
    for raw in (padded(size), padded(size + 2)[:-2], b"G" * endless):  # with its end, and without
        h11_bytes.clear()
        seen = len(recorder.received)
        answer = await ask(at, raw)
        assert status(answer) == 431
        assert b"at most 32768 bytes" in answer
        assert h11_bytes == []
        assert len(recorder.received) == seen


def test_server_keeps_nothing_of_a_head_that_is_too_long():
    reader, n_taken = RequestReader(), 0
    raw = padded(1_000_000)
    while reader.take(raw[n_taken : n_taken + 4096]) is None:
        n_taken += 4096
    assert n_taken <= MAX_HEAD_BYTES
    assert len(reader._received) == 0


async def test_inspector_reads_no_more_of_a_head_than_its_bound():
    for raw in (padded(1_000_000), b"G" * 1_000_000):
        reader = asyncio.StreamReader(inspector_http.READ_AHEAD_BYTES)
        reader.feed_data(raw)
        with pytest.raises(BadRequest) as refused:
            await inspector_http.read_head(reader)
        assert refused.value.status == 431
        reader.feed_eof()
        assert len(raw) - len(await reader.read()) <= MAX_HEAD_BYTES + 1000


# What is accepted


TOKEN = st.text("abcXYZ0189-_!#$%&'*+.^`|~", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=30).filter(lambda value: not set(value) & {*range(32), 127} - {9})
SPACES = st.text(" \t", max_size=3).map(str.encode)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TOKEN, SPACES, VALUE, SPACES), max_size=10), st.sampled_from("01"))
def test_websockets_and_h11_read_the_same_in_what_is_written_anew(lines, minor):
    raw = head(
        *(name + b":" + before + value + after for name, before, value, after in lines),
        first=b"GET /media?a=b HTTP/1." + minor.encode(),
    )
    try:
        accepted = RequestHead.parse(raw)
    except BadRequest:
        return  # a Host, or a length, by chance
    written = accepted.serialize(accepted.headers)
    assert RequestHead.parse(written) == accepted
    reader = StreamReader()
    reader.feed_data(written)
    parsing = Request.parse(reader.read_line)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    request = done.value.value
    assert request.path == "/media?a=b"
    found = [
        (name.encode(), value.encode("latin-1")) for name, value in request.headers.raw_items()
    ]
    assert found == list(accepted.headers)
    assert [name for name, _ in found[1:]] == [name for name, *_ in lines]
    assert [value for _, value in found[1:]] == [value.strip(b" \t") for _, _, value, _ in lines]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", head()[:-2], b"GET / HTTP/1.1\r\n"]))
def test_any_bytes_are_a_head_or_are_refused(data, begin):
    with contextlib.suppress(BadRequest):
        accepted = RequestHead.parse(begin + data + b"\r\n\r\n")
        assert accepted.serialize(accepted.headers).count(b"\r\n") == len(accepted.headers) + 2


def test_websockets_is_given_a_head_that_is_written_anew():
    reader = RequestReader()
    raw = head(b"x-ODD:\t two  words \t", b"Expect: 100-continue", b"Content-Length: 0")
    assert reader.take(raw) == head(b"x-ODD: two  words")


async def test_inspector_keeps_spelling_order_and_values(inspector, recorder, ask):
    lines = [b"b-HEADER:1", b"A-Header:  \xe9  2\t", b"b-header: 3", b"X-Empty:", b"c:d:e"]
    await ask(inspector, head(*lines))
    found = recorder.received.split(b"\r\n")
    written = [b"b-HEADER: 1", b"A-Header: \xe9  2", b"b-header: 3", b"X-Empty: ", b"c: d:e"]
    assert found[2 : 2 + len(written)] == written


async def test_head_of_http_1_0_needs_no_host(serve, ask):
    assert status(await ask(await serve(), b"GET /health HTTP/1.0\r\n\r\n")) == 200


async def test_hidden_request_is_one_when_it_is_not_hidden(serve, ask):
    server = await serve()
    assert status(await ask(server, HIDDEN)) == 204
    assert server.status_events[0].call_sid == "CA9"


# Expect: 100-continue


@pytest.fixture
async def talk():
    """Connect to a port; return a reader and a writer."""
    async with contextlib.AsyncExitStack() as open_ends:

        async def connect(server):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            open_ends.callback(writer.close)
            return reader, writer

        yield connect


@pytest.mark.parametrize("where", ["server", "inspector"])
@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
async def test_client_that_waits_for_continue_receives_it(serve, talk, where, value):
    server = await serve()
    async with contextlib.AsyncExitStack() as running:
        at = server
        if where == "inspector":
            at = await running.enter_async_context(Inspector(server.stream_url))
        reader, writer = await talk(at)
        writer.write(post(b"Expect: " + value, b"Content-Length: 11"))
        assert await soon(reader.readexactly(len(CONTINUE))) == CONTINUE
        assert server.status_events == []
        for at_byte in range(len(FORM)):
            writer.write(FORM[at_byte : at_byte + 1])
            await writer.drain()
        answer = await soon(reader.read())
        assert status(answer) == 204
        assert b" 100 " not in answer
        assert server.status_events[0].call_sid == "CA1"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (post(b"Expect: 100-continue", b"Content-Length: 11") + FORM, 204),
        (post(b"Expect: 100-continue", b"Content-Length: 11", version=b"1.0") + FORM, 204),
        (post(b"Expect: 100-continue", b"Content-Length: 0"), 204),
        (post(b"Expect: 100-continue", b"Content-Length: 70000"), 413),
        (post(b"Expect: 100-continue", b"Transfer-Encoding: chunked"), 411),
        (head(b"Expect: 100-continue"), 200),
        (head(b"Expect: 100-continue", first=b"PUT /status HTTP/1.1"), 405),
    ],
)
async def test_continue_is_not_said_where_no_body_is_waited_for(serve, ask, raw, expected):
    assert status(await ask(await serve(), raw)) == expected


async def test_continue_is_not_said_to_http_1_0(serve, talk):
    reader, writer = await talk(await serve())
    writer.write(post(b"Expect: 100-continue", b"Content-Length: 11", version=b"1.0"))
    await writer.drain()
    writer.write(FORM)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert status(await reader.read()) == 204
