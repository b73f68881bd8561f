"""What is kept of the waves of a soak: sums, merged histograms, and a line for each wave.

So an hour takes hardly more memory than a minute.  The first hundred calls that failed are kept,
and of the reports of recorded calls, which hold their sound, those of three waves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from twistream_kit.diagnosis.failure_reasons import mask_reason
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadCall, LoadReport
from twistream_kit.diagnosis.load_figure import TIMES
from twistream_kit.diagnosis.soak import MOST_FAILED_CALLS, SoakFault, SoakWave
from twistream_kit.errors import Objection
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.simulator._fault_rows import Fault
from twistream_kit.simulator._load_validity import SERVER_ELSEWHERE
from twistream_kit.simulator.fault_report import FaultRow
from twistream_kit.simulator.report import CallReport

MOST_NOTES = 20
"""So many notes of waves are kept."""

MOST_REASONS = 50
"""So many different reasons of failures are kept apart; the others are counted together."""

OTHER_REASONS = "another reason"


class SoakTally:
    """The waves of a soak, merged.

    Attributes:
        waves: A line for each.
        calls: How many calls were made.
        times: The times of valid waves, by the names of the figures.
        late_frames, heard_frames: How many frames of their sound were silent, and were played.
        failures: Why calls failed.
        failed_calls: The first of those that failed.
        own_late_ms, echo_idle_ms, echo_loaded_ms: The callers' own part in valid waves.
        line: What the lines of the callers do, in words.
        notes: What is good to know of the waves, each once: a share that could not be stopped.

    Args:
        is_server_here: Whether a process of this machine is read as the server's.
    """

    def __init__(self, *, is_server_here: bool = False) -> None:
        self._is_server_here = is_server_here
        self.waves: list[SoakWave] = []
        self.calls = 0
        self.times = {name: Histogram() for name in TIMES}
        self.late_frames = 0.0
        self.heard_frames = 0
        self.failures: Counter[str] = Counter()
        self.failed_calls: list[LoadCall] = []
        self.own_late_ms, self.echo_idle_ms, self.echo_loaded_ms = (
            Histogram(), Histogram(), Histogram(),
        )  # fmt: skip
        self.line = ""
        self.notes: list[Objection] = []
        self._recorded: dict[str, dict[int, CallReport]] = {}

    @property
    def recorded(self) -> dict[int, CallReport]:
        """The reports that are kept, by the numbers of their calls."""
        merged = {number: each for kept in self._recorded.values() for number, each in kept.items()}
        return dict(sorted(merged.items()))

    @property
    def fruitless_waves(self) -> int:
        """In how many waves, to the last one, no call went well."""
        count = 0
        for wave in reversed(self.waves):
            if not wave.calls or wave.failed < wave.calls:
                break
            count += 1
        return count

    def add(
        self, report: LoadReport, begins: float, ends: float, offset: int, faults: Iterable[str]
    ) -> None:
        """Add a wave.

        Args:
            report: What was measured.
            begins: When it began, in seconds of the soak.
            ends: When it had ended.
            offset: What is added to the numbers of its calls, and its own times to `begins`.
            faults: The faults that were tried beside it.
        """
        wave = SoakWave(
            len(self.waves) + 1,
            begins,
            ends,
            len(report.calls),
            report.failed,
            self._describe_invalid(report),
            tuple(faults),
        )
        self.waves.append(wave)
        self.calls += wave.calls
        self.line = report.line
        self.notes += [each for each in report.notes if each not in self.notes][
            : MOST_NOTES - len(self.notes)
        ]
        self._add_failures(report, begins, offset)
        self._keep_recorded(report, offset)
        if wave.valid:
            self._add_times(report)

    def _describe_invalid(self, report: LoadReport) -> str:
        said = str(report.invalid[0]) if report.invalid else ""
        return said.replace(SERVER_ELSEWHERE, "") if self._is_server_here else said

    def _add_failures(self, report: LoadReport, begins: float, offset: int) -> None:
        for call in report.calls:
            if call.ok:
                continue
            reason = mask_reason(call.failure)
            is_kept_apart = reason in self.failures or len(self.failures) < MOST_REASONS
            self.failures[reason if is_kept_apart else OTHER_REASONS] += 1
            if len(self.failed_calls) < MOST_FAILED_CALLS:
                self.failed_calls.append(
                    replace(
                        call,
                        number=offset + call.number,
                        begins=begins + call.begins,
                        ends=begins + call.ends,
                    )
                )

    def _keep_recorded(self, report: LoadReport, offset: int) -> None:
        found = {offset + number: each for number, each in report.recorded.items()}
        if len(self.waves) == 1:
            self._recorded["first"] = found
        self._recorded["last"] = found
        if any(not call.ok for call in report.calls if call.is_recorded):
            self._recorded["last that failed"] = found

    def _add_times(self, report: LoadReport) -> None:
        for figure in report.figures:
            self.times[figure.name].merge(figure.histogram)
        for call in report.calls:
            self.late_frames += sum(call.gaps_ms) / PTIME_MS
            self.heard_frames += call.heard_frames
        self.own_late_ms.merge(report.own_late_ms)
        self.echo_idle_ms.merge(report.echo_idle_ms)
        self.echo_loaded_ms.merge(report.echo_loaded_ms)


class FaultTally:
    """What has come of each kind of fault.

    Args:
        names: The kinds, in their order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._kinds = {name: SoakFault(name, 0, 0, 0, "", "", "") for name in names}

    def add(self, row: FaultRow) -> None:
        """Add one that was tried, or could not be."""
        kind = self._kinds[row.name]
        kind = replace(kind, repair=row.repair, source=row.source)
        if row.outcome == "not tried":
            seen = kind.seen or row.seen
            kind = replace(kind, skipped=kind.skipped + 1, seen=seen)
        else:
            is_red = row.outcome == "red"
            seen = kind.seen if kind.red else row.seen if is_red else ""
            kind = replace(kind, tried=kind.tried + 1, red=kind.red + is_red, seen=seen)
        self._kinds[row.name] = kind

    def add_untried(self, name: str, why: str) -> None:
        """Add one that could not be tried."""
        kind = self._kinds[name]
        seen = kind.seen or why
        self._kinds[name] = replace(kind, skipped=kind.skipped + 1, seen=seen)

    def add_ended(self, fault: Fault, why: str, *, is_new: bool) -> None:
        """Count a fault as not survived, since the process ended in it or after it.

        Args:
            fault: Which.
            why: What was seen.
            is_new: Whether it has not been counted as tried.
        """
        kind = self._kinds[fault.name]
        seen = kind.seen if kind.red else why
        self._kinds[fault.name] = replace(
            kind, tried=kind.tried + is_new, red=kind.red + 1, seen=seen,
            repair=fault.repair, source=fault.source,
        )  # fmt: skip

    def add_beside(self, fault: Fault, calls: int) -> None:
        """Add calls beside a fault that failed."""
        kind = self._kinds[fault.name]
        self._kinds[fault.name] = replace(
            kind, beside=kind.beside + calls, repair=fault.repair, source=fault.source
        )

    def list(self) -> list[SoakFault]:
        """Return the kinds."""
        return list(self._kinds.values())
