"""When somebody begins to speak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.voice_trigger import VoiceTrigger

REPLY = Path(__file__).parents[2] / "sample_audio" / "reply.wav"


def tone(ms, level_db=-12.0):
    return Clip.tone(440, ms / 1000, level_db=level_db).samples()


def quiet(ms):
    return Clip.silence(ms / 1000).samples()


def begins_at(samples, trigger, size=160):
    """Push in pieces; return after how many milliseconds a voice began, each time."""
    starts = range(0, len(samples), size)
    return [(at + size) // 8 for at in starts if trigger.push(samples[at : at + size])]


def test_a_voice_is_reported_once_when_it_has_lasted_120_ms():
    trigger = VoiceTrigger()
    sound = np.concatenate([quiet(200), tone(1000)])
    assert begins_at(sound, trigger) == [320]
    assert trigger.speaking


def test_a_click_a_key_and_clicks_far_apart_are_no_voice():
    click = np.concatenate([tone(20), quiet(80)])
    assert not VoiceTrigger().push(tone(100))
    assert begins_at(np.tile(click, 40), VoiceTrigger()) == []


def test_a_short_gap_does_not_begin_the_count_anew():
    sound = np.concatenate([tone(100), quiet(20), tone(100)])
    assert begins_at(sound, VoiceTrigger()) == [160]


def test_what_is_softer_than_the_threshold_is_no_voice():
    assert not VoiceTrigger(threshold_db=-35).push(tone(1000, level_db=-36))
    assert VoiceTrigger(threshold_db=-42).push(tone(1000, level_db=-36))


def test_an_offset_of_the_line_is_no_sound():
    assert not VoiceTrigger().push(np.full(8000, 20000, np.int16))


def test_a_second_voice_is_reported_after_a_pause_and_not_within_a_word():
    one_word = np.concatenate([tone(200), quiet(280), tone(200)])
    two = np.concatenate([tone(200), quiet(320), tone(200)])
    assert begins_at(one_word, VoiceTrigger()) == [120]
    assert begins_at(two, VoiceTrigger()) == [120, 640]


def test_speech_is_reported_soon_and_silence_never():
    reply = load_clip(REPLY).samples()  # the first word is loud from 0.18 s on
    (begin,) = begins_at(reply, VoiceTrigger())[:1]
    assert 280 <= begin <= 340
    assert begins_at(quiet(3000), VoiceTrigger()) == []


@given(st.lists(st.integers(1, 700), max_size=30))
@settings(max_examples=40, deadline=None)
def test_the_answer_does_not_depend_on_how_the_sound_is_cut(sizes):
    sound = np.concatenate([quiet(100), tone(150), quiet(400), tone(300)])
    cut, whole = VoiceTrigger(), VoiceTrigger()
    pieces = np.split(sound, np.minimum(np.cumsum(sizes, dtype=int), len(sound)))
    found = [cut.push(piece) for piece in pieces]
    assert any(found) is whole.push(sound)
    assert (cut.speaking, cut.level_db) == (whole.speaking, whole.level_db)


def test_its_level_is_that_of_the_last_piece():
    trigger = VoiceTrigger()
    assert trigger.level_db == -96
    trigger.push(tone(110))  # its soft end is not a whole piece
    assert trigger.level_db == pytest.approx(-15, abs=1)  # a sine is 3 dB below its peak
    assert repr(trigger) == "<VoiceTrigger: quiet, -15 dB>"
    trigger.reset()
    assert trigger.level_db == -96


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (np.zeros(160), "not one of float64"),
        (b"\xff" * 160, "not bytes"),
    ],
)
def test_it_refuses_what_is_not_int16(wrong, sentence):
    with pytest.raises(TypeError, match=sentence):
        VoiceTrigger().push(wrong)


@pytest.mark.parametrize(
    "wrong", [{"threshold_db": 3}, {"debounce_ms": 0}, {"release_ms": float("nan")}]
)
def test_it_refuses_arguments_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VoiceTrigger(**wrong)
