"""One open notebook: run its cells, press what it shows, ask its kernel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from support.accessibility import TWO_FRAMES
from support.waiting import LIMIT_SECONDS, Patience

CELL_SECONDS = 60

RUN_WITHOUT_WAITING = "name => { window.jupyterapp.commands.execute(name); return null; }"

CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => ({
    source: cell.model.sharedModel.getSource(),
    kind: cell.model.type,
    tags: cell.model.getMetadata('tags') || [],
    state: cell.model.executionState || null,
    count: cell.model.executionCount || null,
    outputs: cell.model.outputs ? cell.model.outputs.toJSON() : [],
}))"""

ALL_RAN = """before => {
    const models = window.jupyterapp.shell.currentWidget.content.widgets
        .map(cell => cell.model)
        .filter(model => model.type === 'code' && model.sharedModel.getSource().trim());
    const ended = model => model.executionCount > before && model.executionState === 'idle';
    const failed = ({ outputs }) => Array.from({ length: outputs.length }, (_, i) => outputs.get(i))
        .some(output => output.type === 'error');
    const stopped = model => ended(model)
        && !(model.getMetadata('tags') || []).includes('raises-exception') && failed(model);
    return models.every(ended) || models.some(stopped);
}"""

FOLLOWS_THE_WINDOW = """() => {
    const { right, bottom } = window.jupyterapp.shell.currentWidget.node.getBoundingClientRect();
    const isNear = (edge, end) => edge <= end + 1 && end - edge < 100;
    return isNear(right, innerWidth) && isNear(bottom, innerHeight);
}"""
"""JupyterLab gives its parts their sizes by a script, some time after the window has changed."""

TALL = 16_000
"""So high, in pixels, that no cell is beyond the edge of the page, where it would not be drawn."""

DRAWN_SECONDS = 120
"""How long a page may take to draw all of a notebook, beside six others on a busy machine."""

ALL_IS_DRAWN = """() => {
    const { content } = window.jupyterapp.shell.currentWidget;
    const isDrawn = cell => {
        if (cell.isPlaceholder?.() || !cell.isAttached) return false;
        if (cell.model.type === 'markdown') return cell.rendered;
        if (cell.model.type !== 'code') return true;
        const outputs = Array.from(
            { length: cell.outputArea.model.length }, (_, i) => cell.outputArea.model.get(i));
        const shown = cell.outputArea.node.querySelectorAll(':scope > .jp-OutputArea-child');
        return shown.length >= outputs.length && [...shown].every(each =>
            each.querySelector('.jp-OutputArea-output')?.childNodes.length
            || each.innerText.trim() === '' && !each.querySelector('.jp-mod-loading'));
    };
    return content.widgets.length > 0 && content.widgets.every(isDrawn);
}"""
"""JupyterLab draws the cells of a notebook one after the other, as the page has time for it."""

READ_PLAYER = """player => new Promise((done, failed) => {
    const tell = () => player.error
        ? failed(new Error(player.error.message)) : done(player.duration || null);
    if (player.readyState >= 1) return tell();
    player.onloadedmetadata = player.onerror = tell;
    player.load();
    setTimeout(() => done(null), 3000);
})"""
"""The length of a player in seconds, or null after a while: one that the page has replaced, or that
Chromium has put off, never tells."""

WIDER = """() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap(cell =>
    [...cell.node.querySelectorAll('.jp-OutputArea-output')]
        .map(each => [each.scrollWidth - each.clientWidth, cell.model.sharedModel.getSource()]))"""
"""Of each output, by how many pixels it is wider than its place, and the source of its cell."""

NUMBER_OF = """text => window.jupyterapp.shell.currentWidget.content.widgets.findIndex(
    ({ model }) => model.type === 'code' && model.sharedModel.getSource().includes(text))"""

STATE_OF = """number => window.jupyterapp.shell.currentWidget.content.widgets[number]
    .model.executionState"""

ASK_THE_KERNEL = """async code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const asked = kernel.requestExecute({code, store_history: false});
    let text = '';
    asked.onIOPub = message => {
        if (message.header.msg_type === 'stream') text += message.content.text;
        if (message.header.msg_type === 'error')
            text += message.content.ename + ': ' + message.content.evalue;
    };
    const reply = await asked.done;
    return [reply.content.status, text];
}"""

KERNEL_IS_READY = """async () => {
    const context = window.jupyterapp.shell.currentWidget.sessionContext;
    const ask = () => context.session?.kernel?.requestKernelInfo().catch(() => {});
    const again = setInterval(ask, 4000);
    try {
        await context.ready;
        await context.session.kernel.info;
    } finally {
        clearInterval(again);
    }
}"""
"""Now and then JupyterLab asks a starting kernel before it listens, and waits for ever."""

RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()"

SPLASH = "#jupyterlab-splash"
"""Lies over the page while its theme changes: colours behind it cannot be judged."""

DARK = 'body[data-jp-theme-light="false"]'

REMEMBER_CLICKS = """() => {
    const listens = window.pressed;
    window.pressed = {};
    if (listens) return;
    document.addEventListener('mousedown', event => {
        const button = event.target.closest('button');
        if (button) window.pressed[button.innerText.trim()] = Date.now() / 1000;
    }, true);
}"""


OPEN = """async path => {
    const { commands, serviceManager } = window.jupyterapp;
    await serviceManager.kernelspecs.refreshSpecs();  // some were written since the page was loaded
    await commands.execute('docmanager:open', { path });
}"""

IS_CURRENT = "path => window.jupyterapp.shell.currentWidget?.context?.path === path"

END_THE_KERNEL = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.shutdown()"

LEAVE = """() => {
    const notebook = window.jupyterapp.shell.currentWidget;
    notebook.context.model.dirty = false;
    notebook.dispose();
}"""

IS_SAVED = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"
MAKE_DIRTY = "() => { window.jupyterapp.shell.currentWidget.context.model.dirty = true; }"

IS_SILENT = "() => (window.loudspeaker?.contexts ?? []).every(each => each.state === 'closed')"


OF_JUPYTERLAB = ("Could not restore the debugger state",)
"""How complaints begin that JupyterLab makes of itself: here, of a notebook left while it opens."""

OF_A_SOCKET_THAT_IS_GONE = re.compile(r"WebSocket connection to 'ws://127\.0\.0\.1:.*REFUSED")
"""Of a widget that a busy page draws only after a cell has said kit.stop(): its socket is gone, so
it goes on over the kernel.  No page can keep Chromium from writing that to the console."""

OF_A_LATE_MODULE = "[anywidget] Failed to initialize model."
"""Of a module that a busy page imported later than two seconds after its model was made.

It is anywidget's, and cannot be caught by a widget; the widget hears its kernel all the same
(`tests/browser/test_late_modules.py`)."""


class NotebookPage:
    """One notebook, open in a browser page, with a kernel of its own.

    Args:
        page: An empty page of the browser, or one that another notebook has left.
        address: Tells the address of a notebook from its path.
        pictures: The folder for screenshots.
        known: Uncaught errors that the front end makes of itself.
    """

    def __init__(self, page, address, pictures: Path, known: Sequence[str] = ()) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._address, self._pictures = address, pictures
        self._known = {OF_A_LATE_MODULE, *known}
        self._listeners = {"console": self._hear, "pageerror": self._note}
        for event, listener in self._listeners.items():
            page.on(event, listener)

    def _hear(self, message) -> None:
        is_known = message.text.startswith(OF_JUPYTERLAB)
        is_known = is_known or OF_A_SOCKET_THAT_IS_GONE.match(message.text)
        if message.type == "error" and not is_known:
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _note(self, error) -> None:
        if str(error) not in self._known:
            self.complaints.append(f"uncaught: {error}")

    async def open(self, path: str) -> None:
        """Open a notebook and wait until its kernel can be used."""
        if self.page.url == "about:blank":
            await self.page.goto(self._address(path))
        else:
            await self.page.evaluate(OPEN, path)
            await self.page.wait_for_function(IS_CURRENT, arg=path)
        idle = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Toolbar-kernelStatus, .jp-Notebook-cell"
        await self.page.locator(idle).first.wait_for(timeout=30_000)
        await self._wait_for_kernel()
        await self.page.evaluate(REMEMBER_CLICKS)

    async def _wait_for_kernel(self) -> None:
        """Wait for the kernel's first answer; restart one that never gives it."""
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await self.page.evaluate(KERNEL_IS_READY)
        except TimeoutError:
            async with asyncio.timeout(2 * LIMIT_SECONDS):
                await self.page.evaluate(RESTART)
                await self.page.evaluate(KERNEL_IS_READY)

    async def close(self) -> None:
        """End the kernel and close the page."""
        await self.page.evaluate(END_THE_KERNEL)
        await self.page.close()

    async def leave(self) -> None:
        """End the kernel and close the notebook; its page is as a new one."""
        await self.page.evaluate(END_THE_KERNEL)
        await self.page.evaluate(LEAVE)
        await self.page.wait_for_function(IS_SILENT)
        await self.page.evaluate("() => window.loudspeaker?.reset()")
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)

    async def save_by_a_key(self) -> None:
        """Press Ctrl+S where the focus is, and wait until that has saved the notebook.

        And made its checkpoint: until then JupyterLab ignores the next Ctrl+S without a word.
        """
        await self.page.evaluate(MAKE_DIRTY)
        async with self.page.expect_response(_is_a_checkpoint):
            await self.page.keyboard.press("Control+s")
        await self.page.wait_for_function(IS_SAVED)
        await self.page.evaluate(TWO_FRAMES)  # it takes in the answer

    async def cells(self) -> list[dict]:
        """Return all cells, with source, tags, state and outputs."""
        return await self.page.evaluate(CELLS)

    async def code_cells(self) -> list[dict]:
        return [cell for cell in await self.cells() if cell["kind"] == "code"]

    async def number_of(self, text: str) -> int:
        """Return the position of the first code cell that contains `text`."""
        number = await self.page.evaluate(NUMBER_OF, text)
        assert number >= 0, f"no code cell contains {text!r}"
        return number

    async def cell(self, text: str):
        """Return the first code cell that contains `text`, scrolled into view."""
        return await self.cell_at(await self.number_of(text))

    async def cell_at(self, number: int):
        """Return a cell by its position, scrolled into view."""
        await self._activate(number)
        found = self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{number}"]')
        await found.scroll_into_view_if_needed()
        return found

    async def _activate(self, number: int) -> None:
        await self.page.evaluate(
            "number => { const notebook = window.jupyterapp.shell.currentWidget.content;"
            " notebook.activeCellIndex = number; notebook.deselectAll(); }",
            number,
        )

    async def run_all(self, seconds: float = CELL_SECONDS) -> None:
        """Do what *Run All* does; wait for the last cell, or for an error that ends the run."""
        before = max((cell["count"] or 0 for cell in await self.code_cells()), default=0)
        await self.page.evaluate(RUN_WITHOUT_WAITING, "notebook:run-all-cells")
        # A look at each frame would keep the page from its work.
        await self.page.wait_for_function(ALL_RAN, arg=before, polling=100, timeout=seconds * 1000)

    async def run_up_to(self, text: str) -> None:
        """Run all cells up to and including the one that contains `text`."""
        await self._activate(await self.number_of(text))
        await self.page.evaluate(
            "() => window.jupyterapp.commands.execute('notebook:run-all-above')"
        )
        await self.run_cell(text)

    async def run_cell(self, text: str) -> None:
        """Run one cell and wait for its end."""
        await self._activate(await self.number_of(text))
        await self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")

    async def run_without_waiting(self, text: str) -> None:
        """Run one cell, and return as soon as the kernel is at it."""
        number = await self.number_of(text)
        await self._activate(number)
        await self.page.evaluate(RUN_WITHOUT_WAITING, "notebook:run-cell")
        await self.page.wait_for_function(
            "number => window.jupyterapp.shell.currentWidget.content.widgets[number]"
            ".model.executionState === 'running' && window.jupyterapp.shell.currentWidget"
            ".sessionContext.session.kernel.status === 'busy'",
            arg=number,
        )

    async def interrupt(self) -> None:
        """Interrupt the cell that runs, and wait for its end."""
        await self.page.evaluate(
            "() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')"
        )
        await self.wait_until_idle()

    async def wait_until_idle(self) -> None:
        """Wait until no cell runs."""
        await self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
            ".status === 'idle'"
        )

    async def is_running(self, text: str) -> bool:
        return await self.page.evaluate(STATE_OF, await self.number_of(text)) == "running"

    async def ask(self, code: str) -> str:
        """Run code in the kernel without a cell, and return what it printed."""
        status, text = await self.page.evaluate(ASK_THE_KERNEL, code)
        assert status == "ok", text
        return text.strip()

    async def until(self, expression: str) -> None:
        """Wait until an expression is true in the kernel, which pages and sockets tell later.

        Each look is a message of its own, so that the kernel can take those of widgets in between.
        """
        patience = Patience(LIMIT_SECONDS)
        while await self.ask(f"print(bool({expression}))") != "True":
            assert not patience.is_over(), f"in the kernel, this never became true: {expression}"
            await asyncio.sleep(0.02)  # sleeps: between two looks into another process

    async def pressed_at(self, name: str) -> float:
        """Return when the mouse pressed a button, in seconds since the epoch."""
        return await self.page.evaluate("name => window.pressed[name]", name)

    async def theme(self, name: str) -> None:
        """Change to ``JupyterLab Light`` or ``JupyterLab Dark``."""
        await self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
        )
        light = str(name.endswith("Light")).lower()
        await self.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached")
        await self.page.locator(SPLASH).wait_for(state="detached")

    async def picture(self, name: str, of=None) -> None:
        """Keep a screenshot, of the page or of one element."""
        await (of or self.page).screenshot(path=self._pictures / f"{name}.png")

    async def show_all(self, width: int = 1400) -> None:
        """Make the page so high that all of the notebook is drawn, and wait for that."""
        await show_all(self.page, width)

    async def assert_no_result_is_wider_than_the_page(self, picture: str = "") -> None:
        """Look at what each cell shows; with `picture`, take one of each in both themes, so named.

        A theme has colours of its own, and no other widths.
        """
        before = self.page.viewport_size
        await self.show_all(before["width"])
        found = await self.page.evaluate(WIDER)
        await self.page.set_viewport_size(before)
        assert found, "no cell shows anything"
        assert [each for each in found if each[0] > 1] == []
        for name in ("Dark", "Light") if picture else ():
            await self.theme(f"JupyterLab {name}")
            for number, cell in enumerate(await self.cells()):
                if cell["outputs"]:
                    shown = await self.cell_at(number)
                    await self.picture(f"{picture}-{name.lower()}-{number:02d}", shown)


async def resize(page, width: int, height: int) -> None:
    """Give a page another size, and wait until its notebook is laid out for it."""
    await page.set_viewport_size({"width": width, "height": height})
    await page.wait_for_function(FOLLOWS_THE_WINDOW)
    await page.evaluate(TWO_FRAMES)


async def show_all(page, width: int) -> None:
    """Make a page so high that all of its notebook is drawn, and wait for that."""
    await resize(page, width, TALL)
    await page.wait_for_function(ALL_IS_DRAWN, polling=200, timeout=DRAWN_SECONDS * 1000)
    await page.evaluate(TWO_FRAMES)  # laid out for that width


class Pages:
    """The pages of one context: a notebook is opened in one that another has left.

    JupyterLab takes four seconds of a core to load, and to open one more notebook a third of one.

    Args:
        context: Where new pages are made.
        address: Tells the address of a notebook from its path.
        pictures: The folder for screenshots.
    """

    def __init__(self, context, address, pictures: Path) -> None:
        self._context, self._address, self._pictures = context, address, pictures
        self._open: list[PageOfContext] = []
        self._left: dict[str, list] = {}

    async def open(self, path: str, script: str = "") -> NotebookPage:
        """Open a notebook; with `script`, its page has run that before anything of its own."""
        left = self._left.setdefault(script, [])
        if left:
            page = left.pop()
            await page.bring_to_front()
        else:
            page = await self._context.new_page()
            if script:
                await page.add_init_script(script)
        notebook = PageOfContext(page, self._address, self._pictures, left)
        self._open.append(notebook)
        await notebook.open(path)
        return notebook

    async def close(self) -> None:
        """Close what is open, and end its kernels."""
        for notebook in self._open:
            await notebook.close()
        await self._context.close()


class PageOfContext(NotebookPage):
    """A notebook that leaves its page to the next one; `left` takes the page then."""

    def __init__(self, page, address, pictures: Path, left: list) -> None:
        super().__init__(page, address, pictures)
        self._left, self._is_open, self._viewport = left, True, page.viewport_size

    async def close(self) -> None:
        """End the kernel, and leave the page, if it is open, to the next notebook."""
        if self._is_open and not self.page.is_closed():
            self._is_open = False
            await self.page.set_viewport_size(self._viewport)
            if await self.page.locator(DARK).count():
                await self.theme("JupyterLab Light")
            await self.leave()
            self._left.append(self.page)


def _is_a_checkpoint(response) -> bool:
    return response.request.method == "POST" and "/checkpoints" in response.url


def errors_of(cell: dict) -> list[str]:
    """Return the name and the text of each error that a cell shows."""
    return [
        f"{output['ename']}: {output['evalue']}"
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]


async def read_length(player) -> float:
    """Return the length of the sound that a player holds, in seconds, once Chromium has read it.

    Args:
        player: The locator of an ``<audio>``.
    """
    for _ in range(LIMIT_SECONDS // 3 * 2):  # twice the limit, as each look takes three seconds
        if (seconds := await player.evaluate(READ_PLAYER)) is not None:
            return seconds
    raise AssertionError("a player holds no sound that Chromium can read")
