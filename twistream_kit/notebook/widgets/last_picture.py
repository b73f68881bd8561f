"""A still picture below a live widget, for the notebook that is opened again without its kernel.

What a widget shows is in the memory of its kernel; the file of a notebook holds only its outputs.
So a widget that keeps its last picture has a second output below it, with a display id.  It is
empty while the call runs, and filled at the end of the call, from any thread: a front end finds it
by its id, whatever cell runs then.  In JupyterLab it is seen only where the widget is not.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import Any

import IPython

from twistream_kit.notebook.display.html import EMPTY, Html
from twistream_kit.notebook.runtime.activity_log import WidgetGuard
from twistream_kit.notebook.runtime.kernel import find_kernel

REOPENED = (
    "How it was at the end. If “Loading widget…” or “model not found” stands above, this notebook "
    "was opened again and its kernel is gone: run the cell again for the widget itself."
)
"""The first line of every last picture, since JupyterLab does not say what its own line means."""

_HIDDEN_BESIDE_THE_WIDGET = (
    "<style>.jp-OutputArea:has(> .jp-OutputArea-child > .jp-OutputArea-output > .lm-Widget) "
    ".twistream-last-picture{display:none}</style>"
)
"""While the widget itself is on the page, it shows all that the picture would.

Where JupyterLab says "model not found", the output has text and no widget in it; its class
``jupyter-widgets`` is there too, and is missing where an anywidget is shown.
"""


class KeepsLastPicture:
    """A mixin for a live widget: below it stands a second output, filled when the call has ended.

    The second output exists where the widget is displayed by itself.  In a box only the box is
    displayed, and keeps a picture or not; so nothing is shown twice.

    A class that uses it overrides `_draw_last_picture`, and calls `_keep_last_picture` once the
    call has ended:

        class LiveScope(KeepsLastPicture, HearingWidget): ...
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        # Before the widget's own constructor, which may already find that the call has ended.
        self._last_picture: Html = EMPTY
        self._last_picture_ids: list[str] = []
        self._has_last_picture = False
        self._last_picture_lock = threading.Lock()
        super().__init__(*args, **options)

    def _draw_last_picture(self) -> Html | None:
        """Draw what remains of the call as HTML that needs no kernel; None if nothing does."""
        raise NotImplementedError

    def _keep_last_picture(self) -> None:
        """Fill the output below each display, now and later; any thread may call it.

        The picture is drawn where there is an output for it, and not in a box.  An error in the
        drawing is logged, and the output stays as it was; an interrupt of the cell is propagated.
        """
        with self._last_picture_lock:
            self._has_last_picture = True
            is_shown = bool(self._last_picture_ids)
        if is_shown:
            self._draw_into_outputs()

    def _forget_last_picture(self) -> None:
        """Empty the outputs again, since another call begins; any thread may call it."""
        with self._last_picture_lock:
            self._has_last_picture = False
        self._fill_outputs(EMPTY)

    def _draw_into_outputs(self) -> None:
        with WidgetGuard("the last picture of a widget could not be drawn"):
            picture = self._draw_last_picture()
            self._fill_outputs(EMPTY if picture is None else _explain(picture))

    def _fill_outputs(self, picture: Html) -> None:
        with self._last_picture_lock:
            self._last_picture = picture
            for name in self._last_picture_ids:
                _publish(_build_output(picture), name=name, update=True)

    def _ipython_display_(self, **_options: Any) -> None:
        draw: Any = getattr(self, "_repr_mimebundle_", None)  # ipywidgets removes it on close
        shown = None if draw is None else draw()
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        if data is None:
            _publish({"text/plain": repr(self)})
            return
        _publish(data, metadata)
        if find_kernel() is None:
            return  # a terminal: nothing is saved there, and an empty output is an empty line
        name = uuid.uuid4().hex
        with self._last_picture_lock:  # a call may end at this moment
            self._last_picture_ids.append(name)
            _publish(_build_output(self._last_picture), name=name)
            is_missing = self._has_last_picture and not self._last_picture
        if is_missing:
            self._draw_into_outputs()


def _explain(picture: Html) -> Html:
    words = f'<p style="margin:4px 0"><small>{REOPENED}</small></p>'
    # First: JupyterLab's own line stands right above, and a call is taller than a screen.
    block = f'<div class="twistream-last-picture">{words}{picture}</div>'
    return Html(_HIDDEN_BESIDE_THE_WIDGET + block)


def _build_output(picture: Html) -> dict[str, str]:
    # Text beside it would be a second copy in the file; an output without any is not valid.
    return {"text/html": picture, "text/plain": ""}


def _publish(
    data: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    update: bool = False,
) -> None:
    """Show an output, or fill the one with that display id; IPython runs, since it displays us."""
    shell: Any = IPython.get_ipython()
    transient = {"display_id": name} if name else {}
    shell.display_pub.publish(data, metadata, transient=transient, update=update)
