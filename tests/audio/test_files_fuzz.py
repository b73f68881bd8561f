"""Damaged files of every kind: no untyped error, and all readers agree on what is there."""

import io
import random
import struct

import numpy as np
import pytest
import soundfile

from support.cases import CASES
from twistream_kit.audio.examine import examine
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.errors import WavError

SPEECH = np.frombuffer((CASES / "c01.wav").read_bytes()[44:], "<i2")[:6000]

KINDS = {
    "WAV": (
        "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW IMA_ADPCM MS_ADPCM GSM610 G721_32"
        " NMS_ADPCM_32"
    ),
    "WAVEX": "PCM_16 ULAW",
    "RF64": "PCM_16",
    "FLAC": "PCM_16 PCM_24",
    "OGG": "VORBIS OPUS",
    "MP3": "MPEG_LAYER_III",
    "AIFF": "PCM_16 ULAW",
    "AU": "PCM_16 ULAW",
    "CAF": "PCM_16",
    "W64": "PCM_16",
    "NIST": "PCM_16",
}

ONE_CHANNEL = {"GSM610", "G721_32", "NMS_ADPCM_32"}


def write_all():
    for form, subtypes in KINDS.items():
        for subtype in subtypes.split():
            for channels in (1,) if subtype in ONE_CHANNEL else (1, 2):
                file = io.BytesIO()
                samples = np.repeat(SPEECH[:, None], channels, axis=1)
                soundfile.write(file, samples, 8000, format=form, subtype=subtype)
                yield file.getvalue()


FILES = list(write_all())
SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 2_000_000_000)


def damage(raw, chance):
    """Change bytes, cut, insert, remove, join, and write other sizes, a few times."""
    raw = bytearray(raw)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        near_the_start = min(int(chance.expovariate(1 / 60)), len(raw) - 1)
        at = chance.randrange(len(raw))
        match chance.choice("hhhhhhhbbccciirrjjot"):
            case "h":
                raw[near_the_start] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
            case "b":
                raw[at] = chance.randrange(256)
            case "c":
                del raw[max(at, 1) :]
            case "i":
                raw[at:at] = chance.randbytes(chance.choice((1, 2, 3, 100)))
            case "r":
                del raw[max(at, 1) : max(at, 1) + chance.choice((1, 2, 3, 100))]
            case "j":
                raw += chance.choice(FILES)
            case "o":
                size = chance.choice((*SIZES, chance.randrange(1 << 32)))
                raw[near_the_start : near_the_start + 4] = struct.pack("<I", size)
            case "t":
                raw += chance.randbytes(3000)
    return bytes(raw)


def read(reader, raw):
    """What a reader returns, or its error; any other exception fails the test."""
    try:
        return reader(raw)
    except WavError:
        return None


@pytest.mark.parametrize("seed", range(4))
def test_readers_of_damaged_files_agree_and_raise_nothing_else(seed, capfd):
    chance = random.Random(seed)
    n_loaded = 0
    for number in range(100):
        raw = damage(chance.choice(FILES), chance)
        clip, found, report = (read(reader, raw) for reader in (load_clip, examine, inspect_wav))
        assert (clip is None) == (found is None), number
        if clip is None:
            continue
        n_loaded += 1
        assert found.figures.seconds == pytest.approx(clip.seconds), number
        assert found.figures.missing_seconds == pytest.approx(clip.missing_seconds), number
        if report is not None:
            allowed = 0.0006 * report.n_files
            assert report.seconds == pytest.approx(clip.seconds, abs=allowed), number
            assert report.missing_seconds == pytest.approx(clip.missing_seconds, abs=1e-6), number
    assert n_loaded > 30
    assert capfd.readouterr().err == ""
