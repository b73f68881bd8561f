"""A closed widget is gone, with its call and all that was made for it."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import weakref

import ipywidgets
import pytest
from ipywidgets.widgets import widget

from support.waiting import until
from twistream_kit.audio.clip import Clip
from twistream_kit.live.settings.settings import Settings
from twistream_kit.notebook import widgets as package
from twistream_kit.notebook.widgets.controls import StreamControls
from twistream_kit.notebook.widgets.file_field import FileField
from twistream_kit.notebook.widgets.hearing import HearingWidget
from twistream_kit.notebook.widgets.live_text import LiveText
from twistream_kit.notebook.widgets.phone import PhoneWidget
from twistream_kit.notebook.widgets.recording_player import RecordingPlayer
from twistream_kit.notebook.widgets.scope import LiveScope
from twistream_kit.notebook.widgets.settings_form import SettingsForm
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.notebook.widgets.workbench import Workbench

OPEN = widget._instances
"""All widgets that are open, by the id of each; the public name of it is deprecated."""

MAKERS = {
    StreamControls: lambda up: StreamControls(up.stream, clips=[Clip.tone(440, 0.1)]),
    LiveText: lambda _: LiveText(),
    PhoneWidget: lambda up: PhoneWidget(up.phone),
    LiveScope: lambda up: LiveScope(up.stream),
    StreamLog: lambda up: StreamLog(up.stream),
    RecordingPlayer: lambda up: RecordingPlayer(up.stream),
    Workbench: lambda up: Workbench(up.server, up.phone, [Clip.tone(440, 0.1)]),
    FileField: lambda _: FileField(lambda clip: None),
    SettingsForm: lambda _: SettingsForm(Settings({})),
}


def find_classes(kind=ipywidgets.DOMWidget):
    """Return the public widget classes of the kit."""
    for each in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{each.name}")
    below = {found for each in kind.__subclasses__() for found in find_classes(each)}
    is_ours = kind.__module__.startswith("twistream_kit.") and not kind.__name__.startswith("_")
    is_base = kind.__name__ == HearingWidget.__name__
    return below | ({kind} if is_ours and not is_base else set())


def test_every_widget_class_is_tried():
    # By name: a module that a test has loaded anew has classes of its own.
    assert {each.__name__ for each in find_classes()} == {each.__name__ for each in MAKERS}


def is_gone(reference):
    gc.collect()
    return reference() is None


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
def test_a_closed_widget_is_gone_while_its_call_goes_on(make_call, background_loop, kind):
    up = make_call()
    before = set(OPEN)
    made = MAKERS[kind](up)
    reference, layout = weakref.ref(made), weakref.ref(made.layout)
    made.close()
    left = [type(OPEN[each]).__name__ for each in set(OPEN) - before]
    assert left == []
    del made
    until(lambda: is_gone(reference) and is_gone(layout))


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
def test_the_texts_of_a_page_are_no_files_that_keep_each_widget(kind):
    # anywidget watches a file for changes, with a callback that holds the widget for ever.
    for name in ("_esm", "_css"):
        assert isinstance(getattr(kind, name, ""), str)


def test_the_widgets_of_a_closed_workbench_are_gone_with_it(make_call, background_loop):
    up = make_call()
    bench = Workbench(up.server)
    parts = (*bench.scope.children, *bench.stream_log.children, bench.controls, bench.status)
    references = [weakref.ref(each) for each in (bench, *parts)]
    del parts
    bench.close()
    del bench
    until(lambda: all(is_gone(each) for each in references))


def test_the_closed_widget_of_a_telephone_leaves_it_its_files(make_call, background_loop):
    up = make_call()
    phone = up.twilio.phone("+15550100077")
    first = PhoneWidget(phone, direct=False)
    first.add_voice(Clip(Clip.tone(440, 0.1).payload, name="mine"))
    first.close()
    second = PhoneWidget(phone, direct=False)
    assert "mine" in second.voices
    second.close()
    reference = weakref.ref(second)
    del first, second
    until(lambda: is_gone(reference))


def test_closing_twice_is_closing_once(make_call, background_loop):
    up = make_call()
    for make in MAKERS.values():
        made = make(up)
        made.close()
        made.close()
