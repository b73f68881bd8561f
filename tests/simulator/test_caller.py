"""The steps of a simulated caller, written in Python and in a file."""

from __future__ import annotations

import pickle
import random
import re
import tomllib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import LocalProtocolError, WrongType, WrongValue
from twistream_kit.simulator import caller
from twistream_kit.simulator._toml_lines import find_lines

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


# Files


@pytest.fixture
def folder(tmp_path):
    for name in ("question", "stop", "yes", "no"):
        Clip.tone(440, 0.5).save(tmp_path / f"{name}.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    return tmp_path


@pytest.fixture
def load(folder):
    def load_text(text):
        path = folder / "talk.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return caller.load_script(path)

    return load_text


WHOLE = """\
# A caller who asks, interrupts and chooses.
seed = 7

[[step]]
do = "listen"
pause = 0.8
limit = 20

[[step]]
do = "say"
file = "question.wav"

[[step]]
do = "say"
one_of = ["yes.wav", "no.wav"]

[[step]]
do = "interrupt"
file = "stop.wav"
after = [0.5, 1.5]

[[step]]
do = "press"
keys = "1"

[[step]]
do = "wait"
seconds = 2

[[step]]
do = "hang_up"
"""


@pytest.mark.parametrize("change", [str, lambda text: "\ufeff" + text.replace("\n", "\r\n")])
def test_a_file_is_the_script_that_it_describes(load, folder, change):
    from twistream_kit.audio.load import load_clip

    clips = {path.stem: load_clip(path) for path in folder.glob("*[!y].wav")}
    assert load(change(WHOLE)) == caller.Script(
        [
            caller.listen(pause=0.8, limit=20),
            caller.say(clips["question"]),
            caller.say(caller.choose(clips["yes"], clips["no"])),
            caller.interrupt(clips["stop"], after=caller.vary(0.5, 1.5)),
            caller.press("1"),
            caller.wait(2),
            caller.hang_up(),
        ],
        seed=7,
        name="talk.toml",
    )


def test_the_example_of_the_documentation_is_a_script(load):
    _, _, after = caller.load_script.__doc__.partition("::\n")
    block = after.partition("``listen`` and")[0]
    script = load("\n".join(line.removeprefix("        ") for line in block.splitlines()))
    assert [step.kind for step in script.steps] == list(caller._FIELDS)


BEGIN = '[[step]]\ndo = "listen"\n\n[[step]]\n'

WRONG = [
    ("", None, "step", "there is no step. Begin each with"),
    ("seed = 7\n", None, "step", "there is no step"),
    ("sed = 7\n[[step]]\n", 1, "sed", "a script has no field 'sed'. Nearest: seed. It takes step"),
    ('seed = "7"\n' + BEGIN, 1, "seed", "seed is '7'. Give a whole number"),
    ("[step]\ndo = 'listen'\n", 1, "step", "step is not a list of steps. Begin each step with"),
    ("[[steps]]\ndo = 'listen'\n", 1, "steps", "no field 'steps'. Nearest: step"),
    ("step = 5\n", 1, "step", "step is not a list"),
    ('[[step]]\ndo = "listen\n', 2, "", "this is not TOML: illegal character"),
    ("[[step]]\nsay question.wav\n", 2, "", "this is not TOML: expected '='"),
    ("[[step]]\ndo = ", 2, "", "this is not TOML: invalid value"),
    ('[[step]]\ndo = "wait"\nkeys = "é"\n'.encode("latin-1"), 3, "", "byte 0xe9 is not UTF-8"),
    (BEGIN + 'file = "question.wav"\n', 4, "do", "step 2 has no do. Say one of listen, say, int"),
    (BEGIN + 'do = "lisen"\n', 5, "do", "do is 'lisen', which is no step. Nearest: listen. Say"),
    (BEGIN + "do = 5\n", 5, "do", "do is 5, which is no step. Say one of listen"),
    (BEGIN + 'do = "say"\nflie = "a.wav"\n', 6, "flie", "no field 'flie'. Nearest: file. It takes"),
    (BEGIN + 'do = "hang_up"\nafter = 1\n', 6, "after", "no field 'after'. It takes none"),
    (BEGIN + 'do = "say"\n', 5, "file", 'say has no file. Add file = "question.wav"'),
    (BEGIN + 'do = "say"\nfile = "a.wav"\none_of = ["b.wav"]\n', 7, "file", "has both file and on"),
    (BEGIN + 'do = "say"\nfile = "qestion.wav"\n', 6, "file", "and there is no such file in"),
    (BEGIN + 'do = "say"\nfile = "empty.wav"\n', 6, "file", "file is 'empty.wav': "),
    (BEGIN + 'do = "say"\nfile = "a\\u0000b"\n', 6, "file", "and there is no such file in"),
    (BEGIN + 'do = "say"\nfile = 5\n', 6, "file", "file is 5. Give the name of a sound file in qu"),
    (BEGIN + 'do = "say"\none_of = "yes.wav"\n', 6, "one_of", "one_of is 'yes.wav'. Give a list"),
    (BEGIN + 'do = "say"\none_of = [\n  "yes.wav",\n  "on.wav",\n]\n', 6, "one_of", "'on.wav'"),
    (BEGIN + 'do = "press"\n', 4, "keys", "press has no keys"),
    (BEGIN + 'do = "press"\nkeys = 1\n', 6, "keys", 'Write them in quotes: keys = "1"'),
    (BEGIN + 'do = "press"\nkeys = ["1", "2"]\n', 6, "keys", 'Write them in quotes: keys = "12"'),
    (BEGIN + 'do = "press"\nkeys = true\n', 6, "keys", 'keys is True. Write them in quotes: keys'),
    (BEGIN + 'do = "say"\none_of = [1]\n', 6, "one_of", "one_of has 1. Give names of sound files"),
    (BEGIN + f'do = "say"\nfile = "{"a" * 300}"\n', 6, "file", "(300 characters)"),
    (BEGIN + f'do = "wait"\nseconds = {"9" * 5000}\n', 6, "", "there is a number of more than 64"),
    (BEGIN + f'do = "wait"\nseconds = 0x{"f" * 5000}\n', 6, "seconds", "of more than 64 bits"),
    (f'seed = 0x{"f" * 5000}\n' + BEGIN, 1, "seed", "seed has a number of more than 64 bits"),
    (BEGIN + f'do = ["listen", {{a = 0x{"f" * 5000}}}]\n', 5, "do", "of more than 64 bits"),
    (f'step = 0x{"f" * 5000}\n', 1, "", "there is a number of more than 64 bits"),
    (BEGIN + 'do = "press"\nkeys = "1x"\n', 6, "keys", "keys has 'x', which is no key"),
    (BEGIN + 'do = "wait"\n', 5, "seconds", "wait has no seconds. Add seconds = 2"),
    (BEGIN + 'do = "wait"\nseconds = "two"\n', 6, "seconds", "seconds is 'two'. Give a number of"),
    (BEGIN + 'do = "wait"\nseconds = [1]\n', 6, "seconds", "or two as [least, most]"),
    (BEGIN + 'do = "wait"\nseconds = [3, 1]\n', 6, "seconds", "give the smaller number first"),
    (BEGIN + 'do = "wait"\nseconds = [1, "b"]\n', 6, "seconds", "seconds is [1, 'b']. Give a"),
    (BEGIN + 'do = "wait"\nseconds = true\n', 6, "seconds", "seconds is True. Give a number"),
    (BEGIN + 'do = "wait"\nseconds = -1\n', 6, "seconds", "it is more than 0 and at most 14400"),
    (BEGIN + 'do = "listen"\npause = [1, 2]\n', 6, "pause", "pause is [1, 2]. Give a number"),
    (
        BEGIN + 'do = "interrupt"\nfile = "stop.wav"\nmeant = 0\n', 7, "meant",
        "meant is 0. Say meant = false for a cough",
    ),
    (
        BEGIN + 'do = "interrupt"\nfile = "stop.wav"\nafter = 1e999\n', 7, "after",
        "after is inf; give a finite number",
    ),
    (BEGIN + 'do = "hang_up"\n[[step]]\ndo = "listen"\n', 5, "do", "a step follows hang_up. Put"),
    ('step = [\n  {do = "listen"},\n  {do = "sya"},\n]\n', 1, "do", "do is 'sya'"),
    ('"step" = [{do = "sya"}]\n', 1, "do", "do is 'sya'"),
    ("x = " + "[" * 5000, None, "", "this is not TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "field", "said"), WRONG)
def test_an_error_in_a_file_names_file_line_and_field(load, folder, text, line, field, said):
    with pytest.raises(caller.ScriptError) as caught:
        load(text)
    error = caught.value
    path = str(folder / "talk.toml")
    assert (error.path, error.line, error.field) == (path, line, field)
    where = path if line is None else f"{path}, line {line}"
    assert str(error).startswith(f"{where}: ")
    assert said in str(error)
    assert isinstance(error, ValueError)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.line) == (str(error), error.line)


@pytest.mark.parametrize(
    "wrong",
    ['do = "say"', 'do = "press"', 'do = "press"\nkeys = 12', 'do = "wait"', 'do = "interrupt"',
     'do = "press"\nkeys = ["1"]', 'do = "press"\nkeys = true', 'do = "press"\nkeys = [[1]]',
     'do = "press"\nkeys = -1.5', 'do = "say"\none_of = [1]', 'do = "say"\none_of = [["yes.wav"]]',
     'do = "say"\none_of = "yes.wav"', 'do = "say"\nfile = 5',
     'do = "interrupt"\nfile = "stop.wav"\nmeant = "no"'],
)  # fmt: skip
def test_the_line_that_an_error_gives_mends_the_file(load, wrong):
    lines = f"{BEGIN}{wrong}\n".splitlines()
    with pytest.raises(caller.ScriptError) as caught:
        load("\n".join(lines))
    given = re.search(r"\w+ = (\".*\"|\[.*\]|\w+)", caught.value.fix)[0]
    is_there = lines[caught.value.line - 1].startswith(f"{caught.value.field} =")
    at = caught.value.line - is_there
    lines[at : caught.value.line] = [given]
    assert len(load("\n".join(lines)).steps) == 2


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(caller.ScriptError, match=r"talk\.toml: cannot be read: No such file"):
        caller.load_script(tmp_path / "talk.toml")
    with pytest.raises(caller.ScriptError, match="cannot be read: "):
        caller.load_script(tmp_path)
    with pytest.raises(caller.ScriptError, match="cannot be read: embedded null byte"):
        caller.load_script("talk\0.toml")
    with pytest.raises(WrongType, match="give a path"):
        caller.load_script(5)
    with pytest.raises(caller.ScriptError, match="name of the script is empty"):
        caller.load_script("")


# Lines of TOML


def test_lines_are_found_behind_values_of_several_lines_and_in_odd_spelling():
    text = '''\
# [[step]]
a = """
[[step]]
b = 1
"""
"c d" = \'\'\'x
e = 1\'\'\'
f = [ # [
  1,
  [2, "]"], # ]
]
[[ step ]] # one
g = "[[step]] \\" = # x"
[["step"]]
'h' = {i = [1,
  2]}
j.k = 1
[other]
l = 1
'''
    tomllib.loads(text)
    assert find_lines(text) == {
        ("", 0, "a"): 2,
        ("", 0, "c d"): 6,
        ("", 0, "f"): 8,
        ("step", 0, ""): 12,
        ("step", 0, "g"): 13,
        ("step", 1, ""): 14,
        ("step", 1, "h"): 15,
        ("step", 1, "j"): 17,
        ("other", 0, ""): 18,
        ("other", 0, "l"): 19,
    }


VALUES = [
    '"a"', "'[x]'", "[1, 2]", "[\n1,\n]", "[\n[1],\n]",
    '"""\n[[step]]\ndo = 1\n"""', "'''\n# \"\n'''", "true",
    '"\\""', '"# no comment" # a comment', "{a = [1], b = '}'}", '""', "''", '"""a"""""',
]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(VALUES), max_size=4), max_size=5))
def test_every_key_has_the_line_in_which_it_stands(tables):
    lines, places = [], {}
    for number, values in enumerate(tables):
        lines.append("[[step]]")
        places["step", number, ""] = len(lines)
        for key, value in enumerate(values):
            lines += f"k{key} = {value}".split("\n")
            places["step", number, f"k{key}"] = len(lines) - value.count("\n")
    text = "\n".join(lines)
    assert len(tomllib.loads(text).get("step", [])) == len(tables)
    assert find_lines(text) == places


def test_the_draw_does_not_touch_the_common_source_of_chance():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    caller.Script([caller.wait(caller.vary(1, 3))]).draw()
    assert random.random() == expected


def test_a_file_may_say_that_a_sound_is_not_meant(load):
    script = load('[[step]]\ndo = "interrupt"\nfile = "stop.wav"\nmeant = false\n')
    assert [step.meant for step in script.steps] == [False]
