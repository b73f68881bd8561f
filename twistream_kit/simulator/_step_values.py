"""The values of a caller's steps, checked: clips and seconds, fixed or left to chance."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.payload import refuse_no_sound
from twistream_kit.errors import WrongType, WrongValue, quote, require_finite
from twistream_kit.sound_file import FROM_CALLER

MOST_SECONDS = 14_400.0
"""The longest step; a call lasts no longer (PROTOCOL.md §11)."""

VARIED = ("after", "seconds")
"""The values that may be a range, in which the seed draws one."""

Expectation = Callable[[Clip], object]
"""Gets what was heard during a step; returns False or raises, if it is not as expected."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number of seconds that the seed of a script draws."""

    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.least:g} to {self.most:g}"


@dataclass(frozen=True, slots=True)
class Choice:
    """Clips of which the seed of a script draws one."""

    clips: tuple[Clip, ...]

    def __str__(self) -> str:
        return " or ".join(repr(clip.name) for clip in self.clips)


def check_sound(sound: object) -> Clip | Choice:
    """Return sound as a clip that a caller can say, or several to choose from."""
    return sound if isinstance(sound, Choice) else check_clip(sound)


def check_clip(sound: object) -> Clip:
    """Return sound as a clip that a caller can say."""
    if not isinstance(sound, Clip | bytes):
        raise WrongType(
            f"a caller says a Clip or PCMU bytes, not {type(sound).__name__}; "
            "kit.load_clip(path) reads a file"
        )
    refuse_no_sound(bytes(sound), FROM_CALLER)
    clip = sound if isinstance(sound, Clip) else Clip(sound, "bytes")
    if not clip.payload:
        raise WrongValue(f"the clip {clip.name!r} is empty; use wait(seconds) to say nothing")
    return clip


def make_range(least: float, most: float) -> Range:
    """Return the range between two numbers of seconds.

    Raises:
        TypeError, ValueError: If one is no number of seconds, or `most` is less than `least`.
    """
    lowest = check_number("least", least, least=0.0)
    highest = check_number("most", most, least=0.0)
    if highest < lowest:
        raise WrongValue(f"most is {most:g}, and least {least:g}; give the smaller number first")
    return Range(lowest, highest)


def check_number(name: str, value: Any, *, least: float | None = None) -> float:
    """Return a number of seconds, more than 0 or `least` at least, and no longer than a call."""
    require_finite(**{name: value})
    if not (0 < value <= MOST_SECONDS or value == least):
        lowest = "more than 0" if least is None else f"{least:g} or more"
        raise WrongValue(f"{name} is {value!r}; it is {lowest} and at most {MOST_SECONDS:g} s")
    return float(value)


def check_seconds(name: str, value: Any, *, least: float | None = None) -> Any:
    """Return a number of seconds, or a range of them."""
    if isinstance(value, Range) and name in VARIED:
        return value
    return check_number(name, value, least=least)


def check_limit(kind: str, limit: float, **times: float | Range) -> None:
    """Refuse a step whose limit ends it before one of its times can have passed.

    Raises:
        ValueError: If one is as long as the limit, or longer; milliseconds mostly are.
    """
    for name, value in times.items():
        most = value.most if isinstance(value, Range) else value
        if most >= limit:
            raise WrongValue(
                f"{name} is {most:g} s, and limit {limit:g} s ends the step before; all times of "
                f"{kind} are in seconds, so give {name} as seconds, or a longer limit"
            )


def check_meant(meant: object) -> bool:
    """Return whether sound is meant for the server."""
    if not isinstance(meant, bool):
        raise WrongType(f"meant is {quote(meant)}; give True, or False for a cough or a murmur")
    return meant


def check_expect(expect: Any) -> Any:
    """Return a function that takes a clip, or None."""
    if expect is None:
        return None
    if not callable(expect):
        raise WrongType(f"expect is {quote(expect)}; give a function that takes a Clip")
    if _is_async(expect) or _is_async(getattr(type(expect), "__call__", None)):  # noqa: B004
        raise WrongType(
            "expect is an async function, which would never be awaited; give an ordinary one, "
            "which is called after the call"
        )
    return expect


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
