"""How results look in a notebook."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from html import escape, unescape

import numpy as np
import pytest
import soundfile

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.explain import explain
from twistream_kit.diagnosis.message import review_message
from twistream_kit.errors import Objection, Objections
from twistream_kit.live.server.stream_app import StreamApp
from twistream_kit.live.settings.settings import settings
from twistream_kit.notebook.display import display
from twistream_kit.notebook.display.display import EXACT_SECONDS, render_html
from twistream_kit.pending import Pending, fail, fulfil
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.marks import WHAT_NEXT, MarkOutcome, PlayOutcome
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.report import SIMULATOR_WAS_LATE, CallReport, describe_call
from twistream_kit.simulator.stream.pacer import LatenessReport

SID = "MZ" + "0" * 32
EMPTY = f'{{"event":"media","streamSid":"{SID}","media":{{"payload":""}}}}'
WRONG = f'{{"event":"media","streamSid":"{SID}","media":{{"playload":"<script>"}}}}'


@pytest.fixture
def report(tmp_path):
    return inspect_wav(Clip.tone(440, 0.1).save(tmp_path / "tone.wav"))


@pytest.fixture
def capture():
    capture = Capture(SID)
    capture.append(from_twilio.Connected(), 0.0)
    capture.append(to_twilio.Media(SID, b"\x20" * 8000), 0.1)
    capture.append(to_twilio.Mark(SID, "<b>greeting"), 0.1)
    capture.append(from_twilio.Mark(SID, "<b>greeting"), 1.1)
    return capture


@pytest.fixture
def debugger():
    debugger = Debugger()
    objections = tuple(review_message(WRONG, stream_sid=SID))
    debugger.log(
        31951, "A message was dropped.", stream_sid=SID, message=WRONG, objections=objections
    )
    return debugger


@pytest.fixture
def call_report(capture, debugger):
    late = dict.fromkeys(LatenessReport.__dataclass_fields__, 0)
    return CallReport(
        url="ws://127.0.0.1:1/<script>",
        stream_sid=SID,
        seconds=2.0,
        ended=EndCause("caller-hung-up"),
        ending="stopped",
        close_code=1005,
        error_code=None,
        sent={"media": 100, "mark": 1},
        received={"media": 1, "mark": 1},
        objections=Counter(debugger[0].objections),
        debugger=tuple(debugger),
        first_sound_ms=12.0,
        heard=Clip.tone(440, 0.1),
        cleared_seconds=0.0,
        lost_seconds=0.0,
        expect_silence=False,
        lateness=LatenessReport(**late),
        capture=capture,
    )


def test_a_wav_report_shows_every_field_and_the_verdict_under_the_table(report):
    html = render_html(report)
    assert html.count("<tr ") == 1 + len(report.fields)
    table, under = html.split("</table>")
    assert "52 49 46 46" in table
    for heading in ("offset", "bytes (hex)", "field", "value", "meaning"):
        assert f">{heading}</th>" in table
    assert "ready, once the first 58 bytes are left out" in under


def test_a_wav_report_shows_a_body_by_its_size(report):
    assert "800 bytes" in render_html(report)


def cells_of(html: str) -> list[str]:
    """The text of each cell, row by row."""
    cells = re.findall("<td[^>]*>(.*?)</td>|<th scope=.row[^>]*>(.*?)</th>", html)
    return [re.sub("<[^>]*>", "", "".join(cell)) for cell in cells]


def player_of(html: str) -> bytes:
    return base64.b64decode(re.search(r"data:audio/wav;base64,([A-Za-z0-9+/=]+)", html)[1])


def opus_of(html: str) -> bytes:
    return base64.b64decode(re.search(r"data:audio/ogg;base64,([A-Za-z0-9+/=]+)", html)[1])


def test_a_clip_comes_with_a_player_that_holds_its_sound():
    clip = Clip.tone(440, 0.25)
    samples, rate = soundfile.read(io.BytesIO(player_of(render_html(clip))), dtype="int16")
    assert rate == 8000
    assert np.array_equal(samples, decode_ulaw(clip.payload))
    assert "440 Hz: 0.25 s, 2000 bytes of PCMU" in render_html(clip)


def test_the_player_of_a_clip_of_more_than_a_minute_holds_all_of_it_as_opus():
    html = render_html(Clip.tone(440, EXACT_SECONDS + 5))
    samples, rate = soundfile.read(io.BytesIO(opus_of(html)))
    assert (rate, samples.ndim) == (8000, 1)
    assert len(samples) / rate == pytest.approx(EXACT_SECONDS + 5, abs=0.05)
    assert np.abs(samples[-8000:]).max() > 0.1, "its end is there too"
    assert "as Opus, all of it; clip.save(path) writes it as it is" in html
    assert len(html) < 100_000


def test_a_clip_of_hours_is_not_put_into_the_notebook_whole(monkeypatch):
    monkeypatch.setattr(display, "MOST_PLAYED_SECONDS", EXACT_SECONDS)
    html = render_html(Clip.silence(EXACT_SECONDS + 5))
    assert soundfile.info(io.BytesIO(opus_of(html))).frames / 8000 == pytest.approx(60, abs=0.05)
    assert "the first 1 minutes; clip.save(path) writes it as it is" in html


def test_an_empty_clip_has_no_player():
    assert "<audio" not in render_html(Clip(b""))


def test_clipped_samples_are_reported():
    assert "7 samples clipped" in render_html(Clip(b"\x80", "loud", 7))


def test_an_objection_shows_code_field_consequence_and_fix():
    (objection,) = review_message(WRONG.replace("<script>", "AAAA"), stream_sid=SID)
    html = render_html(objection)
    assert cells_of(html)[:2] == ["✖ error", "31951"]
    assert "media.playload" in html
    assert objection.consequence in html
    assert objection.fix in html


def test_a_code_shows_its_causes_and_its_remedy():
    html = render_html(explain(31951))
    assert html.count("<li>") == len(explain(31951).causes)
    assert "What to do" in html
    assert explain(31951).url in html


def test_outcomes_say_how_much_was_heard():
    html = render_html(PlayOutcome("cleared", 420, 4210))
    assert cells_of(html)[:3] == ["cleared", "420", "4210"]
    assert 'value="420"' in html
    assert cells_of(render_html(MarkOutcome("heard", "half", 12)))[:3] == ["half", "heard", "12"]
    lost = PlayOutcome("lost", 0, 5618, cause=EndCause("callee-hung-up"))
    assert cells_of(render_html(lost))[-1] == "the callee hung up"


def test_an_outcome_notes_why_it_was_lost_its_gaps_and_the_remark():
    cause = EndCause("callee-hung-up")
    noted = PlayOutcome("lost", 900, 1200, cause=cause, gaps=2, gap_ms=70, remark="<b> is linear")
    notes = "the callee hung up; 2 gaps, 70 ms in all; <b> is linear"
    assert cells_of(render_html(noted))[-1] == escape(notes)
    next_call = "this stream has ended, server.next_stream() waits for the next call"
    assert repr(noted) == f"<PlayOutcome lost: 900 of 1200 ms heard: {notes}; {next_call}>"
    once = PlayOutcome("heard", 900, 900, gaps=1, gap_ms=30)
    assert cells_of(render_html(once))[-1] == "1 gap, 30 ms in all"
    assert repr(once) == "<PlayOutcome heard: 900 of 900 ms heard: 1 gap, 30 ms in all>"
    assert once == PlayOutcome("heard", 900, 900), "how it ended is compared, and no notes"
    assert PlayOutcome("heard", 900, 900).notes == []


def test_a_stream_application_shows_its_addresses_without_a_password_and_its_streams():
    app = StreamApp(auth_token="0" * 32, public_url="https://me:hidden@example.com/voice")
    html = render_html(app)
    assert ">A stream application</caption>" in html
    assert cells_of(html) == [
        *("streams connect at", "wss://example.com/voice/media"),
        *("public address", "https://example.com/voice"),
        *("signatures", "checked"),
    ]
    app.public_url = None
    assert cells_of(render_html(app))[:4] == [
        *("streams connect at", "nowhere"),
        *("public address", "none"),
    ]


def test_a_speech_is_displayed_as_a_playback_of_what_was_written_so_far(make_call):
    speech = make_call().stream.speak(mark="said")
    speech.write(Clip.tone(440, 1.5).payload)
    html = render_html(speech)
    assert ">Speech</caption>" in html
    assert cells_of(html)[:2] == ["state", "pending"]
    assert re.search(r"> \d+ of 1500 ms<", html)


def test_a_wait_shows_how_it_ended_with_the_display_of_its_result():
    wait = Pending()
    assert cells_of(render_html(wait)) == ["state", "pending"]
    fulfil(wait, PlayOutcome("cleared", 420, 4210))
    assert render_html(wait).endswith(render_html(wait.result()))
    late = Pending()
    fulfil(late, MarkOutcome("lost", "late", 0, cause=EndCause("callee-hung-up")))
    assert cells_of(render_html(late))[2:4] == ["what next", WHAT_NEXT]
    broken = Pending()
    fail(broken, ValueError("no <sound>"))
    assert cells_of(render_html(broken))[2:] == ["error", "ValueError: no &lt;sound&gt;"]


def test_the_debugger_shows_the_message_at_fault_and_what_is_wrong_with_it(debugger):
    html = render_html(debugger)
    assert "31951" in html
    assert "playload" in html
    assert "&lt;script&gt;" in html
    assert ">No errors, no warnings.</caption>" in render_html(Debugger())


def test_the_debugger_shows_what_twilio_would_not_log_under_a_heading_of_its_own():
    debugger = Debugger()
    (objection,) = review_message(EMPTY, stream_sid=SID)
    debugger.note(objection, SID)
    html = render_html(debugger)
    assert "No errors, no warnings." in html
    assert "What Twilio would not log" in html
    assert SID in html
    assert objection.fix in html


def test_an_objection_shows_how_sure_it_is():
    html = render_html(Objections([Objection(None, "media.payload", "is A-law", confidence=0.9)]))
    assert "is A-law (90 % sure)" in html


def test_equal_objections_are_one_row_with_their_count():
    objections = [Objection(31951, "streamSid", "is missing")] * 211
    html = render_html(Objections([*objections, Objection(None, "", "is odd", severity="note")]))
    rows = html.split("<tbody>")[1].count("<tr")
    assert (rows, html.count("(211 ×)"), html.count("×")) == (2, 1, 1)
    assert html.index("✖ error") < html.index("● note")


def test_equal_lines_of_the_console_are_one_row_with_their_count():
    debugger = Debugger()
    for number in range(7):
        debugger.log(31951, stream_sid=f"MZ{number:032x}", text="streamSid is missing")
    debugger.log(31921, stream_sid=SID)
    html = render_html(debugger)
    assert (html.split("<tbody>")[1].count("<tr"), html.count("31951 (7 ×)")) == (2, 1)
    one = Objection(None, "media.payload", "is noise")
    for number in range(3):
        debugger.note(one, stream_sid=f"MZ{number:032x}")
    assert render_html(debugger).count("(3 ×)") == 1


def test_a_debugger_entry_may_hold_a_binary_message(debugger):
    entry = debugger.log(31950, stream_sid=SID, message=b"\x00<script>" * 100)
    html = render_html(entry)
    assert "\\x00&lt;script&gt;" in html
    assert len(html) < 3000


def test_a_capture_shows_its_summary(capture):
    html = render_html(capture)
    assert "&lt;b&gt;greeting heard" in html
    assert "of sound, 1.00 s heard" in html
    assert ">1000</td>" in html  # of the one piece, in ms


def test_a_call_report_shows_numbers_objections_and_what_was_heard(call_report):
    html = render_html(call_report)
    assert "not ok" in html
    before, heard, _ = html.partition("<strong>Heard 0.1 s of sound, then the")
    assert heard
    assert before.startswith('<audio controls preload="metadata" aria-label="sound"')
    assert "1 of 1 returned" in html
    assert "31951</strong> (warning at Twilio)" in html
    for fix in {each.fix for each in call_report.objections}:
        assert html.count(escape(fix)) == 1, "each objection stands once"
    assert "What is wrong with it stands above: media.playload." in html
    seconds = soundfile.info(io.BytesIO(opus_of(html))).frames / 8000
    assert seconds == pytest.approx(call_report.capture.recording.seconds, abs=0.05)


def test_the_displays_of_calls_hold_the_sentences_of_their_texts(call_report, capture):
    late = replace(call_report, lateness=replace(call_report.lateness, max_ms=300.0))
    shown = unescape(render_html(late) + render_html(capture))
    assert SIMULATOR_WAS_LATE in shown
    for sentence in (*describe_call(late).values(), SIMULATOR_WAS_LATE):
        assert sentence in repr(late)
        assert sentence in shown
    for sentence in capture.summary().describe_counts().values():
        assert sentence in repr(capture.summary())
        assert sentence in shown


def in_a_fresh_shell(code: str) -> list[dict[str, str]]:
    """Run `code` in a new IPython; return what each `show(...)` in it would display."""
    program = f"""
    import json, sys
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shown = []
    def show(value):
        bundle, _ = shell.display_formatter.format(value)
        shown.append({{kind: str(text)[:400] for kind, text in bundle.items()}})
    shell.push({{"show": show}})
    result = shell.run_cell({textwrap.dedent(code)!r})
    result.raise_error()
    print(json.dumps(shown))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fresh_shell_shows_results_richly_without_anybody_importing_the_displays(tmp_path):
    path = Clip.tone(440, 0.1).save(tmp_path / "tone.wav")
    early, report, text, code, listed = in_a_fresh_shell(
        f"""
        import sys
        import twistream_kit as kit
        show("twistream_kit.notebook.display.display" in sys.modules)
        show(kit.inspect_wav({str(path)!r}))
        show(kit.load_clip({str(path)!r}))
        show(kit.explain(31951))
        show(kit.review("x"))
        """
    )
    assert early["text/plain"] == "False"
    assert report["text/html"].startswith("<table")
    assert "RIFF" in report["text/plain"]
    assert text["text/html"].startswith("<audio")
    assert "31951" in code["text/html"]
    assert listed["text/html"].startswith("<table")
    assert "not JSON" in listed["text/plain"]


def test_a_fresh_shell_shows_a_figure_as_a_picture_and_without_pyplot():
    figure, pyplot = in_a_fresh_shell(
        """
        import sys
        import twistream_kit as kit
        show(kit.plot_waveform(kit.Clip.tone(440, 0.1)))
        show("matplotlib.pyplot" in sys.modules)
        """
    )
    assert "PNG" in figure["image/png"] or figure["image/png"].startswith("iVBOR")
    assert pyplot["text/plain"] == "False"


def test_settings_show_what_is_set_and_missing_but_no_secret():
    html = render_html(settings(edge="dublin", auth_token="0123456789abcdef" * 2))
    assert "dublin" in html
    assert "argument" in html
    assert "TWILIO_ACCOUNT_SID" in html
    assert "0123456789" not in html
