"""The notebooks: run whole, in the clean form, and written by the rules of their style."""

from __future__ import annotations

import importlib.util
import statistics
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

LONGEST_CELL = {"why_nothing_is_heard": 14, "test_your_own_server": 22}
"""These two show whole programs of other people's, which are read as one."""


@pytest.fixture(scope="module")
def run_and_clean() -> Any:
    spec = importlib.util.spec_from_file_location("run_and_clean", FOLDER / "run_and_clean.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def read(path: Path) -> Any:
    import nbformat  # takes four seconds of a core, which the other workers save

    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def test_the_tutorial_is_there() -> None:
    assert FOLDER / "tutorial.ipynb" in NOTEBOOKS


def test_it_is_in_its_clean_form(path: Path, run_and_clean: Any) -> None:
    assert run_and_clean.faults(path) == []


def test_it_keeps_pictures_and_texts_to_be_read_without_running(path: Path) -> None:
    kinds = {
        kind for cell in code_cells(path) for o in cell.outputs for kind in getattr(o, "data", {})
    }
    assert {"text/plain", "image/png"} <= kinds


def test_its_cells_are_short(path: Path) -> None:
    lengths = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert statistics.median(lengths) <= 3
    assert max(lengths) <= LONGEST_CELL.get(path.stem, 8)


def test_no_cell_nests_the_loop_or_waits_for_a_click(path: Path) -> None:
    forbidden = ("asyncio.run(", "run_until_complete(", "time.sleep(", "%pip", "sys.path", "input(")
    for cell in code_cells(path):
        assert not any(word in cell.source for word in forbidden), cell.source


def test_every_section_ends_with_a_check(path: Path) -> None:
    sections: list[list[Any]] = []
    for cell in read(path).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            sections.append([])
        if sections:
            sections[-1].append(cell)
    for section in sections[:-1]:
        assert section[-1].source.startswith("assert "), section[0].source


def test_the_caller_speaks_in_the_cell_that_places_the_call() -> None:
    """People read between cells: what has to happen during a call may not wait for the next."""
    speaking = [
        cell.source
        for cell in code_cells(FOLDER / "hear_the_caller.ipynb")
        if "phone.say(" in cell.source or ".write(" in cell.source
    ]
    calling = [source for source in speaking if not source.startswith("async def ")]
    assert [source for source in calling if "call_to(" not in source] == []
    assert len(calling) >= 5


def test_the_first_bot_is_an_echo_of_two_lines() -> None:
    handlers = [
        cell.source
        for cell in code_cells(FOLDER / "hear_the_caller.ipynb")
        if "(stream):" in cell.source
    ]
    assert handlers[0].splitlines()[1:] == [
        "    async for samples in stream.audio():",
        "        stream.play(samples)",
    ]


DELIBERATE = {"hear_the_caller": "WouldDeadlock: `for` over a stream runs on the event loop"}
"""What the handler of a notebook raises on purpose."""


@pytest.mark.notebook
def test_it_runs_from_top_to_bottom(path: Path, run_and_clean: Any) -> None:
    notebook = run_and_clean.run(read(path))
    errors = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    # The failure of a handler is printed; a notebook may show one on purpose.
    expected = [DELIBERATE[path.stem]] if path.stem in DELIBERATE else []
    assert len(errors) == len(expected), errors
    for output, text in zip(errors, expected, strict=True):
        assert text in output.text
