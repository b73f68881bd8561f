import copy
import hmac
import inspect
import io
import json
import logging
import pickle
import pprint
import traceback
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.ultratb import VerboseTB
from IPython.lib.pretty import pretty

from twistream_kit.live.settings.secret import HIDDEN, QuietText, Secret, reveal_text

TEXT = "tops3cretn0tt0beseen"


@pytest.fixture
def secret():
    return Secret(TEXT)


@pytest.mark.parametrize(
    "shown",
    [repr, str, format, "{0}".format, "{0:>30}".format, "{0!r:.4}".format, ascii, pretty,
     pprint.pformat, lambda s: f"{s} {s!r} {[s]} {({'a': s})}", "%s".__mod__, "%r".__mod__,
     lambda s: str(inspect.getmembers(s)), lambda s: str(s.__getstate__()), dir,
     lambda s: str(s._text.__class__)],
)  # fmt: skip
def test_secret_is_not_shown(secret, shown):
    assert "s3cret" not in str(shown(secret))


@pytest.mark.parametrize(
    "shown", [repr, ascii, pretty, pprint.pformat, "{0!r}".format, "%r".__mod__]
)
def test_what_was_revealed_hides_wherever_its_repr_is_shown(secret, shown):
    assert "s3cret" not in shown(secret.reveal())
    assert "s3cret" not in shown([secret.reveal(), (secret.reveal(),), {"a": secret.reveal()}])


def test_what_was_revealed_is_the_text_that_goes_into_a_header(secret):
    text = secret.reveal()
    assert isinstance(text, str)
    assert (text, str(text), f"{text}", text.encode()) == (TEXT, TEXT, TEXT, TEXT.encode())
    assert b64encode(f"user:{text}".encode()) == b64encode(f"user:{TEXT}".encode())
    assert hmac.digest(text.encode(), b"", "sha1") == hmac.digest(TEXT.encode(), b"", "sha1")
    assert json.loads(json.dumps(text)) == TEXT


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_neither_can_be_pickled(secret, protocol):
    for kept in (secret, secret.reveal(), [secret], {"a": secret.reveal()}):
        with pytest.raises(TypeError, match="cannot be pickled") as refused:
            pickle.dumps(kept, protocol)
        assert "s3cret" not in str(refused.value)


def test_copies_are_the_secret_itself(secret):
    text = secret.reveal()
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    assert copy.copy(text) is text
    assert copy.deepcopy([text])[0] is text


def test_secrets_are_equal_by_their_text_and_never_equal_to_a_str(secret):
    assert secret == Secret(TEXT)
    assert hash(secret) == hash(Secret(TEXT))
    assert secret != Secret(TEXT + "x")
    assert secret != TEXT
    assert Secret("ü") == Secret("ü")


def test_comparison_takes_constant_time(secret, monkeypatch):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: bool(compared.append((a, b))))
    assert secret != Secret(TEXT)
    assert compared == [(TEXT.encode(), TEXT.encode())]


def test_secret_cannot_be_changed(secret):
    with pytest.raises(AttributeError, match="cannot be changed"):
        secret._text = "other"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del secret._text
    assert secret.reveal() == TEXT


def test_an_error_in_making_one_shows_nothing_in_a_verbose_traceback():
    frames = []
    for wrong in (TEXT.encode(), "", None, 5):
        with pytest.raises((TypeError, ValueError)) as refused:
            Secret(wrong)
        tb = refused.tb.tb_next  # without the frame of this test, which has it in plain text
        shown = VerboseTB(theme_name="nocolor").text(refused.type, refused.value, tb)
        frames.append(shown)
    assert "__init__" in frames[0]
    assert "s3cret" not in "".join(frames)
    assert "bytes" in frames[0]


def test_a_log_and_a_traceback_show_nothing(secret, caplog):
    with caplog.at_level(logging.DEBUG, "twistream_kit"):  # whatever level another test gave it
        logging.getLogger("twistream_kit").debug("%s %r %s", secret, secret.reveal(), [secret])
    written = io.StringIO()
    try:
        raise ValueError(secret, secret.reveal())
    except ValueError:
        traceback.print_exc(file=written)
    assert "s3cret" not in caplog.text + written.getvalue()
    assert HIDDEN in caplog.text
    assert HIDDEN in written.getvalue()


def test_revealed_takes_what_may_be_a_secret():
    assert reveal_text(Secret(TEXT)) == reveal_text(TEXT) == TEXT
    assert reveal_text(None) == reveal_text("") == ""
    assert repr(reveal_text(TEXT)) == HIDDEN


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1))
def test_every_text_comes_back_and_is_never_shown(text):
    assert Secret(text).reveal() == text
    assert repr(Secret(text)) == repr(QuietText(text)) == str(Secret(text)) == HIDDEN
