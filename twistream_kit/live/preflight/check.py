"""The result of one check before a call, and of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill

from twistream_kit.errors import TwistreamError, join_sentences

_WIDTH = 96


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a call depends on.

    Attributes:
        name: What was looked at: ``credentials``, ``from_`` …
        passed: True if it is right, False if it is wrong, None if it does not apply here or could
            not be found out; `detail` then says why.
        detail: What was found.
        consequence: What follows from it; empty unless it is wrong.
        fix: What to do; empty unless it is wrong.
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

    def __str__(self) -> str:
        return f"{self.sign} {self.name}: " + join_sentences(
            self.detail, self.consequence, self.fix
        )


class Checks(list[Check]):
    """The checks of one preflight, in the order in which a call depends on them."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong; what could not be found out (–) is no objection."""
        return not self.failed

    @property
    def failed(self) -> Checks:
        """Those that found something wrong."""
        return Checks(check for check in self if check.passed is False)

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
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
        return "\n".join([*(_row(check, width) for check in self), self.verdict])


def passed(name: str, detail: str) -> Check:
    """Return a check that found all well."""
    return Check(name, passed=True, detail=detail)


def failed(name: str, detail: str, consequence: str, fix: str) -> Check:
    """Return a check that found something wrong."""
    return Check(name, False, detail, consequence, fix)


def unknown(name: str, why: str) -> Check:
    """Return a check that does not apply, or whose answer could not be had."""
    return Check(name, passed=None, detail=why)


def failed_by(name: str, error: TwistreamError) -> Check:
    """Return a check that found `error`."""
    consequence = error.consequence or "No call could be placed, or none could open its stream"
    fix = error.fix or "Put that right, then run the preflight again"
    return failed(name, error.problem, consequence, fix)


def settled(names: Sequence[str], look: Callable[[], list[Check]]) -> list[Check]:
    """Return what `look` finds, or – for each of `names` if it breaks: it must not hide the others.

    The text of the exception is left out, because it may quote a secret.
    """
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are still wanted
        why = f"could not be found out: {type(error).__name__} in the check itself"
        return [unknown(name, why) for name in names]


def _row(check: Check, width: int) -> str:
    margin = " " * (width + 4)
    first = f"{check.sign} {check.name:<{width}}  "
    lines = [_wrapped(join_sentences(check.detail).removesuffix("."), first, margin)]
    if check.consequence:
        lines.append(_wrapped(join_sentences(check.consequence), f"{margin}What follows: ", margin))
    if check.fix:
        lines.append(_wrapped(join_sentences(check.fix), f"{margin}What to do: ", margin))
    return "\n".join(lines)


def _wrapped(text: str, first: str, margin: str) -> str:
    return fill(
        text, _WIDTH, initial_indent=first, subsequent_indent=margin, break_long_words=False
    )
