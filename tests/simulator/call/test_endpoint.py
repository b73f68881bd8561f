"""The endpoint of a call, and who is called with its states."""

import pytest

from twistream_kit.simulator.call.endpoint import Endpoint

ALICE = "+15550100001"


async def test_a_listener_is_called_with_each_state_until_it_ends_that(
    twilio, place, media, eventually
):
    phone = twilio.phone(ALICE)
    states = []
    end = phone.follow(states.append)
    await place(media.connect())
    await eventually(lambda: phone.state == "in-call")
    phone.hang_up()
    await phone.until("idle")
    assert states == ["ringing", "in-call", "idle"]
    end()
    end()
    await place(media.connect())
    await eventually(lambda: phone.state == "in-call")
    assert len(states) == 3
    phone.hang_up()
    await phone.until("idle")


async def test_a_listener_that_adds_an_ear_misses_no_frame(twilio, place, media, eventually):
    phone, heard = twilio.phone(ALICE), []

    def listen(state):
        if state == "in-call":
            phone.call.handset.ear.on_frame.append(lambda frame, _now: heard.append(frame))

    phone.follow(listen)
    await place(media.connect())
    await eventually(lambda: len(heard) > 5)
    phone.hang_up()
    await phone.until("idle")
    assert phone.heard.payload == b"".join(heard)


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("state", ["ringing", "idle"])
async def test_a_listener_that_fails_takes_nothing_from_the_others(state, kind, caplog):
    endpoint, states = Endpoint(ALICE, "auto"), []

    def fail(_state):
        raise kind

    endpoint.on_state += [fail, states.append]
    endpoint._show(state)
    assert states == [state]
    (record,) = caplog.records
    assert record.getMessage() == "a listener to a phone failed"
    assert isinstance(record.exc_info[1], kind)
