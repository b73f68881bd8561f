"""What Twilio makes of a message, and what the review of the sound makes of many."""

import json
from base64 import b64encode

import pytest
from websockets.asyncio.server import serve

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.protocol import to_twilio
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.simulate_call import simulate_call
from twistream_kit.simulator.stream.leg import MessageChecker

SID = "MZ" + "0" * 32
PCM16 = load_clip("sample_audio/greeting.wav").samples()[:8000].astype("<i2").tobytes()
TAGGED = b"ID3\x04\x00\x00\x00\x00\x00\x10" + b"\x20" * 150


def make_checker(**behaviour):
    return MessageChecker(SID, Behaviour(**behaviour))


def media(payload, **changes):
    text = b64encode(payload).decode()
    return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": text}, **changes})


@pytest.fixture
def media_server_call(twilio, place, media, eventually):
    """Call somebody and connect them with a server; return the server when it has its start."""

    async def call():
        twilio.phone("+15550100001")
        await place(media.connect())
        await eventually(lambda: media.of("start"))
        return media

    return call


def test_good_messages_are_obeyed_and_nothing_is_noted():
    checker = make_checker()
    for n, payload in enumerate(load_clip("sample_audio/reply.wav").frames()):
        reviewed = checker.check(media(payload), n * 0.02)
        assert (reviewed.is_obeyed, reviewed.message) == (True, to_twilio.Media(SID, payload))
    checker.finish(9.0)
    assert checker.take_warnings() == checker.take_unlogged() == []
    assert not checker.objections


def test_what_twilio_would_not_log_is_reported_once_and_counted_each_time():
    checker = make_checker()
    for n in range(4):
        assert checker.check(media(TAGGED), n * 0.02).is_obeyed
    assert checker.take_warnings() == []
    first, repeated = checker.take_unlogged()
    assert "MP3" in first.problem
    assert "again" in repeated.problem
    assert checker.take_unlogged() == []
    assert checker.objections[first] == 4


def test_sound_of_a_message_that_is_dropped_is_not_heard():
    checker = make_checker()
    assert not checker.check(media(TAGGED, extra=1), 0.0).is_obeyed
    assert [warned.code for warned in checker.take_warnings()] == [31951]
    assert checker.take_unlogged() == []
    assert sorted(str(each.code) for each in checker.objections) == ["31951", "None"]


def test_sound_of_a_message_that_is_obeyed_in_spite_of_an_extra_field_is_heard_and_counted_once():
    checker = make_checker(extra_fields="execute")
    assert checker.check(media(TAGGED, extra=1), 0.0).is_obeyed
    assert [warned.code for warned in checker.take_warnings()] == [31951]
    (unlogged,) = checker.take_unlogged()
    assert checker.objections[unlogged] == 1
    assert sum(checker.objections.values()) == 2


def test_a_repeated_field_is_obeyed_and_reported_although_twilio_may_not_log_it():
    checker = make_checker()
    text = f'{{"event":"mark","event":"clear","streamSid":"{SID}"}}'
    reviewed = checker.check(text, 0.0)
    assert (reviewed.is_obeyed, reviewed.message) == (True, to_twilio.Clear(SID))
    (unlogged,) = checker.take_unlogged()
    assert "stands twice" in unlogged.problem


def test_slow_sending_is_reported_with_the_times_given_and_a_clear_is_known():
    tone = Clip.tone(440, 0.02).payload
    slow, cleared = make_checker(), make_checker()
    for n in range(200):
        slow.check(media(tone), n * 0.022)
        cleared.check(media(tone), n * 0.022)
        cleared.check(to_twilio.Clear(SID).to_json(), n * 0.022 + 0.02)
    (found,) = slow.take_unlogged()
    assert "more slowly than it sounds" in found.problem
    assert cleared.take_unlogged() == []


def test_ten_minutes_ahead_has_a_code_so_it_is_not_among_the_unlogged():
    checker = make_checker()
    for _ in range(11):
        checker.check(media(Clip.tone(440, 60).payload), 0.0)
    assert checker.take_unlogged() == []
    assert [each.code for each in checker.objections] == [31931]


def test_at_the_end_a_silent_stream_is_reported():
    checker = make_checker()
    checker.check(media(Clip.silence(1).payload), 0.0)
    assert checker.take_unlogged() == []
    checker.finish(5.0)
    (found,) = checker.take_unlogged()
    assert "nothing but silence" in found.problem


async def test_the_debugger_shows_what_twilio_would_not_log(twilio, media_server_call, eventually):
    server = await media_server_call()
    await server.say(TAGGED)
    await eventually(lambda: twilio.debugger.unlogged)
    (unlogged,) = twilio.debugger.unlogged
    assert "MP3" in unlogged.objection.problem
    assert unlogged.stream_sid == server.of("start")[0]["streamSid"]
    assert unlogged.call_sid == server.of("start")[0]["start"]["callSid"]
    assert twilio.debugger.codes == []
    assert "What Twilio would not log" in repr(twilio.debugger)


async def test_the_end_of_a_stream_brings_what_only_the_end_shows(
    twilio, media_server_call, eventually
):
    server = await media_server_call()
    await server.say(b"\xff" * 8000)
    await server.close()
    await eventually(lambda: twilio.debugger.unlogged)
    (unlogged,) = twilio.debugger.unlogged
    assert "nothing but silence" in unlogged.objection.problem


async def test_a_report_is_not_ok_where_the_sound_is_in_another_coding():
    async def answer(connection):
        async for text in connection:
            if json.loads(text)["event"] == "start":
                sid = json.loads(text)["streamSid"]
                await connection.send(to_twilio.Media(sid, PCM16).to_json())

    async with serve(answer, "127.0.0.1", 0, close_timeout=0.2) as running:
        port = running.sockets[0].getsockname()[1]
        report = await simulate_call(f"ws://127.0.0.1:{port}/media", seconds=0.3)
    assert not report.ok
    assert any("PCM16 little-endian" in each.problem for each in report.objections)
    assert report.debugger == ()
    assert "PCM16 little-endian, not PCMU (99 % sure)" in repr(report)
