"""The result of a check before a call, and the list of all results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Protocol

from twistream_kit.errors import Explained, join_sentences

_WIDTH = 96


@dataclass(frozen=True, slots=True)
class Check(Explained):
    """The result of a check.

    Attributes:
        name: The subject of the check: ``credentials``, ``from_`` …
        passed: True if it passed, False if it failed, None if it does not apply or could not be
            made; `detail` then says why.
        detail: What was found.
        consequence: The consequence of a failure; otherwise empty.
        fix: What to do about a failure; otherwise empty.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> check = kit.preflight(twilio.client, from_="+15550100009").result(30).failed[0]
        >>> check.name, check.passed
        ('from_', False)
        >>> check.consequence
        'Twilio would refuse the call with 21210'
    """

    name: str
    passed: bool | None
    detail: str
    consequence: str = ""
    fix: str = ""

    @property
    def sign(self) -> str:
        """``✓``, ``✗`` or ``–``."""
        return "–" if self.passed is None else "✓" if self.passed else "✗"

    @property
    def statement(self) -> str:
        """The sign, the subject, and what was found."""
        return f"{self.sign} {self.name}: {self.detail}"

    def __repr__(self) -> str:
        return f"<Check {self}>"


class Row(Protocol):
    """What `format_row` shows: a result with its sign and its subject."""

    @property
    def sign(self) -> str:
        """The sign before it."""

    @property
    def name(self) -> str:
        """Its subject."""

    @property
    def detail(self) -> str:
        """What was found."""

    @property
    def consequence(self) -> str:
        """What follows, or empty."""

    @property
    def fix(self) -> str:
        """What to do, or empty."""


class Checks(list[Check]):
    """The checks of one preflight, in the order in which a call depends on them.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> checks = kit.preflight(twilio.client, from_="+15550100009").result(30)
        >>> checks.ok, len(checks), len(checks.failed)
        (False, 10, 1)
        >>> checks.failed
        ✗ from_  +15550100009 is neither a number of the account's nor a verified caller ID
                 What follows: Twilio would refuse the call with 21210.
                 What to do: Use a number of the account's, such as ...
        1 failed
    """

    @property
    def ok(self) -> bool:
        """Whether no check failed; checks without a result (–) do not count."""
        return not self.failed

    @property
    def failed(self) -> Checks:
        """The checks that failed."""
        return Checks(check for check in self if check.passed is False)

    @property
    def verdict(self) -> str:
        """A summary in one sentence."""
        if not self:
            return "none"
        if len(self.failed) == len(self):  # as in `failed` itself
            return f"{len(self)} failed"
        unknown = sum(check.passed is None for check in self)
        parts = [f"{sum(check.passed is True for check in self)} of {len(self)} passed"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if unknown:
            parts.append(f"{unknown} do not apply or could not be found out")
        return ", ".join(parts)

    def __repr__(self) -> str:
        width = max((len(check.name) for check in self), default=0)
        return "\n".join([*(format_row(check, width) for check in self), self.verdict])


def pass_check(name: str, detail: str) -> Check:
    """Make the result of a check that passed."""
    return Check(name, passed=True, detail=detail)


def fail_check(name: str, detail: str, consequence: str, fix: str) -> Check:
    """Make the result of a check that failed."""
    return Check(name, False, detail, consequence, fix)


def skip_check(name: str, why: str) -> Check:
    """Make the result of a check that does not apply, or could not be made."""
    return Check(name, passed=None, detail=why)


def fail_by_error(name: str, found: Explained) -> Check:
    """Make the result of a check that failed with an error or an objection."""
    consequence = found.consequence or "No call could be placed, or none could open its stream"
    fix = found.fix or "Correct that, then run the preflight again"
    return fail_check(name, found.statement, consequence, fix)


def run_checks(names: Sequence[str], look: Callable[[], list[Check]]) -> list[Check]:
    """Return the results of `look`, or results without an answer if it raises an exception.

    The text of the exception is left out, because it may quote a secret.
    """
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - it must not prevent the other checks
        why = f"could not be found out: {type(error).__name__} in the check itself"
        return [skip_check(name, why) for name in names]


def format_row(check: Row, width: int) -> str:
    """Return a result in a few lines, its subject in a column of `width` characters."""
    margin = " " * (width + 4)
    first = f"{check.sign} {check.name:<{width}}  "
    lines = [_wrap(join_sentences(check.detail).removesuffix("."), first, margin)]
    if check.consequence:
        lines.append(_wrap(join_sentences(check.consequence), f"{margin}What follows: ", margin))
    if check.fix:
        lines.append(_wrap(join_sentences(check.fix), f"{margin}What to do: ", margin))
    return "\n".join(lines)


def _wrap(text: str, first: str, margin: str) -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,  # an option of a command stays whole
    )
