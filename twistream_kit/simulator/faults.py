"""`inject_faults`: what a Media Streams server survives, tried by breaking its streams."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from twistream_kit.errors import WrongType, WrongValue, hide_user, quote
from twistream_kit.pending import Pending, Subject, fail, fulfil
from twistream_kit.simulator._calls_loop import SharedLoop, begin_thread, run_call
from twistream_kit.simulator._fault_pending import FaultInjection
from twistream_kit.simulator._fault_rows import FAULTS, Fault
from twistream_kit.simulator._fault_run import FaultRun, FaultWatch
from twistream_kit.simulator._fault_streams import FaultTarget
from twistream_kit.simulator._process_usage import ProcessWatch, check_pid
from twistream_kit.simulator._remote import refuse_remote
from twistream_kit.simulator.fault_report import FaultReport
from twistream_kit.simulator.model.assumptions import Behaviour, check_behaviour
from twistream_kit.simulator.simulate_call import (
    build_ended_error,
    check_auth_token,
    check_parameters,
)
from twistream_kit.simulator.stream.handshake import read_url

THREAD_NAME = "faults"
"""The name of the thread that brings a report, as it shows in a list of threads."""

LIMIT_SECONDS = 120.0
"""A run ends so long after `_LIMIT_FACTOR` times what it usually takes, whatever a server does."""

_LIMIT_FACTOR = 4

_ROW_SECONDS = 2.5
"""What a row takes besides its fault: ordinary calls, and looks after it."""

FAULT_NAMES = tuple(fault.name for fault in FAULTS)
"""The names of all faults."""


def inject_faults(
    url: str,
    *,
    only: str | Sequence[str] | None = None,
    seed: int = 0,
    scale: float = 1.0,
    pid: int | None = None,
    remote: bool = False,
    parameters: Mapping[str, str] | None = None,
    auth_token: str | None = None,
    behaviour: Behaviour | None = None,
    progress: bool = True,
) -> Pending[FaultReport]:
    """Find out what a Media Streams server in any language survives, and return a report.

    Each fault is a row: a stream breaks in one way in which streams of Twilio's were seen to break
    (a half-open connection, no Close frame, 1006 in mid-call …), and the server has to take it;
    then an ordinary call must work within 2 s, and nothing of the old stream may be left, as far as
    that is seen from outside.  It is compared with ordinary calls before all faults.  A server that
    works no more ends the run, and the other rows say that they were not tried; if what faults use
    up adds up, the last one is blamed, and its row says that this is a guess.

    It takes two minutes.  While ``result()`` waits, it writes a line for each row to stderr; its
    first interrupt (Ctrl-C) ends the run and returns the report of what was tried, as ``stop()``
    does.  The 2 s count from the end of the fault to the first sound; they
    are longer by the time that an ordinary call before the faults took, and while this process is
    late itself.  Callable from any thread.

    Args:
        url: The server's WebSocket: wss, or ws on this machine.
        only: The faults to try, by their names; None tries all.
        seed: Decides their order.
        scale: Multiplies how long faults last, such as the 30 s of a half-open connection; more
            than 0, at most 10.  Smaller is quicker, and less like Twilio.
        pid: The process of the server, on this machine: then rows also say whether memory,
            descriptors or threads grow with each fault.  It needs psutil, ``twistream-kit[load]``.
        remote: Whether `url` may be on another machine, which then gets the faults.
        parameters: The custom parameters in *start*, as set by ``<Parameter>``.
        auth_token: Signs the handshakes as Twilio would; without it there is no signature.
        behaviour: The switches for behaviour of Twilio that is not known.
        progress: Whether ``result()`` says how far it is.

    Returns:
        The report.  If the server cannot be reached for the first ordinary call, or refuses it, the
        `Pending` fails with `CallRefused`.

    Raises:
        CallRefused: At once, if Twilio would not connect to `url`.
        SettingsError: At once, if `url` is on another machine without `remote`, or the process
            cannot be read.
        TypeError, ValueError: At once, for invalid arguments.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        >>> server = kit.start(kit.StreamServer(answer))
        >>> faults = ["hang-up-in-answer", "hang-up-after-start"]
        >>> report = kit.inject_faults(server.url, only=faults, scale=0.1).result(60)
        >>> sorted((row.name, row.outcome) for row in report.rows)
        [('hang-up-after-start', 'green'), ('hang-up-in-answer', 'green')]
    """
    behaviour = check_behaviour(behaviour)
    read_url(url, behaviour)
    check_auth_token(auth_token)
    faults = choose_faults(only)
    seed = _check_seed(seed)
    scale = check_scale(scale)
    target = FaultTarget(url, auth_token, check_parameters(parameters), behaviour)
    if not remote:
        refuse_remote(url, f"break about {3 * len(faults)} streams on it")
    usage = None if pid is None else ProcessWatch(check_pid(pid))
    notes = [] if usage is None else _list_doubts(usage, url)
    usual = sum(fault.seconds * max(scale, 0.1) + _ROW_SECONDS for fault in faults)
    watch = FaultWatch(len(faults), math.ceil(LIMIT_SECONDS + _LIMIT_FACTOR * usual))
    subject = Subject(
        f"faults against {hide_user(url)}",
        "FaultReport",
        ends=f"ends by itself after about {math.ceil(usual)} s, after {watch.limit:.0f} s at the "
        "latest, or by stop()",
        kind=FaultReport,
    )
    pending = FaultInjection(subject, watch, progress=bool(progress))
    make_run = partial(FaultRun, target, faults, seed, scale, usage, watch=watch, notes=notes)
    run_call(
        partial(_run, make_run, pending),
        lambda: begin_thread(THREAD_NAME, fail, pending, build_ended_error()),
    )
    return pending


def _list_doubts(usage: ProcessWatch, url: str) -> list[str]:
    parts = urlsplit(url)
    doubt = usage.find_doubt(parts.port or (443 if parts.scheme == "wss" else 80))
    return [] if doubt is None else [f"{str(doubt).rstrip('.')}."]


async def _run(make_run: Any, pending: Pending[FaultReport], shared: SharedLoop) -> None:
    try:
        report = await make_run(shared).run()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting caller must get it
        begin_thread(THREAD_NAME, fail, pending, error)
    else:
        begin_thread(THREAD_NAME, fulfil, pending, report)


def choose_faults(only: str | Sequence[str] | None, argument: str = "only") -> tuple[Fault, ...]:
    """Return the faults with these names, in the order of the documentation; of None all.

    Args:
        only: The names.
        argument: What the user calls them.

    Raises:
        WrongType, WrongValue: If one has no such name, or there is none.
    """
    if only is None:
        return FAULTS
    names = [only] if isinstance(only, str) else only
    if not isinstance(names, list | tuple | set | frozenset):
        known = ", ".join(FAULT_NAMES)
        raise WrongType(f"{argument} is {quote(only)}; give names of faults: {known}")
    if not names:
        raise WrongValue(
            f"{argument} is empty, so nothing would be tried; leave it out to try all faults"
            if argument == "only"
            else f"{argument} is empty; give True for all kinds, or False for none"
        )
    for name in names:
        if name not in FAULT_NAMES:
            raise WrongValue(f"there is no fault {quote(name)}{_name_nearest(name)}")
    return tuple(fault for fault in FAULTS if fault.name in names)


def _name_nearest(name: object) -> str:
    close = get_close_matches(name, FAULT_NAMES, n=1) if isinstance(name, str) else []
    names = f"there are {', '.join(FAULT_NAMES)}"
    return f"; did you mean {close[0]}? T{names[1:]}" if close else f"; {names}"


def _check_seed(seed: int) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise WrongType(f"seed is {quote(seed)}; give a whole number")
    return seed


def check_scale(scale: float, argument: str = "scale") -> float:
    """Return what the times of faults are multiplied with.

    Raises:
        WrongType, WrongValue: If it is no number above 0, at most 10.
    """
    if not isinstance(scale, int | float) or isinstance(scale, bool):
        raise WrongType(f"{argument} is {quote(scale)}; give a number, such as 0.1")
    if not 0 < scale <= 10:
        raise WrongValue(f"{argument} is {scale!r}; give a number above 0, and at most 10")
    return float(scale)
