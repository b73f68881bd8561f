"""Your side and Twilio's, over real sockets: calls as people make them, and as they go wrong."""

import asyncio
import contextlib
import itertools
import socket

import pytest

from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import CallRefused, ServerStopped, WouldDeadlock
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.local_proxy import LocalProxy
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.tunnel.tunnel import open_tunnel
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE, BOB = "+15550100001", "+15550100002"
TONE = Clip.tone(440, 0.2)


@pytest.fixture
async def serve(twilio):
    """Run a server of this account's until the test ends."""
    async with contextlib.AsyncExitStack() as running:

        async def start(handler=None, **options):
            server = StreamServer(handler, auth_token=twilio.auth_token, **options)
            return await running.enter_async_context(server)

        yield start


@pytest.fixture
def call(twilio):
    """Call a phone, which is put there; return the call."""

    async def place(server, number=ALICE, answer="auto", **options):
        twilio.phone(number, answer)
        options.setdefault("from_", twilio.numbers[0])
        return await soon(
            place_call(twilio.client, to=number, stream_url=server.stream_url, **options)
        )

    return place


@pytest.fixture
def until_over():
    """Ask for the status of a call until it is a final one."""

    async def wait(call):
        async with asyncio.timeout(LIMIT_SECONDS):
            while not call.is_over:
                await call.refresh()
                await asyncio.sleep(0.01)  # sleeps: between two questions over HTTP
        return call.status

    return wait


def ear(phone, clip):
    """How many ms of `clip` reached the ear, from its beginning on."""
    heard = phone.heard.payload
    begin = heard.find(clip.payload[:320])
    if begin < 0:
        return 0
    pairs = zip(heard[begin:], clip.payload, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)) / 8


def near(twilio):
    """How many ms model and ear may differ: 40, a frame, and what the simulator itself was late."""
    return 40 + 20 + 2 * twilio.pacer.lateness.report().max_ms


async def test_sound_reaches_the_ear_and_the_last_of_it_is_heard_to_its_end(twilio, serve, call):
    server = await serve()
    placed = await call(server, parameters={"lang": "en"})
    stream = await soon(server.next_stream(placed))
    assert (stream.call_sid, stream.parameters) == (placed.sid, {"lang": "en"})
    last = stream.play(TONE, mark="goodbye")
    assert await soon(placed.hang_up(after=last)) == "completed"
    outcome = await soon(last)
    assert (outcome.ending, outcome.heard_ms) == ("heard", 200)
    assert (await soon(stream.closed)).reason == "stop"
    assert ear(twilio.phone(ALICE), TONE) == 200
    assert len(twilio.debugger) == 0


@pytest.mark.realtime
async def test_hang_up_without_waiting_loses_the_rest(twilio, serve, call):
    server = await serve()
    placed = await call(server)
    stream = await soon(server.next_stream())
    playing = stream.play(Clip.tone(440, 20))
    await soon(playing.heard(0.05))
    await soon(placed.hang_up())
    outcome = await soon(playing)
    assert outcome.ending == "lost"
    assert 50 <= outcome.heard_ms < 2000
    assert abs(ear(twilio.phone(ALICE), Clip.tone(440, 20)) - outcome.heard_ms) <= near(twilio)


async def test_hang_up_twice_is_once(serve, call):
    server = await serve()
    placed = await call(server)
    await soon(server.next_stream())
    assert await soon(placed.hang_up()) == "completed"
    assert await soon(placed.hang_up()) == "completed"


async def test_two_calls_one_after_the_other(twilio, serve, call, until_over):
    server = await serve()
    for _ in range(2):
        placed = await call(server)
        stream = await soon(server.next_stream())
        assert stream.call_sid == placed.sid
        assert (await soon(stream.play(TONE))).ending == "heard"
        assert ear(twilio.phone(ALICE), TONE) == 200
        assert (await soon(stream.close())).reason == "closed"
        assert await until_over(placed) == "completed"
    assert len(server.streams) == 2


async def test_two_calls_at_once_do_not_hear_each_other(twilio, serve, call):
    server = await serve()
    placed = [await call(server, number) for number in (ALICE, BOB)]
    streams = [await soon(server.next_stream(each)) for each in placed]
    clips = [Clip.tone(300, 0.2), Clip.tone(1000, 0.2)]
    playing = [stream.play(clip) for stream, clip in zip(streams, clips, strict=True)]
    assert [(await soon(each)).ending for each in playing] == ["heard", "heard"]
    for number, own, other in ((ALICE, *clips), (BOB, *reversed(clips))):
        phone = twilio.phone(number)
        assert ear(phone, own) == 200
        assert ear(phone, other) == 0
    await soon(placed[0].hang_up())
    await soon(streams[0].closed)
    assert streams[1].is_open


@pytest.mark.parametrize(
    ("answer", "status"), [("busy", "busy"), ("reject", "no-answer"), ("never", "no-answer")]
)
async def test_phone_that_does_not_talk_opens_no_stream(serve, call, answer, status):
    server = await serve()
    placed = await call(server, answer=answer, ring_seconds=1)
    with pytest.raises(CallRefused, match=f"the call ended as {status} before a stream came"):
        await soon(server.next_stream(placed))
    assert placed.status == await soon(placed.ended) == status
    assert server.streams == ()
    assert await soon(placed.hang_up()) == status


async def test_phone_that_hangs_up_in_mid_playback_loses_the_rest(twilio, serve, call):
    server = await serve()
    await call(server)
    stream = await soon(server.next_stream())
    playing = stream.play(Clip.tone(440, 20))
    await soon(playing.heard(0.1))
    twilio.phone(ALICE).hang_up()
    assert (await soon(playing)).ending == "lost"
    assert (await soon(stream.closed)).reason == "stop"


@pytest.mark.realtime
async def test_clear_is_heard_within_a_moment(twilio, serve, call):
    server = await serve()
    await call(server)
    stream = await soon(server.next_stream())
    speech = Clip.tone(440, 10)
    playing = stream.play(speech)
    await soon(playing.heard(0.1))
    stream.clear()
    outcome = await soon(playing)
    assert outcome.ending == "cleared"
    assert abs(ear(twilio.phone(ALICE), speech) - outcome.heard_ms) <= near(twilio)
    assert (await soon(stream.play(TONE))).ending == "heard"


async def test_caller_is_heard_and_keys_arrive(twilio, serve, call):
    server = await serve()
    await call(server)
    stream = await soon(server.next_stream())
    events, audio = stream.events(), stream.audio()
    phone = twilio.phone(ALICE)
    phone.press("5")
    phone.say(TONE)
    assert (await soon(anext(events))).digit == "5"
    async with asyncio.timeout(LIMIT_SECONDS):
        async for samples in audio:
            if abs(samples.astype(int)).max() > 1000:
                break


async def fails(stream):
    raise RuntimeError("out of order")


def fails_on_a_thread(stream):
    raise RuntimeError("out of order")


@pytest.mark.parametrize("handler", [fails, fails_on_a_thread])
async def test_handler_that_raises_ends_its_call_and_no_other(
    twilio, serve, call, until_over, handler
):
    server = await serve(handler)
    placed = await call(server)
    assert await until_over(placed) == "completed"
    (stream,) = server.streams
    assert (await soon(stream.closed)).reason == "handler"
    assert [entry.code for entry in twilio.debugger] == [31921]
    assert (await soon((await call(server, BOB)).refresh())) in ("queued", "ringing", "in-progress")


async def test_server_that_stops_in_mid_call_leaves_nothing_pending(twilio, call, until_over):
    async with StreamServer(auth_token=twilio.auth_token) as server:
        placed = await call(server)
        stream = await soon(server.next_stream())
        port, playing = server.port, stream.play(Clip.tone(440, 20))
        heard, waiting = playing.heard(19), server.next_stream()
        await soon(playing.heard(0.02))
    assert playing.result(0).ending == "lost"
    assert heard.result(0) < 19
    with pytest.raises(ServerStopped):
        waiting.result(0)
    assert await until_over(placed) == "completed"
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


async def test_simulator_that_stops_in_mid_call_ends_the_stream():
    async with SimulatedTwilio(ring_seconds=0.02) as twilio:
        async with StreamServer(auth_token=twilio.auth_token) as server:
            twilio.phone(ALICE)
            await soon(
                place_call(
                    twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url
                )
            )
            stream = await soon(server.next_stream())
            playing = stream.play(Clip.tone(440, 20))
            client = twilio.client
            await twilio.__aexit__(None, None, None)
            assert (await soon(playing)).ending == "lost"
            await soon(stream.closed)
            with pytest.raises(ServerStopped, match="the simulator that this client belongs to"):
                await soon(
                    place_call(client, to=ALICE, from_="+15005550006", stream_url=server.stream_url)
                )
        await twilio.__aenter__()


async def test_call_to_a_server_that_vanished_says_so_in_the_debugger(twilio, call, until_over):
    async with StreamServer(auth_token=twilio.auth_token) as server:
        pass

    class Vanished:
        stream_url = "ws://127.0.0.1:9/media"

    assert server.streams == ()
    assert await until_over(await call(Vanished)) == "completed"
    (entry,) = twilio.debugger
    assert entry.code in (31902, 31920)


async def test_server_with_another_token_refuses_and_the_debugger_says_31920(
    twilio, call, until_over
):
    async with StreamServer(auth_token="another") as server:
        assert await until_over(await call(server)) == "completed"
        assert server.streams == ()
    # The server lets no report in either.
    assert {entry.code for entry in twilio.debugger} == {31920, 15003}


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_incoming_call_asks_the_server_for_its_twiml(twilio, serve, method):
    server = await serve()
    (number,) = await asyncio.to_thread(twilio.client.incoming_phone_numbers.list, limit=1)
    await asyncio.to_thread(number.update, voice_url=server.twiml_url, voice_method=method)
    phone = twilio.phone(ALICE)
    dialled = phone.dial(number.phone_number)
    stream = await soon(server.next_stream())
    assert stream.parameters == {"from": ALICE, "to": number.phone_number}
    await soon(dialled)
    assert (await soon(stream.play(TONE))).ending == "heard"
    assert ear(phone, TONE) == 200
    assert len(twilio.debugger) == 0


async def test_status_callbacks_arrive_signed_at_the_server(twilio, serve, call):
    server = await serve()
    placed = await call(server)
    stream = await soon(server.next_stream())
    assert (await soon(stream.play(TONE))).ending == "heard"
    assert placed.status == "in-progress"  # and nobody asked
    twilio.phone(ALICE).hang_up()
    assert await soon(placed.ended) == placed.status == "completed"
    assert [event.name for event in placed.events if event.sequence is not None] == [
        "initiated", "ringing", "in-progress", "completed",
    ]  # fmt: skip
    assert "stream-started" in [event.name for event in placed.events]
    assert {event.call_sid for event in server.status_events} == {placed.sid}


async def test_whole_call_through_a_tunnel(twilio, serve, call):
    server = await serve()
    async with LocalProxy(server) as proxy, open_tunnel(server, "static", url=proxy.url):
        assert server.stream_url.startswith(proxy.url.replace("http", "ws"))
        placed = await call(server, status_callback=server.status_url)
        stream = await soon(server.next_stream(placed))
        assert (await soon(stream.play(TONE))).ending == "heard"
        assert (await soon(stream.close())).reason == "closed"
    assert ear(twilio.phone(ALICE), TONE) == 200
    assert [event.name for event in server.status_events][:1] == ["initiated"]


async def test_wrong_number_is_refused_in_words(serve, call):
    server = await serve()
    with pytest.raises(CallRefused, match="21210") as refused:
        await call(server, from_="+15559999999")
    assert refused.value.fix


def test_program_without_a_notebook_awaits_everything_on_its_own_loop():
    async def program():
        async with SimulatedTwilio(ring_seconds=0) as t, StreamServer(auth_token=t.auth_token) as s:
            phone = t.phone(ALICE)
            call = await place_call(
                t.client, to=phone.number, from_=t.numbers[0], stream_url=s.stream_url
            )
            stream = await s.next_stream(call)
            playing = stream.play(TONE)
            with pytest.raises(WouldDeadlock, match="Say `await` instead"):
                playing.result(5)
            with pytest.raises(WouldDeadlock):
                call.refresh().result(5)
            outcome = await playing
            await stream.close()
            return outcome.ending, ear(phone, TONE)

    assert asyncio.run(soon(program())) == ("heard", 200)
