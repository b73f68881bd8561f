"""A script, frame by frame and without a clock; what the caller hears is made by hand."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.simulator import caller
from twistream_kit.simulator._script_run import ScriptRun
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.model.assumptions import SILENT_FRAME, Behaviour

QUESTION = Clip.tone(300, 0.5)  # 25 frames
STOP = Clip.tone(700, 0.2)  # 10 frames


def speech(seconds):
    return Clip.tone(440, seconds)


def silence(seconds):
    return Clip.silence(seconds)


class CallByHand:
    """A call in which each frame passes when a test says so."""

    def __init__(self, *steps, seed=0, behaviour=None, heard_before=0):
        self.handset = Handset(behaviour)
        self.keys, self.said, self.ends = [], [], []
        self.cleared_seconds = 0.0
        for _ in range(heard_before):
            self.handset.ear.hear(SILENT_FRAME, 0.0)
        self.run = ScriptRun(
            caller.Script(steps, seed),
            self.handset,
            press=lambda key: self.keys.append((key, self.handset.ear.frames)),
            hang_up=lambda: self.ends.append("hung up"),
            on_over=lambda: self.ends.append("over"),
            count_cleared=lambda: self.cleared_seconds,
        )
        self.run.begin()

    def hear(self, *clips):
        """Let the server be heard; the sound of the caller is kept."""
        for clip in clips:
            for frame in clip.frames():
                self.said.append(self.handset.mouth.take_frame())
                self.handset.ear.hear(frame, 0.0)
        return self

    def clear(self):
        """Let the server discard what was waiting."""
        self.cleared_seconds += 2.0
        return self

    def end(self):
        """End the call from the other side."""
        self.handset.mouth.stop()
        return self

    @property
    def acts(self):
        return self.run.check_expectations()

    def times(self):
        return [(act.kind, act.begins, act.ends) for act in self.acts]


# Listening


def test_listen_ends_a_pause_after_the_last_frame_of_speech():
    call = CallByHand(caller.listen(pause=0.6))
    call.hear(silence(0.5), speech(1.0), silence(2.0))
    assert call.times() == [("listen", 0.0, 2.1)]
    assert call.acts[0].outcome == "heard 1.00 s of speech, then a pause"
    assert call.acts[0].ok
    assert call.ends == ["over"]


def test_listen_goes_on_over_a_pause_within_the_speech():
    call = CallByHand(caller.listen(pause=0.6))
    call.hear(speech(1.0), silence(0.5), speech(1.0), silence(1.0))
    assert call.times() == [("listen", 0.0, 3.1)]
    assert call.acts[0].outcome == "heard 2.00 s of speech, then a pause"


def test_listen_takes_a_pause_that_is_shorter_than_the_detectors_own():
    call = CallByHand(caller.listen(pause=0.2))
    call.hear(speech(1.0), silence(0.3), speech(1.0))
    assert call.times() == [("listen", 0.0, 1.2)]


def test_listen_does_not_count_what_was_over_before_it():
    call = CallByHand(caller.wait(2), caller.listen(pause=0.5, limit=3))
    call.hear(speech(1.0), silence(2.0), speech(1.0), silence(1.0))
    assert call.times() == [("wait", 0.0, 2.0), ("listen", 2.0, 4.5)]


def test_listen_counts_the_rest_of_what_has_begun_before_it():
    call = CallByHand(caller.wait(1), caller.listen(pause=0.5))
    call.hear(speech(1.5), silence(1.0))
    assert call.times() == [("wait", 0.0, 1.0), ("listen", 1.0, 2.0)]
    assert call.acts[1].outcome == "heard 0.50 s of speech, then a pause"


def test_listen_gives_up_in_words_when_nothing_is_heard():
    call = CallByHand(caller.listen(limit=2), caller.say(STOP)).hear(silence(3))
    assert call.times() == [("listen", 0.0, 2.0), ("say", 2.0, 2.2)]
    objection = call.acts[0].objection
    assert str(objection) == (
        "step 1 of the script (listen) heard nothing within 2 s. The caller went on. Look at what "
        "the server does before it, or give it a longer limit=."
    )
    assert objection.severity == "warning"


@pytest.mark.parametrize(
    ("waiting", "fix"),
    [
        (
            caller.interrupt(STOP, after=0.5, limit=2),
            "leave it out, and that answer is interrupted",
        ),
        (
            caller.listen(limit=2),
            "leave one of the two out, or let the caller act between them",
        ),
    ],
)
def test_a_step_that_waits_for_an_answer_which_another_has_heard_says_so(waiting, fix):
    call = CallByHand(caller.listen(pause=0.5), caller.wait(0.2), waiting)
    call.hear(speech(1.0), silence(4.0))
    heard = "Step 1 (listen) has heard the answer to its end already"
    assert call.acts[2].objection.fix == f"{heard}: {fix}"
    call = CallByHand(caller.listen(pause=0.5), caller.say(STOP), waiting)
    call.hear(speech(1.0), silence(4.0))
    assert call.acts[2].objection.fix.startswith("Look at what the server does before it")


def test_noise_that_begins_in_the_call_is_no_answer():
    noise = np.random.default_rng(1).normal(0, 700, 8000 * 6).astype(np.int16)
    call = CallByHand(caller.interrupt(STOP, after=1.0, limit=3))
    call.hear(silence(1.0), Clip(encode_ulaw(noise)))
    assert call.acts[0].outcome == "no answer to interrupt came within 3 s"


def test_listen_says_that_the_server_has_talked_over_the_caller():
    steps = (caller.say(STOP), caller.say(Clip.tone(300, 3)), caller.listen(pause=0.5, limit=1))
    call = CallByHand(*steps).hear(silence(0.5), speech(1.0), silence(3))
    assert call.acts[2].outcome == (
        "heard nothing within 1 s; the server had spoken for 1.00 s while the caller spoke"
    )
    assert call.acts[2].objection.problem == call.acts[2].outcome


def test_listen_does_not_blame_the_server_for_what_it_said_before_the_last_step():
    steps = (caller.say(Clip.tone(300, 1)), caller.wait(1), caller.listen(pause=0.5, limit=1))
    call = CallByHand(*steps).hear(speech(0.5), silence(4))
    assert call.acts[2].outcome == "heard nothing within 1 s"


def test_listen_does_not_take_what_was_interrupted_for_an_answer():
    call = CallByHand(caller.interrupt(STOP, after=0.5), caller.listen(pause=0.5, limit=1))
    call.hear(speech(0.6), silence(3))
    assert call.acts[1].outcome == "heard nothing within 1 s", "it was over before"


@pytest.mark.parametrize(
    "speak",
    [
        pytest.param([caller.interrupt(QUESTION, after=1.0)], id="interrupt"),
        pytest.param([caller.wait(1.0), caller.say(QUESTION)], id="say"),
        pytest.param(
            [caller.interrupt(QUESTION, after=1.0), caller.interrupt(STOP, after=0.2, meant=False)],
            id="and a cough into the answer",
        ),
    ],
)
def test_listen_waits_for_an_answer_where_the_server_stops_late(speak):
    call = CallByHand(*speak, caller.listen(), caller.hang_up())
    call.hear(speech(1.0 + 0.5 + 0.12), silence(2.0), speech(1.5), silence(2.0))
    listened = call.acts[-2]
    assert listened.ok
    assert listened.ends == 1.62 + 2.0 + 1.5 + 1.0
    assert call.acts[-1].outcome == "hung up"
    since = max(listened.begins, 3.62)
    assert listened.outcome == f"heard {5.12 - since:.2f} s of speech, then a pause"


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        ((speech(1.62), silence(4)), "the end of what was interrupted (0.12 s)"),
        ((speech(9),), "the end of what was interrupted (2.00 s)"),
        ((speech(0.9), silence(0.2), speech(0.72), silence(4)), "(0.32 s)"),
    ],
    ids=["it stops", "it never stops", "with a short pause"],
)
def test_the_end_of_what_was_interrupted_is_no_answer(clips, said):
    call = CallByHand(caller.interrupt(QUESTION, after=1.0), caller.listen(limit=2))
    call.hear(*clips)
    listened = call.acts[1]
    assert listened.outcome.startswith("heard only the end of what was interrupted (")
    assert said in listened.outcome
    assert listened.outcome.endswith(") within 2 s")
    assert listened.objection.severity == "warning"


def test_the_end_of_what_was_interrupted_is_no_answer_when_the_call_ends_either():
    call = CallByHand(caller.interrupt(QUESTION, after=1.0), caller.listen())
    call.hear(speech(1.62), silence(1)).end()
    assert call.acts[1].outcome == (
        "heard only the end of what was interrupted (0.12 s) before the call ended"
    )
    assert call.acts[1].objection.problem == call.acts[1].outcome


@pytest.mark.parametrize("latency", [0, 100])
@pytest.mark.parametrize("gap", [0.06, 0.3, 0.5])
def test_listen_takes_what_follows_a_clear_for_an_answer(gap, latency):
    call = CallByHand(
        caller.interrupt(STOP, after=1.0), caller.listen(), behaviour=Behaviour(latency_ms=latency)
    )
    call.hear(speech(1.16)).clear().hear(silence(gap), speech(1.5), silence(3.0))
    listened = call.acts[1]
    assert listened.ok
    assert listened.ends == pytest.approx(1.16 + gap + 1.5 + 1.0 + latency / 1000)


def test_listen_counts_what_goes_on_after_a_cough():
    cough = caller.interrupt(STOP, after=0.5, meant=False)
    call = CallByHand(cough, caller.listen()).hear(speech(2), silence(2))
    assert call.times()[1] == ("listen", 0.7, 3.0)
    assert call.acts[1].outcome == "heard 1.30 s of speech, then a pause"


def test_listen_takes_what_follows_a_key_without_a_pause_for_an_answer():
    call = CallByHand(caller.interrupt(STOP, after=0.5), caller.press("1"), caller.listen())
    call.hear(speech(0.8), Clip.tone(660, 1.0), silence(2))
    assert call.times()[2] == ("listen", 0.9, 2.8)
    assert call.acts[2].ok


def test_interrupt_does_not_take_what_was_interrupted_for_the_next_answer():
    call = CallByHand(caller.interrupt(STOP, after=0.5), caller.interrupt(STOP, after=0.5))
    call.hear(speech(1.5), silence(1.0), speech(1.0))
    assert call.acts[1].begins == 3.0
    assert call.acts[1].outcome == "said 0.20 s, 0.50 s into the answer"
    call = CallByHand(caller.interrupt(STOP, after=0.5), caller.interrupt(STOP, limit=2))
    call.hear(speech(1.5), silence(3))
    assert call.acts[1].outcome == (
        "no answer to interrupt came within 2 s, only the end of what was interrupted before"
    )
    assert "no clear came, and without one, speech that follows within 0.4 s" in str(
        call.acts[1].objection
    )


def test_listen_without_a_clear_says_what_counts_as_the_same_sentence():
    steps = (caller.interrupt(QUESTION, after=1.0), caller.listen(limit=2))
    run_on = CallByHand(*steps).hear(speech(4), silence(2)).acts[1].objection
    assert run_on.fix == (
        "Look at what the server does before it: no clear came, and without one, speech that "
        "follows within 0.4 s counts as the same sentence. So let the server send a clear when it "
        "is interrupted, or pause before it answers"
    )
    call = CallByHand(*steps).hear(speech(1.16)).clear().hear(silence(5))
    assert "longer limit=" in call.acts[1].objection.fix


def test_listen_gives_up_in_words_when_the_server_never_pauses():
    call = CallByHand(caller.listen(pause=0.5, limit=2)).hear(speech(4))
    assert call.times() == [("listen", 0.0, 2.0)]
    assert call.acts[0].objection.problem == "heard no pause of 0.5 s within 2 s"


# Saying


def test_say_is_heard_frame_by_frame_and_the_next_without_a_gap():
    call = CallByHand(caller.say(QUESTION), caller.say(STOP)).hear(silence(1))
    assert call.times() == [("say", 0.0, 0.5), ("say", 0.5, 0.7)]
    assert b"".join(call.said[:35]) == QUESTION.payload + STOP.payload
    assert set(call.said[35:]) == {SILENT_FRAME}
    assert [act.clip for act in call.acts] == [QUESTION, STOP]
    assert call.acts[0].outcome == "said 0.50 s"


def test_say_begins_after_what_the_user_says_into_the_same_telephone():
    call = CallByHand(caller.say(STOP))
    call.handset.mouth.say(QUESTION.payload)
    call.hear(silence(1))
    assert call.times() == [("say", 0.5, 0.7)]


def test_say_of_a_part_of_a_frame_takes_a_whole_one():
    call = CallByHand(caller.say(b"\x21" * 200)).hear(silence(1))
    assert call.times() == [("say", 0.0, 0.04)]


# Interrupting


def test_interrupt_begins_so_far_into_the_answer():
    call = CallByHand(caller.interrupt(STOP, after=0.5)).hear(silence(0.3), speech(2))
    assert call.times() == [("interrupt", 0.8, 1.0)]
    assert call.acts[0].outcome == "said 0.20 s, 0.50 s into the answer"
    assert b"".join(call.said[40:50]) == STOP.payload


def test_interrupt_counts_from_the_beginning_of_an_answer_that_has_begun_before_it():
    call = CallByHand(caller.wait(0.4), caller.interrupt(STOP, after=1)).hear(speech(2))
    assert call.times()[1] == ("interrupt", 1.0, 1.2)


def test_interrupt_does_not_speak_into_a_pause_within_the_answer():
    call = CallByHand(caller.interrupt(STOP, after=1.0))
    call.hear(speech(0.5), silence(0.8), speech(1.0))
    [(_, begins, ends)] = call.times()
    assert 1.3 < begins <= 1.4, "as soon as it is certain that the server speaks on"
    assert ends == pytest.approx(begins + 0.2)


def test_interrupt_says_nothing_when_the_answer_is_over_before_it():
    call = CallByHand(caller.interrupt(STOP, after=1.0, pause=0.8), caller.wait(0.1))
    call.hear(silence(0.1), speech(0.4), silence(2))
    assert call.times() == [("interrupt", 0.0, 1.3), ("wait", 1.3, 1.4)]
    assert call.acts[0].clip is None
    assert call.acts[0].objection.problem == (
        "said nothing: the answer was over after 0.40 s, before it could be interrupted"
    )
    assert set(call.said) == {SILENT_FRAME}


def test_interrupt_gives_up_in_words_when_no_answer_comes():
    call = CallByHand(caller.interrupt(STOP, after=0.5, limit=1)).hear(silence(2))
    assert call.times() == [("interrupt", 0.0, 1.0)]
    assert call.acts[0].objection.problem == "said nothing: no answer to interrupt came within 1 s"


# Keys, waiting, hanging up


def test_press_sends_a_key_each_fifth_of_a_second():
    call = CallByHand(caller.wait(0.1), caller.press("12#")).hear(silence(1))
    assert call.keys == [("1", 5), ("2", 15), ("#", 25)]
    assert call.times()[1] == ("press", 0.1, 0.7)
    assert (call.acts[1].keys, call.acts[1].outcome) == ("12#", "pressed 12#")


def test_hang_up_ends_the_call_in_its_frame():
    call = CallByHand(caller.wait(0.1), caller.hang_up()).hear(silence(0.1))
    assert call.ends == []
    call.hear(Clip(SILENT_FRAME))
    assert call.ends == ["hung up", "over"]
    assert call.run.has_hung_up
    assert call.times()[1] == ("hang_up", 0.1, 0.1)


def test_hang_up_whose_call_ends_at_once_is_not_taken_for_an_end_by_the_other_side():
    call = CallByHand(caller.say(STOP), caller.hang_up())
    call.run._hang_up = call.handset.mouth.stop
    call.hear(silence(0.5))
    assert [act.outcome for act in call.acts] == ["said 0.20 s", "hung up"]
    assert call.ends == ["over"]


# The clock


def test_times_count_from_the_answer_when_the_script_begins_later():
    call = CallByHand(caller.say(STOP), caller.listen(pause=0.5), heard_before=100)
    call.hear(silence(0.5), speech(0.5), silence(1))
    assert call.times() == [("say", 2.0, 2.2), ("listen", 2.2, 3.5)]


def test_with_latency_the_caller_acts_on_what_it_hears_and_when():
    call = CallByHand(caller.listen(pause=0.5), behaviour=Behaviour(latency_ms=200))
    call.hear(speech(1), silence(1))
    assert call.times() == [("listen", 0.0, 1.7)]


def test_the_same_sound_leads_to_the_same_acts_and_another_seed_to_others():
    steps = (
        caller.listen(pause=0.5),
        caller.wait(caller.vary(0.1, 1)),
        caller.say(caller.choose(*(Clip.tone(hz, 0.1) for hz in range(300, 900, 50)))),
    )
    sound = (speech(0.5), silence(3))
    first, second = (CallByHand(*steps, seed=7).hear(*sound).acts for _ in range(2))
    assert first == second
    other = CallByHand(*steps, seed=8).hear(*sound).acts
    assert other[1].ends != first[1].ends
    assert other[2].clip != first[2].clip


# The end of the call


def test_the_end_of_the_call_cuts_speech_off_and_says_how_much_was_said():
    call = CallByHand(caller.say(QUESTION)).hear(silence(0.2)).end()
    assert call.times() == [("say", 0.0, 0.2)]
    assert call.acts[0].clip == QUESTION
    assert call.acts[0].objection.problem == (
        "was cut off: said 0.20 s of 0.50 s, then the call ended"
    )
    assert call.ends == ["over"]


def test_the_end_of_the_call_between_keys_says_which_were_pressed():
    call = CallByHand(caller.press("12#")).hear(silence(0.3)).end()
    assert call.acts[0].keys == "12"
    assert str(call.acts[0].objection) == (
        "step 1 of the script (press) was cut off: pressed 12 of 12#, then the call ended. "
        "The rest of the script was not done. Look at who ended the call, and why."
    )


def test_the_end_of_the_call_after_the_last_key_is_fine():
    call = CallByHand(caller.press("12")).hear(silence(0.3)).end()
    assert (call.acts[0].ok, call.acts[0].outcome) == (True, "the call ended meanwhile")


def test_the_end_of_the_call_in_the_first_frame_of_speech_is_counted():
    call = CallByHand(caller.say(QUESTION)).hear(silence(0.02)).end()
    assert call.times() == [("say", 0.0, 0.02)]


def test_the_end_of_the_call_after_the_answer_is_fine():
    call = CallByHand(caller.listen(), caller.hang_up()).hear(speech(1)).end()
    assert [act.outcome for act in call.acts] == [
        "heard 1.00 s of speech, then the call ended",
        "not begun: the call ended",
    ]
    assert all(act.ok for act in call.acts)


def test_the_end_of_the_call_before_anything_was_heard_is_objected_to():
    call = CallByHand(caller.listen()).hear(silence(1)).end()
    assert call.acts[0].objection.problem == "heard nothing before the call ended"


def test_what_was_left_to_do_is_objected_to_once_where_it_was_broken_off():
    steps = (caller.wait(2), caller.press("1"), caller.say(STOP), caller.hang_up())
    call = CallByHand(*steps).hear(silence(1)).end()
    acts = call.acts
    assert [act.kind for act in acts] == ["wait", "press", "say", "hang_up"]
    assert [act.ok for act in acts] == [False, True, True, True]
    assert acts[0].outcome == "waited 1.00 s of 2.00 s, then the call ended"
    assert acts[0].objection.problem == f"was cut off: {acts[0].outcome}"
    assert acts[0].objection.severity == "warning"
    assert {act.outcome for act in acts[1:]} == {"not begun: the call ended"}
    assert (acts[1].keys, acts[2].clip) == ("", None)
    assert {act.begins for act in acts[1:]} == {1.0}


@pytest.mark.parametrize(
    "left", [caller.listen(), caller.say(STOP), caller.interrupt(STOP), caller.press("1")]
)
def test_the_first_step_that_was_not_begun_is_blamed(left):
    call = CallByHand(caller.listen(), left, caller.press("2"), caller.hang_up())
    acts = call.hear(speech(1)).end().acts
    assert [act.ok for act in acts] == [True, False, True, True]
    assert acts[1].objection.problem == "was not begun: the call ended before it"
    assert acts[1].objection.severity == "warning"


def test_an_earlier_objection_does_not_hide_the_end_of_the_call():
    call = CallByHand(caller.listen(pause=0.4, limit=0.5), caller.wait(0.5), caller.say(QUESTION))
    acts = call.hear(silence(1.1)).end().acts
    assert [act.ok for act in acts] == [False, True, False]


def test_a_wait_for_which_the_call_is_too_short_says_so():
    call = CallByHand(caller.wait(500)).hear(silence(1))
    call.run.end(is_too_short=True)
    objection = call.acts[0].objection
    assert objection.problem == (
        "was cut off, for 500 s were more than was left: waited 1.00 s of 500.00 s, then the call "
        "ended"
    )
    assert objection.fix == "Give the call a longer seconds=, or leave it out"


def test_a_last_wait_in_which_the_server_hangs_up_is_no_more_than_noted():
    call = CallByHand(caller.wait(0.5), caller.wait(2), caller.hang_up())
    acts = call.hear(silence(1)).end().acts
    assert acts[1].outcome == "waited 0.50 s of 2.00 s, then the call ended"
    assert [act.objection and act.objection.severity for act in acts] == [None, "note", None]


@pytest.mark.parametrize("step", [caller.wait(0.2), caller.say(STOP)])
def test_a_step_that_was_whole_when_the_call_ended_was_not_cut_off(step):
    call = CallByHand(step, caller.hang_up()).hear(silence(0.2)).end()
    assert all(act.ok for act in call.acts)


def test_a_call_that_was_to_be_shorter_than_its_script_is_not_the_servers_doing():
    call = CallByHand(caller.wait(2), caller.say(STOP)).hear(silence(1))
    call.run.end(is_too_short=True)
    assert call.acts[0].objection.fix == "Give the call a longer seconds=, or leave it out"


def test_a_step_that_was_not_begun_is_not_asked_about():
    got = []
    steps = (caller.say(QUESTION), caller.wait(1, expect=got.append))
    assert CallByHand(*steps).hear(silence(0.2)).end().acts[1].ok
    assert got == []


@pytest.mark.parametrize("seconds", [0.06, 0.3, 0.38])
def test_sound_with_which_the_call_begins_and_ends_is_heard(seconds):
    call = CallByHand(caller.listen()).hear(speech(seconds)).end()
    assert call.acts[0].outcome == f"heard {seconds:.2f} s of speech, then the call ended"
    assert call.acts[0].ok


def test_sound_that_is_no_speech_is_not_called_nothing():
    call = CallByHand(caller.listen(pause=0.5, limit=1)).hear(
        silence(0.5), speech(0.04), silence(1)
    )
    assert call.acts[0].outcome == "heard no speech, but 0.04 s of other sound, within 1 s"
    call = CallByHand(caller.listen()).hear(speech(0.04)).end()
    assert call.acts[0].outcome == (
        "heard no speech, but 0.04 s of other sound, before the call ended"
    )


def test_a_script_that_was_cut_off_waits_for_no_garbage_collection():
    call = CallByHand(caller.wait(5)).hear(silence(0.1)).end()
    run = weakref.ref(call.run)
    del call.run
    assert run() is None


def test_after_the_end_the_telephone_is_free_again():
    call = CallByHand(caller.say(STOP)).hear(silence(0.1)).end().end()
    assert call.ends == ["over"]
    assert call.handset.mouth.prompter is None
    assert call.handset.ear.on_frame == []


# Expectations


def test_expect_gets_what_was_heard_during_its_step():
    got = []
    call = CallByHand(caller.wait(0.5), caller.listen(pause=0.5, expect=got.append))
    call.hear(silence(1), speech(1), silence(1))
    assert all(act.ok for act in call.acts)
    [clip] = got
    assert clip.name == "heard in step 2"
    assert clip.payload == (silence(0.5) + speech(1) + silence(0.5)).payload


def test_expect_may_get_a_whole_wav_file_if_that_is_what_was_heard():
    got = []
    call = CallByHand(caller.wait(0.1, expect=got.append))
    for _ in range(6):
        call.handset.mouth.take_frame()
        call.handset.ear.hear(b"RIFF\x00\x00\x00\x00WAVEfmt ".ljust(160, b"\xff"), 0.0)
    assert call.acts[0].ok
    assert got[0].payload.startswith(b"RIFF")


def say_no(heard):
    return False


def assert_it(heard):
    raise AssertionError("no word about the price")


def leave(heard):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        (say_no, "say_no() returned False"),
        (assert_it, "no word about the price"),
        (leave, "SystemExit"),
        (lambda heard: heard.no_such, "no_such"),
    ],
)
def test_what_is_not_as_expected_is_an_error_in_words(expect, said):
    call = CallByHand(caller.wait(0.1, expect=expect)).hear(silence(0.2))
    [act] = call.acts
    assert act.objection.severity == "error"
    assert said in act.objection.problem
    assert str(act.objection).startswith("step 1 of the script (wait) heard something else than")


@pytest.mark.parametrize("answer", [None, True, 1, "yes"])
def test_what_is_as_expected_is_not_objected_to(answer):
    call = CallByHand(caller.wait(0.1, expect=lambda heard: answer)).hear(silence(0.2))
    assert call.acts[0].ok


def test_a_step_that_failed_already_is_not_asked_about():
    got = []
    call = CallByHand(caller.listen(pause=0.4, limit=0.5, expect=got.append)).hear(silence(1))
    assert not call.acts[0].ok
    assert got == []


async def ask_later(heard):
    return False


def ask_by_and_by(heard):
    yield heard


@pytest.mark.parametrize(
    "expect",
    [
        lambda heard: ask_later(heard),
        lambda heard: ask_by_and_by(heard),
        lambda heard: Future(),
    ],
)
def test_an_answer_that_nobody_waits_for_is_none(expect):
    call = CallByHand(caller.wait(0.1, expect=expect)).hear(silence(0.2))
    [act] = call.acts
    assert act.objection.severity == "error"
    assert "so it was not asked; give an ordinary function" in act.objection.problem


class Future:
    def __await__(self):
        yield
