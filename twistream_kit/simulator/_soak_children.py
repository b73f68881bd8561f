"""The children of a server's process in a soak: which of them ended, and were replaced.

A supervisor starts a server anew that has died, and a pool of workers replaces one: the process
that is watched goes on, and what the child had kept is gone.
"""

from __future__ import annotations

from collections.abc import Callable

from twistream_kit.simulator._process_usage import Children


class ChildWatch:
    """Counts the children that are replaced.

    A process that is there for one call only counts as none of them: those that count were there at
    rest, or came in the place of one that was.

    Attributes:
        replaced: How many ended, for which another one came.
        waves: The numbers of the waves in which such a one ended.
        first: When the first of them ended, in words; empty without one.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self.waves: set[int] = set()
        self.first = ""
        self._standing: Children = frozenset()
        self._known: Children = frozenset()
        self._missing: list[tuple[int, str]] = []

    def add(
        self, children: Children, wave: int, describe: Callable[[], str], *, is_at_rest: bool
    ) -> None:
        """Take note of the children that are there now.

        Args:
            children: All of them.
            wave: The number of the wave, for `waves`.
            describe: Says when that is, in words.
            is_at_rest: Whether no call is under way.
        """
        gone = self._standing - children
        if gone:
            self._missing += [(wave, describe())] * len(gone)
        new = sorted(children - self._known, key=lambda child: child[1])[: len(self._missing)]
        for _ in new:
            number, when = self._missing.pop(0)
            self.replaced += 1
            self.waves.add(number)
            self.first = self.first or when
        self._standing = children if is_at_rest else (self._standing - gone) | frozenset(new)
        self._known |= children
