"""`StreamApp` under uvicorn in this process, and called by hand."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import random
import signal
import socket
import subprocess
import sys
import types
from functools import partial
from urllib.parse import urlencode

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import InvalidStatus

import twistream_kit as kit
from support.far_end import TOKEN, FarEnd
from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.errors import ServerStopped, SettingsError
from twistream_kit.live.server._asgi_socket import HIGH_WATER_BYTES, ASGISocket
from twistream_kit.live.server._shutdown_signals import ShutdownSignals
from twistream_kit.live.server.probe import probe_handshake
from twistream_kit.live.server.stream_app import StreamApp
from twistream_kit.live.server.stream_host import MAX_MESSAGE_BYTES, find_server
from twistream_kit.live.server.web_request import MAX_BODY_BYTES
from twistream_kit.live.stream.session import SocketEnd
from twistream_kit.pending import Pending, fulfil
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.signature import sign
from twistream_kit.simulator.simulate_call import simulate_call

WEBSOCKETS = ["websockets-sansio", "wsproto"]


@pytest.fixture
async def host():
    """Run a `StreamApp` under uvicorn on this loop; return it with its port and local address."""
    running = []

    async def start(handler=None, *, mount="", frame=None, ws="websockets-sansio", **options):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        options.setdefault("auth_token", TOKEN)
        options.setdefault("public_url", f"http://127.0.0.1:{port}{mount}")
        app = StreamApp(handler, **options)
        config = uvicorn.Config(
            frame(app) if frame else app, ws=ws, log_config=None, ws_ping_interval=None
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        running.append((server, task))
        await eventually(lambda: server.started or task.done())
        url = f"ws://127.0.0.1:{port}{mount}/media"
        return types.SimpleNamespace(
            app=app, port=port, url=url, stream_url=app.stream_url, checks_signatures=True,
            server=server,
        )  # fmt: skip

    yield start
    for server, task in running:
        server.should_exit = True
        await soon(task)


def mounted_in_starlette(app):
    return Starlette(routes=[Mount("/voice", app)])


def mounted_in_fastapi(app):
    framework = FastAPI()
    framework.mount("/voice", app)
    return framework


FRAMES = [
    pytest.param("", None, id="alone"),
    pytest.param("/voice", mounted_in_starlette, id="in Starlette"),
    pytest.param("/voice", mounted_in_fastapi, id="in FastAPI"),
]


async def say_hello(stream):
    stream.play(kit.Clip.tone(440, 0.2))
    stream.close()


@pytest.mark.parametrize(("mount", "frame"), FRAMES)
@pytest.mark.parametrize("ws", WEBSOCKETS)
async def test_a_call_is_heard(host, mount, frame, ws):
    hosted = await host(say_hello, mount=mount, frame=frame, ws=ws)
    report = await soon(simulate_call(hosted.url, auth_token=TOKEN))
    assert (report.sound_seconds, report.close_code) == (0.2, 1000)
    assert report.ok, report.objections
    await eventually(lambda: not hosted.app.is_serving)
    assert repr(hosted.app) == f"<StreamApp {hosted.stream_url}: 0 open of 1 streams>"


# The same answers as StreamServer


FORM = urlencode({"CallSid": "CA" + "1" * 32, "CallStatus": "ringing"}).encode()
BASE = "https://example.com"


def request(method, target, *headers, body=b"", host="example.com"):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def signed(target, body=b""):
    form = dict(pair.split("=") for pair in body.decode().split("&")) if body else None
    return f"X-Twilio-Signature: {sign(TOKEN, BASE + target, form)}"


UPGRADE = [
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]  # fmt: skip

REQUESTS = {
    "TwiML by GET": request("GET", "/twiml", signed("/twiml")),
    "TwiML by POST": request("POST", "/twiml", signed("/twiml", FORM), body=FORM),
    "TwiML with a query": request("GET", "/twiml?From=%2B1", signed("/twiml?From=%2B1")),
    "status by POST": request("POST", "/status", signed("/status", FORM), body=FORM),
    "status, unsigned": request("POST", "/status", body=FORM),
    "status, signed for another": request("POST", "/status", signed("/twiml", FORM), body=FORM),
    "status, other form": request("POST", "/status", signed("/status", FORM), body=FORM + b"1"),
    "two signatures": request("GET", "/twiml", signed("/twiml"), signed("/twiml")),
    "from a page": request("GET", "/twiml", signed("/twiml"), "Origin: https://evil.example"),
    "image of a page": request("GET", "/health", "Sec-Fetch-Site: cross-site"),
    "from the address bar": request("GET", "/twiml", signed("/twiml"), "Sec-Fetch-Site: none"),
    "for another host, signed": request("GET", "/twiml", signed("/twiml"), host="other.example"),
    "nothing there": request("GET", "/elsewhere"),
    "the path of streams": request("GET", "/media", signed("/media")),
    "PUT": request("PUT", "/status"),
    "HEAD": request("DELETE", "/health"),
    "longest body": request("POST", "/status", body=b"a=" + b"b" * (MAX_BODY_BYTES - 2)),
    "body too long": request("POST", "/status", body=b"a=" + b"b" * (MAX_BODY_BYTES - 1)),
    "URL too long": request("GET", "/twiml?" + "a" * 8200),
    "too many fields": request("GET", "/twiml?" + "&" * 256),
    "header too long": request("GET", "/twiml", "X-Long: " + "a" * 8200),
    "stream, unsigned": request("GET", "/media", *UPGRADE),
    "stream from a page": request(
        "GET", "/media", *UPGRADE, signed("/media"), "Origin: https://evil.example"
    ),
    "stream elsewhere": request("GET", "/elsewhere", *UPGRADE),
}  # fmt: skip


def read_answer(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    names = {b"content-type", b"allow"}
    split = (line.split(b": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in split if name.lower() in names}
    return int(status.split()[1]), headers, body


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_answer_is_that_of_stream_server(host, serve, ask, name):
    options = {"auth_token": TOKEN, "public_url": BASE}
    wanted = read_answer(await ask(await serve(**options), REQUESTS[name]))
    hosted = await host(**options)
    assert read_answer(await ask(hosted, REQUESTS[name])) == wanted
    assert wanted[0] != 500


@pytest.mark.parametrize("name", ["TwiML by GET", "for another host, signed", "status by POST"])
async def test_without_a_token_the_host_decides_as_in_stream_server(host, serve, ask, name):
    options = {"auth_token": None, "public_url": BASE}
    wanted = read_answer(await ask(await serve(**options), REQUESTS[name]))
    assert read_answer(await ask(await host(**options), REQUESTS[name])) == wanted
    assert wanted[0] == (403 if "another host" in name else wanted[0])


@pytest.mark.parametrize("mount", ["", "/voice"])
async def test_webhooks_are_signed_over_the_configured_address(host, ask, mount):
    frame = mounted_in_starlette if mount else None
    hosted = await host(mount=mount, frame=frame, public_url=f"https://example.com{mount}")
    signature = f"X-Twilio-Signature: {sign(TOKEN, f'https://example.com{mount}/twiml', None)}"
    status, _, body = read_answer(await ask(hosted, request("GET", f"{mount}/twiml", signature)))
    assert status == 200
    assert f"wss://example.com{mount}/media".encode() in body
    assert f"https://example.com{mount}/status".encode() in body


# One path below each way of mounting


async def receive_nothing():
    return {"type": "http.request", "body": b"", "more_body": False}


async def health_status(**scope):
    """Ask an application at hand for what is at a path; return the status."""
    app = StreamApp(auth_token=TOKEN, public_url="https://example.com", path="/voice")
    sent = []

    async def send(event):
        sent.append(event)

    await app({"type": "http", "method": "GET", "headers": [], **scope}, receive_nothing, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"path": "/health"}, 200),
        ({"path": "/health", "root_path": ""}, 200),
        ({"path": "/voice/health", "root_path": "/voice"}, 200),
        ({"path": "/voice/health", "root_path": "/voice/"}, 200),
        ({"path": "/health", "root_path": "/voice", "raw_path": b"/voice/health"}, 200),
        ({"path": "/health", "root_path": "/voice", "raw_path": b"/health"}, 200),
        ({"path": "/voice/health", "root_path": "/voi"}, 404),
        ({"path": "/voice/voice", "root_path": "/voice", "raw_path": b"/voice/voice"}, 426),
        ({"path": "/voice", "root_path": "/voice", "raw_path": b"/voice/voice"}, 426),
        ({"path": "/voice", "root_path": "/voice", "raw_path": b"/voice"}, 404),
        ({"path": "/voice", "raw_path": b"/voice"}, 426),
    ],
)
async def test_the_path_is_found_as_old_and_new_frameworks_give_it(scope, status):
    assert await health_status(**scope) == status


def test_one_loop_after_another_as_in_the_test_client_of_starlette():
    app = StreamApp(auth_token=TOKEN, public_url="https://example.com/voice")
    framework = mounted_in_fastapi(app)

    async def ask_health():
        sent = []

        async def send(event):
            sent.append(event)

        path = {"path": "/voice/health", "raw_path": b"/voice/health", "query_string": b""}
        scope = {"type": "http", "method": "GET", "headers": [], "root_path": "", **path}
        await framework(scope, receive_nothing, send)
        return sent[0]["status"], sent[1]["body"].decode()

    assert [asyncio.run(ask_health()) for _ in range(2)] == [(200, app.nonce)] * 2


async def test_two_loops_at_the_same_time_are_refused(in_thread):
    app = StreamApp(auth_token=TOKEN, public_url="https://example.com")
    scope = {"type": "http", "method": "GET", "path": "/health", "headers": []}

    async def send(event):
        pass

    await app(scope, receive_nothing, send)
    with pytest.raises(RuntimeError, match="one StreamApp for each loop"):
        await in_thread(lambda: asyncio.run(app(scope, receive_nothing, send)))


def test_arguments_are_checked():
    with pytest.raises(SettingsError):
        StreamApp(auth_token=TOKEN, public_url="example.com")
    with pytest.raises(SettingsError):
        StreamApp(auth_token="", public_url="https://example.com")
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="drain_seconds"):
            StreamApp(auth_token=TOKEN, public_url="https://example.com", drain_seconds=wrong)


# The proof of an address


def test_each_worker_of_an_application_gives_the_same_nonce_and_no_other_does():
    def nonce(token=TOKEN, url="https://example.com/voice"):
        return StreamApp(auth_token=token, public_url=url).nonce

    assert nonce() == nonce() == nonce(token=kit.Secret(TOKEN))
    others = [nonce(url="https://example.com"), nonce(token="x" + TOKEN), nonce(token=None)]
    assert len({nonce(), *others, nonce(token=None)}) == 5
    assert TOKEN not in nonce()


async def test_the_probe_of_another_worker_is_refused_without_a_warning(host, in_thread, caplog):
    hosted = await host()
    levels = []
    for token in (TOKEN, "x" + TOKEN):
        program = (
            "from twistream_kit.live.server import stream_app, stream_host\n"
            f"app = stream_app.StreamApp(auth_token={token!r}, "
            f"public_url={hosted.app.public_url!r})\n"
            "print(stream_host.sign_own_probe(app))"
        )
        worker = [sys.executable, "-c", program]
        run = partial(subprocess.run, worker, check=True, capture_output=True, text=True)
        proof = (await in_thread(run)).stdout.strip()
        caplog.clear()
        probe = partial(probe_handshake, hosted.url, None, proof=proof)
        with caplog.at_level(logging.INFO, "twistream_kit.live"):
            answer = await in_thread(probe)
        assert answer.status == 403
        levels.append({record.levelname for record in caplog.records if "refused" in record.msg})
    assert levels == [{"INFO"}, {"WARNING"}]


async def test_it_is_found_by_its_address_for_calls_that_are_placed(host):
    hosted = await host()
    await FarEnd.dial(hosted)
    assert find_server(hosted.stream_url) is hosted.app


async def test_a_preflight_passes_for_an_application(host):
    async with kit.SimulatedTwilio() as twilio:
        hosted = await host(auth_token=twilio.auth_token)
        checks = await soon(kit.preflight(twilio.client, server=hosted.app))
    passed = {check.name for check in checks if check.passed}
    assert {"public address", "WebSocket", "signatures", "TwiML"} <= passed, checks
    assert checks.ok


# The socket


async def test_a_clear_reaches_what_is_not_yet_sent(host):
    async def interrupt(stream):
        playing = stream.play(kit.Clip.tone(440, 30))
        await playing.heard(0.2)
        stream.clear()
        assert (await playing).ending == "cleared"
        await stream.play(kit.Clip.tone(880, 0.2))
        stream.close()

    hosted = await host(interrupt)
    report = await soon(simulate_call(hosted.url, auth_token=TOKEN))
    assert report.close_code == 1000
    # All of the second tone; of the first the server only estimates how much was heard.
    assert 0.2 <= report.sound_seconds < 30
    assert report.received["clear"] == 1


async def test_a_speech_that_is_written_in_pieces_is_heard_whole(host):
    async def speak(stream):
        with stream.speak() as speech:
            for _ in range(20):
                assert speech.write(kit.Clip.tone(440, 0.04).payload)
                await asyncio.sleep(0)
        assert (await speech).ending == "heard"
        stream.close()

    hosted = await host(speak)
    report = await soon(simulate_call(hosted.url, auth_token=TOKEN))
    assert (report.sound_seconds, report.close_code) == (0.8, 1000)


async def test_a_drain_hears_what_a_speech_has_written_so_far(host):
    async def speak(stream):
        speech = stream.speak()
        speech.write(kit.Clip.tone(440, 1.0).payload)
        await stream.closed

    hosted = await host(speak)
    call = simulate_call(hosted.url, auth_token=TOKEN, seconds=LIMIT_SECONDS)
    await soon(hosted.app.next_stream())
    await soon(hosted.app.drain())
    report = await soon(call)
    assert (report.sound_seconds, report.close_code) == (1.0, 1000)


async def test_a_peer_that_does_not_read_does_not_fill_the_memory(host):
    hosted = await host(send_ahead_seconds=590)
    end = await FarEnd.dial(hosted)
    await end.begin()
    stream = await soon(hosted.app.next_stream(call=end.call_sid))
    end.connection.transport.pause_reading()
    playing = stream.play(b"\x80" * 8000 * 580)
    sockets = [each for each in gc.get_objects() if type(each).__name__ == "ASGISocket"]
    (asgi,) = [each for each in sockets if not each._is_lost]
    await eventually(lambda: asgi.room == 0)
    before = len(asgi._texts)
    await asyncio.sleep(0.3)  # sleeps: time in which a queue without a bound would grow
    assert len(asgi._texts) == before
    longest = max(map(len, asgi._texts), default=0)
    assert sum(map(len, asgi._texts)) <= HIGH_WATER_BYTES + 32 * longest
    stream.clear()
    await soon(playing)
    end.connection.transport.resume_reading()
    await end.until(to_twilio.Clear)
    await end.stop()
    assert await end.close_code() == 1000


async def test_what_plays_to_a_peer_that_vanishes_is_lost(host):
    hosted = await host()
    end = await FarEnd.dial(hosted)
    await end.begin()
    stream = await soon(hosted.app.next_stream())
    playing = stream.play(kit.Clip.tone(440, 5))
    end.vanish()
    assert (await soon(playing)).ending == "lost"
    # uvicorn says 1005 here, as for a Close frame without a code.
    assert (await soon(stream.closed)).reason in ("lost", "far end")


DISCONNECTS = [
    ({"code": 1006}, SocketEnd(1006)),
    ({"code": 1000, "reason": "done"}, SocketEnd(1000, "done")),
    ({"code": 1002, "reason": "not masked"}, SocketEnd(1002, "not masked", is_ours=True)),
    ({"code": 1012}, SocketEnd(1012, is_ours=True)),
    ({}, SocketEnd(1005)),
    ({"code": None, "reason": None}, SocketEnd(1005)),
]


@pytest.mark.parametrize(("event", "end"), DISCONNECTS)
async def test_the_end_of_a_socket_is_what_the_server_says(event, end):
    sent = []

    async def receive():
        return {"type": "websocket.disconnect", **event}

    async def send(event):
        sent.append(event)

    asgi = ASGISocket(receive, send)
    assert await asgi.receive() is None
    assert asgi.end == end
    asgi.write([b"late"])
    await asgi.wait_for_room()
    await asgi.close(1000)
    assert sent == []


async def test_a_server_without_the_extension_for_responses_gets_a_close():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(event):
        sent.append(event)

    app = StreamApp(auth_token=TOKEN, public_url="https://example.com")
    await app({"type": "websocket", "path": "/media", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]


async def test_nothing_is_sent_after_the_close_frame_and_what_was_written_before_it():
    sent = []
    events = asyncio.Queue()

    async def send(event):
        await asyncio.sleep(0)
        sent.append(event)
        if event["type"] == "websocket.close":
            await events.put({"type": "websocket.receive", "text": "still on its way"})
            await events.put({"type": "websocket.disconnect", "code": event["code"]})

    asgi = ASGISocket(events.get, send)
    asgi.write([b"one", b"two"])
    closing = asyncio.create_task(asgi.close(1000))
    await asyncio.sleep(0)
    asgi.write([b"late"])
    await soon(closing)
    asgi.write([b"later"])
    await asgi.close(1001)
    assert [event.get("text") or event["code"] for event in sent] == ["one", "two", 1000]
    assert events.empty()


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_server_that_raises_on_a_send_loses_the_socket_and_no_waiter(turns):
    async def send(_):
        for _ in range(turns):
            await asyncio.sleep(0)
        raise RuntimeError("Unexpected ASGI message after the connection was lost")

    events = asyncio.Queue()
    asgi = ASGISocket(events.get, send)
    asgi.write([b"first", b"x" * HIGH_WATER_BYTES])
    assert asgi.room == 0
    await soon(asgi.wait_for_room())
    await events.put({"type": "websocket.disconnect", "code": 1006})
    assert await soon(asgi.receive()) is None
    await soon(asgi.close(1000))


class Recorder:
    """A `send` that suspends as a dice says; it notes what it has sent, and in which context."""

    def __init__(self, seed):
        self.dice, self.loop = random.Random(seed), asyncio.get_running_loop()
        self.sent, self.values = [], set()
        self.is_within = False

    async def __call__(self, event):
        assert not self.is_within, "two sends at the same time"
        self.is_within = True
        self.values.add(VARIABLE.get())
        async with asyncio.timeout(LIMIT_SECONDS):  # as a middleware may have it
            for _ in range(self.dice.choice([0, 0, 0, 1, 2])):
                if self.dice.random() < 0.5:
                    await asyncio.sleep(0)
                else:
                    future = self.loop.create_future()
                    self.loop.call_later(self.dice.random() / 2000, future.set_result, None)
                    await future
        self.sent.append(event)
        self.is_within = False


VARIABLE = contextvars.ContextVar("VARIABLE", default="of the connection")


@pytest.mark.parametrize("seed", range(20))
async def test_however_a_server_suspends_all_is_sent_in_order_and_then_the_close_frame(
    seed, monkeypatch
):
    # A busy machine takes longer for what this server suspends than a peer may take for its answer.
    monkeypatch.setattr("twistream_kit.live.server._asgi_socket.CLOSE_SECONDS", LIMIT_SECONDS)
    send, events = Recorder(seed), asyncio.Queue()
    asgi, dice, written = ASGISocket(events.get, send), random.Random(-1 - seed), []

    def write():
        texts = [str(len(written) + n) for n in range(dice.choice([1, 1, 1, 2, 40]))]
        written.extend(texts)
        asgi.write([text.encode() for text in texts])

    async def write_for_a_while():
        VARIABLE.set("of a handler")
        for _ in range(50):
            write()
            if dice.random() < 0.3:
                await asyncio.sleep(0)
            if dice.random() < 0.2:
                asyncio.get_running_loop().call_soon(write)

    await soon(asyncio.gather(write_for_a_while(), write_for_a_while()))
    await asyncio.sleep(0)
    await events.put({"type": "websocket.disconnect", "code": 1000})
    await soon(asgi.close(1000))
    assert [event.get("text") for event in send.sent] == [*written, None]
    assert send.sent[-1]["code"] == 1000
    assert send.values == {"of the connection"}


async def test_what_is_written_while_a_server_sends_comes_after_it():
    sent = []

    async def send(event):
        if event["text"] == "first":
            asgi.write([b"second"])  # a middleware, or a done-callback of what was sent
        sent.append(event["text"])

    asgi = ASGISocket(asyncio.Queue().get, send)
    asgi.write([b"first", b"third"])
    await eventually(lambda: len(sent) == 3)
    assert sent == ["first", "third", "second"]


async def test_a_server_that_gives_up_a_send_leaves_nobody_waiting_for_room():
    async def send(_):
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    asgi = ASGISocket(asyncio.Queue().get, send)
    asgi.write(["x" * HIGH_WATER_BYTES] * 2)
    await soon(asgi.wait_for_room())
    asgi.write(["nowhere to go"])
    assert not asgi._texts
    await soon(asgi.close(1000))


async def test_what_is_delivered_keeps_its_order_and_the_rest_comes_from_receive():
    events, delivered = asyncio.Queue(), []
    asgi = ASGISocket(events.get, receive_nothing)
    for message in ({"text": "1"}, {"text": "2"}, {"bytes": b"3"}, {"text": "4"}):
        events.put_nowait({"type": "websocket.receive", **message})
    events.put_nowait({"type": "websocket.disconnect", "code": 1000})
    assert await asgi.receive() == "1"
    asgi.deliver_to(delivered.append)
    assert (await asgi.receive(), delivered) == (b"3", ["2"])
    assert (await asgi.receive(), delivered) == (None, ["2", "4"])
    assert asgi.end == SocketEnd(1000)
    await asgi.close(1000)


async def test_a_handler_that_raises_ends_its_stream_alone_with_1011(host):
    async def fail_once(stream):
        if stream.start.custom_parameters:
            raise RuntimeError("no customer of that name")
        await say_hello(stream)

    hosted = await host(fail_once)
    failed, good = await asyncio.gather(
        soon(simulate_call(hosted.url, auth_token=TOKEN, parameters={"a": "b"})),
        soon(simulate_call(hosted.url, auth_token=TOKEN)),
    )
    assert failed.close_code == 1011
    assert (good.sound_seconds, good.close_code) == (0.2, 1000)


async def test_a_message_that_is_too_long_closes_the_connection(host):
    hosted = await host()
    end = await FarEnd.dial(hosted)
    await end.begin()
    stream = await soon(hosted.app.next_stream())
    await end.connection.send("x" * (MAX_MESSAGE_BYTES + 1))
    assert await end.close_code() == 1009
    assert (await soon(stream.closed)).reason == "lost"


async def test_twenty_calls_side_by_side(host):
    hosted = await host(say_hello)
    reports = await asyncio.gather(
        *(soon(simulate_call(hosted.url, auth_token=TOKEN)) for _ in range(20))
    )
    assert {(report.sound_seconds, report.close_code) for report in reports} == {(0.2, 1000)}


async def test_commands_come_from_any_thread(host, in_thread):
    def blocking(stream):
        outcome = stream.play(kit.Clip.tone(440, 0.2)).result(LIMIT_SECONDS)
        assert outcome.ending == "heard"
        stream.close()

    hosted = await host(blocking)
    report = await soon(simulate_call(hosted.url, auth_token=TOKEN))
    assert (report.sound_seconds, report.close_code) == (0.2, 1000)


# Drain


async def test_a_drain_lets_what_is_queued_be_heard_and_opens_no_stream(host, ask, in_thread):
    async def speak(stream):
        stream.play(kit.Clip.tone(440, 1.5))

    hosted = await host(speak)
    call = simulate_call(hosted.url, auth_token=TOKEN, seconds=LIMIT_SECONDS)
    await soon(hosted.app.next_stream())
    drained = await in_thread(hosted.app.drain)  # from a thread without a loop
    assert not drained.done()
    assert hosted.app.drain() is drained
    with pytest.raises(InvalidStatus) as refused:
        await FarEnd.dial(hosted)
    assert refused.value.response.status_code == 503
    assert read_answer(await ask(hosted, request("GET", "/health")))[0] == 503
    assert "draining" in repr(hosted.app)
    target = hosted.stream_url.replace("ws", "http", 1).replace("/media", "/twiml")
    signature = f"X-Twilio-Signature: {sign(TOKEN, target, None)}"
    assert read_answer(await ask(hosted, request("GET", "/twiml", signature)))[0] == 200
    report = await soon(call)
    assert (report.sound_seconds, report.close_code) == (1.5, 1000)
    await soon(drained)


async def test_a_drain_takes_no_longer_than_it_may(host):
    async def speak(stream):
        stream.play(kit.Clip.tone(440, 60))

    hosted = await host(speak, drain_seconds=0.3)
    call = simulate_call(hosted.url, auth_token=TOKEN, seconds=LIMIT_SECONDS)
    stream = await soon(hosted.app.next_stream())
    await soon(hosted.app.drain())
    report = await soon(call)
    assert report.close_code == 1000
    assert report.sound_seconds < 30
    assert stream.closed.result(0).reason == "server stopped"


async def test_the_end_of_the_lifespan_drains_and_ends_the_run(host):
    hosted = await host()
    assert not hosted.app.stopped.done()
    hosted.server.should_exit = True
    await soon(hosted.app.stopped)
    assert hosted.app.drain().done()
    with pytest.raises(ServerStopped):
        await soon(hosted.app.next_stream())


def test_a_drain_before_the_first_connection_is_done_at_once():
    app = StreamApp(auth_token=TOKEN, public_url="https://example.com")
    assert app.drain().result(0) is None


# Signals


class Drained:
    """An application whose drain the test ends."""

    is_serving = True
    is_open = True

    def __init__(self):
        self.pending = None

    def refuse_streams(self):
        self.is_open = False

    def drain(self):
        self.pending = self.pending or Pending()
        return self.pending


@pytest.fixture
def found():
    """The signals that came to the handler that was found; by `signal.signal`."""
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(params=["signal.signal", "loop.add_signal_handler"])
async def received(request, found):
    """The signals that came to the handler that was found, in each way of installing one."""
    if request.param == "signal.signal":
        yield found
        return
    by_loop, loop = [], asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, by_loop.append, signal.SIGTERM)
    yield by_loop
    loop.remove_signal_handler(signal.SIGTERM)


@pytest.fixture
def signals():
    """Handlers in front of those that were found, taken away by the test's end."""
    put = ShutdownSignals()
    apps = [Drained(), Drained()]
    before = signal.getsignal(signal.SIGINT)
    for app in apps:
        put.put_before(app)
    yield put, apps
    for app in apps:
        put.remove(app)
    assert signal.getsignal(signal.SIGINT) is before


async def test_the_handler_that_was_found_gets_the_signal_after_the_drain(received, request):
    _, apps = request.getfixturevalue("signals")
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)  # the parent repeats it
    await eventually(lambda: all(app.pending for app in apps))
    await asyncio.sleep(0)
    assert received == []
    fulfil(apps[0].pending, None)
    await asyncio.sleep(0)
    assert received == []
    fulfil(apps[1].pending, None)
    await eventually(lambda: received)
    assert received == [signal.SIGTERM]


async def test_a_second_signal_goes_through_at_once(received, request, monkeypatch):
    _, apps = request.getfixturevalue("signals")
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: all(app.pending for app in apps))
    monkeypatch.setattr("twistream_kit.live.server._shutdown_signals.REPEAT_SECONDS", 0)
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: received)
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: len(received) == 2)


async def test_without_a_stream_a_signal_goes_through_at_once(received, request):
    _, apps = request.getfixturevalue("signals")
    for app in apps:
        app.is_serving = False
    signal.raise_signal(signal.SIGTERM)
    await eventually(lambda: received)
    assert [app.pending for app in apps] == [None, None]
    assert not any(app.is_open for app in apps)


async def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        put, app = ShutdownSignals(), Drained()
        assert put.put_before(app)
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        put.remove(app)
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_elsewhere_than_on_the_main_thread_no_signal_is_handled(in_thread):
    before = signal.getsignal(signal.SIGTERM)
    assert not await in_thread(lambda: ShutdownSignals().put_before(Drained()))
    assert signal.getsignal(signal.SIGTERM) is before


async def test_handlers_that_were_installed_later_stay():
    put, app = ShutdownSignals(), Drained()
    before = signal.getsignal(signal.SIGTERM)
    put.put_before(app)
    signal.signal(signal.SIGTERM, later := lambda *_: None)
    put.remove(app)
    assert signal.getsignal(signal.SIGTERM) is later
    signal.signal(signal.SIGTERM, before)


def test_a_loop_that_has_ended_does_not_keep_a_signal(found):
    put, app = ShutdownSignals(), Drained()

    async def run():
        put.put_before(app)

    with asyncio.Runner() as runner:
        runner.run(run())
    signal.raise_signal(signal.SIGTERM)
    assert found == [signal.SIGTERM]
    with contextlib.suppress(KeyboardInterrupt):
        put.remove(app)
