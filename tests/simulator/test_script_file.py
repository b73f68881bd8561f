"""The steps of a simulated caller, written in a file."""

from __future__ import annotations

import pickle
import re

import pytest

from twistream_kit.audio import load as load_module
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WrongType
from twistream_kit.simulator import caller
from twistream_kit.simulator._script_file import FIELDS


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
    assert [step.kind for step in script.steps] == list(FIELDS)


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
    (
        BEGIN + 'do = "interrupt"\nfile = "stop.wav"\nafter = 500\n', 7, "after",
        "after is 500 s, and limit 30 s ends the step before; all times of interrupt are in sec",
    ),
    (BEGIN + 'do = "listen"\npause = 1000\n', 6, "pause", "pause is 1000 s, and limit 30 s ends"),
    (BEGIN + 'do = "listen"\nlimit = 0.8\n', 6, "limit", "pause is 1 s, and limit 0.8 s ends"),
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


def test_a_file_may_say_that_a_sound_is_not_meant(load):
    script = load('[[step]]\ndo = "interrupt"\nfile = "stop.wav"\nmeant = false\n')
    assert [step.meant for step in script.steps] == [False]


def test_a_sound_that_is_said_often_is_loaded_once(load, monkeypatch):
    loaded, load_clip = [], load_module.load_clip
    monkeypatch.setattr(
        load_module, "load_clip", lambda path: loaded.append(path.name) or load_clip(path)
    )
    step = '[[step]]\ndo = "say"\nfile = "yes.wav"\n'
    choice = '[[step]]\ndo = "say"\none_of = ["no.wav", "yes.wav"]\n'
    script = load((step + choice) * 500)
    assert sorted(loaded) == ["no.wav", "yes.wav"]
    assert len(script.steps) == 1000
    assert script.steps[0].clip is script.steps[-1].sound.clips[1]
