"""What a newcomer does until a call is heard.

It begins with a clone and ``make tutorial``, or with pip and ``twistream tutorial``.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.by_hand import ByHand
from support.handset import IT_SOUNDS
from support.waiting import LIMIT_SECONDS

ROOT = Path(__file__).parents[2]

MOST_SECONDS = 120
"""From the opened page to the first sound of a call, with the reading."""

MOST_SECONDS_AFTER_PIP = 180
"""From ``twistream tutorial`` to the first sound of a call, with the reading."""

ENVIRONMENT_SECONDS = 600
START_SECONDS = 60

SHOWS_A_TELEPHONE = ("kit.Workbench(", "kit.PhoneWidget(")
PLACES_A_CALL = re.compile(r"^(?!def ).*\b(dial|place_call)\(", re.MULTILINE)
SENDS = re.compile(r"\bsend(_button)?\.click\(")
_STARTS_JUPYTER = re.compile(r"jupyter lab notebooks/tutorial\.ipynb")
_ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/lab)\?(token=\w+)")
_ADDRESS_OF_THE_TUTORIAL = re.compile(
    r"http://127\.0\.0\.1:\d+/lab/tree/notebooks/tutorial\.ipynb\?token=\w+"
)
_LAB_OPTIONS = "--no-browser --allow-root --ip=127.0.0.1 --ServerApp.port=0"
"""A container's root has no other way; a browser is there already."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the way, and how long it was."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Journey:
    """From the opened page to the first sound of a call.

    Attributes:
        parts: Each cell, and the clicks; with what had to be done for the cell to run.
        code_cells: How many cells of code were run.
        words: The words of the Markdown up to there.
        reading_seconds: How long a person takes for them.
    """

    parts: list[Part]
    code_cells: int
    words: int
    reading_seconds: float

    @property
    def seconds(self) -> float:
        """All parts, and the reading."""
        return sum(part.seconds for part in self.parts) + self.reading_seconds


class Stopwatch:
    """Gives the seconds since it was last asked."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def lap(self, name: str) -> Part:
        """Return what has passed since the last lap, under a name."""
        before, self._began = self._began, time.monotonic()
        return Part(name, self._began - before)


async def open_and_hear_a_call(reader: ByHand, address: str) -> Journey:
    """Open the tutorial and press Shift+Enter until its call can be heard.

    *Sound* is pressed where the telephone is first shown, and *Send* in the call.

    Raises:
        AssertionError: If the notebook ends before.
    """
    watch = Stopwatch()
    await reader.open(address)
    parts = [watch.lap("page open")]
    await reader.click_the_first_cell()
    code_cells, sound_is_on = 0, False
    while True:
        assert not await reader.is_at_the_last_cell(), "the notebook ends, and nothing was heard"
        n_helped = len(reader.helped)
        shown = await reader.shift_enter()
        if shown.kind == "code":
            code_cells += 1
        assert not shown.errors or "raises" in shown.source, shown.errors
        parts.append(watch.lap("; ".join([shown.title, *reader.helped[n_helped:]])))
        if not sound_is_on and any(name in shown.source for name in SHOWS_A_TELEPHONE):
            await reader.press("Sound")
            sound_is_on = True
            parts.append(watch.lap("click on Sound"))
        elif sound_is_on and PLACES_A_CALL.search(shown.source):
            if not SENDS.search(shown.source):
                await reader.press("Send")
            await reader.page.wait_for_function(IT_SOUNDS)
            parts.append(watch.lap("the first sound"))
            return Journey(parts, code_cells, reader.words, reader.reading_seconds)


class _NewcomersLab:
    """A JupyterLab that a newcomer starts, with nothing of Jupyter's or Twilio's set before.

    Args:
        folder: An empty folder.
        environment: The ``bin`` of an environment to be used as it is; else one is made.

    Attributes:
        parts: How long each part took, once it is `ready`.
        address: Where the tutorial can be opened then.
    """

    def __init__(self, folder: Path, environment: Path | None = None) -> None:
        self._folder, self._environment = folder, environment
        self.parts: list[Part] = []
        self.address = ""
        self._process = None

    async def _begin(self, command: list[str], cwd: Path) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=self._settings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    async def _run(self, *command: str | Path, cwd: Path | None = None) -> None:
        running = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=self._settings())
        assert await asyncio.wait_for(running.wait(), ENVIRONMENT_SECONDS) == 0, command

    def _settings(self) -> dict[str, str]:
        """Return the environment of a person who has none of Jupyter's settings, nor an account."""
        dropped = ("JUPYTER", "TWILIO", "TWISTREAM", "NGROK", "PYTEST", "MAKE", "VIRTUAL_ENV")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(dropped)}
        places = {
            name: str(self._folder / name.lower())
            for name in (
                *("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"),
                *("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR"),
            )
        }
        if self._environment:
            places["PYTHONPATH"] = str(self._package())  # before the package of that environment
        else:
            kept.pop("PYTHONPATH", None)
            places |= {  # nothing has been downloaded before
                name: str(self._folder / name.lower()) for name in ("PIP_CACHE_DIR", "UV_CACHE_DIR")
            }
        return kept | places

    def _package(self) -> Path:
        """Return the folder that holds the package for an environment that exists already."""
        return ROOT

    async def _until(self, pattern: re.Pattern[str]) -> re.Match[str]:
        said = []
        async with asyncio.timeout(START_SECONDS if self._environment else ENVIRONMENT_SECONDS):
            async for line in self._process.stdout:
                said.append(line.decode())
                if found := pattern.search(said[-1]):
                    return found
        raise RuntimeError(f"what starts JupyterLab has ended:\n{''.join(said[-30:])}")

    async def _listens(self) -> None:
        """Wait until somebody listens at the address, which is printed a little before."""
        self._draining = asyncio.create_task(self._process.stdout.read())
        place = urlsplit(self.address)
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection(place.hostname, place.port)
                except ConnectionRefusedError:
                    if self._process.returncode is not None:
                        said = (await self._draining).decode()
                        raise RuntimeError(f"JupyterLab has ended:\n{said[-2000:]}") from None
                    await asyncio.sleep(0.05)  # sleeps: nothing tells when a server listens
                else:
                    writer.close()
                    return

    async def stop(self) -> None:
        """End JupyterLab and its kernels."""
        if self._process is None:
            return
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        await asyncio.wait_for(self._process.wait(), LIMIT_SECONDS)


class FreshClone(_NewcomersLab):
    """A clone of what is committed, in which ``make tutorial`` is said."""

    @property
    def path(self) -> Path:
        """The folder of the clone."""
        return self._folder / "clone"

    def _package(self) -> Path:
        return self.path

    async def start(self) -> None:
        """Clone, say ``make tutorial``, and wait until JupyterLab answers.

        Raises:
            RuntimeError: If one of them ended.
        """
        watch = Stopwatch()
        await self._run(
            "git", "-c", "safe.directory=*", "clone", "--quiet", str(ROOT), str(self.path)
        )
        self.parts.append(watch.lap("clone"))
        command = ["make", "tutorial", f"LAB_OPTIONS={_LAB_OPTIONS}"]
        command += [f"BIN={self._environment}"] if self._environment else []
        await self._begin(command, self.path)
        await self._until(_STARTS_JUPYTER)
        self.parts.append(watch.lap("environment"))
        found = await self._until(_ADDRESS)
        # Where `jupyter lab FILE` sends a browser.
        self.address = f"{found[1]}/tree/tutorial.ipynb?{found[2]}"
        await self._listens()
        self.parts.append(watch.lap("JupyterLab up"))


class FreshInstall(_NewcomersLab):
    """A new environment with the wheel, in which ``twistream tutorial`` is said."""

    async def start(self) -> None:
        """Build the wheel, install it, say ``twistream tutorial``, and wait for its address.

        Raises:
            RuntimeError: If JupyterLab ended.
        """
        python = await self._install() if self._environment is None else sys.executable
        watch = Stopwatch()
        command = [python, "-m", "twistream_kit", "tutorial", "--no-browser", "--allow-root"]
        await self._begin([*command, "--port=0"], self._folder)
        self.address = (await self._until(_ADDRESS_OF_THE_TUTORIAL))[0]
        await self._listens()
        self.parts.append(watch.lap("twistream tutorial: folder written, JupyterLab up"))

    async def _install(self) -> str:
        build = ("-m", "hatchling", "build", "--target", "wheel", "--directory", self._folder)
        await self._run(sys.executable, *build, cwd=ROOT)
        [wheel] = self._folder.glob("*.whl")
        watch = Stopwatch()
        await self._run(sys.executable, "-m", "venv", self._folder / "env")
        self.parts.append(watch.lap("python -m venv"))
        python = str(self._folder / "env" / "bin" / "python")
        await self._run(python, "-m", "pip", "install", "--quiet", wheel)
        self.parts.append(watch.lap("pip install of the wheel, nothing downloaded before"))
        return python
