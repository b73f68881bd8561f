"""``twistream inspect``: the headers of WAV files, and what a call needs of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, OBJECTIONS, choose_exit_code, complain, print_text
from twistream_kit.errors import WavError


def add_inspect(add_command: AddCommand) -> None:
    """Add the command and its options."""
    inspect = add_command("inspect", _inspect, "show the header of WAV files and what a call needs")
    inspect.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a WAV file")


def _inspect(arguments: argparse.Namespace) -> int:
    from twistream_kit.audio.wav_report import inspect_wav

    code = FINE
    for number, path in enumerate(arguments.files):
        if number:
            print_text()
        try:
            report = inspect_wav(path)
        except WavError as error:
            code = max(code, complain(error, choose_exit_code(path)))
            continue
        print_text(report)
        code = max(code, FINE if report.ready else OBJECTIONS)
    return code
