"""Pictures of one clip: its waveform, its frames and its place on the μ-law curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.notebook.plots.colours import CALLER_COLOUR, QUIET_COLOUR, YOUR_COLOUR
from twistream_kit.notebook.plots.style import SMALL, blank, draw_sound, dress, expect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SAMPLE_VALUE = "sample value (int16)"

FULL_SCALE = 32124
"""The largest value that a μ-law code stands for."""

FRAME_SAMPLES = 160
"""20 ms at 8000 samples a second, one byte each."""

SHOWN_FRAMES = 8


def plot_waveform(clip: Clip, *, track: Literal["inbound", "outbound"] = "outbound") -> Figure:
    """Draw the sound of `clip` as the telephone will play it.

    A long clip is drawn as its minimum and maximum over each piece, so ten minutes take no longer
    than ten seconds and no peak is missed.

    Args:
        clip: The sound.
        track: Whose colour it gets: ``inbound`` is the caller's, ``outbound`` yours.

    Raises:
        TypeError: If `clip` is not a `Clip`.
    """
    clip = expect(clip, Clip, "plot_waveform takes a Clip; kit.load_clip(path) makes one.")
    samples = clip.samples()
    figure = blank(f"{_name(clip)}: {clip.seconds:.2f} s of sound, {_loudness(samples)}")
    axes = figure.subplots()
    draw_sound(axes, samples, colour=CALLER_COLOUR if track == "inbound" else YOUR_COLOUR)
    axes.set_xlim(0, max(clip.seconds, 0.001))
    _whole_range(axes)
    dress(axes, x="time (s)", y=SAMPLE_VALUE)
    return figure


def plot_frames(clip: Clip) -> Figure:
    """Draw the 20 ms grid: frames from the loudest on, and how the last one is filled up.

    Raises:
        TypeError: If `clip` is not a `Clip`.
    """
    clip = expect(clip, Clip, "plot_frames takes a Clip; kit.load_clip(path) makes one.")
    samples = clip.samples()
    count = -(-len(samples) // FRAME_SAMPLES)
    padding = count * FRAME_SAMPLES - len(samples)
    tail = f"the last is filled up with {padding} bytes of silence" if padding else "all are full"
    size = f"{count} {'frame' if count == 1 else 'frames'} of 20 ms (160 bytes); {tail}"
    figure = blank(f"{_name(clip)} is {size if count else 'empty: not a single frame'}")
    loudest, ending = figure.subplots(1, 2, sharey=True, width_ratios=[SHOWN_FRAMES, 3])
    first = _loudest(samples)
    _draw_frames(loudest, samples, range(first, min(first + SHOWN_FRAMES, count)))
    _draw_frames(ending, samples, range(max(count - 2, 0), count))
    if padding:
        begin, end = len(samples) / 8, count * 20
        ending.axvspan(begin, end, color=QUIET_COLOUR, alpha=0.25, linewidth=0, label="padding")
        ending.legend(fontsize=SMALL, frameon=False, loc="lower right")
    dress(loudest, x="time (ms); numbers are frames", y=SAMPLE_VALUE)
    dress(ending, x="time (ms), the end", y="")
    return figure


def plot_companding(clip: Clip) -> Figure:
    """Draw the μ-law curve, and where the samples of `clip` fall on it.

    Left: which of the 255 steps stands for which sample value, with the steps that this clip
    uses.  Right: how much of the clip lies in each of the curve's 16 segments.

    Raises:
        TypeError: If `clip` is not a `Clip`.
    """
    clip = expect(clip, Clip, "plot_companding takes a Clip; kit.load_clip(path) makes one.")
    steps, values = _curve()
    counts = np.bincount(np.frombuffer(clip.payload, np.uint8), minlength=256)
    share = counts[np.abs(steps) < 64].sum() / max(counts.sum(), 1)
    figure = blank(
        "μ-law spends half of its steps on the quietest 6 % of the scale,\n"
        f"where {share * 100:.0f} % of the samples of {_name(clip)} lie",
        height=3.4,
    )
    curve, bars = figure.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    _draw_curve(curve, steps, values, counts > 0)
    _draw_segments(bars, steps, counts)
    return figure


def _draw_curve(
    axes: Axes, steps: NDArray[np.int64], values: NDArray[np.int16], used: NDArray[np.bool_]
) -> None:
    order = np.argsort(values, kind="stable")
    axes.plot(values[order], steps[order], color=QUIET_COLOUR, linewidth=1, label="μ-law")
    axes.plot(
        [-32768, 32767], [-128, 127], "--", color=QUIET_COLOUR, linewidth=0.8, label="linear 8 bit"
    )
    label = f"codes in this clip: {int(used.sum())}"
    axes.plot(values[used], steps[used], "o", color=YOUR_COLOUR, markersize=2.5, label=label)
    axes.set_xticks([-32000, -16000, 0, 16000, 32000])
    axes.set_yticks([-128, -64, 0, 64, 128])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    dress(axes, x=SAMPLE_VALUE, y="μ-law step (from −127 to +127)")


def _draw_segments(axes: Axes, steps: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    # The byte 0x7F is a second zero and falls into the positive half with 0xFF.
    segments = np.floor_divide(steps, 16) + 8
    segments[steps < 0] = 7 - (-steps[steps < 0]) // 16
    shares = np.bincount(segments, weights=counts, minlength=16) * 100 / max(counts.sum(), 1)
    axes.barh(np.arange(-120, 128, 16), shares, height=14, color=YOUR_COLOUR)
    axes.grid(axis="x", alpha=0.3)
    dress(axes, x="samples in each segment (%)", y="")


def _curve() -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """For each of the 256 codes its signed step and its sample value."""
    codes = np.arange(256, dtype=np.uint8)
    inverted = (~codes).astype(np.int64)
    magnitude = inverted & 0x7F
    return np.where(inverted & 0x80, -magnitude, magnitude), decode_ulaw(codes.tobytes())


def _draw_frames(axes: Axes, samples: NDArray[np.int16], frames: range) -> None:
    piece = samples[frames.start * FRAME_SAMPLES : frames.stop * FRAME_SAMPLES]
    axes.axhline(0, color=QUIET_COLOUR, linewidth=0.5)
    axes.plot(
        frames.start * 20 + np.arange(len(piece)) / 8, piece, color=YOUR_COLOUR, linewidth=0.8
    )
    for edge in range(frames.start, frames.stop + 1):
        axes.axvline(edge * 20, color=QUIET_COLOUR, linewidth=0.8)
    for frame in frames:
        axes.annotate(
            str(frame),
            (frame * 20 + 10, 0.97),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=SMALL,
            color=QUIET_COLOUR,
        )
    axes.set_xlim(frames.start * 20, max(frames.stop, frames.start + 1) * 20)
    axes.set_xticks([edge * 20 for edge in range(frames.start, frames.stop + 1)])
    axes.margins(y=0.25)


def _loudest(samples: NDArray[np.int16]) -> int:
    """The number of the frame from which `SHOWN_FRAMES` frames carry the most sound."""
    whole = len(samples) // FRAME_SAMPLES
    if whole <= SHOWN_FRAMES:
        return 0
    frames = samples[: whole * FRAME_SAMPLES].reshape(whole, FRAME_SAMPLES)
    power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    return int(np.convolve(power, np.ones(SHOWN_FRAMES), "valid").argmax())


def _loudness(samples: NDArray[np.int16]) -> str:
    peak = int(np.abs(samples.astype(np.int32)).max()) if len(samples) else 0
    if peak == 0:
        return "all of it silence"
    below = -20 * np.log10(peak / FULL_SCALE)
    return (
        "the loudest at full scale"
        if below < 0.05
        else f"the loudest {below:.1f} dB below full scale"
    )


def _whole_range(axes: Axes) -> None:
    axes.set_ylim(-33000, 33000)
    axes.set_yticks([-32000, -16000, 0, 16000, 32000])


def _name(clip: Clip) -> str:
    return clip.name or "the clip"
