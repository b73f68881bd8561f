"""The activity of one stream in lines."""

from __future__ import annotations

import logging
import threading

import pytest

from twistream_kit.capture.capture import Capture
from twistream_kit.live.stream.state import StreamState
from twistream_kit.live.stream.stream import MediaStream, get_state
from twistream_kit.notebook.runtime.activity_log import ActivityLog
from twistream_kit.notebook.widgets.activity_lines import (
    KEPT_LINES,
    ActivityLines,
    describe_outcome,
)
from twistream_kit.notebook.widgets.controls_text import describe_state
from twistream_kit.pending import HomeLoop
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome

SID = "MZ" + "0" * 32


@pytest.fixture
def stream():
    """A stream on which things happen when the test says so."""
    start = from_twilio.parse(
        f'{{"event":"start","sequenceNumber":"1","streamSid":"{SID}","start":{{"accountSid":"AC1",'
        f'"streamSid":"{SID}","callSid":"CA1","tracks":["inbound"],"customParameters":{{}},'
        '"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}'
    )
    return MediaStream(StreamState(start, HomeLoop("nobody")))


@pytest.fixture
def log():
    return ActivityLog()


@pytest.fixture
def passed(stream):
    """Have messages pass at a moment of the call."""

    def passed(message, at):
        stream.capture.append(message, stream.capture.started + at)

    return passed


def test_what_passed_is_shown_in_words_and_sound_is_not(stream, log, passed):
    activity = ActivityLines(stream, log)
    passed(to_twilio.Media(SID, b"\xff" * 160), 0.5)
    passed(to_twilio.Mark(SID, "story#1"), 1)
    passed(to_twilio.Mark(SID, "story#1@1s"), 1.1)
    passed(from_twilio.Mark(SID, "story#1@1s"), 1.2)
    passed(from_twilio.Mark(SID, "story#1"), 2)
    passed(from_twilio.Dtmf(SID, "5"), 3)
    passed(to_twilio.Clear(SID), 4)
    passed(from_twilio.Unknown("novelty", "{}"), 5)
    assert activity.read_lines() == [
        "1.00 s: mark 'story#1' sent",
        "2.00 s: mark 'story#1' came back",
        "3.00 s: the caller pressed 5",
        "4.00 s: clear sent",
        "5.00 s: Twilio sent 'novelty', an event that is not known here",
    ]


def test_lines_stand_in_the_order_of_their_times(stream, log, passed):
    activity = ActivityLines(stream, log)
    activity.note("pressed")
    passed(to_twilio.Clear(SID), 3600)
    passed(from_twilio.Dtmf(SID, "1"), 0)
    lines = [line.split(": ")[1] for line in activity.read_lines()]
    assert lines == ["the caller pressed 1", "pressed", "clear sent"]
    assert activity.read_lines()[-1] == "3600.00 s: clear sent"


def test_no_line_is_shown_twice_and_none_is_missed(stream, log, passed):
    activity = ActivityLines(stream, log)
    for number in range(150):
        passed(from_twilio.Dtmf(SID, "1"), number)
        passed(to_twilio.Media(SID, b"\xff" * 160), number)
        assert len(activity.read_lines()) == number + 1


def test_only_the_last_lines_are_kept(stream, log):
    activity = ActivityLines(stream, log)
    for number in range(KEPT_LINES + 5):
        activity.note(str(number))
    assert len(activity.read_lines()) == KEPT_LINES
    assert activity.read_lines()[-1].endswith(f": {KEPT_LINES + 4}")


def test_warnings_and_errors_about_this_stream_are_shown_once(stream, log, until):
    activity = ActivityLines(stream, log)
    for level, text in [
        (logging.WARNING, f"stream {SID} is late"),
        (logging.INFO, f"stream {SID} started"),
        (logging.ERROR, "stream MZ1 failed"),
    ]:
        log.handle(logging.LogRecord("x", level, "x", 1, text, None, None))
    until(lambda: any("late" in line for line in activity.read_lines()))
    (line,) = activity.read_lines()
    assert line.endswith(f"Warning: stream {SID} is late")


def test_notes_from_many_threads_are_all_kept(stream, log):
    activity = ActivityLines(stream, log)
    threads = [
        threading.Thread(target=lambda: [activity.note("x") for _ in range(20)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        activity.read_lines()
    assert len(activity.read_lines()) == 160


def test_looking_again_does_not_copy_the_whole_capture(stream, log, passed, monkeypatch):
    activity = ActivityLines(stream, log)
    passed(from_twilio.Dtmf(SID, "1"), 1)
    activity.read_lines()
    looked = []
    kept_since = Capture.kept_since
    monkeypatch.setattr(
        Capture,
        "kept_since",
        lambda capture, count: looked.append(count) or kept_since(capture, count),
    )
    monkeypatch.setattr(Capture, "entries", property(lambda _: pytest.fail("all of it was copied")))
    passed(from_twilio.Dtmf(SID, "2"), 2)
    assert activity.read_lines()[1:] == ["2.00 s: the caller pressed 2"]
    assert looked == [1]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (PlayOutcome("heard", 300, 300), "tone was heard"),
        (PlayOutcome("cleared", 420, 4210), "tone was cleared after 0.42 of 4.21 s"),
        (
            PlayOutcome("lost", 100, 300, handle="tone#1", cause=EndCause("callee-hung-up")),
            "tone was lost after 0.10 of 0.30 s (tone#1): the callee hung up",
        ),
        (
            PlayOutcome("lost", 0, 300, cause=EndCause("callee-hung-up")),
            "tone was lost after 0.00 of 0.30 s: it came too late, the callee hung up",
        ),
        (MarkOutcome("heard", "tone", 3), "all before tone was heard"),
        (MarkOutcome("cleared", "tone", 3), "tone was cleared"),
        (
            MarkOutcome("lost", "tone", 3, handle="tone#1"),
            "tone was lost: its mark did not come back",
        ),
        (ValueError("it broke"), "Error: it broke"),
        ("completed", "tone: completed"),
    ],
)
def test_every_ending_has_words(outcome, words):
    assert describe_outcome(outcome, "tone") == words


def test_a_remark_on_the_sound_is_shown_as_a_warning(stream, log):
    logger = logging.getLogger("twistream_kit.live")
    logger.addHandler(log)
    try:
        activity = ActivityLines(stream, log)
        get_state(stream).note_remark("the sound that is played is A-law, not PCMU.")
    finally:
        logger.removeHandler(log)
    [line] = activity.read_lines()
    assert line.endswith(f" s: Warning: stream {SID}: the sound that is played is A-law, not PCMU.")
    assert ": the sound that is played is A-law, not PCMU.</span>" in describe_state(stream)
