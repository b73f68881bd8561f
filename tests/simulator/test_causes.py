"""The causes in a report, from reports of calls that never were."""

import pytest

from support.reports import report_of
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import Objection
from twistream_kit.protocol.ending import BY_PEOPLE, CAUSES, EndCause
from twistream_kit.simulator._causes import Remains, add_causes

SERVER_CAUSES = ("server-closed", "connection-lost", "protocol-error")
SILENT = {"first_sound_ms": None, "heard": Clip.silence(0.1)}


def only(report):
    [(objection, times)] = report.objections.items()
    assert times == 1
    return objection


@pytest.mark.parametrize("cause", CAUSES)
def test_queued_sound_is_lost_only_by_what_the_server_does(cause):
    report = report_of(ended=EndCause(cause, 1000), lost_seconds=2.0)
    found = add_causes(report, Remains(("a", "b")))
    assert found.ok == (cause not in SERVER_CAUSES)
    if cause in SERVER_CAUSES:
        assert "2.0 s of 2.1 s of sound were queued and not heard" in only(found).problem
        assert "2 marks did not come back, the first of them 'a'" in only(found).problem
    else:
        assert not found.objections
    if cause in BY_PEOPLE:
        assert found.ok


def test_a_small_last_bit_is_a_note_but_not_if_it_is_most_of_the_sound():
    closed = EndCause("server-closed", 1000)
    long = report_of(ended=closed, heard=Clip.tone(440, 2.0), lost_seconds=0.06)
    assert only(add_causes(long, Remains())).severity == "note"
    assert add_causes(long, Remains()).ok
    short = report_of(ended=closed, heard=Clip.tone(440, 0.1), lost_seconds=0.06)
    assert only(add_causes(short, Remains())).severity == "error"
    assert "0.06 s of 0.16 s" in only(add_causes(short, Remains())).problem


def test_causes_stand_before_symptoms_and_errors_before_notes():
    note = Objection(None, "media", "is odd", severity="note")
    error = Objection(None, "media", "is bad")
    report = report_of(note, error, error, ended=EndCause("server-closed", 1000), lost_seconds=2.0)
    found = add_causes(report, Remains())
    first, *others = found.objections
    assert "queued and not heard" in first.problem
    assert others == [error, note]
    assert [found.objections[each] for each in others] == [2, 1]
    assert repr(found).splitlines()[1].startswith("  1 × error (no code): 2.0 s of 2.1 s")


def test_an_error_of_the_messages_explains_silence_by_itself():
    bad = Objection(31951, "media.playload", "is not media.payload")
    for ended in (EndCause("caller-hung-up"), EndCause("server-closed", 1000)):
        report = report_of(bad, **SILENT, received={"invalid": 1}, ended=ended)
        found = add_causes(report, Remains())
        assert only(found) == bad
        assert not found.ok


@pytest.mark.parametrize(
    ("ended", "fix"),
    [
        (EndCause("server-closed", 1000), "Read messages in a loop"),
        (EndCause("server-closed", 1011, "quota"), "it closed with 1011 'quota'"),
        (EndCause("connection-lost", 1006), "a proxy in front of it"),
        (EndCause("protocol-error", 1002, detail="reserved bits"), "reserved bits"),
    ],
)
@pytest.mark.parametrize("sent", [{}, {"connected": 1, "start": 1}])
def test_the_fix_of_a_silent_call_says_where_to_look(ended, fix, sent):
    close_code = ended.close_code
    report = report_of(**SILENT, ended=ended, close_code=close_code, sent=sent, received={})
    found = add_causes(report, Remains())
    assert fix in only(found).fix
    assert ("before the start message" in only(found).problem) == (not sent)
    assert not found.ok


def test_a_call_that_is_too_short_is_said_to_be():
    report = report_of(**SILENT, lost_seconds=1.0)
    assert (
        "before the first of 1.0 s of queued sound" in only(add_causes(report, Remains())).problem
    )
    assert add_causes(report_of(**SILENT, expect_silence=True), Remains()).ok
