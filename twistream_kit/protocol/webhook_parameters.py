"""What a webhook says: names and values in a query, a form or a JSON object (PROTOCOL.md §6.5)."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

Parameters = dict[str, str | list[str]]
"""A name that was given several times has a list."""


def from_query(query: str) -> Parameters:
    """Read the part of a URL behind the question mark, or a form that is text already."""
    grouped: Parameters = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        known = grouped.get(name)
        if known is None:
            grouped[name] = value
        else:
            grouped[name] = [*known, value] if isinstance(known, list) else [known, value]
    return grouped


def from_form(body: bytes) -> Parameters:
    """Read the body of a form; bytes that are no UTF-8 are replaced."""
    return from_query(body.decode("utf-8", "replace"))


def from_json(body: bytes) -> Parameters:
    """Read the strings and numbers of a JSON object; anything else has none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: str(value) for name, value in found.items() if isinstance(value, str | int)}
