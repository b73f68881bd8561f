"""The picture of a soak."""

from __future__ import annotations

import io

import pytest

from support.soaks import make_waves, soak_of
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WrongType
from twistream_kit.listing import Series
from twistream_kit.notebook.plots.soak import plot_soak


def find_line(axes, label):
    [found] = [line for line in axes.lines if line.get_label() == label]
    return found


def test_a_panel_has_the_readings_and_the_fitted_line():
    figure = plot_soak(soak_of(40, memory_a_wave=1.0))
    memory, descriptors, threads = figure.axes
    assert list(find_line(memory, "at rest").get_ydata())[:3] == [50, 51, 52]
    line = find_line(memory, "fitted line")
    assert list(line.get_xdata()) == pytest.approx([5.5, 20.0])
    assert list(line.get_ydata()) == pytest.approx([61, 90])
    assert memory.get_title(loc="left").startswith("grows: +120 MB (")
    assert descriptors.get_title(loc="left").startswith("does not grow")
    assert find_line(threads, "under the calls") is not None
    assert figure.get_suptitle() == "800 calls in 40 waves, none failed, MEMORY GROWS"


def test_noise_below_the_resolution_does_not_fill_a_panel():
    threads = plot_soak(soak_of(40)).axes[2]
    low, high = threads.get_ylim()
    assert high - low == pytest.approx(4)


def test_waves_with_failed_calls_are_marked():
    waves = Series.of(make_waves(20, failed=1), "waves")
    memory = plot_soak(soak_of(20, waves=waves)).axes[0]
    assert list(find_line(memory, "wave with failed calls").get_xdata()) == pytest.approx(
        [598 / 60] * 2
    )


@pytest.mark.parametrize("waves", [0, 1, 3])
def test_a_short_run_is_drawn_without_a_line(waves):
    picture = io.BytesIO()
    figure = plot_soak(soak_of(waves, is_interrupted=True))
    figure.savefig(picture)
    assert "interrupted" in figure.get_suptitle()
    assert [line.get_label() for line in figure.axes[0].lines].count("fitted line") == 0


def test_without_a_process_the_failed_calls_are_drawn():
    waves = Series.of(make_waves(4, failed=1), "waves")
    figure = plot_soak(soak_of(4, read=[], samples=Series.of([], "readings"), waves=waves))
    axes = figure.axes[0]
    assert list(find_line(axes, "wave without a failed call").get_ydata()) == [0, 0, 0]
    assert list(find_line(axes, "wave with failed calls").get_ydata()) == [1]
    assert axes.get_ylim()[0] == 0
    assert all(tick == round(tick) for tick in axes.get_yticks())
    assert figure.axes[0].get_ylabel() == "calls that failed"


def test_something_else_is_refused():
    with pytest.raises(WrongType, match="plot_soak draws the report"):
        plot_soak(Clip(b""))
