"""A call as it goes on: what is asked of Twilio, what Twilio reports, and its end."""

import asyncio
import gc
import itertools
import time
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.rest import Client

from support.sdk import Network, refusal
from support.waiting import soon
from twistream_kit.errors import CallRefused, ServerStopped, TwistreamError, WouldDeadlock
from twistream_kit.live.calls import call as call_module
from twistream_kit.live.calls.call import Call, call_when_over, hang_up_now
from twistream_kit.live.calls.status import StatusEvent
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.state import Playing
from twistream_kit.pending import Pending, fulfil
from twistream_kit.protocol.marks import PlayOutcome
from twistream_kit.simulator.twilio import SimulatedTwilio

pytestmark = pytest.mark.usefixtures("nothing_left_for_the_exit")

SID = "CA" + "1" * 32
ALICE = "+15550100001"
LIFE = ("initiated", "ringing", "in-progress", "completed")
FINAL = ("completed", "busy", "failed", "no-answer", "canceled")


def call_with(*answers, status="in-progress", server=None):
    network = Network(*answers)
    client = Client("AC" + "0" * 32, "0" * 32, http_client=network)
    return Call(client, SID, to="+1", from_="+2", status=status, server=server), network


def says(status):
    return 200, {"sid": SID, "status": status}


def event(name, sequence=None, stream_sid="", **parameters):
    return StatusEvent(time.monotonic(), name, SID, stream_sid, sequence, parameters)


class FakeStatusSource:
    """A server that reports what the test says."""

    loop = None

    def __init__(self, *earlier):
        self.earlier = earlier
        self.stopped = Pending()

    def stop(self):
        fulfil(self.stopped, None)

    def follow_call(self, call_sid, listener, on_loss):
        assert call_sid == SID
        self.tell, self.lose = listener, on_loss
        for each in self.earlier:
            listener(each)
        return lambda: None


async def test_hang_up_completes_the_call():
    call, network = call_with(says("completed"))
    assert await soon(call.hang_up()) == "completed"
    assert call.status == "completed"
    assert call.is_over
    assert call.ended.result(0) == "completed"
    ((method, url, form),) = network.requests
    assert (method, form) == ("POST", {"Status": "completed"})
    assert url.endswith(f"/Calls/{SID}.json")


async def test_hanging_up_what_is_known_to_be_over_asks_nothing():
    call, network = call_with(status="busy")
    assert await soon(call.hang_up()) == "busy"
    assert call.ended.result(0) == "busy"
    assert network.requests == []


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (400, 21220)])
async def test_hanging_up_what_is_over_is_no_error_and_tells_how_it_ended(status, code):
    call, network = call_with(refusal(status, code), says("no-answer"))
    assert await soon(call.hang_up()) == call.status == await soon(call.ended) == "no-answer"
    assert [method for method, _, _ in network.requests] == ["POST", "GET"]


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (401, 20003)])
async def test_what_is_over_and_cannot_be_looked_at_is_taken_as_completed(status, code):
    call, _ = call_with(refusal(404, 20404), refusal(status, code))
    assert await soon(call.hang_up()) == await soon(call.ended) == "completed"


async def test_other_refusals_to_hang_up_are_reported():
    call, _ = call_with(refusal(401, 20003))
    with pytest.raises(CallRefused, match="to hang up call") as refused:
        await soon(call.hang_up())
    assert refused.value.code == 20003
    assert refused.value.__context__ is None
    assert call.status == "in-progress"
    assert not call.ended.done()


async def test_refresh_asks_for_the_status():
    call, network = call_with(says("no-answer"))
    assert not call.is_over
    assert await soon(call.refresh()) == call.status == "no-answer"
    assert call.is_over
    assert call.ended.result(0) == "no-answer"
    assert network.requests[0][0] == "GET"


async def test_refresh_with_an_older_answer_takes_nothing_back():
    call, _ = call_with(says("ringing"))
    assert await soon(call.refresh()) == call.status == "in-progress"


async def test_hanging_up_now_needs_no_thread_and_has_its_own_limit():
    call, network = call_with(says("completed"))
    hang_up_now(call, 3)
    assert call.is_over
    assert network.limit == 3
    assert network.timeout is None


class Source:
    def count_heard(self, handle):
        return 0

    def watch(self, playing, size, wait):
        pass

    def note_wait(self):
        pass


async def test_hang_up_after_a_playback_waits_until_it_was_heard():
    call, network = call_with(says("completed"))
    playing = Playing(Source(), 800, None, None)
    hanging_up = call.hang_up(after=playing)
    await asyncio.sleep(0.03)  # sleeps: nothing may happen in it
    assert network.requests == []
    fulfil(playing, PlayOutcome("heard", 100, 100))
    assert await soon(hanging_up) == "completed"


async def test_hang_up_after_a_playback_that_never_ends_has_a_limit(monkeypatch):
    monkeypatch.setattr(call_module, "CLOSE_MARGIN_SECONDS", 0.02)
    call, _ = call_with(says("completed"))
    assert await soon(call.hang_up(after=Playing(Source(), 80, None, None))) == "completed"


def test_status_follows_the_reports_without_a_request():
    server = FakeStatusSource()
    call, network = call_with(status="queued", server=server)
    seen = []
    for number, name in enumerate(LIFE):
        server.tell(event(name, number))
        seen.append(call.status)
    # `initiated` is the name of a report, not of a state.
    assert seen == ["queued", "ringing", "in-progress", "completed"]
    assert call.ended.result(0) == "completed"
    assert network.requests == []
    assert repr(call) == f"<Call {SID}: +2 to +1, completed>"


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_reports_in_any_order_give_the_same_end_and_the_same_list(order):
    server = FakeStatusSource()
    call, _ = call_with(status="queued", server=server)
    steps = ["queued", "ringing", "in-progress", "completed"]
    furthest = 0
    for number in order:
        server.tell(event(LIFE[number], number))
        furthest = max(furthest, number)
        assert call.status == steps[furthest]
        assert call.ended.done() == (furthest == 3)
    assert [each.name for each in call.events] == list(LIFE)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from([*LIFE, *FINAL, "", "unheard-of"]), max_size=12))
def test_status_never_goes_back_and_a_final_one_stays(names):
    server = FakeStatusSource()
    call, _ = call_with(status="queued", server=server)
    steps = ["queued", "ringing", "in-progress"]
    known = "queued"
    for name in names:
        server.tell(event(name))
        if known in FINAL:
            assert call.status == known
        elif call.status != known:
            assert call.status == name
            assert call.status in FINAL or steps.index(call.status) > steps.index(known)
        known = call.status
    assert call.ended.done() == (known in FINAL)


def test_reports_without_a_number_stay_where_they_arrived():
    server = FakeStatusSource()
    call, _ = call_with(status="queued", server=server)
    arriving = [
        event("in-progress", 2), event("stream-started", stream_sid="MZ1"), event("initiated", 0),
        event("stream-stopped", stream_sid="MZ1"), event("ringing", 1),
    ]  # fmt: skip
    for each in arriving:
        server.tell(each)
    names = [each.name for each in call.events]
    assert names == ["initiated", "stream-started", "ringing", "stream-stopped", "in-progress"]


def test_report_of_a_stream_says_nothing_of_the_call():
    server = FakeStatusSource()
    call, _ = call_with(status="ringing", server=server)
    server.tell(event("completed", stream_sid="MZ1"))
    assert call.status == "ringing"


def test_reports_from_before_are_taken_in():
    call, _ = call_with(
        status="queued", server=FakeStatusSource(event("ringing", 1), event("busy", 2))
    )
    assert call.ended.result(0) == call.status == "busy"


def test_verdict_of_machine_detection_is_the_newest():
    server = FakeStatusSource(event("", AnsweredBy="unknown"))
    call, _ = call_with(server=server)
    assert call.answered_by == "unknown"
    server.tell(event("", AnsweredBy="human"))
    server.tell(event("completed", 3))
    assert call.answered_by == "human"
    assert call.status == "completed"


def test_server_that_stops_first_ends_the_wait_and_not_the_call():
    server = FakeStatusSource()
    call, _ = call_with(server=server)
    server.stop()
    with pytest.raises(ServerStopped, match=f"before call {SID} was over"):
        call.ended.result(0)
    assert call.status == "in-progress"
    assert not call.is_over


def test_what_runs_for_weeks_keeps_nothing_of_the_calls_that_are_over():
    source = FakeStatusSource()
    kept = [call_with(server=source)[0] for _ in range(3)]
    assert len(source.stopped._done_callbacks) == 3
    source.tell(event("completed"))
    assert kept[-1].ended.result(0) == "completed"
    assert len(source.stopped._done_callbacks) == 2
    source.stop()
    for call in kept[:-1]:
        with pytest.raises(ServerStopped):
            call.ended.result(0)


def test_server_that_has_stopped_already_is_no_error_of_the_call():
    call, _ = call_with(server=StreamServer())
    with pytest.raises(ServerStopped):
        call.ended.result(0)


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(call_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(call_module, "LONGEST_PAUSE_SECONDS", 0.001)


async def test_lost_address_has_twilio_asked_until_the_call_is_over(no_pause):
    answers = [says("in-progress"), refusal(503, 20503), says("in-progress"), says("busy")]
    server = FakeStatusSource()
    call, network = call_with(*answers, server=server)
    server.lose()
    assert await soon(call.ended) == "busy"
    assert len(network.requests) == len(answers)


async def test_lost_address_and_no_answer_of_twilios_end_the_wait_all_the_same(no_pause):
    server = FakeStatusSource()
    call, network = call_with(*[refusal(503, 20503)] * call_module.MAX_REFUSALS, server=server)
    server.lose()
    with pytest.raises(CallRefused, match="20503"):
        await soon(call.ended)
    assert not network.answers


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
async def test_asking_that_breaks_ends_the_wait_for_the_end(no_pause, kind):
    server = FakeStatusSource()
    call, network = call_with(server=server)

    def breaks(*_, **__):
        raise kind("enough")

    network.request = breaks
    server.lose()
    with pytest.raises(
        TwistreamError, match=rf"^asking how call {SID} ended broke: {kind.__name__}"
    ):
        await soon(call.ended)


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_what_fails_at_the_end_of_a_call_keeps_it_from_nobody(caplog, kind):
    called, server = [], FakeStatusSource()
    call, _ = call_with(server=server)

    def fails():
        raise kind("enough")

    call_when_over(call, fails)
    call_when_over(call, lambda: called.append(call.status))
    server.tell(event("completed"))
    call_when_over(call, fails)
    assert called == ["completed"]
    assert call.ended.result(0) == "completed"
    assert caplog.text.count("a listener to the end of call") == 2


async def test_lost_address_asks_nothing_of_a_call_that_is_over_or_forgotten(no_pause):
    server = FakeStatusSource()
    call, network = call_with(status="completed", server=server)
    server.lose()
    assert await soon(call.ended) == "completed"
    forgotten, network_too = call_with(server=FakeStatusSource())
    poll = call_module._build_end_poll(forgotten)
    del forgotten
    gc.collect()
    await soon(asyncio.to_thread(poll))
    assert network.requests == network_too.requests == []


async def test_lost_address_shows_in_the_end_of_a_real_call(serve, eventually):
    async with SimulatedTwilio() as twilio:
        server = await serve(auth_token=twilio.auth_token)
        phone = twilio.phone(ALICE)
        call = await soon(
            place_call(
                twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url
            )
        )
        await soon(server.next_stream(call))
        await eventually(lambda: call.status == "in-progress")
        server.lose_public_url("ssh ended")
        await eventually(lambda: server.disconnect_reason)
        server.public_url = "https://example.com"  # reports, signed for here, are refused
        phone.hang_up()
        assert await soon(call.ended) == "completed"
        assert "completed" not in [event.name for event in call.events]


async def test_when_over_is_called_once_or_at_once():
    called = []
    call, _ = call_with(says("completed"))
    call_when_over(call, lambda: called.append("then"))
    assert called == []
    await soon(call.hang_up())
    await soon(call.hang_up())
    assert called == ["then"]
    call_when_over(call, lambda: called.append("now"))
    assert called == ["then", "now"]


async def test_server_does_not_keep_a_call_that_nobody_wants(serve):
    server = await serve()
    call, _ = call_with(server=server)
    gone = weakref.ref(call)
    del call
    gc.collect()
    assert gone() is None


async def test_waiting_for_the_end_on_the_servers_loop_is_refused(serve):
    call, _ = call_with(server=await serve())
    with pytest.raises(WouldDeadlock):
        call.ended.result(5)


@pytest.mark.parametrize(
    ("answer", "status"), [("busy", "busy"), ("reject", "no-answer"), ("never", "no-answer")]
)
async def test_end_of_a_call_that_is_not_answered_is_reported_by_the_simulator(
    serve, answer, status
):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        twilio.phone(ALICE, answer)
        call = await soon(dial(twilio, server, ring_seconds=1))
        assert await soon(call.ended) == call.status == status
        assert [each.name for each in call.events] == ["initiated", "ringing", status]


async def test_call_without_reports_that_is_hung_up_ends_the_wait_for_its_stream(serve):
    async with SimulatedTwilio() as twilio:
        server = await serve(auth_token=twilio.auth_token)
        twilio.phone(ALICE, "manual")
        call = await soon(
            place_call(
                twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url,
                status_callback=False,
            )
        )  # fmt: skip
        wait = server.next_stream(call)
        await soon(call.hang_up())
        for each in (wait, server.next_stream(call)):
            with pytest.raises(CallRefused, match="ended as canceled before a stream came"):
                await soon(each)


async def test_call_that_is_cancelled_while_it_rings_is_reported_by_the_simulator(
    serve, eventually
):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        twilio.phone(ALICE, "manual")
        call = await soon(dial(twilio, server))
        await eventually(lambda: call.status == "ringing")
        assert await soon(call.hang_up()) == "canceled"
        await eventually(lambda: len(call.events) == 3)
        assert call.events[-1].name == "canceled"


async def test_caller_who_hangs_up_is_reported_by_the_simulator(serve, eventually):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        phone = twilio.phone(ALICE)
        call = await soon(dial(twilio, server))
        await soon(server.next_stream(call))
        assert call.status == "in-progress"
        assert not call.ended.done()
        phone.hang_up()
        assert await soon(call.ended) == "completed"
        await eventually(lambda: len(call.events) == 6)
        assert [each.name for each in call.events if each.sequence is not None] == list(LIFE)
        streams = [each.name for each in call.events if each.sequence is None]
        assert streams == ["stream-started", "stream-stopped"]


async def test_stream_that_cannot_be_opened_is_reported_by_the_simulator(serve, eventually):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        twilio.phone(ALICE)
        pending = place_call(
            twilio.client, to=ALICE, from_=twilio.numbers[0],
            stream_url=server.stream_url.replace("/media", "/elsewhere"),
            status_callback=server.status_url,
        )  # fmt: skip
        call = await soon(pending)
        await eventually(lambda: "completed" in [each.name for each in server.status_events])
        await eventually(lambda: any(each.is_stream_error for each in server.status_events))
        broken = [each for each in server.status_events if each.is_stream_error]
        assert [each.call_sid for each in broken] == [call.sid]
        # Nobody knows which server `/elsewhere` belongs to, so the call follows none.
        assert call.events == []


def dial(twilio, server, **options):
    return place_call(
        twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url, **options
    )
