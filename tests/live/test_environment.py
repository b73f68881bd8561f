import pytest
from twilio.rest import Client

from twistream_kit.errors import SettingsError
from twistream_kit.live.environment import client_from_environment, setting

SID, TOKEN = "AC" + "1" * 32, "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path):
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_client_is_made_from_the_environment(monkeypatch):
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", SID)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", f" {TOKEN}\n")
    client = client_from_environment()
    assert isinstance(client, Client)
    assert (client.username, client.password) == (SID, TOKEN)


def test_client_is_made_from_a_file_beside_the_notebook_or_above(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(f"TWILIO_ACCOUNT_SID={SID}\nTWILIO_AUTH_TOKEN='{TOKEN}'\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert client_from_environment().password == TOKEN


def test_environment_goes_before_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("A_SETTING=file\nANOTHER=file\n")
    monkeypatch.setenv("A_SETTING", "environment")
    assert (setting("A_SETTING"), setting("ANOTHER"), setting("NONE")) == (
        "environment",
        "file",
        "",
    )


def test_reading_the_file_leaves_the_environment_as_it_was(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(f"TWILIO_ACCOUNT_SID={SID}\nTWILIO_AUTH_TOKEN={TOKEN}\n")
    client_from_environment()
    import os

    assert "TWILIO_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set"),
        ({"TWILIO_ACCOUNT_SID": SID}, "TWILIO_AUTH_TOKEN is not set"),
        ({"TWILIO_AUTH_TOKEN": TOKEN}, "TWILIO_ACCOUNT_SID is not set"),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": "  "}, "TWILIO_AUTH_TOKEN is not set"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, given, named):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=named):
        client_from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_AUTH_TOKEN", TOKEN[:-1]),
        ("TWILIO_AUTH_TOKEN", f'"{TOKEN}"'),
        ("TWILIO_AUTH_TOKEN", TOKEN + "ü"),
        ("TWILIO_ACCOUNT_SID", "SK" + "1" * 32),
        ("TWILIO_ACCOUNT_SID", TOKEN),
    ],
)
def test_malformed_value_is_refused_and_never_shown(monkeypatch, name, value):
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", SID)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name} does not look like one") as refused:
        client_from_environment()
    shown = str(refused.value) + repr(refused.value) + repr(vars(refused.value))
    assert value not in shown
    assert TOKEN not in shown
