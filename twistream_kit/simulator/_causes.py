"""What went wrong in a simulated call as a whole: the causes behind what single messages show.

`add_causes` puts them before the objections to single messages, and takes away those that follow
from a cause.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from twistream_kit.diagnosis.message import review_unheard
from twistream_kit.diagnosis.sound import NOTHING_BUT_SILENCE, SILENT_SO_FAR
from twistream_kit.errors import Objection, RemoteProtocolError, Severity, sort_by_severity
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.ending import Cause
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE, MALFORMED_MESSAGE
from twistream_kit.simulator.model.assumptions import CLOSE_WAIT_SECONDS
from twistream_kit.simulator.model.debugger import DebuggerEntry
from twistream_kit.simulator.report import CallReport, suggest_seconds
from twistream_kit.simulator.stream.client import OVERFLOW
from twistream_kit.simulator.stream.leg import measure_sound

UNNOTICED_SECONDS = 0.1
"""Of less than this, and less than a tenth of all sound, at the end the loss is only a note."""

LATE_SECONDS = 0.1
"""A server that answers each media message, but the first only after this, has missed some."""

_READ_ON = (
    "Read messages in a loop until the stream ends, such as `async for message in websocket:`, and "
    "return or close only then"
)

_ONLY_LISTENS = "if it only listens, call it with expect_silence=True (--expect-silence)"

NOBODY_SPOKE = ", and the caller said nothing"
"""The end of the problem of a silent call with a silent caller."""

_LET_IT_SPEAK = (
    "The caller said nothing, and a server that echoes or answers has nothing to send then: let "
    "the caller speak, with say= or script= (--say, --script)"
)

_LOST_BECAUSE: dict[Cause, str] = {
    "server-closed": "the server closed the connection",
    "connection-lost": "the connection was lost without a Close frame",
    "protocol-error": "the server broke a rule that ends the stream",
}
"""The endings by the server, in which queued sound is its loss."""


_ORDERLY = (1000, 1001, 1005)
"""The codes of a server that closes without an error (RFC 6455 §7.4.1)."""

_NO_CODE = 1005

_FAILED = 1011

_MEANINGS = {
    1001: "which says that it was going away, as a server that shuts down",
    _FAILED: "which says that it failed, as by an exception in its handler",
    1012: "which says that it was restarted",
    1013: "which says that it was overloaded",
}
"""What the codes say that servers send most (RFC 6455 §7.4.1; IANA's registry from 1012 on)."""

_DROPPED_WITH = (INVALID_MESSAGE, MALFORMED_MESSAGE)
"""The codes of messages that Twilio drops (§5.1)."""

_OF_MEDIA = re.compile(r"""["'](media|audio)["']|payload|[A-Za-z0-9+/]{40}""", re.IGNORECASE)
"""What stands in a message that was meant to carry sound: its names, or a piece of base64."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What was left open at the end of a call.

    Attributes:
        waiting_marks: The marks that did not come back.
        is_close_unanswered: Whether Twilio's Close frame was not answered in time.
        plays_after_close: Whether queued sound was played after the server's Close frame.
        is_caller_silent: Whether the caller has said nothing and pressed no key.
    """

    waiting_marks: tuple[str, ...] = ()
    is_close_unanswered: bool = False
    plays_after_close: bool = False
    is_caller_silent: bool = False


def add_causes(report: CallReport, remains: Remains) -> CallReport:
    """Return `report` with the causes before its other objections, errors first."""
    others = report.objections.copy()
    if report.expect_silence or (remains.is_caller_silent and report.first_sound_ms is None):
        # It was expected; or it is said, with its cause, of the call as a whole.
        del others[NOTHING_BUT_SILENCE]
        if report.first_sound_ms is None:
            del others[SILENT_SO_FAR]
    dropped: Counter[Objection] = Counter()
    missed = _find_missed_start(report)
    if missed:
        dropped[missed] = 1
        for symptom in filter(_has_no_sid, list(others)):
            del others[symptom]
    elif _is_silent(report):
        dropped = _take_reasons(report, others)
    is_explained = bool(dropped) or any(_explains_silence(each) for each in others)
    causes = [*_find_causes(report, remains, is_explained=is_explained)]
    named = {each.code for each in [*causes, *dropped, *report.objections]}
    named.add(report.ended.error_code)  # of which `_find_causes` says enough
    logged = {entry.code: entry for entry in report.debugger if entry.level != "note"}
    causes += [_object_to_entry(entry) for code, entry in logged.items() if code not in named]
    objections = Counter(dropped)
    for objection in sort_by_severity(causes):
        objections[objection] += 1
    for objection in sort_by_severity(others):
        objections[objection] += others[objection]
    return replace(report, objections=objections)


def _is_silent(report: CallReport) -> bool:
    """Whether nothing was heard, where something should have been."""
    return report.first_sound_ms is None and not report.expect_silence


def _explains_silence(objection: Objection) -> bool:
    """Whether it is an error of the sound, and not of the form of a message."""
    return objection.severity == "error" and objection.code not in _DROPPED_WITH


def _find_causes(
    report: CallReport, remains: Remains, *, is_explained: bool
) -> Iterator[Objection]:
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
    found: list[Objection] = []
    if because and report.lost_seconds and not remains.plays_after_close:
        found = [_object_to_loss(report, because, remains.waiting_marks)]
    elif _is_silent(report) and not is_explained:
        found = [_explain_silence(report, because, remains)]
    yield from found
    is_named = any(
        because is not None and because in each.problem and each.severity == "error"
        for each in found
    )
    if because and report.ended.is_error and not is_named:
        yield _object_to_ending(report, because)
    if remains.is_close_unanswered and report.received:
        yield Objection(
            None,
            "",
            f"the server did not answer Twilio's Close frame within {CLOSE_WAIT_SECONDS:g} s",
            "Something keeps it from reading, or its handler does not end with the stream",
            "Let nothing block it, and end its handler after the stop message",
            "note",
        )


def _take_reasons(report: CallReport, others: Counter[Objection]) -> Counter[Objection]:
    """Move the reasons why media messages were dropped from `others` to the result."""
    kept = report.capture.odd
    texts = [text for _, text in kept if _is_meant_as_media(text)]
    counted = report.received.get("invalid", 0) + report.received.get("binary", 0)
    is_all_kept = counted <= len(kept)
    if report.received.get("media"):
        texts = [text for text in texts if _may_be_audible(text)]
    if not texts and is_all_kept:
        return Counter()
    reasons = {
        each for text in texts for each in review_unheard(text, stream_sid=report.stream_sid)
    }
    found = [
        (each, times)
        for each, times in others.most_common()
        if each.code in _DROPPED_WITH and (each in reasons or not is_all_kept)
    ]
    errors = [(each, times) for each, times in found if each.severity == "error"]
    for each, _ in errors or found[:1]:
        del others[each]
    if errors or not found:
        return Counter(dict(errors))
    extra, times = found[0]
    consequence = (
        "The caller heard nothing, because messages with it were dropped here. "
        f"{extra.consequence}, and Behaviour(extra_fields='execute') tries the opposite"
    )
    return Counter({replace(extra, consequence=consequence, severity="error"): times})


def _is_meant_as_media(message: str | bytes) -> bool:
    """Whether a message was to carry sound, as far as can be seen; no object may be anything."""
    if isinstance(message, bytes) or not message.lstrip().startswith("{"):
        return True
    return _OF_MEDIA.search(message) is not None


def _may_be_audible(message: str | bytes) -> bool:
    try:
        read = to_twilio.parse(message)
    except RemoteProtocolError:
        return True
    return isinstance(read, to_twilio.Media) and measure_sound(read.payload) > 0


def _object_to_entry(entry: DebuggerEntry) -> Objection:
    """Say of an entry of Twilio's console what no objection says yet."""
    if entry.code == OVERFLOW:
        return Objection(
            entry.code,
            "",
            f"the server reads too slowly: {entry.text}",
            "Twilio drops what the caller says meanwhile",
            "Let nothing block it: `await asyncio.to_thread(…)` for what takes long",
            entry.level,
        )
    problem = f"Twilio logs {entry.name}"
    if entry.text:
        problem += f": {entry.text}"
    fix = f"Look up what it stands for: kit.explain({entry.code})"
    return Objection(entry.code, "", problem, "", fix, entry.level)


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
    fix = "Send a mark after the last sound, and close the connection only when it has come back"
    if not _is_orderly(report):
        fix = f"{_describe_fix(report)}; where the end is meant, s{fix[1:]}"
    return Objection(
        None,
        "",
        f"{_say_seconds(lost)} of {_say_seconds(total)} of sound were queued and not heard, "
        f"because {because}{missing}",
        consequence,
        fix,
        severity,
    )


def _object_to_ending(report: CallReport, because: str) -> Objection:
    """Say why a call is not ok whose only fault is how the server ended it."""
    ended = report.ended
    severity: Severity = "error"
    problem = f"{because} {_say_end(report)}"
    consequence = f"Twilio logs it as error {ended.error_code}"
    fix = _describe_fix(report)
    if ended.cause == "server-closed":
        code = ended.close_code
        with_code = "without a code (1005)" if code == _NO_CODE else f"with {code}"
        reason = f" {ended.close_reason!r}" if ended.close_reason else ""
        meaning = f", {_MEANINGS[code]}" if code in _MEANINGS else ""
        problem = f"{because} {with_code}{reason}{meaning}"
        consequence += ", and nothing shows that the end was meant, as 1000 would"
        if _is_orderly(report):
            severity = "warning"
            fix = "Close with 1000 where the end is meant, as in `await websocket.close(1000)`"
        elif code != _FAILED:
            fix += "; close with 1000 where the end is meant"
    elif ended.cause == "connection-lost":
        fix += "; where the end is meant, close with 1000"
    elif ended.detail:
        problem += f": {ended.detail}"
    return Objection(ended.error_code, "", problem, consequence, fix, severity)


def _object_to_early_ending(report: CallReport, because: str) -> Objection:
    problem = f"{because} {_say_end(report)}, before the caller heard anything"
    if report.received.get("media"):
        problem += ": it had sent nothing but silence"
    consequence = "Twilio goes on with the TwiML behind <Connect>, or hangs up if there is none"
    fix = _describe_fix(report)
    if fix == _READ_ON:
        fix += f"; if it closes on purpose, let it speak first; {_ONLY_LISTENS}"
    return Objection(None, "", problem, consequence, fix)


def _explain_silence(report: CallReport, because: str | None, remains: Remains) -> Objection:
    if because and not (report.received and _is_orderly(report)):
        return _object_to_early_ending(report, because)
    consequence = "The caller heard nothing"
    if report.quiet_seconds:
        consequence += (
            f", and hung up after {report.quiet_seconds:g} s of silence: if the server takes "
            f"longer to speak, {suggest_seconds(report)} waits for it"
        )
    if not report.received and remains.is_close_unanswered:
        problem = (
            "the server took in nothing that can be seen after the connected message: it sent "
            f"nothing, and it did not answer Twilio's Close frame within {CLOSE_WAIT_SECONDS:g} s"
        )
        consequence += ", and the connection hung until Twilio dropped it"
        fix = (
            f"{_READ_ON}; let nothing block it meanwhile: `await asyncio.to_thread(…)` for what "
            "takes long"
        )
    else:
        problem, fix = _describe_what_came(report)
        if remains.is_caller_silent and not (report.cleared_seconds or report.lost_seconds):
            problem += NOBODY_SPOKE
            fix = f"{_LET_IT_SPEAK}. Otherwise: {fix[0].lower()}{fix[1:]}"
    if because:
        problem += f"; then {because}, {_say_end(report)}"
    if report.line is not None and not report.line.is_clean and not remains.is_caller_silent:
        fix = (
            f"On line {report.line.name!r} a server may not hear when the caller speaks or has "
            "ended: the same call with line='clean' (--line clean) tells whether the line is the "
            f"cause. If that is silent, too: {fix[0].lower()}{fix[1:]}"
        )
    return Objection(None, "", problem, consequence, fix)


def _describe_what_came(report: CallReport) -> tuple[str, str]:
    """Say what the server sent instead of sound, and the fix."""
    if not report.received:
        return "the server sent no message", (
            "Send media messages with the streamSid of the start message (does it take in that "
            f"message? A listener that is attached late misses it); {_ONLY_LISTENS}"
        )
    if report.cleared_seconds:
        problem = "a clear removed all sound before any of it was heard"
        return problem, "Send a clear only when the caller interrupts"
    if report.lost_seconds:
        problem = (
            f"the call ended before the first of {_say_seconds(report.lost_seconds)} of queued "
            "sound was heard"
        )
        return problem, "Let the call last longer: seconds=10"
    if report.received.get("media"):
        return "the server sent nothing but silence", (
            "Look at what makes the sound: its payload is all 0xFF or 0x7F, or empty; "
            f"{_ONLY_LISTENS}"
        )
    problem = "the server sent no media message"
    fix = f"Send media messages with the streamSid of the start message; {_ONLY_LISTENS}"
    return problem, fix


def _say_end(report: CallReport) -> str:
    return f"{_say_seconds(report.seconds)} after the start message"


def _is_orderly(report: CallReport) -> bool:
    """Whether the server closed the connection without saying that anything failed."""
    return report.ended.cause == "server-closed" and report.ended.close_code in _ORDERLY


def _describe_fix(report: CallReport) -> str:
    ended = report.ended
    if _is_orderly(report):
        return _READ_ON
    if ended.cause == "server-closed":
        reason = f" {ended.close_reason!r}" if ended.close_reason else ""
        return f"Look into the log of the server: it closed with {ended.close_code}{reason}"
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
