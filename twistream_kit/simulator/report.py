"""What one simulated call showed of a server, `CallReport`, and the files that keep it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twistream_kit.audio.clip import Clip, build_write_error, write_file
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.sound import is_about_pace
from twistream_kit.errors import Objection, SettingsError
from twistream_kit.listing import Series
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.simulator.call.handset import is_audible
from twistream_kit.simulator.model.debugger import DebuggerEntry
from twistream_kit.simulator.stream.client import ENDINGS, EndingReason
from twistream_kit.simulator.stream.pacer import LatenessReport

SIMULATOR_WAS_LATE = "The simulator itself was late: do not believe the timings above"
"""What a report adds to its timing when it is not `believable`."""

_FILE_NAMES = {
    ".wav": "heard.wav",
    ".jsonl": "messages.jsonl",
    ".json": "report.json",
}
"""The kinds of file that keep a call, and their names in a folder: sound, messages, report."""


@dataclass(frozen=True, slots=True, repr=False)
class CallReport:
    """One call to a Media Streams server, as Twilio's side saw it.

    Attributes:
        url: The server.
        stream_sid: The stream that was opened.
        seconds: From the start message to the end.
        ending: ``stopped`` (the caller hung up), ``server-closed``, ``broken`` or
            ``protocol-error``.
        close_code: Of the server's Close frame; 1005 for one without status, 1006 for none.
        error_code: What Twilio logs for the ending, or None.
        sent: Messages to the server by kind: ``connected``, ``start``, ``media``, ...
        received: Messages from it by kind: ``media``, ``mark``, ``clear``, ``invalid``, ``binary``.
        objections: What `review` says of the messages that came, and `SoundReview` of their sound,
            each with how often it applied.
        debugger: What Twilio's console would show.
        first_sound_ms: From the start message to the first sound at the ear, or None.
        heard: What reached the ear, from the start message on.
        lateness: How late the simulator itself was.
        capture: Every message in both directions, with its time; of the server's those that were
            obeyed.

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
        """How many of them came back to it."""
        return self.sent.get("mark", 0)

    @property
    def sound_seconds(self) -> float:
        """How much of what was heard was not silence."""
        payload = self.heard.payload
        frames = range(0, len(payload), FRAME_BYTES)
        return sum(is_audible(payload[i : i + FRAME_BYTES]) for i in frames) * PTIME_MS / 1000

    @property
    def believable(self) -> bool:
        """Whether the simulator was punctual enough for its timings to mean something."""
        return self.lateness.believable

    @property
    def ok(self) -> bool:
        """Whether Twilio logged no error or warning, and `review` found none.

        What is said of the server's pace counts only where the timings can be believed.
        """
        logged = any(entry.level != "note" for entry in self.debugger)
        return not logged and not any(map(self._matters, self.objections))

    def _matters(self, objection: Objection) -> bool:
        if is_about_pace(objection) and not self.believable:
            return False
        return objection.severity != "note"

    def to_dict(self) -> dict[str, Any]:
        """Return all but the sound and the capture as plain values, ready for JSON."""
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
    """Say what a call showed, by what each sentence is about: for its text and its display."""
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


def save_report(report: CallReport, target: Path) -> list[Path]:
    """Write `report` to a file, or all there is into a folder; return what was written.

    Raises:
        SettingsError: As `files_for` does.
        TwistreamError: If a file cannot be written; none is left half-written.
    """
    files = files_for(target)
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise build_write_error(file, error) from error
        match file.suffix:
            case ".wav":
                report.heard.save(file)
            case ".jsonl":
                report.capture.save(file)
            case _:
                text = json.dumps(report.to_dict(), indent=2) + "\n"
                with write_file(file) as opened:
                    opened.write(text.encode())
    return files


def files_for(target: Path) -> list[Path]:
    """Return the files that `save_report` would write, so that a fault shows before the call.

    Raises:
        SettingsError: If `target` is neither a folder nor a file of one of the three kinds, or
            stands in a folder that is not there.
    """
    if target.is_dir() or not target.suffix:
        return [target / name for name in _FILE_NAMES.values()]
    if target.suffix not in _FILE_NAMES:
        raise SettingsError(
            f"a call cannot be kept as {target.name}",
            fix="Give a folder, or a file that ends in .wav, .jsonl or .json",
        )
    if not target.parent.is_dir():
        raise SettingsError(f"{target.parent} is not a folder", fix="Make it first")
    return [target]
