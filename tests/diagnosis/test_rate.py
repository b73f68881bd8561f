import numpy as np
import payload_set
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._rate import (
    CANDIDATE_RATES,
    SHORTEST_SPEECH_BYTES,
    SuspectedRate,
    suspect_rate,
    suspect_rate_in_steps,
)
from twistream_kit.diagnosis.sound import review_sound


@pytest.fixture(scope="module")
def held_out():
    return payload_set.held_out()


def sent_at(sound, rate, level=-12):
    """Return the first three seconds heard of a sound that was made μ-law at another rate."""
    return encode_ulaw(payload_set.at_level(sound, level, rate))[:SHORTEST_SPEECH_BYTES]


RECORDED = ("greeting", "reply", "question", "speech_24bit_extensible")


@pytest.fixture(scope="module")
def recorded(held_out):
    """The speech of sample_audio, four recordings."""
    return [sound for sound in held_out if sound.name in RECORDED]


def test_speech_at_24_khz_is_mostly_suspected(recorded):
    suspected = [suspect_rate(sent_at(sound, 24000)) for sound in recorded]
    assert sum(each is not None for each in suspected) >= 3


@pytest.mark.parametrize("rate", CANDIDATE_RATES)
def test_speech_of_each_rate_has_the_right_one_among_its_candidates(recorded, rate):
    found = [suspect_rate(sent_at(sound, rate)) for sound in recorded]
    for suspected in filter(None, found):
        objection = suspected.to_objection()
        assert rate in objection.sample_rates
        assert str(rate) in objection.fix


def test_right_sound_of_any_kind_is_not_suspected(held_out):
    for sound in held_out:
        for level in (-6, -30):
            payload = sent_at(sound, 8000, level)
            if len(payload) == SHORTEST_SPEECH_BYTES:
                assert suspect_rate(payload) is None, sound.name


def test_slow_speech_is_suspected_whatever_its_tone(recorded):
    sound = next(sound for sound in recorded if sound.name == "reply")
    samples = payload_set.at_level(sound, -12, 16000).astype(float)
    bright = np.diff(samples, prepend=0) * 2 + 0.2 * samples
    dull = np.convolve(samples, np.ones(4) / 4, "same")
    for toned in (samples, bright, dull):
        payload = encode_ulaw(toned.clip(-32768, 32767).astype(np.int16))
        assert suspect_rate(payload[:SHORTEST_SPEECH_BYTES]) is not None


def test_nothing_is_said_of_less_than_three_seconds(recorded):
    sound = next(sound for sound in recorded if sound.name == "reply")
    payload = sent_at(sound, 24000)
    assert suspect_rate(payload) is not None
    assert suspect_rate(payload[:-1]) is None


def test_a_slow_deep_voice_at_the_right_rate_is_not_suspected():
    for number, pitch in enumerate((72, 78, 85, 95)):
        for tempo in (2.6, 3.4):
            voice = payload_set.Voice(pitch, 0.94, tempo, 0.03)
            samples = payload_set.speech(voice, np.random.default_rng(70 + number), 13.0)
            payload = sent_at(payload_set.Sound("speech", "", samples), 8000)
            assert suspect_rate(payload) is None, (pitch, tempo)


def test_digital_silence_in_the_pauses_changes_nothing(recorded):
    sound = next(sound for sound in recorded if sound.name == "reply")
    samples = payload_set.at_level(sound, -12, 16000)
    loud = np.convolve(np.abs(samples), np.ones(800) / 800, "same") > 60
    gated = encode_ulaw(np.where(loud, samples, 0).astype(np.int16))[:SHORTEST_SPEECH_BYTES]
    assert gated.count(0xFF) > 1000
    assert suspect_rate(gated) is not None


def test_the_work_is_divided_into_small_steps(recorded):
    steps = list(suspect_rate_in_steps(sent_at(recorded[0], 8000)))
    assert len(steps) > 15
    assert steps == [None] * len(steps)


def spoken(number, rate, seconds=7):
    """Return some seconds that are heard of a held-out synthetic voice that is sent at `rate`."""
    voice = payload_set.HELD_OUT_VOICES[number]
    samples = payload_set.speech(voice, np.random.default_rng(700 + number), 21.0)
    sound = payload_set.Sound("speech", "", samples)
    return encode_ulaw(payload_set.at_level(sound, -12, rate))[: 8000 * seconds]


NOT_LOW = [(1, 16000), (3, 16000)]
"""Voices of 108 and 175 Hz: slowed down they are heard at 54 and 88 Hz."""


@pytest.mark.parametrize(("number", "rate"), NOT_LOW)
def test_seven_seconds_tell_a_voice_for_which_three_do_not_suffice(number, rate):
    payload = spoken(number, rate)
    assert suspect_rate(payload[:SHORTEST_SPEECH_BYTES]) is None
    suspected = suspect_rate(payload)
    assert suspected is not None
    assert suspected.payload == payload[:SHORTEST_SPEECH_BYTES]


@pytest.mark.parametrize("seconds", [5, 7, 10])
def test_more_seconds_of_right_speech_are_not_suspected(seconds):
    for number in range(len(payload_set.HELD_OUT_VOICES)):
        assert suspect_rate(spoken(number, 8000, seconds)) is None, number


def test_more_seconds_of_a_slow_deep_voice_at_the_right_rate_are_not_suspected():
    for number, pitch in enumerate((72, 78, 85, 95)):
        for tempo in (2.6, 3.4):
            voice = payload_set.Voice(pitch, 0.94, tempo, 0.03)
            samples = payload_set.speech(voice, np.random.default_rng(70 + number), 13.0)
            sound = payload_set.Sound("speech", "", samples)
            payload = encode_ulaw(payload_set.at_level(sound, -12))[: 8000 * 7]
            assert suspect_rate(payload) is None, (pitch, tempo)


def test_more_seconds_of_what_is_no_speech_are_not_suspected(held_out):
    for sound in held_out:
        if sound.kind != "speech":
            payload = encode_ulaw(payload_set.at_level(sound, -12)) * 2
            assert suspect_rate(payload[: 8000 * 7]) is None, sound.name


@pytest.mark.parametrize("seconds", [6, 7])
@pytest.mark.parametrize("message_bytes", [160, 4000, 8 * 8000])
def test_a_stream_is_checked_once_more_when_there_is_enough(seconds, message_bytes):
    payload = spoken(1, 16000, seconds)
    messages = [payload[at : at + message_bytes] for at in range(0, len(payload), message_bytes)]
    found = review_sound(messages)
    assert ["plays slow and low" in each.problem for each in found] == [True]


def test_no_more_seconds_than_three_leave_it_unsaid():
    assert not review_sound([spoken(1, 16000, 3)])


@pytest.mark.parametrize("payload", [b"\xff", b"\x00", b"\x80", b"\xff\x00"])
def test_flat_sound_is_not_speech(payload):
    assert suspect_rate(payload * SHORTEST_SPEECH_BYTES) is None


def test_a_tone_is_not_speech():
    assert suspect_rate(Clip.tone(60, 3.0).payload) is None


def test_suspicion_is_never_an_error_and_never_hashes_its_sound():
    objection = SuspectedRate(b"\xff" * 24000).to_objection()
    assert objection.severity == "warning"
    assert objection == SuspectedRate(b"\x00" * 24000).to_objection()
    assert len({objection, SuspectedRate(b"").to_objection()}) == 1


def test_suspicion_says_what_is_heard_and_that_the_rate_is_undecided():
    assert str(SuspectedRate(b"").to_objection()) == (
        "media.payload sounds like speech that plays slow and low: made at a higher sample rate,"
        " and not resampled to 8000 Hz. If so, the caller hears a voice too deep and too slow, by"
        " the ratio of the rates; only a very deep and slow voice sounds like this at the right"
        " rate. The rate cannot be decided from the sound: it may be 11025, 12000, 16000, 22050,"
        " 24000, 32000, 44100 or 48000 Hz. Look it up where the sound comes from (the"
        " documentation of its source, or kit.inspect_wav(path)), or hear what each would be:"
        " kit.load_clip(objection.sound, sample_rate=rate, encoding='PCMU') for each rate of"
        " objection.sample_rates. Then send kit.Clip.from_samples(samples, rate).payload; sound"
        " that comes in pieces goes through one kit.Resampler(rate)."
    )
