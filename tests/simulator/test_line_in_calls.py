"""Calls over a line: what the server gets and when, what the caller hears, and what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64decode, b64encode
from itertools import pairwise

import pytest
from websockets.asyncio.server import serve

from support.waiting import soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WrongType, WrongValue
from twistream_kit.protocol import from_twilio
from twistream_kit.simulator import caller
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour
from twistream_kit.simulator.simulate_call import simulate_call
from twistream_kit.simulator.stream.leg import StreamLeg
from twistream_kit.simulator.twilio import SimulatedTwilio

QUESTION = Clip.tone(300, 0.4)
ANSWER = Clip.tone(440, 0.6)
NOTHING = Clip(b"")


def talk(handset, said, heard=NOTHING):
    """Let a caller say one clip while another is played; return what reached the server."""
    handset.mouth.say(said.payload)
    sent, played = [], iter(heard.frames())
    for _ in range(max(len(said.frames()), len(heard.frames())) + 10):
        sent.append(handset.mouth.take_frame())
        handset.ear.hear(next(played, SILENT_FRAME), 0.0)
    return b"".join(sent)


# The telephone


def test_what_a_caller_says_passes_the_line():
    line = Line("bad_mobile", seed=2)
    sent = talk(Handset(Behaviour(line=line), speech_db=-15), QUESTION)
    stream = line.open(speech_db=-15)
    frames = Clip(QUESTION.payload + SILENT_FRAME * 10).frames()
    assert sent == b"".join(map(stream.take, frames))


def test_what_a_caller_hears_passes_the_way_back_and_is_kept_clean_too():
    line = Line("mobile", loss=0.3, seed=5, delay_ms=60)
    handset = Handset(Behaviour(line=line))
    talk(handset, QUESTION, ANSWER)
    stream = line.way_back.open(is_back=True)
    frames = Clip(ANSWER.payload + SILENT_FRAME * 10).frames()
    assert handset.heard.payload == b"".join(map(stream.take, frames))
    assert handset.clean.payload == SILENT_FRAME * 3 + b"".join(frames[:-3])
    assert handset.clean.payload != handset.heard.payload
    assert handset.ear.latency_frames == 3


def test_noise_at_the_ear_is_nothing_that_was_heard():
    handset = Handset(Behaviour(line_back=Line(snr_db=5)))
    talk(handset, QUESTION)
    assert handset.ear.first_audible_at is None
    assert handset.heard.payload != handset.clean.payload


def test_echo_of_a_speakerphone_is_what_the_ear_plays():
    handset = Handset(Behaviour(line=Line(echo_db=-12, echo_ms=40)))
    sent = talk(handset, Clip.silence(0.2), ANSWER)
    assert Clip(sent[:320]).samples().any() == False  # noqa: E712 - of numpy
    assert Clip(sent[640:]).samples().any()


def test_without_a_line_nothing_is_kept_twice():
    for behaviour in (Behaviour(), Behaviour(line="clean", line_back="clean")):
        handset = Handset(behaviour)
        assert talk(handset, QUESTION) == QUESTION.payload + SILENT_FRAME * 10
        assert handset.mouth.line is None
        assert not handset.mouth.said
        assert handset.ear._clean is handset.ear._heard


def test_behaviour_takes_a_line_or_its_name():
    behaviour = Behaviour(line="street")
    assert behaviour.line == behaviour.way_there == Line("street")
    assert behaviour.way_back == Line("street").way_back
    assert Behaviour(line="street", line_back="clean").way_back is None
    assert Behaviour(line_back="mobile").way_there is None
    assert repr(behaviour) == "Behaviour(line=Line('street'))"
    with pytest.raises(WrongValue, match="no profile 'stret'; the nearest is 'street'"):
        Behaviour(line="stret")
    with pytest.raises(WrongType, match="line_back is of type dict"):
        Behaviour(line_back={"loss": 0.1})


async def test_every_call_of_a_simulated_twilio_has_the_line_of_its_behaviour(media, eventually):
    line = Line(gain_db=-20)
    async with SimulatedTwilio(ring_seconds=0.02, behaviour=Behaviour(line=line)) as twilio:
        phone = twilio.phone("+15550100001")
        twiml = f"<Response>{media.connect()}</Response>"
        create = twilio.client.calls.create
        await asyncio.to_thread(create, to=phone.number, from_=twilio.numbers[0], twiml=twiml)
        await eventually(lambda: media.of("media"))
        await phone.say(QUESTION)
        softer = line.apply(QUESTION).payload
        await eventually(lambda: softer in join_media(media.of("media")))


def join_media(messages):
    return b"".join(b64decode(message["media"]["payload"]) for message in messages)


# The stream


def test_frames_that_come_late_are_numbered_when_they_come():
    leg = StreamLeg(
        stream_sid="MZ" + "0" * 32,
        call_sid="CA" + "0" * 32,
        account_sid="AC" + "0" * 32,
        first_timestamp_ms=100,
    )
    leg.begin()
    assert leg.advance(None, 0.0) == (SILENT_FRAME, [])
    first, second, own = leg.take_late(b"a" * 160)
    assert [m.payload for m in (first, second, own)] == [SILENT_FRAME, SILENT_FRAME, b"a" * 160]
    assert [m.chunk for m in (first, second, own)] == [1, 2, 3]
    leg.advance(None, 0.02)
    (media,) = leg.take_late(b"b" * 160)
    assert (media.sequence_number, media.chunk) == (own.sequence_number + 1, 4)
    assert media.timestamp_ms - own.timestamp_ms == pytest.approx(20, abs=4)
    leg.stop()
    assert leg.take_late(b"c" * 160) == []


@contextlib.asynccontextmanager
async def answering(media_number):
    """A server that reads no clock: it answers the media message of a number."""

    async def answer(connection):
        numbers = 0
        with contextlib.suppress(Exception):
            async for text in connection:
                message = json.loads(text)
                numbers += message["event"] == "media"
                if message["event"] == "media" and numbers == media_number:
                    media = {"payload": b64encode(ANSWER.payload).decode()}
                    sid = message["streamSid"]
                    reply = {"event": "media", "streamSid": sid, "media": media}
                    await connection.send(json.dumps(reply))

    async with serve(answer, "127.0.0.1", 0, close_timeout=0.2) as running:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/media"


async def test_delay_is_in_the_response_and_in_the_report():
    line = Line(delay_ms=200, snr_db=20, seed=8)
    script = [caller.say(QUESTION), caller.listen(pause=0.4), caller.press("1"), caller.hang_up()]
    async with answering(40) as url:
        plain = simulate_call(url, script=script)
        over = simulate_call(url, script=script, line=line)
        plain, over = await soon(plain), await soon(over)
    assert over.turns.response_ms.max - plain.turns.response_ms.max == pytest.approx(200, abs=60)
    assert (plain.line, plain.line_back) == (None, None)
    assert (over.line, over.line_back) == (line, line.way_back)
    assert over.ok, over
    assert over.sent["dtmf"] == 1, "a key on its way comes before the end"
    assert f"line      {line!r}: 200 ms of delay; white noise" in repr(over)
    assert repr(over).count("back without the microphone") == 1
    assert "line      " not in repr(plain)
    values = json.loads(json.dumps(over.to_dict()))
    assert values["line"]["delay_ms"] == 200
    assert values["line_back"]["snr_db"] is None
    assert over.sound_seconds == pytest.approx(0.6, abs=0.021)
    assert over.latency_ms == 200


async def test_bunches_bring_many_frames_at_once_and_lose_none():
    line = Line(bunching=0.5, bunch=8, seed=1)
    async with answering(3) as url:
        report = await soon(simulate_call(url, say=QUESTION, seconds=1.2, line=line))
    media = [e for e in report.capture.entries if isinstance(e.message, from_twilio.Media)]
    inbound = [e for e in media if e.message.track == "inbound"]
    assert [e.message.chunk for e in inbound] == list(range(1, len(inbound) + 1))
    sequence = [e.message.sequence_number for e in inbound]
    assert sequence == sorted(sequence)
    gaps = [later.at - earlier.at for earlier, later in pairwise(inbound[3:])]
    together = sum(gap < 0.001 for gap in gaps)
    assert together > len(gaps) / 5
    sound = b"".join(e.message.payload for e in inbound[2:])
    assert QUESTION.payload in sound, "what is in the frames stays the same"
    assert report.said.payload.startswith(QUESTION.payload)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"line": "moble"}, WrongValue, "the nearest is 'mobile'"),
        ({"line_back": 3}, WrongType, "line_back is of type int"),
    ],
)
def test_a_line_that_there_is_not_is_refused_at_once(options, kind, message):
    with pytest.raises(kind, match=message):
        simulate_call("ws://127.0.0.1:9/media", **options)
