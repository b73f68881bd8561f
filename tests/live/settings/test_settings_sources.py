"""Where settings come from: arguments, the environment, a file, a form; and in which order."""

import pytest
from IPython.core.ultratb import VerboseTB

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.settings.settings import find, find_remembered, forget, remember, take

pytestmark = pytest.mark.usefixtures("nothing_set")

HEX = "0123456789abcdef" * 2
SID = "AC" + HEX


def seen():
    return {name: (str(found.text), found.source) for name, found in find({}).items()}


def test_argument_goes_before_environment_and_that_before_the_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("TWILIO_EDGE=file\nTWILIO_REGION=ie1\nNGROK_DOMAIN=file.org\n")
    monkeypatch.setenv("TWILIO_EDGE", "environment")
    monkeypatch.setenv("NGROK_DOMAIN", "environment.org")
    found = find(take({"edge": "argument"}))
    assert {n: (str(f.text), f.source) for n, f in found.items()} == {
        "edge": ("argument", "argument"),
        "ngrok_domain": ("environment.org", "environment"),
        "region": ("ie1", ".env"),
    }


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_blank_value_counts_as_not_set_at_each_stage(monkeypatch, tmp_path, blank):
    (tmp_path / ".env").write_text("TWILIO_EDGE=dublin\nTWILIO_REGION=\n")
    monkeypatch.setenv("TWILIO_EDGE", blank)
    assert find(take({"edge": blank, "region": None}))["edge"].source == ".env"
    assert "region" not in find({})


def test_blanks_around_a_value_are_taken_off(monkeypatch):
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", f"  {HEX}\r\n")
    assert seen() == {"auth_token": (HEX, "environment")}


def test_file_is_found_beside_the_notebook_or_above(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text(f"TWILIO_AUTH_TOKEN={HEX}\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert seen() == {"auth_token": (HEX, ".env")}


def test_file_may_have_quotes_comments_a_byte_order_mark_and_windows_ends_of_line(tmp_path):
    text = f"\ufeffTWILIO_ACCOUNT_SID='{SID}' # mine\r\nexport TWILIO_AUTH_TOKEN=\"{HEX}\"\r\n"
    (tmp_path / ".env").write_bytes(text.encode())
    assert seen() == {"account_sid": (SID, ".env"), "auth_token": (HEX, ".env")}


def test_value_in_the_file_is_taken_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("HOST", "evil.example")
    (tmp_path / ".env").write_text("TWISTREAM_PUBLIC_URL=https://example.com/${HOST}\n")
    assert seen() == {"public_url": ("https://example.com/${HOST}", ".env")}


@pytest.mark.parametrize(("named", "edge"), [("other.env", "other"), ("", None), ("no.env", None)])
def test_another_file_or_none_can_be_named(monkeypatch, tmp_path, named, edge):
    (tmp_path / ".env").write_text("TWILIO_EDGE=usual\n")
    (tmp_path / "other.env").write_text("TWILIO_EDGE=other\n")
    monkeypatch.setenv("TWISTREAM_ENV_FILE", named and str(tmp_path / named))
    assert seen() == ({} if edge is None else {"edge": (edge, ".env")})


def test_reading_the_file_leaves_the_environment_as_it_was(tmp_path):
    import os

    (tmp_path / ".env").write_text(f"TWILIO_AUTH_TOKEN={HEX}\n")
    find({})
    assert "TWILIO_AUTH_TOKEN" not in os.environ


def test_file_that_is_no_text_is_refused_without_a_word_of_it(tmp_path):
    (tmp_path / ".env").write_bytes(f"TWILIO_AUTH_TOKEN={HEX}".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"\.env cannot be read \(UnicodeDecodeError\)") as one:
        find({})
    assert one.value.__context__ is None
    shown = VerboseTB(theme_name="nocolor").text(one.type, one.value, one.tb)
    assert HEX not in shown.replace("\\x00", "")


def test_folder_of_that_name_is_not_read(tmp_path):
    (tmp_path / ".env").mkdir()
    assert seen() == {}


def test_malformed_value_is_refused_wherever_it_comes_from(monkeypatch, tmp_path):
    with pytest.raises(SettingsError, match="given as an argument"):
        find(take({"auth_token": HEX[1:]}))
    (tmp_path / ".env").write_text(f"TWILIO_AUTH_TOKEN={HEX[1:]}\n")
    with pytest.raises(SettingsError, match=r"from the file \.env"):
        find({})
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", HEX)
    assert seen() == {"auth_token": (HEX, "environment")}, "what is not used is not looked at"


def test_arguments_are_taken_out_of_the_dictionary_they_came_in():
    given = {"auth_token": HEX, "api_secret": Secret(HEX), "edge": None}
    assert {name: str(text) for name, text in take(given).items()} == {
        "auth_token": HEX,
        "api_secret": HEX,
    }
    assert given == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"token": HEX}, "no setting 'token'; there are account_sid, auth_token"),
        ({"TWILIO_AUTH_TOKEN": HEX}, "no setting 'TWILIO_AUTH_TOKEN'"),
        ({"auth_token": HEX.encode()}, "auth_token must be a str or a Secret, not bytes"),
    ],
)
def test_argument_of_another_name_or_type_is_refused_without_its_value(given, words):
    with pytest.raises(TypeError, match=words) as refused:
        take(given)
    assert given == {}
    tb = refused.tb.tb_next
    assert HEX not in VerboseTB(theme_name="nocolor").text(refused.type, refused.value, tb)


def test_what_was_typed_is_remembered_until_it_is_forgotten():
    remember("TWILIO_AUTH_TOKEN", f" {HEX} ")
    found = find_remembered("auth_token")
    assert (str(found.text), found.source) == (HEX, "prompt")
    assert HEX not in repr(found)
    remember("auth_token", " ")
    assert find_remembered("auth_token") is None
    remember("auth_token", Secret(HEX))
    remember("edge", "dublin")
    forget("auth_token")
    assert (find_remembered("auth_token"), find_remembered("edge").text) == (None, "dublin")
    forget()
    assert find_remembered("edge") is None


def test_what_is_malformed_is_not_remembered():
    remember("auth_token", HEX)
    with pytest.raises(SettingsError, match="typed into the form") as refused:
        remember("auth_token", HEX[1:])
    tb = refused.tb.tb_next
    assert HEX[1:] not in VerboseTB(theme_name="nocolor").text(refused.type, refused.value, tb)
    assert find_remembered("auth_token").text == HEX
    with pytest.raises(ValueError, match="no setting 'nonsense'"):
        remember("nonsense", HEX)
