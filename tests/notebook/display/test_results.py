"""Every result that a public call can give: its repr is a report, its HTML a table or a picture."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import twistream_kit as kit
from tests.support.public import plain_sequences, public_classes
from twistream_kit import from_twilio, to_twilio
from twistream_kit.audio.examination import Finding
from twistream_kit.audio.measure import Spectrum
from twistream_kit.audio.wav_report import Field
from twistream_kit.capture.entry import Entry, OddText, StatusReport
from twistream_kit.capture.replay import Playback
from twistream_kit.capture.summary import Figure, Gap, LateMark, MarkEnding
from twistream_kit.diagnosis._turn_meter import TooSoon
from twistream_kit.diagnosis._turn_reasons import Unsaid
from twistream_kit.diagnosis.explain import Explanations
from twistream_kit.diagnosis.files import Mistake, Mistakes
from twistream_kit.diagnosis.growth import Growth, UsageReading
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadCall, LoadShare
from twistream_kit.diagnosis.load_figure import TIMES
from twistream_kit.diagnosis.slope import Slope
from twistream_kit.diagnosis.soak import SoakFault, SoakWave
from twistream_kit.diagnosis.speech import SpeechDetector
from twistream_kit.diagnosis.turn import Turn
from twistream_kit.diagnosis.turn_figures import TurnFigure
from twistream_kit.errors import Objection, Objections
from twistream_kit.listing import Listing, Series
from twistream_kit.live.inspector.stream import Violation
from twistream_kit.live.stream._reader import Reader
from twistream_kit.live.stream.state import StreamState
from twistream_kit.live.tunnel._provider import StaticAddress
from twistream_kit.notebook.display.display import DISPLAYS, render_html
from twistream_kit.notebook.runtime.background import RunningThings
from twistream_kit.pending import HomeLoop, Pending, fulfil
from twistream_kit.protocol.codes import TWILIO_CODES
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.service_codes import ServiceCode
from twistream_kit.simulator import _step_values, caller
from twistream_kit.simulator.call.call import Progress
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.call.streams import CallStreams
from twistream_kit.simulator.fault_report import FaultRow
from twistream_kit.simulator.line.stream import LineStream
from twistream_kit.simulator.model.debugger import Debugger, DebuggerEntry, Unlogged
from twistream_kit.simulator.stream.pacer import Lateness, LatenessReport, Pacer

EVIL = "<script>alert('x')</script><b>"
"""What a stranger may put into a name, a number, a parameter, a message or a file's name."""

SID, CALL = f"MZ{0:032x}", f"CA{0:032x}"

WITHOUT = {
    kit.StreamControls: "a widget shows itself",
    kit.StreamLog: "a widget shows itself",
    kit.LiveScope: "a widget shows itself",
    kit.PhoneWidget: "a widget shows itself",
    kit.RecordingPlayer: "a widget shows itself",
    kit.Workbench: "a widget shows itself",
    TooSoon: "part of a Turn, which says it in words",
    Unsaid: "part of Turns, whose figures say it in words",
    Handset: "part of a simulated call: its mouth and its ear",
    CallStreams: "part of a simulated call: its side of the sockets",
    Progress: "part of a simulated call: its status callbacks",
    _step_values.Choice: "part of a step, until the seed of the script draws from it",
    _step_values.Range: "part of a step, until the seed of the script draws from it",
    LineStream: "part of a call: the way of one direction's sound",
    to_twilio.MessageEncoder: "a function with its stream: no result of anything",
    to_twilio.MediaReader: "a function with its stream: no result of anything",
    from_twilio.MediaEncoder: "a function with its stream: no result of anything",
}
"""What public names lead to and what is no result, and why; nothing is followed from these."""

AS_WRITTEN = {
    *(from_twilio.Connected, from_twilio.MediaFormat, from_twilio.Start, from_twilio.Media),
    *(from_twilio.Dtmf, from_twilio.Mark, from_twilio.Stop, from_twilio.Unknown),
    *(to_twilio.Media, to_twilio.Mark, to_twilio.Clear),
}
"""Messages: values that are compared field by field, so their repr is how one writes them."""


@pytest.fixture
def capture():
    capture = kit.Capture(EVIL)
    capture.append(from_twilio.Connected(), 0.0)
    capture.append(to_twilio.Media(EVIL, b"\x20" * 8000), 0.1)
    capture.append(to_twilio.Mark(EVIL, EVIL), 0.1)
    capture.append(from_twilio.Mark(EVIL, EVIL), 1.1)
    capture.append(from_twilio.Unknown(EVIL, EVIL), 1.2)
    capture.note_status(1.3, EVIL)
    capture.note_odd(1.4, EVIL)
    return capture


@pytest.fixture
def objection():
    return kit.Objection(31951, EVIL, EVIL, EVIL, EVIL)


TURN = Turn("caller", 1.0, 2.0, EVIL, barge_in_ms=300.0, overlap_ms=300.0)


def media_stream():
    start = from_twilio.Start(SID, f"AC{0:032x}", CALL, custom_parameters={EVIL: EVIL})
    return kit.MediaStream(StreamState(start, HomeLoop("nobody")))


def an_application():
    return kit.StreamApp(auth_token=EVIL, public_url="https://me:hidden@example.com/voice")


def a_tunnel():
    return kit.Tunnel(kit.StreamServer(), StaticAddress("https://example.com"), why_not=EVIL)


def a_call():
    return kit.Call(SimpleNamespace(http_client=None), EVIL, to=EVIL, from_=EVIL, status=EVIL)


def an_inspected_stream(capture):
    stream = kit.InspectedStream(HomeLoop("nobody"), 0.0)
    stream.take("twilio", from_twilio.Start(SID, "AC", CALL).to_json(), 0.0)
    stream.take("server", EVIL, 0.5)
    stream.capture.append(capture.entries[1].message, 0.6)
    return stream


def a_debugger(objection):
    debugger = Debugger()
    logged = {"stream_sid": EVIL, "message": EVIL, "objections": [objection]}
    debugger.log(31951, EVIL, **logged)
    debugger.note(objection, EVIL)
    return debugger


def a_call_report(capture, objection, debugger):
    return kit.CallReport(
        url=f"ws://127.0.0.1:1/{EVIL}",
        stream_sid=EVIL,
        seconds=2.0,
        ended=EndCause("server-closed", 1005, EVIL, EVIL),
        ending="server-closed",
        close_code=1005,
        error_code=None,
        sent={EVIL: 100, "mark": 1},
        received={EVIL: 1, "mark": 1},
        objections=Counter({objection: 2}),
        debugger=debugger[:],
        first_sound_ms=12.0,
        heard=kit.Clip(b"\x20" * 800, EVIL),
        cleared_seconds=0.5,
        lost_seconds=1.0,
        expect_silence=False,
        lateness=LatenessReport(1, 0.0, 0.0, 0.0, 0.0, 0),
        capture=capture,
    )


def a_load_report(objection):
    """Return a report of many calls, and the classes of its parts."""
    call, share = LoadCall(1, 1, 0.0, 2.0, 0, False, EVIL, 80.0), LoadShare(1, EVIL, 7, 1, 0, 0, 0)
    histogram = Histogram([80.0])
    report = kit.LoadReport(
        url=EVIL,
        asked=1,
        seconds=2.0,
        calls=Series.of([call], "calls"),
        shares=Series.of([share], "shares"),
        limits={"failed_percent": 0.0},
        invalid=Series.of([objection], "objections"),
        own_late_ms=histogram,
        echo_idle_ms=histogram,
        echo_loaded_ms=histogram,
    )
    figures = report.first_sound_ms, histogram, Histogram()
    return report, call, share, report.reasons[0], *figures


def a_soak_report(objection):
    """Return the report of a soak, and its parts."""
    reading = UsageReading(1.0, 0, 0, 50.0, 12, 3)
    growth = Growth("memory", "grows", Slope(9, 8, 10), None, 40.0, 50.5, 60.0, 9, 2.0, why=EVIL)
    short = Growth("threads", "too short to tell", None, None, 3, 3, 3, 2, 1.0, why=EVIL)
    wave = SoakWave(1, 0.0, 9.0, 20, 1, EVIL, (EVIL,))
    fault = SoakFault(EVIL, 2, 1, 0, EVIL, EVIL, EVIL)
    histogram = Histogram([80.0])
    report = kit.SoakReport(
        url=EVIL,
        minutes=1.0,
        seconds=60.0,
        at_once=20,
        call_seconds=9.0,
        waves=Series.of([wave], "waves"),
        times=dict.fromkeys(TIMES, histogram),
        late_frames=0.0,
        heard_frames=9,
        failures={EVIL: 1},
        failed_calls=Series.of([], "calls"),
        limits={"failed_percent": 0.0},
        growth=Series.of([growth, short], "growths"),
        readings=Series.of([reading], "readings"),
        samples=Series.of([reading], "readings"),
        process=EVIL,
        faults=Series.of([fault], "faults"),
        fault_scale=0.5,
        notes=Series.of([objection], "notes"),
        ended=EVIL,
        is_interrupted=True,
        own_late_ms=histogram,
        echo_idle_ms=histogram,
        echo_loaded_ms=histogram,
    )
    return report, growth, short, reading, wave, fault, growth.per_hour


FAULT_ROW = FaultRow(EVIL, EVIL, "red", EVIL, EVIL, EVIL, EVIL, 1.0, 30.0, None, EVIL)


def a_fault_report():
    green = FaultRow(EVIL, EVIL, "green", EVIL, EVIL, EVIL, EVIL, next_call_ms=99.5)
    rows = Series.of([FAULT_ROW, green], "faults")
    return kit.FaultReport(EVIL, rows, 0, 1.0, 9.0, EVIL, LatenessReport(1, 0, 0, 0, 0, 0))


async def a_simulated_call(twilio, eventually):
    phone = twilio.phone("+15550100001")
    made = await asyncio.to_thread(
        twilio.client.calls.create,
        to=phone.number,
        from_=twilio.numbers[0],
        twiml=f"<Response><Say>{EVIL.replace('<', '&lt;')}</Say></Response>",
    )
    call = twilio.calls.find(made.sid)
    await eventually(lambda: phone.heard.payload and phone.transcript)
    return phone, call


@pytest.fixture
async def everything(tmp_path, twilio, eventually, capture, objection):
    """An instance of each class that has a display, with markup wherever a stranger's text goes."""
    wav = kit.inspect_wav(kit.Clip.tone(440, 0.1).save(tmp_path / f"{EVIL.replace('/', '')}.wav"))
    examination = kit.examine(kit.Clip(b"\x80" * 800, EVIL))
    debugger = a_debugger(objection)
    stream = media_stream()
    done: Pending[object] = Pending()
    fulfil(done, EVIL)
    phone, call = await a_simulated_call(twilio, eventually)
    mistake = Mistake(objection, 0.5)
    several = Series.of([objection], EVIL)
    message = {"stream_sid": EVIL, "sequence_number": 1}
    return [
        *(wav, wav.fields, Field(0, 1, b"x", EVIL, EVIL, EVIL, EVIL), wav.format),
        *(kit.Clip(b"\x80", EVIL), kit.Clip(b"", EVIL), capture.recording),
        kit.ConvertedFile(Path(EVIL), Path(EVIL), 1.0, 2, missing_seconds=1.0),
        kit.ConvertedFile(Path(EVIL), None, error=EVIL),
        *(examination, Finding(EVIL, "warning", EVIL, EVIL, EVIL), examination.figures),
        *(Spectrum(np.array([500.0]), np.array([1.0])), examination.spectrum_before),
        *(kit.Resampler(8000), kit.VoiceTrigger(), kit.Secret(EVIL)),
        *(kit.Tone("beep", EVIL, (1000.0,), 1.0, 2.0, -12.0), kit.ToneDetector()),
        *(SpeechDetector(), TURN, TurnFigure("barge_in_ms", (300.0,))),
        kit.Turns(Series.of([TURN], "turns"), 9.0, ((3.0, 4.0),), 1, 500.0),
        *a_load_report(objection),
        *a_soak_report(objection),
        *(RunningThings([(EVIL, EVIL)]), RunningThings(), done, Pending()),
        *(twilio, twilio.calls, twilio.pacer, Lateness(), LatenessReport(1, 0, 0, 0, 0, 0)),
        *(Pacer(), twilio.account, kit.SimulatedAccount(type="Trial"), kit.Behaviour(echo=True)),
        kit.Line("mobile", loss=0.05),
        *(phone, call, kit.SimulatedTwilio(), twilio.phone("+15550100009")),
        *(debugger, Debugger(), debugger[0], Unlogged(objection, EVIL)),
        DebuggerEntry(31951, EVIL, "error", EVIL, EVIL, EVIL, EVIL.encode(), several),
        a_call_report(capture, objection, debugger),
        *(FAULT_ROW, a_fault_report()),
        *(caller.listen(), caller.Script([caller.say(kit.Clip(b"\x80", EVIL))], name=EVIL)),
        caller.CallerAct("say", 0, 1, kit.Clip(b"\x80", EVIL), EVIL, EVIL, objection),
        *(kit.StreamServer(), stream, stream.play(b"\x80" * 160, mark="x"), stream.audio()),
        *(
            stream.speak(mark=EVIL),
            kit.PlayOutcome("heard", 20, 20, gaps=1, gap_ms=30, remark=EVIL),
        ),
        EndCause("server-closed", 1000, EVIL, EVIL),
        *(kit.StreamEnd("stop", EndCause("twilio-stopped", detail=EVIL)), Reader(str, None)),
        *(kit.PlayOutcome("cleared", 420, 4210), kit.MarkOutcome("heard", EVIL, 12)),
        an_application(),
        *(kit.ServerProcess([EVIL]), kit.LocalProxy(kit.StreamServer()), a_tunnel()),
        *(kit.Inspector("ws://localhost:1/x"), an_inspected_stream(capture)),
        kit.InspectedEnd("server", 1000, 1000, True, EVIL, EndCause("server-closed", 1000, EVIL)),
        Violation(1.0, "server", several, EVIL),
        *(kit.settings(edge="dublin", auth_token="0" * 32), kit.Settings({})),
        *(kit.Checks([kit.Check(EVIL, False, EVIL, EVIL, EVIL)]), kit.Checks()),
        *(kit.Check("to", True, EVIL), kit.NumberRoute(None, EVIL, kit.StreamServer())),
        *(a_call(), kit.StatusEvent(1.0, EVIL, EVIL, EVIL, 1, {EVIL: EVIL, "StreamError": EVIL})),
        *(capture, capture.entries, capture.entries[:0], kit.Capture(), capture.summary()),
        *(capture.entries[1], Entry(1.0, from_twilio.Unknown(EVIL, EVIL))),
        *(OddText(1.0, EVIL), OddText(1.0, EVIL.encode()), StatusReport(1.0, EVIL)),
        *(Playback(EVIL, 0.1, 0, 10, "lost"), MarkEnding(EVIL, "open")),
        *(Gap(1.0, 0.5), LateMark(EVIL, 1.0, 300.0), Figure(EVIL, EVIL, EVIL)),
        *(objection, Objections([objection]), Objections(), mistake),
        *(Mistakes([mistake], EVIL), Mistakes(reviewed=EVIL)),
        *(Listing.of([mistake, mistake], EVIL), Listing.of([EVIL], EVIL), Series.of([], EVIL)),
        *(kit.explain(31951), TWILIO_CODES, kit.explain(1006)),
        Explanations([kit.explain(31951), ServiceCode("http", 1, EVIL, EVIL, EVIL)]),
        *(from_twilio.Connected(EVIL, EVIL), from_twilio.MediaFormat(EVIL)),
        from_twilio.Start(SID, EVIL, EVIL, (EVIL,), custom_parameters={EVIL: EVIL}),
        *(from_twilio.Media(EVIL, b"\x80" * 160), from_twilio.Dtmf(digit=EVIL, **message)),
        *(from_twilio.Mark(name=EVIL, **message), from_twilio.Stop(EVIL, EVIL, EVIL)),
        from_twilio.Unknown(EVIL, EVIL, EVIL),
        *(to_twilio.Media(EVIL, b"\x80" * 160), to_twilio.Mark(EVIL, EVIL), to_twilio.Clear(EVIL)),
    ]


def key_of(kind):
    return kind.__module__, kind.__qualname__


def test_every_class_behind_the_public_names_has_a_display_or_a_reason():
    found = public_classes(unfollowed=WITHOUT)
    assert len(found) > 70
    shown = {kind for kind in found if key_of(kind) in DISPLAYS}
    assert set(found) - shown == set(WITHOUT)
    assert plain_sequences(shown) == [], "a Listing or a Series says what it holds"


def test_every_displayed_class_exists_under_its_name():
    for module, name in DISPLAYS:
        assert getattr(importlib.import_module(module), name).__module__ == module


def test_the_root_registers_exactly_the_classes_that_have_a_display():
    registered = {(module, name) for module, names in kit._SHOWN.items() for name in names.split()}
    assert registered == set(DISPLAYS)


async def test_every_displayed_class_has_an_example_here(everything):
    assert set(DISPLAYS) - {key_of(type(thing)) for thing in everything} == set()


async def test_every_repr_is_a_report(everything):
    for thing in everything:
        kind = type(thing)
        if kind in AS_WRITTEN:
            continue
        assert " object at 0x" not in repr(thing), kind
        assert kind.__repr__ not in (list.__repr__, tuple.__repr__, object.__repr__), kind
        if dataclasses.is_dataclass(kind) and kind.__name__ not in (
            "Behaviour",
            "Line",
            "SimulatedAccount",
        ):
            first = dataclasses.fields(kind)[0].name
            assert not repr(thing).startswith(f"{kind.__name__}({first}="), kind


async def test_every_display_is_a_table_or_a_picture_or_a_player(everything):
    for thing in everything:
        assert re.search("<table|<svg|<img|<audio", render_html(thing)), thing


async def test_no_display_lets_markup_of_others_through(everything):
    n_escaped = 0
    for thing in everything:
        html = render_html(thing)
        assert "<script" not in html, type(thing)
        assert "<b>" not in html, type(thing)
        n_escaped += "&lt;script&gt;" in html
    assert n_escaped > 60  # of the others nothing comes from a stranger


async def test_no_display_fixes_a_colour_that_a_dark_theme_would_change(everything):
    for thing in everything:
        # Jupyter's variables only, with a fallback that inherits; but for what has its own paper
        # (a severity) and what explains the colours of a picture.
        html = re.sub(r"base64,[A-Za-z0-9+/=]+", "", render_html(thing))
        html = re.sub(r'<span style="background:#\w+;color:#\w+;[^"]*">. \w+</span>', "", html)
        html = re.sub(r'<span style="color:#\w+">■</span>', "", html)
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb\(|background[\w-]*:", html), type(thing)


async def test_no_display_shows_a_secret(twilio):
    html = render_html(twilio) + render_html(kit.Secret("0123456789abcdef"))
    for secret in (twilio.auth_token, twilio.api_secret, "0123456789abcdef"):
        assert secret not in html


def test_a_fresh_kernel_knows_every_class_without_importing_a_display():
    program = """
    import importlib, sys
    from IPython.core.interactiveshell import InteractiveShell
    html = InteractiveShell.instance().display_formatter.formatters["text/html"]
    import twistream_kit as kit
    assert not any(name.startswith("twistream_kit.") for name in sys.modules)
    for module, names in kit._SHOWN.items():
        for name in names.split():
            kind = getattr(importlib.import_module(module), name)
            assert html.lookup_by_type(kind).__module__ == "twistream_kit", kind
    assert not any(name.startswith("twistream_kit.notebook.display") for name in sys.modules)
    print(len(html.type_printers))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) >= len(DISPLAYS)


def test_something_without_a_display_says_so():
    with pytest.raises(TypeError, match="dict has no display of its own"):
        render_html({})


def test_a_subclass_is_displayed_as_what_it_is():
    class Louder(kit.Clip):
        pass

    assert render_html(Louder(b"\x80", "x")) == render_html(kit.Clip(b"\x80", "x"))


def test_a_long_list_shows_its_beginning_and_how_many_there_are():
    gaps = Listing.of([Gap(float(n), 0.5) for n in range(1000)], "gaps")
    assert render_html(gaps).count("<tr ") == 101
    assert "1000 gaps, of which the first 100 are shown" in render_html(gaps)
    assert repr(gaps).splitlines()[100:] == ["… and 900 more gaps"]


def test_faults_show_each_row_and_below_what_to_do_about_a_red_one():
    html = render_html(a_fault_report())
    table, _, repairs = html.partition("</table>")
    assert table.count("<tr ") == 3
    assert "✖ error</span> red" in table
    assert ">green<" in table
    assert ">100<" in table, "the next call"
    assert repairs.count("A good server: ") == repairs.count("Repair: ") == 1


def test_turns_show_who_spoke_when_and_how_exact_that_is():
    html = render_html(kit.Turns(Series.of([TURN], "turns"), 9.0, false_barge_ins=1))
    for said in (
        "Turns of a call of 9.0 s",
        ">1.00<",
        "the server stopped after 300 ms",
        "barge_in_ms",
    ):
        assert said in html
    assert "once the server was stopped by a sound that was not meant to interrupt" in html
    table, _, folded = html.partition("<details>")
    assert "right to ±20 ms" in folded
    assert "from the end of the last audible frame" in folded
    assert ">false_barge_ins<" in table
    assert ">cut_off_ms<" in table
    assert "not tried" not in table
    nobody = render_html(kit.Turns(Series.of((), "turns"), 9.0, is_estimate=True))
    assert "Turns of a call of 9.0 s: nobody spoke" in nobody
    assert "100 to 600 ms" in nobody
    assert "not tried" in nobody


def test_an_invalid_run_says_why_it_is_invalid():
    late = Objection(None, "share 1", "sent its own frames late", "Times may be too long", "Wait")
    shown = render_html(a_load_report(late)[0])
    assert "sent its own frames late" in shown
    assert shown.index("sent its own frames late") < shown.index("Times may be too long")
