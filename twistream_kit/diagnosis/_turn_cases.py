"""The turns of a call as test cases: which exceed their limits, and which were not tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Protocol

from twistream_kit.diagnosis.turn import Turn, is_run_together, is_to_its_end
from twistream_kit.diagnosis.turn_figures import (
    FIXES,
    RUN_TOGETHER,
    TurnFigure,
    say_ms,
    say_number,
    say_times,
)
from twistream_kit.errors import WrongType, WrongValue, is_finite, quote, require_type


class MeasuredTurns(Protocol):
    """What `Turns` have."""

    @property
    def rows(self) -> Sequence[Turn]: ...
    @property
    def figures(self) -> Sequence[TurnFigure]: ...
    @property
    def false_barge_ins(self) -> int: ...
    @property
    def cut_off_ms(self) -> float: ...
    @property
    def is_sound_tried(self) -> bool: ...


def list_cases(measured: MeasuredTurns, limits: Mapping[str, float]) -> dict[str, str]:
    """Return what is wrong with each test case, or empty, as `Turns.list_cases` does."""
    _check_limits(measured, limits)
    cases = {
        figure.name: figure.explain()
        for figure in _list_untried(measured)
        if math.isfinite(limits.get(figure.name, math.inf))
    }
    ends = [is_to_its_end(turn) for turn in measured.rows if turn.barge_in_ms is not None]
    together = [is_run_together(turn) for turn in measured.rows if turn.response_ms is not None]
    for figure in measured.figures:
        limit = limits.get(figure.name, math.inf)
        for number, value in enumerate(figure.values, 1):
            wrong = _object_to_value(value, limit)
            if wrong and figure.name == "barge_in_ms" and ends[number - 1]:
                wrong += "; the server did not stop, but spoke to its end"
            if wrong and figure.name == "response_ms" and together[number - 1]:
                wrong += f", {RUN_TOGETHER}"
            cases[f"{figure.name} {number}"] = wrong
    if measured.is_sound_tried or measured.false_barge_ins:
        times = say_times(measured.false_barge_ins)
        false = f"{times} stopped by a sound that was not meant to interrupt"
        cases["false_barge_ins"] = false if measured.false_barge_ins else ""
    cut = f"{say_ms(measured.cut_off_ms)} of its last words were not heard"
    cases["cut_off_ms"] = cut if measured.cut_off_ms else ""
    return cases


def list_values(measured: MeasuredTurns) -> dict[str, str]:
    """Return what was measured in each test case, in words."""
    values = {
        f"{figure.name} {number}": say_ms(value)
        for figure in measured.figures
        for number, value in enumerate(figure.values, 1)
    }
    values["false_barge_ins"] = say_number(measured.false_barge_ins, "false barge-in")
    values["cut_off_ms"] = say_ms(measured.cut_off_ms)
    return values


def list_skipped(measured: MeasuredTurns, limits: Mapping[str, float]) -> dict[str, str]:
    """Return why each of the test cases that were not tried was not."""
    _check_limits(measured, limits)
    skipped = {
        figure.name: figure.explain()
        for figure in _list_untried(measured)
        if math.isinf(limits.get(figure.name, math.inf))
    }
    if not (measured.is_sound_tried or measured.false_barge_ins):
        skipped["false_barge_ins"] = (
            "while the server spoke there was no sound that was not meant to interrupt"
        )
    return skipped


def _check_limits(measured: MeasuredTurns, limits: Mapping[str, float]) -> None:
    """Refuse limits of figures that there are not, and what is no limit."""
    known = [figure.name for figure in measured.figures]
    for name, limit in limits.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            nearest = f"Nearest: {close[0]}. " if close else ""
            fix = f"{nearest}The limits are {', '.join(known)}"
            raise WrongType(f"there is no limit {quote(name)}", fix=fix)
        require_type("a number", **{name: limit})
        if limit != math.inf and not (is_finite(limit) and limit >= 0):
            raise WrongValue(f"{name} is {quote(limit)}; give a limit in milliseconds, 0 or more")
        if 0 < limit < 1:
            raise WrongValue(f"{name} is {quote(limit)}; give milliseconds, such as 800")


def _list_untried(measured: MeasuredTurns) -> list[TurnFigure]:
    return [each for each in measured.figures if each.name in FIXES and not each.values]


def _object_to_value(value: float, limit: float) -> str:
    if math.isinf(value):
        return "never"
    if value > limit:
        return f"{say_ms(value)}, and the limit is {say_ms(limit)}"
    return ""
