"""The simulated console."""

import subprocess
import sys
import threading

from twistream_kit.diagnosis.message import review_message
from twistream_kit.simulator.model.debugger import KEPT_BYTES, KEPT_ENTRIES, Debugger

SID = "MZ" + "0" * 32
OTHER = "MZ" + "1" * 32
BAD = f'{{"event":"media","streamSid":"{SID}","media":{{"playload":"/w=="}}}}'
EMPTY = f'{{"event":"media","streamSid":"{SID}","media":{{"payload":""}}}}'


def test_debugger_logs_31951_once_per_stream():
    debugger = Debugger()
    assert debugger.log(31951, stream_sid=SID) is not None
    assert debugger.log(31951, stream_sid=SID) is None
    assert debugger.log(31950, stream_sid=SID) is not None
    assert debugger.log(31951, stream_sid=OTHER) is not None
    assert debugger.codes == [31951, 31950, 31951]


def test_debugger_logs_errors_as_often_as_they_happen():
    debugger = Debugger()
    debugger.log(31920, stream_sid=SID)
    debugger.log(31920, stream_sid=SID)
    assert len(debugger) == 2


def test_an_entry_knows_twilios_name_and_level():
    entry = Debugger(clock=lambda: 5.0).log(31951, stream_sid=SID, call_sid="CA1")
    assert (entry.code, entry.level, entry.at) == (31951, "warning", 5.0)
    assert "Invalid Message" in entry.name


def test_repr_shows_the_message_at_fault_and_what_review_says_of_it():
    debugger = Debugger()
    debugger.log(31951, stream_sid=SID, message=BAD, objections=review_message(BAD, stream_sid=SID))
    first, *others = repr(debugger).splitlines()
    assert first.startswith("31951 warning:")
    assert SID in first
    assert any("playload" in line and "payload" in line for line in others)


def test_a_long_message_is_elided():
    debugger = Debugger()
    debugger.log(31951, stream_sid=SID, message="x" * 9999)
    assert len(repr(debugger)) < 400
    assert "(9999 long)" in repr(debugger)


def test_an_empty_debugger_says_so():
    assert repr(Debugger()) == "no errors, no warnings"


def test_debugger_is_a_sequence():
    debugger = Debugger()
    entry = debugger.log(31903, "gone", stream_sid=SID, call_sid="CA1")
    assert list(debugger) == [entry]
    assert debugger[0] is entry
    assert debugger[-1:] == [entry]
    assert entry in debugger
    assert debugger.find("CA1") == debugger.find(SID) == [entry]
    assert debugger.find(OTHER) == []


def test_clear_forgets_the_entries_but_not_that_they_were_logged():
    debugger = Debugger()
    debugger.log(31951, stream_sid=SID)
    debugger.clear()
    assert len(debugger) == 0
    assert debugger.log(31951, stream_sid=SID) is None


def test_what_twilio_would_not_log_stands_apart_under_a_heading():
    debugger = Debugger(clock=lambda: 5.0)
    (objection,) = review_message(EMPTY, stream_sid=SID)
    noted = debugger.note(objection, SID, "CA1")
    assert debugger.unlogged == [noted]
    assert (noted.objection, noted.stream_sid, noted.call_sid, noted.at) == (
        objection, SID, "CA1", 5.0,
    )  # fmt: skip
    assert len(debugger) == 0
    assert debugger.codes == []
    assert repr(debugger).splitlines() == [
        "no errors, no warnings",
        "What Twilio would not log:",
        f"note [{SID}]",
        f"    {objection}",
    ]
    debugger.log(31951, stream_sid=SID)
    assert repr(debugger).startswith("31951 warning:")
    debugger.clear()
    assert debugger.unlogged == []


def test_many_threads_log_and_read_at_the_same_time():
    debugger, errors = Debugger(), []

    def work(number):
        try:
            for _ in range(50):
                debugger.log(31951, stream_sid=f"MZ{number}")
                debugger.log(31920, stream_sid=f"MZ{number}")
                repr(debugger)
        except (RuntimeError, IndexError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(debugger) == 4 * 51


def test_the_table_of_codes_is_read_before_the_first_entry_is_logged():
    # Afresh, since the table is read once in a process.
    program = """
import tomllib
from twistream_kit.simulator.model.debugger import KEPT_BYTES, KEPT_ENTRIES, Debugger
debugger = Debugger()
del tomllib.loads
print(debugger.log(31951).name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("Stream - Protocol - Invalid Message\n", "")


def test_the_last_entries_are_kept_and_the_others_are_counted():
    debugger = Debugger()
    for count in range(KEPT_ENTRIES + 5):
        debugger.log(31920, str(count), stream_sid=SID)
        debugger.note(review_message(BAD, stream_sid=SID)[0], SID)
    assert len(debugger) == len(debugger.unlogged) == KEPT_ENTRIES
    assert [debugger[0].text, debugger[-1].text] == ["5", str(KEPT_ENTRIES + 4)]
    assert debugger.dropped == 5
    assert repr(debugger).startswith("5 older entries were dropped\n31920")
    debugger.clear()
    assert (len(debugger), debugger.dropped) == (0, 0)


def test_entries_with_long_messages_are_limited_by_their_size():
    debugger = Debugger()
    for _ in range(12):
        debugger.log(31920, stream_sid=SID, message="x" * 1_000_000)
    assert len(debugger) == KEPT_BYTES // 1_000_000
    debugger.log(31920, "the newest", stream_sid=SID, message=b"x" * (KEPT_BYTES + 1))
    assert [entry.text for entry in debugger] == ["the newest"]


def test_which_streams_were_warned_is_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.model.debugger.KEPT_WARNED", 2)
    debugger = Debugger()
    for number in range(3):
        debugger.log(31951, stream_sid=f"MZ{number}")
    assert debugger.log(31951, stream_sid="MZ2") is None
    assert debugger.log(31951, stream_sid="MZ1") is None
    assert debugger.log(31951, stream_sid="MZ0") is not None
