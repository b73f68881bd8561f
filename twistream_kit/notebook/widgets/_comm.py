"""Bytes in the kernel's messages, also through a front end that loses their binary part.

Colab's did.  So each side puts `PROBE` into the binary part of its first message; a side that has
received none says so, and from then on bytes travel as text, with the third more that it takes.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PROBE = b"\x01\x02\x03\x04"
"""The binary part of the first message."""

Tell = Callable[[dict[str, Any], list[bytes]], object]
"""Sends a message to all pages, over the kernel."""


def read_bytes(content: Mapping[str, Any], buffers: Sequence[memoryview]) -> bytes:
    """Return the bytes of a page's message, from its binary part or from its text; or nothing."""
    if buffers:
        return bytes(buffers[0])
    try:
        return b64decode(str(content.get("data", "")), validate=True)
    except ValueError:
        return b""
