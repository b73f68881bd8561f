from collections import Counter

import numpy as np
import payload_set
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._coding import RecognisedCoding, recognise_coding
from twistream_kit.diagnosis.payload import SHORTEST_BYTES, look_inside

CODINGS = ["A-law", "PCM8 unsigned", "PCM16 little-endian", "PCM16 big-endian"]


def windows(payload):
    return [payload[at : at + 8000] for at in range(0, len(payload) - 7999, 8000)]


@pytest.fixture(scope="module")
def held_out():
    sounds = payload_set.held_out()
    return [sound for count, sound in enumerate(sounds) if count % 2 or sound.kind == "speech"]


@pytest.mark.parametrize("coding", CODINGS)
def test_wrong_codings_of_speech_and_music_are_found_after_a_second(held_out, coding):
    found = Counter()
    for sound in held_out:
        if sound.kind not in ("speech", "music"):
            continue
        for level in (-6, -40):
            payload = payload_set.coded(payload_set.at_level(sound, level))[coding]
            for window in windows(payload):
                recognised = recognise_coding(window)
                found[sound.kind, recognised is not None and recognised.coding == coding] += 1
    for kind in ("speech", "music"):
        assert found[kind, True] / (found[kind, True] + found[kind, False]) >= 0.95


def test_right_sound_of_all_kinds_and_levels_is_not_suspected(held_out):
    suspected = []
    for sound in held_out:
        for level in (-6, -20, -40):
            for payload in payload_set.rightly_coded(payload_set.at_level(sound, level)).values():
                suspected += [
                    (sound.name, level, found)
                    for window in windows(payload)[:2]
                    if (found := recognise_coding(window) or look_inside(window))
                ]
    assert suspected == []


def test_line_noise_and_silence_are_not_suspected():
    for seed in range(3):
        for samples in payload_set.line_noise(seed):
            assert recognise_coding(encode_ulaw(samples)[:8000]) is None


@pytest.fixture(scope="module")
def speech(held_out):
    return payload_set.at_level(held_out[1], -12)


def test_stereo_is_distinguished_from_mono(held_out, speech):
    both = np.stack([speech, payload_set.at_level(held_out[2], -12)], axis=1)
    recognised = recognise_coding(both.astype("<i2").tobytes()[8000:16000])
    assert (recognised.coding, recognised.channels) == ("PCM16 little-endian", 2)
    assert "PCM16 little-endian, stereo, not PCMU" in str(recognised.to_objection())


def test_pieces_of_odd_length_do_not_hide_16_bit_sound(speech):
    recognised = recognise_coding(
        payload_set.coded(speech)["PCM16 little-endian, odd pieces"][:8000]
    )
    assert recognised.coding == "PCM16 little-endian"


def test_24_bit_and_float_sound_are_recognised(speech):
    samples = speech.astype(np.int32)
    deep = ((samples << 8) + np.arange(len(samples)) % 256).astype("<i4").view(np.uint8)
    payload = deep.reshape(-1, 4)[:, :3].tobytes()[:8000]
    assert recognise_coding(payload).coding == "PCM24 little-endian"
    floats = (samples / 32768 + 1e-6).astype("<f4").tobytes()[:8000]
    assert recognise_coding(floats).coding == "float32 little-endian"


@pytest.mark.parametrize("hertz", [500, 1000, 2000, 800])
def test_tones_that_repeat_exactly_are_left_alone(hertz):
    wave = 9000 * np.sin(2 * np.pi * hertz * np.arange(8000) / 8000) + 1200
    assert recognise_coding(encode_ulaw(wave.astype(np.int16))) is None


def test_nothing_is_said_of_less_than_half_a_second(speech):
    payload = speech.tobytes()
    assert recognise_coding(payload[: SHORTEST_BYTES - 1]) is None
    assert recognise_coding(payload[8000 : 8000 + SHORTEST_BYTES]) is not None


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=300), st.integers(0, 60))
def test_any_bytes_can_be_examined(piece, times):
    recognised = recognise_coding(piece * times)
    assert recognised is None or 0.8 <= recognised.confidence <= 1


def test_only_what_is_next_to_certain_is_an_error():
    assert RecognisedCoding("A-law", 0.995).to_objection().severity == "error"
    assert RecognisedCoding("A-law", 0.9).to_objection().severity == "warning"


def test_only_what_is_next_to_certain_states_a_percentage():
    likely = RecognisedCoding("A-law", 0.9).to_objection()
    assert likely.statement == "media.payload is probably A-law, not PCMU"
    assert likely.confidence is None
    assert "(99 % sure)" in RecognisedCoding("A-law", 0.995).to_objection().statement


def test_objection_says_what_is_heard_and_how_sure_it_is():
    assert str(RecognisedCoding("A-law", 0.999).to_objection()) == (
        "media.payload is A-law, not PCMU (99 % sure). The caller hears the words, but harsh, and a"
        " loud buzz in every pause. Send kit.load_clip(sound, sample_rate=…, encoding='PCMA')"
        ".payload, or ask the source for μ-law instead of A-law."
    )


@pytest.mark.parametrize("coding", CODINGS)
def test_the_fix_of_each_coding_uses_names_that_exist(coding, speech):
    fix = RecognisedCoding(coding, 1.0).to_objection().fix
    encodings = {"PCMA": "A-law", "PCM_U8": "PCM8 unsigned", "PCM_S16BE": "PCM16 big-endian"}
    for encoding, name in encodings.items():
        if encoding in fix:
            assert name == coding
            break
    else:
        assert "Clip.from_samples" in fix
        assert Clip.from_samples(speech, 8000).payload


@pytest.mark.parametrize("codes", [b"\x00", b"\x80", b"\xff\x7f", b"\xab" * 13 + b"\x2b" * 13])
def test_silence_and_square_waves_can_not_be_recognised(codes):
    assert recognise_coding((codes * 8000)[:8000]) is None


def test_a_square_wave_with_few_more_codes_is_not_taken_for_floats():
    wave = bytearray((b"\xab" * 13 + b"\x2b" * 13) * 400)
    wave[0] = 0xFF
    assert recognise_coding(bytes(wave[:8000])) is None
