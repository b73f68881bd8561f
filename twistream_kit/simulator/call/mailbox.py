"""A telephone that is a machine: it answers with a greeting and a beep, and records.

`MailboxSettings` says what it does, `Mailbox` does it in one call: it speaks through the mouth of
the telephone and records what comes to the ear.  It has no clock but the frames of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.speech import SpeechDetector
from twistream_kit.errors import WrongType, WrongValue, is_finite, quote, require_type
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.simulator.call._speech import make_beeps
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.stream.leg import is_audible

MailboxState = Literal["greeting", "beep", "recording", "done"]
"""What a mailbox does: it speaks, beeps, records, or has ended."""

BEEP_SECONDS = 0.4
"""The length of the beep, as that of usual mailboxes."""

GAP_SECONDS = 0.2
"""The silence between greeting and beep: shorter than every end of speech of §6.1."""

_LEAST_BEEP_HZ, _MOST_BEEP_HZ = 300, 3400
"""What a telephone line passes."""

_MOST_RECORDED_SECONDS = 3600.0

_GREETING = "Nobody can take your call now. Please leave a message after the tone."


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """What a mailbox does when its telephone is called.

    Attributes:
        greeting: What it says; by default a sentence in the tones of the simulator's ``<Say>``.
        beep_hz: The frequency of the beep, 300 to 3400 Hz; None for no beep.
        record_seconds: The longest recording; then the mailbox hangs up.
        silence_seconds: The silence after which the recording is over; then it hangs up.

    Raises:
        TypeError, ValueError: If one of them is something else.
    """

    greeting: Clip | None = None
    beep_hz: float | None = 1000.0
    record_seconds: float = 120.0
    silence_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.greeting, Clip | None):
            raise WrongType(
                f"greeting is {quote(self.greeting)}; give a Clip: kit.load_clip(path) makes one"
            )
        if self.beep_hz is not None:
            require_type("a number", beep_hz=self.beep_hz)
            if not _LEAST_BEEP_HZ <= self.beep_hz <= _MOST_BEEP_HZ:
                raise WrongValue(
                    f"beep_hz is {quote(self.beep_hz)}; a telephone line passes {_LEAST_BEEP_HZ}"
                    f" to {_MOST_BEEP_HZ} Hz, and None is no beep"
                )
        for name in ("record_seconds", "silence_seconds"):
            seconds = getattr(self, name)
            require_type("a number", **{name: seconds})
            if not (is_finite(seconds) and 0 < seconds <= _MOST_RECORDED_SECONDS):
                raise WrongValue(
                    f"{name} is {quote(seconds)}; it must lie above 0 and at most at "
                    f"{_MOST_RECORDED_SECONDS:g} s"
                )

    @property
    def spoken(self) -> Clip:
        """The greeting, or the default one."""
        return _make_greeting() if self.greeting is None else self.greeting


class Mailbox:
    """A mailbox in one call, from the answer on.  It belongs to the loop of the call.

    `state` and `recorded` may be read from any thread.

    Args:
        settings: What it does.
        handset: The telephone in this call.
        hang_up: Ends the call; takes the reason.
        on_state: Called with no argument when the state has changed.

    Attributes:
        state: One of `MailboxState`.
    """

    def __init__(
        self,
        settings: MailboxSettings,
        handset: Handset,
        *,
        hang_up: Callable[[str], None],
        on_state: Callable[[], None],
    ) -> None:
        self.state: MailboxState = "greeting"
        self._settings = settings
        self._handset = handset
        self._hang_up, self._on_state = hang_up, on_state
        self._sound = bytearray()
        self._audible_until = 0
        self._speech = SpeechDetector()
        self._quiet_since = 0
        self._first_frame = 0

    @property
    def recorded(self) -> Clip:
        """What was heard after the beep, up to the last sound of it; an empty one says why."""
        clip = Clip(b"", "recorded" if self._audible_until else self._say_why_nothing())
        # Skips Clip's own check: if a server sends a whole WAV file, the mailbox records it.
        object.__setattr__(clip, "payload", bytes(self._sound[: self._audible_until]))
        return clip

    def begin(self) -> None:
        """Say the greeting; the rest follows from it."""
        self._handset.ear.on_frame.append(self._hear)
        self._say(self._settings.spoken.payload, self._say_beep)

    def end(self) -> None:
        """Note that the call is over."""
        if self._hear in self._handset.ear.on_frame:
            self._handset.ear.on_frame.remove(self._hear)
        if self.state != "done":
            self._become("done")

    def _say_why_nothing(self) -> str:
        if self.state in ("greeting", "beep"):
            return f"nothing recorded yet: the mailbox is at its {self.state}"
        if not self._first_frame:
            return "nothing recorded: the call ended before the mailbox began to record"
        so_far = " yet" if self.state == "recording" else ""
        return f"nothing recorded{so_far}: no sound came after the greeting and the beep"

    def _say(self, payload: bytes, go_on: Callable[[], None]) -> None:
        def finish(seconds: float) -> None:
            # An utterance that was not finished was ended by the end of the call.
            if round(seconds * BYTES_PER_SECOND) >= len(payload):
                go_on()

        self._handset.mouth.say(payload, finish)

    def _say_beep(self) -> None:
        hz = self._settings.beep_hz
        if hz is None:
            self._record()
            return
        self._become("beep")
        self._say((Clip.silence(GAP_SECONDS) + Clip.tone(hz, BEEP_SECONDS)).payload, self._record)

    def _record(self) -> None:
        # What the ear hears in the 20 ms in which the beep ends is not after it.
        self._first_frame = self._handset.ear.frames + 1
        self._become("recording")

    def _hear(self, frame: bytes, _now: float) -> None:
        if self.state != "recording" or self._handset.ear.frames <= self._first_frame:
            return
        self._sound += frame
        if is_audible(frame):
            self._audible_until = len(self._sound)
        for edge in self._speech.feed(frame):
            self._quiet_since = edge.frame
        quiet = (self._speech.frames - self._quiet_since) * PTIME_MS / 1000
        if not self._speech.speaking and quiet >= self._settings.silence_seconds:
            self._finish(f"its mailbox heard nothing for {self._settings.silence_seconds:g} s")
        elif len(self._sound) >= self._settings.record_seconds * BYTES_PER_SECOND:
            self._finish(f"its mailbox records {self._settings.record_seconds:g} s at most")

    def _finish(self, why: str) -> None:
        self._become("done")
        self._hang_up(why)

    def _become(self, state: MailboxState) -> None:
        self.state = state
        self._on_state()


@lru_cache(maxsize=1)
def _make_greeting() -> Clip:
    return Clip(make_beeps(_GREETING), "mailbox greeting")
