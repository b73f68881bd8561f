"""Calls to the bot, by callers that the package simulates."""

import pytest
from bot import BEEP, answer

import twistream_kit as kit
from twistream_kit import caller

QUESTION = kit.Clip.tone(440, 0.6)


@pytest.fixture
def server():
    """The bot, on a free port of this machine, for one test."""
    running = kit.start(kit.StreamServer(answer))
    yield running
    kit.stop(running)


def test_a_caller_hears_the_beep(server, twistream_call):
    report = twistream_call(server.url, seconds=1)
    assert report.ok
    assert report.sound_seconds == pytest.approx(BEEP.seconds, abs=0.05)
    assert report.first_sound_ms < 500


def test_each_key_is_heard_as_its_tone(server, twistream_call):
    report = twistream_call(server.url, press="12", seconds=2)
    names = [playback.name for playback in report.capture.playbacks()]
    assert names == ["beep", "1", "2"]
    assert report.received["clear"] == 2


def test_the_hash_key_ends_the_stream(server, twistream_call):
    report = twistream_call(server.url, press="#", seconds=20)
    assert (report.ending, report.close_code) == ("server-closed", 1000)
    assert report.seconds < 10


def test_a_question_is_answered_soon_and_an_answer_can_be_interrupted(server, twistream_call):
    script = [
        caller.listen(pause=0.3),  # to the beep
        caller.say(QUESTION),
        caller.interrupt(QUESTION, after=0.5),
        caller.listen(pause=0.3, limit=10),
        caller.hang_up(),
    ]
    report = twistream_call(server.url, script=script)
    report.turns.check(response_ms=2000, barge_in_ms=1000)
    assert report.ok, report


def test_the_bot_calls_somebody(server, twistream_twilio):
    twilio, phone = twistream_twilio, twistream_twilio.phone("+15550100001")
    call = kit.place_call(
        twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.url
    ).result(10)
    stream = server.next_stream(call).result(10)
    phone.say(kit.Clip.silence(1)).result(10)  # listens for a second
    phone.press("#")
    assert stream.closed.result(10).reason == "closed"
    assert phone.heard.seconds >= BEEP.seconds
    assert call.ended.result(10) == "completed"
    assert not [entry for entry in twilio.debugger if entry.level != "note"]


@pytest.mark.twilio(ring_seconds=0.5)
def test_nobody_answers(server, twistream_twilio):
    phone = twistream_twilio.phone("+15550100002", answer="busy")
    call = kit.place_call(
        twistream_twilio.client,
        to=phone.number,
        from_=twistream_twilio.numbers[0],
        stream_url=server.url,
    ).result(10)
    assert call.ended.result(10) == "busy"
