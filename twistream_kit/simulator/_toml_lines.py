"""TOML with the lines of its fields, which `tomllib` does not keep, so that errors can name them.

`find_lines` reads a text that `tomllib` has accepted.  It knows tables, arrays of tables, keys and
values of several lines, and gives a line for what stands in the text as usually written; what is
written inline has the line of its key.
"""

from __future__ import annotations

import re
from collections import defaultdict

_HEADER = re.compile(r"""\s*(\[\[?)\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*\]""")

_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*[=.]""")

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # a text of several lines may end with two quotes of its own
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}]|\n",
    re.DOTALL,
)

Place = tuple[str, int, str]
"""A table, its number among those of the same name from 0, and a key; empty for the table."""


def find_lines(text: str) -> dict[Place, int]:
    """Return the line of each key and of each header of a table, from 1.

    Args:
        text: TOML without an error.

    Returns:
        The lines by table, number and key: ``("step", 2, "file")`` is the key *file* of the third
        table *step*.  Keys before the first table are those of the table ``""``.
    """
    lines: dict[Place, int] = {}
    tables: defaultdict[str, int] = defaultdict(lambda: -1)
    table = ""
    tables[table] = 0
    for number, line in _split_statements(text):
        if header := _HEADER.match(line):
            table = _read_name(header.groups()[1:])
            tables[table] += 1
            lines.setdefault((table, tables[table], ""), number)
        elif key := _KEY.match(line):
            lines.setdefault((table, tables[table], _read_name(key.groups())), number)
    return lines


def _split_statements(text: str) -> list[tuple[int, str]]:
    """Return each statement with its first line; it ends with a line, outside of all brackets."""
    statements = []
    begin, line, depth = 0, 1, 0
    first = line
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found in "[{":
            depth += 1
        elif found in "]}":
            depth -= 1
        line += found.count("\n")
        if found == "\n" and depth <= 0:
            statements.append((first, text[begin : token.start()]))
            begin, first, depth = token.end(), line, 0
    statements.append((first, text[begin:]))
    return statements


def _read_name(groups: tuple[str | None, ...]) -> str:
    return next((each for each in groups if each is not None), "")
