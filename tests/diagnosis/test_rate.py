import numpy as np
import payload_set
import pytest
import soxr

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._rate import SHORTEST_SPEECH_BYTES, SuspectedRate, suspect_rate


@pytest.fixture(scope="module")
def held_out():
    return payload_set.held_out()


def sent_at(sound, rate, level=-12):
    """Return the first three seconds heard of a sound that was made μ-law at another rate."""
    return encode_ulaw(payload_set.at_level(sound, level, rate))[:SHORTEST_SPEECH_BYTES]


def test_speech_at_24_khz_is_mostly_suspected(held_out):
    voices = [sound for sound in held_out if sound.kind == "speech"][:6]
    suspected = [suspect_rate(sent_at(sound, 24000)) for sound in voices]
    assert sum(each is not None for each in suspected) >= 4


def test_right_sound_of_any_kind_is_not_suspected(held_out):
    for sound in held_out:
        for level in (-6, -30):
            payload = sent_at(sound, 8000, level)
            if len(payload) == SHORTEST_SPEECH_BYTES:
                assert suspect_rate(payload) is None, sound.name


def test_slow_speech_is_suspected_whatever_its_tone(held_out):
    sound = next(sound for sound in held_out if sound.name == "voice 1")
    muffled = soxr.resample(soxr.resample(sound.samples, 24000, 5000), 5000, 16000)
    payload = encode_ulaw((muffled / np.abs(muffled).max() * 9000).astype(np.int16))[
        :SHORTEST_SPEECH_BYTES
    ]
    assert suspect_rate(payload) is not None


def test_nothing_is_said_of_less_than_three_seconds(held_out):
    sound = next(sound for sound in held_out if sound.name == "voice 0")
    payload = sent_at(sound, 24000)
    assert suspect_rate(payload) is not None
    assert suspect_rate(payload[:-1]) is None


@pytest.mark.parametrize("payload", [b"\xff", b"\x00", b"\x80", b"\xff\x00"])
def test_flat_sound_is_not_speech(payload):
    assert suspect_rate(payload * SHORTEST_SPEECH_BYTES) is None


def test_a_tone_is_not_speech():
    assert suspect_rate(Clip.tone(60, 3.0).payload) is None


def test_suspicion_is_never_an_error():
    for confidence in (0.95, 0.99, 1.0):
        assert SuspectedRate(16000, confidence).to_objection().severity in ("warning", "note")


def test_suspicion_says_what_is_heard_and_how_sure_it_is():
    assert str(SuspectedRate(16000, 0.97).to_objection()) == (
        "media.payload sounds like speech at 16000 Hz that was not resampled to 8000 Hz"
        " (97 % sure)."
        " The caller hears a voice an octave too low that takes twice as long."
        " Send kit.Clip.from_samples(samples, 16000).payload; sound that comes in pieces goes"
        " through one kit.Resampler(16000)."
    )
