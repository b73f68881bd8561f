"""What is for certain no sound is refused, and no sound ever is, wherever it is cut."""

import gzip
import io
import json
import random
import string
from base64 import b64encode, encodebytes
from pathlib import Path

import numpy as np
import pytest
import soundfile

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.diagnosis.payload import BeginningCheck, refuse_no_sound
from twistream_kit.errors import LocalProtocolError
from twistream_kit.sound_file import FROM_CALLER, check_payload

SAMPLES = sorted((Path(__file__).parents[2] / "sample_audio").glob("*.wav"))
SPEECH = load_clip(SAMPLES[0].with_name("greeting.wav")).payload


def make_file(kind):
    noise = np.random.default_rng(1).normal(0, 0.1, 24_000)
    file = io.BytesIO()
    soundfile.write(file, noise, 24_000, format=kind)
    return file.getvalue()


FILES = {
    kind: make_file(kind)
    for kind in ("WAV", "AU", "AIFF", "FLAC", "OGG", "CAF", "MP3", "W64", "NIST")
} | {
    "ID3": b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + make_file("MP3"),
    "M4A": b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(100),
    "WebM": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm" + bytes(100),
    "AMR": b"#!AMR\n\x3c\x48" + bytes(100),
    "gzip": gzip.compress(SPEECH),
}
TEXTS = {
    "base64": b64encode(SPEECH[8000:]),
    "base64 in lines": encodebytes(SPEECH[8000:]),
    "base64 of silence and speech": b64encode(b"\xff" * 9000 + SPEECH[8000:]),
    "base64 of one frame": b64encode(SPEECH[9000:9160]),
    "base64 of an MP3 file": b64encode(make_file("MP3")),
    "hexadecimal": SPEECH[8000:].hex().encode(),
    "JSON": json.dumps({"event": "media", "media": {"payload": "/w=="}}).encode(),
    "JSON of an error": b'{"error": {"message": "quota exceeded"}}',
    "HTML": b"<!DOCTYPE html><html><body>Bad gateway</body></html>",
    "HTML with a byte order mark": "\ufeff<html><body>Zu viele Anfragen für heute</body>".encode(),
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "words": b"You exceeded your current quota, please check your plan and billing details.",
    "a status": b"Internal Server Error",
    "printed bytes": repr(SPEECH[:400]).encode(),
    "numbers": b"[0, -8, 16, 120, -340, 22, 1]",
    "a data URL": b"data:audio/wav;base64," + b64encode(SPEECH),
    "an address": b"https://example.com/greeting.mp3",
}


@pytest.mark.parametrize("raw", [*FILES.values(), *TEXTS.values()], ids=[*FILES, *TEXTS])
def test_what_is_no_sound_is_refused_whole_and_in_pieces(raw, request):
    with pytest.raises(LocalProtocolError) as caught:
        refuse_no_sound(raw)
    assert caught.value.fix
    if "silence" in request.node.name:
        return  # its beginning may be a constant level
    for size in (1, 7, 160, 1000, 5000):
        beginning = BeginningCheck()
        with pytest.raises(LocalProtocolError):
            for at in range(0, len(raw), size):
                beginning.take(raw[at : at + size])


@pytest.mark.parametrize("raw", FILES.values(), ids=FILES)
def test_file_is_refused_with_the_way_out(raw):
    with pytest.raises(LocalProtocolError, match=r"starts (with|like) .*not bare PCMU") as caught:
        check_payload(raw, FROM_CALLER)
    assert caught.value.field == "say"
    if caught.value.fix == FROM_CALLER.fix:
        assert load_clip(raw).seconds > 0.9
    else:
        assert caught.value.fix.startswith(("Convert it first", "Unpack it first"))


def make_sounds():
    """Yield sound of every kind, at every level, as PCMU."""
    chance = np.random.default_rng(1)
    time = np.arange(16_000) / 8000
    for path in SAMPLES:
        samples = load_clip(path).samples().astype(float)
        for gain in (1.0, 0.3, 0.05, 0.005, 6.0):
            yield samples * gain
            yield np.abs(samples) * -gain  # every code of it may be a letter
    for hz in (0.5, 4, 16, 50, 100, 440, 1000, 3999):
        for level in (32000, 8000, 1200, 300, 40):
            yield level * np.sin(2 * np.pi * hz * time)
            yield level * np.sign(np.sin(2 * np.pi * hz * time))
            yield level * (np.sin(2 * np.pi * hz * time) - 1) / 2
    for level in (60_000, 10_000, 3000, 800, 200, 20):
        noise = chance.normal(0, level, 16_000)
        yield noise
        for offset in (-200, -600, -2000, -6000):
            yield noise * 0.3 + offset
    for offset in range(-8000, 0, 250):
        yield np.full(800, float(offset))
    yield Clip.dtmf("0123456789*#ABCD").samples().astype(float)
    yield np.zeros(4000)


def test_no_sound_is_refused_however_short_and_wherever_it_is_cut():
    chance = random.Random(1)
    checked = 0
    for samples in make_sounds():
        payload = encode_ulaw(np.clip(np.rint(samples), -32768, 32767).astype(np.int16))
        assert refuse_no_sound(payload) is payload
        for _ in range(150):
            at = chance.randrange(len(payload))
            piece = payload[at : at + chance.choice((chance.randint(1, 160), 160, 2000))]
            assert refuse_no_sound(piece) is piece
            checked += 1
    assert checked > 10_000


@pytest.mark.parametrize("code", range(0x20, 0x7F))
def test_a_tone_at_half_the_sample_rate_is_never_refused(code):
    """Its codes go up and down between two letters, and slowly change.

    Hexadecimal digits in turn are those of silence, too.
    """
    is_digit = chr(code) in string.hexdigits
    others = (o for o in range(0x20, 0x7F) if not (is_digit and chr(o) in string.hexdigits))
    tone = b"".join(bytes((other, code)) * 20 for other in others)
    for begin in range(len(tone)):
        piece = tone[begin : begin + 160]
        assert refuse_no_sound(piece) is piece


@pytest.mark.parametrize(
    "text",
    [
        '["not", "a", "sound"]',
        '["only one text, and no other at all"]',
        '["with \\"quotes\\" in it", 1, 2, 3]',
        '[ "a text that is longer than what is looked at ' + "x" * 3000,
        '[["rate limit reached, so try again"], 429]',
    ],
)
def test_a_list_of_texts_is_refused(text):
    with pytest.raises(LocalProtocolError, match=r"JSON|text"):
        refuse_no_sound(text.encode())


def test_random_bytes_are_never_refused():
    chance = random.Random(2)
    for _ in range(5000):
        piece = chance.randbytes(chance.randint(1, 160))
        assert refuse_no_sound(piece) is piece
        few = bytes(chance.choices(range(0x60, 0x7F), k=chance.randint(1, 160)))
        assert refuse_no_sound(few) is few


@pytest.mark.parametrize("piece", [b"", b"OK", b"null", b"error", b"Not Found", b"{}", b"f" * 160])
def test_few_letters_may_be_sound(piece):
    assert refuse_no_sound(piece) is piece


def test_beginning_is_over_after_4096_bytes_and_keeps_none_of_them():
    beginning = BeginningCheck()
    for at in range(0, 4096, 160):
        assert not beginning.is_done
        beginning.take(memoryview(SPEECH)[4000 + at : 4160 + at])
    assert beginning.is_done
    beginning.take(make_file("MP3"))
    assert beginning._beginning == b""
