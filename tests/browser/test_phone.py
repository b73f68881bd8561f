"""The telephone in a real page: heard through its loudspeaker, spoken into by a fake microphone."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import expect

from support import handset as telephone
from support.chromium import FLAGS
from support.handset import LOUDSPEAKER, frequency
from support.lab import HOLD, PLAYS_AGAIN
from support.notebook_page import Pages
from support.waiting import LIMIT_SECONDS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

BEGIN = """\
import twistream_kit as kit
from twistream_kit.notebook.widgets.phone import PhoneWidget

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001", answer="manual")


def ring():
    return kit.place_call(
        twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
    ).result(30)"""
SHOW = "widget = PhoneWidget(phone, server=server)\nwidget"
DROP = """(root, [name, raw]) => {
    const bytes = Uint8Array.from(atob(raw), letter => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    const options = { dataTransfer, bubbles: true, cancelable: true };
    const over = new DragEvent("dragover", options);
    root.dispatchEvent(over);
    if (!over.defaultPrevented) throw new Error("it takes no files");
    root.dispatchEvent(new DragEvent("drop", options));
}"""
ONE_RUNS = """() => window.loudspeaker.contexts
    .filter(each => each.state !== 'closed').length === 1"""
"""A page closes its contexts by and by."""

ALL_TRACKS_ENDED = """() => window.loudspeaker.tracks.length > 0
    && window.loudspeaker.tracks.every(track => track.readyState === 'ended')"""

HEARD_FRAMES = 500
MIC_HZ, TONE_HZ, TONE_SECONDS = 1000, 440, 30


class Handset(telephone.Handset):
    """The telephone of a notebook that was written here."""

    async def show(self, source):
        """Change the cell that shows the telephone, and run it."""
        await self.page.evaluate(
            "source => window.jupyterapp.shell.currentWidget.content.widgets[1]"
            ".model.sharedModel.setSource(source)",
            source,
        )
        await self.notebook.run_cell("widget = PhoneWidget")
        await expect(self.state).to_contain_text("call")

    async def ring(self):
        await self.notebook.ask("call = ring()")
        await expect(self.state).to_contain_text("is calling")

    async def answer(self):
        await self.ring()
        await self.button("Answer").click()
        await self.notebook.ask("stream = server.next_stream(call).result(30)")
        await expect(self.state).to_contain_text("In a call")

    @property
    def voice(self):
        """Where files are said and chosen."""
        return self.root.locator(".tp-voice")

    async def drop(self, path):
        """Drop a file on the telephone, as from a file manager."""
        raw = base64.b64encode(path.read_bytes()).decode()
        await self.root.evaluate(DROP, [path.name, raw])

    async def hang_up(self):
        await self.notebook.ask("phone.state == 'idle' or phone.hang_up()")
        await self.notebook.ask("phone.until('idle').result(30)")


@pytest.fixture(scope="module")
def microphone(tmp_path_factory):
    """A file that Chromium takes for a microphone: a tone without an end."""
    path = tmp_path_factory.mktemp("microphone") / "tone.wav"
    t = np.arange(48_000) / 48_000
    soundfile.write(path, 0.25 * np.sin(2 * np.pi * MIC_HZ * t), 48_000, subtype="PCM_16")
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def phone_browser(chromium, microphone):
    """A Chromium with a microphone, which it may use."""
    from playwright.async_api import async_playwright

    flags = [
        *FLAGS,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
    ]
    expect.set_options(timeout=LIMIT_SECONDS * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_phone(lab, phone_browser, pictures):
    """Open a notebook with a telephone."""
    context = await phone_browser.new_context(viewport={"width": 1000, "height": 900})
    context.set_default_timeout(LIMIT_SECONDS * 1000)
    pages = Pages(context, lab.address, pictures)

    async def open_one(name):
        path = lab.write_notebook(name, BEGIN, SHOW, HOLD)
        notebook = await pages.open(path, script=LOUDSPEAKER)
        await notebook.run_up_to("widget = PhoneWidget")
        handset = Handset(notebook)
        await expect(handset.state).to_be_visible()
        return handset

    yield open_one
    await pages.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shown(open_phone):
    """One notebook with a telephone for all tests that leave it as they found it."""
    handset = await open_phone("phone.ipynb")
    yield handset
    assert handset.notebook.complaints == []


@pytest_asyncio.fixture(loop_scope="session")
async def handset(shown):
    yield shown
    await shown.hang_up()


async def test_it_rings_is_answered_and_the_tone_comes_out_of_the_loudspeaker(handset):
    await handset.ring()
    await handset.notebook.picture("phone-ringing", handset.root)
    await handset.button("Answer").click()
    await handset.notebook.ask("stream = server.next_stream(call).result(30)")
    await expect(handset.footer).to_contain_text("Direct connection")
    await expect(handset.footer).to_contain_text("this page's player: ")
    await expect(handset.button("Sound")).to_have_attribute("title", re.compile("microphone"))
    await handset.forget()
    await handset.notebook.ask(f"playing = stream.play(kit.Clip.tone({TONE_HZ}, 2.5))")
    await handset.wait_for_sound()
    await handset.notebook.picture("phone-in-call", handset.root)
    await handset.notebook.ask("playing.result(30)")
    await handset.wait_for_silence()
    samples, rate, _ = await handset.heard()
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    middle = samples[loud[0] : loud[-1]][rate // 2 : -rate // 2]
    hz, purity = await handset.tone_in(middle, rate)
    assert hz == pytest.approx(TONE_HZ, abs=2)
    assert purity > 30, await handset.footer.inner_text()
    assert (loud[-1] - loud[0]) / rate == pytest.approx(2.5, abs=0.15)


async def test_a_key_arrives_as_dtmf_from_mouse_and_keyboard_and_a_heard_key_is_shown(handset):
    await handset.answer()
    await handset.notebook.ask("events = stream.events()")
    keys = handset.page.locator("[data-digit]")
    said = "all => all.map((each) => [each.dataset.digit, each.getAttribute('aria-keyshortcuts')])"
    assert await keys.evaluate_all(said) == [[key, key] for key in "123456789*0#"]
    await handset.button("5").click()
    for key in "#00":
        await handset.button("5").press(key)
    news = handset.root.locator(".tp-news")
    await expect(news).to_be_hidden()
    await handset.notebook.ask("stream.play(kit.Clip.dtmf('42#')).result(30)")
    await expect(news).to_have_text("Keys heard: 42#")
    digits = "import itertools; print(*[m.digit for m in itertools.islice(events, 4)])"
    assert await handset.notebook.ask(digits) == "5 # 0 0"
    # In JupyterLab's own hands, 0 0 would have asked whether to restart the kernel.
    await expect(handset.page.locator(".jp-Dialog")).to_have_count(0)


@pytest.mark.slow
async def test_a_mailbox_is_not_spoken_for_and_its_recording_is_played(handset):
    await handset.notebook.ask(
        "twilio.phone(phone.number, 'mailbox', greeting=kit.Clip.tone(330, 3), beep_hz=None)"
    )
    try:
        await handset.notebook.ask(
            "call = twilio.client.calls.create(to=phone.number, from_=twilio.numbers[0],"
            " twiml='<Response><Pause length=\\'4\\'/><Say>one two</Say></Response>')"
        )
        await expect(handset.state).to_contain_text("In a call")
        await expect(handset.button("5")).to_be_disabled()
        await expect(handset.button("Say it")).to_be_disabled()
        await expect(handset.state).to_contain_text("ended")
        audio = handset.root.locator("audio")
        await expect(audio).to_be_hidden()
        await handset.button("Play the recording").click()
        await expect(audio).to_be_visible()
        await handset.page.wait_for_function(
            "audio => audio.duration > 0.3", arg=await audio.element_handle()
        )
    finally:
        await handset.notebook.ask("twilio.phone(phone.number, 'manual')")


LISTEN = """
import itertools
import numpy as np
frames = list(itertools.islice(stream.audio(), {frames}))
samples = np.concatenate(frames).astype(float)
windows = samples[: samples.size // 800 * 800].reshape(-1, 800)
peaks = 10 * np.abs(np.fft.rfft(windows * np.hanning(800), axis=1)).argmax(axis=1)
loud = np.abs(windows).max(axis=1) > 500
print([len(frames), int(loud.sum()), int((abs(peaks - 1000) <= 10)[loud].sum()), len(windows)])
"""


async def test_the_microphone_arrives_as_the_callers_voice_whole_and_in_order(handset):
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.notebook.ask("voice = widget.pages.voice; before = (voice.dropped, voice.gaps)")
    counted = json.loads(await handset.notebook.ask(LISTEN.format(frames=HEARD_FRAMES)))
    lost = await handset.notebook.ask(
        "print(widget.pages.lost, voice.dropped - before[0], voice.gaps - before[1])"
    )
    frames, loud, right, windows = counted
    assert frames == HEARD_FRAMES
    assert lost.split()[0] == "0", "a message of the microphone was lost"
    assert right == loud
    # What a busy machine delays by more than the buffer holds is silence, and is counted.
    assert loud >= 0.9 * windows, f"lost, dropped, gaps: {lost}"


HALF_A_SECOND_OF_SILENCE = """
import itertools
silent = 0
for frame in itertools.islice(stream.audio(), 1500):
    if not silent: taken = widget.pages.voice.given
    silent = 0 if frame.any() else silent + 1
    if silent > 25 and widget.pages.voice.given - taken >= 20: break
print(silent > 25)
"""
"""Wait for silence that the microphone has sent; where it sends nothing, it is silent as well."""


async def test_a_muted_microphone_sends_silence_and_not_nothing(handset):
    await handset.answer()
    mute = handset.button("Mute")
    await expect(mute).to_be_enabled()
    await mute.click()
    await expect(mute).to_have_attribute("aria-pressed", "true")
    assert await handset.notebook.ask(HALF_A_SECOND_OF_SILENCE) == "True"
    await mute.click()
    await expect(mute).to_have_attribute("aria-pressed", "false")


async def silence_after_click(handset):
    """Play, click the phone's own Clear, and wait for the silence; return how it came."""
    await handset.forget()
    await handset.notebook.ask(f"playing = stream.play(kit.Clip.tone({TONE_HZ}, {TONE_SECONDS}))")
    await handset.wait_for_sound()
    return await handset.clear_with(handset.button("Clear"))


async def test_clear_is_heard_at_the_loudspeaker(handset):
    await handset.answer()
    for _ in range(3):
        assert (await silence_after_click(handset)).seconds < TONE_SECONDS - 5
        assert await handset.notebook.ask("print(playing.result(30).ending)") == "cleared"


async def test_clear_and_hang_up_work_while_a_cell_sleeps(handset, lab):
    await handset.answer()
    await handset.forget()
    await handset.notebook.ask(PLAYS_AGAIN)
    await handset.wait_for_sound()
    await handset.notebook.run_without_waiting(HOLD)
    for _ in range(3):
        await handset.wait_for_sound()
        await handset.clear_with(handset.button("Clear"))
        await handset.forget()
        lab.let_play_again()
    await handset.button("Hang up").click()
    await expect(handset.state).to_contain_text("has ended")
    assert await handset.notebook.is_running(HOLD)
    lab.release_held_cell()
    await handset.notebook.wait_until_idle()


async def test_hanging_up_lets_the_microphone_go(handset):
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.button("Hang up").click()
    await expect(handset.state).to_contain_text("has ended")
    await handset.notebook.picture("phone-ended", handset.root)
    await handset.page.wait_for_function(ALL_TRACKS_ENDED)
    assert await handset.notebook.ask("print(phone.state)") == "idle"


async def test_it_looks_right_in_the_dark(handset):
    await handset.notebook.theme("JupyterLab Dark")
    await handset.ring()
    await handset.notebook.picture("phone-ringing-dark", handset.root)
    await handset.button("Answer").click()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.notebook.ask("stream = server.next_stream(call).result(30)")
    await handset.notebook.ask(f"playing = stream.play(kit.Clip.tone({TONE_HZ}, 5))")
    await handset.wait_for_sound()
    await handset.notebook.picture("phone-in-call-dark", handset.root)
    await handset.button("Hang up").click()
    await expect(handset.state).to_contain_text("has ended")
    await handset.notebook.picture("phone-ended-dark", handset.root)
    await handset.notebook.theme("JupyterLab Light")


async def test_once_sound_is_on_the_next_call_is_heard_to_ring(handset):
    await handset.answer()
    await handset.button("Hang up").click()
    await expect(handset.state).to_contain_text("has ended")
    await handset.forget()
    await handset.ring()
    await handset.page.wait_for_function(
        "() => window.loudspeaker.pieces.filter(([, s]) => Math.abs(s[0]) > 0.01).length > 100"
    )
    samples, rate, _ = await handset.heard()
    hz, _ = frequency(samples[np.flatnonzero(np.abs(samples) > 0.01)[0] :], rate)
    assert hz == pytest.approx(460, abs=40)
    await handset.button("Decline").click()
    await expect(handset.state).to_contain_text("Waiting for a call")


async def test_running_the_cell_again_leaves_one_voice(handset):
    await handset.answer()
    await handset.notebook.run_cell("widget = PhoneWidget")
    await expect(handset.state).to_contain_text("In a call")
    # The page had the sound, so the new widget has it, without another click.
    await expect(handset.button("Sound")).to_have_attribute("aria-pressed", "true")
    await handset.forget()
    await handset.notebook.ask("playing = stream.play(kit.Clip.tone(440, 1))")
    await handset.wait_for_sound()
    await handset.page.wait_for_function(ONE_RUNS)
    await expect(handset.button("Mute")).to_be_enabled()
    live = "() => window.loudspeaker.tracks.filter(t => t.readyState === 'live').length === 1"
    await handset.page.wait_for_function(live)


async def test_two_views_of_one_phone_make_one_sound(handset):
    await handset.notebook.ask("from IPython.display import display")
    await handset.answer()
    await handset.show(SHOW.replace("\nwidget", "\ndisplay(widget)\nwidget"))
    await expect(handset.page.locator(".twistream-phone")).to_have_count(2)
    for view in await handset.page.locator(".twistream-phone").all():
        await expect(view.get_by_role("button", name="Sound")).to_have_attribute(
            "aria-pressed", "true"
        )
    await handset.page.wait_for_function(ONE_RUNS)


async def test_over_the_kernels_messages_it_works_as_well(handset):
    await handset.show(SHOW.replace("server=server", "server=server, direct=False"))
    await expect(handset.footer).to_contain_text("Through the kernel")
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.notebook.ask("playing = stream.play(kit.Clip.tone(440, 3))")
    await handset.wait_for_sound()
    await handset.notebook.ask(LISTEN.format(frames=50))  # the first half second may have gaps
    counted = json.loads(await handset.notebook.ask(LISTEN.format(frames=100)))
    await handset.notebook.ask("playing.result(30)")
    await handset.wait_for_silence()
    samples, rate, _ = await handset.heard()
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    hz, _ = frequency(samples[loud[0] : loud[-1]], rate)
    assert hz == pytest.approx(TONE_HZ, abs=3)
    assert counted[2] >= 0.7 * counted[3], await handset.footer.inner_text()
    await handset.button("Clear").click()
    await handset.button("Hang up").click()
    await expect(handset.state).to_contain_text("has ended")
    await handset.show(SHOW)


async def test_over_the_kernels_messages_a_page_that_shows_it_no_more_gives_its_sound_back(handset):
    await handset.show(SHOW.replace("server=server", "server=server, direct=False"))
    await handset.answer()
    await handset.notebook.until("widget.pages.speaker")
    await handset.page.evaluate(
        "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
    )
    await handset.notebook.until("widget.pages.speaker == ''")
    assert await handset.notebook.ask("print(phone.state)") == "in-call"
    await handset.show(SHOW)


SAID = """
limit = time.monotonic() + 20
frames = (f for f in stream.audio() if abs(f.astype(int)).max() > 1000)
print(next(frames).tobytes() in kit.decode_ulaw(kit.load_clip({path!r}).payload).tobytes())
"""


async def test_a_file_is_said_with_a_microphone_too(handset):
    await expect(handset.voice.get_by_role("button", name="Say it")).to_be_disabled()
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.button("Mute").click()
    await handset.voice.locator("select").select_option("reply.wav")
    await handset.button("Say it").click()
    said = SAID.format(path="../sample_audio/reply.wav")
    assert await handset.notebook.ask("import time" + said) == "True"


async def test_chosen_and_dropped_files_can_be_said_at_once(handset, tmp_path):
    for name in ("one.wav", "two.wav", "broken.m4a"):
        path = tmp_path / name
        if path.suffix == ".wav":
            soundfile.write(path, np.full(4000, len(name) * 0.03), 8000, subtype="PCM_16")
        else:
            path.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + bytes(600))
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.button("Mute").click()
    chooser = handset.voice.get_by_label("Choose a file")
    await chooser.set_input_files([tmp_path / "one.wav", tmp_path / "broken.m4a"])
    results = handset.voice.get_by_role("status")
    await expect(results).to_contain_text("✓ one.wav, 0.50 s")
    await expect(results).to_contain_text("✖ broken.m4a")
    await expect(results).to_contain_text("ffmpeg")
    await handset.notebook.picture("phone-files", handset.root)
    await handset.drop(tmp_path / "two.wav")
    await expect(results).to_contain_text("✓ two.wav, 0.50 s")
    await expect(handset.voice.locator("select")).to_have_value("two")
    await handset.button("Say it").click()
    loud = "import time\nframe = next(f for f in stream.audio() if abs(f).max() > 1000)\n"
    assert await handset.notebook.ask(loud + "print(abs(int(frame.max()) - 6881) < 200)") == "True"
    await handset.notebook.run_cell("widget = PhoneWidget")
    await expect(handset.voice.get_by_text("one", exact=True)).to_have_count(1)


async def test_the_volume_is_heard_and_remembered(handset):
    volume = handset.root.get_by_role("slider", name="Volume")
    await expect(volume).to_have_value("100")
    await handset.answer()
    loudness = {}
    for value in ("50", "100"):
        await volume.fill(value)
        await expect(volume).to_have_attribute("aria-valuetext", f"{value} %")
        await handset.forget()
        await handset.notebook.ask(f"playing = stream.play(kit.Clip.tone({TONE_HZ}, 1))")
        await handset.wait_for_sound()
        await handset.notebook.ask("playing.result(30)")
        samples, _, _ = await handset.heard()
        loudness[value] = np.percentile(np.abs(samples[np.abs(samples) > 0.005]), 90)
        if value == "50":
            await handset.notebook.run_cell("widget = PhoneWidget")
            await expect(volume).to_have_value("50")
            await expect(handset.button("Sound")).to_have_attribute("aria-pressed", "true")
    assert loudness["50"] == pytest.approx(loudness["100"] / 4, rel=0.05)


NO_DEVICE = """() => {
navigator.mediaDevices.getUserMedia = async () => {
    throw new DOMException("Requested device not found", "NotFoundError");
};}
"""


async def test_without_a_microphone_a_file_speaks(handset):
    await handset.page.evaluate(NO_DEVICE)
    await handset.answer()
    voice = handset.voice
    await expect(voice).to_contain_text("There is no microphone")
    await voice.locator("select").select_option("reply.wav")
    await handset.notebook.picture("phone-no-microphone", handset.root)
    await handset.button("Say it").click()
    wait = "next(f for f in stream.audio() if abs(f.astype(int)).max() > 1000); print('heard')"
    assert await handset.notebook.ask(wait) == "heard"
    await handset.page.evaluate("() => { delete navigator.mediaDevices.getUserMedia; }")


INSECURE = """() => {
const hidden = { configurable: true, get: () => undefined };
window.secure = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, "audioWorklet");
Object.defineProperty(BaseAudioContext.prototype, "audioWorklet", hidden);
Object.defineProperty(navigator, "mediaDevices", hidden);
}
"""

SECURE_AGAIN = """() => {
Object.defineProperty(BaseAudioContext.prototype, "audioWorklet", window.secure);
delete navigator.mediaDevices;
}"""


async def test_without_a_secure_context_it_is_heard_all_the_same(handset):
    await handset.page.evaluate(INSECURE)
    await handset.show(SHOW)
    await handset.answer()
    await expect(handset.root.locator(".tp-voice")).to_contain_text("https pages and to localhost")
    await handset.forget()
    await handset.notebook.ask("playing = stream.play(kit.Clip.tone(440, 3))")
    await handset.wait_for_sound()
    await handset.notebook.ask("playing.result(30)")
    await handset.wait_for_silence()
    samples, rate, _ = await handset.heard()
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    hz, purity = await handset.tone_in(samples[loud[0] : loud[-1]][rate // 2 : -rate // 2], rate)
    assert hz == pytest.approx(TONE_HZ, abs=2)
    assert purity > 25, await handset.footer.inner_text()
    await expect(handset.footer).to_contain_text("simple player")
    await handset.page.evaluate(SECURE_AGAIN)
    await handset.show(SHOW)


async def test_after_a_reload_the_call_goes_on_and_sound_needs_a_click(open_phone):
    handset = await open_phone("reload.ipynb")
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    await handset.page.reload()
    await expect(handset.state).to_contain_text("In a call")
    assert await handset.notebook.ask("print(phone.state)") == "in-call"
    await expect(handset.footer).to_contain_text("Direct connection")
    await expect(handset.button("Mute")).to_be_disabled()
    await handset.button("Sound").click()
    await handset.notebook.ask("playing = stream.play(kit.Clip.tone(440, 1))")
    await handset.wait_for_sound()
    await handset.hang_up()
    assert handset.notebook.complaints == []
    await handset.notebook.close()


async def test_the_secret_is_not_saved_with_the_notebook(open_phone):
    handset = await open_phone("saved.ipynb")
    await expect(handset.footer).to_contain_text("Direct connection")
    toggle = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
    for command in (toggle, "docmanager:save", toggle):
        await handset.page.evaluate("name => window.jupyterapp.commands.execute(name)", command)
    look = """
import json, pathlib
text = pathlib.Path("saved.ipynb").read_text()
saved = json.loads(text)["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]
states = [each["state"] for each in saved["state"].values()]
addresses = [state["_address"] for state in states if "_address" in state]
print(addresses, widget._address.rpartition("/")[2] in text, len(widget._address) > 40)
"""
    assert await handset.notebook.ask(look) == "[''] False True"
    assert handset.notebook.complaints == []
    await handset.notebook.close()


async def test_after_a_restart_of_the_kernel_nothing_stays_on(open_phone):
    handset = await open_phone("restart.ipynb")
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    await handset.page.wait_for_function(ALL_TRACKS_ENDED)
    await handset.notebook.run_up_to("widget = PhoneWidget")
    await handset.answer()
    await handset.notebook.ask("playing = stream.play(kit.Clip.tone(440, 1))")
    await handset.wait_for_sound()
    assert [c for c in handset.notebook.complaints if "uncaught" in c] == []
    await handset.hang_up()
    await handset.notebook.close()


async def test_a_closed_page_takes_its_microphone_out_of_the_call(open_phone, lab, eventually):
    handset = await open_phone("closed.ipynb")
    await handset.answer()
    await expect(handset.button("Mute")).to_be_enabled()
    await handset.notebook.until("widget.pages.speaker")
    await handset.notebook.ask(
        "import threading, pathlib\n"
        "def look():\n"
        "    while widget.pages.speaker: threading.Event().wait(0.02)\n"
        "    pathlib.Path('gone').write_text(phone.state)\n"
        "threading.Thread(target=look, daemon=True).start()"
    )
    await handset.page.close()
    gone = lab.root / "notebooks" / "gone"
    assert await eventually(lambda: gone.exists() and gone.read_text()) == "in-call"
