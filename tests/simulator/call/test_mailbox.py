"""A mailbox in memory: 20 ms are one turn of a loop, and nothing waits."""

import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WrongType, WrongValue
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.call.mailbox import Mailbox, MailboxSettings
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour

GREETING = Clip.tone(330, 0.5)
MESSAGE = Clip.tone(500, 0.6)


class Desk:
    """A telephone that a mailbox has answered, and what it said and did."""

    def __init__(self, behaviour=None, **settings):
        self.handset = Handset(behaviour)
        self.hung_up, self.states, self.said = [], [], b""
        self.mailbox = Mailbox(
            MailboxSettings(**settings),
            self.handset,
            hang_up=self.hung_up.append,
            on_state=lambda: self.states.append(self.mailbox.state),
        )
        self.mailbox.begin()

    def hear(self, clip):
        for frame in clip.frames():
            self.said += self.handset.mouth.take_frame()
            self.handset.ear.hear(frame.ljust(160, b"\xff"), 0.0)

    def pass_time(self, seconds):
        self.hear(Clip.silence(seconds))


def test_it_says_its_greeting_and_beeps_and_records():
    desk = Desk(greeting=GREETING)
    assert desk.mailbox.state == "greeting"
    desk.pass_time(1.1)
    assert desk.said == (GREETING + Clip.silence(0.2) + Clip.tone(1000, 0.4)).payload
    assert desk.states == ["beep", "recording"]
    desk.hear(MESSAGE)
    assert desk.mailbox.recorded.payload == MESSAGE.payload
    assert desk.mailbox.recorded.name == "recorded"


def test_an_empty_recording_says_why_it_is_empty():
    desk = Desk(greeting=GREETING)
    assert desk.mailbox.recorded.name == "nothing recorded yet: the mailbox is at its greeting"
    desk.pass_time(0.6)
    assert desk.mailbox.recorded.name == "nothing recorded yet: the mailbox is at its beep"
    desk.mailbox.end()
    assert "the call ended before the mailbox began to record" in desk.mailbox.recorded.name
    desk = Desk(greeting=GREETING)
    desk.pass_time(2)
    assert "no sound came after the greeting" in desk.mailbox.recorded.name


def test_what_is_said_before_the_beep_is_over_is_not_recorded():
    desk = Desk(greeting=GREETING)
    desk.hear(Clip.tone(600, 1.1) + MESSAGE)
    assert desk.mailbox.recorded.payload == MESSAGE.payload


def test_the_recording_ends_with_the_last_sound():
    desk = Desk(greeting=GREETING)
    desk.pass_time(1.1)
    desk.hear(Clip.silence(0.3) + MESSAGE + Clip.silence(1))
    assert desk.mailbox.recorded.payload == (Clip.silence(0.3) + MESSAGE).payload


def test_without_a_beep_it_records_right_after_the_greeting():
    desk = Desk(greeting=GREETING, beep_hz=None)
    desk.pass_time(0.5)
    desk.hear(MESSAGE)
    assert desk.said[: len(GREETING.payload)] == GREETING.payload
    assert set(desk.said[len(GREETING.payload) :]) == {0xFF}
    assert desk.states == ["recording"]
    assert desk.mailbox.recorded.payload == MESSAGE.payload


def test_the_beep_has_its_frequency():
    desk = Desk(greeting=GREETING, beep_hz=440)
    desk.pass_time(1.1)
    assert desk.said.endswith(Clip.tone(440, 0.4).payload)


def test_an_empty_greeting_is_none():
    desk = Desk(greeting=Clip(b""))
    desk.pass_time(0.6)
    assert desk.said == (Clip.silence(0.2) + Clip.tone(1000, 0.4)).payload
    assert desk.states == ["beep", "recording"]


def test_the_greeting_that_it_invents_is_speech_of_four_seconds():
    spoken = MailboxSettings().spoken
    assert spoken.name == "mailbox greeting"
    assert 4 <= spoken.seconds <= 4.5


def test_silence_ends_the_recording_and_it_hangs_up():
    desk = Desk(greeting=GREETING, silence_seconds=2)
    desk.pass_time(1.1)
    desk.hear(MESSAGE)
    desk.pass_time(1.98)
    assert desk.hung_up == []
    desk.pass_time(0.02)
    assert desk.hung_up == ["its mailbox heard nothing for 2 s"]
    assert desk.mailbox.state == "done"
    assert desk.mailbox.recorded.payload == MESSAGE.payload


def test_it_hangs_up_too_if_nothing_is_ever_said():
    desk = Desk(greeting=GREETING, silence_seconds=2)
    desk.pass_time(3.1)
    assert desk.hung_up == ["its mailbox heard nothing for 2 s"]
    assert desk.mailbox.recorded.seconds == 0


def test_a_pause_shorter_than_that_does_not_end_it():
    desk = Desk(greeting=GREETING, silence_seconds=2)
    desk.pass_time(1.1)
    message = MESSAGE + Clip.silence(1.9) + MESSAGE
    desk.hear(message)
    assert desk.hung_up == []
    assert desk.mailbox.recorded.payload == message.payload


def test_the_limit_ends_the_recording_of_who_talks_on():
    desk = Desk(greeting=GREETING, record_seconds=1.5)
    desk.pass_time(1.1)
    desk.hear(Clip.tone(500, 5))
    assert desk.hung_up == ["its mailbox records 1.5 s at most"]
    assert desk.mailbox.recorded.payload == Clip.tone(500, 5).payload[: 8000 * 3 // 2]


@pytest.mark.parametrize(("seconds", "state"), [(0.2, "greeting"), (0.7, "beep")])
def test_a_call_that_ends_early_leaves_nothing(seconds, state):
    desk = Desk(greeting=GREETING)
    desk.pass_time(seconds)
    assert desk.mailbox.state == state
    desk.handset.mouth.stop()
    desk.mailbox.end()
    assert desk.mailbox.state == "done"
    assert desk.mailbox.recorded.payload == b""
    assert not desk.handset.mouth.speaking
    assert desk.handset.ear.on_frame == []


def test_on_a_line_with_latency_it_records_what_it_hears():
    desk = Desk(Behaviour(latency_ms=100), greeting=GREETING)
    desk.pass_time(1.1)
    desk.hear(MESSAGE + Clip.silence(0.2))
    assert desk.mailbox.recorded.payload == SILENT_FRAME * 5 + MESSAGE.payload


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"greeting": "hello.wav"}, WrongType, "kit.load_clip(path) makes one"),
        ({"beep_hz": 200}, WrongValue, "a telephone line passes 300 to 3400 Hz"),
        ({"beep_hz": 3401}, WrongValue, "a telephone line passes 300 to 3400 Hz"),
        ({"beep_hz": float("nan")}, WrongValue, "a telephone line passes 300 to 3400 Hz"),
        ({"beep_hz": "1000"}, WrongType, "beep_hz"),
        ({"record_seconds": 0}, WrongValue, "it must lie above 0 and at most at 3600 s"),
        ({"record_seconds": float("inf")}, WrongValue, "record_seconds is inf"),
        ({"silence_seconds": -1}, WrongValue, "silence_seconds is -1"),
        ({"silence_seconds": None}, WrongType, "silence_seconds"),
    ],
)
def test_what_a_mailbox_cannot_do_is_refused_in_words(settings, error, words):
    with pytest.raises(error) as caught:
        MailboxSettings(**settings)
    assert words in str(caught.value)
