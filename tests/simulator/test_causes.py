"""The causes in a report, from reports of calls that never were."""

import json
from base64 import b64encode
from collections import Counter

import pytest

from support.reports import report_of
from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.sound import NOTHING_BUT_SILENCE, SILENT_SO_FAR
from twistream_kit.diagnosis.stream import StreamReviewer
from twistream_kit.errors import Objection
from twistream_kit.protocol.ending import BY_PEOPLE, CAUSES, EndCause
from twistream_kit.simulator._causes import Remains, add_causes
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.model.debugger import Debugger

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


@pytest.mark.parametrize("received", [{}, {"mark": 1}, {"media": 3}])
def test_silence_on_a_bad_line_is_to_be_compared_with_a_clean_one(received):
    def fix_of(line):
        return only(add_causes(report_of(received=received, line=line, **SILENT), Remains())).fix

    usual = fix_of(None)
    assert fix_of(Line("clean")) == usual
    on_the_street = fix_of(Line("street"))
    assert on_the_street.startswith("On line 'street' a server may not hear when the caller speaks")
    assert "the same call with line='clean' (--line clean) tells" in on_the_street
    assert on_the_street.endswith(usual[1:]), "which may still be what is wrong"


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
    assert repr(found).splitlines()[1].startswith("  1 × error: 2.0 s of 2.1 s")


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


SID = "MZ" + "1" * 32
TONE = b64encode(Clip.tone(440, 0.02).payload).decode()
SILENCE = b64encode(Clip.silence(0.02).payload).decode()


def message(event="media", sid=SID, **inside):
    """Return one message of a server; `inside` stands in the object of the event."""
    return json.dumps({"event": event, "streamSid": sid, event: inside})


def silent_report_of(*messages, obeyed=None, **others):
    """Return the report of a silent call in which `messages` were dropped, with its causes."""
    reviewer = StreamReviewer(SID, at_leisure=True, obeys_extra_fields=False)
    capture = Capture(SID, "CA1", 0.0)
    for text in messages:
        assert not reviewer.take(text, 1.0).is_obeyed
        capture.note_odd(1.0, text)
    kinds = Counter("binary" if isinstance(text, bytes) else "invalid" for text in messages)
    fields = {**SILENT, "stream_sid": SID, "capture": capture, "objections": reviewer.found}
    report = report_of(**{**fields, "received": {**kinds, **(obeyed or {})}, **others})
    return add_causes(report, Remains())


@pytest.mark.parametrize(
    "dropped",
    [
        message(payload=TONE, track="outbound"),
        message(payload=TONE, chunk="1"),
        message(playload=TONE),
        message(),
        message(payload="!" + TONE),
        message(payload=[255, 127]),
        message(sid="MZ" + "2" * 32, payload=TONE),
        message(event="audio", payload=TONE),
        message(payload=TONE)[:-1],
        str(json.loads(message(payload=TONE))),
        f"[{message(payload=TONE)}]",
        message(payload=TONE).encode(),
        b"\x55" * 160,
        "nonsense",
    ],
)
@pytest.mark.parametrize("ended", [EndCause("caller-hung-up"), EndCause("server-closed", 1000)])
def test_where_all_media_were_dropped_the_cause_is_what_made_them_dropped(dropped, ended):
    report = silent_report_of(*[dropped] * 20, ended=ended)
    [(objection, times)] = report.objections.items()
    assert (objection.severity, times) == ("error", 20)
    assert objection.code in (31950, 31951)
    assert "sent no" not in repr(report)
    assert "Read messages" not in repr(report)


def test_an_extra_field_is_the_cause_and_still_said_to_be_no_documented_one():
    report = silent_report_of(message(payload=TONE, track="outbound"))
    objection = only(report)
    assert objection.field == "media.track"
    assert "messages with it were dropped here" in objection.consequence
    assert "whether it still obeys the message is not documented" in objection.consequence
    assert "Behaviour(extra_fields='execute')" in objection.consequence


def test_dropped_sound_is_the_cause_beside_silence_that_was_obeyed_but_dropped_silence_is_not():
    for payload, words in ((TONE, "media.track"), (SILENCE, "the server sent nothing but silence")):
        report = silent_report_of(message(payload=payload, track="x"), obeyed={"media": 9})
        assert str(next(iter(report.objections))).startswith(words)


@pytest.mark.parametrize(
    "dropped", [message("mark"), message("clear", "MZ" + "2" * 32), '{"event": "ping"}', "{}"]
)
def test_a_dropped_message_that_was_to_carry_no_sound_is_not_why_nothing_was_heard(dropped):
    first, *others = silent_report_of(dropped).objections
    assert first.problem == "the server sent no media message"
    assert [each.code for each in others] == [31951] * len(others) != []


def test_the_reason_of_most_dropped_media_stands_first():
    rare, usual = message(playload=TONE), message(sid="MZ" + "2" * 32, payload=TONE)
    first, *_ = silent_report_of(rare, *[usual] * 5).objections
    assert first.field == "streamSid"


@pytest.mark.parametrize(
    ("came", "words"),
    [
        ({"media": 2, "mark": 1}, "the server sent nothing but silence"),
        ({"mark": 1}, "the server sent no media message"),
    ],
)
def test_a_server_that_reads_and_closes_gets_no_advice_to_read(came, words):
    ended = EndCause("server-closed", 1000)
    objection = only(add_causes(report_of(**SILENT, ended=ended, received=came), Remains()))
    assert objection.problem.startswith(words)
    assert "the server closed the connection, 1.0 s after the start" in objection.problem
    assert "Read messages" not in objection.fix


def test_a_clear_that_removed_all_is_the_cause_although_the_server_closed():
    ended = EndCause("server-closed", 1000)
    report = report_of(
        **SILENT, ended=ended, received={"media": 1, "clear": 1}, cleared_seconds=2.0
    )
    assert "a clear removed all sound" in only(add_causes(report, Remains())).problem


@pytest.mark.parametrize("came", [{}, {"mark": 1}, {"media": 3}])
def test_a_caller_who_hung_up_after_silence_is_said_to_and_how_to_wait_longer(came):
    report = report_of(**SILENT, received=came, seconds=3.1, quiet_seconds=3.0)
    objection = only(add_causes(report, Remains()))
    assert "heard nothing, and hung up after 3 s of silence" in objection.consequence
    assert "seconds=10 (--seconds 10) waits for it" in objection.consequence
    other = only(add_causes(report_of(**SILENT, received=came), Remains()))
    assert "hung up" not in str(other)
    assert "seconds=10" not in str(other)


@pytest.mark.parametrize(
    ("ended", "severity", "words", "fix"),
    [
        (EndCause("server-closed", 1001), "warning", "with 1001, which says", "Close with 1000"),
        (EndCause("server-closed", 1005), "warning", "without a code (1005)", "Close with 1000"),
        (EndCause("server-closed", 1011, "quota"), "error", "1011 'quota', which", "the log of"),
        (EndCause("server-closed", 3001), "error", "with 3001", "close with 1000 where the end"),
        (EndCause("server-closed", 4000, "bye"), "error", "4000 'bye'", "close with 1000 where"),
        (EndCause("connection-lost", 1006), "error", "without a Close frame", "a proxy in front"),
        (EndCause("protocol-error", 1002, detail="reserved bits"), "error", "reserved", "Mend"),
    ],
)
@pytest.mark.parametrize("is_silent", [False, True])
def test_why_a_call_is_not_ok_after_all_was_heard_is_the_first_cause(
    ended, severity, words, fix, is_silent
):
    others = {**SILENT, "expect_silence": True} if is_silent else {}
    report = add_causes(report_of(ended=ended, **others), Remains())
    assert not report.ok
    objection = only(report)
    assert (objection.severity, objection.code) == (severity, ended.error_code)
    assert words in objection.problem
    assert fix in objection.fix


def test_a_close_with_1000_after_all_was_heard_needs_no_reason():
    report = add_causes(report_of(ended=EndCause("server-closed", 1000)), Remains())
    assert report.ok
    assert not report.objections


def test_an_error_that_ended_the_call_is_said_beside_a_small_loss_and_after_dropped_media():
    crash = EndCause("server-closed", 1011)
    report = report_of(ended=crash, heard=Clip.tone(440, 2.0), lost_seconds=0.06)
    first, second = add_causes(report, Remains()).objections
    assert (first.code, second.severity) == (31921, "note")
    report = silent_report_of(message(playload=TONE), ended=crash)
    assert [each.code for each in report.objections] == [31951, 31921]


def test_sound_lost_by_a_failure_is_not_blamed_on_a_missing_mark():
    report = report_of(ended=EndCause("server-closed", 1011, "quota"), lost_seconds=2.0)
    fix = only(add_causes(report, Remains())).fix
    assert fix.startswith("Look into the log of the server: it closed with 1011 'quota'")


@pytest.mark.parametrize("code", [31930, 31931])
def test_whatever_twilio_logged_is_said_as_an_objection(code):
    debugger = Debugger()
    debugger.log(code, "9000 bytes wait")
    report = add_causes(report_of(debugger=tuple(debugger)), Remains())
    assert not report.ok
    assert only(report).code == code
    assert "9000 bytes wait" in only(report).problem


SILENT_SOUND = Counter({NOTHING_BUT_SILENCE: 1, SILENT_SO_FAR: 1})


def test_silence_that_is_expected_is_not_objected_to_either():
    fields = {**SILENT, "objections": SILENT_SOUND, "received": {"media": 200}}
    report = add_causes(report_of(**fields, expect_silence=True), Remains())
    assert report.ok
    assert not report.objections


def test_a_note_of_silence_at_the_beginning_stays_where_something_was_heard():
    objections = Counter({SILENT_SO_FAR: 1})
    for remains in (Remains(), Remains(is_caller_silent=True)):
        report = add_causes(report_of(objections=objections, expect_silence=True), remains)
        assert report.objections == objections


def test_a_caller_who_said_nothing_is_why_an_echo_sends_silence():
    fields = {**SILENT, "objections": SILENT_SOUND, "received": {"media": 200}}
    mobile = {**fields, "line": Line("mobile")}
    silent = Remains(is_caller_silent=True)
    for report in (report_of(**fields), report_of(**mobile)):
        objection = only(add_causes(report, silent))
        assert objection.problem == (
            "the server sent nothing but silence, and the caller said nothing"
        )
        assert objection.fix.startswith("The caller said nothing, and a server that echoes or ")
        assert "say= or script= (--say, --script). Otherwise: look at what makes" in objection.fix
    assert len(add_causes(report_of(**fields), Remains()).objections) == 3
    cleared = add_causes(report_of(**SILENT, received={"media": 2}, cleared_seconds=2.0), silent)
    assert only(cleared).problem == "a clear removed all sound before any of it was heard"
