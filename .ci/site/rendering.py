"""Run notebooks, and turn them into pages with their outputs: tables, plots, players, pictures.

The outputs are not in the Markdown, which would read their HTML as its own; a place is left for the
outputs of each cell, and filled once the page is written.  So they are not searched either.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from repository import ROOT

from twistream_kit.notebook.widgets.last_picture import REOPENED

sys.path.insert(0, str(ROOT / "notebooks"))
from run_and_clean import CELL_SECONDS, without_account

AT_A_TIME = 3
"""Notebooks wait for sound most of the time, so three suit two cores."""

THEME = "twistream-theme"
"""The class of an output that only says how the plot behind it looks in a dark notebook."""

MARK = "<!-- run -->"
"""Stands before each block of code of a page that is run when the site is built."""

_BLOCK = re.compile(rf"^{MARK}\n+```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run_all(notebooks: Mapping[str, Any]) -> None:
    """Run notebooks in place, side by side, in a copy of the folders that they read and write.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails that is not tagged as one that does.
    """
    with tempfile.TemporaryDirectory() as place:
        for folder in ("notebooks", "sample_audio"):
            shutil.copytree(ROOT / folder, Path(place, folder))
        asyncio.run(_run_side_by_side(notebooks, place))


async def _run_side_by_side(notebooks: Mapping[str, Any], place: str) -> None:
    from nbclient import NotebookClient

    free = asyncio.Semaphore(AT_A_TIME)

    async def run(name: str, notebook: Any) -> None:
        # A page's own code reads as if it stood at the root of the repository.
        folder = Path(place, "notebooks") if name.startswith("notebooks/") else Path(place)
        async with free:
            resources = {"metadata": {"path": str(folder)}}
            client = NotebookClient(
                notebook, timeout=CELL_SECONDS, resources=resources, store_widget_state=False
            )
            await client.async_execute(env=without_account(os.environ))

    # What a page shows of its own is run alone, so that its report has good timings.
    pages = [name for name in notebooks if not name.startswith("notebooks/")]
    for name in pages:
        await run(name, notebooks[name])
    async with asyncio.TaskGroup() as group:
        # The longest takes twice as long as the others, so it is among the first.
        for name in sorted({*notebooks} - {*pages}, reverse=True):
            group.create_task(run(name, notebooks[name]))


def read_notebook(path: Path) -> Any:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def collect_cells(text: str) -> Any:
    """Return the blocks of a page that are to be run as a notebook; None if there is none."""
    blocks = _BLOCK.findall(text)
    if not blocks:
        return None
    cells = [nbformat.v4.new_code_cell(block.rstrip("\n")) for block in blocks]
    return nbformat.v4.new_notebook(cells=cells)


def leave_places(text: str) -> str:
    """Return a page's text with a place for the outputs behind each block that is run."""
    numbers = iter(range(text.count(MARK)))
    return _BLOCK.sub(lambda block: f"```python\n{block[1]}```\n\n{_place(next(numbers))}\n", text)


def write_page(notebook: Any) -> str:
    """Return a notebook as Markdown, with a place for the outputs of each cell of code."""
    parts = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.source.strip():
            longest = max((len(run) for run in re.findall("`+", cell.source)), default=0)
            fence = "`" * max(3, longest + 1)
            code = f"{fence}python\n{cell.source}\n{fence}"
            if cell.metadata.get("jupyter", {}).get("source_hidden"):
                code = f'<details markdown="1"><summary>The code</summary>\n\n{code}\n\n</details>'
            parts.append(code)
            if cell.get("outputs"):
                parts.append(_place(number))
    return "\n\n".join(parts) + "\n"


def _place(number: int) -> str:
    return f'<div class="notebook-outputs" data-cell="{number}"></div>'


def fill_places(page: str, notebook: Any) -> str:
    """Return a page's HTML with the outputs in their places."""

    def fill(place: re.Match[str]) -> str:
        cell = notebook.cells[int(place[1])]
        shown = "".join(_show_outputs(cell.get("outputs", []), cell.source))
        return f'<div class="notebook-outputs">{shown}</div>' if shown else ""

    return re.sub(r'<div class="notebook-outputs" data-cell="(\d+)">\s*</div>', fill, page)


def _show_outputs(outputs: Sequence[Any], source: str) -> Iterable[str]:
    for output in outputs:
        if output.output_type == "stream":
            yield _show_text(output.text, output.name)
        elif output.output_type == "error":
            yield _show_text(_ANSI.sub("", "\n".join(output.traceback)), "error")
        else:
            yield _show_data(output.data, source)


def _show_data(data: Mapping[str, Any], source: str) -> str:
    shown = str(data.get("text/html", ""))
    if THEME in shown:
        return ""
    if shown:
        return (
            '<div class="notebook-html" tabindex="0" role="region" aria-label="Output">'
            f"{_fit_page(shown)}</div>"
        )
    if "image/png" in data:
        drawn_by = escape(source.strip().splitlines()[-1], quote=True)
        picture = data["image/png"].replace("\n", "")
        return (
            f'<p><img class="notebook-plot" alt="Drawn by {drawn_by}" '
            f'src="data:image/png;base64,{picture}"></p>'
        )
    # A widget without a picture of its own is followed by one, and its text is only its repr.
    is_widget = any(kind.startswith("application/vnd.jupyter.widget") for kind in data)
    plain = str(data.get("text/plain", ""))
    return _show_text(plain, "result") if plain and not is_widget else ""


def _show_text(text: str, kind: str) -> str:
    return (
        f'<pre class="notebook-text notebook-{kind}" tabindex="0" role="region" '
        f'aria-label="Output: {kind}">{escape(_ANSI.sub("", text).rstrip())}</pre>'
    )


def _fit_page(html: str) -> str:
    html = html.replace(REOPENED, "How it was at the end.")  # nothing is loading here
    return re.sub(r"<audio (?![^>]*aria-label)", '<audio aria-label="sound" ', html)
