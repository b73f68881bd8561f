"""Why a figure of a conversation has no values, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from twistream_kit.diagnosis._turn_meter import CLOSED, SOUND, Act, TooSoon
from twistream_kit.diagnosis.turn import Turn

_LOOK_AT_THE_END = "Look at who ended the call, and why"

_LOOK_AT_THE_SERVER = "Look at why the server closed"

_LISTEN = "Let the caller listen() before it hangs up, or give the call a longer seconds="

_LOOK_BEFORE = "Look at what the server does before it"


class Reason(NamedTuple):
    """Why there are no values, and what to do; empty for what `turn_figures` says of each figure.

    Attributes:
        why: The reason.
        fix: What to do.
    """

    why: str = ""
    fix: str = ""


class Unsaid(NamedTuple):
    """A step of a script in which the caller was to speak to the server, and said nothing.

    Attributes:
        kind: ``say`` or ``interrupt``.
        reason: Why.
    """

    kind: str
    reason: Reason


def list_unsaid(acts: Sequence[Act], by: str, seconds: float) -> tuple[Unsaid, ...]:
    """Return the steps in which nothing was said that was to be.

    Args:
        acts: What the caller did in each step, in order.
        by: How the call ended, in words.
        seconds: When that was, in seconds of the call.
    """
    found = []
    for number, act in enumerate(acts, 1):
        if act.kind not in ("say", "interrupt") or act.clip is not None or not act.meant:
            continue
        which = f"step {number} of the script ({act.kind})"
        if act.outcome.startswith("not begun"):
            why = f"{which} was not begun: {by} before it, at {seconds:.2f} s"
            found.append(Unsaid(act.kind, Reason(why, _LOOK_AT_THE_END)))
        else:
            found.append(
                Unsaid(act.kind, Reason(f"{which} said nothing: {act.outcome}", _LOOK_BEFORE))
            )
    return tuple(found)


def explain_response(rows: Iterable[Turn], unsaid: Sequence[Unsaid]) -> Reason:
    """Return why no answer was measured."""
    said = [turn for turn in rows if turn.who == "caller"]
    meant = [turn for turn in said if turn.kind != SOUND]
    if not meant and unsaid:
        return unsaid[0].reason
    if not meant:
        return Reason("no sound of the caller was meant for the server" if said else "")
    last = meant[-1]
    if last.too_soon is None:
        return Reason("the call ended while the caller spoke", _LOOK_AT_THE_END)
    if last.too_soon.figure == "barge_in_ms":
        return Reason(
            f"{last.too_soon.by} before there could be an answer", _choose_fix(last.too_soon)
        )
    return Reason(last.too_soon.reason, _choose_fix(last.too_soon))


def explain_barge_in(rows: Iterable[Turn], unsaid: Sequence[Unsaid]) -> Reason:
    """Return why no barge-in was measured."""
    for turn in (rows := list(rows)):
        if turn.too_soon is not None and turn.too_soon.figure == "barge_in_ms":
            return Reason(turn.too_soon.reason, _choose_fix(turn.too_soon))
    for each in unsaid:
        if each.kind == "interrupt":
            return each.reason
    # A turn that began while the server spoke has a value; this one was there before.
    over = [
        turn for turn in rows if turn.who == "caller" and turn.kind != SOUND and turn.overlap_ms
    ]
    servers = [turn for turn in rows if turn.who == "server"]
    if any(one.begins < other.begins < one.ends for one in over for other in servers):
        return Reason("the caller was already speaking when the server began")
    if over:
        return Reason("caller and server began to speak at the same time")
    is_sound = any(turn.kind == SOUND and turn.overlap_ms for turn in rows)
    return Reason("no interruption was meant, only another sound was made" if is_sound else "")


def _choose_fix(too_soon: TooSoon) -> str:
    return _LOOK_AT_THE_SERVER if too_soon.by == CLOSED else _LISTEN
