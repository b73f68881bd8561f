"""Widgets whose modules come later than anywidget waits for them: they hear their kernel."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ALWAYS_LATE = """(() => {
    const { timeout } = AbortSignal;
    window.late = 0;
    AbortSignal.timeout = milliseconds => milliseconds === 2000
        ? { addEventListener: (name, listener) => { window.late += 1; listener(); } }
        : timeout.call(AbortSignal, milliseconds);
})()"""
"""Its two seconds are over at once, as they are on a page that was busy for so long."""

SET_UP = """\
import twistream_kit as kit
from twistream_kit.notebook.widgets.file_field import FileField

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001", answer="manual")"""
FORM = "kit.settings()"
FIELD = "field = FileField(lambda clip: None)\nfield"
WORKBENCH = "workbench = kit.Workbench(server, phone, [kit.Clip.tone(440, 1)])\nworkbench"
CALL = """\
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url)"""
CELLS = (SET_UP, FORM, FIELD, WORKBENCH, CALL)

SAY = """
from twistream_kit.notebook.widgets.settings_form import _NEWEST
_NEWEST[0]._answer("Said after the page was made.", {})"""


async def test_a_widget_hears_its_kernel_though_its_module_came_late(lab, open_notebook):
    path = lab.write_notebook("late_modules.ipynb", *CELLS)
    notebook = await open_notebook(path, ALWAYS_LATE)
    try:
        await notebook.page.set_viewport_size({"width": 1400, "height": 4000})  # all is seen
        await notebook.run_up_to(WORKBENCH)
        page = notebook.page
        phone = page.locator(".twistream-phone")
        await expect(phone.locator(".tp-state")).to_contain_text("Waiting for a call")
        await page.wait_for_function("() => window.late >= 6")
        await notebook.run_cell(CALL)
        await expect(phone.get_by_role("button", name="Answer")).to_be_enabled()
        await phone.get_by_role("button", name="Answer").click()
        await expect(phone.locator(".tp-state")).to_contain_text("In a call")
        await notebook.ask("call.result(30); server.next_stream().result(30)")
        status = page.locator(".twistream-workbench").get_by_role("status").first
        await expect(status).to_contain_text("In a call, CA")
        await expect(page.locator(".twistream-log")).to_contain_text("streamSid")
        await expect(page.locator(".twistream-scope")).to_be_visible()
        await notebook.ask(SAY)
        form = page.get_by_role("form", name="Settings for a real call")
        await expect(form).to_contain_text("Said after the page was made.")
        await expect(form.get_by_role("textbox")).not_to_have_count(0)
        assert notebook.complaints == []
    finally:
        await notebook.close()
