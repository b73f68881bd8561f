"""Verdicts of machine detection, by the sound of the callee (PROTOCOL.md §6.8)."""

from pathlib import Path

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.simulator.call.machine_detection import (
    DetectionSettings,
    MachineDetector,
    Verdict,
)
from twistream_kit.simulator.call.mailbox import MailboxSettings

SAMPLES = Path(__file__).parents[3] / "sample_audio"
SHORT, LONG = load_clip(SAMPLES / "caller_time.wav"), load_clip(SAMPLES / "greeting.wav")
GAP, BEEP = Clip.silence(0.2), Clip.tone(1000, 0.4)
QUIET = Clip.silence(30)


def detect(sound: Clip, **settings: object) -> Verdict:
    """Feed a sound, and then silence, until there is a verdict."""
    detector = MachineDetector(DetectionSettings(**settings))
    verdicts = (detector.feed(frame) for frame in (sound + QUIET + QUIET).frames())
    return next(verdict for verdict in verdicts if verdict)


def at_end(sound: Clip, **settings: object) -> Verdict:
    return detect(sound, mode="DetectMessageEnd", **settings)


def speak(seconds: float) -> Clip:
    """Return speech of exactly that length, a tone that is too low for a beep."""
    return Clip.tone(330, seconds)


@pytest.mark.parametrize("mode", ["Enable", "DetectMessageEnd"])
def test_speech_below_the_threshold_is_a_humans_once_it_has_ended(mode):
    assert detect(speak(2.38), mode=mode) == ("human", 2380 + 1200)


def test_speech_that_reaches_the_threshold_is_a_machines_at_once():
    assert detect(speak(3)) == ("machine_start", 2400)


def test_a_pause_does_not_count_before_speech_goes_on():
    """1.4 s and a pause of 1.1 s are 2.5 s, but only 1.4 s of speech."""
    assert detect(speak(1.4)) == ("human", 2600)
    assert detect(speak(1.4) + Clip.silence(1.1) + speak(0.5)) == ("machine_start", 2520)


@pytest.mark.parametrize(("threshold", "verdict"), [(1000, "machine_start"), (2000, "human")])
def test_the_speech_threshold_decides(threshold, verdict):
    assert detect(speak(1.5), speech_threshold_ms=threshold).answered_by == verdict


@pytest.mark.parametrize("threshold", [500, 5000])
def test_the_end_threshold_is_the_silence_that_ends_speech(threshold):
    assert detect(speak(0.5), speech_end_threshold_ms=threshold) == ("human", 500 + threshold)


@pytest.mark.parametrize("timeout", [2000, 5000, 10000])
def test_silence_from_the_beginning_is_unknown_after_its_timeout(timeout):
    assert detect(Clip.silence(1), silence_timeout_ms=timeout) == ("unknown", timeout)


def test_silence_after_the_first_word_is_not_that_of_the_beginning():
    assert detect(speak(0.2), silence_timeout_ms=2000, speech_end_threshold_ms=3000) == (
        "human",
        3200,
    )


@pytest.mark.parametrize("timeout", [3, 30])
def test_a_greeting_that_never_ends_is_unknown_after_the_timeout(timeout):
    assert at_end(speak(40), timeout_seconds=timeout) == ("unknown", timeout * 1000)


def test_at_the_end_of_a_greeting_without_a_beep_there_is_silence():
    verdict, ms = at_end(LONG)
    assert verdict == "machine_end_silence"
    assert 1000 * LONG.seconds < ms < 1000 * LONG.seconds + 1200


@pytest.mark.parametrize(
    ("greeting", "hz"),
    [(LONG, 400), (LONG, 1000), (LONG, 2000), (MailboxSettings().spoken, 1000)],
)
def test_a_beep_after_the_greeting_is_reported_when_it_is_over(greeting, hz):
    verdict, ms = at_end(greeting + GAP + Clip.tone(hz, 0.4))
    assert verdict == "machine_end_beep"
    over = 1000 * (greeting.seconds + 0.6)
    assert over - 20 <= ms <= over + 120


def test_a_beep_that_comes_later_than_the_end_threshold_is_missed():
    """So users lose the begin of their messages: the greeting was over, and the beep was not."""
    assert at_end(speak(3) + Clip.silence(1.3) + BEEP) == ("machine_end_silence", 4200)


def test_10_42_a_key_that_ends_the_greeting_is_another_end():
    assert at_end(LONG + GAP + Clip.dtmf("1")).answered_by == "machine_end_other"


def test_a_key_before_any_speech_decides_nothing():
    assert detect(Clip.dtmf("1")).answered_by == "human"


@pytest.mark.parametrize(
    ("mode", "verdict"), [("Enable", "machine_start"), ("DetectMessageEnd", "machine_end_beep")]
)
def test_10_43_a_beep_after_little_speech_is_a_machines(mode, verdict):
    found = detect(SHORT + GAP + BEEP, mode=mode, speech_threshold_ms=6000)
    assert found.answered_by == verdict
    assert 1860 <= found.duration_ms <= 1960


@pytest.mark.parametrize("mode", ["Enable", "DetectMessageEnd"])
def test_10_41_a_fax_machine_is_known_by_half_a_second_of_its_tone(mode):
    assert detect(Clip.silence(0.2) + Clip.tone(2100, 3), mode=mode) == ("fax", 700)


@pytest.mark.parametrize("hz", [2000, 2200])
def test_10_41_a_tone_beside_it_is_no_fax_machines(hz):
    assert detect(Clip.tone(hz, 3)).answered_by != "fax"


@pytest.mark.parametrize("name", ["bot_welcome", "greeting", "question"])
def test_sentences_are_a_machines_and_no_beep_is_found_in_them(name):
    clip = load_clip(SAMPLES / f"{name}.wav")
    assert detect(clip).answered_by == "machine_start"
    assert at_end(clip).answered_by == "machine_end_silence"


@pytest.mark.parametrize("name", ["caller_thanks", "caller_time", "reply", "bot_goodbye"])
def test_short_sentences_are_a_humans(name):
    assert at_end(load_clip(SAMPLES / f"{name}.wav")).answered_by == "human"


def in_noise(clip: Clip, level_db: float = -45.0) -> Clip:
    noise = np.random.default_rng(3).normal(0, 32768 * 10 ** (level_db / 20), len(clip.payload))
    return Clip.from_samples((clip.samples() + noise).clip(-32768, 32767).astype(np.int16), 8000)


def test_noise_is_no_speech():
    assert detect(in_noise(Clip.silence(6))) == ("unknown", 5000)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [(SHORT, "human"), (LONG, "machine_end_silence"), (SHORT + GAP + BEEP, "machine_end_beep")],
)
def test_verdicts_on_a_noisy_line_are_the_same(said, verdict):
    sound = Clip.silence(1) + said + Clip.silence(6)
    assert at_end(in_noise(sound)).answered_by == verdict
