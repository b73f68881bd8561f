"""No name of a widget of ours hides one of ipywidgets: `log` is its logger, `send` a message."""

from __future__ import annotations

import inspect

import ipywidgets
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.widgets.controls import StreamControls
from twistream_kit.notebook.widgets.live_text import LiveText
from twistream_kit.notebook.widgets.phone import PhoneWidget
from twistream_kit.notebook.widgets.recording_player import RecordingPlayer
from twistream_kit.notebook.widgets.scope import LiveScope
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.notebook.widgets.workbench import Workbench

THEIRS = set(dir(ipywidgets.DOMWidget))

MEANT = {"close", "_repr_mimebundle_", "_ipython_display_"}
"""What ipywidgets has widgets override."""


class Empty(ipywidgets.VBox):
    """A widget that takes no names."""


BY_ITSELF = set(vars(Empty)) | set(vars(Empty())) | {"_holding_sync"}
"""What traitlets and ipywidgets set in each class and in each object."""


def find_hidden(widget):
    """Return the names of ipywidgets that a class of ours, or an object of it, takes for itself."""
    ours = {
        name
        for kind in type(widget).__mro__
        if kind.__module__.startswith("twistream_kit")
        for name in vars(kind)
        if not name.startswith("__")
    }
    ours |= set(vars(widget)) - BY_ITSELF
    return ours & THEIRS - MEANT - BY_ITSELF


@pytest.fixture
def widgets(make_call, background_loop):
    up = make_call()
    made = [
        StreamControls(up.stream, clips=[Clip.tone(440, 0.1)]),
        LiveText(),
        PhoneWidget(up.phone, direct=False),
        LiveScope(up.stream),
        StreamLog(Capture()),
        RecordingPlayer(up.stream, direct=False),
        Workbench(up.server, up.phone),
    ]
    yield made
    for widget in made:
        widget.close()


def test_no_name_of_ours_hides_one_of_ipywidgets(widgets):
    found = {type(widget).__name__: find_hidden(widget) for widget in widgets}
    assert found == {type(widget).__name__: set() for widget in widgets}


def test_a_name_that_hides_one_would_be_found():
    names = {"send": inspect.signature, "__module__": "twistream_kit.notebook.widgets"}
    widget = type("Hides", (ipywidgets.VBox,), names)()
    widget.get_state = "ours"
    assert find_hidden(widget) == {"send", "get_state"}
