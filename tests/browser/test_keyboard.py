"""A notebook by Shift+Enter alone, with clicks on its widgets in between; and who gets a key."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.handset import Handset

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CELLS = (
    """\
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001", answer="manual")
tone = kit.Clip(kit.Clip.tone(440, 30).payload, name="tone")
ran = []""",
    'widget = kit.PhoneWidget(phone, server=server)\nran.append("show")\nwidget',
    """\
ran.append("ring")
call = kit.place_call(
    twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
).result(30)""",
    'ran.append("stream")\nstream = server.next_stream(call).result(30)\nevents = stream.events()',
    'ran.append("controls")\nkit.StreamControls(stream, clips=[tone], call=call)',
    'ran.append("one")',
    'ran.append("two")',
    'ran.append("three")',
)

IS_OUT = "element => !element.contains(document.activeElement)"
NUMBER_OF_CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"


class Reader:
    """A person at the notebook: presses keys and buttons, and looks at the page."""

    def __init__(self, notebook):
        self.notebook, self.page = notebook, notebook.page
        self.phone = Handset(notebook)
        self.panel = self.page.locator(".twistream-controls")
        self.ran = []

    async def run_next(self, name):
        """Press Shift+Enter, and see that it runs the cell that is next."""
        self.ran.append(name)
        await self.page.keyboard.press("Shift+Enter")
        await self.has_run()

    async def has_run(self):
        """Wait until all cells have run that should, and no other; and until the kernel is idle."""
        await self.notebook.until(f"globals().get('ran') == {self.ran}")
        await self.notebook.wait_until_idle()

    async def keeps_all_cells(self):
        # One more than were written: JupyterLab adds one when the last was run.
        assert await self.page.evaluate(NUMBER_OF_CELLS) == len(CELLS) + 1

    async def is_out_of_the_phone(self):
        """Wait until the telephone has given the focus back."""
        await self.page.wait_for_function(IS_OUT, arg=await self.phone.root.element_handle())

    async def press_two(self, key):
        await self.page.keyboard.press(key)
        await self.page.keyboard.press(key)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reader(lab, open_notebook):
    path = lab.write_notebook("keyboard.ipynb", *CELLS)
    notebook = await open_notebook(path)
    await (await notebook.cell_at(0)).locator(".cm-content").click()
    yield Reader(notebook)
    assert [each for each in notebook.complaints if "uncaught" in each] == []
    await notebook.close()


async def test_shift_enter_runs_the_next_cell_after_each_click_on_a_widget(reader):
    await reader.page.keyboard.press("Shift+Enter")
    await reader.run_next("show")
    await expect(reader.phone.state).to_contain_text("Waiting for a call")
    await reader.run_next("ring")
    await reader.phone.button("Answer").click()
    await expect(reader.phone.state).to_contain_text("In a call")
    await reader.run_next("stream")
    await reader.run_next("controls")
    await reader.panel.get_by_role("button", name="Send").click()
    await reader.notebook.until("stream.newest is not None")
    await reader.run_next("one")
    await reader.phone.button("Clear").click()
    await reader.notebook.until("stream.newest.done()")
    await reader.run_next("two")
    volume = reader.phone.root.get_by_role("slider", name="Volume")
    await volume.click()
    await reader.run_next("three")
    await volume.fill("100")  # the browser keeps it for the tests that follow


async def test_after_a_click_on_the_phone_the_keyboard_still_presses_its_keys(reader):
    await reader.phone.button("4").click()
    await reader.is_out_of_the_phone()
    await reader.page.keyboard.press("5")
    await reader.page.keyboard.press("#")
    digits = (
        "import itertools\n"
        "pressed = (m.digit for m in events if hasattr(m, 'digit'))\n"
        "print(*itertools.islice(pressed, 3))"
    )
    assert await reader.notebook.ask(digits) == "4 5 #"
    await reader.press_two("d")
    await reader.keeps_all_cells()
    await expect(reader.page.locator(".jp-Dialog")).to_have_count(0)


@pytest.mark.parametrize("place", ["phone", "controls"])
async def test_single_keys_do_nothing_to_the_notebook_while_a_widget_has_the_focus(reader, place):
    button = {
        "phone": reader.phone.button("Clear"),
        "controls": reader.panel.get_by_role("button", name="Send"),
    }[place]
    await button.focus()
    for key in ("d", "0", "x", "m"):
        await reader.press_two(key)
    await reader.keeps_all_cells()
    kinds = {cell["kind"] for cell in await reader.notebook.cells()}
    assert kinds == {"code"}, "m has turned a cell into text"
    await expect(reader.page.locator(".jp-Dialog")).to_have_count(0)
    await expect(button).to_be_focused()


async def test_chords_go_to_jupyter_and_press_nothing(reader):
    sound = reader.phone.button("Sound")
    before = await sound.get_attribute("aria-pressed")
    await sound.focus()
    await reader.notebook.save_by_a_key()
    for chord in ("Control+Space", "Alt+Space", "Meta+Enter", "Control+Alt+Enter"):
        await sound.focus()
        await reader.page.keyboard.press(chord)
    await expect(sound).to_have_attribute("aria-pressed", before)
    send = reader.panel.get_by_role("button", name="Send")
    await reader.notebook.ask("newest = stream.newest")
    await send.focus()
    await reader.run_next("controls")
    assert await reader.notebook.ask("print(stream.newest is newest)") == "True"


@pytest.mark.parametrize("chord", ["Shift+Enter", "Control+Enter", "Alt+Enter"])
async def test_a_chord_that_runs_a_cell_runs_it_and_leaves_sound_as_it_is(reader, chord):
    sound = reader.phone.button("Sound")
    await expect(sound).to_have_attribute("aria-pressed", "true")
    await sound.focus()
    reader.ran.append("show")  # the telephone is in the cell that has the focus
    await reader.page.keyboard.press(chord)
    await reader.has_run()
    # The cell has made a new one: the sound of the old one stayed on, or this would be off.
    await expect(sound).to_have_attribute("aria-pressed", "true")
    if chord == "Alt+Enter":  # adds a cell below, as everywhere
        await reader.page.evaluate(
            "() => window.jupyterapp.commands.execute('notebook:undo-cell-action')"
        )
        await reader.keeps_all_cells()


async def test_a_key_presses_the_button_that_has_the_focus_and_leaves_the_focus_there(reader):
    sound = reader.phone.button("Sound")
    await sound.focus()
    await reader.page.keyboard.press("Space")
    await expect(sound).to_have_attribute("aria-pressed", "false")
    await reader.page.keyboard.press("Enter")
    await expect(sound).to_have_attribute("aria-pressed", "true")
    await expect(sound).to_be_focused()
    await reader.page.keyboard.press("Escape")
    await reader.is_out_of_the_phone()
