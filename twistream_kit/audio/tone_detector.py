"""Detect the tones of telephone keys (DTMF) and beeps in sound as it comes.

Each key is one of four low and one of four high frequencies, both at once (ITU-T Q.23).  A beep is
one steady tone, such as that of a mailbox.  `ToneDetector` looks at windows of 20 ms for keys and
of 40 ms for beeps.  What looks like a tone in several of them is measured once more, as a whole and
in detail, by `_tone_check`, because speech and music must not be taken for tones (ITU-T Q.24).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio._goertzel import Samples, make_waves, measure_energies
from twistream_kit.audio._tone_check import AROUND, Checked, check_beep, check_key
from twistream_kit.audio.clip import COLUMN_HZ, KEYS, ROW_HZ
from twistream_kit.audio.g711 import decode_ulaw, is_int16
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.errors import WrongState, WrongType
from twistream_kit.listing import Listing
from twistream_kit.sound_file import PayloadUse, check_payload

K = TypeVar("K")

_WHAT = "tones"

_USE = PayloadUse(
    "sound",
    "Its header would be taken for sound, and its coding for PCMU",
    "The header would be taken for sound",
    "Pass kit.load_clip(path)",
)

_STEP = 80
"""The distance of a window to the next, for keys, in samples: 10 ms."""

_KEY_WINDOW, _BEEP_WINDOW, _BEEP_STEP = 160, 320, 160

_BLOCK = 64 * _BEEP_STEP
"""How many samples are looked at in one go; more only takes more memory."""

_LEAST_AMPLITUDE = 80.0
"""The least root mean square of a window, -52 dBFS: softer sound is not looked at."""

_SHARE_OF_A_KEY = 0.5
"""The least share of the energy of a window at the two frequencies of a key.  It is 0.9 in the
midst of one, and 0.6 in noise 5 dB below it."""

_TIMES_LOUDER = 2.5
"""How much more power one frequency has than the others of its group."""

_TWIST = 10**1.0

_OFF = (-0.012, 0.0, 0.012)
"""The deviations of a key at which its energy is looked for."""

_SHARE_OF_A_BEEP = 0.72
"""The least share of the energy of a window in the five bins, 125 Hz, around the strongest."""

_BIN_HZ = SAMPLE_RATE / _BEEP_WINDOW

_LOWEST_BEEP_HZ, _HIGHEST_BEEP_HZ = 385.0, 2065.0
"""Beeps of 400 to 2000 Hz, which may be off by 3 %."""

_SAME_HZ, _SAME_LEVEL = 12.0, 2.0
"""By how much a window of a beep may be off those before: in Hz, and as a ratio of powers."""

_MOST_WINDOWS = _BLOCK // _BEEP_STEP + 2

_KEY_PLACES = np.add.outer(_STEP * np.arange(2 * _MOST_WINDOWS), np.arange(_KEY_WINDOW))
_BEEP_PLACES = np.add.outer(_BEEP_STEP * np.arange(_MOST_WINDOWS), np.arange(_BEEP_WINDOW))
"""The samples of each window."""

_HANN = np.hanning(_BEEP_WINDOW + 1)[:-1].astype(np.float32)

_FEWEST_KEY_WINDOWS, _FEWEST_BEEP_WINDOWS = 2, 3
"""A key of 40 ms fills two windows at least, a beep of 100 ms three."""

_MISSING = 2
"""Up to so many windows may be missing within a tone: an interruption of 10 ms is none (Q.24)."""

_LONG, _KEPT = int(3.5 * SAMPLE_RATE), SAMPLE_RATE
"""Of a tone that is longer than 3.5 s, the first part is measured then, and of what follows one
second is kept, by which its end is measured."""


@dataclass(frozen=True, slots=True)
class Tone:
    """A tone in the sound of a call.

    Attributes:
        kind: ``key`` for the two frequencies of a telephone key (DTMF), ``beep`` for one steady
            tone.
        key: The key, one of ``0123456789*#ABCD``; empty for a beep.
        hz: Its frequencies in Hz, to about 1 Hz: two for a key, the lower one first; one for a
            beep.
        begin: When it begins, in seconds of the sound; exact to about 2 ms without noise.
        end: When it ends.
        level_db: The level of its frequency, of the louder one for a key, in dB relative to a
            full-scale sine, as for `Clip.tone`: 0 is the loudest, -9 that of `Clip.dtmf`.
        twist_db: By how much the higher frequency of a key is louder than the lower one, in dB;
            0 for a beep.

    Example:
        >>> import twistream_kit as kit
        >>> kit.find_tones(kit.Clip.tone(440, 0.5) + kit.Clip.dtmf("7"))
        Tone(beep, 0.00... to 0.49... s, 440.0 Hz, -12.0 dB)
        Tone(key '7', 0.50... to 0.59... s, 852.0 and 1209.0 Hz, -9.0 dB, twist 0.0 dB)
    """

    kind: Literal["key", "beep"]
    key: str
    hz: tuple[float, ...]
    begin: float
    end: float
    level_db: float
    twist_db: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.begin

    def __repr__(self) -> str:
        what = f"key {self.key!r}" if self.kind == "key" else self.kind
        twist = f", twist {self.twist_db:.1f} dB" if self.kind == "key" else ""
        frequencies = " and ".join(f"{hz:.1f}" for hz in self.hz)
        return (
            f"Tone({what}, {self.begin:.3f} to {self.end:.3f} s, {frequencies} Hz,"
            f" {self.level_db:.1f} dB{twist})"
        )


class ToneDetector:
    """Detects telephone keys and beeps, in frames as they come.

    A **key** is found from 40 ms on, at levels of -45 to 0 dBFS, with a twist of up
    to 8 dB, and at frequencies that are off by up to 1.5 %, as ITU-T Q.24 demands; a tone of less
    than 30 ms is none, nor is one that is off by 3.5 %.  Between two keys there are at least 30 ms;
    an interruption of 10 ms does not divide one.  A **beep** is one steady tone of 400 to 2000 Hz
    that lasts for 100 ms or more.  Both tones must hold most of the energy of the sound: noise may
    be 10 dB below them, while keys pressed during loud speech are not found.

    A tone is reported once, when it has ended and it is certain that it was one: that is 50 to
    80 ms after its end.  One that still sounds is reported by `finish`.

    Attributes:
        seconds: How much sound there was so far.

    Example:
        >>> import twistream_kit as kit
        >>> detector = kit.ToneDetector()
        >>> sound = kit.Clip.dtmf("7") + kit.Clip.silence(0.5) + kit.Clip.tone(1000, 0.4)
        >>> for number, frame in enumerate(sound.frames()):
        ...     for tone in detector.feed(frame):
        ...         print(f"after frame {number}: {tone.kind} {tone.key}, {tone.seconds:.1f} s")
        after frame ...: key 7, 0.1 s
        >>> for tone in detector.finish():
        ...     print(tone.kind, tone.hz)
        beep (1000.0,)
    """

    def __init__(self) -> None:
        self._sound = _RecentSound()
        self._fed = self._looked_at = 0
        self._keys: _Repeats[int] = _Repeats(_KEY_WINDOW, _FEWEST_KEY_WINDOWS, operator.eq)
        self._beeps: _Repeats[_Beep] = _Repeats(_BEEP_WINDOW, _FEWEST_BEEP_WINDOWS, _is_same_beep)
        self._last_key = (-1.0, -1.0)
        self._is_finished = False

    @property
    def seconds(self) -> float:
        """How much sound there was so far."""
        return self._fed / SAMPLE_RATE

    def feed(self, sound: bytes | bytearray | NDArray[np.int16]) -> Listing[Tone]:
        """Process the next sound.

        Args:
            sound: PCMU, usually a frame of 160 bytes, but of any length; or samples as
                `stream.audio()` gives them: mono, int16, at 8000 Hz, shape ``(n,)``.

        Returns:
            The tones that have ended, in order; mostly none.

        Raises:
            TypeError: If `sound` is neither bytes nor an int16 array of one dimension.
            LocalProtocolError: If the first bytes are those of a WAV file, or of another.
            RuntimeError: After `finish`.
        """
        samples = read_sound(sound, "feed")
        if not self._fed and isinstance(sound, bytes | bytearray):
            refuse_file(sound)
        if self._is_finished:
            raise WrongState(
                "the sound of this ToneDetector is finished; take a new one for other sound:"
                " kit.ToneDetector()"
            )
        self._fed += len(samples)
        found: list[Tone] = []
        for at in range(0, len(samples), _BLOCK):
            self._sound.append(samples[at : at + _BLOCK])
            found += self._look()
        return Listing.of(found, _WHAT)

    def finish(self) -> Listing[Tone]:
        """End the sound; return the tones that it ended with.

        The second time there are none.
        """
        if self._is_finished:
            return Listing.of([], _WHAT)
        self._is_finished = True
        self._sound.append(np.zeros(2 * _BEEP_WINDOW, np.int16))
        found = self._look()
        self._keys.close()
        self._beeps.close()
        return Listing.of([*found, *self._check(is_last=True)], _WHAT)

    def __repr__(self) -> str:
        return f"<ToneDetector: {self.seconds:.2f} s of sound>"

    def _look(self) -> list[Tone]:
        """Look at the windows that are complete now."""
        begin, end = self._looked_at, self._sound.end - _BEEP_WINDOW
        count = (end - begin) // _BEEP_STEP + 1
        if count <= 0:
            return []
        self._looked_at = begin + count * _BEEP_STEP
        heard = self._sound.take(begin, self._looked_at - _BEEP_STEP + _BEEP_WINDOW)
        is_loud = len(heard) > 0 and max(-float(heard.min()), float(heard.max())) > _LEAST_AMPLITUDE
        pairs = _find_pairs(heard[_KEY_PLACES[: 2 * count]]) if is_loud else [None] * (2 * count)
        beeps = _find_beeps(heard[_BEEP_PLACES[:count]]) if is_loud else [None] * count
        for number, pair in enumerate(pairs):
            self._keys.note(begin + number * _STEP, pair)
        for number, beep in enumerate(beeps):
            self._beeps.note(begin + number * _BEEP_STEP, beep)
        found = self._check()
        self._forget()
        return found

    def _check(self, *, is_last: bool = False) -> list[Tone]:
        """Measure what has ended, and return what is a tone."""
        found: list[Tone] = []
        until = math.inf if is_last else self._sound.end
        for key in self._keys.take(until):
            found += self._check_key(key)
        for beep in self._beeps.take(until):
            found += self._check_beep(beep)
        return sorted(found, key=lambda tone: tone.end)

    def _check_key(self, run: _Run[int]) -> list[Tone]:
        tone = self._measure(run, _get_key(run.kind), _check_as_key)
        if tone is None:
            return []
        self._last_key = (tone.begin, tone.end)
        return [tone]

    def _check_beep(self, run: _Run[_Beep]) -> list[Tone]:
        tone = self._measure(run, "", _check_as_beep)
        if tone is None or run.opening is not None:
            return [] if tone is None else [tone]
        key_begin, key_end = self._last_key
        # One frequency of a key may be so much louder that it alone looks like a beep.
        common = min(tone.end, key_end) - max(tone.begin, key_begin)
        return [tone] if common < tone.seconds / 2 else []

    def _measure(
        self, run: _Run[K], key: str, check: Callable[[Samples, K], Checked | None]
    ) -> Tone | None:
        """Measure what has ended; None if it is no tone."""
        before = run.keep_from - AROUND
        checked = check(self._sound.take(before, run.end + AROUND), run.kind)
        if run.opening is None:
            return None if checked is None else _build_tone(key, checked, before)
        # A long one was measured at its begin, and is measured here at its end.
        if checked is None:
            return run.opening
        return replace(run.opening, end=_round_time(before + checked.end))

    def _shorten(
        self, runs: _Repeats[K], check: Callable[[Samples, K], Checked | None], keys: str
    ) -> None:
        """Measure the first part of a tone that is long already, so that it need not be kept."""
        run = runs.current
        if run is None or run.end - run.begin < _LONG:
            return
        if run.opening is None:
            before = run.begin - AROUND
            checked = check(self._sound.take(before, run.begin + _LONG - AROUND), run.kind)
            if checked is None:
                runs.current = None
                return
            run.opening = _build_tone(keys, checked, before)
        run.opening = replace(run.opening, end=_round_time(run.end))
        run.keep_from = run.end - _KEPT

    def _forget(self) -> None:
        """Discard the sound that nothing is measured in any more."""
        key = self._keys.current
        self._shorten(self._keys, _check_as_key, "" if key is None else _get_key(key.kind))
        self._shorten(self._beeps, _check_as_beep, "")
        begins = [run.keep_from for runs in (self._keys, self._beeps) for run in runs.list_all()]
        self._sound.forget(min([self._looked_at, *begins]) - AROUND)


def _get_key(kind: int) -> str:
    return KEYS[kind // 4][kind % 4]


def _check_as_key(heard: Samples, kind: int) -> Checked | None:
    return check_key(heard, (ROW_HZ[kind // 4], COLUMN_HZ[kind % 4]))


class _Beep(NamedTuple):
    """What a window looks like that may belong to a beep."""

    hz: float
    power: float


def _check_as_beep(heard: Samples, beep: _Beep) -> Checked | None:
    return check_beep(heard, beep.hz)


@dataclass(slots=True)
class _Run(Generic[K]):
    """Windows one after the other that look like the same tone; places are in samples."""

    kind: K
    begin: int
    end: int
    keep_from: int
    windows: int = 1
    missing: int = 0
    opening: Tone | None = None


class _Repeats(Generic[K]):
    """Collects windows that look like the same tone.

    Args:
        window: The size of a window in samples.
        fewest: How many windows a tone has.
        is_same: Whether a window continues the one before.
    """

    def __init__(self, window: int, fewest: int, is_same: Callable[[K, K], bool]) -> None:
        self._window, self._fewest, self._is_same = window, fewest, is_same
        self.current: _Run[K] | None = None
        self._closed: list[_Run[K]] = []

    def note(self, begin: int, kind: K | None) -> None:
        """Note what the window that begins with this sample looks like; None is no tone."""
        run = self.current
        if kind is None:
            if run is not None:
                run.missing += 1
                if run.missing > _MISSING:
                    self.close()
        elif run is not None and self._is_same(run.kind, kind):
            run.kind, run.end, run.missing = kind, begin + self._window, 0
            run.windows += 1
        else:
            self.close()
            self.current = _Run(kind, begin, begin + self._window, begin)

    def close(self) -> None:
        """End what has not ended."""
        if self.current is not None and self.current.windows >= self._fewest:
            self._closed.append(self.current)
        self.current = None

    def take(self, until: float) -> list[_Run[K]]:
        """Return, once, what has ended, and around which there is enough sound until then."""
        due = [run for run in self._closed if run.end + AROUND <= until]
        self._closed = [run for run in self._closed if run.end + AROUND > until]
        return due

    def list_all(self) -> list[_Run[K]]:
        """Return all whose sound is still needed."""
        return self._closed if self.current is None else [*self._closed, self.current]


class _RecentSound:
    """The last part of a sound, by the number of its samples."""

    def __init__(self) -> None:
        self._samples: Samples = np.empty(0, np.float32)
        self._begin = 0

    @property
    def end(self) -> int:
        """The number of samples so far."""
        return self._begin + len(self._samples)

    def append(self, samples: NDArray[np.int16]) -> None:
        """Add sound."""
        self._samples = np.concatenate([self._samples, samples], dtype=np.float32)

    def take(self, begin: int, end: int) -> Samples:
        """Return a part; before the first sample and after the last one there is silence."""
        kept = self._samples[max(0, begin - self._begin) : max(0, end - self._begin)]
        before, after = max(0, self._begin - begin), max(0, end - self.end)
        return np.pad(kept, (before, after)) if before or after else kept

    def forget(self, until: int) -> None:
        """Discard what comes before this sample."""
        if until > self._begin:
            self._samples = self._samples[until - self._begin :]
            self._begin = until


def _pick_loud(windows: Samples) -> tuple[NDArray[np.intp], Samples]:
    """Return the numbers of the windows that are loud enough, and these without their mean."""
    energy = np.einsum("ij,ij->i", windows, windows)
    loud = np.flatnonzero(energy > _LEAST_AMPLITUDE**2 * windows.shape[1])
    heard = windows[loud]
    return loud, heard - heard.mean(axis=1, keepdims=True)


def _find_pairs(windows: Samples) -> list[int | None]:
    """Return for each window ``4 * row + column`` of the key that it looks like, or None."""
    pairs: list[int | None] = [None] * len(windows)
    loud, heard = _pick_loud(windows)
    if not len(loud):
        return pairs
    energy = np.einsum("ij,ij->i", heard, heard)
    near = measure_energies(heard, _make_key_waves()).reshape(len(loud), 2, 4, len(_OFF))
    powers = np.sort(near.max(axis=3), axis=2)
    key = near.max(axis=3).argmax(axis=2)
    low, high = powers[:, 0, -1], powers[:, 1, -1]
    is_key = low + high > _SHARE_OF_A_KEY * energy
    is_key &= (low < _TWIST * high) & (high < _TWIST * low)
    is_key &= (powers[:, :, -2] * _TIMES_LOUDER < powers[:, :, -1]).all(axis=1)
    for at, row, column in zip(loud[is_key], *key[is_key].T, strict=True):
        pairs[at] = 4 * int(row) + int(column)
    return pairs


@cache
def _make_key_waves() -> Samples:
    frequencies = [hz * (1 + off) for hz in (*ROW_HZ, *COLUMN_HZ) for off in _OFF]
    return make_waves(_KEY_WINDOW, frequencies)


def _find_beeps(windows: Samples) -> list[_Beep | None]:
    """Return for each window the beep that it looks like, or None."""
    beeps: list[_Beep | None] = [None] * len(windows)
    loud, heard = _pick_loud(windows)
    if not len(loud):
        return beeps
    powers = np.square(np.abs(np.fft.rfft(heard * _HANN, axis=1)))
    first, last = int(_LOWEST_BEEP_HZ / _BIN_HZ), math.ceil(_HIGHEST_BEEP_HZ / _BIN_HZ)
    best = powers[:, first : last + 1].argmax(axis=1) + first
    near = powers[np.arange(len(loud))[:, None], best[:, None] + np.arange(-2, 3)]
    power = near.sum(axis=1)
    before, peak, after = np.log(near[:, 1:4].T + 1e-9)
    hz = _BIN_HZ * (best + 0.5 * (before - after) / np.minimum(before - 2 * peak + after, -1e-9))
    is_beep = power > _SHARE_OF_A_BEEP * powers.sum(axis=1)
    is_beep &= (peak >= before) & (peak >= after)
    is_beep &= (hz >= _LOWEST_BEEP_HZ) & (hz <= _HIGHEST_BEEP_HZ)
    for at in np.flatnonzero(is_beep):
        beeps[loud[at]] = _Beep(float(hz[at]), float(power[at]))
    return beeps


def _is_same_beep(last: _Beep, beep: _Beep) -> bool:
    is_as_loud = last.power < _SAME_LEVEL * beep.power and beep.power < _SAME_LEVEL * last.power
    return is_as_loud and abs(last.hz - beep.hz) <= _SAME_HZ


def _build_tone(key: str, checked: Checked, before: int) -> Tone:
    levels = checked.levels_db
    return Tone(
        "key" if key else "beep",
        key,
        tuple(round(hz, 1) for hz in checked.frequencies),
        _round_time(before + checked.begin),
        _round_time(before + checked.end),
        round(max(levels), 1),
        round(levels[-1] - levels[0], 1) + 0.0,  # not -0.0
    )


def _round_time(samples: float) -> float:
    return round(max(0.0, samples / SAMPLE_RATE), 4)


def read_sound(sound: Any, taker: str) -> NDArray[np.int16]:
    """Return sound that was passed as samples.

    Args:
        sound: PCMU as bytes, or int16 samples.
        taker: Who took it, for the error.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(sound, bytes | bytearray):
        return decode_ulaw(sound)
    if isinstance(sound, np.ndarray) and is_int16(sound.dtype) and sound.ndim == 1:
        return sound
    fix = "A file is kit.load_clip(path)"
    what = type(sound).__name__
    if isinstance(sound, np.ndarray):
        fix = (
            "Other samples, with their rate, become a clip: "
            "kit.Clip.from_samples(samples, sample_rate)"
        )
        what = f"an array of {sound.dtype} of shape {sound.shape}"
    if taker == "feed":
        fix += "; feed() takes its .payload"
    clip = "a Clip, " if taker == "find_tones" else ""
    raise WrongType(
        f"{taker}() takes {clip}PCMU as bytes, or mono samples at 8000 Hz as int16, such as "
        f"`stream.audio()` gives, not {what}",
        fix=fix,
    )


def refuse_file(payload: bytes | bytearray) -> None:
    """Refuse a file of sound in place of its sound.

    Raises:
        LocalProtocolError: If it is one, or if a WAV file begins anywhere in it.
    """
    check_payload(bytes(payload), _USE)
