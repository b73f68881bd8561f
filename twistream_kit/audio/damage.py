"""Recognise what programs do to sound by mistake: bytes read as text, lost bytes, wrapped samples.

`find_text_damage` takes the bytes of a file.  `WrapMeter` and `ByteShiftMeter` are fed the linear
samples of a sound, block by block, in constant memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twistream_kit.errors import Explained

TextDamage = Literal["UTF-8", "Latin-1", "ASCII", "7 bits"]
"""How bytes were read as text: see `find_text_damage`."""

EXAMINED_BYTES = 65_536
"""How many bytes at the beginning of a file are examined for text."""

_FEWEST_CHARACTERS = 16
"""Bytes that are no text are valid UTF-8 for 16 characters with a probability below 2**-16."""

_MARKS_IN_TEXT, _ACCENTS_IN_TEXT = 0.05, 0.15
"""More of these characters than texts have, also damaged ones."""

FETCH_BYTES = (
    "Fetch it as bytes: response.content, arraybuffer, open(path, 'rb'); fetched as text again, it "
    "comes the same"
)
"""The fix for bytes that were read as text."""

_FEWEST_BYTES = 2000
"""So many bytes without one above 0x7F are no chance: an eighth of a second of PCM at 8000 Hz."""

_FEWEST_CODES = 48
"""Sound that is no silence has so many codes of a byte."""

_WINDOWS_1252 = frozenset("€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ")
"""What Windows has in place of the control characters 0x80 to 0x9F."""


def find_text_damage(raw: bytes) -> TextDamage | None:
    """Return how bytes of sound were read as text and written again, or None if they were not.

    ``UTF-8``: what is no UTF-8 became U+FFFD, in bytes EF BF BD.  ``Latin-1``: each byte above 0x7F
    became a character of two bytes, C2 or C3 first.  ``ASCII``: each became a question mark.
    ``7 bits``: none is left.  Neither linear nor companded nor compressed sound is like that.

    Args:
        raw: The beginning of a file or of its sound; what follows `EXAMINED_BYTES` is not examined.
    """
    raw = raw[:EXAMINED_BYTES]
    if raw.isascii():
        return _find_seven_bits(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 3:  # else the last character is incomplete
            return None
        text = raw[: error.start].decode()
    beyond = [character for character in text if character > "\x7f"]
    if len(beyond) < _FEWEST_CHARACTERS:
        return None
    has_controls = any(character < " " and character not in "\t\n\r\f" for character in text)
    share = len(beyond) / len(text)
    if beyond.count("\ufffd") * 2 > len(beyond):
        return "UTF-8" if has_controls or share > _MARKS_IN_TEXT else None
    is_latin = all(character <= "\xff" or character in _WINDOWS_1252 for character in beyond)
    return "Latin-1" if is_latin and (has_controls or share > _ACCENTS_IN_TEXT) else None


@dataclass(frozen=True, slots=True)
class DamageReport(Explained):
    """What is wrong with the bytes of a file, what follows, and what to do.

    Attributes:
        problem: What is wrong; a clause about "it".
        consequence: What follows.
        fix: What to do.
    """

    problem: str
    consequence: str
    fix: str


def describe_text_damage(raw: bytes) -> DamageReport | None:
    """Describe how bytes were read as text, or return None if they were not.

    Args:
        raw: As for `find_text_damage`.
    """
    match find_text_damage(raw):
        case None:
            return None
        case "UTF-8":
            times = raw[:EXAMINED_BYTES].count(b"\xef\xbf\xbd")
            return DamageReport(
                "it was read as text in UTF-8: EF BF BD, the mark for what is no text, stands in "
                f"it {times} times",
                "What stood there is lost, and what is left is noise",
                FETCH_BYTES,
            )
        case "Latin-1":
            return DamageReport(
                "it was written as text in UTF-8: each byte above 0x7F became two, most of them C2 "
                "or C3 first",
                "What is left is noise, but nothing is lost",
                f"{FETCH_BYTES}; this one is restored by raw.decode().encode('latin-1')",
            )
        case "ASCII":
            return DamageReport(
                "it was read as text in ASCII: each byte above 0x7F became a question mark",
                "What stood there is lost, and what is left is noise",
                FETCH_BYTES,
            )
    return DamageReport(
        "half of all bytes are missing: there is none above 0x7F, as if it were text in 7 bits",
        "The highest bit is lost, and what is left is noise",
        FETCH_BYTES,
    )


def _find_seven_bits(raw: bytes) -> TextDamage | None:
    # Texts have no control characters but tabs and line ends; sound in 7 bits has nearly all.
    controls = sum(raw.count(code) > 0 for code in range(1, 32) if code not in b"\t\n\r")
    if len(raw) < _FEWEST_BYTES or len(set(raw)) < _FEWEST_CODES or controls < 8:
        return None
    return "ASCII" if raw.count(b"?") * 5 > len(raw) else "7 bits"


@dataclass(slots=True)
class WrapMeter:
    """Counts where samples left full scale on one side and came back in on the other.

    Such a jump goes over more than half of the scale; without it the sound goes on as it came, and
    the next jump leads back.  Clipped sound stays at full scale beside its jumps, noise is as rough
    everywhere, and a sawtooth jumps in one direction only.

    Attributes:
        jumps: The number of jumps over more than five eighths of the scale.
        wrapped: How many of them go on as the sound came.
        first: The index of the first of these, or None.
    """

    jumps: int = 0
    wrapped: int = 0
    first: int | None = None
    _upward: int = 0
    _at_full_scale: int = 0
    _near: int = 0
    _rough: int = 0
    _done: int = 0
    _rest: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def push(self, samples: NDArray[np.float32]) -> None:
        """Count in the next samples of one channel, in [-1, 1], shape ``(n,)``."""
        joined = np.concatenate([self._rest, samples])
        begin = self._done - len(self._rest)
        self._done += len(samples)
        self._rest = joined[-3:]
        steps = np.diff(joined)
        # The steps before and after a jump are needed: those at the end are left for later.
        jumps = np.flatnonzero(np.abs(steps[1:-1]) > _JUMP) + 1
        if len(jumps):
            self._count(joined, steps, jumps, begin)

    def _count(
        self,
        samples: NDArray[np.float32],
        steps: NDArray[np.float32],
        jumps: NDArray[np.intp],
        begin: int,
    ) -> None:
        turned = steps - 2 * np.rint(steps / 2)
        step, before, after = turned[jumps], turned[jumps - 1], turned[jumps + 1]
        trend = (before + after) / 2
        is_flat = (np.abs(before) < _FLAT) | (np.abs(after) < _FLAT)
        goes_on = (np.abs(step - trend) <= _BEND) & (trend * step > 0) & ~is_flat
        self.jumps += len(jumps)
        self.wrapped += int(np.count_nonzero(goes_on))
        self._upward += int(np.count_nonzero(step > 0))
        ends = np.maximum(np.abs(samples[jumps]), np.abs(samples[jumps + 1]))
        self._at_full_scale += int(np.count_nonzero(ends > _FULL))
        around = np.unique((jumps[:, None] + np.arange(-8, 9)).ravel())
        around = around[(around > 0) & (around < len(turned))]
        self._near += len(around)
        bends = np.abs(turned[around] - turned[around - 1])
        self._rough += int(np.count_nonzero(bends > _ROUGH))
        if self.first is None and goes_on.any():
            self.first = begin + int(jumps[goes_on][0]) + 1

    @property
    def is_wrapped(self) -> bool:
        """Whether these jumps are those of samples that wrapped around."""
        back = min(self._upward, self.jumps - self._upward)
        return (
            self.jumps >= _FEWEST_JUMPS
            and self.wrapped >= _WRAPPED_SHARE * self.jumps
            and back >= _BACK_SHARE * self.jumps
            and self._at_full_scale <= _FULL_SHARE * self.jumps
            and self._rough * 2 <= self._near
            and self.jumps * 3 <= self._near
        )


# Measured with 5 voices at 8000 to 44100 Hz, made 1.03 to 5 times too loud.  Wrapped around: 0.41
# to 1 of the jumps go on (fewer only at 8000 Hz), at most 0.08 touch full scale.  Clipped, and
# resampled after that: at most 0.35 go on, at least 0.09 touch full scale.  Loud white noise: half
# of the bends are above 0.47.

_JUMP = 1.25
"""Five eighths of the scale, from one sample to the next."""

_BEND, _ROUGH, _FLAT, _FULL = 0.35, 0.44, 0.001, 0.9995

_FEWEST_JUMPS, _WRAPPED_SHARE, _BACK_SHARE, _FULL_SHARE = 4, 0.42, 0.25, 0.08


@dataclass(slots=True)
class ByteShiftMeter:
    """Finds from when on the bytes of linear samples are read from a wrong place.

    If one byte is missing or too many, the lowest byte of each sample is read as its highest: loud
    white noise.  The highest bytes then stand in another place, and are smooth there.

    Args:
        width: The bytes of a sample, 2 or 3.
        sample_rate: The sample rate in Hz.
    """

    width: int
    sample_rate: int
    _states: list[int] = field(default_factory=list)  # 1 shifted, -1 right, 0 undecided
    _is_rough: list[bool] = field(default_factory=list)
    _rest: NDArray[np.int32] | None = None

    @property
    def window(self) -> int:
        """The samples of a window of 25 ms."""
        return self.sample_rate // 40

    def push(self, samples: NDArray[Any]) -> None:
        """Examine the next samples: whole numbers of `width` bytes, shape ``(n, channels)``."""
        wide = samples.astype(np.int32)
        joined = wide if self._rest is None else np.concatenate([self._rest, wide])
        count = len(joined) // self.window
        self._rest = joined[count * self.window :].copy()
        if count:
            windows = joined[: count * self.window].reshape(count, self.window, -1)
            self._classify(windows)

    def _classify(self, windows: NDArray[np.int32]) -> None:
        top = _take_plane(windows, 8 * (self.width - 1))
        steps = np.abs(np.diff(top, axis=1))
        turns = (steps > 128).mean(axis=1)
        is_right = (_is_smooth(top) & (turns < _MOST_TURNS)).any(axis=1)
        lower = [_is_smooth(_take_plane(windows, 8 * place)) for place in range(self.width - 1)]
        is_rough = (turns >= _FEWEST_TURNS) & (np.median(steps, axis=1) >= _ROUGH_STEP)
        is_shifted = (is_rough & np.any(lower, axis=0)).any(axis=1) & ~is_right
        self._states += (is_shifted.astype(np.int8) - is_right).tolist()
        self._is_rough += (is_rough.any(axis=1) & ~is_right).tolist()

    @property
    def shifted_from(self) -> float | None:
        """The time in seconds from which on nearly all is shifted, or None."""
        states = np.array(self._states, np.int8)
        for start in np.flatnonzero(states == 1):
            decided = states[start:][states[start:] != 0][:20]
            if len(decided) >= _FEWEST_WINDOWS and np.mean(decided == 1) >= _SHIFTED_SHARE:
                first = int(start)
                while first and self._is_rough[first - 1]:  # too quiet to be decided alone
                    first -= 1
                return first * self.window / self.sample_rate
        return None


_FEWEST_WINDOWS, _SHIFTED_SHARE = 4, 0.75

_MOST_TURNS, _FEWEST_TURNS = 0.005, 0.02
"""The share of steps over more than half of the values of a byte.  The highest bytes of sound make
none; the lowest go from 255 on to 0, and of those drawn by chance a quarter are so large."""

_ROUGH_STEP = 16
"""The median step of bytes that are drawn by chance is 75, that of a square wave 0."""


def _take_plane(windows: NDArray[np.int32], shift: int) -> NDArray[np.float32]:
    """Return one byte of each sample, as a number with a sign."""
    return (windows >> shift).astype(np.int8).astype(np.float32)


def _is_smooth(plane: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the bytes of a window follow one another as samples do; not if they hardly vary."""
    power = plane.var(axis=1)
    roughness = np.square(np.diff(plane, axis=1)).mean(axis=1)
    smooth: NDArray[np.bool_] = (power >= 0.2) & (roughness < 0.8 * power)
    return smooth
