"""Marks as values: their names on the wire, and the outcomes of playbacks and marks.

Only `MarkName` knows the format of a name on the wire; it formats and parses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self, TypeGuard

from twistream_kit.protocol.ending import EndCause

UNNAMED = "play"
"""The name of a playback to which the user gave no name."""

_UNIQUE, _PROGRESS, _SECONDS = "#", "@", "s"
"""The form of a name: ``greeting#7``, and ``greeting#7@3s`` of its third second."""

_MOST_DIGITS = 9
"""The most digits of our counters: fifty playbacks a second reach ten digits in seven months."""


@dataclass(frozen=True, slots=True)
class MarkName:
    """The name of a mark on the wire; `str` formats it, `parse` parses it.

    Parsing is lossless for the marks of any server: ``str(MarkName.parse(text)) == text``.

    >>> str(MarkName("greeting", 7))
    'greeting#7'
    >>> MarkName.parse("greeting#7@3s")
    MarkName(name='greeting', number=7, seconds=3)
    >>> MarkName.parse("part 7 of theirs")
    MarkName(name='part 7 of theirs', number=None, seconds=None)

    Attributes:
        name: The user's name, or `UNNAMED`; the whole name of another server's mark.
        number: The counter that makes it unique on its stream; None for another server's mark.
        seconds: For a mark that measures progress, the seconds of its playback before it.
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
        handle = format_handle(self.name, self.number)
        return handle if self.seconds is None else f"{handle}{_PROGRESS}{self.seconds}{_SECONDS}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the name of any mark."""
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
        """Whether it has the format of this package; another server may use the same format."""
        return self.number is not None

    @property
    def is_progress(self) -> bool:
        """Whether it only measures the progress of a playback."""
        return self.seconds is not None

    @property
    def is_own(self) -> bool:
        """Whether the kit added the mark, and the user did not name it."""
        return self.is_progress or (self.is_ours and self.name == UNNAMED)

    def name_progress(self, seconds: int) -> Self:
        """Return the name of the progress mark after `seconds` of this playback."""
        return type(self)(self.name, self.number, seconds)


def format_handle(name: str, number: int) -> str:
    """Return the name on the wire of the mark that ends a playback."""
    return f"{name}{_UNIQUE}{number}"


def _is_count(text: str) -> bool:
    return text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= _MOST_DIGITS


Ending = Literal["heard", "cleared", "lost"]
"""``heard``: Twilio played all of it.  ``cleared``: a clear removed it.  ``lost``: the stream
ended, or the mark never came back."""


WHAT_NEXT = "this stream has ended, server.next_stream() waits for the next call"
"""What to do about a playback or a mark on a stream that has ended."""


def is_ending(text: object) -> TypeGuard[Ending]:
    """Whether `text` names an ending."""
    return text in ("heard", "cleared", "lost")


@dataclass(frozen=True, slots=True)
class PlayOutcome:
    """How a playback ended.

    Attributes:
        ending: ``heard``, ``cleared`` or ``lost``.
        heard_ms: How much of it Twilio had played by then, by the playout model; at most
            `total_ms`.  With the real service the caller hears it 50 to 300 ms later (§4).
        total_ms: The duration of the whole sound.
        handle: The handle of the playback in its `Conversation`.
        cause: Who ended the stream, and why, if the playback was lost by that; else None.
        gaps: How many times nothing was there to play within it, for 20 ms or longer, because its
            source was slower than real time.
        gap_ms: The duration of all of them.
        remark: What is nearly certainly wrong with the sound; empty if nothing is.  It is given
            once for each stream.

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
    cause: EndCause | None = field(default=None, compare=False)
    gaps: int = field(default=0, compare=False)
    gap_ms: int = field(default=0, compare=False)
    remark: str = field(default="", compare=False)

    @property
    def why(self) -> str:
        """Why the rest was not heard, as a clause; empty if it was heard or cleared.

        >>> PlayOutcome("lost", 0, 5618, cause=EndCause("callee-hung-up")).why
        'the callee hung up'
        """
        return _say_why(self.ending, self.cause)

    @property
    def notes(self) -> list[str]:
        """What there is to say besides: why it was not heard, its gaps, the remark.

        >>> PlayOutcome("heard", 900, 900, gaps=2, gap_ms=70).notes
        ['2 gaps, 70 ms in all']
        """
        gaps = f"{self.gaps} gap{'s' * (self.gaps != 1)}, {self.gap_ms} ms in all"
        return [text for text in (self.why, gaps * bool(self.gaps), self.remark) if text]

    def __repr__(self) -> str:
        heard = f"{self.ending}: {self.heard_ms} of {self.total_ms} ms heard"
        said = [*self.notes, *filter(None, [say_what_next(self)])]
        return f"<PlayOutcome {heard}{': ' * bool(said)}{'; '.join(said)}>"


@dataclass(frozen=True, slots=True)
class MarkOutcome:
    """How a mark ended.

    Attributes:
        ending: ``heard``, ``cleared`` or ``lost``.
        name: The user's name of the mark.
        after_ms: The time from the command to its return, or to its ending.
        handle: Its unique name on the wire.
        cause: Who ended the stream, and why, if the mark was lost by that; else None.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> playing = stream.play(kit.Clip.tone(440, 0.5))
        >>> outcome = stream.mark("after the tone").result(10)
        >>> outcome.ending, outcome.name
        ('heard', 'after the tone')
        >>> outcome.after_ms > 200
        True
    """

    ending: Ending
    name: str
    after_ms: int
    handle: str = field(default="", repr=False, compare=False)
    cause: EndCause | None = field(default=None, compare=False)

    @property
    def why(self) -> str:
        """Why it did not come back, as a clause; empty if it did.

        >>> MarkOutcome("lost", "greeting", 900, cause=EndCause("caller-hung-up")).why
        'the caller hung up'
        """
        return _say_why(self.ending, self.cause)

    def __repr__(self) -> str:
        ended = f"{self.name!r}: {self.ending} after {self.after_ms} ms"
        said = [text for text in (self.why, say_what_next(self)) if text]
        return f"<MarkOutcome {ended}{': ' * bool(said)}{'; '.join(said)}>"


def say_what_next(outcome: PlayOutcome | MarkOutcome) -> str:
    """Return what to do about what was lost because its stream has ended; else empty."""
    return WHAT_NEXT if outcome.ending == "lost" and outcome.cause is not None else ""


def _say_why(ending: Ending, cause: EndCause | None) -> str:
    if ending != "lost":
        return ""
    return "its mark did not come back" if cause is None else cause.in_words
