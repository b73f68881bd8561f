"""Results that are a row of a table: one by one, or many of the same kind below each other.

`ROWS` says for each class what its columns are; `show_row` and `show_rows` draw them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from twistream_kit.capture.message_text import get_event, quote_message
from twistream_kit.diagnosis.growth import say_slope, say_value
from twistream_kit.errors import join_sentences
from twistream_kit.notebook.display.html import (
    EMPTY,
    Html,
    badge,
    bullets,
    code,
    join,
    paragraph,
    player,
    strong,
    table,
)
from twistream_kit.protocol.codes import TWILIO_CODES

if TYPE_CHECKING:
    from twistream_kit.audio.convert import ConvertedFile
    from twistream_kit.audio.examination import Finding
    from twistream_kit.audio.tone_detector import Tone
    from twistream_kit.audio.wav_report import Field
    from twistream_kit.capture.entry import Entry
    from twistream_kit.capture.replay import Playback
    from twistream_kit.diagnosis.files import Mistake
    from twistream_kit.diagnosis.growth import Growth
    from twistream_kit.diagnosis.turn import Turn
    from twistream_kit.errors import Objection
    from twistream_kit.live.calls.call import Call
    from twistream_kit.live.calls.status import StatusEvent
    from twistream_kit.live.inspector.stream import InspectedStream, Violation
    from twistream_kit.live.preflight.check import Check
    from twistream_kit.live.stream.stream import MediaStream
    from twistream_kit.protocol.codes import TwilioCode
    from twistream_kit.protocol.marks import PlayOutcome
    from twistream_kit.simulator.call.call import SimulatedCall
    from twistream_kit.simulator.caller import CallerAct
    from twistream_kit.simulator.fault_report import FaultRow
    from twistream_kit.simulator.model.debugger import DebuggerEntry, Unlogged

MOST_ROWS = 100
"""More rows than this nobody reads, and a notebook keeps them all."""

SAMPLE_RATE = 8000
"""The rate of a telephone call in Hz, at which everything is played here."""

SHOWN_CHARACTERS = 120
"""How much of the beginning of one message is shown."""


@dataclass(frozen=True, slots=True)
class Columns:
    """How things of one class stand in a table.

    Attributes:
        caption: What they are, where one stands alone.
        heads: The title of each column.
        cells: Gives the cells of one thing, as many as there are heads.
        what: Gives what makes two things say the same; a row then stands for all of them, with
            their count.  Without it each thing has a row.
    """

    caption: str
    heads: tuple[str, ...]
    cells: Callable[[Any], Sequence[object]]
    what: Callable[[Any], Hashable] | None = None


def show_row(thing: object) -> Html:
    """One result as a table with one row."""
    columns = find_columns(thing)
    return table(columns.heads, [columns.cells(thing)], caption=columns.caption)


def show_rows(things: Sequence[object], caption: str) -> Html:
    """Several results of one class as a table, equal ones once; of very many the first."""
    if not things:
        return table((), [], caption=caption)
    columns = find_columns(things[0])
    counted = _count_equal(things, columns)
    if len(counted) > MOST_ROWS:
        caption = f"{caption}, of which the first {MOST_ROWS} are shown"
    rows = (_list_counted_cells(columns, *each) for each in counted[:MOST_ROWS])
    return table(columns.heads, rows, caption=caption)


def _count_equal(things: Sequence[object], columns: Columns) -> list[tuple[object, int]]:
    """Return the first of all things that say the same, with their number, in their order."""
    if columns.what is None:
        return [(thing, 1) for thing in things]
    firsts: dict[Hashable, object] = {}
    times = Counter[Hashable]()
    for thing in things:
        said = columns.what(thing)
        firsts.setdefault(said, thing)
        times[said] += 1
    return [(thing, times[said]) for said, thing in firsts.items()]


def _list_counted_cells(columns: Columns, thing: object, times: int) -> Sequence[object]:
    first, *others = columns.cells(thing)
    return (first if times == 1 else join(first, f" ({times} ×)"), *others)


def find_columns(thing: object) -> Columns:
    """Return how a thing stands in a table; of another class, by its repr alone."""
    for kind in type(thing).__mro__:
        if found := ROWS.get((kind.__module__, kind.__qualname__)):
            return found
    return Columns("Items", ("item",), lambda item: (repr(item),))


def show_text(message: str | bytes) -> Html:
    """Return a message as it came, the middle of a long one left out."""
    return code(quote_message(message, SHOWN_CHARACTERS), breakable=True)


def set_code(sentence: str) -> Html:
    """Set what stands between backticks in the font of code."""
    parts = sentence.split("`")
    return join(*(code(part) if n % 2 else part for n, part in enumerate(parts)))


def show_verdict(objection: Objection) -> Html:
    """Code, severity, field and problem of an objection, in one line."""
    number = EMPTY
    if objection.code:
        # What drops one message is an error of the server, and in Twilio's console a warning.
        known = TWILIO_CODES.get(objection.code)
        level = objection.severity if known is None else known.level
        at_twilio = "" if level == objection.severity else f"({level} at Twilio) "
        number = join(strong(objection.code), f" {at_twilio}")
    field = join(code(objection.field), " ") if objection.field else EMPTY
    return join(badge(objection.severity), " ", number, field, _say_problem(objection))


def show_reasons(objection: Objection) -> Html:
    """What follows from an objection, and what to do."""
    reasons = bullets(part for part in (objection.consequence, objection.fix) if part)
    return join(reasons, show_candidates(objection))


def show_candidates(objection: Objection) -> Html:
    """A player of the sound for each rate at which it may have been made; nothing without any."""
    if not objection.sample_rates or not objection.sound:
        return EMPTY
    from twistream_kit.audio.load import load_clip

    def show(rate: int) -> Html:
        clip = load_clip(objection.sound, sample_rate=rate, encoding="PCMU")
        name = f"{rate} Hz" if rate != SAMPLE_RATE else f"{rate} Hz, as the caller hears it"
        return paragraph(f"{name}: ", player(clip.samples(), SAMPLE_RATE, name))

    return join(*map(show, (SAMPLE_RATE, *objection.sample_rates)))


def list_objections(objections: Iterable[Objection]) -> Html:
    """Several objections below each other, inside a cell."""
    return bullets(join(show_verdict(each), show_reasons(each)) for each in objections)


def _say_problem(objection: Objection) -> str:
    # The statement says how sure it is, too; the field has a place of its own.
    return replace(objection, field="").statement.rstrip(".")


def _list_objection_cells(objection: Objection) -> Sequence[object]:
    field = code(objection.field) if objection.field else EMPTY
    said = badge(objection.severity), objection.code or "", field, set_code(_say_problem(objection))
    fix = join(set_code(objection.fix), show_candidates(objection))
    return (*said, set_code(objection.consequence), fix)


_OBJECTION = ("severity", "code", "field", "what is wrong", "what follows", "what to do")


def _list_mistake_cells(mistake: Mistake) -> Sequence[object]:
    return (mistake.place, *_list_objection_cells(mistake.objection))


def _list_unlogged_cells(unlogged: Unlogged) -> Sequence[object]:
    return (
        code(unlogged.stream_sid or unlogged.call_sid),
        *_list_objection_cells(unlogged.objection),
    )


def _list_violation_cells(violation: Violation) -> Sequence[object]:
    message = show_text(violation.text) if violation.text else EMPTY
    objections = list_objections(violation.objections)
    return (f"{violation.at:.2f}", violation.sender, join(message, objections))


def _list_converted_cells(done: ConvertedFile) -> Sequence[object]:
    if done.error:
        return (code(done.source), EMPTY, EMPTY, EMPTY, done.error)
    cut = f"cut off: {done.missing_seconds:.2f} s missing" if done.missing_seconds else EMPTY
    return (code(done.source), code(done.path), f"{done.seconds:.2f}", done.clipped or EMPTY, cut)


def _list_tone_cells(tone: Tone) -> Sequence[object]:
    key = code(tone.key) if tone.kind == "key" else tone.kind
    hz = " + ".join(f"{each:.1f}" for each in tone.hz)
    return (key, f"{tone.begin:.3f}", f"{tone.end:.3f}", hz, f"{tone.level_db:.1f}")


def _list_field_cells(field: Field) -> Sequence[object]:
    raw = field.raw[:12].hex(" ") + (" …" if field.size > 12 else "")
    return (
        field.offset,
        code(raw),
        f"{field.chunk.strip()} {field.name}".strip(),
        f"{field.size} bytes" if field.value is None else field.value,
        field.meaning,
    )


def _list_finding_cells(finding: Finding) -> Sequence[object]:
    more = join_sentences(finding.consequence, finding.fix)
    problem = paragraph(set_code(join_sentences(finding.problem)))
    found = join(problem, paragraph(set_code(more)) if more else EMPTY)
    return (badge(finding.severity), finding.subject, found)


def _list_check_cells(check: Check) -> Sequence[object]:
    labelled = (("What follows: ", check.consequence), ("What to do: ", check.fix))
    reasons = bullets(label + text for label, text in labelled if text)
    sign = join(badge("error"), " ", check.sign) if check.passed is False else check.sign
    return (check.name, sign, join(check.detail, reasons))


def _list_entry_cells(entry: Entry) -> Sequence[object]:
    event = get_event(entry.message)
    content = show_text(entry.message.to_json())
    return (f"{entry.at:.3f}", entry.sender, event, entry.size or EMPTY, content)


def _list_playback_cells(played: Playback) -> Sequence[object]:
    times = (played.sent_at, played.heard_from, played.heard_to, played.cleared_at)
    ended = (played.heard_ms, played.total_ms, played.ending)
    return (played.name, *("" if at is None else f"{at:.2f}" for at in times), *ended)


def _list_turn_cells(turn: Turn) -> Sequence[object]:
    times = (f"{turn.begins:.2f}", f"{turn.ends:.2f}")
    if turn.ending == "not heard":
        times = ("–", "–")
    overlap = f"{turn.overlap_ms:.0f}" if turn.overlap_ms else ""
    step = "" if turn.kind == "speech" else turn.kind
    return (turn.who, *times, turn.delay, overlap, turn.outcome, step)


def _list_fault_cells(row: FaultRow) -> Sequence[object]:
    outcome = join(badge("error"), " red") if row.outcome == "red" else row.outcome
    next_call = EMPTY if row.next_call_ms is None else f"{row.next_call_ms:.0f}"
    return (code(row.name), outcome, row.seen, next_call, row.process)


def _list_growth_cells(growth: Growth) -> Sequence[object]:
    verdict: object = growth.describe_verdict()
    if growth.verdict == "grows":
        verdict = join(badge("error"), " grows")
    slopes = (
        "" if slope is None else say_slope(slope, growth.unit)
        for slope in (growth.per_hour, growth.per_1000_calls)
    )
    values = (growth.before, growth.first, growth.last)
    return (code(growth.name), verdict, *slopes, *map(say_value, values))


def _list_play_outcome_cells(outcome: PlayOutcome) -> Sequence[object]:
    heard = (outcome.heard_ms, outcome.total_ms, draw_meter(outcome))
    return (outcome.ending, *heard, "; ".join(outcome.notes) or EMPTY)


def draw_meter(played: Any) -> Html:
    """How much of a playback was heard, drawn."""
    most = max(played.total_ms, 1)
    return Html(
        f'<meter min="0" max="{most:d}" value="{played.heard_ms:d}" aria-label="heard"></meter>'
    )


def _list_code_cells(known: TwilioCode) -> Sequence[object]:
    return (known.code, badge(known.level), known.name, known.meaning, known.remedy)


def list_entry_cells(entry: DebuggerEntry) -> Sequence[object]:
    """The cells of one line of Twilio's console, with the message at fault."""
    message = show_text(entry.message) if entry.message is not None else EMPTY
    sid = entry.stream_sid or entry.call_sid
    where = join(" on ", code(sid)) if sid else EMPTY
    happened = join(
        paragraph(strong(entry.name), where), *map(paragraph, filter(None, [entry.text]))
    )
    return (
        entry.code,
        badge(entry.level),
        join(happened, message, list_objections(entry.objections)),
    )


def _list_status_cells(event: StatusEvent) -> Sequence[object]:
    number = EMPTY if event.sequence is None else event.sequence
    parameters = bullets(f"{name}: {value}" for name, value in event.parameters.items())
    return (event.name, code(event.call_sid), code(event.stream_sid), number, parameters)


def _list_call_cells(call: Call) -> Sequence[object]:
    cause = EMPTY if call.cause is None else call.cause.in_words
    return (code(call.sid), call.from_, call.to, call.status, call.answered_by, cause)


def _list_act_cells(act: CallerAct) -> Sequence[object]:
    what = code(act.keys) if act.clip is None else act.clip.name
    wrong = EMPTY if act.objection is None else show_verdict(act.objection)
    return (f"{act.begins:.2f}", f"{act.ends:.2f}", act.kind, what, act.outcome, wrong)


def _list_simulated_call_cells(call: SimulatedCall) -> Sequence[object]:
    seconds = EMPTY if call.seconds is None else call.seconds
    said = (call.describe_end(), bullets(call.transcript))
    return (code(call.sid), call.from_, call.to, call.status, seconds, *said)


def _list_stream_cells(stream: MediaStream) -> Sequence[object]:
    parameters = bullets(f"{name}: {value}" for name, value in stream.parameters.items())
    sids = code(stream.stream_sid), code(stream.call_sid)
    return (*sids, describe_state(stream), f"{stream.capture.seconds:.2f}", parameters)


def _list_inspected_stream_cells(stream: InspectedStream) -> Sequence[object]:
    sids = code(stream.stream_sid or "(no start yet)"), code(stream.call_sid)
    seconds = f"{stream.capture.seconds:.2f}"
    return (*sids, describe_state(stream), seconds, list_objections(stream.objections))


def describe_state(stream: MediaStream | InspectedStream) -> str:
    """Return whether a stream is open, and how it ended, in words."""
    if not stream.closed.done():
        return "; ".join(filter(None, ("open", stream.disconnect_reason)))
    cause = getattr(stream, "cause", None)  # as it is known now, where it can be corrected
    if cause is not None:
        return f"ended: {cause.in_words}"
    error = stream.closed.exception(0)
    return f"ended: {error if error is not None else stream.closed.result(0).detail}"


_STREAM = ("stream", "call", "state", "length (s)")

ROWS: dict[tuple[str, str], Columns] = {
    ("twistream_kit.audio.convert", "ConvertedFile"): Columns(
        "A converted file", ("file", "written", "length (s)", "samples clipped", "what went wrong"),
        _list_converted_cells,
    ),
    ("twistream_kit.audio.tone_detector", "Tone"): Columns(
        "A tone", ("key", "from (s)", "to (s)", "frequencies (Hz)", "level (dB)"), _list_tone_cells
    ),
    ("twistream_kit.audio.wav_report", "Field"): Columns(
        "A field of a WAV file", ("offset", "bytes (hex)", "field", "value", "meaning"),
        _list_field_cells
    ),
    ("twistream_kit.audio.examination", "Finding"): Columns(
        "A finding", ("verdict", "what was looked at", "what was found"), _list_finding_cells
    ),
    ("twistream_kit.errors", "Objection"): Columns("An objection", _OBJECTION,
        _list_objection_cells, lambda objection: objection),
    ("twistream_kit.diagnosis.files", "Mistake"): Columns(
        "A mistake", ("where", *_OBJECTION), _list_mistake_cells
    ),
    ("twistream_kit.simulator.model.debugger", "Unlogged"): Columns(
        "What Twilio would not log", ("stream", *_OBJECTION), _list_unlogged_cells,
        lambda unlogged: unlogged.objection,
    ),
    ("twistream_kit.live.inspector.stream", "Violation"): Columns(
        "A violation", ("at (s)", "sender", "what is wrong"), _list_violation_cells
    ),
    ("twistream_kit.simulator.model.debugger", "DebuggerEntry"): Columns(
        "Twilio's console", ("code", "level", "what happened"), list_entry_cells,
        lambda entry: (entry.code, entry.level, entry.text, tuple(entry.objections)),
    ),
    ("twistream_kit.protocol.codes", "TwilioCode"): Columns(
        "A code of Twilio's", ("code", "level", "name", "meaning", "what to do"), _list_code_cells
    ),
    ("twistream_kit.live.preflight.check", "Check"): Columns(
        "Before the call", ("check", "passed", "what was found"), _list_check_cells
    ),
    ("twistream_kit.protocol.marks", "PlayOutcome"): Columns(
        "A playback", ("ending", "heard (ms)", "of (ms)", "part heard", "notes"),
        _list_play_outcome_cells,
    ),
    ("twistream_kit.protocol.marks", "MarkOutcome"): Columns(
        "A mark", ("mark", "ending", "after (ms)", "why"),
        lambda mark: (code(mark.name), mark.ending, mark.after_ms, mark.why or EMPTY),
    ),
    ("twistream_kit.protocol.ending", "EndCause"): Columns(
        "Who ended it, and why", ("cause", "in words", "code of the Close frame", "a guess"),
        lambda cause: (
            cause.cause, cause.in_words,
            EMPTY if cause.close_code is None else cause.close_code, _say_yes_or_no(cause.is_guess),
        ),
    ),
    ("twistream_kit.protocol.ending", "StreamEnd"): Columns(
        "The end of a stream", ("reason", "who ended it, and why"),
        lambda end: (end.reason, end.detail)
    ),
    ("twistream_kit.live.inspector.stream", "InspectedEnd"): Columns(
        "The end of an inspected stream",
        (
            *("ended by", "Twilio's code", "your server's code", "Twilio said stop"),
            *("what happened", "who ended it, and why", "Twilio logs"),
        ),
        lambda end: (
            end.ended_by, end.twilio_code, end.server_code, _say_yes_or_no(end.said_stop),
            end.detail, end.cause.in_words, end.error_code or "nothing",
        ),
    ),
    ("twistream_kit.live.calls.status", "StatusEvent"): Columns(
        "A status callback", ("status", "call", "stream", "number", "parameters"),
        _list_status_cells
    ),
    ("twistream_kit.live.calls.call", "Call"): Columns(
        "A call", ("call", "from", "to", "status", "answered by", "who ended it, and why"),
        _list_call_cells,
    ),
    ("twistream_kit.simulator.call.call", "SimulatedCall"): Columns(
        "A simulated call",
        (
            *("call", "from", "to", "status", "length (s)", "who ended it, and why"),
            "what was read to the caller",
        ),
        _list_simulated_call_cells,
    ),
    ("twistream_kit.simulator.caller", "Step"): Columns(
        "A step of a script", ("what the caller does",), lambda step: (str(step),)
    ),
    ("twistream_kit.simulator.caller", "CallerAct"): Columns(
        "What the caller did",
        ("from (s)", "to (s)", "step", "sound or keys", "how it ended", "what is wrong"),
        _list_act_cells,
    ),
    ("twistream_kit.live.stream.stream", "MediaStream"): Columns(
        "A stream", (*_STREAM, "parameters"), _list_stream_cells
    ),
    ("twistream_kit.live.inspector.stream", "InspectedStream"): Columns(
        "An inspected stream", (*_STREAM, "what is wrong"), _list_inspected_stream_cells
    ),
    ("twistream_kit.capture.entry", "Entry"): Columns(
        "A message", ("at (s)", "sender", "event", "sound (bytes)", "message"), _list_entry_cells
    ),
    ("twistream_kit.capture.entry", "StatusReport"): Columns(
        "What Twilio reported", ("at (s)", "status"),
        lambda status: (f"{status.at:.2f}", status.name),
    ),
    ("twistream_kit.capture.entry", "OddText"): Columns(
        "A message at fault", ("at (s)", "message"),
        lambda odd: (f"{odd.at:.2f}", show_text(odd.text)), lambda odd: odd.text,
    ),
    ("twistream_kit.capture.replay", "Playback"): Columns(
        "What was sent",
        (
            *("sound", "sent at (s)", "heard from (s)", "to (s)", "cleared at (s)"),
            *("heard (ms)", "of (ms)", "ending"),
        ),
        _list_playback_cells,
    ),
    ("twistream_kit.capture.summary", "MarkEnding"): Columns(
        "A mark", ("mark", "ending"), lambda mark: (code(mark.name), mark.ending)
    ),
    ("twistream_kit.capture.summary", "Figure"): Columns(
        "Timing", ("figure", "value", "what was measured"),
        lambda figure: (figure.name, figure.value, set_small(figure.definition)),
    ),
    ("twistream_kit.diagnosis.turn", "Turn"): Columns(
        "A turn", ("who", "from (s)", "to (s)", "delay", "overlap (ms)", "how it ended", "step"),
        _list_turn_cells,
    ),
    ("twistream_kit.diagnosis.turn_figures", "TurnFigure"): Columns(
        "Times", ("figure", "value", "what was measured"),
        lambda figure: (
            code(figure.name),
            figure.describe().replace(" ms", "\N{NO-BREAK SPACE}ms"),
            set_small(figure.definition),
        ),
    ),
    ("twistream_kit.diagnosis.failure_reasons", "FailureReason"): Columns(
        "A reason for which calls failed", ("calls", "why", "what follows, and what to do"),
        lambda reason: (reason.times, reason.reason, set_code(reason.repair)),
    ),
    ("twistream_kit.diagnosis.load_figure", "LoadFigure"): Columns(
        "Times", ("figure", "value", "what was measured"),
        lambda figure: (
            code(figure.name),
            figure.describe().replace(" ms", "\N{NO-BREAK SPACE}ms"),
            set_small(figure.definition),
        ),
    ),
    ("twistream_kit.diagnosis.load", "LoadCall"): Columns(
        "A call", ("call", "share", "from (s)", "to (s)", "first sound (ms)", "failure"),
        lambda call: (
            call.number, call.share, f"{call.begins:.1f}", f"{call.ends:.1f}",
            "" if call.first_sound_ms is None else f"{call.first_sound_ms:.0f}", call.failure,
        ),
    ),
    ("twistream_kit.diagnosis.load", "LoadShare"): Columns(
        "A share of the calls",
        ("share", "host", "process", "calls", "late (s)", "of a core", "own frames late (ms)"),
        lambda share: (
            share.number, share.host, share.pid, share.calls, f"{share.late_seconds:.2f}",
            f"{100 * share.busy:.0f} %" if share.busy else "not measured",
            f"{share.own_late_ms:.1f}" if share.own_late_ms else "not measured",
        ),
    ),
    ("twistream_kit.diagnosis.growth", "Growth"): Columns(
        "Growth", ("what", "verdict", "an hour", "for 1,000 calls", "before", "warmed up", "end"),
        _list_growth_cells,
    ),
    ("twistream_kit.diagnosis.slope", "Slope"): Columns(
        "A slope, and its interval of 95 %", ("slope", "from", "to"),
        lambda slope: (f"{slope.value:.3g}", f"{slope.low:.3g}", f"{slope.high:.3g}"),
    ),
    ("twistream_kit.diagnosis.growth", "UsageReading"): Columns(
        "A reading", ("at (s)", "memory (MB)", "descriptors", "threads", "calls under way"),
        lambda reading: (
            f"{reading.at:.1f}", f"{reading.memory:.1f}", f"{reading.descriptors:.0f}",
            f"{reading.threads:.0f}", reading.under_way,
        ),
    ),
    ("twistream_kit.diagnosis.soak", "SoakWave"): Columns(
        "A wave of calls", ("wave", "from (s)", "to (s)", "calls", "failed", "faults", "invalid"),
        lambda wave: (
            wave.number, f"{wave.begins:.0f}", f"{wave.ends:.0f}", wave.calls, wave.failed,
            ", ".join(wave.faults), wave.invalid,
        ),
    ),
    ("twistream_kit.diagnosis.soak", "SoakFault"): Columns(
        "A fault beside the calls",
        ("fault", "tried", "not survived", "calls beside it that failed", "what was seen"),
        lambda fault: (code(fault.name), fault.tried, fault.red, fault.beside, fault.seen),
    ),
    ("twistream_kit.simulator.fault_report", "FaultRow"): Columns(
        "A fault", ("fault", "outcome", "what was seen", "next call (ms)", "process"),
        _list_fault_cells,
    ),
    ("twistream_kit.capture.summary", "Gap"): Columns(
        "A gap", ("at (s)", "length (s)"), lambda gap: (f"{gap.at:.2f}", f"{gap.seconds:.2f}")
    ),
    ("twistream_kit.capture.summary", "LateMark"): Columns(
        "A late mark", ("mark", "at (s)", "late by (ms)"),
        lambda mark: (code(mark.name), f"{mark.at:.2f}", f"{mark.late_ms:.0f}"),
    ),
}  # fmt: skip
"""Where each class is defined, under what name, and its columns."""


def set_small(definition: str) -> Html:
    """Return text that stands behind the rest."""
    return join(Html('<small style="opacity:0.8">'), definition, Html("</small>"))


def _say_yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
