"""``twistream call``: one call to a server, its report, and limits of the server's turns."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twistream_kit.commands._call_options import (
    add_auth_token,
    add_lines,
    add_parameters,
    add_url,
    check_script,
    load_voice,
    parse_limit,
    parse_parameters,
    read_lines,
    read_variable,
    save_junit_error,
    wait,
)
from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, OBJECTIONS, print_text
from twistream_kit.errors import CallRefused, SettingsError

if TYPE_CHECKING:
    from twistream_kit.pending import Pending
    from twistream_kit.simulator.report import CallReport


def add_call(add_command: AddCommand) -> None:
    """Add the command and its options."""
    _add_call_options(
        add_command("call", _call, "call a Media Streams server and report what happens")
    )


def _add_call_options(call: argparse.ArgumentParser) -> None:
    add_url(call)
    call.add_argument(
        "--say", type=Path, metavar="FILE", help="play this sound file as the voice of the caller"
    )
    call.add_argument(
        "--press", default="", metavar="KEYS", help="press these keys, of 0123456789*#ABCD"
    )
    call.add_argument(
        "--script",
        type=Path,
        metavar="FILE",
        help="let the caller act as this TOML file says, instead of --say and --press",
    )
    call.add_argument(
        "--seed",
        type=_parse_seed,
        metavar="N",
        help="decide with this what the script leaves to chance",
    )
    add_parameters(call)
    call.add_argument(
        "--seconds",
        type=_parse_seconds,
        metavar="S",
        help="hang up after so many seconds; if left out, when both sides have been silent for 3 s",
    )
    call.add_argument(
        "--expect-silence",
        action="store_true",
        help="accept that nothing is heard: the server only listens",
    )
    add_lines(call)
    call.add_argument("--json", action="store_true", help="print the report as JSON")
    call.add_argument(
        "--save",
        type=Path,
        metavar="DIR|FILE",
        help="write what was heard (.wav), the messages (.jsonl) or the report (.json), or all "
        "into DIR",
    )
    call.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="write the call and its turns as test cases of JUnit",
    )
    for option, what in (
        ("--max-response", "an answer comes later after the end of the caller's speech"),
        ("--max-barge-in", "the server goes on for longer when it is interrupted"),
    ):
        call.add_argument(option, type=parse_limit, metavar="MS", help=f"fail if {what}")
    call.add_argument(
        "--force", action="store_true", help="let --save and --junit replace existing files"
    )
    add_auth_token(call)


def _parse_seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        problem = f"{text!r} is no seed: give a whole number, such as 7"
        raise argparse.ArgumentTypeError(problem) from None


def _parse_seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        problem = f"{text!r} is no time: give seconds, such as 10"
        raise argparse.ArgumentTypeError(problem) from None


def _call(arguments: argparse.Namespace) -> int:
    from twistream_kit.simulator.report import check_junit, list_files

    if arguments.save:
        list_files(arguments.save, overwrite=arguments.force)
    if arguments.junit:
        check_junit(arguments.junit, overwrite=arguments.force)
    check_script(arguments)
    if arguments.seed is not None and not arguments.script:
        problem = "--seed decides what a script leaves to chance, and there is no --script"
        raise SettingsError(problem, fix="Add one, or leave --seed out")
    limits = _read_limits(arguments)
    if limits and not (arguments.script or arguments.say):
        option = "--max-barge-in" if arguments.max_response is None else "--max-response"
        problem = f"{option} is a limit for a caller who speaks, and this one says nothing"
        raise SettingsError(problem, fix=f"Add --script or --say, or leave {option} out")
    options: dict[str, Any] = {"parameters": parse_parameters(arguments.param)}
    if arguments.auth_token_from:
        options["auth_token"] = read_variable(arguments.auth_token_from)
    say = load_voice(arguments.say)
    options |= {"say": say, "press": arguments.press, "script": arguments.script}
    options |= {"seed": arguments.seed, "seconds": arguments.seconds}
    options |= read_lines(arguments)
    try:
        pending = _begin_call(arguments.url, options, expect_silence=arguments.expect_silence)
        report = wait(pending)
    except CallRefused as error:
        if arguments.junit:
            save_junit_error("call", error, arguments.junit, overwrite=arguments.force)
        raise
    return _finish_call(report, arguments, limits)


def _begin_call(url: str, options: dict[str, Any], *, expect_silence: bool) -> Pending[CallReport]:
    from twistream_kit.simulator.caller import ScriptError
    from twistream_kit.simulator.simulate_call import simulate_call

    try:
        return simulate_call(url, expect_silence=expect_silence, **options)
    except ScriptError:  # a ValueError that says what to do
        raise
    except (TypeError, ValueError) as error:
        raise SettingsError(str(error)) from error


def _finish_call(
    report: CallReport, arguments: argparse.Namespace, limits: dict[str, float]
) -> int:
    """Print and save the report of a call; return the exit code."""
    from twistream_kit.simulator.report import save_junit, save_report, warn_of_lateness

    print_text(json.dumps(report.to_dict(), indent=2) if arguments.json else report)
    shows_turns = bool(report.acts) and not arguments.json
    if shows_turns:
        print_text(report.turns)
    if arguments.save:
        for file in save_report(report, arguments.save, overwrite=arguments.force):
            print_text(f"saved {file}", file=sys.stderr)
    if arguments.junit:
        save_junit(report, arguments.junit, limits, overwrite=arguments.force)
        print_text(f"saved {arguments.junit}", file=sys.stderr)
    cases = report.turns.list_cases(**limits) if limits or arguments.junit else {}
    failed = {case: failure for case, failure in cases.items() if failure}
    for case, failure in failed.items():
        print_text(f"{case}: {failure}", file=sys.stderr)
    if failed:
        if not shows_turns:
            print_text(report.turns, file=sys.stderr)
        if not report.believable:
            print_text(warn_of_lateness(report.lateness), file=sys.stderr)
    return FINE if report.ok and not failed else OBJECTIONS


def _read_limits(arguments: argparse.Namespace) -> dict[str, float]:
    limits = {"response_ms": arguments.max_response, "barge_in_ms": arguments.max_barge_in}
    return {name: limit for name, limit in limits.items() if limit is not None}
