from dataclasses import replace
from typing import get_args

import pytest

from support.reports import PUNCTUAL, report_of
from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.sound import SendingTiming
from twistream_kit.errors import Objection, SettingsError
from twistream_kit.simulator.report import CallReport, list_files
from twistream_kit.simulator.stream.client import ENDINGS, EndingReason, StreamEnding

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


def test_a_slow_server_is_believed_only_where_the_simulator_itself_was_punctual(slow):
    assert not report_of(slow).ok
    assert report_of(slow, lateness=LATE).ok
    assert not report_of(Objection(31951, "media", "is bad"), lateness=LATE).ok


def test_no_objections_is_said_only_where_there_are_none(slow):
    assert "no objections" in repr(report_of())
    assert "no objections" not in repr(report_of(slow, lateness=LATE))
    assert "more slowly" in repr(report_of(slow, lateness=LATE))


def test_every_way_in_which_a_stream_ends_has_its_words_in_a_report():
    assert set(ENDINGS) == set(get_args(EndingReason))
    for reason, words in ENDINGS.items():
        assert f"then {words.for_call} (1005)\n" in repr(replace(report_of(), ending=reason))
        assert f"``{reason}``" in CallReport.__doc__
        assert StreamEnding(reason, 1005).in_words.startswith(words.for_server.partition("{")[0])


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
