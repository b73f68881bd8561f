"""WAV files as odd as they come, built from their parts."""

import struct
from types import SimpleNamespace

import pytest

GUID_TAIL = bytes.fromhex("000000001000800000AA00389B71")


def chunk(name, body, *, size=None, order="<"):
    """One chunk; `size` lies about the size of the body."""
    declared = len(body) if size is None else size
    return name + struct.pack(order + "I", declared) + body + b"\0" * (len(body) % 2)


def fmt(tag=7, channels=1, rate=8000, bits=8, *, extra=b"", align=None, order="<"):
    align = channels * bits // 8 if align is None else align
    body = struct.pack(order + "HHIIHH", tag, channels, rate, rate * align, align, bits)
    return chunk(b"fmt ", body + extra, order=order)


def extensible(tag, channels, rate, bits, *, valid_bits=None, align=None):
    extra = struct.pack("<HHIH", 22, valid_bits or bits, 0, tag) + GUID_TAIL
    return fmt(0xFFFE, channels, rate, bits, extra=extra, align=align)


def riff(*chunks, form=b"RIFF", size=None, order="<"):
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack(order + "I", len(body) if size is None else size) + body


def question(payload=b"\xff" * 800):
    """The file of the question that this project began with: μ-law behind 58 bytes of header."""
    fact = chunk(b"fact", struct.pack("<I", len(payload)))
    return riff(fmt(extra=b"\0\0"), fact, chunk(b"data", payload))


@pytest.fixture(scope="session")
def build():
    return SimpleNamespace(
        chunk=chunk, fmt=fmt, extensible=extensible, riff=riff, question=question
    )
