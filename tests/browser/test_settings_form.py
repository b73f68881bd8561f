"""The form for missing settings in a real page, and the file that is saved with it."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.accessibility import OF_A_WHOLE_PAGE, THEMES, describe_grave, find_violations
from support.notebook_page import resize

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HEX = "5ec2e7a0b1c2d3e4f5a6b7c8d9e0f1a2"
LEFT = "this-stands-in-a-field-of-ipywidgets"
ASK = "import twistream_kit as kit\n\nfound = kit.settings()\nfound"
PASSWORD = "import ipywidgets\n\nleft = ipywidgets.Password()\nleft"
FORM = ".twistream-settings"

SAVE = """async () => {
    const { commands, shell } = window.jupyterapp;
    const toggle = '@jupyter-widgets/jupyterlab-manager:saveWidgetState';
    await commands.execute(toggle);
    await commands.execute('docmanager:save');
    await commands.execute(toggle);
    return shell.currentWidget.context.model.dirty;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def notebook(lab, open_notebook):
    """A notebook that asks for its settings, opened anew for each test."""
    notebook = await open_notebook(lab.write_notebook("ask.ipynb", ASK, PASSWORD))
    await notebook.run_up_to(PASSWORD)
    notebook.saved = lab.root / "notebooks" / "ask.ipynb"
    yield notebook
    assert notebook.complaints == []
    await notebook.close()


@pytest_asyncio.fixture(loop_scope="session")
async def form(notebook):
    cell = await notebook.cell(ASK)
    return cell.locator(FORM)


async def save(notebook):
    """Save the notebook with the state of its widgets; return the file."""
    assert not await notebook.page.evaluate(SAVE)
    return notebook.saved.read_text(encoding="utf-8")


async def test_what_is_typed_is_taken_and_stands_nowhere_afterwards(notebook, form):
    token, number = form.get_by_label("Auth token"), form.get_by_label("Your Twilio number")
    assert await token.get_attribute("type") == "password"
    await token.press_sequentially(HEX)
    await number.fill("15550100001")
    await form.get_by_role("button", name="Use these").click()
    status = form.get_by_role("status")
    await expect(status).to_have_text("Taken: Auth token. Not taken: Your Twilio number.")
    await expect(token).to_have_count(0)
    await expect(number).to_have_value("")
    await expect(number).to_have_attribute("aria-invalid", "true")
    await expect(number).to_have_accessible_description(re.compile("does not begin with a plus"))
    await expect(number).to_be_focused()
    await notebook.picture("settings-form", form)
    await number.fill("+15550100001")
    await number.press("Enter")
    await expect(number).to_have_count(0)
    printed = await notebook.ask("print(found.source('auth_token'), found.phone_number)")
    assert printed == "prompt +15550100001"
    saved = await save(notebook)
    assert "SettingsForm" in saved
    assert HEX not in saved
    assert HEX not in await notebook.page.content()


async def test_what_is_typed_and_not_used_is_not_saved_with_the_notebook(notebook, form):
    await form.get_by_label("Auth token").press_sequentially(HEX)
    field = (await notebook.cell(PASSWORD)).locator("input")
    await field.fill(LEFT)  # at once: echoes of single letters overtake the next ones
    await field.blur()
    await notebook.until(f"left.value == {LEFT!r}")
    saved = await save(notebook)
    assert LEFT in saved, "the state of widgets was not saved, so this proves nothing"
    assert HEX not in saved


async def test_everything_set_leaves_a_word_and_no_field(notebook, form):
    values = ("AC" + HEX, HEX, "+15550100001", "+15550100002")
    for field, value in zip(await form.locator("input").all(), values, strict=True):
        await field.fill(value)
    await form.locator("input").last.press("Enter")
    await expect(form.get_by_role("status")).to_contain_text("Everything that a real call needs")
    await expect(form.locator("input")).to_have_count(0)
    await expect(form.get_by_role("button")).to_have_count(0)
    assert await notebook.ask("print(found.ready)") == "True"
    await notebook.run_cell(ASK)
    output = (await notebook.cell(ASK)).locator(".jp-OutputArea")
    await expect(output).to_contain_text("Ready for a real call.")
    await expect(output.locator(FORM)).to_have_count(0)


async def test_it_is_accessible_in_both_themes_and_fits_a_narrow_page(notebook, form):
    await form.get_by_label("Auth token").fill("short")
    await form.get_by_role("button", name="Use these").click()
    await expect(form.get_by_role("status")).to_contain_text("Not taken")
    for theme in THEMES:
        await notebook.theme(theme)
        violations = await find_violations(notebook.page, FORM, rules=OF_A_WHOLE_PAGE)
        assert describe_grave(violations) == []
        await notebook.picture(f"settings-form-{theme.split()[1].lower()}", form)
    await resize(notebook.page, 800, 900)
    fits = "form => form.scrollWidth <= form.clientWidth"
    await notebook.page.wait_for_function(fits, arg=await form.element_handle())
