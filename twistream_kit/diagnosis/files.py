"""Messages of a server as people keep them: one a line, one JSON document, or a capture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from twistream_kit.capture.file import FORMAT


def messages_in(raw: bytes) -> Iterator[tuple[str, str | bytes]]:
    """Yield each message, and where it stands (``line 3``, ``message 1``).

    One message a line is what a log holds.  A text that begins with a list, or with a brace alone
    on its line, is one document: a message laid out over several lines, or a list of messages.
    Of a capture the messages of the server are taken, as far as they were kept.  Nothing is refused
    here: what is no JSON, or no text, comes out as one message, for `review`.

    Args:
        raw: The whole file.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield "message 1", raw
        return
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if lines and (lines[0][1].lstrip().startswith("[") or lines[0][1].strip() == "{"):
        yield from _document(text)
        return
    if lines and _is_header(lines[0][1]):
        yield from _captured(lines[1:])
        return
    for number, line in lines:
        yield f"line {number}", line.strip()


def _is_header(line: str) -> bool:
    header = _object(line)
    return header.get("format") == FORMAT


def _captured(lines: list[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    for number, line in lines:
        entry = _object(line)
        if entry.get("from") == "server" and "size" not in entry:
            yield f"line {number}", json.dumps(entry.get("message"))


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _document(text: str) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        yield "message 1", text
        return
    # A single message stays as it is written, so that a key written twice is still seen.
    messages = document if isinstance(document, list) else [text]
    for number, message in enumerate(messages, 1):
        yield f"message {number}", message if isinstance(message, str) else json.dumps(message)
