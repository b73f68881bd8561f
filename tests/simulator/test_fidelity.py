"""Twilio's documented behaviour, one sentence each: TwiML, codes, REST, webhooks, signatures.

The numbers are sections of PROTOCOL.md.  The handshake and the messages are in
`test_fidelity_stream.py`.
"""

import asyncio
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from email.utils import parsedate_to_datetime

import pytest
from twilio.base.exceptions import TwilioRestException

from support.sdk import refused
from twistream_kit.audio.clip import Clip
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"
PAUSE = "<Pause length='30'/>"


@pytest.fixture
async def codes(twilio, place, eventually):
    """Carry out verbs in a call and return the codes that Twilio's console would show."""

    async def run(verbs=None, **options):
        twilio.phone(ALICE)
        await place(verbs, **options)
        await eventually(lambda: twilio.calls[-1].over)
        return twilio.debugger.codes

    return run


@pytest.fixture
async def streaming(twilio, place, media, eventually):
    """Alice talks to the media server; the SDK's call."""
    twilio.phone(ALICE)
    call = await place(media.connect())
    await eventually(lambda: media.of("media"))
    return call


def signed(token, url, params=None):
    text = url + "".join(name + value for name, value in sorted((params or {}).items()))
    return b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


@pytest.fixture
def on_trial(eventually):
    """Carry out verbs in a call of a trial account; return what was said and what was logged."""

    async def run(regime, verbs, *, keys=""):
        behaviour = Behaviour(trial=regime)
        async with SimulatedTwilio(ring_seconds=0, behaviour=behaviour) as twilio:
            twilio.verify(ALICE)
            phone = twilio.phone(ALICE)
            answered = phone.until("in-call")
            await asyncio.to_thread(
                twilio.client.calls.create, to=ALICE, from_=twilio.numbers[0],
                twiml=f"<Response>{verbs}</Response>",
            )  # fmt: skip
            await answered
            if keys:
                phone.press(keys)
            await eventually(lambda: twilio.calls[0].over)
            return list(phone.transcript), twilio.debugger.codes

    return run


# 0 trial accounts


@pytest.mark.parametrize(
    ("verb", "xml"),
    [
        ("Record", "<Record/>"),
        ("Stream", "<Connect><Stream url='wss://example.com/media'/></Connect>"),
        ("ConversationRelay", "<Connect><ConversationRelay url='wss://example.com/'/></Connect>"),
        ("VirtualAgent", "<Connect><VirtualAgent connectorName='a'/></Connect>"),
        ("Siprec", "<Start><Siprec/></Start>"),
        ("Refer", "<Refer><Sip>sip:alice@example.com</Sip></Refer>"),
        ("Pay", "<Pay/>"),
        ("Recording", "<Start><Recording/></Start>"),
        ("Recording", "<Stop><Recording/></Stop>"),
        ("Number", "<Dial><Number>+15550100002</Number></Dial>"),
        ("Sip", "<Dial><Sip>sip:alice@example.com</Sip></Dial>"),
        ("Application", "<Dial><Application>AP0</Application></Dial>"),
        ("WhatsApp", "<Dial><WhatsApp>+15550100002</WhatsApp></Dial>"),
        ("Client", "<Dial><Client>alice</Client></Dial>"),
    ],
)
async def test_0_a_trial_account_hears_which_verb_is_not_available(
    on_trial, monkeypatch, verb, xml
):
    monkeypatch.setattr(
        "twistream_kit.simulator.call._speech.make_beeps", lambda text: b"\xff" * 20 * len(text)
    )
    transcript, logged = await on_trial("blocked", xml)
    assert transcript == [f"The {verb} verb is not available on trial accounts."]
    assert logged == []


# 1.1 <Connect><Stream>


async def test_1_1_connect_blocks_until_the_server_closes_the_socket(
    twilio, place, media, site, eventually
):
    twilio.phone(ALICE)
    url = site.twiml("/next", "<Hangup/>")
    await place(f"{media.connect()}<Redirect>{url}</Redirect>")
    await eventually(lambda: len(media.of("media")) > 10)
    assert site.requests == []
    await media.close()
    await eventually(lambda: site.at("/next"))


async def test_1_1_the_call_ends_when_nothing_follows_connect(streaming, twilio, media, eventually):
    await media.close()
    await eventually(lambda: twilio.calls[0].over)
    assert twilio.calls[0].status == "completed"


async def test_1_1_action_is_requested_with_the_standard_parameters(
    twilio, place, media, site, eventually
):
    twilio.phone(ALICE)
    url = site.twiml("/after", "<Hangup/>")
    await place(f"<Connect action='{url}' method='GET'>{media.noun()}</Connect>")
    await eventually(lambda: media.of("media"))
    await media.close()
    await eventually(lambda: site.at("/after"))
    request = site.at("/after")[0]
    assert request.method == "GET"
    assert request.params["CallStatus"] == "in-progress"


@pytest.mark.parametrize("track", ["both_tracks", "outbound_track", "inbound"])
async def test_1_1_connect_takes_no_track_but_inbound_track(codes, media, track):
    assert await codes(media.connect(track=track) + "<Hangup/>") == [31941]
    assert media.connections == []


async def test_1_1_connect_streams_only_the_inbound_track(streaming, media):
    assert media.of("start")[0]["start"]["tracks"] == ["inbound"]
    assert {message["media"]["track"] for message in media.of("media")} == {"inbound"}


async def test_1_1_a_bidirectional_stream_cannot_be_stopped_by_the_streams_resource(
    streaming, media
):
    sid = media.of("start")[0]["streamSid"]
    assert (await refused(streaming.streams(sid).update, status="stopped")).code == 20404


async def test_1_1_replacing_the_twiml_stops_the_stream(streaming, media, eventually):
    await asyncio.to_thread(streaming.update, twiml=f"<Response>{PAUSE}</Response>")
    await eventually(lambda: media.endings)
    assert media.messages[-1]["event"] == "stop"


# 1.2 <Start><Stream>


async def test_1_2_start_does_not_block_and_without_a_next_verb_the_call_ends(codes, media):
    assert await codes(f"<Start>{media.noun()}</Start>") == []


async def test_1_2_a_message_on_a_started_stream_is_31924(twilio, place, media, site, eventually):
    twilio.phone(ALICE)
    status = site.serve("/stream", status=204)
    await place(f"<Start>{media.noun(statusCallback=status)}</Start>{PAUSE}")
    await eventually(lambda: media.of("media"))
    await media.say(b"\x01" * 160)
    await eventually(lambda: len(site.at("/stream")) == 2)
    assert twilio.debugger.codes == [31924]
    assert site.at("/stream")[-1].params["StreamEvent"] == "stream-error"
    assert twilio.calls[0].status == "in-progress"


async def test_1_2_dtmf_is_not_delivered_on_a_started_stream(twilio, place, media, eventually):
    phone = twilio.phone(ALICE)
    await place(f"<Start>{media.noun()}</Start>{PAUSE}")
    await eventually(lambda: media.of("media"))
    phone.press("1")
    seen = len(media.of("media"))
    await eventually(lambda: len(media.of("media")) > seen + 5)
    assert media.of("dtmf") == []


async def test_1_2_a_started_stream_may_have_three_kinds_of_tracks(
    twilio, place, media, eventually
):
    twilio.phone(ALICE)
    tracks = ["inbound_track", "outbound_track", "both_tracks"]
    started = "".join(f"<Start>{media.noun(track=track, name=track)}</Start>" for track in tracks)
    await place(started + PAUSE)
    await eventually(lambda: len(media.of("start")) == 3)
    assert sorted(message["start"]["tracks"] for message in media.of("start")) == [
        ["inbound"],
        ["inbound", "outbound"],
        ["outbound"],
    ]


async def test_1_2_a_call_streams_at_most_four_tracks_one_way(twilio, place, media, eventually):
    twilio.phone(ALICE)
    await place(f"<Start>{media.noun(track='both_tracks')}</Start>" * 3 + PAUSE)
    await eventually(lambda: twilio.debugger.codes == [31941])
    await eventually(lambda: len(media.of("start")) == 2)


async def test_1_2_an_unknown_track_is_31941(codes, media):
    assert await codes(f"<Start>{media.noun(track='all')}</Start>") == [31941]


# 1.3, 1.4 attributes and parameters


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/media", 31922),
        ("ws://example.com/media", 31922),
        ("wss://", 31923),
    ],
)
async def test_1_3_only_wss_urls_are_dialled(codes, url, code):
    assert await codes(f"<Connect><Stream url='{url}'/></Connect><Hangup/>") == [code]


async def test_1_3_attributes_that_do_not_exist_are_ignored_with_12200(
    twilio, place, media, eventually
):
    twilio.phone(ALICE)
    await place(media.connect(bidirectional="true"))
    await eventually(lambda: media.of("start"))
    assert twilio.debugger.codes == [12200]


async def test_10_38_attributes_of_hd_audio_are_taken_with_a_remark_and_change_nothing(
    twilio, place, media, eventually
):
    twilio.phone(ALICE)
    await place(media.connect(sampleRate="16000"))
    (start,) = await eventually(lambda: media.of("start"))
    assert start["start"]["mediaFormat"]["sampleRate"] == 8000
    assert twilio.debugger.codes == []
    (remark,) = twilio.debugger.unlogged
    assert (remark.objection.field, remark.objection.severity) == ("<Stream sampleRate>", "note")


async def test_1_4_parameters_arrive_as_custom_parameters(twilio, place, media, eventually):
    twilio.phone(ALICE)
    await place(media.connect(inside="<Parameter name='who' value='Alice &amp; Bob'/>"))
    await eventually(lambda: media.of("start"))
    assert media.of("start")[0]["start"]["customParameters"] == {"who": "Alice & Bob"}


async def test_1_4_without_parameters_there_is_an_empty_object(streaming, media):
    assert media.of("start")[0]["start"]["customParameters"] == {}


# 1.5 documents


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"<Response>" + b" " * 65536 + b"</Response>", "text/xml", 11750),
        (b"\n<?xml version='1.0'?><Response/>", "text/xml", 12100),
        (b"<Response><Stream url='wss://a?b=1&c=2'/></Response>", "text/xml", 12100),
        (b"<VoiceResponse/>", "text/xml", 12102),
        (b"{}", "application/json", 12300),
    ],
)
async def test_1_5_a_document_that_cannot_be_used_has_its_code(codes, site, body, kind, code):
    assert await codes(url=site.serve("/voice", body, kind)) == [code]


async def test_1_5_a_document_without_a_content_type_is_12300(codes):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n<Response/>"
        )
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await codes(url=f"http://127.0.0.1:{port}/voice") == [12300]


async def test_1_5_inline_twiml_is_at_most_4000_characters(twilio, place):
    def document(length):
        return "<Response>" + " " * (length - 21) + "</Response>"

    with pytest.raises(TwilioRestException):
        await place(twiml=document(4001))
    await place(twiml=document(4000))


async def test_1_5_verb_names_are_case_sensitive(codes):
    assert await codes("<hangup/>") == [12200]


async def test_1_5_relative_action_pushed_into_a_live_call_is_15004(
    streaming, twilio, media, eventually
):
    twiml = f"<Response><Connect action='/x'>{media.noun()}</Connect></Response>"
    await asyncio.to_thread(streaming.update, twiml=twiml)
    await eventually(lambda: twilio.debugger.codes == [15004])


async def test_1_5_a_trial_account_gets_ten_hops(on_trial, site, monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_LAST_HOP", "Bye.")
    url = f"{site.origin}/round"
    site.twiml("/round", f"<Redirect>{url}</Redirect>")
    assert await on_trial("blocked", f"<Redirect>{url}</Redirect>") == (["Bye."], [])
    assert len(site.at("/round")) == 9


# 1.6, 1.7


async def test_1_7_sids_are_two_letters_and_32_hex_digits(streaming, twilio, media):
    start = media.of("start")[0]["start"]
    for prefix, sid in (
        ("AC", start["accountSid"]),
        ("CA", start["callSid"]),
        ("MZ", start["streamSid"]),
        ("PN", twilio.calls[0].plan.number_sid),
    ):
        assert re.fullmatch(f"{prefix}[0-9a-f]{{32}}", sid)
    assert start["accountSid"] == twilio.account_sid
    assert start["callSid"] == streaming.sid


# 5.2 fetch failures


@pytest.mark.parametrize("status", [404, 500])
async def test_5_2_an_error_page_is_11200_and_the_call_is_hung_up(twilio, codes, site, status):
    assert await codes(url=site.serve("/voice", status=status)) == [11200]
    assert twilio.calls[0].status == "completed"


async def test_5_2_a_caller_hears_that_the_application_failed(twilio, codes, site):
    await codes(url=site.serve("/voice", status=500))
    assert any(twilio.phone(ALICE).heard.samples() > 1000)


async def test_5_2_a_trial_call_that_reaches_its_limit_is_13805(on_trial, monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_CALL_SECONDS", 0.2)
    assert await on_trial("blocked", PAUSE) == ([], [13805])


# 6.3, 6.4 life cycle and update


async def test_6_3_a_rejected_call_is_no_answer(twilio, site):
    number = (await asyncio.to_thread(twilio.client.incoming_phone_numbers.list))[0]
    await asyncio.to_thread(number.update, voice_url=site.twiml("/voice", "<Reject/>"))
    call = await twilio.phone(ALICE).dial(twilio.numbers[0])
    assert call.status == "no-answer"


async def test_6_4_status_completed_ends_a_call_in_progress(streaming, twilio, media, eventually):
    await asyncio.to_thread(streaming.update, status="completed")
    await eventually(lambda: media.endings == [1005])
    assert (await asyncio.to_thread(streaming.fetch)).status == "completed"


# 6.5 webhooks


async def test_6_5_the_webhook_of_an_answered_call_says_in_progress(codes, twilio, site):
    await codes(url=site.twiml("/voice", "<Hangup/>"))
    (request,) = site.at("/voice")
    params = request.params
    assert request.method == "POST"
    assert params["CallSid"] == twilio.calls[0].sid
    assert params["AccountSid"] == twilio.account_sid
    assert params["From"] == params["Caller"] == twilio.numbers[0]
    assert params["To"] == params["Called"] == ALICE
    assert params["CallStatus"] == "in-progress"
    assert params["Direction"] == "outbound-api"
    assert params["ApiVersion"] == "2010-04-01"


async def test_6_5_unknown_places_are_empty_and_not_absent(codes, site):
    await codes(url=site.twiml("/voice", "<Hangup/>"))
    params = site.at("/voice")[0].params
    for who in ("From", "To", "Called", "Caller"):
        assert [params[f"{who}{part}"] for part in ("City", "State", "Zip")] == ["", "", ""]
        assert params[f"{who}Country"] == "US"


async def test_6_5_the_webhook_of_an_incoming_call_says_ringing(twilio, site):
    number = (await asyncio.to_thread(twilio.client.incoming_phone_numbers.list))[0]
    url = site.twiml("/voice", "<Hangup/>")
    await asyncio.to_thread(number.update, voice_url=url, voice_method="GET")
    await twilio.phone(ALICE).dial(twilio.numbers[0])
    (request,) = site.at("/voice")
    assert request.method == "GET"
    assert request.params["CallStatus"] == "ringing"
    assert request.params["Direction"] == "inbound"
    assert (request.params["From"], request.params["To"]) == (ALICE, twilio.numbers[0])


async def test_6_5_cookies_are_kept_during_a_call(codes, site):
    second = site.twiml("/second", "<Hangup/>")
    body = f"<Response><Redirect>{second}</Redirect></Response>"
    await codes(url=site.serve("/voice", body, **{"Set-Cookie": "session=7"}))
    assert site.at("/second")[0].headers["Cookie"] == "session=7"


# 6.6 status callbacks


async def test_6_6_progress_callbacks_carry_what_is_documented(codes, twilio, site, eventually):
    events = ["initiated", "ringing", "answered", "completed"]
    url = site.serve("/status", status=204)
    await codes("<Hangup/>", status_callback=url, status_callback_event=events)
    await eventually(lambda: len(site.at("/status")) == 4)
    params = [request.params for request in site.at("/status")]
    assert [each["CallStatus"] for each in params] == [
        "initiated", "ringing", "in-progress", "completed",
    ]  # fmt: skip
    assert [each["SequenceNumber"] for each in params] == ["0", "1", "2", "3"]
    for each in params:
        assert each["CallbackSource"] == "call-progress-events"
        assert parsedate_to_datetime(each["Timestamp"]).utcoffset().total_seconds() == 0
        assert each["CallSid"] == twilio.calls[0].sid
    assert "CallDuration" not in params[2]
    assert (params[3]["CallDuration"], params[3]["Duration"]) == ("0", "0")


async def test_6_6_the_callback_of_a_number_tells_how_an_incoming_call_ended(
    twilio, site, eventually
):
    number = (await asyncio.to_thread(twilio.client.incoming_phone_numbers.list))[0]
    await asyncio.to_thread(
        number.update,
        voice_url=site.twiml("/voice", "<Hangup/>"),
        status_callback=site.serve("/status", status=204),
    )
    await twilio.phone(ALICE).dial(twilio.numbers[0])
    await eventually(lambda: site.at("/status"))
    assert site.at("/status")[0].params["CallStatus"] == "completed"


async def test_6_6_a_callback_answered_with_an_error_is_15003(codes, twilio, site, eventually):
    await codes("<Hangup/>", status_callback=site.serve("/status", status=404))
    await eventually(lambda: twilio.debugger.codes == [15003])
    assert twilio.debugger[0].level == "warning"


# 6.7 trial accounts


async def test_6_7_the_older_announcement_ends_by_asking_for_any_key(on_trial):
    announcement, said = (await on_trial("announcement", "<Say>on</Say>", keys="*"))[0]
    assert "trial account" in announcement
    assert re.search("[Pp]ress any key[^.]*[.]$", announcement)
    assert said == "on"


async def test_6_7_without_a_key_the_call_ends_before_the_twiml(on_trial, monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_ANNOUNCEMENT", "Any key.")
    monkeypatch.setattr("twistream_kit.simulator.call._trial.TRIAL_KEY_SECONDS", 0.1)
    assert await on_trial("announcement", "<Say>on</Say>") == (["Any key."], [])


# 6.8 machines and keys; more in `test_machines.py`, and 10.41 to 10.43 in
# `call/test_machine_detection.py`


async def test_6_8_a_verdict_that_nobody_is_sent_is_21262(twilio, place, eventually):
    """Page of 21262: the call resource has the result all the same."""
    twilio.phone(ALICE, "mailbox", greeting=Clip.tone(2100, 0.6))
    call = await place(PAUSE, machine_detection="Enable", async_amd="true")
    await eventually(lambda: twilio.calls[0].answered_by)
    assert twilio.debugger.codes == [21262]
    assert (await asyncio.to_thread(call.fetch)).answered_by == "fax"


async def test_10_47_21262_is_logged_when_the_call_is_made(twilio, place):
    """§10.47: also if the call ends before the verdict."""
    twilio.phone(ALICE, "busy")
    await place(PAUSE, machine_detection="Enable", async_amd="true")
    assert twilio.debugger.codes == [21262]


async def test_10_44_twiml_that_replaces_that_of_a_call_is_not_held_back(
    twilio, place, site, eventually
):
    phone = twilio.phone(ALICE)
    answered = phone.until("in-call")
    url = site.twiml("/voice", "<Say>a</Say>")
    call = await place(
        url=url, machine_detection="Enable", machine_detection_silence_timeout=10_000
    )
    await answered
    await asyncio.to_thread(call.update, twiml="<Response><Say>b</Say></Response>")
    await eventually(lambda: twilio.calls[0].over)
    assert phone.transcript == ("b",)
    assert site.at("/voice") == []


async def test_10_46_the_keys_are_sent_before_the_stream_which_has_no_event_of_them(
    twilio, place, media, eventually
):
    phone = twilio.phone(ALICE)
    await place(media.connect(), send_digits="7")
    await eventually(lambda: len(media.of("media")) > 10)
    assert phone.keys_heard == "7"
    assert media.of("dtmf") == []
    sent = b"".join(b64decode(message["media"]["payload"]) for message in media.of("media"))
    assert set(sent) <= {0xFF, 0x7F}


@pytest.mark.parametrize(
    ("verb", "words"),
    [("<Dial>+15550100002</Dial>", "a transfer"), ("<Record/>", "a message that is recorded")],
)
async def test_dial_and_record_are_left_out_in_words(codes, twilio, verb, words):
    assert await codes(f"{verb}<Hangup/>") == []
    (note,) = twilio.debugger.unlogged
    assert "is not simulated: the next verb follows at once" in note.objection.problem
    assert words in note.objection.consequence


# 7 signatures


async def test_7_every_request_is_signed_with_the_auth_token(codes, twilio, site, eventually):
    status = site.serve("/status", status=204)
    await codes(url=site.twiml("/voice", "<Hangup/>"), status_callback=status)
    await eventually(lambda: site.at("/status"))
    for request in site.requests:
        expected = signed(twilio.auth_token, request.url, request.params)
        assert request.headers["X-Twilio-Signature"] == expected


async def test_7_a_get_request_is_signed_with_its_query_and_nothing_else(codes, twilio, site):
    await codes(url=site.twiml("/voice", "<Hangup/>"), method="GET")
    (request,) = site.requests
    assert request.headers["X-Twilio-Signature"] == signed(twilio.auth_token, request.url)


async def test_7_the_handshake_is_signed_over_the_stream_url(streaming, twilio, media):
    headers = media.connections[0].request.headers
    assert headers["x-twilio-signature"] == signed(twilio.auth_token, media.url)


# 8 stream status callbacks


async def test_8_a_stream_tells_that_it_started_and_stopped(twilio, place, media, site, eventually):
    twilio.phone(ALICE)
    status = site.serve("/stream", status=204)
    await place(media.connect(statusCallback=status, name="talk"))
    await eventually(lambda: media.of("media"))
    await media.close()
    await eventually(lambda: len(site.at("/stream")) == 2)
    started, stopped = (request.params for request in site.at("/stream"))
    assert started["StreamEvent"] == "stream-started"
    assert stopped["StreamEvent"] == "stream-stopped"
    for params in (started, stopped):
        assert params["StreamName"] == "talk"
        assert params["StreamSid"] == media.of("start")[0]["streamSid"]
        assert params["CallSid"] == twilio.calls[0].sid
        assert params["AccountSid"] == twilio.account_sid
        assert "StreamError" not in params
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", params["Timestamp"])


async def test_8_a_failed_handshake_is_reported_with_the_name_of_the_error(
    codes, twilio, site, eventually
):
    status = site.serve("/stream", status=204)
    url = site.origin.replace("http", "ws") + "/no-such-route"
    stream = f"<Stream url='{url}' statusCallback='{status}' statusCallbackMethod='GET'/>"
    assert await codes(f"<Connect>{stream}</Connect><Hangup/>") == [31920]
    await eventually(lambda: site.at("/stream"))
    request = site.at("/stream")[0]
    assert request.method == "GET"
    assert request.params["StreamEvent"] == "stream-error"
    assert "Handshake" in request.params["StreamError"]
    assert re.fullmatch("MZ[0-9a-f]{32}", request.params["StreamSid"])
    assert request.params["StreamName"] == request.params["StreamSid"]


async def test_8_a_connection_that_breaks_is_reported_as_an_error(
    twilio, place, media, site, eventually
):
    twilio.phone(ALICE)
    await place(media.connect(statusCallback=site.serve("/stream", status=204)) + PAUSE)
    await eventually(lambda: media.of("media"))
    media.connections[0].transport.abort()
    await eventually(lambda: len(site.at("/stream")) == 2)
    assert site.at("/stream")[1].params["StreamEvent"] == "stream-error"
    assert twilio.debugger.codes == [31903]


async def test_8_the_stream_callback_does_not_control_the_call(
    twilio, place, media, site, eventually
):
    twilio.phone(ALICE)
    await place(media.connect(statusCallback=site.serve("/stream", "<Response/>", status=500)))
    await eventually(lambda: 15003 in twilio.debugger.codes)
    seen = len(media.of("media"))
    await eventually(lambda: len(media.of("media")) > seen)
    assert twilio.calls[0].status == "in-progress"
