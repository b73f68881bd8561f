"""What the ``fmt `` chunk of a WAV file says: which encoding, and how its samples lie.

Tags and layout are those of Microsoft's mmreg.h; EXTENSIBLE hides the tag in a GUID.
"""

from __future__ import annotations

from dataclasses import dataclass

from twistream_kit.audio.wav_format import ByteOrder

EXTENSIBLE = 0xFFFE

ENCODINGS = {
    0x0001: "PCM",
    0x0002: "ADPCM_MS",
    0x0003: "IEEE_FLOAT",
    0x0006: "PCMA",
    0x0007: "PCMU",
    0x0011: "ADPCM_IMA",
    0x0031: "GSM",
    0x0040: "ADPCM_G721",
    0x0050: "MPEG",
    0x0055: "MP3",
    0x00FF: "AAC",
    0x0161: "WMA",
}
"""Format tags, under the names by which RTP (RFC 3551) and this package know them."""

EXPLAINED = {
    "PCM": "linear samples",
    "IEEE_FLOAT": "linear samples as floating-point numbers in [-1, 1]",
    "PCMU": "G.711 μ-law, what a call takes",
    "PCMA": "G.711 A-law, the European relative of μ-law",
    "GSM": "GSM 6.10, compressed",
    "EXTENSIBLE": "the encoding stands in the sub-format below",
}

# The tag in front of this tail makes the sub-format GUID of an ordinary encoding.
_GUID_TAIL = bytes.fromhex("0000 0000 1000 8000 00AA00389B71")

# The same in RIFX, where the first three numbers of the GUID have their high byte first.
_GUID_HEAD_BIG, _GUID_TAIL_BIG = bytes(2), bytes.fromhex("0000 0010 8000 00AA00389B71")

LINEAR_BYTES = {
    "PCM": (1, 2, 3, 4),
    "IEEE_FLOAT": (4, 8),
    "PCMU": (1,),
    "PCMA": (1,),
}
"""The encodings that are decoded here, and how many bytes one sample may take."""


@dataclass(frozen=True, slots=True)
class Format:
    """A ``fmt `` chunk, understood.

    Attributes:
        encoding: ``PCM``, ``PCMU``, ``PCMA``, ``IEEE_FLOAT``, … or ``0x1234`` for an unknown tag.
        channels: As stated.
        sample_rate: In Hz, as stated.
        bits_per_sample: As stated; of an EXTENSIBLE file the size of the container.
        block_align: Bytes of one sample of all channels, as stated.
        byte_rate: Bytes a second, as stated.
        byte_order: Of the samples.
    """

    encoding: str
    channels: int
    sample_rate: int
    bits_per_sample: int
    block_align: int
    byte_rate: int
    byte_order: ByteOrder

    @property
    def sample_bytes(self) -> int:
        """How many bytes one sample of one channel takes, or 0 when its encoding has no such size.

        `block_align` decides, since 24 bits may lie in 4 bytes; writers that leave it wrong are
        corrected by `bits_per_sample`.
        """
        legal = LINEAR_BYTES.get(self.encoding, ())
        if self.channels and self.block_align % self.channels == 0:
            size = self.block_align // self.channels
            if size in legal and 8 * size >= self.bits_per_sample:
                return size
        size = 1 if self.encoding in ("PCMU", "PCMA") else (self.bits_per_sample + 7) // 8
        return size if size in legal else 0

    @property
    def description(self) -> str:
        """The encoding in a few words, ``PCM, 16 bit, stereo, 44100 Hz``."""
        bits = f", {self.bits_per_sample} bit" if self.bits_per_sample else ""
        how_many = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"{self.encoding}{bits}, {how_many}, {self.sample_rate} Hz"


def understood(body: bytes, byte_order: ByteOrder) -> Format:
    """Read the body of a ``fmt `` chunk of at least 16 bytes."""

    def number(start: int, size: int) -> int:
        return int.from_bytes(body[start : start + size], byte_order)

    tag = number(0, 2)
    encoding = encoding_name(tag)
    if tag == EXTENSIBLE and len(body) >= 40:
        encoding = sub_format_name(body[24:40], byte_order)
    return Format(
        encoding=encoding,
        channels=number(2, 2),
        sample_rate=number(4, 4),
        byte_rate=number(8, 4),
        block_align=number(12, 2),
        bits_per_sample=number(14, 2),
        byte_order=byte_order,
    )


def encoding_name(tag: int) -> str:
    """Return the name of a format tag."""
    return "EXTENSIBLE" if tag == EXTENSIBLE else ENCODINGS.get(tag, f"0x{tag:04X}")


def sub_format_name(guid: bytes, byte_order: ByteOrder) -> str:
    """Return the name of an EXTENSIBLE sub-format, or its GUID in hex if it is not ordinary."""
    # SoX turns only the tag round in a RIFX file, and leaves the tail as it is in RIFF.
    if guid[2:] == _GUID_TAIL:
        return encoding_name(int.from_bytes(guid[:2], byte_order))
    if byte_order == "big" and guid[:2] == _GUID_HEAD_BIG and guid[4:] == _GUID_TAIL_BIG:
        return encoding_name(int.from_bytes(guid[2:4], "big"))
    return f"GUID {guid.hex()}"
