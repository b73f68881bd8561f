"""Messages of a server as people keep them: one a line, or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterator


def messages_in(raw: bytes) -> Iterator[tuple[str, str | bytes]]:
    """Yield each message, and where it stands (``line 3``, ``message 1``).

    One message a line is what a log holds.  A text that begins with a list, or with a brace alone
    on its line, is one document: a message laid out over several lines, or a list of messages.
    Nothing is refused here: what is no JSON, or no text, comes out as one message, for `review`.

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
    for number, line in lines:
        yield f"line {number}", line.strip()


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
