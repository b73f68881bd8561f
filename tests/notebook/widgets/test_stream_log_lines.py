"""The messages of a call as lines."""

from __future__ import annotations

import pytest

from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.widgets._log_lines import KEPT_LINES, LogLines
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ00000000000000000000000000000001"
SOUND = to_twilio.Media(SID, b"\xfe" * 160)
TAGGED = to_twilio.Media(SID, b"ID3\x04\x00\x00\x00\x00\x00\x10" + b"\x00" * 150)
EMPTY = to_twilio.Media(SID, b"")


@pytest.fixture
def capture():
    return Capture(SID, started=100.0)


@pytest.fixture
def log(capture):
    return LogLines(capture)


@pytest.fixture
def passes(capture, log):
    """Let messages pass and have the log read them; return its lines."""

    def pass_by(*messages, at=1.0):
        for message in messages:
            capture.append(message, 100.0 + at)
        log.read()
        return log.lines

    return pass_by


def test_media_is_counted_for_each_direction_and_has_no_lines(log, passes):
    voice = from_twilio.Media(SID, b"\xff" * 160)
    assert passes(voice, voice, SOUND, voice) == []
    assert (log.media["twilio"].messages, log.media["twilio"].seconds) == (3, 0.06)
    assert (log.media["server"].messages, log.media["server"].seconds) == (1, 0.02)


def test_everything_else_stands_in_full_and_in_order(passes):
    start = from_twilio.Start(SID, call_sid="CA1", custom_parameters={"name": "Ada"})
    key, back = from_twilio.Dtmf(SID, "5"), from_twilio.Mark(SID, "end#1")
    sent = to_twilio.Mark(SID, "end#1")
    lines = passes(start, sent, key, back, to_twilio.Clear(SID), at=2.5)
    assert [line.text for line in lines] == [
        message.to_json() for message in (start, sent, key, back, to_twilio.Clear(SID))
    ]
    assert [line.event for line in lines] == ["start", "mark", "dtmf", "mark", "clear"]
    assert [line.sender for line in lines] == ["twilio", "server", "twilio", "twilio", "server"]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert {line.at for line in lines} == {2.5}
    assert not any(line.objections for line in lines)


def test_an_unknown_event_stands_as_it_came(passes):
    (line,) = passes(from_twilio.Unknown("news", '{"event":"news","x":1}'))
    assert (line.event, line.text) == ("news", '{"event":"news","x":1}')


def test_a_bad_message_has_what_review_objects_to_under_it(passes):
    (line,) = passes(to_twilio.Clear("MZ00000000000000000000000000000002"))
    (objection,) = line.objections
    assert objection.code == 31951
    assert objection.field == "streamSid"


def test_bad_media_stands_once_in_full_and_is_counted_each_time(log, passes):
    lines = passes(SOUND, TAGGED, TAGGED, SOUND, TAGGED)
    assert [line.event for line in lines] == ["media", "sound"]
    assert "MP3" in lines[0].objections[0].problem
    assert (log.media["server"].messages, log.media["server"].bad) == (5, 3)


def test_another_mistake_in_media_stands_too(passes):
    lines = passes(TAGGED, EMPTY, TAGGED, EMPTY)
    assert [line.event for line in lines if line.event != "sound"] == ["media", "media"]


def test_what_shows_only_over_many_messages_has_a_line_of_its_own(passes):
    lines = passes(TAGGED, TAGGED, at=2.5)
    assert (lines[1].number, lines[1].at, lines[1].sender) == (2, 2.5, "server")
    assert lines[1].text == "all media to Twilio so far, 0.04 s"
    (objection,) = lines[1].objections
    assert "20 ms of sound behind the one before" in objection.problem
    assert len(passes(TAGGED, TAGGED)) == 2


def test_what_shows_only_at_the_end_has_a_line_behind_the_stop(passes):
    silence = to_twilio.Media(SID, b"\xff" * 8000)
    lines = passes(silence, from_twilio.Stop(SID))
    assert [line.event for line in lines] == ["stop", "sound"]
    assert "nothing but silence" in lines[1].objections[0].problem


def test_what_stands_under_its_message_is_not_said_of_the_sound_too(passes):
    zeros = to_twilio.Media(SID, bytes(1600))
    assert [line.event for line in passes(zeros, zeros)] == ["media"]


def test_marks_that_measure_progress_are_known_as_such(passes):
    lines = passes(to_twilio.Mark(SID, "story#1@1s"), to_twilio.Mark(SID, "story#1"))
    assert [line.is_progress for line in lines] == [True, False]


def test_the_number_of_lines_is_bounded_and_the_newest_stay(log, passes):
    marks = [to_twilio.Mark(SID, f"mark-{n}") for n in range(KEPT_LINES + 50)]
    lines = passes(*marks)
    assert len(lines) == KEPT_LINES
    assert lines[0].number == 51
    assert lines[-1].text == marks[-1].to_json()


def test_an_endless_message_is_cut(passes):
    (line,) = passes(from_twilio.Unknown("news", "x" * 1_000_000))
    assert len(line.text) < 2100
    assert line.text.endswith("(1000000 characters)")


def test_reading_again_takes_only_what_is_new(log, passes):
    passes(to_twilio.Clear(SID))
    assert log.read() == log.read() == 1
    assert [line.number for line in passes(to_twilio.Mark(SID, "a"))] == [1, 2]


def test_message_that_repeats_the_line_before_is_counted_there(log, passes):
    passes(to_twilio.Clear(SID), at=1.0)
    lines = passes(to_twilio.Clear(SID), to_twilio.Clear(SID), at=2.0)
    assert [(line.number, line.count, line.at, line.last_at) for line in lines] == [
        (1, 3, 1.0, 2.0)
    ]
    assert [line.count for line in passes(to_twilio.Mark(SID, "a"), to_twilio.Clear(SID))] == [
        3,
        1,
        1,
    ]


def test_bad_media_is_counted_at_the_line_that_shows_its_mistake(log, passes):
    lines = passes(*[TAGGED] * 3, EMPTY, *[TAGGED] * 208, EMPTY)
    assert [(line.event, line.count) for line in lines if line.event == "media"] == [
        ("media", 211), ("media", 2),
    ]  # fmt: skip
    assert [problem.count for problem in log.problems if problem.event == "media"] == [211, 2]


def test_what_was_no_message_is_counted_too():
    capture = Capture(SID)
    capture.append(from_twilio.Start(SID, "AC1", "CA1"), 0.0)
    for number in range(211):
        bad = f'{{"event":"media","streamSid":"{SID}","media":{{"playload":"{number:03d}A"}}}}'
        capture.note_odd(0.1 + number / 100, bad)
    lines = LogLines(capture)
    lines.read()
    assert [(line.event, line.count) for line in lines.lines] == [("start", 1), ("invalid", 211)]


def test_a_count_is_a_revision_though_it_is_no_new_line(log, passes):
    passes(TAGGED)
    number, revision = log.read(), log.revision
    passes(SOUND, TAGGED)
    assert log.revision > revision
    assert log.read() >= number


def test_causes_stand_before_symptoms_and_errors_before_notes(log, passes):
    passes(SOUND, TAGGED, TAGGED, to_twilio.Clear("MZ00000000000000000000000000000002"))
    events = [problem.event for problem in log.problems]
    assert events[0] == "clear", "a fault of the form, which has a code"
    assert events[1] == "media"
    assert set(events[2:]) == {"sound"}


def test_marks_of_progress_push_nothing_else_out(passes):
    key = from_twilio.Dtmf(SID, "5")
    lines = passes(key, *[to_twilio.Mark(SID, f"story#1@{n + 1}s") for n in range(2 * KEPT_LINES)])
    assert lines[0].event == "dtmf"
    assert len(lines) == 1 + KEPT_LINES


def test_sound_that_is_no_longer_kept_is_counted_apart():
    capture = Capture(SID, keep_seconds=0.02)
    log = LogLines(capture)
    for _ in range(3):
        capture.append(SOUND, 1.0)
    log.read()
    assert (log.media["server"].messages, log.unkept) == (1, 2)


def test_what_was_no_message_stands_between_the_others_once_for_each_mistake():
    capture = Capture(SID)
    capture.append(from_twilio.Start(SID, "AC1", "CA1"), 0.0)
    for number in range(3):
        bad = f'{{"event":"media","streamSid":"{SID}","media":{{"playload":"{number}AAA"}}}}'
        capture.note_odd(0.1 + number / 10, bad)
    capture.note_odd(0.5, b"\x00\x01")
    capture.append(to_twilio.Clear(SID), 0.45)
    lines = LogLines(capture)
    assert lines.read() == 4
    assert [(line.event, line.at) for line in lines.lines] == [
        ("start", 0.0),
        ("invalid", 0.1),
        ("clear", 0.45),
        ("invalid", 0.5),
    ]
    assert "playload" in lines.lines[1].text
    assert lines.lines[1].objections[0].code == 31951
    assert lines.lines[3].objections[0].code == 31950
    assert lines.read() == 4
