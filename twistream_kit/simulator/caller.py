"""Scripts of a simulated caller: what it says, when it interrupts, which keys it presses.

A step that waits for the server waits for its *sound*, and a limit ends it where none comes; the
report then says so.  All times are those of the call, counted in the frames of 20 ms that the
caller hears.  A script can be a file, too: `load_script`.

Example:
    >>> import twistream_kit as kit
    >>> from twistream_kit import caller
    >>> def talk(stream):
    ...     stream.play(kit.Clip.tone(440, 3))
    ...     for event in stream.events():
    ...         if isinstance(event, kit.from_twilio.Dtmf):
    ...             stream.clear()
    ...             stream.play(kit.Clip.tone(660, 0.5))
    >>> server = kit.start(kit.StreamServer(talk))
    >>> report = kit.simulate_call(server.url, script=[
    ...     caller.interrupt(kit.Clip.tone(880, 0.3), after=0.5),  # into the answer
    ...     caller.press("1"), caller.listen(pause=0.5), caller.hang_up(),
    ... ]).result(20)
    >>> for act in report.acts:
    ...     print(f"{act.kind}: {act.outcome}")
    interrupt: said 0.30 s, 0.50 s into the answer
    press: pressed 1
    listen: heard ... s of speech, then a pause
    hang_up: hung up
"""

from __future__ import annotations

import os
import random
import typing as _typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import (
    Objection,
    TwistreamError,
    WrongType,
    WrongValue,
    build_unknown_name,
    hides_frames,
    quote,
    require_finite,
    require_type,
)
from twistream_kit.listing import Series
from twistream_kit.simulator._script_file import ScriptFile
from twistream_kit.simulator._step_values import (
    MOST_SECONDS as MOST_SECONDS,  # noqa: PLC0414 - it is found here
)
from twistream_kit.simulator._step_values import (
    Choice,
    Expectation,
    Range,
    check_clip,
    check_expect,
    check_limit,
    check_meant,
    check_seconds,
    check_sound,
    make_range,
)
from twistream_kit.simulator.stream.leg import DIGITS

__all__ = [  # noqa: RUF022 - in the order of use
    "listen", "say", "interrupt", "press", "wait", "hang_up", "choose", "vary",
    "Script", "load_script", "CallerAct", "Step", "ScriptError",
]  # fmt: skip
"""What completion shows of `kit.caller`."""

PAUSE_SECONDS = 1.0
"""The silence after which the server has spoken; between two sentences it is shorter."""

LIMIT_SECONDS = 30.0
"""How long a step waits for the server."""

AFTER_SECONDS = 1.0
"""How far into an answer the caller interrupts."""

KEY_SECONDS = 0.2
"""The time from one key to the next, as a fast finger presses them."""

StepKind = Literal["listen", "say", "interrupt", "press", "wait", "hang_up"]
"""What a caller can do."""


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """One step of a script; `listen`, `say`, `interrupt`, `press`, `wait` and `hang_up` make them.

    Attributes:
        kind: The name of the function that made it.
        sound: What is said, or None.
        after: How far into the answer of the server it is said, in seconds.
        keys: The keys that are pressed.
        seconds: How long the caller waits.
        pause: The silence after which the server has spoken, in seconds.
        limit: How long the step waits for the server, in seconds.
        expect: Gets what was heard during the step.
        meant: Whether what is said is meant for the server.

    Example:
        >>> import twistream_kit as kit
        >>> step = kit.caller.interrupt(kit.Clip.tone(440, 0.5), after=2)
        >>> step
        <Step interrupt '440 Hz' 2 s into the answer, at most 30 s>
        >>> step.kind, step.limit
        ('interrupt', 30.0)
    """

    kind: StepKind
    sound: Clip | Choice | None = None
    after: float | Range = 0.0
    keys: str = ""
    seconds: float | Range = 0.0
    pause: float = PAUSE_SECONDS
    limit: float = LIMIT_SECONDS
    expect: Expectation | None = None
    meant: bool = True

    @property
    def clip(self) -> Clip:
        """What is said, once it was drawn; an empty clip where nothing is said."""
        return self.sound if isinstance(self.sound, Clip) else Clip(b"")

    @property
    def longest_seconds(self) -> float:
        """The longest time that the step takes."""
        clips = self.sound.clips if isinstance(self.sound, Choice) else (self.clip,)
        seconds = self.seconds.most if isinstance(self.seconds, Range) else self.seconds
        waits = self.limit if self.kind in ("listen", "interrupt") else 0.0
        pressed = len(self.keys) * KEY_SECONDS
        return max(clip.seconds for clip in clips) + seconds + waits + pressed

    def draw(self, source: random.Random) -> Step:
        """Return the step with all that is left to chance decided."""
        sound = self.sound
        if isinstance(sound, Choice):
            sound = source.choice(sound.clips)
        return replace(
            self, sound=sound, after=_draw(self.after, source), seconds=_draw(self.seconds, source)
        )

    def __str__(self) -> str:
        sound = f"{self.sound.name!r}" if isinstance(self.sound, Clip) else f"{self.sound}"
        match self.kind:
            case "say":
                return f"say {sound}"
            case "interrupt":
                after = f"{self.after:g}" if isinstance(self.after, float) else f"{self.after}"
                return f"interrupt {sound} {after} s into the answer, at most {self.limit:g} s"
            case "press":
                return f"press {self.keys}"
            case "wait":
                seconds = f"{self.seconds:g}" if isinstance(self.seconds, float) else self.seconds
                return f"wait {seconds} s"
            case "listen":
                return f"listen until {self.pause:g} s of silence, at most {self.limit:g} s"
        return "hang up"

    def __repr__(self) -> str:
        return f"<Step {self}>"


def listen(
    *,
    pause: float = PAUSE_SECONDS,
    limit: float = LIMIT_SECONDS,
    expect: Expectation | None = None,
) -> Step:
    """Listen until the server has spoken and paused.

    What it said before this step does not count; what it goes on to say does.  But the end of what
    the caller spoke into, with `interrupt` or `say`, is no answer: then it waits for speech that
    begins after the caller began to speak, and after a pause of 0.4 s or longer.  If none comes,
    the report objects.  A cough (``meant=False``) asks for no answer, and after a key whatever
    lasts is one, since it may follow at once.

    Args:
        pause: The silence after which it has spoken, in seconds; less than `limit`.
        limit: After so many seconds the step ends nevertheless, and the report objects.
        expect: Gets what was heard during the step as a `Clip`, after the call.  If it returns
            False or raises, the report objects; None is fine.

    Raises:
        TypeError, ValueError: For arguments that are not taken.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit import caller
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.5))
        ...     stream.closed.result(20)
        >>> server = kit.start(kit.StreamServer(answer))
        >>> short = caller.listen(pause=0.5, expect=lambda heard: heard.seconds < 3)
        >>> report = kit.simulate_call(server.url, script=[short, caller.hang_up()]).result(20)
        >>> report.acts[0].kind, report.acts[0].ok
        ('listen', True)
    """
    pause, limit = check_seconds("pause", pause), check_seconds("limit", limit)
    check_limit("listen", limit, pause=pause)
    return Step("listen", pause=pause, limit=limit, expect=check_expect(expect))


def say(sound: Clip | bytes | Choice, *, expect: Expectation | None = None) -> Step:
    """Say a clip from its first frame to its last, whatever the server does.

    Args:
        sound: A `Clip`, bare PCMU, or several clips to `choose` one from.
        expect: As for `listen`.

    Raises:
        TypeError, ValueError: For arguments that are not taken.
        LocalProtocolError: If `sound` is a file or text.

    Example:
        >>> import twistream_kit as kit
        >>> kit.caller.say(kit.load_clip("sample_audio/question.wav"))
        <Step say 'question'>
    """
    return Step("say", check_sound(sound), expect=check_expect(expect))


def interrupt(
    sound: Clip | bytes | Choice,
    *,
    after: float | Range = AFTER_SECONDS,
    pause: float = PAUSE_SECONDS,
    limit: float = LIMIT_SECONDS,
    expect: Expectation | None = None,
    meant: bool = True,
) -> Step:
    """Wait until the server speaks, and begin to speak into its answer.

    If the server has paused before that, nothing is said, and the report objects.  A server that
    stops for a cough or an "mhm" is too quick: say so with ``meant=False``, and the turns of the
    call count it as a false barge-in.  What the caller has interrupted before is no new answer, as
    for `listen`.

    Args:
        sound: A `Clip`, bare PCMU, or several clips to `choose` one from.
        after: How far into the answer, in seconds from its first frame; or `vary`.  Less than
            `limit`.
        pause: The silence after which the answer has ended, in seconds.
        limit: After so many seconds without an answer the step ends, and the report objects.
        expect: As for `listen`.
        meant: False for a cough, a murmur or noise, at which the server is to go on.

    Raises:
        TypeError, ValueError: For arguments that are not taken.
        LocalProtocolError: If `sound` is a file or text.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit import caller
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 2))
        ...     stream.closed.result(20)
        >>> server = kit.start(kit.StreamServer(answer))
        >>> stop = kit.Clip.tone(880, 0.2, level_db=-20)
        >>> script = [caller.interrupt(stop, after=0.5), caller.hang_up()]
        >>> report = kit.simulate_call(server.url, script=script).result(20)
        >>> report.acts[0].outcome
        'said 0.20 s, 0.50 s into the answer'
    """
    sound = check_sound(sound)
    after = check_seconds("after", after, least=0.0)
    pause, limit = check_seconds("pause", pause), check_seconds("limit", limit)
    # A shorter limit leaves time to interrupt, though not to know that the answer is over.
    check_limit("interrupt", limit, after=after, pause=0.0 if pause == PAUSE_SECONDS else pause)
    return Step(
        "interrupt",
        sound,
        after=after,
        pause=pause,
        limit=limit,
        expect=check_expect(expect),
        meant=check_meant(meant),
    )


def press(keys: str, *, expect: Expectation | None = None) -> Step:
    """Press keys, one each 0.2 s.

    Args:
        keys: Of ``0123456789*#ABCD``.
        expect: As for `listen`.

    Raises:
        TypeError, ValueError: For arguments that are not taken.

    Example:
        >>> import twistream_kit as kit
        >>> kit.caller.press("12#")
        <Step press 12#>
    """
    require_type("a string", keys=keys)
    if wrong := sorted(set(keys) - DIGITS):
        raise WrongValue(f"keys has {wrong[0]!r}, which is no key of a telephone: 0-9, *, #, A-D")
    if not keys:
        raise WrongValue("keys is empty; give the keys to press, such as '12#'")
    return Step("press", keys=keys, expect=check_expect(expect))


def wait(seconds: float | Range, *, expect: Expectation | None = None) -> Step:
    """Say nothing for a time, whatever the server does.

    Args:
        seconds: How long, of the call's own clock; or `vary`.
        expect: As for `listen`.

    Raises:
        TypeError, ValueError: For arguments that are not taken.

    Example:
        >>> import twistream_kit as kit
        >>> kit.caller.wait(1.5)
        <Step wait 1.5 s>
    """
    return Step(
        "wait",
        seconds=check_seconds("seconds", seconds),
        expect=check_expect(expect),
    )


def hang_up() -> Step:
    """End the call at once; nothing can follow.

    Without it, the caller listens after the last step as in a call without a script.

    Example:
        >>> import twistream_kit as kit
        >>> kit.caller.hang_up()
        <Step hang up>
    """
    return Step("hang_up")


def choose(*sounds: Clip | bytes) -> Choice:
    """Leave it to the seed of the script which of several clips is said.

    Args:
        sounds: Each a `Clip` or bare PCMU.

    Raises:
        TypeError, ValueError: For no clip, and for what is none.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit import caller
        >>> yes, no = kit.Clip.tone(440, 0.2), kit.Clip.tone(220, 0.2)
        >>> script = caller.Script([caller.say(caller.choose(yes, no))] * 4, seed=1)
        >>> [step.clip.name for step in script.draw()]
        ['440 Hz', '440 Hz', '220 Hz', '440 Hz']
    """
    if not sounds:
        raise WrongValue("choose() was called without a clip; give those to choose from")
    return Choice(tuple(check_clip(sound) for sound in sounds))


def vary(least: float, most: float) -> Range:
    """Leave it to the seed of the script how many seconds it is.

    Args:
        least: The least number of seconds.
        most: The largest number of seconds.

    Raises:
        TypeError, ValueError: If one is no number of seconds, or `most` is less than `least`.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit import caller
        >>> script = caller.Script([caller.wait(caller.vary(1, 3))] * 3, seed=1)
        >>> [round(step.seconds, 2) for step in script.draw()]
        [1.27, 2.69, 2.53]
    """
    return make_range(least, most)


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Script:
    """The steps of a caller, in order, and the seed of what is left to chance.

    Attributes:
        steps: The steps; any sequence of them makes a script.
        seed: Decides what `choose` and `vary` leave open: the same seed, the same decisions.
        name: The name of its file, or empty.

    Raises:
        TypeError, ValueError: If there is no step, one is something else, or one follows
            `hang_up`.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit import caller
        >>> caller.Script([caller.listen(), caller.press("1"), caller.hang_up()])
        A script of 3 steps, 30.2 s at most
          1. listen until 1 s of silence, at most 30 s
          2. press 1
          3. hang up
    """

    steps: Series[Step]
    seed: int = 0
    name: str = ""

    def __init__(self, steps: Sequence[Step], seed: int = 0, name: str = "") -> None:
        require_type("a whole number", seed=seed)
        require_finite(seed=seed)  # a longer one could not be written
        if isinstance(steps, Step):
            raise WrongType("steps is one step; give a list of steps, such as [step]")
        if not isinstance(steps, Sequence):  # a set has no order, an iterator is read only once
            raise WrongType(
                f"steps is {quote(steps)}; give a list of steps, such as [caller.listen()]"
            )
        steps = Series.of(steps, "steps")
        if not steps:
            raise WrongValue("a script has one step at least, such as caller.listen()")
        for number, step in enumerate(steps, 1):
            _check_step(step, number)
            if step.kind == "hang_up" and number < len(steps):
                raise WrongValue(
                    f"step {number} of {len(steps)} is hang_up(), and nothing can follow it; put "
                    "it last, or leave it out"
                )
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "name", name)

    @property
    def longest_seconds(self) -> float:
        """The longest time that all steps take together."""
        return sum(step.longest_seconds for step in self.steps)

    def draw(self) -> Series[Step]:
        """Return the steps with all that is left to chance decided by the seed."""
        # Random takes a negative number for the positive one.
        seed = self.seed if self.seed >= 0 else f"{self.seed}"
        source = random.Random(seed)  # noqa: S311 - to be repeated, and no secret
        return Series.of((step.draw(source) for step in self.steps), "steps")

    def __repr__(self) -> str:
        named = f" {self.name}" if self.name else ""
        steps = f"{len(self.steps)} step{'s' if len(self.steps) != 1 else ''}"
        seed = f", seed {self.seed}" if self.seed else ""
        lines = [f"A script{named} of {steps}, {self.longest_seconds:.1f} s at most{seed}"]
        return "\n".join([*lines, *(f"  {n}. {step}" for n, step in enumerate(self.steps, 1))])


@dataclass(frozen=True, slots=True, repr=False)
class CallerAct:
    """What the caller did in one step of a script, on the call's own clock.

    Times are in seconds from the first frame of the call, in steps of 20 ms.

    Attributes:
        kind: ``listen``, ``say``, ``interrupt``, ``press``, ``wait`` or ``hang_up``.
        begins: When it began: of sound, its first frame.
        ends: When it had ended: of sound, the frame after its last.
        clip: What was said, as it was given and without anything of the line; None where nothing
            was said.  If the call ended meanwhile, `ends` says how much of it was said.
        keys: The keys that were pressed.
        outcome: How the step ended, in words.
        objection: What went wrong in it, or None.
        meant: Whether what was said is meant for the server.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit import caller
        >>> server = kit.start(kit.StreamServer(lambda stream: stream.closed.result(20)))
        >>> script = [caller.say(kit.Clip.tone(440, 0.1)), caller.wait(0.2), caller.hang_up()]
        >>> report = kit.simulate_call(server.url, script=script).result(20)
        >>> report.acts
        0.00 to 0.10 s: say, said 0.10 s
        0.10 to 0.30 s: wait, waited 0.20 s
        0.30 to 0.30 s: hang_up, hung up
    """

    kind: StepKind
    begins: float
    ends: float
    clip: Clip | None = None
    keys: str = ""
    outcome: str = ""
    objection: Objection | None = None
    meant: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong in it."""
        return self.objection is None

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the sound as plain values, ready for JSON."""
        return {
            "kind": self.kind,
            "begins": round(self.begins, 2),
            "ends": round(self.ends, 2),
            "clip": None if self.clip is None else self.clip.name,
            "keys": self.keys,
            "outcome": self.outcome,
            "ok": self.ok,
            "meant": self.meant,
        }

    def __repr__(self) -> str:
        failed = "" if self.objection is None else f" [{self.objection.severity}]"
        return f"{self.begins:.2f} to {self.ends:.2f} s: {self.kind}, {self.outcome}{failed}"


class ScriptError(TwistreamError, ValueError):
    """A file with a script cannot be used.

    Attributes:
        path: The name of the file.
        line: The line of the error, from 1, or None where it has none.
        field: The field that is wrong, as ``seconds``, or empty.

    Example:
        >>> import twistream_kit as kit
        >>> from pathlib import Path
        >>> lines = ["[[step]]", 'do = "wait"', 'seconds = "two"']
        >>> _ = Path("talk.toml").write_text(chr(10).join(lines))
        >>> try:
        ...     kit.caller.load_script("talk.toml")
        ... except kit.caller.ScriptError as error:
        ...     print(error)
        talk.toml, line 3: seconds is 'two'. Give a number of seconds, or two as [least, most].
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str = "",
        line: int | None = None,
        field: str = "",
        consequence: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem, consequence=consequence, fix=fix)
        self.path = path
        self.line = line
        self.field = field

    @property
    def statement(self) -> str:
        """The file, the line, and what is wrong there."""
        line = f", line {self.line}" if self.line is not None else ""
        return f"{self.path}{line}: {self.problem}"


def load_script(path: str | os.PathLike[str]) -> Script:
    """Read a script from a file, for people who do not program.

    The file is TOML.  Each step begins with ``[[step]]`` and says what to ``do``; sounds are files
    beside it::

        [[step]]
        do = "listen"              # until the server has spoken and paused

        [[step]]
        do = "say"
        file = "question.wav"      # or one_of = ["yes.wav", "no.wav"], and seed = 7 at the top

        [[step]]
        do = "interrupt"
        file = "stop.wav"
        after = 1.0                # seconds into the answer; or [0.5, 1.5]

        [[step]]
        do = "press"
        keys = "1"

        [[step]]
        do = "wait"
        seconds = 2                # or [1, 3]

        [[step]]
        do = "hang_up"

    ``listen`` and ``interrupt`` take ``pause`` and ``limit`` in seconds, too; ``interrupt`` takes
    ``meant = false`` for a cough.

    Args:
        path: The name of the file.

    Returns:
        The script, with all its sounds.

    Raises:
        ScriptError: If there is no such file, or something in it is wrong; it names the line.

    Example:
        >>> import twistream_kit as kit
        >>> from pathlib import Path
        >>> lines = ["[[step]]", 'do = "say"', 'file = "sample_audio/question.wav"']
        >>> _ = Path("talk.toml").write_text(chr(10).join(lines))
        >>> kit.caller.load_script("talk.toml")
        A script talk.toml of 1 step, ... s at most
          1. say 'question'
    """
    __tracebackhide__ = hides_frames
    require_type("a path", path=path)
    if not os.fspath(path):  # Path("") is the current folder
        raise ScriptError("the name of the script is empty", fix="Give the name of a TOML file")
    file = Path(path)
    steps, seed = ScriptFile(file, _MAKERS, ScriptError).read()
    return Script(steps, seed, file.name)


def make_script(script: object, seed: int | None = None) -> Script:
    """Return what was given as ``script=`` and ``seed=`` as a `Script`.

    Args:
        script: A `Script`, a list of steps, or the name of a file.
        seed: The seed, or None for that of the script.

    Raises:
        TypeError, ValueError: For something else.
        ScriptError: If the file cannot be used.

    Example:
        >>> import twistream_kit as kit
        >>> kit.caller.make_script([kit.caller.listen()], seed=3).seed
        3
    """
    __tracebackhide__ = hides_frames
    if isinstance(script, str | os.PathLike):
        script = load_script(script)
    elif not isinstance(script, Script | Sequence):  # nor an iterator, which is read only once
        raise WrongType(
            f"script is {quote(script)}; give a list of steps such as [caller.listen()], or the "
            "name of a TOML file"
        )
    made = script if isinstance(script, Script) else Script(list(script))
    if seed is None:
        return made
    return Script(made.steps, seed, made.name)


_MAKERS = {each.__name__: each for each in (listen, say, interrupt, press, wait, hang_up)}
"""The function that makes each kind of step."""

_NAMES = {id(maker): name for name, maker in _MAKERS.items()}


def _draw(value: float | Range, source: random.Random) -> float:
    return source.uniform(value.least, value.most) if isinstance(value, Range) else value


def _check_step(step: object, number: int) -> None:
    """Refuse what is no step."""
    if isinstance(step, Step):
        return
    where = f"step {number} of the script"
    if name := _NAMES.get(id(step)):
        raise WrongType(f"{where} is the function {name}; call it: caller.{name}(…)")
    if isinstance(step, Clip | bytes):
        raise WrongType(f"{where} is sound; write caller.say(clip)")
    raise WrongType(f"{where} is {quote(step)}; give steps such as caller.listen()")


def __dir__() -> list[str]:
    return __all__.copy()


if not _typing.TYPE_CHECKING:  # which finds a wrong name by itself

    def __getattr__(name: str) -> NoReturn:
        __tracebackhide__ = True  # of pytest, which shows the line of the test instead
        raise build_unknown_name(f"caller has no {name!r}", name, __all__)
