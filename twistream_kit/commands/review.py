"""``twistream review``: what Twilio would object to in messages or TwiML."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, OBJECTIONS, complain, print_text

MOST_OBJECTIONS = 20
"""So many of a file are shown: one with more is mostly another file than was meant."""


def add_review(add_command: AddCommand) -> None:
    """Add the command and its options."""
    review = add_command(
        "review", _review, "say what Twilio would object to in your messages or TwiML"
    )
    review.add_argument(
        "file",
        metavar="FILE|-",
        help="one message a line, a JSON document, a capture, or TwiML; - reads standard input",
    )
    review.add_argument(
        "--stream-sid", metavar="MZ…", help="the SID of the stream that the messages are for"
    )
    review.add_argument(
        "--all", action="store_true", help=f"show all objections, not the first {MOST_OBJECTIONS}"
    )


def _review(arguments: argparse.Namespace) -> int:
    from twistream_kit.capture.file import CaptureError
    from twistream_kit.diagnosis.review import review_contents

    path = Path(arguments.file)
    raw = sys.stdin.buffer.read() if arguments.file == "-" else path.read_bytes()
    try:
        found = review_contents(raw, path, stream_sid=arguments.stream_sid)
    except CaptureError as error:
        return complain(error, OBJECTIONS)
    if found.capture is not None:
        print_text(found.capture.summary().report(), end="\n\n")
    lines = str(found).splitlines()
    if len(lines) <= MOST_OBJECTIONS or arguments.all:
        print_text(found)
    else:
        print_text("\n".join(lines[:MOST_OBJECTIONS]))
        n_left = len(lines) - MOST_OBJECTIONS
        print_text(f"… and {n_left} more; --all shows {'it' if n_left == 1 else 'them'}.")
    return FINE if found.ok else OBJECTIONS
