"""Placing calls: the real SDK's client, with answers of our own in place of the network's."""

import asyncio
import json
import threading

import pytest
import requests
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from twistream_kit.errors import CallRefused, LocalProtocolError, WouldDeadlock
from twistream_kit.live import dialling
from twistream_kit.live.dialling import Call, place_call
from twistream_kit.live.playing import Playing
from twistream_kit.pending import fulfil
from twistream_kit.protocol.outcomes import PlayOutcome
from twistream_kit.simulator.twilio import SimulatedTwilio

PUBLIC = "wss://example.com/media"
SID = "CA" + "1" * 32


class Network(HttpClient):
    """Answers in the order given; an exception is raised."""

    def __init__(self, *answers):
        super().__init__(None, False, None)
        self.answers = list(answers)
        self.requests = []
        self.threads = set()

    def request(self, method, url, params=None, data=None, **options):
        self.requests.append((method, url, data))
        self.threads.add(threading.current_thread().name)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return Response(status, json.dumps(body))


def client_with(*answers):
    network = Network(*answers)
    return Client("AC" + "0" * 32, "0" * 32, http_client=network), network


def refusal(status, code, message="words of Twilio's"):
    return status, {"code": code, "message": message, "status": status, "more_info": "…"}


def placed(status="queued"):
    return 201, {"sid": SID, "status": status}


async def soon(pending):
    return await asyncio.wait_for(pending, 5)


def dial(client, **options):
    options = {"to": "+15550100001", "from_": "+15005550006", "stream_url": PUBLIC} | options
    return place_call(client, **options)


async def test_call_is_placed_with_its_twiml_inline():
    client, network = client_with(placed())
    call = await soon(dial(client, parameters={"lang": "en"}))
    assert (call.sid, call.status, call.to, call.from_) == (
        SID, "queued", "+15550100001", "+15005550006",
    )  # fmt: skip
    assert repr(call) == f"<Call {SID}: +15005550006 to +15550100001, queued>"
    ((method, _, form),) = network.requests
    assert method == "POST"
    assert form == {
        "To": "+15550100001",
        "From": "+15005550006",
        "Twiml": form["Twiml"],
    }
    assert f'<Connect><Stream url="{PUBLIC}"><Parameter name="lang" value="en"' in form["Twiml"]


async def test_sdk_runs_on_a_thread_of_its_own():
    client, network = client_with(placed())
    await soon(dial(client))
    assert network.threads == {"calling +15550100001"}


async def test_callback_and_ring_time_are_passed_on():
    client, network = client_with(placed())
    await soon(dial(client, status_callback="https://example.com/status", ring_seconds=5))
    form = network.requests[0][2]
    assert form["StatusCallback"] == "https://example.com/status"
    assert form["StatusCallbackEvent"] == ["initiated", "ringing", "answered", "completed"]
    assert form["Timeout"] == 5


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, 21211, "21211, .*words of Twilio's"),
        (401, 20003, "20003, .*words of Twilio's"),
        (400, 99999, "See https://www.twilio.com/docs/api/errors/99999"),
    ],
)
async def test_refusal_has_code_status_and_words(status, code, words):
    client, _ = client_with(refusal(status, code))
    with pytest.raises(CallRefused, match=words) as refused:
        await soon(dial(client))
    assert (refused.value.code, refused.value.status) == (code, status)
    assert refused.value.fix
    assert "\x1b" not in str(refused.value)


async def test_answer_that_is_not_twilios_is_a_refusal_too():
    client, _ = client_with((502, {"oops": "bad gateway"}))
    with pytest.raises(CallRefused, match=r"Twilio refused to call \+15550100001") as refused:
        await soon(dial(client))
    assert refused.value.status == 502


@pytest.mark.parametrize(
    "error",
    [requests.ConnectionError("no route"), requests.Timeout(), requests.exceptions.SSLError()],
)
async def test_network_that_fails_is_said_in_words(error):
    client, _ = client_with(error)
    with pytest.raises(CallRefused, match="Twilio could not be reached") as refused:
        await soon(dial(client))
    assert type(error).__name__ in str(refused.value)
    assert refused.value.code is None
    assert refused.value.__cause__ is error


@pytest.mark.parametrize(
    "url",
    [
        "ws://example.com/media",
        "https://example.com/media",
        "wss://127.0.0.1:5000/media",
        "ws://127.0.0.1:5000/media",
        "wss://localhost/media",
        "wss://[::1]/media",
        "example.com/media",
        "",
    ],
)
def test_stream_that_twilio_cannot_reach_is_refused_before_anything_is_asked(url):
    client, network = client_with()
    with pytest.raises(CallRefused, match="open_tunnel"):
        dial(client, stream_url=url)
    assert network.requests == []


def test_stream_url_with_a_query_and_too_long_a_parameter_are_refused():
    client, network = client_with()
    with pytest.raises(LocalProtocolError, match="query"):
        dial(client, stream_url=PUBLIC + "?token=x")
    with pytest.raises(LocalProtocolError, match="500"):
        dial(client, parameters={"a": "b" * 500})
    assert network.requests == []


async def test_simulators_client_may_dial_loopback(serve):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        phone = twilio.phone("+15550100001")
        call = await soon(
            place_call(
                twilio.client,
                to=phone.number,
                from_=twilio.numbers[0],
                stream_url=server.stream_url,
            )
        )
        stream = await soon(server.next_stream(call))
        assert stream.call_sid == call.sid


@pytest.mark.parametrize(
    ("to", "from_", "code"),
    [("+1555", None, 21211), ("nobody", None, 21211), ("+15550100001", "+15550199999", 21210)],
)
async def test_simulator_refuses_as_twilio_does(to, from_, code):
    async with SimulatedTwilio() as twilio:
        with pytest.raises(CallRefused) as refused:
            await soon(
                place_call(
                    twilio.client, to=to, from_=from_ or twilio.numbers[0],
                    stream_url="ws://127.0.0.1:1/media",
                )
            )  # fmt: skip
        assert (refused.value.code, refused.value.status) == (code, 400)


async def test_waiting_for_a_call_on_the_simulators_loop_is_refused():
    async with SimulatedTwilio() as twilio:
        twilio.phone("+15550100001", "busy")
        pending = place_call(
            twilio.client, to="+15550100001", from_=twilio.numbers[0],
            stream_url="ws://127.0.0.1:1/media",
        )  # fmt: skip
        with pytest.raises(WouldDeadlock, match="Say `await` instead"):
            pending.result(5)
        assert (await soon(pending)).sid.startswith("CA")


def call_with(*answers, status="in-progress"):
    client, network = client_with(*answers)
    return Call(client, SID, to="+1", from_="+2", status=status), network


async def test_hang_up_completes_the_call():
    call, network = call_with((200, {"sid": SID, "status": "completed"}))
    assert await soon(call.hang_up()) == "completed"
    assert call.status == "completed"
    assert call.is_over
    ((method, url, form),) = network.requests
    assert (method, form) == ("POST", {"Status": "completed"})
    assert url.endswith(f"/Calls/{SID}.json")


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (400, 21220)])
@pytest.mark.parametrize("known", ["in-progress", "busy"])
async def test_hanging_up_what_is_over_is_no_error(status, code, known):
    call, _ = call_with(refusal(status, code), status=known)
    assert await soon(call.hang_up()) == ("busy" if known == "busy" else "completed")


async def test_other_refusals_to_hang_up_are_told():
    call, _ = call_with(refusal(401, 20003))
    with pytest.raises(CallRefused, match="to hang up call") as refused:
        await soon(call.hang_up())
    assert refused.value.code == 20003
    assert call.status == "in-progress"


async def test_refresh_asks_for_the_status():
    call, network = call_with((200, {"sid": SID, "status": "no-answer"}))
    assert not call.is_over
    assert await soon(call.refresh()) == call.status == "no-answer"
    assert call.is_over
    assert network.requests[0][0] == "GET"


class Source:
    def heard_bytes(self, handle):
        return 0

    def watch(self, playing, size, wait):
        pass


async def test_hang_up_after_a_playback_waits_until_it_was_heard(eventually):
    call, network = call_with((200, {"sid": SID, "status": "completed"}))
    playing = Playing(Source(), 800, None, None)
    hanging_up = call.hang_up(after=playing)
    await asyncio.sleep(0.03)  # sleeps: nothing may happen in it
    assert network.requests == []
    fulfil(playing, PlayOutcome("heard", 100, 100))
    assert await soon(hanging_up) == "completed"


async def test_hang_up_after_a_playback_that_never_ends_has_a_limit(monkeypatch):
    monkeypatch.setattr(dialling, "GOODBYE_SECONDS", 0.02)
    call, _ = call_with((200, {"sid": SID, "status": "completed"}))
    assert await soon(call.hang_up(after=Playing(Source(), 80, None, None))) == "completed"
