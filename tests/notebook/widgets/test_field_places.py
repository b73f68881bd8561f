"""The place of a field in a message, also in one that is wrong, cut or hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistream_kit.notebook.widgets._field_places import find_field

MEDIA = '{"event": "media", "streamSid":"MZ1","media":{"playload":"A{:,A", "n": 5,"l":[1,{"q":2}]}}'


@pytest.mark.parametrize(
    ("field", "marked"),
    [
        ("event", '"event": "media"'),
        ("streamSid", '"streamSid":"MZ1"'),
        ("media.playload", '"playload":"A{:,A"'),
        ("media.n", '"n": 5'),
        ("media.l.q", '"q":2'),
        ("media.payload", '"media"'),
        ("media", MEDIA[MEDIA.index('"media":') : -1]),
        ("other", None),
        ("", None),
    ],
)
def test_a_field_is_its_name_with_its_value(field, marked):
    place = find_field(MEDIA, field)
    assert (place and MEDIA[place[0] : place[1]]) == marked


@pytest.mark.parametrize("text", ["hello", "7 bytes, binary: b'{}'", "", "[1]", '"media"'])
def test_what_is_no_object_has_no_fields(text):
    assert find_field(text, "media") is None


def test_a_message_that_was_cut_is_marked_to_its_end():
    text = '{"event":"media","media":{"payload":"AAAA'
    begin, end = find_field(text, "media.payload")
    assert text[begin:end] == '"payload":"AAAA'


def test_brackets_alone_end_at_once():
    text = '{"a":' * 100_000
    assert find_field(text, "a") == (1, len(text))


@given(st.text(alphabet='{}[]":,\\ab', max_size=60))
def test_any_text_is_read_to_its_end(text):
    place = find_field("{" + text, "a.b")
    assert place is None or 0 <= place[0] < place[1] <= len(text) + 1
