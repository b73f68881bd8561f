"""Sounds made up for the records, the same in every run."""

from __future__ import annotations

import struct

import numpy as np


def pcm(pitch: float, seconds: float, rate: int, level: float = 0.5) -> np.ndarray:
    """Return a tone as int16."""
    time = np.arange(int(seconds * rate)) / rate
    return (level * 32767 * np.sin(2 * np.pi * pitch * time)).astype(np.int16)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """Return a RIFF chunk, with a size that is perhaps wrong."""
    return (
        name + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)
    )


def fmt(code: int, channels: int, rate: int, bits: int, more: bytes = b"") -> bytes:
    """Return the chunk that says how the samples are coded."""
    block = channels * bits // 8
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits) + more
    )


def wav(*chunks: bytes, size: int | None = None, magic: bytes = b"RIFF") -> bytes:
    """Return a WAV file of `chunks`."""
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


_TONE = pcm(440, 0.25, 8000)
_RAW = _TONE.tobytes()
_ULAW = bytes(range(0x90, 0xB0)) * 40

ODD_WAVS = {
    "plain PCM at 8 kHz": wav(fmt(1, 1, 8000, 16), chunk(b"data", _RAW)),
    "PCMU with 44 bytes of header": wav(fmt(7, 1, 8000, 8), chunk(b"data", _ULAW)),
    "PCMU with extension and fact": wav(
        fmt(7, 1, 8000, 8, b"\0\0"), chunk(b"fact", struct.pack("<I", 1280)), chunk(b"data", _ULAW)
    ),
    "A-law": wav(fmt(6, 1, 8000, 8), chunk(b"data", _ULAW)),
    "8-bit": wav(fmt(1, 1, 8000, 8), chunk(b"data", bytes((_TONE >> 8) + 128))),
    "stereo at 48 kHz": wav(
        fmt(1, 2, 48000, 16), chunk(b"data", np.repeat(pcm(440, 0.1, 48000), 2).tobytes())
    ),
    "opposite channels": wav(
        fmt(1, 2, 8000, 16), chunk(b"data", np.stack([_TONE, -_TONE], 1).tobytes())
    ),
    "LIST before data": wav(
        fmt(1, 1, 8000, 16), chunk(b"LIST", b"INFOISFT\4\0\0\0Lavf"), chunk(b"data", _RAW)
    ),
    "a chunk after data": wav(
        fmt(1, 1, 8000, 16), chunk(b"data", _RAW), chunk(b"id3 ", b"ID3\4" + bytes(21))
    ),
    "cut off": wav(fmt(1, 1, 8000, 16), chunk(b"data", _RAW, 16000)),
    "a streamed size": wav(fmt(1, 1, 8000, 16), chunk(b"data", _RAW, 0xFFFFFFFF), size=0xFFFFFFFF),
    "size zero": wav(fmt(1, 1, 8000, 16), chunk(b"data", _RAW, 0), size=0),
    "no sound": wav(fmt(1, 1, 8000, 16), chunk(b"data", b"")),
    "no fmt": wav(chunk(b"data", _RAW)),
    "no data": wav(fmt(1, 1, 8000, 16)),
    "ADPCM": wav(fmt(2, 1, 8000, 4, b"\0\0"), chunk(b"data", _RAW)),
    "rate zero": wav(fmt(1, 1, 0, 16), chunk(b"data", _RAW)),
    "no channels": wav(fmt(1, 0, 8000, 16), chunk(b"data", _RAW)),
    "odd size": wav(fmt(7, 1, 8000, 8), chunk(b"data", _ULAW[:801])),
    "loud": wav(fmt(3, 1, 8000, 32), chunk(b"data", (_TONE.astype(np.float32) / 8000).tobytes())),
    "quiet": wav(fmt(1, 1, 8000, 16), chunk(b"data", pcm(440, 0.3, 8000, 0.003).tobytes())),
    "silence": wav(fmt(1, 1, 8000, 16), chunk(b"data", bytes(8000))),
    "with an offset": wav(
        fmt(1, 1, 8000, 16),
        chunk(b"data", (pcm(300, 0.4, 8000, 0.1) + 4000).astype("<i2").tobytes()),
    ),
    "pitches above the telephone": wav(
        fmt(1, 1, 44100, 16), chunk(b"data", pcm(9000, 0.4, 44100).tobytes())
    ),
    "big-endian": wav(fmt(1, 1, 8000, 16), chunk(b"data", _RAW), magic=b"RIFX"),
    "two files, end to end": wav(fmt(1, 1, 8000, 16), chunk(b"data", _RAW)) * 2,
    "empty": b"",
    "four bytes": b"RIFF",
    "AVI": b"RIFF\x24\0\0\0AVI LIST" + bytes(20),
    "MP3 with a tag": b"ID3\x04\0\0\0\0\0\x10" + _ULAW,
    "Ogg": b"OggS\0\2" + bytes(8) + _ULAW,
    "FLAC": b"fLaC\0\0\0\x22" + bytes(34),
    "HTML": b"<!DOCTYPE html><html><head><title>404</title></head></html>",
    "JSON": b'{"error":{"message":"Incorrect API key provided"}}',
    "ZIP": b"PK\3\4" + bytes(40),
    "base64 of a WAV file": b"UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAA",
    "raw PCMU": _ULAW,
}
