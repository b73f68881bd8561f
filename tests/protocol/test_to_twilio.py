import json
import pickle
from base64 import b64encode
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.errors import LocalProtocolError, RemoteProtocolError
from twistream_kit.protocol.to_twilio import Clear, Mark, Media, make_unchecked_media, parse

SID = "MZ18ad3ab5a668481ce02b83e7395059f0"
ANYTHING = st.text(st.characters())

# Copied by hand from the shapes of PROTOCOL.md §4; '//+A' is base64 of FF FF 80.
GOLDEN = [
    (
        Media(SID, b"\xff\xff\x80"),
        f'{{"event":"media","streamSid":"{SID}","media":{{"payload":"//+A"}}}}',
    ),
    (Media(SID, b""), f'{{"event":"media","streamSid":"{SID}","media":{{"payload":""}}}}'),
    (Mark(SID, "greeting"), f'{{"event":"mark","streamSid":"{SID}","mark":{{"name":"greeting"}}}}'),
    (Clear(SID), f'{{"event":"clear","streamSid":"{SID}"}}'),
]


@pytest.mark.parametrize(("message", "text"), GOLDEN)
def test_message_is_written_exactly_as_documented(message, text):
    assert message.to_json() == text


@pytest.mark.parametrize(("message", "text"), GOLDEN)
def test_documented_text_is_read_in_any_order_and_spacing(message, text):
    backwards = dict(reversed(json.loads(text).items()))
    assert parse(text) == message
    assert parse(json.dumps(backwards, indent=1)) == message


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([Mark, Clear, Media]), ANYTHING, ANYTHING, st.binary())
def test_every_message_survives_the_wire(kind, sid, name, payload):
    message = {Mark: lambda: Mark(sid, name), Clear: lambda: Clear(sid)}.get(
        kind, lambda: Media(sid, payload)
    )()
    assert parse(message.to_json()) == message


@pytest.mark.parametrize("sign", ["RIFF", "RIFX", "RF64", "BW64"])
def test_media_refuses_a_whole_wav_file(sign):
    with pytest.raises(LocalProtocolError) as caught:
        Media(SID, sign.encode() + b"\x24\0\0\0WAVEfmt ")
    assert str(caught.value) == (
        f"media.payload starts with {sign}: it is a whole WAV file, not bare PCMU. Twilio would"
        " accept it and play noise, logging nothing. Send kit.load_clip(path).payload."
    )
    assert caught.value.twilio_code is None


def test_media_that_merely_begins_with_riff_is_sound():
    assert Media(SID, b"RIFF" + b"\xff" * 156).payload[:4] == b"RIFF"


def test_a_wav_file_that_was_sent_can_be_read():
    wav = b"RIFF\x24\0\0\0WAVEfmt "
    media = {"payload": b64encode(wav).decode()}
    text = json.dumps({"event": "media", "streamSid": SID, "media": media})
    assert parse(text).payload == wav


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"event":"clear","streamSid":"MZ1","x":NaN}', "NaN is no number"),
        ("[]", "not a JSON object"),
        ('"clear"', "not a JSON object"),
        ("{}", "streamSid is missing"),
        ('{"streamSid":"MZ1"}', "event is None"),
        ('{"streamSid":7,"event":"clear"}', "streamSid is not a string"),
        ('{"streamSid":"MZ1","event":["clear"]}', "not a message to Twilio"),
        ('{"streamSid":"MZ1","event":"Clear"}', "not a message to Twilio"),
        ('{"streamSid":"MZ1","event":"start"}', "not a message to Twilio"),
        ('{"streamSid":"MZ1","event":"mark"}', "mark is missing"),
        ('{"streamSid":"MZ1","event":"mark","mark":"x"}', "mark is not an object"),
        ('{"streamSid":"MZ1","event":"mark","mark":{}}', "mark.name is missing"),
        ('{"streamSid":"MZ1","event":"mark","mark":{"name":1}}', "mark.name is not a string"),
        ('{"streamSid":"MZ1","event":"media","media":{"payload":"A"}}', "not base64"),
        ('{"streamSid":"MZ1","event":"media","media":{"payload":"AAA"}}', "not base64"),
        ('{"streamSid":"MZ1","event":"media","media":{"payload":"A-_A"}}', "not base64"),
        ('{"streamSid":"MZ1","event":"media","media":{"payload":"ä"}}', "not base64"),
    ],
)
def test_text_that_is_no_message_is_refused_with_31951(text, problem):
    with pytest.raises(RemoteProtocolError, match=problem) as caught:
        parse(text)
    assert caught.value.twilio_code == 31951


def test_binary_message_is_refused_with_31950():
    with pytest.raises(RemoteProtocolError) as caught:
        parse(Clear(SID).to_json().encode())
    assert caught.value.twilio_code == 31950


def test_extra_fields_do_not_hinder_reading():
    assert parse(f'{{"event":"clear","streamSid":"{SID}","sequenceNumber":"3"}}') == Clear(SID)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(
    ANYTHING
    | st.binary()
    | JSON.map(json.dumps)
    | st.fixed_dictionaries(
        {"event": st.sampled_from(["media", "mark", "clear"]) | JSON, "streamSid": JSON},
        optional={"media": JSON, "mark": JSON, "clear": JSON},
    ).map(json.dumps)
)
def test_parse_raises_nothing_but_remote_protocol_errors(junk):
    try:
        outcome = type(parse(junk))
    except RemoteProtocolError as error:
        outcome = error.twilio_code
    assert outcome in ([31950] if isinstance(junk, bytes) else [31951, Media, Mark, Clear])


def test_media_made_without_a_check_is_a_frozen_message_like_any_other():
    message, same = make_unchecked_media("MZ", b"\xff"), Media("MZ", b"\xff")
    assert type(message) is Media
    assert message == same
    assert hash(message) == hash(same)
    assert repr(message) == repr(same)
    assert pickle.loads(pickle.dumps(message)) == same
    with pytest.raises(FrozenInstanceError):
        message.payload = b""


@pytest.mark.parametrize("sid", ["MZ", "", 'M"Z', "M\\Z", "ä", "\ud800", "\n", "\u2028", None, 5])
def test_media_is_written_as_json_writes_it_whatever_the_sid(sid):
    content = {"event": "media", "streamSid": sid, "media": {"payload": "/w=="}}
    assert Media(sid, b"\xff").to_json() == json.dumps(content, separators=(",", ":"))
