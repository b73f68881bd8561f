"""Who ended a call: what follows from what is known of it, and what real calls say."""

from __future__ import annotations

import asyncio
import time

import pytest

import twistream_kit as kit
from support.waiting import eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.live.calls import ending
from twistream_kit.live.calls.ending import (
    DEFAULT_TIME_LIMIT,
    KNOWN_CALLS,
    TOGETHER_SECONDS,
    CallEndings,
    CallRecord,
    StreamRecord,
)
from twistream_kit.live.calls.status import StatusEvent
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.stream_host import get_endings
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"
STOPPED = 100.0
OUT = {"direction": "outbound-api"}
DONE = {"status": "completed", "status_at": STOPPED + 0.3, "seconds": 42}

STOPS = {
    "nothing is known": ({}, "twilio-stopped", False),
    "we call out, and it is over": (OUT | DONE, "callee-hung-up", True),
    "they call in, and it is over": ({"direction": "inbound"} | DONE, "caller-hung-up", True),
    "it is over, who called is not known": (DONE, "twilio-stopped", False),
    "it was over before its stop came": (
        OUT | DONE | {"status_at": STOPPED - 0.2}, "callee-hung-up", True,
    ),
    "it failed": (OUT | DONE | {"status": "failed"}, "twilio-stopped", False),
    "we asked for it": (OUT | DONE | {"asked_at": STOPPED - 0.1}, "hung-up-by-request", False),
    "we asked for it and no more is known": ({"asked_at": STOPPED - 0.1}, "hung-up-by-request", 0),
    "we asked too late": (OUT | DONE | {"asked_at": STOPPED + 0.1}, "callee-hung-up", True),
    "its limit is reached": (OUT | DONE | {"time_limit": 42}, "time-limit", True),
    "its limit is not reached": (OUT | DONE | {"time_limit": 43}, "callee-hung-up", True),
    "Twilio's own limit is reached": (
        OUT | DONE | {"seconds": DEFAULT_TIME_LIMIT}, "time-limit", True,
    ),
    "it goes on": (OUT | {"alive_at": STOPPED + 1.2}, "twiml-replaced", True),
    "it went on before": (OUT | {"alive_at": STOPPED - 5}, "twilio-stopped", False),
    "it is said to go on, too early to be believed": (
        OUT | {"alive_at": STOPPED + 0.1}, "twilio-stopped", False,
    ),
    "it went on for a moment and was over": (
        OUT | DONE | {"alive_at": STOPPED + 0.1}, "callee-hung-up", True,
    ),
    "another stream begins": (
        OUT | {"streams": [StreamRecord(1), StreamRecord(STOPPED + 0.4)]}, "twiml-replaced", True,
    ),
    "another stream begins, and the call ends": (
        OUT | DONE | {"streams": [StreamRecord(1), StreamRecord(STOPPED + 0.1)]},
        "twiml-replaced", True,
    ),
    "it ended much later": (
        OUT | DONE | {"status_at": STOPPED + TOGETHER_SECONDS + 1}, "twilio-stopped", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("known", STOPS)
def test_why_a_stream_was_stopped_follows_from_what_is_known(known):
    facts, cause, is_guess = STOPS[known]
    found = CallRecord(**facts).explain_stop(STOPPED)
    assert (found.cause, found.is_guess) == (cause, bool(is_guess))
    assert found.in_words


CLOSED = EndCause("server-closed", 1000)
LAST = {"streams": [StreamRecord(1, STOPPED)]}
ENDS = {
    "it goes on": (OUT, None),
    "its stream was stopped": (OUT | DONE | LAST, EndCause("callee-hung-up", is_guess=True)),
    "its stream was closed here, and no verb followed": (
        OUT | DONE | {"streams": [StreamRecord(1, STOPPED, CLOSED)]},
        EndCause("server-closed", 1000, is_guess=True),
    ),
    "its stream was closed here, long before": (
        OUT | DONE | {"streams": [StreamRecord(1, STOPPED - 60, CLOSED)]}, None,
    ),
    "we asked for it, though its stream was closed here": (
        OUT | DONE | {"asked_at": STOPPED, "streams": [StreamRecord(1, STOPPED, CLOSED)]},
        EndCause("hung-up-by-request"),
    ),
    "it was cancelled by us": (
        OUT | {"status": "canceled", "status_at": STOPPED, "asked_at": STOPPED - 1},
        EndCause("hung-up-by-request"),
    ),
    "nobody answered": (OUT | {"status": "no-answer", "status_at": STOPPED}, None),
    "it had no stream here": (OUT | DONE, None),
    "its stream has not ended yet": (
        OUT | DONE | {"streams": [StreamRecord(1)]}, EndCause("callee-hung-up", is_guess=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("known", ENDS)
def test_who_ended_a_call_follows_from_what_is_known(known):
    facts, cause = ENDS[known]
    assert CallRecord(**facts).explain_end() == cause


def event(call_sid="CA1", name="completed", **parameters):
    return StatusEvent(STOPPED, name, call_sid, "", 0, parameters)


def test_reports_are_read_whatever_is_in_them():
    endings = CallEndings()
    endings.note_event(event(Direction="inbound", CallDuration="7"))
    record = endings._get("CA1")
    assert (record.direction, record.seconds, record.status) == ("inbound", 7, "completed")
    for odd in ("", "-1", "x" * 99, "9" * 5000, ["1", "2"], "٣"):
        endings.note_event(event("CA2", Direction=["a", "b"], CallDuration=odd))
        endings.note_event(event("", CallDuration=odd))
    assert endings.explain_stop("CA2", STOPPED).cause == "twilio-stopped"


def test_only_the_newest_calls_are_kept():
    endings = CallEndings()
    for number in range(KNOWN_CALLS + 50):
        endings.note_event(event(f"CA{number}"))
    assert len(endings._calls) == KNOWN_CALLS


async def test_wait_ends_at_once_where_nothing_can_arrive():
    found = await soon(CallEndings().wait_explained("CA1", STOPPED))
    assert found.cause == "twilio-stopped"


async def test_wait_ends_with_the_report(monkeypatch):
    monkeypatch.setattr(ending, "STATUS_SECONDS", 60)
    endings = CallEndings()
    endings.follow("CA1", direction="outbound-api", is_reported=True)
    waiting = asyncio.create_task(endings.wait_explained("CA1", STOPPED))
    await asyncio.sleep(0)
    endings.note_status("CA1", "completed", STOPPED)
    assert (await soon(waiting)).cause == "callee-hung-up"


async def test_wait_asks_when_no_report_comes(monkeypatch):
    monkeypatch.setattr(ending, "STATUS_SECONDS", 0.05)
    endings = CallEndings()
    ask = lambda: endings.note_alive("CA1", STOPPED + 1)  # noqa: E731
    endings.follow("CA1", direction="outbound-api", ask=ask)
    assert (await soon(endings.wait_explained("CA1", STOPPED))).cause == "twiml-replaced"


async def test_wait_ends_when_the_server_stops(monkeypatch):
    monkeypatch.setattr(ending, "STATUS_SECONDS", 60)
    endings = CallEndings()
    endings.follow("CA1", is_reported=True)
    waiting = asyncio.create_task(endings.wait_explained("CA1", STOPPED))
    await asyncio.sleep(0)
    endings.stop()
    assert (await soon(waiting)).cause == "twilio-stopped"


@pytest.fixture
async def up(serve):
    """A call that is in progress, with its server, its stream and its telephone."""
    async with SimulatedTwilio(ring_seconds=0) as twilio:

        async def make(handler=None, **options):
            server = await serve(handler, auth_token=twilio.auth_token)
            phone = twilio.phone(ALICE)
            placing = place_call(
                twilio.client, to=ALICE, from_=twilio.numbers[0],
                stream_url=server.stream_url, **options,
            )  # fmt: skip
            call = await soon(placing)
            return twilio, server, phone, call, await soon(server.next_stream(call))

        yield make


async def ended_alike(call, stream, *pendings):
    """Return the one cause that everything says, when all of it has ended."""
    end = await soon(stream.closed)
    assert await soon(call.ended) == "completed"
    outcomes = [await soon(pending) for pending in pendings]
    assert all(outcome.ending == "lost" for outcome in outcomes)
    later = [await soon(stream.play(b"\xff" * 160)), await soon(stream.mark("late"))]
    causes = {end.cause, stream.cause, *(each.cause for each in [*outcomes, *later])}
    assert len(causes) == 1
    words = end.cause.in_words
    assert all(words in repr(each) for each in (end, stream, call, *outcomes, *later))
    return end.cause


LONG = Clip.tone(440, 20)


async def test_a_callee_who_hangs_up_is_said_everywhere(up):
    _, _, phone, call, stream = await up()
    playing, mark = stream.play(LONG), stream.mark("bye")
    await soon(playing.heard(0.1))
    phone.hang_up()
    cause = await ended_alike(call, stream, playing, mark)
    assert cause == EndCause("callee-hung-up", is_guess=True)
    assert (await soon(playing)).why == "the callee hung up (probably)"
    assert call.cause == cause


async def test_what_was_heard_is_counted_until_the_stop_and_not_until_its_reason(up, monkeypatch):
    monkeypatch.setattr(ending, "STATUS_SECONDS", 1.5)
    _, _, phone, call, stream = await up(status_callback=False)
    playing = stream.play(LONG)
    await soon(playing.heard(0.1))
    phone.hang_up()
    await eventually(lambda: not stream.is_open)
    heard = playing.heard_ms
    end = await soon(stream.closed)
    assert end.cause.cause == "callee-hung-up"  # asked for, as no report comes
    assert playing.heard_ms == (await soon(playing)).heard_ms == heard
    assert (await soon(call.ended)) == "completed"


async def test_our_own_hang_up_is_said_everywhere(up):
    _, _, _, call, stream = await up()
    playing = stream.play(LONG)
    await soon(playing.heard(0.1))
    await soon(call.hang_up())
    assert await ended_alike(call, stream, playing) == EndCause("hung-up-by-request")
    assert call.cause == EndCause("hung-up-by-request")


async def test_a_time_limit_that_was_reached_is_said_everywhere(up):
    _, _, _, call, stream = await up(time_limit_seconds=1)
    cause = await ended_alike(call, stream, stream.play(LONG))
    assert (cause.cause, cause.is_guess) == ("time-limit", True)
    assert call.cause == cause


async def test_a_close_by_the_server_ends_stream_and_call(up):
    _, _, _, call, stream = await up()
    playing = stream.play(LONG)
    stream.close(now=True)
    assert await ended_alike(call, stream, playing) == EndCause("server-closed", 1000)
    assert call.cause == EndCause("server-closed", 1000, is_guess=True)


async def test_a_handler_that_raises_ends_stream_and_call(up):
    async def handler(stream):
        stream.play(LONG)
        raise ValueError("no such customer")

    _, _, _, call, stream = await up(handler)
    cause = await ended_alike(call, stream, stream.newest)
    assert cause.in_words == "your handler raised an exception: ValueError: no such customer"
    assert call.cause.cause == "handler-failed"


async def test_a_caller_who_hangs_up_is_said(serve):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        client, number = twilio.client, twilio.numbers[0]
        (found,) = await asyncio.to_thread(
            lambda: client.incoming_phone_numbers.list(phone_number=number)
        )
        await asyncio.to_thread(
            lambda: client.incoming_phone_numbers(found.sid).update(
                voice_url=server.twiml_url, status_callback=server.status_url
            )
        )
        phone = twilio.phone(ALICE)
        await soon(phone.dial(number))
        stream = await soon(server.next_stream())
        playing = stream.play(LONG)
        phone.hang_up()
        assert (await soon(playing)).why == "the caller hung up (probably)"
        assert (await soon(stream.closed)).cause.cause == "caller-hung-up"


async def test_twiml_that_was_replaced_and_opens_another_stream_is_said(up):
    twilio, server, _, call, stream = await up()
    playing = stream.play(LONG)
    twiml = f'<Response><Connect><Stream url="{server.stream_url}"/></Connect></Response>'
    await asyncio.to_thread(lambda: twilio.client.calls(call.sid).update(twiml=twiml))
    again = await soon(server.next_stream())
    assert again.stream_sid != stream.stream_sid
    assert (await soon(playing)).cause == EndCause("twiml-replaced", is_guess=True)
    assert (await soon(stream.closed)).cause.cause == "twiml-replaced"
    await soon(call.hang_up())
    assert (await soon(again.closed)).cause == EndCause("hung-up-by-request")
    assert stream.cause.cause == "twiml-replaced"


async def test_a_reason_that_comes_too_late_for_the_end_corrects_it(serve, dial):
    server = await serve()
    end = await dial(server)
    stream = await soon(server.next_stream())
    await end.stop()
    assert (await soon(stream.closed)).cause.cause == "twilio-stopped"
    endings = get_endings(server)
    endings.follow(stream.call_sid, direction="inbound")
    endings.note_status(stream.call_sid, "completed", time.monotonic())
    await eventually(lambda: stream.cause.cause == "caller-hung-up")
    assert "the caller hung up (probably)" in repr(stream)
    assert (await soon(stream.play(b"\xff"))).why == "the caller hung up (probably)"


async def test_a_simulator_that_is_stopped_ends_its_calls_and_nobody_hung_up():
    twilio = kit.SimulatedTwilio(ring_seconds=0)
    async with kit.StreamServer() as server:
        async with twilio:
            options = {"from_": twilio.numbers[0], "stream_url": server.stream_url}
            for number in ("+15550100001", "+15550100002"):
                twilio.phone(number)
            first = await soon(kit.place_call(twilio.client, to="+15550100001", **options))
            over = await soon(server.next_stream(first))
            twilio.phone("+15550100001").hang_up()
            await soon(over.closed)
            await soon(first.ended)
            call = await soon(kit.place_call(twilio.client, to="+15550100002", **options))
            stream = await soon(server.next_stream(call))
            playing = stream.play(kit.Clip.tone(440, 60))
        end = await soon(stream.closed)
        said = "Twilio ended the call: the simulator was stopped"
        assert (end.cause.cause, end.detail) == ("twilio-hung-up", said)
        assert said in repr(await soon(playing))
        assert await soon(call.ended) == "completed"
        assert said in repr(call)
        # The one before was ended by its callee, and stays so.
        assert over.cause.cause == "callee-hung-up"
