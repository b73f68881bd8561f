"""The notebooks as a person runs them: slowly, twice, after a restart, and with interruptions.

*Run All* proves nothing of these: there, no time passes between two cells.  Each notebook has a
kernel of its own, and all run side by side, since they mostly wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from support.notebooks import DELIBERATE, NOTEBOOKS, load_run_and_clean, read
from support.waiting import soon

pytestmark = [pytest.mark.slow, pytest.mark.notebook, pytest.mark.timeout(1500)]

READING_SECONDS = 8
"""How long somebody reads before the next cell; the longest text takes longer, most take less."""

CELL_SECONDS = 120
SOON = 0.5
"""After this long, a cell that still runs is interrupted."""


def make_client(notebook: Any, folder: Path) -> Any:
    """Make a client that knows when the kernel has begun a cell."""
    from nbclient import NotebookClient

    class Client(NotebookClient):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.began = asyncio.Event()

        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] == "execute_input":
                self.began.set()
            return super().process_message(msg, cell, cell_index)

    places = {"metadata": {"path": str(folder)}}
    return Client(notebook, timeout=CELL_SECONDS, allow_errors=True, resources=places)


class Kernel:
    """A kernel, and the cells of one notebook, which it runs one by one."""

    def __init__(self, path: Path) -> None:
        self._module = load_run_and_clean()
        self.notebook = read(path)
        self._deliberate = DELIBERATE.get(path.stem)
        self.code = [n for n, cell in enumerate(self.notebook.cells) if cell.cell_type == "code"]
        self._client = make_client(self.notebook, path.parent)
        self.faults: list[str] = []

    async def run(self, person: Callable[[Kernel], Awaitable[None]]) -> list[str]:
        """Let `person` run the cells; return what went wrong, each with its cell."""
        environment = self._module.without_account(os.environ)
        async with self._client.async_setup_kernel(env=environment):
            await person(self)
        return self.faults

    async def cell(self, number: int) -> None:
        """Run one cell to its end, and note an error or a warning that does not belong there."""
        cell = self.notebook.cells[number]
        # nbclient would write into outputs of the run before, which are gone.
        self._client.clear_display_id_mapping(number)
        await self._client.async_execute_cell(cell, number)
        wanted = "raises-exception" in cell.metadata.get("tags", [])
        for output in cell.outputs:
            if output.output_type == "error" and not wanted:
                self.note(number, f"{output.ename}: {output.evalue}")
            elif output.get("name") == "stderr" and not self._is_deliberate(output.text):
                self.note(number, output.text)

    def _is_deliberate(self, text: str) -> bool:
        return self._deliberate is not None and self._deliberate in text

    async def interrupted_cell(self, number: int) -> bool:
        """Run one cell, and interrupt it if it is not done soon; return whether that was so."""
        self._client.began.clear()
        running = asyncio.create_task(
            self._client.async_execute_cell(self.notebook.cells[number], number)
        )
        # A signal that comes before the cell would interrupt the kernel's own work.
        await soon(self._client.began.wait(), CELL_SECONDS)
        done, _ = await asyncio.wait([running], timeout=SOON)
        if not done:
            await self._client.km.interrupt_kernel()
        await running
        return not done

    async def load_all(self) -> None:
        """Import all that a cell may import: numpy cannot be used after an interrupted import."""
        from nbformat.v4 import new_code_cell

        source = "import twistream_kit as kit\nfor name in kit.__all__: getattr(kit, name)\n"
        cell = new_code_cell(source + "import matplotlib.figure, soundfile, soxr, websockets")
        self.notebook.cells.append(cell)
        await self.cell(len(self.notebook.cells) - 1)

    async def restart(self) -> None:
        """Restart the kernel, as the button of a notebook does."""
        await self._client.km.restart_kernel(now=False)
        await self._client.kc.wait_for_ready(timeout=CELL_SECONDS)

    def note(self, number: int, fault: str) -> None:
        source = self.notebook.cells[number].source
        self.faults.append(f"{source}\n    {fault.strip()}")


async def reads(kernel: Kernel) -> None:
    for number in kernel.code:
        await asyncio.sleep(READING_SECONDS)  # sleeps: the time to read is what is tested
        await kernel.cell(number)


async def runs_each_cell_twice(kernel: Kernel) -> None:
    for number in kernel.code:
        await kernel.cell(number)
        await kernel.cell(number)


async def runs_all_twice_and_restarts_in_the_middle(kernel: Kernel) -> None:
    for number in kernel.code:
        await kernel.cell(number)
    for number in kernel.code[: len(kernel.code) // 2]:
        await kernel.cell(number)
    await kernel.restart()
    for number in kernel.code:
        await kernel.cell(number)


async def interrupts_every_cell_that_waits(kernel: Kernel) -> None:
    await kernel.load_all()
    for number in kernel.code:
        waits = any(word in kernel.notebook.cells[number].source for word in (".result(", "await "))
        if not waits or await kernel.interrupted_cell(number):
            await kernel.cell(number)


@pytest.mark.parametrize(
    "person",
    [
        reads,
        runs_each_cell_twice,
        runs_all_twice_and_restarts_in_the_middle,
        interrupts_every_cell_that_waits,
    ],
    ids=lambda person: person.__name__,
)
async def test_a_person(person: Callable[[Kernel], Awaitable[None]]) -> None:
    kernels = [Kernel(path) for path in NOTEBOOKS]
    faults: list[list[str]] = await asyncio.gather(*(kernel.run(person) for kernel in kernels))
    found = {path.stem: each for path, each in zip(NOTEBOOKS, faults, strict=True) if each}
    assert not found, "\n".join(
        f"--- {name}: {fault}" for name, each in found.items() for fault in each
    )
