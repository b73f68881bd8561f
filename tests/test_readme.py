"""What the README promises is run: its program, its tests, its commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import twistream_kit as kit
from support.waiting import LIMIT_SECONDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.realtime
def test_the_first_sample_runs_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    try:
        exec(
            compile(re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0], "README.md", "exec"),
            names,
        )
        outcome = names["playing"].result(LIMIT_SECONDS)
        assert outcome.ending == "cleared"
        assert 400 <= outcome.heard_ms < 4210
    finally:
        kit.stop()


def test_every_test_named_in_the_readme_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", README)
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_every_make_target_named_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`?make (\w+)", README))
    assert {name for name in named if f"\n{name}:" not in makefile} == set()


def test_the_readme_has_one_screen_and_a_half() -> None:
    assert len(README.splitlines()) <= 90
    assert len(README) <= 6000
