from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.simulator.model.numbers import Sids
from twistream_kit.simulator.rest.account import Credentials

OURS = Credentials.draw(Sids())


def basic(name, secret):
    return "Basic " + b64encode(f"{name}:{secret}".encode()).decode()


def test_each_pair_of_name_and_secret_logs_in_as_what_it_is():
    assert OURS.identify(basic(OURS.account_sid, OURS.auth_token)) == "account"
    assert OURS.identify(basic(OURS.api_key, OURS.api_secret)) == "key"
    assert OURS.identify(basic(OURS.test_sid, OURS.test_token)) == "test"


def test_no_name_goes_with_the_secret_of_another():
    names = (OURS.account_sid, OURS.api_key, OURS.test_sid)
    tokens = (OURS.auth_token, OURS.api_secret, OURS.test_token)
    for i, name in enumerate(names):
        for j, secret in enumerate(tokens):
            assert (OURS.identify(basic(name, secret)) is None) == (i != j)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic \u00fc",
        "Basic ====",
        f"Bearer {b64encode(f'{OURS.account_sid}:{OURS.auth_token}'.encode()).decode()}",
        basic(OURS.account_sid, OURS.auth_token + " "),
        basic(OURS.account_sid, ""),
    ],
    # The secrets are drawn anew in each process, and the names of tests must not differ with them.
    ids=["empty", "no text", "not ASCII", "not base64", "bearer", "longer secret", "no secret"],
)
def test_anything_else_logs_in_as_nobody(header):
    assert OURS.identify(header) is None


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_no_text_breaks_the_log_in(text):
    assert OURS.identify(text) is None
    assert OURS.identify(f"Basic {text}") is None


def test_secrets_are_drawn_anew_and_shown_nowhere():
    other = Credentials.draw(Sids())
    names = ("account_sid", "api_key", "test_sid")
    assert [getattr(other, name) for name in names] == [getattr(OURS, name) for name in names]
    for name in ("auth_token", "api_secret", "test_token"):
        assert getattr(other, name) != getattr(OURS, name)
        assert getattr(OURS, name) not in repr(OURS)
