"""`simulate_calls`: many calls at once to a server, measured, and held against limits.

The calls of a process share one loop and one timer; all but a few are made without a recording,
which halves their cost.  An executor divides them among processes and machines.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.diagnosis.load_figure import check_limits
from twistream_kit.errors import Objection, WrongType, WrongValue, hide_user, is_finite
from twistream_kit.pending import Pending, Subject, fail, fulfil
from twistream_kit.simulator import caller
from twistream_kit.simulator._calls_loop import begin_thread
from twistream_kit.simulator._load_machine import check_descriptors
from twistream_kit.simulator._load_run import (
    LoadRun,
    build_report,
    require_server,
    require_workers,
    run_shares,
)
from twistream_kit.simulator._load_share import ShareOrder, Watch, run_share
from twistream_kit.simulator._remote import refuse_remote
from twistream_kit.simulator.caller import Script, Step, make_script
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.model.assumptions import Behaviour, check_behaviour
from twistream_kit.simulator.simulate_call import check_keys, check_say, set_lines

MOST_CALLS = 10_000
"""More than this one server hardly gets; and a number that was not meant is noticed."""

THREAD_NAME = "simulated load"
"""The name of the thread that begins the calls."""

Parameters = Mapping[str, str] | Callable[[int], Mapping[str, str]] | None


def simulate_calls(
    url: str,
    calls: int = 50,
    *,
    seconds: float = 30,
    say: Clip | bytes | None = None,
    press: str = "",
    script: Script | Sequence[Step] | str | os.PathLike[str] | None = None,
    ramp_seconds: float = 5,
    seed: int = 0,
    parameters: Parameters = None,
    auth_token: str | None = None,
    behaviour: Behaviour | None = None,
    line: Line | str | None = None,
    line_back: Line | str | None = None,
    expect_silence: bool = False,
    limits: Mapping[str, float] | None = None,
    sample: int = 1,
    executor: Executor | None = None,
    workers: int | None = None,
    remote: bool = False,
    progress: bool = True,
) -> Pending[LoadReport]:
    """Make many calls at once to a Media Streams server, and measure what each caller gets.

    Each call is one of `simulate_call`: the same messages, on a timer of 20 ms.  The callers begin
    one after the other within `ramp_seconds`.  Callable from any thread.

    While ``result()`` waits it shows a progress bar, or a line each second where there is no
    terminal.  Its first interrupt (Ctrl-C) lets all callers hang up and returns the report of what
    was measured; ``stop()`` does the same.  Both end shares elsewhere, too: those connect to this
    process over TCP, from this machine or, if some run on others, over the network.

    Args:
        url: The server's WebSocket: wss, or ws on this machine.
        calls: How many calls.
        seconds: The length of each call; a script may hang up sooner, and the server may close.
        say: What each caller says, as soon as the call begins: a clip, or PCMU bytes.
        press: Keys that it then presses.
        script: What each caller does instead: steps of `kit.caller`, or the name of a TOML file.
            A caller with nothing to say or press listens in silence: only first sounds and gaps are
            measured, and every call to a server that echoes, or waits for speech, fails.
        ramp_seconds: The time within which the calls begin, evenly; 0 begins all at once.
        seed: Decides, with the number of each call, what the script leaves to chance.
        parameters: The custom parameters in *start*; or a function that returns them for the
            number of a call, from 1.
        auth_token: Signs each handshake as Twilio would.
        behaviour: The switches for behaviour of Twilio that is not known.
        line: What the line of each caller does to what the caller says: a `Line`, or the name of a
            profile, such as ``"mobile"``.  Call n has the seed of the line plus n, so that not all
            calls lose the same frames.  By default that of `behaviour`.
        line_back: What it does to what the caller hears; by default `Line.way_back` of `line`.
        expect_silence: Whether a call in which nothing is heard is fine.
        limits: What decides whether the report is `ok`, by name: ``first_sound_ms``,
            ``response_ms``, ``barge_in_ms`` and ``gap_ms`` (95th percentile; with fewer than 20
            values the greatest), ``late_percent`` and ``failed_percent``, which is 0 if not given.
        sample: How many calls are recorded and their sound reviewed; their reports are in
            ``report.recorded``.
        executor: Runs shares of the calls: a process pool, Dask's
            ``client.get_executor(pure=False)``, ipyparallel's.  None makes all calls here.
        workers: The number of shares, at most that of the free workers of `executor`; by default
            those of a pool, else 2.
        remote: Whether `url` may be on another machine, which then gets the calls.
        progress: Whether ``result()`` shows how far it is.

    Returns:
        The report.  It says when a run is invalid: own frames late, a core without time left, a
        clock that was set, a share that began late, came back twice or not at all.  If there is no
        server, or it refuses the first calls and takes none, the run ends at once, and the
        `Pending` fails with `CallRefused`; what a server does that has taken a call is in the
        report.  It fails with a TwistreamError if `parameters` raises, or a share fails.

    Raises:
        CallRefused: At once, if Twilio would not connect to `url`.
        SettingsError: At once, if `url` is on another machine without `remote`.
        TwistreamError: At once, if this process may not open enough sockets.
        TypeError, ValueError: At once, for invalid arguments.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> run = kit.simulate_calls(server.url, 4, seconds=2, ramp_seconds=0.2)
        >>> report = run.result(20)
        >>> len(report.calls), report.failed, len(report.first_sound_ms)
        (4, 0, 4)
    """
    check_numbers(calls, seconds, ramp_seconds, seed, sample)
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise WrongType(
            f"executor is {executor!r}; give an Executor of concurrent.futures, such as "
            "ProcessPoolExecutor(2)"
        )
    if workers is not None and (type(workers) is not int or not 1 <= workers <= calls):
        raise WrongValue(f"workers is {workers!r}; give a number from 1 to {calls}, that of calls")
    orders = _divide(
        calls,
        min(calls, require_workers(executor, workers)),
        ShareOrder(
            number=1,
            run=secrets.randbits(60),
            url=url,
            starts={n: ramp_seconds * (n - 1) / calls for n in range(1, calls + 1)},
            seconds=seconds,
            begin_at=None,
            offsets={},
            recorded=frozenset(choose_recorded(calls, sample)),
            script=_make_script(say, press, script),
            seed=seed,
            parameters=parameters,
            behaviour=set_lines(check_behaviour(behaviour), line, line_back),
            options={"auth_token": auth_token, "expect_silence": bool(expect_silence)},
        ),
    )
    wanted = check_limits(limits)
    orders[0].make_plan(1)  # all other arguments are checked by it
    if not remote:
        refuse_remote(url, f"make {calls} calls of {seconds:g} s to it at once")
    if executor is None:
        check_descriptors(calls)
    watch = Watch()
    longest = math.ceil(seconds + ramp_seconds + 120)
    subject = Subject(
        f"{calls} simulated calls to {hide_user(url)}",
        "LoadReport",
        ends=f"ends by itself after {longest} s at the latest, or by stop()"
        if executor is None
        else f"ends by itself {longest} s after its last share has begun, or by stop()",
        kind=LoadReport,
    )
    pending = LoadRun(
        subject, watch, calls, progress=bool(progress), seconds=seconds + ramp_seconds
    )
    begin_thread(THREAD_NAME, _run, pending, orders, executor, watch, wanted)
    return pending


def choose_recorded(calls: int, sample: int) -> list[int]:
    """Return the numbers of the calls that are recorded: the last one, and others before it."""
    return sorted(calls - place * calls // sample for place in range(sample))


def _run(
    pending: LoadRun,
    orders: list[ShareOrder],
    executor: Executor | None,
    watch: Watch,
    limits: dict[str, float],
) -> None:
    try:
        if executor is None:
            results, lost = [run_share(orders[0], watch)], list[Objection]()
        else:
            results, lost = run_shares(executor, orders, watch)
        calls = sum(len(order.starts) for order in orders)
        require_server(results)
        is_stopped = watch.stop.is_set()
        report = build_report(orders[0], calls, limits, results, lost, is_stopped=is_stopped)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting caller must get it
        fail(pending, error)
    else:
        fulfil(pending, report)


def _make_script(
    say: Clip | bytes | None,
    press: str,
    script: Script | Sequence[Step] | str | os.PathLike[str] | None,
) -> Script | None:
    """Return what each caller does; what it only says and presses is a script, too."""
    said, pressed = check_say(say), check_keys(press)
    steps = [caller.say(said)] if said else []
    steps += [caller.press(pressed)] if pressed else []
    if script is None:
        return make_script(steps) if steps else None
    if say is not None or press:
        raise WrongValue(
            "script= says all that the callers do; make say= and press= steps of it: "
            "caller.say(clip), caller.press(keys)"
        )
    return make_script(script)


def _divide(calls: int, shares: int, whole: ShareOrder) -> list[ShareOrder]:
    """Divide the calls so that each share begins some of them throughout the ramp."""
    return [
        replace(
            whole,
            number=share,
            starts={n: whole.starts[n] for n in range(share, calls + 1, shares)},
        )
        for share in range(1, shares + 1)
    ]


def check_numbers(calls: Any, seconds: Any, ramp_seconds: Any, seed: Any, sample: Any) -> None:
    """Refuse numbers that are none, or that no run can have.

    Raises:
        WrongType, WrongValue: If one is.
    """
    for name, number in (("calls", calls), ("seed", seed), ("sample", sample)):
        if type(number) is not int:
            raise WrongType(f"{name} is {number!r}; give a whole number")
    if not 1 <= calls <= MOST_CALLS:
        raise WrongValue(f"calls is {calls}; give a number from 1 to {MOST_CALLS}")
    if not 0 <= sample <= calls:
        raise WrongValue(f"sample is {sample}; give a number from 0 to {calls}, that of calls")
    for name, number in (("seconds", seconds), ("ramp_seconds", ramp_seconds)):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise WrongType(f"{name} is {number!r}; give a number of seconds")
        if not is_finite(number) or number < 0:
            raise WrongValue(f"{name} is {number!r}; give a number of seconds from 0 on")
    if ramp_seconds > 3600:
        raise WrongValue(f"ramp_seconds is {ramp_seconds!r}; give 3600 at most")
