"""The examples in the docstrings of all public names: each runs and gives what it shows."""

from __future__ import annotations

import doctest
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

import twistream_kit as kit

SAMPLES = Path(__file__).parents[1] / "sample_audio"

FIRST_LINE = "import twistream_kit as kit\n"

_SECTION = re.compile(r"^(\w+):\n(?= )", re.MULTILINE)
"""The header of a section of a docstring in Google's style."""


def _public_things() -> dict[str, Any]:
    """Return what must have an example, by name: `kit.__all__`, and what its modules define."""
    things: dict[str, Any] = {}
    for name in kit.__all__:
        thing = things[name] = getattr(kit, name)
        if isinstance(thing, ModuleType):
            things |= {
                f"{name}.{part}": value
                for part, value in vars(thing).items()
                if inspect.isclass(value) or inspect.isfunction(value)
                if value.__module__ == thing.__name__
                if not part.startswith("_")
            }
    return things


THINGS = _public_things()

METHODS = {"SimulatedTwilio.phone": kit.SimulatedTwilio.phone}
"""Methods that have an example besides that of their class."""

PATCHES_ASYNCIO = {"allow_nested_asyncio"}
"""What changes asyncio for the whole process, so that its example runs in one of its own."""


def docstring_of(thing: Any) -> str:
    """Return the docstring of a thing itself, not of a base class of it."""
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    return inspect.cleandoc(own or "")


def examples_in(docstring: str) -> list[doctest.Example]:
    """Return the examples of a docstring, in order."""
    return doctest.DocTestParser().get_examples(docstring)


def faults_of(docstring: str) -> list[str]:
    """Say what is wrong with the form of the examples of a docstring, before any of them runs."""
    examples = examples_in(docstring)
    if not examples:
        return ["has no example"]
    faults = []
    sections = list(_SECTION.finditer(docstring))
    if not sections or sections[-1][1] != "Example" or ">>>" in docstring[: sections[-1].start()]:
        faults.append("does not have its example in a section `Example:` that is the last one")
    if examples[0].source != FIRST_LINE:
        faults.append(f"does not begin with {FIRST_LINE.strip()}")
    if any(example.options for example in examples):
        faults.append("sets an option of doctest")
    if not any(re.search(r"\w", example.want) for example in examples):
        faults.append("shows no result that says anything")
    return faults


class LineByLine(doctest.OutputChecker):
    """Compares line by line: an ellipsis stands for a part of one line, and never for lines."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Whether `got` is as shown."""
        return want.count("\n") == got.count("\n") and super().check_output(want, got, optionflags)


def run(name: str, docstring: str) -> str:
    """Run the examples of a docstring; return what doctest reports, empty if all is as shown."""
    test = doctest.DocTestParser().get_doctest(docstring, {}, name, None, None)
    report: list[str] = []
    runner = doctest.DocTestRunner(LineByLine(), optionflags=doctest.ELLIPSIS)
    results = runner.run(test, out=report.append)
    return "".join(report) if results.attempted else f"{name}: no example ran"


def run_apart(name: str) -> str:
    """Run the example of a public name in a process of its own; return what doctest reports."""
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@pytest.fixture
def beside_the_samples(nothing_set, tmp_path):
    """A folder of its own with the samples in it; what an example starts or sets ends with it."""
    shutil.copytree(SAMPLES, tmp_path / "sample_audio")
    with mock.patch.dict(os.environ):
        yield
        kit.stop()


@pytest.mark.parametrize("name", THINGS)
def test_the_example_runs_and_shows_what_it_says(name, beside_the_samples):
    docstring = docstring_of(THINGS[name])
    assert faults_of(docstring) == []
    assert (run_apart(name) if name in PATCHES_ASYNCIO else run(name, docstring)) == ""


@pytest.mark.parametrize("name", METHODS)
def test_the_example_of_a_method_runs_and_shows_what_it_says(name, beside_the_samples):
    docstring = docstring_of(METHODS[name])
    assert faults_of(docstring) == []
    assert run(name, docstring) == ""


GOOD = """Answer.

Args:
    it: The question.

Example:
    >>> import twistream_kit as kit
    >>> 6 * 7
    42
"""


def test_a_right_example_has_no_fault():
    assert faults_of(GOOD) == []
    assert run("good", GOOD) == ""


@pytest.mark.parametrize(
    ("what", "instead", "fault"),
    [
        (">>> ", "", "has no example"),
        ("Example:\n", "For example\n", "in a section `Example:`"),
        ("Args:", "Example:\n    >>> 1\n    1\n\nArgs:", "in a section `Example:`"),
        ("as kit", "as ours", "does not begin with"),
        ("6 * 7", "6 * 7  # doctest: +SKIP", "sets an option"),
        ("    42\n", "", "shows no result"),
        ("    42\n", "    <...>\n", "shows no result"),
    ],
)
def test_the_form_of_an_example_is_checked(what, instead, fault):
    assert what in GOOD
    faults = faults_of(GOOD.replace(what, instead))
    assert any(fault in each for each in faults), faults


def test_another_result_than_the_one_shown_is_reported():
    report = run("good", GOOD.replace("42", "43"))
    assert re.search(r"Expected:\s+43\s+Got:\s+42", report)
    assert run("nothing", "Answer.") == "nothing: no example ran"


def test_an_ellipsis_stands_for_a_part_of_a_line_only():
    two_lines = GOOD.replace("6 * 7", 'print("4\\n2")')
    assert run("part", GOOD.replace("42", "4...")) == ""
    assert "Expected:" in run("lines", two_lines.replace("42", "4...2"))


def test_what_fails_in_a_process_of_its_own_is_reported():
    assert run_apart("no such name").rstrip().endswith("KeyError: 'no such name'")


if __name__ == "__main__":  # for `run_apart`
    sys.stdout.write(run(sys.argv[1], docstring_of(THINGS[sys.argv[1]])))
