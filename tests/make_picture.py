"""Make the picture of the README: a telephone, the controls and the scope in the middle of a call.

python tests/make_picture.py [FILE]

A real JupyterLab and a Chromium without a window; the picture is ``notebooks/telephone.png`` if
not asked otherwise.  It is made by hand, now and then, and looked at: no test compares it.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from support.chromium import FLAGS, find_chromium
from support.lab import Lab
from support.notebook_page import NotebookPage

ROOT = Path(__file__).parent.parent
MOST_BYTES = 200_000

CALL = """\
import threading

import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001")
clips = ["../sample_audio/greeting.wav", "../sample_audio/reply.wav"]
workbench = kit.Workbench(server, phone, clips)
workbench.stream_log.layout.display = "none"  # its lines are too small to be read there
workbench.layout.width, workbench.layout.padding = "1100px", "6px"
controls = workbench.controls
call = kit.place_call(
    twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
).result(10)
stream = server.next_stream(call).result(10)"""
SHOW = "workbench"

CONVERSATION = """\
threading.Event().wait(1)
controls.send_button.click()
stream.newest.heard(1.3).result(5)
controls.clip.index = 1
controls.speak_over_button.click()
stream.newest.heard(0.8).result(5)
phone.press("5")
controls.mark_button.click()
stream.newest.result(5)
controls.clip.index = 0
controls.send_button.click()
stream.newest.heard(3.0).result(5)"""


def main(target: Path) -> None:
    """Hold a short conversation, and take its picture."""
    if find_chromium() is None:
        raise SystemExit("There is no Chromium on PATH, and only a browser can take the picture.")
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        picture = _small(asyncio.run(_taken(Path(folder))))
    target.write_bytes(picture)
    sys.stdout.write(f"{target}: {len(picture) / 1000:.0f} kB\n")


async def _taken(folder: Path) -> bytes:
    from playwright.async_api import async_playwright

    lab = Lab(folder, ROOT)
    lab.start()
    try:
        await lab.ready()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=find_chromium(),
                args=[*FLAGS, *_microphone(folder / "microphone.wav")],
            )
            view = {"width": 1700, "height": 1000}
            page = await browser.new_page(viewport=view, device_scale_factor=1.5)
            notebook = NotebookPage(page, lab.address, folder)
            await notebook.open(lab.write_notebook("picture.ipynb", CALL, SHOW))
            taken = await _in_mid_call(notebook)
            await browser.close()
            return taken
    finally:
        lab.stop()


def _microphone(path: Path) -> list[str]:
    """Write what the caller says, again and again; return what makes it the microphone."""
    samples, rate = soundfile.read(ROOT / "sample_audio" / "reply.wav")
    soundfile.write(path, np.concatenate([samples, np.zeros(2 * rate)]), rate, subtype="PCM_16")
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    ]


async def _in_mid_call(notebook) -> bytes:
    await notebook.run_all()
    shown = (await notebook.cell_at(1)).locator(".twistream-workbench")
    await shown.get_by_role("button", name="Sound", exact=True).click()
    await shown.get_by_role("button", name="Mute", exact=True, disabled=False).wait_for()
    await notebook.page.mouse.move(0, 0)
    await notebook.ask(CONVERSATION)
    await notebook.page.evaluate("() => document.activeElement?.blur()")
    return await shown.screenshot()


def _small(png: bytes) -> bytes:
    """Return the picture with a palette of its own: nobody sees the difference."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small = io.BytesIO()
    picture.save(small, "PNG", optimize=True)
    if small.tell() > MOST_BYTES:
        raise SystemExit(f"The picture has {small.tell()} bytes; it may have {MOST_BYTES}.")
    return small.getvalue()


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ROOT / "notebooks" / "telephone.png"
    main(Path(wanted))
