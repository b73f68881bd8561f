"""A plot in HTML that nbconvert made: its theme is that of the page, else that of the system."""

from __future__ import annotations

import io
from types import SimpleNamespace

import IPython
import nbformat
import pytest
from nbconvert import HTMLExporter
from PIL import Image

from twistream_kit.audio.clip import Clip
from twistream_kit.notebook.plots.clip import plot_waveform

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def executed():
    """A notebook with one plot, as a kernel would have left it."""
    outputs = []

    def publish(data):
        outputs.append(nbformat.v4.new_output("display_data", data))

    shell = SimpleNamespace(display_pub=SimpleNamespace(publish=publish), kernel=object())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IPython, "get_ipython", lambda: shell)
        plot_waveform(Clip.tone(440, 0.5))._ipython_display_()
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("plot", outputs=outputs)])


@pytest.mark.parametrize(
    ("template", "theme", "system", "is_dark"),
    [
        ("lab", "light", "light", False),
        ("lab", "light", "dark", False),
        ("lab", "dark", "light", True),
        ("classic", "light", "light", False),
        ("classic", "light", "dark", True),
    ],
)
async def test_an_exported_plot(browser, executed, template, theme, system, is_dark):
    html, _ = HTMLExporter(template_name=template, theme=theme).from_notebook_node(executed)
    page = await browser.new_page(color_scheme=system)
    await page.route("**/*", lambda route: route.abort())  # MathJax and the like
    await page.set_content(html, wait_until="domcontentloaded")
    picture = page.locator("img")
    seen = Image.open(io.BytesIO(await picture.screenshot())).convert("RGB")
    ground = seen.getpixel((3, seen.height - 3))
    assert ground == ((17, 17, 17) if is_dark else (255, 255, 255))
    await page.emulate_media(media="print")
    assert await picture.evaluate("img => getComputedStyle(img).filter") == "none"
    await page.close()


async def test_a_page_that_removes_the_style_shows_a_plot_on_white(browser, executed):
    picture = executed.cells[0].outputs[1]
    bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("plot", outputs=[picture])])
    html, _ = HTMLExporter(template_name="lab", theme="dark").from_notebook_node(bare)
    page = await browser.new_page(color_scheme="dark")
    await page.route("**/*", lambda route: route.abort())
    await page.set_content(html, wait_until="domcontentloaded")
    seen = Image.open(io.BytesIO(await page.locator("img").screenshot())).convert("RGB")
    assert seen.getpixel((3, seen.height - 3)) == (255, 255, 255)
    await page.close()
