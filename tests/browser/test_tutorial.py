"""The tutorial in JupyterLab: *Run All*, as a person does it, and once more."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.notebook_page import errors_of, read_length

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WORKBENCH = "kit.Workbench("
BUTTONS = ("Send", "Speak over", "Mark", "Clear", "Hang up")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tutorial(open_notebook):
    """The tutorial after *Run All*."""
    notebook = await open_notebook("notebooks/tutorial.ipynb")
    await notebook.run_all()
    yield notebook
    await notebook.close()


async def assert_all_ran_without_an_error(notebook):
    cells = [cell for cell in await notebook.code_cells() if cell["source"].strip()]
    assert len(cells) >= 20
    assert [cell["source"] for cell in cells if not cell["count"]] == []
    wanted = {cell["source"] for cell in cells if "raises-exception" in cell["tags"]}
    failed = {cell["source"]: errors for cell in cells if (errors := errors_of(cell))}
    assert set(failed) == wanted, {source: failed.get(source) for source in wanted ^ set(failed)}


def kinds_of(cell):
    return {kind for output in cell["outputs"] for kind in output.get("data", {})}


async def test_run_all_ends_without_an_unexpected_error(tutorial):
    await assert_all_ran_without_an_error(tutorial)


async def test_run_all_leaves_no_error_in_the_browser_console(tutorial):
    assert tutorial.complaints == []


async def test_run_all_writes_no_warning_under_a_cell(tutorial):
    cells = await tutorial.code_cells()
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []


async def test_every_plot_is_a_picture_with_something_in_it(tutorial):
    plots = [cell for cell in await tutorial.code_cells() if "kit.plot_" in cell["source"]]
    assert len(plots) >= 3
    for cell in plots:
        assert "image/png" in kinds_of(cell), cell["source"]
        shown = (await tutorial.cell(cell["source"])).locator(".jp-OutputArea img")
        await expect(shown).to_be_visible()
        size = await shown.evaluate("img => img.decode().then(() => img.naturalWidth)")
        assert size >= 400, cell["source"]


async def test_every_player_holds_a_sound_that_the_browser_can_play(tutorial):
    await tutorial.cell("kit.load_clip(")
    # The telephone keeps one hidden, and empty, until a mailbox has recorded something.
    players = tutorial.page.locator(".jp-OutputArea audio:not([hidden])")
    await players.nth(1).wait_for(state="attached")
    for number in range(await players.count()):
        assert await read_length(players.nth(number)) > 0.9


async def test_the_workbench_shows_the_last_call_and_that_the_server_was_stopped(tutorial):
    workbench = await tutorial.cell(WORKBENCH)
    for name in BUTTONS:
        button = workbench.get_by_role("button", name=re.compile(rf"\b{name}$"))
        await expect(button.last).to_be_visible()
        await expect(button.last).to_be_disabled()
    controls = workbench.locator(".twistream-controls")
    await expect(controls.locator(".twistream-live-text[role=status]").first).to_contain_text(
        "Ended"
    )
    await expect(workbench.get_by_role("status").first).to_contain_text("server is not running")


async def test_each_check_says_what_was_checked(tutorial):
    checks = [cell for cell in await tutorial.code_cells() if 'print("✓' in cell["source"]]
    assert len(checks) >= 7
    for cell in checks:
        (output,) = cell["outputs"]
        assert output["text"].startswith("✓ "), cell["source"]


async def test_no_result_is_wider_than_the_page(tutorial, pictures_are_wanted):
    await tutorial.assert_no_result_is_wider_than_the_page(
        "tutorial" if pictures_are_wanted else ""
    )


@pytest.mark.slow
async def test_run_all_can_be_done_a_second_time(tutorial):
    before = max(cell["count"] for cell in await tutorial.code_cells())
    await tutorial.run_all()
    await assert_all_ran_without_an_error(tutorial)
    assert min(cell["count"] for cell in await tutorial.code_cells()) > before
    assert tutorial.complaints == []
