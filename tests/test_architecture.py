"""docs/ARCHITECTURE.md says how the package is built; here the package is asked."""

from __future__ import annotations

import asyncio
import re
import tomllib
from itertools import pairwise

import pytest

from support.journeys import PACKAGE, entered_modules, journeys
from twistream_kit.audio.clip import Clip
from twistream_kit.protocol.codes import get_code

ROOT = PACKAGE.parent
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]
LAYERS = {
    contract["containers"][0]: [layer.split(" | ") for layer in contract["layers"]]
    for contract in LINTER["contracts"]
    if contract["type"] == "layers"
}
"""The layers of each folder that has a law, the uppermost first."""

MOST_TO_THE_WIRE = 15
"""A file may not enter more modules on its way to the wire."""


def block(heading: str, language: str = "text") -> str:
    """Return the first fenced block below a heading of the page."""
    below = PAGE.partition(f"\n{heading}\n")[2]
    found = re.search(rf"^```{language}\n(.*?)^```$", below, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no ```{language} below {heading!r}"
    return found[1]


def test_the_law_is_that_of_the_linter() -> None:
    lines = [
        f"{folder.removeprefix('twistream_kit.')}: "
        + " ← ".join(" | ".join(layer) for layer in reversed(layers))
        for folder, layers in LAYERS.items()
    ]
    wanted = "\n".join(lines) + "\n"
    assert block("## The law of imports") == wanted, f"write there:\n{wanted}"


def test_the_drawing_is_that_of_the_law() -> None:
    names = [" & ".join(layer) for layer in LAYERS["twistream_kit"]]
    arrows = [f"    {upper} --> {lower}" for upper, lower in pairwise(names)]
    wanted = "\n".join(["flowchart TD", *arrows, ""])
    assert block("## The law of imports", "mermaid") == wanted, f"write there:\n{wanted}"


def test_the_table_has_every_folder_and_nothing_else() -> None:
    section = PAGE.partition("\n## What lives where\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
    folders = [
        ".".join(path.parent.relative_to(PACKAGE).parts)
        for path in PACKAGE.rglob("__init__.py")
        if path.parent != PACKAGE
    ]
    modules = [path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    assert sorted(rows) == sorted(folders + modules)


@pytest.fixture(scope="module")
def made() -> dict[str, list[str]]:
    return asyncio.run(journeys())


JOURNEYS = re.findall(r"^### (.*)$", PAGE.partition("\n## Journeys\n")[2], re.MULTILINE)


@pytest.mark.parametrize("name", JOURNEYS)
def test_a_journey_enters_the_modules_of_the_page(made: dict[str, list[str]], name: str) -> None:
    # In the order of a run, but other tasks of the server may change places with it.
    wanted = "\n".join(made[name])
    written = block(f"### {name}").split()
    assert sorted(written) == sorted(made[name]), f"write into the block of {name!r}:\n{wanted}"


def test_every_journey_is_on_the_page(made: dict[str, list[str]]) -> None:
    assert list(made) == JOURNEYS


def test_a_file_enters_few_modules_on_its_way_to_the_wire(made: dict[str, list[str]]) -> None:
    entered = made["a WAV path to the wire"]
    assert len(entered) <= MOST_TO_THE_WIRE, entered


def test_entered_modules_are_those_of_the_package_in_order() -> None:
    get_code(31951)
    with entered_modules() as entered:
        get_code(31951)
        Clip.tone(440, 0.02)
    assert entered[:2] == ["protocol.codes", "audio.clip"]
