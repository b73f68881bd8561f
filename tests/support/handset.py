"""The telephone as it stands on a page, and what comes out of its loudspeaker.

The page must have been opened with `LOUDSPEAKER`, which keeps all that is played.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

LOUDSPEAKER = (Path(__file__).parent / "loudspeaker.js").read_text(encoding="utf-8")

IT_SOUNDS = """() => window.loudspeaker.pieces.slice(-20)
    .some(([, samples]) => Math.abs(samples[0]) > 0.01)"""

IT_HAS_FALLEN_SILENT = """() => window.loudspeaker.pieces.length > 75
    && window.loudspeaker.pieces.slice(-75)
        .every(([, samples]) => samples.every(sample => Math.abs(sample) < 0.001))"""

IT_HAS_SOUNDED = """() => window.loudspeaker.pieces
    .filter(([, samples]) => samples.some(sample => Math.abs(sample) > 0.01)).length > 40"""
"""So long, a tenth of a second, that it can be told what it is."""


class Handset:
    """A telephone shown by a notebook: the newest on the page.

    Args:
        notebook: The open notebook.
    """

    def __init__(self, notebook) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.page.locator(".twistream-phone").last
        self.state = self.root.locator(".tp-state")
        self.footer = self.root.locator("footer")

    def button(self, name: str):
        """Return one of its buttons."""
        return self.root.get_by_role("button", name=name, exact=True)

    async def forget(self) -> None:
        """Forget what was played so far."""
        await self.page.evaluate("() => window.loudspeaker.forget()")

    async def heard(self) -> tuple[np.ndarray, int, float]:
        """Return what went to the loudspeaker, its sample rate, and when it began."""
        kept = await self.page.evaluate("() => window.loudspeaker.read()")
        samples = np.frombuffer(base64.b64decode(kept["samples"]), np.float32)
        return samples, kept["rate"], kept["begin"]

    async def tone_in(self, samples: np.ndarray, rate: int) -> tuple[float, float]:
        """Return the frequency of a tone that was heard, and how far all else is below it, in dB.

        Where the page says that a busy machine has broken the sound, these are those of the tenth
        of a second that is purest: of one that is whole.
        """
        if "gap" not in await self.footer.inner_text():
            return frequency(samples, rate)
        frame = rate // 10
        frames = samples[: samples.size // frame * frame].reshape(-1, frame)
        return max((frequency(each, rate) for each in frames), key=lambda found: found[1])

    async def wait_for_sound(self) -> None:
        """Wait until something is heard."""
        await self.page.wait_for_function(IT_SOUNDS)

    async def wait_for_silence(self) -> None:
        """Wait until nothing is heard any more: the page plays a little later than it is sent."""
        await self.page.wait_for_function(IT_HAS_FALLEN_SILENT)

    async def pressed_at(self, name: str) -> float:
        """Return when a button was pressed, in seconds since the epoch."""
        return await self.notebook.pressed_at(name)

    async def clear_with(self, button, name: str = "Clear") -> Silenced:
        """Click a button while sound plays, wait for the silence, and tell of it."""
        await self.page.wait_for_function(IT_HAS_SOUNDED)
        await button.click()
        clicked = await self.pressed_at(name)
        await self.wait_for_silence()
        samples, rate, begin = await self.heard()
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        assert loud.size > rate // 20, "no sound was played"
        return Silenced(samples[loud[0] : loud[-1] + 1], rate, begin + loud[-1] / rate - clicked)


class Silenced:
    """Sound that a click has ended.

    Attributes:
        samples: All that was audible, from the first loud sample to the last; float32.
        rate: Its sample rate, in Hz.
        delay: How long after the click the last of it was, in seconds.
    """

    def __init__(self, samples: np.ndarray, rate: int, delay: float) -> None:
        self.samples, self.rate, self.delay = samples, rate, delay

    @property
    def seconds(self) -> float:
        return self.samples.size / self.rate

    @property
    def hz(self) -> float:
        return frequency(self.samples, self.rate)[0]


def frequency(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """Return the strongest frequency, in Hz, and how far all else is below it, in dB."""
    window = np.hanning(samples.size)
    power = np.abs(np.fft.rfft(samples * window)) ** 2
    peak = int(np.argmax(power))
    near = slice(max(0, peak - 4), peak + 5)
    rest = power.sum() - power[near].sum()
    return peak * rate / samples.size, 10 * np.log10(power[near].sum() / max(rest, 1e-12))
