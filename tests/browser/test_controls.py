"""The buttons of a call, pressed with a mouse, and what they do to the ear at the other end."""

from __future__ import annotations

import json
import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CONTROLS = "StreamControls("
BUSY = "time.sleep(3)"
BUTTONS = ("Send", "Mark", "Clear", "Hang up")

WHEN_THE_PHONE_FELL_SILENT = """
import json, time
import numpy as np
now, samples = time.time(), phone.heard.samples()
loud = np.flatnonzero(np.abs(samples.astype(int)) > 500)
print(json.dumps(now - (samples.size - 1 - int(loud[-1])) / 8000))
"""


class Panel:
    """The controls as they stand on the page."""

    def __init__(self, notebook, cell):
        self.notebook, self.cell = notebook, cell
        self.state = cell.get_by_role("status")
        self.log = cell.get_by_role("log")
        self.clip = cell.locator("select")

    def button(self, name):
        return self.cell.get_by_role("button", name=re.compile(rf"\b{name}$"))

    async def press(self, name):
        """Press a button with the mouse; return when, in seconds since the epoch."""
        await self.button(name).click()
        return await self.notebook.pressed_at(name)

    async def shows_heard(self, pattern):
        await expect(self.cell.get_by_text(re.compile(pattern))).to_be_visible()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notebook(lab, open_notebook):
    """The tutorial up to its controls, and a cell that keeps the kernel busy."""
    path = lab.copy_notebook(
        "tutorial.ipynb", "busy.ipynb", up_to=CONTROLS, then=f"import time\n\n{BUSY}"
    )
    notebook = await open_notebook(path)
    await notebook.run_up_to(CONTROLS)
    await notebook.ask("call.hang_up().result(5)")
    yield notebook
    await notebook.close()


@pytest_asyncio.fixture(loop_scope="session")
async def panel(notebook):
    """The controls of a new call."""
    await notebook.run_cell("kit.place_call(")
    await notebook.run_cell(CONTROLS)
    panel = Panel(notebook, await notebook.cell(CONTROLS))
    await expect(panel.state).to_contain_text("In a call")
    await panel.clip.select_option(index=2)  # the tone: it has no pauses of its own
    yield panel
    await notebook.ask("call.is_over or call.hang_up().result(5)")
    assert notebook.complaints == []


async def test_buttons_that_cannot_act_are_off_until_they_can(panel):
    await expect(panel.button("Clear")).to_be_disabled()
    await panel.press("Send")
    await expect(panel.button("Clear")).to_be_enabled()
    await panel.press("Clear")
    await expect(panel.button("Clear")).to_be_disabled()
    await expect(panel.button("Send")).to_be_enabled()


async def test_clear_silences_the_phone_and_says_how_much_was_heard(panel):
    await panel.press("Send")
    await expect(panel.state).to_contain_text("Playing")
    await panel.shows_heard(r"0\.[4-9] of 2\.0 s")
    await panel.notebook.picture("controls-playing", panel.cell)
    pressed = await panel.press("Clear")
    await panel.shows_heard(r"\d\.\d of 2\.0 s, cleared")
    outcome = await panel.notebook.ask("print(stream.newest.result(5))")
    assert "ending='cleared'" in outcome
    silent = json.loads(await panel.notebook.ask(WHEN_THE_PHONE_FELL_SILENT))
    await panel.notebook.picture("controls-cleared", panel.cell)
    assert -0.02 < silent - pressed < 0.5


async def test_a_clip_that_is_not_cleared_is_heard_to_its_end(panel):
    await panel.press("Send")
    await panel.shows_heard(r"2\.0 of 2\.0 s, heard")
    await expect(panel.state).to_contain_text("In a call")
    await panel.notebook.picture("controls-heard", panel.cell)


@pytest.mark.parametrize("key", ["Enter", "Space"])
async def test_a_button_can_be_pressed_with_the_keyboard(panel, key):
    await panel.button("Send").focus()
    await panel.notebook.page.keyboard.press(key)
    await expect(panel.state).to_contain_text("Playing")


async def test_a_mark_comes_back_when_the_sound_before_it_was_heard(panel):
    await panel.press("Send")
    await panel.press("Mark")
    await expect(panel.log).to_contain_text("asked for mark-1")
    await expect(panel.log).to_contain_text("all before mark-1 was heard")
    await panel.notebook.picture("controls-mark", panel.cell)


async def test_buttons_act_while_a_cell_sleeps(panel):
    await panel.notebook.run_without_waiting(BUSY)
    await panel.cell.scroll_into_view_if_needed()
    await panel.press("Send")
    await panel.shows_heard(r"0\.[2-9] of 2\.0 s")
    await panel.press("Clear")
    await panel.shows_heard(r"\d\.\d of 2\.0 s, cleared")
    assert await panel.notebook.is_running(BUSY), "the cell had ended before the clear was shown"


async def test_all_buttons_stay_in_sight_on_a_narrow_page(panel):
    await panel.notebook.page.set_viewport_size({"width": 700, "height": 900})
    try:
        for name in BUTTONS:
            await expect(panel.button(name)).to_be_in_viewport(ratio=1)
        await panel.notebook.picture("controls-narrow", panel.cell)
    finally:
        await panel.notebook.page.set_viewport_size({"width": 1400, "height": 1000})


async def test_hang_up_ends_the_call_and_turns_all_buttons_off(panel):
    await panel.press("Send")
    await panel.press("Hang up")
    await expect(panel.state).to_contain_text("Ended")
    for name in BUTTONS:
        await expect(panel.button(name)).to_be_disabled()
    await panel.shows_heard(r"of 2\.0 s, lost")
    assert await panel.notebook.ask("print(call.status, phone.state)") == "completed idle"
    await panel.notebook.picture("controls-ended", panel.cell)
    await panel.notebook.theme("JupyterLab Dark")
    await panel.notebook.picture("controls-ended-dark", panel.cell)
    await panel.notebook.theme("JupyterLab Light")
