"""The tutorial's own call by ear, in its workbench: *Sound*, *Send* and *Clear* with a mouse.

What counts is what went to the loudspeaker.  On every ipykernel that is supported.
"""

from __future__ import annotations

import asyncio
import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.handset import IT_HAS_FALLEN_SILENT, LOUDSPEAKER, Handset
from support.kernels import MISSES_REQUESTS
from support.lab import HOLD, PLAYS_AGAIN

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WORKBENCH = "kit.Workbench("
FIRST_CALL = "workbench.show(stream)"
TONE_HZ, TONE_SECONDS = 440, 30
LONGER = ("kit.Clip.tone(440, 2)", f"kit.Clip.tone(440, {TONE_SECONDS})")
"""So long that no busy machine lets it end before a click has cut it off."""

WAITS = "on this kernel, buttons wait until it ends"


class Call:
    """The tutorial in the middle of its call: a telephone, and the controls beside it."""

    def __init__(self, lab, notebook, controls):
        self.lab = lab
        self.notebook, self.controls = notebook, controls
        self.handset = Handset(notebook)

    def button(self, name):
        """Return a button of the controls."""
        return self.controls.get_by_role("button", name=re.compile(rf"\b{name}$"))

    async def send(self):
        await self.handset.forget()
        await self.button("Send").click()
        await self.handset.wait_for_sound()

    async def sleeps(self):
        """Let a cell sleep from now on."""
        await self.notebook.run_without_waiting(HOLD)
        await self.controls.scroll_into_view_if_needed()

    async def wakes(self):
        """Let the cell end, which must still be asleep."""
        assert await self.notebook.is_running(HOLD)
        self.lab.release_held_cell()
        await self.notebook.wait_until_idle()


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=["newest", pytest.param("7.3.0", marks=pytest.mark.slow), "6.29.5"],
)
async def kernel(request):
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tutorial(lab, open_notebook, kernel):
    """The tutorial up to its first call: *Sound* is pressed before, and the cell is heard."""
    path = lab.copy_notebook(
        "tutorial.ipynb",
        f"call-{kernel}.ipynb",
        up_to=FIRST_CALL,
        then=HOLD,
        without="" if kernel == "newest" else "kit.plot_",
        changed=LONGER,
    )
    lab.use_kernel(path, kernel)
    notebook = await open_notebook(path, script=LOUDSPEAKER)
    reconnecting = (
        asyncio.create_task(lab.keep_reconnecting()) if kernel == MISSES_REQUESTS else None
    )
    await notebook.run_up_to(WORKBENCH)
    version = await notebook.ask("import ipykernel; print(ipykernel.__version__)")
    assert kernel in ("newest", version)
    workbench = await notebook.cell(WORKBENCH)
    call = Call(lab, notebook, workbench.locator(".twistream-controls"))
    await call.handset.button("Sound").click()
    await call.handset.forget()
    await notebook.run_cell(FIRST_CALL)
    await call.handset.wait_for_sound()
    await notebook.cell(WORKBENCH)
    await expect(call.handset.footer).to_contain_text("Direct connection")
    await call.button("Clear").click()
    await notebook.page.wait_for_function(IT_HAS_FALLEN_SILENT)
    await call.controls.locator("select").select_option(index=2)  # a tone has no pauses
    yield call
    await notebook.ask("kit.stop()")
    assert notebook.complaints == []
    await notebook.close()
    if reconnecting is not None:
        reconnecting.cancel()
        await asyncio.wait([reconnecting])


def assert_the_tone_was_cut_off(ended):
    assert [each.hz for each in ended] == pytest.approx([TONE_HZ] * len(ended), abs=8)
    assert max(each.seconds for each in ended) < TONE_SECONDS - 1


async def test_clear_takes_the_clip_from_the_loudspeaker(tutorial):
    ended = []
    for _ in range(5):
        await tutorial.send()
        ended.append(await tutorial.handset.clear_with(tutorial.button("Clear")))
    assert "cleared" in await tutorial.notebook.ask("print(stream.newest.result(30))")
    assert_the_tone_was_cut_off(ended)


async def test_the_phones_own_clear_works_while_a_cell_sleeps(tutorial):
    handset = tutorial.handset
    await handset.forget()
    await tutorial.notebook.ask(PLAYS_AGAIN)
    await tutorial.sleeps()
    ended = []
    for _ in range(3):
        await handset.wait_for_sound()
        ended.append(await handset.clear_with(handset.button("Clear")))
        await handset.forget()
        tutorial.lab.let_play_again()
    await tutorial.wakes()
    await tutorial.notebook.ask("enough.set(); stream.clear()")
    assert_the_tone_was_cut_off(ended)


async def test_the_controls_act_in_a_sleeping_cell_or_say_that_they_wait(tutorial, kernel):
    await tutorial.sleeps()
    if kernel == "6.29.5":
        status = tutorial.controls.locator(".twistream-live-text[role=status]")
        await expect(status).to_contain_text(WAITS)
        await tutorial.wakes()
        return
    ended = []
    for _ in range(3):
        await tutorial.send()
        ended.append(await tutorial.handset.clear_with(tutorial.button("Clear")))
    await tutorial.wakes()
    assert_the_tone_was_cut_off(ended)
