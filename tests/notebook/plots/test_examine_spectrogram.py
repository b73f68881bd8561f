"""The pitches of a file before and after its conversion."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WavError
from twistream_kit.notebook.plots.examine import plot_spectrogram
from twistream_kit.simulator.line.line import Line


@pytest.fixture
def file(tmp_path):
    """A stereo file at 32 kHz with a tone of 1 kHz and one of 6 kHz, one second long."""
    time = np.arange(32000) / 32000
    tones = 0.3 * np.sin(2 * np.pi * 1000 * time) + 0.3 * np.sin(2 * np.pi * 6000 * time)
    samples = np.repeat((tones * 32767).astype("<i2"), 2).tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, 2, 32000, 128000, 4, 16)
    body = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(samples)) + samples
    path = tmp_path / "tones.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def level_at(axes, khz: float) -> float:
    """The median level at a pitch, in dB."""
    (image,) = axes.images
    levels, top = np.asarray(image.get_array()), image.get_extent()[3]
    return float(np.median(levels[round(khz / top * (levels.shape[0] - 1))]))


def test_the_conversion_keeps_1_khz_and_takes_6_khz_away(file):
    before, after, *_ = plot_spectrogram(file).axes
    assert level_at(before, 1.0) == pytest.approx(-10.5, abs=3)
    assert level_at(before, 6.0) == pytest.approx(-10.5, abs=3)
    assert level_at(after, 1.0) == pytest.approx(-10.5, abs=3)
    assert after.images[0].get_extent()[3] == 4.0


def test_both_panels_have_the_same_axes_with_units(file):
    figure = plot_spectrogram(file)
    before, after, bar = figure.axes
    assert before.get_xlim() == after.get_xlim() == (0, 1.0)
    assert before.get_ylim() == after.get_ylim() == (0, 12.0)
    assert before.get_ylabel() == after.get_ylabel() == "frequency (kHz)"
    assert after.get_xlabel() == "time (s)"
    assert bar.get_ylabel() == "level (dB of full scale)"
    assert before.images[0].get_clim() == after.images[0].get_clim()
    assert figure.get_suptitle().startswith("tones.wav: ")


def test_however_long_the_file_the_picture_has_a_bounded_width(tmp_path):
    path = (Clip.tone(440, 0.5) + Clip.silence(300)).save(tmp_path / "long.wav")
    before, after, _ = plot_spectrogram(str(path)).axes
    assert before.images[0].get_array().shape[1] == 600
    assert np.array_equal(before.images[0].get_array(), after.images[0].get_array())  # PCMU stays


def test_a_file_shorter_than_one_window_can_be_drawn(tmp_path):
    path = Clip(b"\x80" * 40).save(tmp_path / "short.wav")
    assert plot_spectrogram(path).axes[0].images[0].get_array().shape[1] == 1


def test_a_clip_is_drawn_alone():
    panel, bar = plot_spectrogram(Clip.tone(1000, 1, level_db=-10)).axes
    assert level_at(panel, 1.0) == pytest.approx(-10, abs=3)
    assert (panel.get_xlim(), panel.get_ylim()) == ((0, 1.0), (0, 4.0))
    assert panel.get_xlabel() == "time (s)"
    assert bar.get_ylabel() == "level (dB of full scale)"


def test_two_clips_have_the_same_axes_and_their_names():
    clip = Clip.tone(1000, 1, level_db=-10)
    figure = plot_spectrogram(clip, Line(gain_db=-20, delay_ms=500).apply(clip))
    before, after, _ = figure.axes
    assert before.get_xlim() == after.get_xlim() == (0, 1.5)
    assert level_at(before, 1.0) - level_at(after, 1.0) == pytest.approx(20, abs=3)
    assert before.get_title(loc="left") == "1000 Hz"
    assert after.get_title(loc="left") == "1000 Hz, clean, delay_ms 500, gain_db -20"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"\xff",), "takes the path of a sound file.* or a Clip. This is a bytes"),
        ((Clip.tone(440, 1), "after.wav"), "after is of type str; give a Clip"),
        (
            ("before.wav", Clip.tone(440, 1)),
            r"give both: plot_spectrogram\(kit.load_clip\(path\), ",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(arguments, message):
    with pytest.raises(TypeError, match=message):
        plot_spectrogram(*arguments)


def test_a_missing_file_is_a_wav_error(tmp_path):
    with pytest.raises(WavError, match="no such file"):
        plot_spectrogram(tmp_path / "nothing.wav")
