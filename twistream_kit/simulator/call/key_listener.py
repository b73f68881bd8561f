"""The keys that a telephone hears in the sound of its call: those of SendDigits, and all others."""

from __future__ import annotations

from collections.abc import Callable

from twistream_kit.audio.tone_detector import Tone, ToneDetector
from twistream_kit.simulator.call.handset import Ear
from twistream_kit.simulator.stream.leg import is_audible

QUIET_FRAMES = 10
"""So many silent frames, 200 ms, are listened to after sound: a tone is certain 80 ms after its
end.  What is silent for longer, as most of a call is, costs nothing."""


class KeyListener:
    """Listens for the tones of keys in one call.  It belongs to the loop of the call.

    Args:
        ear: What hears the call.
        on_key: Called with no argument after each key.

    Attributes:
        keys: The keys so far, in order; any thread may read them.
    """

    def __init__(self, ear: Ear, on_key: Callable[[], None]) -> None:
        self.keys = ""
        self._ear = ear
        self._on_key = on_key
        self._detector = ToneDetector()
        self._quiet = QUIET_FRAMES
        self._is_over = False
        ear.on_frame.append(self._hear)

    def end(self) -> None:
        """Note that the call is over: a tone that has not ended is a key nevertheless."""
        self._is_over = True
        if self._hear in self._ear.on_frame:
            self._ear.on_frame.remove(self._hear)
        self._note(self._detector.finish())

    def _hear(self, frame: bytes, _now: float) -> None:
        self._quiet = 0 if is_audible(frame) else self._quiet + 1
        # Another listener may have ended the call within this frame.
        if self._quiet <= QUIET_FRAMES and not self._is_over:
            self._note(self._detector.feed(frame))

    def _note(self, tones: list[Tone]) -> None:
        for tone in tones:
            if tone.kind == "key":
                self.keys += tone.key
                self._on_key()
