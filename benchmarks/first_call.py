"""From nothing to the first sound of a call, as a newcomer has it: the seconds of each part.

python benchmarks/first_call.py           a clone, with an environment as ``make tutorial`` makes it
python benchmarks/first_call.py --wheel   ``pip install`` of the wheel, then ``twistream tutorial``
python benchmarks/first_call.py --tiny    with this environment, to see that it works; so --wheel

A Chromium without a window; keys and clicks alone.  What is cloned is what is committed; the wheel
is built from the files as they are.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import tempfile
from pathlib import Path

from measuring import HERE, Figure

sys.path.append(str(HERE.parent / "tests"))  # for the modules there that drive the browser


def measure(*, tiny: bool = False, wheel: bool = False) -> list[Figure]:
    """Go the whole way once."""
    what = "twistream tutorial" if wheel else "clone"
    if why_not := _what_is_missing():
        return [Figure(f"{what} → first sound of a call", f"left out: {why_not}")]
    from support.newcomer import (
        MOST_SECONDS,
        MOST_SECONDS_AFTER_PIP,
        FreshClone,
        FreshInstall,
    )

    environment = Path(sys.executable).parent if tiny else None
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
        lab = (FreshInstall if wheel else FreshClone)(Path(name), environment)
        way = asyncio.run(_go(lab))
    figures = [Figure(part.name, _in_words(part.seconds)) for part in [*lab.parts, *way.parts]]
    figures.append(Figure(f"reading {way.words} words", _in_words(way.reading_seconds)))
    opened = f"opened page → first sound of a call, with the reading, {way.code_cells} code cells"
    figures.append(_aim(opened, way.seconds, MOST_SECONDS))
    if wheel:
        after_pip = lab.parts[-1].seconds + way.seconds
        whole = f"{what} → first sound of a call, with the reading, without pip install"
        figures.append(_aim(whole, after_pip, MOST_SECONDS_AFTER_PIP))
    seconds = way.seconds + sum(part.seconds for part in lab.parts)
    what = "environment, pip install" if wheel else what
    figures.append(Figure(f"{what} → first sound of a call, with the reading", _in_words(seconds)))
    return figures


def _aim(what: str, seconds: float, most: float) -> Figure:
    return Figure(what, _in_words(seconds), f"≤ {most} s", seconds <= most)


def _in_words(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _what_is_missing() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    from support.chromium import find_chromium

    return "" if find_chromium() else "there is no Chromium on PATH"


async def _go(lab):
    from playwright.async_api import async_playwright

    from support.by_hand import ByHand
    from support.chromium import FLAGS, find_chromium
    from support.handset import LOUDSPEAKER
    from support.newcomer import open_and_hear_a_call

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = await browser.new_page(viewport={"width": 1400, "height": 1000})
        await page.add_init_script(LOUDSPEAKER)
        try:
            await lab.start()
            way = await open_and_hear_a_call(ByHand(page), lab.address)
        finally:
            await lab.stop()
        await browser.close()
    return way


if __name__ == "__main__":
    from run import table

    print(table(measure(tiny="--tiny" in sys.argv[1:], wheel="--wheel" in sys.argv[1:])))
