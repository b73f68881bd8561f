import copy
import errno
import functools
import io
import os
import pickle
import stat
import struct

import numpy as np
import pytest

from support.reports import report_of
from twistream_kit.audio import clip as clip_module
from twistream_kit.audio.clip import Clip, build_ulaw_header, replace_file
from twistream_kit.audio.convert import convert_file
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.capture.capture import Capture
from twistream_kit.errors import TwistreamError, WavError
from twistream_kit.simulator.report import save_report


def strength(clip, hz):
    """The amplitude of one frequency in a clip, 1 for a full-scale sine."""
    samples = clip.samples() / 32768
    time = np.arange(len(samples)) / 8000
    return 2 * abs(np.mean(samples * np.exp(-2j * np.pi * hz * time)))


def test_repr_is_name_and_duration():
    assert repr(Clip(bytes(33680), "greeting")) == "Clip('greeting', 4.21 s)"
    assert repr(Clip(bytes(8000), "loud", 7)) == "Clip('loud', 1.00 s, 7 samples clipped)"


def test_frames_are_160_bytes_and_the_last_is_filled_with_silence():
    frames = Clip(b"\x01" * 400).frames()
    assert [len(frame) for frame in frames] == [160, 160, 160]
    assert frames[2] == b"\x01" * 80 + b"\xff" * 80
    assert Clip(b"\x01" * 320).frames() == [b"\x01" * 160] * 2
    assert Clip(b"").frames() == []


def test_samples_are_linear():
    assert Clip(b"\xff\x00\x80").samples().tolist() == [0, -32124, 32124]


def test_clips_are_values():
    clip = Clip(b"\xff", "a")
    assert clip == Clip(b"\xff", "a")
    assert pickle.loads(pickle.dumps(clip)) == copy.deepcopy(clip) == clip
    assert len({clip, Clip(bytearray(b"\xff"), "a")}) == 1
    with pytest.raises(AttributeError):
        clip.payload = b""


def test_clips_are_joined_with_plus():
    joined = Clip(b"\x01", "a", 1) + Clip(b"\x02", "b", 2)
    assert joined == Clip(b"\x01\x02", "a + b", 3)
    with pytest.raises(TypeError):
        joined + b"\x03"


def test_bytes_of_a_clip_are_its_payload():
    assert bytes(Clip(b"\x01\x02")) == b"\x01\x02"


@pytest.mark.parametrize("form", [b"RIFF", b"RIFX", b"RF64", b"BW64"])
def test_clip_refuses_a_whole_wav_file(form):
    with pytest.raises(WavError, match=r"a whole WAV file, not bare PCMU\. Its header would be"):
        Clip(form + b"\x10\0\0\0WAVEfmt ")


def test_clip_refuses_what_is_not_bytes():
    with pytest.raises(TypeError, match="payload is str; give PCMU as bytes"):
        Clip("//8=")


@pytest.mark.parametrize("size", [0, 1, 800, 801])
def test_saved_file_is_58_bytes_of_header_and_the_payload(tmp_path, size):
    payload = bytes(index % 251 for index in range(size))
    path = Clip(payload).save(tmp_path / "clip.wav")
    raw = path.read_bytes()
    even = size + size % 2
    assert raw == (
        b"RIFF" + struct.pack("<I", 50 + even) + b"WAVE"
        + b"fmt \x12\0\0\0\x07\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0\0\0"
        + b"fact\x04\0\0\0" + struct.pack("<I", size)
        + b"data" + struct.pack("<I", size) + payload + bytes(size % 2)
    )  # fmt: skip
    if size:
        assert load_clip(path).payload == payload


def test_saved_file_is_what_libsndfile_reads(tmp_path):
    import soundfile

    clip = Clip.tone(440, 0.5)
    info = soundfile.info(clip.save(tmp_path / "tone.wav"))
    assert (info.subtype, info.samplerate, info.channels, info.frames) == ("ULAW", 8000, 1, 4000)
    samples, _ = soundfile.read(tmp_path / "tone.wav", dtype="int16")
    assert (samples == clip.samples()).all()


def test_from_samples_of_int16_at_8000_hz_is_the_plain_codec():
    samples = np.arange(-32768, 32767, 7, dtype=np.int16)
    assert Clip.from_samples(samples, 8000, name="x") == Clip(encode_ulaw(samples), "x")


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64, np.float16, ">i2"])
def test_from_samples_takes_int16_and_floats(kind):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    samples = (wave * 32767 if np.dtype(kind).kind == "i" else wave).astype(kind)
    clip = Clip.from_samples(samples, 16000)
    assert clip.seconds == 1.0
    assert strength(clip, 440) == pytest.approx(0.5, rel=0.02)


def test_from_samples_mixes_channels_at_equal_parts():
    both = np.stack([np.full(800, 8000), np.full(800, -4000)], axis=1).astype(np.int16)
    assert np.abs(Clip.from_samples(both, 8000).samples() - 2000).max() <= 32


def test_from_samples_counts_what_it_clips_and_does_not_wrap():
    clip = Clip.from_samples(np.array([1.5, -1.5, 0.5]), 8000)
    assert clip.clipped == 2
    assert clip.samples()[:2].tolist() == [32124, -32124]


def test_from_samples_refuses_what_is_no_sound():
    with pytest.raises(TypeError, match="int32; give int16"):
        Clip.from_samples(np.zeros((9, 2), np.int32), 8000)
    with pytest.raises(ValueError, match=r"turn it with samples\.T"):
        Clip.from_samples(np.zeros((2, 44100)), 44100)
    with pytest.raises(ValueError, match="NaN"):
        Clip.from_samples(np.array([np.nan]), 8000)
    with pytest.raises(ValueError, match="4000 to 192000"):
        Clip.from_samples(np.zeros(9), 1000)


def test_tone_has_its_frequency_and_level():
    clip = Clip.tone(440, 1.0, level_db=-6)
    assert (clip.name, clip.seconds) == ("440 Hz", 1.0)
    assert strength(clip, 440) == pytest.approx(10 ** (-6 / 20), rel=0.02)
    assert strength(clip, 880) < 0.002


def test_tone_begins_and_ends_softly():
    samples = Clip.tone(1000, 0.1, level_db=0).samples()
    assert np.abs(samples[[0, -1]]).max() == 0
    assert np.abs(samples[16:-16]).max() > 30000


@pytest.mark.parametrize(
    ("hz", "seconds", "level_db"), [(0, 1, -12), (4000, 1, -12), (440, -1, 0), (440, 1, 1)]
)
def test_impossible_tone_is_refused(hz, seconds, level_db):
    with pytest.raises(ValueError, match=r"not possible|cannot last|beyond full scale"):
        Clip.tone(hz, seconds, level_db=level_db)


def test_silence_is_0xff():
    assert Clip.silence(0.02).payload == b"\xff" * 160
    assert Clip.silence(0).payload == b""
    with pytest.raises(ValueError, match="less than nothing"):
        Clip.silence(-1)


def test_save_replaces_a_file_only_by_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"the old one")

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr("twistream_kit.audio.clip.write_ulaw_wav", fails)
    with pytest.raises(TwistreamError, match=r"clip\.wav cannot be written: disk full"):
        Clip(b"\xff").save(path, overwrite=True)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_impossible_places_for_a_clip_are_refused_in_words(tmp_path):
    with pytest.raises(WavError, match="is a folder"):
        Clip(b"\xff").save(tmp_path)
    with pytest.raises(WavError, match=r"there is no folder .*missing\. Make it first"):
        Clip(b"\xff").save(tmp_path / "missing" / "clip.wav")


KEY_FREQUENCIES = (697, 770, 852, 941, 1209, 1336, 1477, 1633)


def heard_keys(samples):
    """The two DTMF frequencies that are strongest."""
    time = np.arange(len(samples)) / 8000
    levels = {hz: abs(np.sum(samples * np.exp(-2j * np.pi * hz * time))) for hz in KEY_FREQUENCIES}
    return set(sorted(levels, key=levels.get)[-2:])


# ITU-T Q.23, written out so that a slip in the table of the package cannot agree with itself.
@pytest.mark.parametrize(
    ("digit", "pair"),
    [
        ("1", {697, 1209}), ("2", {697, 1336}), ("3", {697, 1477}), ("A", {697, 1633}),
        ("4", {770, 1209}), ("5", {770, 1336}), ("6", {770, 1477}), ("B", {770, 1633}),
        ("7", {852, 1209}), ("8", {852, 1336}), ("9", {852, 1477}), ("C", {852, 1633}),
        ("*", {941, 1209}), ("0", {941, 1336}), ("#", {941, 1477}), ("D", {941, 1633}),
    ],
)  # fmt: skip
def test_every_key_sounds_its_two_frequencies(digit, pair):
    assert heard_keys(Clip.dtmf(digit).samples()[:800]) == pair


def test_keys_follow_each_other_with_gaps():
    clip = Clip.dtmf("12a", tone_ms=80, gap_ms=40)
    samples = clip.samples()
    assert (clip.name, clip.seconds) == ("DTMF 12A", 0.36)
    assert heard_keys(samples[960:1600]) == {697, 1336}
    assert not samples[640:960].any()


@pytest.mark.parametrize("digits", ["", "12E", "1 2", "ü"])
def test_what_is_no_key_is_refused(digits):
    with pytest.raises(ValueError, match=r"no telephone key|at least one telephone key"):
        Clip.dtmf(digits)


def test_header_is_58_bytes():
    assert len(build_ulaw_header(0)) == len(build_ulaw_header(33680)) == 58


def test_payload_beyond_the_size_of_a_wav_file_is_refused():
    build_ulaw_header(0xFFFFFFFF - 58)
    with pytest.raises(ValueError, match="too many for a WAV file"):
        build_ulaw_header(0xFFFFFFFF)


def test_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new.wav"
    with replace_file(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(tmp_path, error):
    with pytest.raises(error), replace_file(tmp_path / "new.wav") as file:
        file.write(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


posix = pytest.mark.skipif(os.name == "nt", reason="permissions and links as POSIX has them")


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_file_that_is_replaced_passes_its_permissions_on(tmp_path, mode):
    path = tmp_path / "clip.wav"
    path.touch()
    path.chmod(mode)
    Clip(b"\xff").save(path, overwrite=True)
    assert path.stat().st_size > 0
    assert mode_of(path) == mode


@posix
def test_new_capture_is_for_its_owner_alone_also_while_it_is_written(tmp_path):
    path = tmp_path / "call.jsonl"
    with replace_file(path, private=True):
        (unfinished,) = tmp_path.iterdir()
        assert mode_of(unfinished) == 0o600
    assert mode_of(path) == 0o600
    assert mode_of(Capture().save(tmp_path / "other.jsonl")) == 0o600


@posix
@pytest.mark.parametrize("there", [True, False])
def test_symbolic_link_stays_and_its_file_is_replaced(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.wav", tmp_path / "link.wav"
    if there:
        real.write_bytes(b"old")
    link.symlink_to(real)
    Clip(b"\xff").save(link, overwrite=True)
    assert link.is_symlink()
    assert load_clip(real).payload == b"\xff"
    assert list(real.parent.iterdir()) == [real]


@posix
@pytest.mark.parametrize("linked", [True, False])
def test_pipe_or_device_is_not_replaced_by_a_file(tmp_path, linked):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    path = pipe
    if linked:
        path = tmp_path / "link.wav"
        path.symlink_to(pipe)
    with pytest.raises(TwistreamError, match=r"is a pipe, not a file\. Nothing was written"):
        Clip(b"\xff").save(path, overwrite=True)
    with pytest.raises(WavError, match="is a pipe, not a file"):
        convert_file(Clip.tone(440, 0.1).save(tmp_path / "in.wav"), path, overwrite=True)
    with pytest.raises(TwistreamError, match="is a pipe, not a file"):
        Capture().save(path, overwrite=True)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def list_writers():
    save = functools.partial(save_report, report_of())
    reports = {f"report{suffix}": save for suffix in (".json", ".jsonl", ".wav")}
    clip, capture = Clip(b"\xff"), Capture()
    others = {"clip.wav": clip.save, "stereo.wav": capture.stereo, "call.jsonl": capture.save}
    return reports | others


def test_every_writer_replaces_a_file_only_when_asked(tmp_path):
    for name, write in list_writers().items():
        path = tmp_path / name
        write(path)
        new = path.read_bytes()
        path.write_bytes(b"the old one")
        with pytest.raises(TwistreamError, match=f"{name} exists already") as caught:
            write(path)
        assert "overwrite=True" in caught.value.fix
        assert path.read_bytes() == b"the old one"
        write(path, overwrite=True)
        assert path.read_bytes() == new


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("overwrite", [False, True])
def test_no_writer_offers_to_replace_what_is_not_replaced(tmp_path, overwrite):
    for name, write in list_writers().items():
        path = tmp_path / name
        os.mkfifo(path)
        with pytest.raises(TwistreamError) as caught:
            write(path, overwrite=overwrite)
        assert f"{name}: is a pipe, not a file. Nothing was written." in str(caught.value)
        assert "overwrite" not in caught.value.fix
        path.unlink()
        path.mkdir()
        if not name.startswith("report"):  # which is written into a folder
            with pytest.raises(TwistreamError, match="is a folder") as caught:
                write(path, overwrite=overwrite)
            assert "overwrite" not in caught.value.fix


@pytest.mark.parametrize("name", ["clip.mp3", "clip.OGG", "clip.raw"])
def test_a_clip_is_no_file_of_another_format(tmp_path, name):
    with pytest.raises(WavError, match=r"Nothing was written\. Name it clip\.wav\.$"):
        Clip(b"\xff").save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["clip.wav", "clip.WAVE", "clip", "clip.v2"])
def test_a_clip_has_any_other_name(tmp_path, name):
    assert Clip(b"\xff" * 80).save(tmp_path / name).stat().st_size == 138


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_every_writer_says_in_words_that_it_cannot_write(tmp_path, monkeypatch, error):
    writers = list_writers()
    for name in writers:
        (tmp_path / name).write_bytes(b"the old one")

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(
        clip_module, "open", lambda path, _mode, opener: Full(path, "xb", opener=opener),
        raising=False,
    )  # fmt: skip
    for name, write in writers.items():
        with pytest.raises(TwistreamError, match=f"{name} cannot be written: {os.strerror(error)}"):
            write(tmp_path / name, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(
        writers, b"the old one"
    )
