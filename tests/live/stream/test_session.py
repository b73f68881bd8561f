"""How a stream ends: whatever ends it, nothing that was promised is left over."""

import asyncio
import contextlib
import functools
import logging
import sys
import threading
import time

import pytest
from websockets.frames import Frame, Opcode

from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream import session as session_module
from twistream_kit.live.stream import state as state_module
from twistream_kit.live.stream.handler import is_async
from twistream_kit.live.stream.session import SocketEnd, describe_end
from twistream_kit.live.stream.stream import get_state
from twistream_kit.protocol import from_twilio, to_twilio

SECOND = b"\x00" * 8000


async def by_stop(end, server):
    await end.stop()


async def by_close(code, end, server):
    await end.connection.close(code)


async def by_abort(end, server):
    end.vanish()


async def by_silence(end, server):
    pass  # the server's `dead_after` is small


async def by_server(end, server):
    await server.__aexit__(None, None, None)


ENDS = {
    "stop": (by_stop, "stop", "Twilio ended the stream: the call ended, or its TwiML", 1000),
    "close 1000": (functools.partial(by_close, 1000), "far end", "the connection (1000)", 1000),
    "close 1001": (functools.partial(by_close, 1001), "far end", "the connection (1001)", 1001),
    "close 1011": (functools.partial(by_close, 1011), "far end", "the connection (1011)", 1011),
    "abort": (by_abort, "lost", "the connection was lost without a Close frame", 1006),
    "silence": (by_silence, "silent", "nothing arrived for", 1000),
    "server": (by_server, "server stopped", "your server was stopped", 1001),
}


@pytest.mark.parametrize("how", ENDS)
async def test_whatever_ends_a_stream_everything_promised_gets_its_ending(dial, how):
    act, reason, words, code = ENDS[how]
    server = StreamServer(dead_after=0.3 if how == "silence" else 30, send_ahead_seconds=0.5)
    await server.__aenter__()
    try:
        end = await dial(server)
        stream = await soon(server.next_stream())
        sent, unsent = stream.play(SECOND[:800], mark="a"), stream.play(SECOND * 100, mark="b")
        marks = [stream.mark("c"), stream.mark("c")]
        waits = [sent.heard(0.1), unsent.heard(90)]
        await end.until(to_twilio.Mark)
        events = asyncio.create_task(_rest_of(stream.events()))
        await act(end, server)
        ended = await soon(stream.closed)
        assert ended.reason == reason
        assert words in ended.detail
        endings = [(await soon(pending)).ending for pending in (sent, unsent, *marks)]
        assert endings == ["lost"] * 4
        whys = {(await soon(pending)).why for pending in (sent, unsent, *marks)}
        assert whys == {ended.detail} == {stream.cause.in_words}
        assert (await soon(stream.play(SECOND))).why == ended.detail
        assert all([await soon(wait) >= 0 for wait in waits])
        assert await soon(events) == [from_twilio.Stop] * (how == "stop")
        assert not get_state(stream).has_queued
        assert not stream.is_open
        assert await end.close_code() == code
    finally:
        if how != "server":
            await server.__aexit__(None, None, None)


async def _rest_of(reader):
    return [type(item) async for item in reader]


async def test_a_cleared_playback_whose_mark_never_came_ends_as_cleared(pair):
    stream, end = await pair()
    playing = stream.play(SECOND)
    await end.until(to_twilio.Mark)
    stream.clear()
    await end.until(to_twilio.Clear)
    await end.stop()
    assert (await soon(playing)).ending == "cleared"


async def test_media_keeps_a_stream_alive(pair):
    stream, end = await pair(dead_after=0.2)
    closed_at = []
    stream.closed.add_done_callback(lambda _: closed_at.append(time.monotonic()))
    for _ in range(8):
        await end.media()
        await asyncio.sleep(0.05)  # sleeps: stands for the timing of a far end
    assert (await soon(stream.closed)).reason == "silent"
    await eventually(lambda: closed_at)
    # A machine that stands still for a moment ends it earlier, but never before its time.
    last = stream.capture.started + stream.capture.entries[-1].at
    assert closed_at[0] - last >= 0.2


async def test_bad_and_unknown_messages_are_named_and_end_nothing(pair, said):
    stream, end = await pair()
    for text in ["", "nonsense", "[]", "{}", '{"event":5}', '{"event":"media"}', "\ud7ff"]:
        await end.send(text)
    await end.connection.send(b"\x00binary")
    await end.send('{"event":"media","media":{"payload":"not base64!"}}')
    await end.send('{"event":"novelty"}')
    playing = stream.play(b"")
    await end.until(to_twilio.Mark)
    await end.echo()
    assert (await soon(playing)).ending == "heard"
    warnings = said(logging.WARNING)
    assert sum("could not be parsed and is ignored" in line for line in warnings) == 9
    kept_words = "Twilio sent 'novelty', an event that is not known here; kept in the capture"
    assert kept_words in warnings
    kept = [entry.message for entry in stream.capture.entries]
    assert [m.event for m in kept if isinstance(m, from_twilio.Unknown)] == ["novelty"]


async def test_second_start_changes_nothing(pair):
    stream, end = await pair()
    await end.begin(x="y")
    await end.stop()
    assert (await soon(stream.closed)).reason == "stop"
    assert stream.parameters == {}


async def test_message_beyond_the_limit_ends_the_stream(pair):
    stream, end = await pair()
    await end.send("x" * 1_100_000)
    ended = await soon(stream.closed)
    assert ended.reason == "lost"
    assert ended.detail.startswith("your server closed the connection (1009 ")
    assert ended.detail.endswith("a message from the other side broke a rule of WebSocket")
    assert await end.close_code() == 1009


async def test_socket_that_says_no_start_is_closed(serve, dial, monkeypatch, said):
    monkeypatch.setattr(session_module, "START_SECONDS", 0.05)
    server = await serve()
    end = await dial(server, start=False)
    await end.send(from_twilio.Connected())
    assert await end.close_code() == 1000
    assert server.streams == ()
    assert any("sent no start" in line for line in said())


@pytest.mark.parametrize("code", [1000, 1011])
async def test_socket_that_closes_before_its_start_harms_nobody(serve, dial, code):
    server = await serve()
    end = await dial(server, start=False)
    await end.connection.close(code)
    await dial(server)
    assert (await soon(server.next_stream())).is_open
    assert len(server.streams) == 1


async def test_async_handler_gets_the_stream_and_its_return_does_not_end_it(serve, dial):
    got = []

    async def handler(stream):
        got.append(stream)

    server = await serve(handler)
    await dial(server)
    stream = await soon(server.next_stream())
    await eventually(lambda: got)
    await asyncio.sleep(0.02)  # sleeps: nothing may happen in it
    assert got == [stream]
    assert stream.is_open


async def send_in_one_write(end, *messages):
    async with end.connection.send_context():
        for message in messages:
            end.connection.protocol.send_text(message.to_json().encode())
        end.connection.transport.write(b"".join(end.connection.protocol.data_to_send()))


async def test_async_handler_reads_what_came_in_one_packet_with_start(serve, dial):
    read = asyncio.get_running_loop().create_future()

    async def handler(stream):
        audio, events = stream.audio(), stream.events()
        first = (await anext(audio))[0]
        read.set_result((first, (await anext(events)).digit))

    server = await serve(handler)
    waiting = server.next_stream()
    end = await dial(server, start=False)
    await send_in_one_write(
        end,
        from_twilio.Connected(),
        from_twilio.Start(end.stream_sid, "AC" + "0" * 32, end.call_sid),
        from_twilio.Media(end.stream_sid, b"\x80" * 160),
        from_twilio.Dtmf(end.stream_sid, "7"),
    )
    capture = (await soon(waiting)).capture
    await eventually(lambda: len(capture) == 3)
    # A reader that missed the first ones reads these.
    await end.media(b"\x90" * 160)
    await end.send(from_twilio.Dtmf(end.stream_sid, "8"))
    assert await soon(read) == (decode_ulaw(b"\x80")[0], "7")


async def test_ordinary_handler_reads_all_since_start_however_late_its_thread_begins(
    serve, dial, monkeypatch
):
    monkeypatch.setattr(state_module, "EARLY_SECONDS", 60)
    has_come, read = threading.Event(), asyncio.get_running_loop().create_future()

    def handler(stream):
        has_come.wait(LIMIT_SECONDS)
        audio, events = iter(stream.audio()), iter(stream.events())
        found = [next(audio)[0] for _ in range(6)], [next(events) for _ in range(2)]
        read.get_loop().call_soon_threadsafe(read.set_result, found)

    server = await serve(handler)
    waiting = server.next_stream()
    end = await dial(server, start=False)
    payloads = [bytes([0x80 + number]) * 160 for number in range(6)]
    await send_in_one_write(
        end,
        from_twilio.Connected(),
        from_twilio.Start(end.stream_sid, "AC" + "0" * 32, end.call_sid),
        *(from_twilio.Media(end.stream_sid, payload) for payload in payloads[:5]),
        from_twilio.Dtmf(end.stream_sid, "7"),
    )
    capture = (await soon(waiting)).capture
    await eventually(lambda: len(capture) == 7)
    has_come.set()
    await end.media(payloads[5])
    await end.send(from_twilio.Dtmf(end.stream_sid, "8"))
    samples, keys = await soon(read)
    assert samples == [decode_ulaw(payload)[0] for payload in payloads]
    assert [key.digit for key in keys] == ["7", "8"]


async def test_later_readers_of_an_ordinary_handler_begin_when_they_are_made(serve, dial):
    read = asyncio.get_running_loop().create_future()

    def handler(stream):
        stream.play(b"\x00" * 160).result(LIMIT_SECONDS)
        first = next(iter(stream.audio()))
        read.get_loop().call_soon_threadsafe(read.set_result, first[0])

    server = await serve(handler)
    end = await dial(server)
    stream = await soon(server.next_stream())
    await end.media(b"\x80" * 160)
    await eventually(lambda: len(stream.capture) >= 2)
    await end.until(to_twilio.Mark)
    await end.echo()
    while not read.done():
        await end.media(b"\x90" * 160)
        await asyncio.sleep(0.01)  # sleeps: the timing of a far end
    assert read.result() == decode_ulaw(b"\x90")[0]


async def test_other_threads_see_what_comes_from_now_on(serve, dial, in_thread):
    server = await serve(lambda stream: None)
    end = await dial(server)
    stream = await soon(server.next_stream())
    await end.media(b"\x80" * 160)
    await eventually(lambda: len(stream.capture) == 2)
    reader = await in_thread(stream.audio)
    await end.media(b"\x90" * 160)
    assert (await soon(anext(reader)))[0] == decode_ulaw(b"\x90")[0]


async def test_ordinary_handler_runs_on_a_thread_and_may_block(serve, dial):
    outcomes = []

    def handler(stream):
        thread = threading.current_thread()
        outcomes.append((stream.play(b"\x00" * 160).result(LIMIT_SECONDS).ending, thread.name))
        stream.close()

    server = await serve(handler)
    ends = [await dial(server) for _ in range(3)]
    for end in ends:
        await end.until(to_twilio.Mark)  # all three at once: none waits for another
    for end in ends:
        await end.echo()
        assert await end.close_code() == 1000
    assert [ending for ending, _ in outcomes] == ["heard"] * 3
    assert {name for _, name in outcomes} == {f"handler of {end.stream_sid}" for end in ends}


class Sprechstunde:
    async def __call__(self, stream):
        raise RuntimeError("no consultation today")


async def raises(stream):
    raise RuntimeError("no consultation today")


def raises_on_a_thread(stream):
    raise RuntimeError("no consultation today")


@pytest.mark.parametrize("handler", [raises, raises_on_a_thread, Sprechstunde()])
async def test_handler_that_raises_ends_its_stream_and_is_shown(serve, dial, caplog, handler):
    server = await serve(handler)
    end = await dial(server)
    assert await end.close_code() == 1011
    (stream,) = server.streams
    ended = await soon(stream.closed)
    assert ended.reason == "handler"
    words = "your handler raised an exception: RuntimeError: no consultation today"
    assert ended.detail == words
    assert str(stream.handler_error) == "no consultation today"
    (record,) = [r for r in caplog.records if "the handler of stream" in r.getMessage()]
    assert record.exc_info[1] is stream.handler_error
    assert (await dial(server)).stream_sid != stream.stream_sid


class Alarm(BaseException):
    """Something that is neither an Exception nor known to anybody."""


class Unspeakable(Exception):
    """What cannot even be said."""

    def __str__(self):
        return sys.exit(4)


async def cancels_itself(stream):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def awaits_what_was_cancelled(stream):
    other = asyncio.ensure_future(asyncio.Event().wait())
    other.cancel()
    await other


def exits_with(kind, *, is_async):
    async def handler(stream):
        raise kind("enough")

    def on_a_thread(stream):
        raise kind("enough")

    return handler if is_async else on_a_thread


KINDS = [
    SystemExit, KeyboardInterrupt, Alarm, GeneratorExit, asyncio.CancelledError, Unspeakable,
]  # fmt: skip
EXITS = {
    f"{kind.__name__}, {'async' if is_async else 'thread'}": (
        exits_with(kind, is_async=is_async),
        kind,
    )
    for kind in KINDS
    for is_async in (True, False)
} | {
    "cancels itself": (cancels_itself, asyncio.CancelledError),
    "awaits what was cancelled": (awaits_what_was_cancelled, asyncio.CancelledError),
}


@pytest.mark.parametrize("how", EXITS)
async def test_whatever_a_handler_raises_ends_its_own_stream_and_no_other(serve, dial, caplog, how):
    handler, kind = EXITS[how]
    calm = await serve()
    calm_end = await dial(calm)
    calm_stream = await soon(calm.next_stream())
    playing = calm_stream.play(b"\x00" * 160)
    await calm_end.until(to_twilio.Mark)

    server = await serve(handler)
    end = await dial(server)
    assert await end.close_code() == 1011
    (stream,) = server.streams
    ended = await soon(stream.closed)
    assert ended.reason == "handler"
    assert ended.detail.startswith(f"your handler raised an exception: {kind.__name__}")
    assert type(stream.handler_error) is kind
    (record,) = [r for r in caplog.records if "the handler of stream" in r.getMessage()]
    assert record.exc_info[1] is stream.handler_error

    await calm_end.echo()
    assert (await soon(playing)).ending == "heard"
    assert calm_stream.is_open


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Alarm, ValueError])
async def test_handler_that_raises_while_it_is_cancelled_ends_nothing_else(
    serve, dial, caplog, kind
):
    began = asyncio.Event()

    async def handler(stream):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise kind("enough")

    server = await serve(handler)
    end = await dial(server)
    await soon(began.wait())
    await end.stop()
    assert await end.close_code() == 1000
    (stream,) = server.streams
    assert (await soon(stream.closed)).reason == "stop"
    assert type(stream.handler_error) is kind
    assert "the handler of stream" in caplog.text


async def test_handler_that_we_cancel_has_not_failed(serve, dial, caplog):
    began = asyncio.Event()

    async def handler(stream):
        began.set()
        await asyncio.Event().wait()

    server = await serve(handler)
    end = await dial(server)
    await soon(began.wait())
    await end.stop()
    assert await end.close_code() == 1000
    (stream,) = server.streams
    assert stream.handler_error is None
    assert "failed" not in caplog.text


async def test_handler_that_ends_with_all_tasks_of_its_loop_has_not_failed(serve, dial, caplog):
    began = asyncio.Event()

    async def handler(stream):
        began.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    server = await serve(handler)
    own = asyncio.all_tasks() | before
    end = await dial(server)
    await soon(began.wait())
    for task in asyncio.all_tasks() - own - {end._reading}:
        task.cancel()  # as `asyncio.run` does at its end
    (stream,) = server.streams
    assert (await soon(stream.closed)).reason == "server stopped"
    assert stream.handler_error is None
    assert "the handler of stream" not in caplog.text


async def test_handler_whose_thread_cannot_start_ends_its_stream_with_all_that_waits(
    serve, dial, monkeypatch, caplog
):
    start = threading.Thread.start

    def refuse_handlers(thread):
        if thread.name.startswith("handler of"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_handlers)
    before = asyncio.all_tasks()
    server = await serve(print)
    waiting = server.next_stream()
    end = await dial(server)
    stream = await soon(waiting)
    promised = [stream.play(SECOND), stream.mark("done")]
    assert (await soon(stream.closed)).reason == "handler"
    assert {(await soon(pending)).ending for pending in promised} == {"lost"}
    assert str(stream.handler_error).startswith(
        "no thread could be started for the handler: can't start new thread. No handler serves "
        "the caller, so the stream is closed. Make the handler `async def`"
    )
    assert "the handler of stream" in caplog.text
    assert await end.close_code() == 1011
    await eventually(
        lambda: not [t for t in asyncio.all_tasks() - before if "StreamSession" in repr(t)]
    )


async def test_handler_that_returns_a_coroutine_nobody_awaits_is_reported(serve, dial):
    server = await serve(lambda stream: raises(stream))
    await dial(server)
    stream = await soon(server.next_stream())
    assert (await soon(stream.closed)).detail == (
        "your handler raised an exception: WrongType: the handler is an ordinary function and "
        "returned a coroutine, which is not awaited; make the handler `async def`."
    )


async def test_an_async_handler_that_returns_a_coroutine_is_reported_too(serve, dial):
    async def handler(stream):
        return raises(stream)

    server = await serve(handler)
    await dial(server)
    stream = await soon(server.next_stream())
    assert (await soon(stream.closed)).detail == (
        "your handler raised an exception: WrongType: the handler is an async function and "
        "returned a coroutine, which is not awaited; say `await` before it."
    )


def generate(stream):
    stream.clear()
    yield


async def generate_async(stream):
    stream.clear()
    yield


async def return_generator(stream):
    return generate(stream)


@pytest.mark.parametrize(
    "handler",
    [lambda stream: generate(stream), lambda stream: generate_async(stream), return_generator],
)
async def test_handler_that_returns_a_generator_is_reported(serve, dial, handler):
    server = await serve(handler)
    await dial(server)
    stream = await soon(server.next_stream())
    assert "returned a generator, of which nothing runs" in (await soon(stream.closed)).detail


async def test_handler_is_cancelled_when_its_stream_ends(serve, dial):
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(stream):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    server = await serve(handler)
    end = await dial(server)
    await soon(began.wait())
    await end.stop()
    await soon(ended.wait())


async def test_handler_that_does_not_let_itself_be_cancelled_holds_up_nothing(
    serve, dial, monkeypatch, said
):
    monkeypatch.setattr(session_module, "HANDLER_SECONDS", 0.05)
    began, let_go = asyncio.Event(), asyncio.Event()

    async def handler(stream):
        began.set()
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()

    server = await serve(handler)
    end = await dial(server)
    await soon(began.wait())
    await end.stop()
    assert await end.close_code() == 1000
    assert any("did not end when it was cancelled" in line for line in said(logging.ERROR))
    let_go.set()


async def test_ordinary_handler_outlives_the_server_without_an_error(dial):
    go, done = threading.Event(), threading.Event()

    def handler(stream):
        go.wait(LIMIT_SECONDS)
        done.ending = stream.play(SECOND).result(LIMIT_SECONDS).ending
        done.set()

    async with StreamServer(handler) as server:
        await dial(server)
        await soon(server.next_stream())
    go.set()
    assert await asyncio.to_thread(done.wait, LIMIT_SECONDS)
    assert done.ending == "lost"


async def test_error_of_our_own_ends_the_stream_and_is_shown(pair, said):
    stream, end = await pair()
    get_state(stream).receive = None
    await end.media()
    assert (await soon(stream.closed)).reason == "lost"
    assert "a stream was ended by an error of this program" in said(logging.ERROR)


@pytest.mark.parametrize(
    ("handler", "answer"),
    [
        (raises, True),
        (functools.partial(raises), True),
        (Sprechstunde(), True),
        (Sprechstunde().__call__, True),
        (raises_on_a_thread, False),
        (print, False),
    ],
)
def test_is_async_tells_handlers_apart(handler, answer):
    assert is_async(handler) is answer


async def test_a_connection_that_is_closed_with_pongs_still_to_send_ends_its_stream(
    serve, dial, caplog
):
    server = await serve()
    end = await dial(server)
    stream = await soon(server.next_stream())
    (session,) = server._sessions
    transport = end.connection.transport
    transport.pause_reading()  # the pongs pile up at the server
    pings = b"".join(Frame(Opcode.PING, bytes(125)).serialize(mask=True) for _ in range(1000))
    held = session._socket._connection.transport
    while not held.get_write_buffer_size():
        transport.write(pings)
        await asyncio.sleep(0.01)  # sleeps: between two writes of the far end
    transport.write_eof()
    await eventually(held.is_closing)
    transport.resume_reading()
    ended = await soon(stream.closed)
    assert ended.cause.cause == "connection-lost"
    await eventually(lambda: not server._sessions)
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        (Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True), "twilio-stopped"),
        (Frame(Opcode.TEXT, b"{}").serialize(mask=False), "server-closed"),
    ],
    ids=["a Close frame", "a frame that is not masked"],  # the mask is another one each time
)
async def test_a_far_end_that_leaves_the_connection_open_after_its_close_ends_the_stream(
    serve, dial, monkeypatch, last, cause
):
    server = await serve()
    end = await dial(server)
    stream = await soon(server.next_stream())
    transport = end.connection.transport
    monkeypatch.setattr(end.connection, "data_received", lambda _: None)  # it reads no more
    monkeypatch.setattr(end.connection, "eof_received", lambda: True)
    transport.write(last)
    ended = await soon(stream.closed)
    assert ended.cause.cause == cause
    assert ended.reason != "silent"
    transport.abort()


def test_a_server_that_stops_is_no_fault_of_twilio():
    end = describe_end(SocketEnd(1012, is_ours=True))
    assert (end.reason, end.cause.cause) == ("server stopped", "server-stopped")
