"""One row of the table of codes."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import Literal

Level = Literal["error", "warning"]
"""As Twilio's console sorts them: after a warning the call goes on as it was."""


@dataclass(frozen=True, slots=True)
class TwilioCode:
    """What a number of Twilio's means and what to do about it.

    Attributes:
        code: The number.
        name: Its title.
        level: ``error`` or ``warning``.
        meaning: What has happened.
        causes: What usually is behind it, likeliest first.
        remedy: What to do, in order.
        section: Where the protocol notes of this project list it (PROTOCOL.md).
        http_status: What a REST request is answered with; 0 where no request is refused.
    """

    code: int
    name: str
    level: Level
    meaning: str
    causes: tuple[str, ...]
    remedy: str
    section: str
    http_status: int = 0

    @property
    def url(self) -> str:
        """Twilio's own page on it."""
        return f"https://www.twilio.com/docs/api/errors/{self.code}"

    def __repr__(self) -> str:
        causes = [_wrapped(cause, "  - ") for cause in self.causes]
        return "\n".join(
            [
                f"{self.code} ({self.level}): {self.name}",
                _wrapped(self.meaning, ""),
                *(["Usual causes:", *causes] if causes else []),
                _wrapped(f"What to do: {self.remedy}", ""),
            ]
        )


def _wrapped(text: str, bullet: str) -> str:
    indent = " " * len(bullet)
    return fill(text, 96, initial_indent=bullet, subsequent_indent=indent, break_long_words=False)
