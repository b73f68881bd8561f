"""``twistream load``: many calls at once to a server, and limits for them."""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twistream_kit.commands._call_options import (
    add_html,
    add_lines,
    check_html,
    check_script,
    load_voice,
    parse_limit,
    parse_parameters,
    read_lines,
    read_variable,
    save_junit_error,
    write_text,
)
from twistream_kit.commands._soak_options import (
    SOAK_LIMITS,
    add_soak_options,
    refuse_soak_options,
)
from twistream_kit.commands.parser import AddCommand
from twistream_kit.commands.terminal import FINE, INTERRUPTED, OBJECTIONS, print_text
from twistream_kit.errors import CallRefused, SettingsError, TwistreamError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from twistream_kit.diagnosis.load import LoadReport
    from twistream_kit.diagnosis.soak import SoakReport


_LOAD_LIMITS = {
    "max_first_sound": ("first_sound_ms", "MS", "the first sound comes later after the start"),
    "max_response": ("response_ms", "MS", "an answer comes later after the caller's speech"),
    "max_barge_in": ("barge_in_ms", "MS", "the server goes on for longer when interrupted"),
    "max_gap": ("gap_ms", "MS", "the server's sound stops for longer in its midst"),
    "max_late": ("late_percent", "PERCENT", "more of the server's sound comes too late"),
    "max_failed": ("failed_percent", "PERCENT", "more calls fail; 0 if left out"),
}
"""The options that are limits: the name of each in a report, its unit and what it forbids."""


def add_load(add_command: AddCommand) -> None:
    """Add the command and its options."""
    _add_load_options(
        add_command(
            "load",
            _load,
            "make many calls at once to a server, once or for hours, and hold it to limits",
        )
    )


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
        "--say",
        type=Path,
        metavar="FILE",
        help="play this sound file as the voice of each caller; without it, --press and --script "
        "all are silent, and a server that echoes or waits for speech sends nothing to be heard",
    )
    load.add_argument(
        "--press", default="", metavar="KEYS", help="press these keys, of 0123456789*#ABCD"
    )
    load.add_argument(
        "--script",
        type=Path,
        metavar="FILE",
        help="let each caller act as this TOML file says, instead of --say and --press",
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
    add_lines(load)
    load.add_argument(
        "--expect-silence", action="store_true", help="accept calls in which nothing is heard"
    )
    load.add_argument(
        "--auth-token-from",
        metavar="VARIABLE",
        help="sign the handshakes with the token in this environment variable",
    )
    for option, (_, unit, what) in _LOAD_LIMITS.items():
        kind = parse_limit if unit == "MS" else _parse_percent
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
    load.add_argument(
        "--save-recorded",
        type=Path,
        metavar="DIR",
        help="write what was heard in each recorded call, its messages and its report into a "
        "folder of DIR, such as DIR/call-50",
    )
    add_html(load)
    load.add_argument(
        "--force",
        action="store_true",
        help="let --junit, --html and --save-recorded replace existing files",
    )
    load.add_argument(
        "--verbose", action="store_true", help="print every reason for which calls failed"
    )
    add_soak_options(load)


def _parse_percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give a percentage, such as 0.5")
    return percent


def _check_targets(arguments: argparse.Namespace) -> None:
    """Find out before the run whether its files can be written."""
    from twistream_kit.simulator.report import check_junit

    if arguments.junit:
        check_junit(arguments.junit, overwrite=arguments.force)
    check_html(arguments)
    if arguments.save_recorded:
        _check_folder(arguments)


def _write_files(report: LoadReport | SoakReport, arguments: argparse.Namespace) -> None:
    if arguments.junit:
        write_text(report.to_junit(), arguments.junit, overwrite=arguments.force)
    if arguments.html:
        write_text(_build_page(report), arguments.html, overwrite=arguments.force)
    if arguments.save_recorded:
        _save_recorded(report, arguments.save_recorded, overwrite=arguments.force)


def _load(arguments: argparse.Namespace) -> int:
    from twistream_kit.diagnosis.load import LoadReport

    _check_targets(arguments)
    try:
        report = _run_load(arguments) if arguments.minutes is None else _run_soak(arguments)
    except CallRefused as error:
        if arguments.junit:
            save_junit_error("load", error, arguments.junit, overwrite=arguments.force)
        raise
    except (TypeError, ValueError) as error:
        if isinstance(error, SettingsError) or not isinstance(error, TwistreamError):
            raise
        raise SettingsError(str(error)) from error
    if isinstance(report, LoadReport):
        said = report.to_text(verbose=arguments.verbose, in_shell=True)
    else:
        said = report.to_text(in_shell=True)
    print_text(report.to_json().rstrip() if arguments.json else said)
    _write_files(report, arguments)
    if report.is_interrupted:
        return INTERRUPTED
    return FINE if report.ok else OBJECTIONS


def _build_page(report: LoadReport | SoakReport) -> str:
    from twistream_kit.diagnosis.load import LoadReport
    from twistream_kit.notebook.display.display import show_load_report, show_soak_report
    from twistream_kit.notebook.display.page import build_page, show_figure
    from twistream_kit.notebook.plots.load import plot_load
    from twistream_kit.notebook.plots.soak import plot_soak

    if isinstance(report, LoadReport):
        shown, figure = show_load_report(report, in_shell=True), plot_load(report)
    else:
        shown, figure = show_soak_report(report, in_shell=True), plot_soak(report)
    return build_page("twistream load", shown, show_figure(figure, figure.get_suptitle()))


def _check_folder(arguments: argparse.Namespace) -> None:
    """Find out before the run whether recorded calls can be saved.

    Raises:
        SettingsError: If there is a file in place of the folder, or no call is recorded.
        TwistreamError: If one of the files exists, and none may be replaced.
    """
    from twistream_kit.simulator.load import choose_recorded
    from twistream_kit.simulator.report import list_files

    folder: Path = arguments.save_recorded
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder} is not a folder", fix="Name one; it is made if need be")
    if not arguments.sample:
        problem = "--save-recorded saves recorded calls, and --sample 0 records none"
        raise SettingsError(problem, fix="Give --sample 1 or more, or leave --save-recorded out")
    calls = 50 if arguments.calls is None else arguments.calls
    if arguments.minutes is not None:  # which of its calls are kept is known at its end
        for place in folder.glob("call-*"):
            list_files(place, overwrite=arguments.force)
    elif 0 < arguments.sample <= calls:  # otherwise it is refused by the run
        for number in choose_recorded(calls, arguments.sample):
            list_files(folder / f"call-{number}", overwrite=arguments.force)


def _save_recorded(report: LoadReport | SoakReport, folder: Path, *, overwrite: bool) -> None:
    from twistream_kit.simulator.report import save_report

    for number, recorded in sorted(report.recorded.items()):
        for file in save_report(recorded, folder / f"call-{number}", overwrite=overwrite):
            print_text(f"saved {file}", file=sys.stderr)
    if not report.recorded:
        print_text(f"no call was recorded to its end: nothing saved in {folder}", file=sys.stderr)


def _run_load(arguments: argparse.Namespace) -> LoadReport:
    from twistream_kit.simulator.load import simulate_calls

    refuse_soak_options(arguments)
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
            limits=_read_load_limits(arguments, {**_LOAD_LIMITS, **SOAK_LIMITS}),
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
    with ProcessPoolExecutor(
        arguments.workers,
        mp_context=get_context("spawn"),
        # A terminal interrupts them as well, at any point; the run tells them to end.
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:
        yield pool


def _read_load_limits(
    arguments: argparse.Namespace, options: Mapping[str, tuple[str, str, str]]
) -> dict[str, float]:
    limits = {name: getattr(arguments, option) for option, (name, _, _) in options.items()}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _read_load_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what calls have in common, whether they are made once or for a long time."""
    check_script(arguments)
    token = arguments.auth_token_from
    return {
        "seconds": arguments.seconds,
        "say": load_voice(arguments.say),
        "press": arguments.press,
        "script": arguments.script,
        "seed": arguments.seed,
        "parameters": _NumberedParameters(parse_parameters(arguments.param)),
        "auth_token": read_variable(token) if token else None,
        "expect_silence": arguments.expect_silence,
        "sample": arguments.sample,
        "workers": arguments.workers,
        "remote": arguments.remote,
        **read_lines(arguments),
    }


class _NumberedParameters:
    """Custom parameters, in which ``{call}`` is the number of the call; it can be pickled."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self._parameters = parameters

    def __call__(self, number: int) -> dict[str, str]:
        return {
            name: value.replace("{call}", str(number)) for name, value in self._parameters.items()
        }
