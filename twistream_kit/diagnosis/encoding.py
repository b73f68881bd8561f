"""The base64 around a payload, and what it holds (PROTOCOL.md §4)."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator

from twistream_kit.diagnosis.fields import invalid
from twistream_kit.diagnosis.payload import look_inside
from twistream_kit.protocol.objection import Objection, shown

_ENCODE = "Send b64encode(payload).decode() in one piece, or stream.play(clip)"


def review_base64(text: str, field: str) -> Iterator[Objection]:
    """Say why `text` is not base64, or what is wrong with the sound that it holds."""
    try:
        payload = b64decode(text, validate=True)
    except ValueError:
        bare, problem, fix = _mistake(text)
        yield invalid(field, problem, fix)
        # Whoever wraps base64 wrongly may also have wrapped the wrong thing.
        payload = _decode_leniently(bare)
        if not payload:
            return
    yield from look_inside(payload, field)


def _mistake(text: str) -> tuple[str, str, str]:
    """Return the base64 inside `text`, what is wrong around it, and the fix."""
    if match := re.match(r"data:[^,]{0,100};base64,", text):
        fix = "Send what follows the comma, nothing else"
        return text[match.end() :], f"is a data URL, starting with {shown(match[0])}", fix
    if text[:2] in ("b'", 'b"'):
        fix = "Use b64encode(payload).decode(), not str(b64encode(payload))"
        return text[2:-1], "is Python's way to print bytes: it starts with b and a quote", fix
    bare = re.sub(r"\s", "", text)
    if bare != text and _is_base64(bare):
        fix = "Use b64encode, not encodebytes: everything in one line"
        return bare, "holds spaces or line breaks between the base64", fix
    standard = text.replace("-", "+").replace("_", "/")
    if standard != text and _is_base64(standard + "=" * (-len(standard) % 4)):
        fix = "Use b64encode, not urlsafe_b64encode"
        return standard, "is base64 in the alphabet for URLs, with - and _", fix
    if re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text):
        if "=" not in text and len(text) % 4 in (2, 3):
            missing = "=" * (-len(text) % 4)
            return text, f"is base64 without its padding: {missing} is missing at the end", _ENCODE
        return text, f"is base64 cut off or joined: {len(text)} characters", _ENCODE
    wrong = re.search(r"[^A-Za-z0-9+/=]", text)
    if wrong:
        where = f"{shown(wrong[0])} stands at character {wrong.start()}"
        return "", f"is not base64: {where}", _ENCODE
    fix = "Encode all bytes at once; pieces of base64 cannot be joined"
    return text, "is not base64: = stands before the end", fix


def _is_base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _decode_leniently(text: str) -> bytes:
    letters = re.sub(r"[^A-Za-z0-9+/]", "", text)
    return b64decode(letters[: len(letters) // 4 * 4])
