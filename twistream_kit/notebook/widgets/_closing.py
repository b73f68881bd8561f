"""Closing a widget with all that belongs to it.

ipywidgets keeps every open widget alive, and leaves open what a widget that it closes has: its
children, its layout and its style.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets


class ClosesLayout:
    """A mixin for a widget: its layout is closed with it, and does not outlive it."""

    def close(self) -> None:
        """Close the widget."""
        widget: Any = self
        is_open = widget.comm is not None  # otherwise it is closed, or its constructor has failed
        super().close()  # type: ignore[misc]  # of ipywidgets
        if is_open:  # after the widget, whose observers may read its state
            widget.layout.close()


def close_tree(children: Sequence[widgets.Widget]) -> None:
    """Close widgets and all in them."""
    for child in children:
        close_tree(getattr(child, "children", ()))
        child.close()
        for name in ("layout", "style"):
            if part := getattr(child, name, None):
                part.close()
