"""A picture of the bytes of a WAV header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle

from twistream_kit.audio.wav_report import WavReport
from twistream_kit.notebook.plots.colours import QUIET_COLOUR, YOUR_COLOUR
from twistream_kit.notebook.plots.style import blank, dress, expect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twistream_kit.audio.wav_report import Field

ROW_BYTES = 16
"""As in every hex dump."""

MOST_ROWS = 12
"""More would not be read; what is left out is said."""

_CHUNK_COLOURS = {"fmt ": "#7B5EA7", "fact": "#A67C00", "data": "#2E8540"}
"""Neither party's colour, because these bytes belong to nobody's voice; all others are grey."""


def plot_header(report: WavReport) -> Figure:
    """Draw the header of a WAV file byte by byte, sixteen to a row, each field a box.

    Raises:
        TypeError: If `report` is not a `WavReport`.
    """
    made_by = "plot_header takes a WavReport; kit.inspect_wav(path) makes one."
    report = expect(report, WavReport, made_by)
    rows = _rows(report)
    shown = rows[:MOST_ROWS]
    more = f" ({len(rows) - MOST_ROWS} more rows left out)" if len(rows) > MOST_ROWS else ""
    title = f"{report.name}: {report.header_bytes} bytes of header before the sound{more}"
    figure = blank(title, height=1.0 + 0.42 * len(shown))
    axes = figure.subplots()
    for field in report.fields:
        _draw_field(axes, field, shown)
    axes.set_xlim(0, ROW_BYTES)
    axes.set_ylim(len(shown), 0)
    axes.set_xticks(range(0, ROW_BYTES + 1, 2))
    axes.set_yticks(
        [row + 0.5 for row in range(len(shown))], [str(row * ROW_BYTES) for row in shown]
    )
    dress(axes, x="position in the row (bytes)", y="offset (bytes)")
    return figure


def _rows(report: WavReport) -> list[int]:
    """The rows in which something begins; those wholly inside a long field say nothing new."""
    return sorted({field.offset // ROW_BYTES for field in report.fields})


def _pieces(begin: int, end: int, rows: list[int]) -> Iterator[tuple[int, int, int]]:
    """Cut the bytes from `begin` to `end` along the shown rows: (place of the row, from, to)."""
    for place, row in enumerate(rows):
        left, right = max(begin, row * ROW_BYTES), min(end, (row + 1) * ROW_BYTES)
        if left < right:
            yield place, left - row * ROW_BYTES, right - row * ROW_BYTES


def _draw_field(axes: Axes, field: Field, rows: list[int]) -> None:
    is_sound = (field.chunk, field.name) == ("data", "sound")
    colour = YOUR_COLOUR if is_sound else _CHUNK_COLOURS.get(field.chunk, QUIET_COLOUR)
    value = f"{field.size} bytes" if field.value is None else field.value
    text = f"the sound …\n{value}" if is_sound else f"{field.name}\n{value}"
    pieces = list(_pieces(field.offset, field.offset + field.size, rows))
    widest = max(pieces, key=lambda piece: piece[2] - piece[1], default=None)
    for piece in pieces:
        _draw_box(axes, piece, colour, text if piece is widest else "")


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
    lines = [_shortened(line, int(width * 7.5)) for line in text.split("\n")]
    axes.text(
        left + width / 2,
        place + 0.5,
        "\n".join(lines),
        ha="center",
        va="center",
        fontsize=6,
        clip_path=box,
        clip_on=True,
    )


def _shortened(line: str, limit: int) -> str:
    return line if len(line) <= limit else line[: max(limit - 1, 1)] + "…"
