"""Why calls failed, counted: reasons that differ only in times, sizes and names are one.

Which numbers differ from call to call is not guessed: it is compared.  A code, the number of a step
or of an HTTP answer tells one reason from another, and never counts as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

_UNITS = (
    r"m?s|seconds?|minutes?|bytes?|kB|MB|frames?|samples?|messages?|times|calls?|marks?|Hz|dB|%|×"
)

_OTHER_SID = re.compile(r"is '[A-Z]{2}[0-9a-f]{32}' but this stream is '[A-Z]{2}[0-9a-f]{32}'")
"""What a review says of the SID of another stream."""

_VARYING = re.compile(
    r"(?P<name>\b[A-Z]{2}[0-9a-f]{32}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b0x[0-9a-f]{6,}\b|(?<!\w)'[^'\n]*\d[^'\n]*'(?!\w))"
    r"|(?P<number>-?\b\d+\.\d+|(?<=media )\d+|(?<=chunk )\d+|(?<=byte )\d+|(?<=timestamp )\d+"
    rf"|(?<![\w.])-?\d+(?= ?(?:{_UNITS})(?!\w))|\b\d{{6,}}\b)"
)
"""What may differ from call to call within one reason: names, and numbers that count something."""


@dataclass(frozen=True, slots=True)
class FailureReason:
    """One reason for which calls failed.

    Attributes:
        reason: What went wrong.  Where a number differed it has the least and the greatest, ``0.4
            to 1.2 s``, and where a name did, the first one and ``…``.
        repair: What follows, and what to do about it; empty where that is not known.
        times: How many calls failed for it.
        calls: Their numbers.
    """

    reason: str
    repair: str
    times: int
    calls: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        said = {"reason": self.reason, "repair": self.repair, "times": self.times}
        return {**said, "calls": list(self.calls)}

    def __repr__(self) -> str:
        said = f"{self.times} × {self.reason}"
        return f"{said}. {self.repair}".replace("..", ".") if self.repair else said


def group_reasons(failures: Iterable[tuple[int, str, str]]) -> list[FailureReason]:
    """Count the reasons for which calls failed, the most frequent first.

    Args:
        failures: Of each call its number, the reason, and what to do.
    """
    groups: dict[str, list[tuple[int, str, str]]] = {}
    for number, reason, repair in failures:
        said = _OTHER_SID.sub("is not that of this stream", reason)
        groups.setdefault(mask_reason(said), []).append((number, said, repair))
    found = [
        FailureReason(
            _join_reasons([reason for _, reason, _ in group]),
            next((repair for _, _, repair in group if repair), ""),
            len(group),
            tuple(number for number, _, _ in group),
        )
        for group in groups.values()
    ]
    return sorted(found, key=lambda each: -each.times)


def mask_reason(reason: str) -> str:
    """Return a reason without what may differ from call to call: equal ones are the same."""
    return _VARYING.sub("…", _OTHER_SID.sub("is not that of this stream", reason))


def _join_reasons(reasons: list[str]) -> str:
    """Return the text of all, with the range of each number that differs."""
    first = reasons[0]
    kept = _VARYING.split(first)[:: _VARYING.groups + 1]
    values = zip(
        *([found[0] for found in _VARYING.finditer(each)] for each in reasons), strict=True
    )
    shown = [_show_values(list(dict.fromkeys(each))) for each in values]
    return "".join(chain.from_iterable(zip(kept, [*shown, ""], strict=True)))


def _show_values(values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    try:
        least, *_, most = sorted(values, key=float)
    except ValueError:
        return f"{values[0]} …"
    return f"{least} to {most}"
