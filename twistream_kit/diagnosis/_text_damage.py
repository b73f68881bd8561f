"""Recognise sound whose bytes were read as text and written again (PROTOCOL.md §4).

A program that decodes the body of an answer as text, and encodes it again, changes every byte above
0x7F, which is half of all sound.  Each way of doing so leaves a mark that no sound has:

- UTF-8: each byte that is not UTF-8 becomes U+FFFD, which is EF BF BD.
- Latin-1, written as UTF-8: each byte above 0x7F gets a C2 or C3 before it.
- ASCII: each byte above 0x7F becomes ``?``, or is left out.
- Seven bits: the top bit is gone.  The samples of PCMU above zero have it, so all lie below zero,
  and the sound touches zero again and again and never becomes positive.
- Text mode: LF becomes CR LF, so that 0D stands before every 0A.
- Hexadecimal digits in the place of base64: they are valid base64 of other bytes.
"""

from __future__ import annotations

from base64 import b64encode

from twistream_kit.errors import Objection
from twistream_kit.sound_file import has_line_ends

_REPLACED = b"\xef\xbf\xbd"
"""U+FFFD, the replacement character, in UTF-8."""

_FEWEST_REPLACED = 4
"""Within one message; sound in which these three samples follow each other is very rare."""

_REPLACED_SHARE = 0.03

_FEWEST_PAIRS, _SHARE_OF_PAIRS = 8, 0.05
"""The least number and share of characters of several bytes: sound is never all valid UTF-8."""

_HEX_DIGITS = (b"0123456789abcdef", b"0123456789ABCDEF")

_FEWEST_DIGITS = 6
"""How many different digits there must be: base64 of silence may consist of one letter."""

_SHORTEST_HEX = 30
"""In bytes; 40 digits.  Sound consists of hexadecimal digits with a probability of 3**-40."""

_SHORTEST_SOUND = 4000
"""Half a second; shorter sound may lie below zero, or be valid UTF-8, by chance."""

_QUESTION_SHARE = 0.2

_POSITIVE = bytes(range(0x80, 0x100))

_ALMOST_ZERO = bytes(range(0x7A, 0x80))
"""The codes of the samples -40 to -0."""

_LOUD_NEGATIVE = bytes(range(0x70))
"""The codes of the samples below -120."""

_HEARD = "The caller hears loud crackling noise and hardly a voice"

_READ_AS_TEXT = "is sound that was read as text"

_HEXADECIMAL = "is hexadecimal digits, which were decoded as base64"

_FETCH = (
    "Fetch and pass it as bytes: response.content, not response.text; in JavaScript"
    " arraybuffer, and no toString(); open files with 'rb'"
)


def look_for_text_damage(payload: bytes, field: str) -> Objection | None:
    """Check one payload for bytes that were read as text; no sound satisfies these rules."""
    if _is_replaced(payload):
        return _object(field, "the bytes EF BF BD stand everywhere", "UTF-8")
    if (coding := _find_wider_text(payload)) is not None:
        return _object(field, "every byte above 0x7F became two or more", coding)
    if _is_hexadecimal(payload):
        return Objection(
            None,
            field,
            _HEXADECIMAL,
            "Twilio decodes the digits as base64 and would play loud noise, logging nothing",
            "Encode the bytes as base64: b64encode(bytes.fromhex(digits)).decode();"
            " to_twilio.Media(stream_sid, bytes.fromhex(digits)) does it",
        )
    return None


def is_text_damage(objection: Objection) -> bool:
    """Whether an objection is one of `look_for_text_damage`: the bytes are no sound then."""
    return objection.problem.startswith((_READ_AS_TEXT, _HEXADECIMAL))


def look_for_lost_bits(payload: bytes, field: str) -> Objection | None:
    """Check half a second of sound or more for bytes that became ASCII, or line ends."""
    if len(payload) < _SHORTEST_SOUND:
        return None
    if has_line_ends(payload):
        return Objection(
            None,
            field,
            "has 0D before every 0A, as if these were line ends: it went through a file or a"
            " stream in text mode, which inserts bytes",
            "The caller hears each inserted byte as a click, and noise if samples have several"
            " bytes",
            "Read and write it as bytes: open(path, 'rb'), open(path, 'wb'). This sound is"
            " restored, but for what was 0D 0A before: payload.replace(b'\\r\\n', b'\\n')",
        )
    if not payload.isascii():
        return None
    if payload.count(b"?") > _QUESTION_SHARE * len(payload) and _has_other_codes(payload):
        return _object(field, "every byte above 0x7F became '?'", "ASCII")
    near_zero = len(payload) - len(payload.translate(None, _ALMOST_ZERO))
    loud = len(payload) - len(payload.translate(None, _LOUD_NEGATIVE))
    if near_zero < _NEAR_SHARE * len(payload) or loud < _LOUD_SHARE * len(payload):
        return None
    if _count_visits(payload) < _FEWEST_VISITS:
        return None
    return Objection(
        None,
        field,
        "has no code above 0x7F, so half of all codes are missing: its bytes have 7 bits, or were"
        " read as text",
        _HEARD,
        f"Keep all 8 bits of each byte. {_FETCH}",
    )


_NEAR_SHARE, _LOUD_SHARE = 0.02, 0.004
"""The least shares of samples near zero, and of loud ones; silence has none of these."""

_FEWEST_VISITS = 20
"""How often sound must touch zero; sound with an offset, which lies below zero too, hardly does."""


def _object(field: str, mark: str, coding: str) -> Objection:
    return Objection(
        None,
        field,
        f"{_READ_AS_TEXT} ({coding}): {mark}",
        f"{_HEARD}; what is lost cannot be restored",
        _FETCH,
    )


def _is_replaced(payload: bytes) -> bool:
    count = payload.count(_REPLACED)
    if count < _FEWEST_REPLACED or 3 * count < _REPLACED_SHARE * len(payload):
        return False
    # A tone of 2667 Hz might consist of these three samples only; text is valid all over.
    return _decode(payload) is not None or 6 * count < len(payload)


def _find_wider_text(payload: bytes) -> str | None:
    """Return how the bytes were read if all of `payload` is UTF-8 of more than ASCII."""
    if payload.isascii():
        return None
    text = _decode(payload)
    if text is None:
        return None
    wide = sum(char > "\x7f" for char in text)
    if wide < max(_FEWEST_PAIRS, _SHARE_OF_PAIRS * len(text)) or len(set(text)) < _FEWEST_PAIRS:
        return None
    if max(text) <= "\xff":
        return "Latin-1, written as UTF-8"
    # A frame of 160 bytes of a high tone may be UTF-8 by chance; half a second is not.
    return "written as UTF-8" if len(payload) >= _SHORTEST_SOUND else None


def _decode(payload: bytes) -> str | None:
    """Return `payload` as text if it is UTF-8; a character may be cut at either end."""
    begin = next((at for at in range(min(4, len(payload))) if payload[at] & 0xC0 != 0x80), 0)
    try:
        return payload[begin:].decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None
        return payload[begin : begin + error.start].decode()


def _is_hexadecimal(payload: bytes) -> bool:
    """Whether base64 of `payload` consists of hexadecimal digits, wherever it was cut."""
    if len(payload) < _SHORTEST_HEX:
        return False
    for begin in range(3):
        head = b64encode(payload[begin : begin + _SHORTEST_HEX - 3])
        for digits in _HEX_DIGITS:
            if not head.translate(None, digits):
                size = (len(payload) - begin) // 3 * 3
                text = b64encode(payload[begin : begin + size])
                return len(set(text)) >= _FEWEST_DIGITS and not text.translate(None, digits)
    return False


def _has_other_codes(payload: bytes) -> bool:
    """Whether it is more than a tone or a constant level."""
    return len(set(payload)) >= _FEWEST_PAIRS


def _count_visits(payload: bytes) -> int:
    """Return how often the sound goes from louder samples to zero."""
    is_near = payload.translate(_NEARNESS)
    return is_near.count(b"\x00\x01")


_NEARNESS = bytes(code in b"\x7e\x7f" for code in range(256))
"""1 for the codes of the samples -8 and -0, else 0."""
