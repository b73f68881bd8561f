"""``twistream inspect-stream``: a proxy before a server, which shows and reviews what passes."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path

from twistream_kit.commands.parser import AddCommand, parse_port
from twistream_kit.commands.terminal import FINE, OBJECTIONS, print_text
from twistream_kit.errors import SettingsError


def add_inspect_stream(add_command: AddCommand) -> None:
    """Add the command and its options."""
    inspect_stream = add_command(
        "inspect-stream",
        _inspect_stream,
        "show and review what passes between Twilio and a server",
    )
    inspect_stream.add_argument(
        "--upstream", required=True, metavar="URL", help="your server: ws://localhost:8080/media"
    )
    inspect_stream.add_argument(
        "--port",
        type=parse_port,
        default=0,
        metavar="N",
        help="listen on this port; on a free one if left out",
    )
    inspect_stream.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="HOST",
        help="accept requests for this name or address too; may be repeated",
    )
    inspect_stream.add_argument(
        "--save",
        type=Path,
        metavar="DIR",
        help="write a redacted capture of each call into this folder",
    )


def _inspect_stream(arguments: argparse.Namespace) -> int:
    from twistream_kit.live.inspector.inspector import Inspector
    from twistream_kit.live.inspector.report import InspectCommand

    try:
        inspector = Inspector(
            arguments.upstream, port=arguments.port, allowed_hosts=arguments.allowed_host
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error
    command = InspectCommand(inspector, print_text, arguments.save)
    try:
        command.run()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES) or error.filename:
            raise
        problem = f"nothing can listen on port {arguments.port} here: {os.strerror(error.errno)}"
        raise SettingsError(problem, fix="Give another --port, or none for a free one") from error
    return OBJECTIONS if command.has_objections else FINE
