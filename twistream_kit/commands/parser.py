"""What every parser of the command line has, and how a command gets its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

from twistream_kit.errors import escape_controls

AddCommand: TypeAlias = Callable[
    [str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser
]
"""Adds a command by its name, what carries it out and a summary; returns the parser for options."""

EXIT_CODES = """\
exit codes:
  0    fine
  1    something is objected to: a file that is not ready for a call or cannot be
       read as sound, a message that Twilio would refuse, a call in which anything
       went wrong or took longer than its limit, many calls that exceeded a limit
       or could not be measured, a fault that a server does not survive, a server
       that grows, an error that the doctor finds, a JupyterLab that fails
  2    usage: a wrong option, a file that is not there, an unknown code
  3    no connection to the server
  130  interrupted with Ctrl-C
"""


class Parser(argparse.ArgumentParser):
    """An argument parser that repeats arguments as `terminal.print_text` prints them."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; of one that is not known, name the nearest option of the command."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = getattr(found, "parser", self)
            command.error(f"unrecognized arguments: {' '.join(unknown)}{command.suggest(unknown)}")
        return found

    def suggest(self, unknown: Sequence[str]) -> str:
        """Return which options come nearest to those that are not known, in words, or nothing."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        given = (each.partition("=")[0] for each in unknown if each.startswith("-"))
        close = [near for each in given for near in get_close_matches(each, known, n=1)]
        return f"; the nearest is {', '.join(dict.fromkeys(close))}" if close else ""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(escape_controls(message), file)


def parse_port(text: str) -> int:
    """Return a port, from 0 to 65535."""
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")
    return int(text)
