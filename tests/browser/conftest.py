"""One JupyterLab and one Chromium for all browser tests, and a kernel for each notebook."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import pytest_asyncio

from support.chromium import FLAGS, NAMES, find_chromium
from support.lab import Lab
from support.notebook_page import Pages
from support.waiting import LIMIT_SECONDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; without one the tests are skipped, or fail where it is required."""
    found = find_chromium()
    if found is None:
        reason = f"no Chromium on PATH (looked for {', '.join(NAMES)})"
        if os.environ.get("TWISTREAM_REQUIRE_BROWSER"):
            pytest.fail(f"{reason}, but TWISTREAM_REQUIRE_BROWSER is set")
        pytest.skip(f"{reason}; set TWISTREAM_REQUIRE_BROWSER=1 to make this a failure")
    return found


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Where screenshots go: the folder that TWISTREAM_SCREENSHOTS names, else a temporary one."""
    named = os.environ.get("TWISTREAM_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def pictures_are_wanted() -> bool:
    """Whether somebody is going to look at the screenshots; a picture of every cell takes time."""
    return bool(os.environ.get("TWISTREAM_SCREENSHOTS"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab(chromium, tmp_path_factory):
    """A JupyterLab over a copy of the notebooks and samples."""
    lab = Lab(tmp_path_factory.mktemp("lab"), ROOT)
    lab.start()
    try:
        await lab.ready()
        yield lab
    finally:
        lab.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium):
    """The Chromium, without a window."""
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=LIMIT_SECONDS * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def open_notebook(lab, browser, pictures):
    """Open a notebook of `lab`; all are closed at the end.

    With `script`, its page has run that before anything of its own.
    """
    context = await browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(LIMIT_SECONDS * 1000)
    pages = Pages(context, lab.address, pictures)
    yield pages.open
    await pages.close()
