"""`FaultReport`: what it says as text, as plain values and for JUnit."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import twistream_kit as kit
from twistream_kit.listing import Series
from twistream_kit.simulator.fault_report import FaultRow
from twistream_kit.simulator.stream.pacer import LatenessReport

GREEN = FaultRow(
    "gaps", "Frames stay away.", "green", "2 gaps; it went on.", "Goes on.", "Count by timestamp.",
    "PROTOCOL.md §10 row 20", 1.25, 30.0, 62.0, "9 descriptors, 2 threads",
)  # fmt: skip
RED = FaultRow(
    "no-close", "No Close frame comes.", "red", "2 s after stop it was open.", "Closes.",
    "Leave the loop at stop.", "PROTOCOL.md §10 row 4", 3.0, 60.0,
)  # fmt: skip
NOT_TRIED = replace(RED, name="half-open", outcome="not tried", seen="It works no more.")


PUNCTUAL = LatenessReport(500, 0.5, 1.0, 2.0, 3.0, 0)


def report(*rows, lateness=PUNCTUAL):
    return kit.FaultReport(
        "ws://127.0.0.1:1/media", Series.of(rows, "faults"), 3, 0.5, 9.5,
        "the first sound after 20 ms", lateness,
    )  # fmt: skip


def test_its_text_has_a_row_for_each_fault_and_the_repair_of_a_red_one():
    assert (
        str(report(GREEN, RED, NOT_TRIED))
        == """\
ws://127.0.0.1:1/media survives 1 of 2 faults; 1 was not tried
  an ordinary call: the first sound after 20 ms

  green      gaps                      2 gaps; it went on. Process: 9
             descriptors, 2 threads.
  RED        no-close                  2 s after stop it was open.
  not tried  half-open: It works no more.

  no-close
    what happens  No Close frame comes.
    a good server Closes.
    repair        Leave the loop at stop.
    source        PROTOCOL.md §10 row 4

  order: that of seed 3. A row that is red in one order only says that the
         server remembers something of the faults before it
  timing: 500 frames, late by 0.5 ms (median), 2.0 ms (99th percentile), 3.0 ms
          (worst)"""
    )


def test_it_is_ok_without_a_red_row():
    assert report(GREEN, NOT_TRIED).ok
    assert not report(GREEN, RED).ok
    assert not report(NOT_TRIED).ok, "nothing is known"
    assert report(NOT_TRIED).headline == "no fault was tried on ws://127.0.0.1:1/media"


def test_a_process_that_was_late_says_what_that_means():
    late = report(GREEN, lateness=LatenessReport(100, 1.0, 90.0, 250.0, 300.0, 9))
    said = " ".join(str(late).split())
    assert "300.0 ms (worst). This process was late itself: waits were longer for that" in said


def test_its_values_are_ready_for_json():
    read = json.loads(json.dumps(report(GREEN, RED).to_dict()))
    assert (read["ok"], read["seed"], read["scale"], read["seconds"]) == (False, 3, 0.5, 9.5)
    gaps, no_close = read["rows"]
    assert (gaps["outcome"], gaps["ok"], gaps["next_call_ms"]) == ("green", True, 62.0)
    assert (no_close["repair"], no_close["ok"]) == ("Leave the loop at stop.", False)
    assert no_close["timeout_seconds"] == 60.0


def test_junit_has_a_case_for_each_fault():
    xml = report(GREEN, RED, NOT_TRIED).to_junit()
    suite = ElementTree.fromstring(xml).find("testsuite")
    counts = {name: suite.get(name) for name in ("tests", "failures", "skipped")}
    assert counts == {"tests": "3", "failures": "1", "skipped": "1"}
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert [*cases["gaps"]] == []
    failure = cases["no-close"].find("failure").get("message")
    assert failure == "2 s after stop it was open. Repair: Leave the loop at stop."
    assert cases["half-open"].find("skipped").get("message") == "It works no more."


@pytest.mark.parametrize("row", [GREEN, RED])
def test_a_row_alone_is_one_line(row):
    assert "\n" not in repr(row)
    assert row.seen in repr(row)


GUESSED = replace(RED, remark="That no-close did it is a guess: gaps came before.")
LEAK = replace(RED, name="ordinary-call", seen="Each of 6 ordinary calls left 1 descriptor.")


def test_faults_with_one_reason_are_listed_once_with_the_command_for_them():
    said = str(report(RED, NOT_TRIED, replace(NOT_TRIED, name="gaps")))
    assert "  not tried  half-open, gaps: It works no more.\n" in said
    assert "             alone: --only half-open --only gaps\n" in said


def test_a_row_that_is_blamed_as_a_guess_says_so_in_its_text_and_for_junit():
    guessed = report(GREEN, GUESSED)
    assert "    but           That no-close did it is a guess: gaps came before.\n" in str(guessed)
    (failure,) = ElementTree.fromstring(guessed.to_junit()).iter("failure")
    assert "is a guess: gaps came before. Repair: Leave" in failure.get("message")


def test_what_ordinary_calls_leave_is_no_fault_and_not_ok():
    leaks = report(LEAK, GREEN)
    assert leaks.headline == (
        "ws://127.0.0.1:1/media survives 1 of 1 faults; each ordinary call leaves something behind"
    )
    assert not leaks.ok


def test_an_interrupted_run_is_not_ok_and_fails_a_case_of_junit():
    stopped = replace(report(GREEN, NOT_TRIED), is_interrupted=True)
    assert not stopped.ok
    assert stopped.headline.endswith("survives 1 of 1 faults; 1 was not tried (interrupted)")
    suite = ElementTree.fromstring(stopped.to_junit()).find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    failed = [
        case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None
    ]
    assert failed == ["interrupted"]
    assert stopped.to_dict()["is_interrupted"]


def test_junit_has_the_time_of_each_case_and_the_whole_report_once():
    xml = report(GREEN, RED, replace(RED, name="gap-2")).to_junit()
    cases = {
        case.get("name"): case.get("time") for case in ElementTree.fromstring(xml).iter("testcase")
    }
    assert cases == {"gaps": "1.25", "no-close": "3", "gap-2": "3"}
    assert xml.count("survives 1 of 3 faults") == 1
    assert xml.count("what happens  No Close frame comes.") == 4, "with its case, and in the report"


def test_notes_stand_below_the_headline():
    noted = replace(report(GREEN), notes=("Process 5 (sh) does not listen on port 1: a guess.",))
    assert str(noted).splitlines()[2] == "  Process 5 (sh) does not listen on port 1: a guess."
    assert noted.to_dict()["notes"] == [*noted.notes]
