"""The still picture below a live widget: where it stands, and when it is filled."""

from __future__ import annotations

import threading

import ipywidgets as widgets
import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.notebook.display.html import Html
from twistream_kit.notebook.widgets import last_picture
from twistream_kit.notebook.widgets.last_picture import REOPENED, KeepsLastPicture


class Gauge(KeepsLastPicture, widgets.HTML):
    """A live widget whose last picture is what the test gives it."""

    picture = Html("<p>12 s</p>")

    def _draw_last_picture(self):
        return self.picture


class Outputs:
    """The outputs of a notebook, in order: what a front end makes of what is published."""

    def __init__(self):
        self.shown = []

    def publish(self, data, metadata=None, *, name="", update=False):
        if not update:
            self.shown.append([name, data])
            return
        found = [output for output in self.shown if output[0] == name]
        assert found, "an output was filled that is not there"
        for output in found:
            output[1] = data

    @property
    def html(self):
        return [data.get("text/html", "") for _, data in self.shown]


@pytest.fixture
def outputs(monkeypatch):
    outputs = Outputs()
    monkeypatch.setattr(last_picture, "_publish", outputs.publish)
    monkeypatch.setattr(last_picture, "find_kernel", lambda: "a kernel")
    return outputs


@pytest.fixture
def gauge():
    gauge = Gauge()
    yield gauge
    gauge.close()


def test_the_output_below_is_empty_until_the_call_has_ended(outputs, gauge):
    gauge._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in outputs.shown[0][1]
    assert outputs.html == ["", ""]
    gauge._keep_last_picture()
    assert len(outputs.shown) == 2
    assert "<p>12 s</p>" in outputs.html[1]
    assert REOPENED in outputs.html[1]
    assert outputs.html[1].index(REOPENED) < outputs.html[1].index("<p>12 s</p>")


def test_each_display_has_an_output_of_its_own_and_both_are_filled(outputs, gauge):
    gauge._ipython_display_()
    gauge._ipython_display_()
    gauge._keep_last_picture()
    assert [bool(html) for html in outputs.html] == [False, True, False, True]


def test_a_widget_that_is_shown_after_the_end_has_its_picture_at_once(outputs, gauge):
    gauge._keep_last_picture()
    assert outputs.shown == []
    gauge._ipython_display_()
    assert "<p>12 s</p>" in outputs.html[1]


def test_a_widget_in_a_box_is_not_drawn_as_nobody_would_see_it(outputs, gauge):
    gauge._draw_last_picture = lambda: pytest.fail("it was drawn for nobody")
    gauge._keep_last_picture()
    assert outputs.shown == []


def test_another_call_empties_the_output_and_its_end_fills_it_anew(outputs, gauge):
    gauge._ipython_display_()
    gauge._keep_last_picture()
    gauge._forget_last_picture()
    assert outputs.html[1] == ""
    gauge.picture = Html("<p>13 s</p>")
    gauge._keep_last_picture()
    assert "<p>13 s</p>" in outputs.html[1]


def test_nothing_to_draw_leaves_the_output_empty(outputs, gauge):
    gauge._ipython_display_()
    gauge.picture = None
    gauge._keep_last_picture()
    assert outputs.html[1] == ""


def test_a_drawing_that_fails_is_logged_and_raises_nothing(outputs, gauge, caplog):
    gauge._ipython_display_()
    gauge._keep_last_picture()
    gauge._draw_last_picture = lambda: 1 / 0
    gauge._keep_last_picture()
    assert "<p>12 s</p>" in outputs.html[1]
    assert "the last picture of a widget could not be drawn" in caplog.text


def raise_interrupt():
    raise KeyboardInterrupt


def test_an_interrupt_of_the_cell_that_shows_it_comes_out(outputs, gauge, caplog):
    gauge._keep_last_picture()
    gauge._draw_last_picture = raise_interrupt
    with pytest.raises(KeyboardInterrupt):
        gauge._ipython_display_()
    assert "could not be drawn" not in caplog.text
    thread = threading.Thread(target=gauge._keep_last_picture)  # there it is no user's
    thread.start()
    thread.join(LIMIT_SECONDS)
    assert "could not be drawn" in caplog.text


def test_a_display_while_the_call_ends_is_filled_whatever_the_order(outputs, gauge):
    threads = [threading.Thread(target=gauge._ipython_display_) for _ in range(8)]
    threads.insert(4, threading.Thread(target=gauge._keep_last_picture))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    below = [data["text/html"] for name, data in outputs.shown if name]
    assert len(below) == 8
    assert all("<p>12 s</p>" in html for html in below)


def test_a_box_shows_its_widgets_without_their_pictures(outputs, gauge):
    box = widgets.VBox([gauge])
    assert not hasattr(box, "_ipython_display_")
    gauge._keep_last_picture()
    assert outputs.shown == []


def test_a_closed_widget_is_shown_as_text(outputs, gauge):
    gauge.close()
    gauge._ipython_display_()
    assert [set(data) for _, data in outputs.shown] == [{"text/plain"}]


def test_a_terminal_gets_no_second_output(outputs, gauge, monkeypatch):
    monkeypatch.setattr(last_picture, "find_kernel", lambda: None)
    gauge._ipython_display_()
    gauge._keep_last_picture()
    assert len(outputs.shown) == 1
