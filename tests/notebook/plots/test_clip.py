"""Pictures of a clip."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from twistream_kit.audio.clip import Clip
from twistream_kit.notebook.plots.clip import plot_companding, plot_frames, plot_waveform
from twistream_kit.notebook.plots.style import CALLER_COLOUR, YOUR_COLOUR

TONE = Clip.tone(440, 0.5)

PLOTS = [plot_waveform, plot_frames, plot_companding]


def drawn(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize(
    "clip",
    [Clip(b""), Clip(b"\x00"), TONE, Clip.silence(1.0), TONE + Clip.silence(600)],
    ids=["empty", "one sample", "tone", "silence", "ten minutes"],
)
def test_every_clip_can_be_drawn(plot, clip):
    assert drawn(plot(clip)).startswith(b"\x89PNG")


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("wrong", ["greeting.wav", b"\xff" * 160, None])
def test_a_plot_of_something_else_says_what_it_takes(plot, wrong):
    message = rf"{plot.__name__} takes a Clip; kit.load_clip\(path\) makes one. This is a "
    with pytest.raises(TypeError, match=message):
        plot(wrong)


@pytest.mark.parametrize("plot", PLOTS)
def test_a_plot_names_the_clip_and_has_units_on_both_axes(plot):
    figure = plot(Clip.tone(440, 0.5))
    assert "440 Hz" in figure.get_suptitle()
    assert "(" in figure.axes[0].get_xlabel()
    assert "(" in figure.axes[0].get_ylabel()
    assert figure.get_size_inches()[0] == 7.0


def test_waveform_spans_the_clip_in_seconds_in_your_colour():
    figure = plot_waveform(Clip.tone(440, 0.25))
    (axes,) = figure.axes
    assert axes.get_xlim() == (0, 0.25)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time (s)", "sample value (int16)")
    assert to_hex(axes.lines[-1].get_color()).upper() == YOUR_COLOUR


def test_waveform_tells_how_loud_the_loudest_sample_is():
    assert plot_waveform(Clip(b"\x80")).get_suptitle().endswith("the loudest at full scale")
    title = plot_waveform(Clip.tone(440, 0.5, level_db=-12)).get_suptitle()
    below = float(title.split("the loudest ")[1].split(" dB")[0])
    assert below == pytest.approx(12, abs=0.5)
    assert plot_waveform(Clip.silence(0.1)).get_suptitle().endswith("all of it silence")


def test_frames_stand_on_a_grid_of_20_ms_and_the_padding_is_shown():
    clip = Clip(Clip.tone(440, 1.0).payload[:-30], "tone")
    figure = plot_frames(clip)
    loudest, ending = figure.axes
    assert "tone is 50 frames of 20 ms" in figure.get_suptitle()
    assert "filled up with 30 bytes of silence" in figure.get_suptitle()
    assert np.diff(loudest.get_xticks()).tolist() == [20.0] * 8
    assert ending.get_xlim() == (960, 1000)
    assert [text.get_text() for text in ending.texts] == ["48", "49"]
    (padding,) = ending.patches
    assert (padding.get_x(), padding.get_x() + padding.get_width()) == (pytest.approx(996.25), 1000)


def test_frames_of_a_clip_without_a_remainder_are_all_full():
    figure = plot_frames(Clip.tone(440, 0.04))
    assert figure.get_suptitle().endswith("2 frames of 20 ms (160 bytes); all are full")
    assert not figure.axes[1].patches


def test_frames_begin_where_the_clip_is_loudest():
    clip = Clip.silence(1.0) + Clip.tone(440, 0.2) + Clip.silence(1.0)
    begin, end = plot_frames(clip).axes[0].get_xlim()
    assert begin <= 1040 <= 1160 <= end


def test_companding_marks_the_codes_of_the_clip_on_the_curve():
    figure = plot_companding(Clip(bytes([0xFF, 0x80, 0x00, 0x80])))
    curve, _ = figure.axes
    *_, dots = curve.lines
    points = set(zip(dots.get_xdata().tolist(), dots.get_ydata().tolist(), strict=True))
    assert points == {(0, 0), (32124, 127), (-32124, -127)}


def test_companding_counts_the_samples_of_each_segment():
    figure = plot_companding(Clip(bytes([0xFF, 0xFF, 0x80, 0x00])))
    shares = {round(bar.get_y() + 7): bar.get_width() for bar in figure.axes[1].patches}
    assert {y: share for y, share in shares.items() if share} == {8: 50.0, 120: 25.0, -120: 25.0}
    assert "50 % of the samples" in figure.get_suptitle()


def test_the_caller_is_drawn_in_the_callers_colour():
    (axes,) = plot_waveform(Clip.tone(440, 0.2), track="inbound").axes
    assert to_hex(axes.lines[-1].get_color()).upper() == CALLER_COLOUR
