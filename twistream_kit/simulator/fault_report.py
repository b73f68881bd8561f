"""`FaultReport`: what a server survives, a row for each fault."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from twistream_kit.audio.clip import write_file
from twistream_kit.diagnosis.junit import build_junit
from twistream_kit.listing import Series
from twistream_kit.simulator.stream.pacer import LatenessReport

FaultOutcome = Literal["green", "red", "not tried"]
"""Whether a server survives a fault, or why that is not known."""

_WIDTH = 79
"""That of a terminal."""

ORDINARY_CALL = "ordinary-call"
"""The name of the row about what calls without a fault leave behind."""


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One fault, and whether the server survives it.

    Attributes:
        name: Its name, as in ``only=``: ``half-open``.
        title: What happens to the server, in words.
        outcome: ``green`` if it survives, ``red`` if not, or ``not tried``.
        seen: What was seen from Twilio's side; of a fault that was not tried, why not.
        good: What a good server does.
        repair: What to change in a server that does not; to be read when the row is red.
        source: Where it is known from that this happens: a section of PROTOCOL.md, a public report.
        seconds: How long the row took.
        timeout_seconds: How long it was given at most.
        next_call_ms: How long after the fault an ordinary call had worked, in milliseconds; None if
            none did.
        process: What the process of the server had before and after, with ``pid=``; else empty.
        remark: What makes it doubtful that this fault is the one to blame, or empty.
    """

    name: str
    title: str
    outcome: FaultOutcome
    seen: str
    good: str
    repair: str
    source: str
    seconds: float = 0.0
    timeout_seconds: float = 0.0
    next_call_ms: float | None = None
    process: str = ""
    remark: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether it is about a fault, and not about what ordinary calls leave behind."""
        return self.name != ORDINARY_CALL

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong: it is not red."""
        return self.outcome != "red"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return asdict(self) | {"ok": self.ok}

    def __repr__(self) -> str:
        said = f"{_SIGNS[self.outcome]:<9}  {self.name:<24}  "
        return f"{said}{self.seen}"


_SIGNS: dict[FaultOutcome, str] = {"green": "green", "red": "RED", "not tried": "not tried"}


@dataclass(frozen=True, slots=True, repr=False)
class FaultReport:
    """What a Media Streams server survives; made by `inject_faults`.

    Attributes:
        url: The address of the server.
        rows: One for each fault, in the order in which they were tried; before them, with ``pid=``,
            one named ``ordinary-call`` if calls without a fault leave something behind.
        seed: What decided the order.
        scale: What the times that faults last were multiplied with.
        seconds: How long all of it took.
        ordinary: What an ordinary call was like, before any fault, in words.
        lateness: How late this process was with its frames.
        notes: What else is to be known, such as a process that may not be the server.
        is_interrupted: Whether the run ended before all faults were tried, by an interrupt, by
            ``stop()`` or at its limit.

    Example:
        >>> import twistream_kit as kit
        >>> async def echo(stream):
        ...     async for samples in stream.audio():
        ...         stream.play(samples)
        >>> server = kit.start(kit.StreamServer(echo))
        >>> report = kit.inject_faults(server.url, only="hang-up-in-answer", scale=0.1).result(60)
        >>> report.ok, report.rows[0].outcome
        (True, 'green')
    """

    url: str
    rows: Series[FaultRow]
    seed: int
    scale: float
    seconds: float
    ordinary: str
    lateness: LatenessReport
    notes: tuple[str, ...] = ()
    is_interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether the server survives every fault that was tried, and any was, to the end."""
        return bool(self._tried) and not self.is_interrupted and all(row.ok for row in self.rows)

    @property
    def _tried(self) -> list[FaultRow]:
        return [row for row in self.rows if row.is_fault and row.outcome != "not tried"]

    @property
    def believable(self) -> bool:
        """Whether this process was punctual enough for its times to be reliable."""
        return self.lateness.believable

    @property
    def headline(self) -> str:
        """How many faults the server survives, in one sentence."""
        tried = self._tried
        left = sum(row.is_fault for row in self.rows) - len(tried)
        if tried:
            survived = sum(row.ok for row in tried)
            said = f"{self.url} survives {survived} of {len(tried)} faults"
            if left:
                said += f"; {left} {'was' if left == 1 else 'were'} not tried"
        else:
            said = f"no fault was tried on {self.url}"
        if any(not row.ok and not row.is_fault for row in self.rows):
            said += "; each ordinary call leaves something behind"
        return f"{said} (interrupted)" if self.is_interrupted else said

    @property
    def order(self) -> str:
        """In which order the rows came, and what that may mean for a red one; or empty."""
        if len(self._tried) < 2 or all(row.ok for row in self._tried):
            return ""
        return (
            f"that of seed {self.seed}. A row that is red in one order only says that the server "
            "remembers something of the faults before it"
        )

    @property
    def timing(self) -> str:
        """How late this process was, and what follows."""
        said = str(self.lateness)
        if not self.believable:
            said += f". {WAS_LATE}."
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return {
            "url": self.url,
            "ok": self.ok,
            "headline": self.headline,
            "rows": [row.to_dict() for row in self.rows],
            "seed": self.seed,
            "scale": self.scale,
            "seconds": round(self.seconds, 3),
            "ordinary": self.ordinary,
            "lateness": asdict(self.lateness),
            "believable": self.believable,
            "notes": list(self.notes),
            "is_interrupted": self.is_interrupted,
        }

    def to_junit(self) -> str:
        """Return the report as XML of JUnit, with a test case for each fault."""
        tried = [row for row in self.rows if row.outcome != "not tried"]
        cases = {row.name: "" if row.ok else _join(row.seen, row.remark) for row in tried}
        if self.is_interrupted:
            cases["interrupted"] = "The run ended before all faults were tried."
        return build_junit(
            "twistream faults",
            {name: said and _join(said, self._find_repair(name)) for name, said in cases.items()},
            self.seconds,
            repr(self),
            {row.name: row.seen for row in self.rows if row.outcome == "not tried"},
            times={row.name: row.seconds for row in self.rows},
            details={row.name: "\n".join(_explain(row)) for row in tried if not row.ok},
        )

    def _find_repair(self, name: str) -> str:
        return next((f"Repair: {row.repair}" for row in self.rows if row.name == name), "")

    def __repr__(self) -> str:
        lines = [self.headline, *_wrap(f"an ordinary call: {self.ordinary}", "  ")]
        for note in self.notes:
            lines += _wrap(note, "  ")
        lines.append("")
        for row in self.rows:
            if row.outcome != "not tried":
                process = f" Process: {row.process}." if row.process else ""
                lines += _wrap(f"{row!r}{process}", "  ", " " * 13)
        lines += self._list_untried()
        for row in self.rows:
            if not row.ok:
                lines += ["", *_explain(row)]
        lines.append("")
        if self.order:
            lines += _wrap(f"order: {self.order}", "  ", " " * 9)
        lines += _wrap(f"timing: {self.timing}", "  ", " " * 10)
        return "\n".join(lines)

    def _list_untried(self) -> list[str]:
        """Return lines for the faults that were not tried, those with the same reason together."""
        reasons: dict[str, list[str]] = {}
        for row in self.rows:
            if row.outcome == "not tried":
                reasons.setdefault(row.seen, []).append(row.name)
        lines = []
        for reason, names in reasons.items():
            lines += _wrap(f"{'not tried':<9}  {', '.join(names)}: {reason}", "  ", " " * 13)
            if len(names) > 1:
                options = " ".join(f"--only {name}" for name in names)
                lines += _wrap(f"alone: {options}", " " * 13, " " * 20)
        return lines


WAS_LATE = (
    "This process was late itself: waits were longer for that, and times of the server may be"
    " wrong by as much as the worst frame was late"
)
"""The warning of a report that is not `believable`."""


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _wrap(text: str, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _explain(row: FaultRow) -> list[str]:
    parts = {
        "what happens": row.title,
        "a good server": row.good,
        "repair": row.repair,
        "source": row.source,
        "but": row.remark,
    }
    lines = [f"  {row.name}"]
    for about, said in parts.items():
        if said:
            lines += _wrap(said, f"    {about:<14}", " " * 18)
    return lines


def save_fault_junit(report: FaultReport, target: Path, *, overwrite: bool = False) -> None:
    """Write `FaultReport.to_junit` to a file.

    Raises:
        TwistreamError: If it exists and `overwrite` is False, or cannot be written.
    """
    with write_file(target, overwrite=overwrite) as opened:
        opened.write(report.to_junit().encode())
