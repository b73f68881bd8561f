"""``twistream faults``: streams of a server that break, and what it survives."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from twistream_kit.commands._call_options import (
    add_auth_token,
    add_html,
    add_parameters,
    add_url,
    check_html,
    parse_parameters,
    read_variable,
    save_junit_error,
    write_text,
)
from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, INTERRUPTED, OBJECTIONS, print_text
from twistream_kit.errors import CallRefused, SettingsError


def add_faults(add_command: AddCommand) -> None:
    """Add the command and its options."""
    _add_fault_options(
        add_command("faults", _try_faults, "break streams of a server, and say what it survives")
    )


def _add_fault_options(faults: argparse.ArgumentParser) -> None:
    add_url(faults)
    faults.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="try this fault; may be repeated, all are tried if left out: half-open, no-close …",
    )
    faults.add_argument(
        "--seed", type=int, default=0, metavar="N", help="decide the order with this number"
    )
    faults.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="X",
        help="multiply how long faults last with this: 0.1 is quicker, and less like Twilio",
    )
    faults.add_argument(
        "--pid",
        type=int,
        metavar="N",
        help="also say what each fault leaves in this process: memory, descriptors, threads",
    )
    faults.add_argument(
        "--remote", action="store_true", help="let URL be on another machine, which may suffer"
    )
    faults.add_argument("--json", action="store_true", help="print the report as JSON")
    faults.add_argument(
        "--junit", type=Path, metavar="FILE", help="write the faults as test cases of JUnit"
    )
    add_html(faults)
    faults.add_argument(
        "--force", action="store_true", help="let --junit and --html replace a file"
    )
    add_parameters(faults)
    add_auth_token(faults)


def _try_faults(arguments: argparse.Namespace) -> int:
    from twistream_kit.simulator.fault_report import save_fault_junit
    from twistream_kit.simulator.faults import inject_faults
    from twistream_kit.simulator.report import check_junit

    if arguments.junit:
        check_junit(arguments.junit, overwrite=arguments.force)
    check_html(arguments)
    options: dict[str, Any] = {"parameters": parse_parameters(arguments.param)}
    if arguments.auth_token_from:
        options["auth_token"] = read_variable(arguments.auth_token_from)
    for name in ("only", "seed", "scale", "pid", "remote"):
        options[name] = getattr(arguments, name)
    try:
        report = inject_faults(arguments.url, **options).result()
    except CallRefused as error:
        if arguments.junit:
            save_junit_error("faults", error, arguments.junit, overwrite=arguments.force)
        raise
    except (TypeError, ValueError) as error:
        raise SettingsError(str(error)) from error
    print_text(json.dumps(report.to_dict(), indent=2) if arguments.json else report)
    if arguments.junit:
        save_fault_junit(report, arguments.junit, overwrite=arguments.force)
        print_text(f"saved {arguments.junit}", file=sys.stderr)
    if arguments.html:
        from twistream_kit.notebook.display.display import render_html
        from twistream_kit.notebook.display.html import Html
        from twistream_kit.notebook.display.page import build_page

        page = build_page("twistream faults", Html(render_html(report)))
        write_text(page, arguments.html, overwrite=arguments.force)
    if report.is_interrupted:
        return INTERRUPTED
    return FINE if report.ok else OBJECTIONS
