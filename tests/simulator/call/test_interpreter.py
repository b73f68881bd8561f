"""Every verb, as the caller hears it and as the debugger sees it."""

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.simulator.call import _interpreter
from twistream_kit.simulator.call._interpreter import TwimlInterpreter
from twistream_kit.simulator.call._speech import VerbAudio, make_beeps, make_error_tone
from twistream_kit.simulator.call.context import Source
from twistream_kit.simulator.call.twiml import TwimlScript
from twistream_kit.simulator.model.assumptions import Behaviour

ALICE = "+15550100001"


@pytest.fixture
def heard(twilio, place, eventually):
    """Carry out verbs in a call and return what the phone heard."""

    async def listen(verbs, **options):
        phone = twilio.phone(ALICE)
        await place(verbs, **options)
        await eventually(lambda: twilio.calls[-1].over)
        return phone.heard

    return listen


def wav(clip, tmp_path: Path) -> bytes:
    return clip.save(tmp_path / "sound.wav").read_bytes()


def test_a_word_sounds_as_long_as_it_is_and_silence_follows():
    assert len(make_beeps("four")) == 8000 * 0.06 * 5
    assert make_beeps("four five") == make_beeps("four") + make_beeps("five")
    assert make_beeps("") == b""


async def test_speech_gives_one_frame_at_a_time_and_pads_the_last():
    import asyncio

    speech = VerbAudio()
    assert speech.take_frame() == b"\xff" * 160
    saying = asyncio.create_task(speech.say(b"\x01" * 200))
    await asyncio.sleep(0)
    assert speech.take_frame() == b"\x01" * 160
    assert speech.take_frame() == b"\x01" * 40 + b"\xff" * 120
    await saying
    assert speech.take_frame() == b"\xff" * 160


async def test_a_verb_that_is_read_and_not_carried_out_is_not_passed_over(monkeypatch):
    async def read(*_):
        return TwimlScript(verbs=("a verb that is new",))

    monkeypatch.setattr(_interpreter, "obtain", read)
    context = SimpleNamespace(behaviour=Behaviour())
    call = SimpleNamespace(make_params=dict, pick_up=lambda: None)
    interpreter = TwimlInterpreter(call, context, None, VerbAudio(), None)
    with pytest.raises(AssertionError, match="a verb that is new"):
        await interpreter.run(Source(twiml="<Response/>"))


async def test_say_is_heard_as_beeps_and_loops(heard):
    clip = await heard("<Say loop='2'>ab</Say>")
    assert make_beeps("ab") in clip.payload
    assert clip.payload.strip(b"\xff") == (make_beeps("ab") * 2).strip(b"\xff")


async def test_say_can_be_read_where_a_beep_is_not_enough(twilio, heard):
    await heard("<Say loop='2'>a  b</Say><Say/><Play digits='1'/><Say>c</Say>")
    assert twilio.calls[0].transcript == twilio.phone(ALICE).transcript == ("a b", "c")


async def test_play_of_a_wav_is_heard_as_it_is(heard, site, tmp_path):
    tone = Clip.tone(440, 0.2)
    url = site.serve("/tone.wav", wav(tone, tmp_path), "audio/wav")
    assert tone.payload in (await heard(f"<Play>{url}</Play>")).payload
    assert site.at("/tone.wav")[0].method == "GET"


@pytest.mark.parametrize(
    ("status", "body", "code"), [(404, b"", 11200), (200, b"this is no sound at all", 12300)]
)
async def test_play_of_something_else_is_logged_and_the_next_verb_runs(
    heard, twilio, site, status, body, code
):
    url = site.serve("/a.wav", body, "audio/wav", status)
    assert make_beeps("on") in (await heard(f"<Play>{url}</Play><Say>on</Say>")).payload
    assert twilio.debugger.codes == [code]


async def test_play_of_digits_is_heard_as_tones(heard):
    assert Clip.dtmf("5").payload in (await heard("<Play digits='5w'/>")).payload


async def test_pause_lasts_as_long_as_it_says(heard):
    clip = await heard("<Pause length='1'/>")
    assert 0.9 <= clip.seconds < 4
    assert not np.any(np.abs(clip.samples()) > 8)


async def test_hangup_ends_the_call_before_later_verbs(heard):
    assert set((await heard("<Hangup/><Say>never</Say>")).payload) <= {0xFF}


async def test_redirect_leaves_the_document(heard, site):
    url = site.twiml("/next", "<Say>on</Say>")
    clip = await heard(f"<Redirect method='GET'>{url}</Redirect><Say>never said</Say>")
    assert make_beeps("on") in clip.payload
    assert make_beeps("never said") not in clip.payload
    assert site.at("/next")[0].params["CallStatus"] == "in-progress"


async def test_documents_in_a_circle_can_be_left_by_hanging_up(twilio, place, site, eventually):
    phone = twilio.phone(ALICE)
    url = f"{site.origin}/round"
    site.twiml("/round", f"<Redirect>{url}</Redirect>")
    await place(f"<Redirect>{url}</Redirect>")
    await eventually(lambda: len(site.at("/round")) > 3)
    phone.hang_up()
    await eventually(lambda: twilio.calls[0].over)


async def test_unknown_verb_is_skipped_with_a_warning(heard, twilio):
    assert make_beeps("on") in (await heard("<Nonsense/><Say>on</Say>")).payload
    assert twilio.debugger.codes == [12200]
    assert twilio.debugger[0].level == "warning"


async def test_verb_that_is_not_simulated_is_skipped_and_twilio_is_not_said_to_warn(heard, twilio):
    assert make_beeps("on") in (await heard("<Gather/><Say>on</Say>")).payload
    assert twilio.debugger.codes == []
    (left_out,) = twilio.debugger.unlogged
    assert left_out.objection.field == "<Gather>"
    assert left_out.call_sid == twilio.calls[0].sid


async def test_verbs_after_connect_wait_until_the_server_closes(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    await place(media.connect() + "<Say>on</Say>")
    await eventually(lambda: media.of("media"))
    assert make_beeps("on") not in phone.heard.payload
    await media.close()
    await phone.until("idle")
    assert make_beeps("on") in phone.heard.payload
    (entry,) = twilio.debugger
    assert (entry.code, entry.level) == (31921, "note")


async def test_action_of_connect_replaces_the_verbs_behind_it(
    twilio, place, media, site, eventually
):
    phone = twilio.phone(ALICE)
    url = site.twiml("/after", "<Say>on</Say>")
    stream = media.noun()
    await place(f"<Connect action='{url}'>{stream}</Connect><Say>never said at all</Say>")
    await eventually(lambda: media.of("media"))
    await media.close()
    await phone.until("idle")
    assert make_beeps("on") in phone.heard.payload
    assert make_beeps("never") not in phone.heard.payload
    (request,) = site.at("/after")
    assert (request.method, request.params["CallSid"]) == ("POST", twilio.calls[0].sid)


async def test_second_connect_is_a_new_stream(twilio, place, media, eventually):
    twilio.phone(ALICE)
    await place(media.connect() + media.connect())
    await eventually(lambda: media.of("media"))
    await media.close()
    await eventually(lambda: len(media.of("start")) == 2)
    first, second = media.of("start")
    assert first["streamSid"] != second["streamSid"]
    assert second["sequenceNumber"] == "1"


async def test_started_stream_hears_both_sides_while_the_next_verb_runs(
    twilio, place, media, eventually
):
    from base64 import b64decode

    twilio.phone(ALICE)
    stream = media.noun(track="both_tracks", name="ears")
    await place(f"<Start>{stream}</Start><Say loop='0'>word</Say>")

    def loud():
        return [
            message["media"]
            for message in media.of("media")
            if message["media"]["track"] == "outbound"
            and b64decode(message["media"]["payload"]).strip(b"\xff\x7f")
        ]

    await eventually(loud)
    assert {message["media"]["track"] for message in media.of("media")} == {"inbound", "outbound"}
    assert twilio.calls[0].status == "in-progress"


async def test_stop_ends_the_stream_of_that_name(twilio, place, media, eventually):
    twilio.phone(ALICE)
    stop = "<Stop><Stream name='ears'/></Stop>"
    await place(
        f"<Start>{media.noun(name='ears')}</Start><Pause length='1'/>{stop}<Pause length='30'/>"
    )
    await eventually(lambda: media.endings)
    assert media.messages[-1]["event"] == "stop"
    assert twilio.calls[0].status == "in-progress"


async def test_stop_of_an_unknown_stream_is_a_warning(heard, twilio):
    await heard("<Stop><Stream name='nobody'/></Stop>")
    assert twilio.debugger.codes == [12200]


async def test_fault_in_the_twiml_is_heard_logged_and_ends_the_call(heard, twilio):
    clip = await heard("<Say>broken")
    assert make_error_tone() in clip.payload
    (entry,) = twilio.debugger
    assert entry.code == 12100
    assert entry.message == "<Response><Say>broken</Response>"
    assert entry.objections[0].code == 12100


@pytest.mark.parametrize(
    ("content", "kind"), [(b"hello there", "text/plain"), (b"<html>", "text/plain")]
)
async def test_plain_text_is_read_aloud(heard, site, content, kind):
    clip = await heard(None, url=site.serve("/voice", content, kind))
    assert make_beeps(content.decode()) in clip.payload


async def test_sound_in_place_of_twiml_is_played_and_the_call_ends(heard, site, tmp_path):
    tone = Clip.tone(440, 0.2)
    clip = await heard(None, url=site.serve("/voice", wav(tone, tmp_path), "audio/x-wav"))
    assert tone.payload in clip.payload


async def test_fallback_is_fetched_when_the_url_fails(heard, twilio, site):
    bad = site.serve("/voice", status=500)
    fallback = site.twiml("/fallback", "<Say>on</Say>")
    clip = await heard(None, url=bad, fallback_url=fallback)
    assert make_beeps("on") in clip.payload
    assert twilio.debugger.codes == [11200]
    params = site.at("/fallback")[0].params
    assert (params["ErrorCode"], params["ErrorUrl"]) == ("11200", bad)


def test_clip_files_of_these_tests_are_sound(tmp_path):
    from twistream_kit.audio.load import load_clip

    tone = Clip.tone(440, 0.1)
    assert load_clip(BytesIO(wav(tone, tmp_path))).payload == tone.payload
