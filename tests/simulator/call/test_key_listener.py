"""The keys that a telephone hears, frame by frame."""

import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.simulator.call._speech import make_key_tones
from twistream_kit.simulator.call.handset import Ear
from twistream_kit.simulator.call.key_listener import KeyListener


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
