"""Pictures follow the theme of their page: what is published, how small it is, what is read."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from types import SimpleNamespace

import IPython
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.diagnosis.turns import find_turns
from twistream_kit.notebook.plots import clip as plots_of_a_clip
from twistream_kit.notebook.plots import style
from twistream_kit.notebook.plots.clip import plot_waveform
from twistream_kit.notebook.plots.examine import plot_spectrogram
from twistream_kit.notebook.plots.themed import INVERTED, THEME_STYLE, render_palette_png
from twistream_kit.notebook.plots.turns import plot_turns
from twistream_kit.simulator.caller import CallerAct

GREETING = "sample_audio/greeting.wav"

TEXT, GRAPHICS = 4.5, 3.0
"""The least contrast, by WCAG 2.1: 1.4.3 for small text, 1.4.11 for graphics."""

COLOURS = {
    "black": ("#000000", TEXT),
    "caller": (style.CALLER_COLOUR, TEXT),  # of the keys' digits too
    "yours": (style.YOUR_COLOUR, GRAPHICS),
    "quiet": (style.QUIET_COLOUR, TEXT),
    "mark": (style.MARK_COLOUR, TEXT),
    "clear": (style.CLEAR_COLOUR, TEXT),
    **{
        f"chunk {name}": (colour, GRAPHICS)
        for name, colour in plots_of_a_clip._CHUNK_COLOURS.items()
    },
}

HUE_ROTATED = np.array(  # by 180 degrees, as in Filter Effects Module Level 1, §hue-rotate
    [[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]]
)


def rgb(colour):
    return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])


def in_the_dark(colour):
    """What the filter of THEME_STYLE makes of a colour."""
    inverted = INVERTED * (1 - rgb(colour)) + (1 - INVERTED) * rgb(colour)
    return np.clip(HUE_ROTATED @ inverted, 0, 1)


def luminance(colour):
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    bright, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", COLOURS)
def test_all_colours_are_seen_on_a_light_page_and_on_dark_ones(name):
    colour, least = COLOURS[name]
    assert contrast(rgb(colour), rgb("#ffffff")) >= least
    for ground in (in_the_dark("#ffffff"), rgb("#111111"), rgb("#1e1e1e")):
        assert contrast(in_the_dark(colour), ground) >= least


def test_white_becomes_the_ground_of_the_dark_page_and_hues_stay():
    assert in_the_dark("#ffffff") == pytest.approx(rgb("#111111"), abs=0.002)
    red, _, blue = in_the_dark(style.CALLER_COLOUR)
    assert blue > red + 0.3
    red, _, blue = in_the_dark(style.YOUR_COLOUR)
    assert red > blue + 0.3


@pytest.fixture
def published(monkeypatch):
    """What a cell would show, one output after the other."""
    outputs = []

    def use(kernel):
        pub = SimpleNamespace(publish=lambda data, **_: outputs.append(data))
        shell = SimpleNamespace(display_pub=pub, kernel=kernel)
        monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
        return outputs

    return use


def test_a_plot_is_a_figure_that_shows_a_style_and_one_small_picture(published):
    outputs = published(kernel=object())
    figure = plot_waveform(Clip.tone(440, 0.5))
    assert isinstance(figure, Figure)
    figure._ipython_display_()
    first, second = outputs
    assert first == {"text/html": THEME_STYLE, "text/plain": ""}
    picture = Image.open(io.BytesIO(b64decode(second["image/png"])))
    assert picture.mode == "P"
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert second["text/plain"] == repr(figure)


def test_without_a_kernel_it_is_shown_as_any_figure(published):
    outputs = published(kernel=None)
    with pytest.raises(NotImplementedError):  # which IPython takes as: not here
        plot_waveform(Clip.tone(440, 0.5))._ipython_display_()
    assert outputs == []


def test_the_palette_keeps_the_colours_of_the_parties():
    def distance(figure, wanted):
        picture = Image.open(io.BytesIO(render_palette_png(figure))).convert("RGB")
        pixels = np.unique(np.asarray(picture).reshape(-1, 3), axis=0) / 255
        return np.abs(pixels - rgb(wanted)).max(axis=1).min()

    clip = Clip.tone(440, 0.5)
    assert distance(plot_waveform(clip), style.YOUR_COLOUR) < 0.03
    assert distance(plot_waveform(clip, track="inbound"), style.CALLER_COLOUR) < 0.03
    # The palette of a spectrogram is full of other colours.
    assert distance(plot_spectrogram(GREETING), "#000000") < 0.1


def test_a_rare_colour_of_a_party_is_not_mixed_with_another():
    welcome = load_clip("sample_audio/bot_welcome.wav")
    heard = Clip(welcome.payload[: 160 * 98]) + Clip.silence(2.5) + welcome
    turns = find_turns(heard, acts=[CallerAct("interrupt", 1.7, 2.7, Clip.tone(440, 1))])
    picture = Image.open(io.BytesIO(render_palette_png(plot_turns(turns)))).convert("RGB")
    pixels = {colour for _, colour in picture.getcolors(1 << 20)}
    assert len(pixels) <= 40
    for colour in (style.CLEAR_COLOUR, style.MARK_COLOUR, style.CALLER_COLOUR, style.YOUR_COLOUR):
        assert tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) in pixels


def test_a_picture_has_less_than_half_of_the_bytes_that_savefig_writes():
    for figure in (plot_spectrogram(GREETING), plot_waveform(Clip.tone(440, 3))):
        whole = io.BytesIO()
        figure.savefig(whole, format="png")
        assert len(render_palette_png(figure)) < len(whole.getvalue()) / 2


def test_the_style_is_short_and_asks_first_what_the_page_says_of_its_theme():
    assert len(THEME_STYLE) < 350  # in the file of a notebook once for each picture
    dark, system = re.findall(r"([^{}]*)&\{filter:", THEME_STYLE)
    assert dark == "[data-jp-theme-light=false] "
    assert system == "body:not([data-jp-theme-light]) "
    assert THEME_STYLE.count("{") == THEME_STYLE.count("}")
    assert "@media screen" in THEME_STYLE  # paper is white
