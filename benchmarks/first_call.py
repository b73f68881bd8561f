"""From ``git clone`` to the first sound of a call, as a newcomer has it: the seconds of each part.

python benchmarks/first_call.py           with an environment of its own, as ``make tutorial`` makes
python benchmarks/first_call.py --tiny    with this environment, to see that it works

A Chromium without a window; keys and clicks alone.  What is cloned is what is committed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import tempfile
from pathlib import Path

from measuring import HERE, Figure

sys.path.append(str(HERE.parent / "tests"))  # for the modules there that drive the browser


def measure(*, tiny: bool = False) -> list[Figure]:
    """Go the whole way once."""
    if why_not := _what_is_missing():
        return [Figure("clone → first sound of a call", f"left out: {why_not}")]
    from support.newcomer import MOST_SECONDS

    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        before, way = asyncio.run(_gone(Path(folder), tiny=tiny))
    figures = [Figure(part.name, _in_words(part.seconds)) for part in [*before, *way.parts]]
    figures.append(Figure(f"reading {way.words} words", _in_words(way.reading_seconds)))
    what = f"opened page → first sound of a call, with the reading, {way.code_cells} code cells"
    reached = way.seconds <= MOST_SECONDS
    figures.append(Figure(what, _in_words(way.seconds), f"≤ {MOST_SECONDS} s", reached))
    whole = way.seconds + sum(part.seconds for part in before)
    figures.append(Figure("clone → first sound of a call, with the reading", _in_words(whole)))
    return figures


def _in_words(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _what_is_missing() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    from support.chromium import find_chromium

    return "" if find_chromium() else "there is no Chromium on PATH"


async def _gone(folder: Path, *, tiny: bool):
    from playwright.async_api import async_playwright

    from support.by_hand import ByHand
    from support.chromium import FLAGS, find_chromium
    from support.handset import LOUDSPEAKER
    from support.newcomer import FreshClone, open_and_hear_a_call

    clone = FreshClone(folder, environment=Path(sys.executable).parent if tiny else None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = await browser.new_page(viewport={"width": 1400, "height": 1000})
        await page.add_init_script(LOUDSPEAKER)
        try:
            await clone.start()
            way = await open_and_hear_a_call(ByHand(page), clone.address)
        finally:
            await clone.stop()
        await browser.close()
    return clone.parts, way


if __name__ == "__main__":
    from run import table

    print(table(measure(tiny="--tiny" in sys.argv[1:])))
