"""Calls of a trial account: what its owner sees in either regime, and what the phone hears."""

import asyncio
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.simulator.call._speech import VerbAudio, make_beeps
from twistream_kit.simulator.call._trial import TrialPrompt, sanitise
from twistream_kit.simulator.call.twiml import Hangup, Pause, Play, Redirect, Say, read_twiml
from twistream_kit.simulator.model.assumptions import (
    TRIAL_ANNOUNCEMENT,
    TRIAL_BLOCKED,
    TRIAL_BLOCKED_IN_DIAL,
    TRIAL_REFUSAL,
    Behaviour,
)
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"
NO_STREAM = TRIAL_REFUSAL.format(verb="Stream")
SHORT = "Any key."
NO = "No {verb}."
NO_THIS = NO.format(verb="Stream")

older = pytest.mark.parametrize("twilio", ["announcement"], indirect=True)
blocked = pytest.mark.parametrize("twilio", ["blocked"], indirect=True)
either = pytest.mark.parametrize("twilio", ["announcement", "blocked"], indirect=True)


@pytest.fixture
async def twilio(request):
    behaviour = Behaviour(trial=request.param)
    async with SimulatedTwilio(ring_seconds=0.02, behaviour=behaviour) as simulated:
        simulated.verify(ALICE)
        yield simulated


@pytest.fixture
def briefly(monkeypatch):
    """Make what is said, and the wait for a key, as short as a test should be."""
    trial = "twistream_kit.simulator.call._trial"
    monkeypatch.setattr(f"{trial}.TRIAL_ANNOUNCEMENT", SHORT)
    monkeypatch.setattr(f"{trial}.TRIAL_KEY_SECONDS", 0.1)
    monkeypatch.setattr(f"{trial}.TRIAL_REFUSAL", NO)
    monkeypatch.setattr(f"{trial}.TRIAL_LAST_HOP", "Bye.")


@pytest.fixture
def progress(site):
    """Where a call reports to, as options of `place`, and what it reported."""
    site.serve("/status", status=204)
    events = ["initiated", "ringing", "answered", "completed"]
    options = {"status_callback": f"{site.origin}/status", "status_callback_event": events}
    return options, lambda: [request.params["CallStatus"] for request in site.at("/status")]


def verbs(xml):
    return read_twiml(sanitise(f"<Response>{xml}</Response>")).verbs


def refusals(*names):
    return tuple(Say(TRIAL_REFUSAL.format(verb=name)) for name in names)


# The older regime: an announcement, and any key.


@older
async def test_without_a_key_the_call_ends_before_its_twiml(
    twilio, place, media, progress, eventually, briefly
):
    phone = twilio.phone(ALICE)
    options, reported = progress
    await place(media.connect(), **options)
    await eventually(lambda: len(reported()) == 4)
    assert reported() == ["initiated", "ringing", "in-progress", "completed"]
    assert phone.transcript == (SHORT,)
    assert make_beeps(SHORT) in phone.heard.payload
    assert 0.06 < phone.heard.seconds - len(make_beeps(SHORT)) / 8000 < 1
    assert media.connections == []
    assert len(twilio.debugger) == 0


@older
async def test_twiml_is_asked_for_when_a_key_was_pressed_and_not_before(
    twilio, place, site, eventually
):
    phone = twilio.phone(ALICE)
    await place(url=site.twiml("/voice", "<Say>on</Say>"))
    await phone.until("in-call")
    await eventually(lambda: phone.heard.seconds > 0.2)
    assert phone.transcript == (TRIAL_ANNOUNCEMENT,)
    assert site.requests == []
    phone.press("7")
    await phone.until("idle")
    assert site.at("/voice")[0].params["CallStatus"] == "in-progress"
    assert phone.transcript == (TRIAL_ANNOUNCEMENT, "on")
    assert phone.heard.payload.count(make_beeps("on")) == 1
    assert phone.heard.seconds < 5, "the key should have cut the sentence off"


@older
async def test_a_key_in_the_silence_after_the_announcement_counts_too(
    twilio, place, eventually, monkeypatch
):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_ANNOUNCEMENT", SHORT)
    phone = twilio.phone(ALICE)
    await place("<Say>on</Say>")
    await eventually(lambda: phone.heard.seconds > len(make_beeps(SHORT)) / 8000 + 0.1)
    phone.press("#")
    await phone.until("idle")
    assert phone.transcript == (SHORT, "on")
    assert phone.heard.seconds < 3


@older
async def test_the_key_is_no_dtmf_message_and_the_next_one_is(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    await place(media.connect())
    await phone.until("in-call")
    phone.press("12")
    await eventually(lambda: media.of("media"))
    phone.press("3")
    await eventually(lambda: media.of("dtmf"))
    assert [message["dtmf"]["digit"] for message in media.of("dtmf")] == ["3"]


@older
async def test_who_calls_a_trial_number_hears_the_announcement_too(
    twilio, media, site, eventually, briefly
):
    (number,) = await asyncio.to_thread(twilio.client.incoming_phone_numbers.list, limit=1)
    url = site.twiml("/voice", media.connect())
    await asyncio.to_thread(number.update, voice_url=url)
    phone = twilio.phone(ALICE)
    assert (await phone.dial(number.phone_number)).status == "in-progress"
    await phone.until("idle")
    assert (phone.transcript, site.requests) == ((SHORT,), [])
    await phone.dial(number.phone_number)
    phone.press("1")
    await eventually(lambda: media.of("media"))
    assert site.at("/voice")[0].params["CallStatus"] == "in-progress"


@older
async def test_hanging_up_during_the_announcement_ends_the_call(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    await place(media.connect())
    await phone.until("in-call")
    phone.hang_up()
    await eventually(lambda: twilio.calls[0].over)
    assert twilio.calls[0].status == "completed"
    assert media.connections == []


@older
async def test_twiml_that_replaces_the_first_during_the_announcement_waits_for_the_key(
    twilio, place, media, eventually
):
    phone = twilio.phone(ALICE)
    call = await place(media.connect())
    await phone.until("in-call")
    await asyncio.to_thread(call.update, twiml="<Response><Say>other</Say></Response>")
    assert phone.transcript == (TRIAL_ANNOUNCEMENT,)
    phone.press("1")
    await phone.until("idle")
    assert phone.transcript == (TRIAL_ANNOUNCEMENT, "other")
    assert media.connections == []


@older
async def test_new_twiml_in_mid_call_needs_no_second_key(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    call = await place(media.connect())
    await phone.until("in-call")
    phone.press("1")
    await eventually(lambda: media.of("media"))
    await asyncio.to_thread(call.update, twiml="<Response><Say>other</Say></Response>")
    await phone.until("idle")
    assert phone.transcript == (TRIAL_ANNOUNCEMENT, "other")


@older
async def test_the_next_call_hears_its_own_announcement_only(twilio, place, eventually, briefly):
    phone = twilio.phone(ALICE)
    assert phone.transcript == ()
    assert "transcript" not in repr(phone)
    for count in (1, 2):
        await place("<Say>on</Say>")
        await eventually(lambda count=count: len(twilio.calls) == count and twilio.calls[-1].over)
    assert phone.transcript == (SHORT,)
    end = "Twilio ended the call: no key was pressed"
    assert repr(phone).endswith(f"s heard, transcript ends with {SHORT!r}, {end}>")


async def test_a_trial_prompt_takes_no_key_before_it_announces_nor_after():
    prompt = TrialPrompt(VerbAudio())
    assert not prompt.press()
    answer = asyncio.create_task(prompt.wait_for_key())
    await asyncio.sleep(0)
    assert prompt.press()
    assert prompt.press()
    assert await answer
    assert not prompt.press()


async def test_what_is_said_right_after_the_key_is_heard():
    speech = VerbAudio()
    prompt = TrialPrompt(speech)

    async def converse():
        if await prompt.wait_for_key():
            await speech.say(b"\x01" * 160)

    conversation = asyncio.create_task(converse())
    while not speech.texts:  # noqa: ASYNC110 - until the sentence has begun
        await asyncio.sleep(0)
    prompt.press()
    for _ in range(10):
        await asyncio.sleep(0)
    assert speech.take_frame() == b"\x01" * 160
    await conversation


async def test_a_prompt_that_is_cancelled_leaves_the_speech_free():
    speech = VerbAudio()
    answer = asyncio.create_task(TrialPrompt(speech).wait_for_key())
    while not speech.texts:  # noqa: ASYNC110 - until the sentence has begun
        await asyncio.sleep(0)
    answer.cancel()
    await asyncio.wait({answer})
    assert answer.cancelled()
    saying = asyncio.create_task(speech.say(b"\x01" * 160))
    await asyncio.sleep(0)
    assert speech.take_frame() == b"\x01" * 160
    await saying


# The regime of 2026: some verbs are make_beeps refusals.


@blocked
async def test_stream_is_refused_in_words_and_the_server_never_hears_of_it(
    twilio, place, media, site, progress, eventually, briefly
):
    phone = twilio.phone(ALICE)
    options, reported = progress
    status = site.serve("/stream", status=204)
    after = site.twiml("/after", "<Say>never</Say>")
    noun = media.noun(statusCallback=status)
    await place(url=site.twiml("/voice", f"<Connect action='{after}'>{noun}</Connect>"), **options)
    await eventually(lambda: len(reported()) == 4)
    assert reported() == ["initiated", "ringing", "in-progress", "completed"]
    assert phone.transcript == (NO_THIS,)
    assert make_beeps(NO_THIS) in phone.heard.payload
    assert media.connections == []
    assert site.at("/stream") == site.at("/after") == []
    assert len(twilio.debugger) == 0


@blocked
async def test_twiml_is_asked_for_without_a_signature_and_status_callbacks_carry_one(
    twilio, place, site, progress, eventually
):
    twilio.phone(ALICE)
    options, reported = progress
    await place(url=site.twiml("/voice", "<Say>on</Say>"), **options)
    await eventually(lambda: len(reported()) == 4)
    (asked,) = site.at("/voice")
    assert "X-Twilio-Signature" not in asked.headers
    callbacks = [request for request in site.requests if request is not asked]
    assert all("X-Twilio-Signature" in request.headers for request in callbacks)


@blocked
async def test_verbs_behind_a_refused_one_are_carried_out(
    twilio, place, media, site, eventually, briefly
):
    phone = twilio.phone(ALICE)
    document = f"<Start>{media.noun()}</Start><Say>on</Say>"
    await place(url=site.serve("/voice", f"<Response>{document}</Response>", "text/plain"))
    await eventually(lambda: twilio.calls[0].over)
    assert phone.transcript == (NO_THIS, "on")


@blocked
async def test_twiml_pushed_into_a_live_call_is_sanitised_too(
    twilio, place, media, eventually, briefly
):
    phone = twilio.phone(ALICE)
    call = await place("<Pause length='30'/>")
    await phone.until("in-call")
    document = f"<Response>{media.connect()}</Response>"
    await asyncio.to_thread(call.update, twiml=document)
    await phone.until("idle")
    assert phone.transcript == (NO_THIS,)


@blocked
async def test_who_calls_a_trial_number_hears_the_refusal(twilio, media, site, briefly):
    (number,) = await asyncio.to_thread(twilio.client.incoming_phone_numbers.list, limit=1)
    await asyncio.to_thread(number.update, voice_url=site.twiml("/voice", media.connect()))
    phone = twilio.phone(ALICE)
    await phone.dial(number.phone_number)
    await phone.until("idle")
    assert phone.transcript == (NO_THIS,)


@blocked
async def test_a_sound_in_place_of_twiml_is_played_as_ever(
    twilio, place, site, eventually, tmp_path
):
    phone, tone = twilio.phone(ALICE), Clip.tone(440, 0.1)
    sound = tone.save(tmp_path / "a.wav").read_bytes()
    await place(url=site.serve("/voice", sound, "audio/wav"))
    await eventually(lambda: twilio.calls[0].over)
    assert tone.payload in phone.heard.payload


@blocked
async def test_a_document_that_is_no_xml_is_the_same_fault_as_ever(twilio, place, eventually):
    twilio.phone(ALICE)
    await place("<Connect><Stream>")
    await eventually(lambda: twilio.calls[0].over)
    (entry,) = twilio.debugger
    assert (entry.code, entry.message) == (12100, "<Response><Connect><Stream></Response>")


# Either regime: limits.


@either
async def test_slow_twiml_is_11200_and_a_slow_sound_is_not(
    twilio, place, site, eventually, monkeypatch, briefly, tmp_path
):
    from aiohttp import web

    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_FETCH_SECONDS", 0.2)
    sound = Clip.tone(440, 0.1).save(tmp_path / "a.wav").read_bytes()

    async def slow(_request):
        await asyncio.sleep(0.4)  # sleeps: stands for a slow server
        return web.Response(body=sound, content_type="audio/wav")

    site.answers["/slow"] = slow
    jingle = f"<Play>{site.origin}/slow</Play><Say>on</Say>"
    phone = twilio.phone(ALICE)
    await place(url=f"{site.origin}/slow", fallback_url=site.twiml("/fallback", jingle))
    await phone.until("in-call")
    phone.press("1")
    await phone.until("idle")
    assert twilio.debugger.codes == [11200]
    assert "0.2 s" in twilio.debugger[0].text
    assert "trial" in twilio.debugger[0].text
    assert phone.transcript[-1] == "on"
    assert Clip.tone(440, 0.1).payload in phone.heard.payload


@either
async def test_a_circle_of_redirects_is_ended_in_words(twilio, place, site, eventually, briefly):
    phone = twilio.phone(ALICE)
    url = f"{site.origin}/round"
    site.twiml("/round", f"<Redirect>{url}</Redirect>")
    await place(url=url)
    await phone.until("in-call")
    phone.press("1")
    await phone.until("idle")
    assert len(site.at("/round")) == 10
    assert phone.transcript[-1] == "Bye."
    assert twilio.calls[0].status == "completed"


@either
async def test_a_call_is_ended_when_the_trial_has_had_its_time(
    twilio, place, eventually, monkeypatch
):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_CALL_SECONDS", 0.3)
    phone = twilio.phone(ALICE)
    await place("<Pause length='30'/>", time_limit=20)
    await phone.until("in-call")
    phone.press("1")
    await eventually(lambda: twilio.calls[0].over)
    assert twilio.calls[0].status == "completed"
    assert twilio.debugger.codes == [13805]
    assert twilio.debugger[0].call_sid == twilio.calls[0].sid
    assert phone.heard.seconds < 20, "it ended long before the pause and the limit of the call"


@either
async def test_a_shorter_time_limit_of_the_call_stands(twilio, place, eventually, monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_CALL_SECONDS", 1.5)
    phone = twilio.phone(ALICE)
    await place("<Pause length='30'/>", time_limit=1)
    await phone.until("in-call")
    phone.press("1")
    await eventually(lambda: twilio.calls[0].over)
    assert len(twilio.debugger) == 0


@pytest.mark.parametrize("twilio", ["off"], indirect=True)
async def test_an_upgraded_account_has_none_of_these_limits(
    twilio, place, media, eventually, monkeypatch
):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_CALL_SECONDS", 0.05)
    phone = twilio.phone(ALICE)
    await place(media.connect())
    await eventually(lambda: len(media.of("media")) > 20)
    assert (phone.transcript, len(twilio.debugger)) == ((), 0)
    assert twilio.calls[0].status == "in-progress"


# What is taken out of a document.


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<Record maxLength='5'/><Hangup/>", (*refusals("Record"), Hangup())),
        ("<Pay><Prompt for='x'/></Pay>", refusals("Pay")),
        ("<Refer><Sip>sip:a@example.com</Sip></Refer>", refusals("Refer")),
        (
            "<Connect><ConversationRelay url='wss://e.com'/></Connect>",
            refusals("ConversationRelay"),
        ),
        ("<Connect><VirtualAgent/></Connect>", refusals("VirtualAgent")),
        ("<Start><Siprec/></Start>", refusals("Siprec")),
        ("<Start><Recording/></Start><Pause/>", (*refusals("Recording"), Pause(1.0))),
        ("<Stop><Recording/></Stop>", refusals("Recording")),
        ("<Stop><Stream name='ears'/></Stop>", refusals("Stream")),
        ("<Dial><Number>+15550100001</Number><Sip>sip:a@b</Sip></Dial>", refusals("Number", "Sip")),
        ("<Play loop='11'>https://e.com/a.wav</Play>", (Play("https://e.com/a.wav", "", 10),)),
        ("<Play loop='often' digits='1'/>", (Play("", "1", 1),)),
        (f"<Play loop='{'9' * 5000}' digits='1'/>", (Play("", "1", 10),)),
        ("<Play loop='0' digits='1'/>", (Play("", "1", 0),)),
    ],
)
def test_blocked_verbs_become_words(document, expected):
    assert verbs(document) == expected


def test_a_noun_that_is_allowed_stays_in_its_verb():
    document = "<Response><Start><Transcription/><Stream url='wss://e.com'/></Start></Response>"
    say, start = ET.fromstring(sanitise(document))
    assert (say.text, [noun.tag for noun in start]) == (NO_STREAM, ["Transcription"])


@pytest.mark.parametrize(
    "document",
    [
        "<Response> <Say loop='20'>a &amp; b</Say><!-- kept --><Redirect>https://e.com</Redirect></Response>",
        "<Response><Client>not in Dial</Client><stream/></Response>",
        "<Response/>",
        "<Response><Record></Response>",
        "<response><Record/></response>",
        "<!DOCTYPE a><Response><Record/></Response>",
        "",
    ],
)
def test_a_document_without_anything_blocked_comes_back_as_it_was(document):
    assert sanitise(document) == document
    assert sanitise(document.encode()) == document.encode()


def test_a_document_in_another_encoding_is_understood():
    xml = "<?xml version='1.0' encoding='utf-16'?><Response><Record/><Say>ä μ</Say></Response>"
    cleaned = sanitise(xml.encode("utf-16"))
    assert read_twiml(cleaned).verbs == (*refusals("Record"), Say("ä μ"))


NAMES = sorted(TRIAL_BLOCKED | TRIAL_BLOCKED_IN_DIAL | {"Say", "Pause", "Connect", "Start", "Dial"})
NOUNS = st.lists(st.sampled_from(NAMES), max_size=3)
DOCUMENTS = st.lists(st.tuples(st.sampled_from(NAMES), NOUNS), max_size=5)


def document_of(tree):
    root = ET.Element("Response")
    for verb, nouns in tree:
        element = ET.SubElement(root, verb)
        for noun in nouns:
            ET.SubElement(element, noun, url="wss://e.com")
    return ET.tostring(root, encoding="unicode")


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_nothing_blocked_is_ever_left_and_nothing_else_is_lost(tree):
    cleaned = sanitise(document_of(tree))
    root = ET.fromstring(cleaned)
    left = [verb.tag for verb in root] + [noun.tag for verb in root for noun in verb]
    assert not TRIAL_BLOCKED & set(left)
    assert not [noun for dial in root.findall("Dial") for noun in dial if noun.tag == "Number"]
    refused = sum((say.text or "").endswith("on trial accounts.") for say in root)
    blocked_verbs = [verb for verb, _ in tree if verb in TRIAL_BLOCKED]
    names = {"Dial": TRIAL_BLOCKED | TRIAL_BLOCKED_IN_DIAL}
    blocked_nouns = [
        noun
        for verb, nouns in tree
        if verb not in TRIAL_BLOCKED
        for noun in nouns
        if noun in names.get(verb, TRIAL_BLOCKED)
    ]
    assert refused == len(blocked_verbs) + len(blocked_nouns)
    assert left.count("Pause") == sum(
        (verb == "Pause" and not (nouns and set(nouns) <= TRIAL_BLOCKED)) + nouns.count("Pause")
        for verb, nouns in tree
        if verb not in TRIAL_BLOCKED
    )
    assert sanitise(cleaned) == cleaned


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_anything_that_is_no_twiml_comes_back_as_it_was(document):
    assert sanitise(document) == document


def test_redirects_are_left_alone_and_counted_by_what_follows_them():
    document = "<Redirect>https://e.com/next</Redirect>"
    assert isinstance(verbs(document)[0], Redirect)


def test_a_document_that_is_nested_too_deeply_comes_back_as_it_is():
    deep = f"<Response><Record/>{'<a>' * 5000}{'</a>' * 5000}</Response>"
    assert sanitise(deep) == deep
