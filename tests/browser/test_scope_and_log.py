"""The scope and the log of a call in a real page: what is drawn, filtered and saved."""

from __future__ import annotations

import io
import re

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import expect

from support.lab import HOLD
from support.waiting import LIMIT_SECONDS, Patience

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CALL = """\
import twistream_kit as kit
from twistream_kit.notebook.widgets.scope import LiveScope
from twistream_kit.notebook.widgets.stream_log import StreamLog

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001")
people = {"to": phone.number, "from_": twilio.numbers[0]}
call = kit.place_call(twilio.client, **people, stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)
tone = kit.Clip.tone(440, 90, level_db=-2)
"""
SCOPE = "scope = LiveScope(stream)\nscope"
LOG = "log = StreamLog(stream)\nlog"
PLOT = "kit.plot_waveform(kit.Clip.tone(440, 0.5))"
AFTER = "print('it ran')"

COLOURED = """([canvas, begin, end, top, bottom, swatch]) => {
    const number = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const style = getComputedStyle(swatch).color;
    const scale = style.startsWith('color(') ? 255 : 1;
    const wanted = number(style.replace('color(srgb', '(')).map(part => part * scale);
    const [width, height] = [canvas.width, canvas.height];
    const pixels = canvas.getContext('2d').getImageData(
        begin * width, top * height, (end - begin) * width, (bottom - top) * height).data;
    let found = 0;
    for (let at = 0; at < pixels.length; at += 4)
        if (wanted.every((part, i) => Math.abs(part - pixels[at + i]) < 6)) found++;
    return found / (pixels.length / 4);
}"""


class Scope:
    """The picture as it stands on the page."""

    def __init__(self, cell):
        self.cell = cell
        self.canvas = cell.locator("canvas")

    async def share(self, swatch, top, bottom, *, begin=0.8, end=1.0):
        """Return how much of a part of the canvas has the colour of a swatch in the legend."""
        canvas = await self.canvas.element_handle()
        element = await self.cell.locator(".twistream-scope-swatch").nth(swatch).element_handle()
        return await canvas.evaluate(
            f"(canvas, [begin, end, top, bottom, swatch]) => ({COLOURED})"
            "([canvas, begin, end, top, bottom, swatch])",
            [begin, end, top, bottom, element],
        )

    async def wait_for(self, swatch, top, bottom, *, least=0.0, most=1.0, begin=0.8):
        """Wait until the colour of a swatch fills a share of a lane: of its newest fifth, say."""

        async def is_there():
            return least <= await self.share(swatch, top, bottom, begin=begin) <= most

        patience = Patience(LIMIT_SECONDS)
        while not await is_there():
            if patience.is_over():
                raise AssertionError(await self.share(swatch, top, bottom, begin=begin))
            await self.cell.page.wait_for_timeout(100)


CALLER, YOURS = 0, 1
UPPER, LOWER = (0.08, 0.4), (0.55, 0.9)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notebook(lab, open_notebook):
    """A call, its scope, its log, and a cell that keeps the kernel busy."""
    path = lab.write_notebook("scope.ipynb", CALL, SCOPE, LOG, PLOT, HOLD, AFTER)
    notebook = await open_notebook(path)
    await notebook.run_up_to(PLOT)
    yield notebook
    assert notebook.complaints == []
    await notebook.close()


@pytest_asyncio.fixture(loop_scope="session")
async def scope(notebook):
    return Scope(await notebook.cell(SCOPE))


async def test_the_scope_draws_both_voices_and_goes_on_while_a_cell_sleeps(notebook, scope, lab):
    await scope.wait_for(YOURS, *LOWER, most=0.03)
    await notebook.ask("playing = stream.play(tone, mark='a tone'); phone.say(tone)")
    await notebook.run_without_waiting(HOLD)
    await scope.wait_for(YOURS, *LOWER, least=0.2)
    await scope.wait_for(CALLER, *UPPER, least=0.2)
    assert await notebook.is_running(HOLD)
    lab.release_held_cell()
    await notebook.wait_until_idle()
    await expect(scope.canvas).to_have_attribute("aria-label", re.compile("caller speaks and hear"))
    await notebook.ask("phone.press('5'); stream.clear()")
    await scope.wait_for(YOURS, *LOWER, most=0.03)
    await scope.wait_for(CALLER, *UPPER, least=0.2)  # the clear is not the caller's
    await expect(scope.canvas).to_have_attribute("aria-label", re.compile("hears silence.*1 clear"))


async def test_it_looks_well_in_both_themes_and_fits_a_narrow_page(notebook, scope):
    await notebook.ask("playing = stream.play(tone, mark='again'); playing.heard(1).result(30)")
    await notebook.ask("stream.clear(); phone.press('7')")
    # Anywhere: what was heard for a second may have moved on before the page is looked at.
    await scope.wait_for(YOURS, *LOWER, least=0.02, begin=0)
    await notebook.picture("scope-light", scope.cell)
    await notebook.theme("JupyterLab Dark")
    await notebook.picture("scope-dark", scope.cell)
    await notebook.picture("log-dark", await notebook.cell(LOG))
    await scope.cell.page.set_viewport_size({"width": 800, "height": 900})
    for text in (SCOPE, LOG):
        cell = await notebook.cell(text)
        output = await cell.locator(".jp-OutputArea-output").first.element_handle()
        fits = "output => output.scrollWidth <= output.clientWidth"
        await scope.cell.page.wait_for_function(fits, arg=output)
    await notebook.picture("log-narrow", await notebook.cell(LOG))
    await notebook.picture("scope-narrow", await notebook.cell(SCOPE))
    await scope.cell.page.set_viewport_size({"width": 1400, "height": 1000})
    await notebook.theme("JupyterLab Light")


async def wait_for_ground(picture, level):
    """Wait until the corner of a plot is seen as a grey of this level, from 0 to 255."""
    patience = Patience(LIMIT_SECONDS)
    while True:
        seen = Image.open(io.BytesIO(await picture.screenshot())).convert("RGB")
        colour = seen.getpixel((3, seen.height - 3))
        if max(colour) == pytest.approx(level, abs=2) == min(colour):
            return
        assert not patience.is_over(), colour


async def test_a_plot_follows_the_theme_though_it_was_made_before(notebook):
    cell = await notebook.cell(PLOT)
    picture = cell.locator(".jp-RenderedImage img")
    await wait_for_ground(picture, 255)
    await notebook.picture("plot-light", cell)
    await notebook.theme("JupyterLab Dark")
    cell = await notebook.cell(PLOT)
    await wait_for_ground(picture, 17)
    await notebook.picture("plot-dark", cell)
    await notebook.theme("JupyterLab Light")
    assert await cell.locator(".jp-OutputArea-child:visible").count() == 1, "the style has no place"


async def sources(notebook):
    return [cell["source"] for cell in await notebook.cells()]


async def test_chords_go_to_jupyter_and_single_keys_do_not(notebook):
    before = await sources(notebook)
    log = await notebook.cell(LOG)
    for place in (log.locator("input[type=search]"), log.locator(".twistream-log-toggle").first):
        await notebook.cell(LOG)
        await place.focus()
        await notebook.save_by_a_key()
        for key in ("d", "d", "a", "0", "0"):
            await notebook.page.keyboard.press(key)
    await log.locator("input[type=search]").fill("")
    assert await sources(notebook) == before
    number = await notebook.number_of(LOG)
    for place in ("input[type=search]", ".twistream-log-toggle"):
        log = await notebook.cell(LOG)
        count = (await notebook.cells())[number]["count"]
        await log.locator(place).first.focus()
        await notebook.page.keyboard.press("Shift+Enter")
        await notebook.page.wait_for_function(
            "([number, count]) => window.jupyterapp.shell.currentWidget.content.widgets[number]"
            ".model.executionCount > count",
            arg=[number, count],
        )
        await notebook.wait_until_idle()


async def test_a_click_gives_the_focus_back_and_a_key_keeps_it(notebook):
    log = await notebook.cell(LOG)
    toggle = log.locator(".twistream-log-toggle:visible").first
    has_focus = "element => element.getRootNode().activeElement === element"
    await toggle.click()
    await expect(toggle).not_to_be_focused()
    in_the_notebook = "() => !!document.activeElement.closest('.jp-Notebook')"
    await notebook.page.wait_for_function(in_the_notebook)
    is_open = await toggle.get_attribute("aria-expanded")
    await toggle.focus()
    await notebook.page.keyboard.press("Enter")
    await expect(toggle).not_to_have_attribute("aria-expanded", is_open)
    assert await toggle.evaluate(has_focus)
    await notebook.page.keyboard.press("ArrowRight")
    await expect(toggle).to_have_attribute("aria-expanded", "true")
    await notebook.page.keyboard.press("ArrowLeft")
    await expect(toggle).to_have_attribute("aria-expanded", "false")
    await notebook.page.keyboard.press("ArrowDown")
    below = log.locator(".twistream-log-toggle:visible").nth(1)
    await expect(below).to_be_focused()


async def test_the_log_shows_filters_and_saves(notebook):
    # Too short for `play` to refuse it.
    await notebook.ask("import base64; stream.play(base64.b64encode(tone.payload[:42]))")
    await notebook.ask("stream.mark('<i>end</i>').result(30)")
    log = await notebook.cell(LOG)
    rows = log.locator(".twistream-log-list > li:visible")
    await expect(log.get_by_role("log")).to_contain_text("<i>end</i>")
    await expect(rows.first).to_contain_text('"event":"start"')
    await expect(log.locator(".twistream-log-media")).to_contain_text(re.compile(r"\d+ messages"))
    await notebook.picture("log-light", log)
    await log.locator("select").select_option(label="Objected to")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("base64")
    assert (await rows.locator("mark").text_content()).startswith('"payload"')
    await expect(log.locator(".twistream-log-problems > li").first).to_contain_text("✗ error")
    await notebook.picture("log-objected", log)
    await log.locator("select").select_option(label="From Twilio")
    await log.get_by_label("containing").fill('"digit":"5"')
    await expect(rows).to_have_count(1)
    await log.get_by_label("containing").fill("")
    await log.locator("select").select_option(label="Everything")
    marks = rows.filter(has_text="progress mark")
    await expect(marks).to_have_count(0)
    await log.get_by_label("Progress marks").check()
    await expect(marks).not_to_have_count(0)
    await log.get_by_label("Progress marks").uncheck()
    await log.get_by_role("button", name="Save capture").click()
    saved = log.locator(".twistream-log-saved")
    await expect(saved).to_contain_text(re.compile(r"Saved \d+ messages as /.*\.jsonl"))
    path = re.findall(r" as (/\S+\.jsonl)", await saved.inner_text())[0]
    assert "Capture(MZ" in await notebook.ask(f"print(kit.Capture.load({path!r}))")


async def test_a_page_that_is_loaded_again_and_a_cell_that_is_run_again_go_on(notebook):
    await notebook.run_cell(SCOPE)
    scope = Scope(await notebook.cell(SCOPE))
    await notebook.ask("playing = stream.play(tone)")
    await scope.wait_for(YOURS, *LOWER, least=0.2)
    await expect(scope.cell.locator("canvas")).to_have_count(1)
    await notebook.ask("call.hang_up().result(30)")
    await expect(scope.cell.get_by_role("status")).to_contain_text(
        "Ended: the call was ended by a request to Twilio's REST API"
    )
    log = await notebook.cell(LOG)
    await expect(log.get_by_role("log")).to_contain_text('"event":"stop"')
    await notebook.picture("scope-ended", scope.cell)


SHOWN = re.compile(r"([\d.]+) to ([\d.]+) s of ([\d.]+) s")


async def shown(scope):
    """The part of the call that the scope shows: begin, end and whole length."""
    words = await scope.cell.locator(".twistream-scope-shown").text_content()
    return tuple(map(float, SHOWN.search(words).groups()))


async def wait_until_shown(scope, is_wanted):
    patience = Patience(LIMIT_SECONDS)
    while not is_wanted(*(await shown(scope))):
        assert not patience.is_over(), await shown(scope)
        await scope.cell.page.wait_for_timeout(50)


async def test_after_the_call_there_is_a_way_back_over_the_whole_of_it(notebook):
    scope = Scope(await notebook.cell(SCOPE))
    page = scope.cell.page
    await expect(scope.cell.locator(".twistream-scope-bar")).to_be_visible()
    await expect(scope.cell.locator(".twistream-scope-words")).to_contain_text("s of call")
    await wait_until_shown(scope, lambda b, e, w: (b, e) == (0, w))
    await scope.wait_for(YOURS, *LOWER, least=0.001)
    zoom_in = scope.cell.get_by_role("button", name="Zoom in")
    await zoom_in.click()
    await wait_until_shown(scope, lambda b, e, w: e - b == pytest.approx(w / 2, abs=0.11))
    await zoom_in.click()
    stage = scope.cell.locator(".twistream-scope-stage")
    await stage.focus()
    await page.keyboard.press("Home")
    await wait_until_shown(scope, lambda b, _e, _w: b == 0)
    await page.keyboard.press("ArrowRight")
    await wait_until_shown(scope, lambda b, _e, _w: b > 0)
    at_rest, *_ = await shown(scope)
    box = await scope.canvas.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.move(*middle)
    await page.mouse.wheel(0, -200)  # scrolls the page
    assert (await shown(scope))[0] == at_rest
    await scope.canvas.scroll_into_view_if_needed()
    box = await scope.canvas.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.move(*middle)
    await page.mouse.down()
    await page.mouse.move(middle[0] - box["width"] / 4, middle[1], steps=4)
    await page.mouse.up()
    await wait_until_shown(scope, lambda b, _e, _w: b > at_rest + 0.5)
    begin, end, _ = await shown(scope)
    await page.mouse.move(*middle)
    await page.keyboard.down("Control")
    await page.mouse.wheel(0, -200)
    await page.keyboard.up("Control")
    await wait_until_shown(scope, lambda b, e, _w: e - b < end - begin - 0.1)
    await notebook.picture("scope-zoomed", scope.cell)
    # Two fingers move apart.
    begin, end, _ = await shown(scope)
    fingers = await page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 30), ("touchMove", 60), ("touchMove", 90), ("touchEnd", 0)):
        points = [
            {"x": middle[0] + side * apart, "y": middle[1], "id": number}
            for number, side in enumerate((-1, 1))
        ]
        touched = [] if kind == "touchEnd" else points
        await fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})
    await wait_until_shown(scope, lambda b, e, _w: e - b < (end - begin) / 2)
    begin, *_ = await shown(scope)
    # One finger moves it back.
    for kind, right in (("touchStart", 0), ("touchMove", 60), ("touchMove", 120), ("touchEnd", 0)):
        touched = [{"x": middle[0] + right, "y": middle[1], "id": 5}]
        points = [] if kind == "touchEnd" else touched
        await fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await wait_until_shown(scope, lambda b, _e, _w: b < begin)
    await page.set_viewport_size({"width": 900, "height": 900})
    await notebook.theme("JupyterLab Dark")
    scope = Scope(await notebook.cell(SCOPE))
    await scope.cell.get_by_role("button", name="Whole call").click()
    await wait_until_shown(scope, lambda b, e, w: (b, e) == (0, w))
    await notebook.picture("scope-whole-dark-900", scope.cell)
    await notebook.picture("log-dark-900", await notebook.cell(LOG))
    await page.set_viewport_size({"width": 1400, "height": 1000})
    await notebook.theme("JupyterLab Light")
