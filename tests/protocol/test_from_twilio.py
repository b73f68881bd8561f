import json
import pickle
import random
import re
from collections import Counter
from contextlib import suppress
from dataclasses import FrozenInstanceError
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.errors import RemoteProtocolError
from twistream_kit.protocol.from_twilio import (
    NEUTRAL_FIELDS,
    WIRE_FIELDS,
    Connected,
    Dtmf,
    Mark,
    Media,
    MediaFormat,
    Message,
    Start,
    Stop,
    Unknown,
    parse,
    read,
)

AC = "AC00000000000000000000000000000001"
CA = "CA00000000000000000000000000000002"
MZ = "MZ00000000000000000000000000000003"
ANYTHING = st.text(st.characters())

# Copied by hand from the table of PROTOCOL.md §3: key order and types as in the captures.
GOLDEN = [
    (Connected(), '{"event":"connected","protocol":"Call","version":"1.0.0"}'),
    (
        Start(MZ, AC, CA, custom_parameters={"token": "t"}),
        '{"event":"start","sequenceNumber":"1","start":{"accountSid":"'
        + AC
        + '","streamSid":"'
        + MZ
        + '","callSid":"'
        + CA
        + '","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw",'
        '"sampleRate":8000,"channels":1},"customParameters":{"token":"t"}},"streamSid":"'
        + MZ
        + '"}',
    ),
    (
        Media(MZ, b"\xff\x7f\x00", 2, "inbound", 1, 155),
        '{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1",'
        '"timestamp":"155","payload":"/38A"},"streamSid":"' + MZ + '"}',
    ),
    (
        Dtmf(MZ, "#", 5),
        '{"event":"dtmf","streamSid":"' + MZ + '","sequenceNumber":"5",'
        '"dtmf":{"track":"inbound_track","digit":"#"}}',
    ),
    (
        Mark(MZ, "greeting", 4),
        '{"event":"mark","sequenceNumber":"4","streamSid":"' + MZ + '","mark":{"name":"greeting"}}',
    ),
    (
        Stop(MZ, AC, CA, 352),
        '{"event":"stop","sequenceNumber":"352","streamSid":"'
        + MZ
        + '","stop":{"accountSid":"'
        + AC
        + '","callSid":"'
        + CA
        + '"}}',
    ),
]


@pytest.mark.parametrize(("message", "text"), GOLDEN)
def test_message_is_written_exactly_as_captured(message, text):
    assert message.to_json() == text


@pytest.mark.parametrize(("message", "text"), GOLDEN)
def test_captured_text_is_read_in_any_order(message, text):
    assert parse(text) == message
    assert parse(json.dumps(dict(reversed(json.loads(text).items())), indent=1)) == message


NUMBERS = st.integers(0, 10**9)
MESSAGES = st.one_of(
    st.builds(Connected, ANYTHING, ANYTHING),
    st.builds(
        Start,
        ANYTHING,
        ANYTHING,
        ANYTHING,
        st.lists(ANYTHING).map(tuple),
        st.builds(MediaFormat, ANYTHING, NUMBERS, NUMBERS),
        st.dictionaries(ANYTHING, ANYTHING),
        NUMBERS,
    ),
    st.builds(Media, ANYTHING, st.binary(), NUMBERS, ANYTHING, NUMBERS, NUMBERS),
    st.builds(Dtmf, ANYTHING, ANYTHING, NUMBERS, ANYTHING),
    st.builds(Mark, ANYTHING, ANYTHING, NUMBERS),
    st.builds(Stop, ANYTHING, ANYTHING, ANYTHING, NUMBERS),
)


@settings(deadline=None, max_examples=100)
@given(MESSAGES)
def test_every_message_survives_the_wire(message):
    assert parse(message.to_json()) == message


@settings(deadline=None, max_examples=60)
@given(MESSAGES)
def test_fields_of_the_future_are_ignored(message):
    later = {"aNewField": {"deep": [1]}, **json.loads(message.to_json())}
    assert parse(json.dumps(later)) == message


def test_unknown_event_is_kept_whole():
    text = '{"event":"transcription","streamSid":"' + MZ + '","sequenceNumber":"9","x":1}'
    message = parse(text)
    assert message == Unknown("transcription", text, MZ, 9)
    assert message.to_json() == text


def test_unknown_event_may_have_fields_of_any_type():
    text = '{"event":"transcription","streamSid":{},"sequenceNumber":"a"}'
    assert parse(text) == Unknown("transcription", text, "", 0)


def test_missing_optional_fields_have_defaults():
    assert parse('{"event":"connected"}') == Connected(version="")
    assert parse('{"event":"media","media":{"payload":"/w=="}}') == Media("", b"\xff")
    assert parse('{"event":"stop"}') == Stop("")
    assert parse('{"event":"start","start":{"streamSid":"MZ1"}}') == Start(
        "MZ1", tracks=(), sequence_number=0
    )


def test_number_is_read_whether_it_comes_as_number_or_as_text():
    for number in ("7", 7):
        media = {"payload": "", "chunk": number, "timestamp": number}
        text = json.dumps({"event": "media", "sequenceNumber": number, "media": media})
        assert parse(text) == Media("", b"", 7, "inbound", 7, 7)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object with an event"),
        ("{}", "not a JSON object with an event"),
        ('{"event":3}', "not a JSON object with an event"),
        ('{"event":"start"}', "start is missing"),
        ('{"event":"start","start":{}}', "streamSid is missing"),
        ('{"event":"media","media":[]}', "media is missing or not an object"),
        ('{"event":"media","media":{}}', "payload is missing"),
        ('{"event":"media","media":{"payload":"?"}}', "media.payload is not base64"),
        ('{"event":"media","media":{"payload":"","chunk":"a"}}', "chunk is 'a', not a number"),
        ('{"event":"media","media":{"payload":"","chunk":1e999}}', "chunk is inf, not a number"),
        ('{"event":"mark","mark":{"name":4}}', "name is missing or not a string"),
        ('{"event":"dtmf","dtmf":{}}', "digit is missing"),
    ],
)
def test_text_that_means_nothing_is_refused_by_field(text, problem):
    with pytest.raises(RemoteProtocolError, match=problem):
        parse(text)


def test_binary_message_is_refused():
    with pytest.raises(RemoteProtocolError, match="binary"):
        parse(Connected().to_json().encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3),
    max_leaves=8,
)
EVENTS = ["connected", "start", "media", "dtmf", "mark", "stop"]


@settings(deadline=None, max_examples=200)
@given(
    ANYTHING
    | st.binary()
    | st.fixed_dictionaries(
        {"event": st.sampled_from(EVENTS) | JSON},
        optional={
            name: JSON | st.dictionaries(st.sampled_from(["payload", "chunk", "name"]), JSON)
            for name in [*EVENTS, "sequenceNumber", "streamSid"]
        },
    ).map(json.dumps)
)
def test_parse_raises_nothing_but_remote_protocol_errors(junk):
    with suppress(RemoteProtocolError):
        parse(junk)


def fields_of(content, inside=""):
    """Give every field of a message; the names of parameters are no fields."""
    if not isinstance(content, dict) or inside == "customParameters":
        return set()
    return set(content).union(*(fields_of(value, name) for name, value in content.items()))


def test_the_list_of_fields_holds_those_of_every_message_and_no_others():
    examples = [message for message, _ in GOLDEN]
    assert {type(each) for each in examples} == set(get_args(Message)) - {Unknown}
    fields = set().union(*(fields_of(json.loads(each.to_json())) for each in examples))
    assert fields == WIRE_FIELDS, "a new field belongs into WIRE_FIELDS, or NEUTRAL_FIELDS"


def test_what_identifies_somebody_is_not_among_the_neutral_fields():
    assert not NEUTRAL_FIELDS & {
        "streamSid", "accountSid", "callSid", "customParameters", "payload", "digit", "name",
    }  # fmt: skip


def outcome_of(read, text):
    try:
        message = read(text)
    except RemoteProtocolError as error:
        return type(error), str(error), error.field
    return type(message), message


def parse_json(text):
    """Parse by the general way alone."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the message is not JSON: {error}") from error
    return read(raw, text)


MEDIA = Media(MZ, bytes(range(160)), 1234, "inbound", 1233, 24660).to_json()
ODD_TEXTS = [
    *('"', "\\", "\\u0041", "\\n", "\n", " ", "\0", "\x7f", "\u0661", "\uff11", "ä", "\ud800", "="),
    *(
        "/",
        "+",
        "A",
        "0",
        "-1",
        "1e3",
        "1.5",
        "9" * 18,
        "9" * 19,
        "9" * 5000,
        "_1",
        "null",
        "{",
        "}",
    ),
    *(",", ":", '"},', '"}', "}}", '"payload":"', '"streamSid":"', ',"streamSid":"MZ1"', "inbound"),
    *(
        '"media":{}',
        '"track":"outbound"',
        '"event":"stop"',
        '"event":"media"',
        "outbound",
        "[",
        "]",
    ),
]


def spoil(chance, text):
    at = chance.randrange(len(text) + 1)
    if chance.random() < 0.5:  # most of the text is the payload, where least depends on the place
        borders = [each.start() for each in re.finditer("[^A-Za-z0-9+/]", text)]
        at = chance.choice(borders) + chance.randrange(2)
    odd = chance.choice([chance.choice(ODD_TEXTS), chr(chance.randrange(0x110000)), ""])
    return text[:at] + odd + text[at + chance.choice((0, 0, 1, 1, 2, len(odd))) :]


def test_usual_media_is_read_as_any_other_message_is_however_it_is_spoiled():
    chance = random.Random(1)
    kinds = Counter()
    for _ in range(20_000):
        text = MEDIA
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            text = spoil(chance, text)
        outcome = outcome_of(parse, text)
        assert outcome == outcome_of(parse_json, text), text
        kinds[outcome[0]] += 1
    assert min(kinds[Media], kinds[RemoteProtocolError]) > 1000


@given(
    st.builds(
        Media,
        st.text("MZ0123456789abcdefABC", max_size=34) | ANYTHING,
        st.binary(max_size=400),
        st.integers(),
        st.sampled_from(["inbound", "outbound"]) | ANYTHING,
        st.integers(),
        st.integers(),
    )
)
@settings(deadline=None)
def test_media_of_any_content_is_read_as_any_other_message_is(message):
    text = message.to_json()
    assert parse(text) == parse_json(text) == message
    assert parse(text + " ") == message


def test_usual_media_is_a_frozen_message_like_any_other():
    message = parse(MEDIA)
    same = Media(MZ, bytes(range(160)), 1234, "inbound", 1233, 24660)
    assert type(message) is Media
    assert message == same
    assert hash(message) == hash(same)
    assert repr(message) == repr(same)
    assert pickle.loads(pickle.dumps(message)) == same
    with pytest.raises(FrozenInstanceError):
        message.track = "outbound"
