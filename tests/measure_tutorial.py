"""Measure the way to the first sound of a call, as a person goes it who has opened the tutorial.

python tests/measure_tutorial.py

A real JupyterLab and a Chromium without a window: Shift+Enter runs each cell, the mouse presses
*Sound* on the telephone, and the loudspeaker is listened to.  Nobody reads here, so the time to
read is added: the words above each cell, at 230 a minute.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from support.chromium import FLAGS, find_chromium
from support.handset import LOUDSPEAKER, Handset
from support.lab import Lab
from support.notebook_page import NotebookPage
from support.notebooks import FOLDER, read

ROOT = Path(__file__).parent.parent
WORDS_A_MINUTE = 230
WORKBENCH = "kit.Workbench("
FIRST_SOUND = "send_button.click()"


def main() -> None:
    """Measure once, and print the seconds of each part."""
    if find_chromium() is None:
        raise SystemExit("There is no Chromium on PATH, and only a browser can be listened to.")
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        parts = asyncio.run(measure(Path(folder)))
    words = count_words()
    parts[f"to read {words} words"] = words / WORDS_A_MINUTE * 60
    for name, seconds in parts.items():
        sys.stdout.write(f"{seconds:6.1f} s  {name}\n")
    opened = sum(seconds for name, seconds in parts.items() if name != "JupyterLab opens")
    sys.stdout.write(f"{opened:6.1f} s  from the opened page to the first sound of a call\n")


def count_words() -> int:
    """Return how many words stand above the cell that makes the first sound."""
    cells = read(FOLDER / "tutorial.ipynb").cells
    last = next(n for n, cell in enumerate(cells) if FIRST_SOUND in cell.source)
    return sum(len(c.source.split()) for c in cells[:last] if c.cell_type == "markdown")


async def measure(folder: Path) -> dict[str, float]:
    """Go the way in a JupyterLab of its own; return the seconds of each part."""
    from playwright.async_api import async_playwright

    lab = Lab(folder, ROOT)
    lab.start()
    parts, began = {}, time.monotonic()

    def note(part: str) -> None:
        nonlocal began
        parts[part], began = time.monotonic() - began, time.monotonic()

    try:
        await lab.ready()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            page = await browser.new_page(viewport={"width": 1400, "height": 1000})
            await page.add_init_script(LOUDSPEAKER)
            notebook = NotebookPage(page, lab.address, folder)
            await notebook.open("notebooks/tutorial.ipynb")
            note("JupyterLab opens")
            await page.locator(".jp-Notebook .jp-Cell").first.click()
            await page.keyboard.press("Escape")
            await press_up_to(notebook, WORKBENCH)
            await notebook.wait_until_idle()
            handset = Handset(notebook)
            await handset.button("Sound").wait_for()
            note("Shift+Enter up to the workbench")
            await handset.button("Sound").click()
            await handset.forget()
            await press_up_to(notebook, FIRST_SOUND)
            await handset.wait_for_sound()
            note("Sound, and Shift+Enter on the call")
            await notebook.ask("kit.stop()")
            await browser.close()
    finally:
        lab.stop()
    return parts


async def press_up_to(notebook: NotebookPage, text: str) -> None:
    """Press Shift+Enter, and nothing else, until a cell with `text` has been run."""
    for _ in range(30):
        active = await notebook.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.activeCell.model"
            ".sharedModel.getSource()"
        )
        await notebook.page.keyboard.press("Shift+Enter")
        if text in active:
            return
    raise AssertionError(f"Shift+Enter does not come to a cell with {text!r}")


if __name__ == "__main__":
    main()
