"""A text that a screen reader reads out when it changes, and the signs of errors in it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import traitlets

from twistream_kit.notebook.display.html import Html
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets.hearing import HearingWidget

_STATIC = Path(__file__).parents[1] / "static"

Severity = Literal["error", "warning"]

_SIGNS: dict[Severity, str] = {"error": "✖", "warning": "⚠\ufe0e"}
"""The sign stands beside the colour, for those who do not see it; U+FE0E asks for no emoji."""


def add_sign(severity: Severity, html: str, element: str = "span") -> Html:
    """Return HTML with the sign and the colour of its severity."""
    sign = f'<span aria-hidden="true">{_SIGNS[severity]} </span>'
    return Html(f'<{element} class="twistream-{severity}">{sign}{html}</{element}>')


class LiveText(HearingWidget):
    """An ARIA live region: a screen reader reads changes out, without a change of focus.

    `ipywidgets.HTML` cannot be one, because each change replaces its element by a new one.
    For a list (``<ul>``) in `value`, the page only adds new lines and removes old ones, so that no
    line is read out twice.

    Args:
        live: A ``"status"`` is read out as a whole, a ``"log"`` only in its new lines.
        label: Its accessible name, if the text alone does not say what it is.
        box_label: The name of the box of class ``twistream-controls`` or ``twistream-workbench``
            around it, whose options can then be chosen with the keyboard; "" if another widget
            names the box.

    Attributes:
        value: HTML in which all foreign text has been escaped.
    """

    _esm = join_modules(_STATIC / "live_text.js")
    _css = (_STATIC / "controls.css").read_text("utf-8")

    value = traitlets.Unicode().tag(sync=True)
    live = traitlets.Unicode("status").tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    box_label = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, live: Literal["status", "log"] = "status", *, label: str = "", box_label: str = ""
    ) -> None:
        super().__init__(live=live, label=label, box_label=box_label)
