"""``twistream convert``: sound files, turned into what Twilio plays."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, USAGE, choose_exit_code, complain, print_text
from twistream_kit.errors import SettingsError, WavError


def add_convert(add_command: AddCommand) -> None:
    """Add the command and its options."""
    convert = add_command(
        "convert",
        _convert,
        "turn a sound file, or many into a folder, into what Twilio plays",
    )
    convert.usage = (
        "twistream convert [--force] SRC DST\n       twistream convert [--force] SRC … -o DIR"
    )
    convert.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="SRC",
        help="a sound file; with -o any number of them, without it SRC and DST",
    )
    convert.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="write the results into this folder"
    )
    convert.add_argument(
        "--force", action="store_true", help="replace files that are there already"
    )


def _convert(arguments: argparse.Namespace) -> int:
    from twistream_kit.audio.convert import convert_files

    if arguments.output is None:
        return _convert_one(arguments)
    code = FINE
    results = convert_files(
        arguments.files,
        arguments.output,
        overwrite=arguments.force,
        progress=sys.stderr.isatty(),
    )
    for done in results:
        if done.error:
            code = max(code, complain(done.error, choose_exit_code(done.source)))
            continue
        print_text(done)
    return code


def _convert_one(arguments: argparse.Namespace) -> int:
    from twistream_kit.audio.convert import convert_file

    if len(arguments.files) != 2:
        arguments.parser.error("give SRC and DST, or any number of files and -o DIR")
    source, target = arguments.files
    if str(target) == "-":
        raise SettingsError(
            "- is no place for the result: a WAV file begins with its length, which is known last",
            fix="Give the name of a file",
        )
    if str(source) == "-" and not source.exists():
        raise SettingsError(
            "standard input cannot be converted, for its beginning has to be read twice",
            fix="Write it to a file, and give that",
        )
    if target.is_dir():
        problem = f"{target} is a folder"
        raise SettingsError(
            problem, fix=f"Give the name of a file, or -o {shlex.quote(str(target))}"
        )
    try:
        print_text(
            convert_file(
                source, target, overwrite=arguments.force, progress=sys.stderr.isatty() or None
            )
        )
    except WavError as error:
        is_of_target = error.source == str(target)
        return complain(error, USAGE if is_of_target else choose_exit_code(source))
    return FINE
