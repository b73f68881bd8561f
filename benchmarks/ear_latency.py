"""From ``stream.play`` to the loudspeaker of a page, and from its microphone to ``stream.audio``.

A real JupyterLab, its kernel, and a Chromium without a window.  The tone is heard where the page
gives it to the sound card, and spoken where a sound card would have given it to the page: what a
sound card adds of its own is not in the figures, all that is ours is.  Both ways are measured at
once, in an idle kernel, in one whose cell sleeps, and in one whose cell computes in pure Python.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from measuring import HERE, Figure, percentile

ROOT = HERE.parent
sys.path.append(str(ROOT / "tests"))  # for the modules there that drive the browser
MOST = 0.4
"""A later effect, in seconds, belongs to another cause."""

CALL = """\
import json, random, threading, time
import numpy as np
import twistream_kit as kit

twilio = kit.start(kit.SimulatedTwilio())
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001", answer="manual")
tone = kit.Clip.tone(440, 0.1)


def play(times, played):
    for _ in range(times):
        played.append(time.time())
        stream.play(tone)
        time.sleep(0.4 + random.uniform(0, 0.04))


def listen(arrived, enough):
    quiet = 0
    for frame in stream.audio():
        if enough.is_set():
            return
        if abs(frame.astype(int)).max() < 300:
            quiet += 1
        else:
            if quiet >= 5:
                arrived.append(time.time())
            quiet = 0


def measure(times):
    global played, arrived, enough
    played, arrived, enough = [], [], threading.Event()
    threading.Thread(target=listen, args=(arrived, enough), daemon=True).start()
    threading.Thread(target=play, args=(times, played), daemon=True).start()"""
SHOW = "kit.PhoneWidget(phone, server=server)"
DIAL = (
    "call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],"
    " stream_url=server.stream_url).result(10)"
)
CELLS = {
    "idle": "",
    "a cell sleeps": "# asleep\ntime.sleep({seconds})",
    "a cell computes": "# at work\nend = time.monotonic() + {seconds}\n"
    "while time.monotonic() < end: sum(n * n for n in range(100))",
}


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure both ways, some twenty times in each state of the kernel."""
    why_not = _what_is_missing()
    if why_not:
        return [Figure("kernel → ear → kernel, in a browser", f"left out: {why_not}")]
    with tempfile.TemporaryDirectory(prefix="ear-") as folder:
        found, cleared = asyncio.run(_measured(Path(folder), times=3 if tiny else 20))
    figures = []
    for state, (heard, said, times) in found.items():
        for way, values in (("kernel → ear", heard), ("ear → kernel", said)):
            what = f"{way}, {state}: median and p95"
            figures.append(Figure(what, _in_words(values, times)))
    if cleared:
        middle, most = (1000 * percentile(cleared, share) for share in (0.5, 0.95))
        figures.append(
            Figure(
                f"click on Clear → silence at the ear, {len(cleared)} clicks: median and p95",
                f"{middle:.0f} and {most:.0f} ms", "≤ 150 ms", middle <= 150,
            )
        )  # fmt: skip
    return figures


def _in_words(values: list[float], times: int) -> str:
    if not values:
        return f"none of {times} arrived"
    middle, most = (1000 * percentile(values, share) for share in (0.5, 0.95))
    lost = f", {times - len(values)} of {times} lost" if len(values) < times else ""
    return f"{middle:.0f} and {most:.0f} ms{lost}"


def _what_is_missing() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    from support.chromium import find_chromium

    return "" if find_chromium() else "there is no Chromium on PATH"


async def _measured(folder: Path, times: int):
    from playwright.async_api import async_playwright

    from support.chromium import FLAGS, find_chromium
    from support.handset import LOUDSPEAKER, Handset
    from support.lab import Lab
    from support.notebook_page import NotebookPage

    lab = Lab(folder, ROOT)
    lab.start()
    try:
        await lab.ready()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            page = await browser.new_page()
            microphone = (HERE / "page_microphone.js").read_text(encoding="utf-8")
            await page.add_init_script(microphone + LOUDSPEAKER)
            notebook = NotebookPage(page, lab.address, folder)
            seconds = 0.45 * times + 1.5
            busy = [code.format(seconds=seconds) for code in CELLS.values() if code]
            await notebook.open(lab.write_notebook("ear.ipynb", CALL, SHOW, *busy))
            handset = Handset(notebook)
            await _answer(notebook, handset)
            found = {state: await _both_ways(notebook, handset, state, times) for state in CELLS}
            cleared = [await _clear(notebook, handset) for _ in range(times // 2)]
            await notebook.close()
            await browser.close()
            return found, cleared
    finally:
        lab.stop()


async def _answer(notebook, handset) -> None:
    await notebook.run_up_to(SHOW)
    await notebook.ask(DIAL)
    await handset.button("Answer").click()
    await notebook.ask("stream = server.next_stream(call).result(10)")
    await notebook.page.wait_for_function("() => window.spoken.gain")
    await handset.page.locator(".twistream-phone footer:has-text('Direct')").wait_for()


async def _clear(notebook, handset) -> float:
    """Click the phone's *Clear* while a tone plays; return how long it was still heard, in s."""
    await handset.forget()
    await notebook.ask("stream.play(kit.Clip.tone(440, 60))")
    await handset.wait_for_sound()
    return (await handset.clear_with(handset.button("Clear"))).delay


async def _both_ways(notebook, handset, state: str, times: int):
    """Return the delays to the ear and from it, in seconds, and how many there should be."""
    await handset.forget()
    await notebook.ask(f"measure({times + 1})")  # the first one warms up
    if CELLS[state]:
        await notebook.run_without_waiting(CELLS[state].splitlines()[0])
    said_at = await notebook.page.evaluate(f"() => window.spoken.speak({times + 1}, 100, 320)")
    if CELLS[state]:
        await notebook.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
            ".status === 'idle'"
        )
    await asyncio.sleep(0.5)
    asked = await notebook.ask("enough.set(); print(json.dumps([played, arrived]))")
    played, arrived = json.loads(asked)
    samples, rate, begin = await handset.heard()
    heard = [begin + onset / rate for onset in _onsets(samples, rate)]
    return _delays(played[1:], heard), _delays(said_at[1:], arrived), times


def _onsets(samples, rate: int) -> list[int]:
    """Return where sound begins after a tenth of a second of silence."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    first = np.diff(loud, prepend=-rate) > rate // 10
    return [int(each) for each in loud[first]]


def _delays(causes: list[float], effects: list[float]) -> list[float]:
    """Return the delay of each effect after its cause, if there was an effect."""
    delays = []
    for cause in causes:
        later = [effect - cause for effect in effects if 0 <= effect - cause < MOST]
        delays += later[:1]
    return delays
