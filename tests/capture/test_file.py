"""The quick reader of media lines reads what the thorough one does, or nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.capture.entry import message_of, time_of
from twistream_kit.capture.file import MediaLineReader
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32


def line(message, at=1.5, **more):
    sender = "server" if isinstance(message, to_twilio.Media) else "twilio"
    extra = "".join(f'"{key}":{value},' for key, value in more.items())
    return f'{{"at":{at:.6f},"from":"{sender}",{extra}"message":{message.to_json()}}}'.encode()


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=400),
    st.integers(0, 10**15),
    st.sampled_from(["inbound", "outbound"]),
    st.floats(-1e9, 1e9),
)
def test_media_line_is_read_as_it_was_written(payload, number, track, at):
    messages = [
        from_twilio.Media(SID, payload, number, track, number, number),
        to_twilio.Media(SID, payload),
    ]
    for message in messages:
        kept = MediaLineReader().read(line(message, at))
        assert message_of(kept) == message
        assert type(message_of(kept)) is type(message)
        assert time_of(kept) == pytest.approx(at, abs=1e-6)


def test_whole_wav_file_that_was_sent_is_read_too():
    text = line(to_twilio.Media(SID, b"RIFF----")).replace(b"UklGRi0tLS0=", b"UklGRi0tLS1XQVZF")
    assert message_of(MediaLineReader().read(text)).payload == b"RIFF----WAVE"


GOOD = line(from_twilio.Media(SID, b"\x20" * 160, 7, "inbound", 5, 100))


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"{}",
        GOOD[:-1],
        GOOD + b"\r",
        GOOD.replace(b'"7"', b"7"),
        GOOD.replace(b"inbound", b"sideways"),
        GOOD.replace(b"ICAg", b"IC g", 1),
        GOOD.replace(b"=", b""),
        GOOD.replace(b'"event"', b'"more":1,"event"'),
        GOOD.replace(b"1.500000", b"NaN"),
        GOOD.replace(SID.encode(), b"\\u004d\\u005a"),
        line(to_twilio.Media(SID, b""), size=160),
        line(to_twilio.Media("MZ ü", b"\x20")),
        line(from_twilio.Mark(SID, "a")),
    ],
)
def test_line_that_looks_otherwise_is_left_to_the_other_reader(other):
    assert MediaLineReader().read(other) is None


def test_good_line_is_json():
    assert json.loads(GOOD)["message"]["media"]["chunk"] == "5"
