"""How results look in a notebook: HTML beside the text that every ``repr`` already tells.

No other module makes the HTML of a result; widgets have their own.  The root package names the
classes of `DISPLAYS` to IPython without importing them or this module; the first result that is
shown brings it in.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twistream_kit.audio.examination import Examination, Finding
from twistream_kit.capture.message_text import quote_message
from twistream_kit.errors import Objections, join_sentences
from twistream_kit.notebook.display.html import (
    EMPTY,
    Html,
    bullets,
    code,
    join,
    pairs,
    paragraph,
    player,
    strong,
    table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from twistream_kit.audio.clip import Clip
    from twistream_kit.audio.wav_report import WavReport
    from twistream_kit.capture.capture import Capture
    from twistream_kit.capture.replay import Playback
    from twistream_kit.errors import Objection
    from twistream_kit.live.preflight.check import Check, Checks
    from twistream_kit.live.settings.settings import Settings
    from twistream_kit.protocol.codes import TwilioCode
    from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome
    from twistream_kit.simulator.model.debugger import Debugger, DebuggerEntry
    from twistream_kit.simulator.report import CallReport

MOST_PLAYBACKS = 100
"""More rows than this nobody reads, and a notebook keeps them all."""

MOST_PLAYED_SECONDS = 60
"""A player holds its sound, 21 kB for each second, and stays in the notebook's file."""

MOST_PLAYED_BYTES = 4_000_000
"""What the two players together may weigh in a notebook, before base64: 20 s of 44.1 kHz stereo."""


def render_html(result: object) -> str:
    """Return the HTML of a public result.

    Raises:
        TypeError: If it is of no class named in `DISPLAYS`.
    """
    for kind in type(result).__mro__:
        show = DISPLAYS.get((kind.__module__, kind.__qualname__))
        if show is not None:
            return str(show(result))
    message = f"{type(result).__name__} has no display of its own; repr(result) describes it"
    raise TypeError(message)


def render_png(figure: Figure) -> bytes:
    """Draw a figure, as a cell shows it without pyplot having been imported."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def show_wav_report(report: WavReport) -> Html:
    """A table of the header's fields, byte by byte, and the verdict under it."""
    rows = [
        (
            field.offset,
            code(_format_bytes(field.raw, field.size)),
            f"{field.chunk.strip()} {field.name}".strip(),
            f"{field.size} bytes" if field.value is None else field.value,
            field.meaning,
        )
        for field in report.fields
    ]
    heads = ("offset", "bytes (hex)", "field", "value", "meaning")
    caption = f"{report.name or 'WAV'}: {report.header_bytes} bytes of header"
    return join(table(heads, rows, caption=caption), paragraph(strong(report.verdict)))


def _format_bytes(raw: bytes, size: int, most: int = 12) -> str:
    return raw[:most].hex(" ") + (" …" if size > most else "")


def show_clip(clip: Clip) -> Html:
    """A player, and how long the sound is."""
    text = f"{clip.name or 'clip'}: {clip.seconds:.2f} s, {len(clip.payload)} bytes of PCMU"
    if clip.clipped:
        text += f", {clip.clipped} samples clipped"
    if not clip.payload:
        return paragraph(text)
    if clip.seconds > MOST_PLAYED_SECONDS:
        text += f"; the player holds the first {MOST_PLAYED_SECONDS} s, clip.save(path) writes all"
    samples = clip.samples()[: MOST_PLAYED_SECONDS * 8000]
    name = code(clip.name) if clip.name else "clip"
    return join(player(samples, 8000, name), paragraph(text))


def show_examination(examination: Examination) -> Html:
    """A table of findings, the verdict, and players for before, after and the header's click."""
    heads = ("verdict", "what was looked at", "what was found")
    rows = [
        (finding.severity, finding.subject, _show_finding(finding))
        for finding in examination.findings
    ]
    return join(
        table(heads, rows, caption=examination.heading),
        paragraph(strong(f"{examination.verdict}.")),
        _show_players(examination),
    )


def _show_finding(finding: Finding) -> Html:
    more = join_sentences(finding.consequence, finding.fix)
    problem = paragraph(_set_code(join_sentences(finding.problem)))
    return join(problem, paragraph(_set_code(more)) if more else EMPTY)


def _set_code(sentence: str) -> Html:
    """Set what stands between backticks in the font of code."""
    parts = sentence.split("`")
    return join(*(code(part) if n % 2 else part for n, part in enumerate(parts)))


def _show_players(examination: Examination) -> Html:
    before, after = examination.before, examination.after.samples()
    if not len(after):
        return EMPTY
    rate = examination.sample_rate
    size = 2 * before.shape[1] * rate + 2 * 8000
    seconds = min(MOST_PLAYED_BYTES / size, examination.after.seconds)
    parts = [
        paragraph(f"Before, at {rate} Hz:"),
        player(before[: round(seconds * rate)], rate, "before"),
        paragraph("After, as on the telephone:"),
        player(after[: round(seconds * 8000)], 8000, "after"),
    ]
    if examination.figures.seconds - seconds > 0.01:
        parts.append(paragraph(f"The players hold the first {seconds:.0f} s."))
    if examination.click is not None:
        click = examination.click.samples()[: 8000 * 5]
        parts += [
            paragraph("Its header, if the file were sent whole:"),
            player(click, 8000, "header"),
        ]
    return join(*parts)


def show_objection(objection: Objection) -> Html:
    """What is wrong, what follows, what to do: one line each."""
    return join(_show_verdict(objection), _show_reasons(objection))


def show_objections(objections: Sequence[Objection]) -> Html:
    """What `review` returns: the objections, or that there are none."""
    return _list_objections(objections) if objections else paragraph(repr(Objections()))


def _list_objections(objections: Sequence[Objection]) -> Html:
    """Several objections, the most important first."""
    return bullets(join(_show_verdict(each), _show_reasons(each)) for each in objections)


def _show_verdict(objection: Objection) -> Html:
    number = f"{objection.code} " if objection.code else ""
    verdict = strong(f"{number}{objection.severity}")
    # The statement says how sure it is, too; the field has a place of its own.
    problem = replace(objection, field="").statement
    return join(verdict, " ", code(objection.field), " ", problem.rstrip("."))


def _show_reasons(objection: Objection) -> Html:
    return bullets(part for part in (objection.consequence, objection.fix) if part)


def show_code(known: TwilioCode) -> Html:
    """A code of Twilio's: what it means, what is behind it, what to do."""
    title = join(strong(f"{known.code} {known.name}"), f" ({known.level})")
    link = Html(f'<a href="{known.url}" target="_blank" rel="noopener">Twilio on {known.code}</a>')
    causes = join(paragraph("Usual causes:"), bullets(known.causes)) if known.causes else EMPTY
    remedy = paragraph(strong("What to do: "), known.remedy)
    return join(paragraph(title), paragraph(known.meaning), causes, remedy, paragraph(link))


def show_play_outcome(outcome: PlayOutcome) -> Html:
    """How much of a playback was heard, as a meter and in words."""
    text = f"{outcome.ending}: {outcome.heard_ms} of {outcome.total_ms} ms heard"
    most = max(outcome.total_ms, 1)
    meter = f'<meter min="0" max="{most}" value="{outcome.heard_ms}" aria-label="heard"></meter> '
    return paragraph(Html(meter), text)


def show_mark_outcome(outcome: MarkOutcome) -> Html:
    """How a mark ended."""
    return paragraph("mark ", code(outcome.name), f": {outcome.ending} after {outcome.after_ms} ms")


def show_capture(capture: Capture) -> Html:
    """One call in numbers, each timing with what was measured, and what became of each sound."""
    found = capture.summary()
    values: dict[str, object] = {
        "stream": code(found.stream_sid or "(no name)"),
        "length": f"{found.seconds:.2f} s",
        **found.describe_counts(),
    }
    numbers = pairs(values, caption="A captured call")
    rows = [
        (figure.name, figure.value, _show_small(figure.definition))
        for figure in found.list_figures()
    ]
    figures = table(("figure", "value", "what was measured"), rows, caption="Timing")
    return join(numbers, figures, _show_playbacks(found.playbacks))


def _show_playbacks(playbacks: tuple[Playback, ...]) -> Html:
    if not playbacks:
        return EMPTY
    heads = (
        *("sound", "sent at (s)", "heard from (s)", "to (s)", "cleared at (s)"),
        *("heard (ms)", "of (ms)", "ending"),
    )
    rows = [
        (
            played.name,
            *map(
                _format_time,
                (played.sent_at, played.heard_from, played.heard_to, played.cleared_at),
            ),
            *(played.heard_ms, played.total_ms, played.ending),
        )
        for played in playbacks[:MOST_PLAYBACKS]
    ]
    more = len(playbacks) - len(rows)
    caption = f"What was sent; {more} more are in capture.playbacks()" if more else "What was sent"
    return table(heads, rows, caption=caption)


def _format_time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"


def _show_small(definition: str) -> Html:
    return join(Html('<small style="opacity:0.8">'), definition, Html("</small>"))


def show_checks(checks: Checks) -> Html:
    """What a preflight found: one row each, with what follows and what to do."""
    heads = ("check", "passed", "what was found")
    rows = [(check.name, check.sign, _show_check(check)) for check in checks]
    return join(table(heads, rows, caption="Before the call"), paragraph(strong(checks.verdict)))


def _show_check(check: Check) -> Html:
    labelled = (("What follows: ", check.consequence), ("What to do: ", check.fix))
    return join(check.detail, bullets(label + text for label, text in labelled if text))


def show_settings(settings: Settings) -> Html:
    """What is set and where it came from, secrets unseen, and what a real call still needs."""
    rows = [(code(name), value, source) for name, value, source in settings.rows()]
    heads = ("setting", "value", "from")
    needs = join("Still missing for a real call: ", code(", ".join(settings.missing)))
    verdict = strong("Ready for a real call.") if settings.ready else needs
    return join(table(heads, rows, caption="Settings") if rows else EMPTY, paragraph(verdict))


def show_debugger(debugger: Debugger) -> Html:
    """What Twilio's console would show, and under it what no console would."""
    from twistream_kit.simulator.model.debugger import NOTHING_LOGGED

    logged = _show_entries(debugger) if debugger else paragraph(f"{NOTHING_LOGGED.capitalize()}.")
    if not debugger.unlogged:
        return logged
    rows = [(code(each.stream_sid), show_objection(each.objection)) for each in debugger.unlogged]
    return join(
        logged, table(("stream", "what is heard"), rows, caption="What Twilio would not log")
    )


def show_debugger_entry(entry: DebuggerEntry) -> Html:
    """One line of the console."""
    heads = ("code", "level", "what happened")
    return table(heads, [_list_cells(entry)], caption="Twilio's console")


def _show_entries(debugger: Sequence[DebuggerEntry]) -> Html:
    heads = ("code", "level", "what happened")
    rows = [_list_cells(entry) for entry in debugger]
    return table(heads, rows, caption="What Twilio's console shows")


def _list_cells(entry: DebuggerEntry) -> tuple[object, ...]:
    message = (
        code(quote_message(entry.message, 120), breakable=True)
        if entry.message is not None
        else EMPTY
    )
    sid = entry.stream_sid or entry.call_sid
    where = join(" on ", code(sid)) if sid else EMPTY
    happened = join(
        paragraph(strong(entry.name), where), *map(paragraph, filter(None, [entry.text]))
    )
    return (entry.code, entry.level, join(happened, message, _list_objections(entry.objections)))


def show_call_report(report: CallReport) -> Html:
    """One simulated call: its numbers, its objections, and a player for what was heard."""
    from twistream_kit.simulator.report import SIMULATOR_WAS_LATE, describe_call

    values: dict[str, object] = {
        "server": code(report.url),
        "verdict": strong("fine" if report.ok else "something was objected to"),
        **describe_call(report),
    }
    if not report.believable:
        values["timing"] = join(values["timing"], ". ", SIMULATOR_WAS_LATE, ".")
    found = [
        join(f"{times} × ", _show_verdict(objection), _show_reasons(objection))
        for objection, times in report.objections.items()
    ]
    logged = _show_entries(report.debugger) if report.debugger else EMPTY
    return join(
        pairs(values, caption="A simulated call"), bullets(found), logged, show_clip(report.heard)
    )


DISPLAYS: dict[tuple[str, str], Callable[[Any], Html]] = {
    ("twistream_kit.audio.wav_report", "WavReport"): show_wav_report,
    ("twistream_kit.audio.clip", "Clip"): show_clip,
    ("twistream_kit.audio.examination", "Examination"): show_examination,
    ("twistream_kit.errors", "Objection"): show_objection,
    ("twistream_kit.errors", "Objections"): show_objections,
    ("twistream_kit.protocol.codes", "TwilioCode"): show_code,
    ("twistream_kit.protocol.marks", "PlayOutcome"): show_play_outcome,
    ("twistream_kit.protocol.marks", "MarkOutcome"): show_mark_outcome,
    ("twistream_kit.capture.capture", "Capture"): show_capture,
    ("twistream_kit.live.preflight.check", "Checks"): show_checks,
    ("twistream_kit.live.settings.settings", "Settings"): show_settings,
    ("twistream_kit.simulator.model.debugger", "Debugger"): show_debugger,
    ("twistream_kit.simulator.model.debugger", "DebuggerEntry"): show_debugger_entry,
    ("twistream_kit.simulator.report", "CallReport"): show_call_report,
}
"""Where each displayed class is defined, under what name, and what shows it."""
