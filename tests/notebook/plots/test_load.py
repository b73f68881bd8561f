"""The picture of many calls at once."""

from __future__ import annotations

import io
import math

import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadCall, LoadReport, LoadShare
from twistream_kit.errors import Objection, WrongType
from twistream_kit.listing import Series
from twistream_kit.notebook.plots.load import plot_load

CALLS = [
    LoadCall(1, 1, 0.0, 4.0, 0, True, "", 100.0, (300.0, math.inf)),
    LoadCall(2, 1, 1.0, 5.0, 1, True, "", 200.0, (400.0, 500.0)),
    LoadCall(3, 1, 2.0, 3.0, 2, False, "refused"),
]


def make_report(calls: list[LoadCall], *, invalid: tuple[Objection, ...] = ()) -> LoadReport:
    return LoadReport(
        url="ws://localhost:1/media",
        asked=len(calls),
        seconds=6.0,
        calls=Series.of(calls, "calls"),
        shares=Series.of([LoadShare(1, "here", 1, len(calls), 0, 0, 0)], "shares"),
        limits={"failed_percent": 0.0, "response_ms": 450.0},
        invalid=Series.of(invalid, "objections"),
        own_late_ms=Histogram(),
        echo_idle_ms=Histogram(),
        echo_loaded_ms=Histogram(),
    )


def test_a_curve_ends_at_the_share_of_values_that_came() -> None:
    times = plot_load(make_report(CALLS)).axes[0]
    [response] = [line for line in times.lines if line.get_label() == "response"]
    assert list(response.get_ydata()) == [0.0, 25.0, 50.0, 75.0]
    assert response.get_xdata()[-1] == pytest.approx(500.0, rel=0.011)
    [limit] = [line for line in times.lines if line.get_label() == "limit"]
    assert limit.get_xdata()[0] == 450.0


def test_the_calls_under_way_are_counted_over_time() -> None:
    calls = plot_load(make_report(CALLS)).axes[1]
    [under_way] = [line for line in calls.lines if line.get_label() == "calls under way"]
    drawn = dict(zip(under_way.get_xdata(), under_way.get_ydata(), strict=True))
    assert drawn == {0.0: 1, 1.0: 2, 2.0: 3, 3.0: 2, 4.0: 1, 5.0: 0}
    [failed] = [line for line in calls.lines if line.get_label() == "call failed"]
    assert list(failed.get_xdata()) == [2.0]


def test_the_title_says_what_matters() -> None:
    late = Objection(None, "share 1", "was late")
    title = plot_load(make_report(CALLS, invalid=(late,))).get_suptitle()
    assert title == "3 calls at once, 1 failed, first sound at most 200 ms, INVALID RUN"


def test_a_run_without_calls_is_drawn() -> None:
    picture = io.BytesIO()
    plot_load(make_report([])).savefig(picture)
    assert picture.tell()


def test_something_else_is_refused() -> None:
    with pytest.raises(WrongType, match="plot_load draws the report"):
        plot_load(Clip(b""))  # type: ignore[arg-type]
