"""The queue between a microphone and the mouth of a simulated telephone."""

import pytest

from twistream_kit.simulator.call.handset import MOST_FRAMES, WATCHED_FRAMES, Handset, LiveVoice
from twistream_kit.simulator.model.assumptions import SILENT_FRAME


def frame(value):
    return bytes([value]) * 160


def test_it_is_silent_until_a_little_is_kept_and_then_gives_all_in_order():
    voice = LiveVoice(kept=3)
    for value in (1, 2):
        voice.push(frame(value))
        assert voice.take_frame() == SILENT_FRAME
    voice.push(frame(3))
    assert [voice.take_frame() for _ in range(3)] == [frame(1), frame(2), frame(3)]
    assert (voice.given, voice.gaps, voice.dropped) == (3, 0, 0)


def test_when_it_runs_empty_it_counts_one_gap_and_keeps_a_little_again():
    voice = LiveVoice(kept=2)
    voice.push(frame(1) + frame(2))
    for _ in range(5):
        voice.take_frame()
    assert voice.gaps == 1
    voice.push(frame(3))
    assert voice.take_frame() == SILENT_FRAME
    voice.push(frame(4))
    assert voice.take_frame() == frame(3)


def test_pieces_of_any_length_become_frames():
    voice = LiveVoice(kept=1)
    voice.push(b"a" * 100)
    voice.push(b"a" * 60 + b"b" * 160)
    assert [voice.take_frame(), voice.take_frame()] == [b"a" * 160, b"b" * 160]


def test_what_piles_up_is_thrown_away_the_oldest_first():
    voice = LiveVoice(kept=3)
    for value in range(MOST_FRAMES + 4):
        voice.push(frame(value))
    assert voice.dropped == MOST_FRAMES + 1
    assert voice.take_frame() == frame(MOST_FRAMES + 1)


def test_clear_forgets_what_waits():
    voice = LiveVoice(kept=1)
    voice.push(frame(1) + b"x")
    voice.clear()
    voice.push(frame(2))
    assert voice.take_frame() == frame(2)


@pytest.mark.parametrize("speaks", [True, False])
def test_an_utterance_is_said_in_place_of_the_microphone(speaks):
    mouth = Handset().mouth
    mouth.live = LiveVoice(kept=1)
    mouth.live.push(frame(1) + frame(2))
    if speaks:
        mouth.say(frame(9))
    assert mouth.take_frame() == (frame(9) if speaks else frame(1))
    assert mouth.take_frame() == frame(2), "the microphone runs on meanwhile"


def test_what_waited_without_need_is_thrown_away_after_half_a_second():
    voice = LiveVoice(kept=3)
    voice.push(frame(1) * 10)  # it had stood still, and now comes all at once
    for _ in range(WATCHED_FRAMES):
        voice.take_frame()
        voice.push(frame(1))
    assert voice.dropped == 9 - 3
    voice.push(frame(2))
    assert [voice.take_frame() for _ in range(5)].index(frame(2)) == 4
    assert voice.gaps == 0


def test_what_was_needed_within_half_a_second_stays():
    voice = LiveVoice(kept=3)
    voice.push(frame(1) * 3)
    for _ in range(10 * WATCHED_FRAMES // 6):
        voice.push(frame(1) * 6)  # as over the kernel: unevenly
        for _ in range(6):
            voice.take_frame()
    assert (voice.dropped, voice.gaps) == (0, 0)
