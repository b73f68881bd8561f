"""The telephone where a page may do little, as in VS Code and Colab: no microphone, no socket on
this machine, no worklet from a blob; for Colab also no binary part in the kernel's messages.
"""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import expect

from support.handset import Handset
from support.restricted_page import RECORDER, RestrictedPage
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.notebook.runtime import background
from twistream_kit.notebook.widgets.phone import PhoneWidget
from twistream_kit.simulator.twilio import SimulatedTwilio

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NUMBER = "+15550100001"
TONE_HZ = 440
NO_MICROPHONE = "The page around this notebook gives its outputs no microphone, as in VS Code."


WORKLET_FROM_BLOB = """async () => {
    const address = URL.createObjectURL(new Blob([";"], { type: "text/javascript" }));
    const context = new OfflineAudioContext(1, 1, 8000);
    return context.audioWorklet.addModule(address).then(() => "loaded", (error) => error.name);
}"""


class Output:
    """What `Handset` needs of a notebook: a page, or a frame in it."""

    def __init__(self, page):
        self.page = page


class RestrictedPhone(Handset):
    """A telephone on a restricted page, and the call that it is in."""

    def __init__(self, frame):
        super().__init__(Output(frame))
        self.voice = self.root.locator(".tp-voice")


class Desk:
    """The kernel's side: all that blocks runs on a thread, as it would in a kernel."""

    def __init__(self):
        self.twilio = background.start(SimulatedTwilio(ring_seconds=0.02))
        self.server = background.start(StreamServer())
        self.phone = self.twilio.phone(NUMBER, answer="manual")
        clip = Clip(Clip.tone(700, 0.5).payload, name="seven hundred")
        self.widget = PhoneWidget(self.phone, server=self.server, voices=[clip])
        self.clip = clip

    def ring(self):
        self.call = place_call(
            self.twilio.client,
            to=NUMBER,
            from_=self.twilio.numbers[0],
            stream_url=self.server.stream_url,
        )
        self.phone.until("ringing").result(LIMIT_SECONDS)

    def stream(self):
        call = self.call.result(LIMIT_SECONDS)
        return self.server.next_stream(call).result(LIMIT_SECONDS)


@pytest_asyncio.fixture(loop_scope="session", params=["VS Code", "Colab"])
async def desk(request, browser):
    """A telephone that has been answered on such a page."""
    desk = await asyncio.to_thread(Desk)
    context = await browser.new_context(permissions=["microphone"])
    page = await context.new_page()
    await page.add_init_script(RECORDER)
    async with RestrictedPage(desk.widget) as server:
        desk.server_of_page = server
        frame = page
        if request.param == "Colab":
            await page.goto(server.framed_address)
            frame = page.frames[1]
        else:
            await page.goto(server.address)
        desk.frame, desk.front_end = frame, request.param
        desk.handset = RestrictedPhone(frame)
        await expect(desk.handset.footer).to_contain_text("Through the kernel's messages")
        await asyncio.to_thread(desk.ring)
        await expect(desk.handset.state).to_contain_text("is calling")
        await desk.handset.button("Answer").click()
        desk.stream = await asyncio.to_thread(desk.stream)
        await expect(desk.handset.state).to_contain_text("In a call")
        yield desk
        await context.close()
    desk.widget.close()
    await asyncio.to_thread(background.stop)


def is_said(frames, clip):
    """Return whether the caller says some whole frame of a clip within the next ten seconds."""
    sound = decode_ulaw(clip.payload).tobytes()
    loud = (frame for frame in itertools.islice(frames, 500) if np.abs(frame).max() > 1000)
    return any(frame.tobytes() in sound for frame in loud)


async def test_all_works_that_can_and_the_page_says_what_cannot(desk, pictures, tmp_path):
    handset, voice = desk.handset, desk.handset.voice
    await expect(voice).to_contain_text(NO_MICROPHONE)
    await expect(handset.button("Mute")).to_be_disabled()

    await handset.forget()
    playing = desk.stream.play(Clip.tone(TONE_HZ, 3))
    await handset.wait_for_sound()
    await expect(handset.footer).to_contain_text("simple player")
    await playing
    samples, rate, _ = await handset.heard()
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    hz, purity = await handset.tone_in(samples[loud[0] : loud[-1]][rate // 2 : -rate // 2], rate)
    assert hz == pytest.approx(TONE_HZ, abs=2)
    assert purity > 25, await handset.footer.inner_text()

    frames = desk.stream.audio()
    await handset.button("Say it").click()
    assert await asyncio.to_thread(is_said, iter(frames), desk.clip)

    path = tmp_path / "chosen.wav"
    await asyncio.to_thread(soundfile.write, path, np.full(400_000, 0.2), 8000)
    before = desk.server_of_page.messages
    await voice.get_by_label("Choose a file").set_input_files(path)
    await expect(voice.get_by_role("status")).to_contain_text("✓ chosen.wav, 50.00 s")
    assert desk.server_of_page.messages - before == 3, "its beginning, and two pieces of 512 kB"
    await expect(voice.locator("select")).to_have_value("chosen")
    frames = desk.stream.audio()
    await handset.button("Say it").click()
    assert await asyncio.to_thread(is_said, iter(frames), desk.widget.added["chosen"])
    name = desk.front_end.lower().replace(" ", "-")
    await handset.root.screenshot(path=pictures / f"phone-in-{name}.png")

    await handset.button("5").click()
    await handset.button("Hang up").click()
    await expect(handset.state).to_contain_text("has ended")
    blocked = set(await desk.frame.evaluate("() => window.violations"))
    assert "connect-src" in blocked, "the page could have used the socket"
    assert await desk.frame.evaluate(WORKLET_FROM_BLOB) == "AbortError", "it could use a worklet"
