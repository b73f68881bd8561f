"""Where a report is kept."""

from __future__ import annotations

import pytest

from twistream_kit.errors import SettingsError
from twistream_kit.simulator.report import files_for


@pytest.mark.parametrize("name", ["call.wav", "call.jsonl", "call.json"])
def test_a_file_of_a_known_kind_is_written_alone(tmp_path, name):
    assert files_for(tmp_path / name) == [tmp_path / name]


def test_a_folder_gets_all_three_whether_it_is_there_or_not(tmp_path):
    names = ["heard.wav", "messages.jsonl", "report.json"]
    (tmp_path / "calls.v2").mkdir()
    for folder in (tmp_path, tmp_path / "new", tmp_path / "calls.v2"):
        assert files_for(folder) == [folder / name for name in names]


def test_another_kind_and_a_folder_that_is_not_there_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(SettingsError, match=r"call\.mp3.*ends in \.wav, \.jsonl or \.json"):
        files_for(tmp_path / "call.mp3")
    with pytest.raises(SettingsError, match=r"missing is not a folder\. Make it first\."):
        files_for(tmp_path / "missing" / "call.wav")
