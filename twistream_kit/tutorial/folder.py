"""Write the notebooks, the samples and ``.env.example`` into a folder of the user's.

In a wheel the files are beside this module (``.ci/wheel_files.py`` puts them there); in a checkout
they are where git has them, and its pyproject.toml lists them.  A file in the folder that differs
is kept: it holds the user's work, or what JupyterLab saved of it.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twistream_kit.errors import SettingsError, TwistreamError

DEFAULT_FOLDER = "twistream-tutorial"

FIRST_NOTEBOOK = "notebooks/tutorial.ipynb"
"""The notebook to begin with, under the folder."""

_IN_WHEEL = Path(__file__).parent / "files"
_CHECKOUT = Path(__file__).parents[2]

_MOST_NAMES = 3
"""So many kept files are named in a report."""


@dataclass(slots=True)
class FilledFolder:
    """What was done in a folder.

    Attributes:
        folder: The folder, as an absolute path.
        written: The files that were not there.
        unchanged: The files that were there already, and are those of this version.
        kept: The files that were there, differ from those of this version, and were left alone.
        replaced: The same, but replaced, because that was asked for.
    """

    folder: Path
    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        lines = []
        if self.written:
            lines.append(f"wrote {_count(self.written)} into {self.folder}")
        if self.replaced:
            lines.append(f"replaced {_count(self.replaced)}: {_name(self.replaced)}")
        if self.unchanged and not (self.written or self.replaced):
            lines.append(f"{self.folder}: {_count(self.unchanged)} of this version there already")
        if self.kept:
            lines.append(
                f"kept {_count(self.kept)}: {_name(self.kept)}. They differ from those of this "
                "version: you changed or ran them, or an older version wrote them. --force "
                "replaces them; another folder gets new ones: twistream tutorial OTHER_FOLDER"
            )
        return "\n".join(lines)


def fill_folder(folder: Path, *, force: bool = False) -> FilledFolder:
    """Write the files into a folder, which is made if it is not there.

    Args:
        folder: The folder.
        force: Whether files that differ from those of this version are replaced.

    Raises:
        SettingsError: If `folder` is a file.
        TwistreamError: If this installation holds no notebooks.
        OSError: If the folder cannot be written to.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder} is a file", fix="Give the name of a folder, new or not")
    done = FilledFolder(folder)
    for name, source in find_sources().items():
        content, target = source.read_bytes(), folder / name
        if not target.exists():
            outcome = done.written
        elif target.read_bytes() == content:
            done.unchanged.append(name)
            continue
        else:
            outcome = done.replaced if force else done.kept
        if outcome is not done.kept:
            _write(target, content)
        outcome.append(name)
    return done


def find_sources() -> dict[str, Path]:
    """Return the path of each file by its name under the folder.

    Raises:
        TwistreamError: If this installation holds none.
    """
    if _IN_WHEEL.is_dir():
        root, patterns = _IN_WHEEL, ["**/*"]
    else:
        root, patterns = _CHECKOUT, _read_patterns(_CHECKOUT / "pyproject.toml")
    found = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    if root / FIRST_NOTEBOOK not in found:
        raise TwistreamError(
            "this installation holds no notebooks",
            consequence="There is nothing to write into a folder",
            fix="Say pip install --force-reinstall twistream-kit",
        )
    return {path.relative_to(root).as_posix(): path for path in found}


def _read_patterns(project: Path) -> list[str]:
    """Return the patterns of the files by the list that the wheel is built by; none without it."""
    if not project.is_file():
        return []
    settings = tomllib.loads(project.read_text(encoding="utf-8"))
    for key in ("tool", "hatch", "build", "targets", "wheel", "hooks", "custom"):
        settings = settings.get(key, {})
    return list(settings.get("files", ()))


def _write(target: Path, content: bytes) -> None:
    """Write a file whole or not at all: half a notebook would later be kept as a changed one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o666 & ~_read_umask())  # a temporary file is readable by its owner only
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' if len(names) != 1 else ''}"


def _name(names: Sequence[str]) -> str:
    named = ", ".join(names[:_MOST_NAMES])
    n_left = len(names) - _MOST_NAMES
    return f"{named} and {n_left} more" if n_left > 0 else named
