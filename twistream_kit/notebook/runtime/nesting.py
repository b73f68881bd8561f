"""For people who want `asyncio.run()` in their own cells; the kit itself never needs it."""

from __future__ import annotations

import asyncio
import importlib.metadata as metadata
import warnings

from twistream_kit.errors import SettingsError

SAFE_FORK = (1, 7, 3)
"""From here on nest_asyncio2 keeps the messages that reach the kernel during a nested run."""


def allow_nested_asyncio() -> str:
    """Make `asyncio.run()` and `run_until_complete()` work in this notebook's cells.

    On ipykernel 7.1 and newer a nested run under nest_asyncio 1.6.0 swallows the cells that are
    queued behind it: Run All then hangs for ever.  There nest_asyncio2 is applied, elsewhere
    nest_asyncio; just one of the two.  It may be called before or after `kit.start`, and twice.

    Returns:
        A sentence that says which.

    Raises:
        SettingsError: If the kernel's loop cannot be patched, or the wrong package has been
            applied already.
    """
    if _applied() is not None:
        return _check_applied(str(_applied()))
    module = "nest_asyncio2" if _swallows_cells() else "nest_asyncio"
    if module == "nest_asyncio2" and _version(module) < SAFE_FORK:
        raise SettingsError(
            f"nest_asyncio2 {metadata.version(module)} loses queued cells on this kernel",
            consequence="Run All would hang for ever",
            fix="Install nest-asyncio2 1.7.3 or newer, or say `await` instead of asyncio.run()",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            __import__(module).apply()
    except ValueError as error:
        loop = type(asyncio.get_event_loop()).__name__
        raise SettingsError(
            f"the kernel's event loop, {loop}, cannot be entered again",
            consequence="asyncio.run() will not work in a cell",
            fix="Say `await` instead, which every cell allows",
        ) from error
    return f"{module} {metadata.version(module)} is applied: asyncio.run() works in cells now."


def _applied() -> str | None:
    if hasattr(asyncio, "_nest_asyncio2"):
        return "nest_asyncio2"
    return "nest_asyncio" if hasattr(asyncio, "_nest_patched") else None


def _check_applied(module: str) -> str:
    if module == "nest_asyncio" and _swallows_cells():
        raise SettingsError(
            "nest_asyncio has been applied already, and on this kernel it loses queued cells",
            consequence="Run All would hang for ever",
            fix="Restart the kernel and call kit.allow_nested_asyncio() in place of "
            "nest_asyncio.apply()",
        )
    return f"{module} {metadata.version(module)} had been applied already."


def _swallows_cells() -> bool:
    try:
        return _version("ipykernel") >= (7, 1)
    except metadata.PackageNotFoundError:
        return False


def _version(package: str) -> tuple[int, ...]:
    numbers = metadata.version(package).split(".")[:3]
    return tuple(int(number) for number in numbers if number.isdigit())
