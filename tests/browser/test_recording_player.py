"""The player of a call in a real page: heard, sought, downloaded, and its copy without a kernel."""

from __future__ import annotations

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import expect

from support.accessibility import OF_A_WHOLE_PAGE, TWO_FRAMES, find_violations
from support.handset import LOUDSPEAKER, Handset, frequency
from support.notebook_page import read_length

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CALL = """\
import twistream_kit as kit

sid = "MZ" + "0" * 32
capture = kit.Capture(sid)
capture.append(kit.from_twilio.Start(sid), 0.0)
said = kit.Clip.tone(1000, 2, level_db=-6).payload
for n in range(1, 101):
    frame = said[160 * n - 160 : 160 * n]
    capture.append(kit.from_twilio.Media(sid, frame, n, "inbound", n, 20 * n), 0.02 * n)
capture.append(kit.to_twilio.Media(sid, kit.Clip.tone(440, 5, level_db=-6).payload), 3.0)
capture.append(kit.to_twilio.Mark(sid, "greeting"), 3.0)
capture.append(kit.to_twilio.Clear(sid), 6.0)
capture.append(kit.from_twilio.Mark(sid, "greeting"), 6.0)
capture.append(kit.from_twilio.Stop(sid), 8.0)"""
SHOW = "capture"
OVER_THE_KERNEL = "kit.RecordingPlayer(capture, direct=False)"
SECONDS = 8.0

IS_FOCUSED = "root => root.contains(document.activeElement)"


class Player(Handset):
    """A player on the page, and what comes out of the loudspeaker."""

    def __init__(self, notebook, cell):
        super().__init__(notebook)
        self.root = cell.locator(".twistream-recording")
        self.slider = self.root.get_by_role("slider", name="Position in the call")
        self.state = self.root.get_by_role("status")

    async def position(self):
        return float(await self.slider.get_attribute("aria-valuenow"))

    async def stands_at(self, seconds):
        """Wait until the slider, which is drawn once a frame, is at that second of the call."""
        await self.page.wait_for_function(
            "([slider, s]) => Math.abs(slider.getAttribute('aria-valuenow') - s) <= 0.05",
            arg=[await self.slider.element_handle(), seconds],
        )

    async def has_no_focus(self):
        """Wait until a click has given the focus back to the notebook."""
        await self.page.wait_for_function(
            f"root => !({IS_FOCUSED})(root)", arg=await self.root.element_handle()
        )

    async def cursor(self):
        """Return where the cursor stands on the timeline, in seconds."""
        line = await self.root.locator(".twistream-recording-cursor").bounding_box()
        track = await self.slider.bounding_box()
        middle = line["x"] + line["width"] / 2 - track["x"]
        return middle / track["width"] * SECONDS

    async def click_at(self, seconds):
        track = await self.slider.bounding_box()
        place = {"x": track["width"] * seconds / SECONDS, "y": track["height"] / 2}
        await self.slider.click(position=place)

    async def wait_for_end(self):
        await expect(self.button("Play")).to_be_visible()

    async def tone(self):
        """Return the frequency and the duration of what was audible since `forget`."""
        samples, rate, _ = await self.heard()
        loud = np.flatnonzero(np.abs(samples) > 0.05)
        assert loud.size > rate // 20, "no sound was played"
        whole = samples[loud[0] : loud[-1] + 1]
        inner = whole[rate // 20 : -rate // 20]
        return frequency(inner, rate)[0], whole.size / rate


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notebook(lab, open_notebook):
    path = lab.write_notebook("recording.ipynb", CALL, SHOW, OVER_THE_KERNEL)
    notebook = await open_notebook(path, script=LOUDSPEAKER)
    await notebook.run_up_to(OVER_THE_KERNEL)
    yield notebook
    assert notebook.complaints == []
    await notebook.close()


@pytest_asyncio.fixture(loop_scope="session")
async def player(notebook):
    player = Player(notebook, await notebook.cell_at(1))
    await expect(player.slider).to_be_visible()
    return player


async def test_it_plays_both_sides_and_the_cursor_moves_and_a_click_seeks(notebook, player):
    await player.forget()
    await player.button("Play").click()
    await player.wait_for_sound()
    await player.has_no_focus()
    await expect(player.button("Pause")).to_be_visible()
    first = await player.cursor()
    await notebook.page.wait_for_function(
        "([slider, from]) => Number(slider.getAttribute('aria-valuenow')) > from",
        arg=[await player.slider.element_handle(), first + 0.7],
    )
    await player.button("Pause").click()
    await player.wait_for_end()
    assert await player.position() > first + 0.6
    await notebook.page.evaluate(TWO_FRAMES)
    assert await player.cursor() == pytest.approx(await player.position(), abs=0.02)
    hz, _ = await player.tone()
    assert hz == pytest.approx(1000, abs=5), "at the beginning the caller speaks"

    await player.click_at(4.0)
    await player.stands_at(4.0)
    await player.has_no_focus()
    await player.forget()
    await player.button("Play").click()
    await player.wait_for_end()
    hz, seconds = await player.tone()
    assert hz == pytest.approx(440, abs=5), "then you do"
    assert seconds == pytest.approx(2.0, abs=0.3), "until the clear"
    await player.stands_at(SECONDS)  # it plays to the end


async def test_twice_as_fast_it_takes_half_the_time_at_the_same_pitch_and_the_volume_is_lower(
    player,
):
    await player.click_at(3.5)
    await player.root.get_by_label("Speed").select_option("2")
    await player.root.get_by_label("Volume").fill("0.5")
    await player.forget()
    await player.button("Play").click()
    await player.wait_for_end()
    hz, seconds = await player.tone()
    assert hz == pytest.approx(440, abs=10)
    assert seconds == pytest.approx(2.5 / 2, abs=0.3)
    samples, _, _ = await player.heard()
    # Half of -6 dB, and half of that: the recorder takes the mean of both sides.
    assert np.abs(samples).max() == pytest.approx(0.125, abs=0.03)
    await player.root.get_by_label("Speed").select_option("1")
    await player.root.get_by_label("Volume").fill("1")


async def test_keys_seek_and_play_and_a_chord_goes_to_jupyter(notebook, player):
    await player.slider.focus()
    for key, seconds in (("Home", 0), ("ArrowRight", 5), ("End", 8), ("ArrowLeft", 3)):
        await player.slider.press(key)
        await player.stands_at(seconds)
    await player.slider.press("Space")
    await expect(player.button("Pause")).to_be_visible()
    await player.slider.press("Space")
    await expect(player.button("Play")).to_be_visible()
    n_cells = len(await notebook.cells())
    await player.slider.press("d")
    await player.slider.press("d")
    assert len(await notebook.cells()) == n_cells, "d d is Jupyter's for deleting a cell"
    before = (await notebook.cells())[1]["count"]
    await notebook.cell_at(1)
    await player.slider.focus()
    await player.slider.press("Shift+Enter")
    await notebook.page.wait_for_function(
        "before => window.jupyterapp.shell.currentWidget.content.widgets[1]"
        ".model.executionCount > before",
        arg=before,
    )
    await notebook.wait_until_idle()


async def test_the_download_is_the_recording(notebook, player, tmp_path):
    async with notebook.page.expect_download() as downloading:
        await player.button("WAV").click()
    download = await downloading.value
    assert download.suggested_filename == "call-000000.wav"
    await download.save_as(tmp_path / "call.wav")
    await notebook.ask(f"capture.recording.save({str(tmp_path / 'saved.wav')!r})")
    samples, saved = (
        soundfile.read(tmp_path / name, dtype="int16") for name in ("call.wav", "saved.wav")
    )
    assert samples[1] == saved[1] == 8000
    assert (samples[0] == saved[0]).all()


async def test_without_a_socket_it_plays_over_the_kernel(notebook):
    player = Player(notebook, await notebook.cell_at(2))
    await player.click_at(4.5)
    await player.forget()
    await player.button("Play").click()
    await player.wait_for_end()
    hz, seconds = await player.tone()
    assert hz == pytest.approx(440, abs=5)
    assert seconds == pytest.approx(1.5, abs=0.3)


async def test_it_is_accessible_and_fits_in_both_themes_and_widths(notebook):
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        await notebook.theme(theme)
        for width in (900, 1400):
            await notebook.page.set_viewport_size({"width": width, "height": 1000})
            player = Player(notebook, await notebook.cell_at(1))
            await expect(player.slider).to_be_visible()
            await notebook.picture(f"recording-{theme.split()[1].lower()}-{width}")
        found = await find_violations(notebook.page, ".twistream-recording", rules=OF_A_WHOLE_PAGE)
        assert [each["id"] for each in found] == []
    await notebook.assert_no_result_is_wider_than_the_page()


async def test_the_copy_is_hidden_beside_the_player_and_shown_where_the_model_is_gone(notebook):
    shown = (await notebook.cells())[1]["outputs"]
    kinds = [next(iter(sorted(output["data"], reverse=True))) for output in shown]
    assert kinds == ["text/plain", "text/plain", "text/plain"]
    html = [output["data"].get("text/html", "") for output in shown]
    assert "application/vnd.jupyter.widget-view+json" in shown[0]["data"]
    assert "<audio" in html[1]
    assert "A captured call" in html[2]
    assert "<audio" not in html[2]
    cell = await notebook.cell_at(1)
    await expect(cell.locator("audio")).to_be_hidden()
    # As JupyterLab leaves the output of a widget whose model is gone.
    await cell.locator(".jp-OutputArea-output").first.evaluate(
        "output => { output.textContent = 'Error displaying widget: model not found';"
        " output.classList.add('jupyter-widgets'); }"
    )
    await expect(cell.locator("audio")).to_be_visible()
    length = await read_length(cell.locator("audio"))
    assert length == pytest.approx(SECONDS, abs=0.1)
    await notebook.picture("recording-without-a-kernel", cell)
