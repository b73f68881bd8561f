"""The notebooks: run whole, in the clean form, and written by the rules of their style."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import re
import statistics
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.chromium import find_chromium
from support.notebooks import DELIBERATE, FOLDER, NOTEBOOKS, load_run_and_clean, read

LONGEST_CELL = {
    "why_nothing_is_heard": 14,
    "test_your_own_server": 22,
    "measure_a_conversation": 24,
}
"""These show whole programs of other people's, which are read as one."""


@pytest.fixture(scope="module")
def run_and_clean() -> Any:
    return load_run_and_clean()


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


CHECKED = re.compile(r'print\(f?"✓ \S')
"""A check ends with what was checked, for those who do not read the code."""


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def kept(run_and_clean: Any, **data: str) -> list[dict[str, str]]:
    """Return what the clean form keeps of an output that shows `data`."""
    from nbformat import v4

    bundle = {name.replace("_", "/"): text for name, text in data.items()}
    cell = v4.new_code_cell("1", outputs=[v4.new_output("display_data", bundle)])
    cleaned = run_and_clean.cleaned(v4.new_notebook(cells=[cell]))
    return [dict(output.data) for output in cleaned.cells[0].outputs]


PLAYER = '<audio controls src="data:audio/ogg;base64,T2dn"></audio>'


def test_the_clean_form_keeps_the_picture_beside_a_player(run_and_clean: Any) -> None:
    picture = '<p>Ended</p><img src="data:image/png;base64,iVBO">'
    (data,) = kept(run_and_clean, text_html=f"{PLAYER}{picture}", text_plain="")
    assert data["text/html"] == picture


def test_the_clean_form_drops_a_player_alone(run_and_clean: Any) -> None:
    html = f"<p>greeting, 4.21 s</p>{PLAYER}"
    assert kept(run_and_clean, text_html=html, text_plain="Clip") == [{"text/plain": "Clip"}]


def test_the_clean_form_drops_an_output_that_was_never_filled(run_and_clean: Any) -> None:
    assert kept(run_and_clean, text_plain="") == []
    assert kept(run_and_clean, text_html=PLAYER, text_plain="") == []


def test_the_clean_form_drops_ports_also_from_what_is_printed(run_and_clean: Any) -> None:
    from nbformat import v4

    printed = v4.new_output("stream", name="stdout", text="ws://127.0.0.1:46359 was called\n")
    notebook = v4.new_notebook(cells=[v4.new_code_cell("1", outputs=[printed])])
    (output,) = run_and_clean.cleaned(notebook).cells[0].outputs
    assert output.text == "ws://127.0.0.1:40000 was called\n"


def test_the_clean_form_keeps_the_tags_of_a_cell_and_that_it_is_folded(run_and_clean: Any) -> None:
    from nbformat import v4

    wanted = {"jupyter": {"source_hidden": True}, "tags": ["raises-exception"]}
    moved = {"jupyter": {"source_hidden": False, "outputs_hidden": True}, "collapsed": True}
    cells = [v4.new_code_cell("1", metadata=each) for each in (wanted, moved)]
    cleaned = run_and_clean.cleaned(v4.new_notebook(cells=cells))
    assert [cell.metadata for cell in cleaned.cells] == [wanted, {}]


def test_the_first_sound_of_a_call_comes_in_the_sixth_code_cell_of_the_tutorial() -> None:
    cells = read(FOLDER / "tutorial.ipynb").cells
    sending = next(n for n, cell in enumerate(cells) if "send_button.click()" in cell.source)
    before = cells[:sending]
    assert sum(cell.cell_type == "code" for cell in before) <= 5
    words = sum(len(cell.source.split()) for cell in before if cell.cell_type == "markdown")
    assert words <= 200, "at 230 words a minute, more than 52 s"
    assert "place_call(" in "".join(cell.source for cell in before)
    assert "Workbench(" in "".join(cell.source for cell in before)


@pytest.mark.parametrize(
    "step",
    [
        ("inspect_wav(", "plot_header("),
        ("load_clip(", "convert_file("),
        ("plot_waveform(",),
        ("StreamServer(", "open_tunnel("),
        ("place_call(",),
        ("frames()", "mark(", "send_button.click()", "clear_button.click()"),
        ("speak_over_button.click()", "hang_up(after="),
    ],
    ids=" ".join,
)
def test_the_tutorial_has_every_step(step: tuple[str, ...]) -> None:
    code = "\n".join(cell.source for cell in code_cells(FOLDER / "tutorial.ipynb"))
    assert [call for call in step if call not in code] == []


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
        check = section[-1].source
        assert CHECKED.match(check.splitlines()[-1]), check
        assert "assert " in check or ".result(" in check, check


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


CONVERSATION = FOLDER / "measure_a_conversation.ipynb"


def test_an_answer_is_folded_and_stands_behind_what_shows_it() -> None:
    """Where a notebook asks for a guess, no text before the next picture gives it away."""
    cells = read(CONVERSATION).cells
    asking = [
        n
        for n, cell in enumerate(cells)
        if cell.cell_type == "markdown" and cell.source.startswith("## ") and "Guess" in cell.source
    ]
    assert len(asking) == 3, "one for each fault"
    for n in asking:
        question, shown, attempt, answer, repaired = cells[n : n + 5]
        assert "*Repair*" not in question.source
        assert shown.cell_type == "code"
        assert "Attempt(" in attempt.source, "the reader's own comes first"
        assert "<details " in answer.source, answer.source
        folded, _, below = answer.source.partition("</details>")
        assert "*Repair*" in folded
        assert "*Repair*" not in below
        assert repaired.metadata.get("jupyter") == {"source_hidden": True}, repaired.source


def test_a_check_of_a_conversation_that_fails_shows_why() -> None:
    """A message that Twilio drops is named by the report, and nowhere in the recording."""
    for cell in code_cells(CONVERSATION):
        if not CHECKED.search(cell.source):
            continue
        checks = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
        assert checks
        assert [ast.unparse(node) for node in checks if node.msg is None] == []


def test_the_conversation_shows_the_plot_of_the_test_that_failed() -> None:
    [cell] = [c for c in code_cells(CONVERSATION) if "glob(" in c.source]
    assert [kind for output in cell.outputs for kind in output.data if kind == "image/png"]


class Line:
    """A WebSocket with a caller who speaks as soon as the stream has begun, and stays."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, text: str) -> None:
        self.sent.append(text)

    async def __aiter__(self) -> AsyncIterator[str]:
        yield json.dumps({"event": "start", "streamSid": "MZ" + "0" * 32})
        loud = base64.b64encode(b"\x00" * 160).decode()
        for _ in range(10):
            await asyncio.sleep(0)  # sleeps: the other task runs
            yield json.dumps({"event": "media", "media": {"payload": loud}})
        await asyncio.Event().wait()


@pytest.mark.parametrize("method", ["interrupt", "say"])
async def test_a_mistake_in_a_bot_of_the_conversation_is_raised_and_leaves_no_task(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that is left behind is complained of in a later cell, which has nothing to do with it.

    One that fails beside the call fails without a word.
    """
    monkeypatch.chdir(FOLDER)
    names: dict[str, Any] = {}
    for cell in code_cells(CONVERSATION):
        if cell.source.startswith(("import ", "names = ", "class ")):
            exec(compile(ast.parse(cell.source.partition("\n\n\nhasty")[0]), "cell", "exec"), names)

    async def fail(self: object, *_given: object) -> None:
        raise AttributeError("no attribute 'sned'")

    bot = type("Mistaken", (names["Attentive"],), {method: fail})
    async with asyncio.timeout(30):
        with pytest.raises(ExceptionGroup) as caught:
            await bot(Line()).run()
    assert "no attribute 'sned'" in str(caught.value.exceptions)
    assert asyncio.all_tasks() == {asyncio.current_task()}


RUN_IN_THE_BROWSER = {
    "a_real_call",
    "hear_the_caller",
    "measure_a_conversation",
    "test_your_own_server",
    "tutorial",
    "why_nothing_is_heard",
}
"""Those that `tests/browser` runs whole, too, where there is a Chromium."""


LONG = {"measure_a_conversation"}
"""It holds one conversation after the other, a minute in real time; `make docs` runs it, too."""


def _mark(path: Path) -> Any:
    is_run_elsewhere = path.stem in RUN_IN_THE_BROWSER and find_chromium() is not None
    is_slow = is_run_elsewhere or path.stem in LONG
    return pytest.param(path, id=path.stem, marks=pytest.mark.slow if is_slow else ())


@pytest.mark.notebook
@pytest.mark.parametrize("path", [_mark(each) for each in NOTEBOOKS])
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
