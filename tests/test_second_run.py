"""A run whose few failures pass, alone, is a success that names them; what fails twice fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

CONFTEST = """\
from support import second_run

def pytest_configure(config):
    second_run.register(config)
"""

TEST = """\
import pathlib, pytest

@pytest.mark.slow
@pytest.mark.parametrize("number", range({count}))
def test_of(number):
    seen = pathlib.Path(__file__).with_name(f"seen-{{number}}")
    is_first = not seen.exists()
    seen.touch()
    assert {holds}
"""


@pytest.fixture
def run(tmp_path):
    """Run a file of tests in a process of its own; return its exit code and what it printed."""
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {TESTS}\naddopts = -m 'not slow'\nmarkers =\n  slow: takes long\n",
        encoding="utf-8",
    )

    def run(holds: str, count: int, *options: str) -> tuple[int, str]:
        (tmp_path / "test_it.py").write_text(TEST.format(holds=holds, count=count), "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "slow", *options],
            cwd=tmp_path,
            env={**os.environ, "TWISTREAM_SECOND_RUN": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_what_passes_then_is_named_and_the_run_succeeds(run):
    code, said = run("number == 0 or not is_first", 3)
    assert code == 0, said
    printed = said.split("= second run =")[-1]
    assert (
        "what made the first one fail?\ntest_it.py::test_of[1]\ntest_it.py::test_of[2]" in printed
    )
    assert "2 passed" in said


def test_what_fails_twice_fails_on_workers_too(run):
    code, said = run("number < 2 and not is_first", 3, "-p", "xdist", "-n", "2")
    assert code == 1, said
    assert "1 failed, 2 passed" in said
    assert "some have failed again:\ntest_it.py::test_of[" in said.split("= second run =")[-1]


def test_many_failures_are_no_chance(run):
    code, said = run("not is_first", 6)
    assert code == 1, said
    assert "6 tests have failed: too many for a second run" in said
    assert "passed" not in said
