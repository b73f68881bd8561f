"""The notebooks of many calls in JupyterLab: *Run All*, and what there is to see.

Two are about other people's servers, one about hearing the caller, and one about conversations.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(600),  # four notebooks are opened and run before the first test
    pytest.mark.asyncio(loop_scope="session"),
]

NAMES = {
    "why": "why_nothing_is_heard",
    "own": "test_your_own_server",
    "hear": "hear_the_caller",
    "measure": "measure_a_conversation",
}
RUN_SECONDS = 240
LOG = "kit.StreamLog("
PLAYED = re.compile(r'src="data:audio/wav;base64,([^"]+)"')


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened(open_notebook):
    """Each after *Run All*; their calls take as long as they sound, so they run side by side."""
    notebooks = {
        name: await open_notebook(f"notebooks/{file}.ipynb") for name, file in NAMES.items()
    }
    await asyncio.gather(*(each.run_all(RUN_SECONDS) for each in notebooks.values()))
    yield SimpleNamespace(**notebooks)
    for each in notebooks.values():
        await each.close()


@pytest.fixture(params=["why", "own", "measure"])
def notebook(request, opened):
    return getattr(opened, request.param)


def errors_of(cell):
    return [output["evalue"] for output in cell["outputs"] if output["output_type"] == "error"]


async def outputs_of(notebook):
    return [output for cell in await notebook.code_cells() for output in cell["outputs"]]


async def heard(notebook, call):
    """Return what the first caller heard, and the one after the repair; int16."""
    cells = [
        cell for cell in await notebook.code_cells() if f"report = call({call}," in cell["source"]
    ]
    before, after = (cell["outputs"][0]["data"]["text/html"] for cell in cells)
    return sound_in(before), sound_in(after)


def sound_in(html):
    wav = base64.b64decode(PLAYED.search("".join(html))[1])
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert rate == 8000
    return samples.astype(np.int32)


async def test_run_all_ends_without_an_unexpected_error(notebook):
    cells = [cell for cell in await notebook.code_cells() if cell["source"].strip()]
    assert len(cells) >= 20
    assert [cell["source"] for cell in cells if not cell["count"]] == []
    failed = {cell["source"]: errors for cell in cells if (errors := errors_of(cell))}
    assert list(failed) == [c["source"] for c in cells if "raises-exception" in c["tags"]], failed
    assert notebook.complaints == []


async def test_run_all_writes_no_warning_under_a_cell(notebook):
    outputs = await outputs_of(notebook)
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []


async def test_the_log_shows_the_message_that_was_dropped_and_why(opened):
    await opened.why.page.bring_to_front()
    log = (await opened.why.cell(LOG)).locator(".jp-OutputArea")
    await expect(log).to_contain_text('"stream_sid"')
    await expect(log).to_contain_text("stream_sid is not a name that Twilio reads")
    await expect(log).to_contain_text("to Twilio")


async def test_silence_becomes_speech(opened):
    before, after = await heard(opened.why, "silent")
    assert not before.any()
    assert abs(after).max() > 10_000


async def test_the_clicks_are_there_twice_a_second_and_then_gone(opened):
    before, after = await heard(opened.why, "clicking")
    clicks = np.flatnonzero(abs(before) > 25_000)
    assert np.count_nonzero(np.diff(clicks) > 3000) == 7
    assert abs(after).max() < 25_000


async def test_the_roar_leaves_no_pause(opened):
    before, after = (quiet(sound) for sound in await heard(opened.why, "roaring"))
    # A busy machine may be late with a frame or two of the roar; speech pauses far longer.
    assert before < 0.05
    assert after > 0.1


def quiet(sound):
    """Return how much of it is silent, of frames of 20 ms."""
    frames = sound[: len(sound) // 160 * 160].reshape(-1, 160)
    return (abs(frames).max(axis=1) < 100).mean()


async def test_the_deaf_server_lets_its_greeting_end_and_the_mended_one_does_not(opened):
    before, after = await heard(opened.why, "deaf")
    second = slice(8000 + 4000, 8000 + 2 * 8000)
    assert not np.array_equal(before[second], after[second])
    assert np.flatnonzero(before)[-1] > np.flatnonzero(after)[-1] + 2 * 8000


async def test_the_lanes_of_a_call_without_marks_fill_its_picture(opened):
    await opened.why.page.bring_to_front()
    shown = (await opened.why.cell("kit.plot_timeline(")).locator(".jp-OutputArea img")
    source = await shown.get_attribute("src")
    from matplotlib.image import imread

    picture = imread(io.BytesIO(base64.b64decode(source.split(",")[1])))
    ink = (picture[..., :3].min(axis=2) < 0.95).any(axis=1)
    empty = np.diff(np.flatnonzero(np.concatenate([[True], ink, [True]])))
    assert empty.max() < 0.15 * len(ink), "there is a hole between two lanes"


async def test_no_result_is_wider_than_the_page(notebook, request, pictures_are_wanted):
    await notebook.page.bring_to_front()  # a page behind another is drawn once a second
    which = request.node.callspec.params["notebook"]
    await notebook.assert_no_result_is_wider_than_the_page(which if pictures_are_wanted else "")


async def test_hear_the_caller_runs_whole_and_shows_its_scope_and_log(opened):
    notebook = opened.hear
    await notebook.page.bring_to_front()
    for cell in await notebook.code_cells():
        assert bool(errors_of(cell)) is ("raises-exception" in cell["tags"]), errors_of(cell)
    scope = await notebook.cell("kit.LiveScope(stream)")
    await expect(scope.get_by_role("img")).to_be_visible()
    await expect(scope.get_by_role("status")).to_contain_text("Ended")
    log = await notebook.cell("kit.StreamLog(stream)")
    await expect(log.get_by_role("log")).to_contain_text('"digit":"#"')
    await notebook.picture("hear-the-caller-log", log)
    assert notebook.complaints == []
