import asyncio
import re

import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.errors import ServerStopped, WouldDeadlock
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"


async def test_constructor_touches_no_loop(other_loop):
    # Made on a thread whose loop is this one, entered on another.
    twilio = SimulatedTwilio(ring_seconds=0)
    phone = twilio.phone(ALICE)

    async def session():
        async with twilio:
            answered = phone.until("in-call")
            await asyncio.to_thread(
                twilio.client.calls.create, to=ALICE, from_=twilio.numbers[0],
                twiml="<Response><Pause length='9'/></Response>",
            )  # fmt: skip
            await answered
            return twilio.loop

    assert await other_loop(session()) is other_loop.loop
    assert twilio.loop is None


async def test_client_and_phones_work_from_any_thread(twilio):
    def session():
        phone = twilio.phone(ALICE)
        answered = phone.until("in-call")
        twiml = "<Response><Pause length='9'/></Response>"
        call = twilio.client.calls.create(to=ALICE, from_=twilio.numbers[0], twiml=twiml)
        answered.result(LIMIT_SECONDS)
        call.update(status="completed")
        return phone.until("idle").result(LIMIT_SECONDS)

    assert await asyncio.to_thread(session) == "idle"


async def test_client_on_the_simulators_own_loop_would_deadlock(twilio):
    with pytest.raises(WouldDeadlock, match=r"kit\.place_call"):
        twilio.client.calls.list()


async def test_client_of_a_stopped_simulator_says_so():
    async with SimulatedTwilio() as twilio:
        client = twilio.client
    with pytest.raises(ServerStopped, match="Start a SimulatedTwilio"):
        await asyncio.to_thread(client.calls.list)
    with pytest.raises(ServerStopped, match="not running"):
        _ = twilio.client


async def test_client_dials_loopback_and_ignores_proxies(monkeypatch, twilio):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    http_client = twilio.client.http_client
    assert http_client.dials_loopback is True
    assert http_client.loop is asyncio.get_running_loop()
    assert http_client.timeout == 10
    assert await asyncio.to_thread(twilio.client.calls.list) == []


async def test_simulator_can_be_entered_again(place):
    twilio = SimulatedTwilio()
    async with twilio:
        first = twilio.url
    async with twilio:
        assert twilio.url.startswith("http://127.0.0.1:")
        assert await asyncio.to_thread(twilio.client.calls.list) == []
    assert first


async def test_simulator_cannot_be_entered_twice_at_once(twilio):
    with pytest.raises(RuntimeError, match="running already"):
        await twilio.__aenter__()
    assert await asyncio.to_thread(twilio.client.calls.list) == []


async def test_failed_start_leaves_nothing_behind(monkeypatch):
    async def no_port(*_):
        raise OSError(98, "Address already in use")

    twilio = SimulatedTwilio()
    with monkeypatch.context() as patch:
        patch.setattr("twistream_kit.simulator.twilio.serve", no_port)
        with pytest.raises(OSError, match="in use"):
            await twilio.__aenter__()
    async with twilio:
        assert await asyncio.to_thread(twilio.client.calls.list) == []


async def test_two_simulators_live_side_by_side(twilio, place):
    async with SimulatedTwilio() as other:
        assert other.url != twilio.url
        assert other.auth_token != twilio.auth_token
        await place("<Hangup/>")
        assert await asyncio.to_thread(other.client.calls.list) == []


def test_sids_are_the_same_in_every_run_and_the_token_never():
    first, second = SimulatedTwilio(), SimulatedTwilio()
    assert first.account_sid == second.account_sid == "AC470a832159a6c7bbeca4a4f95e33c5d2"
    assert first.auth_token != second.auth_token
    assert re.fullmatch("[0-9a-f]{32}", first.auth_token)


async def test_repr_tells_the_state_and_not_the_token(twilio):
    text = repr(twilio)
    assert "http://127.0.0.1:" in text
    assert "0 calls" in text
    for shown in (text, repr(twilio._running.context), repr(twilio.client), repr(twilio.calls)):
        assert twilio.auth_token not in shown
    assert "not running" in repr(SimulatedTwilio())


def test_same_number_is_the_same_phone_with_the_new_answer():
    twilio = SimulatedTwilio()
    phone = twilio.phone(ALICE)
    assert phone.answers == "auto"
    assert twilio.phone(ALICE, "busy") is phone
    assert phone.answers == "busy"
    assert phone.state == "idle"
    assert phone.heard.seconds == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("555",), "E.164"),
        (("+15005550006",), "a number of the account"),
        ((ALICE, "later"), "auto, manual, busy, never, reject"),
    ],
)
def test_impossible_phones_are_refused_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        SimulatedTwilio().phone(*arguments)


def test_impossible_options_are_refused_in_words():
    with pytest.raises(ValueError, match="0 seconds or longer"):
        SimulatedTwilio(ring_seconds=-1)
    with pytest.raises(ValueError, match=r"E\.164"):
        SimulatedTwilio(numbers=("alice",))
    with pytest.raises(ValueError, match="one or more"):
        SimulatedTwilio(numbers=())


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        ({"latency_ms": -1}, "between 0 and 10000 ms"),
        ({"playout_delay_ms": "40"}, "between 0 and 10000 ms"),
        ({"trial": "on"}, "one of 'off', 'announcement', 'blocked'"),
        ({"extra_fields": "keep"}, "one of 'drop', 'execute'"),
        ({"ended_call_update": 500}, "one of 404, 400"),
    ],
)
def test_impossible_behaviour_is_refused_in_words(switch, words):
    with pytest.raises(ValueError, match=words):
        Behaviour(**switch)


async def test_calls_can_be_read_like_a_list(twilio, place):
    assert repr(twilio.calls) == "no calls yet"
    await place("<Hangup/>")
    assert len(twilio.calls[:]) == len(list(twilio.calls)) == 1
    assert repr(twilio.calls) == repr(twilio.calls[0])
    assert f"{twilio.numbers[0]} to {ALICE}" in repr(twilio.calls)


@pytest.mark.realtime
async def test_lateness_of_the_simulator_is_measured(twilio, place, eventually):
    twilio.phone(ALICE)
    await place("<Pause length='1'/>")
    await eventually(lambda: twilio.calls[0].over)
    assert twilio.pacer.lateness.report().frames >= 45
