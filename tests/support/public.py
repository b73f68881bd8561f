"""What a user can get from a public call: the classes that annotations of the package lead to."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Iterator

import twistream_kit as kit

_PLAIN = {"list", "tuple", "Sequence", "Iterable"}


def public_classes(unfollowed: typing.Collection[type] = ()) -> dict[type, str]:
    """Return each class of the package that public names lead to, and the way to it.

    Results of functions, of public methods and properties, and public attributes are followed;
    nothing is followed from errors, nor from the classes `unfollowed`.
    """
    found: dict[type, str] = {}
    waiting = list(_first())
    while waiting:
        kind, way = waiting.pop(0)
        if kind in found or issubclass(kind, BaseException):
            continue
        found[kind] = way
        if kind not in unfollowed:
            waiting += [(other, f"{way}.{name}") for other, name in _led_to(kind)]
    return found


def plain_sequences(kinds: typing.Iterable[type]) -> list[str]:
    """Return each public annotation that is a plain list or tuple of instances of `kinds`."""
    kinds = set(kinds)
    return [
        f"{kind.__name__}.{name}: {ast.unparse(annotation)}"
        for kind in kinds
        for name, annotation in _annotations(kind)
        if isinstance(annotation, ast.Subscript)
        and isinstance(annotation.value, ast.Name)
        and annotation.value.id in _PLAIN
        and kinds & set(_named_in(annotation, kind.__module__))
    ]


def _first() -> Iterator[tuple[type, str]]:
    for name in kit.__all__:
        value = getattr(kit, name)
        if isinstance(value, type):
            yield value, f"kit.{name}"
        elif isinstance(value, types.ModuleType):
            for kind in vars(value).values():
                is_own = isinstance(kind, type) and kind.__module__ == value.__name__
                if is_own and not kind.__name__.startswith("_"):
                    yield kind, f"kit.{name}.{kind.__name__}"
        elif returned := value.__annotations__.get("return"):
            for kind in _named_in(ast.parse(returned), value.__module__):
                yield kind, f"kit.{name}()"


def _led_to(kind: type) -> Iterator[tuple[type, str]]:
    for name, annotation in _annotations(kind):
        for other in _named_in(annotation, kind.__module__):
            yield other, name


def _annotations(kind: type) -> Iterator[tuple[str, ast.expr]]:
    """Yield what the public attributes and methods of a class are said to give."""
    for node in _class(kind).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                yield name, node.annotation
            case ast.FunctionDef(name="__init__"):
                yield from _attributes(node)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                is_public = not name.startswith("_") or name in ("__getitem__", "__iter__")
                if is_public and node.returns is not None:
                    yield name, node.returns


def _attributes(init: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(init):
        match node:
            case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=value):
                pass
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Call(func=value)):
                pass
            case _:
                continue
        if not name.startswith("_"):
            yield name, value


def _named_in(node: ast.AST, module: str) -> Iterator[type]:
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name):
                yield from _classes(_resolve(name, module))
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                yield from _classes(getattr(_resolve(name, module), attribute, None))
            case ast.Constant(value=str(text)) if text.isidentifier():
                yield from _classes(_resolve(text, module))


def _classes(value: object) -> Iterator[type]:
    if isinstance(value, type) and not typing.get_args(value):
        if value.__module__.startswith("twistream_kit"):
            yield value
        return
    for part in typing.get_args(value):
        yield from _classes(part)


def _resolve(name: str, module: str) -> object:
    if (found := getattr(sys.modules[module], name, None)) is not None:
        return found
    if name not in (imports := _imports(module)):
        return None
    home, real = imports[name]
    found = getattr(importlib.import_module(home), real, None)
    return importlib.import_module(f"{home}.{real}") if found is None else found


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


@functools.cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Return what a module imports from the package, also where only type checkers look."""
    return {
        each.asname or each.name: (node.module, each.name)
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twistream_kit")
        for each in node.names
    }


def _class(kind: type) -> ast.ClassDef:
    nodes = ast.walk(_tree(kind.__module__))
    return next(
        each for each in nodes if isinstance(each, ast.ClassDef) and each.name == kind.__name__
    )
