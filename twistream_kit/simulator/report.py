"""`CallReport`, the results of one simulated call, and the files in which it is saved."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twistream_kit.audio.clip import Clip, build_write_error, refuse_existing, write_file
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.sound import is_about_timing
from twistream_kit.errors import Objection, SettingsError
from twistream_kit.listing import Series
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.simulator.call.handset import is_audible
from twistream_kit.simulator.model.debugger import DebuggerEntry
from twistream_kit.simulator.stream.client import ENDINGS, EndingReason
from twistream_kit.simulator.stream.pacer import LatenessReport

SIMULATOR_WAS_LATE = "The simulator itself was late: do not believe the timings above"
"""The warning of a report that is not `believable`."""

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
        close_code: The code of the server's Close frame; 1005 for a frame without a code, 1006 for
            no frame.
        error_code: The error that Twilio logs for the ending, or None.
        sent: The number of messages to the server by kind: ``connected``, ``start``, ``media`` …
        received: The number of messages from the server by kind: ``media``, ``mark``, ``clear``,
            ``invalid``, ``binary``.
        objections: The objections of `review` to the messages and of `SoundReview` to their sound,
            each with the number of messages it applied to.
        debugger: The entries that Twilio's console would show.
        first_sound_ms: The time from the start message to the first sound that the caller heard,
            or None.
        heard: What the caller heard, from the start message on.
        lateness: How late the simulator itself was.
        capture: Every message in both directions, with its time; of the server's messages, those
            that were obeyed.

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
    ending: EndingReason
    close_code: int
    error_code: int | None
    sent: Mapping[str, int]
    received: Mapping[str, int]
    objections: Counter[Objection]
    debugger: Series[DebuggerEntry]
    first_sound_ms: float | None
    heard: Clip
    lateness: LatenessReport
    capture: Capture = field(compare=False)

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
        """The duration of the audible sound that was heard."""
        payload = self.heard.payload
        frames = range(0, len(payload), FRAME_BYTES)
        return sum(is_audible(payload[i : i + FRAME_BYTES]) for i in frames) * PTIME_MS / 1000

    @property
    def believable(self) -> bool:
        """Whether the simulator was punctual enough for its timings to be reliable."""
        return self.lateness.believable

    @property
    def ok(self) -> bool:
        """Whether Twilio logged no error or warning, and `review` found none.

        Objections to the server's timing count only if the report is `believable`.
        """
        logged = any(entry.level != "note" for entry in self.debugger)
        return not logged and not any(map(self._is_relevant, self.objections))

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
            "seconds": round(self.seconds, 3),
            "ending": self.ending,
            "close_code": self.close_code,
            "error_code": self.error_code,
            "sent": dict(self.sent),
            "received": dict(self.received),
            "objections": [
                asdict(objection) | {"times": times} for objection, times in self.objections.items()
            ],
            "debugger": [
                {"code": entry.code, "name": entry.name, "level": entry.level, "text": entry.text}
                for entry in self.debugger
            ],
            "first_sound_ms": first if first is None else round(first, 1),
            "heard_seconds": round(self.heard.seconds, 2),
            "sound_seconds": round(self.sound_seconds, 2),
            "marks_received": self.marks_received,
            "marks_returned": self.marks_returned,
            "lateness": asdict(self.lateness),
            "believable": self.believable,
        }

    def __repr__(self) -> str:
        said = describe_call(self)
        lines = [f"Call to {self.url}: {said.pop('length')}"]
        lines += [f"  {about:<9} {sentence}" for about, sentence in said.items()]
        if not self.believable:
            lines.append(f"  {SIMULATOR_WAS_LATE}.")
        for objection, times in self.objections.items():
            code = objection.code or "no code"
            lines.append(f"  {times} × {objection.severity} ({code}): {objection}")
        lines += [
            f"  logged: {entry.code} {entry.name}" + (f": {entry.text}" if entry.text else "")
            for entry in self.debugger
        ]
        if self.ok and not self.objections:
            lines.append("  no objections")
        return "\n".join(lines)


def describe_call(report: CallReport) -> dict[str, str]:
    """Describe a call in one sentence per topic, for its text and its display."""
    ending = ENDINGS[report.ending].for_call
    said = {
        "length": f"{report.seconds:.1f} s, then {ending} ({report.close_code})",
        "sent": _describe_counts(report.sent),
        "received": _describe_counts(report.received),
        "heard": "nothing but silence",
    }
    if report.first_sound_ms is not None:
        sound, first = report.sound_seconds, report.first_sound_ms
        said["heard"] = f"{sound:.1f} s of sound, the first after {first:.0f} ms"
    if report.marks_received:
        said["marks"] = f"{report.marks_returned} of {report.marks_received} returned"
    said["timing"] = str(report.lateness)
    return said


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
