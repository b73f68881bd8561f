import base64
import gzip
import io
import json
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twistream_kit as kit
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis.payload import (
    is_cut,
    is_silence,
    is_whole_frames,
    look_inside,
    measure_full_scale,
)


def wav_file():
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(np.random.default_rng(1).integers(-9000, 9000, 800, np.int16).tobytes())
    return file.getvalue()


def noise(level, n=160, seed=1, offset=0):
    random = np.random.default_rng(seed)
    return encode_ulaw((offset + random.normal(0, level, n)).astype(np.int16))


@settings(deadline=None, max_examples=200)
@given(st.binary())
def test_any_payload_can_be_looked_into(payload):
    for objection in look_inside(payload, "media.payload"):
        assert objection.code is None
        assert json.dumps(str(objection))


def test_wav_header_is_named_with_what_follows_and_what_to_do():
    [objection] = look_inside(wav_file())
    assert str(objection) == (
        "media.payload starts with RIFF: it is a whole WAV file, not bare PCMU. Twilio would accept"
        " it and play noise, logging nothing. Send kit.load_clip(path).payload, or call"
        " stream.play(kit.load_clip(path))."
    )
    assert (objection.severity, objection.code) == ("error", None)


def test_other_files_are_named():
    [objection] = look_inside(b"ID3\x04\x00\x00\x00\x00\x02\x10" + bytes(160))
    assert objection.problem == "starts like a file: it is MP3 with an ID3 tag, not bare PCMU"


def test_empty_payload_is_legal_and_noted():
    [objection] = look_inside(b"")
    assert objection.severity == "note"


def test_sound_gives_no_objection():
    assert look_inside(b"\xff" * 160) == []


def test_base64_twice_is_named_with_the_fix():
    [objection] = look_inside(base64.b64encode(noise(3000)))
    assert objection.problem == "is base64 twice: the bytes in it are base64 again"
    assert "b64encode(payload).decode()" in objection.fix
    assert (objection.severity, objection.confidence) == ("error", None)


def test_base64_twice_of_a_file_names_the_file_too():
    [objection] = look_inside(base64.b64encode(wav_file()))
    assert objection.problem.endswith("base64 again, and inside that a file: WAV")


def test_an_error_page_is_named():
    [objection] = look_inside(b"<!DOCTYPE html>\n<html><title>502 Bad Gateway</title></html>")
    assert objection.problem == "is HTML, not sound"
    assert "look at the status" in objection.fix


@pytest.mark.parametrize("byte", [0x00, 0x80, 0xD5, 0x55])
def test_a_frame_of_what_is_silence_elsewhere_is_named(byte):
    [objection] = look_inside(noise(3000) + bytes([byte]) * 160 + noise(3000))
    assert f"0x{byte:02X}" in objection.problem
    assert "kit.Clip.silence(seconds).payload" in objection.fix


def test_less_than_a_frame_of_full_scale_may_be_clipped_sound():
    assert look_inside(noise(3000) + bytes(159) + noise(3000)) == []


@pytest.mark.parametrize("byte", [0xFF, 0x7F, 0xFE, 0x7E])
def test_silence_is_no_objection_to_one_payload(byte):
    assert look_inside(bytes([byte]) * 1600) == []


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([30, 300, 3000, 20000]),
    st.integers(-4000, 4000),
    st.integers(0, 2**31),
    st.sampled_from([20, 160, 320, 8000]),
)
def test_noise_of_any_level_and_offset_is_sound(level, offset, seed, n):
    # An offset makes every sample negative, and so every byte ASCII.
    samples = offset + np.random.default_rng(seed).normal(0, level, n)
    assert look_inside(encode_ulaw(samples.clip(-32768, 32767).astype(np.int16))) == []


@settings(deadline=None, max_examples=100)
@given(st.floats(0.5, 3900), st.floats(-40, -1), st.sampled_from([-3000, 0, -200, 500]))
def test_any_tone_is_sound(hertz, level_db, offset):
    samples = Clip.tone(round(max(hertz, 1)), 0.1, level_db=level_db).samples().astype(int) + offset
    assert look_inside(encode_ulaw(samples.clip(-32768, 32767).astype(np.int16))) == []


def test_predicates_tell_silence_whole_frames_and_full_scale():
    assert is_silence(b"\xff\x7f" * 80)
    assert not is_silence(b"\xff\xfe")
    assert is_whole_frames(bytes(320))
    assert not is_whole_frames(bytes(321))
    assert measure_full_scale(b"\x00\x80\xff\x7f") == 0.5
    assert measure_full_scale(b"") == 0.0


@pytest.mark.parametrize(
    ("payload", "fix"),
    [
        (bytes(range(160)).hex().encode(), "bytes.fromhex"),
        (b"[12, -7, 300]", "kit.Clip.from_samples"),
        (str(bytes(range(100))).encode(), "not str(payload)"),
        (b"data:audio/wav;base64,UklGRg==", "text.partition"),
        (b"https://tts.example.com/1.wav", "Fetch what it names"),
        (b'{"error": 1}', "look at the status"),
    ],
)
def test_the_fix_of_text_depends_on_what_it_is(payload, fix):
    (objection,) = look_inside(payload)
    assert fix in objection.fix


@pytest.mark.parametrize("level_db", [0, -0.1, -1, -6])
@pytest.mark.parametrize("hertz", [200, 440, 1234])
def test_a_loud_tone_is_not_cut(hertz, level_db):
    assert not is_cut(Clip.tone(hertz, 1.0, level_db=level_db).payload)


def test_sound_that_is_four_times_too_loud_is_cut():
    samples = np.random.default_rng(5).laplace(0, 20_000, 8000).clip(-32768, 32767)
    assert is_cut(encode_ulaw(samples.astype(np.int16)))
    assert not is_cut(b"")


@pytest.mark.parametrize("hertz", [1000, 2000, 500, 1600])
@pytest.mark.parametrize("peak", [0.98, 1.0])
def test_peaks_of_a_tone_that_repeats_are_not_cut(hertz, peak):
    wave = np.sin(2 * np.pi * hertz * np.arange(24_000) / 8000) * peak * 32767
    assert kit.review_sound([encode_ulaw(wave.astype(np.int16))]) == []


@pytest.mark.parametrize("content", [b"RIFF" * 100, bytes(range(256)) * 4])
def test_gzip_is_a_file_and_its_first_bytes_alone_are_not(content):
    packed = gzip.compress(content)
    assert "it is gzip" in look_inside(packed)[0].problem
    assert look_inside(packed[:10] + bytes([0x81, 0x92, 0xA3, 0x94]) * 40) == []
