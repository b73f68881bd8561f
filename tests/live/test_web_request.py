import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.waiting import soon
from twistream_kit.live import web_request
from twistream_kit.live.server import StreamServer
from twistream_kit.live.web_request import WebRequest

FORM = b"CallSid=CA123&CallStatus=ringing"


def post(path="/status", body=FORM, *headers):
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def request(method="GET", path="/health", *headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


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
    handed_over = []
    connection = object.__new__(web_request.RequestConnection)
    connection.web, connection._received = WebRequest(), bytearray()
    connection._hand_over = lambda data: (
        handed_over.append(data), setattr(connection, "_received", None)
    )  # fmt: skip
    at = [0, *sorted({cut for cut in cuts if cut < len(whole)}), len(whole)]
    for begin, end in itertools.pairwise(at):
        assert handed_over == []
        web_request.RequestConnection.data_received(connection, whole[begin:end])
    assert connection.web.body == body
    assert connection.web.method == "POST"
    assert connection.web.path == "/status"
    assert connection.web.query() == {"a": ["1", "2"]}
    assert connection.web.refusal == 0
    (get,) = handed_over
    assert get.startswith(b"GET /status?a=1&a=2 HTTP/1.1\r\n")
    assert get.endswith(b"\r\n\r\n")
    assert b"content-length" not in get.lower()
    assert b"expect" not in get.lower()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_whatever_comes_the_reader_of_requests_does_not_raise(data):
    connection = object.__new__(web_request.RequestConnection)
    connection.web, connection._received = WebRequest(), bytearray()
    connection._hand_over = lambda handed_over: setattr(connection, "_received", None)
    web_request.RequestConnection.data_received(connection, data + b"\r\n\r\n")
    assert connection._received is None or len(connection.web.body) == 0


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


async def test_plain_get_of_the_stream_is_told_to_upgrade(serve, ask):
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
        answer = await ask(server, b"GET /health HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
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
    async with asyncio.timeout(8):  # websockets would wait for ten seconds
        await server.__aexit__(None, None, None)
    for writer in writers:
        writer.close()


async def test_client_that_goes_in_the_middle_of_its_request_harms_nobody(serve, ask):
    server = await serve()
    assert await ask(server, post()[:-1], eof=True) == b""
    assert status(await ask(server, request())) == 200


def test_repr_of_a_request_does_not_show_its_body():
    assert "secret" not in repr(WebRequest(body=b"secret"))


def test_what_comes_after_a_request_never_reaches_websockets():
    connection = object.__new__(web_request.RequestConnection)
    connection.web, connection._received = WebRequest(), bytearray()
    connection._hand_over = lambda handed_over: setattr(connection, "_received", None)
    connection.data_received(post())
    assert connection._received is None
    connection.data_received(b"junk")  # there is no protocol in this bare object to take it
