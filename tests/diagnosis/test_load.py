"""What many calls have shown, against limits: all from values, without a call."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadCall, LoadReport, LoadShare
from twistream_kit.diagnosis.load_figure import check_limits, say_percent
from twistream_kit.errors import Objection, WrongState
from twistream_kit.listing import Series


def call(number, **fields):
    made = LoadCall(number, 1, 0.1 * number, 5.0, number - 1, True, first_sound_ms=10.0 * number)
    return replace(made, **fields)


def report(calls, *, invalid=(), **fields):
    made = LoadReport(
        url="ws://localhost:1/media",
        asked=len(calls),
        seconds=5.0,
        calls=Series.of(calls, "calls"),
        shares=Series.of([LoadShare(1, "here", 7, len(calls), 0.0, 0.2, 1.5)], "shares"),
        limits=check_limits(fields.pop("limits", None)),
        invalid=Series.of(invalid, "objections"),
        own_late_ms=Histogram([0.5] * 99 + [1.5]),
        echo_idle_ms=Histogram([0.1]),
        echo_loaded_ms=Histogram([0.2]),
    )
    return replace(made, **fields)


def test_percentiles_are_those_of_all_calls_and_need_twenty():
    many = report([call(number) for number in range(1, 101)])
    figure = many.first_sound_ms
    assert (len(figure), figure.max) == (100, 1000.0)
    assert figure.p95 == pytest.approx(950, rel=0.011)
    few = report([call(number) for number in range(1, 20)]).first_sound_ms
    assert few.checked == ("max", 190.0)
    with pytest.raises(WrongState, match="needs 20 values, and there are 19"):
        few.p95  # noqa: B018
    assert "95 % within" in many.first_sound_ms.describe()
    assert few.describe() == "at most 190 ms (19 values)"


def test_a_share_that_had_to_wait_for_a_core_says_so():
    made = report([call(1)])
    assert made.describe()["callers' core"] == "20 % used"
    for waited, said in ((0.02, "20 % used"), (0.61, "20 % used; waited for it 61 % of the time")):
        shares = [replace(made.shares[0], waited=waited)]
        described = replace(made, shares=Series.of(shares, "shares")).describe()
        assert described["callers' core"] == said


def test_a_limit_decides_on_ok():
    calls = [call(number) for number in range(1, 101)]
    assert report(calls).ok
    assert report(calls, limits={"first_sound_ms": 970}).ok
    late = report(calls, limits={"first_sound_ms": 900})
    assert not late.ok
    assert late.verdict == "not ok: 1 limit exceeded"
    [failure] = filter(None, late.list_cases().values())
    assert failure.startswith("p95 is 9")
    assert failure.endswith("and 900 ms is the limit")


def test_no_call_may_fail_unless_a_limit_says_how_many():
    calls = [call(1), call(2, ok=False, failure="refused"), *map(call, range(3, 101))]
    assert not report(calls).ok
    assert report(calls).failures == {"refused": 1}
    assert report(calls, limits={"failed_percent": 1}).ok


def test_reasons_that_differ_in_a_time_are_one():
    calls = [call(n, ok=False, failure=f"closed after 0.{n} s") for n in range(1, 4)] + [
        call(4, ok=False, failure="closed with 1011")
    ]
    made = report(calls)
    assert made.failures == {"closed after 0.1 to 0.3 s": 3, "closed with 1011": 1}
    assert made.reasons[0].calls == (1, 2, 3)


def failing(reasons, **fields):
    return report([call(n, ok=False, failure=why, **fields) for n, why in enumerate(reasons, 1)])


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (
            [f"streamSid is 'MZ{n:032x}' but this stream is 'MZ{n + 1:032x}'" for n in range(3)],
            "streamSid is not that of this stream",
        ),
        (["6720 bytes discarded", "6880 bytes discarded"], "6720 to 6880 bytes discarded"),
        (
            [f"step 1 of the script (say) was cut off: said {n}.5 s of 20.0 s" for n in (9, 10)],
            "step 1 of the script (say) was cut off: said 9.5 to 10.5 s of 20.0 s",
        ),
        (["KeyError: 'customer 3'", "KeyError: 'customer 4'"], "KeyError: 'customer 3' …"),
        (["no sound (media 501)", "no sound (media 502)"], "no sound (media 501 to 502)"),
    ],
)  # fmt: skip
def test_what_differs_from_call_to_call_makes_no_other_reason(reasons, said):
    assert failing(reasons).failures == {said: len(reasons)}


@pytest.mark.parametrize(
    "reasons",
    [
        ("closed with 1011", "closed with 1006"),
        ("HTTP 403", "HTTP 500"),
        ("step 1 of the script failed", "step 2 of the script failed"),
        ("31951 Stream - Invalid Message", "31921 Stream - WebSocket - Close Error"),
    ],
)
def test_codes_and_steps_tell_reasons_apart(reasons):
    assert failing(reasons).failures == dict.fromkeys(reasons, 1)


def test_a_reason_has_its_repair_once_and_a_shell_hears_of_an_option():
    different = failing([f"closed with {code}" for code in range(1001, 1008)], repair="Catch it.")
    said = repr(different)
    assert said.count("Catch it.") == 5
    assert said.endswith("… and 2 more reasons: report.reasons")
    assert different.to_text(in_shell=True).endswith("… and 2 more reasons: --verbose")
    assert different.to_text(verbose=True).count("Catch it.") == 7
    assert json.loads(different.to_json())["reasons"][0]["calls"] == [1]


@pytest.mark.parametrize(
    ("failed", "of", "limit", "said"),
    [
        (3, 3, 0, "100 %, and 0 % is the limit"),
        (199, 200, 50, "99.5 %, and 50 % is the limit"),
        (1, 2, 49.9, "50 %, and 49.9 % is the limit"),
        (1, 3, 33.3, "33.33 %, and 33.3 % is the limit"),
    ],
)
def test_a_share_that_exceeds_its_limit_is_written_so_that_one_sees_it(failed, of, limit, said):
    calls = [call(n, ok=n > failed, failure="refused") for n in range(1, of + 1)]
    assert report(calls, limits={"failed_percent": limit}).list_cases() == {"failed_percent": said}


@pytest.mark.parametrize(
    ("value", "limit", "said"),
    [
        (800.3, 800, "max is 800.3 ms, and 800 ms is the limit"),
        (1000.4, 1000.25, "max is 1000.4 ms, and 1000.25 ms is the limit"),
        (2_000_000.0, 1_500_000, "max is 2000000 ms, and 1500000 ms is the limit"),
        (math.inf, 800, "max is never, and 800 ms is the limit"),
    ],
)
def test_a_time_that_exceeds_its_limit_is_written_so_that_one_sees_it(value, limit, said):
    made = report([call(1, response_ms=(value,))], limits={"response_ms": limit})
    assert made.list_cases()["response_ms"] == said


def test_only_none_and_all_are_0_and_100_percent():
    said = [say_percent(share) for share in (0, 0.004, 0.46, 33.333, 99.97, 100)]
    assert said == ["0 %", "0.004 %", "0.5 %", "33.3 %", "99.97 %", "100 %"]


def test_times_below_0_are_counted_and_said():
    made = report([call(n, response_ms=(-3760.0 if n % 2 else 500.0,)) for n in range(1, 41)])
    assert made.response_ms.p50 == pytest.approx(-3760, rel=0.011)
    assert made.response_ms.p95 == pytest.approx(500, rel=0.011)
    assert made.response_ms.describe().endswith(
        "(40 values); 20 times below 0: the server began before the caller had ended"
    )


def test_where_nothing_was_measured_nothing_is_said_to_be_fine():
    refused = replace(
        report(
            [call(n, ok=False, failure="refused", first_sound_ms=None) for n in (1, 2)],
            limits={"late_percent": 1, "gap_ms": 100},
        ),
        own_late_ms=Histogram(),
    )
    assert refused.verdict == "not ok: 1 limit exceeded, 2 not measured"
    said = refused.describe()
    assert said["late"] == "not measured: no call has heard any sound of the server"
    assert "own frames" not in said
    cases = {case.get("name"): case for case in ET.fromstring(refused.to_junit()).iter("testcase")}
    assert cases["valid"].find("skipped") is not None
    assert [len(cases[name].findall("failure")) for name in (*refused.limits,)] == [1, 1, 1]


def test_a_report_stands_in_its_junit_once():
    made = report(
        [call(1, ok=False, failure="closed", repair="Catch it.", first_sound_ms=900.0)],
        limits={"first_sound_ms": 800},
    )
    text = made.to_junit()
    assert text.count("there and back, idle") == 1
    failures = ET.fromstring(text).iter("failure")
    assert [each.text for each in failures] == [
        "1 × closed. Catch it.",
        "from the start message to the first sound that the caller heard",
    ]


def test_a_limit_of_what_no_call_has_shown_is_not_kept():
    assert report([call(1)], limits={"response_ms": 800}).list_cases()["response_ms"] == (
        "no call has shown such a time"
    )
    assert report([call(1)], limits={"gap_ms": 20}).ok


def test_an_answer_that_never_came_passes_every_limit():
    one = report([call(1, response_ms=(300.0, math.inf))], limits={"response_ms": 10_000})
    assert not one.ok
    assert one.response_ms.describe() == "at most 300 ms, once never (2 values)"
    assert json.loads(one.to_json())["response_ms"]["never"] == 1


def test_frames_that_gaps_have_made_silent_are_late():
    one = report([call(1, gaps_ms=(20.0, 60.0), heard_frames=396)])
    assert one.late_percent == 1.0
    assert one.gap_ms.max == 60.0


def test_an_invalid_run_is_not_ok_whatever_it_shows():
    late = Objection(None, "share 1", "sent its own frames late")
    one = report([call(1)], invalid=[late])
    assert not one.ok
    assert one.verdict.startswith("invalid")
    assert "share 1 sent its own frames late" in repr(one)
    cases = ET.fromstring(one.to_junit()).iter("testcase")
    assert {case.get("name"): len(case) for case in cases} == {"valid": 1, "failed_percent": 1}
    assert 'skipped message="not exceeded, but the run is invalid"' in one.to_junit()


def test_the_text_compares_the_loopback_idle_and_under_the_calls():
    said = repr(report([call(1)]))
    assert "idle: 0.1 ms (median), 0.1 ms (99 %); under the calls: 0.2 ms (median)" in said
    assert "20 % used" in said


def test_a_run_that_was_ended_says_so():
    one = report([call(1)], asked=50, is_interrupted=True)
    assert one.verdict == "ended early, after 1 of 50 calls: no limit exceeded"
    assert not one.ok
    cases = ET.fromstring(one.to_junit()).iter("testcase")
    assert [[part.tag for part in case][-1] for case in cases] == ["skipped", "skipped"]
    asked = replace(one, limits=check_limits({"response_ms": 800}))
    assert asked.verdict == "ended early, after 1 of 50 calls: 1 limit not measured"
    late = replace(one, invalid=Series.of([Objection(None, "share 1", "was late")], "objections"))
    assert late.verdict.endswith("little of the server; ended early, after 1 of 50 calls")
    assert "1 of 50 to ws://localhost:1/media" in repr(one)
    assert report([]).verdict == "no call was made"


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"respnse_ms": 3}, "the nearest is 'response_ms'; there are first_sound_ms"),
        ({"latency": 3}, "limits has 'latency'; there are first_sound_ms"),
        ({"response_ms": "800"}, "the limit response_ms is '800'; give a number from 0 on"),
        ({"response_ms": -1}, "give a number from 0 on"),
        ({"response_ms": math.nan}, "give a number from 0 on"),
        ([800], "limits is [800]; give a dict"),
    ],
)
def test_wrong_limits_are_named(limits, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        check_limits(limits)
    assert sentence in str(caught.value)
