"""Find the place of a field in the text of a JSON message, which may be wrong or cut."""

from __future__ import annotations

import re

MOST_DEPTH = 20
"""Messages are three deep; a text of brackets alone must not be followed to its end."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"?)|(?P<mark>[{}\[\],:])|[^\s{}\[\],:"]+)"""
)


def find_field(text: str, field: str) -> tuple[int, int] | None:
    """Return where a field, as an objection names it, begins and ends in a message.

    It is the name with its value.  Of a field that is missing, the object is marked in which it
    should be, by its name.

    >>> text = '{"event":"mark","mark":{"nmae":"end"}}'
    >>> begin, end = find_field(text, "mark.nmae")
    >>> text[begin:end]
    '"nmae":"end"'
    >>> begin, end = find_field(text, "mark.name")
    >>> text[begin:end]
    '"mark"'
    """
    if not field or not text.lstrip().startswith("{"):
        return None
    places = _FieldPlaces(text).places
    if field in places:
        name, end = places[field]
        return name[0], end
    parent = field.rpartition(".")[0]
    return places[parent][0] if parent in places else None


class _FieldPlaces:
    """The fields of a text that begins as an object.

    Attributes:
        places: For each field where its name stands, and where its value ends.
    """

    def __init__(self, text: str) -> None:
        self.places: dict[str, tuple[tuple[int, int], int]] = {}
        self._tokens = list(_TOKEN.finditer(text))
        self._end = len(text)
        self._at = 1  # after the first bracket
        self._read_inside("", 1)

    def _read_inside(self, path: str, depth: int) -> int:
        """Read to the end of an object or a list; return where that is."""
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token["mark"] in ("}", "]"):
                return token.end()
            if token["string"] and self._is_mark(":"):
                self._at += 1
                name = f"{path}.{token['string'].strip(chr(34))}".lstrip(".")
                ends = self._read_value(name, depth)
                self.places.setdefault(name, (token.span("string"), ends))
            elif token["mark"] in ("{", "["):
                self._at -= 1
                self._read_value(path, depth)
        return self._end

    def _read_value(self, path: str, depth: int) -> int:
        if self._at >= len(self._tokens):
            return self._end
        token = self._tokens[self._at]
        self._at += 1
        if token["mark"] in ("{", "[") and depth < MOST_DEPTH:
            return self._read_inside(path, depth + 1)
        return token.end()

    def _is_mark(self, mark: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at]["mark"] == mark
