"""One open notebook: run its cells, press what it shows, ask its kernel."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.waiting import LIMIT_SECONDS

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
    const stopped = model => ended(model)
        && !(model.getMetadata('tags') || []).includes('raises-exception')
        && model.outputs.toJSON().some(output => output.output_type === 'error');
    return models.every(ended) || models.some(stopped);
}"""

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
    await context.ready;
    await context.session.kernel.info;
}"""

RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()"

REMEMBER_CLICKS = """() => {
    window.pressed = {};
    document.addEventListener('mousedown', event => {
        const button = event.target.closest('button');
        if (button) window.pressed[button.innerText.trim()] = Date.now() / 1000;
    }, true);
}"""


class NotebookPage:
    """One notebook, open in a browser page of its own, with a kernel of its own.

    Args:
        page: An empty page of the browser.
        address: Tells the address of a notebook from its path.
        pictures: The folder for screenshots.
    """

    def __init__(self, page, address, pictures: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._address, self._pictures = address, pictures
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def _hear(self, message) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    async def open(self, path: str) -> None:
        """Open a notebook and wait until its kernel can be used."""
        await self.page.goto(self._address(path))
        idle = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Toolbar-kernelStatus, .jp-Notebook-cell"
        await self.page.locator(idle).first.wait_for(timeout=30_000)
        await self._wait_for_kernel()
        await self.page.evaluate(REMEMBER_CLICKS)

    async def _wait_for_kernel(self) -> None:
        """Wait for the kernel's first answer; restart one that never gives it.

        Now and then JupyterLab asks a starting kernel before it listens, and waits for ever.
        """
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await self.page.evaluate(KERNEL_IS_READY)
        except TimeoutError:
            async with asyncio.timeout(2 * LIMIT_SECONDS):
                await self.page.evaluate(RESTART)
                await self.page.evaluate(KERNEL_IS_READY)

    async def close(self) -> None:
        """End the kernel and close the page."""
        await self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext?.shutdown()"
        )
        await self.page.close()

    async def cells(self) -> list[dict]:
        """Return all cells, with source, tags, state and outputs."""
        return await self.page.evaluate(CELLS)

    async def code_cells(self) -> list[dict]:
        return [cell for cell in await self.cells() if cell["kind"] == "code"]

    async def number_of(self, text: str) -> int:
        """Return the position of the first code cell that contains `text`."""
        for number, cell in enumerate(await self.cells()):
            if cell["kind"] == "code" and text in cell["source"]:
                return number
        raise AssertionError(f"no code cell contains {text!r}")

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
        await self.page.wait_for_function(ALL_RAN, arg=before, timeout=seconds * 1000)

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
        return (await self.cells())[await self.number_of(text)]["state"] == "running"

    async def ask(self, code: str) -> str:
        """Run code in the kernel without a cell, and return what it printed."""
        status, text = await self.page.evaluate(ASK_THE_KERNEL, code)
        assert status == "ok", text
        return text.strip()

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

    async def picture(self, name: str, of=None) -> None:
        """Keep a screenshot, of the page or of one element."""
        await (of or self.page).screenshot(path=self._pictures / f"{name}.png")

    async def assert_no_result_is_wider_than_the_page(self, picture: str = "") -> None:
        """Look at what each cell shows; with `picture`, take one of each, so named."""
        for number, cell in enumerate(await self.cells()):
            if not cell["outputs"]:
                continue
            shown = await self.cell_at(number)
            if picture:
                await self.picture(f"{picture}-{number:02d}", shown)
            outputs = await shown.locator(".jp-OutputArea-output").all()
            assert outputs, cell["source"]
            for output in outputs:
                hidden = await output.evaluate("output => output.scrollWidth - output.clientWidth")
                assert hidden <= 1, f"{cell['source']} shows {hidden} pixels less than there is"


def errors_of(cell: dict) -> list[str]:
    """Return the name and the text of each error that a cell shows."""
    return [
        f"{output['ename']}: {output['evalue']}"
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]
