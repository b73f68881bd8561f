"""A real JupyterLab or Notebook, started as a person does, with settings and folders of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from support.kernels import connect_once_more, write_spec

TOKEN = "browser-tests"
START_SECONDS = 40

APPS = {
    "lab": ("jupyterlab", "LabApp", "lab/tree"),
    "notebook": ("notebook", "JupyterNotebookApp", "notebooks"),
}
"""Of each front end: its module, its class, and where under its address notebooks are."""

LAB_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"autoStartDefaultKernel": True},
    "docmanager-extension/plugin": {"autosave": False},
}


HOLD = """\
import pathlib
import time

limit = time.monotonic() + 180
while not pathlib.Path("release").exists() and time.monotonic() < limit:
    time.sleep(0.02)
pathlib.Path("release").unlink(missing_ok=True)"""
"""A cell that holds its thread, asleep, until `Lab.release_held_cell`."""


PLAYS_AGAIN = """
import pathlib, threading
enough, again = threading.Event(), pathlib.Path("again")
again.unlink(missing_ok=True)
def play_on():
    while stream.is_open and not enough.is_set():
        stream.play(kit.Clip.tone(440, 30)).exception()
        while stream.is_open and not enough.is_set() and not again.exists():
            enough.wait(0.02)
        again.unlink(missing_ok=True)
threading.Thread(target=play_on, daemon=True).start()
"""
"""A tone of half a minute that after each clear begins anew when `Lab.let_play_again` is called.

So the silence between two of them is as long as a busy page needs to see it."""


class Lab:
    """A JupyterLab of its own: own settings, own folder, own port.

    Args:
        home: An empty folder for everything that it writes.
        repository: Where the notebooks and samples to be copied are.
        app: ``"lab"``, or ``"notebook"`` for Notebook 7, which answers at the same names.
    """

    def __init__(self, home: Path, repository: Path, app: str = "lab") -> None:
        self.home, self.root = home, home / "work"
        self._module, self._class, self._place = APPS[app]
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
                    *("-m", self._module, "--no-browser", "--allow-root", "--ip=127.0.0.1"),
                    *("--ServerApp.port=0", f"--ServerApp.root_dir={self.root}"),
                    f"--IdentityProvider.token={TOKEN}",
                    f"--{self._class}.expose_app_in_browser=True",
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
                raise RuntimeError(f"{self._module} did not start:\n{self.log.read_text()[-3000:]}")
            await asyncio.sleep(0.05)  # sleeps: between two looks at another process

    def address(self, path: str) -> str:
        """Return where a notebook is opened."""
        return f"{self.url}/{self._place}/{quote(path)}?token={TOKEN}&reset"

    def stop(self) -> None:
        """End it and its kernels."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)

    async def keep_reconnecting(self) -> None:
        """Let kernels that can miss a request look for it every two seconds, until cancelled."""
        while True:
            for file in (self.home / "runtime").glob("kernel-*.json"):
                with contextlib.suppress(OSError, ValueError, KeyError):  # it ends, or only begins
                    await asyncio.to_thread(connect_once_more, file)
            await asyncio.sleep(2)  # sleeps: nothing tells that a request has been missed

    def release_held_cell(self) -> None:
        """Let the cell `HOLD` end."""
        (self.root / "notebooks" / "release").touch()

    def let_play_again(self) -> None:
        """Let what `PLAYS_AGAIN` has begun play once more."""
        (self.root / "notebooks" / "again").touch()

    def copy_notebook(
        self,
        name: str,
        new_name: str,
        *,
        up_to: str,
        then: str,
        without: str = "",
        changed: tuple[str, str] | None = None,
    ) -> str:
        """Copy a notebook up to the cell that contains `up_to`, and add a code cell.

        Lines of code that contain `without` are left out, and of `changed` the first text becomes
        the second.  It is as if nobody had run it, whatever another test did with the notebook.
        """
        notebook = json.loads((self.root / "notebooks" / name).read_text(encoding="utf-8"))
        cells = notebook["cells"]
        last = next(n for n, cell in enumerate(cells) if up_to in "".join(cell["source"]))
        notebook["cells"] = [*cells[: last + 1], _code_cell(then)]
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                source = "".join(cell["source"])
                lines = (source.replace(*changed) if changed else source).splitlines(keepends=True)
                kept = [line for line in lines if not without or without not in line]
                cell |= {"source": "".join(kept), "outputs": [], "execution_count": None}
        return self._write(new_name, notebook)

    def write_notebook(self, name: str, *sources: str) -> str:
        """Write a notebook with one code cell for each source, beside the tutorial."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {
            "cells": [_code_cell(source) for source in sources],
            "metadata": {"kernelspec": kernel},
            "nbformat": 4,
            "nbformat_minor": 4,  # its cells need no names
        }
        return self._write(name, notebook)

    def _write(self, name: str, notebook: dict) -> str:
        path = f"notebooks/{name}"
        (self.root / path).write_text(json.dumps(notebook), encoding="utf-8")
        return path

    def use_kernel(self, path: str, version: str) -> None:
        """Give a notebook another ipykernel: a version of `kernels`, or "newest"."""
        data = self.home / "jupyter-data"
        name = f"ipykernel-{version}"
        if not (data / "kernels" / name).exists():
            write_spec(version, data)
        file = self.root / path
        notebook = json.loads(file.read_text(encoding="utf-8"))
        notebook["metadata"]["kernelspec"].update(name=name, display_name=name)
        file.write_text(json.dumps(notebook), encoding="utf-8")


def _code_cell(source: str) -> dict:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


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
