"""Every public name: its signature, its members and what its docstring says."""

from __future__ import annotations

import builtins
import collections.abc
import inspect
import pathlib
import re
import typing
from dataclasses import MISSING, fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np
from common import Pages, hashed

import twistream_kit as kit

MADE_BY_THE_PACKAGE = {
    "Call",
    "InspectedStream",
    "MediaStream",
    "NumberRoute",
    "Phone",
    "Playing",
    "Speech",
    "Settings",
    "Tunnel",
}
"""Classes whose instances users get and never make: their constructors are nobody's contract."""

_KNOWN_TO_ALL = {
    "np",
    "os",
    "ssl",
    "asyncio",
    "PathLike",
    "NDArray",
    "Client",
    "Executor",
    "Figure",
}


def record() -> dict[str, str]:
    """One page for each public name."""
    pages = Pages()
    pages.add("all", "kit.__all__", "\n".join(kit.__all__))
    pages.add(
        "all",
        "what dir(kit) gives beyond it, of public names",
        sorted(
            name
            for name in {*dir(kit)} - {*kit.__all__}
            if not name.startswith("_") and not isinstance(getattr(kit, name), ModuleType)
        ),
    )
    pages.add("all", "version", kit.__version__)
    pages.add("all", "docstring", kit.__doc__)
    for name in kit.__all__:
        thing = getattr(kit, name)
        if isinstance(thing, ModuleType):
            pages.add(name, name, _doc(thing))
            for part in sorted(_own_names(thing)):
                _add(pages, name, f"{name}.{part}", getattr(thing, part))
        else:
            page = name if inspect.isclass(thing) else "functions"
            _add(pages, page, name, thing)
    return pages.texts()


def _own_names(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (
            getattr(value, "__module__", None) == module.__name__
            or isinstance(value, int | str | float | bytes)
        )
    ]


def _add(pages: Pages, page: str, name: str, thing: Any) -> None:
    if inspect.isclass(thing):
        _add_class(pages, page, name, thing)
    elif callable(thing):
        pages.add(page, name, f"{_kind(thing)} {name}{_signature(thing)}\n{_doc(thing)}")
    else:
        pages.add(page, name, f"{name} = {thing!r}")


def _add_class(pages: Pages, page: str, name: str, cls: type) -> None:
    bases = [
        base.__name__
        for base in cls.__mro__[1:]
        if base is not object
        and (_is_public(base) or not _is_ours(base))
        and not base.__name__.startswith("_")
    ]
    pages.add(page, name, f"class {name}{_constructor(name, cls)}\nbases: {bases}\n{_doc(cls)}")
    if is_dataclass(cls):
        for each in fields(cls):
            default = "" if each.default is MISSING else f" = {each.default!r}"
            pages.add(page, f"{name}.{each.name}", f"field: {_annotation(each.type)}{default}")
    own = {each.name for each in fields(cls)} if is_dataclass(cls) else set()
    for member in sorted({*dir(cls)} - own):
        if member.startswith("_"):
            continue
        home = next(base for base in cls.__mro__ if member in vars(base))
        if not _is_ours(home):
            continue
        pages.add(page, f"{name}.{member}", _member(member, vars(home)[member]))


def _member(name: str, raw: Any) -> str:
    if isinstance(raw, property):
        settable = "" if raw.fset is None else ", can be set"
        returned = _annotation(raw.fget.__annotations__.get("return", "?"))
        return f"property{settable}: {returned}\n{_doc(raw)}"
    if isinstance(raw, staticmethod | classmethod):
        inner = raw.__func__
        return f"{type(raw).__name__} {_kind(inner)} {name}{_signature(inner)}\n{_doc(inner)}"
    if inspect.isfunction(raw):
        return f"{_kind(raw)} {name}{_signature(raw)}\n{_doc(raw)}"
    return "attribute"


def _constructor(name: str, cls: type) -> str:
    if name in MADE_BY_THE_PACKAGE:
        return " (made by the package)"
    for base in cls.__mro__:
        made = vars(base).get("__init__") or vars(base).get("__new__")
        if made is not None:
            if not _is_ours(base):
                return f" (as {base.__name__})"
            return _signature(made)
    return ""


def _signature(thing: Any) -> str:
    signature = inspect.signature(thing)
    parameters = [
        each.replace(annotation=_Text(_annotation(each.annotation)))
        if each.annotation is not inspect.Parameter.empty
        else each
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    returned = signature.return_annotation
    if returned is not inspect.Signature.empty:
        returned = _Text(_annotation(returned))
    return str(signature.replace(parameters=parameters, return_annotation=returned))


class _Text:
    """An annotation that `inspect` writes as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _annotation(annotation: Any) -> str:
    """Return an annotation in which whatever is not public is a question mark."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    literals = re.compile(r"'[^']*'|\"[^\"]*\"|[A-Za-z_][\w.]*")

    def known(found: re.Match[str]) -> str:
        name = found[0]
        if name[0] in "'\"":
            return name.replace('"', "'")
        first, last = name.split(".")[0], name.split(".")[-1]
        is_known = (
            first in _KNOWN_TO_ALL
            or first in kit.__all__
            or any(hasattr(home, last) for home in (builtins, typing, collections.abc, pathlib, np))
        )
        return name if is_known else "?"

    return literals.sub(known, text)


def _kind(thing: Any) -> str:
    return "async def" if inspect.iscoroutinefunction(thing) else "def"


def _doc(thing: Any) -> str:
    doc = inspect.cleandoc(thing.__doc__ or "")
    return f"doc: {doc.splitlines()[0]}\n     {hashed(doc)}" if doc else "doc: (none)"


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == kit.__name__


def _is_public(cls: type) -> bool:
    return cls.__name__ in kit.__all__ and getattr(kit, cls.__name__) is cls
