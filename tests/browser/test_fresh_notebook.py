"""A fresh notebook: code typed into it by hand, and results that show themselves."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from support.snippet import SNIPPET

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_the_shortest_whole_call_runs_as_it_is_written(lab, open_notebook):
    notebook = await open_notebook(lab.write_notebook("snippet.ipynb", ""))
    await notebook.page.locator(".jp-Notebook .cm-content").click()
    await notebook.page.keyboard.insert_text(SNIPPET)
    await notebook.page.keyboard.press("Control+Enter")
    shown = notebook.page.locator(".jp-OutputArea-executeResult")
    await expect(shown).to_be_visible()
    (cell,) = await notebook.cells()
    assert cell["source"] == SNIPPET
    (output,) = cell["outputs"]
    printed = "".join(output["data"]["text/plain"])
    heard = re.fullmatch(r"<PlayOutcome cleared: (\d+) of 4210 ms heard>", printed)
    assert heard, printed
    assert 400 <= int(heard[1]) < 4210
    await notebook.picture("snippet", notebook.page.locator(".jp-Notebook .jp-Cell"))
    assert notebook.complaints == []
    await notebook.close()


async def test_a_wav_report_shows_a_table_that_a_screen_reader_can_read(lab, open_notebook):
    source = 'import twistream_kit as kit\n\nkit.inspect_wav("../sample_audio/question.wav")'
    notebook = await open_notebook(lab.write_notebook("report.ipynb", source))
    await notebook.run_all()
    cell = await notebook.cell("inspect_wav")
    heads = ["offset", "bytes (hex)", "field", "value", "meaning"]
    await expect(cell.locator("th[scope=col]")).to_have_text(heads)
    await expect(cell.locator("caption")).to_contain_text("58 bytes of header")
    await expect(cell.locator(".jp-OutputArea")).to_contain_text("first 58 bytes are left out")
    assert await cell.locator("tbody tr").count() >= 10
    wide = await cell.locator("table").evaluate("table => table.offsetWidth")
    room = await cell.locator(".jp-OutputArea-output").evaluate("output => output.clientWidth")
    assert wide <= room, "the table does not fit beside its prompt"
    await notebook.picture("report-light", cell)
    await notebook.theme("JupyterLab Dark")
    await notebook.picture("report-dark", cell)
    await notebook.theme("JupyterLab Light")
    assert notebook.complaints == []
    await notebook.close()


async def test_a_clip_shows_a_player(lab, open_notebook):
    source = 'import twistream_kit as kit\n\nkit.load_clip("../sample_audio/greeting.wav")'
    notebook = await open_notebook(lab.write_notebook("clip.ipynb", source))
    await notebook.run_all()
    player = (await notebook.cell("load_clip")).locator("audio[controls]")
    await expect(player).to_be_visible()
    await notebook.page.wait_for_function("() => document.querySelector('audio').readyState >= 1")
    assert await player.evaluate("player => player.duration") == pytest.approx(4.21, abs=0.01)
    await notebook.picture("clip", await notebook.cell("load_clip"))
    assert notebook.complaints == []
    await notebook.close()
