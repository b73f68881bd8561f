"""``twistream doctor``: what this machine has of what the kit needs, and what to do."""

from __future__ import annotations

import argparse
import json

from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, OBJECTIONS, print_text


def add_doctor(add_command: AddCommand) -> None:
    """Add the command and its options."""
    doctor = add_command(
        "doctor", _examine, "check what the kit needs on this machine, and say what to do"
    )
    doctor.add_argument("--json", action="store_true", help="print it as JSON")


def _examine(arguments: argparse.Namespace) -> int:
    from twistream_kit.doctor.doctor import examine_machine

    found = examine_machine()
    if arguments.json:
        print_text(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        print_text(found)
    return FINE if found.ok else OBJECTIONS
