import html
import re
from dataclasses import replace
from typing import get_args

import pytest

from support.reports import PUNCTUAL, report_of
from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis._sending_timing import SendingTiming
from twistream_kit.errors import Objection, SettingsError
from twistream_kit.notebook.display.display import render_html
from twistream_kit.notebook.plots.call import plot_timeline
from twistream_kit.protocol.ending import Cause, EndCause
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.report import CallReport, describe_call, list_files
from twistream_kit.simulator.stream.ending import EndingReason, StreamEnding

LATE = replace(PUNCTUAL, max_ms=300.0, late=50)


@pytest.fixture(scope="module")
def slow():
    """What a review says of sound that comes more slowly than it is."""
    timing = SendingTiming()
    loud = Clip.tone(440, 0.02).payload
    for number in range(200):
        if found := timing.note_sent(loud, 0.05 * number):
            return found
    return pytest.fail("the timing was not objected to")


def test_what_twilio_logs_or_the_ear_minds_is_not_fine():
    assert report_of().ok
    assert report_of(Objection(None, "media", "is odd", severity="note")).ok
    assert not report_of(Objection(None, "media", "is odd", severity="warning")).ok
    assert not report_of(Objection(31951, "media", "is bad")).ok


@pytest.mark.parametrize(
    ("there", "back", "said"),
    [
        (None, None, None),
        (None, Line(), None),
        (Line(), Line(), "Line('clean'): changes nothing"),
        (Line(loss=0), None, "Line('clean'): changes nothing"),
        (Line(gain_db=-6), Line(), "Line('clean', gain_db=-6.0): 6 dB softer; back unchanged"),
    ],
)
def test_report_names_the_line_that_was_given_and_has_clean_sound_with_each(there, back, said):
    report = report_of(line=there, line_back=back)
    assert report.clean == report.heard
    assert describe_call(report).get("line") == said


def test_recording_and_timeline_say_how_much_later_the_ear_hears():
    over = report_of(latency_ms=480)
    shown = re.sub(r"<[^>]*>", "", render_html(over))
    assert "the sound reached the caller's ear 480 ms later" in html.unescape(shown)
    assert "the ear got" not in render_html(report_of())
    assert plot_timeline(over).axes[-1].get_xlabel().endswith("caller's ear 480 ms later")
    assert plot_timeline(report_of()).axes[-1].get_xlabel() == "time since the stream began (s)"


def test_a_slow_server_is_believed_only_where_the_simulator_itself_was_punctual(slow):
    assert not report_of(slow).ok
    assert report_of(slow, lateness=LATE).ok
    assert not report_of(Objection(31951, "media", "is bad"), lateness=LATE).ok


def test_a_late_simulator_says_which_times_it_makes_wrong_and_by_how_much():
    said = repr(report_of(lateness=LATE))
    [timing] = [line for line in said.splitlines() if line.startswith("  timing")]
    assert "300.0 ms (worst)" in timing
    assert "such as that of an answer, may be wrong by as much as the worst frame was" in timing
    assert "what the caller does by itself is counted in frames and right" in timing
    assert "was late" not in repr(report_of())


def test_no_objections_is_said_only_where_there_are_none(slow):
    assert "no objections" in repr(report_of())
    assert "no objections" not in repr(report_of(slow, lateness=LATE))
    assert "more slowly" in repr(report_of(slow, lateness=LATE))


def test_every_cause_has_the_same_words_in_a_report_and_in_the_debugger():
    reasons = set()
    for cause in get_args(Cause):
        ended = EndCause(cause, 1011, "too late")
        ending = StreamEnding(ended, 1011)
        reasons.add(ending.reason)
        report = report_of(ended=ended, ending=ending.reason)
        assert repr(report).startswith(f"Heard 0.1 s of sound, then {ended.in_words}\n")
        assert ending.in_words == ended.in_words == report.to_dict()["ended"]["in_words"]
        assert f"``{ending.reason}``" in CallReport.__doc__
    assert reasons == set(get_args(EndingReason))


def test_a_call_in_which_nothing_was_heard_is_ok_only_where_that_is_expected():
    silent = report_of(first_sound_ms=None, heard=Clip.silence(0.1))
    assert not silent.ok
    assert (silent.verdict, silent.headline) == (
        "not ok",
        "heard nothing, then the caller hung up",
    )
    assert replace(silent, expect_silence=True).ok


def test_the_first_line_says_how_much_of_the_sound_was_heard():
    assert report_of(lost_seconds=2.4).headline == "heard 0.1 of 2.5 s, then the caller hung up"
    cleared = report_of(cleared_seconds=1.9)
    assert cleared.headline == "heard 0.1 of 2.0 s (1.9 s were cleared), then the caller hung up"
    assert cleared.ok


def test_less_than_a_tenth_of_a_second_is_said_in_milliseconds():
    short = report_of(heard=Clip.tone(440, 0.01) + Clip.silence(0.99))
    assert short.headline == "heard 20 ms of sound, then the caller hung up"
    assert "20 ms of sound, the first after" in repr(short)
    assert replace(short, lost_seconds=2.0).headline.startswith("heard 20 ms of 2.0 s, then")
    assert replace(short, lost_seconds=0.02).headline.startswith("heard 20 of 40 ms, then")
    none = report_of(first_sound_ms=None, heard=Clip.silence(1.0), cleared_seconds=2.0)
    assert none.headline.startswith("heard nothing of 2.0 s (2.0 s were cleared), then")


def test_the_seconds_that_were_heard_are_those_of_sound_and_not_of_the_call():
    read = report_of(heard=Clip.tone(440, 0.5) + Clip.silence(2.5)).to_dict()
    assert (read["heard_seconds"], read["sound_seconds"], read["recording_seconds"]) == (
        0.5,
        0.5,
        3,
    )
    read = report_of(first_sound_ms=None, heard=Clip.silence(3.0)).to_dict()
    assert (read["heard_seconds"], read["recording_seconds"]) == (0, 3)


def test_a_report_says_why_there_are_more_media_than_frames():
    words = "(worst); the first frame brings 3 media, as at Twilio"
    assert words in repr(report_of(sent={"media": 52, "stop": 1}))
    assert "brings" not in repr(report_of(sent={"start": 1, "media": 2}))


def test_a_caller_who_hung_up_after_silence_is_said_in_text_html_and_json():
    report = report_of(seconds=7.2, quiet_seconds=3.0)
    words = "by the simulated caller, who hangs up after 3 s of silence; seconds=20 (--seconds 20)"
    assert words in repr(report)
    assert words in html.unescape(render_html(report))
    assert words in report.to_dict()["description"]["ended"]
    assert report.to_dict()["quiet_seconds"] == 3
    assert "ended" not in report_of().to_dict()["description"]


def test_text_html_and_json_say_the_same():
    objection = Objection(None, "media", "is odd", "Nobody minds", "Send another", "note")
    report = report_of(objection, lateness=LATE, lost_seconds=2.4)
    read = report.to_dict()
    shown = html.unescape(re.sub(r"<[^>]*>", " ", render_html(report)))
    plain = " ".join(shown.split())
    for text in (read["headline"][1:], *read["description"].values(), *read["description"]):
        assert text in repr(report)
        assert text in plain
    [found] = read["objections"]
    assert f"1 × note: {found['text']}" in repr(report)
    for key in ("problem", "consequence", "fix"):
        assert found[key] in plain


def test_what_an_objection_does_not_have_leaves_no_gap():
    whole = "sound was lost. Wait for the mark."
    report = report_of(Objection(None, "", "sound was lost", "", "Wait for the mark"))
    shown = render_html(report)
    assert f"1 × error: {whole}" in repr(report)
    assert "></code>" not in shown
    assert "1 × ✖ error sound was lost" in re.sub(r"<[^>]*>", "", shown)
    coded = report_of(Objection(31951, "media", "is bad"))
    assert "1 × error (31951): media is bad" in repr(coded)


@pytest.mark.parametrize("name", ["call.wav", "call.jsonl", "call.json"])
def test_a_file_of_a_known_kind_is_written_alone(tmp_path, name):
    assert list_files(tmp_path / name) == [tmp_path / name]


def test_a_folder_gets_all_three_whether_it_is_there_or_not(tmp_path):
    names = ["heard.wav", "messages.jsonl", "report.json"]
    (tmp_path / "calls.v2").mkdir()
    for folder in (tmp_path, tmp_path / "new", tmp_path / "calls.v2"):
        assert list_files(folder) == [folder / name for name in names]


def test_another_kind_and_a_folder_that_is_not_there_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(SettingsError, match=r"call\.mp3.*ends in \.wav, \.jsonl or \.json"):
        list_files(tmp_path / "call.mp3")
    with pytest.raises(SettingsError, match=r"missing is not a folder\. Make it first\."):
        list_files(tmp_path / "missing" / "call.wav")
