"""The still picture below a live widget, on every supported kernel."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.notebook

GAUGE = """
import threading
import ipywidgets
from twistream_kit.notebook.display.html import Html
from twistream_kit.notebook.widgets.last_picture import KeepsLastPicture
class Gauge(KeepsLastPicture, ipywidgets.HTML):
    def _draw_last_picture(self):
        return Html("<p>12 s</p>")
gauge = Gauge()
gauge
"""

END = "end = threading.Thread(target=gauge._keep_last_picture); end.start(); "


def test_a_thread_fills_the_output_below_while_another_cell_runs(kernel, tmp_path):
    cell = kernel.begin(GAUGE)
    kernel.result_of(cell)
    live, below = [data for parent, data in kernel.shown if parent == cell]
    assert "application/vnd.jupyter.widget-view+json" in live
    assert below["text/html"] == ""
    (name,) = kernel.outputs
    busy = kernel.begin_and_hold(END, tmp_path / "release")
    kernel.wait(lambda: kernel.outputs[name]["text/html"], "the last picture")
    assert not kernel.has_fallen_idle(busy)
    (tmp_path / "release").touch()
    assert kernel.result_of(busy) == ""
    assert "<p>12 s</p>" in kernel.outputs[name]["text/html"]
    assert len([data for _, data in kernel.shown]) == 2
    assert kernel.errors == []
