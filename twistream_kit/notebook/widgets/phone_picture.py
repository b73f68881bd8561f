"""What stands for the telephone where nothing runs: on a web page, or before the cell was run."""

from __future__ import annotations

from html import escape

from twistream_kit.notebook.plots.colours import CALLER_COLOUR, QUIET_COLOUR, YOUR_COLOUR

KEYS = "123456789*0#"


def picture_of_phone(number: str) -> str:
    """Return a drawing of the telephone as HTML, with a sentence that says how it comes alive."""
    words = escape(f"A telephone, {number}. Run the cell to hear it, speak and press its keys.")
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="254" role="img" '
        f'viewBox="0 0 200 254" aria-label="{words}" font-family="system-ui, sans-serif">'
        f'<rect x="1" y="1" width="198" height="252" rx="14" fill="#ffffff" '
        f'stroke="{QUIET_COLOUR}"/>'
    )
    parts = [
        _text(100, 30, escape(number), 15, "#212121"),
        _text(100, 48, "not running", 11, QUIET_COLOUR),
        _meter(60, 0.55, YOUR_COLOUR),
        _meter(70, 0.35, CALLER_COLOUR),
        *(_key(index, key) for index, key in enumerate(KEYS)),
    ]
    drawing = f"{opening}{''.join(parts)}</svg>"
    return f"<div>{drawing}<p><small>{words}</small></p></div>"


def _text(x: int, y: int, text: str, size: int, colour: str) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle" '
        f'fill="{colour}">{text}</text>'
    )


def _meter(y: int, share: float, colour: str) -> str:
    return (
        f'<rect x="20" y="{y}" width="160" height="5" rx="2" fill="#e0e0e0"/>'
        f'<rect x="20" y="{y}" width="{160 * share:g}" height="5" rx="2" fill="{colour}"/>'
    )


def _key(index: int, key: str) -> str:
    x, y = 20 + 55 * (index % 3), 88 + 40 * (index // 3)
    return (
        f'<rect x="{x}" y="{y}" width="50" height="34" rx="6" fill="#f2f2f2" stroke="#bdbdbd"/>'
        + _text(x + 25, y + 22, key, 15, "#212121")
    )
