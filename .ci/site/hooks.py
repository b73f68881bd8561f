"""What mkdocs does besides its plugins: pages from the program, fresh notebooks, links, checks.

`docs/` has what is written by hand, with links that work in the repository too.  Everything else is
made here while the site is built, and nothing of it is committed.  `mkdocs.yml` names this file.

    NOTEBOOKS=kept make docs     takes the notebooks' outputs as they are in the repository
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import drawing
from generated import list_codes, list_notebooks, name_code, write_pages
from links import find_broken
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from rendering import (
    collect_cells,
    fill_places,
    leave_places,
    read_notebook,
    run_all,
    write_page,
)
from repository import PLACES, ROOT, link_codes, list_linked_files, resolve_links

import twistream_kit as kit

log = logging.getLogger("mkdocs.hooks.twistream_kit")  # its warnings fail a strict build

ARE_KEPT = os.environ.get("NOTEBOOKS") == "kept"

NAMELESS = 'data-md-component="search" role="dialog"'

_run: dict[str, Any] = {}
"""The notebooks that were run, by the page that shows them."""

_generated: set[str] = set()
"""The pages that were made from the program, whose links are the site's already."""


def on_config(config: Any) -> Any:
    """Put the version of the package into the foot of each page."""
    config.copyright = f"twistream_kit {kit.__version__}, MIT licence"
    return config


@event_priority(100)  # before the plugins, which then treat these pages like all others
def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in `docs/`, and run what is to be run."""
    _generated.clear()
    _add_texts(files, config)
    _collect_notebooks(files)
    if not ARE_KEPT:
        log.info("running %d notebooks and pages, side by side", len(_run))
        run_all(_run)
    for page, notebook in _run.items():
        if page.startswith("notebooks/"):
            files.append(File.generated(config, page, content=write_page(notebook)))
    return files


def _add_texts(files: Files, config: Any) -> None:
    for path, text in write_pages():
        files.append(File.generated(config, path, content=text))
        _generated.add(path)
    for path, place in PLACES.items():
        if path.endswith(".md") and place not in {"index.md", *_generated}:
            text = (ROOT / path).read_text(encoding="utf-8")
            files.append(File.generated(config, place, content=text))
    for path in list_linked_files():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))


def _collect_notebooks(files: Files) -> None:
    _run.clear()
    for name in list_notebooks():
        _run[f"notebooks/{name}.md"] = read_notebook(ROOT / "notebooks" / f"{name}.ipynb")
    for file in files.documentation_pages():
        cells = None if file.generated_by else collect_cells(file.content_string)
        if cells is not None:
            _run[file.src_uri] = cells


def on_page_markdown(markdown: str, *, page: Any, **_others: Any) -> str:
    """Lead the links of a page to the site, draw its charts, leave places for its outputs."""
    path = page.file.src_uri
    if path in _generated:
        return markdown
    text, lost = resolve_links(markdown, path)
    for target in lost:
        log.warning("%s links to %s, which is not in the repository", path, target)
    if path == "PROTOCOL.md":
        text = link_codes(text, path, frozenset(map(name_code, list_codes())))
    return leave_places(drawing.leave_places(text))


def on_post_page(output: str, *, page: Any, **_others: Any) -> str:
    """Put the outputs of a notebook into their places, and name the dialog of the theme."""
    output = output.replace(NAMELESS, f'{NAMELESS} aria-label="Search"')
    output = drawing.draw_charts(output)
    notebook = _run.get(page.file.src_uri)
    return output if notebook is None else fill_places(output, notebook)


def on_post_build(config: Any) -> None:
    """Check each link of the site, anchors too, and that nothing comes from elsewhere."""
    for broken in find_broken(Path(config.site_dir)):
        log.warning("%s", broken)
