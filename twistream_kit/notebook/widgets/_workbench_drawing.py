"""The drawing of a workbench for a page without a kernel."""

from __future__ import annotations

from twistream_kit.notebook.display.html import image
from twistream_kit.notebook.plots.style import CALLER_COLOUR, QUIET_COLOUR, YOUR_COLOUR

WORDS = (
    "A workbench for calls: a telephone, buttons to send, speak over, mark, clear and hang up, the "
    "waveform of the call and its messages. Run the notebook to use it."
)

_BUTTONS = ("Send", "Speak over", "Mark", "Clear", "Hang up")

_INK = "#212121"

_PHONE_WIDTH, _WIDTH, _HEIGHT = 150, 620, 190

_WAVE = (3, 9, 16, 11, 18, 8, 4, 1, 1, 5, 12, 19, 14, 17, 10, 6, 2, 1)
"""The heights of the bars of a voice."""


def draw_workbench(*, has_phone: bool) -> str:
    """Return the drawing as HTML, with a sentence that says what it is.

    Args:
        has_phone: Whether there is a telephone in it.
    """
    left = _PHONE_WIDTH + 16 if has_phone else 0
    width = left + _WIDTH - _PHONE_WIDTH
    parts = [_draw_phone() if has_phone else "", _draw_buttons(left)]
    parts += [_draw_scope(left, width - left - 1)]
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" '
        f'viewBox="0 0 {width} {_HEIGHT}" font-family="system-ui, sans-serif" font-size="11">'
        f'<rect width="{width}" height="{_HEIGHT}" rx="5" fill="#ffffff"/>{"".join(parts)}</svg>'
    )
    return f"<div>{image(drawing, WORDS)}<p><small>{WORDS}</small></p></div>"


def _draw_phone() -> str:
    keys = "".join(
        _draw_box(16 + 42 * (n % 3), 62 + 30 * (n // 3), 34, 24, key)
        for n, key in enumerate("123456789*0#")
    )
    return _draw_box(1, 1, _PHONE_WIDTH - 2, _HEIGHT - 2, "") + (
        f'<text x="75" y="26" text-anchor="middle" fill="{_INK}">Telephone</text>'
        f'<rect x="16" y="38" width="70" height="5" rx="2" fill="{YOUR_COLOUR}"/>'
        f'<rect x="16" y="48" width="45" height="5" rx="2" fill="{CALLER_COLOUR}"/>{keys}'
    )


def _draw_buttons(left: int) -> str:
    return "".join(_draw_box(left + 1 + 84 * n, 1, 78, 24, name) for n, name in enumerate(_BUTTONS))


def _draw_scope(left: int, width: int) -> str:
    lanes = (("caller says", 74, 40, CALLER_COLOUR), ("caller hears (you)", 142, 200, YOUR_COLOUR))
    parts = [_draw_box(left + 1, 36, width - 1, _HEIGHT - 38, "")]
    for name, middle, begin, colour in lanes:
        parts.append(
            f'<text x="{left + 8}" y="{middle - 22}" fill="{_INK}">{name}</text>'
            f'<path d="M{left + 2} {middle}h{width - 3}" stroke="{colour}"/>'
        )
        bars = "".join(
            f"M{left + begin + 9 * n} {middle - high}v{2 * high}" for n, high in enumerate(_WAVE)
        )
        parts.append(f'<path d="{bars}" stroke="{colour}" stroke-width="6"/>')
    return "".join(parts)


def _draw_box(x: int, y: int, width: int, height: int, text: str) -> str:
    box = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="none" '
        f'stroke="{QUIET_COLOUR}"/>'
    )
    if not text:
        return box
    middle = f'x="{x + width // 2}" y="{y + height // 2 + 4}"'
    return f'{box}<text {middle} text-anchor="middle" fill="{_INK}">{text}</text>'
