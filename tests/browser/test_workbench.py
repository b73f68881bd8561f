"""The workbench on a page: wide and narrow, light and dark, in a call, after it, and reopened."""

from __future__ import annotations

import json
import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.accessibility import OF_A_WHOLE_PAGE, THEMES, describe_grave, find_violations
from support.drawings import drawings_in
from support.notebook_page import resize

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SET_UP = """\
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001")
long = kit.Clip(kit.Clip.tone(440, 30).payload, name="long")
clips = [long, "../sample_audio/greeting.wav", "../sample_audio/reply.wav"]"""
WORKBENCH = "workbench = kit.Workbench(server, phone, clips)\nworkbench"
DIAL = """\
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)"""

PLACE = """root => Object.fromEntries(
    ['.twistream-phone', '.twistream-controls', '.twistream-scope', '.twistream-log'].map(
        name => [name, root.querySelector(name).getBoundingClientRect().toJSON()]))"""
FITS = """cell => Array.from(cell.querySelectorAll('.jp-OutputArea-output, .widget-box'))
    .every(each => each.scrollWidth - each.clientWidth <= 1)"""

LAST_PICTURE = ".twistream-last-picture"
SEND, HANG_UP = re.compile(r"\bSend$"), re.compile(r"\bHang up$")


class Desk:
    """The notebook with a workbench, and the workbench on the page."""

    def __init__(self, notebook):
        self.notebook, self.page = notebook, notebook.page

    async def find(self):
        cell = await self.notebook.cell(WORKBENCH)
        self.root = cell.locator(".twistream-workbench")
        self.status = self.root.get_by_role("status").first

    def button(self, name):
        return self.root.locator(".twistream-controls").get_by_role("button", name=name)

    async def begin_call(self):
        await self.notebook.run_cell("kit.place_call(")
        await expect(self.status).to_contain_text("In a call, CA")

    async def end_call(self):
        await self.button(HANG_UP).click()
        await expect(self.status).to_contain_text("Waiting for the next call")
        await expect(self.root.locator("details")).to_be_visible()

    async def place_at(self, width):
        """Return where the parts are on a page of this width, on which all must be seen."""
        await resize(self.page, width, 2000)
        cell = await self.notebook.cell(WORKBENCH)
        await self.page.wait_for_function(FITS, arg=await cell.element_handle())
        return await self.root.evaluate(PLACE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notebook(lab, open_notebook):
    path = lab.write_notebook("workbench.ipynb", SET_UP, WORKBENCH, DIAL)
    notebook = await open_notebook(path)
    await notebook.run_up_to(WORKBENCH)
    yield notebook
    await notebook.close()


@pytest_asyncio.fixture(loop_scope="session")
async def desk(notebook):
    desk = Desk(notebook)
    await desk.find()
    await expect(desk.status).to_contain_text("call on ws://")
    yield desk
    assert notebook.complaints == []


async def test_a_call_on_a_wide_page_and_on_a_narrow_one(desk):
    await desk.begin_call()
    for _ in range(2):
        await desk.button(SEND).click()
    await expect(desk.root).to_contain_text("; then 1 more, 30.0 s")
    narrow, wide = await desk.place_at(900), await desk.place_at(1400)
    phone, controls = ".twistream-phone", ".twistream-controls"
    assert narrow[controls]["top"] >= narrow[phone]["bottom"]
    assert wide[controls]["left"] >= wide[phone]["right"]
    assert wide[".twistream-scope"]["left"] >= wide[phone]["right"]
    for parts in (narrow, wide):
        assert parts[".twistream-log"]["top"] >= parts[".twistream-scope"]["bottom"]
        assert parts[phone]["width"] == pytest.approx(wide[phone]["width"])
    await desk.end_call()
    # It fills what stands below; beside the widget itself it would show the same again.
    await expect(desk.page.locator(LAST_PICTURE)).to_have_count(1)
    await expect(desk.page.locator(LAST_PICTURE)).to_be_hidden()


@pytest.mark.slow
async def test_it_can_be_seen_and_read_out_in_both_themes_before_in_and_after_a_call(
    desk, pictures_are_wanted
):
    await look(desk, "ready", pictures_are_wanted)
    await desk.begin_call()
    await desk.button(SEND).click()
    await look(desk, "call", pictures_are_wanted)
    await desk.end_call()
    await look(desk, "ended", pictures_are_wanted)


async def look(desk, name, takes_pictures):
    found = []
    for theme in THEMES:
        await desk.notebook.theme(theme)
        violations = await find_violations(desk.page, ".twistream-workbench", rules=OF_A_WHOLE_PAGE)
        found += describe_grave(violations, of=f"{theme}: ")
        for width in (900, 1400) if takes_pictures else ():
            await desk.place_at(width)
            await desk.notebook.picture(f"workbench-{name}-{width}-{theme.split()[1]}", desk.root)
    assert found == []


@pytest.mark.slow
async def test_reopened_without_its_kernel_the_last_call_is_still_there(desk, lab, open_notebook):
    await desk.begin_call()
    await desk.button(SEND).click()
    await desk.notebook.until("stream.newest is not None")
    await desk.notebook.ask("stream.newest.heard(1).result(30)")
    await desk.end_call()
    await expect(desk.page.locator(LAST_PICTURE)).to_have_count(1)
    await desk.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    folder = lab.root / "notebooks"
    saved = (folder / "workbench.ipynb").read_text()
    live, below = json.loads(saved)["cells"][1]["outputs"]
    assert len(drawings_in("".join(live["data"]["text/html"]))) == 1
    assert "<audio" in "".join(below["data"]["text/html"])
    (folder / "reopened.ipynb").write_text(saved)
    reopened = await open_notebook("notebooks/reopened.ipynb")
    try:
        cell = await reopened.cell(WORKBENCH)
        above = cell.locator(".jp-OutputArea-output").first
        await expect(above).to_contain_text(re.compile("Loading widget|model not found"))
        picture = cell.locator(LAST_PICTURE)
        await expect(picture).to_be_visible()
        await expect(picture).to_have_text(
            re.compile(r"\s*How it was at the end\..*kernel is gone")
        )
        await expect(picture.locator("audio")).to_be_visible()
        await expect(picture).to_contain_text("What was sent")
        await reopened.picture("workbench-reopened", cell)
    finally:
        await reopened.close()
