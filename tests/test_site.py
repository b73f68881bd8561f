"""What `make docs` makes of the repository: pages from the program, links, outputs, checks.

`tests/browser/test_site.py` opens the built site.
"""

from __future__ import annotations

import html
import importlib
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import twistream_kit as kit
from twistream_kit.notebook.widgets.last_picture import REOPENED
from twistream_kit.protocol.codes import TWILIO_CODES
from twistream_kit.protocol.service_codes import read_service_codes

ROOT = Path(__file__).parent.parent
PICTURE = "iVBORw0KGgo="


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of `.ci/site`."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci" / "site"))
    monkeypatch.syspath_prepend(str(ROOT / "notebooks"))
    return importlib.import_module


# Pages from the program ---------------------------------------------------------------------


def test_every_code_that_is_explained_has_a_page_and_a_row(part: Any) -> None:
    pages = dict(part("generated").write_codes())
    index = pages.pop("codes/index.md")
    assert len(pages) == len(TWILIO_CODES) + len(read_service_codes())
    for code in TWILIO_CODES.values():
        page = pages[f"codes/{code.code}.md"]
        assert page.startswith(f"# {code.code}: {code.name}\n")
        for words in (code.meaning, code.remedy, code.url, *code.causes):
            assert words in as_shown(page)
        assert f"| [{code.code}]({code.code}.md) | {code.name} | {code.level} |" in index
    for (service, number), code in read_service_codes().items():
        page = pages[f"codes/{service}-{number}.md"]
        assert code.meaning in as_shown(page)
        assert code.fix in as_shown(page)
        assert f"[{number}]({service}-{number}.md)" in index


def as_shown(page: str) -> str:
    """What Markdown shows of a page's prose."""
    assert re.search(r"<[A-Za-z]", page) is None, "Markdown would take it for an element"
    return html.unescape(re.sub(r"\\([*_`\[\]\\])", r"\1", page))


def test_the_public_names_have_their_places_in_the_order_of_use(part: Any) -> None:
    topics = part("generated").list_topics()
    assert [name for names in topics.values() for name in names] == [*kit.__all__]
    pages = dict(part("generated").write_api())
    entries = [line for page in pages.values() for line in page.splitlines() if line[:4] == "::: "]
    assert len(entries) == len(kit.__all__)
    assert "::: twistream_kit.live.stream.stream.MediaStream" in entries


def test_every_notebook_and_program_has_a_page(part: Any) -> None:
    generated = part("generated")
    names = {path.stem for path in ROOT.glob("notebooks/*.ipynb")}
    assert set(generated.list_notebooks()) == names
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in names if f"notebooks/{name}.md" not in nav] == []
    listed = generated.write_notebook_list()
    assert [name for name in names if f"]({name}.md)" not in listed] == []
    pages = dict(generated.write_examples())
    assert "kit.StreamServer" in pages["examples/echo.md"]
    assert "examples/production-app.md" in pages


# Links --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "link", "led"),
    [
        ("index.md", "[t](../notebooks/tutorial.ipynb)", "[t](notebooks/tutorial.md)"),
        ("how-to/interrupt.md", "[p](../PROTOCOL.md#5-codes)", "[p](../PROTOCOL.md#5-codes)"),
        ("how-to/shell.md", "[e](../../examples/README.md)", "[e](../examples/index.md)"),
        ("examples/index.md", "[`echo.py`](echo.py)", "[`echo.py`](echo.md)"),
        ("examples/index.md", "[a](production/app.py)", "[a](production-app.md)"),
        ("contributing.md", "[a](docs/ARCHITECTURE.md)", "[a](ARCHITECTURE.md)"),
        ("notebooks/tutorial.md", "[r](a_real_call.ipynb)", "[r](a_real_call.md)"),
        ("index.md", "[codes](../twistream_kit/protocol/codes.toml)", "[codes](codes/index.md)"),
        ("index.md", "[the code](../tests/conftest.py)", "the code"),
        ("index.md", "[x](https://example.com/a.md)", "[x](https://example.com/a.md)"),
        ("index.md", "[x](#five-lines)", "[x](#five-lines)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(
    part: Any, page: str, link: str, led: str
) -> None:
    assert part("repository").resolve_links(link, page) == (led, [])


def test_links_in_code_are_left_alone_and_lost_ones_are_named(part: Any) -> None:
    text = "```\n[a](nowhere.md)\n```\n[b](nowhere.md)\n"
    led, lost = part("repository").resolve_links(text, "index.md")
    assert led == "```\n[a](nowhere.md)\n```\nb\n"
    assert lost == ["nowhere.md"]


def test_a_link_to_a_sound_has_a_player(part: Any) -> None:
    link = "[`greeting.wav`](../sample_audio/greeting.wav)"
    led, _ = part("repository").resolve_links(link, "index.md")
    assert led.startswith("[`greeting.wav`](sample_audio/greeting.wav)<br><audio controls")
    assert 'aria-label="greeting.wav" src="sample_audio/greeting.wav"' in led


def test_the_first_column_of_codes_links_their_pages(part: Any) -> None:
    link = part("repository").link_codes
    known = frozenset({"31920", "31951"})
    row = "| 31920, 31951, 31999 | error | see 31951 |"
    assert link(row, "PROTOCOL.md", known) == (
        "| [31920](codes/31920.md), [31951](codes/31951.md), 31999 | error | see 31951 |"
    )


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<a href="none.html">', "none.html leads to no file"),
        ('<a href="other.html#none">', "other.html#none leads to no part of the page"),
        ('<a href="#none">', "#none leads to no part of the page"),
        ('<img src="none.png">', "none.png leads to no file"),
        ('<script src="https://example.com/a.js">', "https://example.com/a.js is loaded from"),
        ('<link rel="stylesheet" href="//example.com/a.css">', "//example.com/a.css is loaded"),
        ('<p style="background:url(http://example.com/a.png)">', "http://example.com/a.png is"),
    ],
)
def test_addresses_of_nothing_or_from_elsewhere_are_found(
    part: Any, tmp_path: Path, page: str, fault: str
) -> None:
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "page.html").write_text(page)
    [found] = part("links").find_broken(tmp_path)
    assert found.startswith(f"page.html: {fault}")


def test_styles_that_load_from_elsewhere_are_found(part: Any, tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face{src:url(https://example.com/a.woff)}b{c:url(d)}")
    assert len([*part("links").find_broken(tmp_path)]) == 1


def test_good_addresses_are_none_of_them(part: Any, tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "page.html").write_text(
        '<p id="here"><a href="#here"><a href="other.html#there"><a href="https://example.com">'
        '<img src="data:image/png;base64,AA==">'
    )
    assert [*part("links").find_broken(tmp_path)] == []


# Outputs and drawings -----------------------------------------------------------------------


def cell(source: str, *outputs: Any) -> Any:
    return nbformat.v4.new_code_cell(source, outputs=list(outputs))


def data(**bundle: str) -> Any:
    kinds = {
        "html": "text/html",
        "plain": "text/plain",
        "png": "image/png",
        "view": "application/vnd.jupyter.widget-view+json",
    }
    return nbformat.v4.new_output(
        "display_data", {kinds[key]: text for key, text in bundle.items()}
    )


def show(part: Any, *cells: Any) -> str:
    rendering = part("rendering")
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    return rendering.fill_places(rendering.write_page(notebook), notebook)


def test_outputs_stand_below_their_cells(part: Any) -> None:
    stream = nbformat.v4.new_output("stream", name="stdout", text="1 < 2\n")
    error = nbformat.v4.new_output("error", traceback=["\x1b[31mCell\x1b[0m", "WrongType: no"])
    shown = show(part, cell("print()", stream), cell("fail()", error), cell("quiet()"))
    assert shown.index("print()") < shown.index("1 &lt; 2") < shown.index("fail()")
    assert ">Cell\nWrongType: no</pre>" in shown
    assert shown.count('class="notebook-outputs"') == 2


def test_a_folded_cell_is_folded_on_the_page_too(part: Any) -> None:
    folded = cell("the_answer = 1")
    folded.metadata = nbformat.from_dict({"jupyter": {"source_hidden": True}})
    shown = show(part, cell("shown = 1"), folded)
    before, summary, code = shown.partition('<details markdown="1"><summary>The code</summary>')
    assert summary
    assert "shown = 1" in before
    assert "the_answer = 1" in code.partition("</details>")[0]


def test_players_plots_and_last_pictures_are_kept_and_widgets_are_not(part: Any) -> None:
    shown = show(
        part,
        cell("clip", data(html='<audio controls src="data:audio/wav;base64,AA=="></audio>')),
        cell("x\nkit.plot_it(1)", data(html='<style class="twistream-theme">'), data(png=PICTURE)),
        cell("log", data(view="{}", plain="<StreamLog>"), data(html=f"picture {REOPENED}")),
    )
    assert '<audio aria-label="sound" controls src="data:audio/wav;base64,AA==">' in shown
    assert 'alt="Drawn by kit.plot_it(1)"' in shown
    assert "twistream-theme" not in shown
    assert "StreamLog" not in shown
    assert "picture How it was at the end." in shown
    assert REOPENED not in shown


def test_blocks_of_a_page_are_run_where_it_says_so(part: Any) -> None:
    rendering = part("rendering")
    text = f"a\n\n{rendering.MARK}\n\n```python\none\n```\n\n```python\ntwo\n```\n"
    assert [each.source for each in rendering.collect_cells(text).cells] == ["one"]
    assert rendering.collect_cells("```python\ntwo\n```\n") is None
    assert rendering.MARK not in rendering.leave_places(text)
    assert rendering.leave_places(text).count("data-cell") == 1


@pytest.mark.notebook
def test_notebooks_run_in_a_copy_and_leave_the_folder_as_it_was(part: Any) -> None:
    source = (
        "from pathlib import Path\nPath('left.txt').write_text('x')\nsorted(Path('..').iterdir())"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell(source)])
    part("rendering").run_all({"notebooks/a.md": notebook})
    assert "sample_audio" in notebook.cells[0].outputs[0].data["text/plain"]
    assert not (ROOT / "notebooks" / "left.txt").exists()


def test_the_chart_of_layers_is_drawn_with_each_node_below_those_that_import_it(part: Any) -> None:
    page = "```mermaid\nflowchart TD\n    cli --> a & b\n    a --> b\n```\n"
    drawing = part("drawing")
    drawn = drawing.draw_charts(drawing.leave_places(page)).strip()
    assert drawn.startswith("<svg")
    assert 'aria-label="Arrows: cli to a; cli to b; a to b"' in drawn
    rows = [drawn.index(f">{name}</text>") for name in ("cli", "a", "b")]
    assert rows == sorted(rows)
    architecture = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert "mermaid" not in drawing.leave_places(architecture)
