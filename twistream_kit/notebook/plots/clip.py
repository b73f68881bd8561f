"""Figures of a clip and of the file that it came from.

They show the waveform of a clip, its frames and its samples on the μ-law curve, and the header of a
WAV file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.patches import Rectangle

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.wav_report import WavReport
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    QUIET_COLOUR,
    SMALL,
    YOUR_COLOUR,
    ZERO_LINE,
    add_legend,
    apply_house_style,
    clean_text,
    draw_sound,
    escape_math,
    expect,
    label_axes,
    make_figure,
    shorten_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from twistream_kit.audio.wav_report import Field

SAMPLE_VALUE = "sample value (int16)"

FULL_SCALE = 32124
"""The largest value that a μ-law code stands for."""

FRAME_SAMPLES = 160
"""20 ms at 8000 samples a second, one byte each."""

SHOWN_FRAMES = 8

ROW_BYTES = 16
"""As in every hex dump."""

MOST_ROWS = 12
"""Nobody would read more rows; the title gives the number of those left out."""

_BOX_SIZE, _BYTE_POINTS = 6, 27
"""The size of the text in a box, and the width of one byte, in points."""

_CHUNK_COLOURS = {"fmt ": "#7B5EA7", "fact": "#A67C00", "data": "#2E8540"}
"""Not the colours of the two parties, because these bytes are no voice; other chunks are grey."""


@apply_house_style
def plot_waveform(clip: Clip, *, track: Literal["inbound", "outbound"] = "outbound") -> Figure:
    """Draw the sound of `clip` as the telephone will play it.

    A long clip is drawn as its minimum and maximum over each piece, so ten minutes take no longer
    than ten seconds and no peak is missed.

    Args:
        clip: The sound.
        track: Selects the colour: ``inbound`` is the caller's, ``outbound`` is yours.

    Raises:
        TypeError: If `clip` is not a `Clip`.

    Example:
        >>> import twistream_kit as kit
        >>> figure = kit.plot_waveform(kit.load_clip("sample_audio/greeting.wav"))
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('time (s)', 'sample value (int16)')
    """
    clip = expect(clip, Clip, "plot_waveform takes a Clip; kit.load_clip(path) makes one.")
    samples = clip.samples()
    figure = make_figure(
        f"{_name_clip(clip)}: {clip.seconds:.2f} s of sound, {_describe_loudness(samples)}"
    )
    axes = figure.subplots()
    draw_sound(axes, samples, colour=CALLER_COLOUR if track == "inbound" else YOUR_COLOUR)
    axes.set_xlim(0, max(clip.seconds, 0.001))
    _show_whole_range(axes)
    label_axes(axes, x="time (s)", y=SAMPLE_VALUE)
    return figure


def _describe_loudness(samples: NDArray[np.int16]) -> str:
    peak = int(np.abs(samples.astype(np.int32)).max()) if len(samples) else 0
    if peak == 0:
        return "all of it silence"
    below = -20 * np.log10(peak / FULL_SCALE)
    return (
        "the loudest at full scale"
        if below < 0.05
        else f"the loudest {below:.1f} dB below full scale"
    )


def _show_whole_range(axes: Axes) -> None:
    axes.set_ylim(-33000, 33000)
    axes.set_yticks([-32000, -16000, 0, 16000, 32000])


@apply_house_style
def plot_frames(clip: Clip) -> Figure:
    """Draw the 20 ms grid: frames from the loudest on, and the padding of the last one.

    Raises:
        TypeError: If `clip` is not a `Clip`.

    Example:
        >>> import twistream_kit as kit
        >>> figure = kit.plot_frames(kit.load_clip("sample_audio/greeting.wav"))
        >>> figure.get_suptitle()
        'greeting is 211 frames of 20 ms (160 bytes); ...'
    """
    clip = expect(clip, Clip, "plot_frames takes a Clip; kit.load_clip(path) makes one.")
    samples = clip.samples()
    count = -(-len(samples) // FRAME_SAMPLES)
    padding = count * FRAME_SAMPLES - len(samples)
    tail = f"the last is filled up with {padding} bytes of silence" if padding else "all are full"
    size = f"{count} {'frame' if count == 1 else 'frames'} of 20 ms (160 bytes); {tail}"
    figure = make_figure(f"{_name_clip(clip)} is {size if count else 'empty: not a single frame'}")
    loudest, ending = figure.subplots(1, 2, sharey=True, width_ratios=[SHOWN_FRAMES, 3])
    first = _find_loudest(samples)
    _draw_frames(loudest, samples, range(first, min(first + SHOWN_FRAMES, count)))
    _draw_frames(ending, samples, range(max(count - 2, 0), count))
    if padding:
        begin, end = len(samples) / 8, count * 20
        ending.axvspan(begin, end, color=QUIET_COLOUR, alpha=0.25, linewidth=0, label="padding")
    label_axes(loudest, x="time (ms); above, the numbers of the frames", y=SAMPLE_VALUE)
    label_axes(ending, x="time (ms), the end", y="")
    add_legend(figure)
    return figure


def _find_loudest(samples: NDArray[np.int16]) -> int:
    """Return the number of the frame from which `SHOWN_FRAMES` frames carry the most sound."""
    whole = len(samples) // FRAME_SAMPLES
    if whole <= SHOWN_FRAMES:
        return 0
    frames = samples[: whole * FRAME_SAMPLES].reshape(whole, FRAME_SAMPLES)
    power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    return int(np.convolve(power, np.ones(SHOWN_FRAMES), "valid").argmax())


def _draw_frames(axes: Axes, samples: NDArray[np.int16], frames: range) -> None:
    piece = samples[frames.start * FRAME_SAMPLES : frames.stop * FRAME_SAMPLES]
    axes.axhline(0, color=QUIET_COLOUR, linewidth=0.5, label=ZERO_LINE)
    times = frames.start * 20 + np.arange(len(piece)) / 8
    axes.plot(
        times, piece, color=YOUR_COLOUR, linewidth=0.8, label="sound" if len(piece) else "_sound"
    )
    for edge in range(frames.start, frames.stop + 1):
        axes.axvline(edge * 20, color=QUIET_COLOUR, linewidth=0.8, label="border of a frame")
    for frame in frames:
        axes.annotate(
            str(frame),
            (frame * 20 + 10, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL,
            color=QUIET_COLOUR,
        )
    axes.set_xlim(frames.start * 20, max(frames.stop, frames.start + 1) * 20)
    edges = [edge * 20 for edge in range(frames.start, frames.stop + 1)]
    # In full, not as an offset in the corner; the last one would run into that of the next panel.
    names = [*map(str, edges[:-1]), "" if len(frames) == SHOWN_FRAMES else str(edges[-1])]
    axes.set_xticks(edges, names)
    axes.margins(y=0.05)


@apply_house_style
def plot_companding(clip: Clip) -> Figure:
    """Draw the μ-law curve, and the samples of `clip` on it.

    The left panel shows the sample value of each of the 255 steps, and marks the steps that this
    clip uses.  The right panel shows the share of the clip in each of the curve's 16 segments.

    Raises:
        TypeError: If `clip` is not a `Clip`.

    Example:
        >>> import twistream_kit as kit
        >>> figure = kit.plot_companding(kit.load_clip("sample_audio/greeting.wav"))
        >>> [axes.get_xlabel() for axes in figure.axes]
        ['sample value (int16)', 'samples in each segment (%)']
    """
    clip = expect(clip, Clip, "plot_companding takes a Clip; kit.load_clip(path) makes one.")
    steps, values = _compute_curve()
    counts = np.bincount(np.frombuffer(clip.payload, np.uint8), minlength=256)
    share = counts[np.abs(steps) < 64].sum() / max(counts.sum(), 1)
    figure = make_figure(
        "μ-law spends half of its steps on the quietest 6 % of the scale,\n"
        f"where {share * 100:.0f} % of the samples of {_name_clip(clip)} lie",
        height=3.4,
    )
    curve, bars = figure.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    _draw_curve(curve, steps, values, counts > 0)
    _draw_segments(bars, steps, counts)
    add_legend(figure)
    return figure


def _compute_curve() -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Return the signed step and the sample value of each of the 256 codes."""
    codes = np.arange(256, dtype=np.uint8)
    inverted = (~codes).astype(np.int64)
    magnitude = inverted & 0x7F
    return np.where(inverted & 0x80, -magnitude, magnitude), decode_ulaw(codes.tobytes())


def _draw_curve(
    axes: Axes, steps: NDArray[np.int64], values: NDArray[np.int16], used: NDArray[np.bool_]
) -> None:
    order = np.argsort(values, kind="stable")
    axes.plot(values[order], steps[order], color=QUIET_COLOUR, linewidth=1, label="μ-law")
    axes.plot(
        [-32768, 32767], [-128, 127], "--", color=QUIET_COLOUR, linewidth=0.8, label="linear 8 bit"
    )
    if used.any():
        label = f"codes in this clip: {int(used.sum())}"
        axes.plot(values[used], steps[used], "o", color=YOUR_COLOUR, markersize=2.5, label=label)
    axes.set_xticks([-32000, -16000, 0, 16000, 32000])
    axes.set_yticks([-128, -64, 0, 64, 128])
    axes.grid(alpha=0.3)
    label_axes(axes, x=SAMPLE_VALUE, y="μ-law step (from −127 to +127)")


def _draw_segments(axes: Axes, steps: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    # The byte 0x7F is a second zero; it counts in the positive half, with 0xFF.
    segments = np.floor_divide(steps, 16) + 8
    segments[steps < 0] = 7 - (-steps[steps < 0]) // 16
    shares = np.bincount(segments, weights=counts, minlength=16) * 100 / max(counts.sum(), 1)
    axes.barh(
        np.arange(-120, 128, 16), shares, height=14, color=YOUR_COLOUR, label="share of the clip"
    )
    axes.grid(axis="x", alpha=0.3)
    label_axes(axes, x="samples in each segment (%)", y="")


def _name_clip(clip: Clip) -> str:
    return clip.name or "the clip"


@apply_house_style
def plot_header(report: WavReport) -> Figure:
    """Draw the header of a WAV file byte by byte, sixteen to a row, each field a box.

    Raises:
        TypeError: If `report` is not a `WavReport`.

    Example:
        >>> import twistream_kit as kit
        >>> figure = kit.plot_header(kit.inspect_wav("sample_audio/greeting.wav"))
        >>> figure.get_suptitle()
        'greeting.wav: 44 bytes of header before the sound'
    """
    made_by = "plot_header takes a WavReport; kit.inspect_wav(path) makes one."
    report = expect(report, WavReport, made_by)
    rows = _find_rows(report)
    shown = rows[:MOST_ROWS]
    more = f" ({len(rows) - MOST_ROWS} more rows left out)" if len(rows) > MOST_ROWS else ""
    title = f"{report.name}: {report.header_bytes} bytes of header before the sound{more}"
    figure = make_figure(title, height=1.0 + 0.42 * len(shown))
    axes = figure.subplots()
    for field in report.fields:
        _draw_field(axes, field, shown)
    axes.set_xlim(0, ROW_BYTES)
    axes.set_ylim(len(shown), 0)
    axes.set_xticks(range(0, ROW_BYTES + 1, 2))
    axes.set_yticks(
        [row + 0.5 for row in range(len(shown))], [str(row * ROW_BYTES) for row in shown]
    )
    label_axes(axes, x="position in the row (bytes)", y="offset (bytes)")
    return figure


def _find_rows(report: WavReport) -> list[int]:
    """Return the rows in which a field begins; the other rows only continue a long field."""
    return sorted({field.offset // ROW_BYTES for field in report.fields})


def _draw_field(axes: Axes, field: Field, rows: list[int]) -> None:
    is_sound = (field.chunk, field.name) == ("data", "sound")
    colour = YOUR_COLOUR if is_sound else _CHUNK_COLOURS.get(field.chunk, QUIET_COLOUR)
    value = f"{field.size} bytes" if field.value is None else field.value
    text = f"the sound …\n{value}" if is_sound else f"{field.name}\n{value}"
    pieces = list(_cut(field.offset, field.offset + field.size, rows))
    widest = max(pieces, key=lambda piece: piece[2] - piece[1], default=None)
    for piece in pieces:
        _draw_box(axes, piece, colour, text if piece is widest else "")


def _cut(begin: int, end: int, rows: list[int]) -> Iterator[tuple[int, int, int]]:
    """Cut the bytes from `begin` to `end` at the shown rows: (index of the row, begin, end)."""
    for place, row in enumerate(rows):
        left, right = max(begin, row * ROW_BYTES), min(end, (row + 1) * ROW_BYTES)
        if left < right:
            yield place, left - row * ROW_BYTES, right - row * ROW_BYTES


def _draw_box(axes: Axes, piece: tuple[int, int, int], colour: str, text: str) -> None:
    place, left, right = piece
    width = right - left
    box = Rectangle(
        (left + 0.04, place + 0.06), width - 0.08, 0.88, facecolor=colour, alpha=0.22, linewidth=0
    )
    axes.add_patch(box)
    axes.add_patch(
        Rectangle((left + 0.04, place + 0.06), width - 0.08, 0.88, fill=False, edgecolor=colour)
    )
    lines = [_shorten(line, width) for line in text.split("\n") if line]
    axes.text(
        left + width / 2,
        place + 0.5,
        "\n".join(lines),
        ha="center",
        va="center",
        fontsize=_BOX_SIZE,
        clip_path=box,
        clip_on=True,
    )


def _shorten(line: str, size: int) -> str:
    """Cut a line so that it fits into the box of a piece of `size` bytes."""
    return escape_math(shorten_text(clean_text(line), size * _BYTE_POINTS - 3, _BOX_SIZE))
