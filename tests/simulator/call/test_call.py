import asyncio
import threading

import pytest

from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE, BOB = "+15550100001", "+15550100002"
PAUSE = "<Pause length='30'/>"
EVENTS = ["initiated", "ringing", "answered", "completed"]


@pytest.fixture
def sent_statuses(site):
    """The progress sent to /status: pairs of sequence number and status."""
    site.serve("/status", status=204)

    def read():
        return [
            (request.params["SequenceNumber"], request.params["CallStatus"])
            for request in site.at("/status")
        ]

    return read


@pytest.fixture
def reporting(site):
    return {"status_callback": f"{site.origin}/status", "status_callback_event": EVENTS}


async def test_call_rings_is_answered_and_completed(
    twilio, place, sent_statuses, reporting, eventually
):
    answered = twilio.phone(ALICE).until("in-call")
    await place("<Pause length='0'/>", **reporting)
    await answered
    await eventually(lambda: len(sent_statuses()) == 4)
    assert sent_statuses() == [
        ("0", "initiated"),
        ("1", "ringing"),
        ("2", "in-progress"),
        ("3", "completed"),
    ]
    call = twilio.calls[0]
    assert call.status == "completed"
    assert call.seconds == 0
    assert len(twilio.debugger) == 0


@pytest.mark.parametrize(
    ("mode", "status", "sip_code"),
    [("busy", "busy", "486"), ("reject", "no-answer", "603"), ("never", "no-answer", "487")],
)
async def test_unanswered_call_ends_as_its_phone_decides(
    twilio, place, site, sent_statuses, reporting, eventually, mode, status, sip_code
):
    twilio.phone(ALICE, mode)
    await place(PAUSE, timeout=1, **reporting)
    await eventually(lambda: len(sent_statuses()) == 3)
    assert sent_statuses()[-1] == ("2", status)
    last = site.at("/status")[-1].params
    assert (last["SipResponseCode"], last["CallDuration"], last["Duration"]) == (sip_code, "0", "0")
    assert twilio.calls[0].started is None


async def test_number_that_nobody_has_fails_with_404(
    twilio, place, site, sent_statuses, reporting, eventually
):
    await place(PAUSE, **reporting)
    await eventually(lambda: len(sent_statuses()) == 2)
    assert sent_statuses() == [("0", "initiated"), ("1", "failed")]
    assert site.at("/status")[-1].params["SipResponseCode"] == "404"
    assert twilio.debugger.codes == [21214]
    assert "twilio.phone(number)" in twilio.debugger[0].text


async def test_only_completed_is_reported_when_nothing_else_was_asked_for(
    twilio, place, site, sent_statuses, eventually
):
    answered = twilio.phone(ALICE).until("in-call")
    await place("<Hangup/>", status_callback=f"{site.origin}/status")
    await answered
    await eventually(sent_statuses)
    assert sent_statuses() == [("0", "completed")]


async def test_canceled_while_queued_tells_nothing(twilio, place, site, sent_statuses, reporting):
    twilio.phone(ALICE, "manual")
    await place(PAUSE, **reporting)
    # The simulator has no queue that lasts; this one is canceled before its life begins.
    call = SimulatedCall(twilio._running.context, twilio.calls[0].plan, None)
    call.end("canceled")
    await call.run()
    assert {status for _, status in sent_statuses()} <= {"initiated", "ringing"}
    assert call.sid not in {request.params["CallSid"] for request in site.at("/status")}


async def test_busy_phone_is_busy_for_a_second_call(twilio, place, eventually):
    answered = twilio.phone(ALICE).until("in-call")
    await place(PAUSE)
    await answered
    await place(PAUSE)
    await eventually(lambda: twilio.calls[1].over)
    assert twilio.calls[1].status == "busy"
    assert twilio.calls[0].status == "in-progress"


async def test_two_calls_at_once_have_streams_of_their_own(twilio, place, media, eventually):
    for number in (ALICE, BOB):
        twilio.phone(number)
        await place(media.connect(), phone=number)
    await eventually(lambda: len(media.of("start")) == 2)
    first, second = (message["start"] for message in media.of("start"))
    assert first["callSid"] != second["callSid"]
    assert first["streamSid"] != second["streamSid"]


async def test_two_calls_one_after_the_other_reach_the_same_phone(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    for count in (1, 2):
        await place(media.connect())
        await eventually(lambda count=count: len(media.of("start")) == count)
        await media.close()
        await phone.until("idle")
    assert [call.status for call in twilio.calls] == ["completed", "completed"]


async def test_hanging_up_sends_stop_and_a_close_without_status(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    await place(media.connect())
    await eventually(lambda: media.of("media"))
    phone.hang_up()
    await eventually(lambda: media.endings)
    assert media.messages[-1]["event"] == "stop"
    assert media.endings == [1005]
    assert twilio.calls[0].status == "completed"


async def test_completing_through_rest_stops_the_stream(twilio, place, media, eventually):
    twilio.phone(ALICE)
    call = await place(media.connect())
    await eventually(lambda: media.of("media"))
    updated = await asyncio.to_thread(call.update, status="completed")
    assert updated.status == "completed"
    await eventually(lambda: media.endings)
    assert len(media.of("stop")) == 1


async def test_new_twiml_stops_the_stream_and_runs(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    call = await place(media.connect())
    await eventually(lambda: media.of("media"))
    await asyncio.to_thread(call.update, twiml="<Response><Say>word</Say></Response>")
    await eventually(lambda: media.of("stop"))
    await phone.until("idle")
    assert any(phone.heard.samples() > 1000)
    assert twilio.calls[0].status == "completed"


async def test_new_url_is_fetched_for_a_live_call(twilio, place, media, site, eventually):
    phone = twilio.phone(ALICE)
    site.twiml("/next", "<Hangup/>")
    call = await place(media.connect())
    await eventually(lambda: media.of("media"))
    await asyncio.to_thread(call.update, url=f"{site.origin}/next", method="GET")
    await phone.until("idle")
    (request,) = site.at("/next")
    assert (request.method, request.params["CallStatus"]) == ("GET", "in-progress")


async def test_time_limit_ends_the_call(twilio, place, sent_statuses, reporting, eventually):
    twilio.phone(ALICE)
    await place(PAUSE, time_limit=1, **reporting)
    await eventually(lambda: len(sent_statuses()) == 4)
    assert twilio.calls[0].status == "completed"
    assert twilio.calls[0].seconds == 1


async def test_failing_status_callback_is_15003_and_the_call_goes_on(
    twilio, place, site, media, eventually
):
    twilio.phone(ALICE)
    site.serve("/status", status=500)
    await place(
        media.connect(), status_callback=f"{site.origin}/status", status_callback_event=EVENTS
    )
    await eventually(lambda: media.of("media") and 15003 in twilio.debugger.codes)
    assert twilio.debugger[0].call_sid == twilio.calls[0].sid


async def test_unreachable_status_callback_is_logged(twilio, place, eventually, unused_port):
    twilio.phone(ALICE)
    await place("<Hangup/>", status_callback=f"http://127.0.0.1:{unused_port}/status")
    await eventually(lambda: twilio.debugger.codes == [11202])


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_leaving_the_simulator_ends_all_calls_and_leaves_nothing(media, site, eventually):
    site.serve("/status", status=204)
    before = set(threading.enumerate())
    tasks = asyncio.all_tasks()
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        phones = [twilio.phone(ALICE), twilio.phone(BOB, "manual")]
        for phone in phones:
            await asyncio.to_thread(
                twilio.client.calls.create, to=phone.number, from_=twilio.numbers[0],
                twiml=f"<Response>{media.connect()}</Response>",
                status_callback=f"{site.origin}/status",
            )  # fmt: skip
        await eventually(lambda: media.of("media") and phones[1].state == "ringing")
        saying = phones[0].say(b"\x80" * 80_000)
        never = phones[0].until("dialling")
    assert [call.status for call in twilio.calls] == ["completed", "canceled"]
    assert 0 <= await saying < 10
    with pytest.raises(Exception, match="stopped"):
        await never
    await eventually(lambda: media.endings == [1005])
    await eventually(
        lambda: (
            {request.params["CallStatus"] for request in site.at("/status")}
            == {"completed", "canceled"}
        )
    )
    await eventually(
        lambda: not {t for t in asyncio.all_tasks() - tasks if "simulat" in t.get_name()}
    )
    gone = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in gone if "simulator" in name}


async def test_broken_simulator_is_12400_and_the_call_fails(twilio, place, eventually, monkeypatch):
    async def breaks(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("twistream_kit.simulator.call._interpreter.obtain", breaks)
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    twilio.phone(ALICE)
    await place(PAUSE)
    await eventually(lambda: reported)
    assert twilio.calls[0].status == "failed"
    assert twilio.debugger.codes == [12400]


async def test_answer_is_reported_before_the_socket_opens(twilio, place, media, site, eventually):
    order = []

    async def slow(_request):
        from aiohttp import web

        await asyncio.sleep(0.1)  # sleeps: stands for a slow server
        order.append(len(media.connections))
        return web.Response(status=204)

    site.answers["/status"] = slow
    twilio.phone(ALICE)
    await place(
        media.connect(), status_callback=f"{site.origin}/status", status_callback_event=["answered"]
    )
    await eventually(lambda: media.of("start"))
    assert order == [0]


async def test_failed_stream_hangs_up_when_switched_so(eventually):
    behaviour = Behaviour(continues_after_failure=False)
    async with SimulatedTwilio(ring_seconds=0, behaviour=behaviour) as twilio:
        phone = twilio.phone(ALICE)
        twiml = "<Response><Connect><Stream url='http://x'/></Connect><Say>hello</Say></Response>"
        await asyncio.to_thread(
            twilio.client.calls.create, to=ALICE, from_=twilio.numbers[0], twiml=twiml
        )
        await eventually(lambda: twilio.calls[0].over)
        assert set(phone.heard.payload) <= {0xFF}, "nothing was said after the failure"
        assert twilio.debugger.codes == [31922]
