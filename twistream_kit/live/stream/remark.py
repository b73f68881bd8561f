"""Say once if what is played on a stream is almost certainly no PCMU.

Twilio plays every byte and logs nothing (PROTOCOL.md §4).  The beginning of the sound is reviewed
as `kit.review_sound` does it, beside the playing: on the server's loop, in steps of a millisecond
or two, one at a time for all streams of the loop, and with pauses between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.diagnosis.payload import SHORTEST_BYTES, is_flat_run
from twistream_kit.diagnosis.sound import FIELD, SoundReview, is_inaudible
from twistream_kit.errors import Objection, join_sentences
from twistream_kit.protocol.playout import BYTES_PER_SECOND

REVIEWED_BYTES = 8 * BYTES_PER_SECOND
"""How much sound of a stream is reviewed: a wrong coding is wrong from the first second on, and the
rate of speech takes seven."""

COLLECT_SECONDS = 0.5
"""How long sound is collected before it is looked at, and the pause behind it that ends it."""

PAUSE_SECONDS, PAUSE_TIMES = 0.005, 99
"""The least pause between two steps, and how many times as long as a step it is: reviews take a
hundredth of the loop's time at most, however many streams begin together."""


SLOW_FROM_SAMPLES, SLOW_SAMPLES = 8000, 32768
"""How many samples `find_slow_sound` needs, and how many it looks at: 1 s and 4 s."""

SLOW_HZ, SLOW_SHARE = 80, 0.3
"""Sound that lies lower, and from which share of the power on it is low.  Measured: voices and
music at 8000 Hz have up to 0.04, at 44,100 and 48,000 Hz taken for 8000 at least 0.36."""

BRIGHT_HZ, BRIGHT_SHARE = 1000, 0.05
"""Sound that lies higher, and the most of it in sound that is low: rumble has no less."""


def find_slow_sound(payload: bytes) -> str:
    """Return a remark about an array that seems to be at a much higher rate than 8000 Hz, or "".

    A review finds speech at 16 and 24 kHz (`diagnosis.sound`).  At 44.1 kHz nothing is left in it
    that is like speech, but a whole array shows that nearly all of it is too low to be heard.

    Args:
        payload: The PCMU that was made of an array, taken to be at 8000 Hz.
    """
    if len(payload) < SLOW_FROM_SAMPLES:
        return ""
    samples = decode_ulaw(payload[:SLOW_SAMPLES]).astype(np.float32)
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    power[frequencies < 10] = 0  # an offset is no sound
    whole = power.sum()
    low, bright = power[frequencies < SLOW_HZ].sum(), power[frequencies > BRIGHT_HZ].sum()
    if not (low > SLOW_SHARE * whole and bright < BRIGHT_SHARE * whole):
        return ""
    return (
        f"most of it lies below {SLOW_HZ} Hz, as of an array at 22,050 to 48,000 Hz that is played "
        "at 8000, low and 3 to 6 times too slow; give its rate: "
        "stream.play(samples, sample_rate=44100)"
    )


class SoundRemark:
    """Reviews the beginning of what is played on one stream; used on the loop of the server only.

    Silence does not count as sound.

    Args:
        say: Called at most once, on the loop, with one line: what is wrong, what the caller hears,
            and what to do.
        loop: The loop of the server.
        stream_sid: The SID of the stream, which only spreads the work of many streams over time.

    Attributes:
        takes_more: Whether `take` takes the sound that comes now.
    """

    def __init__(
        self, say: Callable[[str], None], loop: asyncio.AbstractEventLoop, stream_sid: str
    ) -> None:
        self._say = say
        self._loop = loop
        self._stream_sid = stream_sid
        self._room, self.takes_more = REVIEWED_BYTES, True
        self._waiting: list[bytes] = []
        self._collected = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._review: SoundReview | None = None
        self._reviewed = 0
        self._sounds_until = 0.0
        self._symptom: Objection | None = None
        self._is_stopped = self._is_queued = self._has_paused = self._is_ending = False

    @property
    def is_done(self) -> bool:
        """Whether no sound is taken any more: enough was reviewed, or the remark was made."""
        return self._is_stopped

    def take(self, payload: bytes) -> None:
        """Take PCMU that is queued; it takes a fraction of a microsecond."""
        if self._room > 0:
            self._room -= len(payload)
            self.takes_more = self._room > 0
            self._waiting.append(payload)
            if self._timer is None:
                self._timer = self._loop.call_later(COLLECT_SECONDS, self._collect)

    def stop(self) -> None:
        """Take and review nothing more; the stream has ended."""
        self._is_stopped, self.takes_more = True, False
        self._room = 0
        self._waiting.clear()
        self._collected.clear()
        self._review = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _collect(self) -> None:
        """Make the sound that was taken ready for review."""
        self._timer = None
        now = self._loop.time()
        waiting, self._waiting = self._waiting, []
        if waiting:
            seconds = sum(map(len, waiting)) / BYTES_PER_SECOND
            self._sounds_until = max(now, self._sounds_until) + seconds
        self._has_paused = now >= self._sounds_until + COLLECT_SECONDS
        for payload in waiting:
            if not is_inaudible(payload):
                room = REVIEWED_BYTES - self._reviewed - len(self._collected)
                self._collected += payload[:room]
        self._room = REVIEWED_BYTES - self._reviewed - len(self._collected)
        self.takes_more = self._room > 0
        if not self._is_queued:
            self._is_queued = True
            _ReviewQueue.find(self._loop).add(self._loop, self._step)

    def _step(self) -> bool:
        """Do one step of the review; return whether there is more to do now."""
        review, is_end = self._review, self._has_paused or self._room <= 0
        found: list[Objection] = []
        if review is not None and review.has_more_to_hear:
            found = review.listen()
        elif len(self._collected) >= SHORTEST_BYTES or (review and self._collected and is_end):
            found = self._note_sent()
        elif review is not None and is_end and not self._is_ending:
            self._is_ending = True
            review.note_end()
        else:
            self._is_queued = False
            self._wait_for_more()
            return False
        sure = [each for each in found if _is_nearly_sure(each)]
        self._symptom = self._symptom or next(filter(is_flat_run, sure), None)
        for objection in sure:
            if not is_flat_run(objection):
                self._make(objection)
                return False
        return True

    def _note_sent(self) -> list[Objection]:
        if self._review is None:
            self._review = SoundReview(self._stream_sid, at_leisure=True)
        piece = bytes(self._collected[:SHORTEST_BYTES])
        del self._collected[:SHORTEST_BYTES]
        at = self._reviewed / BYTES_PER_SECOND  # as if sent in time: that is no matter here
        self._reviewed += len(piece)
        return self._review.note_sent(piece, at)

    def _wait_for_more(self) -> None:
        if self._is_ending:
            self._review, self._is_ending = None, False
            if self._symptom is not None:  # and nothing explains it
                self._make(self._symptom)
            elif self._room <= 0:
                self.stop()
        elif self._timer is None and not self._has_paused and not self._is_stopped:
            self._timer = self._loop.call_later(COLLECT_SECONDS, self._collect)

    def _make(self, objection: Objection) -> None:
        self._is_queued = False
        self.stop()
        fix = _SAY_THE_RATE if objection.sample_rates else objection.fix
        statement = replace(objection, field=_SUBJECT).statement
        text = join_sentences(statement, objection.consequence, fix)
        self._say(text)


def _is_nearly_sure(objection: Objection) -> bool:
    """Whether the sound is not what was meant: of another coding, damaged, or of another rate.

    What is only loud or clicks may be meant, or be the voice of the caller that is sent back.
    """
    return objection.field == FIELD and (
        objection.severity == "error" or bool(objection.sample_rates)
    )


_SUBJECT = "the sound that is played"

_SAY_THE_RATE = (
    "Say the rate at which it was made: stream.speak(sample_rate=rate, encoding='PCMU'), or "
    "stream.play(sound, sample_rate=rate, encoding='PCMU')"
)


class _ReviewQueue:
    """Lets the reviews of all streams of a loop do their steps in turn, with pauses."""

    _all: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _ReviewQueue]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._steps: deque[Callable[[], bool]] = deque()

    @classmethod
    def find(cls, loop: asyncio.AbstractEventLoop) -> _ReviewQueue:
        """Return those of a loop."""
        return cls._all.setdefault(loop, cls())

    def add(self, loop: asyncio.AbstractEventLoop, step: Callable[[], bool]) -> None:
        """Call `step` in its turn, again and again until it returns False."""
        self._steps.append(step)
        if len(self._steps) == 1:
            loop.call_later(PAUSE_SECONDS, self._run, loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        step = self._steps[0]
        begin = time.perf_counter()
        has_more = False
        try:
            has_more = step()
        finally:
            self._steps.popleft()
            if has_more:
                self._steps.append(step)
            if self._steps:
                took = time.perf_counter() - begin
                loop.call_later(max(PAUSE_SECONDS, PAUSE_TIMES * took), self._run, loop)
