"""A picture of what the telephone makes of a file: its wave and its pitches, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twistream_kit.audio.examination import Examination
from twistream_kit.audio.measure import CARRIED_HZ
from twistream_kit.notebook.plots.colours import QUIET_COLOUR, YOUR_COLOUR
from twistream_kit.notebook.plots.style import SMALL, blank, draw_sound, dress, expect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twistream_kit.audio.measure import Spectrum

LOWEST_SHOWN, HIGHEST_SHOWN = 50, 20_000
"""In Hz: what an ear hears, nearly."""

BANDS = 72
"""Eight to an octave: narrow enough for a voice, wide enough for a smooth curve."""

FLOOR_DB = -90.0
"""Below the noise of μ-law at any level that is used in a call."""


def plot_examination(examination: Examination) -> Figure:
    """Draw the sound of a file before and after the telephone, and its pitches with their band.

    Args:
        examination: What `examine` gave.

    Raises:
        TypeError: If it is not an `Examination`.
    """
    made_by = "plot_examination takes an Examination; kit.examine(path) makes one."
    examination = expect(examination, Examination, made_by)
    lost = 100 * examination.figures.above_3400
    share = f"{lost:.1f} %" if lost >= 0.05 else "hardly any"
    title = f"{examination.name}: the telephone loses {share} above 3.4 kHz"
    if examination.figures.seconds > examination.after.seconds:
        title += f" (of {examination.figures.seconds:.0f} s the first minute is drawn)"
    figure = blank(title, height=4.2)
    axes = figure.subplot_mosaic([["before", "pitches"], ["after", "pitches"]], width_ratios=[1, 1])
    _draw_waves(axes["before"], axes["after"], examination)
    _draw_pitches(axes["pitches"], examination)
    return figure


def _draw_waves(before: Axes, after: Axes, examination: Examination) -> None:
    # In one channel, as it is converted: two drawn over each other hide what cancels out.
    sound = examination.before.mean(axis=1) if len(examination.before) else np.zeros(0)
    rate = examination.sample_rate
    panels = (
        (before, sound, rate, QUIET_COLOUR, f"before: {rate / 1000:g} kHz"),
        (after, examination.after.samples(), 8000, YOUR_COLOUR, "after: 8 kHz, μ-law"),
    )
    for axes, samples, sample_rate, colour, name in panels:
        draw_sound(axes, samples / 32768, sample_rate=sample_rate, colour=colour)
        axes.set_xlim(0, max(examination.after.seconds, 0.001))
        axes.set_ylim(-1.05, 1.05)
        axes.set_title(name, fontsize=SMALL, loc="left")
    dress(before, x="", y="of full scale (1)")
    dress(after, x="time (s)", y="of full scale (1)")


def _draw_pitches(axes: Axes, examination: Examination) -> None:
    low, high = CARRIED_HZ
    axes.axvspan(
        low, high, color=YOUR_COLOUR, alpha=0.12, linewidth=0, label="the telephone's band"
    )
    curves = (
        (examination.spectrum_before, QUIET_COLOUR, "before"),
        (examination.spectrum_after, YOUR_COLOUR, "after"),
    )
    for spectrum, colour, name in curves:
        axes.plot(*_bands(spectrum), color=colour, linewidth=1.2, label=name)
    axes.set_xscale("log")
    top = min(max(examination.sample_rate / 2, 4000), HIGHEST_SHOWN)
    axes.set_xlim(LOWEST_SHOWN, top)
    ticks = [tick for tick in (100, 300, 1000, 3400, 10_000) if tick <= top]
    axes.set_xticks(ticks, [f"{tick / 1000:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(FLOOR_DB, 0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower left")
    axes.set_title("pitches, averaged over time", fontsize=SMALL, loc="left")
    dress(axes, x="frequency (kHz)", y="level per eighth of an octave (dBFS)")


def _bands(spectrum: Spectrum) -> tuple[list[float], list[float]]:
    """The level in each band that holds at least one line of the spectrum."""
    edges = np.geomspace(LOWEST_SHOWN, HIGHEST_SHOWN, BANDS + 1)
    places = np.digitize(spectrum.frequencies, edges)
    power = np.bincount(places, spectrum.power, BANDS + 2)[1:-1]
    lines = np.bincount(places, minlength=BANDS + 2)[1:-1]
    centres = np.sqrt(edges[:-1] * edges[1:])
    shown = lines > 0
    levels = 10 * np.log10(power[shown] + 10 ** (FLOOR_DB / 10))
    return centres[shown].tolist(), levels.tolist()
