"""Frames read from bytes that go past, cut anywhere, right and wrong."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode

from twistream_kit.live.inspector._frames import (
    MOST_VIOLATIONS,
    Closing,
    Frame,
    FrameReader,
    FrameViolation,
    MessageReader,
    Opcode,
)

kinds = st.sampled_from([*Opcode])


@st.composite
def frames(draw):
    opcode = draw(kinds)
    is_control = opcode >= 8
    size = draw(st.integers(0, 125) if is_control else st.sampled_from([0, 1, 125, 126, 65536]))
    seed = draw(st.binary(min_size=1, max_size=8))
    payload = (seed * (size // len(seed) + 1))[:size]
    return TheirFrame(TheirOpcode(opcode), payload, is_control or draw(st.booleans()))


def pieces(raw, cuts):
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return [raw[a:b] for a, b in pairwise(places)]


def read(reader, raw, cuts=()):
    found = []
    for piece in pieces(raw, cuts):
        reader.feed(piece)
        while (frame := reader.read_frame()) is not None:
            found.append(frame)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(frames(), max_size=5), st.booleans(), st.lists(st.integers(0, 1 << 20)))
def test_reader_finds_the_frames_that_websockets_wrote_however_they_are_cut(sent, masked, cuts):
    raw = b"".join(frame.serialize(mask=masked) for frame in sent)
    reader = FrameReader(masked=masked)
    assert read(reader, raw, cuts) == [
        Frame(Opcode(frame.opcode), bytes(frame.data), frame.fin, len(frame.data)) for frame in sent
    ]
    assert reader.is_between_frames


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.booleans(), st.lists(st.integers(0, 400)))
def test_no_bytes_at_all_make_the_reader_raise(raw, masked, cuts):
    read(FrameReader(masked=masked, largest=100), raw, cuts)
    reader = MessageReader(masked=masked, largest=100)
    for piece in pieces(raw, cuts):
        reader.feed(piece)
        for passed in reader.read():
            assert passed is None or isinstance(passed, str | bytes | Closing | FrameViolation)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xc1\x00", "compressed"),
        (b"\xa1\x00", "RSV2"),
        (b"\x83\x00", "opcode is 3"),
        (b"\x09\x00", "control frame in fragments"),
        (b"\x89\x7e" + struct.pack("!H", 126) + b"x" * 126, "126 bytes; 125 are allowed"),
        (b"\x81\x80\x00\x00\x00\x00", "only a client's frames"),
    ],
)
def test_reader_says_what_the_rfc_objects_to_and_reads_on(raw, words):
    good = TheirFrame(TheirOpcode.TEXT, b"hello").serialize(mask=False)
    first, second = read(FrameReader(masked=False), raw + good)
    (fault,) = first.faults
    assert words in fault
    assert second == Frame(Opcode.TEXT, b"hello", size=5)


def test_frames_of_a_client_have_to_be_masked():
    (frame,) = read(FrameReader(masked=True), b"\x81\x02hi")
    assert frame.payload == b"hi"
    assert frame.faults == ("it is not masked, as a client's frames have to be",)


def test_frame_that_is_too_long_passes_unread_and_the_next_is_read():
    long = TheirFrame(TheirOpcode.BINARY, bytes(1000)).serialize(mask=True)
    short = TheirFrame(TheirOpcode.TEXT, b"next").serialize(mask=True)
    reader = FrameReader(masked=True, largest=999)
    found = read(reader, long + short, range(0, 1000, 7))
    assert found == [
        Frame(Opcode.BINARY, b"", size=1000),
        Frame(Opcode.TEXT, b"next", size=4),
    ]
    assert reader.is_between_frames


def messages(*parts, largest=1000):
    reader = MessageReader(masked=False, largest=largest)
    reader.feed(b"".join(parts))
    return [passed for passed in reader.read() if passed is not None]


def part(opcode, payload=b"", *, fin=True):
    return TheirFrame(TheirOpcode(opcode), payload, fin).serialize(mask=False)


def test_message_in_fragments_is_put_together_around_a_ping():
    found = messages(
        part(1, b"gr\xc3", fin=False), part(9, b"?"), part(0, b"\xbc", fin=False), part(0, b"n")
    )
    assert found == ["grün"]


def test_binary_messages_stay_bytes():
    assert messages(part(2, b"\x00\x01")) == [b"\x00\x01"]


def test_text_that_is_not_utf8_is_a_violation():
    (found,) = messages(part(1, b"\xff\xfe"))
    assert isinstance(found, FrameViolation)
    assert "UTF-8" in found.problem


def test_fragments_out_of_order_are_violations_and_the_next_message_is_read():
    found = messages(part(0, b"x"), part(1, b"a", fin=False), part(1, b"b"))
    assert [type(each) for each in found] == [FrameViolation, FrameViolation, str]
    assert found[2] == "b"


def test_compressed_message_is_one_violation_and_no_message():
    (found,) = messages(b"\xc1\x02\xff\xff")
    assert "RSV1" in found.problem


def test_message_of_many_fragments_is_let_go_when_it_is_too_long():
    parts = [part(1, b"x" * 600, fin=False), part(0, b"x" * 600)]
    (found,) = messages(*parts)
    assert "1200 bytes" in found.problem


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"", 1005, ""),
        (struct.pack("!H", 1000) + b"bye", 1000, "bye"),
        (struct.pack("!H", 4001), 4001, ""),
    ],
)
def test_close_frames_give_their_code_and_reason(payload, code, reason):
    assert messages(part(8, payload)) == [Closing(code, reason)]


@pytest.mark.parametrize("payload", [b"\x03", struct.pack("!H", 1006), struct.pack("!H", 999)])
def test_close_code_that_may_not_be_sent_is_a_violation(payload):
    violation, closing = messages(part(8, payload))
    assert "Close frame with a code" in violation.problem
    assert isinstance(closing, Closing)


AFTER_A_CLOSE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"\x81\x02hi",
    b"\x88\x02\x03\xf3",
    bytes(range(256)),
]


@pytest.mark.parametrize("rest", AFTER_A_CLOSE)
@pytest.mark.parametrize("cuts", [(), (3,), (4,), (2, 4, 9)])
def test_nothing_is_read_after_a_close_frame(rest, cuts):
    reader = MessageReader(masked=False)
    raw = b"\x81\x02yo" + b"\x88\x02\x03\xe8" + rest
    found = []
    for piece in pieces(raw, cuts):
        reader.feed(piece)
        found += [passed for passed in reader.read() if passed is not None]
    assert found == ["yo", Closing(1000)]
    assert reader.is_between_frames


def test_after_very_many_violations_nothing_more_is_read():
    reader = MessageReader(masked=True)
    reader.feed(b"\x83\x00" * (MOST_VIOLATIONS + 50))
    found = [each for each in reader.read() if isinstance(each, FrameViolation)]
    assert MOST_VIOLATIONS <= len(found) < MOST_VIOLATIONS + 3
    reader.feed(b"\x83\x00")
    assert list(reader.read()) == []
