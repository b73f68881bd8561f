"""Which sounds are taken for telephone keys and beeps, and how well they are measured."""

from itertools import pairwise

import numpy as np
import payload_set
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip, make_tone
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.audio.tone_detector import ToneDetector
from twistream_kit.audio.tones import find_tones
from twistream_kit.errors import LocalProtocolError

ALL_KEYS = "123A456B789C*0#D"

PAIRS = {
    "1": (697, 1209), "2": (697, 1336), "3": (697, 1477), "A": (697, 1633),
    "4": (770, 1209), "5": (770, 1336), "6": (770, 1477), "B": (770, 1633),
    "7": (852, 1209), "8": (852, 1336), "9": (852, 1477), "C": (852, 1633),
    "*": (941, 1209), "0": (941, 1336), "#": (941, 1477), "D": (941, 1633),
}  # fmt: skip
"""The frequencies of each key, by ITU-T Q.23."""


def keys_of(sound):
    return "".join(tone.key for tone in find_tones(sound) if tone.kind == "key")


def beeps_of(sound):
    return [tone for tone in find_tones(sound) if tone.kind == "beep"]


def silence(seconds):
    return np.zeros(round(8000 * seconds), np.int16)


def sine(hz, seconds, level_db):
    time = np.arange(round(8000 * seconds)) / 8000
    return 32767 * 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * time)


def press(key, seconds=0.05, level=-12.0, twist=0.0, off=0.0):
    """Return a key that is switched on and off at once; `level` is that of the louder frequency."""
    low, high = PAIRS[key]
    both = sine(low * (1 + off), seconds, level - max(0, twist))
    return both + sine(high * (1 + off), seconds, level + min(0, twist))


def joined(*parts):
    return np.rint(np.concatenate(parts)).clip(-32768, 32767).astype(np.int16)


def dial(pause=0.06, noise_db=None, **how):
    """Return all keys, each begun at another place within a frame, with noise below the tones."""
    parts = [silence(0.1)]
    for number, key in enumerate(ALL_KEYS):
        parts += [press(key, **how), silence(pause + 0.0013 * number)]
    sound = np.concatenate(parts).astype(float)
    if noise_db is not None:
        power = np.mean(press("5", **how) ** 2)
        noise = np.random.default_rng(3).normal(0, 1, len(sound))
        sound += noise * np.sqrt(power * 10 ** (-noise_db / 10))
    return joined(sound)


@pytest.mark.parametrize(("tone_ms", "gap_ms"), [(40, 40), (65, 30), (100, 100), (400, 50)])
def test_every_key_is_detected_at_every_speed(tone_ms, gap_ms):
    clip = Clip.dtmf(ALL_KEYS, tone_ms=tone_ms, gap_ms=gap_ms)
    assert keys_of(clip) == ALL_KEYS


@pytest.mark.parametrize("level", [-6, -18, -30, -42])
@pytest.mark.parametrize("twist", [-6, 0, 6])
def test_every_key_is_detected_at_every_level_with_twist(level, twist):
    sound = dial(seconds=0.04, level=level, twist=twist)
    assert keys_of(Clip(encode_ulaw(sound))) == ALL_KEYS


@pytest.mark.parametrize("off", [-0.015, 0.015])
def test_a_phone_may_miss_the_frequencies_a_little(off):
    for twist in (-6, 6):
        assert keys_of(dial(seconds=0.04, off=off, twist=twist)) == ALL_KEYS


@pytest.mark.parametrize("off", [-0.035, 0.035])
def test_what_misses_the_frequencies_by_far_is_no_key(off):
    assert keys_of(dial(seconds=0.1, off=off)) == ""


@pytest.mark.parametrize("noise_db", [20, 10])
def test_every_key_is_detected_in_noise(noise_db):
    assert keys_of(dial(level=-20, noise_db=noise_db)) == ALL_KEYS


def test_a_key_is_measured():
    sound = joined(silence(0.5), press("7", 0.08, -10, twist=4, off=0.01), silence(0.3))
    [tone] = find_tones(sound)
    assert (tone.kind, tone.key) == ("key", "7")
    assert tone.hz == pytest.approx((860.5, 1221.1), abs=1.5)
    assert (tone.begin, tone.end) == pytest.approx((0.5, 0.58), abs=0.003)
    assert tone.seconds == pytest.approx(0.08, abs=0.004)
    assert tone.level_db == pytest.approx(-10, abs=0.3)
    assert tone.twist_db == pytest.approx(4, abs=0.4)


def test_louder_low_frequency_is_a_negative_twist():
    [tone] = find_tones(joined(press("7", 0.08, -10, twist=-4), silence(0.1)))
    assert tone.twist_db == pytest.approx(-4, abs=0.4)


@pytest.mark.parametrize("twist", [-12, 12])
def test_one_frequency_that_is_far_louder_is_no_key(twist):
    assert keys_of(dial(seconds=0.1, twist=twist)) == ""


@pytest.mark.parametrize("seconds", [0.015, 0.02, 0.023, 0.026])
def test_short_tones_are_no_keys(seconds):
    assert keys_of(dial(seconds=seconds)) == ""


def test_the_same_key_twice_is_two_keys_and_an_interruption_of_10_ms_is_none():
    twice = joined(press("5"), silence(0.04), press("5"), silence(0.1))
    once = joined(press("5"), silence(0.01), press("5"), silence(0.1))
    assert (keys_of(twice), keys_of(once)) == ("55", "5")


def test_an_offset_of_the_samples_changes_nothing():
    assert keys_of(dial(level=-25) + np.int16(1200)) == ALL_KEYS


def test_neighbouring_harmonics_of_a_voice_are_no_key():
    levels = {1: -28, 2: -22, 3: -10, 4: -17, 5: -30}
    voice = joined(sum(sine(308 * n, 0.08, level) for n, level in levels.items()), silence(0.1))
    alone = joined(sum(sine(308 * n, 0.08, levels[n]) for n in (3, 4)), silence(0.1))
    assert (keys_of(voice), keys_of(alone)) == ("", "*")


def test_a_key_that_was_made_too_loud_and_cut_is_one():
    assert keys_of(dial(seconds=0.06, level=-2)) == ALL_KEYS


@pytest.mark.parametrize(
    "frequencies",
    [(440,), (770,), (350, 440), (440, 480), (480, 620), (697, 770), (950, 1400), (730, 1336)],
)
def test_beeps_and_tones_of_the_network_are_no_keys(frequencies):
    assert keys_of(make_tone(frequencies, 0.3, -12)) == ""


@pytest.mark.parametrize("hz", [400, 440, 697, 1000, 1336, 1633, 2000])
@pytest.mark.parametrize("seconds", [0.1, 0.4])
def test_a_steady_tone_is_a_beep(hz, seconds):
    sound = joined(silence(0.217), sine(hz, seconds, -20), silence(0.3))
    [tone] = find_tones(encode_ulaw(sound))
    assert (tone.kind, tone.key, tone.twist_db) == ("beep", "", 0)
    assert tone.hz == pytest.approx((hz,), abs=1.5)
    assert (tone.begin, tone.end) == pytest.approx((0.217, 0.217 + seconds), abs=0.003)
    assert tone.level_db == pytest.approx(-20, abs=0.3)


def test_a_beep_is_found_in_noise():
    noise = np.random.default_rng(4).normal(0, 1, 8000)
    tone = np.concatenate([silence(0.3), sine(1000, 0.4, -15), silence(0.3)])
    power = np.mean(sine(1000, 0.4, -15) ** 2)
    [beep] = find_tones(joined(tone + noise * np.sqrt(power / 10)))
    assert beep.hz == pytest.approx((1000,), abs=2)
    assert (beep.begin, beep.end) == pytest.approx((0.3, 0.7), abs=0.005)


def test_a_beep_of_a_minute_is_one():
    sound = joined(silence(0.5), sine(425, 60, -20), silence(0.5))
    [beep] = find_tones(sound)
    assert (beep.begin, beep.end) == pytest.approx((0.5, 60.5), abs=0.005)


def test_beeps_that_follow_each_other_are_distinguished():
    sound = joined(sine(950, 0.33, -15), sine(1400, 0.33, -15), sine(1800, 0.33, -15), silence(0.1))
    assert [round(beep.hz[0], -1) for beep in beeps_of(sound)] == [950, 1400, 1800]


@pytest.mark.parametrize("frequencies", [(350, 440), (440, 480), (480, 620)])
def test_two_tones_are_no_beep(frequencies):
    assert beeps_of(make_tone(frequencies, 1.0, -12)) == []


def test_a_tone_that_is_short_fades_or_rises_is_no_beep():
    time = np.arange(4000) / 8000
    fading = sine(800, 0.5, -10) * np.exp(-6 * time)
    rising = 8000 * np.sin(2 * np.pi * (600 * time + 400 * time**2))
    for sound in (sine(800, 0.07, -10), fading, rising, sine(300, 0.5, -10), sine(2300, 0.5, -10)):
        assert beeps_of(joined(silence(0.1), sound, silence(0.2))) == []


def test_speech_music_and_noise_are_no_keys():
    for sound in [*payload_set.held_out(), *map(payload_set.load_speech, payload_set.RECORDED[5:])]:
        if sound.kind == "DTMF":
            continue
        for level in (-6, -20):
            payload = encode_ulaw(payload_set.at_level(sound, level))
            tones = find_tones(decode_ulaw(payload))
            assert [tone for tone in tones if tone.kind == "key"] == [], sound.name
            if sound.kind in ("speech", "noise"):
                assert tones == [], sound.name


def test_silence_and_short_sound_hold_no_tones():
    assert find_tones(np.zeros(8000, np.int16)) == []
    assert find_tones(b"") == []
    assert find_tones(b"\x00") == []


def test_a_list_of_tones_has_a_line_for_each():
    tones = find_tones(Clip.dtmf("42"))
    four, two = repr(tones).splitlines()
    assert four.startswith("Tone(key '4', 0.00")
    assert two.endswith(" s, 697.0 and 1336.0 Hz, -9.0 dB, twist 0.0 dB)")
    assert repr(find_tones(Clip.silence(1))) == "no tones"


@pytest.mark.parametrize(
    "sound", [np.zeros(800, np.float32), np.zeros((800, 2), np.int16), "greeting.wav", None, 5]
)
def test_other_things_are_refused(sound):
    with pytest.raises(TypeError, match="int16"):
        find_tones(sound)
    with pytest.raises(TypeError, match="int16"):
        ToneDetector().feed(sound)


@pytest.mark.parametrize("seconds", [2.9, 3.05, 3.5, 3.6, 7.3])
def test_a_key_that_is_held_for_long_is_one_key(seconds):
    sound = joined(silence(0.2), press("5", seconds), silence(0.3), press("6", 0.1), silence(0.1))
    held, after = find_tones(sound)
    assert (held.kind, held.key, after.key) == ("key", "5", "6")
    assert held.begin == pytest.approx(0.2, abs=0.003)
    assert held.seconds == pytest.approx(seconds, abs=0.006)
    assert held.hz == pytest.approx((770, 1336), abs=1)


def test_samples_of_another_kind_are_refused_with_the_way_to_convert_them():
    with pytest.raises(TypeError) as caught:
        find_tones(np.zeros(800, np.float32))
    assert str(caught.value).startswith("find_tones() takes a Clip, ")
    assert "an array of float32 of shape (800,)" in str(caught.value)
    assert "kit.Clip.from_samples(samples, sample_rate)" in str(caught.value)
    with pytest.raises(TypeError, match=r"^feed\(\) takes PCMU"):
        ToneDetector().feed(np.zeros(800, np.float32))


def test_a_whole_wav_file_is_no_sound(tmp_path):
    path = Clip.dtmf("42").save(tmp_path / "keys.wav")
    for take in (find_tones, ToneDetector().feed):
        with pytest.raises(LocalProtocolError, match=r"kit\.load_clip\(path\)"):
            take(path.read_bytes())


MIXED = joined(
    silence(0.11), press("1", 0.043), silence(0.05), press("#", 0.1), silence(0.3),
    sine(1000, 0.2, -15), silence(0.2), press("A", 0.06), silence(0.02),
)  # fmt: skip


@settings(max_examples=10)
@given(st.lists(st.integers(0, 4000), max_size=20))
def test_sound_in_pieces_of_any_size_holds_the_same_tones(cuts):
    payload = encode_ulaw(MIXED)
    edges = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
    detector = ToneDetector()
    found = []
    for begin, end in pairwise(edges):
        found += detector.feed(payload[begin:end])
    found += detector.finish()
    assert found == find_tones(payload)
    assert [tone.key for tone in found] == ["1", "#", "", "A"]


def test_a_tone_is_reported_within_a_tenth_of_a_second_of_its_end():
    detector = ToneDetector()
    frames = Clip(encode_ulaw(MIXED)).frames()
    late = [
        0.02 * number - tone.end
        for number, frame in enumerate(frames, 1)
        for tone in detector.feed(frame)
    ]
    assert len(late) == 3
    assert all(0 < seconds <= 0.1 for seconds in late)
    [last] = detector.finish()
    assert last.key == "A"


def test_a_detector_takes_samples_as_a_stream_gives_them():
    detector = ToneDetector()
    found = [tone for at in range(0, 8000, 160) for tone in detector.feed(MIXED[at : at + 160])]
    assert [tone.key for tone in found] == ["1", "#", ""]
    assert detector.seconds == 8000 / 8000
    assert repr(detector) == "<ToneDetector: 1.00 s of sound>"


def test_a_finished_detector_takes_no_more_sound():
    detector = ToneDetector()
    detector.feed(Clip.dtmf("1").payload)
    assert [tone.key for tone in detector.finish()] in (["1"], [])
    assert detector.finish() == []
    assert detector.seconds == 0.2
    with pytest.raises(RuntimeError, match=r"take a new one for other sound: kit.ToneDetector\(\)"):
        detector.feed(b"\xff" * 160)


def test_a_detector_keeps_no_more_than_some_seconds_of_sound():
    detector = ToneDetector()
    for _ in range(40):
        detector.feed(sine(425, 0.5, -20).astype(np.int16))
    assert len(detector._sound.take(0, 10**7).nonzero()[0]) < 5 * 8000
