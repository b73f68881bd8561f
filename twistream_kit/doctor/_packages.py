"""Python itself, the packages that the kit needs, and those of its extras."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from twistream_kit.doctor.condition import Condition

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "twistream-kit"

NEWEST_TESTED = (3, 13)
"""The newest Python that the tests run on."""

HAVE_THEIR_OWN = ("ipykernel", "jupyterlab")
"""Packages that are looked at by themselves."""

_READS_REQUIREMENTS = "packaging"
"""The package that reads what others need; without it nothing more is known."""

_COMPILED = ("numpy", "soundfile", "soxr", "matplotlib")
"""Packages with a library that may be there and not load."""

_EXTRAS = {
    "tunnel": "open_tunnel(server, 'ngrok') cannot be used; the other ways to a public address can",
    "fast": "A StreamServer or a StreamApp outside notebooks runs on asyncio's own event loop, "
    "which is slower",
    "load": "A report of simulate_calls does not say how busy the machine was beside the calls, "
    "and run_soak and inject_faults cannot read the process of a server",
    "notebooks": "test_your_own_server.ipynb stops where it starts a server of its own, and "
    "measure_a_conversation.ipynb where it runs pytest; the other notebooks need none of it",
    "test": "The checks of this package itself, make test in a checkout, cannot run; the pytest "
    "fixtures need only pytest",
    "docs": "The documentation site, make docs in a checkout, cannot be built",
}
"""For each extra, what follows where it is not installed."""


def examine_python() -> list[Condition]:
    """Look at the version of Python."""
    version = platform.python_version()
    kind = "in a virtual environment" if sys.prefix != sys.base_prefix else "not in an environment"
    detail = f"{version}, {kind} ({sys.executable}), on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] > NEWEST_TESTED:
        newest = ".".join(map(str, NEWEST_TESTED))
        return [
            Condition(
                "Python",
                "warning",
                detail,
                f"It is newer than {newest}, the newest that the kit is tested with",
                f"If something fails, try it with Python {newest}",
            )
        ]
    return [Condition("Python", "ok", detail)]


def examine_packages() -> list[Condition]:
    """Look at the packages that the kit needs: there, in a version that it takes, and loading."""
    try:
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return [
            Condition(
                "packages",
                "warning",
                "the kit runs from a folder and is not installed",
                "What it needs is not known, and pytest does not find its fixtures",
                "Say pip install twistream-kit, or pip install -e . in the checkout",
            )
        ]
    if importlib.util.find_spec(_READS_REQUIREMENTS) is None:
        return [
            Condition(
                _READS_REQUIREMENTS,
                "error",
                "is not installed",
                "Which other packages the kit needs, and whether they are here, cannot be read",
                f"Say pip install {_READS_REQUIREMENTS} in this environment, then twistream doctor",
            )
        ]
    needed = [each for each in _read_requirements() if each.name not in HAVE_THEIR_OWN]
    found = [condition for each in needed if (condition := _find_fault(each)) is not None]
    broken = {condition.name for condition in found}
    loading = [_find_loading_fault(name) for name in _COMPILED if name not in broken]
    found += [fault for fault in loading if fault is not None]
    if found:
        return found
    return [Condition("packages", "ok", f"{DISTRIBUTION} {version} and the {len(needed)} it needs")]


def examine_package(name: str) -> Condition | None:
    """Return what is wrong with one needed package, or None."""
    for each in _read_requirements():
        if each.name == name:
            return _find_fault(each)
    return _say_missing(name, name) if _find_version(name) is None else None


def examine_extras() -> list[Condition]:
    """Look at what the extras bring; the kit runs without all of them."""
    return [condition for name in _EXTRAS for condition in _examine_extra(name)]


def examine_extra_for_notebooks() -> list[Condition]:
    """Look at the one extra that a notebook needs."""
    return _examine_extra("notebooks")


def join_command(*parts: str) -> str:
    """Return a command as it is typed into the shell of this system."""
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)


def _examine_extra(name: str) -> list[Condition]:
    needed = _read_requirements(name)
    if not needed:  # unknown to this installation, or for another system
        return []
    missing = [each.name for each in needed if _find_version(each.name) is None]
    row = f"extra {name}"
    if not missing:
        return [Condition(row, "ok", "installed")]
    named = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    fix = f"Say {join_command('pip', 'install', f'{DISTRIBUTION}[{name}]')} if you want it"
    return [Condition(row, "note", f"not installed: {named}", _EXTRAS[name], fix)]


def _read_requirements(extra: str = "") -> list[Requirement]:
    """Return what the kit, or one of its extras, needs on this system."""
    return list(_iterate_requirements(extra))


def _iterate_requirements(extra: str) -> Iterator[Requirement]:
    try:
        from packaging.requirements import Requirement

        lines = metadata.requires(DISTRIBUTION) or []
    except (ImportError, metadata.PackageNotFoundError):  # said by examine_packages
        return
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        is_of_extra = marker is not None and "extra" in str(marker)
        if is_of_extra == bool(extra) and (marker is None or marker.evaluate({"extra": extra})):
            yield requirement


def _find_fault(requirement: Requirement) -> Condition | None:
    version = _find_version(requirement.name)
    install = join_command("pip", "install", f"{requirement.name}{requirement.specifier}")
    if version is None:
        return _say_missing(requirement.name, install.removeprefix("pip install "))
    if not requirement.specifier.contains(version, prereleases=True):
        return Condition(
            requirement.name,
            "error",
            f"{version} is installed, and the kit takes {requirement.specifier}",
            "What uses it fails or behaves otherwise than tested",
            f"Say {install} in this environment",
        )
    return None


def _say_missing(name: str, requirement: str) -> Condition:
    return Condition(
        name,
        "error",
        "is not installed",
        "The kit needs it, and what uses it fails",
        f"Say pip install {requirement} in this environment",
    )


def _find_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _find_loading_fault(name: str) -> Condition | None:
    try:
        importlib.import_module(name)
    except (ImportError, OSError) as error:  # a library is missing, or is for another machine
        return Condition(
            name,
            "error",
            f"is installed and cannot be loaded: {str(error).splitlines()[0][:120]}",
            "What uses it fails",
            f"Say {join_command('pip', 'install', '--force-reinstall', name)}",
        )
    return None
