"""The folder of the tutorial: what is written, and what is left alone."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from twistream_kit.errors import SettingsError, TwistreamError
from twistream_kit.tutorial import folder as module
from twistream_kit.tutorial.folder import FIRST_NOTEBOOK, fill_folder, find_sources

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb"))
SOUNDS = sorted(f"sample_audio/{path.name}" for path in (ROOT / "sample_audio").glob("*.wav"))
EVERYTHING = sorted([".env.example", *NOTEBOOKS, "sample_audio/README.md", *SOUNDS])


def list_files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_a_new_folder_gets_all_notebooks_and_sounds_byte_for_byte(tmp_path):
    filled = fill_folder(tmp_path / "a" / "new one")
    assert len(NOTEBOOKS) == 7
    assert sorted(filled.written) == list_files(tmp_path / "a" / "new one") == EVERYTHING
    for name in EVERYTHING:
        assert (filled.folder / name).read_bytes() == (ROOT / name).read_bytes()
    assert repr(filled) == f"wrote 21 files into {filled.folder}"


def test_a_second_time_writes_nothing_and_says_so(tmp_path):
    fill_folder(tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in EVERYTHING}
    filled = fill_folder(tmp_path)
    assert (filled.written, filled.kept, filled.replaced) == ([], [], [])
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in EVERYTHING} == before
    assert repr(filled) == f"{tmp_path}: 21 files of this version there already"


def test_a_changed_file_is_kept_and_named_with_what_to_do(tmp_path):
    fill_folder(tmp_path)
    (tmp_path / FIRST_NOTEBOOK).write_text("my own work")
    (tmp_path / "sample_audio" / "reply.wav").unlink()
    filled = fill_folder(tmp_path)
    assert (tmp_path / FIRST_NOTEBOOK).read_text() == "my own work"
    assert filled.kept == [FIRST_NOTEBOOK]
    assert filled.written == ["sample_audio/reply.wav"]
    first, second = repr(filled).splitlines()
    assert first == f"wrote 1 file into {tmp_path}"
    assert second.startswith(f"kept 1 file: {FIRST_NOTEBOOK}. They differ from those of this")
    assert "--force replaces them" in second
    assert "twistream tutorial OTHER_FOLDER" in second


def test_force_replaces_changed_files_and_names_them(tmp_path):
    fill_folder(tmp_path)
    for name in NOTEBOOKS:
        (tmp_path / name).write_text("changed")
    filled = fill_folder(tmp_path, force=True)
    assert filled.replaced == NOTEBOOKS
    assert (tmp_path / FIRST_NOTEBOOK).read_bytes() == (ROOT / FIRST_NOTEBOOK).read_bytes()
    assert repr(filled) == f"replaced 7 files: {', '.join(NOTEBOOKS[:3])} and 4 more"


def test_files_of_the_user_are_left_alone_even_by_force(tmp_path):
    own = [tmp_path / ".env", tmp_path / "notebooks" / "mine.ipynb"]
    own[1].parent.mkdir()
    for path in own:
        path.write_text("mine")
    fill_folder(tmp_path, force=True)
    assert [path.read_text() for path in own] == ["mine", "mine"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "there").write_text("a file")
    with pytest.raises(SettingsError, match="is a file") as caught:
        fill_folder(tmp_path / "there")
    assert caught.value.fix == "Give the name of a folder, new or not"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_files_get_the_permissions_of_ordinary_new_files(tmp_path):
    (tmp_path / "ordinary").touch()
    fill_folder(tmp_path)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ["ordinary", *EVERYTHING]}
    assert len(modes) == 1


def test_a_write_that_fails_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        fill_folder(tmp_path)
    assert list_files(tmp_path) == []


def test_in_a_wheel_the_files_beside_the_module_are_taken(tmp_path, monkeypatch):
    inside = tmp_path / "files"
    (inside / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / FIRST_NOTEBOOK, inside / FIRST_NOTEBOOK)
    (inside / ".env.example").touch()
    monkeypatch.setattr(module, "_IN_WHEEL", inside)
    assert find_sources() == {
        ".env.example": inside / ".env.example",
        FIRST_NOTEBOOK: inside / FIRST_NOTEBOOK,
    }


def test_an_installation_without_notebooks_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_IN_WHEEL", tmp_path / "none")
    monkeypatch.setattr(module, "_CHECKOUT", tmp_path)
    with pytest.raises(TwistreamError, match="holds no notebooks") as caught:
        find_sources()
    assert caught.value.fix == "Say pip install --force-reinstall twistream-kit"
