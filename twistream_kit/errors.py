"""Everything that goes wrong, as data.

    TwistreamError
    ├── WavError             a file is not what a telephone can be given
    ├── LocalProtocolError   you are about to break a rule of Media Streams
    ├── RemoteProtocolError  the far end broke one
    ├── CallRefused          Twilio (or its simulator) would not place or change a call
    ├── TunnelError          the public address could not be opened, or does not lead here
    ├── SettingsError        an account, a number or an option is missing or malformed
    ├── ServerStopped        what was waited for cannot come: its server has stopped
    └── WouldDeadlock        waiting here would stop the very loop that is waited for

Each error says what is wrong, what follows from it and what to do.  The text is built from the
attributes, so that a program and a person read the same thing.

An `Objection` says the same of a thing that is reviewed and not refused: nothing is raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self


class Explained:
    """Something that says what is wrong, what follows from it, and what to do.

    Errors are raised; objections, findings and checks are given back.  All of them are read in the
    same three sentences.
    """

    __slots__ = ()

    problem: str
    consequence: str
    fix: str

    @property
    def statement(self) -> str:
        """What is wrong, and with what, without what follows from it."""
        return self.problem

    def __str__(self) -> str:
        return sentences(self.statement, self.consequence, self.fix)


class TwistreamError(Explained, Exception):
    """The root of all errors of this package.

    Attributes:
        problem: What is wrong.
        consequence: What follows from it; may be empty.
        fix: What to do about it; may be empty.
    """

    def __init__(self, problem: str, *, consequence: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.consequence = consequence
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments do not survive Exception's own pickling, and a process pool pickles.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[TwistreamError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class WavError(TwistreamError, ValueError):
    """A sound file cannot be read.

    Attributes:
        source: The name of the file, or what stood in for one.
        offset: Where in the file the trouble is, in bytes, or None.
    """

    def __init__(
        self,
        problem: str,
        *,
        source: str = "",
        offset: int | None = None,
        consequence: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.source = source
        self.offset = offset

    @property
    def statement(self) -> str:
        """What is wrong, and where in which file."""
        where = self.source
        if self.offset is not None:
            where = f"{where}, byte {self.offset}" if where else f"byte {self.offset}"
        return f"{where}: {self.problem}" if where else self.problem


class _ProtocolError(TwistreamError):
    """A rule of Media Streams broken, and by which field.

    Attributes:
        field: The field at fault, as on the wire (``media.payload``), or empty.
        twilio_code: The code that Twilio logs for it, or None where Twilio logs nothing.
    """

    def __init__(
        self,
        problem: str,
        *,
        field: str = "",
        twilio_code: int | None = None,
        consequence: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.field = field
        self.twilio_code = twilio_code

    @classmethod
    def of(cls, objection: Objection) -> Self:
        """Build the error that says what `objection` says."""
        return cls(
            objection.problem,
            field=objection.field,
            twilio_code=objection.code,
            consequence=objection.consequence,
            fix=objection.fix,
        )

    @property
    def statement(self) -> str:
        """What is wrong, and with which field."""
        return f"{self.field} {self.problem}".lstrip()


class LocalProtocolError(_ProtocolError, ValueError):
    """You are about to break a rule of Media Streams."""


class RemoteProtocolError(_ProtocolError):
    """The far end broke a rule of Media Streams."""


class CallRefused(TwistreamError):
    """A call could not be placed or changed.

    Attributes:
        code: Twilio's error code, or None when the request never reached Twilio.
        status: The HTTP status of the refusal, or None.
    """

    def __init__(
        self,
        problem: str,
        *,
        code: int | None = None,
        status: int | None = None,
        consequence: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.code = code
        self.status = status


class TunnelError(TwistreamError):
    """There is no public address, or it does not lead to this process."""


class SettingsError(TwistreamError, ValueError):
    """A setting is missing or malformed; its value is never part of the text."""


class ServerStopped(TwistreamError):
    """What was waited for cannot come any more, because its server has stopped."""

    @classmethod
    def before(cls, what: str) -> Self:
        """Build the error for a wait for `what` that the stop of a server ended."""
        return cls(
            f"the server stopped before {what}",
            fix="Start it again with kit.start(server) and wait anew",
        )


class WouldDeadlock(TwistreamError, RuntimeError):
    """Waiting here would stop the very loop that is to bring the result."""


Severity = Literal["error", "warning", "note"]
"""How much it matters.

``error``: it will not do what you want.  ``warning``: it may not, or Twilio obeys and complains.
``note``: legal, but often not what was meant.
"""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Objection(Explained):
    """What is wrong, what follows from it, and what to do.

    Attributes:
        code: What Twilio's console would show (31951, ...), or None where Twilio says nothing.
        field: What it is about, as on the wire (``media.payload``), or empty for the whole.
        problem: What is wrong; continues the sentence that `field` begins.
        consequence: What Twilio does about it; may be empty.
        fix: What to do, in this package's names; may be empty.
        severity: ``error``, ``warning`` or ``note``.
        confidence: How sure this is, 0 to 1, where it was judged by the look of the sound; None
            where a rule was broken, which is certain.
    """

    code: int | None
    field: str
    problem: str
    consequence: str = ""
    fix: str = ""
    severity: Severity = "error"
    confidence: float | None = None

    @property
    def statement(self) -> str:
        """What is wrong, with what, and how sure that is."""
        statement = f"{self.field} {self.problem}".lstrip()
        if self.confidence is not None:
            # Never 100 %: what is certain carries no confidence.
            statement += f" ({min(99, round(100 * self.confidence))} % sure)"
        return statement


class Objections(list[Objection]):
    """A list of objections that can be read; an empty one says that there are none."""

    def __repr__(self) -> str:
        return "\n".join(f"- {objection}" for objection in self) or "nothing to object to"


def by_importance(objections: Iterable[Objection]) -> Objections:
    """Return `objections` with errors first and notes last, otherwise in the order found."""
    return Objections(sorted(objections, key=lambda objection: _RANK[objection.severity]))


def sentences(*parts: str) -> str:
    """Join `parts` into sentences, each with one full stop; leave out the empty ones."""
    return " ".join(
        part if part[-1] in ".!?" else f"{part}." for part in map(str.strip, parts) if part
    )


def shown(value: object, limit: int = 40) -> str:
    """Return `value` for use in a sentence: quoted, on one line, at most `limit` characters long.

    Lone surrogates and control characters come out escaped, so the text can always be printed.
    """
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]!r}… ({len(value)} characters)"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
