import errno
import os
import subprocess
import sys
import unicodedata
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import soundfile

from twistream_kit.audio.convert import convert_file, convert_files
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.errors import WavError


@pytest.fixture
def noise(tmp_path):
    """Return a function that writes a file of noise in the format of its suffix."""

    def write(name, *, sample_rate=44100, channels=2, seconds=5.0, subtype=None):
        shape = (int(sample_rate * seconds), channels)
        samples = np.random.default_rng(1).normal(0, 0.4, shape).clip(-1, 1)
        soundfile.write(tmp_path / name, samples, sample_rate, subtype=subtype)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("name", "sample_rate", "channels", "subtype"),
    [
        ("a.wav", 44100, 2, "PCM_16"),
        ("a.wav", 48000, 1, "PCM_24"),
        ("a.wav", 96000, 6, "FLOAT"),
        ("a.wav", 8000, 1, "ULAW"),
        ("a.wav", 11025, 1, "ALAW"),
        ("a.flac", 44100, 2, None),
        ("a.ogg", 22050, 1, None),
    ],
)
def test_payload_is_that_of_load_clip_byte_for_byte(
    noise, tmp_path, name, sample_rate, channels, subtype
):
    src = noise(name, sample_rate=sample_rate, channels=channels, subtype=subtype)
    result = convert_file(src, tmp_path / "out.wav")
    clip = load_clip(src)
    assert (tmp_path / "out.wav").read_bytes()[58:] == clip.payload + bytes(len(clip.payload) % 2)
    assert (result.seconds, result.clipped, result.error) == (clip.seconds, clip.clipped, "")
    report = inspect_wav(tmp_path / "out.wav")
    assert report.ready
    assert report.header_bytes == 58


def test_blocks_leave_no_seam(tmp_path):
    """One second of a tone that crosses several blocks, against the formula."""
    time = np.arange(44100 * 6) / 44100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44100)
    convert_file(tmp_path / "a.wav", tmp_path / "out.wav")
    got = load_clip(tmp_path / "out.wav").samples() / 32768
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 8000)
    assert np.abs(got - expected)[100:-100].max() < 0.02


def test_a_crash_in_the_middle_leaves_the_old_file_and_no_other(noise, tmp_path):
    src, dst = noise("a.wav"), tmp_path / "out.wav"
    dst.write_bytes(b"the old one")

    def crash(fraction):
        if fraction > 0.5:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        convert_file(src, dst, overwrite=True, progress=crash)
    assert dst.read_bytes() == b"the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "out.wav"]


def test_progress_rises_to_one(noise, tmp_path):
    reported = []
    convert_file(noise("a.flac"), tmp_path / "out.wav", progress=reported.append)
    assert reported == sorted(reported)
    assert len(reported) > 2
    assert reported[-1] == 1.0
    assert 0 < reported[0] < 1


def test_progress_true_shows_a_bar(noise, tmp_path, capsys):
    convert_file(noise("a.wav"), tmp_path / "out.wav", progress=True)
    assert "a.wav: 100%" in capsys.readouterr().err


def test_progress_is_silent_unless_asked_for(noise, tmp_path, capsys):
    convert_file(noise("a.wav"), tmp_path / "out.wav")
    assert capsys.readouterr() == ("", "")


def test_source_is_never_overwritten(noise, tmp_path):
    src = noise("a.wav")
    before = src.read_bytes()
    (tmp_path / "link.wav").symlink_to(src)
    for dst in (src, tmp_path / "link.wav"):
        with pytest.raises(WavError, match=r"the same file\. The original would be lost"):
            convert_file(src, dst)
    assert src.read_bytes() == before


def test_impossible_targets_are_refused_in_words(noise, tmp_path):
    src = noise("a.wav", seconds=0.1)
    with pytest.raises(WavError, match="is a folder"):
        convert_file(src, tmp_path)
    with pytest.raises(WavError, match="there is no folder"):
        convert_file(src, tmp_path / "missing" / "out.wav")
    with pytest.raises(WavError, match=r"cannot be written: File name too long"):
        convert_file(src, tmp_path / ("n" * 300 + ".wav"))


def test_a_single_path_is_not_taken_for_a_list(tmp_path):
    with pytest.raises(TypeError, match=r"one path, 'a\.wav'; give a list"):
        convert_files("a.wav", tmp_path, progress=None)


def test_results_need_a_folder(noise, tmp_path):
    src = noise("a.wav", seconds=0.1)
    with pytest.raises(WavError, match=r"a\.wav: is a file, not a folder\. Nothing was converted"):
        convert_files([src], src, progress=None)
    with pytest.raises(WavError, match="is a file, not a folder"):
        convert_files([src], src / "below", progress=None)


# Not ru_maxrss: across fork and exec Linux counts the memory of the parent, this test run, in.
MEMORY_PROBE = """
import pathlib, sys
from twistream_kit.audio.convert import convert_file
convert_file(sys.argv[1], sys.argv[2])
status = pathlib.Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells it on Linux")
def test_memory_does_not_grow_with_the_file(build, tmp_path):
    peaks = []
    for seconds in (10, 600):
        size = seconds * 176_400
        path = tmp_path / f"{seconds}.wav"
        path.write_bytes(
            build.riff(
                build.fmt(1, 2, 44100, 16), build.chunk(b"data", b"", size=size), size=size + 36
            )
        )
        with path.open("r+b") as file:
            file.truncate(44 + size)
        command = [sys.executable, "-c", MEMORY_PROBE, path, tmp_path / f"out{seconds}.wav"]
        probe = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(probe.stdout) * 1024 / 1e6)
    assert peaks[1] < 150
    assert peaks[1] - peaks[0] < 8  # the file has grown by 104 MB


@pytest.fixture(params=["here", "threads", "processes"])
def executor(request):
    if request.param == "here":
        yield None
    elif request.param == "threads":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    else:
        # The default of Linux before 3.14, fork, is not safe beside the threads of other tests.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool


def test_one_bad_file_does_not_lose_the_others(noise, tmp_path, executor):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"<html>404</html>")
    paths = [noise("a.wav", seconds=0.5), bad, tmp_path / "missing.wav", noise("b.flac")]
    results = convert_files(paths, tmp_path / "out", executor=executor, progress=None)
    assert [result.source for result in results] == paths
    assert [result.error == "" for result in results] == [True, False, False, True]
    assert "an HTML page" in results[1].error
    assert "no such file" in results[2].error
    assert [result.seconds for result in results] == [0.5, 0.0, 0.0, 5.0]
    assert results[3].path == tmp_path / "out" / "b.wav"
    assert load_clip(results[3].path).payload == load_clip(paths[3]).payload
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.wav", "b.wav"]


def test_same_names_get_numbers(noise, tmp_path):
    (tmp_path / "other").mkdir()
    paths = [noise(name, seconds=0.1) for name in ("a.wav", "a.flac", "other/A.wav")]
    results = convert_files(paths, tmp_path / "out", progress=None)
    assert [result.path.name for result in results] == ["a.wav", "a-2.wav", "A-3.wav"]


@pytest.fixture
def two_of_one_name(noise, tmp_path):
    """The two sources conv/one.wav and o/one.wav, with different sounds."""
    for folder in ("conv", "o"):
        (tmp_path / folder).mkdir()
    return [noise("conv/one.wav", seconds=0.1), noise("o/one.wav", seconds=0.2)]


def contents(folder):
    """Return what each file under a folder holds, where a link counts as what it leads to."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_no_source_is_replaced_by_the_result_for_another(
    two_of_one_name, tmp_path, overwrite, order
):
    before = contents(tmp_path)
    with pytest.raises(
        WavError, match=r"The original would be lost, so nothing was written\. Give"
    ):
        convert_files(two_of_one_name[::order], tmp_path / "o", overwrite=overwrite, progress=None)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "..", "linked folder", "relative"])
def test_a_source_is_known_by_any_other_name(two_of_one_name, tmp_path, kind, monkeypatch):
    first, second = two_of_one_name
    folder = second.parent
    if kind == "symbolic link":
        (tmp_path / "link.wav").symlink_to(second)
        second = tmp_path / "link.wav"
    elif kind == "hard link":
        os.link(second, tmp_path / "link.wav")
        second = tmp_path / "link.wav"
    elif kind == "..":
        folder = tmp_path / "conv" / ".." / "o"
    elif kind == "linked folder":
        folder = tmp_path / "linked"
        folder.symlink_to(second.parent)
    else:
        monkeypatch.chdir(tmp_path)
        folder = Path("o")
    before = contents(tmp_path)
    with pytest.raises(
        WavError, match=r"one\.wav: is to be converted, and the result for .*one\.wav"
    ):
        convert_files([first, second], folder, overwrite=True, progress=None)
    assert contents(tmp_path) == before


def test_a_source_that_another_result_would_bring_into_being_is_refused(noise, tmp_path):
    """Else the second conversion would read the result of the first."""
    with pytest.raises(WavError, match="is to be converted"):
        convert_files(
            [noise("one.wav", seconds=0.1), tmp_path / "o" / "one.wav"],
            tmp_path / "o",
            progress=None,
        )
    assert not (tmp_path / "o").exists()


def test_a_source_that_is_missing_in_the_folder_of_results_is_just_missing(tmp_path):
    (result,) = convert_files([tmp_path / "missing.wav"], tmp_path, progress=None)
    assert "no such file" in result.error


def test_folder_of_the_sources_does_not_overwrite_them(noise, tmp_path):
    paths = [noise("b.flac", seconds=0.1), noise("a.wav", seconds=0.1)]
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(WavError, match=r"a\.wav: source and target are the same file"):
            convert_files(paths, tmp_path, overwrite=overwrite, progress=None)
    assert contents(tmp_path) == before


def test_an_existing_file_is_replaced_only_when_asked(noise, tmp_path):
    src, dst = noise("a.wav", seconds=0.1), tmp_path / "out.wav"
    dst.write_bytes(b"a recording")
    with pytest.raises(
        WavError, match=r"out\.wav: exists already\. Nothing was written\. .*overwrite=True"
    ):
        convert_file(src, dst)
    assert dst.read_bytes() == b"a recording"
    convert_file(src, dst, overwrite=True)
    assert dst.read_bytes()[58:] == load_clip(src).payload


def test_a_link_that_leads_nowhere_is_an_existing_file(noise, tmp_path):
    (tmp_path / "out.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(WavError, match="exists already"):
        convert_file(noise("a.wav", seconds=0.1), tmp_path / "out.wav")
    assert (tmp_path / "out.wav").is_symlink()


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        ("d", "d.wav: exists already. Nothing"),
        ("bd", "b.wav: exists already, and so does d.wav. Nothing"),
        ("abcde", "a.wav: exists already, and so do b.wav, c.wav, d.wav, 1 more. Nothing"),
    ],
)
def test_many_files_are_looked_for_before_the_first_is_written(noise, tmp_path, existing, said):
    paths = [noise(f"{letter}.flac", seconds=0.1) for letter in "abcde"]
    folder = tmp_path / "out"
    folder.mkdir()
    for letter in existing:
        (folder / f"{letter}.wav").write_bytes(b"a recording")
    with pytest.raises(WavError) as caught:
        convert_files(paths, folder, progress=None)
    assert said in str(caught.value)
    assert set(contents(folder).values()) == {b"a recording"}
    results = convert_files(paths, folder, overwrite=True, progress=None)
    assert [result.error for result in results] == [""] * 5
    assert b"a recording" not in contents(folder).values()


def test_a_folder_in_the_place_of_a_result_stops_all(noise, tmp_path):
    paths = [noise("a.wav", seconds=0.1), noise("b.wav", seconds=0.1)]
    (tmp_path / "out" / "b.wav").mkdir(parents=True)
    with pytest.raises(WavError, match=r"b\.wav: is a folder, not a file\. Nothing was written"):
        convert_files(paths, tmp_path / "out", overwrite=True, progress=None)
    assert not (tmp_path / "out" / "a.wav").exists()


def test_two_results_that_a_link_makes_one_are_refused(noise, tmp_path):
    paths = [noise("a.wav", seconds=0.1), noise("b.wav", seconds=0.1)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").symlink_to("b.wav")
    with pytest.raises(WavError, match=r"b\.wav: is the same file as .*a\.wav, by a link"):
        convert_files(paths, tmp_path / "out", overwrite=True, progress=None)
    assert not (tmp_path / "out" / "b.wav").exists()


def test_two_codings_of_one_letter_are_one_name(noise, tmp_path):
    """As macOS has it; a result must not replace the one before."""
    (tmp_path / "other").mkdir()
    names = [unicodedata.normalize("NFC", "né.wav"), unicodedata.normalize("NFD", "other/né.wav")]
    paths = [noise(name, seconds=0.1) for name in names]
    results = convert_files(paths, tmp_path / "out", progress=None)
    assert [result.path.stem[-2:] for result in results] == ["né", "-2"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_appears_meanwhile_is_left_as_it_is(noise, tmp_path, monkeypatch, hard_links):
    if not hard_links:
        monkeypatch.setattr(os, "link", no_hard_links)
    src, folder = noise("a.wav"), tmp_path / "out"
    folder.mkdir()

    def appear(fraction):
        if 0.3 < fraction < 1 and not (folder / "a.wav").exists():
            (folder / "a.wav").write_bytes(b"of somebody else")

    with pytest.raises(WavError, match=r"appeared while .* It was left as it is, and nothing was"):
        convert_file(src, folder / "a.wav", progress=appear)
    assert contents(folder) == {folder / "a.wav": b"of somebody else"}
    assert list(folder.iterdir()) == [folder / "a.wav"]


def test_a_file_system_without_hard_links_will_do(noise, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_hard_links)
    src, folder = noise("a.wav", seconds=0.1), tmp_path / "out"
    folder.mkdir()
    convert_file(src, folder / "a.wav")
    assert contents(folder)[folder / "a.wav"][58:] == load_clip(src).payload
    assert list(folder.iterdir()) == [folder / "a.wav"]


def no_hard_links(_source, _target):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_permission_to_overwrite_reaches_the_workers(noise, tmp_path, executor):
    src, folder = noise("a.wav", seconds=0.1), tmp_path / "out"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"a recording")
    (result,) = convert_files([src], folder, overwrite=True, executor=executor, progress=None)
    assert result.error == ""
    assert (folder / "a.wav").read_bytes()[58:] == load_clip(src).payload


def test_files_are_counted_in_the_progress(noise, tmp_path):
    reported = []
    paths = [noise(f"{index}.wav", seconds=0.1) for index in range(4)]
    convert_files(paths, tmp_path / "out", progress=reported.append)
    assert reported == [0.25, 0.5, 0.75, 1.0]


def test_bar_counts_files(noise, tmp_path, capsys):
    convert_files([noise("a.wav", seconds=0.1)], tmp_path / "out")
    assert "converting: 100%" in capsys.readouterr().err


def test_no_files_are_no_results(tmp_path):
    assert convert_files([], tmp_path / "out", progress=None) == []


def test_a_worker_that_dies_is_an_error_of_its_file(noise, tmp_path):
    class Dying(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.set_exception(RuntimeError("the worker died"))
            return future

    (result,) = convert_files([noise("a.wav")], tmp_path / "out", executor=Dying(), progress=None)
    assert result.error == "RuntimeError: the worker died"
