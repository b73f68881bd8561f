"""What the SDK and the network raise, in words, and with nothing secret attached."""

import contextlib
import traceback
import weakref

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.response import Response

from support.far_end import TOKEN
from twistream_kit.errors import CallRefused, ServerStopped, WouldDeadlock
from twistream_kit.live.calls.sdk import ask, redact
from twistream_kit.protocol.codes import TWILIO_CODES

SID = "AC" + "0" * 32


def failing(error):
    def transport(auth):
        raise error

    return lambda: transport((SID, TOKEN))


def refusal_of(error, purpose="to call +15550100001"):
    with pytest.raises(CallRefused) as refused:
        ask(failing(error), purpose)
    return refused.value


def rest_error(status, code, message="words of Twilio's"):
    return TwilioRestException(status, "/Calls.json", message, code)


class ServiceError(TwilioException):
    """As newer parts of Twilio answer (RFC 9457): other names for the same."""

    status, code, title, detail = 400, 21211, "Bad Request", "not a number"


def test_answer_is_passed_through():
    assert ask(lambda: 42, "to count") == 42


@pytest.mark.usefixtures("collects_nothing")
def test_a_refusal_does_not_keep_what_was_asked():
    class Asked:
        def fetch(self):
            raise rest_error(404, 20404)

    def fetch(asked):
        with contextlib.suppress(CallRefused):
            ask(asked.fetch, "about a call")

    asked = Asked()
    gone = weakref.ref(asked)
    fetch(asked)
    del asked
    assert gone() is None


@pytest.mark.parametrize("code", sorted(TWILIO_CODES))
def test_every_known_code_comes_with_its_meaning_and_remedy(code):
    refused = refusal_of(rest_error(400, code))
    assert refused.code == code
    assert str(refused).startswith(
        f"Twilio refused to call +15550100001: {code}, words of Twilio's."
    )
    assert TWILIO_CODES[code].meaning in str(refused)
    assert TWILIO_CODES[code].remedy in str(refused)


def test_unknown_code_comes_with_the_page_of_twilios():
    assert "https://www.twilio.com/docs/api/errors/99999" in str(refusal_of(rest_error(400, 99999)))


def test_answer_without_a_code_has_its_http_status():
    refused = refusal_of(rest_error(502, None, "Unable to create record"))
    assert (refused.code, refused.status) == (None, 502)
    assert "502, Unable to create record" in str(refused)


def test_http_status_in_place_of_a_code_is_not_taken_for_one():
    refused = refusal_of(rest_error(502, 502))
    assert (refused.code, refused.status) == (None, 502)
    assert "errors/502" not in str(refused)


def test_refusal_of_a_list_is_read_although_the_sdk_did_not():
    answer = Response(401, '{"code": 20003, "message": "Authenticate", "status": 401}')
    refused = refusal_of(TwilioException("Unable to fetch page", answer))
    assert (refused.code, refused.status) == (20003, 401)
    assert "20003, Unable to fetch page: Authenticate" in str(refused)


def test_empty_error_of_the_sdk_is_a_refusal_too():
    assert "refused to call" in str(refusal_of(TwilioException()))


def test_other_shape_of_refusal_is_read_too():
    refused = refusal_of(ServiceError())
    assert (refused.code, refused.status) == (21211, 400)
    assert "21211, not a number" in str(refused)


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("no route"),
        requests.Timeout(),
        requests.exceptions.SSLError(),
        requests.exceptions.ProxyError(f"http://user:{TOKEN}@proxy"),
        requests.exceptions.InvalidHeader(f"Basic {TOKEN}"),
    ],
)
def test_network_that_fails_is_named_by_its_kind_alone(error):
    refused = refusal_of(error)
    assert f"Twilio could not be reached ({type(error).__name__})" in str(refused)
    assert refused.code is None
    assert TOKEN not in str(refused)


def test_sdk_that_refuses_by_itself_is_quoted():
    text = str(refusal_of(TwilioException("Credentials are required")))
    assert text == "the Twilio SDK refused to call +15550100001: Credentials are required."


def test_anything_else_is_a_refusal_without_its_text():
    error = UnicodeEncodeError("latin-1", TOKEN + "…", 32, 33, "ordinal not in range")
    text = str(refusal_of(error))
    assert "the Twilio SDK failed to call +15550100001 (UnicodeEncodeError)" in text
    assert TOKEN not in text


@pytest.mark.parametrize(
    "make",
    [
        lambda: rest_error(401, 20003),
        lambda: requests.ConnectionError("no route"),
        lambda: UnicodeEncodeError("latin-1", TOKEN, 0, 1, "…"),
        lambda: WouldDeadlock("on this very loop"),
    ],
)
def test_no_frame_and_no_error_of_the_sdk_is_attached(make):
    with pytest.raises((CallRefused, WouldDeadlock)) as refused:
        ask(failing(make()), "to call")
    raised = refused.value
    assert raised.__cause__ is None
    assert raised.__context__ is None
    # As a verbose traceback does, with the variables of every frame.
    shown = traceback.TracebackException.from_exception(raised, capture_locals=True)
    assert TOKEN not in "".join(shown.format())
    assert "transport" not in [frame.name for frame in shown.stack]


def test_what_the_kit_itself_raises_is_passed_on():
    error = ServerStopped("the simulator has stopped")
    with pytest.raises(ServerStopped) as stopped:
        ask(failing(error), "to call")
    assert stopped.value is error


def test_an_interrupt_is_none_of_its_business():
    with pytest.raises(KeyboardInterrupt):
        ask(failing(KeyboardInterrupt()), "to call")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token {TOKEN} is wrong", "token … is wrong"),
        (f"account {SID} is closed", f"account {SID} is closed"),
        ("Authorization: Basic QUM6c2VjcmV0", "Authorization: Basic …"),
        ("https://AC1:hunter2@api.twilio.com/x", "https://api.twilio.com/x"),
        ("\x1b[31mred\x1b[0m\ntwo lines\x07", "red two lines"),
        ("x" * 600, "x" * 500 + "…"),
    ],
)
def test_words_of_others_are_shown_without_secrets_and_in_one_line(text, shown):
    assert redact(text) == shown


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=40), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_no_token_survives_in_any_words(words, token):
    edge = words if not words[-1:].isalnum() else words + " "
    assert token not in redact(f"{edge}{token} {words}")
