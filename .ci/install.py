"""Make a Python environment for this package, and show what is done and how far it is.

    python .ci/install.py --into .venv --extra tutorial

Nothing is needed but Python 3.11.  uv installs in a tenth of pip's time, so it is used where it is,
and fetched by pip where it is not; where it cannot be fetched or fails, pip does the work itself.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = 3
LEAST = (3, 11)

DONE = re.compile(r"Downloaded|Downloading|Resolved|Prepared|Installed|Building|Built|Collecting")
"""How a line begins that says how far uv or pip is; all others are kept for an error."""


class Steps:
    """Print each step with its number, and how long it took."""

    def __init__(self, total: int) -> None:
        self.total, self.number, self.began = total, 0, time.monotonic()

    def begin(self, what: str) -> None:
        self.number += 1
        print(f"[{self.number}/{self.total}] {what}", flush=True)

    def say(self, text: str) -> None:
        print(f"      {time.monotonic() - self.began:3.0f} s  {text}", flush=True)


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--into", type=Path, required=True, help="the folder of the environment")
    parser.add_argument("--extra", required=True, help="the extra of pyproject.toml to install")
    parser.add_argument("--pip", action="store_true", help="do not use uv")
    options = parser.parse_args()
    if sys.version_info < LEAST:
        print(f"This needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
        print("Give another one: make PYTHON=python3.12 …")
        return 2
    steps = Steps(PARTS)
    steps.begin(f"making the environment {options.into}, with Python {sys.version.split()[0]}")
    make_environment(options.into)
    python = find_program(options.into, "python")
    wanted = ["--editable", f"{ROOT}[{options.extra}]"]
    steps.begin("fetching uv, which installs faster than pip")
    uv = None if options.pip else find_uv(options.into, python, steps)
    steps.begin("installing JupyterLab, matplotlib, twilio and what else is needed; about 100 MB")
    if uv is None or not run_quietly([uv, "pip", "install", "--python", python, *wanted], steps):
        if uv is not None:
            steps.say("uv could not do it, so pip does; that takes a minute or two")
        # Byte code is compiled when a module is first imported, as after uv.
        if not run_quietly([*pip(python), "--no-compile", *wanted], steps, is_last=True):
            return 1
    steps.say("done")
    return 0


def make_environment(folder: Path) -> None:
    """Make an environment that holds pip; one that is there is made anew."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)


def find_program(folder: Path, name: str) -> str:
    """Return the path of a program of an environment."""
    programs = "Scripts" if os.name == "nt" else "bin"
    return str(folder / programs / name)


def pip(python: str) -> list[str]:
    """Return how a command begins that installs with pip."""
    return [python, "-m", "pip", "install", "--disable-pip-version-check"]


def find_uv(folder: Path, python: str, steps: Steps) -> str | None:
    """Return the path of uv, after fetching it if it is not there; None if that fails."""
    if found := shutil.which("uv"):
        steps.say(f"found {found}")
        return found
    quiet = [*pip(python), "--quiet", "--only-binary", "uv", "uv"]
    fetched = subprocess.run(quiet, capture_output=True, text=True, check=False)
    if fetched.returncode:
        steps.say(
            "there is none for this machine, so pip does the work; that takes a minute or two"
        )
        return None
    steps.say("fetched")
    return find_program(folder, "uv")


def run_quietly(command: Sequence[str], steps: Steps, *, is_last: bool = False) -> bool:
    """Run a command and show how far it is; return whether it succeeded.

    What else it says is shown only where nothing is tried after it.
    """
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        for line in running.stdout or ():
            lines.append(line)
            if DONE.match(line.strip()):
                steps.say(line.strip().split(" (from", 1)[0])
    if running.returncode and is_last:
        print("".join(lines), file=sys.stderr)
    return running.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
