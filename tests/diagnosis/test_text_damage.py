"""Sound whose bytes were read as text."""

from base64 import b64decode

import numpy as np
import payload_set
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._text_damage import look_for_lost_bits, look_for_text_damage
from twistream_kit.diagnosis.payload import look_inside

FIELD = "media.payload"


@pytest.fixture(scope="module")
def speech():
    [sound, *_] = payload_set.tuning()
    return encode_ulaw(payload_set.at_level(sound, -12))


def test_a_single_frame_shows_that_it_was_read_as_utf_8_wherever_it_is_cut(speech):
    text = speech.decode("utf-8", "replace").encode()
    for begin in range(8000, 8010):
        [objection] = look_inside(text[begin : begin + 160])
        assert "read as text (UTF-8)" in objection.problem


def test_a_frame_of_latin_1_is_known_wherever_it_is_cut(speech):
    text = speech.decode("latin-1").encode()
    for begin in range(9000, 9010):
        [objection] = look_inside(text[begin : begin + 320])
        assert "Latin-1" in objection.problem


@pytest.mark.parametrize("upper", [False, True])
def test_hexadecimal_digits_are_known_in_one_frame_and_wherever_joined_frames_are_cut(
    speech, upper
):
    digits = speech[8000:16000].hex()
    payload = b64decode(digits.upper() if upper else digits)
    for begin in range(3):
        [objection] = look_inside(payload[begin : begin + 240])
        assert "hexadecimal" in objection.problem


def test_bytes_that_are_left_out_and_seven_bits_are_found(speech):
    for payload in (speech.decode("ascii", "ignore").encode(), bytes(c & 0x7F for c in speech)):
        objection = look_for_lost_bits(payload[:24000], FIELD)
        assert objection is not None
        assert "half of all codes are missing" in objection.problem


@pytest.mark.parametrize("offset", [-30, -100, -400, -1200])
def test_sound_below_zero_is_not_taken_for_text(offset):
    for sound in payload_set.tuning():
        for level in (-20, -40, -50):
            samples = payload_set.at_level(sound, level).astype(int) + offset
            payload = encode_ulaw(samples.clip(-32768, 32767).astype(np.int16))
            assert look_for_lost_bits(payload[:24000], FIELD) is None, sound.name


def test_frames_of_right_sound_are_not_taken_for_text():
    for sound in payload_set.tuning():
        payload = encode_ulaw(payload_set.at_level(sound, -12))
        for at in range(0, len(payload), 160):
            assert look_for_text_damage(payload[at : at + 160], FIELD) is None, sound.name


def test_silence_and_tones_of_few_bytes_are_not_taken_for_text():
    for codes in (b"\xff", b"\x7f", b"\x00", b"\x7d\xf7\xdf", b"\xc3\xa9", b"\xef\xbf\xbd\x10"):
        payload = (codes * 8000)[:8000]
        assert look_for_lost_bits(payload, FIELD) is None
        if codes != b"\xef\xbf\xbd\x10":
            assert look_for_text_damage(payload, FIELD) is None
    assert look_for_text_damage(Clip.silence(1.0).payload, FIELD) is None


def test_a_frame_of_a_high_tone_that_is_valid_utf_8_is_not_taken_for_text():
    time = np.arange(24000) / 8000
    for level in (300, 1000, 3000):
        sweep = level * np.sin(2 * np.pi * (2000 + 300 * time) * time)
        payload = encode_ulaw(np.rint(sweep).astype(np.int16))
        for at in range(0, len(payload), 160):
            assert look_inside(payload[at : at + 160]) == []


def test_line_ends_that_were_inserted_are_named():
    rng = np.random.default_rng(3)
    loud = encode_ulaw(np.clip(rng.normal(0, 9000, 24_000), -32768, 32767).astype(np.int16))
    assert look_for_lost_bits(loud, "payload") is None
    found = look_for_lost_bits(loud.replace(b"\n", b"\r\n"), "payload")
    assert found.problem.startswith("has 0D before every 0A")
    assert "payload.replace(b'\\r\\n', b'\\n')" in found.fix
