"""Files of 40 MB from a real page, both ways, and the kernel's connection afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]

SIZE = 40_000_000
MANY = 20
"""So many files that a page is surely closed before all of them have passed."""
SECONDS = (SIZE - 44) / 96_000
FIELDS = """\
import tempfile
import twistream_kit as kit
from twistream_kit.notebook.widgets.file_field import FileField

clips = []
folder = tempfile.mkdtemp()
tempfile.tempdir = folder"""
DIRECT = 'direct = FileField(clips.append, label="Directly")\ndirect'
MESSAGES = 'messages = FileField(clips.append, label="In messages", direct=False)\nmessages'
SMALL = """\
small = FileField(clips.append, label="Small only")
small._file_limit = 1_000_000
small"""

CONNECTION = """() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel
    .connectionStatus"""
WATCH_CONNECTION = """() => {
    window.statuses = [];
    window.jupyterapp.shell.currentWidget.sessionContext.session.kernel
        .connectionStatusChanged.connect((_, status) => window.statuses.push(status));
}"""
CANCEL_HALFWAY = """field => {
    const bar = field.querySelector('progress');
    const press = (_, observer) => {
        if (bar.value < 0.05) return;
        observer.disconnect();
        [...field.querySelectorAll('button')].find(each => each.innerText === 'Cancel').click();
    };
    new MutationObserver(press).observe(bar, { attributes: true });
}"""
"""Presses within the page: to this process, 40 MB may have passed before it sees the bar."""

NOTE_THE_BAR = """field => {
    window.barMoved = false;
    const bar = field.querySelector('progress');
    new MutationObserver((_, observer) => {
        if (!bar.checkVisibility() || bar.value <= 0 || bar.value >= 1) return;
        observer.disconnect();
        window.barMoved = true;
    }).observe(bar, { attributes: true });
}"""
"""Notes within the page, for the same reason, that the bar was there and between its ends."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A WAV file of 40 MB: 48 kHz, 16 bits, seven minutes."""
    path = tmp_path_factory.mktemp("large") / "long.wav"
    soundfile.write(path, np.zeros((SIZE - 44) // 2, "int16"), 48_000)
    assert path.stat().st_size == SIZE
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notebook(lab, open_notebook):
    path = lab.write_notebook("large_files.ipynb", FIELDS, DIRECT, MESSAGES, SMALL)
    notebook = await open_notebook(path)
    await notebook.run_up_to(SMALL)
    await notebook.page.evaluate(WATCH_CONNECTION)
    yield notebook
    assert notebook.complaints == []
    await notebook.close()


def field_of(notebook, label):
    return notebook.page.get_by_role("region", name=label)


async def leaves_nothing(notebook):
    """The connection never broke, no transfer runs, and no file is left."""
    assert await notebook.page.evaluate(CONNECTION) == "connected"
    assert await notebook.page.evaluate("() => window.statuses") == []
    look = (
        "import os, time; limit = time.monotonic() + 10\n"
        "fields = (direct, messages)\n"
        "runs = lambda: any(each.files.running for each in fields)\n"
        "while runs() and time.monotonic() < limit: time.sleep(0.02)\n"
        "print([f.files.running for f in fields], os.listdir(folder))"
    )
    assert await notebook.ask(look) == "[0, 0] []"


@pytest.mark.parametrize("label", ["Directly", "In messages"])
async def test_forty_megabytes_arrive_with_a_bar_and_the_connection_stays(
    notebook, recording, label
):
    field = field_of(notebook, label)
    await notebook.ask("clips.clear()")
    await field.evaluate(NOTE_THE_BAR)
    await field.get_by_label(label).set_input_files(recording)
    await notebook.page.wait_for_function("() => window.barMoved")
    await expect(field.get_by_role("status")).to_contain_text(f"✓ long.wav, {SECONDS:.2f} s")
    await expect(field.get_by_role("progressbar")).to_be_hidden()
    assert await notebook.ask("print(len(clips), round(clips[0].seconds, 2))") == (
        f"1 {SECONDS:.2f}"
    )
    await leaves_nothing(notebook)


@pytest.mark.parametrize("label", ["Directly", "In messages"])
async def test_cancelled_halfway_nothing_is_left(notebook, recording, label):
    field = field_of(notebook, label)
    await notebook.ask("clips.clear()")
    await field.evaluate(CANCEL_HALFWAY)
    await field.get_by_label(label).set_input_files([recording, recording])
    await expect(field.get_by_role("status")).to_have_text("✖ long.wav was not sent: cancelled")
    await notebook.picture(f"file-field-{label.lower().replace(' ', '-')}", field)
    await expect(field.get_by_role("progressbar")).to_be_hidden()
    await leaves_nothing(notebook)
    assert await notebook.ask("print(clips)") == "[]"


async def test_the_limit_is_said_before_anything_is_sent(notebook, recording):
    field = field_of(notebook, "Small only")
    await expect(field).to_contain_text("up to 1 MB")
    await field.get_by_label("Small only").set_input_files(recording)
    await expect(field.get_by_role("status")).to_contain_text(
        "✖ long.wav is 40.0 MB; at most 1 MB are sent. Read it in a cell: kit.load_clip(path)"
    )
    assert await notebook.ask("print(small.files.running)") == "0"


async def test_a_page_that_is_closed_halfway_leaves_nothing(notebook, recording, eventually, lab):
    code = (
        "import threading, pathlib, os, time\n"
        f"gone, MANY = pathlib.Path('closed_halfway'), {MANY}\n"
        "def look():\n"
        "    while not direct.files.running: time.sleep(0.01)\n"
        "    while direct.files.running: time.sleep(0.01)\n"
        "    gone.write_text(f'{len(clips) < MANY} {os.listdir(folder)}')\n"
        "clips.clear(); threading.Thread(target=look, daemon=True).start()"
    )
    await notebook.ask(code)
    field = field_of(notebook, "Directly")
    await field.get_by_label("Directly").set_input_files([recording] * MANY)
    await expect(field.get_by_role("progressbar")).to_be_visible()
    bar = await field.get_by_role("progressbar").element_handle()
    await notebook.page.wait_for_function("bar => bar.value > 0.05", arg=bar)
    await notebook.page.close()
    found = lab.root / "notebooks" / "closed_halfway"
    assert await eventually(lambda: found.exists() and found.read_text()) == "True []"
