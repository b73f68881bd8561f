"""What a payload really holds, judged by its bytes (PROTOCOL.md §4).

Twilio plays whatever it is given as PCMU.  A file header, an error page or sound in another coding
is therefore heard as clicks or as loud noise, and nothing is logged.  These are exact rules over
one payload: none can be met by sound.  What only a stretch of sound can show is judged in `coding`
and `sample_rate`.
"""

from __future__ import annotations

from collections.abc import Callable

from twistream_kit.diagnosis.containers import container
from twistream_kit.diagnosis.no_sound import (
    ADDRESS,
    DATA_URL,
    HEXADECIMAL,
    NUMBERS,
    PRINTED_BYTES,
    text_kind,
    unwrapped,
)
from twistream_kit.protocol.objection import Objection, Severity

SHORTEST_BYTES = 4000
"""Half a second; in less sound no coding can be told."""

__all__ = [
    "FRAME",
    "LOOKS",
    "container",
    "full_scale_share",
    "is_cut",
    "is_silence",
    "is_whole_frames",
    "look_inside",
]

FRAME = 160
"""Bytes in the 20 ms that Twilio plays at a time (§3)."""

_CUT_SHARE, _TIMES_MORE = 0.01, 4
"""Ours; a sine at 0 dB has 2.6 times more at full scale than in the step below, sound that is cut
seven times more or hundreds."""

_PLAYS_NOISE = "Twilio would accept it and play noise, logging nothing"
_SEND_A_CLIP = "Send kit.load_clip(path).payload, or call stream.play(kit.load_clip(path))"


def look_inside(payload: bytes, field: str = "media.payload") -> list[Objection]:
    """Say what would be heard of `payload` other than what was meant.

    Args:
        payload: The decoded bytes, any length.
        field: How the objections are to name it.

    Returns:
        One objection or none: the first that is found explains the rest.  It has no code, because
        Twilio says nothing about any of this.
    """
    for look in LOOKS:
        if objection := look(payload, field):
            return [objection]
    return []


def is_silence(payload: bytes) -> bool:
    """Whether every byte is one of the two zeros of PCMU, 0xFF and 0x7F; true of no bytes too."""
    return not payload.strip(b"\xff\x7f")


def is_whole_frames(payload: bytes) -> bool:
    """Whether `payload` fills frames of 160 bytes; Twilio takes any length (§4)."""
    return len(payload) % FRAME == 0


def full_scale_share(payload: bytes) -> float:
    """Return the share of samples at full scale, 0 to 1.

    It says nothing about runs of 0x00, which `look_inside` finds.
    """
    return (payload.count(0x00) + payload.count(0x80)) / len(payload) if payload else 0.0


def is_cut(payload: bytes) -> bool:
    """Whether sound was made too loud and cut off at full scale.

    Of such speech more than 0.01 is at full scale, and hardly anything just below it.  A sine at
    0 dB has 0.2 there, but 0.07 just below: it is loud and whole.
    """
    below = payload.count(0x01) + payload.count(0x81)
    share = full_scale_share(payload)
    return share > _CUT_SHARE and share * len(payload) > _TIMES_MORE * below


def _empty(payload: bytes, field: str) -> Objection | None:
    if payload:
        return None
    return Objection(
        None,
        field,
        "is empty",
        "Twilio would accept it and play nothing",
        "If sound was meant, look at what the bytes were read from",
        "note",
    )


def _file(payload: bytes, field: str) -> Objection | None:
    name = container(payload)
    if name is None:
        return None
    if name == "WAV":
        sign = payload[:4].decode("ascii")
        problem = f"starts with {sign}: it is a whole WAV file, not bare PCMU"
    else:
        problem = f"starts like a file: it is {name}, not bare PCMU"
    return Objection(None, field, problem, _PLAYS_NOISE, _SEND_A_CLIP)


def _wrapped_twice(payload: bytes, field: str) -> Objection | None:
    inner = unwrapped(payload)
    if inner is None:
        return None
    name = container(inner)
    what = f", and inside that a file: {name}" if name else ""
    return Objection(
        None,
        field,
        f"is base64 twice: the bytes in it are base64 again{what}",
        "Twilio decodes it once and would play the letters as a harsh roar a third longer than"
        " the sound, logging nothing",
        "Encode the bytes once: b64encode(payload).decode(); to_twilio.Media(stream_sid, payload)"
        " takes bare bytes and does it",
    )


_LOOK_AT_THE_STATUS = (
    "It may be an error that was answered in place of the sound: look at the status before you"
    " send the body"
)

_UNPACKING = {
    HEXADECIMAL: "Send the bytes that the digits stand for: bytes.fromhex(text)",
    NUMBERS: "Send the sound itself: kit.Clip.from_samples(samples, sample_rate).payload",
    PRINTED_BYTES: "Send the bytes themselves, not str(payload)",
    DATA_URL: "Send what its base64 stands for: kit.load_clip(b64decode(what follows the comma))",
    ADDRESS: "Fetch what it names, then send kit.load_clip(what was fetched).payload",
}
"""What to do where the text is no error, by its kind."""


def _text(payload: bytes, field: str) -> Objection | None:
    kind = text_kind(payload)
    if kind is None:
        return None
    return Objection(
        None,
        field,
        f"is {kind}, not sound",
        "Twilio would accept it and play the letters as a burst of harsh noise, logging nothing",
        _UNPACKING.get(kind, _LOOK_AT_THE_STATUS),
    )


def _flat(payload: bytes, field: str) -> Objection | None:
    for run, problem, consequence, fix, severity in _FLAT:
        if run in payload:
            return Objection(None, field, problem, consequence, fix, severity)
    return None


_CLICKS = "The caller would hear a loud click where it begins and another where it ends"
_SILENCE = "Silence is 0xFF: kit.Clip.silence(seconds).payload"

_FLAT: list[tuple[bytes, str, str, str, Severity]] = [
    (
        bytes([byte]) * FRAME,
        f"holds 20 ms or more of 0x{byte:02X} as silence: in PCMU that is {level}",
        consequence,
        f"{_SILENCE}. {fix}",
        # A loop that adds a constant to silence may just meet a zero of A-law.
        "error" if level == "full scale" else "warning",
    )
    for byte, level, consequence, fix in (
        (
            0x00,
            "full scale",
            _CLICKS,
            "If it is 16-bit sound: kit.Clip.from_samples(samples, sample_rate).payload",
        ),
        (
            0x80,
            "full scale",
            _CLICKS,
            "0x80 is the zero of 8-bit WAV files: kit.load_clip(path).payload converts them",
        ),
        *(
            (
                byte,
                "a constant level",
                "The caller would hear a click at either end of it, and harsh sound between",
                f"0x{byte:02X} is a zero of A-law: kit.load_clip(path).payload converts it",
            )
            for byte in (0xD5, 0x55)
        ),
    )
]


LOOKS: list[Callable[[bytes, str], Objection | None]] = [
    _empty,
    _file,
    _wrapped_twice,
    _text,
    _flat,
]
"""Everything that is looked for, in order of importance; each look finds one thing or nothing."""
