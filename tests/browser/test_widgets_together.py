"""Telephone, controls, scope and log of one call on one page: run again, loaded again, closed."""

from __future__ import annotations

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.handset import LOUDSPEAKER, Handset

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CALL = """\
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001")
people = {"to": phone.number, "from_": twilio.numbers[0]}
tone = kit.Clip.tone(440, 3, level_db=-20)
longer = kit.Clip.tone(440, 30, level_db=-20)"""
PHONE = "widget = kit.PhoneWidget(phone, server=server)\nwidget"
DIAL = """\
call = kit.place_call(twilio.client, **people, stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)"""
CONTROLS = "controls = kit.StreamControls(stream, clips=[tone], call=call)\ncontrols"
SCOPE = "scope = kit.LiveScope(stream)\nscope"
LOG = "log = kit.StreamLog(stream)\nlog"

WIDGETS = (".twistream-phone", ".twistream-controls", ".twistream-scope", ".twistream-log")
LEVEL = 10 ** (-20 / 20) / np.sqrt(2)
ONE_RUNS = """() => window.loudspeaker.contexts
    .filter(each => each.state !== 'closed').length === 1"""
ALL_CLOSED = "() => window.loudspeaker.contexts.every(c => c.state === 'closed')"


class Page:
    """All widgets of the kit, of one call."""

    def __init__(self, notebook):
        self.notebook, self.page = notebook, notebook.page
        self.handset = Handset(notebook)

    async def shows_each_once(self):
        for selector in WIDGETS:
            await expect(self.page.locator(selector)).to_have_count(1)
        await expect(self.handset.state).to_contain_text("In a call")

    async def turn_sound_on(self):
        await expect(self.handset.footer).to_contain_text("Direct connection")
        sound = self.handset.button("Sound")
        # On a page where it was on, it stays on when the cell is run again.
        if await sound.get_attribute("aria-pressed") != "true":
            await sound.click()
        await expect(sound).to_have_attribute("aria-pressed", "true")

    async def level_heard(self):
        """Play a tone; return its effective level at the loudspeaker, wherever it is whole.

        It is the 90th percentile of a second and a half in frames of 20 ms: a busy machine may
        break many, which makes them quieter; two voices at once would raise all that are whole.
        """
        await self.handset.forget()
        await self.notebook.ask("playing = stream.play(longer)")
        await self.handset.wait_for_sound()
        await self.notebook.ask("playing.heard(2).result(30); stream.clear()")
        samples, rate, _ = await self.handset.heard()
        first = int(np.flatnonzero(np.abs(samples) > 0.01)[0])
        frame = rate // 50
        whole = samples[first + rate // 5 :][: rate * 3 // 2 // frame * frame]
        assert whole.size >= rate // 2
        frames = whole[: whole.size // frame * frame].reshape(-1, frame)
        return float(np.percentile(np.sqrt(np.mean(frames**2, axis=1)), 90))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened(lab, open_notebook):
    path = lab.write_notebook("together.ipynb", CALL, PHONE, DIAL, CONTROLS, SCOPE, LOG)
    return Page(await open_notebook(path, script=LOUDSPEAKER))


@pytest_asyncio.fixture(loop_scope="session")
async def shown(opened):
    """A page with all of them, in a new call, with the sound on."""
    await opened.notebook.run_all()
    await opened.shows_each_once()
    await opened.turn_sound_on()
    yield opened
    assert opened.notebook.complaints == []


async def test_run_again_and_loaded_again_there_is_one_voice_and_no_complaint(shown):
    assert await shown.level_heard() == pytest.approx(LEVEL, rel=0.15)
    await shown.notebook.run_all()
    await shown.shows_each_once()
    await shown.turn_sound_on()
    assert await shown.level_heard() == pytest.approx(LEVEL, rel=0.15)
    await shown.page.wait_for_function(ONE_RUNS)
    await shown.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    await shown.page.reload()
    await shown.shows_each_once()
    await expect(shown.page.locator(".twistream-log-list > li").first).to_contain_text("start")
    await shown.turn_sound_on()
    assert await shown.level_heard() == pytest.approx(LEVEL, rel=0.15)
    await shown.page.wait_for_function(ONE_RUNS)


async def test_closed_widgets_leave_the_page_and_the_call_goes_on(shown):
    await shown.notebook.ask("playing = stream.play(tone)")
    await shown.handset.wait_for_sound()
    await shown.notebook.ask("for each in (widget, controls, scope, log): each.close()")
    for selector in WIDGETS:
        await expect(shown.page.locator(selector)).to_have_count(0)
    await shown.page.wait_for_function(ALL_CLOSED)
    assert await shown.notebook.ask("print(stream.is_open, playing.result(30).ending)") == (
        "True heard"
    )


async def test_outputs_that_are_cleared_fall_silent(shown):
    await shown.notebook.ask("playing = stream.play(tone)")
    await shown.handset.wait_for_sound()
    await shown.page.evaluate(
        "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
    )
    await shown.page.wait_for_function(ALL_CLOSED)
    # The page's socket ends after its sound, and the kernel hears of that later still.
    await shown.notebook.until("widget.pages.speaker == ''")
    assert await shown.notebook.ask("print(phone.state)") == "in-call"
