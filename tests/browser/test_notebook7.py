"""Notebook 7, started with ``jupyter notebook``: it runs the cells, and the buttons act."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.lab import HOLD, Lab
from support.notebook_page import NotebookPage
from support.waiting import LIMIT_SECONDS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ROOT = Path(__file__).parents[2]

CALL = """\
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001")
people = {"to": phone.number, "from_": twilio.numbers[0]}
call = kit.place_call(twilio.client, **people, stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)
tone = kit.Clip.tone(440, 30)"""
CONTROLS = "kit.StreamControls(stream, clips=[tone], call=call)"
SCOPE = "kit.LiveScope(stream)"

OF_NOTEBOOK_7 = "Cannot read properties of undefined (reading 'schema')"
"""What Notebook 7.6 complains of while it loads any notebook: a plugin of its own."""

SOME = re.compile(r"(0\.[3-9]|[1-9]\d?\.\d) of 30\.0 s")


@pytest_asyncio.fixture(loop_scope="session")
async def notebook(browser, tmp_path, pictures):
    """A small notebook in a Notebook 7 of its own."""
    app = Lab(tmp_path, ROOT, app="notebook")
    path = app.write_notebook("small.ipynb", CALL, CONTROLS, SCOPE, HOLD)
    app.start()
    try:
        await app.ready()
        page = await browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(LIMIT_SECONDS * 1000)
        notebook = NotebookPage(page, app.address, pictures, known=[OF_NOTEBOOK_7])
        notebook.app = app
        await notebook.open(path)
        yield notebook
        await notebook.close()
    finally:
        app.stop()


async def test_notebook_7_runs_all_and_send_and_clear_act_while_a_cell_sleeps(notebook):
    await notebook.run_up_to(SCOPE)
    controls = await notebook.cell(CONTROLS)
    await expect(controls.locator(".twistream-live-text[role=status]")).to_contain_text("In a call")
    await expect((await notebook.cell(SCOPE)).get_by_role("img")).to_be_visible()
    await notebook.run_without_waiting(HOLD)
    await controls.get_by_role("button", name=re.compile(r"\bSend$")).click()
    await expect(controls.get_by_text(SOME)).to_be_visible()
    await notebook.picture("notebook7")
    await controls.get_by_role("button", name=re.compile(r"\bClear$")).click()
    await expect(controls.get_by_text(re.compile(r" of 30\.0 s, cleared"))).to_be_visible()
    assert await notebook.is_running(HOLD), "the buttons have waited for the cell"
    notebook.app.release_held_cell()
    heard_ms = int(await notebook.ask("print(stream.newest.result(30).heard_ms)"))
    assert 300 <= heard_ms < 30_000
    notebook.app.release_held_cell()
    await notebook.run_all()
    for cell in await notebook.code_cells():
        assert [output for output in cell["outputs"] if output["output_type"] == "error"] == []
    assert notebook.complaints == []
