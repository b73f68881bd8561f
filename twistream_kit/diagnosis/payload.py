"""Recognise what a payload contains if it is not sound (PROTOCOL.md §4).

Twilio plays every payload as PCMU.  A file header, an error page or sound in another coding is
therefore heard as clicks or loud noise, and nothing is logged.  The rules here are exact and use
one payload only: no sound satisfies any of them.  `_coding` and `_sample_damage` find what takes
more sound to show.

Text is harder to distinguish from sound.  Half of all codes of PCMU are ASCII: the negative
samples.  So a payload of ASCII proves little, and a quiet sound that never crosses zero may even
consist of lower-case letters.  But no sound changes between upper-case letters, lower-case letters,
digits and punctuation as text does: such a change is a jump of hundreds of steps, and sound with
such jumps also crosses zero, where ASCII ends, or contains one of the codes between the letters.
"""

from __future__ import annotations

import operator
import re
from base64 import b64decode
from codecs import BOM_UTF8
from collections.abc import Callable
from http import HTTPStatus
from string import ascii_lowercase, ascii_uppercase, digits

from twistream_kit.diagnosis._text_damage import look_for_text_damage
from twistream_kit.errors import LocalProtocolError, Objection, Severity
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.sound_file import (
    TO_TWILIO,
    CheckedPayload,
    PayloadUse,
    check_payload,
    describe_wav,
    find_container,
)

SHORTEST_BYTES = 4000
"""Half a second; the coding of shorter sound cannot be recognised."""

_CUT_SHARE, _TIMES_MORE = 0.01, 4
"""The limits for clipping (our choice).  A sine at 0 dB has 2.6 times more samples at full scale
than in the step below; clipped sound has seven times to hundreds of times more."""

_FEWEST_CUT_CODES = 24
"""How many different codes clipped speech, music and noise have at least."""

_LOOKED_AT = 4096
"""How many bytes at the beginning of a long payload are checked for text."""

_LONGEST_REST = 512
"""How much of a payload is searched for the end of a header; remarks in it are rarely longer."""

_OPEN_SIZES = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\xf0\xff\x7f", bytes(4))
"""The sizes that programs write which do not know it yet."""

_TEXT_STARTS = frozenset("<{[Hbdeh")
"""The first letters of the kinds of text below, for a quick check that rules out most sound."""

_HEXADECIMAL, _NUMBERS = "hexadecimal digits", "a list of numbers as text"

_PRINTED_BYTES, _DATA_URL, _ADDRESS = "bytes as Python prints them", "a data URL", "an address"
"""Kinds of text that are not error messages, but contain or name sound."""

_TEXT_KINDS = [
    ("an HTTP answer", re.compile(r"HTTP/[0-9]")),
    (
        "HTML",
        re.compile(r"<(?:!--|(?:!doctype\s+html|html|head|body|h[1-6]|p|title)\b)", re.IGNORECASE),
    ),
    (
        "XML",  # a tag alone, such as <T>, may be sound; a second one or an attribute is not
        re.compile(
            r"<(?:\?xml\s|![A-Z]|[A-Za-z][\w:.-]*(?:\s+[\w:.-]+=[\"']|/>|>\s*<[\w/!]|>[^<]*</))"
        ),
    ),
    ("JSON", re.compile(r"(?:data: ?)?(?:\[\s*)*\{\s*(?:\"[^\"]*\"\s*:|\}\s*$)|\[\s*\"[^\"]")),
    (_NUMBERS, re.compile(r"\[\s*-?\d[\d.e+-]*(?:\s*,\s*|\s+)-?\d[\d.e+-]*(?:\s*,|\s+|\])")),
    ("text", re.compile(r"event: ?[a-z.]+\ndata:|\[object [A-Z]")),
    (_DATA_URL, re.compile(r"data:[a-z]+/[a-z0-9.+-]+[;,]")),
    (_ADDRESS, re.compile(r"https?://[\w.-]+[\w/:?=&%.+~-]*$")),
    (_PRINTED_BYTES, re.compile(r"b(['\"]).*\\x[0-9a-f]{2}", re.DOTALL)),
]

_WORDS = re.compile(r"[A-Za-z,.:;!?)'\"]{2} (?=[A-Za-z0-9(\"'])")
"""The end of a word, a space, and the start of a word: as sound, -300, -300, -8000, -300."""

_WHOLE_TEXTS = frozenset(
    [status.phrase.lower() for status in HTTPStatus] + ["null", "none", "undefined", "error"]
)
"""Responses of only one or two words."""

_PRINTABLE = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*")

_HEX = re.compile(rb"(?:[0-9a-f]{2}){16,}|(?:[0-9A-F]{2}){16,}")

_JUMP = re.compile(rb"[A-Z](?=[a-z0-9+/])|[a-z](?=[A-Z0-9+/])|[0-9+/](?=[A-Za-z])")
"""A change between upper case, lower case and the rest; other codes lie between the three."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{4}[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*")

_BASE64_KINDS = (ascii_uppercase.encode(), ascii_lowercase.encode(), digits.encode() + b"+/")

_SHORTEST_BASE64 = 32
"""A fifth of a frame.  White noise consists of base64 characters with a probability of 4**-32."""

_SHORTEST_TEXT, _CERTAIN_BASE64 = 16, 64
"""The least sizes of text and of base64 that are refused: two milliseconds of sound, or eight, may
be the letters of any word."""

_LETTERS = "Its letters would be heard as a burst of harsh noise, and nothing would be logged"

_NEAR_SILENCE = bytes([*range(0xFC, 0x100), *range(0x7C, 0x80), 0x00])
"""The codes of PCMU nearest to zero, and the zero of 16-bit sound."""

_SEND_A_CLIP = "Send kit.load_clip(path).payload, or call stream.play(kit.load_clip(path))"

_LOOK_AT_THE_STATUS = (
    "It may be an error that was answered in place of the sound: look at the status before you"
    " send the body"
)

_UNPACKING = {
    _HEXADECIMAL: "Send the bytes that the digits stand for: bytes.fromhex(text)",
    _NUMBERS: "Send the sound itself: kit.Clip.from_samples(samples, sample_rate).payload",
    _PRINTED_BYTES: "Send the bytes themselves, not str(payload)",
    _DATA_URL: (
        "Send what its base64 stands for: kit.load_clip(b64decode(text.partition(',')[2])).payload"
    ),
    _ADDRESS: "Fetch what it names, then send kit.load_clip(fetched).payload",
}
"""The fix for text that is not an error message, by its kind."""

_CLICKS = "The caller would hear a loud click where it begins and another where it ends"

_SILENCE = "Silence is 0xFF: kit.Clip.silence(seconds).payload"

_FLAT_RUN = "holds 20 ms or more of"

_FLAT_RUNS: list[tuple[bytes, str, str, str, Severity]] = [
    (
        bytes([byte]) * FRAME_BYTES,
        f"{_FLAT_RUN} 0x{byte:02X} as silence: in PCMU that is {level}",
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


def look_inside(payload: bytes, field: str = "media.payload") -> list[Objection]:
    """Check a payload for content that would be heard as noise or clicks.

    Args:
        payload: The decoded bytes, of any length.
        field: The name of the field in the objections.

    Returns:
        One objection or none: the first one found explains all others.  It has no code, because
        Twilio logs nothing for it.
    """
    for look in _LOOKS:
        if objection := look(payload, field):
            return [objection]
    return []


def refuse_no_sound(payload: bytes, use: PayloadUse = TO_TWILIO) -> CheckedPayload:
    """Return `payload` unless it is for certain no sound: a file, an error page, base64.

    Unlike `look_inside`, this refuses only what cannot be sound by any chance, however short.

    Raises:
        LocalProtocolError: If it is no sound, or if a WAV file begins anywhere in it.
    """
    checked = check_payload(payload, use)
    head = payload[:3]
    if len(payload) < _SHORTEST_TEXT or not (head.isascii() or head == BOM_UTF8):
        return checked
    if len(payload) >= _CERTAIN_BASE64 and payload.isascii() and _is_base64(payload):
        raise LocalProtocolError(
            "is base64, not the bytes that it stands for",
            field=use.field,
            consequence=_LETTERS,
            fix="Decode it first: base64.b64decode(payload)",
        )
    kind = find_text_kind(payload)
    # So may the hexadecimal digits of silence.
    if kind is not None and (kind != _HEXADECIMAL or _has_jumps(payload)):
        raise LocalProtocolError(
            f"is {kind}, not sound",
            field=use.field,
            consequence=_LETTERS,
            fix=_UNPACKING.get(kind, _LOOK_AT_THE_STATUS),
        )
    return checked


class BeginningCheck:
    """Refuses a sound that comes in pieces and is for certain no sound, as `refuse_no_sound` does.

    Only the beginning is looked at, in the bytes as they were given: behind it no file begins.

    Args:
        use: Where the pieces are passed, for the error.

    Attributes:
        is_done: Whether the beginning has passed, so that no piece need be given any more.
    """

    def __init__(self, use: PayloadUse = TO_TWILIO) -> None:
        self.is_done = False
        self._use = use
        self._beginning = b""

    def take(self, piece: bytes | bytearray | memoryview) -> None:
        """Look at the next piece, of any length.

        Raises:
            LocalProtocolError: If the sound so far is no sound; the piece is then forgotten.
        """
        if self.is_done:
            return
        beginning = self._beginning + bytes(piece[: _LOOKED_AT - len(self._beginning)])
        refuse_no_sound(beginning, self._use)
        self.is_done = len(beginning) >= _LOOKED_AT
        self._beginning = b"" if self.is_done else beginning


def is_8_bit_silence(objection: Objection) -> bool:
    """Whether `look_inside` objects to 0x80 as silence; further sound may explain it otherwise."""
    return objection.problem.startswith(f"{_FLAT_RUN} 0x80")


def is_flat_run(objection: Objection) -> bool:
    """Whether `look_inside` objects to a constant level as silence; a wrong coding explains it."""
    return objection.problem.startswith(_FLAT_RUN)


def is_silence(payload: bytes) -> bool:
    """Whether every byte is one of the two zeros of PCMU, 0xFF and 0x7F; true for no bytes."""
    return not payload.strip(b"\xff\x7f")


def is_whole_frames(payload: bytes) -> bool:
    """Whether `payload` is a multiple of 160 bytes; Twilio accepts any length (§4)."""
    return len(payload) % FRAME_BYTES == 0


def measure_full_scale(payload: bytes) -> float:
    """Return the share of samples at full scale, 0 to 1.

    It does not detect runs of 0x00, which `look_inside` finds.
    """
    return (payload.count(0x00) + payload.count(0x80)) / len(payload) if payload else 0.0


def is_cut(payload: bytes) -> bool:
    """Whether sound is clipped: it was too loud and was cut off at full scale.

    In clipped speech, a share of more than 0.01 is at full scale, and hardly anything just below.
    A sine at 0 dB has 0.2 at full scale, but 0.07 just below: it is loud and not clipped.  A tone
    that repeats after a few samples may have only its peaks there, and consists of few codes.
    """
    below = payload.count(0x01) + payload.count(0x81)
    share = measure_full_scale(payload)
    if share <= _CUT_SHARE or share * len(payload) <= _TIMES_MORE * below:
        return False
    return len(set(payload)) >= _FEWEST_CUT_CODES


def unwrap_base64(payload: bytes) -> bytes | None:
    """Return what is inside if `payload` is itself base64 of something, else None."""
    if len(payload) < _SHORTEST_BASE64 or not payload.isascii():
        return None
    if not _BASE64.fullmatch(payload) or _HEX.fullmatch(payload):
        return None
    bare = payload.translate(None, b"\r\n")
    if len(bare) % 4:
        return None
    try:
        inner = b64decode(bare, validate=True)
    except ValueError:
        return None
    # Silence in base64 has few changes of case; but only base64 of silence decodes to silence.
    return inner if _has_jumps(bare) or not inner.translate(None, _NEAR_SILENCE) else None


def find_text_kind(payload: bytes) -> str | None:
    """Return the kind of text in `payload`, such as ``HTML``, or None if it may be sound."""
    if not payload[:3].isascii() and payload[:3] != BOM_UTF8:
        return None
    try:
        text = payload[:_LOOKED_AT].decode().strip()
    except UnicodeDecodeError as error:
        # A character of several bytes may be truncated at the end of a payload.
        if error.start < min(len(payload), _LOOKED_AT) - 3:
            return None
        text = payload[: error.start].decode().strip()
    text = text.removeprefix("\ufeff")
    if text[:1] in _TEXT_STARTS:
        for kind, start in _TEXT_KINDS:
            if start.match(text) and _PRINTABLE.fullmatch(text):
                return kind if kind == _NUMBERS or not _is_two_letters_in_turn(text) else None
    if text.lower().lstrip("0123456789 ") in _WHOLE_TEXTS:
        return "text"
    if _HEX.fullmatch(payload) and (_has_jumps(payload) or payload[0] == payload[-1] == 0x66):
        return _HEXADECIMAL
    words = len(_WORDS.findall(text))
    is_text = words >= 2 and words * 40 >= len(text) and _PRINTABLE.fullmatch(text)
    return "text" if is_text else None


def _is_two_letters_in_turn(text: str) -> bool:
    """Whether most of a text is the same two letters, as a tone at half the sample rate may be."""
    again: int = sum(map(operator.eq, text, text[2:]))
    changes: int = sum(map(operator.ne, text, text[1:]))
    return min(again, changes) * 4 > len(text) * 3


def _look_for_emptiness(payload: bytes, field: str) -> Objection | None:
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


def _look_for_file(payload: bytes, field: str) -> Objection | None:
    name = find_container(payload)
    if name is None:
        return None
    if name == "WAV":
        problem = describe_wav(payload)
    else:
        problem = f"starts like a file: it is {name}, not bare PCMU"
    return Objection(None, field, problem, TO_TWILIO.whole, _SEND_A_CLIP)


def _look_for_rest_of_header(payload: bytes, field: str) -> Objection | None:
    """Object to the end of a WAV header of which the beginning was cut off.

    A program that cuts 44 bytes off a header of 58 (with a fact chunk) or 78 (with remarks) leaves
    the name and the size of its last chunk.
    """
    at = payload.find(b"data", 0, _LONGEST_REST)
    if at < 0 or len(payload) < at + 8 or b"WAVE" in payload[:at]:
        return None  # with its beginning it is a whole header, which is found in the stream
    # Such sizes are full scale in PCMU, next to the soft letters before them: no sound has that.
    size = payload[at + 4 : at + 8]
    if size not in _OPEN_SIZES and not (size[3] == 0 and any(size)):
        return None
    return Objection(
        None,
        field,
        f'holds the end of a WAV header: the chunk\'s name "data" and a size, up to byte {at + 8}',
        f"The caller would hear these {at + 8} bytes as a click; nothing is logged",
        "Cut off the whole header, which has 44 bytes only if the file says no more than it must: "
        "kit.load_clip(path).payload",
    )


def _look_for_base64(payload: bytes, field: str) -> Objection | None:
    inner = unwrap_base64(payload)
    if inner is None:
        return None
    name = find_container(inner)
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


def _look_for_text(payload: bytes, field: str) -> Objection | None:
    kind = find_text_kind(payload)
    if kind is None:
        return None
    return Objection(
        None,
        field,
        f"is {kind}, not sound",
        "Twilio would accept it and play the letters as a burst of harsh noise, logging nothing",
        _UNPACKING.get(kind, _LOOK_AT_THE_STATUS),
    )


def _look_for_flat_runs(payload: bytes, field: str) -> Objection | None:
    for run, problem, consequence, fix, severity in _FLAT_RUNS:
        if run in payload:
            return Objection(None, field, problem, consequence, fix, severity)
    return None


_LOOKS: list[Callable[[bytes, str], Objection | None]] = [
    _look_for_emptiness,
    look_for_text_damage,  # before files: the header of a damaged file may be whole
    _look_for_file,
    _look_for_rest_of_header,
    _look_for_base64,
    _look_for_text,
    _look_for_flat_runs,
]
"""The checks, in order of importance; each returns one objection or None."""


def _is_base64(payload: bytes) -> bool:
    """Whether `payload` is base64, of which the last characters may have been cut off."""
    bare = payload.translate(None, b"\r\n")
    if not _BASE64.fullmatch(bare) or _HEX.fullmatch(bare):
        return False
    # Without all kinds of letters, as base64 of silence is, it may also be a constant level; of two
    # kinds in turn, a tone near 4000 Hz that is added to one.
    heads = (bare[at : at + _LOOKED_AT] for at in range(0, len(bare), _LOOKED_AT))
    return any(_has_jumps(head) and _has_all_kinds(head) for head in heads)


def _has_all_kinds(text: bytes) -> bool:
    counts = [len(text) - len(text.translate(None, kind)) for kind in _BASE64_KINDS]
    return min(counts) * 40 >= len(text)


def _has_jumps(payload: bytes) -> bool:
    """Whether `payload` changes between kinds of characters as only text does."""
    head = payload[:_LOOKED_AT]
    jumps = len(_JUMP.findall(head))
    return jumps >= 6 and jumps * 20 >= len(head)
