import asyncio
import contextlib
import itertools
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from support.far_end import TOKEN
from support.waiting import eventually, soon
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.server import web_request
from twistream_kit.live.server.http import RequestReader
from twistream_kit.live.server.request_head import MAX_HEAD_BYTES
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.server.web_request import WebRequest
from twistream_kit.protocol import from_twilio

FORM = b"CallSid=CA123&CallStatus=ringing"


def post(path="/status", body=FORM, *headers):
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def request(method="GET", path="/health", *headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split(b" ")[1])


async def test_get_is_answered(serve, ask):
    server = await serve()
    answer = await ask(server, request())
    assert status(answer) == 200
    assert answer.endswith(server.nonce.encode())


async def test_post_with_its_body_in_one_piece_is_answered(serve, ask):
    server = await serve()
    assert status(await ask(server, post())) == 204
    assert server.status_events[0].parameters == {"CallSid": "CA123", "CallStatus": "ringing"}


async def test_post_byte_by_byte_is_answered(serve, ask):
    server = await serve()
    whole = post()
    pieces = [whole[at : at + 1] for at in range(len(whole))]
    assert status(await ask(server, *pieces)) == 204
    assert server.status_events[0].name == "ringing"


async def test_post_waits_for_all_of_its_body(serve):
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    whole = post()
    writer.write(whole[:-1])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    assert server.status_events == []
    writer.write(whole[-1:])
    assert status(await soon(reader.read())) == 204
    writer.close()
    await writer.wait_closed()


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(st.integers(0, 420), max_size=6),
    st.sampled_from([[], ["Expect: 100-continue"], ["content-type: text/plain"]]),
)
def test_request_is_read_the_same_wherever_it_is_cut(body, cuts, headers):
    whole = post("/status?a=1&a=2", body, *headers)
    reader = RequestReader()
    at = [0, *sorted({cut for cut in cuts if cut < len(whole)}), len(whole)]
    get = None
    for begin, end in itertools.pairwise(at):
        assert get is None
        get = reader.take(whole[begin:end])
    assert reader.request.body == body
    assert reader.request.method == "POST"
    assert reader.request.path == "/status"
    assert reader.request.parse_query() == {"a": ["1", "2"]}
    assert reader.request.refusal == 0
    assert get.startswith(b"GET /status?a=1&a=2 HTTP/1.1\r\n")
    assert get.endswith(b"\r\n\r\n")
    assert b"content-length" not in get.lower()
    assert b"expect" not in get.lower()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_whatever_comes_the_reader_of_requests_does_not_raise(data):
    reader = RequestReader()
    handed_over = reader.take(data + b"\r\n\r\n")
    assert handed_over is None or len(reader.request.body) == 0


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_other_methods_are_refused(serve, ask, method):
    answer = await ask(await serve(), request(method))
    assert status(answer) == 405
    assert b"\r\nAllow: GET, POST\r\n" in answer


async def test_upgrade_by_another_method_is_refused(serve, ask):
    answer = await ask(
        await serve(),
        request(
            "POST", "/media", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
    )  # fmt: skip
    assert status(answer) == 405


async def test_plain_get_of_the_stream_is_asked_to_upgrade(serve, ask):
    answer = await ask(await serve(), request("GET", "/media"))
    assert status(answer) == 426
    assert b"Twilio's <Stream> connects here" in answer


async def test_chunked_body_is_refused(serve, ask):
    chunked = request("POST", "/status", "Transfer-Encoding: chunked") + b"3\r\na=b\r\n0\r\n\r\n"
    assert status(await ask(await serve(), chunked)) == 411


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        (["x"], 400),
        (["-1"], 400),
        ([""], 400),
        (["1.5"], 400),
        (["0x10"], 400),
        (["5, 5"], 400),
        (["3", "4"], 400),
        (["65537"], 413),
        (["9" * 9], 413),
        (["9" * 400], 413),
    ],
)
async def test_bad_length_of_a_body_is_refused(serve, ask, lengths, expected):
    headers = [f"Content-Length: {length}" for length in lengths]
    assert status(await ask(await serve(), request("POST", "/status", *headers))) == expected


async def test_body_of_64_kb_is_accepted_and_one_byte_more_is_not(serve, ask):
    server = await serve()
    size = web_request.MAX_BODY_BYTES
    assert status(await ask(server, post("/status", b"a" * size))) == 204
    assert status(await ask(server, post("/status", b"a" * (size + 1)))) == 413


async def test_body_that_is_refused_is_not_waited_for(serve, ask):
    head = request("POST", "/status", "Content-Length: 70000")
    assert status(await ask(await serve(), head)) == 413


async def test_same_length_given_twice_is_accepted(serve, ask):
    whole = post("/status", FORM, f"Content-Length: {len(FORM)}")
    assert status(await ask(await serve(), whole)) == 204


@pytest.mark.parametrize("line", [b"X-A: " + b"a" * 40_000, b"X-A: a\r\n" * 6000])
async def test_huge_head_is_refused(serve, ask, line):
    server = await serve()
    try:
        answer = await ask(
            server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n"
        )
    except ConnectionError:
        answer = b""
    assert answer == b"" or 400 <= status(answer) < 500
    assert status(await ask(server, request())) == 200


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00" + bytes(40) + b"\r\n\r\n",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x00" * 40_000,
    ],
    ids=["tls", "empty", "method-only", "old", "no-colon", "zeros"],
)
async def test_junk_gets_no_answer_or_a_refusal_and_harms_nobody(serve, ask, junk):
    server = await serve()
    try:
        answer = await ask(server, junk)
    except ConnectionError:
        answer = b""
    assert answer == b"" or status(answer) >= 400
    assert status(await ask(server, request())) == 200


async def test_what_follows_a_request_is_not_taken_for_another(serve, ask):
    server = await serve()
    answer = await ask(server, post() + post() + b"junk\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert len(server.status_events) == 1


def handshake(*headers):
    """A request for a WebSocket, unsigned."""
    return request(
        "GET",
        "/media",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    )


def frame(payload, opcode=Opcode.TEXT):
    return Frame(opcode, payload.encode()).serialize(mask=True)


@pytest.mark.parametrize("by_inspector", [False, True], ids=["server", "inspector"])
@pytest.mark.parametrize("n_pieces", [1, 2])
@pytest.mark.parametrize(
    "early",
    [
        b"junk that is no frame",
        frame("", Opcode.CLOSE),
        frame("", Opcode.PING),
        frame("{}", Opcode.TEXT),
        b"\x81",
        frame("x" * 60_000) * 50,
    ],
    ids=["junk", "close", "ping", "text", "half", "3 MB"],
)
async def test_what_follows_a_refused_handshake_does_not_undo_the_answer(
    server, caplog, early, n_pieces, by_inspector
):
    async with contextlib.AsyncExitStack() as running:
        at = server
        if by_inspector:
            at = await running.enter_async_context(Inspector(server.url, auth_token=TOKEN))
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        running.callback(writer.close)
        asked = handshake()
        for piece in [asked + early] if n_pieces == 1 else [asked, early]:
            writer.write(piece)
        # Answer and end come while it still sends: a client may read only afterwards.
        await soon(writer.drain())
        answer = await soon(reader.read())
    assert status(answer) == 403
    assert [line for line in caplog.messages if "refused" not in line] == []


@pytest.mark.parametrize("n_pieces", [1, 2])
async def test_frames_sent_before_a_handshake_is_accepted_are_read_in_order(serve, n_pieces):
    server = await serve()
    sid, call = "MZ" + "1" * 32, "CA" + "1" * 32
    messages = [
        from_twilio.Connected(),
        from_twilio.Start(sid, "AC" + "0" * 32, call),
        *(from_twilio.Dtmf(sid, digit) for digit in "123"),
    ]
    early = frame("", Opcode.PING) + b"".join(frame(message.to_json()) for message in messages)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for piece in [handshake() + early] if n_pieces == 1 else [handshake(), early]:
        writer.write(piece)
    stream = await soon(server.next_stream())
    await eventually(lambda: len(stream.capture) == 4)
    assert [entry.message for entry in stream.capture.entries] == messages[1:]
    assert status(await soon(reader.readuntil(b"\r\n\r\n"))) == 101
    assert await soon(reader.readexactly(2)) == Frame(Opcode.PONG, b"").serialize(mask=False)
    writer.close()
    await soon(writer.wait_closed())


async def test_close_sent_before_a_handshake_is_accepted_is_answered_after_it(serve, ask, caplog):
    server = await serve()
    answer = await ask(server, handshake() + frame("", Opcode.CLOSE))
    assert status(answer) == 101
    assert answer.endswith(b"\r\n\r\n" + Frame(Opcode.CLOSE, b"").serialize(mask=False))
    assert "unexpected internal error" not in caplog.messages


async def test_half_of_a_request_does_not_hold_up_the_stop(ask):
    server = StreamServer()
    await server.__aenter__()
    halves = [b"", b"POST /status HT", post()[:-1]]
    writers = []
    for half in halves:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(half)
        await writer.drain()
        writers.append(writer)
    stopping = asyncio.create_task(server.__aexit__(None, None, None))
    await eventually(stopping.done, 8)  # websockets would wait for ten seconds
    await stopping
    for writer in writers:
        writer.close()


async def test_client_that_goes_in_the_middle_of_its_request_harms_nobody(serve, ask):
    server = await serve()
    assert await ask(server, post()[:-1], eof=True) == b""
    assert status(await ask(server, request())) == 200


def test_repr_of_a_request_does_not_show_its_body():
    assert "secret" not in repr(WebRequest(body=b"secret"))


# Heads that are too long, and the work that one costs


LIMIT = MAX_HEAD_BYTES


def padded_head(size, *, first=b"GET /health HTTP/1.1", line_bytes=4000):
    """A head of exactly `size` bytes, its empty line included."""
    head = first + b"\r\nHost: localhost\r\n"
    while (missing := size - len(head) - 2) > line_bytes + 10:
        head += b"X-Pad: " + b"a" * (line_bytes - 9) + b"\r\n"
    return head + b"X-Pad: " + b"a" * (missing - 9) + b"\r\n\r\n"


@pytest.mark.parametrize("piece_bytes", [1 << 20, 4096, 1000], ids=["at once", "4 kB", "1 kB"])
@pytest.mark.parametrize("size", [LIMIT + 1, 60_000, 200_000])
async def test_head_that_is_too_long_is_refused_in_words(serve, ask, size, piece_bytes):
    server = await serve()
    whole = padded_head(size)
    assert len(whole) == size
    answer = await ask(
        server, *(whole[at : at + piece_bytes] for at in range(0, size, piece_bytes))
    )
    assert status(answer) == 431
    assert b"at most 32768 bytes and 128 headers are read" in answer
    assert status(await ask(server, request())) == 200


async def test_longest_head_is_still_read(serve, ask):
    server = await serve()
    assert status(await ask(server, padded_head(LIMIT))) == 200


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (request("GET", "/health", *["X-A: a"] * 127), 200),
        (request("GET", "/health", *["X-A: a"] * 128), 431),
        (request("GET", "/health", *["a:"] * 5000), 431),
        (request("GET", "/health", "X-A: " + "a" * (8192 - 7)), 200),
        (request("GET", "/health", "X-A: " + "a" * (8192 - 6)), 431),
        (request("GET", "/health?" + "a" * (8192 - 23)), 200),
        (request("GET", "/health?" + "a" * (8192 - 22)), 414),
        (request("GET", "/health?" + "a" * 20_000), 414),
        (request("GET", "/health?" + "&".join(["a"] * 256)), 200),
        (request("GET", "/health?" + "&".join(["a"] * 257)), 414),
        (request("GET", "/nowhere?" + "a&" * 4000), 414),
    ],
    ids=[
        "128",
        "129",
        "5001",
        "line",
        "long line",
        "target",
        "long target",
        "20 kB",
        "256",
        "257",
        "4000",
    ],
)
async def test_bounds_of_a_head_are_exact(serve, ask, head, expected):
    answer = await ask(await serve(), head)
    assert status(answer) == expected
    assert expected == 200 or b"is too long" in answer


async def test_head_that_blocked_the_loop_for_25_seconds_is_refused(serve, ask):
    spaces = b"POST /status HTTP/1.1\r\nContent-Length: a" + b" " * 60_000 + b"b\r\n\r\n"
    assert status(await ask(await serve(), spaces)) == 431


def full(size):
    """A head of `size` bytes that would be accepted, of as many headers as may be."""
    return padded_head(size, first=b"POST /status HTTP/1.1", line_bytes=max(size // 120, 20))


def spaces_in_length(size):
    yield b"POST /status HTTP/1.1\r\nContent-Length: a" + b" " * (size - 50) + b"b\r\n\r\n"


def spaces_before_a_control_character(size):
    yield b"POST /status HTTP/1.1\r\nHost: x\r\nX-A:" + b" " * (size - 50) + b"\x0b\r\n\r\n"


def byte_by_byte(size):
    nearly = (b"\r\n\r" * size)[: size - 4]  # what a search for the empty line is slow at
    yield from (nearly[at : at + 1] for at in range(len(nearly)))


def body_byte_by_byte(size):
    head = full(size // 2).removesuffix(b"\r\n") + b"Content-Length: %d\r\n\r\n" % (size // 2)
    yield head
    yield from (b"a" for _ in range(size // 2))


def many_headers(size):
    yield full(size)


def seconds_for(pieces):
    best = float("inf")
    for _ in range(5):
        reader = RequestReader()
        began = time.thread_time()  # of this thread alone: others may keep the cores busy
        for piece in pieces:
            reader.take(piece)
        best = min(best, time.thread_time() - began)
    return best


@pytest.mark.parametrize(
    "pieces",
    [
        spaces_in_length,
        spaces_before_a_control_character,
        byte_by_byte,
        body_byte_by_byte,
        many_headers,
    ],
)
def test_work_for_a_request_is_linear_in_its_size(pieces):
    sizes = [4000, 8000, 16_000, 32_000]
    found = [seconds_for(list(pieces(size))) for size in sizes]
    # Linear is 8 times, quadratic 64; what lies between is for the caches of a busy machine.
    assert found[-1] <= 40 * found[0], dict(zip(sizes, found, strict=True))
