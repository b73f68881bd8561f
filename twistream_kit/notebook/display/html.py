"""Small pieces of HTML: escaped, readable to a screen reader, at home in a dark theme too.

Colours are Jupyter's own CSS variables with a fallback that inherits, so nothing is fixed that a
theme may want to change, and nothing is said by colour alone.  A player has its sound inside:
nothing is fetched, and a saved notebook plays.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from numpy.typing import NDArray

_BORDER = "var(--jp-border-color2, currentColor)"

_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"

_ROW = f"border-bottom:1px solid {_BORDER}"
"""Of the row, not of each cell: a notebook's file holds all of it."""

_TABLE = "border-collapse:collapse;table-layout:auto;margin:0"


_SAFE_IN_SOURCE = " '=/:;,.()+-"


class Html(str):
    """Text that is HTML already and must not be escaped again."""

    __slots__ = ()


EMPTY: Final = Html("")


def text(value: object) -> Html:
    """Return `value` as text, escaped unless it is `Html`."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(*parts: object) -> Html:
    """Put `parts` one after the other."""
    return Html("".join(text(part) for part in parts))


def code(value: object, *, breakable: bool = False) -> Html:
    """Return `value` in the font of code, and nothing for nothing, which would be an empty box.

    A `breakable` one may go on in the next line.
    """
    if value is None or value == "":
        return EMPTY
    breaks = ";overflow-wrap:anywhere" if breakable else ""
    return Html(f'<code style="white-space:pre-wrap{breaks}">{text(value)}</code>')


SEVERITIES: Final[Mapping[str, tuple[str, str, str]]] = {
    "error": ("✖", "#B3261E", "#FFFFFF"),
    "warning": ("▲", "#FFB300", "#000000"),
    "note": ("●", "#0B57D0", "#FFFFFF"),
}
"""Of each severity the sign, the colour behind it, and that of its text: red, amber, blue.

Both colours are given, so that no theme changes one of them; their contrast is 5.9 or more.  The
sign and the word say the same without colour.
"""


def badge(severity: str) -> Html:
    """Return a severity with its sign and colour; another word as it is."""
    if severity not in SEVERITIES:
        return text(severity)
    sign, colour, ink = SEVERITIES[severity]
    style = f"background:{colour};color:{ink};padding:0 5px;border-radius:3px;white-space:nowrap"
    return Html(f'<span style="{style}">{sign} {severity}</span>')


def image(svg: str, words: str) -> Html:
    """Return a drawing as an image, which JupyterLab keeps in a notebook that it does not trust.

    Of an SVG in the page it keeps the words alone, one behind the other.  As an image the drawing
    has no part in the theme: it needs a ground of its own, and colours that are given.

    Args:
        svg: The drawing, with its namespace, its width and its height; its texts are escaped.
        words: What it shows, for who does not see it.
    """
    source = quote(svg.replace('"', "'"), safe=_SAFE_IN_SOURCE)  # a third smaller than base64
    return Html(
        f'<img alt="{text(words)}" style="max-width:100%;height:auto" '
        f'src="data:image/svg+xml,{source}">'
    )


def strong(value: object) -> Html:
    """Return `value` with weight."""
    return Html(f"<strong>{text(value)}</strong>")


def paragraph(*parts: object) -> Html:
    """Return one paragraph."""
    return Html(f'<p style="margin:4px 0">{join(*parts)}</p>')


def fold(summary: object, *parts: object) -> Html:
    """Return what is seen only once its summary is clicked."""
    return Html(f"<details><summary>{text(summary)}</summary>{join(*parts)}</details>")


def bullets(items: Iterable[object]) -> Html:
    """Return a list, or nothing when there are no items."""
    rows = "".join(f"<li>{text(item)}</li>" for item in items)
    return Html(f'<ul style="margin:4px 0;padding-left:20px">{rows}</ul>') if rows else EMPTY


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str) -> Html:
    """Return a table whose first column names its rows.

    Args:
        heads: One for each column.
        rows: As many cells in each as there are heads.
        caption: What the table holds; read out first and shown above.
    """
    head = "".join(f'<th scope="col" style="{_CELL}">{text(title)}</th>' for title in heads)
    body = "".join(f'<tr style="{_ROW}">{_row(row)}</tr>' for row in rows)
    return Html(
        f'<table style="{_TABLE}">{_caption(caption)}'
        f'<thead><tr style="{_ROW}">{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def pairs(values: Mapping[str, object], *, caption: str) -> Html:
    """Return a table of two columns, name and value, without a head."""
    body = "".join(f'<tr style="{_ROW}">{_row(pair)}</tr>' for pair in values.items())
    return Html(f'<table style="{_TABLE}">{_caption(caption)}<tbody>{body}</tbody></table>')


def _caption(caption: str) -> str:
    style = "caption-side:top;text-align:left;font-weight:bold;padding:4px 0"
    return f'<caption style="{style}">{text(caption)}</caption>'


def _row(cells: Sequence[object]) -> str:
    first, *others = cells
    named = f'<th scope="row" style="{_CELL};font-weight:normal">{text(first)}</th>'
    return named + "".join(f'<td style="{_CELL}">{text(cell)}</td>' for cell in others)


def player(samples: NDArray[Any], sample_rate: int, name: object) -> Html:
    """Return a player.

    Args:
        samples: int16, shape ``(n,)`` or ``(n, channels)``.
        sample_rate: In Hz.
        name: What is shown where there is no sound.
    """
    sound = b64encode(wrap_wav(samples, sample_rate)).decode("ascii")
    source = f"data:audio/wav;base64,{sound}"
    return Html(f'<audio controls preload="metadata" src="{source}">{text(name)}</audio>')


def wrap_wav(samples: NDArray[Any], sample_rate: int = 8000) -> bytes:
    """Wrap 16-bit samples, because not every browser plays μ-law."""
    channels = samples.shape[1] if samples.ndim == 2 else 1
    sound = samples.astype("<i2").tobytes()
    size = 2 * channels
    rates = (sample_rate, size * sample_rate, size, 16)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, *rates)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(sound)) + sound
    return struct.pack("<4sI", b"RIFF", len(body)) + body
