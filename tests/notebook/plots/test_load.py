"""The picture of many calls at once."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from matplotlib.axes import Axes

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


LIMITS = {"failed_percent": 0.0, "response_ms": 450.0}


def make_report(
    calls: list[LoadCall],
    *,
    invalid: tuple[Objection, ...] = (),
    limits: dict[str, float] = LIMITS,
) -> LoadReport:
    return LoadReport(
        url="ws://localhost:1/media",
        asked=len(calls),
        seconds=6.0,
        calls=Series.of(calls, "calls"),
        shares=Series.of([LoadShare(1, "here", 1, len(calls), 0, 0, 0)], "shares"),
        limits=limits,
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
    [limit] = [line for line in times.lines if line.get_label() == "response limit"]
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
    assert title == (
        "3 calls at once, 1 failed, first sound at most 200 ms, 2 limits exceeded, INVALID RUN"
    )


def list_ticks(times: Axes) -> list[str]:
    """Return the labels that are seen."""
    low, high = times.get_xlim()
    say = times.xaxis.get_major_formatter()
    return [say(at, 0) for at in times.get_xticks() if low <= at <= high]


@pytest.mark.parametrize(
    "firsts", [(80.0, 98.0), (90.0, 90.0), (0.5, 0.9), (20.0, 900.0), (5.0, 900_000.0)]
)
def test_every_range_has_ticks_that_can_be_read(firsts: tuple[float, ...]) -> None:
    calls = [replace(CALLS[0], first_sound_ms=first, response_ms=()) for first in firsts]
    ticks = list_ticks(plot_load(make_report(calls, limits={})).axes[0])
    assert 3 <= len(ticks) <= 12
    assert not [tick for tick in ticks if "e" in tick]


def test_what_is_below_0_is_drawn_there() -> None:
    calls = [replace(CALLS[0], response_ms=(-3760.0,)), replace(CALLS[1], response_ms=(500.0,))]
    times = plot_load(make_report(calls)).axes[0]
    [response] = [line for line in times.lines if line.get_label() == "response"]
    assert response.get_xdata()[0] == -3760.0
    assert times.get_xlim()[0] < -3760.0
    assert "below 0 the server began before the caller had ended" in times.get_xlabel()
    assert {"-1000", "0", "100"} <= set(list_ticks(times))


def test_refused_calls_show_the_limit_and_no_call_under_way() -> None:
    calls = [LoadCall(n, 1, 0.2 * n, 0.2 * n + 0.002, 0, False, "refused") for n in (1, 2)]
    times, under_way = plot_load(make_report(calls)).axes
    assert "no call has shown a time" in [text.get_text() for text in times.texts]
    assert "response limit" in [line.get_label() for line in times.lines]
    assert max(under_way.lines[0].get_ydata()) == 0
    assert all(tick == int(tick) for tick in under_way.get_yticks())


def test_a_run_without_calls_is_drawn() -> None:
    picture = io.BytesIO()
    plot_load(make_report([])).savefig(picture)
    assert picture.tell()


def test_something_else_is_refused() -> None:
    with pytest.raises(WrongType, match="plot_load draws the report"):
        plot_load(Clip(b""))  # type: ignore[arg-type]
