"""What went wrong in a simulated call as a whole: the causes behind what single messages show.

`add_causes` puts them before the objections to single messages, and takes away those that follow
from a cause.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from twistream_kit.errors import Objection, Severity, sort_by_severity
from twistream_kit.protocol.ending import Cause
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE
from twistream_kit.simulator.model.assumptions import CLOSE_WAIT_SECONDS
from twistream_kit.simulator.report import CallReport

UNNOTICED_SECONDS = 0.1
"""Of less than this, and less than a tenth of all sound, at the end the loss is only a note."""

LATE_SECONDS = 0.1
"""A server that answers each media message, but the first only after this, has missed some."""

_READ_ON = (
    "Read messages in a loop until the stream ends, such as `async for message in websocket:`, and "
    "return or close only then"
)

_ONLY_LISTENS = "if it only listens, call it with expect_silence=True (--expect-silence)"

_LOST_BECAUSE: dict[Cause, str] = {
    "server-closed": "the server closed the connection",
    "connection-lost": "the connection was lost without a Close frame",
    "protocol-error": "the server broke a rule that ends the stream",
}
"""The endings by the server, in which queued sound is its loss."""


_ORDERLY = (1000, 1001, 1005)
"""The codes of a server that closes without an error (RFC 6455 §7.4.1)."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What was left open at the end of a call.

    Attributes:
        waiting_marks: The marks that did not come back.
        is_close_unanswered: Whether Twilio's Close frame was not answered in time.
        plays_after_close: Whether queued sound was played after the server's Close frame.
    """

    waiting_marks: tuple[str, ...] = ()
    is_close_unanswered: bool = False
    plays_after_close: bool = False


def add_causes(report: CallReport, remains: Remains) -> CallReport:
    """Return `report` with the causes before its other objections, errors first."""
    others = report.objections.copy()
    causes: list[Objection] = []
    if missed := _find_missed_start(report):
        causes.append(missed)
        for symptom in filter(_has_no_sid, list(others)):
            del others[symptom]
    causes += _find_causes(report, remains)
    objections = Counter(dict.fromkeys(sort_by_severity(causes), 1))
    for objection in sort_by_severity(others):
        objections[objection] += others[objection]
    return replace(report, objections=objections)


def _find_causes(report: CallReport, remains: Remains) -> Iterator[Objection]:
    because = _LOST_BECAUSE.get(report.ended.cause)
    if because and not report.sent.get("start"):
        yield Objection(
            None,
            "",
            f"{because} before the start message",
            "The caller heard nothing; Twilio goes on with the TwiML behind <Connect>, or hangs up "
            "if there is none",
            _describe_fix(report),
        )
        return
    if because and report.lost_seconds and not remains.plays_after_close:
        yield _object_to_loss(report, because, remains.waiting_marks)
    elif report.first_sound_ms is None and not report.expect_silence:
        yield from _explain_silence(report, because, remains)
    if remains.is_close_unanswered and report.received:
        yield Objection(
            None,
            "",
            f"the server did not answer Twilio's Close frame within {CLOSE_WAIT_SECONDS:g} s",
            "Something keeps it from reading, or its handler does not end with the stream",
            "Let nothing block it, and end its handler after the stop message",
            "note",
        )


def _object_to_loss(report: CallReport, because: str, marks: tuple[str, ...]) -> Objection:
    lost = report.lost_seconds
    total = report.sound_seconds + lost
    is_small = lost < UNNOTICED_SECONDS and lost < total / 10
    severity: Severity = "note" if is_small else "error"
    missing = ""
    if marks:
        missing = f", and the mark {marks[0]!r} did not come back"
        if len(marks) > 1:
            missing = f", and {len(marks)} marks did not come back, the first of them {marks[0]!r}"
    if report.ended.cause == "server-closed":
        consequence = (
            "The caller is taken not to hear what is queued when the Close frame arrives: nobody "
            "knows it of Twilio, and Behaviour(plays_after_close=True) tries the opposite"
        )
    else:
        consequence = "The caller does not hear what is queued at that moment"
    return Objection(
        None,
        "",
        f"{_say_seconds(lost)} of {_say_seconds(total)} of sound were queued and not heard, "
        f"because {because}{missing}",
        consequence,
        "Send a mark after the last sound, and close the connection only when it has come back",
        severity,
    )


def _explain_silence(
    report: CallReport, because: str | None, remains: Remains
) -> Iterator[Objection]:
    received, seconds = report.received, report.seconds
    is_explained = any(each.severity == "error" for each in report.objections)
    consequence = "The caller heard nothing"
    if is_explained:
        return
    if because:
        problem = (
            f"{because} {_say_seconds(seconds)} after the start message, before the caller heard "
            "anything"
        )
        consequence = "Twilio goes on with the TwiML behind <Connect>, or hangs up if there is none"
        fix = _describe_fix(report)
        if fix == _READ_ON:
            fix += f"; {_ONLY_LISTENS}"
    elif not received and remains.is_close_unanswered:
        problem = (
            "the server took in nothing that can be seen after the connected message: it sent "
            f"nothing, and it did not answer Twilio's Close frame within {CLOSE_WAIT_SECONDS:g} s"
        )
        consequence += ", and the connection hung until Twilio dropped it"
        fix = (
            f"{_READ_ON}; let nothing block it meanwhile: `await asyncio.to_thread(…)` for what "
            "takes long"
        )
    elif not received:
        problem = "the server sent no message"
        fix = (
            "Send media messages with the streamSid of the start message (does it take in that "
            f"message? A listener that is attached late misses it); {_ONLY_LISTENS}"
        )
    elif report.cleared_seconds:
        problem = "a clear removed all sound before any of it was heard"
        fix = "Send a clear only when the caller interrupts"
    elif report.lost_seconds:
        problem = (
            f"the call ended before the first of {_say_seconds(report.lost_seconds)} of queued "
            "sound was heard"
        )
        fix = "Let the call last longer: seconds=10"
    elif received.get("media"):
        problem = f"the server sent nothing but silence (media {received['media']})"
        fix = (
            "Look at what makes the sound: its payload is all 0xFF or 0x7F, or empty; "
            f"{_ONLY_LISTENS}"
        )
    else:
        problem = "the server sent no media message"
        fix = f"Send media messages with the streamSid of the start message; {_ONLY_LISTENS}"
    yield Objection(None, "", problem, consequence, fix)


def _describe_fix(report: CallReport) -> str:
    ended = report.ended
    if ended.cause == "server-closed" and report.close_code in _ORDERLY:
        return _READ_ON
    if ended.cause == "server-closed":
        reason = f" {ended.close_reason!r}" if ended.close_reason else ""
        return f"Look into the log of the server: it closed with {report.close_code}{reason}"
    if ended.cause == "connection-lost":
        return (
            "Look into the log of the server, or of a proxy in front of it, for what broke it off"
        )
    return f"Mend what the server sent: {ended.detail or 'a frame that breaks a rule'}"


def _find_missed_start(report: CallReport) -> Objection | None:
    """Conclude from messages without a streamSid that the server has missed the start message."""
    received = report.received
    lacking = {each: n for each, n in report.objections.items() if _has_no_sid(each)}
    count = sum(lacking.values())
    if not count or count != sum(received.values()) or not report.capture.odd:
        return None
    first = report.capture.odd[0][0]
    is_empty = any(each.problem != _MISSING for each in lacking)
    expected = (report.seconds - first) * 1000 / PTIME_MS
    answers_media = count >= 5 and 0.8 <= count / expected <= 1.25 if expected > 0 else False
    if not is_empty and not (answers_media and first >= LATE_SECONDS):
        return None
    return Objection(
        INVALID_MESSAGE,
        "",
        "the start message was probably never taken in, as by a listener that was attached late: "
        f"streamSid is missing or empty in {count} of {count} messages, and the first of them came "
        f"{_say_seconds(first)} after the start message",
        "Twilio would drop them all, with one warning 31951, and the caller hears nothing",
        "Attach the listener before anything is awaited, keep the streamSid of the start message, "
        "and put it into each message",
    )


_MISSING = "is missing"

_EMPTY = re.compile(r"is null,|is '(|None|null|undefined)' ")


def _has_no_sid(objection: Objection) -> bool:
    """Whether a message had no streamSid, or that of a variable that was never set."""
    if objection.field != "streamSid":
        return False
    return objection.problem == _MISSING or _EMPTY.match(objection.problem) is not None


def _say_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
