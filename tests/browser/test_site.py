"""The built site in a Chromium, from the file system: nothing from elsewhere, search, sound, axe.

`make docs` builds it; the continuous integration does so before these tests.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.accessibility import describe_grave, find_violations

SITE = Path(__file__).parents[2] / "build" / "site"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="session"),
]

LOOKED_AT = {
    "index": "all",
    "notebooks/tutorial": "all",
    "how-to/nothing-is-heard": "two",
    "codes/index": "two",
    "codes/31951": "two",
    "api/the-server-its-streams-and-its-public-address": "two",
    "PROTOCOL": "two",
    "ARCHITECTURE": "two",
    "figures": "two",
}
"""A page of each kind, and in which of the ways below it is looked at."""

WAYS = (
    ("desktop", "light"), ("telephone", "dark"), ("telephone", "light"), ("desktop", "dark"),
)  # fmt: skip

SIZES = {"desktop": (1280, 900), "telephone": (400, 800)}

LOUDEST = """async address => {
    const sound = await (await fetch(address)).arrayBuffer();
    const decoded = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(sound);
    const samples = decoded.getChannelData(0);
    return samples.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
}"""
"""Decode a sound as a player does, and return its loudest sample, 0 to 1."""


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the built site."""
    if not (SITE / "index.html").is_file():
        reason = "there is no site in build/site; `make docs` builds it"
        if os.environ.get("TWISTREAM_REQUIRE_SITE"):
            pytest.fail(f"{reason}, and TWISTREAM_REQUIRE_SITE is set")
        pytest.skip(reason)
    return SITE


@pytest_asyncio.fixture(loop_scope="session")
async def open_site(site, browser):
    """Open pages of the site from the file system; at the end, nothing else was asked for."""
    contexts, refused, errors = [], [], []

    async def open_page(name, size="desktop", scheme="light"):
        width, height = SIZES[size]
        context = await browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        await context.route(re.compile(r"^(?!file:|data:|blob:)"), refuse)
        page = await context.new_page()
        page.on("pageerror", lambda error: errors.append(f"{name}: {error}"))
        await page.goto((site / f"{name}.html").as_uri())
        return page

    async def refuse(route):
        refused.append(route.request.url)
        await route.abort()

    yield open_page
    for context in contexts:
        await context.close()
    assert refused == []
    assert errors == []


async def test_no_page_asks_for_anything_from_elsewhere(site, open_site):
    page = await open_site("index")
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    pages = [name for name in names if name != "404.html"]  # it is served at any address
    assert len(pages) > 190
    for name in pages:
        await page.goto((site / name).as_uri())
        # Styles and scripts have come: the theme marks the page once its script runs.
        await expect(page.locator("html.js")).to_have_count(1)


async def test_a_request_that_leaves_the_machine_would_be_noticed(browser):
    asked = []

    async def refuse(route):
        asked.append(route.request.url)
        await route.abort()

    context = await browser.new_context()
    await context.route(re.compile(r"^(?!file:|data:|blob:)"), refuse)
    page = await context.new_page()
    await page.set_content('<img src="https://example.com/a.png">')
    await context.close()
    assert asked == ["https://example.com/a.png"]


async def look_for(page, words):
    field = page.locator(".md-search__input")
    await field.click()
    await field.fill("")
    await field.press_sequentially(words)


@pytest.mark.parametrize("size", SIZES)
async def test_search_finds_a_code_and_leads_to_its_page(open_site, size):
    page = await open_site("how-to/interrupt", size)
    if size == "telephone":
        await page.locator("label.md-header__button[for=__search]").click()
    await look_for(page, "31951")
    found = page.locator(".md-search-result__item a[href*='codes/31951.html']").first
    await found.click()
    await expect(page.locator("h1")).to_contain_text("31951: Stream - Protocol - Invalid Message")


async def test_search_finds_public_names_and_notebooks(open_site):
    page = await open_site("index")
    for words, address in (("VoiceTrigger", "api/"), ("companding", "notebooks/how_sound")):
        await look_for(page, words)
        found = page.locator(f".md-search-result__item a[href*='{address}']")
        await expect(found.first).to_be_visible()


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("index", 1),
        ("notebooks/tutorial", 3),
        ("notebooks/hear_the_caller", 3),
        ("notebooks/how_sound_becomes_a_call", 2),
        ("notebooks/why_nothing_is_heard", 8),
        ("notebooks/measure_a_conversation", 5),
    ],
)
async def test_the_sounds_of_a_page_can_be_heard(open_site, name, least):
    page = await open_site(name)
    addresses = await page.locator("audio").evaluate_all(
        "players => players.map(each => each.src || each.querySelector('source')?.src || '')"
    )
    inside = [address for address in addresses if address.startswith("data:")]
    loudest = [await page.evaluate(LOUDEST, address) for address in inside]
    assert len([each for each in loudest if each > 0.05]) >= least, loudest


async def test_the_sample_of_the_first_page_is_a_file_that_plays(open_site):
    page = await open_site("index")
    player = page.locator("audio[src$='greeting.wav']")
    await player.evaluate("each => { each.preload = 'metadata'; each.load(); }")
    await page.wait_for_function(
        "document.querySelector(\"audio[src$='greeting.wav']\").duration > 4"
    )


async def test_the_chart_of_layers_is_drawn(open_site):
    page = await open_site("ARCHITECTURE")
    chart = page.locator("svg.layers")
    assert await chart.locator("rect").count() == await chart.locator("text").count() > 10
    assert "simulator" in await chart.locator("text").all_text_contents()


async def test_every_notebook_shows_fresh_outputs(site, open_site):
    for path in sorted((site / "notebooks").glob("*.html")):
        if path.name == "index.html":
            continue
        page = await open_site(f"notebooks/{path.stem}")
        assert await page.locator(".notebook-outputs").count() > 5
        # Clean notebooks in the repository have port 40000 in place of each that was used.
        text = await page.locator(".md-content").inner_text()
        assert "127.0.0.1:40000" not in text, "the site was built with NOTEBOOKS=kept"


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [(name, *way) for name, much in LOOKED_AT.items() for way in WAYS[: 4 if much == "all" else 2]],
)
async def test_a_page_is_accessible_and_no_wider_than_its_window(
    open_site, pictures, name, size, scheme
):
    page = await open_site(name, size, scheme)
    await page.screenshot(path=pictures / f"site-{name.replace('/', '-')}-{size}-{scheme}.png")
    wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0
    objections = describe_grave(await find_violations(page, least=15))
    assert objections == [], "\n".join(objections[:12])
