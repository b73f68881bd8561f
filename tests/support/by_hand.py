"""A notebook as a person at a screen has it: keys, the mouse, and what can be read on the page.

Nothing here calls a command of JupyterLab or asks a kernel.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from support.waiting import LIMIT_SECONDS, Patience

WORDS_A_MINUTE = 230
"""How fast people read: the mean of 190 studies is 238 (Brysbaert 2019), and notes are slower."""

OPEN_SECONDS = 60
CELL_SECONDS = 100

LOST_SECONDS = 10
"""So long the kernel is idle, and the cell has not run, until a person does something about it."""

PRESSED_AGAIN = "pressed Shift+Enter again, as JupyterLab has not asked the kernel"
"""Now and then JupyterLab loses the first request to a kernel that is just starting."""

RECONNECTED = "chose Kernel > Reconnect to Kernel, as the kernel has not read its request"
"""The prompt is [*] then.  ipykernel 7.0 to 7.3 can miss that a request has come while they sent an
answer, and any later one of that connection too [S ipykernel#1529, #1554]; 7.4 does not."""

NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook"
TITLE = f"{NOTEBOOK} .jp-RenderedMarkdown h1"
ACTIVE = f"{NOTEBOOK} .jp-Cell.jp-mod-active"
IDLE = '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-ExecutionIndicator[data-status="idle"]'

HOW_IT_GOES = """(cell, [before, idle]) => {
    const prompt = cell.querySelector('.jp-InputPrompt').innerText.trim();
    // What it shows comes another way than the number of its prompt, and before the kernel is idle.
    if (document.querySelector(idle) === null) return 'is running';
    if (/^\\[\\d+\\]:$/.test(prompt) && prompt !== before) return 'has run';
    return { '[ ]:': 'was not asked for', '[*]:': 'was not read' }[prompt] ?? 'is running';
}"""

PROMPT = "cell => cell.querySelector('.jp-InputPrompt')?.innerText.trim() ?? ''"

READ = """async cell => {
    // What is beyond the edge of the page is not drawn, and has no text.
    cell.scrollIntoView({ block: 'nearest' });
    const frame = done => { requestAnimationFrame(done); setTimeout(done, 2000); };
    for (let i = 0; i < 2; i++) await new Promise(frame);
    const shown = selector => [...cell.querySelectorAll(selector)]
        .map(each => each.innerText.trim()).filter(text => text);
    const output = '.jp-OutputArea-output';
    return {
        source: [...cell.querySelectorAll('.jp-InputArea .cm-line')]
            .map(line => line.innerText).join('\\n'),
        markdown: shown('.jp-RenderedMarkdown').join('\\n'),
        output: shown(output).join('\\n'),
        errors: shown([
            `${output}[data-mime-type="application/vnd.jupyter.error"]`,
            `${output}[data-mime-type="application/vnd.jupyter.stderr"]`,
        ].join(', ')),
    };
}"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell, as it can be read on the page.

    Attributes:
        number: Its place in the notebook, from 0.
        kind: ``"code"`` or ``"markdown"``.
        source: The code.
        markdown: The rendered text of a cell of Markdown.
        output: The text of what it shows.
        errors: What it shows in red: JupyterLab shows an error as what goes to stderr.
    """

    number: int
    kind: str
    source: str
    markdown: str
    output: str
    errors: list[str]

    @property
    def title(self) -> str:
        """The first line of what the cell holds, shortened."""
        text = self.source if self.kind == "code" else self.markdown
        first = text.strip().splitlines()[0] if text.strip() else "an empty cell"
        return f"{self.kind} {self.number}: {first[:50]}"


class ByHand:
    """A person in front of an open notebook.

    Args:
        page: A page of the browser.

    Attributes:
        passed: The cells that were left by Shift+Enter so far, as they were shown then.
        helped: What had to be done so far, beside the keys, for a cell to run; usually nothing.
    """

    def __init__(self, page) -> None:
        self.page = page
        self.passed: list[Shown] = []
        self.helped: list[str] = []

    async def open(self, address: str, stands: str = TITLE) -> None:
        """Open a notebook, and wait until it stands there and its kernel is idle."""
        await self.page.goto(address, timeout=OPEN_SECONDS * 1000)
        await self.page.locator(stands).first.wait_for(timeout=OPEN_SECONDS * 1000)
        await self.page.locator(IDLE).first.wait_for(state="attached", timeout=OPEN_SECONDS * 1000)

    async def click_the_first_cell(self) -> None:
        """Click into the notebook, as one does before the first key."""
        await self.page.locator(f"{NOTEBOOK} .jp-Cell").first.click()

    @property
    def words(self) -> int:
        """How many words of Markdown were passed so far."""
        return sum(len(re.findall(r"\w[\w’'.,-]*", cell.markdown)) for cell in self.passed)

    @property
    def reading_seconds(self) -> float:
        """How long a person takes for these words."""
        return self.words / WORDS_A_MINUTE * 60

    async def active_cell(self) -> int:
        """Return the number of the cell that the next Shift+Enter runs."""
        return int(await self.page.locator(ACTIVE).get_attribute("data-windowed-list-index"))

    async def shift_enter(self, seconds: float = CELL_SECONDS) -> Shown:
        """Press Shift+Enter, wait until the cell has run, and return what it shows."""
        number = await self.active_cell()
        # By its number, as another cell is active then.
        cell = self.page.locator(f'{NOTEBOOK} [data-windowed-list-index="{number}"]')
        kind = "code" if "jp-CodeCell" in await cell.get_attribute("class") else "markdown"
        before = await cell.evaluate(READ)
        prompt = await cell.evaluate(PROMPT)
        await self.page.keyboard.press("Shift+Enter")
        if kind == "code" and before["source"].strip():
            await self._wait_until_run(cell, prompt, seconds)
        shown = Shown(number, kind, **await cell.evaluate(READ))
        self.passed.append(shown)
        return shown

    async def _wait_until_run(self, cell, before: str, seconds: float) -> None:
        patience, idle = Patience(seconds), Patience(LOST_SECONDS)
        while (state := await cell.evaluate(HOW_IT_GOES, [before, IDLE])) != "has run":
            assert not patience.is_over(), await self._describe(cell)
            if state == "is running":
                idle = Patience(LOST_SECONDS)
            elif idle.is_over():
                await self._help(cell, state)
                idle = Patience(LOST_SECONDS)
            await asyncio.sleep(0.05)  # sleeps: between two looks at a page

    async def _help(self, cell, state: str) -> None:
        """Do what a person does about a cell that does not run although the kernel is idle."""
        if state == "was not asked for":
            await cell.locator(".jp-InputArea-editor").click()
            await self.page.keyboard.press("Shift+Enter")
            self.helped.append(PRESSED_AGAIN)
            return
        menu = self.page.get_by_role("menuitem")
        await menu.filter(has_text=re.compile("^Kernel$")).click()
        await menu.filter(has_text="Reconnect to Kernel").click()
        self.helped.append(RECONNECTED)

    async def _describe(self, cell) -> str:
        """Return what a person would see, to whom a cell has not run."""
        dialogs = await self.page.locator(".jp-Dialog-content").all_inner_texts()
        status = await self.page.locator("#jp-main-statusbar").all_inner_texts()
        prompt = await cell.evaluate(PROMPT)
        text = await cell.inner_text()
        return f"{prompt} of {text!r}; dialogs {dialogs}; status {status}; helped {self.helped}"

    async def is_at_the_last_cell(self) -> bool:
        """Whether no cell follows the active one."""
        return await self.page.evaluate(
            """selector => {
                const active = document.querySelector(selector);
                const next = Number(active.dataset.windowedListIndex) + 1;
                return !document.querySelector(`[data-windowed-list-index="${next}"]`);
            }""",
            ACTIVE,
        )

    def button(self, name: str):
        """Return the newest button of that name on the page."""
        named = re.compile(rf"(^|\s){re.escape(name)}$")
        return self.page.locator(NOTEBOOK).get_by_role("button", name=named).last

    async def shows(self, name: str) -> bool:
        """Whether a button of that name stands on the page."""
        return await self.button(name).count() > 0

    async def press(self, name: str, seconds: float = LIMIT_SECONDS) -> None:
        """Click a button with the mouse, as soon as it can be clicked."""
        await self.button(name).click(timeout=seconds * 1000)
