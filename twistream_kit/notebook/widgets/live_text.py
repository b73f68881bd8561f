"""Text that a screen reader reads out when it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import anywidget
import traitlets

_HERE = Path(__file__).parents[1] / "static"


class LiveText(anywidget.AnyWidget):
    """A live region: what is new in it is read out, without a change of focus.

    `ipywidgets.HTML` cannot be one, as each change puts a new element in the place of the old.
    A list (``<ul>``) in `value` only ever gets new lines and loses old ones, so that no line is
    read out twice.

    Args:
        live: ``"status"`` is read out as a whole, of a ``"log"`` only what was added.
        label: Its name, where the text alone does not say what it is.
        box_label: The name of the box of class ``twistream-controls`` around it, whose clip
            can then be chosen with the keyboard; "" if that is somebody else's task.

    Attributes:
        value: HTML in which everything that came from elsewhere has been escaped.
    """

    _esm = _HERE / "live_text.js"
    _css = _HERE / "controls.css"

    value = traitlets.Unicode().tag(sync=True)
    live = traitlets.Unicode("status").tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    box_label = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, live: Literal["status", "log"] = "status", *, label: str = "", box_label: str = ""
    ) -> None:
        super().__init__(live=live, label=label, box_label=box_label)
