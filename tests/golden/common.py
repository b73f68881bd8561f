"""What all records share: how a value, an error and a bulk of bytes are written down.

The package is used here as its users do, by ``import twistream_kit as kit`` and by its commands.
So its modules may move, and the classes behind the public ones may get other names, without a
change of this folder.
"""

from __future__ import annotations

import base64
import builtins
import hashlib
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import soundfile
from matplotlib.image import imread

import twistream_kit as kit

REPOSITORY = Path(__file__).parents[2]
SAMPLES = Path("sample_audio")
"""Each record is made in a folder of its own that has a copy of the samples."""

STREAM = "MZ" + "1" * 32
CALL = "CA" + "2" * 32
ACCOUNT = "AC" + "3" * 32
TOKEN = "0123456789abcdef" * 2


class Pages:
    """The pages of one area: each is a file, with a heading before each piece of text."""

    def __init__(self) -> None:
        self._pages: dict[str, list[str]] = {}

    def add(self, page: str, heading: str, text: object) -> None:
        """Append `text` to `page`."""
        body = str(text).rstrip("\n")
        self._pages.setdefault(page, []).append(f"=== {heading}\n{body}\n")

    def texts(self) -> dict[str, str]:
        """Return the text of each page."""
        return {name: "\n".join(pieces) for name, pieces in self._pages.items()}


def _describe_opus(found: re.Match[str]) -> str:
    """Describe an Opus file: its serial number is random, and its bytes depend on the machine."""
    info = soundfile.info(io.BytesIO(base64.b64decode(found[1])))
    return f"data:Opus, {info.channels} channels, {info.frames} samples"


def _describe_png(found: re.Match[str]) -> str:
    """Describe a picture by its pixels: how small they get depends on the zlib of the machine."""
    pixels = imread(io.BytesIO(base64.b64decode(found[1])))
    height, width = pixels.shape[:2]
    return f"data:PNG, {width} x {height}, {hashed((pixels * 255).round().astype('u1').tobytes())}"


def hashed(payload: bytes | str) -> str:
    """Return size and hash of something bulky."""
    raw = payload.encode() if isinstance(payload, str) else bytes(payload)
    return f"{len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()[:16]}"


def format_error(error: BaseException) -> str:
    """Return what a user can catch an error as, and what it says."""
    said = str(error)
    data = {
        name: value
        for name, value in sorted(vars(error).items())
        if not name.startswith("_") and isinstance(value, str | int | None)
    }
    return f"raises {' '.join(known_kinds(type(error)))}: {said}\n  {data}"


def known_kinds(kind: type[BaseException]) -> list[str]:
    """Return the names of the public classes that an error belongs to, nearest first."""
    known = []
    for each in kind.__mro__:
        if each in (Exception, BaseException, object):
            continue
        name = each.__name__
        public = name in kit.__all__ and getattr(kit, name) is each
        if public or getattr(builtins, name, None) is each or each.__module__.startswith("twilio."):
            known.append(name)
    return known


def outcome(do: Callable[[], object], show: Callable[[Any], str] = str) -> str:
    """Return what `do` gives, as text, or which error it raises."""
    try:
        return show(do())
    except Exception as error:  # noqa: BLE001 - every error is a record
        return format_error(error)


def shown(value: object) -> str:
    """Return the str and the repr of a value, once where they are the same."""
    said, written = str(value), repr(value)
    return said if said == written else f"{said}\n--- repr\n{written}"


def fields_of(value: object) -> str:
    """Return the fields of a dataclass, without its name, which may be a private one."""
    assert is_dataclass(value)
    return "\n".join(f"{each.name} = {getattr(value, each.name)!r}" for each in fields(value))


def listed(values: Iterable[object]) -> str:
    """Return one value a line, or that there are none."""
    return "\n".join(map(str, values)) or "(none)"


def objections(found: Iterable[Any]) -> str:
    """Return all fields of objections, each in a few lines."""
    return (
        "\n".join(
            f"{each.severity} {each.code} {each.field!r} confidence {_rounded(each.confidence)}\n"
            f"  problem: {each.problem}\n  consequence: {each.consequence}\n  fix: {each.fix}\n"
            f"  text: {each}"
            for each in found
        )
        or "(no objections)"
    )


def _rounded(number: float | None) -> str:
    return "None" if number is None else f"{number:.2f}"


def html_lines(html: str) -> str:
    """Return HTML with one element a line; styles, players and pictures as hashes."""
    html = re.sub(r"data:audio/ogg;base64,([^\"']+)", _describe_opus, html)
    html = re.sub(r"data:image/png;base64,([^\"']+)", _describe_png, html)
    text = re.sub(r"data:[^\"']{200,}", lambda found: f"data:{hashed(found[0])}", html)
    text = re.sub(r'style="([^"]*)"', lambda found: f"style={hashed(found[1])[-6:]}", text)
    return text.replace("><", ">\n<")


_PORT = re.compile(r"((?:127\.0\.0\.1|localhost|\[::1\]):)\d{2,5}\b")
_SID = re.compile(r"\b(?:AC|AP|CA|MZ|NO|PN|SK|MG|TI|PF)[0-9a-f]{32}\b")
_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d (?:\+0000|GMT)")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?")


def steady(text: str) -> str:
    """Return `text` with what differs from run to run, or between Pythons, made the same."""
    text = _PORT.sub(r"\g<1>PORT", text)
    text = text.replace(str(REPOSITORY), "REPOSITORY").replace(str(Path.cwd()), "HERE")
    text = re.sub(r"\[Errno \d+\]", "[Errno N]", text)
    text = re.sub(r"maximum recursion depth exceeded[\w ]*", "(too deep for Python)", text)
    text = _ISO.sub("TIMESTAMP", _DATE.sub("DATE", text))
    names: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        sid = found[0]
        if len(set(sid[2:])) == 1:  # one of ours
            return sid
        kind = sid[:2]
        count = sum(name.startswith(kind) for name in names)
        return names.setdefault(sid, f"{kind}-{count + 1}")

    return _SID.sub(numbered, text)
