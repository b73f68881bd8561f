"""The result of one look at this machine, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from twistream_kit.errors import Explained
from twistream_kit.live.preflight.check import format_row

Level = Literal["ok", "note", "warning", "error"]
"""A note says what is not set up and is not needed for calls through the simulator."""

_SIGNS: dict[Level, str] = {"ok": "✓", "note": "–", "warning": "!", "error": "✗"}


@dataclass(frozen=True, slots=True)
class Condition(Explained):
    """The result of one look.

    Attributes:
        name: The subject: ``Python``, ``kernel`` …
        level: ``"ok"``, ``"note"``, ``"warning"`` or ``"error"``.
        detail: What was found.
        consequence: What follows from it; empty where all is well.
        fix: What to do about it; empty where there is nothing to do.
    """

    name: str
    level: Level
    detail: str
    consequence: str = ""
    fix: str = ""

    @property
    def sign(self) -> str:
        """``✓``, ``–``, ``!`` or ``✗``."""
        return _SIGNS[self.level]

    @property
    def statement(self) -> str:
        """The sign, the subject, and what was found."""
        return f"{self.sign} {self.name}: {self.detail}"


class Conditions(list[Condition]):
    """The results of all looks, in the order in which a call depends on them."""

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.select("error")

    def select(self, *levels: Level) -> Conditions:
        """Return the results of some levels."""
        return Conditions(condition for condition in self if condition.level in levels)

    @property
    def verdict(self) -> str:
        """A summary in one line."""
        n_errors, n_warnings = (len(self.select(level)) for level in ("error", "warning"))
        if not n_errors and not n_warnings:
            return "Everything that the notebooks and simulated calls need is here."
        parts = [(n_errors, "error", "✗"), (n_warnings, "warning", "!")]
        counts = [f"{n} {word}{'s' if n > 1 else ''} ({sign})" for n, word, sign in parts if n]
        return f"{' and '.join(counts)}; what to do stands beside each."

    def __repr__(self) -> str:
        return f"{self.format_rows()}\n\n{self.verdict}"

    def format_rows(self) -> str:
        """Return the results as text, without the summary."""
        width = max((len(condition.name) for condition in self), default=0)
        return "\n".join(format_row(condition, width) for condition in self)

    def to_dict(self) -> dict[str, Any]:
        """Return the results as JSON holds them."""
        return {"ok": self.ok, "checks": [asdict(condition) for condition in self]}


def look(name: str, examine: Callable[[], Conditions | list[Condition]]) -> list[Condition]:
    """Return the results of one look, or a warning if it raises an exception.

    The text of the exception is left out, because it may quote a secret.
    """
    try:
        return list(examine())
    except Exception as error:  # noqa: BLE001 - it must not prevent the other looks
        return [
            Condition(
                name,
                "warning",
                f"could not be found out: {type(error).__name__} in the look itself",
                "Nothing is known of it; it may be fine",
                "Please report it, with the version that twistream --version shows",
            )
        ]
