"""How results look in a notebook: HTML beside the text that every ``repr`` already tells.

No other module makes the HTML of a result; widgets have their own.  The root package names the
classes of `DISPLAYS` to IPython without importing them or this module; the first result that is
shown brings it in.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twistream_kit.diagnosis.load_figure import say_plainly
from twistream_kit.errors import Objection, Objections, WrongType
from twistream_kit.listing import Series
from twistream_kit.notebook.display.handles import HANDLES
from twistream_kit.notebook.display.html import (
    EMPTY,
    Html,
    badge,
    bullets,
    code,
    fold,
    join,
    pairs,
    paragraph,
    player,
    strong,
    table,
)
from twistream_kit.notebook.display.recording import show_long_sound, show_recording
from twistream_kit.notebook.display.rows import (
    ROWS,
    draw_meter,
    find_columns,
    list_objections,
    set_code,
    show_reasons,
    show_row,
    show_rows,
    show_verdict,
)
from twistream_kit.notebook.display.values import VALUES
from twistream_kit.protocol.codes import TwilioCode
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome, say_what_next

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from twistream_kit.audio.clip import Clip
    from twistream_kit.audio.examination import Examination
    from twistream_kit.audio.wav_report import WavReport
    from twistream_kit.capture.capture import Capture
    from twistream_kit.capture.replay import Playback
    from twistream_kit.capture.summary import CaptureSummary
    from twistream_kit.diagnosis.explain import Explanations
    from twistream_kit.diagnosis.files import Mistakes
    from twistream_kit.diagnosis.load import LoadReport
    from twistream_kit.diagnosis.soak import SoakReport
    from twistream_kit.diagnosis.turns import Turns
    from twistream_kit.listing import Listing
    from twistream_kit.live.preflight.check import Checks
    from twistream_kit.live.settings.settings import Settings
    from twistream_kit.live.stream.state import Playing
    from twistream_kit.pending import Pending
    from twistream_kit.protocol.service_codes import ServiceCode
    from twistream_kit.simulator.caller import Script
    from twistream_kit.simulator.fault_report import FaultReport
    from twistream_kit.simulator.model.debugger import Debugger, DebuggerEntry
    from twistream_kit.simulator.phone import Phone
    from twistream_kit.simulator.report import CallReport

MOST_PLAYBACKS = 100
"""More rows than this nobody reads, and a notebook keeps them all."""

_UNITS = {"ms": "ms", "nt": "%"}
"""The unit of a limit, by the end of its name."""

MOST_REASONS = 10
"""Of more reasons for which calls failed, the display has the most frequent."""

_OF_REPORT = "report.capture.recording"

EXACT_SECONDS = 60
"""A player holds its sound, 21 kB for each second, and stays in the notebook's file; a longer one
holds it as Opus, 1 kB for each second."""

MOST_PLAYED_SECONDS = 1800
"""Of more than this a player holds the beginning: as Opus it takes 2 MB."""

MOST_PLAYED_BYTES = 4_000_000
"""What the two players together may weigh in a notebook, before base64: 20 s of 44.1 kHz stereo."""


def render_html(result: object) -> str:
    """Return the HTML of a public result.

    Raises:
        TypeError: If it is of no class named in `DISPLAYS`.
    """
    show = find_display(result)
    if show is None:
        message = f"{type(result).__name__} has no display of its own; repr(result) describes it"
        raise WrongType(message)
    return Html(show(result))


def find_display(result: object) -> Callable[[Any], Html] | None:
    """Return what shows a result of this class, or None."""
    found = (DISPLAYS.get((kind.__module__, kind.__qualname__)) for kind in type(result).__mro__)
    return next((show for show in found if show is not None), None)


def render_png(figure: Figure) -> bytes:
    """Draw a figure, as a cell shows it without pyplot having been imported."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def show_wav_report(report: WavReport) -> Html:
    """A table of the header's fields, byte by byte, and the verdict under it."""
    caption = f"{report.name or 'WAV'}: {report.header_bytes} bytes of header"
    return join(_show_all(report.fields, caption), paragraph(strong(report.verdict)))


def _show_all(things: Sequence[object], caption: str) -> Html:
    """A table of all `things`, however many; there is one or more."""
    columns = find_columns(things[0])
    return table(columns.heads, map(columns.cells, things), caption=caption)


def show_clip(clip: Clip) -> Html:
    """A player, and how long the sound is."""
    text = f"{clip.name or 'clip'}: {clip.seconds:.2f} s, {len(clip.payload)} bytes of PCMU"
    if clip.clipped:
        text += f", {clip.clipped} samples clipped"
    if not clip.payload:
        return pairs({"sound": text}, caption="A clip")
    name = code(clip.name) if clip.name else "clip"
    if clip.seconds <= EXACT_SECONDS:
        return join(player(clip.samples(), 8000, name), paragraph(text))
    held = ", all of it" if clip.seconds <= MOST_PLAYED_SECONDS else ""
    held = held or f", the first {MOST_PLAYED_SECONDS // 60} minutes"
    text += f"; the player holds it as Opus{held}; clip.save(path) writes it as it is"
    return join(show_long_sound(clip.payload[: MOST_PLAYED_SECONDS * 8000], name), paragraph(text))


def show_examination(examination: Examination) -> Html:
    """A table of findings, the verdict, and players for before, after and the header's click."""
    return join(
        _show_all(examination.findings, examination.heading),
        paragraph(strong(f"{examination.verdict}.")),
        _show_players(examination),
    )


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


def show_objections(objections: Sequence[Objection]) -> Html:
    """What a review returns: the objections, or that there are none."""
    return show_rows(objections, "What is wrong" if objections else repr(Objections()))


def show_mistakes(mistakes: Mistakes) -> Html:
    """What a review of a file or a call returns: each mistake with its place."""
    heading = f"{mistakes.reviewed}: " if mistakes.reviewed else ""
    return show_rows(mistakes, heading + ("what is wrong" if mistakes else "nothing to object to"))


def show_listing(listing: Listing[Any] | Series[Any]) -> Html:
    """A list or tuple of results: a row for each."""
    number = "no" if not listing else len(listing)
    return show_rows(listing, f"{number} {listing.what}")


def show_code(known: TwilioCode) -> Html:
    """A code of Twilio's: what it means, what is behind it, what to do."""
    link = Html(f'<a href="{known.url}" target="_blank" rel="noopener">Twilio on {known.code}</a>')
    values: dict[str, object] = {
        "level": badge(known.level),
        "meaning": known.meaning,
        "usual causes": bullets(known.causes),
        "What to do": known.remedy,
        "more": link,
    }
    found = {name: value for name, value in values.items() if value}
    return pairs(found, caption=f"{known.code} {known.name}")


def show_service_code(known: ServiceCode) -> Html:
    """A number of another service: whose it is, what it means, what to do."""
    logged = f"Twilio logs {known.twilio} where your server is the cause" if known.twilio else ""
    values = {"meaning": known.meaning, "at Twilio": logged, "What to do": known.fix}
    found = {name: value for name, value in values.items() if value}
    return pairs(found, caption=f"{known.title} (not a code of Twilio's)")


def show_explanations(codes: Explanations) -> Html:
    """All codes of a text, one below the other."""
    return join(
        *(
            show_code(code) if isinstance(code, TwilioCode) else show_service_code(code)
            for code in codes
        )
    )


def show_codes(codes: Mapping[int, TwilioCode]) -> Html:
    """All codes, each in a row."""
    return _show_all(list(codes.values()), "Twilio's codes")


def show_pending(pending: Pending[Any]) -> Html:
    """Whether it is done, and with what."""
    return _show_wait(pending, {})


def show_playing(playing: Playing) -> Html:
    """How much of it was heard by now, and how it ended."""
    heard = f" {playing.heard_ms} of {playing.total_ms} ms"
    return _show_wait(playing, {"heard": join(draw_meter(playing), heard)})


def _show_wait(pending: Pending[Any], values: Mapping[str, object]) -> Html:
    title = type(pending).__name__
    if not pending.done():
        return pairs({"state": "pending", **values}, caption=title)
    error = pending.exception(0)
    if error is not None:
        failed = f"{type(error).__name__}: {error}"
        return pairs({"state": "failed", **values, "error": failed}, caption=title)
    result = pending.result(0)
    show = find_display(result)
    if show is None:
        text = code(repr(result), breakable=True)
        return pairs({"state": "done", **values, "result": text}, caption=title)
    if isinstance(result, PlayOutcome | MarkOutcome) and (next_step := say_what_next(result)):
        values = {**values, "what next": next_step}
    return join(pairs({"state": "done", **values}, caption=title), show(result))


def show_phone(phone: Phone) -> Html:
    """Its number, what it does, and players for what it heard and what its mailbox recorded."""
    values: dict[str, object] = {
        "number": phone.number,
        "state": phone.state,
        "when it rings": phone.answers,
        "its mailbox": "" if phone.mailbox is None else phone.mailbox,
        "how its last call ended": phone.last_end,
        "keys heard": code(phone.keys_heard) if phone.keys_heard else "",
        "what was read to it": bullets(phone.transcript),
    }
    found = {name: value for name, value in values.items() if value}
    shown = pairs(found, caption="A telephone")
    heard, recorded = phone.heard, phone.recorded
    return join(
        shown,
        show_clip(heard) if heard.payload else "",
        show_clip(recorded) if phone.mailbox is not None else "",
    )


def show_capture(capture: Capture) -> Html:
    """The recording of a call, then its figures."""
    return join(show_recording(capture.recording), _show_capture_figures(capture))


def _show_capture_figures(capture: Capture) -> Html:
    """One call in numbers, each timing with what was measured, and what became of each sound."""
    found = capture.summary()
    return join(show_capture_summary(found), _show_playbacks(found.playbacks))


def show_figures(thing: object) -> Html:
    """What stands below the player of a call: all that its display has, but for the recording.

    Args:
        thing: A `Capture`, a `Recording` or a `CallReport`.
    """
    found = (_FIGURES.get((kind.__module__, kind.__qualname__)) for kind in type(thing).__mro__)
    return next((Html(show(thing)) for show in found if show is not None), EMPTY)


def show_capture_summary(found: CaptureSummary) -> Html:
    """The same without the sounds, which its repr leaves out too."""
    values: dict[str, object] = {
        "stream": code(found.stream_sid or "(no name)"),
        "length": f"{found.seconds:.2f} s",
        **found.describe_counts(),
    }
    numbers = pairs(values, caption="A captured call")
    return join(numbers, _show_all(found.list_figures(), "Timing"))


def _show_playbacks(playbacks: Sequence[Playback]) -> Html:
    if not playbacks:
        return EMPTY
    more = len(playbacks) - MOST_PLAYBACKS
    few = f"What was sent; {more} more are in capture.playbacks()"
    return _show_all(playbacks[:MOST_PLAYBACKS], few if more > 0 else "What was sent")


def show_turns(measured: Turns) -> Html:
    """Who spoke when, and the figures; folded, what each is and how far it may be off."""
    caption = f"Turns of a call of {measured.seconds:.1f} s"
    rows = show_rows(measured.rows, caption if measured.rows else f"{caption}: nobody spoke")
    return join(
        rows,
        table(("figure", "value"), _list_times(measured), caption="Times"),
        bullets(strong(fault) for fault in measured.describe_faults()),
        fold(
            "What was measured, and how exact it is",
            pairs(measured.definitions, caption="What was measured"),
            paragraph(f"How exact: {measured.uncertainty}."),
        ),
    )


def _list_times(measured: Turns) -> Iterator[Sequence[object]]:
    for figure in measured.figures:
        yield code(figure.name), figure.describe().replace(" ms", "\N{NO-BREAK SPACE}ms")
    is_tried = measured.is_sound_tried or measured.false_barge_ins
    yield code("false_barge_ins"), measured.false_barge_ins if is_tried else "not tried"
    yield code("cleared"), measured.cleared
    cut_off = f"{measured.cut_off_ms:.0f}\N{NO-BREAK SPACE}ms" if measured.cut_off_ms else "none"
    yield code("cut_off_ms"), cut_off


def show_checks(checks: Checks) -> Html:
    """What a preflight found: one row each, with what follows and what to do."""
    found = show_rows(checks, "Before the call")
    return join(found, paragraph(strong(checks.verdict)))


def show_settings(settings: Settings) -> Html:
    """What is set and where it came from, secrets unseen, and what a real call still needs."""
    rows = [(code(name), value, source) for name, value, source in settings.rows()]
    heads = ("setting", "value", "from")
    needs = join("Still missing for a real call: ", code(", ".join(settings.missing)))
    verdict = strong("Ready for a real call.") if settings.ready else needs
    return join(
        table(heads, rows, caption="Settings" if rows else "Settings: none"), paragraph(verdict)
    )


def show_debugger(debugger: Debugger) -> Html:
    """What Twilio's console would show, and under it what no console would."""
    logged = _show_entries(debugger[:])
    if not debugger.unlogged:
        return logged
    return join(logged, show_rows(debugger.unlogged, "What Twilio would not log"))


def _show_entries(entries: Sequence[DebuggerEntry]) -> Html:
    from twistream_kit.simulator.model.debugger import NOTHING_LOGGED

    nothing = f"{NOTHING_LOGGED.capitalize()}."
    return show_rows(entries, "What Twilio's console shows" if entries else nothing)


def show_call_report(report: CallReport) -> Html:
    """The recording of a simulated call, then what the caller got and why, and the numbers."""
    recording = show_recording(report.capture.recording, of=_OF_REPORT)
    return join(recording, _show_report_figures(report))


def _show_report_figures(report: CallReport) -> Html:
    from twistream_kit.simulator.report import describe_call

    found = [
        join(f"{times} × ", show_verdict(objection), show_reasons(objection))
        for objection, times in report.objections.items()
    ]
    entries = [_drop_shown_objections(entry, report.objections) for entry in report.debugger]
    logged = _show_entries(entries) if entries else EMPTY
    acts = show_rows(report.acts, "What the caller did") if report.acts else EMPTY
    return join(
        paragraph(_describe_lateness(report)) if report.latency_ms else EMPTY,
        paragraph(strong(f"{report.headline[0].upper()}{report.headline[1:]}")),
        bullets(found),
        pairs(describe_call(report), caption="A simulated call"),
        acts,
        logged,
    )


def _describe_lateness(report: CallReport) -> Html:
    """Say of the recording, which is Twilio's side, how the caller's ear differs from it."""
    return join(
        "The recording and the picture are Twilio's side: the sound reached the caller's ear "
        f"{report.latency_ms:g} ms later, as the turns count it. ",
        code("report.heard"),
        " is what the ear got.",
    )


def _drop_shown_objections(entry: DebuggerEntry, shown: Collection[Objection]) -> DebuggerEntry:
    """Return an entry of the console without the objections that stand above it already."""
    if not entry.objections or any(each not in shown for each in entry.objections):
        return entry
    fields = ", ".join(dict.fromkeys(each.field for each in entry.objections if each.field))
    text = f"What is wrong with it stands above{': ' * bool(fields)}{fields}."
    without = Series[Objection].of((), "objections")
    return replace(entry, text=f"{entry.text} {text}".strip(), objections=without)


def show_load_report(report: LoadReport, *, in_shell: bool = False) -> Html:
    """What many calls have shown: verdict, limits, times, failures, and the callers' own part.

    Args:
        report: The report.
        in_shell: Whether it is read where there is no Python to ask for more: it has all reasons.
    """
    about = report.describe(in_shell=in_shell)
    del about["verdict"]
    limits = [
        (code(name), f"{say_plainly(report.limits[name])} {_UNITS[name[-2:]]}", failure or "kept")
        for name, failure in report.list_cases().items()
    ]
    reasons = report.reasons
    most = len(reasons) if in_shell else MOST_REASONS
    few = f"Calls that failed: {MOST_REASONS} of {len(reasons)} reasons, all in report.reasons"
    caption = "Calls that failed" if len(reasons) <= most else few
    return join(
        paragraph(strong(f"{len(report.calls)} calls at once: {report.verdict}")),
        list_objections((*report.invalid, *report.notes)),
        table(("limit", "value", "result"), limits, caption="Limits") if limits else EMPTY,
        pairs(about, caption="Many calls"),
        show_rows(reasons[:most], caption) if reasons else EMPTY,
        show_rows(report.shares, "Where the calls were made") if report.shares else EMPTY,
    )


def show_soak_report(report: SoakReport, *, in_shell: bool = False) -> Html:
    """What a server has done for a long time: verdict, growth, cases, faults, figures.

    Args:
        report: What was measured.
        in_shell: Whether it is read where there is no Python to ask for more.
    """
    about = report.describe(in_shell=in_shell)
    for name in ("verdict", *(each.name for each in report.growth)):
        del about[name]
    cases = [(code(name), problem or "kept") for name, problem in report.list_cases().items()]
    cases += [(code(name), said) for name, said in report.list_open().items()]
    failures = [(times, why) for why, times in report.failures.items()]
    return join(
        paragraph(strong(f"{report.seconds / 60:.1f} minutes of calls: {report.verdict}")),
        list_objections(report.notes),
        show_rows(report.growth, "What the process keeps") if report.growth else EMPTY,
        table(("what", "result"), cases, caption="Limits, growth and faults"),
        pairs(about, caption="Calls over a long time"),
        table(("calls", "why"), failures[:10], caption="Calls that failed") if failures else EMPTY,
        show_rows(report.faults, "Faults beside the calls") if report.faults else EMPTY,
    )


def show_fault_report(report: FaultReport) -> Html:
    """What a server survives: a row for each fault, and below what to do about the red ones."""
    repairs = [
        join(
            strong(row.name),
            f": {row.title}",
            bullets(
                [
                    f"A good server: {row.good}",
                    set_code(f"Repair: {row.repair}"),
                    row.source,
                    *([set_code(f"But: {row.remark}")] if row.remark else []),
                ]
            ),
        )
        for row in report.rows
        if not row.ok
    ]
    return join(
        paragraph(strong(report.headline)),
        *(paragraph(note) for note in report.notes),
        show_rows(report.rows, "Faults"),
        bullets(repairs),
        paragraph(f"Order: {report.order}.") if report.order else EMPTY,
        paragraph(f"An ordinary call: {report.ordinary}. Timing: {report.timing}"),
    )


def show_script(script: Script) -> Html:
    """The steps of a script, each in a row."""
    return show_rows(script.steps, repr(script).partition("\n")[0])


_FIGURES: dict[tuple[str, str], Callable[[Any], Html]] = {
    ("twistream_kit.capture.capture", "Capture"): _show_capture_figures,
    ("twistream_kit.simulator.report", "CallReport"): _show_report_figures,
}
"""What a call shows below its recording."""


DISPLAYS: dict[tuple[str, str], Callable[[Any], Html]] = {
    **dict.fromkeys(ROWS, show_row),
    **VALUES,
    **HANDLES,
    ("twistream_kit.listing", "Listing"): show_listing,
    ("twistream_kit.listing", "Series"): show_listing,
    ("twistream_kit.pending", "Pending"): show_pending,
    ("twistream_kit.live.stream.state", "Playing"): show_playing,
    ("twistream_kit.live.stream.stream", "Speech"): show_playing,
    ("twistream_kit.audio.wav_report", "WavReport"): show_wav_report,
    ("twistream_kit.audio.clip", "Clip"): show_clip,
    ("twistream_kit.audio.examination", "Examination"): show_examination,
    ("twistream_kit.errors", "Objections"): show_objections,
    ("twistream_kit.diagnosis.files", "Mistakes"): show_mistakes,
    ("twistream_kit.diagnosis.turns", "Turns"): show_turns,
    ("twistream_kit.diagnosis.load", "LoadReport"): show_load_report,
    ("twistream_kit.diagnosis.soak", "SoakReport"): show_soak_report,
    ("twistream_kit.protocol.codes", "TwilioCode"): show_code,
    ("twistream_kit.protocol.codes", "_CodesOfFile"): show_codes,
    ("twistream_kit.protocol.service_codes", "ServiceCode"): show_service_code,
    ("twistream_kit.diagnosis.explain", "Explanations"): show_explanations,
    ("twistream_kit.capture.capture", "Capture"): show_capture,
    ("twistream_kit.capture.recording", "Recording"): show_recording,
    ("twistream_kit.capture.summary", "CaptureSummary"): show_capture_summary,
    ("twistream_kit.live.preflight.check", "Checks"): show_checks,
    ("twistream_kit.live.settings.settings", "Settings"): show_settings,
    ("twistream_kit.simulator.model.debugger", "Debugger"): show_debugger,
    ("twistream_kit.simulator.phone", "Phone"): show_phone,
    ("twistream_kit.simulator.report", "CallReport"): show_call_report,
    ("twistream_kit.simulator.caller", "Script"): show_script,
    ("twistream_kit.simulator.fault_report", "FaultReport"): show_fault_report,
}
"""Where each displayed class is defined, under what name, and what shows it."""
