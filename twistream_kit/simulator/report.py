"""`CallReport`, the results of one simulated call, and the files in which it is saved."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twistream_kit.audio.clip import Clip, build_write_error, refuse_existing, write_file
from twistream_kit.capture.capture import Capture
from twistream_kit.capture.replay import Replay
from twistream_kit.diagnosis.junit import build_junit
from twistream_kit.diagnosis.sound import is_about_timing
from twistream_kit.diagnosis.turn_capture import find_clears, find_whole, render_said
from twistream_kit.diagnosis.turns import Turns, find_turns
from twistream_kit.errors import Objection, SettingsError
from twistream_kit.listing import Series
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.caller import CallerAct
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.model.assumptions import INITIAL_BURST_FRAMES
from twistream_kit.simulator.model.debugger import DebuggerEntry
from twistream_kit.simulator.stream.ending import EndingReason
from twistream_kit.simulator.stream.leg import measure_sound
from twistream_kit.simulator.stream.pacer import LatenessReport

SIMULATOR_WAS_LATE = (
    "The simulator itself was late: times in which the server has a part, such as that of an"
    " answer, may be wrong by as much as the worst frame was late; what the caller does by itself"
    " is counted in frames and right"
)
"""The warning of a report that is not `believable`.

A frame that is late brings the server its sound late, and is heard with what the server sent
meanwhile; as deadlines are absolute, this does not add up over a call.
"""


def warn_of_lateness(lateness: LatenessReport) -> str:
    """Return the warning of a report that is not `believable`, with how late the simulator was."""
    return f"{SIMULATOR_WAS_LATE} ({lateness})."


_NOT_GIVEN = Clip(b"")
"""Stands for the clean sound of a report without one of its own."""

_FILE_NAMES = {
    ".wav": "heard.wav",
    ".jsonl": "messages.jsonl",
    ".json": "report.json",
}
"""The files in which a call is saved, by suffix, and their names in a folder."""


@dataclass(frozen=True, slots=True, repr=False)
class CallReport:
    """The results of one call to a Media Streams server, measured at Twilio's side.

    Attributes:
        url: The URL of the server.
        stream_sid: The SID of the stream.
        seconds: The time from the start message to the end.
        ending: ``stopped`` (the caller hung up), ``server-closed``, ``broken`` or
            ``protocol-error``.
        ended: Who ended the call, and why.
        close_code: The code of the server's Close frame; 1005 for a frame without a code, 1006 for
            no frame.
        error_code: The error that Twilio logs for the ending, or None.
        sent: The number of messages to the server by kind: ``connected``, ``start``, ``media`` …
        received: The number of messages from the server by kind: ``media``, ``mark``, ``clear``,
            ``invalid``, ``binary``.
        objections: What went wrong in the call as a whole, then the objections of `review` to the
            messages and of `SoundReview` to their sound, each with the number of messages it
            applied to.
        debugger: The entries that Twilio's console would show.
        first_sound_ms: The time from the start message to the first sound that the caller heard,
            or None.
        heard: A recording of the caller's side from the start message to the end, silence
            included; `sound_seconds` says how much of it is audible.
        cleared_seconds: The duration of the audible sound that clears have removed.
        lost_seconds: The duration of the audible sound that was queued at the end and not heard.
        expect_silence: Whether a call in which nothing is heard is fine.
        lateness: How late the simulator itself was.
        capture: Every message in both directions, with its time; of the server's messages, those
            that were obeyed.
        quiet_seconds: The silence after which the simulated caller hung up, as in a call without
            ``seconds=``; None if the call ended otherwise.
        acts: What the caller did in each step of the script; empty without a script.
        line: The line that what the caller said passed; None if the call was given none.
        line_back: The line that what the caller heard passed; None likewise.
        latency_ms: How much later than Twilio played it the caller heard it, and so how much later
            than `capture` shows it.
        clean: `heard` as it would be if the line did no more than delay it; the same without one.
        said: With a `line` that changes something, what the caller said before that changed it,
            from the first frame on.
        light_clears: For a call of `simulate_calls` without a recording, whose capture holds no
            media: when the clears came that discarded sound, in seconds; else None.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2), mark="tone")
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> report = kit.simulate_call(server.url).result(10)
        >>> report.ending, report.close_code
        ('server-closed', 1000)
        >>> report.heard
        Clip('heard', ... s)
        >>> report.marks_returned
        1
    """

    url: str
    stream_sid: str
    seconds: float
    ended: EndCause
    ending: EndingReason
    close_code: int
    error_code: int | None
    sent: Mapping[str, int]
    received: Mapping[str, int]
    objections: Counter[Objection]
    debugger: Series[DebuggerEntry]
    first_sound_ms: float | None
    heard: Clip
    cleared_seconds: float
    lost_seconds: float
    expect_silence: bool
    lateness: LatenessReport
    capture: Capture = field(compare=False)
    quiet_seconds: float | None = None
    acts: Series[CallerAct] = field(default_factory=Series)
    line: Line | None = None
    line_back: Line | None = None
    latency_ms: float = 0.0
    clean: Clip = field(default=_NOT_GIVEN, repr=False)
    said: Clip | None = field(default=None, repr=False)
    light_clears: tuple[float, ...] | None = field(default=None, compare=False)
    _measured: list[Turns] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.clean is _NOT_GIVEN:
            object.__setattr__(self, "clean", self.heard)

    @property
    def marks_received(self) -> int:
        """How many marks the server sent."""
        return self.received.get("mark", 0)

    @property
    def marks_returned(self) -> int:
        """How many marks were sent back to the server."""
        return self.sent.get("mark", 0)

    @property
    def sound_seconds(self) -> float:
        """The duration of the audible sound that was heard, without the noise of a line."""
        return measure_sound(self.clean.payload)

    @property
    def close_reason(self) -> str:
        """The text of the Close frame with which the server ended the call, or empty."""
        return self.ended.close_reason

    @property
    def believable(self) -> bool:
        """Whether the simulator was punctual enough for its timings to be reliable."""
        return self.lateness.believable

    @property
    def turns(self) -> Turns:
        """Who spoke when, how fast the server answered, and whether it let itself be interrupted.

        It is measured at the ear, in frames of 20 ms: what the caller says is known from the
        script, what the server says is found in `heard`.  Without a script the speech of the caller
        is found in the capture.  With a line both are taken before its noise and losses: what it
        delays is later, and so its delay is in the response and barge-in times, twice if both
        directions have it.
        """
        if not self._measured:
            capture, light_clears = self.capture, self.light_clears
            is_closed = self.ending != "stopped"
            is_light = light_clears is not None
            replay = Replay(() if is_light else capture.entries, capture.endings)
            clears = find_clears(replay) if light_clears is None else light_clears
            later = self.latency_ms / 1000
            found = find_turns(
                self.clean,
                None if self.acts or is_light else self.said or render_said(capture),
                self.acts or (() if is_light else None),
                clears=[at + later for at in clears],
                whole=[
                    each._replace(begins=each.begins + later, ends=each.ends + later)
                    for each in find_whole(replay)
                ],
                is_closed=self.ended.cause == "server-closed",
                cut_off_seconds=self.lost_seconds if is_closed else 0.0,
                seconds=self.heard.seconds,
            )
            self._measured.append(found)
        return self._measured[0]

    @property
    def ok(self) -> bool:
        """Whether the caller heard something, and nothing went wrong.

        It is false if Twilio logged an error or a warning, or something is objected to: the caller
        heard nothing (unless `expect_silence`), the server closed before *start*, or sound was lost
        because the server closed or the connection was lost.  Objections to the server's timing
        count only if the report is `believable`.
        """
        logged = any(entry.level != "note" for entry in self.debugger)
        is_heard = self.first_sound_ms is not None or self.expect_silence
        return is_heard and not logged and not any(map(self._is_relevant, self.objections))

    @property
    def headline(self) -> str:
        """What the caller got, and who ended the call, in one sentence."""
        heard, lost, cleared = self.sound_seconds, self.lost_seconds, self.cleared_seconds
        said = f"{_say_seconds(heard)} of sound" if heard else "nothing"
        if lost or cleared:
            some, all_of_it = _say_seconds(heard), _say_seconds(heard + lost + cleared)
            if some.split()[1] == all_of_it.split()[1]:
                some = some.split()[0]
            said = f"{some if heard else 'nothing'} of {all_of_it}"
        if cleared:
            said += f" ({_say_seconds(cleared)} were cleared)"
        return f"heard {said}, then {self.ended.in_words}"

    def _is_relevant(self, objection: Objection) -> bool:
        if is_about_timing(objection) and not self.believable:
            return False
        return objection.severity != "note"

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the sound and the capture as plain values, ready for JSON."""
        first = self.first_sound_ms
        return {
            "url": self.url,
            "stream_sid": self.stream_sid,
            "ok": self.ok,
            "headline": self.headline,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 3),
            "ended": asdict(self.ended) | {"in_words": self.ended.in_words},
            "ending": self.ending,
            "close_code": self.close_code,
            "close_reason": self.close_reason,
            "error_code": self.error_code,
            "sent": dict(self.sent),
            "received": dict(self.received),
            "objections": [
                objection.to_dict() | {"times": times, "text": str(objection)}
                for objection, times in self.objections.items()
            ],
            "debugger": [
                {"code": entry.code, "name": entry.name, "level": entry.level, "text": entry.text}
                for entry in self.debugger
            ],
            "first_sound_ms": first if first is None else round(first, 1),
            "heard_seconds": round(self.sound_seconds, 2),
            "recording_seconds": round(self.heard.seconds, 2),
            "sound_seconds": round(self.sound_seconds, 2),
            "cleared_seconds": round(self.cleared_seconds, 2),
            "lost_seconds": round(self.lost_seconds, 2),
            "expect_silence": self.expect_silence,
            "quiet_seconds": self.quiet_seconds,
            "marks_received": self.marks_received,
            "marks_returned": self.marks_returned,
            "acts": [act.to_dict() for act in self.acts],
            "line": self.line and self.line.to_dict(),
            "line_back": self.line_back and self.line_back.to_dict(),
            "turns": self.turns.to_dict(),
            "description": describe_call(self),
            "lateness": asdict(self.lateness),
            "believable": self.believable,
        }

    def to_junit(
        self,
        *,
        response_ms: float = math.inf,
        barge_in_ms: float = math.inf,
        overlap_ms: float = math.inf,
        dead_air_ms: float = math.inf,
        **others: float,
    ) -> str:
        """Return the call as XML of JUnit, which programs for continuous integration read.

        A first test case says whether the call is `ok`; then come those of `Turns.to_junit`.

        Args:
            response_ms: The limit of each response time, in milliseconds.
            barge_in_ms: The limit of each barge-in time.
            overlap_ms: The limit of the overlap in each turn of the server.
            dead_air_ms: The limit of each silence that is dead air.
            others: There are none; an unknown name is refused with the nearest.

        Raises:
            TypeError, ValueError: If a limit is no number, of no figure, less than 0, or a part of
                1 ms.
        """
        failure = "" if self.ok else f"{self.verdict}: {self.headline}"
        turns = self.turns
        limits = {
            "response_ms": response_ms,
            "barge_in_ms": barge_in_ms,
            "overlap_ms": overlap_ms,
            "dead_air_ms": dead_air_ms,
            **others,
        }
        return build_junit(
            "twistream call",
            {"call": failure, **turns.list_cases(**limits)},
            self.seconds,
            f"{self!r}\n{turns!r}",
            turns.list_skipped(**limits),
            {"call": self.headline, **turns.list_values()},
        )

    @property
    def verdict(self) -> str:
        """Whether it is `ok`, in words, and which step of the script was cut off nevertheless."""
        if not self.ok:
            return "not ok"
        for objection in (act.objection for act in self.acts):  # no more than notes
            if objection is not None:
                return f"ok, but {objection.field} {objection.problem}"
        return "ok" if self.objections else "ok, no objections"

    def __repr__(self) -> str:
        lines = [f"{self.headline[0].upper()}{self.headline[1:]}"]
        for objection, times in self.objections.items():
            code = f" ({objection.code})" if objection.code else ""
            lines.append(f"  {times} × {objection.severity}{code}: {objection}")
        lines += [f"  {about:<9} {said}" for about, said in describe_call(self).items()]
        lines += [f"  {act!r}" for act in self.acts]
        lines += [
            f"  logged: {entry.code} {entry.name}" + (f": {entry.text}" if entry.text else "")
            for entry in self.debugger
        ]
        return "\n".join(lines)


def describe_call(report: CallReport) -> dict[str, str]:
    """Describe a call in one sentence per topic, for its text and its display."""
    said = {
        "verdict": report.verdict,
        "call": f"{report.seconds:.1f} s to {report.url}",
        "sent": _describe_counts(report.sent),
        "received": _describe_counts(report.received),
    }
    if line := describe_lines(report.line, report.line_back):
        said["line"] = line
    if report.first_sound_ms is not None:
        first = f"the first after {report.first_sound_ms:.0f} ms"
        said["heard"] = f"{_say_seconds(report.sound_seconds)} of sound, {first}"
    else:
        said["heard"] = "nothing but silence"
    if report.quiet_seconds:
        said["ended"] = (
            f"by the simulated caller, who hangs up after {report.quiet_seconds:g} s of silence; "
            f"{suggest_seconds(report)} waits longer"
        )
    if report.acts:
        said["script"] = _describe_acts(report.acts)
    if turns := report.turns.describe():
        said["turns"] = turns
    if report.marks_received:
        said["marks"] = f"{report.marks_returned} of {report.marks_received} returned"
    said["timing"] = str(report.lateness)
    if report.sent.get("media", 0) >= INITIAL_BURST_FRAMES:
        said["timing"] += f"; the first frame brings {INITIAL_BURST_FRAMES} media, as at Twilio"
    if not report.believable:
        said["timing"] += f". {SIMULATOR_WAS_LATE}."
    return said


def describe_lines(there: Line | None, back: Line | None) -> str:
    """Say which lines a call had, and what they do; empty for none."""
    said = f"{there!r}: {there.description}" if there is not None else ""
    if back is None or back.is_clean:
        return said if there is None or there.is_clean else f"{said}; back unchanged"
    if there is not None and back == there.way_back:
        return f"{said}; back the same" if back == there else f"{said}; back without the microphone"
    return f"{said or 'unchanged'}; back {back!r}: {back.description}"


def _describe_acts(acts: Series[CallerAct]) -> str:
    failed = [f"{number} ({act.kind})" for number, act in enumerate(acts, 1) if not act.ok]
    skipped = sum(act.ok and act.outcome.startswith("not begun") for act in acts)
    if not failed:
        return f"{len(acts)} steps, as written" if len(acts) > 1 else "1 step, as written"
    which = f"step {failed[0]}" if len(failed) == 1 else f"steps {', '.join(failed)}"
    number = f"{len(acts)} steps, of which {which}" if len(acts) > 1 else "1 step, which"
    said = f"{number} did not go as written"
    if skipped:
        said += f", and {skipped} {'were' if skipped > 1 else 'was'} not begun"
    return said


def suggest_seconds(report: CallReport) -> str:
    """Return the argument that would have let the call last longer, and the option."""
    seconds = 10 * math.ceil((report.seconds + 5) / 10)
    return f"seconds={seconds} (--seconds {seconds})"


def _say_seconds(seconds: float) -> str:
    """Write a duration of sound so that none but zero is written as zero."""
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def _describe_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "nothing"


def save_report(report: CallReport, target: Path, *, overwrite: bool = False) -> list[Path]:
    """Write `report` to a file, or to all files in a folder; return the paths written.

    Args:
        report: The results of a call.
        target: A folder, or a file whose suffix says what it is to hold.
        overwrite: Replace existing files, each when the new one is complete.

    Raises:
        SettingsError: As `list_files` does.
        TwistreamError: If a file exists and `overwrite` is False, or it cannot be written; none is
            left half-written.
    """
    files = list_files(target, overwrite=overwrite)
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise build_write_error(file, error) from error
        match file.suffix:
            case ".wav":
                report.heard.save(file, overwrite=overwrite)
            case ".jsonl":
                report.capture.save(file, overwrite=overwrite)
            case _:
                text = json.dumps(report.to_dict(), indent=2) + "\n"
                with write_file(file, overwrite=overwrite) as opened:
                    opened.write(text.encode())
    return files


def check_junit(target: Path, *, overwrite: bool = False) -> None:
    """Find out before a call whether `save_junit` can write there.

    Raises:
        SettingsError: If the folder does not exist, or `target` is one.
        TwistreamError: If it exists and `overwrite` is False.
    """
    if target.is_dir():
        raise SettingsError(f"{target} is a folder", fix=f"Name a file in it: {target}/call.xml")
    if not target.parent.is_dir():
        raise SettingsError(f"{target.parent} is not a folder", fix="Make it first")
    if not overwrite:
        refuse_existing(target)


def save_junit(
    report: CallReport, target: Path, limits: Mapping[str, float], *, overwrite: bool = False
) -> None:
    """Write `CallReport.to_junit` to a file.

    Raises:
        TwistreamError: If it exists and `overwrite` is False, or cannot be written.
    """
    with write_file(target, overwrite=overwrite) as opened:
        opened.write(report.to_junit(**limits).encode())


def list_files(target: Path, *, overwrite: bool = False) -> list[Path]:
    """Return the files that `save_report` would write; this detects an error before the call.

    Raises:
        SettingsError: If `target` is neither a folder nor a file of one of the three kinds, or
            its folder does not exist.
        TwistreamError: If one of them exists and `overwrite` is False.
    """
    files = _list_targets(target)
    if not overwrite:
        for file in files:
            refuse_existing(file)
    return files


def _list_targets(target: Path) -> list[Path]:
    if target.is_dir() or not target.suffix:
        return [target / name for name in _FILE_NAMES.values()]
    if target.suffix not in _FILE_NAMES:
        raise SettingsError(
            f"a call cannot be saved as {target.name}",
            fix="Give a folder, or a file that ends in .wav, .jsonl or .json",
        )
    if not target.parent.is_dir():
        raise SettingsError(f"{target.parent} is not a folder", fix="Make it first")
    return [target]
