"""The shape of each setting, and what is said of a value of another one."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import SETTINGS, check, find_setting, mask
from twistream_kit.live.settings.secret import QuietText

HEX = "0123456789abcdef" * 2

GOOD = {
    "account_sid": ["AC" + HEX, "AC" + HEX.upper()],
    "auth_token": [HEX],
    "api_key": ["SK" + HEX],
    "api_secret": ["aB3" * 10 + "zZ"],
    "phone_number": ["+15550100001", "+4930123456"],
    "call_to": ["+15005550006"],
    "region": ["ie1", "us1", "au1"],
    "edge": ["dublin", "sao-paulo", "ashburn-ix"],
    "ngrok_authtoken": ["2abcDEF" * 4 + "_5xyz" * 4],
    "ngrok_domain": ["yours.ngrok.app", "a-b.example.co.uk"],
    "public_url": [
        "https://example.com", "https://example.com:8443/path", "http://127.0.0.1:8000",
        "http://localhost:8000", "http://[::1]:8000", "https://user:pass@example.com",
    ],
}  # fmt: skip


def refusal(name, text, source="environment"):
    with pytest.raises(SettingsError) as refused:
        check(find_setting(name), QuietText(text), source)
    assert refused.value.__context__ is None
    return str(refused.value)


@pytest.mark.parametrize(("name", "text"), [(n, text) for n in GOOD for text in GOOD[n]])
def test_value_of_the_right_shape_is_taken(name, text):
    check(find_setting(name), QuietText(text), "environment")


def test_every_setting_has_a_good_value_here():
    assert set(GOOD) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("auth_token", f'"{HEX}"', "stands in quotes"),
        ("auth_token", f"{HEX}'", "stands in quotes"),
        ("auth_token", f"{HEX[:16]} {HEX[16:]}", "contains blanks or line breaks"),
        ("auth_token", f"{HEX}\u200b", "contains characters beyond plain ASCII"),
        ("auth_token", f"\x00{HEX}", "contains characters beyond plain ASCII"),
        ("auth_token", HEX[:-1], "has 31 characters"),
        ("auth_token", "g" * 33, "has 33 characters"),
        ("auth_token", "AC" + HEX, "looks like an account SID (SID and token may be swapped)"),
        ("auth_token", "Zz" * 16, "looks like the secret of an API key (auth token and API secret"),
        ("auth_token", "your_auth_token", "is a placeholder"),
        ("account_sid", "ACxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "is a placeholder"),
        ("account_sid", "<account sid>", "contains blanks"),
        ("account_sid", HEX, "looks like an auth token (SID and token may be swapped)"),
        ("account_sid", "SK" + HEX, "looks like the SID of an API key (the account's SID and the"),
        ("account_sid", "PN" + HEX, "looks like the SID of something else"),
        ("account_sid", "AC" + "g" * 32, "does not look like one"),
        ("api_key", "AC" + HEX, "looks like an account SID (the account's SID and the key's"),
        ("api_key", "aZ3" * 10 + "zz", "looks like the secret of an API key (the key's SID and"),
        ("api_secret", "SK" + HEX, "looks like the SID of an API key (the key's SID and"),
        ("api_secret", "short", "has 5 characters"),
        ("phone_number", "15550100001", "does not begin with a plus"),
        ("phone_number", "0015550100001", "does not begin with a plus"),
        ("phone_number", "+1 555 010 0001", "contains blanks"),
        ("phone_number", "+1-555-010-0001", "does not look like one"),
        ("phone_number", "+1555", "does not look like one"),
        ("phone_number", "+1555010000112345", "does not look like one"),
        ("call_to", "PN" + HEX, "looks like the SID of something else"),
        ("region", "dublin", "looks like an edge (TWILIO_EDGE)"),
        ("region", "IE1", "does not look like one"),
        ("edge", "ie1", "looks like a region (TWILIO_REGION)"),
        ("edge", "dublin.ie1", "does not look like one"),
        ("ngrok_authtoken", "short", "does not look like one"),
        ("ngrok_domain", "https://a.ngrok.app", "is a whole address"),
        ("ngrok_domain", "localhost", "does not look like one"),
        ("public_url", "http://example.com", "is http, which is for this machine alone"),
        ("public_url", "example.com", "has no scheme or no host"),
        ("public_url", "ftp://example.com", "has no scheme or no host"),
        ("public_url", "https://", "has no scheme or no host"),
        ("public_url", "https://[::1", "is no address"),
        ("public_url", "https://example.com:x", "is no address"),
        ("public_url", "wss://example.com/media", "is the address of a stream"),
        ("public_url", "https://example.com/?a=b", "has a query or a fragment"),
    ],
)  # fmt: skip
def test_another_shape_is_refused_in_words_of_its_own(name, text, words):
    said = refusal(name, text)
    setting = find_setting(name)
    assert said.startswith(f"{setting.variable}, from the environment, {words}")
    assert f"it should be {setting.words}. {setting.if_malformed}. {setting.fix}" in said


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("argument", "given as an argument"),
        (".env", "from the file .env"),
        ("prompt", "typed into"),
    ],
)
def test_refusal_says_where_the_value_came_from(source, words):
    assert refusal("auth_token", "short", source).startswith(f"TWILIO_AUTH_TOKEN, {words}")


@pytest.mark.parametrize(
    ("name", "code"),
    [("account_sid", "20003"), ("auth_token", "20003"), ("api_key", "20003"),
     ("phone_number", "21212"), ("call_to", "21211")],
)  # fmt: skip
def test_refusal_says_what_twilio_would_do(name, code):
    assert code in refusal(name, "nonsense")


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SETTINGS),
    st.one_of(
        st.text(st.characters(exclude_categories=["Zs", "Cc"]), min_size=6, max_size=80),
        st.text("0123456789abcdefACSK+:/.-", min_size=6, max_size=40),
    ),
)
def test_no_refusal_holds_the_value(setting, text):
    # A short one may be part of our own words by chance ("https:"), said of any value.
    assert text not in said_of(setting, text) or text in said_of(setting, "\N{SNOWMAN}" * 7)


def said_of(setting, text):
    try:
        check(setting, QuietText(text), "environment")
    except SettingsError as refused:
        return f"{refused} {refused!r} {vars(refused)} {refused.args}"
    return ""


@pytest.mark.parametrize(
    ("name", "text", "masked"),
    [
        ("account_sid", "AC" + HEX, "AC01…ef"),
        ("api_key", "SK" + HEX, "SK01…ef"),
        ("auth_token", HEX, "set"),
        ("api_secret", HEX, "set"),
        ("ngrok_authtoken", HEX, "set"),
        ("phone_number", "+15550100001", "+1…0001"),
        ("call_to", "+15550100002", "+1…0002"),
        ("region", "ie1", "ie1"),
        ("public_url", "https://user:pass@example.com/a", "https://…@example.com/a"),
    ],
)
def test_of_a_value_only_so_much_is_shown(name, text, masked):
    assert mask(find_setting(name), QuietText(text)) == masked


def test_a_name_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=re.escape("no setting 'sid'; there are account_sid")):
        find_setting("sid")
