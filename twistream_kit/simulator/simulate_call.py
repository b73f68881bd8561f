"""`simulate_call`: one call directly to a server's WebSocket, without REST and TwiML.

The arguments are checked at once.  The call then runs on a loop that is not the user's, so that any
code may wait for the report: a cell, a handler, a command line.  All calls share that loop
(`_calls_loop`).  What the call has to do at its end, functions of the user included, is done on a
thread of its own.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.payload import refuse_no_sound
from twistream_kit.errors import (
    CallRefused,
    Objection,
    ServerStopped,
    TwistreamError,
    WrongType,
    WrongValue,
    hide_user,
    hides_frames,
)
from twistream_kit.listing import Series
from twistream_kit.pending import Pending, Subject, fail, fulfil
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.protocol.twiml import check_parameter
from twistream_kit.simulator._calls_loop import (
    THREAD_NAME,
    SharedLoop,
    begin_thread,
    run_call,
)
from twistream_kit.simulator._causes import Remains, add_causes
from twistream_kit.simulator._script_run import ScriptRun
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.caller import (
    KEY_SECONDS,
    MOST_SECONDS,
    CallerAct,
    Script,
    Step,
    make_script,
)
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.line.stream import measure_speech_db
from twistream_kit.simulator.model.assumptions import (
    CLOSE_WAIT_SECONDS,
    Behaviour,
    check_behaviour,
    find_lines,
)
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.report import CallReport
from twistream_kit.simulator.stream.client import REVIEW_SECONDS, StreamClient
from twistream_kit.simulator.stream.ending import StreamEnding
from twistream_kit.simulator.stream.handshake import read_url
from twistream_kit.simulator.stream.leg import DIGITS, StreamLeg
from twistream_kit.simulator.stream.pacer import Lateness
from twistream_kit.sound_file import FROM_CALLER

QUIET_SECONDS = 3.0
"""A call without a set length ends when both parties have been silent for this long."""

LONGEST_SECONDS = 60.0
"""The longest call without a set length."""

_numbers = count(1)


def simulate_call(
    url: str,
    *,
    say: Clip | bytes | None = None,
    press: str = "",
    script: Script | Sequence[Step] | str | os.PathLike[str] | None = None,
    seed: int | None = None,
    seconds: float | None = None,
    parameters: Mapping[str, str] | None = None,
    auth_token: str | None = None,
    behaviour: Behaviour | None = None,
    line: Line | str | None = None,
    line_back: Line | str | None = None,
    expect_silence: bool = False,
) -> Pending[CallReport]:
    """Call a Media Streams server in any language, and return a report of the call.

    The caller says `say`, presses the keys of `press`, then listens.  Callable from any thread.

    Args:
        url: The server's WebSocket: wss, or ws on this machine.
        say: The speech of the caller: a clip, or PCMU bytes.
        press: Keys, of ``0123456789*#ABCD``.
        script: What the caller does instead of saying and pressing: steps of `kit.caller` or the
            name of a TOML file (`kit.caller.load_script`).  Without a last ``hang_up()`` it then
            listens, too.
        seed: Decides what the script leaves to chance; by default the seed of the script.
        seconds: The length of the call.  Without it the call ends when caller and server have
            both been silent for 3 s, after 60 s at the latest.  It also ends when the server
            closes.
        parameters: The custom parameters in *start*, as set by ``<Parameter>``.
        auth_token: Signs the handshake as Twilio would; without it there is no signature.
        behaviour: The switches for behaviour of Twilio that is not known.
        line: What the caller's line does to what the caller says: a `Line`, or the name of a
            profile, such as ``"mobile"``.  By default that of `behaviour`.
        line_back: What it does to what the caller hears; by default `Line.way_back` of `line`: the
            same losses, jitter and delay, without what the microphone does.  ``"clean"`` for
            nothing.
        expect_silence: Whether a call in which nothing is heard is fine, as with a server that
            only listens.

    Returns:
        The report.  If the server cannot be reached, or refuses, the `Pending` fails with
        `CallRefused`, whose ``code`` is Twilio's.

    Raises:
        CallRefused: At once, if Twilio would not connect to `url`.
        LocalProtocolError: At once, if `say` is a file or text, or holds a WAV file.
        ScriptError: At once, if the file of `script` cannot be used; it names the line.
        TypeError, ValueError: At once, for invalid arguments.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> report = kit.simulate_call(server.url, press="1").result(10)
        >>> report.ok, report.sound_seconds
        (True, 0.2)
    """
    __tracebackhide__ = hides_frames
    plan = make_plan(
        url,
        say=say,
        press=press,
        script=script,
        seed=seed,
        seconds=seconds,
        parameters=parameters,
        auth_token=auth_token,
        behaviour=set_lines(check_behaviour(behaviour), line, line_back),
        expect_silence=expect_silence,
    )
    longest = find_longest_seconds({"seconds": plan.seconds, "script": plan.script})
    subject = Subject(
        f"simulated call to {hide_user(url)}",
        "CallReport",
        ends=f"ends by itself after {math.ceil(longest)} s at the latest",
        kind=CallReport,
    )
    pending: Pending[CallReport] = Pending(None, subject)
    run_call(
        partial(_run, plan, pending),
        lambda: begin_thread(plan.thread_name, fail, pending, build_ended_error()),
    )
    return pending


def make_plan(
    url: str,
    *,
    say: Clip | bytes | None = None,
    press: str = "",
    script: Script | Sequence[Step] | str | os.PathLike[str] | None = None,
    seed: int | None = None,
    seconds: float | None = None,
    parameters: Mapping[str, str] | None = None,
    auth_token: str | None = None,
    behaviour: Behaviour | None = None,
    expect_silence: bool = False,
    is_recorded: bool = True,
) -> CallerPlan:
    """Check the arguments of `simulate_call`, and return what they make of the call.

    Without `is_recorded` no media are kept in the capture and the server's sound is not reviewed;
    such a call costs half.

    Raises:
        CallRefused, LocalProtocolError, TypeError, ValueError: As `simulate_call`.
    """
    __tracebackhide__ = hides_frames
    behaviour = check_behaviour(behaviour)
    read_url(url, behaviour)
    check_auth_token(auth_token)
    return CallerPlan(
        url,
        check_say(say),
        check_keys(press),
        _check_script(script, seed, is_alone=say is None and not press),
        _check_seconds(seconds),
        check_parameters(parameters),
        behaviour,
        auth_token,
        expect_silence=bool(expect_silence),
        is_recorded=is_recorded,
    )


@dataclass(frozen=True, slots=True)
class CallerPlan:
    """The actions of the caller in one simulated call.  No repr shows the token or a password."""

    url: str = field(repr=False)
    say: bytes
    press: str
    script: Script | None
    seconds: float | None
    parameters: Mapping[str, str]
    behaviour: Behaviour
    auth_token: str | None = field(repr=False)
    expect_silence: bool = False
    is_recorded: bool = True
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def thread_name(self) -> str:
        """The name of the thread that makes the report."""
        return f"{THREAD_NAME}: {self.number}"


def set_lines(
    behaviour: Behaviour, line: Line | str | None, line_back: Line | str | None
) -> Behaviour:
    """Return the behaviour with the lines of a call, where it has its own."""
    return replace(
        behaviour,
        line=behaviour.line if line is None else line,
        line_back=behaviour.line_back if line_back is None else line_back,
    )


def check_say(say: object) -> bytes:
    """Return the PCMU of `say`, which is a `Clip`, bytes or None."""
    if say is None:
        return b""
    if not isinstance(say, Clip | bytes):
        kind = type(say).__name__
        raise WrongType(f"say must be a Clip or PCMU bytes, not {kind}; kit.load_clip(path) reads")
    return refuse_no_sound(bytes(say), FROM_CALLER)


def check_keys(press: str) -> str:
    """Return `press` if it holds only keys of a telephone."""
    if not isinstance(press, str):
        raise WrongType(f"press is {press!r}; give the keys as a string, such as '12#'")
    wrong = sorted(set(press) - DIGITS)
    if wrong:
        raise WrongValue(f"press has {wrong[0]!r}, which is no key of a telephone: 0-9, *, #, A-D")
    return press


def _check_script(script: object, seed: int | None, *, is_alone: bool) -> Script | None:
    """Return the script of the caller, who does nothing else."""
    __tracebackhide__ = hides_frames
    if script is None:
        if seed is not None:
            raise WrongValue(f"seed is {seed!r}, and there is no script whose chances it decides")
        return None
    if not is_alone:
        raise WrongValue(
            "script= says all that the caller does; make say= and press= steps of it: "
            "caller.say(clip), caller.press(keys)"
        )
    return make_script(script, seed)


def _check_seconds(seconds: float | None) -> float | None:
    """Return `seconds` if it is a possible length of a call."""
    if seconds is not None and not isinstance(seconds, int | float):
        raise WrongType(f"seconds is {seconds!r}; give a number, or None")
    if seconds is not None and not 0 < seconds <= 4 * 3600:
        raise WrongValue(f"seconds is {seconds!r}; a call lasts more than 0 and at most 14400 s")
    return seconds


def check_auth_token(auth_token: object) -> None:
    """Refuse an auth token that is no string; its value is never shown."""
    if auth_token is not None and not isinstance(auth_token, str):
        raise WrongType(
            f"auth_token is of type {type(auth_token).__name__}; give a string, such as that of "
            "secret.reveal()"
        )


def check_parameters(parameters: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return `parameters` if they are allowed in TwiML (PROTOCOL.md §1.4)."""
    if not isinstance(parameters, Mapping | None):
        raise WrongType(f"parameters is {parameters!r}; give a dict of names and values")
    for name, value in (parameters or {}).items():
        check_parameter(name, value)
    return dict(parameters or {})


def find_longest_seconds(options: Mapping[str, Any]) -> float:
    """Return how long a call with these arguments of `simulate_call` lasts at most."""
    __tracebackhide__ = hides_frames
    if (seconds := options.get("seconds")) is not None:
        return float(seconds)
    script = options.get("script")
    acting = 0.0 if script is None else make_script(script).longest_seconds
    return min(MOST_SECONDS, LONGEST_SECONDS + acting)


async def _run(plan: CallerPlan, pending: Pending[CallReport], shared: SharedLoop) -> None:
    try:
        make_report = await CallRun(plan, shared).run()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting caller must get it
        if isinstance(error, CallRefused):
            _drop_frames(error)
        begin_thread(plan.thread_name, fail, pending, error)
    else:
        begin_thread(plan.thread_name, _fulfil, pending, make_report)


def _drop_frames(error: BaseException | None) -> None:
    """Drop the frames of a refusal and of what led to it, which are asyncio's and ours.

    What it says is enough, and the causes say it, too.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _fulfil(pending: Pending[CallReport], make_report: Callable[[], CallReport]) -> None:
    try:
        report = make_report()
    except BaseException as error:  # noqa: BLE001 - as in `_run`
        fail(pending, error)
    else:
        fulfil(pending, report)


def build_ended_error() -> ServerStopped:
    """Return the error of a call whose event loop has ended."""
    return ServerStopped(
        "the event loop of all simulated calls has ended",
        consequence="The report cannot arrive any more",
        fix="Call again; the log says what ended it",
    )


def _build_broken_error(error: BaseException | None) -> TwistreamError:
    """Return the error of a call in which the simulator itself failed."""
    broken = TwistreamError(
        f"the simulator itself failed during the call: {error!r}",
        consequence="The call was ended, and there is no report, which would not be the server's",
        fix="It is a fault of twistream_kit, and the log has its traceback",
    )
    broken.__cause__ = error
    return broken


class CallRun:
    """One running call; created and used on the loop, but for the report, which comes last.

    Args:
        plan: What the caller does.
        shared: The loop's timer.
        lateness: Counts how late the frames were; one of its own if not given.

    Attributes:
        started_at: When the start message was sent, by the monotonic clock; None before.
    """

    def __init__(
        self, plan: CallerPlan, shared: SharedLoop, lateness: Lateness | None = None
    ) -> None:
        self._plan = plan
        self._shared = shared
        self._lateness = lateness or Lateness()
        self._caller: asyncio.Task[float | None] | None = None
        self._clears: list[float] = []
        self._is_speaking = self._has_spoken = False
        self._is_reviewed = True
        self.started_at: float | None = None
        self._debugger = Debugger()
        self._handset = Handset(plan.behaviour, speech_db=_measure_level(plan))
        self._leg = StreamLeg(
            stream_sid=f"MZ{plan.number:032x}",
            call_sid=f"CA{plan.number:032x}",
            account_sid=f"AC{0:032x}",
            parameters=plan.parameters,
            behaviour=plan.behaviour,
            hears=plan.is_recorded,
        )
        self._client = StreamClient(
            self._leg, url=plan.url, auth_token=plan.auth_token, debugger=self._debugger
        )
        self._client.finishes_later = True
        self._client.is_light = not plan.is_recorded
        self._script_over = asyncio.Event()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._script = self._prepare_script(plan.script)
        self._capture: Capture | None = None
        self._quiet_seconds: float | None = None
        self._leg.on_odd = self._note_odd
        self._leg.on_message = self._note if plan.is_recorded else self._note_lightly
        self._client.on_sent = self._note

    async def run(self) -> Callable[[], CallReport]:
        """Make the call; return what makes its report, on any thread."""
        try:
            await self._client.connect()
            started = self.started_at = time.monotonic()
            if self._script is not None:
                self._script.begin()
            # What a server says at once is heard in the first frame, in whichever slot the call is.
            self._shared.pacer.add(self._tick, self._lateness, after_seconds=PTIME_MS / 1000)
            ended, ending = await self._run_until_over()
        finally:
            self._shared.pacer.remove(self._tick)
            await self._client.stop()
            await self._client.release(CLOSE_WAIT_SECONDS)
            # They have this object, which has them: all of the call would stay in memory until a
            # full garbage collection.
            self._leg.on_message = self._leg.on_odd = self._client.on_sent = None
        async with self._shared.review_turn:
            wait = self._shared.pacer.wait_for_spare_time
            self._is_reviewed = await self._client.finish(wait)
        return partial(self._make_report, ending, started, ended - started)

    def hang_up(self) -> None:
        """Let the caller hang up now, whatever the script says; nothing before it is connected."""
        if self._caller is not None:
            self._caller.cancel()

    def _prepare_script(self, script: Script | None) -> ScriptRun | None:
        if script is None:
            return None
        # And not this object, which would have itself.
        playout, client, mouth = self._leg.playout, self._client, self._handset.mouth

        def hang_up() -> None:  # `_tick` looks whether it has
            client.rest = mouth.take_rest()

        return ScriptRun(
            script,
            self._handset,
            press=self._client.press,
            hang_up=hang_up,
            on_over=self._script_over.set,
            count_cleared=lambda: playout.cleared_seconds,
        )

    def _tick(self, now: float) -> None:
        try:
            self._pass_frame(now)
        except Exception as error:  # which nobody would see, since the pacer only logs it
            if not self._broken.done():
                self._broken.set_exception(error)
            raise

    def _pass_frame(self, now: float) -> None:
        if self._has_hung_up():
            return
        mouth = self._handset.mouth
        inbound = mouth.take_frame()
        if self._has_hung_up():  # before this frame
            return
        if mouth.speaking is not self._is_speaking:
            self._is_speaking = mouth.speaking
            self._has_spoken = True
            self._leg.note_act()
        frame = self._client.tick(now, inbound)
        self._handset.ear.hear(frame, now)

    def _has_hung_up(self) -> bool:
        return self._script is not None and self._script.has_hung_up

    def _note(self, message: from_twilio.Message | to_twilio.Message, now: float) -> None:
        self._begin_capture(now).append(message, now)

    def _note_lightly(self, message: to_twilio.Message, now: float) -> None:
        """Keep all but the media, which were not reviewed either."""
        if isinstance(message, to_twilio.Clear) and len(self._leg.playout) and self.started_at:
            self._clears.append(now - self.started_at)
        if not isinstance(message, to_twilio.Media):
            self._note(message, now)

    def _note_odd(self, message: str | bytes, now: float) -> None:
        self._begin_capture(now).note_odd(now, message)

    def _begin_capture(self, now: float) -> Capture:
        if self._capture is None:  # times count from the first message, not from the handshake
            self._capture = Capture(self._leg.stream_sid, self._leg.call_sid, now)
        return self._capture

    async def _run_until_over(self) -> tuple[float, StreamEnding]:
        caller = self._caller = asyncio.create_task(self._act())
        closed = asyncio.create_task(self._client.wait_over())
        try:
            ends: list[asyncio.Future[Any]] = [caller, closed, self._broken]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                raise _build_broken_error(self._broken.exception())
            if caller.done() and not caller.cancelled():
                self._quiet_seconds = caller.result()
            # After hanging up the caller hears nothing, however long the server takes to close.
            self._shared.pacer.remove(self._tick)
            ended = time.monotonic()
            if closed.done():  # the server has ended it, and the caller hears what is on its way
                self._handset.ear.drain(ended)
            if self._script is not None:
                self._script.end(is_too_short=not closed.done())
            if not self._has_hung_up():
                self._client.rest = self._handset.mouth.take_rest()
            await self._client.stop(EndCause("caller-hung-up"))
            return ended, await closed
        finally:
            caller.cancel()
            await asyncio.wait([caller])

    async def _act(self) -> float | None:
        """Say, press and listen, until the call is to be hung up; return after which silence."""
        limit = find_longest_seconds({"seconds": self._plan.seconds, "script": self._plan.script})
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + limit):
                if self._script is not None:
                    await self._script_over.wait()
                    if self._script.has_hung_up:
                        return None
                await self._speak()
                for digit in self._plan.press:
                    self._client.press(digit)
                    await asyncio.sleep(KEY_SECONDS)
                return await self._listen(time.monotonic())
        except TimeoutError:
            return None

    async def _speak(self) -> None:
        said = asyncio.Event()
        self._handset.mouth.say(self._plan.say, lambda _seconds: said.set())
        await said.wait()

    async def _listen(self, since: float) -> float:
        if self._plan.seconds is not None:
            await asyncio.Event().wait()  # until the limit
        while True:
            await asyncio.sleep(0.05)
            last = max(since, self._handset.ear.last_audible_at or since)
            waiting = len(self._leg.playout) > 0
            if not waiting and time.monotonic() - last >= QUIET_SECONDS:
                return QUIET_SECONDS

    @property
    def gaps(self) -> Counter[int]:
        """How often the server's sound stopped for how many frames, because more came late."""
        return self._leg.gaps

    @property
    def played_frames(self) -> int:
        """How many frames of the server's sound were played."""
        return self._leg.played_frames

    @property
    def first_sound_ms(self) -> float | None:
        """The time from the start message to the first sound that was heard so far, or None."""
        first, started = self._handset.ear.first_audible_at, self.started_at
        return None if first is None or started is None else (first - started) * 1000

    def _make_report(self, ending: StreamEnding, started: float, seconds: float) -> CallReport:
        # First, because its functions of the user may take their time, or wait for something.
        acts = Series[CallerAct]() if self._script is None else self._script.check_expectations()
        there, back = find_lines(self._plan.behaviour)
        heard = self._handset.heard
        mouth = self._handset.mouth
        said = None if mouth.line is None else Clip(bytes(mouth.said), "caller")
        objections = Counter(self._leg.objections)
        if query := read_url(self._plan.url, self._plan.behaviour).dropped:
            objections[_object_to_query(query)] += 1
        if not self._is_reviewed:
            objections[_NOT_REVIEWED] += 1
        objections.update(act.objection for act in acts if act.objection is not None)
        report = CallReport(
            url=hide_user(self._plan.url),
            stream_sid=self._leg.stream_sid,
            seconds=seconds,
            ended=ending.ended,
            ending=ending.reason,
            close_code=ending.close_code,
            error_code=ending.error_code,
            sent=dict(self._client.sent),
            received=dict(self._leg.received),
            objections=objections,
            debugger=Series.of(self._debugger, "entries"),
            first_sound_ms=self.first_sound_ms,
            heard=heard,
            cleared_seconds=self._leg.playout.cleared_seconds,
            lost_seconds=self._leg.playout.waiting_seconds,
            expect_silence=self._plan.expect_silence,
            lateness=self._lateness.report(),
            capture=self._capture or Capture(self._leg.stream_sid, self._leg.call_sid, started),
            quiet_seconds=self._quiet_seconds if ending.reason == "stopped" else None,
            acts=acts,
            line=there,
            line_back=back,
            latency_ms=self._handset.ear.latency_frames * PTIME_MS,
            clean=heard if self._plan.behaviour.way_back is None else self._handset.clean,
            said=said,
            light_clears=None if self._plan.is_recorded else tuple(self._clears),
        )
        remains = Remains(
            tuple(self._leg.playout.waiting_marks),
            self._client.is_close_unanswered,
            self._plan.behaviour.plays_after_close,
            not self._has_spoken and not self._client.sent["dtmf"],
        )
        return add_causes(report, remains)


def _measure_level(plan: CallerPlan) -> float | None:
    """Return the level of what the caller will say, if the line needs it for its noise."""
    if (line := plan.behaviour.way_there) is None or not line.has_noise:
        return None
    steps = plan.script.draw() if plan.script is not None else ()
    said = [step.clip for step in steps if step.meant]
    return measure_speech_db(Clip(plan.say), *said)


_NOT_REVIEWED = Objection(
    None,
    "media",
    f"held more sound than could be reviewed within {REVIEW_SECONDS:g} s after the end of the call",
    "What is wrong with its rest is not said here",
    "Send sound as it is to be heard, a few seconds ahead",
    "note",
)


def _object_to_query(query: str) -> Objection:
    return Objection(
        None,
        "url",
        f"has a query string, {query!r}",
        "Twilio does not support it: it was dropped before the connection was made",
        "Pass values as <Parameter>; they arrive in the start message",
        "warning",
    )
