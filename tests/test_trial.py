"""A real Media Streams server and a trial account: what its owner sees in either regime."""

import contextlib

import pytest

from support.waiting import eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"
TONE = Clip.tone(440, 0.2)
BLOCKED = "The Stream verb is not available on trial accounts."


@pytest.fixture
async def trial():
    """Begin a call of a trial account; return its phone, its server and the call."""
    async with contextlib.AsyncExitStack() as running:

        async def call(regime):
            twilio = await running.enter_async_context(
                SimulatedTwilio(ring_seconds=0.02, behaviour=Behaviour(trial=regime))
            )
            twilio.verify(ALICE)
            server = await running.enter_async_context(StreamServer(auth_token=twilio.auth_token))
            phone = twilio.phone(ALICE)
            in_call = phone.until("in-call")
            placed = await soon(
                place_call(
                    twilio.client, to=ALICE, from_=twilio.numbers[0],
                    stream_url=server.stream_url, status_callback=server.status_url,
                )
            )  # fmt: skip
            await soon(in_call)
            return twilio, phone, server, placed

        yield call


async def reported(server):
    """The statuses of the call, once it has ended."""
    await eventually(lambda: "completed" in [event.name for event in server.status_events])
    names = [event.name for event in server.status_events]
    return [name for name in names if not name.startswith("stream-")]


async def test_on_an_older_trial_account_the_stream_works_after_a_key(trial):
    twilio, phone, server, call = await trial("announcement")
    assert server.streams == ()
    phone.press("1")
    stream = await soon(server.next_stream())
    assert stream.call_sid == call.sid
    assert (await soon(stream.play(TONE))).ending == "heard"
    await soon(stream.close())
    assert await reported(server) == ["initiated", "ringing", "in-progress", "completed"]
    assert TONE.payload in phone.heard.payload
    (announcement,) = phone.transcript
    assert announcement.endswith("Press any key to execute your code.")
    assert twilio.calls[0].transcript == phone.transcript


async def test_on_an_older_trial_account_nobody_hears_the_server_without_a_key(trial, monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_ANNOUNCEMENT", "Any key.")
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_KEY_SECONDS", 0.1)
    twilio, phone, server, _ = await trial("announcement")
    assert await reported(server) == ["initiated", "ringing", "in-progress", "completed"]
    assert (server.streams, len(twilio.debugger)) == ((), 0)
    assert phone.transcript == ("Any key.",)


async def test_on_a_trial_account_of_2026_the_caller_hears_that_stream_is_blocked(trial):
    twilio, phone, server, _ = await trial("blocked")
    assert await reported(server) == ["initiated", "ringing", "in-progress", "completed"]
    assert (server.streams, len(twilio.debugger)) == ((), 0)
    assert phone.transcript == (BLOCKED,)
    assert phone.heard.seconds > 2
