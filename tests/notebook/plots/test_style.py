"""What all pictures share."""

from __future__ import annotations

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.notebook.plots import style
from twistream_kit.notebook.plots.style import (
    COLUMNS,
    draw_sound,
    expect,
    make_figure,
    reduce_sound,
)


def test_a_figure_is_seven_inches_wide_and_two_and_a_half_high():
    assert tuple(make_figure("What to see").get_size_inches()) == (7.0, 2.5)


def test_the_envelope_misses_no_peak():
    samples = np.zeros(1_000_003, np.int16)
    samples[777_777], samples[3] = 30_000, -20_000
    edges, low, high = reduce_sound(samples)
    assert len(edges) == len(low) == len(high) == COLUMNS
    assert (high.max(), low.min()) == (30_000, -20_000)
    assert edges[high.argmax()] <= 777_777 < edges[high.argmax() + 1]


def test_the_envelope_of_few_samples_is_the_samples():
    samples = np.array([3, -4, 5], np.int16)
    _, low, high = reduce_sound(samples)
    assert low.tolist() == high.tolist() == [3, -4, 5]


def test_short_sound_is_a_line_and_long_sound_an_area():
    axes = make_figure("").subplots()
    draw_sound(axes, np.zeros(COLUMNS, np.int16))
    assert len(axes.lines) == 2  # zero, and the sound
    assert not axes.collections
    axes = make_figure("").subplots()
    draw_sound(axes, np.zeros(8000 * 600, np.int16))
    assert len(axes.collections) == 1
    assert len(axes.collections[0].get_paths()[0].vertices) < 3 * COLUMNS


def test_a_wrong_argument_is_refused_with_how_to_make_a_right_one():
    with pytest.raises(TypeError, match=r"kit.load_clip\(path\) makes one. This is a str."):
        expect("greeting.wav", Clip, "plot_waveform takes a Clip; kit.load_clip(path) makes one.")


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("name", "contrast"),
    [
        ("CALLER_COLOUR", 3),
        ("YOUR_COLOUR", 3),
        ("QUIET_COLOUR", 4.5),
        ("MARK_COLOUR", 4.5),
        ("CLEAR_COLOUR", 4.5),
    ],
)
def test_colours_are_seen_on_white_and_those_of_text_are_read(name, contrast):
    # WCAG 2.1: 3:1 for graphics, 4.5:1 for small text.
    assert 1.05 / (_luminance(getattr(style, name)) + 0.05) >= contrast
