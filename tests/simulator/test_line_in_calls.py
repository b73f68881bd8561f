"""Calls over a line: what the server gets and when, what the caller hears, and what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64decode, b64encode
from itertools import pairwise
from types import SimpleNamespace

import pytest
from websockets.asyncio.server import serve

from support.waiting import soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import TwistreamError, WrongType, WrongValue
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator import caller
from twistream_kit.simulator.call._speech import make_key_tones
from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.context import CallPlan, Source
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.call.key_listener import KeyListener
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.line.stream import LineStream
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour, find_lines
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.model.numbers import Sids
from twistream_kit.simulator.simulate_call import simulate_call
from twistream_kit.simulator.stream.leg import StreamLeg
from twistream_kit.simulator.twilio import SimulatedTwilio

QUESTION = Clip.tone(300, 0.4)
STOP = Clip.tone(700, 0.1)
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


def answer_by_hand(behaviour):
    """Return an answered call whose frames a test passes, and what listens for its keys."""
    context = SimpleNamespace(
        behaviour=behaviour,
        sids=Sids(),
        account_sid="AC" + "0" * 32,
        connector=None,
        debugger=Debugger(),
        auth_token="0" * 32,
        pacer=SimpleNamespace(add=lambda _: None, remove=lambda _: None),
    )
    call = SimulatedCall(context, CallPlan("+15550100001", "+15550100002", Source()), None)
    call.pick_up()
    return call, KeyListener(call.handset.ear, lambda: None)


@pytest.mark.parametrize(
    ("cause", "keys"),
    [
        ("twiml-ended", "42"),
        ("hung-up-by-request", "42"),
        ("time-limit", "42"),
        ("twilio-hung-up", "42"),
        ("callee-hung-up", ""),
        ("caller-hung-up", ""),
    ],
)
@pytest.mark.parametrize("behaviour", [{"line": Line(delay_ms=510)}, {"latency_ms": 500}])
async def test_what_is_on_its_way_is_heard_unless_the_telephone_hangs_up(behaviour, cause, keys):
    call, listener = answer_by_hand(Behaviour(**behaviour))
    for frame in Clip(make_key_tones("42")).frames():
        call.handset.ear.hear(frame, 0.0)
    call.end("completed", EndCause(cause))
    listener.end()
    assert listener.keys == keys


async def test_call_that_nobody_answered_has_no_sound():
    call, _ = answer_by_hand(Behaviour(line="mobile"))
    call.started = None
    call.end("canceled", EndCause("hung-up-by-request"))
    assert not call.handset.heard.payload


def test_behaviour_takes_a_line_or_its_name():
    behaviour = Behaviour(line="street")
    assert behaviour.line == behaviour.way_there == Line("street")
    assert behaviour.way_back == Line("street").way_back
    assert Behaviour(line="street", line_back="clean").way_back is None
    assert Behaviour(line_back="mobile").way_there is None
    assert find_lines(Behaviour()) == (None, None)
    assert find_lines(Behaviour(line="clean")) == (Line("clean"), Line("clean"))
    assert Behaviour(line="clean").way_there is Behaviour(line="clean").way_back is None
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
        plain = simulate_call(url, script=script, line="clean")
        over = simulate_call(url, script=script, line=line)
        plain, over = await soon(plain), await soon(over)
    assert over.turns.response_ms.max - plain.turns.response_ms.max == pytest.approx(200, abs=60)
    assert (plain.line, plain.line_back) == (Line("clean"), Line("clean"))
    assert plain.clean == plain.heard
    assert (over.line, over.line_back) == (line, line.way_back)
    assert over.ok, over
    assert over.sent["dtmf"] == 1, "a key on its way comes before the end"
    assert f"line      {line!r}: 200 ms of delay; white noise" in repr(over)
    assert repr(over).count("back without the microphone") == 1
    assert "line      Line('clean'): changes nothing\n" in repr(plain)
    values = json.loads(json.dumps(over.to_dict()))
    assert values["line"]["delay_ms"] == 200
    assert values["line_back"]["snr_db"] is None
    assert over.sound_seconds == pytest.approx(0.6, abs=0.021)
    assert over.latency_ms == 200


@pytest.mark.parametrize("behaviour", [{"line": Line(delay_ms=310)}, {"latency_ms": 300}])
def test_last_words_are_on_their_way_when_a_telephone_hangs_up(behaviour):
    handset = Handset(Behaviour(**behaviour))
    handset.mouth.say(QUESTION.payload)
    sent = [handset.mouth.take_frame() for _ in QUESTION.frames()]
    assert QUESTION.payload not in b"".join(sent)
    assert QUESTION.payload in b"".join(sent + handset.mouth.take_rest())
    assert Handset(Behaviour()).mouth.take_rest() == []


async def test_last_words_and_then_a_key_reach_the_server_before_the_end():
    script = [caller.say(QUESTION), caller.press("5"), caller.say(STOP), caller.hang_up()]
    async with answering(1000) as url:
        report = await soon(simulate_call(url, script=script, line=Line(delay_ms=500)))
    messages = [e.message for e in report.capture.entries]
    [key] = [n for n, each in enumerate(messages) if isinstance(each, from_twilio.Dtmf)]
    before, after = (
        b"".join(each.payload for each in part if isinstance(each, from_twilio.Media))
        for part in (messages[:key], messages[key:])
    )
    assert QUESTION.payload in before
    assert STOP.payload in after
    assert isinstance(messages[-1], from_twilio.Stop)


async def test_call_in_which_the_simulator_fails_has_no_report(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("of the simulator")

    monkeypatch.setattr(LineStream, "take", fail)
    async with answering(3) as url:
        with pytest.raises(
            TwistreamError, match=r"the simulator itself failed .*ZeroDivisionError"
        ):
            await soon(simulate_call(url, say=QUESTION, line="mobile"))


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
