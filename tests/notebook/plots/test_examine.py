"""The picture of what the telephone makes of a file."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from matplotlib.colors import to_hex

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.examine import examine
from twistream_kit.notebook.plots.examine import FLOOR_DB, plot_examination
from twistream_kit.notebook.plots.style import YOUR_COLOUR


def examined(*hz, rate=32000, seconds=1.0):
    time = np.arange(round(rate * seconds)) / rate
    sound = sum(0.2 * np.sin(2 * np.pi * pitch * time) for pitch in hz)
    file = io.BytesIO()
    soundfile.write(file, np.stack([sound, sound], axis=1), rate, format="WAV")
    return examine(file.getvalue())


def drawn(figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def panels(figure):
    """The panels by the first word of their titles, which stand at the left."""
    return {axes.get_title(loc="left").split(":")[0].split(",")[0]: axes for axes in figure.axes}


@pytest.mark.parametrize(
    "examination",
    [
        examined(1000),
        examined(1000, rate=8000),
        examine(Clip(b"\x80")),
        examine(Clip.silence(1.0)),
        examine(Clip.tone(440, 70.0)),
    ],
    ids=["stereo", "mono 8 kHz", "one sample", "silence", "over a minute"],
)
def test_every_examination_can_be_drawn_at_the_width_of_the_house(examination):
    figure = plot_examination(examination)
    assert figure.get_size_inches()[0] == 7.0
    assert drawn(figure).startswith(b"\x89PNG")


def test_the_pitches_before_and_after_are_drawn_with_the_band_of_the_telephone():
    axes = panels(plot_examination(examined(1040, 6000)))["spectrum"]
    levels = {}
    for line in axes.lines:
        x, y = np.array(line.get_xdata()), np.array(line.get_ydata())
        levels[line.get_label()] = lambda hz, x=x, y=y: y[np.abs(np.log(x / hz)).argmin()]
    assert levels["before"](1040) == pytest.approx(-17.0, abs=1)
    assert levels["before"](6000) == pytest.approx(-17.0, abs=1)
    assert levels["before"](300) < FLOOR_DB + 10
    assert levels["after"](1040) == pytest.approx(-17.0, abs=1)
    (after,) = [line for line in axes.lines if line.get_label() == "after"]
    assert max(after.get_xdata()) < 4200
    assert to_hex(after.get_color()).upper() == YOUR_COLOUR
    (band,) = axes.patches
    left, right = band.get_extents().get_points()[:, 0]
    assert axes.transData.inverted().transform([(left, 0), (right, 0)])[:, 0] == pytest.approx(
        [300, 3400], rel=0.01
    )


def test_both_waves_share_one_scale_and_the_title_says_what_is_lost():
    figure = plot_examination(examined(1000, 6000))
    assert "bytes: the telephone loses 50.0 % above 3.4 kHz" in figure.get_suptitle()
    before, after = (panels(figure)[name] for name in ("before", "after"))
    assert before.get_ylim() == after.get_ylim()
    assert before.get_xlim() == after.get_xlim() == (0, 1.0)
    for axes in figure.axes:
        assert "(" in axes.get_ylabel()


def test_that_only_a_minute_is_drawn_is_said():
    title = plot_examination(examine(Clip.tone(440, 70.0))).get_suptitle()
    assert "of 70 s the first minute is drawn" in title


def test_a_plot_of_something_else_says_what_it_takes():
    with pytest.raises(TypeError, match=r"kit.examine\(path\) makes one. This is a str."):
        plot_examination("greeting.wav")
