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

_WIDTH = 100


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
        rows: One for each fault, in the order in which they were tried.
        seed: What decided the order.
        scale: What the times that faults last were multiplied with.
        seconds: How long all of it took.
        ordinary: What an ordinary call was like, before any fault, in words.
        lateness: How late this process was with its frames.

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

    @property
    def ok(self) -> bool:
        """Whether the server survives every fault that was tried, and any was."""
        is_tried = any(row.outcome != "not tried" for row in self.rows)
        return is_tried and all(row.ok for row in self.rows)

    @property
    def believable(self) -> bool:
        """Whether this process was punctual enough for its times to be reliable."""
        return self.lateness.believable

    @property
    def headline(self) -> str:
        """How many faults the server survives, in one sentence."""
        tried = [row for row in self.rows if row.outcome != "not tried"]
        if not tried:
            return f"no fault was tried on {self.url}"
        survived = sum(row.ok for row in tried)
        said = f"{self.url} survives {survived} of {len(tried)} faults"
        if left := len(self.rows) - len(tried):
            said += f"; {left} {'was' if left == 1 else 'were'} not tried"
        return said

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
        }

    def to_junit(self) -> str:
        """Return the report as XML of JUnit, with a test case for each fault."""
        tried = [row for row in self.rows if row.outcome != "not tried"]
        return build_junit(
            "twistream faults",
            {row.name: "" if row.ok else f"{row.seen} Repair: {row.repair}" for row in tried},
            self.seconds,
            repr(self),
            {row.name: row.seen for row in self.rows if row.outcome == "not tried"},
        )

    def __repr__(self) -> str:
        lines = [self.headline, f"  an ordinary call: {self.ordinary}", ""]
        for row in self.rows:
            lines += _wrap(row)
        for row in self.rows:
            if not row.ok:
                lines += ["", *_explain(row)]
        lines += ["", f"  timing: {self.timing}"]
        return "\n".join(lines)


WAS_LATE = (
    "This process was late itself: waits were longer for that, and times of the server may be"
    " wrong by as much as the worst frame was late"
)
"""The warning of a report that is not `believable`."""


def _wrap(row: FaultRow) -> list[str]:
    said = f"{row!r}{f' Process: {row.process}.' if row.process else ''}"
    return textwrap.wrap(
        said, _WIDTH, initial_indent="  ", subsequent_indent=" " * 39, break_long_words=False
    )


def _explain(row: FaultRow) -> list[str]:
    parts = {
        "what happens": row.title,
        "a good server": row.good,
        "repair": row.repair,
        "source": row.source,
    }
    lines = [f"  {row.name}"]
    for about, said in parts.items():
        lines += textwrap.wrap(
            said,
            _WIDTH,
            initial_indent=f"    {about:<14}",
            subsequent_indent=" " * 18,
            break_long_words=False,
        )
    return lines


def save_fault_junit(report: FaultReport, target: Path, *, overwrite: bool = False) -> None:
    """Write `FaultReport.to_junit` to a file.

    Raises:
        TwistreamError: If it exists and `overwrite` is False, or cannot be written.
    """
    with write_file(target, overwrite=overwrite) as opened:
        opened.write(report.to_junit().encode())
