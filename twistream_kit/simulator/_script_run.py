"""One run of a script in a call: the caller acts on what it hears, frame by frame.

There is no clock here.  The mouth of the telephone calls `ScriptRun.prompt` before each frame that
it takes, and the ear passes each frame on that is heard.  So a step that is decided in a frame
sounds in that frame, and the same sound leads to the same acts.  It belongs to the loop of the
call, except `check_expectations`, which runs functions of the user and comes last.
"""

from __future__ import annotations

import inspect
import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.speech import PAUSE_MS, SpeechDetector, SpeechEdge
from twistream_kit.errors import Objection, Severity
from twistream_kit.guard import format_error
from twistream_kit.listing import Series
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.simulator.call.handset import Handset, Utterance
from twistream_kit.simulator.caller import KEY_SECONDS, CallerAct, Script, Step
from twistream_kit.simulator.stream.leg import measure_sound

_FRAMES_PER_SECOND = 1000 // PTIME_MS

_CALL_ENDED = "the call ended"


@dataclass(slots=True)
class _ServerSpeech:
    """Speech of the server: its first frame, and the frame after its last, None while it lasts."""

    first: int
    end: int | None = None


class _Attention:
    """What the caller knows of the server's speech, from the frames heard so far.

    Args:
        first_frame: The number of the frame that is heard first.
        pause_ms: The silence after which the detector takes speech for ended.

    Attributes:
        spoke_at: When the caller last began to speak to the server; what began before is the end
            of what was interrupted, and no answer.
        cleared_at: When a clear was last heard to act, or -1.
    """

    def __init__(self, first_frame: int, pause_ms: float) -> None:
        self.spoke_at = 0
        self.cleared_at = -1
        self._pause_ms = pause_ms
        self._detector = SpeechDetector(pause_ms=pause_ms)
        self._first_frame = first_frame
        self._answers: list[_ServerSpeech] = []

    @property
    def speaks(self) -> bool:
        """Whether the server speaks, as far as it is certain."""
        return bool(self._answers) and self._answers[-1].end is None

    def note_clear(self, frame: int) -> None:
        """Note that what was waiting is not played from a frame on: what follows is said anew."""
        self.cleared_at = frame
        if self.speaks:
            self._answers[-1].end = max(frame, self._answers[-1].first + 1)
            self._detector = SpeechDetector(pause_ms=self._pause_ms)
            self._first_frame = frame

    def feed(self, frame: bytes) -> None:
        """Hear a frame."""
        for edge in self._detector.feed(frame):
            self._note_edge(edge)

    def _note_edge(self, edge: SpeechEdge) -> None:
        number = self._first_frame + edge.frame
        if edge.kind == "begins":
            self._answers.append(_ServerSpeech(number))
        elif number > self._answers[-1].first:
            self._answers[-1].end = number
        else:  # it was noise
            self._answers.pop()

    def finish(self) -> None:
        """Note that nothing more is heard: what began with the call may be speech after all."""
        for edge in self._detector.finish():
            self._note_edge(edge)

    def find_first(self, since: int) -> int | None:
        """Return the first frame of the first answer that lasts or ends after a frame, or None."""
        lasting = (a.first for a in self._answers if a.end is None or a.end > since)
        return next((first for first in lasting if first >= self.spoke_at), None)

    def find_end(self, since: int) -> int | None:
        """Return the end of an answer after frame `since`; None while it lasts, or without."""
        if not self._answers or self._answers[-1].first < self.spoke_at:
            return None
        end = self._answers[-1].end
        return end if end is not None and end > since else None

    def count_begun(self, since: int, until: int) -> int:
        """Return how many frames the server spoke between two frames, in speech begun there."""
        spans = [(a.first, a.end) for a in self._answers if a.end is not None and a.first >= since]
        return sum(max(0, min(end, until) - first) for first, end in spans)

    def count_spoken(self, since: int, until: int) -> int:
        """Return how many frames of answers were heard between two frames."""
        answers = [a for a in self._answers if a.first >= self.spoke_at]
        return _count_within(answers, since, until)

    def count_interrupted(self, since: int, until: int) -> int:
        """Return how many frames were heard between two frames of what was interrupted."""
        interrupted = [a for a in self._answers if a.first < self.spoke_at]
        return _count_within(interrupted, since, until)


def _count_within(answers: list[_ServerSpeech], since: int, until: int) -> int:
    spans = ((max(a.first, since), until if a.end is None else a.end) for a in answers)
    return sum(max(0, min(end, until) - first) for first, end in spans)


@dataclass(slots=True)
class _StepState:
    """How far a step has come.

    Attributes:
        number: Its number, from 1.
        step: The step, with nothing left to chance.
        since: The frame in which it began to wait or to act.
        begins: The first frame of what it did, or None.
        until: The frame after its last, or None while it goes on.
        utterance: What is said, or None.
        pressed: The keys that were pressed.
        outcome: How it ended, in words.
        objection: What went wrong.
    """

    number: int
    step: Step
    since: int
    begins: int | None = None
    until: int | None = None
    utterance: Utterance | None = None
    pressed: str = ""
    outcome: str = ""
    objection: Objection | None = None

    @property
    def spoken(self) -> int:
        """The bytes that were said."""
        return 0 if self.utterance is None else self.utterance.said


class ScriptRun:
    """The caller of one call, who acts as a script says.

    Args:
        script: The script.
        handset: The mouth and the ear of the caller, in a call that has begun.
        press: Presses a key.
        hang_up: Ends the call.
        on_over: Called once: after the last step, or when the call has ended.
        count_cleared: Returns how many seconds of sound clears have discarded so far.

    Attributes:
        has_hung_up: Whether the script has ended the call.
    """

    def __init__(
        self,
        script: Script,
        handset: Handset,
        *,
        press: Callable[[str], None],
        hang_up: Callable[[], None],
        on_over: Callable[[], None],
        count_cleared: Callable[[], float] = lambda: 0.0,
    ) -> None:
        steps = script.draw()
        pauses = [step.pause * 1000 for step in steps if step.kind in ("listen", "interrupt")]
        self.has_hung_up = False
        self._steps = steps
        self._handset = handset
        self._press = press
        self._hang_up = hang_up
        self._on_over: Callable[[], None] | None = on_over
        self._count_cleared = count_cleared
        self._cleared = count_cleared()
        self._clears: deque[int] = deque()
        self._done: list[_StepState] = []
        self._now = handset.ear.frames
        self._attention = _Attention(self._now, max(PTIME_MS, min([PAUSE_MS, *pauses])))
        self._work = self._perform_all()
        self._heard = b""
        self._objected_to_end = self._is_too_short = False

    def begin(self) -> None:
        """Act from the next frame on."""
        self._handset.mouth.prompter = self
        self._handset.ear.on_frame.append(self._hear)

    def prompt(self) -> None:
        """Decide what to do in the next frame, before it is taken from the mouth."""
        self._now = self._handset.ear.frames
        if next(self._work, "over") == "over":
            self._finish()

    def end(self, *, is_too_short: bool = False) -> None:
        """End the script, because the call has ended; nothing happens if it is over.

        Args:
            is_too_short: Whether the call was to last no longer.
        """
        if self._on_over is None:
            return
        self._is_too_short = is_too_short
        self._now = self._handset.ear.frames
        if self._done and self._done[-1].until is None:
            self._break_off(self._done[-1])
        missing = self._steps[len(self._done) :]
        for number, step in enumerate(missing, len(self._done) + 1):
            self._skip(_StepState(number, step, self._now))
        if not self.has_hung_up:  # otherwise it runs now, and ends by itself
            self._work.close()
        self._finish()

    def check_expectations(self) -> Series[CallerAct]:
        """Return what the caller did, after asking each ``expect=`` about what was heard.

        It runs functions of the user, which may take their time.
        """
        for state in self._done:
            self._ask(state)
        return Series.of(map(_build_act, self._done), "acts")

    @property
    def has_expectations(self) -> bool:
        """Whether a step has a function of the user."""
        return any(step.expect is not None for step in self._steps)

    def _hear(self, _frame: bytes, _now: float) -> None:
        # A person understands what the detector would not, so a script goes on by clean sound.
        frame, number = self._handset.ear.clean_frame, self._handset.ear.frames - 1
        if (cleared := self._count_cleared()) > self._cleared:
            self._clears.append(number + self._handset.ear.latency_frames)
        self._cleared = cleared
        if self._clears and self._clears[0] <= number:
            self._clears.popleft()
            self._attention.note_clear(number)
        self._attention.feed(frame)

    def _finish(self) -> None:
        if self._on_over is None:
            return
        over, self._on_over = self._on_over, None
        self._heard = self._handset.heard.payload if self.has_expectations else b""
        if self._handset.mouth.prompter is self:
            self._handset.mouth.prompter = None
        if self._hear in self._handset.ear.on_frame:
            self._handset.ear.on_frame.remove(self._hear)
        over()

    def _perform_all(self) -> Generator[None, None, None]:
        """Perform the steps; each value that it gives is a frame that passes."""
        for number, step in enumerate(self._steps, 1):
            state = _StepState(number, step, self._now)
            self._done.append(state)
            yield from self._perform(state)
            state.until = self._now if state.until is None else state.until

    def _perform(self, state: _StepState) -> Generator[None, None, None]:
        match state.step.kind:
            case "listen":
                yield from self._listen(state)
            case "say":
                yield from self._say(state)
                state.outcome = f"said {_count_seconds(state.spoken)}"
            case "interrupt":
                yield from self._interrupt(state)
            case "press":
                yield from self._press_keys(state)
            case "wait":
                yield from self._wait(state.step.seconds)
                state.outcome = f"waited {_say_frames(self._now - state.since)}"
            case "hang_up":
                state.outcome = "hung up"
                state.until = self._now  # the call ends before `_hang_up` returns
                self.has_hung_up = True
                self._hang_up()

    def _wait(self, seconds: object) -> Generator[None, None, None]:
        frames = _count_frames(seconds)
        since = self._now
        while self._now - since < frames:
            yield

    def _listen(self, state: _StepState) -> Generator[None, None, None]:
        step, since = state.step, state.since
        while not self._is_answered(since, step.pause):
            if self._now - since >= _count_frames(step.limit):
                self._give_up_listening(state)
                return
            yield
        spoken = self._attention.count_spoken(since, self._now)
        state.outcome = f"heard {_say_frames(spoken)} of speech, then a pause"

    def _is_answered(self, since: int, pause: float) -> bool:
        """Whether the server has spoken since a frame, and paused."""
        end = self._attention.find_end(since)
        return end is not None and self._now - end >= _count_frames(pause)

    def _give_up_listening(self, state: _StepState) -> None:
        limit = f"{state.step.limit:g} s"
        if self._attention.find_first(state.since) is None:
            state.outcome = f"{self._say_unanswered(state)} within {limit}"
            if before := self._count_spoken_over(state):
                spoken = _say_frames(before)
                state.outcome += f"; the server had spoken for {spoken} while the caller spoke"
            fix = self._choose_fix(state)
            state.objection = _object(state, state.outcome, fix=fix)
        else:
            state.outcome = f"heard no pause of {state.step.pause:g} s within {limit}"
            state.objection = _object(
                state, state.outcome, fix="Give it a longer limit=, or a shorter pause="
            )

    def _choose_fix(self, state: _StepState) -> str:
        """Return what to do about an answer that did not come, or was taken for the rest."""
        is_run_on = self._attention.count_interrupted(state.since, self._now) > 0
        if is_run_on and self._attention.cleared_at < self._attention.spoke_at:
            return _LET_IT_CLEAR
        if heard := self._find_heard_out(state):
            which = f"Step {heard.number} (listen) has heard the answer to its end already"
            if state.step.kind == "interrupt":
                return f"{which}: leave it out, and that answer is interrupted"
            return f"{which}: leave one of the two out, or let the caller act between them"
        return "Look at what the server does before it, or give it a longer limit="

    def _find_heard_out(self, state: _StepState) -> _StepState | None:
        """Return the step that heard the answer for which this one waits, if there is one."""
        for each in reversed(self._done):
            if each is state or each.step.kind == "wait":
                continue
            is_heard = each.step.kind == "listen" and each.objection is None
            return each if is_heard else None
        return None

    def _say_unanswered(self, state: _StepState) -> str:
        """Return what was heard in a step without an answer."""
        if end := self._attention.count_interrupted(state.since, self._now):
            return f"heard only the end of what was interrupted ({_say_frames(end)})"
        heard = self._handset.clean.payload[state.since * FRAME_BYTES : self._now * FRAME_BYTES]
        if sound := measure_sound(heard):
            return f"heard no speech, but {sound:.2f} s of other sound,"
        return "heard nothing"

    def _count_spoken_over(self, state: _StepState) -> int:
        """Return how many frames of speech began while the caller spoke, right before a step."""
        before = next((each for each in reversed(self._done) if each is not state), None)
        if before is None or before.begins is None or not before.spoken:
            return 0
        return self._attention.count_begun(before.begins, state.since)

    def _interrupt(self, state: _StepState) -> Generator[None, None, None]:
        step, since = state.step, state.since
        after = _count_frames(step.after)
        while True:
            first = self._attention.find_first(since)
            if first is not None and self._attention.speaks and self._now - first >= after:
                break
            if first is not None and self._is_answered(since, step.pause):
                end = self._attention.find_end(since) or first
                state.outcome = (
                    f"the answer was over after {_say_frames(end - first)}, before it could be "
                    "interrupted"
                )
                state.objection = _object(
                    state,
                    f"said nothing: {state.outcome}",
                    fix="Give it a shorter after=, or let the server say more",
                )
                return
            if self._now - since >= _count_frames(step.limit):
                state.outcome = f"no answer to interrupt came within {step.limit:g} s"
                if self._attention.count_interrupted(since, self._now):
                    state.outcome += ", only the end of what was interrupted before"
                fix = self._choose_fix(state)
                state.objection = _object(state, f"said nothing: {state.outcome}", fix=fix)
                return
            yield
        yield from self._say(state)
        begins = first if state.begins is None else state.begins
        into = _say_frames(begins - first)
        state.outcome = f"said {_count_seconds(state.spoken)}, {into} into the answer"

    def _say(self, state: _StepState) -> Generator[None, None, None]:
        utterance = self._handset.mouth.say(state.step.clip.payload)
        state.utterance = utterance
        while not utterance.done:
            yield
            if state.begins is None and utterance.said:
                # Not before, since the user may have said something into the same telephone.
                state.begins = self._now - 1
                self._note_speech(state)

    def _note_speech(self, state: _StepState) -> None:
        """Note that the caller has begun to speak: an answer to it begins later."""
        if state.step.meant and state.begins is not None:
            self._attention.spoke_at = state.begins

    def _press_keys(self, state: _StepState) -> Generator[None, None, None]:
        # A key takes no time, so its answer may follow at once, without a pause that tells them
        # apart: after it, whatever lasts is an answer.
        self._attention.spoke_at = 0
        for key in state.step.keys:
            self._press(key)
            state.pressed += key
            yield from self._wait(KEY_SECONDS)
        state.outcome = f"pressed {state.step.keys}"

    def _break_off(self, state: _StepState) -> None:
        """Note how far a step had come when the call ended."""
        step = state.step
        state.until = self._now
        if step.kind in ("say", "interrupt"):
            self._break_off_speech(state)
        elif step.kind == "press" and state.pressed != step.keys:
            state.outcome = f"pressed {state.pressed} of {step.keys}, then {_CALL_ENDED}"
            self._object_to_end(state, f"was cut off: {state.outcome}")
        elif step.kind == "listen":
            self._break_off_listening(state)
        elif step.kind == "wait" and (waited := self._now - state.since) < _count_frames(
            step.seconds
        ):
            of = _say_frames(_count_frames(step.seconds))
            state.outcome = f"waited {_say_frames(waited)} of {of}, then {_CALL_ENDED}"
            why = f", for {step.seconds:g} s were more than was left" if self._is_too_short else ""
            self._object_to_end(state, f"was cut off{why}: {state.outcome}")
        else:
            state.outcome = f"{_CALL_ENDED} meanwhile"

    def _break_off_speech(self, state: _StepState) -> None:
        clip = state.step.clip
        if state.begins is None:
            state.begins = self._now - -(-state.spoken // FRAME_BYTES)
        said = _count_seconds(state.spoken)
        if state.spoken and state.spoken == len(
            clip.payload
        ):  # its last frame was that of the call
            state.outcome = f"said {said}"
            return
        state.outcome = f"said {said} of {clip.seconds:.2f} s, then {_CALL_ENDED}"
        self._object_to_end(state, f"was cut off: {state.outcome}")

    def _break_off_listening(self, state: _StepState) -> None:
        self._attention.finish()
        spoken = self._attention.count_spoken(state.since, self._now)
        state.outcome = f"heard {_say_frames(spoken)} of speech, then {_CALL_ENDED}"
        if not spoken:
            state.outcome = f"{self._say_unanswered(state)} before {_CALL_ENDED}"
            self._object_to_end(state, state.outcome)

    def _skip(self, state: _StepState) -> None:
        """Note that a step was not begun."""
        state.outcome = f"not begun: {_CALL_ENDED}"
        if state.step.kind != "hang_up":
            self._object_to_end(state, f"was not begun: {_CALL_ENDED} before it")
        self._done.append(state)

    def _object_to_end(self, state: _StepState, problem: str) -> None:
        """Object to the first step that the end of the call left undone, in whole or in part.

        Who only waits may expect that the server hangs up meanwhile, so that is no more than noted,
        and `CallReport.verdict` says it.
        """
        if self._objected_to_end:
            return
        self._objected_to_end = True
        left = self._steps[len(self._done) :]
        is_idle = state.step.kind == "wait" and all(
            step.kind in ("wait", "hang_up") and step.expect is None for step in left
        )
        state.objection = _object(
            state,
            problem,
            fix=_MAKE_LONGER if self._is_too_short else _LOOK_AT_THE_END,
            consequence=_NOT_DONE,
            severity="note" if is_idle else "warning",
        )

    def _ask(self, state: _StepState) -> None:
        """Ask the function of the user about what was heard during a step."""
        expect, until = state.step.expect, state.until
        failed = state.objection is not None and state.objection.severity != "note"
        if expect is None or until is None or failed:
            return
        payload = self._heard[state.since * FRAME_BYTES : until * FRAME_BYTES]
        clip = Clip(b"", f"heard in step {state.number}")
        # Skips Clip's own check: if a server sends a whole WAV file, the caller hears it.
        object.__setattr__(clip, "payload", payload)
        name = getattr(expect, "__name__", "expect")
        try:
            is_fine = expect(clip)
            if lazy := _find_lazy_kind(is_fine):
                why = f"{name}() returned {lazy}, so it was not asked; give an ordinary function"
            else:
                is_refused = is_fine is not None and not is_fine
                why = f"{name}() returned {is_fine!r}" if is_refused else ""
        except BaseException as error:  # noqa: BLE001 - whatever it is, the report says it
            why = format_error(error)
        if why:
            state.objection = _object(
                state,
                f"heard something else than was expected: {why}",
                fix=f"Listen to what was heard from {_say_frames(state.since)} on",
                consequence=_FOUND_OUT_LATER,
                severity="error",
            )


def _find_lazy_kind(result: object) -> str:
    """Return the kind of a result that is none before somebody awaits or reads it, or empty."""
    if inspect.iscoroutine(result):
        result.close()  # otherwise Python warns that nobody has awaited it
        return "a coroutine, which nobody awaits"
    if inspect.isawaitable(result):
        return f"{type(result).__name__}, which nobody awaits"
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        return "a generator, which nobody reads"
    return ""


def _object(
    state: _StepState,
    problem: str,
    *,
    fix: str,
    consequence: str = "The caller went on",
    severity: Severity = "warning",
) -> Objection:
    """Return what went wrong in a step."""
    field = f"step {state.number} of the script ({state.step.kind})"
    return Objection(None, field, problem, consequence, fix, severity)


_LET_IT_CLEAR = (
    "Look at what the server does before it: no clear came, and without one, speech that follows"
    f" within {PAUSE_MS / 1000:g} s counts as the same sentence. So let the server send a clear"
    " when it is interrupted, or pause before it answers"
)

_LOOK_AT_THE_END = "Look at who ended the call, and why"

_MAKE_LONGER = "Give the call a longer seconds=, or leave it out"

_FOUND_OUT_LATER = "The caller took no notice, since expect= is asked after the call"

_NOT_DONE = "The rest of the script was not done"


def _build_act(state: _StepState) -> CallerAct:
    step = state.step
    begins = state.since if state.begins is None else state.begins
    until = state.until if state.until is not None else begins
    return CallerAct(
        step.kind,
        begins / _FRAMES_PER_SECOND,
        until / _FRAMES_PER_SECOND,
        step.clip if state.spoken else None,
        state.pressed,
        state.outcome,
        state.objection,
        step.meant,
    )


def _count_frames(seconds: object) -> int:
    """Return the frames of a time: the nearest number, at least one for more than nothing."""
    number = seconds if isinstance(seconds, int | float) else 0.0
    return max(math.ceil(number > 0), round(number * _FRAMES_PER_SECOND))


def _say_frames(frames: int) -> str:
    return f"{frames / _FRAMES_PER_SECOND:.2f} s"


def _count_seconds(size: int) -> str:
    return f"{size / (FRAME_BYTES * _FRAMES_PER_SECOND):.2f} s"
