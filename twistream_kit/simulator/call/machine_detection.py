"""Answering machine detection: who has answered, decided from the sound of the telephone.

Twilio looks at two things, tones and the length of speech (§6.8).  `MachineDetector` does so with
the frames of the callee as they come; it has no clock, so that a recording gets the verdict of a
call.  Where Twilio does not say which sound leads to which verdict, §10.41, §10.42 and §10.43 do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.audio.tone_detector import Tone, ToneDetector
from twistream_kit.diagnosis.speech import AUDIBLE_DB, SpeechDetector
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.simulator.model.assumptions import FAX_HZ, FAX_SECONDS

AnsweredBy = Literal[
    "human",
    "machine_start",
    "machine_end_beep",
    "machine_end_silence",
    "machine_end_other",
    "fax",
    "unknown",
]
"""The verdicts (§6.8)."""

DetectionMode = Literal["Enable", "DetectMessageEnd"]
"""Whether a machine is reported at once or at the end of its greeting (§6.1)."""


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """The parameters of machine detection; the defaults are Twilio's (§6.1).

    Attributes:
        mode: ``Enable`` reports a machine at once, ``DetectMessageEnd`` at the end of its greeting.
        timeout_seconds: After so long the verdict is ``unknown``; 3 to 59.
        speech_threshold_ms: Shorter speech is a human's, longer speech a machine's; 1000 to 6000.
        speech_end_threshold_ms: The silence after which speech has ended; 500 to 5000.
        silence_timeout_ms: The silence at the beginning after which the verdict is ``unknown``;
            2000 to 10000.
    """

    mode: DetectionMode = "Enable"
    timeout_seconds: int = 30
    speech_threshold_ms: int = 2400
    speech_end_threshold_ms: int = 1200
    silence_timeout_ms: int = 5000


class Verdict(NamedTuple):
    """Who has answered.

    Attributes:
        answered_by: One of `AnsweredBy`.
        duration_ms: The time from the answer to the verdict, on the clock of the call.
    """

    answered_by: AnsweredBy
    duration_ms: int


class MachineDetector:
    """Decides who has answered, from the frames of the callee as they come.

    Speech that is shorter than the speech threshold and followed by the end threshold of silence is
    a human's.  Longer speech is a machine's, and so is a beep, after however little speech.  With
    ``DetectMessageEnd`` the verdict about a machine waits for the beep, for silence, or for another
    signal, which is a key (§10.42).  A fax machine is known by its tone of 2100 Hz.

    Args:
        settings: The parameters.

    Attributes:
        frames: The number of frames so far.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit.simulator.call.machine_detection import MachineDetector
        >>> sound = kit.Clip.tone(330, 0.5) + kit.Clip.silence(1.5)
        >>> detector = MachineDetector()
        >>> next(verdict for frame in sound.frames() if (verdict := detector.feed(frame)))
        Verdict(answered_by='human', duration_ms=1700)
    """

    def __init__(self, settings: DetectionSettings | None = None) -> None:
        self._settings = settings or DetectionSettings()
        self.frames = 0
        self._speech = SpeechDetector(pause_ms=self._settings.speech_end_threshold_ms)
        self._tones = ToneDetector()
        self._fax_frames = 0
        self._begin: int | None = None
        self._was_heard = False
        self._is_machine = False

    def feed(self, frame: bytes) -> Verdict | None:
        """Process the next frame; return the verdict as soon as there is one.

        Args:
            frame: 20 ms of PCMU, 160 bytes.

        Raises:
            ValueError: If `frame` has another length.
        """
        self.frames += 1
        tones = self._tones.feed(frame)
        has_ended, length = self._follow_speech(frame)
        answered_by = (
            self._decide_by_fax(frame)
            or self._decide_by_tones(tones)
            or self._decide_by_speech(length, has_ended=has_ended)
            or self._decide_by_time()
        )
        return None if answered_by is None else Verdict(answered_by, self._ms)

    @property
    def _ms(self) -> int:
        return self.frames * PTIME_MS

    @property
    def _waits_for_end(self) -> bool:
        return self._settings.mode == "DetectMessageEnd"

    def _follow_speech(self, frame: bytes) -> tuple[bool, int]:
        """Return whether speech has ended with this frame, and how many ms it has or had."""
        for edge in self._speech.feed(frame):
            if edge.kind == "begins":
                self._begin, self._was_heard = edge.frame, True
                continue
            begin, self._begin = self._begin, None
            if begin is not None and edge.frame > begin:  # else it was noise
                return True, (edge.frame - begin) * PTIME_MS
        return False, self._speech.spoken_frames * PTIME_MS

    def _decide_by_fax(self, frame: bytes) -> AnsweredBy | None:
        is_fax_tone = self._speech.level_db > AUDIBLE_DB and _measure_fax_share(frame) > _FAX_SHARE
        self._fax_frames = self._fax_frames + 1 if is_fax_tone else 0
        return "fax" if self._fax_frames * PTIME_MS >= FAX_SECONDS * 1000 else None

    def _decide_by_tones(self, tones: list[Tone]) -> AnsweredBy | None:
        for tone in tones:
            if tone.kind == "beep":
                return "machine_end_beep" if self._waits_for_end else "machine_start"
            if self._is_machine:
                return "machine_end_other"
        return None

    def _decide_by_speech(self, length_ms: int, *, has_ended: bool) -> AnsweredBy | None:
        if not self._is_machine and length_ms >= self._settings.speech_threshold_ms:
            self._is_machine = True
            if not self._waits_for_end:
                return "machine_start"
        if not has_ended:
            return None
        return "machine_end_silence" if self._is_machine else "human"

    def _decide_by_time(self) -> AnsweredBy | None:
        is_silent = not self._was_heard and self._ms >= self._settings.silence_timeout_ms
        return "unknown" if is_silent or self._ms >= self._settings.timeout_seconds * 1000 else None


_FAX_SHARE = 0.8
"""The least share of a frame's power at the frequency of a fax machine."""


def _measure_fax_share(frame: bytes) -> float:
    """Return the share of the power of a frame that is at 2100 Hz, 0 to 1."""
    samples = decode_ulaw(frame).astype(np.float64)
    energy = float(samples @ samples)
    waves = _make_fax_waves() @ samples
    return float(waves @ waves) * 2 / FRAME_BYTES / energy if energy else 0.0


@cache
def _make_fax_waves() -> NDArray[np.float64]:
    angles = 2 * np.pi * FAX_HZ / SAMPLE_RATE * np.arange(FRAME_BYTES)
    return np.array([np.cos(angles), np.sin(angles)])
