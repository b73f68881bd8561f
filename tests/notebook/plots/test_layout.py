"""Every text of every figure has a place of its own, and the legend explains all that is drawn."""

from __future__ import annotations

import io
from itertools import combinations
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text

from support.captures import capture_of
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.examine import examine
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.notebook.plots.call import plot_timeline
from twistream_kit.notebook.plots.clip import (
    plot_companding,
    plot_frames,
    plot_header,
    plot_waveform,
)
from twistream_kit.notebook.plots.examine import plot_examination, plot_spectrogram
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
FRAME = Clip.tone(440, 0.02).payload
GREETING = "sample_audio/greeting.wav"
LONG = "a very long name of a mark, which somebody wrote as a whole sentence with a comma"
UNICODE = ["挨拶の音声です", "приветствие", "تحية", "👋 hello", "$x$ and $y", "a\nb", "\ud800"]
STATUSES = [
    (-3600, "initiated"), (-9, "ringing"), (-0.2, "in-progress"), (0.003, "stream-started"),
    (4.001, "stream-error"), (4.02, "busy"), (4.03, "completed"), (70, "failed"),
]  # fmt: skip


def call(seconds, *, marks=(), keys=(), clears=(), sound=(), statuses=()):
    """A call in which the caller speaks throughout."""
    said = [
        (chunk / 50, from_twilio.Media(SID, FRAME, chunk + 2, "inbound", chunk + 1, chunk * 20))
        for chunk in range(round(seconds * 50))
    ]
    said += [(at, to_twilio.Media(SID, Clip.tone(440, length).payload)) for at, length in sound]
    for at, name in marks:
        said.append((at, to_twilio.Mark(SID, name)))
        said.append((at + 0.2, from_twilio.Mark(SID, name)))
    said += [(at, from_twilio.Dtmf(SID, digit)) for at, digit in keys]
    said += [(at, to_twilio.Clear(SID)) for at in clears]
    said.append((seconds, from_twilio.Stop(SID)))
    capture = capture_of(SID, *sorted(said, key=lambda pair: pair[0]), started=100.0)
    for at, name in statuses:
        capture.note_status(100 + at, name)
    return capture


CALLS = {
    "usual": lambda: call(
        4, marks=[(0.5, "greeting"), (2.5, "goodbye")], keys=[(0.2, "5")], clears=[1.0],
        sound=[(0.5, 1), (2.5, 1)],
    ),
    "one second": lambda: call(
        1, marks=[(0.1, "a"), (0.12, "b"), (0.5, "c"), (0.99, "the end")], clears=[0.8, 0.97],
        keys=[(0.1, "1"), (0.11, "2"), (0.99, "#")], sound=[(0.1, 20)],
    ),
    "many": lambda: call(
        30, marks=[(n / 10, f"m{n}") for n in range(300)], clears=range(1, 30),
        keys=[(n * 0.15, "0123456789*#"[n % 12]) for n in range(60)],
        sound=[(n, 2) for n in range(30)],
    ),
    "close": lambda: call(
        10, marks=[(2 + n / 100, f"mark number {n}") for n in range(8)], sound=[(1, 3)],
        keys=[(3, "1"), (3.05, "2"), (3.1, "3"), (9.95, "#")], clears=[5, 5.05, 5.1, 9.9],
    ),
    "names": lambda: call(
        10, marks=[(1, LONG), (9.5, LONG), *((4 + n, each) for n, each in enumerate(UNICODE))],
        keys=[(1, "猫"), (2, "long digit")], sound=[(1, 20)], statuses=STATUSES,
    ),
    "names at one place": lambda: call(
        3, marks=[(1 + n / 9, f"{LONG} {n}") for n in range(12)], statuses=STATUSES * 4
    ),
    "ten minutes": lambda: call(
        600, marks=[(n, f"m{n}") for n in range(600)], keys=[(n * 7, "5") for n in range(80)],
        clears=[n * 30 + 0.5 for n in range(20)], sound=[(n, 0.8) for n in range(0, 600, 2)],
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CALLS)
def of_a_call(request):
    return drawn(plot_timeline(CALLS[request.param]()))


def drawn(figure):
    """The figure with all texts at their places."""
    figure.savefig(io.BytesIO(), format="png")
    return figure


def texts_of(figure):
    """All texts that are seen, with their boxes."""
    hidden = {id(text) for axes in figure.axes for text in hidden_ticks(axes)}
    return [
        (text, Text.get_window_extent(text))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def hidden_ticks(axes):
    """The texts of ticks that are outside the scale."""
    for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in axis.get_major_ticks() + axis.get_minor_ticks():
            if not min(ends) - 1e-9 <= tick.get_loc() <= max(ends) + 1e-9:
                yield from (tick.label1, tick.label2)


def overlaps(figure):
    """Pairs of texts that cover each other by more than a pixel, and texts outside the figure."""
    shown = texts_of(figure)
    found = []
    for (one, box), (other, its) in combinations(shown, 2):
        width = min(box.x1, its.x1) - max(box.x0, its.x0)
        height = min(box.y1, its.y1) - max(box.y0, its.y0)
        if width > 1 and height > 1:
            found.append((one.get_text(), other.get_text()))
    inside = figure.bbox
    for text, box in shown:
        if box.x0 < inside.x0 - 1 or box.x1 > inside.x1 + 1 or box.y1 > inside.y1 + 1:
            found.append((text.get_text(), "the edge"))
    return found


def lie_on_sound(figure):
    """The texts that stand where sound, a curve or a picture is drawn."""
    shown = texts_of(figure)
    lanes = [
        axes.get_window_extent().shrunk(0.99, 0.97)
        for axes in figure.axes
        if axes.get_ylabel() not in ("call", "keys", "marks", "clears")
        and any(map(has_a_scale, [*axes.lines, *axes.collections, *axes.images]))
    ]
    return [text.get_text() for lane in lanes for text, box in shown if lane.overlaps(box)]


def has_a_scale(artist):
    return artist.get_label() != "_zero"


def unexplained(figure):
    """What is drawn and has no legend, and what is in the legend and not drawn."""
    artists = [
        artist
        for axes in figure.axes
        if axes.get_ylabel() not in ("offset (bytes)", "level (dB of full scale)")
        for artist in [*axes.lines, *axes.collections, *axes.patches, *axes.containers]
        if not hasattr(artist, "get_xdata") or len(artist.get_xdata())
    ]
    labels = {artist.get_label() for artist in artists}
    bars = {part.get_label() for axes in figure.axes for each in axes.containers for part in each}
    plain = {"_zero", "_sound", "_your sound", *bars}
    below = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    return labels - plain - below, below - labels


def test_no_text_of_a_call_covers_another_or_leaves_the_picture(of_a_call):
    assert overlaps(of_a_call) == []


def test_no_text_of_a_call_stands_on_sound(of_a_call):
    assert lie_on_sound(of_a_call) == []


def test_the_legend_of_a_call_explains_all_and_nothing_else(of_a_call):
    assert unexplained(of_a_call) == (set(), set())


NAMED = [SimpleNamespace(name=name) for name in (f"{LONG}, {LONG}.wav", "挨拶 $a$ $b", "W" * 300)]
CLIPS = [
    *(Clip(Clip.tone(440, 0.5).payload, name=each.name) for each in NAMED),
    Clip.tone(3000, 700),
    Clip.tone(440, 0.033, level_db=0),
    Clip(b""),
    Clip(b"\x00"),
]


@pytest.mark.parametrize("plot", [plot_waveform, plot_frames, plot_companding])
@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: f"{clip.name[:9]} {clip.seconds:.2f}")
def test_nothing_covers_anything_in_the_picture_of_a_clip(plot, clip):
    figure = drawn(plot(clip))
    assert overlaps(figure) == []
    assert lie_on_sound(figure) == []
    assert unexplained(figure) == (set(), set())


def test_nothing_covers_anything_in_the_pictures_of_a_file(tmp_path):
    path = load_clip(GREETING).save(tmp_path / f"挨拶 $a$ $b {LONG}.wav")
    for figure in (plot_spectrogram(path), plot_examination(examine(path))):
        drawn(figure)
        assert overlaps(figure) == []
        assert lie_on_sound(figure) == []
        assert unexplained(figure) == (set(), set())
    assert overlaps(drawn(plot_header(inspect_wav(path)))) == []


def test_the_measure_finds_texts_that_cover_each_other_and_a_wave():
    figure = plot_waveform(Clip.tone(440, 1))
    for at in (0.5, 0.51):
        figure.axes[0].text(at, 0, f"label {at}")
    figure.axes[0].plot([0, 1], [0, 1], label="a line")
    drawn(figure)
    assert overlaps(figure) == [("label 0.5", "label 0.51")]
    assert lie_on_sound(figure) == ["label 0.5", "label 0.51"]
    assert unexplained(figure) == ({"a line"}, set())


def test_a_style_of_the_user_changes_nothing():
    def pixels():
        figure = plot_waveform(Clip.tone(440, 0.5))
        picture = io.BytesIO()
        figure.savefig(picture, format="rgba")
        return np.frombuffer(picture.getvalue(), np.uint8)

    plain = pixels()
    with mpl.style.context(["dark_background", {"font.size": 30, "lines.linewidth": 9}]):
        assert np.array_equal(pixels(), plain)
    assert mpl.rcParams["font.family"] == mpl.rcParamsDefault["font.family"]
