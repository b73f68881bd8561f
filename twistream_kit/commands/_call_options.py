"""What the commands that place calls have in common: options, how they are read, and JUnit."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twistream_kit.commands.terminal import print_text
from twistream_kit.errors import CallRefused, SettingsError

if TYPE_CHECKING:
    from twistream_kit.audio.clip import Clip
    from twistream_kit.pending import Pending

_Result = TypeVar("_Result")


def add_url(command: argparse.ArgumentParser) -> None:
    """Add the address of the server."""
    command.add_argument("url", metavar="URL", help="wss://…, or ws:// on this machine")


def add_parameters(command: argparse.ArgumentParser) -> None:
    """Add the custom parameters, which `parse_parameters` reads."""
    command.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a custom parameter, as set by <Parameter>; may be repeated",
    )


def add_lines(command: argparse.ArgumentParser) -> None:
    """Add the lines of the caller, which `read_lines` reads."""
    profiles = "clean, mobile, bad_mobile, speakerphone, street or call_centre"
    command.add_argument(
        "--line",
        metavar="NAME",
        help=f"let the caller have a line of this profile: {profiles}; its values can be changed "
        "in Python only",
    )
    command.add_argument(
        "--line-back",
        metavar="NAME",
        help="another profile for what the caller hears; if left out, the losses and the delay of "
        "--line, without noise",
    )
    command.add_argument(
        "--line-seed", type=int, metavar="N", help="decide with this what the line does by chance"
    )


def add_auth_token(command: argparse.ArgumentParser) -> None:
    """Add the variable that holds the token, which `read_variable` reads."""
    command.add_argument(
        "--auth-token-from",
        metavar="VARIABLE",
        help="sign the handshake with the token in this environment variable",
    )


def check_script(arguments: argparse.Namespace) -> None:
    """Refuse --say and --press beside --script.

    Raises:
        SettingsError: If there are both.
    """
    if arguments.script and (arguments.say or arguments.press):
        problem = "--script says all that the caller does, and --say or --press is given too"
        raise SettingsError(problem, fix="Make them steps of the script")


def load_voice(path: Path | None) -> Clip | None:
    """Return the sound of --say, and say on stderr what is missing of it."""
    from twistream_kit.audio.load import load_clip

    if path is None:
        return None
    voice = load_clip(path)
    if voice.missing_seconds:
        print_text(f"{path} is cut off: {voice.missing_seconds:.2f} s missing", file=sys.stderr)
    return voice


def parse_limit(text: str) -> float:
    """Return a limit in milliseconds."""
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 1 <= limit < math.inf:  # 0.8 is meant in seconds
        raise argparse.ArgumentTypeError(f"{text!r} is no limit: give milliseconds, such as 800")
    return limit


def parse_parameters(pairs: list[str]) -> dict[str, str]:
    """Return custom parameters, of ``NAME=VALUE``."""
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            problem = f"--param takes NAME=VALUE, and {pair!r} is not of that form"
            raise SettingsError(problem, fix="For example --param customer=42")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def read_variable(variable: str) -> str:
    """Return what is in an environment variable, which has to be set."""
    token = os.environ.get(variable)
    if not token:
        problem = f"the environment variable {variable} is not set"
        raise SettingsError(problem, fix="Export it, or leave --auth-token-from out")
    return token


def read_lines(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the lines of a call, by the names of their arguments."""
    from twistream_kit.simulator.line.line import Line

    names = {"line": arguments.line, "line_back": arguments.line_back}
    names = {name: preset for name, preset in names.items() if preset is not None}
    if arguments.line_seed is not None and not names:
        problem = "--line-seed decides what a line does by chance, and there is no --line"
        raise SettingsError(problem, fix="Add one, or leave --line-seed out")
    if arguments.line_seed is not None and arguments.line_seed < 0:
        problem = f"--line-seed is {arguments.line_seed}"
        raise SettingsError(problem, fix="Give a whole number from 0 on")
    try:
        return {name: Line(preset, seed=arguments.line_seed or 0) for name, preset in names.items()}
    except ValueError as error:
        fix = "Give the name of a profile; its values can be changed in Python only"
        raise SettingsError(str(error), fix=fix) from error


def add_html(command: argparse.ArgumentParser) -> None:
    """Add the page of HTML, which `check_html` refuses and `save_html` writes."""
    command.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write the report as a page of HTML, with its pictures inside",
    )


def check_html(arguments: argparse.Namespace) -> None:
    """Find out before a run whether --html can be written.

    Raises:
        SettingsError: If its folder does not exist, or it is one, or the file of --junit.
        TwistreamError: If it exists, without --force.
    """
    from twistream_kit.audio.clip import refuse_existing

    target: Path | None = arguments.html
    if target is None:
        return
    if target.is_dir():
        raise SettingsError(f"{target} is a folder", fix=f"Name a file in it: {target}/report.html")
    if not target.parent.is_dir():
        raise SettingsError(f"{target.parent} is not a folder", fix="Make it first")
    if arguments.junit and arguments.junit.resolve() == target.resolve():
        raise SettingsError(f"--html and --junit are both {target}", fix="Name two files")
    if not arguments.force:
        refuse_existing(target)


def wait(pending: Pending[_Result]) -> _Result:
    """Return a result once it is there; Ctrl-C ends the waiting."""
    while True:  # in steps, because on Windows Ctrl-C does not interrupt a longer wait
        try:
            return pending.result(0.25)
        except TimeoutError:
            if pending.done():
                raise


def save_junit_error(case: str, error: CallRefused, target: Path, *, overwrite: bool) -> None:
    """Write that there was no call; without a file, CI would say that nothing was tested."""
    from twistream_kit.diagnosis.junit import build_junit_error

    text = build_junit_error(f"twistream {case}", case, error)
    write_text(text, target, overwrite=overwrite)


def write_text(text: str, target: Path, *, overwrite: bool) -> None:
    """Write a file, and say so."""
    from twistream_kit.audio.clip import write_file

    with write_file(target, overwrite=overwrite) as opened:
        opened.write(text.encode())
    print_text(f"saved {target}", file=sys.stderr)
