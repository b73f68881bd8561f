"""A message in words, and as it came."""

from __future__ import annotations

import pytest

from support.captures import capture_of
from twistream_kit.capture.message_text import describe_message, get_event, quote_message
from twistream_kit.live.inspector.report import ConsoleReport
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.live.stream.state import StreamState
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.runtime.activity_log import ActivityLog
from twistream_kit.notebook.widgets.activity_lines import ActivityLines
from twistream_kit.notebook.widgets.stream_log import LogLines
from twistream_kit.pending import HomeLoop
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
START = from_twilio.Start(SID, "AC1", "CA1", custom_parameters={"customer": "42", "pin": "7"})

WORDS = [
    (from_twilio.Connected(), "connected", "Twilio connected"),
    (START, "start", f"Twilio started the stream {SID}, parameters: customer, pin"),
    (from_twilio.Start(SID), "start", f"Twilio started the stream {SID}"),
    (from_twilio.Media(SID, b"\xff"), "media", "media came"),
    (from_twilio.Dtmf(SID, "#"), "dtmf", "the caller pressed #"),
    (from_twilio.Mark(SID, "end#1"), "mark", "mark 'end#1' came back"),
    (from_twilio.Stop(SID), "stop", "Twilio stopped the stream"),
    (
        from_twilio.Unknown("news", '{"event":"news"}'),
        "news",
        "Twilio sent 'news', an event that is not known here",
    ),
    (to_twilio.Media(SID, b"\xff"), "media", "media sent"),
    (to_twilio.Mark(SID, "end#1"), "mark", "mark 'end#1' sent"),
    (to_twilio.Mark(SID, "end#1@2s"), "progress mark", "mark 'end#1@2s' sent"),
    (to_twilio.Clear(SID), "clear", "clear sent"),
]


@pytest.mark.parametrize(("message", "event", "words"), WORDS)
def test_every_message_has_its_words(message, event, words):
    assert (get_event(message), describe_message(message)) == (event, words)


def test_values_of_parameters_are_left_out():
    assert "42" not in describe_message(START)


def test_names_of_any_length_and_with_any_characters_make_one_short_line():
    for message in (to_twilio.Mark(SID, "\x1b[31m\n" * 999), from_twilio.Unknown("\n" * 999, "{}")):
        words = describe_message(message)
        assert len(words) < 300
        assert words.isprintable()


def test_console_and_activity_say_it_in_the_same_words():
    messages = [message for message, event, _ in WORDS if event in ("mark", "dtmf", "clear")]
    inspected = InspectedStream(HomeLoop("nobody"), 0.0)
    stream = MediaStream(StreamState(START, HomeLoop("nobody")))
    for message in messages:
        inspected.capture.append(message, 1.0)
        stream.capture.append(message, stream.capture.started + 1.0)
    expected = [describe_message(message) for message in messages]
    console = ConsoleReport(inspected).read_new_lines()
    assert [line.split(maxsplit=4)[4] for line in console] == expected
    activity = ActivityLines(stream, ActivityLog()).read_lines()
    assert [line.split(": ", 1)[1] for line in activity] == expected


def test_a_short_message_is_quoted_as_it_came():
    assert quote_message('{"event": "clear"}') == '{"event": "clear"}'
    assert quote_message(b"\x00{}") == "3 bytes, binary: b'\\x00{}'"


def test_of_a_long_message_both_ends_are_quoted_and_its_length():
    text = "<" + "x" * 5000 + '"track":"outbound"}'
    quoted = quote_message(text, 100)
    assert quoted.startswith("<xxx")
    assert quoted.endswith('"track":"outbound"} (5020 characters)')
    assert len(quoted) < 200
    assert len(quote_message(bytes(5000), 100)) < 500


def test_a_binary_message_is_quoted_alike_by_inspector_and_log():
    inspected = InspectedStream(HomeLoop("nobody"), 0.0)
    inspected.take("server", b"\x00\x01", 0.0)
    capture = capture_of(SID, (0.0, START))
    capture.note_odd(1.0, b"\x00\x01")
    log = LogLines(capture)
    log.read()
    assert inspected.violations[0].text == log.lines[-1].text == "2 bytes, binary: b'\\x00\\x01'"
