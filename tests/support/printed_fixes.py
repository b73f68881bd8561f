"""Every fix that the package can print, found in its source.

A fix is what is given to a parameter or a field of the name ``fix``: of an `Objection`, of an
error, or of a function that makes one; and what a property of that name returns.  Each is followed
to the texts that it may be: constants, f-strings, tables, the results of functions, both sides of
a condition.  So a new objection is found here without being listed anywhere.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "twistream_kit"

HOLE = "{}"
"""What stands in a text for a value that is only known when it is printed."""

_MOST_TEXTS = 200

_DEEPEST = 8


@dataclass(frozen=True, order=True)
class PrintedFix:
    """A text that is printed as a fix.

    Attributes:
        text: The text, with `HOLE` for values.
        module: The module in which it is given, without the name of the package.
        function: The function in which it is given, or empty.
        made: What it is given to: ``Objection``, the class of an error, or a function.
    """

    text: str
    module: str
    function: str
    made: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """A pattern of all that it may be in print."""
        return re.compile(".*".join(map(re.escape, self.text.split(HOLE))), re.DOTALL)

    @property
    def is_open(self) -> bool:
        """Whether it cannot be followed to a text."""
        return len(re.sub(r"\W", "", self.text.replace(HOLE, ""))) < 4


class _Module:
    """One module: its tree, its functions and classes, and its values."""

    def __init__(self, path: Path) -> None:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        self.path = ".".join(parts).removesuffix(".__init__")
        self.name = self.path.removeprefix(f"{PACKAGE.name}.")
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.functions = {
            node.name: node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        self.owners = {
            inner: owner
            for owner in self.functions.values()
            for inner in ast.walk(owner)
            if inner is not owner
        }

    def find_value(self, name: str) -> object:
        """Return what a name of the module is while it runs, or None."""
        return getattr(importlib.import_module(self.path), name, None)


def assert_all_are_listed(
    fixes: Iterable[PrintedFix],
    covered: set[PrintedFix],
    not_applied: Mapping[str, Mapping[str, str]],
) -> None:
    """Check that each fix is covered, or has a reason, and that no reason has outlived its fix.

    Args:
        fixes: All that are printed.
        covered: Those that a test has followed.
        not_applied: By module and the beginning of the text, why no test does.
    """
    without_reason, used = [], set()
    for fix in fixes:
        begins = [each for each in not_applied.get(fix.module, {}) if fix.text.startswith(each)]
        if fix in covered:
            continue
        used |= {(fix.module, each) for each in begins}
        if not begins:
            without_reason.append(f"{fix.module}.{fix.function}: {fix.text}")
    assert not without_reason, "\n".join(
        ("give each a row, or a reason in NOT_APPLIED:", *without_reason)
    )
    listed = {(module, each) for module, begins in not_applied.items() for each in begins}
    assert listed == used, f"they are printed no more, or are applied: {listed - used}"


def find_printed_fixes() -> list[PrintedFix]:
    """Return every text that the package can print as a fix, once each."""
    return sorted(set(_Search().find()))


class _Search:
    def __init__(self) -> None:
        paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py"]
        self._under_way: list[tuple[str, ast.AST]] = []
        self.modules = {module.path: module for module in map(_Module, sorted(paths))}

    def find(self) -> Iterator[PrintedFix]:
        for module in self.modules.values():
            for call in ast.walk(module.tree):
                if isinstance(call, ast.Call) and (given := self._find_given(module, call)):
                    made, expression = given
                    owner = getattr(module.owners.get(call), "name", "")
                    for text in self._follow(expression, call, module, 0):
                        yield PrintedFix(text, module.name, owner, self._find_made(module, made))
            for function in module.functions.values():
                if function.name == "fix":
                    for text in self._follow_returns(function, module, None, 0):
                        yield PrintedFix(text, module.name, "", "Objection")

    def _find_made(self, module: _Module, name: str) -> str:
        """Return what a class or function makes: its own name, or the class that it returns."""
        function = module.functions.get(name)
        if function is None:
            value = module.find_value(name)
            home = self.modules.get(getattr(value, "__module__", ""))
            function = home.functions.get(name) if home else None
        returned = ast.unparse(function.returns) if function and function.returns else name
        return "Objection" if "Objection" in returned else returned

    def _find_given(self, module: _Module, call: ast.Call) -> tuple[str, ast.expr] | None:
        """Return what a call gives as a fix, and the name of what makes it an error."""
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        for keyword in call.keywords:
            if keyword.arg == "fix":
                return name, keyword.value
        if not isinstance(call.func, ast.Name):
            return None
        place = self._find_place(module, name)
        if place is not None and place < len(call.args):
            return name, call.args[place]
        return None

    def _find_place(self, module: _Module, name: str) -> int | None:
        """Return at which place a function or class takes a fix."""
        function = module.functions.get(name)
        if function is not None:
            names = [argument.arg for argument in function.args.args]
            return names.index("fix") if "fix" in names else None
        value = module.find_value(name)
        if value is None or not getattr(value, "__module__", "").startswith("twistream_kit"):
            return None
        try:
            names = [
                each.name
                for each in inspect.signature(value).parameters.values()
                if each.kind is each.POSITIONAL_OR_KEYWORD
            ]
        except (TypeError, ValueError):
            return None
        return names.index("fix") if "fix" in names else None

    def _follow(  # noqa: C901 - a case for each form of expression
        self, expression: ast.expr, where: ast.AST, module: _Module, depth: int
    ) -> list[str]:
        """Return the texts that an expression may be."""
        if depth > _DEEPEST:
            return [HOLE]
        again = depth + 1
        match expression:
            case ast.Constant(value=str(text)):
                return [text] if text else []
            case ast.JoinedStr(values=parts):
                return _join(
                    [part.value]
                    if isinstance(part, ast.Constant)
                    else self._follow_part(part, where, module, again)
                    for part in parts
                )
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _join(self._follow(side, where, module, again) for side in (left, right))
            case ast.IfExp(body=left, orelse=right):
                return [
                    text
                    for side in (left, right)
                    for text in self._follow(side, where, module, again)
                ]
            case ast.BoolOp(values=values):
                return [
                    text for value in values for text in self._follow(value, where, module, again)
                ]
            case ast.Attribute(attr="fix"):
                return []  # it is printed for something else, and found there
            case ast.Subscript(value=ast.Name(id=name)):
                return _read_texts(module.find_value(name)) or [HOLE]
            case ast.Name(id=name):
                return self._follow_name(name, where, module, again)
            case ast.Call():
                return self._follow_call(expression, where, module, again)
        return [HOLE]

    def _follow_part(
        self, part: ast.expr, where: ast.AST, module: _Module, depth: int
    ) -> list[str]:
        """Return the sentences that a part of an f-string may be; a single word is a value."""
        if not isinstance(part, ast.FormattedValue) or part.conversion != -1:
            return [HOLE]
        texts = self._follow(part.value, where, module, depth)
        return texts if all(" " in text for text in texts) else [HOLE]

    def _follow_name(self, name: str, where: ast.AST, module: _Module, depth: int) -> list[str]:
        function = module.owners.get(where)
        if function is None:
            return _read_texts(module.find_value(name)) or [HOLE]
        if name in [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]:
            if name == "fix":
                return []  # found where the function is called
        elif (name, function) in self._under_way:
            return []  # a text that is made of itself
        elif texts := list(self._follow_assignments(name, function, module, depth)):
            return texts
        return _read_texts(module.find_value(name)) or [HOLE]

    def _follow_assignments(
        self, name: str, function: ast.AST, module: _Module, depth: int
    ) -> Iterator[str]:
        found: list[str] = []
        self._under_way.append((name, function))
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[target], value=value) | ast.For(target=target, iter=value):
                    pass
                case ast.NamedExpr(target=target, value=value):
                    pass
                case ast.AugAssign(target=ast.Name(id=changed), value=value) if changed == name:
                    ends = self._follow(value, node, module, depth)
                    found += [text + end for text in found for end in ends]
                    continue
                case _:
                    continue
            for one, given in _pair(target, value):
                if isinstance(one, ast.Name) and one.id == name:
                    found += self._follow(given, node, module, depth)
            places = _find_place_in(target, name)
            if places is not None and not isinstance(value, ast.Tuple):
                found += self._follow_unpacked(value, places, node, module, depth)
        self._under_way.pop()
        yield from found

    def _follow_unpacked(
        self, value: ast.expr, place: int, where: ast.AST, module: _Module, depth: int
    ) -> list[str]:
        match value:
            case ast.Call(func=ast.Name(id=name)) if name in module.functions:
                return self._follow_returns(module.functions[name], module, place, depth)
            case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
                return _read_texts(module.find_value(name), place)
        return []

    def _follow_call(
        self, call: ast.Call, where: ast.AST, module: _Module, depth: int
    ) -> list[str]:
        match call.func:
            case ast.Name(id=name) if name in module.functions:
                return self._follow_returns(module.functions[name], module, None, depth)
            case ast.Name(id=name):
                value = module.find_value(name)
                home = self.modules.get(getattr(value, "__module__", ""))
                if home is not None and name in home.functions:
                    return self._follow_returns(home.functions[name], home, None, depth)
            case ast.Attribute(value=ast.Name(id=name), attr="get"):
                texts = _read_texts(module.find_value(name))
                for default in call.args[1:]:
                    texts += self._follow(default, where, module, depth)
                return texts or [HOLE]
            case ast.Attribute(value=base, attr="format"):
                texts = self._follow(base, where, module, depth)
                return [re.sub(r"\{\w*(![rs])?\}", HOLE, text) for text in texts]
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if name in module.functions:
                return self._follow_returns(module.functions[name], module, None, depth)
        return [HOLE]

    def _follow_returns(
        self, function: ast.AST, module: _Module, place: int | None, depth: int
    ) -> list[str]:
        texts: list[str] = []
        for node in ast.walk(function):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            value = node.value
            if place is None:
                texts += self._follow(value, node, module, depth + 1)
            elif isinstance(value, ast.Tuple) and place < len(value.elts):
                texts += self._follow(value.elts[place], node, module, depth + 1)
        return texts


def _pair(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from zip(target.elts, value.elts, strict=False)
    else:
        yield target, value


def _find_place_in(target: ast.expr, name: str) -> int | None:
    if not isinstance(target, ast.Tuple):
        return None
    for place, element in enumerate(target.elts):
        if isinstance(element, ast.Name) and element.id == name:
            return place
    return None


def _join(parts: Iterable[list[str]]) -> list[str]:
    texts = [""]
    for part in parts:
        texts = [text + end for text in texts for end in (part or [HOLE])][:_MOST_TEXTS]
    return texts


def _read_texts(value: object, place: int | None = None) -> list[str]:
    """Return the texts in a value of a module: a text, a table of texts, or a list of rows."""
    if isinstance(value, str):
        # A constant may hold the words of a `format`.
        return [re.sub(r"\{\w*\}", HOLE, value)] if value else []
    rows = list(value.values()) if isinstance(value, dict) else value
    if isinstance(rows, list | tuple):
        if place is not None:
            rows = [row[place] for row in rows if isinstance(row, tuple) and place < len(row)]
        return [text for row in rows if isinstance(row, str) for text in _read_texts(row)]
    return []
