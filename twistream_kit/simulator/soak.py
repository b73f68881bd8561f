"""`run_soak`: calls to a server over minutes or hours, and whether its process grows meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlsplit

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.load_figure import check_limits
from twistream_kit.diagnosis.soak import GROWTH_LIMITS, SoakReport
from twistream_kit.errors import (
    SettingsError,
    WrongType,
    WrongValue,
    hide_user,
    is_finite,
    quote,
)
from twistream_kit.pending import Pending, Subject
from twistream_kit.protocol.twiml import is_loopback_host
from twistream_kit.simulator._calls_loop import begin_thread
from twistream_kit.simulator._fault_rows import Fault
from twistream_kit.simulator._fault_streams import FaultTarget
from twistream_kit.simulator._load_run import LoadRun
from twistream_kit.simulator._process_usage import ProcessUsage, ProcessWatch, check_pid
from twistream_kit.simulator._remote import refuse_remote
from twistream_kit.simulator._soak_faults import FaultsBeside
from twistream_kit.simulator._soak_run import SoakPlan, SoakProgress, SoakRun, run_waves
from twistream_kit.simulator.caller import Script, Step
from twistream_kit.simulator.faults import check_scale, choose_faults
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.load import Parameters, check_numbers, simulate_calls
from twistream_kit.simulator.model.assumptions import Behaviour, check_behaviour
from twistream_kit.simulator.simulate_call import check_auth_token, check_parameters, set_lines
from twistream_kit.simulator.stream.handshake import read_url

MOST_MINUTES = 7 * 24 * 60
"""A week."""

TWILIO_CALL_SECONDS = 30.0
"""In calls of this length faults last as long as at Twilio; in shorter ones less, in proportion."""

THREAD_NAME = "soak"
"""The name of the thread that makes the waves."""


def run_soak(
    url: str,
    minutes: float = 60,
    calls: int = 20,
    *,
    seconds: float = 30,
    say: Clip | bytes | None = None,
    press: str = "",
    script: Script | Sequence[Step] | str | os.PathLike[str] | None = None,
    faults: bool | str | Sequence[str] = False,
    pid: int | None = None,
    limits: Mapping[str, float] | None = None,
    ramp_seconds: float = 2,
    rest_seconds: float = 2,
    fault_scale: float | None = None,
    seed: int = 0,
    parameters: Parameters = None,
    auth_token: str | None = None,
    behaviour: Behaviour | None = None,
    line: Line | str | None = None,
    line_back: Line | str | None = None,
    expect_silence: bool = False,
    sample: int = 1,
    executor: Executor | None = None,
    workers: int | None = None,
    remote: bool = False,
    progress: bool = True,
) -> Pending[SoakReport]:
    """Make calls to a Media Streams server for a long time, and say whether its process grows.

    The calls come in waves of `simulate_calls`.  Between two waves, when no call is under way, the
    server rests for a moment, and what its process uses is read: memory, descriptors and threads.
    What it keeps of each call shows in that.  The first quarter of these readings is left out, as a
    warm-up.  A slope is that of Theil and Sen; its interval of 95 % allows for readings that hang
    together.

    With `faults`, streams break beside the calls, in the ways of `inject_faults`, one after the
    other in seeded order, over and over; the calls beside them must go well.  Callable from any
    thread.

    While ``result()`` waits it shows a progress bar, or a line for each wave where there is no
    terminal.  Its first interrupt (Ctrl-C) lets all callers hang up and returns the report of what
    was seen; ``stop()`` does the same.  The run ends early when the process has ended, and when
    no call of the first wave, or of two waves one after the other, goes well.

    Args:
        url: The server's WebSocket: wss, or ws on this machine.
        minutes: How long; no wave begins that would last longer, but for the first.
        calls: How many calls at once.
        seconds: The length of each call; a script may hang up sooner, and the server may close.
        say: What each caller says, as soon as the call begins: a clip, or PCMU bytes.
        press: Keys that it then presses.
        script: What each caller does instead of both: steps of `kit.caller`, or the name of a TOML
            file.
        faults: Whether streams break beside the calls: True for all kinds, or the names of some.
        pid: The process of the server, on this machine, which is read with its children.  It needs
            psutil, ``twistream-kit[load]``.
        limits: What decides whether the report is `ok`, by name: those of `simulate_calls`, and
            ``memory_mb_per_hour``, ``descriptors_per_hour`` and ``threads_per_hour``.  Such a limit
            is exceeded when the whole interval of the slope lies above it, and not kept either
            while the run is too short to tell.  Without it, what grows for certain is not ok.
        ramp_seconds: The time within which the calls of a wave begin, evenly.
        rest_seconds: How long the server rests after each wave.
        fault_scale: Multiplies how long faults last; by default 1 for calls of 30 s or more, and
            less in proportion for shorter ones.
        seed: Decides, with the number of each call, what the script leaves to chance, and the order
            of the faults.
        parameters: The custom parameters in *start*; or a function that returns them for the
            number of a call, which goes on from wave to wave.  Faults have those of call 1.
        auth_token: Signs each handshake as Twilio would.
        behaviour: The switches for behaviour of Twilio that is not known.
        line: What the line of each caller does to what the caller says, as in `simulate_calls`.
        line_back: What it does to what the caller hears.
        expect_silence: Whether a call in which nothing is heard is fine.
        sample: How many calls of each wave are recorded and their sound reviewed.  Kept are the
            reports of those of the first wave, of the last one, and of the last with a failure.
        executor: Runs shares of each wave, as in `simulate_calls`.
        workers: The number of shares.
        remote: Whether `url` may be on another machine, which then gets all of it.
        progress: Whether ``result()`` shows how far it is.

    Returns:
        The report.

    Raises:
        CallRefused: At once, if Twilio would not connect to `url`.
        SettingsError: At once, if `url` is on another machine without `remote`, or the process
            cannot be read.
        TwistreamError: At once, if this process may not open enough sockets.
        TypeError, ValueError: At once, for invalid arguments.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.1))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> soak = kit.run_soak(
        ...     server.url, 0.01, 2, seconds=1, ramp_seconds=0, rest_seconds=0.1
        ... )
        >>> report = soak.result(30)
        >>> report.calls, report.failed, report.describe()["process"]
        (2, 0, 'not measured: no process was given (pid=, --pid)')
    """
    check_numbers(calls, seconds, ramp_seconds, seed, sample)
    _check_times(minutes, rest_seconds)
    wanted = _check_growth_limits(limits, pid)
    behaviour = set_lines(check_behaviour(behaviour), line, line_back)
    read_url(url, behaviour)
    check_auth_token(auth_token)
    what = f"make {calls} calls of {seconds:g} s to it at once, for {minutes:g} minutes"
    if not remote:
        refuse_remote(url, f"{what}, and break streams on it" if faults else what)
    usage = None if pid is None else _watch_process(url, pid)
    doubt = None if usage is None else usage.find_doubt(_find_port(url))
    wave = _Wave(
        url, calls, parameters, seed, behaviour,
        {
            "seconds": seconds, "say": say, "press": press, "script": script,
            "ramp_seconds": ramp_seconds,
            "auth_token": auth_token, "expect_silence": expect_silence, "sample": sample,
            "executor": executor, "workers": workers, "remote": remote,
        },
    )  # fmt: skip
    beside = None
    if fault_scale is not None and faults is False:
        raise WrongValue(
            "fault_scale (--fault-scale) is given, and no faults; give faults=True (--faults), or "
            "leave it out"
        )
    if faults is not False:
        beside = FaultsBeside(
            FaultTarget(url, auth_token, wave.find_parameters(1), behaviour),
            _choose_kinds(faults),
            seed,
            _choose_scale(fault_scale, seconds),
        )
    plan = SoakPlan(
        url, minutes, calls, seconds, ramp_seconds, rest_seconds, wave.begin, wanted, usage,
        () if doubt is None else (doubt,), beside,
    )  # fmt: skip
    watch = SoakProgress()
    subject = Subject(
        f"a soak of {hide_user(url)}",
        "SoakReport",
        ends=f"ends by itself after about {minutes:g} minutes, or by stop()",
        kind=SoakReport,
    )
    pending = SoakRun(subject, watch, plan, shows=bool(progress))
    before = None if usage is None else _read_first(usage)
    first = wave.begin(0)  # which checks the arguments that are its own
    begin_thread(THREAD_NAME, run_waves, pending, plan, watch, before, first)
    return pending


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Custom parameters for numbers that go on from wave to wave; it can be pickled."""

    parameters: Callable[[int], Mapping[str, str]]
    offset: int

    def __call__(self, number: int) -> Mapping[str, str]:
        return self.parameters(self.offset + number)


@dataclass(frozen=True, slots=True)
class _Wave:
    """How waves are begun."""

    url: str
    calls: int
    parameters: Parameters
    seed: int
    behaviour: Behaviour
    options: Mapping[str, Any]

    def begin(self, offset: int) -> LoadRun:
        """Begin one whose calls have numbers that are higher by so much."""
        parameters = self.parameters
        if callable(parameters):
            parameters = _Numbered(parameters, offset)
        behaviour = replace(
            self.behaviour,
            line=_shift(self.behaviour.line, offset),
            line_back=_shift(self.behaviour.line_back, offset),
        )
        pending = simulate_calls(
            self.url,
            self.calls,
            seed=self.seed + offset,
            parameters=parameters,
            behaviour=behaviour,
            progress=False,
            **self.options,
        )
        return cast("LoadRun", pending)

    def find_parameters(self, number: int) -> Mapping[str, str]:
        """Return the parameters of one call."""
        found = self.parameters(number) if callable(self.parameters) else self.parameters
        return check_parameters(found)


def _shift(line: Line | str | None, offset: int) -> Line | str | None:
    """Let no two waves lose the same frames."""
    return replace(line, seed=line.seed + offset) if isinstance(line, Line) else line


def _watch_process(url: str, pid: int) -> ProcessWatch:
    check_pid(pid)
    if not is_loopback_host(urlsplit(url).hostname or ""):
        raise SettingsError(
            f"{hide_user(url)} is not on this machine, and process {pid} is",
            consequence="What that process uses would say nothing of the server",
            fix="Leave the number of the process out (pid, --pid), or run this beside the server",
        )
    return ProcessWatch(pid)


def _read_first(usage: ProcessWatch) -> ProcessUsage | None:
    """Return what the process uses before the first call.

    Raises:
        SettingsError: If not all of it can be read.
    """
    used = usage.read()
    if used is not None and None in (used.memory, used.descriptors, used.threads):
        raise SettingsError(
            f"process {usage.pid} cannot be read whole ({used}): it or a child of it belongs to "
            "another user",
            fix="Run this as the user of the server, or leave the number of the process out",
        )
    return used


def _find_port(url: str) -> int:
    found = urlsplit(url)
    return found.port or (443 if found.scheme == "wss" else 80)


def _choose_kinds(faults: bool | str | Sequence[str]) -> tuple[Fault, ...]:
    if faults is None:
        raise WrongType("faults is None; give True for all kinds, False for none, or names")
    return choose_faults(None if isinstance(faults, bool) else faults, "faults")


def _choose_scale(scale: float | None, seconds: float) -> float:
    if scale is not None:
        return check_scale(scale, "fault_scale")
    return min(1.0, max(0.05, seconds / TWILIO_CALL_SECONDS))


def _check_times(minutes: Any, rest_seconds: Any) -> None:
    for name, number, most in (
        ("minutes", minutes, MOST_MINUTES),
        ("rest_seconds", rest_seconds, 600),
    ):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise WrongType(f"{name} is {quote(number)}; give a number")
        if not is_finite(number) or not 0 <= number <= most or (name == "minutes" and not number):
            least = "more than 0" if name == "minutes" else "from 0 on"
            raise WrongValue(f"{name} is {quote(number)}; give a number {least}, at most {most}")


def _check_growth_limits(limits: Mapping[str, float] | None, pid: object) -> dict[str, float]:
    found = check_limits(limits, GROWTH_LIMITS)
    for name in GROWTH_LIMITS:
        if name not in found:
            continue
        if pid is None:
            raise WrongValue(
                f"{name} is limited, and no process is measured; give pid= (--pid), the number of "
                "the server's"
            )
        if not found[name]:
            raise WrongValue(
                f"the limit {name} is 0, which no run is long enough to show; leave it out, and "
                "what grows for certain is not ok"
            )
    return found
