"""The form for what is missing: what a press does, what it leaves behind, and on every kernel."""

from __future__ import annotations

import json

import pytest

from twistream_kit.live.settings.schema import SETTINGS
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.settings.settings import Settings, find_remembered
from twistream_kit.notebook.widgets import settings_form
from twistream_kit.notebook.widgets.settings_form import ALL_SET, ASKS, SettingsForm, settings

pytestmark = pytest.mark.usefixtures("nothing_set")

HEX = "0123456789abcdef" * 2
SID = "AC" + HEX
GOOD = {
    "TWILIO_ACCOUNT_SID": SID,
    "TWILIO_AUTH_TOKEN": HEX,
    "TWILIO_PHONE_NUMBER": "+15550100001",
    "TWISTREAM_CALL_TO": "+15550100002",
}


@pytest.fixture
def form():
    form = SettingsForm(Settings({}))
    yield form
    form.close()


def press(form, **typed):
    """Press the button as the page does; return the message, as the kernel keeps it."""
    content = {"use": typed}
    form._handle_custom_msg(content, [])
    return content


def fields(form):
    return {field["name"]: field for field in form.shown["fields"]}


def test_it_has_a_labelled_field_for_each_setting_that_is_missing(form):
    assert list(fields(form)) == list(GOOD)
    assert [field["label"] for field in fields(form).values()] == [
        "Account SID", "Auth token", "Your Twilio number", "Number to call",
    ]  # fmt: skip
    assert [name for name, field in fields(form).items() if field["secret"]] == [
        "TWILIO_AUTH_TOKEN"
    ]
    assert fields(form)["TWILIO_ACCOUNT_SID"]["hint"] == "TWILIO_ACCOUNT_SID: AC and 32 hex digits"
    assert form.shown["words"] == ASKS


def test_what_is_typed_is_remembered_and_seen_by_the_settings():
    found = Settings({})
    form = SettingsForm(found)
    press(form, **GOOD)
    assert found.ready
    assert (found.account_sid, found.auth_token) == (SID, Secret(HEX))
    assert found.source("call_to") == "prompt"
    assert form.shown["words"] == ALL_SET
    assert fields(form) == {}
    form.close()


def test_fields_that_were_taken_go_and_the_others_stay(form):
    press(form, TWILIO_AUTH_TOKEN=f" {HEX} ", TWILIO_PHONE_NUMBER="")
    assert list(fields(form)) == ["TWILIO_ACCOUNT_SID", "TWILIO_PHONE_NUMBER", "TWISTREAM_CALL_TO"]
    assert form.shown["words"] == "Taken: Auth token."


def test_what_is_malformed_is_refused_beside_its_field_without_the_value(form):
    press(form, TWILIO_AUTH_TOKEN=HEX[1:], TWILIO_ACCOUNT_SID=SID)
    assert form.shown["words"] == "Taken: Account SID. Not taken: Auth token."
    fault = fields(form)["TWILIO_AUTH_TOKEN"]["fault"]
    assert fault.startswith("TWILIO_AUTH_TOKEN, typed into the form, has 31 characters")
    assert HEX[1:] not in json.dumps(form.get_state(), default=str)
    assert find_remembered("auth_token") is None
    press(form, TWILIO_AUTH_TOKEN=HEX)
    assert "TWILIO_AUTH_TOKEN" not in fields(form)


def test_a_press_without_anything_typed_is_answered(form):
    for typed in ({}, {"TWILIO_AUTH_TOKEN": "  "}):
        turn = form.shown["turn"]
        press(form, **typed)
        assert form.shown["words"] == "Every field was empty."
        assert form.shown["turn"] == turn + 1, "the page would go on saying that it checks"


def test_what_was_typed_is_taken_out_of_the_message(form):
    typed = {"TWILIO_AUTH_TOKEN": HEX, "TWILIO_ACCOUNT_SID": "wrong"}
    content = {"use": typed}
    form._handle_custom_msg(content, [])
    assert content == {}
    assert typed == {}


def test_no_state_of_it_ever_holds_a_value(form):
    states = []
    form.observe(lambda change: states.append(json.dumps(form.get_state(), default=str)))
    for typed in ({"TWILIO_AUTH_TOKEN": HEX[2:]}, GOOD):
        press(form, **typed)
    assert len(states) >= 2
    for text in GOOD.values():
        assert text[2:] not in "".join(states)
        assert text[2:] not in repr(form) + str(form._repr_mimebundle_())


@pytest.mark.parametrize(
    "content",
    [None, "use", {}, {"use": None}, {"use": [HEX]}, {"use": {"TWILIO_AUTH_TOKEN": 5}},
     {"use": {"PATH": HEX}}, {"use": {"TWILIO_EDGE": "dublin"}}, {"other": {}}],
)  # fmt: skip
def test_what_no_page_sends_does_nothing(form, content):
    form._handle_custom_msg(content, [])
    assert [s.name for s in SETTINGS if find_remembered(s.name)] == []


def test_a_page_without_a_kernel_shows_what_it_is(form):
    html = form._repr_mimebundle_()[0]["text/html"]
    assert "A form for the missing settings of a real call: TWILIO_ACCOUNT_SID, " in html
    assert "Run the notebook" in html
    assert repr(form).startswith("<SettingsForm for TWILIO_ACCOUNT_SID, ")
    press(form, **GOOD)
    assert repr(form) == "<SettingsForm for nothing more>"


def test_without_a_kernel_nothing_is_asked(monkeypatch):
    shown = []
    monkeypatch.setattr(settings_form, "_show", shown.append)
    assert settings().missing == tuple(GOOD)
    assert shown == []
    monkeypatch.setattr(settings_form, "find_kernel", object)
    settings(ask=False)
    settings(account_sid=SID, auth_token=HEX, phone_number="+15550100001", call_to="+15550100002")
    assert shown == []
    settings(account_sid=SID)
    (form,) = shown
    assert "TWILIO_ACCOUNT_SID" not in fields(form)
    form.close()


IN_A_CELL = "found = kit.settings()\nfound"
CLOSE = (
    "from twistream_kit.live.settings.settings import forget; forget()\n"
    "while settings_form._NEWEST: settings_form._NEWEST.pop().close()"
)


@pytest.fixture
def asking(kernel, tmp_path):
    """A kernel in which nothing is set, and the widget that asks."""
    names = [setting.variable for setting in SETTINGS]
    kernel.run(f"import os; [os.environ.pop(name, None) for name in {names}]")
    kernel.run(f"was = os.getcwd(); os.chdir({str(tmp_path)!r})")
    kernel.run(f"from twistream_kit.notebook.widgets import settings_form\n{IN_A_CELL}")
    yield kernel, kernel.value("settings_form._NEWEST[-1].model_id")
    kernel.run(CLOSE)
    kernel.run("os.chdir(was)")


def send(kernel, model_id, typed):
    kernel._comm(model_id, {"method": "custom", "content": {"use": typed}})


@pytest.mark.notebook
def test_a_press_is_taken_while_a_cell_runs_where_the_kernel_can(asking, tmp_path):
    kernel, form = asking
    cell = kernel.begin_and_hold("", tmp_path / "release", computing=True)
    send(kernel, form, GOOD)
    if kernel.subshell is None:
        (tmp_path / "release").touch()
    kernel.wait(lambda: kernel.models[form]["shown"]["words"] == ALL_SET, "an answer")
    assert kernel.has_fallen_idle(cell) is (kernel.subshell is None)
    (tmp_path / "release").touch()
    kernel.result_of(cell)
    assert kernel.value("(found.ready, found.phone_number)") == (True, GOOD["TWILIO_PHONE_NUMBER"])
    assert kernel.errors == []
    said = f"{kernel.models} {kernel.printed} {kernel.shown}"
    assert HEX not in said


@pytest.mark.notebook
def test_nothing_waits_for_the_form_and_a_cell_run_again_replaces_it(asking):
    kernel, form = asking
    assert kernel.value("found.missing") == tuple(GOOD)
    kernel.forget()
    kernel.run(IN_A_CELL)
    views = [data for _, data in kernel.shown if "application/vnd.jupyter.widget-view+json" in data]
    assert len(views) == 1
    assert kernel.value("len(settings_form._NEWEST)") == 1
    assert kernel.value("settings_form._NEWEST[0].model_id") != form
    kernel.forget()
    kernel.run("found = kit.settings(ask=False)")
    assert kernel.shown == []
