"""One turn of a conversation: who spoke, from when to when, and what followed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from twistream_kit.diagnosis._turn_meter import Ending, TooSoon, Who
from twistream_kit.diagnosis.turn_figures import as_json, say_ms


@dataclass(frozen=True, slots=True)
class Turn:
    """What one party said until the other's turn came.

    Attributes:
        who: ``caller`` or ``server``.
        begins: When its first audible frame began, in seconds of the call.
        ends: When its last audible frame ended.
        kind: What the caller did, as the script says: ``say``, ``interrupt`` …, or ``sound`` for
            one that is not meant for the server; ``speech`` where there is no script, and for the
            server.
        response_ms: Of a turn of the server, how long after the caller's end it began; of a turn of
            the caller that was not answered, infinite; otherwise None.
        barge_in_ms: Of a turn of the caller that interrupted the server, how long that went on;
            otherwise None.
        overlap_ms: How long the other party was audible too.
        ending: ``finished``; ``stopped`` after an interruption, or by a clear if the caller was
            speaking already when it began; ``stopped by a sound`` that was not meant to interrupt;
            ``cleared``, by a clear while the caller did not speak; ``cut off`` because the server
            closed with sound still queued; ``not heard``, if all of it was queued; or ``call
            ended``, while it spoke.
        is_stopped: Of a turn of the caller that interrupted the server, whether that stopped; false
            if it spoke to its end; otherwise None.
        lost_ms: How much of the server's last words was not heard.
        too_soon: Of a turn of the caller, why it is not known whether it was answered, or has
            stopped the server: the call ended too soon; otherwise None.
    """

    who: Who
    begins: float
    ends: float
    kind: str = "speech"
    response_ms: float | None = None
    barge_in_ms: float | None = None
    overlap_ms: float = 0.0
    ending: Ending = "finished"
    is_stopped: bool | None = None
    lost_ms: float = 0.0
    too_soon: TooSoon | None = None

    @property
    def delay(self) -> str:
        """The response time or the barge-in time in words; empty if there is none."""
        if self.who == "server":
            return "" if self.response_ms is None else f"answers after {say_ms(self.response_ms)}"
        said = []
        if self.barge_in_ms is not None:
            said.append(_describe_barge_in(self.barge_in_ms, is_stopped=self.is_stopped))
        if self.response_ms is not None:
            said.append("no answer")
        if self.too_soon is not None:
            said.append(self.too_soon.delay)
        return ", ".join(said)

    @property
    def outcome(self) -> str:
        """How it ended, and how much of it was lost, in words."""
        return f"{self.ending}: {say_ms(self.lost_ms)}" if self.lost_ms else self.ending

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; what is infinite is ``None`` and named in `delay`."""
        return {
            "who": self.who,
            "begins": round(self.begins, 3),
            "ends": round(self.ends, 3),
            "kind": self.kind,
            "response_ms": as_json(self.response_ms),
            "barge_in_ms": as_json(self.barge_in_ms),
            "overlap_ms": round(self.overlap_ms),
            "ending": self.ending,
            "is_stopped": self.is_stopped,
            "lost_ms": round(self.lost_ms),
            "delay": self.delay,
        }

    def __repr__(self) -> str:
        said = ", ".join(filter(None, (self.delay, self.outcome)))
        return f"<Turn of the {self.who}, {self.begins:.2f} to {self.ends:.2f} s: {said}>"


def _describe_barge_in(milliseconds: float, *, is_stopped: bool | None) -> str:
    if math.isinf(milliseconds):
        return "the server did not stop"
    if is_stopped is False:
        return f"the server went on for {say_ms(milliseconds)}, to its end"
    return f"the server stopped after {say_ms(milliseconds)}"


def is_run_together(turn: Turn) -> bool:
    """Whether it had no answer, and interrupted a server that went on beyond its end.

    Without a clear or a pause nothing tells the rest of a sentence from an answer behind it.
    """
    if not is_to_its_end(turn) or turn.response_ms is None:
        return False
    return turn.begins + (turn.barge_in_ms or 0.0) / 1000 > turn.ends


def is_to_its_end(turn: Turn) -> bool:
    """Whether it interrupted the server, which did not stop, but spoke to its end."""
    is_over = turn.barge_in_ms is not None and math.isfinite(turn.barge_in_ms)
    return is_over and turn.is_stopped is False
