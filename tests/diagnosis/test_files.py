"""Messages as people keep them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.files import read_messages
from twistream_kit.protocol import from_twilio, to_twilio

CLEAR = '{"event": "clear", "streamSid": "MZ1"}'


def test_each_line_is_a_message_and_keeps_its_number():
    raw = f"{CLEAR}\r\n\n  {CLEAR}\nnot JSON\n".encode()
    assert list(read_messages(raw)) == [
        ("line 1", CLEAR),
        ("line 3", CLEAR),
        ("line 4", "not JSON"),
    ]


def test_one_message_over_several_lines_is_one_message_as_it_is_written():
    text = '{\n  "event": "clear",\n  "event": "mark"\n}\n'
    assert list(read_messages(text.encode())) == [("message 1", text)]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_holds_messages_as_objects_or_as_texts(indent):
    raw = json.dumps([{"event": "clear"}, CLEAR], indent=indent).encode()
    assert list(read_messages(raw)) == [("message 1", '{"event": "clear"}'), ("message 2", CLEAR)]


def test_a_document_that_is_not_json_is_one_message():
    assert list(read_messages(b'{\n "event": \n')) == [("message 1", '{\n "event": \n')]


def test_what_is_no_text_is_one_binary_message():
    assert list(read_messages(b"\xff\xfe\x00")) == [("message 1", b"\xff\xfe\x00")]


def test_of_a_capture_the_messages_of_the_server_are_taken(tmp_path):
    capture = Capture("MZ1", "CA1", 0.0)
    for message in (from_twilio.Connected(), to_twilio.Clear("MZ1"), to_twilio.Mark("MZ1", "a")):
        capture.append(message, 0.5)
    raw = capture.save(tmp_path / "call.jsonl").read_bytes()
    taken = [(place, json.loads(message)["event"]) for place, message in read_messages(raw)]
    assert taken == [("line 3", "clear"), ("line 4", "mark")]


@pytest.mark.parametrize("raw", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_holds_no_message(raw):
    assert list(read_messages(raw)) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3), max_size=5))
def test_messages_written_one_a_line_come_back(messages):
    raw = "\n".join(json.dumps(message) for message in messages).encode()
    assert [json.loads(text) for _, text in read_messages(raw)] == messages
