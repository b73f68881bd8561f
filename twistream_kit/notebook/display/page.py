"""A result as a page of HTML in a file: nothing in it is fetched, so it can be sent to anybody."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from twistream_kit.notebook.display.display import render_png
from twistream_kit.notebook.display.html import Html, join, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:1.5rem auto;padding:0 1rem}"
    "table{margin:0 0 1rem!important}img{max-width:100%;height:auto}"
)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
"""What a far end has sent is escaped; beyond that no page may run or fetch anything."""


def build_page(title: str, *parts: Html) -> str:
    """Return a document of HTML that holds all that it shows.

    Args:
        title: What it is, in a line; also the heading.
        parts: What it shows, as the displays of results return it.
    """
    return join(
        Html('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>"),
        Html(f"<h1>{text(title)}</h1>\n"),
        *parts,
        Html("\n</body></html>\n"),
    )


def show_figure(figure: Figure, words: str) -> Html:
    """Return a picture that is inside the page.

    Args:
        figure: What is drawn.
        words: What it shows, for who does not see it.
    """
    png = b64encode(render_png(figure)).decode("ascii")
    return Html(f'<p><img alt="{text(words)}" src="data:image/png;base64,{png}"></p>')
