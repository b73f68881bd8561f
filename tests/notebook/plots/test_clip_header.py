"""The picture of a WAV header."""

from __future__ import annotations

import struct

import pytest
from matplotlib.colors import to_hex

from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.notebook.plots.clip import MOST_ROWS, plot_header
from twistream_kit.notebook.plots.style import YOUR_COLOUR

FMT = b"fmt " + struct.pack("<IHHIIHH", 16, 7, 1, 8000, 8000, 1, 8)


def wav(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


@pytest.fixture
def figure():
    return plot_header(inspect_wav(wav(FMT, chunk(b"data", b"\xff" * 800))))


def test_every_field_of_the_header_is_named_with_its_value(figure):
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"sample_rate\n8000", "format_tag\n7", "form\nRIFF", "the sound …\n800 bytes"} <= texts


def test_title_and_axes_say_what_is_counted(figure):
    (axes,) = figure.axes
    assert figure.get_suptitle() == "bytes: 44 bytes of header before the sound"
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "position in the row (bytes)",
        "offset (bytes)",
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "16", "32"]


def test_the_sound_begins_where_the_header_ends_and_has_your_colour(figure):
    yours = [p for p in figure.axes[0].patches if to_hex(p.get_edgecolor()).upper() == YOUR_COLOUR]
    (box,) = [patch for patch in yours if not patch.get_fill()]
    assert (round(box.get_x()), int(box.get_y())) == (44 % 16, 44 // 16)


def test_a_long_field_takes_one_row():
    report = inspect_wav(wav(FMT, chunk(b"LIST", b"INFO" + b"x" * 4000), chunk(b"data", b"\xff")))
    labels = [label.get_text() for label in plot_header(report).axes[0].get_yticklabels()]
    assert labels == ["0", "16", "32", "48", "4048"]


def test_a_header_of_many_rows_is_cut_and_says_so():
    many = [chunk(b"junk", b"x" * 20)] * 30
    figure = plot_header(inspect_wav(wav(FMT, *many, chunk(b"data", b"\xff" * 8))))
    assert len(figure.axes[0].get_yticks()) == MOST_ROWS
    assert "more rows left out" in figure.get_suptitle()


def test_something_else_than_a_report_is_refused_with_how_to_make_one():
    with pytest.raises(TypeError, match=r"kit.inspect_wav\(path\) makes one. This is a str."):
        plot_header("greeting.wav")
