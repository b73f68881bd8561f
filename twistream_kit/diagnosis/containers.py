"""File formats, told by what a payload begins with (PROTOCOL.md §4).

A signature counts only when it is at least eight bytes long, or as unlikely as that, so that no
sound can match by chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

_MP3_FRAMES = 6
"""An idle line is full of 0xFF, the first byte of an MP3 frame: ask for this many in a row."""


def container(payload: bytes) -> str | None:
    """Return the name of the file format that `payload` begins with, or None."""
    if payload[:1] not in _FIRST:
        # What comes fifty times in a second is sound, and most of it ends here.
        return None if payload[4:8] != b"ftyp" else _named(payload)
    return _named(payload)


def _named(payload: bytes) -> str | None:
    return next((name for name, matches in _CONTAINERS if matches(payload)), None)


def _wav(payload: bytes) -> bool:
    return payload[:4] in (b"RIFF", b"RIFX", b"RF64") and payload[8:12] == b"WAVE"


def _au(payload: bytes) -> bool:
    header = [int.from_bytes(payload[at : at + 4], "big") for at in (4, 12, 20)]
    return (
        payload[:4] == b".snd"
        and len(payload) >= 24
        and 24 <= header[0] <= 65536  # where the sound begins
        and 1 <= header[1] <= 27  # its encoding
        and 1 <= header[2] <= 64  # its channels
    )


def _mp3(payload: bytes) -> bool:
    """Whether frame follows frame, each as long as its header says."""
    headers: list[bytes] = []
    at = 0
    while len(headers) < _MP3_FRAMES:
        header = payload[at : at + 4]
        size = _mp3_frame_size(header)
        if not size:
            return False
        headers.append(header)
        at += size
    return all(a[:2] == b[:2] and a[2] & 0x0C == b[2] & 0x0C for a, b in pairwise(headers))


def _mp3_frame_size(header: bytes) -> int:
    """Return the length in bytes of the layer III frame with this header; 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bit_rate, rate = (header[1] >> 3) & 3, header[2] >> 4, (header[2] >> 2) & 3
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    mpeg1 = version == 3
    kbit = (_MPEG1_KBIT if mpeg1 else _MPEG2_KBIT)[bit_rate - 1]
    sample_rate = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if mpeg1 else 72) * kbit * 1000 // sample_rate + ((header[2] >> 1) & 1)


_MPEG1_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBIT = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _starts(pattern: bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda payload: compiled.match(payload) is not None


_CONTAINERS: list[tuple[str, Callable[[bytes], bool]]] = [
    ("WAV", _wav),
    ("AU", _au),
    # Version 2 to 4, revision 0, then a size in four bytes below 0x80.
    ("MP3 with an ID3 tag", _starts(rb"ID3[\x02-\x04]\x00[\x00-\xf0][\x00-\x7f]{4}")),
    ("MP3", _mp3),
    # The first page: version 0, beginning of stream, position 0.
    ("Ogg", _starts(rb"OggS\x00\x02\x00{8}")),
    # The first block is STREAMINFO, 34 bytes long.
    ("FLAC", _starts(rb"fLaC[\x00\x80]\x00\x00\x22")),
    ("AIFF", _starts(rb"FORM....AIF[FC]")),
    ("MPEG-4", _starts(rb"....ftyp[A-Za-z0-9 ]{4}")),
    ("WebM or Matroska", _starts(rb"\x1aE\xdf\xa3.{1,40}(?:webm|matroska)")),
    ("Wave64", _starts(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00")),
    ("NIST Sphere", _starts(rb"NIST_1A\n")),
    ("AMR", _starts(rb"#!AMR(?:-WB)?\n[\x04-\x7c]")),
    ("Core Audio", _starts(rb"caff\x00\x01\x00\x00desc")),
]

_FIRST = frozenset(bytes([byte]) for byte in b"R.\xffIOfF\x1arN#c")
"""The first bytes of all of these; MPEG-4 alone begins with a size."""
