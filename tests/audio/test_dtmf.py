"""Which sounds are taken for telephone keys."""

import numpy as np
import payload_set
import pytest

from twistream_kit.audio.clip import Clip, make_tone
from twistream_kit.audio.dtmf import detect_keys
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw

ALL_KEYS = "123A456B789C*0#D"


def keys_of(samples):
    return "".join(tone.key for tone in detect_keys(samples))


@pytest.mark.parametrize(("tone_ms", "gap_ms"), [(40, 40), (65, 30), (100, 100), (400, 50)])
def test_every_key_is_detected_at_every_speed(tone_ms, gap_ms):
    clip = Clip.dtmf(ALL_KEYS, tone_ms=tone_ms, gap_ms=gap_ms)
    assert keys_of(clip.samples()) == ALL_KEYS


def test_the_times_of_a_tone_are_exact_to_two_hundredths():
    samples = np.concatenate([np.zeros(4000, np.int16), Clip.dtmf("5#").samples()])
    first, second = detect_keys(samples)
    assert (first.start, first.end) == pytest.approx((0.5, 0.6), abs=0.02)
    assert (second.start, second.end) == pytest.approx((0.7, 0.8), abs=0.02)


@pytest.mark.parametrize("deviation", [-0.015, 0.015])
def test_a_phone_may_miss_the_frequencies_a_little(deviation):
    pair = (770 * (1 + deviation), 1336 * (1 + deviation))
    assert keys_of(make_tone(pair, 0.1, -10)) == "5"


def test_one_tone_may_be_louder():
    both = make_tone((770,), 0.1, -8).astype(int) + make_tone((1336,), 0.1, -14)
    assert keys_of(both.astype(np.int16)) == "5"


@pytest.mark.parametrize(
    "frequencies",
    [(440,), (770,), (350, 440), (440, 480), (480, 620), (697, 770), (950, 1400), (730, 1336)],
)
def test_beeps_and_tones_of_the_network_are_no_keys(frequencies):
    assert detect_keys(make_tone(frequencies, 0.3, -12)) == []


def test_tones_shorter_than_25_ms_are_no_keys():
    assert detect_keys(Clip.dtmf("159", tone_ms=23).samples()) == []


def test_a_key_is_not_held_for_ever():
    assert detect_keys(make_tone((770, 1336), 5.0, -12)) == []


def test_speech_music_and_noise_are_no_keys():
    for sound in payload_set.held_out():
        if sound.kind == "DTMF":
            continue
        for level in (-6, -20):
            payload = encode_ulaw(payload_set.at_level(sound, level))
            assert detect_keys(decode_ulaw(payload)) == [], sound.name


def test_silence_and_short_sound_hold_no_keys():
    assert detect_keys(np.zeros(8000, np.int16)) == []
    assert detect_keys(np.zeros(0, np.int16)) == []


def test_samples_of_another_type_are_refused():
    with pytest.raises(TypeError, match="not int16"):
        detect_keys(np.zeros(800, np.float32))
