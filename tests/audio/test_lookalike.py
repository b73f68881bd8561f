import pytest

from twistream_kit.audio._source import recognise
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.errors import WavError


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
        (b"Not found, try again later.", "a text file"),
    ],
)
def test_first_bytes_tell_what_a_file_is(head, what):
    assert recognise(head).what == what
    with pytest.raises(WavError, match=f"it looks like {what}") as caught:
        inspect_wav(head)
    assert caught.value.offset == 0


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
