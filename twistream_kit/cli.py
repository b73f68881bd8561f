"""The command line: ``python -m twistream_kit``, or ``twistream``.

Results go to standard output, errors to standard error.  An expected error is printed in a sentence
or two, without a traceback.  Each command imports what it needs, so ``explain`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from twistream_kit.errors import (
    CallRefused,
    SettingsError,
    TwistreamError,
    WavError,
    escape_controls,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from twistream_kit.diagnosis.load import LoadReport
    from twistream_kit.diagnosis.soak import SoakReport
    from twistream_kit.pending import Pending
    from twistream_kit.simulator.report import CallReport

_Result = TypeVar("_Result")

MOST_OBJECTIONS = 20
"""So many of a file are shown: one with more is mostly another file than was meant."""

FINE, OBJECTIONS, USAGE, NO_CONNECTION, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = """\
exit codes:
  0    fine
  1    something is objected to: a file that is not ready for a call or cannot be
       read as sound, a message that Twilio would refuse, a call in which anything
       went wrong or took longer than its limit, many calls that passed a limit or
       could not be measured, a fault that a server does not survive, a server that
       grows, an error that the doctor finds, a JupyterLab that fails
  2    usage: a wrong option, a file that is not there, an unknown code
  3    no connection to the server
  130  interrupted with Ctrl-C
"""


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
        return _complain(error, NO_CONNECTION)
    except TwistreamError as error:
        return _complain(error, USAGE)
    except BrokenPipeError:
        # The reader (head, less) has exited.  Without this, Python fails again when it flushes
        # standard output at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}.", USAGE)
    except KeyboardInterrupt:
        return _complain("interrupted.", INTERRUPTED)
    return code


def _print(text: object = "", *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print text in which names of files and the like cannot control the terminal."""
    print(escape_controls(str(text)), end=end, file=file, flush=True)


class _Parser(argparse.ArgumentParser):
    """An argument parser that repeats arguments as `_print` prints them."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(escape_controls(message), file)


class _ShowVersion(argparse.Action):
    """Show the version of the package whose code runs."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        # Not that of the installed packages, which another checkout may have been; and the root
        # package, which holds it, is imported by no module of ours, but is always there.
        _print(f"twistream {sys.modules['twistream_kit'].__version__}")
        parser.exit()


def _complain(error: object, code: int) -> int:
    words = str(error).replace("overwrite=True (--force in a shell)", "--force")
    _print(f"twistream: {words}", file=sys.stderr)
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="twistream",
        description="Learn Twilio's Media Streams, and check sound files, messages and servers "
        "for them.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add_command(name: str, run: Callable[..., int], summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run, parser=made)
        return made

    tutorial = add_command(
        "tutorial",
        _start_tutorial,
        "put the notebooks and samples into a folder, and open JupyterLab there",
    )
    _add_tutorial_options(tutorial)
    doctor = add_command(
        "doctor", _examine, "check what the kit needs on this machine, and say what to do"
    )
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    inspect = add_command("inspect", _inspect, "show the header of WAV files and what a call needs")
    inspect.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a WAV file")
    convert = add_command(
        "convert", _convert, "turn a sound file, or many into a folder, into what Twilio plays"
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
    _add_call_options(
        add_command("call", _call, "call a Media Streams server and report what happens")
    )
    _add_load_options(
        add_command(
            "load",
            _load,
            "make many calls at once to a server, once or for hours, and hold it to limits",
        )
    )
    _add_fault_options(
        add_command("faults", _try_faults, "break streams of a server, and say what it survives")
    )
    inspect_stream = add_command(
        "inspect-stream", _inspect_stream, "show and review what passes between Twilio and a server"
    )
    inspect_stream.add_argument(
        "--upstream", required=True, metavar="URL", help="your server: ws://localhost:8080/media"
    )
    inspect_stream.add_argument(
        "--port",
        type=_parse_port,
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
    return parser


def _add_tutorial_options(tutorial: argparse.ArgumentParser) -> None:
    from twistream_kit.tutorial.folder import DEFAULT_FOLDER

    tutorial.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(DEFAULT_FOLDER),
        metavar="FOLDER",
        help=f"made if it is not there; {DEFAULT_FOLDER} if left out",
    )
    tutorial.add_argument(
        "--force", action="store_true", help="replace files that you changed, or ran"
    )
    tutorial.add_argument(
        "--no-open", action="store_true", help="do not start JupyterLab; print how it is started"
    )
    tutorial.add_argument(
        "--no-browser",
        action="store_true",
        help="start JupyterLab, print its address and open no browser",
    )
    tutorial.add_argument(
        "--browser", metavar="NAME", help="the browser to open, such as firefox or chromium"
    )
    tutorial.add_argument(
        "--port", type=_parse_port, metavar="N", help="the port of JupyterLab; 0 for a free one"
    )
    tutorial.add_argument(
        "--allow-root", action="store_true", help="let JupyterLab run as root, as in a container"
    )
    tutorial.add_argument(
        "--lab-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="give JupyterLab an option, as in --lab-option=--ip=0.0.0.0; may be repeated",
    )


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")
    return int(text)


def _parse_limit(text: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 1 <= limit < math.inf:  # 0.8 is meant in seconds
        raise argparse.ArgumentTypeError(f"{text!r} is no limit: give milliseconds, such as 800")
    return limit


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


def _add_call_options(call: argparse.ArgumentParser) -> None:
    _add_url(call)
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
    _add_parameters(call)
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
    _add_lines(call)
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
        call.add_argument(option, type=_parse_limit, metavar="MS", help=f"fail if {what}")
    call.add_argument(
        "--force", action="store_true", help="let --save and --junit replace existing files"
    )
    _add_auth_token(call)


def _add_url(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help="wss://…, or ws:// on this machine")


def _add_parameters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a custom parameter, as set by <Parameter>; may be repeated",
    )


def _add_lines(command: argparse.ArgumentParser) -> None:
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


def _add_auth_token(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--auth-token-from",
        metavar="VARIABLE",
        help="sign the handshake with the token in this environment variable",
    )


_LOAD_LIMITS = {
    "max_first_sound": ("first_sound_ms", "MS", "the first sound comes later after the start"),
    "max_response": ("response_ms", "MS", "an answer comes later after the caller's speech"),
    "max_barge_in": ("barge_in_ms", "MS", "the server goes on for longer when interrupted"),
    "max_late": ("late_percent", "PERCENT", "more of the server's sound comes too late"),
    "max_failed": ("failed_percent", "PERCENT", "more calls fail; 0 if left out"),
}
"""The options that are limits: the name of each in a report, its unit and what it forbids."""


def _add_load_options(load: argparse.ArgumentParser) -> None:
    load.add_argument("url", metavar="URL", help="ws:// on this machine, or wss://… with --remote")
    load.add_argument(
        "--calls",
        type=int,
        metavar="N",
        help="how many calls at once; 50 if left out, 20 with --minutes",
    )
    load.add_argument(
        "--seconds", type=float, default=30, metavar="S", help="the length of each; 30 if left out"
    )
    load.add_argument(
        "--ramp",
        type=float,
        metavar="S",
        help="begin the calls one after the other within so many seconds; 5 if left out, 2 with "
        "--minutes",
    )
    load.add_argument(
        "--script", type=Path, metavar="FILE", help="let each caller act as this TOML file says"
    )
    load.add_argument(
        "--seed", type=int, default=0, metavar="N", help="decide what the script leaves to chance"
    )
    load.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a custom parameter, in which {call} is the number of the call; may be repeated",
    )
    _add_lines(load)
    load.add_argument(
        "--expect-silence", action="store_true", help="accept calls in which nothing is heard"
    )
    load.add_argument(
        "--auth-token-from",
        metavar="VARIABLE",
        help="sign the handshakes with the token in this environment variable",
    )
    for option, (_, unit, what) in _LOAD_LIMITS.items():
        kind = _parse_limit if unit == "MS" else _parse_percent
        load.add_argument(
            f"--{option.replace('_', '-')}", type=kind, metavar=unit, help=f"fail if {what}"
        )
    load.add_argument(
        "--sample",
        type=int,
        default=1,
        metavar="N",
        help="record so many of the calls and review their sound; 1 if left out",
    )
    load.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="make the calls in so many processes; 1 if left out",
    )
    load.add_argument(
        "--remote", action="store_true", help="let URL be on another machine, which gets the calls"
    )
    load.add_argument("--json", action="store_true", help="print the report as JSON")
    load.add_argument(
        "--junit", type=Path, metavar="FILE", help="write the limits as test cases of JUnit"
    )
    load.add_argument("--force", action="store_true", help="let --junit replace an existing file")
    _add_soak_options(load)


_SOAK_LIMITS = {
    "max_memory_growth": ("memory_mb_per_hour", "MB", "memory grows by more MB an hour"),
    "max_descriptor_growth": ("descriptors_per_hour", "N", "more descriptors are left an hour"),
    "max_thread_growth": ("threads_per_hour", "N", "more threads are left an hour"),
}
"""The options that are limits of growth, as `_LOAD_LIMITS`."""


def _add_soak_options(load: argparse.ArgumentParser) -> None:
    soak = load.add_argument_group(
        "for a long time",
        "With --minutes the calls come in waves; between two of them, when no call is\n"
        "under way, the process of the server is read: what it keeps shows in that.",
    )
    soak.add_argument(
        "--minutes", type=float, metavar="M", help="make waves of calls for so many minutes"
    )
    soak.add_argument(
        "--pid",
        type=int,
        metavar="N",
        help="say whether this process, the server's, grows: memory, descriptors, threads; fail "
        "if one does for certain",
    )
    soak.add_argument(
        "--faults",
        action="store_true",
        help="break streams beside the calls, in the ways of twistream faults, over and over",
    )
    soak.add_argument(
        "--fault-scale",
        type=float,
        metavar="X",
        help="multiply how long faults last with this; 1 if left out, less for calls below 30 s",
    )
    soak.add_argument(
        "--rest",
        type=float,
        metavar="S",
        help="let the server rest for so many seconds after each wave; 2 if left out",
    )
    for option, (_, unit, what) in _SOAK_LIMITS.items():
        soak.add_argument(
            f"--{option.replace('_', '-')}",
            type=_parse_growth,
            metavar=unit,
            help=f"fail if {what}, or if the run is too short to tell",
        )


def _parse_growth(text: str) -> float:
    try:
        growth = float(text)
    except ValueError:
        growth = math.nan
    if not 0 < growth < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no growth: give a number above 0")
    return growth


def _parse_percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give a percentage, such as 0.5")
    return percent


def _load(arguments: argparse.Namespace) -> int:
    from twistream_kit.simulator.report import check_junit

    if arguments.junit:
        check_junit(arguments.junit, overwrite=arguments.force)
    try:
        is_soak = arguments.minutes is not None
        report = _run_soak(arguments) if is_soak else _run_load(arguments)
    except CallRefused as error:
        if arguments.junit:
            _save_junit_error("load", error, arguments.junit, overwrite=arguments.force)
        raise
    except (TypeError, ValueError) as error:
        if isinstance(error, SettingsError) or not isinstance(error, TwistreamError):
            raise
        raise SettingsError(str(error)) from error
    _print(report.to_json().rstrip() if arguments.json else report)
    if arguments.junit:
        _write_text(report.to_junit(), arguments.junit, overwrite=arguments.force)
    if report.is_interrupted:
        return INTERRUPTED
    return FINE if report.ok else OBJECTIONS


def _run_load(arguments: argparse.Namespace) -> LoadReport:
    from twistream_kit.simulator.load import simulate_calls

    for option in ("pid", "faults", "fault_scale", "rest", *_SOAK_LIMITS):
        if getattr(arguments, option) not in (None, False):
            raise SettingsError(
                f"--{option.replace('_', '-')} is for calls over a long time",
                fix="Say how long with --minutes, such as --minutes 60, or leave it out",
            )
    with _open_workers(arguments) as executor:
        pending = simulate_calls(
            arguments.url,
            50 if arguments.calls is None else arguments.calls,
            ramp_seconds=5 if arguments.ramp is None else arguments.ramp,
            limits=_read_load_limits(arguments, _LOAD_LIMITS),
            executor=executor,
            **_read_load_options(arguments),
        )
        return pending.result()


def _run_soak(arguments: argparse.Namespace) -> SoakReport:
    from twistream_kit.simulator.soak import run_soak

    given = {"ramp_seconds": arguments.ramp, "rest_seconds": arguments.rest}
    with _open_workers(arguments) as executor:
        pending = run_soak(
            arguments.url,
            arguments.minutes,
            20 if arguments.calls is None else arguments.calls,
            faults=arguments.faults,
            fault_scale=arguments.fault_scale,
            pid=arguments.pid,
            limits=_read_load_limits(arguments, {**_LOAD_LIMITS, **_SOAK_LIMITS}),
            executor=executor,
            **{name: seconds for name, seconds in given.items() if seconds is not None},
            **_read_load_options(arguments),
        )
        return pending.result()


@contextlib.contextmanager
def _open_workers(arguments: argparse.Namespace) -> Iterator[Executor | None]:
    """Give the processes that make the calls, or None for this one."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    if arguments.workers <= 1:
        yield None
        return
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        yield pool


def _read_load_limits(
    arguments: argparse.Namespace, options: Mapping[str, tuple[str, str, str]]
) -> dict[str, float]:
    limits = {name: getattr(arguments, option) for option, (name, _, _) in options.items()}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _read_load_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what calls have in common, whether they are made once or for a long time."""
    token = arguments.auth_token_from
    return {
        "seconds": arguments.seconds,
        "script": arguments.script,
        "seed": arguments.seed,
        "parameters": _NumberedParameters(_parse_parameters(arguments.param)),
        "auth_token": _read_variable(token) if token else None,
        "expect_silence": arguments.expect_silence,
        "sample": arguments.sample,
        "workers": arguments.workers,
        "remote": arguments.remote,
        **_read_lines(arguments),
    }


class _NumberedParameters:
    """Custom parameters, in which ``{call}`` is the number of the call; it can be pickled."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self._parameters = parameters

    def __call__(self, number: int) -> dict[str, str]:
        return {
            name: value.replace("{call}", str(number)) for name, value in self._parameters.items()
        }


def _add_fault_options(faults: argparse.ArgumentParser) -> None:
    _add_url(faults)
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
    faults.add_argument("--force", action="store_true", help="let --junit replace a file")
    _add_parameters(faults)
    _add_auth_token(faults)


def _start_tutorial(arguments: argparse.Namespace) -> int:
    from twistream_kit.doctor.doctor import find_obstacles
    from twistream_kit.tutorial import jupyterlab
    from twistream_kit.tutorial.folder import FIRST_NOTEBOOK, fill_folder

    allow_root = arguments.allow_root or "--allow-root" in arguments.lab_option
    if not arguments.no_open:
        jupyterlab.check_start(
            port=arguments.port, browser=arguments.browser, allow_root=allow_root
        )
    filled = fill_folder(arguments.folder, force=arguments.force)
    _print(filled)
    opens_browser = not (arguments.no_open or arguments.no_browser)
    obstacles = find_obstacles(opens_browser=opens_browser)
    if obstacles:
        _print(obstacles.format_rows())
    command = jupyterlab.build_command(
        filled.folder,
        port=arguments.port,
        browser=arguments.browser,
        open_browser=not arguments.no_browser,
        allow_root=allow_root,
        options=arguments.lab_option,
    )
    first = filled.folder / FIRST_NOTEBOOK
    if arguments.no_open:
        _print(f"Begin with {first}, in a JupyterLab that runs already, or start one:")
        _print(f"  {jupyterlab.join_command(command)}")
        return FINE
    where = "prints its address below" if arguments.no_browser else "opens in your browser"
    _print(f"JupyterLab {where}, with {FIRST_NOTEBOOK}; Ctrl-C here ends it.")
    code = jupyterlab.run_jupyterlab(command)
    if code:
        return _complain(f"JupyterLab has ended with {code}; it says why above.", OBJECTIONS)
    return FINE


def _examine(arguments: argparse.Namespace) -> int:
    from twistream_kit.doctor.doctor import examine_machine

    found = examine_machine()
    if arguments.json:
        _print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print(found)
    return FINE if found.ok else OBJECTIONS


def _inspect(arguments: argparse.Namespace) -> int:
    from twistream_kit.audio.wav_report import inspect_wav

    code = FINE
    for number, path in enumerate(arguments.files):
        if number:
            _print()
        try:
            report = inspect_wav(path)
        except WavError as error:
            code = max(code, _complain(error, _choose_exit_code(path)))
            continue
        _print(report)
        code = max(code, FINE if report.ready else OBJECTIONS)
    return code


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
            code = max(code, _complain(done.error, _choose_exit_code(done.source)))
            continue
        _print(done)
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
        _print(
            convert_file(
                source, target, overwrite=arguments.force, progress=sys.stderr.isatty() or None
            )
        )
    except WavError as error:
        is_of_target = error.source == str(target)
        return _complain(error, USAGE if is_of_target else _choose_exit_code(source))
    return FINE


def _choose_exit_code(path: Path) -> int:
    """Return the exit code for a file that cannot be read: `USAGE` if there is no such file."""
    return OBJECTIONS if path.exists() and not path.is_dir() else USAGE


def _explain(arguments: argparse.Namespace) -> int:
    from twistream_kit.diagnosis.explain import MOST_CHARACTERS, explain

    text = " ".join(arguments.words)
    if text == "-":
        text = sys.stdin.buffer.read(MOST_CHARACTERS).decode(errors="replace")
    _print(explain(text))
    return FINE


def _review(arguments: argparse.Namespace) -> int:
    from twistream_kit.capture.file import CaptureError
    from twistream_kit.diagnosis.review import review_contents

    path = Path(arguments.file)
    raw = sys.stdin.buffer.read() if arguments.file == "-" else path.read_bytes()
    try:
        found = review_contents(raw, path, stream_sid=arguments.stream_sid)
    except CaptureError as error:
        return _complain(error, OBJECTIONS)
    if found.capture is not None:
        _print(found.capture.summary().report(), end="\n\n")
    lines = str(found).splitlines()
    if len(lines) <= MOST_OBJECTIONS or arguments.all:
        _print(found)
    else:
        _print("\n".join(lines[:MOST_OBJECTIONS]))
        n_left = len(lines) - MOST_OBJECTIONS
        _print(f"… and {n_left} more; --all shows {'it' if n_left == 1 else 'them'}.")
    return FINE if found.ok else OBJECTIONS


def _call(arguments: argparse.Namespace) -> int:
    from twistream_kit.audio.load import load_clip
    from twistream_kit.simulator.report import check_junit, list_files

    if arguments.save:
        list_files(arguments.save, overwrite=arguments.force)
    if arguments.junit:
        check_junit(arguments.junit, overwrite=arguments.force)
    if arguments.script and (arguments.say or arguments.press):
        problem = "--script says all that the caller does, and --say or --press is given too"
        raise SettingsError(problem, fix="Make them steps of the script")
    if arguments.seed is not None and not arguments.script:
        problem = "--seed decides what a script leaves to chance, and there is no --script"
        raise SettingsError(problem, fix="Add one, or leave --seed out")
    limits = _read_limits(arguments)
    if limits and not (arguments.script or arguments.say):
        option = "--max-barge-in" if arguments.max_response is None else "--max-response"
        problem = f"{option} is a limit for a caller who speaks, and this one says nothing"
        raise SettingsError(problem, fix=f"Add --script or --say, or leave {option} out")
    options: dict[str, Any] = {"parameters": _parse_parameters(arguments.param)}
    if arguments.auth_token_from:
        options["auth_token"] = _read_variable(arguments.auth_token_from)
    say = load_clip(arguments.say) if arguments.say else None
    if say is not None and say.missing_seconds:
        _print(f"{arguments.say} is cut off: {say.missing_seconds:.2f} s missing", file=sys.stderr)
    options |= {"say": say, "press": arguments.press, "script": arguments.script}
    options |= {"seed": arguments.seed, "seconds": arguments.seconds}
    options |= _read_lines(arguments)
    try:
        pending = _begin_call(arguments.url, options, expect_silence=arguments.expect_silence)
        report = _wait(pending)
    except CallRefused as error:
        if arguments.junit:
            _save_junit_error("call", error, arguments.junit, overwrite=arguments.force)
        raise
    return _finish_call(report, arguments, limits)


def _read_lines(arguments: argparse.Namespace) -> dict[str, Any]:
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


def _try_faults(arguments: argparse.Namespace) -> int:
    from twistream_kit.simulator.fault_report import save_fault_junit
    from twistream_kit.simulator.faults import inject_faults
    from twistream_kit.simulator.report import check_junit

    if arguments.junit:
        check_junit(arguments.junit, overwrite=arguments.force)
    options: dict[str, Any] = {"parameters": _parse_parameters(arguments.param)}
    if arguments.auth_token_from:
        options["auth_token"] = _read_variable(arguments.auth_token_from)
    for name in ("only", "seed", "scale", "pid", "remote"):
        options[name] = getattr(arguments, name)
    try:
        report = _wait(inject_faults(arguments.url, **options))
    except CallRefused as error:
        if arguments.junit:
            _save_junit_error("faults", error, arguments.junit, overwrite=arguments.force)
        raise
    except (TypeError, ValueError) as error:
        raise SettingsError(str(error)) from error
    _print(json.dumps(report.to_dict(), indent=2) if arguments.json else report)
    if arguments.junit:
        save_fault_junit(report, arguments.junit, overwrite=arguments.force)
        _print(f"saved {arguments.junit}", file=sys.stderr)
    return FINE if report.ok else OBJECTIONS


def _begin_call(url: str, options: dict[str, Any], *, expect_silence: bool) -> Pending[CallReport]:
    from twistream_kit.simulator.caller import ScriptError
    from twistream_kit.simulator.simulate_call import simulate_call

    try:
        return simulate_call(url, expect_silence=expect_silence, **options)
    except ScriptError:  # a ValueError that says what to do
        raise
    except (TypeError, ValueError) as error:
        raise SettingsError(str(error)) from error


def _save_junit_error(case: str, error: CallRefused, target: Path, *, overwrite: bool) -> None:
    """Write that there was no call; without a file, CI would say that nothing was tested."""
    from twistream_kit.diagnosis.junit import build_junit_error

    text = build_junit_error(f"twistream {case}", case, error)
    _write_text(text, target, overwrite=overwrite)


def _write_text(text: str, target: Path, *, overwrite: bool) -> None:
    """Write a file, and say so."""
    from twistream_kit.audio.clip import write_file

    with write_file(target, overwrite=overwrite) as opened:
        opened.write(text.encode())
    _print(f"saved {target}", file=sys.stderr)


def _finish_call(
    report: CallReport, arguments: argparse.Namespace, limits: dict[str, float]
) -> int:
    """Print and save the report of a call; return the exit code."""
    from twistream_kit.simulator.report import save_junit, save_report, warn_of_lateness

    _print(json.dumps(report.to_dict(), indent=2) if arguments.json else report)
    shows_turns = bool(report.acts) and not arguments.json
    if shows_turns:
        _print(report.turns)
    if arguments.save:
        for file in save_report(report, arguments.save, overwrite=arguments.force):
            _print(f"saved {file}", file=sys.stderr)
    if arguments.junit:
        save_junit(report, arguments.junit, limits, overwrite=arguments.force)
        _print(f"saved {arguments.junit}", file=sys.stderr)
    cases = report.turns.list_cases(**limits) if limits or arguments.junit else {}
    failed = {case: failure for case, failure in cases.items() if failure}
    for case, failure in failed.items():
        _print(f"{case}: {failure}", file=sys.stderr)
    if failed:
        if not shows_turns:
            _print(report.turns, file=sys.stderr)
        if not report.believable:
            _print(warn_of_lateness(report.lateness), file=sys.stderr)
    return FINE if report.ok and not failed else OBJECTIONS


def _read_limits(arguments: argparse.Namespace) -> dict[str, float]:
    limits = {"response_ms": arguments.max_response, "barge_in_ms": arguments.max_barge_in}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _inspect_stream(arguments: argparse.Namespace) -> int:
    from twistream_kit.live.inspector.inspector import Inspector
    from twistream_kit.live.inspector.report import InspectCommand

    try:
        inspector = Inspector(
            arguments.upstream, port=arguments.port, allowed_hosts=arguments.allowed_host
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error
    command = InspectCommand(inspector, _print, arguments.save)
    try:
        command.run()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES) or error.filename:
            raise
        problem = f"nothing can listen on port {arguments.port} here: {os.strerror(error.errno)}"
        raise SettingsError(problem, fix="Give another --port, or none for a free one") from error
    return OBJECTIONS if command.has_objections else FINE


def _wait(pending: Pending[_Result]) -> _Result:
    while True:  # in steps, because on Windows Ctrl-C does not interrupt a longer wait
        try:
            return pending.result(0.25)
        except TimeoutError:
            if pending.done():
                raise


def _parse_parameters(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            problem = f"--param takes NAME=VALUE, and {pair!r} is not of that form"
            raise SettingsError(problem, fix="For example --param customer=42")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _read_variable(variable: str) -> str:
    token = os.environ.get(variable)
    if not token:
        problem = f"the environment variable {variable} is not set"
        raise SettingsError(problem, fix="Export it, or leave --auth-token-from out")
    return token
