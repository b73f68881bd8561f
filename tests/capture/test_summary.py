"""The figures of a call: tables by hand, from the definitions that stand beside them."""

from __future__ import annotations

import pytest

from support.captures import capture_of
from twistream_kit.capture.summary import Gap
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
TENTH = b"\x20" * 800
SECOND = b"\x20" * 8000


def summary(*rows, start_at=0.0, endings=None):
    start = [] if start_at is None else [(start_at, from_twilio.Start(SID))]
    capture = capture_of(SID, *start, *rows, started=100.0)
    capture.endings.update(endings or {})
    return capture.summary()


def sound(payload=SECOND):
    return to_twilio.Media(SID, payload)


def mark(name):
    return to_twilio.Mark(SID, name)


def back(name):
    return from_twilio.Mark(SID, name)


def voice(chunk, track="inbound"):
    return from_twilio.Media(SID, b"\x20" * 160, chunk + 1, track, chunk, chunk * 20)


CLEAR, STOP = to_twilio.Clear(SID), from_twilio.Stop(SID)


def rounded(gaps):
    return [(round(gap.at, 3), round(gap.seconds, 3)) for gap in gaps]


# The first sound


def test_first_sound_counts_from_the_start_message_to_the_first_sample_that_is_not_0():
    found = summary(
        (0.3, sound(b"\xff" * 800)), (0.4, sound(b"\x7f" * 80 + SECOND)), (2, STOP), start_at=0.1
    )
    assert found.first_sent_ms == pytest.approx(300)
    assert found.first_sound_ms == pytest.approx(310)


def test_first_sound_that_waits_behind_other_sound_is_heard_later():
    found = summary((0.1, sound(b"\xff" * 8000)), (0.2, sound()), (3, STOP))
    assert (found.first_sent_ms, found.first_sound_ms) == (
        pytest.approx(200),
        pytest.approx(1100),
    )


def test_first_sound_is_none_where_only_silence_was_sent_or_nothing():
    assert summary((0.1, sound(b"\xff\x7f" * 400)), (1, STOP)).first_sent_ms is None
    assert summary((1, STOP)).first_sound_ms is None
    assert "first sound: none was sent" in repr(summary((1, STOP)))


def test_first_sound_that_was_cleared_before_it_was_played_is_never_heard():
    found = summary((0.1, sound(b"\xff" * 8000)), (0.2, sound()), (0.3, CLEAR), (3, STOP))
    assert found.first_sent_ms == pytest.approx(200)
    assert found.first_sound_ms is None
    assert "sent 200 ms after the start, never heard" in repr(found)


# Gaps


def test_gap_from_twilio_is_more_than_five_messages_late():
    found = summary((0.02, voice(1)), (0.11, voice(2)), (0.30, voice(3)), (0.32, STOP))
    assert rounded(found.caller_gaps) == [(0.11, 0.19)]
    assert found.caller_missing == 0


def test_media_that_stops_coming_before_the_end_is_a_gap():
    assert rounded(summary((0.02, voice(1)), (5.02, STOP)).caller_gaps) == [(0.02, 5.0)]


def test_messages_left_out_by_their_chunk_numbers_are_missing():
    found = summary((0.02, voice(1)), (0.04, voice(4)), (0.06, voice(5)), (0.08, voice(7)))
    assert found.caller_missing == 3
    assert "gaps from Twilio: 3 messages missing" in repr(found)


def test_other_track_is_not_the_caller():
    found = summary((0.02, voice(1, "outbound")), (3, voice(9, "outbound")))
    assert (found.caller_gaps, found.caller_missing) == ((), 0)


def test_pause_between_two_media_messages_of_yours_is_a_gap_in_sending():
    found = summary((0, sound()), (0.05, sound()), (0.5, sound()), (9, STOP))
    assert rounded(found.sent_gaps) == [(0.05, 0.45)]


# Underruns


def test_underrun_is_where_twilio_had_nothing_left_and_more_came_soon():
    found = summary((0, sound()), (1.2, sound()), (2.3, sound()), (4, STOP))
    assert rounded(found.underruns) == [(1.0, 0.2), (2.2, 0.1)]
    assert "underruns: 2, 0.30 s in all, the longest 0.20 s at 1.00 s" in repr(found)
    assert isinstance(found.underruns[0], Gap)


def test_sound_sent_in_time_has_no_underruns_however_little_ahead():
    rows = [(count * 0.02, sound(b"\x20" * 160)) for count in range(100)]
    assert summary(*rows, (3, STOP)).underruns == ()


def test_sound_sent_a_little_too_slowly_runs_out_again_and_again():
    rows = [(count * 0.021, sound(b"\x20" * 160)) for count in range(100)]
    found = summary(*rows, (3, STOP)).underruns
    assert len(found) == 99
    assert sum(gap.seconds for gap in found) == pytest.approx(0.099)


def test_pause_between_two_utterances_is_no_underrun():
    assert summary((0, sound()), (2.5, sound()), (4, STOP)).underruns == ()


def test_pause_behind_a_clear_is_no_underrun():
    rows = (0, sound()), (0.5, CLEAR), (0.9, sound()), (1.95, CLEAR), (2.1, sound()), (4, STOP)
    assert summary(*rows).underruns == ()


def test_pause_behind_a_named_playback_of_this_package_is_no_underrun():
    rows = (0, sound()), (0, mark("hi#1")), (1.01, back("hi#1")), (1.1, sound()), (4, STOP)
    assert summary(*rows).underruns == ()


def test_mark_behind_each_piece_as_other_servers_send_it_hides_no_underrun():
    rows = (0, sound()), (0, mark("part")), (1.0, back("part")), (1.1, sound()), (1.1, mark("part"))
    assert rounded(summary(*rows, (4, STOP)).underruns) == [(1.0, 0.1)]
    quarters = [(0, each) for n in range(4) for each in (sound(SECOND[::4]), mark(f"part {n}"))]
    returned = [(0.25 * (n + 1), back(f"part {n}")) for n in range(4)]
    rest = (*quarters, *returned, (1.1, sound()), (4, STOP))
    assert rounded(summary(*rest).underruns) == [(1.0, 0.1)]


def test_pause_behind_a_mark_after_a_whole_utterance_is_no_underrun():
    rows = (0, sound()), (0, mark("welcome")), (1.0, back("welcome")), (1.24, sound()), (4, STOP)
    assert summary(*rows).underruns == ()
    lost = (0, sound()), (0, mark("welcome")), (1.24, sound()), (4, STOP)
    assert rounded(summary(*lost).underruns) == [(1.0, 0.24)]


def test_playbacks_without_a_name_are_pieces_of_the_same():
    rows = (0, sound()), (0, mark("play#1")), (1.0, back("play#1")), (1.1, sound()), (4, STOP)
    assert rounded(summary(*rows).underruns) == [(1.0, 0.1)]


# What waits


def test_send_ahead_is_the_median_over_the_time_in_which_anything_waited():
    found = summary((1, sound(SECOND * 4)), (9, STOP))
    assert found.send_ahead_seconds == pytest.approx(2.0, abs=0.001)
    assert (found.deaf_seconds, found.deaf_at) == (4.0, pytest.approx(1.0))


def test_send_ahead_does_not_depend_on_how_the_sound_was_cut():
    rows = [(1, sound(TENTH)) for _ in range(40)]
    assert summary(*rows, (9, STOP)).send_ahead_seconds == pytest.approx(2.0, abs=0.001)


def test_deaf_window_is_the_most_that_ever_waited_and_when():
    found = summary((0, sound()), (0.5, sound(SECOND * 3)), (5, sound()), (7, STOP))
    assert (found.deaf_seconds, found.deaf_at) == (3.5, pytest.approx(0.5))
    assert "deaf window: 3.50 s, at 0.50 s" in repr(found)


def test_clear_shortens_the_time_in_which_anything_waited():
    found = summary((0, sound(SECOND * 4)), (1, CLEAR), (9, STOP))
    assert found.send_ahead_seconds == pytest.approx(3.5, abs=0.001)


def test_nothing_waits_where_nothing_was_sent():
    found = summary((1, STOP))
    assert (found.send_ahead_seconds, found.deaf_seconds) == (0.0, 0.0)
    assert "send-ahead: none\ndeaf window: none" in repr(found)


# Marks


def test_mark_that_comes_back_long_after_its_sound_was_played_is_late():
    found = summary((0, sound()), (0, mark("a")), (1.6, back("a")), (3, STOP))
    [late] = found.late_marks
    assert (late.name, late.at, late.late_ms) == ("a", pytest.approx(1.6), pytest.approx(600))


def test_mark_that_comes_back_a_network_later_is_not_late():
    assert summary((0, sound()), (0, mark("a")), (1.2, back("a")), (3, STOP)).late_marks == ()


def test_mark_without_sound_and_a_mark_that_was_cleared_are_due_at_once():
    rows = (0, mark("a")), (0.5, back("a")), (1, sound()), (1, mark("b")), (1.1, CLEAR)
    found = summary(*rows, (1.5, back("b")), (3, STOP))
    assert [(late.name, round(late.late_ms)) for late in found.late_marks] == [
        ("a", 500),
        ("b", 400),
    ]


def test_mark_that_never_comes_back_though_its_sound_was_played_is_missing():
    found = summary((0, sound()), (0, mark("a")), (5, STOP))
    assert found.missing_marks == ("a",)
    assert "missing marks: a" in repr(found)


def test_mark_whose_sound_was_not_played_to_the_end_is_not_missing():
    assert summary((0, sound(SECOND * 9)), (0, mark("a")), (5, STOP)).missing_marks == ()
    assert summary((0, sound()), (0, mark("a")), (1.5, STOP)).missing_marks == ()


def test_mark_that_a_clear_should_have_sent_back_is_missing():
    rows = (0, sound(SECOND * 9)), (0, mark("a")), (1, CLEAR), (5, STOP)
    assert summary(*rows).missing_marks == ("a",)


def test_many_late_marks_are_counted():
    rows = [(0, mark(f"m{n}")) for n in range(8)] + [(2, back(f"m{n}")) for n in range(8)]
    assert "m4 by 2.00 s and 3 more" in repr(summary(*rows))
