"""What makes the figures of a share of many calls unreliable, and what is only good to know."""

from __future__ import annotations

from collections.abc import Sequence

from twistream_kit.diagnosis.load import LoadCall, LoadShare
from twistream_kit.errors import Objection
from twistream_kit.simulator._causes import NOBODY_SPOKE

MOST_LATE_MS = 10.0
"""Own frames that are later than this (99th percentile) make a run invalid."""

LEAST_WAITED = 0.05
"""One that waits for a core for less of the time than this has it for itself."""

LEAST_BUSY = 0.3
"""One that uses less of a core than this is not late because it has too much to do."""

MACHINE_IS_FULL = 0.9
"""With more of all cores in use than this there is none for another process."""

MOST_BUSY = 0.95
"""A process that uses more of a core than this has no time left for another call."""

MOST_JUMP_SECONDS = 0.25
"""A wall clock that moves by more against the monotonic one was set during the run."""

MOST_LATE_START_SECONDS = 0.5
"""A share that begins later than this was not there for the calls of the others."""


def object_to(share: LoadShare, jump: float, *, is_compared: bool) -> list[Objection]:
    """Return what makes the figures of a share unreliable.

    Args:
        share: The share.
        jump: By how much its wall clock was set during the run, in seconds.
        is_compared: Whether the clock of its machine was compared, if it began with others.
    """
    who = f"share {share.number}"
    found = []

    def add(problem: str, consequence: str, fix: str) -> None:
        found.append(Objection(None, who, problem, consequence, fix))

    if share.own_late_ms > MOST_LATE_MS:
        add(
            f"sent its own frames late: 1 of 100 by {share.own_late_ms:.0f} ms or more, and "
            f"{MOST_LATE_MS:g} ms is the limit",
            "Times of the server may be too long by as much",
            _find_remedy(share),
        )
    if share.busy > MOST_BUSY:
        add(
            f"used {share.busy:.0%} of a core",
            "Its process had no time left, for a server inside it neither",
            "Divide the calls: executor=, workers= (--workers); let the server run in a process of "
            "its own",
        )
    if abs(jump) > MOST_JUMP_SECONDS:
        add(
            f"saw its clock set by {jump:+.1f} s during the run",
            "Calls of several shares may not have been at the same time",
            "Run it again",
        )
    if share.late_seconds > MOST_LATE_START_SECONDS:
        add(
            f"began {share.late_seconds:.1f} s late",
            "Its calls were not all there beside those of the others",
            "Have a free worker for each share (workers=, --workers), and run it again",
        )
    if not is_compared:
        add(
            f"ran on {share.host}, whose clock was not compared with this one",
            "It may have begun earlier or later than the others",
            "Run it again, or let one task at a time run on each worker",
        )
    return found


def _find_remedy(share: LoadShare) -> str:
    """Return what to do about own frames that were late: whose fault it was, as far as is known.

    A process that takes little of a core, and has to wait for it, is not the one that has too much
    to do; and another process is no help where no core is free.
    """
    used = f"used {share.busy:.0%} of a core"
    machine = share.machine_busy
    is_full = machine is not None and machine >= MACHINE_IS_FULL
    waited = 0.0 if share.waited is None else share.waited
    if waited >= LEAST_WAITED and waited > share.busy:
        return f"It waited for a core {waited:.0%} of the time, and {used}: {_FREE_THE_MACHINE}"
    if share.busy >= LEAST_BUSY:
        if share.calls == 1:
            return (
                f"Its process {used} with one call: end what else runs in it, such as a server, or "
                "give the call a process of its own"
            )
        if is_full:
            return (
                f"Make fewer calls: it {used}, and {machine:.0%} of the whole machine is in use, "
                "so more processes on it would not help; workers on other machines would "
                "(executor=)"
            )
        return (
            f"Make fewer calls from one process, which {used}, or divide them: executor=, workers= "
            "(--workers)"
        )
    if is_full:
        return f"It {used}, of the whole machine {machine:.0%} were in use: {_FREE_THE_MACHINE}"
    return (
        f"It {used}, so fewer calls may not help. Probably something else held it up: other "
        "programs, a server or another long computation in the same process, or a machine that "
        "slept; end those, and run it again"
    )


SERVER_ELSEWHERE = ", or let the server run on another one"
"""What is no advice where a process of this machine is read as the server's."""

_FREE_THE_MACHINE = (
    f"end other programs on this machine{SERVER_ELSEWHERE}; dividing the calls would not help"
)


def object_to_lost(number: int, problem: str) -> Objection:
    """Return what follows from a share of which there is no result."""
    return Objection(
        None,
        f"share {number}",
        problem,
        "Its calls may not have been made, so the others had less beside them; nothing of it is in "
        "the figures",
        "See whether the workers of the executor run, and run it again",
    )


def note_link(share: LoadShare, fault: str) -> list[Objection]:
    """Return what follows from the connection of a share that has this fault; none from none."""
    if not fault:
        return []
    return [
        Objection(
            None,
            f"share {share.number}",
            f"had no connection from {share.host} to the process that asked for it: it {fault}",
            "stop() would not have ended it before its time, and the progress that was shown of "
            "its calls was estimated; its figures are right",
            "Let the workers connect to this machine over TCP: a firewall or another network is "
            "between them",
            "note",
        )
    ]


def note_silent_callers(calls: Sequence[LoadCall]) -> list[Objection]:
    """Return what to do about calls that failed because nobody said anything."""
    silent = sum(each.failure.endswith(NOBODY_SPOKE) for each in calls)
    if not silent:
        return []
    return [
        Objection(
            None,
            "the callers",
            f"said nothing in {silent} of {len(calls)} calls, in which nothing was heard",
            "A server that echoes, or that waits for speech, sends nothing to be heard then",
            "Let them speak: say= or script= (--say, --script); if the server only listens, take "
            "expect_silence=True (--expect-silence)",
            "note",
        )
    ]


def note_early_answers(calls: Sequence[LoadCall]) -> list[Objection]:
    """Return what response times below zero mean, which no limit forbids."""
    times = [ms for each in calls for ms in each.response_ms]
    early = sum(ms < 0 for ms in times)
    if not early:
        return []
    return [
        Objection(
            None,
            "response_ms",
            f"is less than 0 for {early} of {len(times)} answers: they began before the caller had "
            "ended",
            "That is no fast answer but an echo, or a server that talks over the caller; a limit "
            "is for late answers, and these keep it",
            "Look at the turns of a recorded call: report.recorded[number].turns",
            "note",
        )
    ]
