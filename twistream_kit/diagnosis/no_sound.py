"""Text where sound should be: base64 once too often, or an error page (PROTOCOL.md §4).

Half of all codes of PCMU are ASCII: the negative samples.  That a payload is ASCII therefore means
little, and a quiet sound that never crosses zero can even be all small letters.  What no sound does
is to jump between large and small letters, digits and signs as text does: such a jump is one of
hundreds of steps, and sound that jumps so far also crosses zero, where ASCII ends, or meets one of
the codes between the letters.
"""

from __future__ import annotations

import re
from base64 import b64decode
from codecs import BOM_UTF8
from http import HTTPStatus

_LOOKED_AT = 4096
"""Bytes at the beginning by which a long payload is judged."""

_SHORTEST_BASE64 = 32
"""A fifth of a frame.  White noise is in the alphabet of base64 with odds of 4**-32."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{4}[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*")
_NEAR_SILENCE = bytes([*range(0xFC, 0x100), *range(0x7C, 0x80), 0x00])
"""The softest codes of PCMU, and the zero of 16-bit sound."""

_HEX = re.compile(rb"(?:[0-9a-f]{2}){16,}|(?:[0-9A-F]{2}){16,}")

_JUMP = re.compile(rb"[A-Z](?=[a-z0-9+/])|[a-z](?=[A-Z0-9+/])|[0-9+/](?=[A-Za-z])")
"""Between capitals, small letters and the rest: codes of other signs lie between the three."""

_PRINTABLE = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*")
HEXADECIMAL, NUMBERS = "hexadecimal digits", "a list of numbers as text"
PRINTED_BYTES, DATA_URL, ADDRESS = "bytes as Python prints them", "a data URL", "an address"
"""Kinds of text that are no error, but sound or the way to it."""

_FIRST = frozenset("<{[Hbdeh")
_KINDS = [
    ("an HTTP answer", re.compile(r"HTTP/[0-9]")),
    (
        "HTML",
        re.compile(r"<(?:!--|(?:!doctype\s+html|html|head|body|h[1-6]|p|title)\b)", re.IGNORECASE),
    ),
    ("XML", re.compile(r"<(?:\?xml\s|![A-Z]|[A-Za-z][\w:.-]*(?:\s+[\w:.-]+=[\"']|/?>))")),
    ("JSON", re.compile(r"(?:data: ?)?(?:\[\s*)*\{\s*(?:\"[^\"]*\"\s*:|\}\s*$)|\[\s*\"[^\"]")),
    (NUMBERS, re.compile(r"\[\s*-?\d[\d.e+-]*(?:\s*,\s*|\s+)-?\d[\d.e+-]*(?:\s*,|\s+|\])")),
    ("text", re.compile(r"event: ?[a-z.]+\ndata:|\[object [A-Z]")),
    (DATA_URL, re.compile(r"data:[a-z]+/[a-z0-9.+-]+[;,]")),
    (ADDRESS, re.compile(r"https?://[\w.-]+[\w/:?=&%.+~-]*$")),
    (PRINTED_BYTES, re.compile(r"b(['\"]).*\\x[0-9a-f]{2}", re.DOTALL)),
]
_WORDS = re.compile(r"[A-Za-z,.:;!?)'\"]{2} (?=[A-Za-z0-9(\"'])")
"""The end of a word, a space, the beginning of another: -300, -300, -8000, -300 as sound."""

_WHOLE = frozenset(
    [status.phrase.lower() for status in HTTPStatus] + ["null", "none", "undefined", "error"]
)
"""Answers that have only one or two words."""


def unwrapped(payload: bytes) -> bytes | None:
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
    # Silence in base64 hardly jumps; but nothing else decodes to silence.
    return inner if _jumps(bare) or not inner.translate(None, _NEAR_SILENCE) else None


def text_kind(payload: bytes) -> str | None:
    """Return what kind of text `payload` is, ``HTML`` for one, or None if it may be sound."""
    if not payload[:3].isascii() and payload[:3] != BOM_UTF8:
        return None
    try:
        text = payload[:_LOOKED_AT].decode().strip()
    except UnicodeDecodeError as error:
        # A letter of several bytes may be cut at the end of a payload.
        if error.start < min(len(payload), _LOOKED_AT) - 3:
            return None
        text = payload[: error.start].decode().strip()
    text = text.removeprefix("\ufeff")
    if text[:1] in _FIRST:
        for kind, start in _KINDS:
            if start.match(text) and _PRINTABLE.fullmatch(text):
                return kind
    if text.lower().lstrip("0123456789 ") in _WHOLE:
        return "text"
    if _HEX.fullmatch(payload) and (_jumps(payload) or payload[0] == payload[-1] == 0x66):
        return HEXADECIMAL
    words = len(_WORDS.findall(text))
    is_text = words >= 2 and words * 40 >= len(text) and _PRINTABLE.fullmatch(text)
    return "text" if is_text else None


def _jumps(payload: bytes) -> bool:
    """Whether `payload` jumps between the kinds of letters as only text does."""
    head = payload[:_LOOKED_AT]
    jumps = len(_JUMP.findall(head))
    return jumps >= 6 and jumps * 20 >= len(head)
