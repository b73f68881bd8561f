"""Joins the ES modules of a widget's page into the one text that anywidget takes.

The files are plain ES modules, which every JavaScript tool can read.  anywidget sends a page one
text, which becomes a module without a URL, so a relative import in it cannot be resolved.  The
imports are therefore resolved here, when a widget is loaded, without a bundler and a build step.

All parts then share one scope.  Code that could behave differently there than in a module of its
own is refused, and so is every form of import and export except those listed at `join_modules`:
either the joined text does the same as its parts, or an error is raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, cast

IMPORT = 'import { a, b } from "./part.js";'
EXPORTS = "export const, let, class, function or async function, and in the entry export default"


@cache
def join_modules(entry: Path) -> str:
    """Return `entry` and all its imports as the text of one module; read once per process.

    A part comes after the parts that it imports, in the order of its imports.  The supported forms
    are ``import { a, b } from "./part.js";`` of a part in the same folder, or ``"../part.js"`` of
    one in the folder above, ``export`` before a declaration, and ``export default`` in the entry.

    Args:
        entry: The file with the default export, which anywidget calls.

    Raises:
        ValueError: If a part imports a name or a file that does not exist, or imports or exports in
            another form; if imports are circular; if two parts declare the same name, or one uses a
            name of another that it does not import; or if the tokens of a part are ambiguous.
    """
    parts = _sort_parts(entry)
    owners: dict[str, _ScriptPart] = {}
    for part in parts:
        for name, start in part.declared:
            if name in owners:
                part.refuse(
                    start,
                    f"{name} is declared in {owners[name].path.name} too; all parts share one "
                    "scope, so give one of the two another name",
                )
            owners[name] = part
    for part in parts:
        _check_names(part, owners)
    return "\n".join(f"// {part.path.name}\n\n{part.body.strip()}\n" for part in parts)


Kind = Literal["name", "mark", "text"]
"""The kind of a token; a text is a string, a template or a regular expression."""


class _Token(NamedTuple):
    kind: Kind
    text: str
    start: int
    depth: int  # the number of open brackets around it


@dataclass
class _Import:
    name: str
    source: str
    start: int


@dataclass
class _ScriptPart:
    """One file, with its tokens, imports, exports and declarations."""

    path: Path
    text: str
    tokens: list[_Token] = field(default_factory=list)
    imports: list[_Import] = field(default_factory=list)
    exports: set[str] = field(default_factory=set)
    declared: list[tuple[str, int]] = field(default_factory=list)
    cuts: list[tuple[int, int]] = field(default_factory=list)
    defaults: list[int] = field(default_factory=list)

    @property
    def body(self) -> str:
        """The text without its imports, and without the word ``export`` before declarations."""
        end, kept = 0, []
        for cut, after in self.cuts:
            kept.append(self.text[end:cut])
            end = after
        return "".join([*kept, self.text[end:]])

    def find(self, imported: _Import) -> Path:
        """Return the file of one of its imports."""
        source = (self.path.parent / imported.source).resolve()
        if not source.is_file():
            missing = imported.source.removeprefix("./")
            self.refuse(imported.start, f"there is no {missing} beside {self.path.name}")
        return source

    def refuse(self, start: int, why: str) -> NoReturn:
        line = self.text.count("\n", 0, start) + 1
        raise ValueError(f"{self.path.name}, line {line}: {why}")


def _sort_parts(entry: Path) -> list[_ScriptPart]:
    done: dict[str, _ScriptPart] = {}
    under_way: list[str] = []

    def add(path: Path) -> _ScriptPart:
        if path.name in under_way:
            circle = " → ".join([*under_way[under_way.index(path.name) :], path.name])
            raise ValueError(f"circular imports: {circle}; move the shared code to another part")
        if path.name in done:
            return done[path.name]
        part = _read(path)
        under_way.append(path.name)
        for each in part.imports:
            source = part.find(each)
            imported = add(source)
            if imported.path != source:
                part.refuse(each.start, f"there are two parts named {source.name}; rename one")
            if each.name not in imported.exports:
                part.refuse(each.start, f"{source.name} exports no {each.name}")
        under_way.pop()
        done[path.name] = part
        return part

    last = add(entry.resolve())
    for part in done.values():
        wanted = 1 if part is last else 0
        if len(part.defaults) > wanted:
            part.refuse(part.defaults[wanted], "only the entry may have a default export, only one")
    if not last.defaults:
        last.refuse(0, "the entry has no default export, which anywidget calls")
    return list(done.values())


def _check_names(part: _ScriptPart, owners: dict[str, _ScriptPart]) -> None:
    """Refuse a name of another part that is not imported: it exists only in the joined text."""
    imported = {each.name for each in part.imports}
    for index, token in enumerate(part.tokens):
        owner = owners.get(token.text)
        if token.kind != "name" or owner in (None, part) or token.text in imported:
            continue
        before, after = _get_neighbours(part.tokens, index)
        is_property = before in (".", "?.") or (before in ("{", ",") and after == ":")
        if not is_property:
            part.refuse(
                token.start,
                f"{token.text} is declared in {owner.path.name} and not imported from there; "
                "import it, or give one of the two another name",
            )


def _get_neighbours(tokens: list[_Token], index: int) -> tuple[str, str]:
    """Return the text of the tokens before and after a token, empty at the borders."""
    before = tokens[index - 1].text if index else ""
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    return before, after


# Reading one part


def _read(path: Path) -> _ScriptPart:
    part = _ScriptPart(path, path.read_text(encoding="utf-8"))
    part.tokens = list(_Scanner(part).read())
    if part.tokens and part.tokens[-1].text not in (";", "}"):
        part.refuse(part.tokens[-1].start, "the last statement has no semicolon")
    _read_imports_and_exports(part)
    _read_declarations(part)
    return part


def _read_imports_and_exports(part: _ScriptPart) -> None:
    for index, token in enumerate(part.tokens):
        if token.kind != "name" or token.text not in ("import", "export"):
            continue
        if _get_neighbours(part.tokens, index)[0] in (".", "?."):
            continue
        if token.text == "import":
            _read_import(part, index)
        else:
            _read_export(part, index)


_IMPORT = re.compile(
    r'import { (?P<names>[\w$]+(?: , [\w$]+)*)(?: ,)? } from "(?P<source>\.\.?/[\w-]+\.js)" ;'
)


def _read_import(part: _ScriptPart, index: int) -> None:
    start = part.tokens[index].start
    end = next((n for n in range(index, len(part.tokens)) if part.tokens[n].text == ";"), index)
    statement = part.tokens[index : end + 1]
    found = _IMPORT.fullmatch(" ".join(token.text for token in statement))
    if found is None or statement[0].depth != 0:
        part.refuse(start, f"this form of import is not supported; write {IMPORT}")
    for name in found["names"].split(" , "):
        part.imports.append(_Import(name, found["source"], start))
    after = statement[-1].start + 1
    part.cuts.append((start, after + part.text[after:].startswith("\n")))


def _read_export(part: _ScriptPart, index: int) -> None:
    token, following = part.tokens[index], part.tokens[index + 1 :]
    words = [each.text for each in following[:2]]
    if words[:1] == ["default"] and token.depth == 0:
        part.defaults.append(token.start)
        return
    is_declaration = words[:1] and words[0] in ("const", "let", "class", "function")
    is_declaration = is_declaration or words == ["async", "function"]
    if not is_declaration or token.depth != 0:
        part.refuse(token.start, f"this form of export is not supported; write {EXPORTS}")
    part.cuts.append((token.start, following[0].start))


def _read_declarations(part: _ScriptPart) -> None:
    """Find the declarations of the part in its outermost scope, and which of them it exports."""
    inside = False  # inside a const or let declaration, which ends at its semicolon
    is_exported = False
    for index, token in _iterate_outermost(part):
        begins = token.text in ("const", "let")
        if token.text == ";":
            inside = False
        elif begins or (inside and token.text == ","):
            if begins:
                is_exported = _find_word_before(part.tokens, index) == "export"
            _declare(part, index + 1, follows_on=begins and inside, is_exported=is_exported)
            inside = True
        elif token.text in ("class", "function") and not _is_operand(part.tokens, index):
            place = index + 1 + (_get_neighbours(part.tokens, index)[1] == "*")
            before = _find_word_before(part.tokens, index)
            if before != "default" or _is_name(part.tokens[place].text):
                _declare(part, place, follows_on=inside, is_exported=before == "export")
    if inside:
        part.refuse(part.tokens[-1].start, "the last declaration has no semicolon")


def _iterate_outermost(part: _ScriptPart) -> Iterator[tuple[int, _Token]]:
    """Yield the tokens outside all brackets that are no property, each with its index."""
    for index, token in enumerate(part.tokens):
        if token.kind == "text" or _get_neighbours(part.tokens, index)[0] in (".", "?."):
            continue
        if token.text == "var":
            part.refuse(token.start, "var reaches out of its block; write const or let")
        if token.depth == 0:
            yield index, token


def _declare(part: _ScriptPart, index: int, *, follows_on: bool, is_exported: bool) -> None:
    start = part.tokens[index - 1].start
    if follows_on:
        part.refuse(start, "the declaration before this one has no semicolon")
    name = part.tokens[index].text
    if not _is_name(name):
        part.refuse(start, "this does not declare a plain name; declare one name after another")
    part.declared.append((name, start))
    if is_exported:
        part.exports.add(name)


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z_$][\w$]*", text) is not None


def _is_operand(tokens: list[_Token], index: int) -> bool:
    """Whether a class or function is part of an expression, decided by the token before it."""
    index -= bool(index) and tokens[index - 1].text == "async"
    before = tokens[index - 1] if index else None
    return before is not None and before.kind == "mark" and before.text not in (";", ")", "]", "}")


def _find_word_before(tokens: list[_Token], index: int) -> str:
    """Return the text before a declaration, past its ``async``; empty at the beginning."""
    before = _get_neighbours(tokens, index)[0]
    return _find_word_before(tokens, index - 1) if before == "async" else before


# Tokens: only as detailed as needed to find the code and its bracket depth

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<name>[\w$\#]+)
    |(?P<mark>=>|\?\.|\.\.\.|\+\+|--|.)""",
    re.VERBOSE | re.DOTALL,
)
_REGULAR_EXPRESSION = re.compile(r"/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
_TEMPLATE_PIECE = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*(?P<end>`|\$\{)", re.DOTALL)

_CLOSING = {"(": ")", "[": "]", "{": "}", "${": "}"}
_BEFORE_A_VALUE = {
    *("return", "typeof", "case", "of", "in", "instanceof", "void", "delete", "await", "yield"),
    *("new", "throw", "else", "do"),
}
_BEFORE_A_CONDITION = {"if", "while", "for", "with"}


class _Scanner:
    """Yields the tokens of a part; refuses text that only a complete parser could tokenize."""

    def __init__(self, part: _ScriptPart) -> None:
        self._part, self._text, self._at = part, part.text, 0
        self._open: list[tuple[str, str, int]] = []  # brackets, the word before each, its place
        self._last = _Token("mark", ";", 0, 0)
        self._condition_ends = False  # the last token closes the condition of an if or a loop
        self._template_continues = False  # the last token closes the ${ of a template

    def read(self) -> Iterator[_Token]:
        while self._at < len(self._text):
            found = _TOKEN.match(self._text, self._at)
            assert found is not None  # noqa: S101 - its last alternative is any character
            if found.lastgroup == "space":
                self._at = found.end()
                continue
            if found[0] == "`":
                yield self._take_template(1)
                continue
            token = self._take_slash() if found[0] == "/" else self._take_token(found)
            self._at = token.start + len(token.text)
            self._last = token
            yield token
            if token.text == "}" and self._template_continues:
                self._template_continues = False
                yield self._take_template(0)
        if self._open:
            opening, _, start = self._open[-1]
            self._part.refuse(start, f"{opening} is not closed")

    def _take_token(self, found: re.Match[str]) -> _Token:
        kind = cast("Kind", found.lastgroup)
        word, depth = found[0], len(self._open)
        if word in ('"', "'"):
            self._part.refuse(self._at, "a string has no end")
        if word in ("(", "[", "{"):
            self._open.append((word, self._last.text, self._at))
        elif word in (")", "]", "}"):
            opening, before, _ = self._open.pop() if self._open else ("", "", 0)
            if _CLOSING.get(opening) != word:
                self._part.refuse(self._at, f"{word} closes nothing")
            depth -= 1
            self._condition_ends = before in _BEFORE_A_CONDITION
            self._template_continues = opening == "${"
        return _Token(kind, word, self._at, depth)

    def _take_template(self, skipped: int) -> _Token:
        """Take a template up to its end, or to the next ``${``."""
        piece = _TEMPLATE_PIECE.match(self._text, self._at + skipped)
        if piece is None:
            self._part.refuse(self._at, "a template has no end")
        start, depth = self._at, len(self._open)
        self._at = piece.end()
        if piece["end"] == "`":
            self._last = _Token("text", self._text[start : self._at], start, depth)
        else:
            self._open.append(("${", "", self._at - 2))
            self._last = _Token("mark", "${", self._at - 2, depth)
        return self._last

    def _take_slash(self) -> _Token:
        """Take a division, or a regular expression as a whole."""
        last, depth = self._last, len(self._open)
        if last.text in ("}", "++", "--") or (last.text == ")" and self._condition_ends):
            self._part.refuse(self._at, "is this a division or a regular expression? use brackets")
        ends_a_value = last.kind == "text" or last.text in (")", "]")
        if ends_a_value or (last.kind == "name" and last.text not in _BEFORE_A_VALUE):
            return _Token("mark", "/", self._at, depth)
        found = _REGULAR_EXPRESSION.match(self._text, self._at)
        if found is None:
            self._part.refuse(self._at, "a regular expression or a comment has no end")
        return _Token("text", found[0], self._at, depth)
