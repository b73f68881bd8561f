"""The caller's mouth and ear, hand-cranked."""

import pytest

from twistream_kit.simulator.call.handset import Handset, is_audible
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour

TONE = bytes(range(0x20, 0x20 + 80)) * 2


def test_a_silent_mouth_gives_frames_of_silence():
    assert Handset().mouth.take_frame() == b"\xff" * 160


def test_two_utterances_follow_without_a_gap_and_the_tail_is_padded():
    mouth = Handset().mouth
    mouth.say(b"a" * 200)
    mouth.say(b"b" * 100)
    assert mouth.take_frame() == b"a" * 160
    assert mouth.take_frame() == b"a" * 40 + b"b" * 100 + b"\xff" * 20
    assert mouth.take_frame() == SILENT_FRAME
    assert not mouth.speaking


def test_an_utterance_is_done_when_its_last_byte_is_said():
    done = []
    mouth = Handset().mouth
    utterance = mouth.say(b"a" * 320, done.append)
    mouth.take_frame()
    assert (done, utterance.done, utterance.seconds_said) == ([], False, 0.02)
    mouth.take_frame()
    assert (done, utterance.done) == ([0.04], True)
    mouth.take_frame()
    assert done == [0.04]


def test_an_empty_utterance_is_done_at_once():
    done = []
    Handset().mouth.say(b"", done.append)
    assert done == [0.0]


def test_stop_ends_every_utterance_with_what_was_said_of_it():
    done = []
    mouth = Handset().mouth
    mouth.say(b"a" * 1600, lambda seconds: done.append(("first", seconds)))
    mouth.say(b"b" * 1600, lambda seconds: done.append(("second", seconds)))
    mouth.take_frame()
    mouth.stop()
    assert done == [("first", 0.02), ("second", 0.0)]
    assert mouth.take_frame() == SILENT_FRAME


def test_something_said_when_an_utterance_ends_follows_at_once():
    mouth = Handset().mouth
    mouth.say(b"a" * 100, lambda _seconds: mouth.say(b"b" * 60))
    assert mouth.take_frame() == b"a" * 100 + b"b" * 60


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_listener_that_fails_on_a_frame_is_called_no_more_and_the_others_are(kind, caplog):
    ear, called, heard = Handset().ear, [], []

    def fail(frame, now):
        called.append(frame)
        raise kind("no ear for it")

    ear.on_frame += [fail, lambda frame, now: heard.append(frame)]
    for _ in range(3):
        ear.hear(TONE, 1.0)
    assert (len(called), heard) == (1, [TONE] * 3)
    assert ear.heard.payload == TONE * 3
    assert "a listener of a phone's ear failed" in caplog.text
    assert "no ear for it" in caplog.text


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_listener_that_fails_on_something_said_keeps_nobody_from_speaking(kind, caplog):
    mouth, done = Handset().mouth, []

    def fail(seconds):
        raise kind("speechless")

    mouth.say(b"a" * 160, fail)
    mouth.say(b"b" * 160, done.append)
    assert [mouth.take_frame(), mouth.take_frame()] == [b"a" * 160, b"b" * 160]
    assert done == [0.02]
    assert "speechless" in caplog.text


def test_the_ear_keeps_all_that_it_hears_and_when_sound_was_last():
    handset = Handset()
    for number, frame in enumerate([SILENT_FRAME, TONE, TONE, b"\x7f" * 160]):
        handset.ear.hear(frame, float(number))
    assert handset.heard.payload == SILENT_FRAME + TONE * 2 + b"\x7f" * 160
    assert handset.ear.first_audible_at == 1.0
    assert handset.ear.last_audible_at == 2.0


def test_a_file_header_in_the_first_frame_is_heard_like_anything_else():
    handset = Handset()
    frame = b"RIFF\x00\x00\x00\x00WAVE".ljust(160, b"\x21")
    handset.ear.hear(frame, 0.0)
    assert handset.heard.payload == frame
    assert handset.heard.seconds == 0.02


def test_listeners_get_every_frame_with_its_time():
    handset, got = Handset(), []
    handset.ear.on_frame.append(lambda frame, now: got.append((frame, now)))
    handset.ear.hear(TONE, 7.0)
    assert got == [(TONE, 7.0)]


@pytest.mark.parametrize(
    ("frame", "audible"),
    [(SILENT_FRAME, False), (b"\x7f" * 160, False), (b"\xff\x7f" * 80, False), (TONE, True)],
)
def test_both_silences_of_companding_are_inaudible(frame, audible):
    assert is_audible(frame) is audible


def test_latency_delays_both_directions_by_the_same_time():
    handset = Handset(Behaviour(latency_ms=40))
    handset.mouth.say(TONE)
    said = [handset.mouth.take_frame() for _ in range(4)]
    for frame in [TONE, SILENT_FRAME, SILENT_FRAME]:
        handset.ear.hear(frame, 0.0)
    assert said == [SILENT_FRAME, SILENT_FRAME, TONE, SILENT_FRAME]
    assert handset.heard.payload == SILENT_FRAME * 2 + TONE


def test_an_echo_comes_back_faintly_after_200_ms():
    handset = Handset(Behaviour(echo=True))
    said = []
    for number in range(14):
        handset.ear.hear(b"\x80" * 160 if number == 0 else SILENT_FRAME, 0.0)
        said.append(handset.mouth.take_frame())
    audible = [number for number, frame in enumerate(said) if is_audible(frame)]
    assert audible == [10]
    assert 2800 < max(abs(handset_samples(said[10]))) < 3600


def handset_samples(frame):
    from twistream_kit.audio.g711 import decode_ulaw

    return decode_ulaw(frame).astype(int)


def test_behaviour_refuses_a_negative_latency():
    with pytest.raises(ValueError, match="latency_ms is -1; it must lie between 0 and 10000 ms"):
        Behaviour(latency_ms=-1)
