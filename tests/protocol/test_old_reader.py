"""Messages are read, refused and written as they always were, whatever becomes of the reader.

The oracle is `support.old_reader`.  Messages are spoiled by chance, from a seed that is fixed; how
many is said by TWISTREAM_MUTATIONS.
"""

from __future__ import annotations

import json
import os
import random
from base64 import b64encode
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import old_reader
from twistream_kit.errors import RemoteProtocolError
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ18ad3ab5a668481ce02b83e7395059f0"
VALUES = [
    None, True, False, 0, -1, 7, 8000.0, 7.9, -0.0, 1e308, 2**31, 2**63, 2**200, 10**400, [], {},
    [[]], ["inbound", 5, None], {"name": "x"}, "", "0", "007", " 4 ", "4\n", "-7", "+7", "1_000",
    "1__0", "7.0", "1e3", "0x10", "٣", "１２", "²", "NaN", "x", "inbound", "outbound", SID,
    "\ud800", "\udc00\ud800", "\x00", "ü 🎈", "media", "mark", "clear", "start", "stop", "dtmf",
    "connected", "novelty", "Call", "1.0.0", "AAAA", "AAA=", "AA==", "A===", "====", "AAA", "AA=A",
    "AAAA=", "AA A", "AAA\n", "A-_A", "ä", "UklGRiQAAABXQVZF", "w=", b64encode(bytes(160)).decode(),
]  # fmt: skip
KEYS = [
    "event", "sequenceNumber", "streamSid", "media", "mark", "start", "stop", "dtmf", "payload",
    "track", "chunk", "timestamp", "name", "digit", "protocol", "version", "accountSid", "callSid",
    "tracks", "mediaFormat", "encoding", "sampleRate", "channels", "customParameters", "more", "",
]  # fmt: skip
TEXTS = [
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "null", "true", "007", "-", "{", "}", "[",
    "]", ",", ":", '"', "\\", "\\u0000", "\\ud800", "\\u004d", "\\/", "\n", "\t", " ", "\ufeff",
    "\u2028", "\x00", "\x7f", "=", "é", '"event":"media",', '"streamSid":null,', '{"event":"mark"}',
]  # fmt: skip

GOOD = [
    from_twilio.Connected(),
    from_twilio.Start(SID, "AC1", "CA1", custom_parameters={"to": "you", "ü": "ä"}),
    from_twilio.Start(SID, tracks=("inbound", "outbound"), sequence_number=2),
    from_twilio.Media(SID, bytes(range(30)), 7, "inbound", 5, 177),
    from_twilio.Media(SID, b"\xff" * 160, 10**10, "outbound", 10**10, 10**12),
    from_twilio.Media(SID, b""),
    from_twilio.Dtmf(SID, "#", 8),
    from_twilio.Mark(SID, "story#1@3s", 9),
    from_twilio.Stop(SID, "AC1", "CA1", 10),
    from_twilio.Unknown("novelty", f'{{"event":"novelty","streamSid":"{SID}"}}'),
    to_twilio.Media(SID, bytes(range(30))),
    to_twilio.Media(SID, b""),
    to_twilio.Mark(SID, 'ü "quoted" \\ \n'),
    to_twilio.Clear(SID),
]
NEVER = ["", "[]", "{", "null", "NaN", '"media"', "[" * 100_000, '{"a":' * 100_000, "1" * 5000]

DIRECTIONS = [
    (from_twilio, old_reader.read_from_twilio, old_reader.write_from_twilio),
    (to_twilio, old_reader.read_to_twilio, old_reader.write_to_twilio),
]


def plain(message):
    """Return a message as the oracle gives it, read by the names that are the contract."""
    fields = FIELDS[type(message)]
    values = [getattr(message, name) for name in fields]
    return (
        type(message).__name__,
        *(plain(each) if isinstance(each, from_twilio.MediaFormat) else each for each in values),
    )


FIELDS = {
    from_twilio.Connected: ("protocol", "version"),
    from_twilio.MediaFormat: ("encoding", "sample_rate", "channels"),
    from_twilio.Start: (
        "stream_sid", "account_sid", "call_sid", "tracks", "media_format", "custom_parameters",
        "sequence_number",
    ),
    from_twilio.Media: (
        "stream_sid", "payload", "sequence_number", "track", "chunk", "timestamp_ms",
    ),
    from_twilio.Dtmf: ("stream_sid", "digit", "sequence_number", "track"),
    from_twilio.Mark: ("stream_sid", "name", "sequence_number"),
    from_twilio.Stop: ("stream_sid", "account_sid", "call_sid", "sequence_number"),
    from_twilio.Unknown: ("event", "raw", "stream_sid", "sequence_number"),
    to_twilio.Media: ("stream_sid", "payload"),
    to_twilio.Mark: ("stream_sid", "name"),
    to_twilio.Clear: ("stream_sid",),
}  # fmt: skip


def reading(read, text):
    """Return what came of reading: the message, or all that an error says."""
    try:
        return read(text)
    except RemoteProtocolError as error:
        return (
            type(error), error.field, error.twilio_code, str(error), error.problem,
            error.consequence, error.fix, type(error.__cause__), str(error.__cause__),
        )  # fmt: skip


def typed(value):
    """Return values with their types: 1, 1.0 and True are equal, and none of them the others."""
    if isinstance(value, tuple):
        return tuple(map(typed, value))
    return (type(value), value)


def check(text):
    """Let both readers read `text`; return how many of the two directions accept it."""
    n_accepted = 0
    for new, old_read, old_write in DIRECTIONS:
        expected = reading(old_read, text)
        message = reading(new.parse, text)
        if type(message) is tuple:
            assert message == expected, ascii(text)
            continue
        assert typed(plain(message)) == typed(expected), ascii(text)
        assert message.to_json() == old_write(expected), ascii(text)
        n_accepted += 1
    return n_accepted


def places_in(value, found):
    """Find each object of a message, and return all of them."""
    if isinstance(value, dict):
        found.append(value)
        for each in value.values():
            places_in(each, found)
    return found


class Spoiler:
    """Spoils messages: their values, their keys, their text, or several of these."""

    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._texts = [message.to_json() for message in GOOD]

    def next(self):
        chance = self._chance
        text = chance.choice(self._texts)
        kind = chance.random()
        if kind < 0.6:
            content = json.loads(text)
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                self._spoil_object(chance.choice(places_in(content, [])))
            text = json.dumps(content, ensure_ascii=chance.random() < 0.9)
        if kind > 0.5:
            for _ in range(chance.choice((1, 1, 2))):
                text = self._spoil_text(text)
        return text.encode(errors="replace") if kind < 0.005 else text

    def _spoil_object(self, content):
        chance = self._chance
        key = chance.choice(list(content) or KEYS)
        match chance.randrange(5):
            case 0 | 1:
                content[key] = deepcopy(chance.choice(VALUES))
            case 2:
                content.pop(key, None)
            case 3:
                content[chance.choice(KEYS)] = content.pop(key, None)
            case _:
                content[chance.choice(KEYS)] = deepcopy(chance.choice(VALUES))

    def _spoil_text(self, text):
        chance = self._chance
        start = chance.randrange(len(text) + 1)
        match chance.randrange(4):
            case 0:
                return text[:start] + chance.choice(TEXTS) + text[start:]
            case 1:
                return text[:start] + text[start + chance.randrange(1, 6) :]
            case 2:
                return text[:start] + chance.choice(TEXTS) + text[start + 1 :]
            case _:
                # A value gives way, so that what JSON writes without quotes comes in its place.
                colon = text.find(":", start)
                end = text.find(",", colon)
                return text[: colon + 1] + chance.choice(TEXTS) + text[end if end > 0 else -1 :]


def spoiled(number, seed):
    """Read so many spoiled messages; return how many of them each direction accepted."""
    spoiler = Spoiler(seed)
    return sum(check(spoiler.next()) for _ in range(number))


def test_good_messages_are_read_and_written_as_they_were():
    for message in GOOD:
        assert check(message.to_json()) >= 1
    for text in NEVER:
        assert check(text) == 0


def test_each_single_value_is_taken_or_refused_as_it_was():
    for message in GOOD:
        content = json.loads(message.to_json())
        for place in places_in(content, []):
            for key in list(place):
                before = place[key]
                for value in VALUES:
                    place[key] = value
                    check(json.dumps(content))
                place[key] = before


def test_spoiled_messages_are_taken_or_refused_as_they_were():
    number = int(os.environ.get("TWISTREAM_MUTATIONS", "20_000"))
    assert 0.1 * number < spoiled(number, seed=1) < 1.9 * number


@pytest.mark.slow
def test_very_many_spoiled_messages_are_taken_or_refused_as_they_were():
    number = int(os.environ.get("TWISTREAM_MUTATIONS", "400_000"))
    assert 0.1 * number < spoiled(number, seed=2) < 1.9 * number


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(VALUES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(
    st.fixed_dictionaries(
        {
            "event": st.sampled_from(
                ["connected", "start", "media", "mark", "dtmf", "stop", "clear"]
            )
        },
        optional=dict.fromkeys(KEYS[1:], JSON),
    ).map(json.dumps)
)
def test_any_message_is_taken_or_refused_as_it_was(text):
    check(text)
