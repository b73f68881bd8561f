"""Samples that were damaged before they were encoded as μ-law."""

import numpy as np
import payload_set
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._sample_damage import find_damaged_samples
from twistream_kit.diagnosis.sound import SoundReview, review_sound


@pytest.fixture(scope="module")
def voices():
    sounds = [each for each in payload_set.tuning() if each.kind == "speech"]
    return [each._replace(samples=np.tile(each.samples, 4)) for each in sounds[::2]]


def frames(payload):
    return [payload[at : at + 160] for at in range(0, len(payload), 160)]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("encoded twice as 16 kHz PCM16", "encoded twice"),
        ("encoded twice as PCM16", "encoded twice"),
        ("encoded twice as PCM8", "encoded twice"),
        ("encoded twice as numbers", "encoded twice"),
        ("low 16 of 24 bits", "only the low bits"),
        ("one byte lost", "a byte is missing"),
        ("other byte order", "byte order is wrong"),
        ("wrapped around", "wrapped around"),
        ("text: UTF-8", "read as text (UTF-8)"),
        ("text: Latin-1", "read as text (Latin-1"),
        ("text: ASCII", "read as text (ASCII)"),
        ("text: 7 bits", "half of all codes are missing"),
        ("text: hexadecimal", "hexadecimal digits"),
    ],
)
def test_each_damage_of_three_seconds_of_speech_is_named_and_nothing_else(voices, damage, words):
    for voice in voices:
        payload = payload_set.damaged(voice, -12, seed=3)[damage][:24000]
        found = review_sound(frames(payload))
        assert [words in each.problem for each in found] == [True], (voice.name, found)


def test_the_beginning_of_the_noise_is_given_in_the_sound_of_the_stream(voices):
    samples = payload_set.at_level(voices[0], -12)[:24000]
    raw = samples.tobytes()
    shifted = np.frombuffer(raw[:24001] + raw[24002:] + b"\0", "<i2")
    payload = Clip.silence(2.0).payload + encode_ulaw(shifted)
    [objection] = review_sound(frames(payload))
    assert "from 3.5 s on" in objection.problem


def test_the_end_of_a_long_clip_is_examined_too(voices):
    samples = payload_set.at_level(voices[0], -12)
    raw = samples.tobytes()
    at = len(raw) // 2 + 1
    payload = encode_ulaw(np.frombuffer(raw[:at] + raw[at + 1 :] + b"\0", "<i2"))
    assert len(payload) > 48000
    [objection] = review_sound([payload])
    assert "a byte is missing" in objection.problem


def test_sound_that_was_encoded_twice_is_not_called_8_bit_because_it_begins_with_silence(voices):
    samples = np.concatenate([np.zeros(8000, np.int16), payload_set.at_level(voices[0], -12)])
    codes = np.frombuffer(encode_ulaw(samples), np.uint8).astype(int)
    payload = encode_ulaw(((codes - 128) * 256).astype(np.int16))[:32000]
    assert b"\x80" * 160 in payload
    [in_frames] = review_sound(frames(payload))
    [at_once] = review_sound([payload])
    for objection in (in_frames, at_once):
        assert "encoded twice" in objection.problem
        assert "8-bit" not in str(objection)


def test_silence_of_8_bit_sound_is_still_found_after_three_seconds_or_at_the_end():
    review = SoundReview()
    found = [each for n in range(160) for each in review.note_sent(b"\x80" * 160, n * 0.02)]
    assert ["0x80" in each.problem for each in found] == [True]
    short = SoundReview()
    assert short.note_sent(b"\x80" * 160, 0.0) == []
    assert ["0x80" in each.problem for each in short.finish(0.02)] == [True]


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_bytes_that_were_resampled_from_any_rate_are_found(voices, rate):
    import soxr

    for voice in voices:
        right = encode_ulaw(payload_set.at_level(voice, -12))
        pairs = np.tile(np.frombuffer(right, "<i2"), 5).astype(float)
        samples = np.rint(soxr.resample(pairs, rate, 8000)).clip(-32768, 32767)
        damaged = find_damaged_samples(encode_ulaw(samples.astype(np.int16))[:24000])
        assert damaged is not None
        assert damaged.damage == "encoded twice"


def test_loud_noise_square_waves_and_cut_sound_are_not_damaged():
    random = np.random.default_rng(8)
    time = np.arange(24000) / 8000
    sounds = {
        "noise at full scale": random.normal(0, 12000, 24000),
        "noise cut off": random.normal(0, 30000, 24000),
        "noise with an offset": random.normal(3000, 6000, 24000),
        "square": 32767 * np.sign(np.sin(2 * np.pi * 223 * time)),
        "a little softer square": 30000 * np.sign(np.sin(2 * np.pi * 311 * time)),
        "sine cut off": 90000 * np.sin(2 * np.pi * 1234 * time),
        "sawtooth": 32000 * (2 * (time * 131 % 1) - 1),
        "clicks": np.where(np.arange(24000) % 400 == 0, 32000, 0),
        "sine with an offset": 1200 + 1000 * np.sin(2 * np.pi * 2750 * time),
        "negative pulses": -20000 * (np.arange(24000) % 80 < 8),
    }
    for name, samples in sounds.items():
        payload = encode_ulaw(np.rint(samples).clip(-32768, 32767).astype(np.int16))
        assert find_damaged_samples(payload) is None, name


def test_too_little_sound_and_silence_are_not_damaged():
    assert find_damaged_samples(b"\x10\x90" * 1000) is None
    assert find_damaged_samples(b"\xff" * 24000) is None
    assert find_damaged_samples(b"") is None


@pytest.mark.parametrize("gain", [3, 6, 10])
def test_speech_that_was_clipped_is_not_said_to_have_wrapped_around(gain):
    for sound in payload_set.held_out():
        if sound.kind != "speech":
            continue
        loud = payload_set.at_level(sound, -1).astype(np.float64) * gain
        clipped = encode_ulaw(np.clip(loud, -32768, 32767).astype(np.int16))
        damaged = find_damaged_samples(clipped[:24000])
        assert damaged is None or damaged.damage != "wrapped around"
