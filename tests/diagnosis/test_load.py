"""What many calls have shown, against limits: all from values, without a call."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadCall, LoadReport, LoadShare, check_limits
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
    assert made.describe()["callers' core"] == "20% used"
    for waited, said in ((0.02, "20% used"), (0.61, "20% used; waited for it 61% of the time")):
        shares = [replace(made.shares[0], waited=waited)]
        described = replace(made, shares=Series.of(shares, "shares")).describe()
        assert described["callers' core"] == said


def test_a_limit_decides_on_ok():
    calls = [call(number) for number in range(1, 101)]
    assert report(calls).ok
    assert report(calls, limits={"first_sound_ms": 970}).ok
    late = report(calls, limits={"first_sound_ms": 900})
    assert not late.ok
    assert late.verdict == "not ok: 1 limit passed"
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
    assert report(calls).failures == {"closed after … s": 3, "closed with 1011": 1}


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
    assert {case.get("name"): len(case) for case in cases} == {"valid": 1, "failed_percent": 0}


def test_the_text_compares_the_loopback_idle_and_under_the_calls():
    said = repr(report([call(1)]))
    assert "idle: 0.1 ms (median), 0.1 ms (99 %); under the calls: 0.2 ms (median)" in said
    assert "20% used" in said


def test_a_run_that_was_ended_says_so():
    one = report([call(1)], asked=50, is_interrupted=True)
    assert one.verdict == "ok (interrupted)"
    assert "1 of 50 to ws://localhost:1/media" in repr(one)
    assert report([]).verdict == "no call was made"


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
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
