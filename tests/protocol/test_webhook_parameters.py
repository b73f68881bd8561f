import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.protocol.signature import from_form, from_json, from_query


def test_names_and_values_are_read_and_repeated_ones_have_a_list():
    assert from_query("a=1&b=&a=2&a=3") == {"a": ["1", "2", "3"], "b": ""}
    assert from_form(b"From=%2B15550100001&City=Z%C3%BCrich+1") == {
        "From": "+15550100001",
        "City": "Zürich 1",
    }


def test_a_json_object_gives_its_strings_and_numbers():
    body = b'{"CallSid":"CA1","Duration":12,"Extra":{"a":1},"List":["a"],"None":null,"Price":0.5}'
    assert from_json(body) == {"CallSid": "CA1", "Duration": "12"}


@pytest.mark.parametrize("body", [b"", b"[1]", b"nonsense", b'"text"', b"[" * 100_000, b"\xff"])
def test_what_is_no_json_object_says_nothing(body):
    assert from_json(body) == {}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_comes_is_read_without_an_error(body):
    for parameters in (from_form(body), from_json(body)):
        assert all(isinstance(name, str) for name in parameters)
