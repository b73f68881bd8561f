"""The changelog: its sections, and the table of old and new names, each of which is looked up."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import twistream_kit as kit
from twistream_kit.simulator import pytest_plugin

LOG = (Path(__file__).parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
NOW_ANOTHER_THING = re.compile(r"`\w+` is (a method of|that of) \w+ now")


class Row(NamedTuple):
    """One row of a table of names."""

    old: list[str]
    new: list[str]
    note: str


def read_rows(log: str) -> list[Row]:
    """Return the rows of all tables of old and new names."""
    rows = []
    for section in log.split("### Old and new names\n")[1:]:
        for line in re.findall(r"(?m)^\| (?:`|–).*$", section.split("\n#", 1)[0]):
            old, new, note = (cell.strip() for cell in line.strip("|").split("|"))
            rows.append(Row(re.findall(r"`(.+?)`", old), re.findall(r"`(.+?)`", new), note))
    return rows


ROWS = read_rows(LOG)


def exists(name: str) -> bool:
    """Whether there is a name of the table.

    It is ``kit.Class.member``, ``kit.function(argument=)``, the path of a module or of what is in
    it, or a fixture or the setting of pytest.
    """
    path, _, argument = name.removesuffix("=)").partition("(")
    if "." not in path:
        return path == pytest_plugin.TIMEOUT or hasattr(pytest_plugin, path)
    try:
        thing = find(path)
    except (ImportError, AttributeError):
        return False
    return not argument or argument in inspect.signature(thing).parameters


def find(path: str) -> Any:
    """Return what is at a path.

    Raises:
        ImportError, AttributeError: If there is nothing.
    """
    parts = path.replace("kit.", "twistream_kit.", 1 if path.startswith("kit.") else 0).split(".")
    thing: Any = kit
    for number, part in enumerate(parts[1:], 2):
        if inspect.ismodule(thing) and hasattr(thing, "__path__") and thing is not kit:
            try:
                thing = importlib.import_module(".".join(parts[:number]))
            except ModuleNotFoundError:
                thing = getattr(thing, part)
        elif thing is kit and part not in kit.__all__:
            thing = importlib.import_module(".".join(parts[:number]))
        elif inspect.isclass(thing) and not hasattr(thing, part) and has_own(thing, part):
            return None  # of an instance alone: it is the last part
        else:
            thing = getattr(thing, part)
    return thing


def has_own(kind: type, attribute: str) -> bool:
    """Whether instances of a class get an attribute of that name, by their `__init__`."""
    ours = [each for each in kind.__mro__ if each.__module__.startswith("twistream_kit")]
    if any(attribute in vars(each).get("__annotations__", {}) for each in ours):
        return True
    sources = [
        inspect.getsource(each.__init__)
        for each in ours
        if "__init__" in vars(each) and not is_dataclass(each)
    ]
    return any(re.search(rf"\bself\.{attribute}\b[^=\n]*=", text) for text in sources)


def test_there_are_names_in_the_table() -> None:
    assert len(ROWS) > 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.old[0])
def test_the_new_names_exist_and_the_old_ones_do_not(row: Row) -> None:
    assert row.old
    assert [name for name in row.new if not exists(name)] == []
    if NOW_ANOTHER_THING.search(row.note):
        assert all(exists(name) for name in row.old)
    else:
        assert [name for name in row.old if exists(name)] == []
    assert row.new or row.note  # what has gone without a new name says why


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("kit.MediaStream.play", True),
        ("kit.MediaStream.playback", False),
        ("kit.MediaStream.play(mark=)", True),
        ("kit.MediaStream.play(marker=)", False),
        ("kit.Nothing", False),
        ("twistream_kit.capture.capture", True),
        ("twistream_kit.capture.nothing", False),
        ("twistream_kit.capture.capture.Capture.load", True),
        ("twistream_call", True),
        ("twistream_ring", False),
    ],
)
def test_a_name_is_looked_up_in_all_its_forms(name: str, is_there: bool) -> None:
    assert exists(name) == is_there


def test_the_sections_are_open_or_have_a_version_and_a_date_newest_first() -> None:
    first, *released = re.findall(r"(?m)^## (.*)$", LOG)
    assert first == "Unreleased"
    dates = [re.fullmatch(r"\d+\.\d+\.\d+\S* - (\d{4}-\d\d-\d\d)", each) for each in released]
    assert all(dates)
    assert released[0].startswith(f"{kit.__version__} - ")
    assert sorted((date[1] for date in dates if date), reverse=True) == [
        date[1] for date in dates if date
    ]
