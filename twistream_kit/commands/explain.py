"""``twistream explain``: what a code means, and what to do."""

from __future__ import annotations

import argparse
import sys

from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, print_text


def add_explain(add_command: AddCommand) -> None:
    """Add the command and its options."""
    explain = add_command(
        "explain",
        _explain,
        "say what a code, or each code in a text, means, and what to do",
    )
    explain.add_argument(
        "words",
        nargs="+",
        metavar="CODE|TEXT|-",
        help="a number, or a text with numbers; - reads standard input",
    )


def _explain(arguments: argparse.Namespace) -> int:
    from twistream_kit.diagnosis.explain import MOST_CHARACTERS, explain

    text = " ".join(arguments.words)
    if text == "-":
        text = sys.stdin.buffer.read(MOST_CHARACTERS).decode(errors="replace")
    print_text(explain(text))
    return FINE
