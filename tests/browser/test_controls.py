"""The buttons of a call, pressed with a mouse, and what they do to the ear at the other end."""

from __future__ import annotations

import json
import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.lab import HOLD
from support.notebook_page import resize

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SET_UP = """\
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001")
clips = [kit.load_clip(f"../sample_audio/{name}.wav") for name in ("greeting", "reply")]
clips.append(kit.Clip.tone(440, 2))
clips.append(kit.Clip(kit.Clip.tone(440, 30).payload, name="long"))
clips.append(kit.Clip(kit.Clip.tone(660, 25).payload, name="other"))"""
DIAL = """\
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)"""
CONTROLS = "controls = kit.StreamControls(stream, clips=clips, call=call)\ncontrols"
BUTTONS = ("Send", "Speak over", "Mark", "Clear", "Hang up")
REPLY, SHORT, LONG, OTHER = range(1, 5)
"""The places of the clips.  Of the long one no busy machine hears the end before a click."""

SOME = r"(0\.[4-9]|[1-9]\d?\.\d)"
"""So many seconds of the long clip were heard: some, and not so few that it may be none."""

WHEN_THE_PHONE_FELL_SILENT = """
import json, time
import numpy as np
now, samples = time.time(), phone.heard.samples()
loud = np.flatnonzero(np.abs(samples.astype(int)) > 500)
print(json.dumps(now - (samples.size - 1 - int(loud[-1])) / 8000))
"""

HOW_MUCH_SOUND_THE_PHONE_HEARD = """
loud = np.flatnonzero(np.abs(phone.heard.samples().astype(int)) > 500)
print(json.dumps(int(loud[-1] - loud[0]) / 8000))
"""


class Panel:
    """The controls as they stand on the page."""

    def __init__(self, notebook, cell):
        self.notebook, self.cell = notebook, cell
        self.state = cell.locator(".twistream-live-text[role=status]")
        self.log = cell.get_by_role("log")
        self.clip = cell.locator("select")

    def button(self, name):
        return self.cell.get_by_role("button", name=re.compile(rf"\b{name}$"))

    async def press(self, name):
        """Press a button with the mouse; return when, in seconds since the epoch."""
        await self.button(name).click()
        return await self.notebook.pressed_at(name)

    async def shows_heard(self, pattern):
        await expect(self.cell.locator(".twistream-heard")).to_contain_text(re.compile(pattern))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notebook(lab, open_notebook):
    """A call with its controls, and a cell that keeps the kernel busy."""
    path = lab.write_notebook("busy.ipynb", SET_UP, DIAL, CONTROLS, HOLD)
    notebook = await open_notebook(path)
    await notebook.run_up_to(CONTROLS)
    await notebook.ask("call.hang_up().result(30)")
    yield notebook
    await notebook.close()


@pytest_asyncio.fixture(loop_scope="session")
async def panel(notebook):
    """The controls of a new call."""
    await notebook.run_cell("kit.place_call(")
    await notebook.run_cell(CONTROLS)
    panel = Panel(notebook, await notebook.cell(CONTROLS))
    await expect(panel.state).to_contain_text("In a call")
    await panel.clip.select_option(index=LONG)  # a tone: it has no pauses of its own
    yield panel
    await notebook.ask("call.is_over or call.hang_up().result(30)")
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
    await panel.shows_heard(rf"{SOME} of 30\.0 s")
    await panel.notebook.picture("controls-playing", panel.cell)
    pressed = await panel.press("Clear")
    await panel.shows_heard(r"\d\.\d of 30\.0 s, cleared")
    outcome = await panel.notebook.ask("print(stream.newest.result(30))")
    assert "PlayOutcome cleared: " in outcome
    silent = json.loads(await panel.notebook.ask(WHEN_THE_PHONE_FELL_SILENT))
    await panel.notebook.picture("controls-cleared", panel.cell)
    assert silent > pressed - 0.02, "it fell silent before the button was pressed"
    heard = json.loads(await panel.notebook.ask(HOW_MUCH_SOUND_THE_PHONE_HEARD))
    assert 0.4 <= heard < 30


async def test_a_clip_that_is_not_cleared_is_heard_to_its_end(panel):
    await panel.clip.select_option(index=SHORT)
    await panel.press("Send")
    await panel.shows_heard(r"2\.0 of 2\.0 s, heard")
    await expect(panel.state).to_contain_text("In a call")
    await panel.notebook.picture("controls-heard", panel.cell)


async def test_speak_over_clears_what_plays_and_plays_the_chosen_clip_at_once(panel):
    await panel.press("Send")
    await panel.shows_heard(rf"{SOME} of 30\.0 s")
    await panel.notebook.ask("first = stream.newest")
    await panel.clip.select_option(index=OTHER)
    await panel.press("Speak over")
    await panel.shows_heard(rf"{SOME} of 25\.0 s")
    await expect(panel.log).to_contain_text("sent other")
    look = "print(first.result(30).ending, stream.newest is first, stream.newest.done())"
    assert await panel.notebook.ask(look) == "cleared False False"
    await panel.clip.select_option(index=REPLY)
    await panel.press("Speak over")
    await expect(panel.log).to_contain_text("sent reply")
    await panel.shows_heard(r"2\.0 of 2\.0 s, heard")


FOCUSED = "() => document.activeElement.innerText?.trim() || document.activeElement.tagName"


async def test_everything_can_be_reached_and_pressed_with_the_keyboard_alone(panel):
    page = panel.notebook.page
    await panel.clip.focus()
    reached = []
    for _ in BUTTONS[:-2]:
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate(FOCUSED))
    assert reached == ["Send", "Speak over", "Mark"]
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(panel.state).to_contain_text("Playing")
    await expect(panel.button("Clear")).to_be_enabled()
    await panel.notebook.picture("controls-focus", panel.cell)
    outline = await page.evaluate("() => getComputedStyle(document.activeElement).outline")
    assert "solid" in outline
    assert outline.endswith("2px"), outline
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    assert await page.evaluate(FOCUSED) == "Clear"
    await page.keyboard.press("Space")
    await panel.shows_heard(r"of 30\.0 s, cleared")
    await page.keyboard.press("Tab")  # from the place of Clear, which cannot be pressed any more
    assert await page.evaluate(FOCUSED) == "Hang up"


async def test_the_clip_is_chosen_with_the_keyboard_and_no_cell_is_lost_by_it(panel):
    page = panel.notebook.page
    before = [cell["source"] for cell in await panel.notebook.cells()]
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    number = await page.evaluate(active)
    await panel.clip.select_option(index=SHORT)
    await panel.clip.focus()
    await page.keyboard.press("ArrowUp")
    await expect(panel.clip).to_have_value(re.compile("reply"))
    for key in "gbxdd":  # JupyterLab adds a cell at b, cuts it at x and at d d
        await page.keyboard.press(key)
    await expect(panel.clip).to_have_value(re.compile("greeting"))
    assert [cell["source"] for cell in await panel.notebook.cells()] == before
    assert await page.evaluate(active) == number


async def test_screen_readers_are_given_names_and_regions_that_stay(panel):
    sid = await panel.notebook.ask("print(stream.stream_sid)")
    group = panel.cell.get_by_role("group", name=f"Controls of stream {sid}")
    await expect(group).to_be_visible()
    await expect(group.get_by_label("Clip")).to_be_visible()
    state, log = await panel.state.element_handle(), await panel.log.element_handle()
    first = await log.query_selector("li")
    await panel.press("Send")
    await expect(panel.state).to_contain_text("Playing")
    await expect(panel.log).to_contain_text("sent long")
    assert await state.evaluate("state => state.isConnected && state.innerText.includes('Playing')")
    assert await log.evaluate("(log, first) => log.querySelector('li') === first", first)


LINES = "log => Array.from(log.querySelectorAll('li'), line => line.innerText)"


async def test_the_log_keeps_its_last_lines_and_leaves_those_that_stay_alone(panel):
    await panel.notebook.ask("for n in range(6): controls._activity.note(f'line {n}')")
    await expect(panel.log).to_contain_text("line 5")
    fifth = await panel.log.get_by_text("line 5").element_handle()
    await panel.notebook.ask("for n in range(6, 12): controls._activity.note(f'line {n}')")
    await expect(panel.log).to_contain_text("line 11")
    shown = await panel.log.evaluate(LINES)
    assert [line.split(": ")[1] for line in shown] == [f"line {n}" for n in range(4, 12)]
    assert await fifth.evaluate("line => line.isConnected && line.innerText.endsWith('line 5')")
    await panel.notebook.ask("for n in range(12, 40): controls._activity.note(f'line {n}')")
    last = [re.compile(rf": line {n}$") for n in range(32, 40)]
    await expect(panel.log.locator("li")).to_have_text(last)
    assert not await fifth.evaluate("line => line.isConnected")


async def test_a_mark_comes_back_when_the_sound_before_it_was_heard(panel):
    await panel.clip.select_option(index=SHORT)
    await panel.press("Send")
    await panel.press("Mark")
    await expect(panel.log).to_contain_text("asked for mark-1")
    await expect(panel.log).to_contain_text("all before mark-1 was heard")
    await panel.notebook.picture("controls-mark", panel.cell)


async def test_buttons_act_while_a_cell_sleeps(panel, lab):
    await panel.notebook.run_without_waiting(HOLD)
    await panel.cell.scroll_into_view_if_needed()
    await panel.press("Send")
    await panel.shows_heard(rf"{SOME} of 30\.0 s")
    await panel.press("Clear")
    await panel.shows_heard(r"\d\.\d of 30\.0 s, cleared")
    assert await panel.notebook.is_running(HOLD), "the cell had ended before the clear was shown"
    lab.release_held_cell()
    await panel.notebook.wait_until_idle()


@pytest.mark.parametrize("width", [800, 480])
async def test_all_stays_in_sight_on_a_narrow_page(panel, width):
    page = panel.notebook.page
    await resize(page, width, 900)
    try:
        for name in BUTTONS:
            await expect(panel.button(name)).to_be_in_viewport(ratio=1)
        output = panel.cell.locator(".jp-OutputArea-output").first
        fits = "output => output.scrollWidth - output.clientWidth <= 1"
        await page.wait_for_function(fits, arg=await output.element_handle())
        await panel.notebook.picture(f"controls-{width}", panel.cell)
        if width == 800:  # with JupyterLab's sidebar open, some 365 pixels are left of it
            assert await panel.state.evaluate("state => state.clientHeight") < 36
            bar = await panel.cell.locator(".progress").bounding_box()
            words = await panel.cell.get_by_text("nothing sent yet").bounding_box()
            assert words["y"] < bar["y"] + bar["height"], "the words are not beside their bar"
            text = panel.cell.get_by_text("nothing sent yet")
            assert await text.evaluate("text => text.scrollWidth <= text.clientWidth"), "cut off"
    finally:
        await page.set_viewport_size({"width": 1400, "height": 1000})


async def test_hang_up_ends_the_call_and_turns_all_buttons_off(panel):
    await panel.press("Send")
    await panel.press("Hang up")
    await expect(panel.state).to_contain_text("Ended")
    for name in BUTTONS:
        await expect(panel.button(name)).to_be_disabled()
    await panel.shows_heard(r"of 30\.0 s, lost")
    assert await panel.notebook.ask("print(call.status, phone.state)") == "completed idle"
    await panel.notebook.picture("controls-ended", panel.cell)
    await panel.notebook.theme("JupyterLab Dark")
    await panel.notebook.picture("controls-ended-dark", panel.cell)
    await panel.notebook.theme("JupyterLab Light")
