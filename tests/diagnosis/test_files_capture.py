"""All that is to be objected to on one call."""

from __future__ import annotations

from support.captures import capture_of
from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.files import review_capture
from twistream_kit.protocol import from_twilio, to_twilio

SID, OTHER = "MZ" + "0" * 32, "MZ" + "1" * 32
TONE = Clip.tone(440, 0.02).payload
CLEAR = to_twilio.Clear(OTHER)


def a_capture(*sent):
    return capture_of(SID, (0.0, from_twilio.Start(SID)), *sent)


def test_nothing_is_objected_to_where_all_is_well():
    rows = [(count * 0.02, to_twilio.Media(SID, TONE)) for count in range(50)]
    assert review_capture(a_capture(*rows, (1.0, to_twilio.Mark(SID, "a")))) == []


def test_same_mistake_stands_once_with_its_time_and_number():
    [mistake] = review_capture(a_capture((1.0, CLEAR), (2.0, CLEAR), (3.0, CLEAR)))
    assert (mistake.objection.code, mistake.objection.field) == (31951, "streamSid")
    assert (mistake.at, mistake.times, mistake.place) == (1.0, 3, "1.00 s and 2 more")


def test_other_stream_can_be_expected():
    capture = a_capture((1.0, CLEAR))
    assert review_capture(capture, stream_sid=OTHER) == []
    capture.stream_sid = ""
    assert review_capture(capture) == []


def test_odd_messages_are_reviewed_as_they_came_also_from_a_redacted_file(tmp_path):
    capture = a_capture((2.0, to_twilio.Mark(SID, "a")))
    wrong = f'{{"event":"media","streamSid":"{SID}","media":{{"playload":"/////w=="}}}}'
    for at, message in [(1.0, wrong), (1.5, wrong), (3.0, "no JSON"), (4.0, b"\xff\xfe")]:
        capture.note_odd(at, message)
    mistakes = review_capture(capture)
    assert [(each.place, each.objection.code) for each in mistakes] == [
        ("1.00 s and 1 more", 31951), ("3.00 s", 31951), ("4.00 s", 31950),
    ]  # fmt: skip
    assert "playload" in str(mistakes[0].objection)
    loaded = Capture.load(capture.save(tmp_path / "call.jsonl"))
    assert [(each.place, each.objection) for each in review_capture(loaded)] == [
        (each.place, each.objection) for each in mistakes
    ]


def test_what_twilio_says_is_not_reviewed():
    assert review_capture(a_capture((1.0, from_twilio.Mark(OTHER, "a")))) == []


def test_what_is_wrong_with_a_payload_is_said_once_not_by_message_and_by_sound():
    rows = [(count * 0.02, to_twilio.Media(SID, b"\x00" * 160)) for count in range(20)]
    mistakes = review_capture(a_capture(*rows))
    kinds = [(each.objection.field, each.objection.problem) for each in mistakes]
    assert len(kinds) == len(set(kinds))
    assert mistakes[0].times == 20
    assert "0x00" in mistakes[0].objection.problem


def test_what_only_the_whole_tells_is_said_of_the_sound():
    silence = [(count * 0.02, to_twilio.Media(SID, b"\xff" * 160)) for count in range(250)]
    places = {each.place: str(each.objection) for each in review_capture(a_capture(*silence))}
    assert "silence" in places["sound"]


def test_sound_that_was_not_kept_is_not_reviewed():
    capture = Capture(SID, keep_seconds=0)
    capture.append(to_twilio.Media(OTHER, TONE), 0.0)
    assert [each.place for each in review_capture(capture) if each.at is not None] == []
