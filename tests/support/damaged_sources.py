"""Sound that was damaged before it was sent, each beside the source that the user has at hand."""

from __future__ import annotations

import io
import re
import tempfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import payload_set
import soundfile

import twistream_kit as kit
from support.following import find_code, run

SOUND = next(each for each in payload_set.tuning() if each.kind == "speech")
SOUND = SOUND._replace(samples=np.tile(SOUND.samples, 4))
SAMPLES = payload_set.at_level(SOUND, -12)
LOUD = payload_set.at_level(SOUND, 0).astype(int) * 27 // 20
"""Wider than int16."""

RIGHT = kit.encode_ulaw(SAMPLES)
DAMAGED = payload_set.damaged(SOUND, -12, seed=3)
WIDE = SAMPLES.astype(int) * 256 + np.random.default_rng(3).integers(0, 256, len(SAMPLES))
PCM = SAMPLES.astype("<i2").tobytes()
UTF_8 = httpx.Response(200, content=RIGHT)
LATIN_1 = httpx.Response(
    200, content=RIGHT, headers={"Content-Type": "audio/basic; charset=latin-1"}
)


class Damage(NamedTuple):
    """One sound that was damaged.

    Attributes:
        payload: What is sent.
        wanted: How the code in the fix begins that is followed.
        names: The source, by the names that the fix has for it.
    """

    payload: bytes
    wanted: str
    names: dict[str, Any]


def _read_in_pieces(read: Callable[[bytes], bytes]) -> bytes:
    """Encode PCM16 that comes in pieces of odd sizes; `read` is given each."""
    sizes = [8801, 40_003, len(PCM)]
    pieces = [PCM[begin:end] for begin, end in zip([0, *sizes], sizes, strict=False)]
    return kit.encode_ulaw(np.frombuffer(b"".join(map(read, pieces)), "<i2"))


def _make_wav(samples: np.ndarray) -> io.BytesIO:
    """Return a WAV file of 24 bits."""
    made = io.BytesIO()
    soundfile.write(made, samples << 8, 8000, format="WAV", subtype="PCM_24")
    made.seek(0)
    return made


DAMAGES: dict[str, Damage] = {
    **{
        name: Damage(DAMAGED[name], "kit.decode_ulaw", {"payload": RIGHT})
        for name in (
            "encoded twice as 16 kHz PCM16",
            "encoded twice as PCM16",
            "encoded twice as PCM8",
            "encoded twice as numbers",
        )
    },
    **{
        f"{name}, sent as it came": Damage(DAMAGED[name], "as they came", {"payload": RIGHT})
        for name in ("encoded twice as PCM16", "encoded twice as numbers")
    },
    "wrapped around, clipped": Damage(DAMAGED["wrapped around"], "np.clip", {"samples": LOUD}),
    "wrapped around, as floats": Damage(
        DAMAGED["wrapped around"],
        "kit.Clip.from_samples",
        {"samples": LOUD / 32768, "sample_rate": 8000},
    ),
    "low 16 of 24 bits, shifted": Damage(
        DAMAGED["low 16 of 24 bits"], "(samples >> 8)", {"samples": WIDE}
    ),
    "low 16 of 24 bits, as a file": Damage(
        DAMAGED["low 16 of 24 bits"], "kit.load_clip", {"path": _make_wav(WIDE.astype(np.int32))}
    ),
    "other byte order": Damage(DAMAGED["other byte order"], "np.frombuffer", {"pcm": PCM}),
    "other byte order, big-endian": Damage(
        DAMAGED["other byte order"], "or '>i2'", {"pcm": SAMPLES.astype(">i2").tobytes()}
    ),
    "one byte lost": Damage(
        _read_in_pieces(lambda piece: piece[: len(piece) // 2 * 2]), "keep an odd byte", {}
    ),
    "text: UTF-8": Damage(UTF_8.text.encode(), "response.content", {"response": UTF_8}),
    "text: UTF-8, from a file": Damage(DAMAGED["text: UTF-8"], "open files with", {}),
    "text: Latin-1": Damage(LATIN_1.text.encode(), "response.content", {"response": LATIN_1}),
    "text: ASCII": Damage(DAMAGED["text: ASCII"], "response.content", {"response": UTF_8}),
    "text: 7 bits": Damage(DAMAGED["text: 7 bits"], "response.content", {"response": UTF_8}),
    "text: hexadecimal": Damage(
        DAMAGED["text: hexadecimal"], "b64encode(bytes.fromhex", {"digits": RIGHT.hex()}
    ),
}
"""By what was done to it.  `DAMAGED` holds what `benchmarks` measures."""


def follow(damage: Damage, fix: str) -> bytes:
    """Apply the wanted line of a fix to the source; return the payload that is sent then."""
    assert damage.wanted in fix
    match damage.wanted:
        case "as they came":
            return damage.names["payload"]
        case "or '>i2'":
            code = next(each for each in find_code(fix) if each.startswith("np.frombuffer"))
            made = run(code.replace("'<i2'", "'>i2'"), **damage.names)
        case "keep an odd byte":
            return _read_in_pieces(_KeepsOddBytes().read)
        case "response.content":
            made = run(re.search(r"response\.\w+", fix)[0], **damage.names)
        case "open files with":
            mode = re.search(r"open files with '(\w+)'", fix)[1]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "sound.ulaw")
                path.write_bytes(RIGHT)
                with path.open(mode) as file:
                    made = file.read()
        case _:
            code = next(each for each in find_code(fix) if each.startswith(damage.wanted))
            made = run(code, **damage.names)
    if isinstance(made, np.ndarray):
        made = kit.Clip.from_samples(made, 8000)
    if isinstance(made, str):
        made = b64decode(made, validate=True)
    payload = getattr(made, "payload", made)
    assert isinstance(payload, bytes)
    return payload


class _KeepsOddBytes:
    """Cuts at even bytes, and keeps an odd byte for the next piece."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, piece: bytes) -> bytes:
        joined = self._rest + piece
        even = len(joined) // 2 * 2
        self._rest = joined[even:]
        return joined[:even]


def is_heard(payload: bytes) -> bool:
    """Whether it is the sound of the source, at any level."""
    samples = kit.decode_ulaw(payload)
    return bool(np.corrcoef(samples, SAMPLES[: len(samples)])[0, 1] > 0.9)
