"""The steps of a simulated caller, written in Python."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import LocalProtocolError, WrongType, WrongValue
from twistream_kit.simulator import caller

TONE = Clip.tone(440, 0.5)


async def wait_for_it(heard):
    return True


class WaitsForIt:
    async def __call__(self, heard):
        return False


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: caller.listen(pause=0), WrongValue, "pause is 0; it is more than 0 and at most"),
        (lambda: caller.listen(limit=20_000), WrongValue, "limit is 20000; it is more than 0 and"),
        (lambda: caller.listen(limit=float("nan")), WrongValue, "limit is nan"),
        (lambda: caller.listen(pause=1000), WrongValue, "pause is 1000 s, and limit 30 s ends the"),
        (
            lambda: caller.listen(limit=1),
            WrongValue,
            "pause is 1 s, and limit 1 s ends the step be",
        ),
        (lambda: caller.interrupt(TONE, after=500), WrongValue, "after is 500 s, and limit 30 s e"),
        (lambda: caller.interrupt(TONE, pause=99), WrongValue, "pause is 99 s, and limit 30 s end"),
        (
            lambda: caller.interrupt(TONE, after=caller.vary(1, 3), limit=2),
            WrongValue,
            "in seconds",
        ),
        (lambda: caller.listen(pause="1"), WrongType, "pause is '1'; give a number"),
        (lambda: caller.listen(expect=True), WrongType, "expect is True; give a function that"),
        (lambda: caller.listen(expect=wait_for_it), WrongType, "expect is an async function"),
        (lambda: caller.listen(pause=caller.vary(1, 2)), WrongType, "pause is"),
        (lambda: caller.say("question.wav"), WrongType, "a Clip or PCMU bytes, not str; kit.load"),
        (lambda: caller.say(b""), WrongValue, "is empty; use wait"),
        (lambda: caller.say(b"RIFF\0\0\0\0WAVEfmt "), LocalProtocolError, "RIFF"),
        (lambda: caller.interrupt(TONE, after=-1), WrongValue, "after is -1; it is 0 or more"),
        (lambda: caller.interrupt(TONE, meant=0), WrongType, "meant is 0; give True, or False"),
        (lambda: caller.press("12x"), WrongValue, "keys has 'x', which is no key"),
        (lambda: caller.press(""), WrongValue, "keys is empty"),
        (lambda: caller.press(12), WrongType, "keys is 12; give a string"),
        (lambda: caller.wait(0), WrongValue, "seconds is 0; it is more than 0"),
        (lambda: caller.vary(2, 1), WrongValue, "most is 1, and least 2; give the smaller"),
        (lambda: caller.choose(), WrongValue, "without a clip"),
        (lambda: caller.choose(TONE, "b.wav"), WrongType, "not str"),
        (lambda: caller.Script([]), WrongValue, "one step at least"),
        (lambda: caller.Script(caller.listen()), WrongType, "steps is one step; give a list"),
        (lambda: caller.Script([caller.listen]), WrongType, "function listen; call it: caller.li"),
        (lambda: caller.Script([TONE]), WrongType, "step 1 of the script is sound; write caller.s"),
        (lambda: caller.Script(["listen"]), WrongType, "step 1 of the script is 'listen'; give"),
        (lambda: caller.Script([caller.listen()], seed="7"), WrongType, "seed is '7'"),
        (lambda: caller.Script([caller.listen()], seed=10**5000), WrongValue, "finite number"),
        (lambda: caller.Script({caller.listen()}), WrongType, "give a list of steps, such as"),
        (lambda: caller.Script({1: caller.listen()}), WrongType, "give a list of steps, such as"),
        (lambda: caller.Script(iter([caller.listen()])), WrongType, "give a list of steps, such"),
        (lambda: caller.listen(expect=WaitsForIt()), WrongType, "expect is an async function"),
        (lambda: caller.listen(expect=partial(wait_for_it)), WrongType, "is an async function"),
        (
            lambda: caller.Script([caller.hang_up(), caller.listen()]),
            WrongValue,
            r"step 1 of 2 is hang_up\(\), and nothing can follow it",
        ),
        (lambda: caller.make_script(5), WrongType, "script is 5; give a list of steps"),
        (lambda: caller.make_script(caller.listen()), WrongType, "give a list of steps"),
        (lambda: caller.make_script(iter([caller.listen()])), WrongType, "give a list of steps"),
        (lambda: caller.make_script([caller.listen()], seed=True), WrongType, "seed is True"),
    ],
)
def test_what_is_not_taken_is_refused_where_it_is_written(make, kind, said):
    with pytest.raises(kind, match=said):
        make()


def test_a_script_says_its_steps_and_how_long_they_take_at_most():
    script = caller.Script(
        [
            caller.listen(pause=0.5, limit=10),
            caller.say(caller.choose(TONE, Clip.tone(220, 0.2))),
            caller.interrupt(TONE, after=caller.vary(0.5, 1.5), limit=5),
            caller.press("12"),
            caller.wait(caller.vary(1, 3)),
            caller.hang_up(),
        ],
        seed=4,
    )
    assert script.longest_seconds == pytest.approx(10 + 0.5 + 5.5 + 0.4 + 3)
    assert repr(script).splitlines() == [
        "A script of 6 steps, 19.4 s at most, seed 4",
        "  1. listen until 0.5 s of silence, at most 10 s",
        "  2. say '440 Hz' or '220 Hz'",
        "  3. interrupt '440 Hz' 0.5 to 1.5 s into the answer, at most 5 s",
        "  4. press 12",
        "  5. wait 1 to 3 s",
        "  6. hang up",
    ]


@given(st.integers())
def test_a_seed_always_draws_the_same_within_the_limits(seed):
    steps = [caller.wait(caller.vary(1, 3)), caller.say(caller.choose(TONE, Clip.tone(220, 0.2)))]
    script = caller.Script(steps * 3, seed)
    drawn = script.draw()
    assert drawn == script.draw()
    assert all(1 <= step.seconds <= 3 for step in drawn[::2])
    assert all(step.clip in steps[1].sound.clips for step in drawn[1::2])


def test_a_seed_below_0_is_another_than_the_same_above():
    steps = [caller.wait(caller.vary(1, 3))]
    assert caller.Script(steps, -3).draw() == caller.Script(steps, -3).draw()
    assert caller.Script(steps, -3).draw() != caller.Script(steps, 3).draw()


def test_a_seed_beside_the_script_takes_its_place():
    script = caller.Script([caller.listen()], 3, "a.toml")
    assert caller.make_script(script) is script
    assert caller.make_script(script, 5) == caller.Script([caller.listen()], 5, "a.toml")


def test_a_dot_and_a_tab_give_what_scripts_are_made_of_and_nothing_else():
    assert dir(caller) == sorted(caller.__all__)
    explained = {
        name
        for name, thing in vars(caller).items()
        if not name.startswith("_") and getattr(thing, "__module__", "") == caller.__name__
    }
    assert explained - {"make_script"} == {*caller.__all__}


def test_the_draw_does_not_touch_the_common_source_of_chance():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    caller.Script([caller.wait(caller.vary(1, 3))]).draw()
    assert random.random() == expected


def test_step_that_there_is_not_is_refused_with_the_nearest():
    with pytest.raises(AttributeError, match=r"caller has no 'lisen'. Nearest: listen"):
        _ = caller.lisen
