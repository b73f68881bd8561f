import pytest

from twistream_kit.errors import CallRefused
from twistream_kit.live.calls.status import (
    FOLLOWED_AFTER_END,
    KEPT_CHARACTERS,
    KEPT_EVENTS,
    StatusEvent,
    StatusLog,
)

CALL = "CA" + "1" * 32
STREAM = "MZ" + "1" * 32
KINDS = [ZeroDivisionError, SystemExit, KeyboardInterrupt, GeneratorExit]


def progress(status, *, sid=CALL, sequence=None):
    given = {"CallSid": sid, "CallStatus": status}
    if sequence is not None:
        given["SequenceNumber"] = sequence
    return StatusEvent.of(given, 1.0)


def of_stream(event, **given):
    return StatusEvent.of({"CallSid": CALL, "StreamSid": STREAM, "StreamEvent": event, **given}, 1)


def test_progress_of_a_call_is_read():
    event = progress("ringing", sequence="1")
    assert (event.name, event.call_sid, event.stream_sid) == ("ringing", CALL, "")
    assert (event.sequence, event.at, event.is_final) == (1, 1.0, False)


@pytest.mark.parametrize("text", ["", "-1", "one", "²", "1.0", "1\n", "9" * 5000])
def test_a_count_that_is_none_is_left_out(text):
    assert progress("ringing", sequence=text).sequence is None


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_a_final_status_is_known(status):
    assert progress(status).is_final


def test_the_state_of_a_stream_is_read_and_ends_no_call():
    event = of_stream("stream-error", StreamError="Stream - Websocket - Handshake Error")
    assert (event.name, event.stream_sid, event.is_final) == ("stream-error", STREAM, False)
    assert event.stream_error == "Stream - Websocket - Handshake Error"


def test_the_verdict_of_machine_detection_has_a_name():
    event = StatusEvent.of({"CallSid": CALL, "AnsweredBy": "machine_start"}, 1.0)
    assert (event.name, event.is_final) == ("answered-by", False)


def test_repeated_parameters_give_the_first():
    event = StatusEvent.of({"CallStatus": ["busy", "completed"], "StreamError": ["a", "b"]}, 0)
    assert (event.name, event.stream_error) == ("busy", "a")


def test_long_events_are_limited_by_their_size():
    log = StatusLog()
    padding = "x" * 30_000
    for number in range(KEPT_EVENTS):
        log.note(of_stream("stream-error", StreamError=[padding, padding], Number=str(number)))
    kept = [event.parameters["Number"] for event in log.events]
    assert KEPT_CHARACTERS / 60_000 - 2 < len(kept) < KEPT_CHARACTERS / 60_000
    assert kept[-1] == str(KEPT_EVENTS - 1)


def test_events_are_not_kept_for_ever():
    log = StatusLog()
    for number in range(KEPT_EVENTS + 5):
        log.note(progress("ringing", sid=str(number)))
    assert len(log.events) == KEPT_EVENTS
    assert log.events[-1].call_sid == str(KEPT_EVENTS + 4)


def test_who_follows_late_receives_what_came_before():
    log, received = StatusLog(), []
    log.note(progress("initiated"))
    log.note(progress("busy", sid="CA-another"))
    log.follow(CALL, received.append)
    log.note(progress("ringing"))
    assert [event.name for event in received] == ["initiated", "ringing"]


def test_who_no_longer_follows_receives_nothing():
    log, received, others = StatusLog(), [], []
    listener = received.append
    log.follow(CALL, listener)
    log.follow(CALL, others.append)
    log.unfollow(CALL, listener)
    log.unfollow(CALL, listener)
    log.unfollow("CA-another", listener)
    log.note(progress("ringing"))
    assert (len(received), len(others)) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_that_fails_stops_nobody(caplog, kind):
    log, received = StatusLog(), []

    def fails(event):
        raise kind

    log.follow(CALL, fails)
    log.follow(CALL, received.append)
    log.note(progress("ringing"))
    assert len(received) == 1
    assert "a listener to the progress" in caplog.text


def test_a_stop_forgets_those_who_follow():
    log, received = StatusLog(), []
    log.follow(CALL, received.append, lambda: received.append("lost"))
    log.stop()
    log.note(progress("ringing"))
    log.lose_address()
    assert received == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_that_fails_at_the_loss_keeps_it_from_nobody(caplog, kind):
    log, lost = StatusLog(), []

    def fails():
        raise kind

    log.follow(CALL, print, fails)
    log.follow(CALL, print)
    log.follow(CALL, print, lambda: lost.append(True))
    log.lose_address()
    assert lost == [True]
    assert "a listener to the loss of a server's address" in caplog.text


def test_calls_that_are_over_are_not_followed_for_ever():
    log, received, of_one_that_lasts = StatusLog(), [], []
    log.follow("CA-lasting", of_one_that_lasts.append)
    for number in range(FOLLOWED_AFTER_END + 1):
        sid = f"CA{number}"
        if number % 2:
            log.follow(sid, received.append)
            log.note(progress("completed", sid=sid))
        else:
            log.note(progress("completed", sid=sid))
            log.follow(sid, received.append)
        log.note(progress("busy", sid="CA-followed-by-nobody"))
    received.clear()
    for number in range(FOLLOWED_AFTER_END + 1):
        log.note(progress("ringing", sid=f"CA{number}"))  # as late as can be
    log.note(progress("ringing", sid="CA-lasting"))
    assert [event.call_sid for event in received] == [
        f"CA{number}" for number in range(1, FOLLOWED_AFTER_END + 1)
    ]
    assert len(of_one_that_lasts) == 1


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], None),
        ([progress("ringing"), of_stream("stream-started")], None),
        ([progress("completed", sid="CA-another")], None),
        ([progress("busy")], "the phone is engaged"),
        ([progress("completed"), progress("in-progress")], "answered and ended"),
        ([of_stream("stream-error", StreamError="Handshake Error")], "Handshake Error"),
        ([of_stream("stream-error"), progress("completed")], "no reason given"),
    ],
)
def test_why_a_call_brings_no_stream(events, words):
    log = StatusLog()
    for event in events:
        log.note(event)
    why = log.explain_missing_stream(CALL)
    if words is None:
        assert why is None
    else:
        assert isinstance(why, CallRefused)
        assert words in str(why)
        assert why.fix
