"""Every notebook after *Run All*: what is heard, who can read it, what stays without a kernel."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import TimeoutError as PageTimeout

from support.accessibility import OF_A_WHOLE_PAGE, THEMES, describe_grave, find_violations
from support.notebook_page import NotebookPage, show_all
from support.sound_match import tenths_heard
from support.waiting import LIMIT_SECONDS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
]

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PLAYERS = (Path(__file__).parents[1] / "support" / "players.js").read_text(encoding="utf-8")

RUN_SECONDS = 140
MOST_PLAYERS, MOST_SECONDS_PLAYED = 3, 2.0
MOST_PLAYINGS = 6
"""So often a sound is played until each part of it was heard: a busy machine drops some."""

NOT_YET_LED = 0.4
"""So much of the first sound is played, in seconds, before a page listens to its players."""

SHOWN = ".jp-Notebook .jp-OutputArea-output"
WHOLE = {"include": [[".jp-Notebook"]]}
STRUCTURE = "table, ul, ol, button, input, select, a, svg, [role], [aria-label], [tabindex]"
"""To outputs without any of these, as plain text, pictures and players, no rule of axe applies."""

OF_JUPYTER = ".jp-RenderedImage img"
"""JupyterLab gives the picture of an output no alternative text, whatever the output says."""

WIDGET = "application/vnd.jupyter.widget-view+json"
REST = ".twistream-last-picture"

PLAYER_HAS_PLAYED = "([player, seconds]) => player.ended || player.currentTime >= seconds"
TO_ITS_BEGINNING = """player => player.currentTime === 0 || new Promise(resolve => {
    player.addEventListener('seeked', resolve, { once: true });
    setTimeout(resolve, 5000);  // what it plays from elsewhere is seen in what is heard
    player.currentTime = 0;
})"""
SAVE = "() => window.jupyterapp.shell.currentWidget.context.save()"
IS_TRUSTED = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code').every(cell => cell.trusted)"""
HAS_NO_KERNEL = "() => !window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel"
WIDER = """(all, mayScroll) => all
    .filter(each => !(mayScroll && each.querySelector('th:nth-child(6)')))
    .map(each => [each.scrollWidth - each.clientWidth, each.innerText.slice(0, 80)])
    .filter(([more]) => more > 1)"""
PICTURES = """rests => rests.map(rest => ({
    text: rest.innerText.trim(),
    pictures: [...rest.querySelectorAll('img, svg, audio, table')]
        .filter(each => each.getBoundingClientRect().width > 40).length,
}))"""

ALL_HAVE_PICTURES = f"""rest => ({PICTURES})([...document.querySelectorAll(rest)])
    .every(({{ text, pictures }}) => text && pictures)"""
"""An image has no size before it is decoded."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened(lab, browser, pictures):
    """All of them, run side by side: their calls take as long as they sound."""
    context = await browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(LIMIT_SECONDS * 1000)
    await context.add_init_script(PLAYERS)
    notebooks = {}
    for name in NOTEBOOKS:
        notebook = NotebookPage(await context.new_page(), lab.address, pictures)
        await notebook.open(f"notebooks/{name}.ipynb")
        notebooks[name] = notebook
    await asyncio.gather(*(each.run_all(RUN_SECONDS) for each in notebooks.values()))
    for notebook in notebooks.values():
        assert notebook.complaints == []
    yield notebooks
    await context.close()


@pytest_asyncio.fixture(params=NOTEBOOKS, loop_scope="session")
async def notebook(request, opened):
    """One of them, in front of the others."""
    await opened[request.param].page.bring_to_front()
    return opened[request.param]


def is_audible(samples) -> bool:
    """Whether there is sound in a third of it: enough to be compared."""
    return np.mean(np.abs(samples) > 0.02) > 1 / 3


async def test_its_players_give_their_sound_to_the_loudspeaker(notebook):
    page = notebook.page
    await notebook.show_all()
    players = page.locator(f"{SHOWN} audio[controls][src^='data:']:visible")
    shares = []
    for number in range(min(MOST_PLAYERS, await players.count())):
        player = await players.nth(number).element_handle()
        sound = await player.get_attribute("src")
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound.split(",")[1])))
        expected = samples if samples.ndim == 1 else samples.mean(axis=1)
        if not is_audible(expected[: int(rate * MOST_SECONDS_PLAYED)]):
            continue
        played = expected[int(rate * NOT_YET_LED) : int(rate * (MOST_SECONDS_PLAYED - 0.2))]
        was_heard: np.ndarray | bool = False
        for _ in range(MOST_PLAYINGS):
            heard, rate_heard = await play(page, player)
            was_heard = was_heard | tenths_heard(played, heard, rate_heard, of=rate)
            if np.all(was_heard):
                break
        shares.append(float(np.mean(was_heard)))
    await page.set_viewport_size({"width": 1400, "height": 1000})
    assert shares or await players.count() == 0, "no player has a sound"
    assert min(shares, default=1.0) >= 0.8, shares


async def play(page, player) -> tuple[np.ndarray, int]:
    """Press *play* in a player, from its beginning; return what was heard and its sample rate."""
    box = await player.bounding_box()
    place = {"x": 28, "y": box["height"] / 2}  # of the button *play* in it
    await player.evaluate(TO_ITS_BEGINNING)
    await page.evaluate("() => window.players.forget()")
    await player.click(position=place)
    await page.wait_for_function(PLAYER_HAS_PLAYED, arg=[player, MOST_SECONDS_PLAYED])
    if not await player.evaluate("player => player.ended"):
        await player.click(position=place)
    kept = await page.evaluate("() => window.players.read()")
    return np.frombuffer(base64.b64decode(kept["samples"]), np.float32), kept["rate"]


async def test_axe_finds_nothing_serious_in_what_it_shows(notebook):
    page = notebook.page
    await notebook.show_all()
    found = []
    for theme in THEMES:
        await notebook.theme(theme)
        await find_violations(page, WHOLE, rules=OF_A_WHOLE_PAGE)  # axe looks at the page at all
        has_structure = await page.locator(f"{SHOWN} :is({STRUCTURE}):visible").count()
        violations = await find_violations(
            page,
            {"include": [[SHOWN]], "exclude": [[OF_JUPYTER]]},
            least=5 if has_structure else 0,
            rules=OF_A_WHOLE_PAGE,
        )
        found += describe_grave(violations, of=f"{theme}: ")
    await page.set_viewport_size({"width": 1400, "height": 1000})
    assert found == []


@pytest.mark.parametrize("width", [900, 1400])
async def test_no_result_of_it_is_wider_than_the_page(
    notebook, request, pictures, pictures_are_wanted, width
):
    """But for tables of many columns on a narrow page, which scroll."""
    await notebook.show_all(width)
    name = request.node.callspec.params["notebook"]
    for theme in THEMES if pictures_are_wanted else ():
        await notebook.theme(theme)
        await notebook.page.screenshot(path=pictures / f"{name}-{width}-{theme.split()[1]}.png")
    wide = await notebook.page.locator(SHOWN).evaluate_all(WIDER, width < 1000)
    await notebook.page.set_viewport_size({"width": 1400, "height": 1000})
    assert wide == []


async def saved(notebook) -> None:
    """Save it as it stands."""
    await notebook.page.evaluate(SAVE)


@pytest.mark.parametrize("is_own", [True, False], ids=["one's own", "somebody else's"])
async def test_its_pictures_and_figures_stay_without_a_kernel(
    lab, notebook, request, pictures, pictures_are_wanted, is_own
):
    """JupyterLab takes every SVG from a notebook that it has not run itself; an image stays."""
    await saved(notebook)
    name = request.node.callspec.params["notebook"]
    file = lab.root / "notebooks" / f"{name}.ipynb"
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    n_widgets = sum(WIDGET in o.get("data", {}) for c in cells for o in c.get("outputs", []))
    path = f"notebooks/{name}.ipynb"
    if not is_own:
        path = f"notebooks/of_somebody_{name}.ipynb"
        changed = json.loads(file.read_text(encoding="utf-8"))
        changed["cells"][0]["source"] += "\n"  # JupyterLab knows by its hash what it has run
        (lab.root / path).write_text(json.dumps(changed), encoding="utf-8")
    page = await notebook.page.context.new_page()
    try:
        nothing = {"default": "", "kernelspecs": {}}
        await page.route("**/api/kernelspecs*", lambda route: route.fulfill(json=nothing))
        await page.route("**/api/sessions*", lambda route: route.fulfill(json=[]))
        await page.goto(lab.address(path))
        await page.get_by_role("button", name="Select Kernel").click()
        await page.locator(".jp-RenderedMarkdown h1").first.wait_for()
        await page.wait_for_function(HAS_NO_KERNEL)
        await show_all(page, 1400)
        trusted = await page.evaluate(IS_TRUSTED)
        rests = page.locator(f".jp-Notebook {REST}")
        if pictures_are_wanted:
            await page.screenshot(path=pictures / f"reopened-{path[10:-6]}.png")
        with contextlib.suppress(PageTimeout):  # what is missing is said below
            await page.wait_for_function(ALL_HAVE_PICTURES, arg=REST)
        shown = await rests.evaluate_all(PICTURES)
        text = await page.locator(".jp-Notebook").inner_text()
    finally:
        await page.close()
    assert trusted is is_own
    assert [each for each in shown if not each["text"] or not each["pictures"]] == []
    assert len(shown) >= (1 if n_widgets else 0), f"{n_widgets} widgets, and no picture"
    assert "123456789" not in text.replace("\n", ""), "the words of a drawing without the drawing"


async def test_its_static_form_shows_pictures_and_figures(
    lab, notebook, request, pictures, pictures_are_wanted
):
    from nbconvert import HTMLExporter

    await saved(notebook)
    name = request.node.callspec.params["notebook"]
    html, _ = HTMLExporter().from_filename(str(lab.root / "notebooks" / f"{name}.ipynb"))
    file = lab.home / f"{name}.html"
    file.write_text(html, encoding="utf-8")
    page = await notebook.page.context.new_page()
    try:
        # The page asks for scripts from afar, which there may not be.
        await page.route("https://**", lambda route: route.abort())
        await page.goto(file.as_uri())
        with contextlib.suppress(PageTimeout):  # what is missing is said below
            await page.wait_for_function(ALL_HAVE_PICTURES, arg=REST)
        shown = await page.locator(REST).evaluate_all(PICTURES)
        broken = await page.locator("img").evaluate_all(
            "all => all.filter(each => !each.naturalWidth).map(each => each.outerHTML.slice(0, 99))"
        )
        if pictures_are_wanted:
            await page.screenshot(path=pictures / f"static-{name}.png", full_page=True)
    finally:
        await page.close()
    assert broken == []
    assert [each for each in shown if not each["pictures"] or not each["text"]] == []
