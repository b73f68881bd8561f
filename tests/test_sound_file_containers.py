import gzip
import io
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.load import load_clip
from twistream_kit.sound_file import _KINDS, find_container, recognise


def sound_file(kind, subtype=None):
    noise = np.random.default_rng(1).normal(0, 0.1, 24_000)
    file = io.BytesIO()
    soundfile.write(file, noise, 24_000, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("WAV", "WAV"),
        ("WAVEX", "WAV"),
        ("RF64", "WAV"),
        ("AU", "AU"),
        ("AIFF", "AIFF"),
        ("FLAC", "FLAC"),
        ("OGG", "Ogg"),
        ("CAF", "Core Audio"),
        ("MP3", "MP3"),
        ("W64", "Wave64"),
        ("NIST", "NIST Sphere"),
    ],
)
def test_file_written_by_libsndfile_is_recognised(kind, name):
    assert name in find_container(sound_file(kind))


def test_file_written_by_the_standard_library_is_recognised():
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(bytes(320))
    assert find_container(file.getvalue()) == "WAV"


STARTS = {
    b"ID3\x04\x00\x00\x00\x00\x02\x10": "MP3 with an ID3 tag",
    b"\0\0\0\x20ftypM4A \0\0\0\0": "MPEG-4",
    b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm": "WebM or Matroska",
    b"#!AMR\n\x3c\x48": "AMR",
    b"RIFX\0\0\0\x24WAVEfmt ": "WAV",
    b"BW64\xff\xff\xff\xffWAVEds64": "WAV",
}
"""Containers that libsndfile does not write."""


@pytest.mark.parametrize(("start", "name"), STARTS.items())
def test_file_is_recognised_by_its_first_bytes(start, name):
    assert find_container(start + bytes(100)) == name


EXAMPLES = [
    *map(sound_file, ("WAV", "AU", "AIFF", "FLAC", "OGG", "CAF", "MP3", "W64", "NIST")),
    *(start + bytes(100) for start in STARTS),
    gzip.compress(bytes(100), mtime=0),
]


def test_there_is_an_example_of_every_container():
    assert {recognise(each[:64]).container for each in EXAMPLES} == {
        kind.container for kind in _KINDS if kind.container
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: repr(example[:12]))
def test_a_payload_and_a_file_are_recognised_as_the_same(example):
    assert find_container(example) == recognise(example[:64]).container


@pytest.mark.parametrize("kind", ["WAV", "AU", "AIFF", "FLAC", "OGG", "CAF", "MP3", "W64", "NIST"])
def test_what_is_recognised_for_certain_in_a_payload_is_recognised_in_a_file_too(kind):
    raw = sound_file(kind)
    assert find_container(raw) is not None
    assert recognise(raw[:64]).fix == "kit.load_clip reads it and converts it for a call"
    assert load_clip(raw).seconds == 1


@pytest.mark.parametrize("kind", ["WAV", "AU", "AIFF", "FLAC", "OGG", "CAF", "MP3"])
def test_file_without_its_first_bytes_is_taken_for_sound(kind):
    # Twilio plays it as noise; to tell that from sound needs more than a signature.
    assert find_container(sound_file(kind)[1:]) is None


@pytest.mark.parametrize("sign", [b"RIFF", b".snd", b"OggS", b"fLaC", b"ID3", b"FORM", b"#!AMR\n"])
def test_four_bytes_alone_are_no_signature(sign):
    assert find_container(sign + b"\xff" * 156) is None
    assert find_container(sign) is None


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([0xFF, 0xFE, 0xFB, 0xFA, 0x7F, 0x7E, 0x7B, 0x73]), min_size=160))
def test_idle_noise_on_a_line_is_never_taken_for_mp3(codes):
    # Its first three bytes are the beginning of a possible MP3 frame.
    assert find_container(b"\xff\xfb\x73" + bytes(codes) * 20) is None


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_can_be_asked_for_their_container(payload):
    assert find_container(payload) is None or payload
