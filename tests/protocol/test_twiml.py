import ast
import re
import subprocess
import sys
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.diagnosis.twiml import review_twiml
from twistream_kit.errors import LocalProtocolError
from twistream_kit.protocol.twiml import connect_stream, review_stream_url

URL = "wss://example.com/media"


def test_smallest_document_is_written_as_documented():
    assert connect_stream(URL) == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Response><Connect><Stream url="wss://example.com/media" /></Connect></Response>'
    )


def test_all_arguments_stand_where_twilio_reads_them():
    root = ElementTree.fromstring(
        connect_stream(
            URL,
            parameters={"token": "a & <b>", "empty": ""},
            name="main",
            status_callback="https://example.com/status?a=1&b=2",
            status_callback_method="GET",
            action="/next",
            method="POST",
        )
    )
    [connect] = root
    [stream] = connect
    assert (root.tag, connect.tag, stream.tag) == ("Response", "Connect", "Stream")
    assert connect.attrib == {"action": "/next", "method": "POST"}
    assert stream.attrib == {
        "url": URL,
        "name": "main",
        "statusCallback": "https://example.com/status?a=1&b=2",
        "statusCallbackMethod": "GET",
    }
    assert [parameter.attrib for parameter in stream] == [
        {"name": "token", "value": "a & <b>"},
        {"name": "empty", "value": ""},
    ]


@pytest.mark.parametrize("url", ["ws://127.0.0.1:5000/media", "ws://localhost/m", "ws://[::1]:5/m"])
def test_ws_is_allowed_on_this_machine_only(url):
    assert url in connect_stream(url)


@pytest.mark.parametrize(
    ("url", "code", "text"),
    [
        (
            "ws://example.com/media",
            31922,
            (
                "<Stream url> begins with ws:// instead of wss://. Twilio would not open the stream"
                " (error 31922); the next verb runs, or the call ends. Write"
                " wss://example.com/media; the server needs TLS there, its own or that of a proxy"
                " or tunnel."
            ),
        ),
        (
            "wss://example.com/media?token=1",
            31920,
            (
                "<Stream url> has a query, ?token=1. Streams do not support one: it is dropped in"
                " silence, or the handshake fails (31920). Pass its values by <Parameter>:"
                " kit.connect_stream('wss://example.com/media', parameters={'token': '1'})."
            ),
        ),
        ("https://example.com/media", 31922, None),
        ("/media", None, None),
        ("", 31923, None),
    ],
)
def test_url_that_twilio_would_not_dial_is_refused(url, code, text):
    with pytest.raises(LocalProtocolError) as caught:
        connect_stream(url)
    assert caught.value.twilio_code == code
    assert text in (None, str(caught.value))


def test_parameter_of_499_characters_fits_and_one_of_500_does_not():
    assert "v" * 495 in connect_stream(URL, parameters={"name": "v" * 495})
    with pytest.raises(LocalProtocolError) as caught:
        connect_stream(URL, parameters={"name": "v" * 496})
    assert str(caught.value) == (
        "<Parameter> 'name' has 500 characters, name and value together. Twilio wants fewer than"
        " 500; what it does with more is not documented. Pass a short token and keep the rest on"
        " your server."
    )


def test_inline_document_of_more_than_4000_characters_is_refused():
    parameters = {f"p{number}": "v" * 450 for number in range(9)}
    with pytest.raises(LocalProtocolError, match=r"4000 are the most\. .*error 32018") as caught:
        connect_stream(URL, parameters=parameters)
    assert caught.value.twilio_code == 32018
    assert len(connect_stream(URL, parameters=parameters, inline=False)) > 4000
    many = {f"p{number}": "v" * 450 for number in range(150)}
    with pytest.raises(LocalProtocolError, match="65536 are the most"):
        connect_stream(URL, parameters=many, inline=False)


@pytest.mark.parametrize("text", ["\0", "\x1b", "\ud800", "\ufffe"])
def test_characters_that_xml_cannot_carry_are_refused(text):
    with pytest.raises(LocalProtocolError, match="XML cannot carry"):
        connect_stream(URL, parameters={"name": text})
    with pytest.raises(LocalProtocolError, match="XML cannot carry"):
        connect_stream(URL, name=text)


def test_parameter_that_is_no_string_is_a_type_error():
    with pytest.raises(TypeError, match="parameter 'attempt' is 3: names and values"):
        connect_stream(URL, parameters={"attempt": 3})


def test_parameter_without_a_name_is_refused():
    with pytest.raises(LocalProtocolError, match="has no name"):
        connect_stream(URL, parameters={"": "x"})


def test_method_other_than_get_and_post_is_refused():
    with pytest.raises(ValueError, match="method is 'post': write 'GET' or 'POST'"):
        connect_stream(URL, action="/next", method="post")


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"]), max_size=60)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(PRINTABLE.filter(bool), PRINTABLE, max_size=5))
def test_whatever_is_written_brings_the_parameters_back_and_meets_no_error(parameters):
    twiml = connect_stream(URL, parameters=parameters)
    found = {p.get("name"): p.get("value") for p in ElementTree.fromstring(twiml)[0][0]}
    assert found == parameters
    assert not [o for o in review_twiml(twiml) if o.severity == "error"]


def test_the_sdk_is_not_loaded_before_it_is_needed():
    code = "import sys, twistream_kit.protocol.twiml; assert 'twilio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1/media?x=1",
        "ws://localhost:1/media?x=1#f",
        "https://user:word@localhost:1/media?x=1",
        "http://example.com/media?x=1&y=a%20b",
        "ws://user:word@example.com/media?x=1#f",
        "wss://example.com:0/media?x=1",
        "wss://user:word@example.com/media?x=1#f",
        "example.com/media?x=1",
    ],
)
def test_each_address_that_a_fix_says_to_write_meets_no_error_itself(url):
    fixes = [objection.fix for objection in review_stream_url(url)]
    written = [each for fix in fixes for each in re.findall(r"[Ww]rite (wss?://\S+)", fix)]
    assert written
    for each in written:
        found = review_stream_url(each.rstrip(",;."))
        assert not [str(objection) for objection in found if objection.severity == "error"]
        assert not any("holds a user" in objection.problem for objection in found)
    passed_on = [ast.literal_eval(each) for fix in fixes for each in re.findall(r"{'x.*?}", fix)]
    assert passed_on
    assert all(each == dict(parse_qsl(urlsplit(url).query)) for each in passed_on)
