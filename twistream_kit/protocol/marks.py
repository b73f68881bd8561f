"""Marks as values: their names on the wire, and how playbacks and marks end.

What a name on the wire looks like is known to `MarkName` alone, which writes it and reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self, TypeGuard

UNNAMED = "play"
"""How a playback is called whose user gave no name."""

_UNIQUE, _PROGRESS, _SECONDS = "#", "@", "s"
"""The form of a name: ``greeting#7``, and ``greeting#7@3s`` of its third second."""

_MOST_DIGITS = 9
"""A longer count is none of ours: fifty playbacks a second make ten digits in seven months."""


@dataclass(frozen=True, slots=True)
class MarkName:
    """The name of a mark on the wire; `str` writes it, `parse` reads it.

    Reading loses nothing, whoever named the mark: ``str(MarkName.parse(text)) == text``.

    >>> str(MarkName("greeting", 7))
    'greeting#7'
    >>> MarkName.parse("greeting#7@3s")
    MarkName(name='greeting', number=7, seconds=3)
    >>> MarkName.parse("part 7 of theirs")
    MarkName(name='part 7 of theirs', number=None, seconds=None)

    Attributes:
        name: As the user gave it, or `UNNAMED`; of another server's mark all of it.
        number: What makes it unique on its stream; None for another server's mark.
        seconds: How much of its playback is before it, for a mark that measures progress.
    """

    name: str
    number: int | None = None
    seconds: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and self.number is None:
            raise ValueError(f"a progress mark of {self.name!r} needs the number of its playback")

    def __str__(self) -> str:
        if self.number is None:
            return self.name
        handle = f"{self.name}{_UNIQUE}{self.number}"
        return handle if self.seconds is None else f"{handle}{_PROGRESS}{self.seconds}{_SECONDS}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the name of any mark."""
        name, _, counts = text.rpartition(_UNIQUE)
        if name and _is_count(counts):
            return cls(name, int(counts))
        if name and counts.endswith(_SECONDS):
            number, _, seconds = counts.removesuffix(_SECONDS).partition(_PROGRESS)
            if _is_count(number) and _is_count(seconds):
                return cls(name, int(number), int(seconds))
        return cls(text)

    @property
    def is_ours(self) -> bool:
        """Whether this package named it; another server may use the same form."""
        return self.number is not None

    @property
    def is_progress(self) -> bool:
        """Whether it only measures how far a playback is."""
        return self.seconds is not None

    @property
    def is_own(self) -> bool:
        """Whether it stands for nothing that the user named."""
        return self.is_progress or (self.is_ours and self.name == UNNAMED)

    def after(self, seconds: int) -> Self:
        """Return the name of the mark behind so many seconds of this playback."""
        return type(self)(self.name, self.number, seconds)


def _is_count(text: str) -> bool:
    return text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= _MOST_DIGITS


Ending = Literal["heard", "cleared", "lost"]
"""``heard``: Twilio played all of it.  ``cleared``: a clear took it away.  ``lost``: the stream
ended, or the mark never came back."""


def is_ending(text: object) -> TypeGuard[Ending]:
    """Whether `text` names an ending."""
    return text in ("heard", "cleared", "lost")


@dataclass(frozen=True, slots=True)
class PlayOutcome:
    """How a playback ended.

    Attributes:
        ending: ``heard``, ``cleared`` or ``lost``.
        heard_ms: How much of it Twilio had played by then, by the playout model; at most
            `total_ms`.  With the real service the caller's ear is 50 to 300 ms behind (§4).
        total_ms: The duration of the whole.
        handle: The name under which the conversation knows it.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> outcome = stream.play(kit.Clip.tone(440, 0.1)).result(10)
        >>> outcome.ending, outcome.heard_ms, outcome.total_ms
        ('heard', 100, 100)
    """

    ending: Ending
    heard_ms: int
    total_ms: int
    handle: str = field(default="", repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<PlayOutcome {self.ending}: {self.heard_ms} of {self.total_ms} ms heard>"


@dataclass(frozen=True, slots=True)
class MarkOutcome:
    """How a mark ended.

    Attributes:
        ending: ``heard``, ``cleared`` or ``lost``.
        name: As the user gave it.
        after_ms: Time from asking for it to its return, or to the ending.
        handle: Its unique name on the wire.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> playing = stream.play(kit.Clip.tone(440, 0.1))
        >>> outcome = stream.mark("after the tone").result(10)
        >>> outcome.ending, outcome.name
        ('heard', 'after the tone')
        >>> outcome.after_ms >= 90
        True
    """

    ending: Ending
    name: str
    after_ms: int
    handle: str = field(default="", repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<MarkOutcome {self.name!r}: {self.ending} after {self.after_ms} ms>"
