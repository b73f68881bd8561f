"""The keys that a telephone hears, frame by frame."""

from pathlib import Path

import numpy as np
import pytest

from twistream_kit.audio.clip import COLUMN_HZ, ROW_HZ, Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.simulator.call._speech import make_key_tones
from twistream_kit.simulator.call.handset import Ear
from twistream_kit.simulator.call.key_listener import KeyListener, may_be_key

SAMPLES = Path(__file__).parents[3] / "sample_audio"


def hear(clip):
    """Return a listener that has heard a clip, and what it knew each time that it called."""
    ear, known = Ear(), []
    listener = KeyListener(ear, lambda: known.append(listener.keys))
    for frame in clip.frames():
        ear.hear(frame.ljust(160, b"\xff"), 0.0)
    return ear, listener, known


def test_every_key_is_heard_once_and_reported():
    _, listener, known = hear(Clip.dtmf("1234567890*#ABCD") + Clip.silence(0.1))
    assert listener.keys == "1234567890*#ABCD"
    assert known[:2] == ["1", "12"]
    assert len(known) == 16


def test_keys_are_distinguished_after_a_silence_that_nobody_listens_to():
    _, listener, _ = hear(Clip.dtmf("5") + Clip.silence(3) + Clip.dtmf("55") + Clip.silence(1))
    assert listener.keys == "555"


def test_a_tone_that_the_end_of_the_call_cuts_off_is_a_key():
    ear, listener, _ = hear(Clip.dtmf("7", gap_ms=0))
    listener.end()
    assert listener.keys == "7"
    assert ear.on_frame == []


@pytest.mark.parametrize(
    ("level_db", "twist_db", "off"),
    [(-10, 0, 1.0), (-30, 0, 1.0), (-30, -6, 0.985), (-30, 6, 1.015), (-10, 6, 0.985)],
)
def test_keys_that_are_soft_off_and_uneven_are_heard_between_words(level_db, twist_db, off):
    """ITU-T Q.24: 1.5 % off; all sixteen keys, for 60 ms each, at any place in a frame."""
    at = np.arange(480) / 8000
    pieces = []
    for low in ROW_HZ:
        for high in COLUMN_HZ:
            parts = [(low, -twist_db / 2), (high, twist_db / 2)]
            tones = [10 ** (db / 20) * np.sin(2 * np.pi * hz * off * at) for hz, db in parts]
            key = 16000 * 10 ** (level_db / 20) * sum(tones)
            pieces += [key, np.zeros(530)]
    keys = Clip.from_samples(np.concatenate(pieces).astype(np.int16), 8000)
    question = load_clip(SAMPLES / "caller_time.wav")
    _, listener, _ = hear(question + keys + question)
    assert listener.keys == "123A456B789C*0#D"


@pytest.mark.parametrize("name", ["greeting", "reply", "bot_welcome", "tone_440"])
def test_the_detector_is_spared_what_is_no_key(name):
    frames = load_clip(SAMPLES / f"{name}.wav").frames()
    assert sum(may_be_key(frame.ljust(160, b"\xff")) for frame in frames) < 0.05 * len(frames)


@pytest.mark.parametrize("clip", [Clip.tone(1000, 1), Clip.silence(1)], ids=["a beep", "silence"])
def test_what_is_no_key_is_not_reported(clip):
    _, listener, known = hear(clip)
    listener.end()
    assert (listener.keys, known) == ("", [])


def test_6_8_w_is_half_a_second_and_capital_w_one_second():
    """§6.8: the parameter send_digits of calls.create; the length of a key is §10.46."""
    key = len(make_key_tones("1"))
    assert key == 1600  # 100 ms of tone and 100 ms of silence
    assert len(make_key_tones("w1")) == key + 4000
    assert len(make_key_tones("W1")) == key + 8000
    assert make_key_tones("a#") == Clip.dtmf("A#").payload
