"""Lists and tuples of results that can be read: their repr has a line for each item.

A `Listing` is a list and a `Series` a tuple; each equals a plain one with the same items.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from itertools import islice
from typing import Any, SupportsIndex, TypeVar, overload

MOST_LINES = 100
"""A repr with more lines than this nobody reads."""

T = TypeVar("T")


class Listing(list[T]):
    """A list whose repr has a line for each item.

    Attributes:
        what: What the items are, in the plural: ``playbacks``.
    """

    what = "items"

    @classmethod
    def of(cls, items: Iterable[T], what: str) -> Listing[T]:
        """Make one that says what it holds."""
        made = cls(items)
        made.what = what
        return made

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Listing[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | Listing[T]:
        found = super().__getitem__(index)
        return Listing.of(found, self.what) if isinstance(index, slice) else found  # type: ignore[arg-type, return-value]

    def __repr__(self) -> str:
        return describe_items(self, self.what)


class Series(tuple[T, ...]):
    """A tuple whose repr has a line for each item.

    Attributes:
        what: What the items are, in the plural: ``fields``.
    """

    what = "items"

    @classmethod
    def of(cls, items: Iterable[T], what: str) -> Series[T]:
        """Make one that says what it holds."""
        made = cls(items)
        made.what = what
        return made

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Series[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | Series[T]:
        found = super().__getitem__(index)
        return Series.of(found, self.what) if isinstance(index, slice) else found  # type: ignore[arg-type, return-value]

    def __repr__(self) -> str:
        return describe_items(self, self.what)


def describe_items(items: Sequence[object], what: str) -> str:
    """Return one line for each item, or that there is none."""
    if not items:
        return f"no {what}"
    lines = [repr(item) for item in islice(items, MOST_LINES)]
    if len(items) > MOST_LINES:
        lines.append(f"… and {len(items) - MOST_LINES} more {what}")
    return "\n".join(lines)


def describe_changes(value: Any) -> str:
    """Return the call that makes a dataclass instance, without what is as its defaults say."""
    changed = [
        f"{each.name}={getattr(value, each.name)!r}"
        for each in fields(value)
        if each.default is MISSING or getattr(value, each.name) != each.default
    ]
    return f"{type(value).__name__}({', '.join(changed)})"
