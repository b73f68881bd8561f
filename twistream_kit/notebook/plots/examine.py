"""Figures of a file before and after its conversion for the telephone: waveform and spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.examination import Examination
from twistream_kit.audio.load import load_clip, open_sound
from twistream_kit.audio.measure import CARRIED_HZ
from twistream_kit.errors import WrongType
from twistream_kit.notebook.plots.style import (
    QUIET_COLOUR,
    SMALL,
    YOUR_COLOUR,
    add_legend,
    apply_house_style,
    draw_sound,
    expect,
    label_axes,
    make_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from twistream_kit.audio.measure import Spectrum

LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ = 50, 20_000
"""In Hz; roughly the range of human hearing."""

BANDS = 72
"""Eight bands to an octave: narrow enough for a voice, wide enough for a smooth curve."""

FLOOR_DB = -90.0
"""The bottom of the level axis, below the noise of μ-law at any level that is used in a call."""

TELEPHONE_RATE = 8000
"""In Hz; half of it is the highest frequency that a telephone carries."""

SPECTROGRAM_TOP_HZ = 12_000
"""In Hz; speech has little energy above it, and the picture is to show the part that is lost."""

LEVEL_COLOURS, LEVEL_STEPS, NO_ENERGY = "BuPu", 20, "#f7fcfd"
"""Loud is dark on a light page; `themed` turns it, so that loud is bright on a dark one."""

MOST_WINDOWS = 600
"""At most this many windows are analysed, however long the sound is."""


@apply_house_style
def plot_examination(examination: Examination) -> Figure:
    """Draw the waveform and the spectrum of a file before and after its conversion.

    Args:
        examination: The result of `examine`.

    Raises:
        TypeError: If it is not an `Examination`.

    Example:
        >>> import twistream_kit as kit
        >>> figure = kit.plot_examination(kit.examine("sample_audio/greeting.wav"))
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['before: 44.1 kHz', 'spectrum, averaged over time', 'after: 8 kHz, μ-law']
    """
    made_by = "plot_examination takes an Examination; kit.examine(path) makes one."
    examination = expect(examination, Examination, made_by)
    lost = 100 * examination.figures.above_3400
    share = f"{lost:.1f} %" if lost >= 0.05 else "hardly any"
    title = f"{examination.name}: the telephone loses {share} above 3.4 kHz"
    if examination.figures.seconds > examination.after.seconds:
        title += f" (of {examination.figures.seconds:.0f} s the first minute is drawn)"
    figure = make_figure(title, height=4.2)
    axes = figure.subplot_mosaic(
        [["before", "spectrum"], ["after", "spectrum"]], width_ratios=[1, 1]
    )
    _draw_waves(axes["before"], axes["after"], examination)
    _draw_spectrum(axes["spectrum"], examination)
    add_legend(figure)
    return figure


def _draw_waves(before: Axes, after: Axes, examination: Examination) -> None:
    # Mixed to one channel, as in the conversion: two channels drawn over each other would hide
    # the sound that cancels out.
    sound = examination.before.mean(axis=1) if len(examination.before) else np.zeros(0)
    rate = examination.sample_rate
    panels = (
        (before, sound, rate, QUIET_COLOUR, f"before: {rate / 1000:g} kHz"),
        (after, examination.after.samples(), 8000, YOUR_COLOUR, "after: 8 kHz, μ-law"),
    )
    for axes, samples, sample_rate, colour, name in panels:
        draw_sound(
            axes, samples / 32768, sample_rate=sample_rate, colour=colour, label=name.split(":")[0]
        )
        axes.set_xlim(0, max(examination.after.seconds, 0.001))
        axes.set_ylim(-1.05, 1.05)
        axes.set_title(name, fontsize=SMALL, loc="left")
    label_axes(before, x="", y="of full scale (1)")
    label_axes(after, x="time (s)", y="of full scale (1)")


def _draw_spectrum(axes: Axes, examination: Examination) -> None:
    low, high = CARRIED_HZ
    axes.axvspan(
        low, high, color=YOUR_COLOUR, alpha=0.12, linewidth=0, label="the telephone's band"
    )
    curves = (
        (examination.spectrum_before, QUIET_COLOUR, "before"),
        (examination.spectrum_after, YOUR_COLOUR, "after"),
    )
    for spectrum, colour, name in curves:
        axes.plot(*_add_up_bands(spectrum), color=colour, linewidth=1.2, label=name)
    axes.set_xscale("log")
    top = min(max(examination.sample_rate / 2, 4000), HIGHEST_PITCH_HZ)
    axes.set_xlim(LOWEST_PITCH_HZ, top)
    ticks = [tick for tick in (100, 300, 1000, 3400, 10_000) if tick <= top]
    axes.set_xticks(ticks, [f"{tick / 1000:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(FLOOR_DB, 0)
    axes.grid(alpha=0.3)
    axes.set_title("spectrum, averaged over time", fontsize=SMALL, loc="left")
    label_axes(axes, x="frequency (kHz)", y="level per eighth of an octave (dBFS)")


def _add_up_bands(spectrum: Spectrum) -> tuple[list[float], list[float]]:
    """Return the centre and the level of each band that holds a line of the spectrum."""
    edges = np.geomspace(LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ, BANDS + 1)
    places = np.digitize(spectrum.frequencies, edges)
    power = np.bincount(places, spectrum.power, BANDS + 2)[1:-1]
    lines = np.bincount(places, minlength=BANDS + 2)[1:-1]
    centres = np.sqrt(edges[:-1] * edges[1:])
    shown = lines > 0
    levels = 10 * np.log10(power[shown] + 10 ** (FLOOR_DB / 10))
    return centres[shown].tolist(), levels.tolist()


@apply_house_style
def plot_spectrogram(sound: str | PathLike[str] | Clip, after: Clip | None = None) -> Figure:
    """Draw the spectrogram of a file before and after its conversion, or of one clip or two.

    All panels have the same axes and the same colours.  Of a file, the part that the conversion
    removes is easy to see: everything above 4 kHz, half the telephone's sample rate.  Of two clips,
    what was done to the sound between them: `Line.apply`, for example.

    Args:
        sound: A sound file that `load_clip` reads, or a `Clip`.
        after: With a clip, another one to draw below it.

    Raises:
        TypeError: If `sound` is neither a path nor a clip, or `after` is no clip or comes with a
            path.
        WavError: If the file cannot be read.

    Example:
        >>> import twistream_kit as kit
        >>> figure = kit.plot_spectrogram("sample_audio/greeting.wav")
        >>> figure.get_suptitle()
        'greeting.wav: the telephone keeps what lies below 4 kHz'
        >>> clip = kit.load_clip("sample_audio/question.wav")
        >>> kit.plot_spectrogram(clip, kit.Line("street", seed=3).apply(clip)).get_suptitle()
        'question, and question, street below it'
    """
    if isinstance(sound, Clip):
        return _draw_clips([sound] if after is None else [sound, _check_clip(after)])
    name = Path(_check_path(sound)).name
    if after is not None:
        raise WrongType(
            "plot_spectrogram draws a file with its own conversion, and after= is given too; to "
            "compare two clips give both: plot_spectrogram(kit.load_clip(path), clip)"
        )
    clip = load_clip(sound)
    windows, rate = _cut_file(sound, clip)
    figure = make_figure(f"{name}: the telephone keeps what lies below 4 kHz", height=4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, sharey=True)
    _draw_levels(upper, windows, rate, clip.seconds)
    image = _draw_levels(lower, _cut_samples(clip.samples()), TELEPHONE_RATE, clip.seconds)
    _name_panel(upper, f"before: {rate / 1000:g} kHz")
    _name_panel(lower, "after: 8 kHz, μ-law")
    top = min(max(rate / 2, TELEPHONE_RATE / 2), SPECTROGRAM_TOP_HZ)
    _label_panels(figure, [upper, lower], image, top_hz=top, seconds=clip.seconds)
    add_legend(figure)
    return figure


def _draw_clips(clips: Sequence[Clip]) -> Figure:
    names = [clip.name or "clip" for clip in clips]
    title = names[0] if len(clips) == 1 else f"{names[0]}, and {names[1]} below it"
    figure = make_figure(title, height=2.9 if len(clips) == 1 else 4.6)
    panels = list(figure.subplots(len(clips), 1, sharex=True, sharey=True, squeeze=False).flat)
    for panel, clip, name in zip(panels, clips, names, strict=True):
        image = _draw_levels(panel, _cut_samples(clip.samples()), TELEPHONE_RATE, clip.seconds)
        panel.set_title(name, fontsize=SMALL, loc="left")
    longest = max(clip.seconds for clip in clips)
    _label_panels(figure, panels, image, top_hz=TELEPHONE_RATE / 2, seconds=longest)
    return figure


def _label_panels(
    figure: Figure, panels: Sequence[Axes], image: AxesImage, *, top_hz: float, seconds: float
) -> None:
    """Give panels the same axes, and the figure a scale of its colours."""
    panels[0].set_ylim(0, top_hz / 1000)
    panels[0].set_xlim(0, max(seconds, 0.001))
    for panel in panels:
        label_axes(panel, x="time (s)" if panel is panels[-1] else "", y="frequency (kHz)")
    bar = figure.colorbar(image, ax=list(panels), pad=0.01)
    bar.set_label("level (dB of full scale)", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def _check_clip(after: object) -> Clip:
    if isinstance(after, Clip):
        return after
    raise WrongType(f"after is of type {type(after).__name__}; give a Clip, or leave it out")


def _check_path(path: object) -> str | PathLike[str]:
    if isinstance(path, str | PathLike):
        return path
    message = (
        "plot_spectrogram takes the path of a sound file, to show it before its conversion, or a "
        f"Clip. This is a {type(path).__name__}."
    )
    raise WrongType(message)


def _cut_file(path: str | PathLike[str], clip: Clip) -> tuple[NDArray[np.float32], int]:
    """Read a file as the conversion does, in constant memory, and keep the windows drawn."""
    with open_sound(path) as sound:
        if sound.payload is not None:
            return _cut_samples(clip.samples()), sound.sample_rate
        size = _choose_window_size(sound.sample_rate)
        begins = _choose_begins(round(clip.seconds * sound.sample_rate), size)
        windows = np.zeros((len(begins), size), np.float32)
        done = 0
        for block in sound.blocks:
            first, last = np.searchsorted(begins, [done - size + 1, done + len(block)])
            for window, begin in zip(windows[first:last], begins[first:last], strict=True):
                left, right = max(begin, done), min(begin + size, done + len(block))
                window[left - begin : right - begin] = block[left - done : right - done]
            done += len(block)
        return windows, sound.sample_rate


def _cut_samples(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    size = _choose_window_size(TELEPHONE_RATE)
    sound = np.zeros(max(len(samples), size), np.float32)
    sound[: len(samples)] = samples / np.float32(32768)
    windows: NDArray[np.float32] = sound[
        _choose_begins(len(samples), size)[:, None] + np.arange(size)
    ]
    return windows


def _choose_window_size(rate: int) -> int:
    """Return the number of samples in about 32 ms, as a power of two."""
    return 1 << max(rate // 32, 16).bit_length()


def _choose_begins(samples: int, window: int) -> NDArray[np.intp]:
    last = max(samples - window, 0)
    return np.unique(
        np.linspace(0, last, min(MOST_WINDOWS, last // (window // 4) + 1)).astype(np.intp)
    )


def _draw_levels(axes: Axes, windows: NDArray[np.float32], rate: int, seconds: float) -> AxesImage:
    from matplotlib import colormaps

    axes.set_facecolor(NO_ENERGY)
    return axes.imshow(
        _measure_levels(windows),
        origin="lower",
        aspect="auto",
        extent=(0, max(seconds, 0.001), 0, rate / 2000),
        cmap=colormaps[LEVEL_COLOURS].resampled(LEVEL_STEPS),  # 4 dB each, for a small file
        vmin=-100,
        vmax=-20,
        interpolation="nearest",
    )


def _measure_levels(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the level at each frequency in dB of a full-scale sine.

    The shape is ``(frequencies, windows)``.
    """
    shape = np.hanning(windows.shape[1]).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(windows * shape, axis=1)) * (2 / shape.sum())
    return np.asarray(20 * np.log10(spectrum.T + 1e-6), np.float32)


def _name_panel(axes: Axes, text: str) -> None:
    half = TELEPHONE_RATE / 2000
    axes.axhline(
        half, color=YOUR_COLOUR, linewidth=1, linestyle="--", clip_on=False,
        label=f"{half:g} kHz, half the sample rate of the telephone",
    )  # fmt: skip
    axes.set_title(text, fontsize=SMALL, loc="left")
