"""What the report of a soak says."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from support.soaks import make_waves, soak_of
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.soak import SoakFault
from twistream_kit.listing import Series

SURVIVED = SoakFault("gaps", 3, 0, 0, "", "read on", "PROTOCOL.md §3")
NOT_SURVIVED = SoakFault("half-open", 3, 1, 0, "it closed", "use no lock", "PROTOCOL.md §3")
NOT_TRIED = SoakFault("lost-marks", 0, 0, 2, "it sends no mark", "", "")


def faults_of(*faults):
    return Series.of(faults, "faults")


def waves_of(*args, **options):
    return Series.of(make_waves(*args, **options), "waves")


def test_a_server_that_keeps_nothing_is_ok_and_everything_is_said():
    report = soak_of(40)
    assert (report.ok, report.verdict, report.calls, report.failed) == (True, "ok", 800, 0)
    said = str(report)
    assert said.startswith("20.0 minutes of calls: ok\n")
    assert "800 to ws://127.0.0.1:8080/media in 40 waves of 20, 25 s each" in said
    assert "does not grow by more than 20 MB an hour: 0 MB (" in said
    assert "41 times; of the slopes the first 5.5 minutes are left out" in said
    assert report.warm_up_seconds == 330


def test_memory_that_grows_is_not_ok():
    report = soak_of(40, memory_a_wave=1.0)
    assert not report.ok
    assert report.verdict == "not ok: memory_mb_per_hour"
    assert "memory_mb_per_hour: it grows: +120 MB (" in str(report)
    assert "+50.0 MB (" in report.list_cases()["memory_mb_per_hour"]


def test_a_limit_allows_growth():
    limits = {"memory_mb_per_hour": 200}
    assert soak_of(40, memory_a_wave=1.0, limits=limits).ok
    limits = {"memory_mb_per_hour": 50}
    report = soak_of(40, memory_a_wave=1.0, limits=limits)
    assert "and 50 MB an hour is the limit" in report.list_cases()["memory_mb_per_hour"]


def test_a_short_run_is_ok_and_says_that_it_was_too_short():
    report = soak_of(4)
    assert report.ok
    assert report.verdict == "ok, but too short to tell of memory, descriptors, threads"
    assert report.warm_up_seconds == 60


def test_without_a_process_it_says_what_was_not_measured():
    report = soak_of(4, read=[])
    assert report.ok
    assert report.verdict == "ok"
    assert "not measured: no process was given (pid=, --pid)" in str(report)


def test_calls_that_failed_are_counted_over_the_waves():
    report = soak_of(20, waves=waves_of(20, failed=3), failures={"refused": 3})
    assert (report.failed, report.ok) == (3, False)
    assert report.failed_percent == pytest.approx(100 * 3 / 400)
    assert "0.8 %, and 0 % is the limit" in report.list_cases()["failed_percent"]
    assert "  3 × refused" in str(report)


def test_invalid_waves_are_said_and_more_than_half_of_them_make_the_run_invalid():
    some = soak_of(20, waves=waves_of(20, invalid=10))
    assert some.ok
    assert "10 of 20, whose times are left out; the first, 11: was late" in str(some)
    most = soak_of(20, waves=waves_of(20, invalid=11))
    assert (most.ok, most.valid) == (False, False)
    assert most.verdict == "invalid: the times say little of the server"
    grown = soak_of(40, memory_a_wave=1, waves=waves_of(40, invalid=30))
    assert grown.verdict.startswith("not ok: memory_mb_per_hour; invalid")


def test_a_fault_that_the_server_did_not_survive_once_is_not_ok():
    report = soak_of(20, faults=faults_of(SURVIVED, NOT_SURVIVED, NOT_TRIED))
    assert not report.ok
    cases = report.list_cases()
    assert cases["gaps"] == ""
    said = "not survived once of 3. The first time: it closed Repair: use no lock"
    assert cases["half-open"] == said
    assert "lost-marks" not in cases
    assert report.describe()["faults"] == (
        "6 beside the calls, of 2 kinds: 1 not survived; not tried: lost-marks; their times "
        "multiplied with 1"
    )
    assert soak_of(20, faults=faults_of(SURVIVED)).ok


def test_a_call_that_failed_beside_a_fault_fails_its_case_unless_a_limit_allows_it():
    fault = replace(SURVIVED, beside=2)
    options = {"faults": faults_of(fault), "waves": waves_of(20, failed=2)}
    case = soak_of(20, **options).list_cases()["gaps"]
    assert case == (
        "survived 3 times; 2 calls beside it failed, in it or within a second after: by it, as a "
        "guess Repair: read on"
    )
    allowed = soak_of(20, limits={"failed_percent": 5.0}, **options)
    assert allowed.ok
    assert "by them as a guess: gaps (2)" in str(allowed)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (SURVIVED, "survived 3 times"),
        (NOT_TRIED, "not tried: it sends no mark"),
        (SoakFault("gaps", 0, 0, 0, "", "", ""), "not tried"),
    ],
)
def test_a_fault_says_what_came_of_it(fault, said):
    assert fault.describe() == said
    assert repr(fault) == f"<SoakFault {fault.name}: {said}>"


def test_a_run_that_ended_early_is_not_ok():
    report = soak_of(20, ended="the process of the server, 4711, has ended")
    assert not report.ok
    assert report.verdict == "not ok: the process of the server, 4711, has ended"
    assert report.list_cases()["ran to its end"] == "the process of the server, 4711, has ended"


def test_an_interrupted_run_says_so():
    report = soak_of(40, is_interrupted=True, minutes=60)
    assert report.verdict == "ended early, after 20.0 of 60 minutes: nothing wrong until then"
    assert not report.ok
    early = "the run was ended early, after 20.0 of 60 minutes"
    assert report.list_cases()["ran to its end"] == early
    suite = ET.fromstring(report.to_junit())[0]
    assert {each.get("message") for each in suite.iter("skipped")} == {early}
    assert len([*suite.iter("skipped")]) == len([*suite.iter("testcase")])


def test_what_a_run_was_too_short_to_tell_is_no_case_without_a_limit():
    report = soak_of(4)
    assert [*report.list_cases()] == ["ran to its end", "valid", "failed_percent"]
    suite = ET.fromstring(report.to_junit())[0]
    reasons = [str(each.get("message")) for each in suite.iter("skipped")]
    assert len(reasons) == 3
    assert all(each.startswith("the run is too short to tell; ") for each in reasons)
    limited = soak_of(4, limits={"memory_mb_per_hour": 50})
    assert limited.list_cases()["memory_mb_per_hour"]


def test_what_was_left_out_with_invalid_waves_is_not_said_to_be_none():
    nothing = Histogram()
    report = soak_of(
        2, waves=waves_of(2, invalid=2), heard_frames=0, own_late_ms=nothing,
        echo_idle_ms=nothing, echo_loaded_ms=nothing,
    )  # fmt: skip
    about = report.describe()
    assert [about[name] for name in ("late", "own frames", "loopback")] == [
        "left out: no wave is valid"
    ] * 3


def test_replaced_children_are_wrong_or_said():
    options = {"replaced": 12, "first_replaced": "34 s after the beginning"}
    said = "12 child processes ended and were replaced, the first 34 s after the beginning"
    wrong = soak_of(40, **options, is_replaced_wrongly=True)
    assert wrong.verdict == "not ok: child processes"
    beside = soak_of(40, **options, faults=faults_of(SURVIVED)).describe()["faults"]
    assert "all survived, but child processes ended" in beside
    assert wrong.list_cases()["child processes"] == said
    assert soak_of(40, **options).ok
    assert json.loads(wrong.to_json())["replaced"] == 12


def test_in_a_shell_recorded_calls_are_an_option():
    report = soak_of(40, recorded={1: None})
    assert "kept of call 1: report.recorded[number]" in str(report)
    assert "kept of call 1: --save-recorded DIR" in report.to_text(in_shell=True)


def test_a_run_without_a_call_is_not_ok():
    report = soak_of(0, read=[])
    assert (report.ok, report.verdict) == (False, "no call was made")
    assert 'failures="1"' in report.to_junit()


def test_json_has_everything():
    faults = faults_of(SURVIVED, NOT_SURVIVED, NOT_TRIED)
    found = json.loads(soak_of(40, memory_a_wave=1.0, faults=faults).to_json())
    assert (found["ok"], found["calls"], len(found["waves"])) == (False, 800, 40)
    assert len(found["readings"]) == len(found["samples"]) == 41
    assert [each["name"] for each in found["growth"]] == ["memory", "descriptors", "threads"]
    assert found["growth"][0]["per_hour"]["low"] > 100
    assert found["first_sound_ms"]["p95"] == 80
    assert [each["red"] for each in found["faults"]] == [0, 1, 0]


def test_junit_has_a_case_for_each_limit_growth_and_fault():
    faults = faults_of(SURVIVED, NOT_SURVIVED, NOT_TRIED)
    suite = ET.fromstring(soak_of(40, memory_a_wave=1.0, faults=faults).to_junit())[0]
    assert (suite.get("name"), suite.get("failures"), suite.get("skipped")) == (
        "twistream load", "2", "1",
    )  # fmt: skip
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == [
        "ran to its end", "valid", "failed_percent", "memory_mb_per_hour", "descriptors_per_hour",
        "threads_per_hour", "gaps", "half-open", "lost-marks",
    ]  # fmt: skip


def test_a_wave_says_what_was_tried_beside_it():
    [wave] = make_waves(1, failed=1, invalid=1)
    assert repr(wave) == "<SoakWave 1: 0 to 28 s, 20 calls, 1 failed, invalid: was late>"
