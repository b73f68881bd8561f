"""A real JupyterLab in a real Chromium, and one open notebook in it, as a person has them.

Loaded by conftest.py from its file, since tests are not a package.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import nbformat

TOKEN = "browser-tests"
START_SECONDS = 40
CELL_SECONDS = 60

CHROMIUM_FLAGS = [
    "--no-sandbox",  # a container's root has no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

LAB_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"autoStartDefaultKernel": True},
    "docmanager-extension/plugin": {"autosave": False},
}

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
    const cells = window.jupyterapp.shell.currentWidget.content.widgets.filter(
        cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().trim());
    return cells.every(cell => cell.model.executionCount > before
        && cell.model.executionState === 'idle');
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

REMEMBER_CLICKS = """() => {
    window.pressed = {};
    document.addEventListener('mousedown', event => {
        const button = event.target.closest('button');
        if (button) window.pressed[button.innerText.trim()] = Date.now() / 1000;
    }, true);
}"""


class Lab:
    """A JupyterLab of its own: own settings, own folder, own port.

    Args:
        home: An empty folder for everything that it writes.
        repository: Where the notebooks and samples to be copied are.
    """

    def __init__(self, home: Path, repository: Path) -> None:
        self.home, self.root = home, home / "work"
        for name in ("notebooks", "sample_audio"):
            leave_out = shutil.ignore_patterns(".ipynb_checkpoints", "greeting_for_the_phone.wav")
            shutil.copytree(repository / name, self.root / name, ignore=leave_out)
        for name, settings in LAB_SETTINGS.items():
            file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings))
        self.log = home / "lab.log"
        self.url = ""

    def start(self) -> None:
        """Start the process; `ready` says when it answers."""
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "jupyter-data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JUPYTER", "TWILIO", "TWISTREAM", "NGROK", "PYTEST"))
        }
        environment = kept | {name: str(self.home / place) for name, place in places.items()}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
                    *("--ServerApp.port=0", f"--ServerApp.root_dir={self.root}"),
                    f"--IdentityProvider.token={TOKEN}",
                    "--LabApp.expose_app_in_browser=True",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Wait until it answers, and take its address."""
        limit = time.monotonic() + START_SECONDS
        while True:
            for file in (self.home / "runtime").glob("jpserver-*.json"):
                port = _port_in(file)
                if port and await _accepts(port):
                    self.url = f"http://127.0.0.1:{port}"
                    return
            if self._process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        """End it and its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)

    def write_notebook(self, name: str, *sources: str) -> str:
        """Write a notebook with one code cell for each source, beside the tutorial."""
        notebook = nbformat.v4.new_notebook()
        notebook.metadata.kernelspec = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        path = f"notebooks/{name}"
        nbformat.write(notebook, self.root / path)
        return path


class NotebookPage:
    """One notebook, open in a browser page of its own, with a kernel of its own."""

    def __init__(self, page, lab: Lab, pictures: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._lab, self._pictures = lab, pictures
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def _hear(self, message) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    async def open(self, path: str) -> None:
        """Open a notebook and wait until its kernel can be used."""
        await self.page.goto(f"{self._lab.url}/lab/tree/{quote(path)}?token={TOKEN}&reset")
        idle = '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Toolbar-kernelStatus, .jp-Notebook-cell'
        await self.page.locator(idle).first.wait_for(timeout=30_000)
        await self.page.evaluate(KERNEL_IS_READY)
        await self.page.evaluate(REMEMBER_CLICKS)

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
        number = await self.number_of(text)
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
        """Do what *Run All* does, and wait until the last cell has ended."""
        before = max((cell["count"] or 0 for cell in await self.code_cells()), default=0)
        await self.page.evaluate(RUN_WITHOUT_WAITING, "notebook:run-all-cells")
        await self.page.wait_for_function(ALL_RAN, arg=before, timeout=seconds * 1000)

    async def run_up_to(self, text: str) -> None:
        """Run all cells up to and including the one that contains `text`."""
        number = await self.number_of(text)
        cells = await self.cells()
        await self._activate(number)
        await self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-above')")
        await self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
        assert (await self.cells())[number]["count"], f"{cells[number]['source']} did not run"

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
        await self.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for()

    async def picture(self, name: str, of=None) -> None:
        """Keep a screenshot, of the page or of one element."""
        await (of or self.page).screenshot(path=self._pictures / f"{name}.png")


def _port_in(file: Path) -> int | None:
    try:
        return json.loads(file.read_text())["port"]
    except ValueError:  # it is being written
        return None


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
