import asyncio
import re

import numpy as np
import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import CallRefused, LocalProtocolError, ServerStopped, WrongValue
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE, BOB = "+15550100001", "+15550100002"


@pytest.fixture
async def in_call(twilio, place, media, eventually):
    """Alice's phone, connected to the media server."""
    phone = twilio.phone(ALICE)
    await place(media.connect())
    await eventually(lambda: media.of("media"))
    return phone


async def test_what_is_said_reaches_the_server_and_is_done_when_it_was_said(
    in_call, media, eventually
):
    from base64 import b64decode

    clip = Clip.tone(440, 0.3)
    assert await in_call.say(clip) == pytest.approx(0.3)

    def arrived():
        sent = b"".join(b64decode(message["media"]["payload"]) for message in media.of("media"))
        return clip.payload in sent

    await eventually(arrived)


async def test_speech_that_the_end_of_the_call_cuts_off_says_how_much_was_said(
    in_call, media, eventually
):
    saying = in_call.say(Clip.silence(30))
    waiting = in_call.say(Clip.silence(1))
    frames = len(media.of("media"))
    await eventually(lambda: len(media.of("media")) > frames + 10)
    in_call.hang_up()
    assert 0.1 < await saying < 30
    assert await waiting == 0


async def test_what_the_server_plays_is_heard_without_gaps(in_call, media, eventually):
    payload = bytes(range(1, 127)) * 20
    await media.say(payload, mark="done")
    await eventually(lambda: media.of("mark"))
    in_call.hang_up()
    await in_call.until("idle")
    assert payload in in_call.heard.payload


async def test_a_transcript_has_nothing_of_a_stream(in_call):
    assert in_call.transcript == ()
    assert repr(in_call).endswith("s heard>")


async def test_transcript_outlasts_its_call_and_an_unanswered_one(twilio, place, eventually):
    phone = twilio.phone(ALICE)
    await place("<Say>a</Say>")
    await eventually(lambda: twilio.calls[0].over)
    assert phone.transcript == ("a",)
    twilio.phone(ALICE, "reject")
    await place("<Say>b</Say>")
    await eventually(lambda: twilio.calls[1].over)
    assert phone.transcript == ("a",)


async def test_heard_begins_anew_with_the_next_call(twilio, in_call, place, media, eventually):
    await media.say(Clip.tone(440, 0.2).payload, mark="done")
    await eventually(lambda: media.of("mark"))
    in_call.hang_up()
    await in_call.until("idle")
    answered = in_call.until("in-call")
    await place("<Pause length='30'/>")
    await answered
    assert not np.any(np.abs(in_call.heard.samples()) > 8)


async def test_each_key_becomes_a_dtmf_message(in_call, media, eventually):
    in_call.press("5")
    in_call.press("*0#A")
    await eventually(lambda: len(media.of("dtmf")) == 5)
    assert "".join(message["dtmf"]["digit"] for message in media.of("dtmf")) == "5*0#A"
    assert {message["dtmf"]["track"] for message in media.of("dtmf")} == {"inbound_track"}


async def test_manual_phone_waits_to_be_answered(twilio, place, media, eventually):
    phone = twilio.phone(ALICE, "manual")
    ringing = phone.until("ringing")
    await place(media.connect())
    assert await ringing == "ringing"
    phone.answer()
    await phone.until("in-call")
    await eventually(lambda: media.of("start"))


async def test_declined_call_was_not_answered(twilio, place, eventually):
    phone = twilio.phone(ALICE, "manual")
    ringing = phone.until("ringing")
    await place("<Pause/>")
    await ringing
    phone.hang_up()
    await eventually(lambda: twilio.calls[0].over)
    assert twilio.calls[0].status == "no-answer"


async def test_dialling_reaches_the_voice_url_of_a_number(twilio, media, site, eventually):
    phone = twilio.phone(ALICE)
    await set_voice_url(twilio, site.twiml("/voice", media.connect()))
    call = await phone.dial(twilio.numbers[0])
    assert (call.status, call.direction) == ("in-progress", "inbound")
    assert phone.state == "in-call"
    await eventually(lambda: media.of("start"))
    phone.hang_up()
    await eventually(lambda: media.endings and call.over)
    assert call.status == "completed"


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_rejected_caller_learns_why(twilio, site, reason, status):
    await set_voice_url(twilio, site.twiml("/voice", f"<Reject reason='{reason}'/>"))
    phone = twilio.phone(ALICE)
    call = await phone.dial(twilio.numbers[0])
    assert call.status == status
    assert call.started is None
    assert phone.state == "idle"


async def test_number_without_a_voice_url_lets_the_caller_hear_an_error(twilio, eventually):
    phone = twilio.phone(ALICE)
    call = await phone.dial(twilio.numbers[0])
    await phone.until("idle")
    assert twilio.debugger.codes == [11100]
    assert "has no Voice URL" in twilio.debugger[0].text
    assert call.status == "completed"
    assert any(phone.heard.samples() > 1000)


async def test_dialling_can_be_given_up(twilio, site, eventually):
    async def never(_request):
        await asyncio.Event().wait()

    site.answers["/voice"] = never
    await set_voice_url(twilio, f"{site.origin}/voice")
    phone = twilio.phone(ALICE)
    dialled = phone.dial(twilio.numbers[0])
    await eventually(lambda: site.at("/voice"))
    assert phone.state == "dialling"
    phone.hang_up()
    assert (await dialled).status == "no-answer"


async def test_dialling_a_stranger_is_refused_in_words(twilio):
    with pytest.raises(CallRefused) as caught:
        await twilio.phone(ALICE).dial("+15550100077")
    assert str(caught.value) == (
        "the account has no number +15550100077. The call was not placed. "
        "Dial one of +15005550006, +15005550009."
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (lambda phone: phone.press("5"), "nobody hears +15550100001 press a key: it is idle"),
        (lambda phone: phone.say(b""), "nobody hears +15550100001 say something: it is idle"),
        (lambda phone: phone.answer(), "+15550100001 cannot be answered: it does not ring"),
        (lambda phone: phone.hang_up(), "+15550100001 cannot be hung up: it is in no call"),
    ],
)
async def test_commands_without_a_call_are_refused_in_words(twilio, command, words):
    with pytest.raises(CallRefused) as caught:
        command(twilio.phone(ALICE))
    assert str(caught.value).startswith(words)
    assert caught.value.fix


async def test_phone_in_a_call_cannot_dial(twilio, in_call):
    with pytest.raises(CallRefused, match="cannot be used to dial: it is in-call"):
        in_call.dial(twilio.numbers[0])


@pytest.mark.parametrize("keys", ["", "e", "5 5", "٥"])
async def test_keys_that_no_telephone_has_are_refused(in_call, keys):
    with pytest.raises(ValueError, match="the keys are 0 to 9"):
        in_call.press(keys)


async def test_say_wants_sound(in_call):
    with pytest.raises(TypeError, match="load_clip"):
        in_call.say("greeting.wav")


@pytest.mark.parametrize("before", [0, 160])
async def test_say_refuses_a_wav_file(in_call, before):
    wav = b"\xff" * before + b"RIFF\x24\0\0\0WAVEfmt "
    with pytest.raises(LocalProtocolError, match=r"^say .* WAV file") as caught:
        in_call.say(wav)
    assert caught.value.field == "say"
    assert await in_call.say(b"\xff" * 160) == pytest.approx(0.02)


async def test_unknown_state_cannot_be_waited_for(twilio):
    with pytest.raises(ValueError, match="never 'talking'"):
        twilio.phone(ALICE).until("talking")


async def test_repr_says_number_and_state(in_call):
    assert re.match(r"<Phone \+15550100001: in-call, answer 'auto', \d+\.\d", repr(in_call))


async def test_commands_work_from_another_thread(in_call, media, eventually):
    def talk():
        in_call.press("1")
        said = in_call.say(Clip.silence(0.1)).result(LIMIT_SECONDS)
        in_call.hang_up()
        return said, in_call.until("idle").result(LIMIT_SECONDS)

    assert await asyncio.to_thread(talk) == (pytest.approx(0.1), "idle")
    await eventually(lambda: media.endings)  # it has read all that was sent
    assert [message["dtmf"]["digit"] for message in media.of("dtmf")] == ["1"]


async def test_phone_of_a_stopped_simulator_says_so():
    async with SimulatedTwilio() as twilio:
        phone = twilio.phone(ALICE)
    with pytest.raises(ServerStopped):
        phone.dial(twilio.numbers[0])


async def set_voice_url(twilio, url):
    (number,) = await asyncio.to_thread(
        twilio.client.incoming_phone_numbers.list, phone_number=twilio.numbers[0]
    )
    await asyncio.to_thread(number.update, voice_url=url)


def test_what_a_mailbox_does_is_refused_of_other_telephones(twilio):
    with pytest.raises(WrongValue) as caught:
        twilio.phone(ALICE, greeting=Clip.tone(330, 1))
    assert "are those of a mailbox" in str(caught.value)
    assert 'Write answer="mailbox"' in str(caught.value)
    assert twilio.phone(ALICE, "mailbox").answers == "mailbox"
    with pytest.raises(WrongValue, match="answer is left out, and greeting"):
        twilio.phone(ALICE, beep_hz=440)


@pytest.mark.parametrize("answer", ["mailbox", "manual", "busy", "never", "reject"])
def test_a_telephone_that_is_asked_for_again_stays_as_it_is(twilio, answer):
    phone = twilio.phone(ALICE, answer)
    assert twilio.phone(ALICE) is phone
    assert phone.answers == answer
    assert f"answer '{answer}'" in repr(phone)
    assert twilio.phone(ALICE, "auto").answers == "auto"


def test_a_telephone_that_is_no_mailbox_says_why_nothing_is_recorded(twilio):
    phone = twilio.phone(ALICE)
    assert phone.recorded.payload == b""
    assert "is no mailbox (answer is 'auto')" in phone.recorded.name
    assert 'twilio.phone(number, answer="mailbox")' in phone.recorded.name
    twilio.phone(ALICE, "mailbox")
    assert phone.recorded.name == "nothing recorded: its mailbox has not answered a call"


def test_waiting_for_the_state_of_a_mailbox_is_refused_where_there_is_none(twilio):
    with pytest.raises(WrongValue, match="never be in state 'recording': this telephone is no mai"):
        twilio.phone(ALICE).until("recording")
    with pytest.raises(WrongValue, match="greeting, beep, recording or done"):
        twilio.phone(ALICE).until("record")
    twilio.phone(BOB, "mailbox").until("recording")


async def test_a_telephone_that_was_a_mailbox_is_none_in_its_next_call(twilio, place, eventually):
    phone = twilio.phone(ALICE, "mailbox", greeting=Clip.tone(330, 0.1), beep_hz=None)
    recording = phone.until("recording")
    greeting = phone.until("greeting")
    await place("<Say>one two</Say>")
    assert await greeting == "greeting"
    for refused in (lambda: phone.press("1"), lambda: phone.say(Clip.tone(330, 1))):
        with pytest.raises(CallRefused, match="its mailbox has answered this call"):
            refused()
    assert await recording == "recording"
    await eventually(lambda: twilio.calls[0].over)
    assert phone.recorded.seconds > 0.1
    assert await phone.until("done") == "done"
    twilio.phone(ALICE, "auto")
    await place("<Pause/>")
    await eventually(lambda: len(twilio.calls) == 2 and twilio.calls[1].started)
    assert (phone.mailbox, phone.recorded.payload) == (None, b"")


async def test_a_mailbox_does_not_answer_the_calls_that_its_telephone_makes(
    twilio, media, site, eventually
):
    phone = twilio.phone(ALICE, "mailbox")
    await set_voice_url(twilio, site.twiml("/voice", media.connect()))
    await phone.dial(twilio.numbers[0])
    assert (phone.state, phone.mailbox) == ("in-call", None)
