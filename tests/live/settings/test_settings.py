import itertools
import pickle
from pathlib import Path

import pytest
from twilio.rest import Client

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import SETTINGS
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.settings.settings import client_from_environment, remember, settings

pytestmark = pytest.mark.usefixtures("nothing_set")

HEX = "0123456789abcdef" * 2
SID, KEY, API_SECRET = "AC" + HEX, "SK" + HEX, "aB3" * 10 + "zZ"

ALL = {
    "account_sid": SID,
    "auth_token": HEX,
    "api_key": KEY,
    "api_secret": API_SECRET,
    "phone_number": "+15550100001",
    "call_to": "+15550100002",
    "region": "ie1",
    "edge": "dublin",
    "ngrok_authtoken": "n" * 30,
    "ngrok_domain": "yours.ngrok.app",
    "public_url": "https://example.com",
}
NEEDED = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "TWISTREAM_CALL_TO")


def test_every_attribute_gives_what_was_set():
    found = settings(**ALL)
    secrets = {setting.name for setting in SETTINGS if setting.is_secret}
    for name, text in ALL.items():
        value = getattr(found, name)
        assert value == (Secret(text) if name in secrets else text)
        assert found.get(name) == value
        assert found.source(name) == "argument"
        assert type(value) is (Secret if name in secrets else str)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_what_is_missing_says_what_to_set(setting):
    found = settings()
    assert found.get(setting.name) is found.get(setting.variable) is None
    assert found.source(setting.name) is None
    with pytest.raises(SettingsError, match=f"^{setting.variable} is not set") as refused:
        getattr(found, setting.name)
    assert setting.if_missing in str(refused.value)
    assert ".env.example), or use kit.SimulatedTwilio(), which needs none" in str(refused.value)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no setting 'token'"):
        settings().get("token")
    with pytest.raises(AttributeError):
        settings().token  # noqa: B018
    with pytest.raises(AttributeError):
        settings().auth_token = "other"


def test_api_key_does_not_stand_in_for_the_token_that_signs():
    found = settings(account_sid=SID, api_key=KEY, api_secret=API_SECRET)
    with pytest.raises(SettingsError, match="an API key cannot stand in for it") as refused:
        found.auth_token  # noqa: B018
    assert "Twilio signs what it sends with the account's auth token" in str(refused.value)
    assert "TWILIO_AUTH_TOKEN" in found.missing


def test_missing_is_what_a_real_call_still_needs():
    assert settings().missing == NEEDED
    given = dict(ALL)
    assert settings(**given).missing == ()
    assert settings(**given).ready
    del given["call_to"]
    assert settings(**given).missing == ("TWISTREAM_CALL_TO",)
    assert not settings(**given).ready


@pytest.mark.parametrize(
    ("given", "name"), [("api_key", "TWILIO_API_SECRET"), ("api_secret", "TWILIO_API_KEY")]
)
def test_half_of_an_api_key_lacks_the_other(given, name):
    found = settings(**{name: ALL[name] for name in ("account_sid", "auth_token", given)})
    assert name in found.missing
    with pytest.raises(SettingsError, match=name):
        found.client()


def test_what_is_typed_later_is_seen_and_comes_last():
    found = settings(account_sid=SID)
    assert not found.ready
    remember("auth_token", HEX)
    remember("account_sid", "AC" + "1" * 32)
    assert found.auth_token == Secret(HEX)
    assert found.source("auth_token") == "prompt"
    assert found.account_sid == SID


def test_client_is_made_of_sid_and_token():
    client = settings(account_sid=SID, auth_token=HEX).client()
    assert isinstance(client, Client)
    assert (client.username, client.password, client.account_sid) == (SID, HEX, SID)
    assert (client.region, client.edge) == (None, None)


def test_client_is_made_of_the_api_key_where_there_is_one():
    client = settings(**ALL).client()
    assert (client.username, client.password, client.account_sid) == (KEY, API_SECRET, SID)
    assert (client.region, client.edge) == ("ie1", "dublin")
    host = client.get_hostname("https://api.twilio.com/2010-04-01")
    assert host == "https://api.dublin.ie1.twilio.com/2010-04-01"


def test_client_needs_no_token_beside_an_api_key():
    client = settings(account_sid=SID, api_key=KEY, api_secret=API_SECRET).client()
    assert client.password == API_SECRET


def test_client_does_not_look_into_the_environment_by_itself(monkeypatch):
    found = settings(account_sid=SID, auth_token=HEX)
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    assert found.client().edge is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set"),
        ({"account_sid": SID}, "TWILIO_AUTH_TOKEN is not set"),
        ({"auth_token": HEX}, "TWILIO_ACCOUNT_SID is not set"),
        ({"api_key": KEY, "api_secret": API_SECRET}, "TWILIO_ACCOUNT_SID is not set"),
    ],
)
def test_no_client_is_made_without_credentials(given, words):
    with pytest.raises(SettingsError, match=f"^{words}"):
        settings(**given).client()


def test_client_from_environment_is_made_of_environment_and_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text(f"TWILIO_ACCOUNT_SID={SID}\n")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", f" {HEX}\n")
    client = client_from_environment()
    assert (client.username, client.password) == (SID, HEX)


def test_it_shows_names_sources_and_what_is_missing_but_no_secret(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("TWILIO_PHONE_NUMBER=+15550100001\n")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", HEX)
    found = settings(account_sid=SID, public_url="https://u:pw@example.com")
    remember("region", "ie1")
    assert repr(found).splitlines() == [
        "Settings:",
        "  TWILIO_ACCOUNT_SID    AC01…ef (argument)",
        "  TWILIO_AUTH_TOKEN     set (environment)",
        "  TWILIO_PHONE_NUMBER   +1…0001 (.env)",
        "  TWILIO_REGION         ie1 (prompt)",
        "  TWISTREAM_PUBLIC_URL  https://…@example.com (argument)",
        "still missing for a real call: TWISTREAM_CALL_TO",
    ]
    assert found.rows()[1] == ("TWILIO_AUTH_TOKEN", "set", "environment")
    assert repr(settings(**ALL)).endswith("\nready for a real call")


def test_nothing_shows_or_pickles_its_secrets():
    found = settings(**ALL)
    secrets = [ALL[setting.name] for setting in SETTINGS if setting.is_secret]
    shown = f"{found!r} {found} {found.rows()} {found._found} {found.__getstate__()}"
    assert not [secret for secret in secrets if secret in shown]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="settings cannot be pickled"):
            pickle.dumps(found, protocol)
    with pytest.raises(TypeError):
        vars(found)


def test_example_file_names_every_setting_with_a_comment_and_no_value():
    lines = (Path(__file__).parents[3] / ".env.example").read_text().splitlines()
    named = {line[:-1]: above for above, line in itertools.pairwise(lines) if "=" in line}
    assert set(named) == {setting.variable for setting in SETTINGS}
    assert all(comment.startswith("# ") for comment in named.values())
