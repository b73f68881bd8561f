import io
import shlex
import struct

import pytest

from twistream_kit.audio.clip import build_ulaw_header
from twistream_kit.audio.convert import convert_file
from twistream_kit.audio.examine import examine
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.errors import LocalProtocolError, WavError
from twistream_kit.sound_file import (
    FROM_CALLER,
    TO_TWILIO,
    check_payload,
    find_wav_headers,
    open_source,
    recognise,
)

WAV = b"RIFF\x24\0\0\0WAVEfmt "

QUESTION = build_ulaw_header(800) + b"\xff" * 800


def test_missing_file_is_answered_with_the_nearest_names(tmp_path):
    (tmp_path / "greeting.wav").write_bytes(b"x")
    with pytest.raises(WavError, match=r"no such file.*Nearest in that folder: greeting\.wav"):
        inspect_wav(tmp_path / "greting.wav")


def test_missing_folder_is_named_with_the_place_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WavError, match=r"The folder sample_audio does not exist either, seen from"):
        inspect_wav("sample_audio/greeting.wav")


def test_folder_is_refused(tmp_path):
    with pytest.raises(WavError, match=r"is a folder, not a file\. Name one of the files in it\."):
        inspect_wav(tmp_path)


def test_address_is_refused():
    with pytest.raises(WavError, match=r"is an address, not a file\. Download it first"):
        inspect_wav("https://example.com/a.wav")


def test_file_opened_as_text_is_a_type_error(tmp_path):
    (tmp_path / "a.wav").write_text("RIFF")
    with (tmp_path / "a.wav").open() as file, pytest.raises(TypeError, match="opened with 'rb'"):
        inspect_wav(file)


@pytest.mark.parametrize("source", [None, 5, ["a.wav"]])
def test_anything_else_is_a_type_error(source):
    with pytest.raises(TypeError, match="give a path, bytes, or a file opened with 'rb'"):
        inspect_wav(source)


def test_path_with_a_nul_byte_is_a_wav_error():
    with pytest.raises(WavError, match="cannot be opened"):
        inspect_wav("a\0b.wav")


def test_file_object_is_read_from_its_beginning_and_put_back():
    file = io.BytesIO(QUESTION)
    file.seek(7)
    assert inspect_wav(file).header_bytes == 58
    assert file.tell() == 7


def test_pipe_is_read_into_memory():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    with open_source(Pipe(QUESTION)) as file:
        assert (file.size, file.name) == (858, "file")


def test_file_object_keeps_its_name(tmp_path):
    path = tmp_path / "question.wav"
    path.write_bytes(QUESTION)
    with path.open("rb") as file:
        assert inspect_wav(file).name == "question.wav"


def test_bytearray_and_memoryview_are_taken_as_bytes():
    for kind in (bytearray, memoryview):
        assert inspect_wav(kind(QUESTION)).data_bytes == 800


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"ID3\x04\x00", "an MP3 file"),
        (b"\xff\xfb\x90\x64\x00\x00", "an MP3 file"),
        (b"OggS\x00\x02", "an OGG file"),
        (b"fLaC\x00\x00\x00\x22", "a FLAC file"),
        (b".snd\x00\x00\x00\x18", "an AU file"),
        (b"FORM\x00\x00\x10\x00AIFFCOMM", "an AIFF file"),
        (b"\x00\x00\x00\x20ftypM4A ", "an MP4 or M4A file"),
        (b"\x1aE\xdf\xa3\x01", "a WebM or Matroska file"),
        (b"\xff\xf1\x50\x80\x00\x1f", "an AAC file"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf \n<HTML lang='en'>", "an HTML page"),
        (b"<?xml version='1.0'?><Response/>", "an XML document"),
        (b'{"code": 20404, "message": "not found"}', "JSON"),
        (b"[]", "JSON"),
        (b"UklGRsaDAABXQVZF", "a WAV file written as base64"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"NIST_1A\n   1024\nsample_count -i 8000\n", "a NIST Sphere file"),
        (b"Not found, try again later.", "a text file"),
        (b"\xef\xbb\xbfNot found, try again later.", "a text file"),
    ],
)
def test_first_bytes_tell_what_a_file_is(head, what):
    assert recognise(head).what == what
    with pytest.raises(WavError, match=f"it looks like {what}") as caught:
        inspect_wav(head)
    assert caught.value.offset == 0


def convert(path):
    convert_file(path, path.with_name("new.wav"))


def make_caf(encoding):
    """A Core Audio file with four letters as its encoding, as a telephone records it."""
    form = struct.pack(">d4sIIIII", 44100.0, encoding, 0, 0, 1024, 2, 0)
    chunks = b"desc" + struct.pack(">q", 32) + form + b"data" + struct.pack(">q", 404) + bytes(404)
    return b"caff\0\1\0\0" + chunks


@pytest.mark.parametrize(
    ("name", "raw", "what"),
    [
        ("a memo.m4a", b"\0\0\0\x20ftypM4A " + bytes(100), "an MP4 or M4A file"),
        ("film.mov", b"\0\0\0\x14ftypqt  " + bytes(100), "an MP4 or M4A file"),
        ("radio.aac", b"\xff\xf1\x50\x80\x00\x1f" + bytes(100), "an AAC file"),
        ("checked.aac", b"\xff\xf0\x50\x80\x00\x1f" + bytes(100), "an AAC file"),
        ("mono.aac", b"\xff\xf9\x4c\x41\x00\x1f" + bytes(100), "an AAC file"),
        ("old.aac", b"ADIF" + bytes(100), "an AAC file"),
        ("siri.caf", make_caf(b"aac "), "a CAF file with an encoding"),
        ("voice.amr", b"#!AMR\n\x3c\x48" + bytes(100), "an AMR file"),
    ],
)
@pytest.mark.parametrize("read", [load_clip, inspect_wav, examine, convert])
def test_what_cannot_be_decoded_ends_in_the_command_that_converts_it(
    name, raw, what, read, tmp_path
):
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(WavError) as caught:
        read(path)
    source, target = (shlex.quote(str(each)) for each in (path, path.with_suffix(".wav")))
    assert str(caught.value) == (
        f"{name}, byte 0: it looks like {what}, which cannot be decoded here. "
        f"Convert it with `ffmpeg -i {source} {target}` first."
    )


def test_bytes_that_cannot_be_decoded_have_no_names_in_the_command():
    with pytest.raises(WavError, match=r"`ffmpeg -i IN OUT.wav` first\.$"):
        load_clip(b"\0\0\0\x20ftypM4A " + bytes(100))


@pytest.mark.parametrize(
    "head", [b"\xff" * 64, b"\x7f\xff" * 32, bytes(64), b"\xff\xfe\xfd\x7e" * 16]
)
def test_bare_sound_is_headerless_and_the_error_says_how_to_load_it(head):
    with pytest.raises(WavError, match=r"headerless.*encoding='PCMU'"):
        inspect_wav(head)


def test_empty_file_is_called_empty():
    with pytest.raises(WavError, match=r"^bytes, byte 0: the file is empty\."):
        inspect_wav(b"")


def test_riff_file_of_another_kind_is_named():
    with pytest.raises(WavError, match="of the kind 'RMID'"):
        inspect_wav(b"RIFF\x10\0\0\0RMIDdata")
    with pytest.raises(WavError, match="an AVI film"):
        inspect_wav(b"RIFF\x10\0\0\0AVI LIST")


@pytest.mark.parametrize(
    ("use", "payload", "text"),
    [
        (
            TO_TWILIO,
            WAV + b"\xff" * 400,
            (
                "media.payload starts with RIFF: it is a whole WAV file, not bare PCMU. Twilio "
                "would accept it and play noise, logging nothing. Send kit.load_clip(path).payload."
            ),
        ),
        (
            TO_TWILIO,
            b"\xff" * 160 + WAV + b"\xff" * 400,
            (
                "media.payload holds the header of a WAV file at byte 160. Twilio would accept it "
                "and play the header as a click. Add clips instead of files: kit.load_clip(a) + "
                "kit.load_clip(b)."
            ),
        ),
        (
            FROM_CALLER,
            b"BW64" + WAV[4:],
            (
                "say starts with BW64: it is a whole WAV file, not bare PCMU. The server would "
                "hear its header as noise. Pass kit.load_clip(path)."
            ),
        ),
        (
            FROM_CALLER,
            b"\xff" * 161 + WAV,
            (
                "say holds the header of a WAV file at byte 161. The server would hear the header "
                "as a click. Add clips instead of files: kit.load_clip(a) + kit.load_clip(b)."
            ),
        ),
    ],
)
def test_wav_file_is_refused_wherever_it_stands(use, payload, text):
    with pytest.raises(LocalProtocolError) as caught:
        check_payload(payload, use)
    assert str(caught.value) == text
    assert (caught.value.field, caught.value.twilio_code) == (use.field, None)


@pytest.mark.parametrize("payload", [b"", b"WAVE", b"RIFF", b"RIFFWAVE", b"xWAVE" * 5, b"\xff" * 9])
def test_sound_that_only_resembles_a_wav_file_is_let_through_as_it_is(payload):
    assert check_payload(payload) is payload


def test_every_wav_header_in_a_payload_is_found():
    assert list(find_wav_headers(WAV + b"WAVE" + WAV + b"\xff" + WAV)) == [0, 20, 37]
