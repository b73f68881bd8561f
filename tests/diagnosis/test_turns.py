"""Turns of a conversation, from sound whose edges are known to the frame."""

from __future__ import annotations

import json
import math
import operator
import pickle
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import twistream_kit as kit
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._turn_meter import WholeSound
from twistream_kit.diagnosis.junit import build_junit_error
from twistream_kit.diagnosis.turn_figures import DEFINITIONS, EXACT_UNCERTAINTY, TurnFigure
from twistream_kit.diagnosis.turns import Turns, find_turns, turns
from twistream_kit.errors import WrongState, WrongType, WrongValue

FADE_SECONDS = 0.3


@dataclass(frozen=True)
class Said:
    """An act of a caller."""

    begins: float
    ends: float
    clip: kit.Clip | None = None
    kind: str = "say"
    meant: bool = True
    outcome: str = ""


def speech(seconds: float) -> kit.Clip:
    """Return sound that fades out as speech does: audible to its last frame, and not cut off."""
    samples = kit.Clip.tone(300, seconds, level_db=-12).samples().astype(np.float64)
    n = round(FADE_SECONDS * 8000)
    samples[-n:] *= np.geomspace(1.0, 0.02, n)
    return kit.Clip(encode_ulaw(np.rint(samples).astype(np.int16)))


def place(*parts: tuple[float, kit.Clip], seconds: float) -> kit.Clip:
    """Return clips at their times, in silence."""
    sound = bytearray(b"\xff" * round(seconds * 8000))
    for at, clip in parts:
        begin = round(at * 8000)
        sound[begin : begin + len(clip.payload)] = clip.payload
    return kit.Clip(bytes(sound))


def say(at: float, clip: kit.Clip, kind: str = "say", *, meant: bool = True) -> Said:
    return Said(at, at + clip.seconds, clip, kind, meant)


QUESTION = speech(1.0)


def test_response_is_from_the_end_of_the_caller_to_the_first_frame_of_the_server():
    heard = place((1.74, speech(1.0)), seconds=4.0)
    found = find_turns(heard, acts=[say(0.5, QUESTION)])
    assert found.response_ms.values == (240.0,)
    assert [(turn.who, turn.begins, turn.ends) for turn in found] == [
        ("caller", 0.5, 1.5),
        ("server", 1.74, 2.74),
    ]


def test_response_counts_from_the_audible_end_of_the_clip():
    padded = kit.Clip.silence(0.3) + QUESTION + kit.Clip.silence(0.4)
    heard = place((2.3, speech(1.0)), seconds=4.0)
    found = find_turns(heard, acts=[say(0.5, padded)])
    assert found.response_ms.values == (500.0,)


def test_without_a_script_the_caller_is_found_in_the_sound():
    said = place((0.5, QUESTION), seconds=4.0)
    heard = place((1.74, speech(1.0)), seconds=4.0)
    found = find_turns(heard, said)
    assert found.response_ms.values == (240.0,)
    assert found[0].kind == "speech"


def test_each_question_has_its_own_answer():
    heard = place((0.0, speech(0.8)), (2.6, speech(1.0)), (5.9, speech(1.0)), seconds=8.0)
    found = find_turns(heard, acts=[say(1.0, QUESTION), say(4.0, QUESTION)])
    assert found.response_ms.values == (600.0, 900.0)
    assert found[0].response_ms is None  # the greeting answers nobody


def test_server_that_begins_before_the_caller_has_ended_answers_early():
    heard = place((1.3, speech(1.0)), seconds=4.0)
    found = find_turns(heard, acts=[say(0.5, QUESTION)])
    assert found.response_ms.values == (-200.0,)
    assert found.overlap_ms.values == (200.0,)


def test_sound_of_the_server_within_the_question_is_no_answer():
    heard = place((0.7, speech(0.4)), (2.5, speech(1.0)), seconds=4.0)
    found = find_turns(heard, acts=[say(0.5, QUESTION)])
    assert found.response_ms.values == (1000.0,)


def test_question_that_is_not_answered_has_an_infinite_response():
    found = find_turns(place(seconds=8.0), acts=[say(0.5, QUESTION)])
    assert found.response_ms.values == (math.inf,)
    assert found.response_ms.max == math.inf
    assert found.describe_faults() == ["once the server did not answer"]


def test_question_that_ends_with_the_call_is_not_counted():
    found = find_turns(place(seconds=2.0), acts=[say(0.5, QUESTION)])
    assert found.response_ms.values == ()


def test_barge_in_is_from_the_callers_first_frame_to_the_servers_last():
    talk = kit.Clip(speech(5.0).payload[: round(1.34 * 8000)])  # cut off
    heard = place((0.5, talk), seconds=6.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == (340.0,)
    assert [turn.ending for turn in found] == ["stopped", "finished"]
    assert found.overlap_ms.values == (340.0,)


def test_barge_in_does_not_include_the_answer_to_the_interruption():
    talk = kit.Clip(speech(5.0).payload[: round(1.3 * 8000)])
    heard = place((0.5, talk), (2.9, speech(1.0)), seconds=6.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == (300.0,)
    assert found.response_ms.values == (400.0,)


def test_server_that_pauses_between_sentences_has_not_stopped():
    heard = place((0.5, speech(1.3)), (2.3, speech(2.0)), seconds=8.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == (2800.0,)
    assert found[0].ending == "finished"


def test_server_that_pauses_where_the_caller_begins_has_not_stopped():
    sentence = kit.Clip(speech(5.0).payload[: round(0.9 * 8000)])  # it does not fade out
    heard = place((0.5, sentence), (2.0, sentence), seconds=8.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == (1400.0,)
    assert [turn.who for turn in found] == ["server", "caller"]


def test_server_that_speaks_on_while_the_caller_speaks_has_not_stopped():
    sentence = kit.Clip(speech(5.0).payload[: round(1.2 * 8000)])
    heard = place((0.5, sentence), (2.2, sentence), seconds=8.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == (1900.0,)
    cleared = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")], clears=[1.7])
    assert cleared.barge_in_ms.values == (200.0,)


def test_server_that_stops_softly_and_answers_at_once_has_stopped():
    heard = place((0.5, speech(1.3)), (2.66, speech(1.0)), seconds=6.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == (300.0,)
    assert found.response_ms.values == (pytest.approx(160.0),)


def test_call_lasts_as_long_as_its_sound():
    found = find_turns(place((1.0, speech(1.0)), seconds=4.0), acts=[], seconds=1.5)
    assert found.seconds == 4.0
    assert found[0].ending == "finished"


def test_server_that_speaks_until_the_end_never_stopped():
    heard = place((0.5, kit.Clip.tone(300, 7.5)), seconds=8.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == (math.inf,)
    assert found[0].ending == "call ended"
    assert "once the server went on speaking until the call ended" in found.describe_faults()


def test_call_that_ends_at_once_does_not_say_whether_the_server_stopped():
    heard = place((0.5, kit.Clip.tone(300, 2.0)), seconds=2.5)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")])
    assert found.barge_in_ms.values == ()


def test_question_before_the_end_says_who_ended_the_call_and_when():
    acts = [say(0.5, QUESTION)]
    found = find_turns(place(seconds=2.8), acts=acts, is_closed=True)
    assert found[0].delay == "no answer: the server closed after 1300 ms"
    why = "the server closed 1300 ms after the question, too soon to know"
    with pytest.raises(WrongState, match=f"response_ms has no values: {why}. Look at why"):
        _ = found.response_ms.max
    assert f"  response_ms  none: {why}" in repr(found).splitlines()
    assert why in found.describe()
    assert found.to_dict()["response_ms"]["reason"] == why
    assert find_turns(place(seconds=2.8), acts=acts)[0].delay.endswith(
        "the call ended after 1300 ms"
    )


def test_interruption_before_the_end_says_when_the_call_ended():
    heard = place((0.5, kit.Clip.tone(300, 1.6)), seconds=2.1)
    cut_short = Said(2.0, 2.1, QUESTION, "interrupt")
    found = find_turns(heard, acts=[cut_short], is_closed=True)
    with pytest.raises(WrongState, match="the server closed 100 ms after the caller began to int"):
        _ = found.barge_in_ms.max
    assert found[1].delay == "the server had not stopped: the server closed after 100 ms"
    assert found[1].ending == "call ended"
    with pytest.raises(WrongState, match=r"the server closed before there could be"):
        _ = found.response_ms.max


def test_sound_that_is_not_meant_to_interrupt_is_no_false_reason():
    heard = place((0.5, speech(5.0)), seconds=7.0)
    found = find_turns(heard, acts=[say(1.5, speech(0.3), "interrupt", meant=False)])
    with pytest.raises(WrongState, match="barge_in_ms has no values: no interruption was meant"):
        _ = found.barge_in_ms.max
    assert found.list_cases()["false_barge_ins"] == ""


def test_server_that_spoke_to_its_end_was_not_stopped():
    heard = place((0.5, speech(2.5)), seconds=8.0)
    found = find_turns(heard, acts=[say(1.5, speech(0.3), "interrupt")])
    assert found.barge_in_ms.values == (1500.0,)
    assert found[1].delay == "the server went on for 1500 ms, to its end, no answer"
    assert found[1].to_dict()["is_stopped"] is False
    assert found.barge_in_ms.to_dict()["to_its_end"] == 1
    assert found.barge_in_ms.describe() == "1500 ms, to its end"
    assert found.list_cases(barge_in_ms=300)["barge_in_ms 1"] == (
        "1500 ms, and the limit is 300 ms; the server did not stop, but spoke to its end"
    )


def test_each_unanswered_question_is_in_the_table():
    talk = kit.Clip(speech(5.0).payload[: round(1.34 * 8000)])
    found = find_turns(place((0.5, talk), seconds=12.0), acts=[
        say(1.5, QUESTION, "interrupt"), say(6.0, QUESTION),
    ])  # fmt: skip
    assert found.response_ms.never == 2
    assert [turn.delay for turn in found if turn.who == "caller"] == [
        "the server stopped after 340 ms, no answer", "no answer",
    ]  # fmt: skip


@pytest.mark.parametrize("meant", [True, False])
def test_sound_that_was_sent_and_heard_whole_was_not_stopped(meant: bool):
    heard = place((0.5, kit.Clip.tone(300, 2.0)), seconds=8.0)  # it does not fade out
    acts = [say(1.5, speech(0.3), "interrupt", meant=meant)]
    guessed, known, late = (
        find_turns(heard, acts=acts, whole=whole)
        for whole in ([], [WholeSound(0.5, 2.5, 0.7)], [WholeSound(0.5, 2.5, 2.4)])
    )
    assert guessed[0].ending == late[0].ending == ("stopped" if meant else "stopped by a sound")
    assert known[0].ending == "finished"
    assert known.false_barge_ins == 0
    cleared = find_turns(heard, acts=acts, whole=[WholeSound(0.5, 2.5, 0.7)], clears=[2.45])
    assert cleared[0].ending == guessed[0].ending


def test_server_that_stops_because_of_a_cough_counts_as_a_false_barge_in():
    talk = kit.Clip(speech(5.0).payload[: round(1.3 * 8000)])
    heard = place((0.5, talk), (3.0, speech(1.0)), seconds=6.0)
    found = find_turns(heard, acts=[say(1.5, speech(0.3), "interrupt", meant=False)])
    assert found.false_barge_ins == 1
    assert found[0].ending == "stopped by a sound"
    assert found.barge_in_ms.values == ()
    assert found.response_ms.values == ()
    assert found[1].kind == "sound"


def test_server_that_ignores_a_cough_makes_no_false_barge_in():
    heard = place((0.5, speech(5.0)), seconds=7.0)
    found = find_turns(heard, acts=[say(1.5, speech(0.3), "interrupt", meant=False)])
    assert found.false_barge_ins == 0
    assert [turn.ending for turn in found] == ["finished", "finished"]


def test_clear_says_that_speech_was_stopped_though_it_fades_out():
    heard = place((0.5, speech(1.3)), (4.0, speech(1.0)), seconds=6.0)
    found = find_turns(heard, acts=[say(1.5, QUESTION, "interrupt")], clears=[1.78])
    assert found[0].ending == "stopped"


def test_dead_air_is_what_the_server_lets_pass():
    heard = place((2.5, speech(0.5)), (8.9, speech(1.0)), seconds=20.0)
    found = find_turns(heard, acts=[say(6.0, QUESTION), say(14.0, QUESTION)])
    assert found.dead_air == ((0.0, 2.5), (15.0, 5.0))
    assert found.dead_air_ms.values == (2500.0, 5000.0)
    assert found.response_ms.values == (1900.0, math.inf)


def test_server_that_speaks_again_after_a_long_silence_made_dead_air():
    heard = place((0.0, speech(1.0)), (5.0, speech(1.0)), seconds=8.0)
    found = find_turns(heard, acts=[])
    assert found.dead_air == ((1.0, 4.0),)
    assert len(found) == 2


def test_silence_of_the_caller_is_no_dead_air():
    heard = place((0.0, speech(1.0)), seconds=12.0)
    assert find_turns(heard, acts=[say(8.0, QUESTION)]).dead_air == ((9.0, 3.0),)


def test_last_words_that_were_not_heard_are_cut_off():
    heard = place((0.5, speech(1.0)), seconds=1.5)
    found = find_turns(heard, acts=[], cut_off_seconds=0.8)
    assert found.cut_off_ms == 800.0
    assert found[-1].ending == "cut off"
    assert found.describe_faults() == [
        "the server's last 800 ms were not heard: it closed too early"
    ]


def test_words_of_which_nothing_was_heard_have_a_row_of_their_own():
    heard = place((0.5, speech(1.0)), seconds=4.0)
    found = find_turns(heard, acts=[say(1.8, QUESTION)], cut_off_seconds=0.8, is_closed=True)
    assert [turn.ending for turn in found] == ["finished", "finished", "not heard"]
    assert found[-1].to_dict()["lost_ms"] == 800
    assert repr(found).splitlines()[3] == (
        "  server         –        " + " " * len(found[1].delay) + "    not heard: 800 ms"
    )
    assert found.dead_air_ms.values == ()


def test_act_without_a_clip_is_no_turn():
    found = find_turns(place(seconds=3.0), acts=[Said(1.0, 1.2, kind="press")])
    assert len(found) == 0
    assert repr(found) == "Turns of a call of 3.00 s\n  nobody spoke"


def test_act_that_the_call_cut_short_lasts_as_long_as_it_was_said():
    found = find_turns(place(seconds=1.0), acts=[Said(0.5, 1.0, speech(2.0))])
    assert (found[0].begins, found[0].ends) == (0.5, 1.0)


def test_act_that_ends_before_it_begins_is_refused():
    with pytest.raises(WrongValue, match=r"an act begins at 2 s and ends at 1 s"):
        find_turns(place(seconds=3.0), acts=[Said(2.0, 1.0, QUESTION)])


def test_noise_of_the_callers_own_clip_is_not_its_speech():
    noise = np.random.default_rng(3).normal(0, 32768 * 10 ** (-45 / 20), 8000 * 3)
    samples = noise.copy()
    samples[8000:16000] += QUESTION.samples()
    noisy = kit.Clip(encode_ulaw(np.rint(samples).astype(np.int16)))
    found = find_turns(place((3.5, speech(1.0)), seconds=6.0), acts=[say(0.5, noisy)])
    assert found.response_ms.max == pytest.approx(1000, abs=100)


# The figures.


def test_percentiles_are_there_from_twenty_values_on():
    few, many = (TurnFigure("response_ms", tuple(map(float, range(1, n + 1)))) for n in (19, 20))
    assert (many.p50, many.p95, many.p99, many.max, many.min) == (10.5, 19.0, 20.0, 20.0, 1.0)
    with pytest.raises(WrongState, match=r"response_ms.p95 needs 20 values, and there are 19; ask"):
        _ = few.p95
    assert few.max == 19.0


def test_figure_without_values_says_what_to_do():
    with pytest.raises(
        WrongState,
        match=r"barge_in_ms has no values: the caller did not speak while the server spoke\. Let ",
    ):
        _ = TurnFigure("barge_in_ms").max


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((), "none"),
        ((240.0,), "240 ms"),
        ((math.inf,), "never"),
        ((240.0, 300.0), "at most 300 ms (2 values)"),
        ((240.0, math.inf), "at most 240 ms, once never (2 values)"),
        ((100.0,) * 19 + (500.0,), "median 100 ms, 95 % within 100 ms, at most 500 ms (20 values)"),
    ],
)
def test_figure_says_its_values_in_words(values: tuple[float, ...], said: str):
    assert TurnFigure("response_ms", values).describe() == said


def test_every_figure_has_a_definition():
    found = find_turns(place(seconds=1.0), acts=[])
    counts = {"false_barge_ins", "cleared", "cut_off_ms"}
    names = {each.name for each in found.figures} | counts
    assert names == set(found.definitions) == set(DEFINITIONS)
    assert all(each.definition for each in found.figures)


# What is written.


@pytest.fixture
def conversation() -> Turns:
    talk = kit.Clip(speech(5.0).payload[: round(1.34 * 8000)])
    heard = place((0.2, speech(0.8)), (2.6, talk), (6.0, speech(1.0)), seconds=14.0)
    acts = [say(1.2, QUESTION), say(3.6, QUESTION, "interrupt"), say(8.0, QUESTION)]
    return find_turns(heard, acts=acts)


def test_repr_is_a_table(conversation: Turns):
    interrupted = "finished, overlap 340 ms (interrupt)"
    assert repr(conversation).splitlines() == [
        "Turns of a call of 14.00 s",
        "  server   0.20 to  1.00 s                                   finished",
        "  caller   1.20 to  2.20 s                                   finished",
        "  server   2.60 to  3.94 s  answers after 400 ms             stopped, overlap 340 ms",
        f"  caller   3.60 to  4.60 s  the server stopped after 340 ms  {interrupted}",
        "  server   6.00 to  7.00 s  answers after 1400 ms            finished",
        "  caller   8.00 to  9.00 s  no answer                        finished",
        "  response_ms  at most 1400 ms, once never (3 values)",
        "  barge_in_ms  340 ms",
        "  overlap_ms   340 ms",
        "  dead_air_ms  5000 ms",
        "  once the server did not answer",
    ]


def test_json_has_null_for_what_never_came(conversation: Turns):
    found = json.loads(conversation.to_json())
    assert found["response_ms"] == {"values": [400.0, 1400.0, None], "never": 1, "max": None}
    assert found["barge_in_ms"] == {
        "values": [340.0], "never": 0, "max": 340.0, "to_its_end": 0,
    }  # fmt: skip
    assert found["turns"][3]["kind"] == "interrupt"
    assert found["dead_air"] == [{"at": 9.0, "seconds": 5.0}]
    assert found["uncertainty"] == EXACT_UNCERTAINTY


def test_junit_fails_what_exceeds_its_limit(conversation: Turns):
    suite = ET.fromstring(conversation.to_junit(name="bot", response_ms=800)).find("testsuite")
    assert suite is not None
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    failed = {name: case.find("failure") for name, case in cases.items()}
    assert [name for name, failure in failed.items() if failure is not None] == [
        "response_ms 2",
        "response_ms 3",
    ]
    assert suite.get("failures") == "2"
    values = {name: case.findtext("system-out") for name, case in cases.items()}
    assert values == {
        "response_ms 1": "400 ms", "response_ms 2": "1400 ms", "response_ms 3": "never",
        "barge_in_ms 1": "340 ms", "overlap_ms 1": "340 ms", "dead_air_ms 1": "5000 ms",
        "cut_off_ms": "0 ms", "false_barge_ins": None,
    }  # fmt: skip
    assert suite.get("tests") == str(len(failed))
    late, never = failed["response_ms 2"], failed["response_ms 3"]
    assert "Turns of a call of 14.00 s" in late.text
    assert "Turns of" not in never.text, "the table stands there once"
    skipped = {name: case.find("skipped") for name, case in cases.items()}
    assert [name for name, found in skipped.items() if found is not None] == ["false_barge_ins"]
    assert suite.get("skipped") == "1"
    failure = failed["response_ms 2"]
    assert failure is not None
    assert failure.get("message") == "1400 ms, and the limit is 800 ms"
    assert failure.text.startswith("from the end of the last audible frame of the caller")
    assert "Turns of a call of 14.00 s" in failure.text


def test_junit_fails_a_limit_for_what_was_never_tried():
    found = find_turns(place((1.74, speech(1.0)), seconds=4.0), acts=[say(0.5, QUESTION)])
    cases = found.list_cases(barge_in_ms=300)
    assert cases["barge_in_ms"].startswith("no values: the caller did not speak")
    assert cases["response_ms 1"] == ""


def test_junit_of_a_call_that_was_refused_has_an_error():
    text = build_junit_error("bot", "call", OSError("no\x00body <listens>"))
    suite = ET.fromstring(text).find("testsuite")
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("1", "1", "0")
    assert suite.find("testcase/error").get("message") == "nobody <listens>"


def test_check_fails_where_nothing_was_tried():
    found = find_turns(place((0.5, speech(1.0)), seconds=4.0), acts=[])
    with pytest.raises(AssertionError, match=r"response_ms: no values: the caller said nothing"):
        found.check()
    find_turns(place((1.74, speech(1.0)), seconds=4.0), acts=[say(0.5, QUESTION)]).check()


def test_junit_is_xml_whatever_the_names_hold():
    clip = say(0.5, QUESTION, kind="\x1b[31m\ud800<&")
    found = find_turns(place(seconds=8.0), acts=[clip])
    assert ET.fromstring(found.to_junit(name="<&\x00\ud800")).find("testsuite").get("name") == "<&"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (math.nan, "nan"),
        (-1, "-1"),
        (-0.5, "-0.5"),
        (-math.inf, "-inf"),
        (10**400, "100"),
        (-(10**5000), "a value of type int that is too long to write"),
    ],
    ids=["nan", "-1", "-0.5", "-inf", "10**400", "-10**5000"],
)
@pytest.mark.parametrize("name", ["check", "to_junit", "list_cases", "list_skipped"])
def test_limit_that_no_time_can_have_is_refused(conversation: Turns, name, limit, said):
    with pytest.raises(WrongValue, match=rf"barge_in_ms is {said}.*; give a limit in millis"):
        getattr(conversation, name)(barge_in_ms=limit)


@pytest.mark.parametrize("name", ["check", "to_junit", "list_cases", "list_skipped"])
def test_limit_in_seconds_is_refused(conversation: Turns, name):
    with pytest.raises(WrongValue, match=r"response_ms is 0\.8; give milliseconds, such as 800"):
        getattr(conversation, name)(response_ms=0.8)


@pytest.mark.parametrize("name", ["check", "to_junit"])
def test_limit_with_a_wrong_name_is_refused_with_the_nearest(conversation: Turns, name):
    with pytest.raises(WrongType, match=r"no limit 'response'. Nearest: response_ms. The limits"):
        getattr(conversation, name)(response=800)


@pytest.mark.parametrize(
    "compare", [operator.lt, operator.le, operator.gt, operator.ge], ids=lambda each: each.__name__
)
def test_figure_that_is_compared_says_what_to_compare(conversation: Turns, compare):
    with pytest.raises(WrongType) as caught:
        compare(conversation.response_ms, 800)
    assert str(caught.value) == (
        "response_ms has 3 values, and cannot be compared with 800; compare response_ms.max, or "
        "from 20 values on response_ms.p50 or .p95."
    )
    with pytest.raises(WrongType):
        compare(800, conversation.response_ms)
    assert conversation.response_ms == conversation.response_ms


def test_name_that_there_is_not_is_refused_with_the_nearest(conversation: Turns):
    with pytest.raises(AttributeError, match=r"a Turns has no 'respons_ms'. Nearest: response_ms"):
        _ = conversation.respons_ms
    with pytest.raises(AttributeError, match=r"a TurnFigure has no 'mean'. Ask for .p50, the med"):
        _ = conversation.response_ms.mean
    with pytest.raises(AttributeError, match=r"a TurnFigure has no 'maxx'. Nearest: max"):
        _ = conversation.response_ms.maxx
    assert pickle.loads(pickle.dumps(conversation)) == conversation


def test_answer_right_behind_an_interrupted_sentence_says_what_tells_them_apart():
    heard = place((0.5, speech(4.0)), seconds=8.0)
    found = find_turns(heard, acts=[say(1.5, speech(0.3), "interrupt")])
    why = (
        "or not audibly so: it spoke on without a clear, and what follows within "
        "0.4 s counts as the same turn"
    )
    assert found.describe_faults() == [f"once the server did not answer, {why}"]
    assert found.list_cases()["response_ms 1"] == f"never, {why}"


def test_limit_of_0_and_none_at_all_are_limits(conversation: Turns):
    assert conversation.list_cases(overlap_ms=0, dead_air_ms=math.inf)


@pytest.mark.parametrize("name", ["list_cases", "list_skipped"])
def test_limit_of_no_figure_is_refused_with_the_nearest(conversation: Turns, name):
    with pytest.raises(WrongType) as caught:
        getattr(conversation, name)(respons_ms=800)
    assert str(caught.value) == (
        "there is no limit 'respons_ms'. Nearest: response_ms. The limits are response_ms, "
        "barge_in_ms, overlap_ms, dead_air_ms."
    )


def test_junit_refuses_a_limit_that_is_no_number(conversation: Turns):
    with pytest.raises(WrongType, match="response_ms is 'fast'; give a number"):
        conversation.to_junit(response_ms="fast")


# Whatever was heard and said.


def draw_sound(random: np.random.Generator) -> bytes:
    """Return sound that is right, damaged, or none at all, of any length."""
    n = int(random.choice([0, 1, 79, 160, 161, 1000, 8000, random.integers(20000)]))
    samples = np.arange(n)
    match random.integers(9):
        case 0:
            return b"\xff" * n
        case 1:
            return bytes(n)
        case 2:
            return random.bytes(n)
        case 3:  # A-law
            codes = np.frombuffer(encode_ulaw((8000 * np.sin(samples / 5)).astype(np.int16)), "u1")
            return (codes ^ 0x55).tobytes()
        case 4:  # clipped
            return encode_ulaw((np.sign(np.sin(samples / 5)) * 32767).astype(np.int16))
        case 5:  # a DC offset
            return encode_ulaw(np.full(n, random.integers(-32768, 32768), np.int16))
        case 6:
            noise = random.normal(0, 10 ** random.uniform(0, 4), n)
            return encode_ulaw(noise.clip(-32768, 32767).astype(np.int16))
        case 7:
            return encode_ulaw((10 ** random.uniform(1, 4) * np.sin(samples / 5)).astype(np.int16))
        case _:
            words = kit.load_clip("sample_audio/reply.wav").payload
            return (words[int(random.integers(len(words))) :] + words)[:n]


def draw_track(random: np.random.Generator) -> kit.Clip:
    return kit.Clip(b"".join(draw_sound(random) for _ in range(random.integers(6))))


def check_table(found: Turns, case: str) -> None:
    """Check what is true of every table of turns, and that it can be shown and written."""
    begins = [turn.begins for turn in found]
    assert begins == sorted(begins), case
    for turn in found:
        assert 0 <= turn.begins <= turn.ends <= found.seconds + 0.04, case  # parts of frames
        assert 0 <= turn.overlap_ms <= 1000 * (turn.ends - turn.begins) + 1, case
    assert all(seconds >= 2.0 for _, seconds in found.dead_air), case
    json.loads(found.to_json())
    ET.fromstring(found.to_junit(response_ms=800, barge_in_ms=300))
    assert repr(found).startswith("Turns of a call of"), case
    assert found.describe() == "" or "ms" in found.describe(), case


@pytest.mark.parametrize("seed", range(40))
def test_turns_of_any_sound_are_measured(seed: int):
    random = np.random.default_rng(seed)
    heard, said = draw_track(random), draw_track(random)
    acts, at = [], 0.0
    for _ in range(random.integers(4)):
        at += float(random.choice([0.0, 0.013, 0.5, 1.7]))
        clip = draw_track(random)
        ends = at + clip.seconds * float(random.choice([0.0, 0.3, 1.0]))
        acts.append(Said(at, ends, clip, "say", bool(random.integers(2))))
        at = ends
    clears = [*random.uniform(-1, 5, random.integers(3))]
    cut_off = float(random.choice([0.0, 0.5]))
    check_table(find_turns(heard, said), f"without a script, seed {seed}")
    found = find_turns(heard, acts=acts, clears=clears, cut_off_seconds=cut_off, seconds=0.0)
    check_table(found, f"with a script, seed {seed}")


@pytest.mark.parametrize("seed", range(20))
def test_turns_of_any_capture_are_measured(seed: int):
    random = np.random.default_rng(seed)
    sid = "MZ" + "0" * 32
    capture, at, n = kit.Capture(sid), 0.0, 0
    if seed % 4:  # otherwise it begins in the middle
        capture.append(kit.from_twilio.Start(sid), at=0.0)
    for _ in range(random.integers(100)):
        at += float(random.choice([0.0, 0.02, 0.02, 0.02, 0.5]))
        sound = draw_sound(random)
        match random.integers(6):
            case 0 | 1 | 2:
                n += 1
                track = "inbound" if random.integers(3) else "outbound"
                chunk, time = (int(random.choice([n, random.integers(1, 9)])) for _ in range(2))
                payload = sound[:160] or b"\x20"
                media = kit.from_twilio.Media(sid, payload, n, track, chunk, 20 * time)
                capture.append(media, at=at)
            case 3:
                capture.append(kit.to_twilio.Media(sid, sound or b"\x20"), at=at)
            case 4:
                capture.append(kit.to_twilio.Mark(sid, "words"), at=at)
            case _:
                capture.append(kit.to_twilio.Clear(sid), at=at)
    if random.integers(2):
        capture.append(kit.from_twilio.Stop(sid), at=at)
    if random.integers(2):
        capture.note_ending("words#1@1s", "lost")
    found = turns(capture)
    assert found.is_estimate
    check_table(found, f"seed {seed}")


def test_capture_without_a_message_has_no_turns():
    assert repr(turns(kit.Capture("MZ" + "0" * 32))).startswith(
        "Turns of a call of 0.00 s\n  nobody spoke"
    )


# A capture.


def capture_of(said: kit.Clip, *sent: tuple[float, kit.Clip], late: float = 0.0) -> kit.Capture:
    """Return a call whose first three messages came together, as Twilio's do."""
    sid = "MZ" + "0" * 32
    capture = kit.Capture(sid)
    timed = [(0.0, kit.from_twilio.Start(sid))]
    silence = [b"\xff" * 160] * 2
    for n, frame in enumerate([*silence, *said.frames()], 1):
        at = max(0.02, (n - 2) * 0.02) + late
        timed.append((at, kit.from_twilio.Media(sid, frame, n, "inbound", n, 20 * n)))
    timed += [(at, kit.to_twilio.Media(sid, clip.payload)) for at, clip in sent]
    for at, message in sorted(timed, key=lambda each: each[0]):
        capture.append(message, at=at)
    return capture


def test_turns_of_a_capture_are_on_the_clock_by_which_the_sound_arrived():
    said = place((1.0, QUESTION), seconds=5.0)
    found = turns(capture_of(said, (2.5, speech(1.0))))
    assert found[0].ends == pytest.approx(2.0, abs=0.02)
    assert found.response_ms.max == pytest.approx(500, abs=20)


def test_turns_of_a_capture_say_that_they_are_estimates():
    found = turns(capture_of(place((1.0, QUESTION), seconds=5.0), (2.5, speech(1.0))))
    assert "100 to 600 ms" in found.uncertainty
    assert found.uncertainty in repr(found)


def test_sound_that_waits_when_the_server_closes_is_cut_off():
    capture = capture_of(place(seconds=2.0), (1.5, speech(2.0)))
    assert turns(capture).cut_off_ms == 0, "the stream may still be open"
    capture.note_ending("words#1@1s", "lost")
    assert turns(capture).cut_off_ms == pytest.approx(1500, abs=50)


def test_sound_that_waits_when_the_caller_hangs_up_is_not_cut_off():
    capture = capture_of(place(seconds=2.0), (1.5, speech(2.0)))
    capture.append(kit.from_twilio.Stop(capture.stream_sid), at=2.0)
    capture.note_ending("words#1@1s", "lost")
    assert turns(capture).cut_off_ms == 0.0


def test_turns_of_something_else_are_refused():
    with pytest.raises(WrongType, match=r"turns takes a Capture; stream.capture is one"):
        turns(3)


@pytest.mark.parametrize("late", [-0.08, 0.0, 0.02, 0.08])
@pytest.mark.parametrize("gap", [0.02, 0.1, 0.2, 0.3, 0.38, 0.42, 0.9])
def test_what_is_said_after_a_clear_is_an_answer_however_soon(gap, late):
    """Without a clear it is a pause of the server up to 400 ms, and longer where it is soon."""
    stopped = 1.66
    greeting = kit.Clip(speech(4.0).payload[: round((stopped - 0.5) * 8000)])
    heard = place((0.5, greeting), (stopped + gap, speech(1.0)), seconds=6.0)
    acts = [say(1.5, kit.Clip.tone(300, 0.1), "interrupt")]
    found = find_turns(heard, acts=acts, clears=[stopped + late])
    assert found.barge_in_ms.values == (160.0,)
    assert found.response_ms.values == (pytest.approx(1000 * (stopped + gap - 1.6)),)
    assert [turn.ending for turn in found if turn.who == "server"] == ["stopped", "finished"]


def test_a_clear_that_nobody_spoke_for_ends_a_turn_too_and_says_so():
    greeting = kit.Clip(speech(4.0).payload[: 8 * 1160])
    heard = place((0.5, greeting), (1.96, speech(1.0)), seconds=5.0)
    found = find_turns(heard, acts=[say(3.5, speech(0.5))], clears=[1.66])
    assert [(turn.who, turn.ending) for turn in found] == [
        ("server", "cleared"),
        ("server", "finished"),
        ("caller", "finished"),
    ]
    assert found.cleared == found.to_dict()["cleared"] == 1
    words = "once a clear ended what the server said while the caller did not speak"
    assert f"  {words}" in repr(found).splitlines()
    assert words in found.describe()
    assert found.describe_faults() == []


def test_clear_stops_a_server_that_began_while_the_caller_spoke():
    answer = kit.Clip(speech(4.0).payload[: 8 * 60])
    heard = place((1.0, answer), (4.0, speech(1.0)), seconds=7.0)
    found = find_turns(heard, acts=[say(0.5, speech(2.0))], clears=[1.06])
    assert [turn.ending for turn in found if turn.who == "server"] == ["stopped", "finished"]
    assert found.barge_in_ms.values == ()
    assert found.overlap_ms.values == (60.0,)
    assert found.cleared == 0
    with pytest.raises(AssertionError) as caught:
        found.check(barge_in_ms=300)
    assert str(caught.value).splitlines()[0] == (
        "barge_in_ms: no values: the caller was already speaking when the server began. Let the "
        "caller interrupt the server while it speaks"
    )


def test_caller_who_begins_with_the_server_interrupts_nothing():
    heard = place((0.5, speech(1.0)), (2.4, speech(1.0)), seconds=7.0)
    found = find_turns(heard, acts=[say(0.5, speech(1.4))])
    assert found.list_cases(barge_in_ms=300)["barge_in_ms"].startswith(
        "no values: caller and server began to speak at the same time. Let the caller interrupt"
    )


def test_clear_because_of_a_sound_that_was_there_before_is_a_false_barge_in():
    answer = kit.Clip(speech(4.0).payload[: 8 * 400])
    heard = place((1.0, answer), (4.0, speech(1.0)), seconds=7.0)
    cough = say(0.8, speech(0.4), "interrupt", meant=False)
    found = find_turns(heard, acts=[cough], clears=[1.4])
    assert found.false_barge_ins == 1
    assert next(turn.ending for turn in found if turn.who == "server") == "stopped by a sound"


# Why there are no values.


def test_say_that_was_never_begun_is_the_reason():
    unsaid = Said(1.0, 1.0, kind="say", outcome="not begun: the call ended")
    acts = [Said(0.0, 1.0, kind="listen"), unsaid]
    found = find_turns(place((0.2, speech(0.6)), seconds=1.0), acts=acts, is_closed=True)
    with pytest.raises(AssertionError) as caught:
        found.check(response_ms=800)
    assert str(caught.value).splitlines()[0] == (
        "response_ms: no values: step 2 of the script (say) was not begun: the server closed "
        "before it, at 1.00 s. Look at who ended the call, and why"
    )


def test_interruption_that_did_not_come_about_is_the_reason():
    acts = [Said(0.0, 3.0, kind="interrupt", outcome="no answer to interrupt came within 3 s")]
    found = find_turns(place(seconds=4.0), acts=acts)
    why = "step 1 of the script (interrupt) said nothing: no answer to interrupt came within 3 s"
    for name in ("response_ms", "barge_in_ms"):
        assert found.list_cases(**{name: 300})[name] == (
            f"no values: {why}. Look at what the server does before it"
        )


def test_cough_that_was_not_made_is_no_reason():
    acts = [Said(0.0, 3.0, kind="interrupt", meant=False, outcome="no answer to interrupt came")]
    found = find_turns(place(seconds=4.0), acts=acts)
    assert "the caller said nothing" in found.list_cases(response_ms=300)["response_ms"]


def test_question_right_before_the_end_lacks_a_listen():
    question = kit.Clip(kit.Clip.tone(300, 1.0).payload)
    found = find_turns(place(seconds=1.5), acts=[say(0.5, question)])
    assert found[0].delay == "no answer: the call ended at once"
    assert found.list_cases(response_ms=300)["response_ms"] == (
        "no values: the call ended right after the question, too soon to know. Let the caller "
        "listen() before it hangs up, or give the call a longer seconds="
    )


@pytest.mark.parametrize("pause", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("rest", [0.02, 0.04, 0.1])
def test_what_a_clear_cuts_off_after_a_pause_belongs_to_what_it_stopped(pause, rest):
    """It may be too short for speech, and the pause is within reach of the clear."""
    sentence = kit.Clip.tone(300, 1.3)
    word = kit.Clip.tone(300, rest)
    heard = place((0.5, sentence), (1.8 + pause, word), (3.5, speech(1.0)), seconds=6.0)
    acts = [say(1.6, QUESTION, "interrupt")]
    found = find_turns(heard, acts=acts, clears=[1.8 + pause + rest])
    assert found.barge_in_ms.values == (pytest.approx(1000 * (0.2 + pause + rest)),)
    assert len([turn for turn in found if turn.who == "server"]) == 2
