"""Twilio's half of a stream, hand-cranked: no socket, no clock."""

import json
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour
from twistream_kit.simulator.stream.leg import StreamLeg

SID = "MZ" + "0" * 32
CALL = "CA" + "0" * 32
ACCOUNT = "AC" + "0" * 32
SOUND = b"\x21" * 160


def leg(**options):
    return StreamLeg(stream_sid=SID, call_sid=CALL, account_sid=ACCOUNT, **options)


def started(**options):
    """A leg past its opening and its first burst."""
    one = leg(**options)
    one.opening()
    one.frame(SILENT_FRAME, 0.0)
    return one


def media(payload=SOUND):
    return to_twilio.Media(SID, payload).to_json()


def mark(name):
    return to_twilio.Mark(SID, name).to_json()


CLEAR = to_twilio.Clear(SID).to_json()


def names(messages):
    return [message.name for message in messages if isinstance(message, from_twilio.Mark)]


def codes(one):
    return [warned.code for warned in one.take_warnings()]


def test_what_is_sent_is_heard_frame_by_frame():
    one = started()
    one.receive(media(SOUND * 2), 0.0)
    heard = [one.frame(SILENT_FRAME, 0.0)[0] for _ in range(3)]
    assert heard == [SOUND, SOUND, SILENT_FRAME]


def test_a_mark_follows_the_media_of_the_frame_that_played_the_last_byte():
    one = started()
    one.receive(media(), 0.0)
    assert one.receive(mark("end"), 0.0) == []
    _, messages = one.frame(SILENT_FRAME, 0.0)
    assert [type(message).__name__ for message in messages] == ["Media", "Mark"]
    assert messages[1].sequence_number == messages[0].sequence_number + 1


def test_one_leg_stays_in_step_with_the_caller_whatever_the_server_does():
    one = leg(first_timestamp_ms=100)
    one.opening()
    sent = [one.frame(bytes([number]) * 160, 0.0)[1] for number in range(3)]
    assert [len(messages) for messages in sent] == [3, 1, 1]
    assert [messages[-1].payload[0] for messages in sent] == [0, 1, 2]
    assert sent[0][0].payload == SILENT_FRAME


def test_a_message_written_with_pythons_spaces_is_obeyed():
    one = started()
    assert names(one.receive(json.dumps(json.loads(mark("a b"))), 0.0)) == ["a b"]
    one.receive(json.dumps(json.loads(media())), 0.0)
    assert one.frame(SILENT_FRAME, 0.0)[0] == SOUND
    assert one.received == {"mark": 1, "media": 1}
    assert codes(one) == []


def test_a_message_with_its_keys_in_another_order_is_obeyed():
    one = started()
    assert names(
        one.receive(json.dumps({"mark": {"name": "x"}, "streamSid": SID, "event": "mark"}), 0)
    ) == ["x"]
    assert codes(one) == []


def test_the_misspelt_key_of_the_question_is_dropped_and_named():
    one = started()
    payload = b64encode(SOUND).decode()
    one.receive(json.dumps({"event": "media", "streamSid": SID, "media": {"playload": payload}}), 0)
    assert len(one.playout) == 0
    (warned,) = one.take_warnings()
    assert warned.code == 31951
    assert any("playload" in str(objection) for objection in warned.objections)
    assert one.received == {"invalid": 1}


def test_an_extra_field_costs_the_message_by_default():
    one = started()
    one.receive(
        json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": "x"}, "extra": 1}), 0
    )
    assert codes(one) == [31951]
    assert one.received == {"invalid": 1}


def test_an_extra_field_costs_only_a_warning_when_the_behaviour_says_so():
    one = started(behaviour=Behaviour(extra_fields="execute"))
    message = json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": "x"}, "extra": 1})
    assert names(one.receive(message, 0)) == ["x"]
    assert codes(one) == [31951]


def test_a_wav_header_is_played_and_noted_but_not_logged():
    one = started()
    wav = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(144)
    payload = b64encode(wav).decode()
    one.receive(json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}}), 0)
    assert one.frame(SILENT_FRAME, 0.0)[0] == wav
    assert codes(one) == []
    (objection,) = one.objections
    assert objection.code is None
    assert "WAV" in objection.problem


def test_objections_are_counted_although_the_warning_comes_once():
    one = started()
    for _ in range(3):
        one.receive("not json", 0.0)
    assert codes(one) == [31951]
    assert list(one.objections.values()) == [3]
    assert one.received == {"invalid": 3}


def test_an_unknown_event_is_dropped_with_31951():
    one = started()
    one.receive(json.dumps({"event": "connected", "streamSid": SID}), 0.0)
    assert codes(one) == [31951]


def test_bytes_that_are_not_valid_base64_are_dropped_with_31951():
    one = started()
    one.receive(json.dumps({"event": "media", "streamSid": SID, "media": {"payload": "%%%"}}), 0)
    assert codes(one) == [31951]
    assert len(one.playout) == 0


def test_an_empty_payload_is_accepted_and_plays_nothing():
    one = started()
    one.receive(media(b""), 0.0)
    assert codes(one) == []
    assert one.received == {"media": 1}


def test_playout_delay_holds_the_first_audio_back_and_not_the_next():
    one = started(behaviour=Behaviour(playout_delay_ms=50))
    one.receive(media(SOUND * 2), 0.0)
    heard = [one.frame(SILENT_FRAME, 0.0)[0] for _ in range(6)]
    assert heard == [SILENT_FRAME] * 3 + [SOUND] * 2 + [SILENT_FRAME]
    one.receive(media(), 0.0)
    assert [one.frame(SILENT_FRAME, 0.0)[0] for _ in range(4)] == [SILENT_FRAME] * 3 + [SOUND]


def test_after_stop_nothing_more_is_sent_or_obeyed():
    one = started()
    one.receive(media(), 0.0)
    assert [type(message).__name__ for message in one.stop()] == ["Stop"]
    assert one.stop() == []
    assert one.frame(SILENT_FRAME, 0.0) == (SOUND, [])
    assert one.receive(mark("late"), 0.0) == []
    assert one.press("1") == []
    assert one.received == {"media": 1}


def test_press_refuses_what_is_no_key():
    with pytest.raises(ValueError, match="'x' is no key of a telephone"):
        started().press("x")


def test_tracks_are_checked():
    with pytest.raises(ValueError, match="it may hold 'inbound' and 'outbound'"):
        leg(tracks=("both_tracks",))


def test_on_message_is_called_with_what_was_obeyed_and_nothing_else():
    one, called = started(), []
    one.on_message = lambda message, now: called.append((type(message).__name__, now))
    one.receive(media(), 1.0)
    one.receive("nonsense", 2.0)
    one.receive(CLEAR, 3.0)
    assert called == [("Media", 1.0), ("Clear", 3.0)]


def test_the_same_stream_sid_always_has_the_same_first_timestamp():
    def first(one):
        one.opening()
        return one.frame(SILENT_FRAME, 0.0)[1][0].timestamp_ms

    assert first(leg()) == first(leg())
    assert 50 <= first(leg()) <= 180


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text()
            | st.sampled_from([SID, "media", "mark", "clear"]),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["event", "streamSid", "media", "payload", "mark", "name"])
                    | st.text(),
                    inner,
                )
            ),
            max_leaves=12,
        ).map(json.dumps),
    )
)
def test_no_message_whatsoever_makes_the_leg_fail(message):
    one = started()
    one.receive(message, 0.0)
    assert sum(one.received.values()) == 1
    one.frame(SILENT_FRAME, 0.0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("media"), st.integers(0, 400)),
        st.tuples(st.just("mark"), st.just(0)),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("bad"), st.just(0)),
        st.tuples(st.just("press"), st.just(0)),
        st.tuples(st.just("frame"), st.just(0)),
    ),
    max_size=50,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_sequence_numbers_rise_by_one_with_every_message_of_any_kind(steps):
    one = leg()
    out = one.opening()
    marks = 0
    for kind, size in steps:
        if kind == "media":
            out += one.receive(media(b"\x21" * size), 0.0)
        elif kind == "mark":
            marks += 1
            out += one.receive(mark(f"m{marks}"), 0.0)
        elif kind == "clear":
            out += one.receive(CLEAR, 0.0)
        elif kind == "bad":
            out += one.receive("{}", 0.0)
        elif kind == "press":
            out += one.press("5")
        else:
            out += one.frame(SILENT_FRAME, 0.0)[1]
    out += one.receive(CLEAR, 0.0) + one.stop()
    assert [message.sequence_number for message in out[1:]] == list(range(1, len(out)))
    assert names(out) == [f"m{number + 1}" for number in range(marks)]
