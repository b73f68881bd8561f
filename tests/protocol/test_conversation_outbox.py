"""The outbox: order, clears that empty it, frames, and progress marks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.conversation import Outbox
from twistream_kit.protocol.marks import MarkName

SID = "MZ00000000000000000000000000000000"
SECOND = 8000
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "


@pytest.fixture
def outbox():
    return Outbox(SID)


def drain(outbox):
    """Take everything; shorten it to readable pairs."""
    taken = []
    while (outgoing := outbox.take()) is not None:
        message = outgoing.message
        assert message.stream_sid == SID
        if isinstance(message, to_twilio.Media):
            taken.append((outgoing.handle, message.payload))
        elif isinstance(message, to_twilio.Mark):
            assert outgoing.handle == ""
            taken.append(("progress" if outgoing.progress else "mark", message.name))
        else:
            taken.append("clear")
    return taken


def test_empty_outbox_has_nothing_to_send(outbox):
    assert not outbox
    assert not outbox.needs_room
    assert outbox.take() is None


def test_audio_leaves_in_frames_of_160_bytes_and_a_rest(outbox):
    payload = bytes(range(256)) * 2  # 512 = 3 × 160 + 32
    outbox.put_sound("a", payload)
    taken = drain(outbox)
    assert [len(frame) for _, frame in taken] == [160, 160, 160, 32]
    assert b"".join(frame for _, frame in taken) == payload
    assert {handle for handle, _ in taken} == {"a"}


def test_sounds_and_marks_leave_in_the_order_of_the_commands(outbox):
    outbox.put_mark("first", own=False)
    outbox.put_sound("a", b"\x01" * 160)
    outbox.put_mark("second", own=True)
    outbox.put_sound("b", b"\x02" * 10)
    assert drain(outbox) == [
        ("mark", "first"),
        ("a", b"\x01" * 160),
        ("mark", "second"),
        ("b", b"\x02" * 10),
    ]


def test_frames_of_two_sounds_are_never_joined(outbox):
    outbox.put_sound("a", b"\x01" * 100)
    outbox.put_sound("b", b"\x02" * 100)
    assert drain(outbox) == [("a", b"\x01" * 100), ("b", b"\x02" * 100)]


def test_clear_overtakes_unsent_audio_and_keeps_the_named_marks_in_order(outbox):
    outbox.put_mark("one", own=False)
    outbox.put_sound("a", b"\x01" * 500)
    outbox.put_mark("two", own=False)
    outbox.put_sound("b", b"\x02" * 500)
    outbox.put_mark("three", own=False)
    assert outbox.clear() == []
    assert drain(outbox) == ["clear", ("mark", "one"), ("mark", "two"), ("mark", "three")]


def test_clear_drops_our_own_marks_and_names_them(outbox):
    outbox.put_sound("a", b"\x01" * 500)
    outbox.put_mark("a", own=True)
    outbox.put_mark("named", own=False)
    outbox.put_sound("b", b"\x01" * 500)
    outbox.put_mark("b", own=True)
    assert outbox.clear() == ["a", "b"]
    assert drain(outbox) == ["clear", ("mark", "named")]


def test_clear_takes_the_rest_of_a_sound_that_is_half_sent(outbox):
    outbox.put_sound("a", b"\x01" * 480)
    outbox.take()
    outbox.clear()
    assert drain(outbox) == ["clear"]


def test_clear_of_an_empty_outbox_is_still_sent(outbox):
    assert outbox.clear() == []
    assert outbox
    assert not outbox.needs_room
    assert drain(outbox) == ["clear"]
    assert not outbox


def test_two_clears_before_anything_is_sent_become_one(outbox):
    outbox.put_sound("a", b"\x01" * 160)
    outbox.clear()
    outbox.put_sound("b", b"\x02" * 160)
    outbox.put_mark("b", own=True)
    assert outbox.clear() == ["b"]
    assert drain(outbox) == ["clear"]


def test_two_clears_with_something_sent_between_are_two(outbox):
    outbox.clear()
    assert drain(outbox) == ["clear"]
    outbox.put_sound("a", b"\x01" * 160)
    outbox.clear()
    assert drain(outbox) == ["clear"]


def test_audio_put_after_a_clear_follows_the_marks_that_the_clear_left(outbox):
    outbox.put_sound("a", b"\x01" * 160)
    outbox.put_mark("kept", own=False)
    outbox.clear()
    outbox.put_sound("b", b"\x02" * 160)
    assert drain(outbox) == ["clear", ("mark", "kept"), ("b", b"\x02" * 160)]


def test_a_progress_mark_follows_each_full_second_but_not_the_last_byte(outbox):
    outbox.put_sound("a#1", b"\x01" * 3 * SECOND)
    outbox.put_mark("a#1", own=True)
    taken = drain(outbox)
    places = [
        (sum(len(frame) for name, frame in taken[:at] if name == "a#1"), item)
        for at, item in enumerate(taken)
        if item[0] != "a#1"
    ]
    assert places == [
        (1 * SECOND, ("progress", "a#1@1s")),
        (2 * SECOND, ("progress", "a#1@2s")),
        (3 * SECOND, ("mark", "a#1")),
    ]


def test_one_second_and_a_byte_has_one_progress_mark(outbox):
    outbox.put_sound("a#1", b"\x01" * (SECOND + 1))
    assert drain(outbox)[-2:] == [("progress", "a#1@1s"), ("a#1", b"\x01")]


def test_progress_marks_are_distinguished_from_marks_that_a_user_named(outbox):
    outbox.put_sound("play#7", b"\x01" * 2 * SECOND)
    names = [name for kind, name in drain(outbox) if kind == "progress"]
    assert names == ["play#7@1s"]
    assert MarkName.parse("play#7@1s") == MarkName("play", 7, 1)
    # Conversation ends every name that a user gave with its own number.
    assert not MarkName.parse("play#7@1s#8").is_progress


def test_less_than_a_second_has_no_progress_mark(outbox):
    outbox.put_sound("a", b"\x01" * SECOND)
    outbox.put_sound("b", b"\x02" * SECOND)
    assert {name for name, _ in drain(outbox)} == {"a", "b"}


def test_clear_takes_a_progress_mark_away_that_was_due(outbox):
    outbox.put_sound("a#1", b"\x01" * 2 * SECOND)
    for _ in range(50):
        outbox.take()
    outbox.clear()
    assert drain(outbox) == ["clear"]


def test_a_due_progress_mark_alone_keeps_the_outbox_busy(outbox):
    outbox.put_sound("a#1", b"\x01" * 2 * SECOND)
    for _ in range(50):
        assert outbox.needs_room
        outbox.take()
    assert outbox
    assert not outbox.needs_room
    assert outbox.take().progress


def test_only_audio_needs_room_at_twilio(outbox):
    outbox.put_mark("m", own=False)
    assert not outbox.needs_room
    outbox.put_sound("a", b"\x01" * 160)
    assert not outbox.needs_room
    outbox.take()
    assert outbox.needs_room
    outbox.clear()
    assert not outbox.needs_room


class ListOfCommands:
    """What an outbox is to send, kept as a plain list that is rewritten at every command."""

    def __init__(self):
        self.items = []

    def sound(self, handle, payload):
        cut = [payload[at : at + 160] for at in range(0, len(payload), 160)]
        sent = 0
        for frame in cut:
            self.items.append(("audio", handle, frame))
            sent += len(frame)
            if sent % SECOND == 0 and sent < len(payload):
                self.items.append(("own", f"{handle}@{sent // SECOND}s"))

    def mark(self, name, own):
        self.items.append(("dropped" if own else "named", name))

    def clear(self):
        gone = [item[1] for item in self.items if item[0] == "dropped"]
        self.items = ["clear", *(item for item in self.items if item[0] == "named")]
        return gone

    def take(self):
        return self.items.pop(0) if self.items else None


def plain(outgoing):
    if outgoing is None or isinstance(outgoing.message, to_twilio.Clear):
        return outgoing and "clear"
    if isinstance(outgoing.message, to_twilio.Media):
        return ("audio", outgoing.handle, outgoing.message.payload)
    return ("own" if outgoing.progress else "mark", outgoing.message.name)


def as_sent(item):
    return ("mark", item[1]) if item is not None and item[0] in ("named", "dropped") else item


COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("sound"), st.integers(1, 1000) | st.sampled_from([8000, 8001, 16160])),
        st.tuples(st.just("mark"), st.booleans()),
        st.tuples(st.just("clear"), st.none()),
        st.tuples(st.just("take"), st.integers(1, 60)),
    ),
    max_size=40,
)


@given(COMMANDS)
@settings(deadline=None, max_examples=150)
def test_outbox_sends_what_a_rewritten_list_would(commands):
    outbox, expected = Outbox(SID), ListOfCommands()
    for number, (command, value) in enumerate(commands):
        if command == "sound":
            payload = bytes([number]) * value
            outbox.put_sound(f"s#{number + 1}", payload)
            expected.sound(f"s#{number + 1}", payload)
        elif command == "mark":
            outbox.put_mark(f"m{number}", own=value)
            expected.mark(f"m{number}", value)
        elif command == "clear":
            assert outbox.clear() == expected.clear()
        else:
            for _ in range(value):
                assert plain(outbox.take()) == as_sent(expected.take())
        assert bool(outbox) == bool(expected.items)
        first = expected.items[0] if expected.items else None
        assert outbox.needs_room == (first is not None and first[0] == "audio")
    while expected.items:
        assert plain(outbox.take()) == as_sent(expected.take())
    assert outbox.take() is None
