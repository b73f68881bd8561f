"""The notebook of a real call in JupyterLab, without an account: *Run All*, and once more."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.accessibility import OF_A_WHOLE_PAGE, THEMES, describe_grave, find_violations
from support.notebook_page import errors_of

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SETTINGS = "kit.settings()"
CHECKS = "checks = kit.preflight("
TRIAL = "trial_server.next_stream("
FORM = ".twistream-settings"

NAMES = (
    *("credentials", "account", "from_", "to", "country"),
    *("public address", "WebSocket", "signatures", "TwiML", "clock"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def real_call(open_notebook):
    """The notebook after *Run All*, without an account."""
    notebook = await open_notebook("notebooks/a_real_call.ipynb")
    await notebook.run_all()
    yield notebook
    await notebook.close()


async def assert_all_ran_and_only_the_trial_failed(notebook):
    cells = [cell for cell in await notebook.code_cells() if cell["source"].strip()]
    assert len(cells) >= 20
    assert [cell["source"] for cell in cells if not cell["count"]] == []
    failed = {cell["source"]: errors for cell in cells if (errors := errors_of(cell))}
    tagged = [cell["source"] for cell in cells if "raises-exception" in cell["tags"]]
    assert list(failed) == tagged, failed
    (error,) = failed.values()
    assert error[0].startswith("CallRefused: ")
    assert "<Stream>" in error[0]


async def grave_objections(notebook, selector):
    """Return what axe-core finds serious or critical there, in both themes."""
    found = []
    for theme in THEMES:
        await notebook.theme(theme)
        violations = await find_violations(notebook.page, selector, least=4, rules=OF_A_WHOLE_PAGE)
        found += describe_grave(violations, of=f"{theme}: ")
    return found


async def test_run_all_without_an_account_ends_with_the_trial_as_its_only_error(real_call):
    await assert_all_ran_and_only_the_trial_failed(real_call)
    assert real_call.complaints == []


async def test_run_all_says_in_a_cell_of_its_own_that_all_is_simulated(real_call):
    cell = await real_call.cell('settings.ready else "Not all')
    await expect(cell.locator(".jp-OutputArea")).to_contain_text("everything is simulated")


async def test_run_all_writes_no_warning_under_a_cell(real_call):
    outputs = [output for cell in await real_call.code_cells() for output in cell["outputs"]]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []


async def test_the_form_for_what_is_missing_is_in_the_page_and_accessible(real_call):
    form = (await real_call.cell(SETTINGS)).locator(FORM)
    await expect(form).to_have_count(1)
    for label in ("Account SID", "Auth token", "Your Twilio number", "Number to call"):
        await expect(form.get_by_label(label, exact=True)).to_be_editable()
    await expect(form.get_by_role("button", name="Use these")).to_be_enabled()
    assert await grave_objections(real_call, FORM) == []


async def test_the_preflight_shows_ten_checks_and_each_is_passed(real_call):
    cell = await real_call.cell(CHECKS)
    table = cell.get_by_role("table", name="Before the call")
    await expect(table.locator("tbody th[scope=row]")).to_have_text(list(NAMES))
    await expect(table.get_by_text("✓")).to_have_count(len(NAMES))
    assert await table.get_by_text(re.compile("[✗–]")).count() == 0
    await expect(cell.locator(".jp-OutputArea")).to_contain_text("10 of 10 passed")
    assert await grave_objections(real_call, ".jp-Cell:has(caption) .jp-OutputArea table") == []


async def test_the_error_of_the_trial_can_be_read_to_its_end(real_call):
    output = (await real_call.cell(TRIAL)).locator(".jp-OutputArea")
    await expect(output).to_contain_text("CallRefused: the call ended as completed")
    await expect(output).to_contain_text("trial accounts refuse <Stream>.")


async def test_no_result_of_it_is_wider_than_the_page(real_call, pictures_are_wanted):
    await real_call.assert_no_result_is_wider_than_the_page(
        "real-call" if pictures_are_wanted else ""
    )


@pytest.mark.slow
async def test_it_can_be_run_a_second_time(real_call):
    before = max(cell["count"] for cell in await real_call.code_cells())
    await real_call.run_all()
    await assert_all_ran_and_only_the_trial_failed(real_call)
    assert min(cell["count"] for cell in await real_call.code_cells()) > before
    await real_call.cell(SETTINGS)
    await expect(real_call.page.locator(FORM)).to_have_count(1)
    assert real_call.complaints == []
