"""The base of the widgets: one that hears its kernel however late its module is imported.

anywidget drops the kernel's messages for good if the page needed more than two seconds for the
module.  The module itself mends that, ``hearing.js``, and has to know for it which model is its
own, which anywidget does not tell.
"""

from __future__ import annotations

import uuid
from typing import Any

import anywidget
import traitlets

from twistream_kit.notebook.widgets._closing import ClosesLayout


class HearingWidget(ClosesLayout, anywidget.AnyWidget):
    """An anywidget that tells its module the id of its model."""

    _own_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, *args: Any, **options: Any) -> None:
        name = uuid.uuid4().hex
        super().__init__(*args, model_id=name, _own_id=name, **options)
