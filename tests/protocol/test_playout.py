"""The playout model against tables written by hand from PROTOCOL.md §4.

A second is 8000 bytes.  All times are seconds on a clock that means nothing.
"""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.protocol.playout import BYTES_PER_SECOND, Interval, PlayoutModel


def seconds(count):
    return round(count * BYTES_PER_SECOND)


# Each step: an action with its arguments, or the expected (position, buffered) at a time.
TABLES = {
    "nothing_is_played_before_anything_is_sent": [
        ("at", 0.0, 0, 0),
        ("at", 5000.0, 0, 0),
    ],
    "one_second_sent_at_once_takes_one_second": [
        ("sent", 8000, 100.0),
        ("at", 100.0, 0, 8000),
        ("at", 100.5, 4000, 4000),
        ("at", 101.0, 8000, 0),
        ("at", 200.0, 8000, 0),
    ],
    "audio_is_queued_behind_what_is_buffered": [
        ("sent", 8000, 0.0),
        ("sent", 8000, 0.25),
        ("at", 0.25, 2000, 14000),
        ("at", 1.0, 8000, 8000),
        ("at", 2.0, 16000, 0),
    ],
    "an_underrun_is_silence_and_not_caught_up": [
        ("sent", 800, 0.0),
        ("at", 0.1, 800, 0),
        ("sent", 800, 0.6),  # half a second of silence lies between
        ("at", 0.6, 800, 800),
        ("at", 0.65, 1200, 400),
        ("at", 0.7, 1600, 0),
    ],
    "playback_resumes_at_once_when_audio_arrives": [
        ("sent", 160, 0.0),
        ("sent", 160, 0.02),  # exactly when the first has been played: no gap
        ("at", 0.04, 320, 0),
        ("sent", 160, 9.0),
        ("at", 9.01, 400, 80),
    ],
    "a_clear_empties_the_buffer_at_once": [
        ("sent", 80000, 0.0),
        ("cleared", 1.5, 68000),
        ("at", 1.5, 80000, 0),
        ("at", 20.0, 80000, 0),
    ],
    "what_is_sent_after_a_clear_starts_at_once": [
        ("sent", 80000, 0.0),
        ("cleared", 1.0, 72000),
        ("sent", 8000, 1.0),
        ("at", 1.0, 80000, 8000),
        ("at", 1.5, 84000, 4000),
        ("at", 2.0, 88000, 0),
    ],
    "a_clear_of_an_empty_buffer_throws_nothing_away": [
        ("cleared", 0.0, 0),
        ("sent", 800, 1.0),
        ("at", 1.1, 800, 0),
        ("cleared", 2.0, 0),
        ("cleared", 2.0, 0),
        ("sent", 800, 3.0),
        ("at", 3.05, 1200, 400),
    ],
    "a_returned_mark_lowers_the_estimate_by_its_delay": [
        ("sent", 16000, 0.0),
        ("at", 1.25, 10000, 6000),
        ("returned", 8000, 1.25),  # expected at 1.0
        ("at", 1.25, 8000, 8000),
        ("at", 2.0, 14000, 2000),
        ("at", 2.25, 16000, 0),
    ],
    "a_mark_that_is_later_than_another_does_not_disturb": [
        ("sent", 24000, 0.0),
        ("returned", 8000, 1.125),
        ("returned", 16000, 2.75),  # late for reasons of its own
        ("at", 2.75, 21000, 3000),
        ("at", 3.125, 24000, 0),
    ],
    "a_mark_that_is_earlier_than_another_raises_the_estimate_again": [
        ("sent", 24000, 0.0),
        ("returned", 8000, 2.0),
        ("at", 2.0, 8000, 16000),
        ("returned", 16000, 2.125),
        ("at", 2.125, 16000, 8000),
        ("at", 3.125, 24000, 0),
    ],
    "a_mark_that_comes_too_early_is_no_delay": [
        ("sent", 16000, 0.0),
        ("returned", 8000, 0.98),  # Twilio plays in frames: §10 item 15
        ("at", 0.98, 7840, 8160),
        ("at", 2.0, 16000, 0),
    ],
    "a_delay_is_forgotten_after_an_underrun": [
        ("sent", 8000, 0.0),
        ("returned", 8000, 1.5),
        ("at", 1.5, 8000, 0),
        ("sent", 8000, 10.0),
        ("at", 10.5, 12000, 4000),
        ("at", 11.0, 16000, 0),
    ],
    "a_delay_is_forgotten_after_a_clear": [
        ("sent", 16000, 0.0),
        ("returned", 4000, 1.0),  # half a second late
        ("cleared", 1.5, 8000),
        ("sent", 8000, 2.0),
        ("at", 2.5, 20000, 4000),
    ],
    "a_mark_of_an_earlier_run_does_not_touch_this_one": [
        ("sent", 8000, 0.0),
        ("sent", 8000, 2.0),
        ("returned", 8000, 2.5),  # stood before the first byte of this run
        ("at", 2.5, 12000, 4000),
    ],
    "a_mark_of_cleared_audio_does_not_touch_what_follows": [
        ("sent", 80000, 0.0),
        ("cleared", 1.0, 72000),
        ("sent", 8000, 1.0),
        ("returned", 80000, 1.5),
        ("returned", 16000, 1.5),
        ("at", 1.5, 84000, 4000),
    ],
    "a_mark_beyond_what_was_sent_is_ignored": [
        ("sent", 8000, 0.0),
        ("returned", 9000, 1.5),  # were it a byte of ours, it would be 0.375 s late
        ("at", 0.5, 4000, 4000),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_model_follows_the_table(name):
    model = PlayoutModel()
    for action, *args in TABLES[name]:
        if action == "sent":
            model.note_sent(*args)
        elif action == "returned":
            model.note_mark(*args)
        elif action == "cleared":
            now, lost = args
            assert model.note_clear(now) == lost
        else:
            now, position, buffered = args
            assert (model.count_played(now), model.count_buffered(now)) == (position, buffered), now


def test_reaches_is_when_a_byte_will_have_been_played():
    model = PlayoutModel()
    model.note_sent(16000, 100.0)
    assert model.find_play_time(8000) == 101.0
    model.note_mark(4000, 100.75)  # a quarter of a second late
    assert model.find_play_time(8000) == 101.25
    assert model.count_played(101.25) == 8000


def test_reaches_remembers_when_earlier_sound_was_played():
    model = PlayoutModel()
    model.note_sent(8000, 0.0)
    model.note_sent(8000, 100.0)
    assert model.find_play_time(4000) == 0.5
    assert model.find_play_time(8000) == 1.0
    assert model.find_play_time(8001) > 100.0


def test_reaches_is_not_moved_by_what_a_clear_threw_away():
    model = PlayoutModel()
    model.note_sent(seconds(61), 0.0)
    model.note_clear(1.5)
    assert model.find_play_time(seconds(1)) == 1.0
    assert model.find_play_time(seconds(30)) == 1.5  # never played: the end of what was
    model.note_sent(8000, 2.0)
    assert model.find_play_time(seconds(1)) == 1.0
    assert model.find_play_time(seconds(62)) == 3.0


def test_intervals_are_one_for_each_run_without_a_break():
    model = PlayoutModel()
    assert model.list_intervals(5.0) == []
    model.note_sent(8000, 1.0)
    assert model.list_intervals(1.0) == []
    assert model.list_intervals(1.5) == [Interval(1.0, 0, 4000)]
    model.note_sent(8000, 1.75)
    model.note_sent(800, 4.0)
    assert model.list_intervals(4.0) == [Interval(1.0, 0, 16000)]
    assert model.list_intervals(5.0) == [Interval(1.0, 0, 16000), Interval(4.0, 16000, 800)]


def test_intervals_do_not_hold_what_was_cleared():
    model = PlayoutModel()
    model.note_sent(80000, 0.0)
    model.note_clear(1.0)
    model.note_sent(8000, 3.0)
    model.note_clear(3.5)
    assert model.list_intervals(9.0) == [Interval(0.0, 0, 8000), Interval(3.0, 80000, 4000)]


def test_an_interval_begins_later_by_the_delay_that_its_marks_showed():
    model = PlayoutModel()
    model.note_sent(8000, 0.0)
    model.note_mark(4000, 0.75)
    assert model.list_intervals(1.25) == [Interval(0.25, 0, 8000)]
    model.note_sent(8000, 5.0)
    assert model.list_intervals(5.0) == [Interval(0.25, 0, 8000)]


@pytest.mark.parametrize("clock", [0.0, 123456.789, 1.7e9])
def test_a_returned_mark_proves_its_byte_on_any_clock(clock):
    model = PlayoutModel()
    model.note_sent(80000, clock)
    for tenth in range(1, 100):
        now = clock + tenth * 0.1 + 0.037
        model.note_mark(tenth * 800, now)
        assert model.count_played(now) >= tenth * 800


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "returned", "cleared", "wait"]),
        st.integers(0, 20000),
        st.floats(0, 3),
    ),
    max_size=30,
)


@given(STEPS)
@settings(deadline=None)
def test_the_model_never_plays_more_than_was_sent_nor_faster_than_it_sounds(steps):
    model, now, sent, lost = PlayoutModel(), 1000.0, 0, 0
    started = None
    for action, size, pause in steps:
        now += pause
        if action == "sent":
            model.note_sent(size, now)
            sent += size
            started = now if started is None else started
        elif action == "returned":
            model.note_mark(size, now)
        elif action == "cleared":
            lost += model.note_clear(now)
        assert model.sent_bytes == sent
        assert 0 <= model.count_played(now) <= sent
        assert model.count_buffered(now) == sent - model.count_played(now)
        heard = sum(interval.size for interval in model.list_intervals(now))
        assert heard == model.count_played(now) - lost
        assert heard <= (now - (now if started is None else started)) * BYTES_PER_SECOND + 1


@given(STEPS)
@settings(deadline=None)
def test_intervals_never_overlap_and_stand_in_order(steps):
    model, now = PlayoutModel(), 1000.0
    for action, size, pause in steps:
        now += pause
        if action == "sent":
            model.note_sent(size, now)
        elif action == "returned":
            model.note_mark(size, now)
        elif action == "cleared":
            model.note_clear(now)
    for earlier, later in pairwise(model.list_intervals(now)):
        assert earlier.size > 0
        assert earlier.first + earlier.size <= later.first
        # A byte more or less: positions are whole bytes, times are not.
        assert later.started >= earlier.started + (earlier.size - 1) / BYTES_PER_SECOND
