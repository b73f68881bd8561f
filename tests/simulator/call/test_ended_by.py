"""Who ended a call and its streams, and why."""

from __future__ import annotations

import asyncio
import weakref

import pytest
from twilio.base.exceptions import TwilioRestException
from websockets.asyncio.server import serve

from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.call._interpreter import TwimlInterpreter
from twistream_kit.simulator.call._trial import TrialPrompt
from twistream_kit.simulator.call.call import KEPT_SOUNDS, Progress
from twistream_kit.simulator.call.web import Callbacks
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE, BOB = "+15550100001", "+15550100002"


@pytest.fixture
async def talking(twilio, place, media, eventually):
    """Place a call whose stream is open; return the call and the stream."""

    async def begin(verbs="<Connect><Stream url='{}'/></Connect>", **options):
        twilio.phone(ALICE)
        await place(verbs.format(media.url), **options)
        call = twilio.calls[-1]
        await eventually(lambda: call.streams.all and call.streams.all[0].connected)
        return call, call.streams.all[0]

    return begin


async def test_the_callee_hangs_up(twilio, talking, eventually):
    call, stream = await talking()
    assert call.ended_by is None
    assert "ended" not in repr(call)
    twilio.phone(ALICE).hang_up()
    await eventually(lambda: call.over and stream.ended)
    assert stream.ended == call.ended_by == EndCause("callee-hung-up")
    assert repr(call).endswith("completed, the callee hung up>")


async def test_the_caller_hangs_up(twilio, media, site, eventually):
    number, *_ = await asyncio.to_thread(twilio.client.incoming_phone_numbers.list)
    await asyncio.to_thread(number.update, voice_url=site.twiml("/voice", media.connect()))
    phone = twilio.phone(ALICE)
    call = await phone.dial(twilio.numbers[0])
    stream = await eventually(lambda: call.streams.all[0] if call.streams.all else None)
    await eventually(lambda: stream.connected)
    phone.hang_up()
    await eventually(lambda: call.over and stream.ended)
    assert stream.ended == call.ended_by == phone.ended == EndCause("caller-hung-up")
    assert repr(phone).endswith(", the caller hung up>")


async def test_a_request_hangs_up(twilio, talking, eventually):
    call, stream = await talking()
    await asyncio.to_thread(twilio.client.calls(call.sid).update, status="completed")
    await eventually(lambda: call.over and stream.ended)
    assert stream.ended == call.ended_by == EndCause("hung-up-by-request")


async def test_a_call_that_was_never_answered_is_canceled_by_request(twilio, place, eventually):
    twilio.phone(ALICE, answer="manual")
    await place("<Pause/>")
    call = twilio.calls[-1]
    await eventually(lambda: call.status == "ringing")
    await asyncio.to_thread(twilio.client.calls(call.sid).update, status="canceled")
    await eventually(lambda: call.over)
    assert (call.status, call.ended_by) == ("canceled", EndCause("hung-up-by-request"))


@pytest.mark.parametrize("answer", ["busy", "reject"])
async def test_a_call_that_nobody_answered_has_no_end_but_its_status(
    twilio, place, eventually, answer
):
    twilio.phone(ALICE, answer=answer)
    await place("<Pause/>")
    call = twilio.calls[-1]
    await eventually(lambda: call.over)
    assert call.ended_by is None
    assert repr(call).endswith(f"{call.status}>")


async def test_the_time_limit_ends_it(talking, eventually):
    call, stream = await talking(time_limit=1)
    await eventually(lambda: call.over and stream.ended)
    assert stream.ended == call.ended_by == EndCause("time-limit")


async def test_the_time_limit_of_a_trial_is_one_too(place, media, eventually, monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_CALL_SECONDS", 0.2)
    async with SimulatedTwilio(ring_seconds=0, behaviour=Behaviour(trial="blocked")) as twilio:
        twilio.phone(ALICE)
        twilio.verify(ALICE)
        await asyncio.to_thread(
            twilio.client.calls.create,
            to=ALICE,
            from_=twilio.numbers[0],
            twiml="<Response><Pause length='60'/></Response>",
        )
        call = twilio.calls[-1]
        await eventually(lambda: call.over)
    assert call.ended_by == EndCause("time-limit")


async def test_the_server_closes_and_the_twiml_has_nothing_left(talking, media, eventually):
    call, stream = await talking()
    await media.close(1000, "bye")
    await eventually(lambda: call.over)
    assert stream.ended == EndCause("server-closed", 1000, "bye")
    assert call.ended_by == EndCause("twiml-ended", detail=stream.ended.in_words)
    assert repr(call).endswith(
        "the call's TwiML came to its end: your server closed the connection (1000 'bye')>"
    )


async def test_twiml_without_a_stream_comes_to_its_end(twilio, place, eventually):
    twilio.phone(ALICE)
    await place("<Pause length='0'/>")
    call = twilio.calls[-1]
    await eventually(lambda: call.over)
    assert call.ended_by == EndCause("twiml-ended")


async def test_a_one_way_stream_is_stopped_by_twiml_or_by_a_request(twilio, talking, eventually):
    verbs = "<Start><Stream name='a' url='{}'/></Start><Pause length='{}'/><Stop>"
    verbs += "<Stream name='a'/></Stop><Pause length='30'/>"
    _, stream = await talking(verbs.replace("length='{}'", "length='1'"))
    await eventually(lambda: stream.ended)
    assert stream.ended == EndCause("twiml-went-on", detail="<Stop>")
    twilio.phone(ALICE).hang_up()
    await eventually(lambda: twilio.calls[0].over)
    call, stream = await talking("<Start><Stream url='{}'/></Start><Pause length='30'/>")
    resource = twilio.client.calls(call.sid).streams(stream.sid)
    await asyncio.to_thread(resource.update, status="stopped")
    await eventually(lambda: stream.ended)
    assert stream.ended == EndCause("stopped-by-request")
    assert not call.over


async def test_the_simulator_is_stopped(media, eventually):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        twilio.phone(ALICE)
        await asyncio.to_thread(
            twilio.client.calls.create,
            to=ALICE,
            from_=twilio.numbers[0],
            twiml=f"<Response><Connect><Stream url='{media.url}'/></Connect></Response>",
        )
        call = twilio.calls[-1]
        await eventually(lambda: call.streams.all and call.streams.all[0].connected)
    assert call.ended_by.in_words == "Twilio ended the call: the simulator was stopped"
    assert call.streams.all[0].ended == call.ended_by


async def test_the_twiml_goes_on_when_the_close_frame_comes_and_not_when_tcp_ends(
    twilio, place, eventually
):
    """A server that closes and reads no more keeps its TCP connection open."""
    twilio.phone(ALICE)
    held = asyncio.Event()

    async def closes_and_stays(connection):
        await connection.recv()
        connection.transport.pause_reading()
        connection.protocol.send_close(1000)
        connection.transport.write(b"".join(connection.protocol.data_to_send()))
        await held.wait()

    async with serve(closes_and_stays, "127.0.0.1", 0, close_timeout=0.1) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        await place(f"<Connect><Stream url='{url}'/></Connect><Pause length='60'/>")
        call = twilio.calls[-1]
        ended = await eventually(lambda: call.streams.all and call.streams.all[0].ended, 4)
        assert ended == EndCause("server-closed", 1000)
        assert not call.over
        twilio.phone(ALICE).hang_up()
        held.set()


async def test_the_sound_is_kept_of_the_last_ended_calls_only(twilio, place, eventually):
    twilio.phone(ALICE)
    for count in range(1, KEPT_SOUNDS + 3):
        await place("<Say>Hello</Say>")
        await eventually(lambda count=count: len(twilio.calls) == count and twilio.calls[-1].over)
    await eventually(lambda: not twilio.calls[1].handset.heard.payload)
    assert [bool(call.handset.heard.payload) for call in twilio.calls] == [
        *[False] * 2,
        *[True] * KEPT_SOUNDS,
    ]
    assert "last ten ended calls" in repr(twilio.calls[0].handset.heard)
    assert twilio.phone(ALICE).heard.payload


async def test_calls_that_ended_long_ago_hold_no_connection_and_can_still_be_asked(
    twilio, talking, place, eventually, collects_nothing
):
    old, stream = await talking()
    twilio.phone(ALICE).hang_up()
    await eventually(lambda: old.over)
    client = weakref.ref(stream.client)
    for count in range(2, KEPT_SOUNDS + 3):
        await place("<Say>Hello</Say>")
        await eventually(lambda count=count: len(twilio.calls) == count and twilio.calls[-1].over)
    await eventually(lambda: stream.is_released)
    assert client() is None  # without waiting for a garbage collection
    assert {type(each) for each in vars(old).values()}.isdisjoint(
        {asyncio.Task, TwimlInterpreter, TrialPrompt, Callbacks, Progress}
    )
    assert "the callee hung up" in repr(old)
    assert repr(stream).endswith("stopped, the callee hung up>")
    assert old.transcript == ()
    assert twilio.calls[1].transcript == ("Hello",)
    old.press("5")
    calls = twilio.client.calls(old.sid)
    assert (await asyncio.to_thread(calls.fetch)).status == "completed"
    for refused in (
        lambda: calls.update(twiml="<Response/>"),
        lambda: calls.update(status="completed"),
        lambda: calls.streams.create(url="wss://example.com/media"),
    ):
        with pytest.raises(TwilioRestException) as error:
            await asyncio.to_thread(refused)
        assert error.value.code in {20404, 21220}
    assert await asyncio.to_thread(calls.delete)
    assert old not in twilio.calls


async def test_the_last_ended_calls_and_all_running_ones_are_kept(
    twilio, place, eventually, monkeypatch
):
    monkeypatch.setattr("twistream_kit.simulator.call.call.KEPT_CALLS", 3)
    twilio.phone(ALICE)
    twilio.phone(BOB)
    await place("<Pause length='60'/>", phone=BOB)
    running = twilio.calls[0]
    sids = [running.sid]
    for _ in range(5):
        await place("<Say>Hi</Say>")
        newest = twilio.calls[-1]
        sids.append(newest.sid)
        await eventually(lambda newest=newest: newest.over and not twilio.phone(ALICE).call)
    await eventually(lambda: len(twilio.calls) == 4)
    assert [call.sid for call in twilio.calls] == [sids[0], *sids[-3:]]
    assert not running.over
    with pytest.raises(TwilioRestException) as error:
        await asyncio.to_thread(twilio.client.calls(sids[1]).fetch)
    assert error.value.code == 20404
