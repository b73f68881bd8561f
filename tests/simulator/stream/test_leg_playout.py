"""The playout buffer: tables written by hand from PROTOCOL.md §4."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.protocol import to_twilio
from twistream_kit.simulator.stream.leg import PlayoutBuffer, StreamLeg


def filled(size):
    buffer = PlayoutBuffer()
    buffer.enqueue(b"\x01" * size)
    return buffer


def test_audio_is_played_in_the_order_received():
    buffer = PlayoutBuffer()
    buffer.enqueue(b"ab")
    buffer.enqueue(b"cd")
    assert buffer.play(3) == (b"abc", [])
    assert buffer.play(3) == (b"d\xff\xff", [])


def test_an_empty_buffer_plays_silence():
    assert PlayoutBuffer().play(4) == (b"\xff" * 4, [])


def test_mark_on_an_empty_buffer_comes_back_at_once():
    assert PlayoutBuffer().mark("now") == ["now"]


def test_mark_comes_back_with_the_last_byte_before_it():
    buffer = filled(320)
    assert buffer.mark("done") == []
    assert buffer.play(160)[1] == []
    assert buffer.play(160)[1] == ["done"]


def test_mark_inside_a_frame_comes_back_with_that_frame():
    buffer = filled(100)
    buffer.mark("first")
    buffer.enqueue(b"\x02" * 100)
    buffer.mark("second")
    assert buffer.play(160)[1] == ["first"]
    assert buffer.play(160)[1] == ["second"]


def test_marks_with_equal_names_come_back_as_often_as_they_were_sent():
    buffer = filled(160)
    buffer.mark("part")
    buffer.mark("part")
    assert buffer.play(160)[1] == ["part", "part"]


def test_clear_throws_the_audio_away_and_returns_its_marks_in_order():
    buffer = filled(1600)
    buffer.mark("one")
    buffer.enqueue(b"\x02" * 160)
    buffer.mark("two")
    buffer.play(160)
    assert buffer.clear() == ["one", "two"]
    assert buffer.play(160) == (b"\xff" * 160, [])


def test_audio_after_a_clear_plays_normally_with_its_own_marks():
    buffer = filled(1600)
    buffer.clear()
    buffer.enqueue(b"\x02" * 160)
    assert buffer.mark("new") == []
    assert buffer.play(160) == (b"\x02" * 160, ["new"])


def test_audio_beyond_the_capacity_is_discarded_and_counted():
    buffer = PlayoutBuffer(capacity=1000)
    assert buffer.enqueue(b"\x01" * 900) == 0
    assert buffer.enqueue(b"\x02" * 300) == 200
    assert buffer.enqueue(b"\x03" * 10) == 10
    assert len(buffer) == 1000
    buffer.play(500)
    assert buffer.enqueue(b"\x04" * 500) == 0


def test_a_mark_behind_discarded_audio_waits_for_the_audio_that_stayed():
    buffer = PlayoutBuffer(capacity=160)
    buffer.enqueue(b"\x01" * 320)
    assert buffer.mark("end") == []
    assert buffer.play(160)[1] == ["end"]


def test_the_capacity_is_ten_minutes():
    buffer = PlayoutBuffer()
    assert buffer.enqueue(bytes(600 * 8000)) == 0
    assert buffer.enqueue(b"\x01") == 1


commands = st.one_of(
    st.tuples(st.just("queue"), st.integers(0, 500)),
    st.tuples(st.just("mark"), st.integers(0, 5)),
    st.tuples(st.just("clear"), st.just(0)),
    st.tuples(st.just("play"), st.just(160)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(commands, max_size=60))
def test_every_mark_comes_back_exactly_once_and_in_order(steps):
    buffer, sent, returned = PlayoutBuffer(capacity=2000), [], []
    for number, (command, value) in enumerate(steps):
        if command == "queue":
            buffer.enqueue(b"\x01" * value)
        elif command == "mark":
            sent.append(f"{value}-{number}")
            returned += buffer.mark(sent[-1])
        elif command == "clear":
            returned += buffer.clear()
        else:
            audio, names = buffer.play(value)
            assert len(audio) == value
            returned += names
        assert len(buffer) <= 2000
    assert returned + buffer.waiting_marks == sent
    assert returned + buffer.clear() == sent


SID = f"MZ{1:032x}"
LOUD, SOFT = Clip.tone(440, 0.02).payload, b"\xfe" * 160
CLEAR = to_twilio.Clear(SID).to_json()
MARK = to_twilio.Mark(SID, "end").to_json()


class Played:
    """A leg by hand: sound comes, and is played to its end, and silence follows."""

    def __init__(self):
        self.leg = StreamLeg(stream_sid=SID, call_sid="CA", account_sid="AC")
        self.leg.begin()
        self.wait(5)  # what is silent before the first sound is no gap

    def play(self, *frames):
        self.leg.receive(to_twilio.Media(SID, b"".join(frames)).to_json(), 0.0)
        self.wait(len(frames))

    def wait(self, frames):
        for _ in range(frames):
            self.leg.advance(b"\xff" * 160, 0.0)

    def receive(self, text):
        self.leg.receive(text, 0.0)


def test_sound_that_runs_out_and_goes_on_has_a_gap():
    one = Played()
    one.play(LOUD, LOUD, LOUD)
    for silent, sound in ((2, [LOUD]), (10, [SOFT]), (19, [LOUD]), (100, [LOUD]), (101, [LOUD])):
        one.wait(silent)
        one.play(*sound)
    # The last one is a pause, however the sound was cut off; soft sound is heard within 100 ms of
    # the sound before it, and so does not make a pause of the gap of 19.
    assert one.leg.gaps == {2: 1, 10: 1, 19: 1, 100: 1}
    assert one.leg.played_frames == 8


def test_a_longer_silence_behind_soft_sound_or_before_it_is_a_pause():
    one = Played()
    one.play(LOUD, *[SOFT] * 5)
    one.wait(11)
    one.play(LOUD)
    one.wait(11)
    one.play(*[SOFT] * 5, LOUD)
    assert one.leg.gaps == {}
    one.wait(10)
    one.play(LOUD)
    assert one.leg.gaps == {10: 1}, "a short one is always a gap"


@pytest.mark.parametrize(
    "act",
    [
        lambda one: one.receive(CLEAR),
        lambda one: one.receive(MARK),
        lambda one: one.leg.press("1"),
        lambda one: one.leg.note_act(),
    ],
    ids=["clear", "mark", "key", "speech"],
)
def test_a_longer_silence_with_a_reason_is_a_pause(act):
    one = Played()
    one.play(LOUD)
    one.wait(6)
    act(one)
    one.wait(6)
    one.play(LOUD)
    assert one.leg.gaps == {}
    one.play(*[LOUD] * 50)
    one.wait(60)
    one.play(LOUD)
    assert one.leg.gaps == {60: 1}, "the reason was one for the first only"


def test_marks_behind_each_piece_do_not_make_a_pause_of_a_gap():
    one = Played()
    for _ in range(5):
        one.play(LOUD)
        one.receive(MARK)
    one.wait(20)
    one.play(LOUD)
    assert one.leg.gaps == {20: 1}
    one.wait(20)
    one.leg.receive(to_twilio.Media(SID, LOUD).to_json(), 0.0)
    one.receive(MARK)  # within the sound, which ends behind it
    one.leg.receive(to_twilio.Media(SID, LOUD).to_json(), 0.0)
    one.wait(2 + 20)
    one.play(LOUD)
    assert one.leg.gaps == {20: 3}


def test_the_caller_who_begins_or_ends_to_speak_a_second_before_is_a_reason_for_a_pause():
    one = Played()
    one.leg.note_act()
    one.play(*[LOUD] * 50)
    one.wait(20)
    one.play(*[LOUD] * 51)
    assert one.leg.gaps == {}
    one.wait(20)
    one.play(LOUD)
    assert one.leg.gaps == {20: 1}
