"""The style of all figures of this package: size, fonts, colours, titles, legends, drawn sound.

Matplotlib's `Figure` objects are made directly and never through pyplot: pyplot keeps a reference
to every figure that it makes and is not safe in a thread or a callback.

The colours of a call are the same in every figure, one for each party: blue and vermilion of Okabe
and Ito's palette, which people with any of the common forms of colour blindness can distinguish; on
white both reach a contrast of 3.7 or more, and on a dark page, where `themed` turns them, of 6.
Colour alone never carries information: every lane and every line has its name as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from twistream_kit.errors import WrongType, escape_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ft2font import FT2Font
    from numpy.typing import NDArray

CALLER_COLOUR = "#0072B2"
"""Inbound: what the caller says (blue)."""

YOUR_COLOUR = "#D55E00"
"""Outbound: what your server says (vermilion)."""

QUIET_COLOUR = "#6B6B6B"
"""Everything that belongs to neither party: grids, curves, notes (grey)."""

MARK_COLOUR = "#007A5A"
"""A mark (green, darkened for text)."""

CLEAR_COLOUR = "#B83280"
"""A clear (purple, darkened for text, and yet seen on a dark page that changes no colours)."""

SEVERITY_COLOURS = {"error": "#B3261E", "warning": "#8A5A00", "note": "#0B5CAD"}
"""Red, amber and blue, darkened for text; a sign and the word stand beside each."""

SEVERITY_SIGNS = {"error": "✗", "warning": "⚠", "note": "ℹ"}
"""Seen without colours too; a screen reader reads the word beside it."""

WIDTH, HEIGHT = 7.0, 2.5
"""The size of a figure with one panel, in inches."""

SMALL = 8
"""The size of ticks, labels and notes, in points."""

COLUMNS = 1200
"""Sound longer than twice this many samples is drawn as that many pairs of minimum and maximum."""

TITLE_SIZE = 10
"""The size of a title, in points."""

TITLE_LINES = 3
"""A longer title, of a file whose name is a sentence, is cut."""

ZERO_LINE = "_zero"
"""The label of the line at zero: the one thing drawn that no legend explains."""

SOUND = "_sound"
"""The label of sound that needs no legend, because it is alone in axes that are named."""

FONT = "DejaVu Sans"
"""Comes with matplotlib, so a picture is the same on every machine."""

OTHER_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic", "PingFang SC",
    "Microsoft YaHei", "Malgun Gothic", "Apple SD Gothic Neo", "Noto Sans Devanagari",
    "Nirmala UI", "Kohinoor Devanagari", "Noto Sans Thai", "Thonburi", "Noto Emoji",
    "Segoe UI Symbol", "Segoe UI", "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Fonts for names in scripts that `FONT` has not, each where it is installed."""

T = TypeVar("T")
P = ParamSpec("P")


def apply_house_style(plot: Callable[P, T]) -> Callable[P, T]:
    """Draw with matplotlib's defaults and our fonts, whatever the user's own style is.

    White text, as of ``dark_background``, could not be seen on our white ground.
    """

    @wraps(plot)
    def draw(*args: P.args, **options: P.kwargs) -> T:
        from matplotlib import rc_context, style

        with style.context("default"), rc_context({"font.family": list(find_fonts())}):
            return plot(*args, **options)

    return draw


@cache
def find_fonts() -> tuple[str, ...]:
    """Return the names of the fonts that draw our text: `FONT`, and others that are installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return (FONT, *(name for name in OTHER_FONTS if name in installed))


@cache
def _has_glyph(character: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    paths = [findfont(name) for name in find_fonts()]
    return any(get_font(path).get_char_index(ord(character)) for path in paths)


def make_figure(title: str, *, height: float = HEIGHT) -> Figure:
    """Return an empty figure of the common width, with its `title` at the left.

    Args:
        title: One sentence that says what the figure shows.
        height: In inches, for a title of one line.
    """
    from twistream_kit.notebook.plots.themed import ThemedFigure

    lines = _wrap_title(clean_text(title))
    figure = ThemedFigure(
        figsize=(WIDTH, height + 0.16 * (len(lines) - 1)), layout="constrained", dpi=110,
        facecolor="white",
    )  # fmt: skip
    figure.kept_colours = (CALLER_COLOUR, YOUR_COLOUR, MARK_COLOUR, CLEAR_COLOUR)
    figure.suptitle(escape_math("\n".join(lines)), x=0.01, ha="left", fontsize=TITLE_SIZE)
    return figure


def _wrap_title(title: str) -> list[str]:
    """Break a title into lines that fit into a figure."""
    width = WIDTH * 72 - 12
    lines: list[str] = []
    for line in title.split("\n"):
        here = ""
        for word in line.split(" "):
            longer = f"{here} {word}".lstrip()
            if here and measure_text(longer, TITLE_SIZE) > width:
                lines.append(here)
                longer = word
            here = shorten_text(longer, width, TITLE_SIZE)
        lines.append(here)
    if len(lines) > TITLE_LINES:
        lines[TITLE_LINES - 1 :] = [shorten_text(f"{lines[TITLE_LINES - 1]} …", width, TITLE_SIZE)]
    return lines


@cache
def _open_fonts(weight: str) -> FT2Font:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font([findfont(FontProperties(family=name, weight=weight)) for name in find_fonts()])


def measure_text(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Return the width of a text of one line as it is drawn, in points."""
    from matplotlib.ft2font import LoadFlags

    font = _open_fonts(weight)
    font.set_size(size, 72)
    font.set_text(text, 0, flags=LoadFlags.NO_HINTING)
    return float(font.get_width_height()[0]) / 64


def shorten_text(text: str, width: float, size: float = SMALL) -> str:
    """Cut a clean text in its middle, where it is wider than `width` points."""
    if measure_text(text, size) <= width:
        return text
    fits, too_long = 1, len(text)
    while too_long - fits > 1:  # how many characters of it fit
        middle = (fits + too_long) // 2
        if measure_text(_cut_middle(text, middle), size) <= width:
            fits = middle
        else:
            too_long = middle
    return _cut_middle(text, fits)


def _cut_middle(text: str, length: int) -> str:
    front = (2 * length + 2) // 3
    return f"{text[:front]}…{text[len(text) - (length - front) :]}"


def clean_text(text: str) -> str:
    """Return a text from outside, such as a file's name, in characters that can be drawn.

    A character that no font here has is written as in Python: a box would say nothing.
    """
    return "".join(
        character
        if character in "\n\t" or _has_glyph(character)
        else character.encode("ascii", "backslashreplace").decode("ascii")
        for character in escape_controls(text)
    )


def escape_math(text: str) -> str:
    """Return a clean text so that matplotlib draws it as it is: `$` would begin a formula."""
    return text.replace("$", r"\$")


def label_axes(axes: Axes, *, x: str, y: str) -> None:
    """Set the labels of `axes`, which name the units, and the common style."""
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def label_lane(axes: Axes, name: str, rows: int) -> None:
    """Make `axes` a lane for `rows` rows of labels, which has a name and no scale."""
    axes.set_ylim(0, max(rows, 1))
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL)
    axes.set_ylabel(name, fontsize=SMALL, rotation=0, ha="right", va="center")
    axes.spines[["top", "right", "left"]].set_visible(False)


def add_legend(figure: Figure, order: Iterable[str] = ()) -> None:
    """Explain below the figure all that is drawn in it, each thing once; nothing if all is plain.

    What is drawn has a label, which is its text in the legend.

    Args:
        figure: The figure, with everything drawn.
        order: The labels that come first; the others follow as they were drawn.
    """
    found: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            found.setdefault(label, handle)
    names = [name for name in order if name in found]
    names += [name for name in found if name not in names]
    if names:
        rows = -(-len(names) // 4)
        figure.legend(
            [found[name] for name in names], names, loc="outside lower center",
            ncols=-(-len(names) // rows), frameon=False, fontsize=SMALL,
        )  # fmt: skip


def expect(value: object, kind: type[T], sentence: str) -> T:
    """Return `value` if it is a `kind`.

    Raises:
        TypeError: Otherwise; its message is `sentence`, which names the expected type and how to
            make one, and the type of `value`.
    """
    if isinstance(value, kind):
        return value
    message = f"{sentence} This is a {type(value).__name__}."
    raise WrongType(message)


def draw_sound(
    axes: Axes,
    samples: NDArray[Any],
    *,
    sample_rate: int = 8000,
    begin: float = 0.0,
    colour: str = YOUR_COLOUR,
    label: str = "",
) -> None:
    """Draw sound over time: as a line if single samples are visible, else as an envelope.

    Args:
        axes: The axes to draw on; the x axis is in seconds.
        samples: Shape ``(n,)``, any numeric dtype.
        sample_rate: In Hz.
        begin: The time of the first sample, in seconds.
        colour: The colour of the party whose sound it is.
        label: Its text in a legend; the axes name it where it has none.
    """
    label = label or SOUND
    axes.axhline(0, color=QUIET_COLOUR, linewidth=0.5, zorder=0, label=ZERO_LINE)
    if len(samples) <= 2 * COLUMNS:
        times = begin + np.arange(len(samples)) / sample_rate
        axes.plot(times, samples, color=colour, linewidth=0.8, label=label)
        return
    edges, low, high = reduce_sound(samples)
    times = begin + edges / sample_rate
    axes.fill_between(times, low, high, color=colour, linewidth=0.6, label=label)


def reduce_sound(
    samples: NDArray[Any], columns: int = COLUMNS
) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[Any]]:
    """Reduce sound to one minimum and one maximum for each column of a picture.

    Args:
        samples: Shape ``(n,)``, n > 0.
        columns: The number of pieces, at most n.

    Returns:
        The index of the first sample, the minimum and the maximum of each piece.
    """
    edges = np.linspace(0, len(samples), min(columns, len(samples)) + 1).astype(np.intp)[:-1]
    return edges, np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
