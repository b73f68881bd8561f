"""What a command prints, and the codes with which it ends.

Results go to standard output, errors to standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from twistream_kit.errors import escape_controls

FINE, OBJECTIONS, USAGE, NO_CONNECTION, INTERRUPTED = 0, 1, 2, 3, 130


def print_text(text: object = "", *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print text in which names of files and the like cannot control the terminal."""
    print(escape_controls(str(text)), end=end, file=file, flush=True)


def complain(error: object, code: int) -> int:
    """Print an error, in the words of the command line, and return the exit code."""
    words = str(error).replace("overwrite=True (--force in a shell)", "--force")
    print_text(f"twistream: {words}", file=sys.stderr)
    return code


def choose_exit_code(path: Path) -> int:
    """Return the exit code for a file that cannot be read: `USAGE` if there is no such file."""
    return OBJECTIONS if path.exists() and not path.is_dir() else USAGE
