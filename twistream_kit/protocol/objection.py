"""One thing that Twilio, or the caller's ear, would object to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from twistream_kit.errors import sentences

Severity = Literal["error", "warning", "note"]
"""How much it matters.

``error``: it will not do what you want.  ``warning``: it may not, or Twilio obeys and complains.
``note``: legal, but often not what was meant.
"""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Objection:
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

    def __str__(self) -> str:
        problem = f"{self.field} {self.problem}" if self.field else self.problem
        if self.confidence is not None:
            # Never 100 %: what is certain carries no confidence.
            problem += f" ({min(99, round(100 * self.confidence))} % sure)"
        return sentences(problem, self.consequence, self.fix)


class Objections(list[Objection]):
    """A list of objections that can be read; an empty one says that there are none."""

    def __repr__(self) -> str:
        return "\n".join(f"- {objection}" for objection in self) or "nothing to object to"


def by_importance(objections: Iterable[Objection]) -> Objections:
    """Return `objections` with errors first and notes last, otherwise in the order found."""
    return Objections(sorted(objections, key=lambda objection: _RANK[objection.severity]))


def shown(value: object, limit: int = 40) -> str:
    """Return `value` for use in a sentence: quoted, on one line, at most `limit` characters long.

    Lone surrogates and control characters come out escaped, so the text can always be printed.
    """
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]!r}… ({len(value)} characters)"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
