"""A capture read for drawing."""

from __future__ import annotations

import pytest

from support.captures import capture_of
from twistream_kit.notebook.plots._timeline import read_timeline
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
SECOND = b"\x20" * 8000


def read(*messages):
    return read_timeline(capture_of(SID, *messages, started=100.0).entries)


def test_an_empty_capture_has_an_empty_timeline():
    timeline = read()
    assert (timeline.seconds, timeline.sent, timeline.marks, timeline.clears) == (0.0, [], [], [])


def test_what_is_sent_waits_and_runs_down_as_it_is_played():
    timeline = read((1.0, to_twilio.Media(SID, SECOND)), (3.0, from_twilio.Stop(SID)))
    assert timeline.sent == [(1.0, 1.0)]
    assert timeline.buffered == [(1.0, 0.0), (1.0, 1.0), (2.0, 0.0), (3.0, 0.0)]


def test_a_clear_empties_what_waits_and_silence_follows_until_the_next_sound():
    timeline = read(
        (0.0, to_twilio.Media(SID, SECOND)),
        (0.25, to_twilio.Clear(SID)),
        (0.75, to_twilio.Media(SID, SECOND)),
        (2.0, from_twilio.Stop(SID)),
    )
    assert timeline.clears == [pytest.approx(0.25)]
    assert timeline.silences == [(pytest.approx(0.25), pytest.approx(0.75))]
    assert [
        round(seconds, 3) for at, seconds in timeline.buffered if at == pytest.approx(0.25)
    ] == [
        0.75,
        0,
    ]


def test_silence_after_the_last_clear_lasts_to_the_end():
    timeline = read(
        (0.0, to_twilio.Media(SID, SECOND)),
        (0.5, to_twilio.Clear(SID)),
        (4.0, from_twilio.Stop(SID)),
    )
    assert timeline.silences == [(0.5, 4.0)]


def test_a_clear_that_found_nothing_to_discard_makes_no_silence():
    timeline = read(
        (0.0, to_twilio.Media(SID, SECOND)),
        (0.5, to_twilio.Clear(SID)),
        (0.7, to_twilio.Clear(SID)),
        (2.0, to_twilio.Media(SID, SECOND)),
        (3.5, to_twilio.Clear(SID)),
        (9.0, from_twilio.Stop(SID)),
    )
    assert timeline.silences == [
        pytest.approx(each) for each in [(0.5, 2.0), (0.7, 0.7), (3.5, 3.5)]
    ]


def test_marks_bear_the_names_their_user_gave_and_those_of_the_kit_are_progress():
    timeline = read(
        (0.0, to_twilio.Media(SID, SECOND)),
        (0.0, to_twilio.Mark(SID, "greeting#1@1s")),
        (0.0, to_twilio.Media(SID, SECOND)),
        (0.0, to_twilio.Mark(SID, "greeting#1")),
        (1.01, from_twilio.Mark(SID, "greeting#1@1s")),
        (2.01, from_twilio.Mark(SID, "greeting#1")),
    )
    assert [(mark.name, mark.returned_at) for mark in timeline.marks] == [
        ("greeting", pytest.approx(2.01))
    ]
    assert timeline.progress == [pytest.approx(1.01)]


def test_each_mark_has_its_ending():
    timeline = read(
        (0.0, to_twilio.Media(SID, SECOND)),
        (0.0, to_twilio.Mark(SID, "heard")),
        (0.0, to_twilio.Mark(SID, "lost")),
        (0.0, to_twilio.Media(SID, SECOND)),
        (0.0, to_twilio.Mark(SID, "cleared")),
        (1.01, from_twilio.Mark(SID, "heard")),
        (1.5, to_twilio.Clear(SID)),
        (1.52, from_twilio.Mark(SID, "cleared")),
        (4.0, from_twilio.Stop(SID)),
    )
    assert [(end.name, end.ending, round(end.at, 2)) for end in timeline.mark_ends] == [
        ("heard", "heard", 1.01),
        ("lost", "missing", 1.01),
        ("cleared", "cleared", 1.52),
    ]


def test_mark_that_is_not_due_yet_has_no_ending():
    timeline = read((0.0, to_twilio.Media(SID, SECOND)), (0.0, to_twilio.Mark(SID, "a")))
    assert (len(timeline.marks), timeline.mark_ends) == (1, [])


def test_deaf_window_begins_when_most_waits():
    timeline = read(
        (0.5, to_twilio.Media(SID, SECOND)),
        (1.0, to_twilio.Media(SID, SECOND)),
        (5.0, from_twilio.Stop(SID)),
    )
    assert timeline.deaf == (pytest.approx(1.0), pytest.approx(2.5))
    assert read((5.0, from_twilio.Stop(SID))).deaf is None


def test_underruns_are_noted():
    timeline = read(
        (0.0, to_twilio.Media(SID, SECOND)),
        (1.3, to_twilio.Media(SID, SECOND)),
        (5.0, from_twilio.Stop(SID)),
    )
    assert [(gap.at, round(gap.seconds, 3)) for gap in timeline.underruns] == [(1.0, 0.3)]


def test_both_voices_are_there_to_be_drawn():
    voice = from_twilio.Media(SID, b"\x30" * 160, 2, "inbound", 1, 20)
    timeline = read(
        (0.02, voice), (0.5, to_twilio.Media(SID, SECOND)), (2.0, from_twilio.Stop(SID))
    )
    assert timeline.caller.payload == b"\x30" * 160
    assert timeline.heard.payload == b"\xff" * 4000 + SECOND


def test_keys_are_noted_with_their_time():
    assert read((0.5, from_twilio.Dtmf(SID, "5"))).keys == [(0.5, "5")]


def reported(*statuses, seconds=10.0):
    capture = capture_of(SID, (seconds, from_twilio.Stop(SID)), started=100.0)
    for at, name in statuses:
        capture.note_status(100.0 + at, name)
    return read_timeline(capture.entries, capture.endings, capture.statuses)


def test_reports_of_the_call_stretch_the_picture_to_both_sides():
    timeline = reported((-3.0, "ringing"), (0.1, "stream-started"), (10.4, "completed"))
    assert [(report.name, report.text) for report in timeline.reports] == [
        ("ringing", "ringing"),
        ("stream-started", "stream-started"),
        ("completed", "completed"),
    ]
    assert (timeline.begins, timeline.seconds, timeline.ends) == (
        pytest.approx(-3.0), 10.0, pytest.approx(10.4),
    )  # fmt: skip


def test_what_was_reported_long_before_or_after_stands_at_the_edge_with_its_time():
    timeline = reported((-3600, "initiated"), (-12, "ringing"), (40, "completed"))
    assert [(report.at, report.text) for report in timeline.reports] == [
        (-5.0, "‹ initiated 60 min before"),
        (-5.0, "‹ ringing 12 s before"),
        (11.5, "completed 30 s later ›"),
    ]
    assert (timeline.begins, timeline.ends) == (-5.0, 11.5)


def test_a_stream_of_no_length_still_shows_what_was_reported():
    timeline = reported((-0.9, "ringing"), (0.4, "completed"), seconds=0.0)
    assert [report.text for report in timeline.reports] == ["ringing", "completed"]


def test_without_reports_the_picture_is_the_stream():
    timeline = reported()
    assert (timeline.reports, timeline.begins, timeline.ends) == ([], 0.0, 10.0)
