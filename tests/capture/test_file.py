"""Each line of a capture is read as it was written, however it is laid out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.file import CaptureError
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
HEADER = b'{"format":"twistream-capture","version":1}\n'


def line(message, at=1.5, **more):
    sender = "server" if isinstance(message, to_twilio.Media) else "twilio"
    extra = "".join(f'"{key}":{value},' for key, value in more.items())
    return f'{{"at":{at:.6f},"from":"{sender}",{extra}"message":{message.to_json()}}}'.encode()


def read(*lines):
    return Capture.read(HEADER + b"".join(each + b"\n" for each in lines)).entries


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=400),
    st.integers(-(10**30), 10**30),
    st.sampled_from(["inbound", "outbound", "sideways"]),
    st.floats(-1e9, 1e9),
)
def test_media_line_is_read_as_it_was_written(payload, number, track, at):
    messages = [
        from_twilio.Media(SID, payload, number, track, number, number),
        to_twilio.Media(SID, payload),
    ]
    entries = read(*(line(message, at) for message in messages))
    assert [each.message for each in entries] == messages
    assert [type(each.message) for each in entries] == list(map(type, messages))
    assert [each.at for each in entries] == [pytest.approx(at, abs=1e-6)] * 2
    assert [each.size for each in entries] == [len(payload)] * 2


def test_whole_wav_file_that_was_sent_is_read_too():
    text = line(to_twilio.Media(SID, b"RIFF----")).replace(b"UklGRi0tLS0=", b"UklGRi0tLS1XQVZF")
    [entry] = read(text)
    assert entry.message.payload == b"RIFF----WAVE"
    assert entry.message.to_json().encode() in text


VOICE = from_twilio.Media(SID, b"\x20" * 160, 7, "inbound", 5, 100)
GOOD = line(VOICE)


@pytest.mark.parametrize(
    "other",
    [
        GOOD + b"\r",
        GOOD.replace(b'"7"', b"7").replace(b'"5"', b'" 005\\n"'),
        GOOD.replace(b'"event"', b'"more":NaN,"event"'),
        GOOD.replace(SID.encode(), SID.replace("MZ", "\\u004d\\u005a").encode()),
        json.dumps(dict(reversed(json.loads(GOOD).items())), indent=None).encode(),
    ],
)
def test_media_line_that_is_laid_out_otherwise_is_read_alike(other):
    [entry] = read(other)
    assert (entry.at, entry.message, entry.size) == (1.5, VOICE, 160)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (b"{}", "it is no timed message"),
        (GOOD[:-1], "it is no timed message"),
        (GOOD.replace(b"1.500000", b"NaN"), "it is no timed message"),
        (GOOD.replace(b"1.500000", b"1" + b"0" * 400), "it is no timed message"),
        (GOOD.replace(b"ICAg", b"IC g", 1), "media.payload is not base64"),
        (GOOD.replace(b"=", b""), "media.payload is not base64"),
        (GOOD.replace(b'"7"', b'"seven"'), "sequenceNumber is 'seven', not a number"),
        (line(to_twilio.Media(SID, b""), size=-1), "it is no timed message"),
        (line(to_twilio.Media(SID, b""), size=2**32), "it is no timed message"),
        (line(to_twilio.Media(SID, b""), size="1e999"), "it is no timed message"),
    ],
)
def test_line_that_is_none_is_refused_with_its_number(other, reason):
    with pytest.raises(CaptureError, match=f"line 3: the line cannot be read: {reason}"):
        read(GOOD, other, GOOD)


def test_message_whose_sound_was_not_kept_keeps_all_else():
    [entry] = read(line(from_twilio.Media("MZ1", b"", 7, "outbound", 5, 100), size=160))
    assert entry.message == from_twilio.Media("MZ1", b"", 7, "outbound", 5, 100)
    assert (entry.size, entry.is_kept) == (160, False)
