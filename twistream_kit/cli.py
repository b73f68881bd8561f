"""The command line: ``python -m twistream_kit``, or ``twistream``.

An expected error is printed in a sentence or two, without a traceback.  What each command does is
in `commands`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twistream_kit.commands.call import add_call
from twistream_kit.commands.convert import add_convert
from twistream_kit.commands.doctor import add_doctor
from twistream_kit.commands.explain import add_explain
from twistream_kit.commands.faults import add_faults
from twistream_kit.commands.inspect import add_inspect
from twistream_kit.commands.inspect_stream import add_inspect_stream
from twistream_kit.commands.load import add_load
from twistream_kit.commands.parser import EXIT_CODES, Parser
from twistream_kit.commands.review import add_review
from twistream_kit.commands.terminal import (
    FINE,
    INTERRUPTED,
    NO_CONNECTION,
    USAGE,
    complain,
    print_text,
)
from twistream_kit.commands.tutorial import add_tutorial
from twistream_kit.errors import CallRefused, TwistreamError

_COMMANDS = (
    add_tutorial,
    add_doctor,
    add_inspect,
    add_convert,
    add_explain,
    add_review,
    add_call,
    add_load,
    add_faults,
    add_inspect_stream,
)
"""The commands, in the order in which ``--help`` lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show μ gets an escape sequence and not a UnicodeEncodeError.
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _build_parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as leaving:  # argparse, after --help or a wrong option
        return int(leaving.code or 0)
    except CallRefused as error:
        return complain(error, NO_CONNECTION)
    except TwistreamError as error:
        return complain(error, USAGE)
    except BrokenPipeError:
        # The reader (head, less) has exited.  Without this, Python fails again when it flushes
        # standard output at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"{where}{error.strerror or error}.", USAGE)
    except KeyboardInterrupt:
        return complain("interrupted.", INTERRUPTED)
    return code


class _ShowVersion(argparse.Action):
    """Show the version of the package whose code runs."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        # Not that of the installed packages, which another checkout may have been; and the root
        # package, which holds it, is imported by no module of ours, but is always there.
        print_text(f"twistream {sys.modules['twistream_kit'].__version__}")
        parser.exit()


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="twistream",
        description="Learn Twilio's Media Streams, and check sound files, messages and servers "
        "for them.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add_command(
        name: str, run: Callable[[argparse.Namespace], int], summary: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run, parser=made)
        return made

    for add_one in _COMMANDS:
        add_one(add_command)
    return parser
