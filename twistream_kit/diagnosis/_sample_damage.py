"""Recognise samples that were damaged before they were encoded as μ-law (PROTOCOL.md §4).

The payload is valid μ-law then, and no other coding makes it smooth; the caller hears noise.  Each
damage leaves marks that neither speech and music nor real noise have:

- Bytes of μ-law were taken for samples and encoded again.  If each byte became one sample, the few
  samples that are possible name the byte, and the sound inside is smooth.  If two bytes became one
  sample, or if they were resampled, the sound inside is lost.  But the two zeros of μ-law are half
  the scale apart then, so even the pauses are loud noise, and most of it lies above zero.
- Samples beyond ±32,767 wrapped around.  They jump over the whole scale; with 65,536 added or
  subtracted, the sound goes on where it was.
- The low byte of each sample stands where the high byte belongs: in the wrong byte order, from a
  lost byte on, or where only the low 16 of 24 bits were kept.  All levels up to full scale are
  equally frequent then.  If the high byte of a quiet sample became the low one, it is 0 or -1, so
  that most samples lie beside a multiple of 256.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._coding import (
    BLOCK,
    Block,
    RecognisedCoding,
    count_bits,
    find_prediction_errors,
    make_tables,
)
from twistream_kit.diagnosis.payload import SHORTEST_BYTES
from twistream_kit.errors import Objection

Damage = Literal["encoded twice", "wrapped around", "bytes displaced", "low 16 bits kept"]

_AT_A_TIME = 34
"""How many blocks are measured in one step."""

_NOISY_BITS, _NOISY_LEVEL = 5.8, 4000
"""The prediction error in bits per sample, and the level (RMS), from which a block is noisy."""

_HEARD_LEVEL = 50

_FEWEST_NOISY = 8
"""A quarter of a second of noise."""

_FEWEST_CODES, _FEWEST_QUIET_CODES = 24, 5
"""How many different codes speech, music and noise have at least; tones may have fewer."""

_HALF, _WHOLE, _END = 32768, 65536, 31000
"""Half and all of the scale of int16, and the magnitude from which a sample is at an end of it."""

_REPORTED_CODE_SHARE = 0.98
"""The share of codes that must be possible if each byte became one sample."""

_FEWEST_BITS_SAVED = 1.0


_LARGEST_BYTE = 264
"""The greatest mean magnitude of samples from 0 to 255: μ-law rounds them."""

_FEWEST_CHANGES = 0.01
"""The share of samples at which the sign of sound changes, in one direction: 80 times a second."""

_CERTAIN = 0.99
"""The confidence from which the sound is reported as an error."""

_Reading = Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]]


def _sign(byte: NDArray[np.int64]) -> NDArray[np.int64]:
    return (byte + 128) % 256 - 128


def _read_as_int8(byte: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
    return _sign(byte) * 1.0


_LOUD_READINGS: list[_Reading] = [
    lambda byte: _sign(byte) * 256.0,
    lambda byte: (byte - 128) * 256.0,
    lambda byte: np.rint((byte / 127.5 - 1) * 32767),
]
"""How a byte may have become a sample of full scale: as int8, as uint8, as a float from -1 to 1."""


@dataclass(frozen=True, slots=True)
class DamagedSamples:
    """What happened to samples before they were encoded as μ-law.

    Attributes:
        damage: What happened.
        confidence: The confidence, 0.9 to 1.
        since: The index of the sample with which the noise begins, if there is sound before it.
    """

    damage: Damage
    confidence: float
    since: int | None = None

    def to_objection(self, field: str = "media.payload", since: float | None = None) -> Objection:
        """Return an objection: an error if the confidence is high, else a warning.

        Args:
            field: The name of the field in the objection.
            since: How many seconds of good sound come before the noise, if it is known.
        """
        problem, heard, fix = _WORDS[self.damage]
        if since is not None:
            problem = f"{problem}. So it is from {since:.1f} s on; what comes before is sound"
        if self.confidence >= _CERTAIN:
            return Objection(None, field, problem, heard, fix, "error", self.confidence)
        return Objection(None, field, _describe_as_probable(problem), heard, fix, "warning")


def _describe_as_probable(problem: str) -> str:
    """Word the cause as probable; what is heard is certain."""
    return problem.replace(": ", ": probably ", 1)


class _Words(NamedTuple):
    problem: str
    heard: str
    fix: str


_WORDS: dict[Damage, _Words] = {
    "encoded twice": _Words(
        "is noise that was made before the μ-law coding: it is encoded twice, so μ-law was taken"
        " for samples and encoded again",
        "The caller hears loud noise and no voice",
        "Send the μ-law bytes as they came; if you need samples: kit.decode_ulaw(payload)",
    ),
    "wrapped around": _Words(
        "jumps over the whole scale: its samples were larger than int16 holds and wrapped around",
        "The caller hears loud cracks on all that is loud",
        "Scale or clip before the cast: np.clip(samples, -32768, 32767).astype(np.int16);"
        " kit.Clip.from_samples(samples, sample_rate) takes floats from -1 to 1 and clips them."
        " Wider integers are narrowed by a shift: (samples >> 8).astype(np.int16) for 24 bits",
    ),
    "bytes displaced": _Words(
        "is noise that was made before the μ-law coding: the low byte of each 16-bit sample stands"
        " where the high one belongs. The byte order is wrong, or a byte is missing or too many",
        "The caller hears loud noise and no voice",
        "Read the samples in their own byte order: np.frombuffer(pcm, '<i2'), or '>i2'; cut 16-bit"
        " sound at even bytes only, and keep an odd byte for the next piece",
    ),
    "low 16 bits kept": _Words(
        "is noise that was made before the μ-law coding: only the low bits of its samples were"
        " kept, so wider samples were narrowed to 16 bits and not scaled",
        "The caller hears loud noise and no voice",
        "Scale before you narrow, for 24 bits (samples >> 8).astype(np.int16);"
        " kit.load_clip(path) scales by itself",
    ),
}
"""The problem, what the caller hears, and the fix, by the damage."""


def find_damaged_samples(
    payload: bytes, recognised: RecognisedCoding | None = None
) -> DamagedSamples | None:
    """Find out whether the samples of `payload` were damaged before they were encoded.

    Args:
        payload: Joined payloads, 8000 bytes a second: half a second or more; 1 to 3 s is best.
        recognised: What `recognise_coding` recognised; a coding in which the sound is smooth
            explains it.

    Returns:
        The damage; None if there is none, or if it is not certain enough.
    """
    *_, damaged = find_damaged_samples_in_steps(payload, recognised)
    return damaged


def find_damaged_samples_in_steps(
    payload: bytes, recognised: RecognisedCoding | None = None
) -> Iterator[DamagedSamples | None]:
    """Do the same as `find_damaged_samples` in steps of about 0.5 ms; the last is the result."""
    codes = np.frombuffer(payload, np.uint8, len(payload) // BLOCK * BLOCK).reshape(-1, BLOCK)
    different = int(np.count_nonzero(np.bincount(codes.reshape(-1), minlength=256)))
    if len(payload) < SHORTEST_BYTES or different < _FEWEST_QUIET_CODES:
        yield None
        return
    parts = []
    for at in range(0, len(codes), _AT_A_TIME):
        parts.append(_measure(codes[at : at + _AT_A_TIME]))
        yield None
    blocks = _Blocks(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    sound = _Sound(codes, blocks)
    found = _find_two_levels(sound) or _find_quiet_bytes(sound)
    if found is None and different >= _FEWEST_CODES:
        found = _find_loud_bytes(sound, recognised)
        if found is None:
            yield None
            found = _find_displaced_bits(sound, recognised)
    yield found


def is_about_damage(objection: Objection) -> bool:
    """Whether an objection is that of `DamagedSamples`."""
    problems = [words.problem for words in _WORDS.values()]
    worded = (*problems, *map(_describe_as_probable, problems))
    return objection.problem.startswith(worded)


class _Blocks(NamedTuple):
    """Measures of each block."""

    bits: NDArray[np.float32]  # of the prediction error, a sample
    level: NDArray[np.float32]  # RMS
    mean: NDArray[np.float32]
    size: NDArray[np.float32]  # the mean of the magnitudes
    unrest: NDArray[np.float32]  # 1 for white noise, 0 for what moves slowly, 2 for what alternates
    jumps: NDArray[np.int64]  # over more than half the scale, but not from one end to the other


@dataclass(slots=True)
class _Sound:
    """The codes in blocks, and what was measured of them."""

    codes: NDArray[np.uint8]
    blocks: _Blocks

    @property
    def is_noisy(self) -> NDArray[np.bool_]:
        """Which blocks are loud and cannot be predicted."""
        return (self.blocks.bits > _NOISY_BITS) & (self.blocks.level > _NOISY_LEVEL)

    @property
    def is_heard(self) -> NDArray[np.bool_]:
        """Which blocks are no silence."""
        return self.blocks.level > _HEARD_LEVEL


def _measure(codes: NDArray[np.uint8]) -> _Blocks:
    samples, steps = make_tables()["PCMU"]
    values = samples[codes]
    loud = np.abs(values)
    moves = values[:, 1:] - values[:, :-1]
    mean = values.mean(axis=1)
    power = np.square(values).mean(axis=1)
    return _Blocks(
        count_bits(values, steps[codes]),
        np.sqrt(power),
        mean,
        loud.mean(axis=1),
        np.square(moves).mean(axis=1) / (2 * (power - mean * mean) + 1),
        _find_jumps(loud, np.abs(moves)).sum(axis=1),
    )


def _find_jumps(loud: Block, moved: Block) -> NDArray[np.bool_]:
    """Return where a sample jumps over more than half the scale.

    A jump from one end to the other does not count: sound that was cut off has such jumps.
    """
    is_at_the_ends = (loud[:, 1:] > _END) & (loud[:, :-1] > _END)
    jumps: NDArray[np.bool_] = (moved > _HALF) & ~is_at_the_ends
    return jumps


class _Table(NamedTuple):
    """For each code: what the byte stood for that was taken for a sample, before."""

    samples: Block
    steps: Block  # the distance of the samples that have the same code
    is_possible: NDArray[np.bool_]


def _make_second_table(read: _Reading) -> _Table:
    samples, steps = make_tables()["PCMU"]
    taken = np.clip(read(np.arange(256)), -32768, 32767).astype(np.int16)
    outer = np.frombuffer(encode_ulaw(taken), np.uint8)
    table = _Table(np.zeros(256, np.float32), np.ones(256, np.float32), np.zeros(256, np.bool_))
    for code in np.unique(outer):
        inner = np.flatnonzero(outer == code)
        middle = inner[len(inner) // 2]
        table.samples[code] = samples[middle]
        table.steps[code] = np.ptp(samples[inner]) + steps[middle]
        table.is_possible[code] = True
    return table


@cache
def _make_loud_tables() -> list[_Table]:
    return [_make_second_table(read) for read in _LOUD_READINGS]


@cache
def _make_quiet_table() -> _Table:
    return _make_second_table(_read_as_int8)


@cache
def _find_small_codes() -> NDArray[np.bool_]:
    """Return which codes are neither silence nor so loud that they cover a multiple of 256."""
    loud = np.abs(make_tables()["PCMU"][0])
    return (loud >= 8) & (loud < 3968)


def _measure_multiples(codes: NDArray[np.uint8]) -> tuple[float, int]:
    """Return the share of small samples beside a multiple of 256, and how many are small."""
    counts = np.bincount(codes.reshape(-1), minlength=256)
    small = _find_small_codes()
    beside = small & _make_loud_tables()[0].is_possible
    all_small = int(counts[small].sum())
    return float(counts[beside].sum()) / max(1, all_small), all_small


def _count_bits_saved(sound: _Sound, table: _Table) -> float:
    """Return how many bits a sample are saved if the bytes were samples of this kind."""
    codes = sound.codes
    if np.mean(table.is_possible[codes]) < _REPORTED_CODE_SHARE:
        return 0.0
    inner = count_bits(table.samples[codes], table.steps[codes])
    return float((sound.blocks.bits - inner).mean())


def _find_loud_bytes(sound: _Sound, recognised: RecognisedCoding | None) -> DamagedSamples | None:
    """Find bytes of μ-law that were taken for the high bytes of samples."""
    if np.count_nonzero(sound.is_noisy) < _FEWEST_NOISY:
        return None
    saved = max(_count_bits_saved(sound, table) for table in _make_loud_tables())
    mean = float(sound.blocks.bits.mean())
    other_bits = recognised.bits if recognised else mean
    if saved > _FEWEST_BITS_SAVED and mean - saved < other_bits:
        return DamagedSamples("encoded twice", 0.999)
    return None


def _find_quiet_bytes(sound: _Sound) -> DamagedSamples | None:
    """Find bytes of μ-law that were taken for samples of -128 to 255."""
    if float(sound.blocks.size.max()) > _LARGEST_BYTE:
        return None
    if _count_bits_saved(sound, _make_quiet_table()) > _FEWEST_BITS_SAVED:
        return DamagedSamples("encoded twice", 0.98)
    return None


def _find_two_levels(sound: _Sound) -> DamagedSamples | None:
    """Find bytes from 0 to 255 that were taken for samples, or for floats from 0 to 1.

    The two zeros of μ-law, 127 and 255, are half and all of the scale then.  Soft sound jumps from
    one to the other, and hardly ever lies between them.
    """
    if float(sound.blocks.mean.min()) <= 0 or np.any(sound.codes < 0x80):
        return None
    values = make_tables()["PCMU"][0][sound.codes]
    largest = float(np.percentile(values, 99.5))
    if not (200 < largest < _LARGEST_BYTE or largest > _END):
        return None  # 255 became neither 255 nor full scale: it is sound with an offset
    place = values * np.float32(255 / largest)
    low = (place > 97) & (place < 131)
    high = place > 205
    between = float(((place > 136) & (place < 170)).mean())
    changes = float((high[:, 1:] & low[:, :-1]).mean())
    least = min(float(low.mean()), float(high.mean()))
    # Of loud sound, more lies between them; but then it also jumps more often.
    rare = 2.0 if changes < 3 * _FEWEST_CHANGES else 0.7
    if least < max(0.05, rare * between) or changes < _FEWEST_CHANGES:
        return None
    return DamagedSamples("encoded twice", 0.98)


def _find_resampled_bytes(
    sound: _Sound, recognised: RecognisedCoding | None
) -> DamagedSamples | None:
    """Find bytes of μ-law of which two became one sample, or that were resampled."""
    noisy = sound.is_noisy
    if np.count_nonzero(noisy) < max(_FEWEST_NOISY, 0.4 * np.count_nonzero(sound.is_heard)):
        return None
    mean, level = sound.blocks.mean[noisy], sound.blocks.level[noisy]
    aside = float(mean.mean())
    loudness = float(np.sqrt(np.square(level).mean())) / _HALF
    unrest = float(np.median(sound.blocks.unrest[noisy]))
    # If the sound is a little less noisy in another coding, it is noise that is not from outside.
    is_wrong = recognised is not None and not recognised.is_smooth
    needed, needed_share = (500, 0.15) if is_wrong else (900, 0.25)
    if aside < needed or (aside < 1800 and loudness < 0.316) or not 0.2 < loudness < 0.75:
        return None
    if np.mean(mean > 0.2 * level) < needed_share:
        return None
    # No offset and no slow noise has a mean of 4000; that of white noise is steadier than here.
    if aside < 4000 and float(np.std(mean / level)) < 0.07:
        return None
    multiples, _ = _measure_multiples(sound.codes[noisy])
    if (
        unrest > 0.5
        or (unrest > 0.36 and (multiples > 0.3 or is_wrong))
        or (unrest > 0.15 and aside > 4000)
    ):
        return DamagedSamples("encoded twice", 0.95)
    return None


def _find_displaced_bits(
    sound: _Sound, recognised: RecognisedCoding | None
) -> DamagedSamples | None:
    """Find all damages after which a sample is no byte of the sound before."""
    found = None
    if recognised is None or not recognised.is_smooth:
        found = _find_low_bytes(sound) or _find_wraps(sound)
    else:
        # Sound of 8 bits has no reason to lie beside multiples of 256, as pairs of bytes do.
        multiples, small = _measure_multiples(sound.codes)
        if multiples < 0.6 or small < _FEWEST_SMALL:
            return None
    return found or _find_resampled_bytes(sound, recognised)


_FEWEST_SMALL = 300
"""How many small samples are needed to find out whether they lie beside multiples of 256."""


def _find_low_bytes(sound: _Sound) -> DamagedSamples | None:
    """Find low bytes in the place of high ones: all levels are equally frequent."""
    blocks = sound.blocks
    is_even = (blocks.bits > 6) & (blocks.size > 14000) & (blocks.size < 18800)
    is_even &= (np.abs(blocks.mean) < 0.2 * blocks.level) & (blocks.unrest > 0.75)
    if np.count_nonzero(is_even) < 6:
        return None
    values = make_tables()["PCMU"][0][sound.codes[is_even]]
    shares = np.histogram(values, 16, (-_HALF, _HALF))[0] / values.size
    if np.abs(shares - 1 / 16).max() > 0.02 or np.mean(np.abs(values) > 32000) > 0.055:
        return None
    return _name_cause(sound, is_even, "low 16 bits kept", 0.97)


def _find_wraps(sound: _Sound) -> DamagedSamples | None:
    """Find jumps over the whole scale, after which the sound goes on where it was."""
    has_jumps = sound.blocks.jumps > 0
    if np.count_nonzero(has_jumps) == 0 or int(sound.blocks.jumps.sum()) < 3:
        return None
    # A square wave has the same jumps, but is louder than any sound that only touches the ends.
    if float(np.median(sound.blocks.level[has_jumps])) > 0.6 * _HALF:
        return None
    if _is_clipped(sound.codes[has_jumps]):
        return None
    values = make_tables()["PCMU"][0][sound.codes[has_jumps]]
    moved = np.abs(values[:, 1:] - values[:, :-1])
    jumps = _find_jumps(np.abs(values), moved)[:, 1:]
    count = int(np.count_nonzero(jumps))
    if count < 3:
        return None
    left = _WHOLE - moved[:, 1:][jumps]  # what is left of a jump if it was a wrap
    errors = find_prediction_errors(values)[jumps]
    goes_on = float(np.mean((left < errors / 2) & (left < _HALF / 2)))
    usual = float(np.median(moved))
    multiples, small = _measure_multiples(sound.codes)
    if (
        small > _FEWEST_SMALL
        and multiples > 0.95
        and goes_on > 0.25
        and usual < 6000
        and count > 10
    ):
        return _name_cause(sound, has_jumps, "wrapped around", 0.95)
    if goes_on > 0.4 or (goes_on > 0.3 and usual < 4600 and count > 20):
        return _name_cause(sound, has_jumps, "wrapped around", 0.95)
    return None


def _is_clipped(codes: NDArray[np.uint8]) -> bool:
    """Whether samples stay at full scale: what wraps around goes on from the other end at once."""
    at_the_end = (codes & 0x7F) <= 2  # a filter leaves ripples on what was flat
    stays = at_the_end[:, 1:] & at_the_end[:, :-1] & ((codes[:, 1:] ^ codes[:, :-1]) < 0x80)
    return int(stays.sum()) > max(_FEWEST_CLIPPED, _CLIPPED_SHARE * int(at_the_end.sum()))


_FEWEST_CLIPPED, _CLIPPED_SHARE = 4, 0.2
"""How many samples at full scale follow another one there: 0.35 or more of those of clipped speech
with such jumps, at most 0.12 of those of wrapped speech."""


def _name_cause(
    sound: _Sound, is_bad: NDArray[np.bool_], otherwise: Damage, confidence: float
) -> DamagedSamples:
    """Tell displaced bytes from others by the multiples of 256, and find where they begin."""
    begin = int(np.flatnonzero(is_bad)[0])
    multiples, small = _measure_multiples(sound.codes[begin:])
    needed = 0.5 if otherwise == "low 16 bits kept" else 0.95
    if small < 60 or multiples < needed:
        return DamagedSamples(otherwise, confidence)
    return DamagedSamples("bytes displaced", 0.995, _find_beginning(sound, begin))


def _find_beginning(sound: _Sound, begin: int) -> int | None:
    """Return the sample with which the noise begins if there is good sound before it."""
    before = sound.is_heard[:begin]
    if np.count_nonzero(before) < _FEWEST_NOISY:
        return None
    multiples, small = _measure_multiples(sound.codes[:begin][before])
    if small >= 60 and multiples > 0.5:
        return None
    return begin * BLOCK
