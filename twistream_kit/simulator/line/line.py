"""`Line`, what a telephone line does to sound, by the name of a profile or by its parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import SILENCE
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.errors import WrongType, WrongValue, quote, require_type
from twistream_kit.simulator.line._noise import NoiseKind, build_noise
from twistream_kit.simulator.line._parameters import (
    COMPANIONS,
    OF_MICROPHONE,
    PRESETS,
    RANGES,
    Parameters,
    check_effect,
    check_parameter,
    check_share,
    describe,
    describe_unknown,
    is_off,
)
from twistream_kit.simulator.line.arrival import find_scale, make_jitter
from twistream_kit.simulator.line.stream import LineStream, measure_speech_db

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Line(Parameters):
    """What a telephone line does to sound: loss, jitter, delay, noise, level, clipping and echo.

    A profile has a name and values for all parameters; each of them can be changed by keyword.  The
    profiles are no carriers' lines, and their figures are ours: nobody has measured them.  A seed
    decides all that is left to chance: the same line does the same to the same sound.

    The sound passes, in this order, the microphone (level, echo, noise, clipping), the network
    (losses, which are concealed, and delay) and its buffers (jitter and bunches, which change when
    a frame comes, and not what is in it).  Lost frames are concealed after the rule of ITU-T G.711
    Appendix I: the last 5 to 15 ms are repeated, keep their level for 10 ms, lose 20 % of it every
    10 ms after that, and are silent from 60 ms on.

    Args:
        preset: ``clean``, ``mobile``, ``bad_mobile``, ``speakerphone``, ``street`` or
            ``call_centre``.
        seed: Decides what is left to chance, a whole number from 0 on.
        loss: See the attributes, as for all that follow; None leaves what the profile says.
        burst: Likewise.
        jitter_ms: Likewise.
        bunching: Likewise.
        bunch: Likewise.
        delay_ms: Likewise.
        noise: Likewise.
        snr_db: Likewise.
        gain_db: Likewise.
        clipping_db: Likewise.
        echo_db: Likewise.
        echo_ms: Likewise.

    Attributes:
        preset: The name of the profile.
        seed: What decides what is left to chance.
        loss: The share of frames that are lost, 0 to 0.5; in bursts, after Gilbert and Elliott.
        burst: The mean number of frames that are lost one after the other, 1 to 50.
        jitter_ms: By how much frames outside bunches come later than the delay says, in the mean,
            0 to 200 ms; by a random time each, and in order.
        bunching: The share of frames that are held and then come all together, 0 to 0.5.
        bunch: The mean number of frames in such a bunch, 2 to 50.
        delay_ms: How long sound is under way, 0 to 2000 ms in each direction.
        noise: ``white``, ``street`` or ``babble``, many voices.
        snr_db: How far the noise is below the speech, -10 to 80 dB; infinite for no noise.  The
            level of speech is that of its audible frames: of the clip, or of the clips of a script
            that a caller says.  Where it is not known, it is taken for -20 dBFS.  It is the mean
            over 16 s: in the street cars come and go, so a second there may have 5 or 22 dB where
            10 were asked for; white noise stays within 0.1 dB, babble within 1 dB.
        gain_db: What the level is changed by, -60 to 30 dB, speech and noise alike; not the echo.
        clipping_db: Where the microphone clips, -60 to 0 dBFS.
        echo_db: How loud what the caller hears comes back through the microphone, -60 to 0 dB;
            -inf for no echo.
        echo_ms: How much later it comes back, 0 to 1000 ms; in a call a frame of 20 ms later than
            that, since what the telephone plays is known at its end.

    Raises:
        TypeError: For a parameter that there is not, or one of a wrong type.
        ValueError: For an unknown profile, a value out of range, a time between 0 and 1 ms, losses
            or bunches of a share that their length does not allow, or a parameter that would do
            nothing, such as `burst` on a line without losses.

    Example:
        >>> import twistream_kit as kit
        >>> line = kit.Line("mobile", seed=3, loss=0.05)
        >>> line
        Line('mobile', seed=3, loss=0.05)
        >>> print(line.description)
        5 % of frames lost, 2 at a time; 100 ms of delay; 6 ms of jitter; 1 % of frames in bunches \
of 4; street noise 30 dB below speech
        >>> clip = kit.load_clip("sample_audio/question.wav")
        >>> line.apply(clip)
        Clip('question, mobile, loss 0.05', 4.31 s)
        >>> line.apply(clip) == line.apply(clip)
        True
    """

    preset: str = "clean"
    seed: int = 0

    def __init__(
        self,
        preset: str = "clean",
        *,
        seed: int = 0,
        loss: float | None = None,
        burst: float | None = None,
        jitter_ms: float | None = None,
        bunching: float | None = None,
        bunch: float | None = None,
        delay_ms: float | None = None,
        noise: NoiseKind | None = None,
        snr_db: float | None = None,
        gain_db: float | None = None,
        clipping_db: float | None = None,
        echo_db: float | None = None,
        echo_ms: float | None = None,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise WrongType(
                describe_unknown(name, ["preset", "seed", *RANGES, "noise"], "parameter")
            )
        require_type("a string", preset=preset)
        if preset not in PRESETS:
            raise WrongValue(describe_unknown(preset, list(PRESETS), "profile"))
        require_type("a whole number", seed=seed)
        if seed < 0:
            raise WrongValue(f"seed is {quote(seed)}; it must be a whole number from 0 on")
        changes = {
            "loss": loss, "burst": burst, "jitter_ms": jitter_ms, "bunching": bunching,
            "bunch": bunch, "delay_ms": delay_ms, "noise": noise, "snr_db": snr_db,
            "gain_db": gain_db, "clipping_db": clipping_db, "echo_db": echo_db, "echo_ms": echo_ms,
        }  # fmt: skip
        for name, change in changes.items():
            own = getattr(PRESETS[preset], name)
            object.__setattr__(self, name, own if change is None else check_parameter(name, change))
        object.__setattr__(self, "preset", preset)
        object.__setattr__(self, "seed", seed)
        check_effect([name for name, change in changes.items() if change is not None], self)
        check_share("loss", self.loss, "burst", self.burst)
        check_share("bunching", self.bunching, "bunch", self.bunch)

    def __repr__(self) -> str:
        # A traceback shows the line whose making failed, which may have no parameters yet.
        if not all(hasattr(self, each.name) for each in fields(self)):
            return "<Line that was not made>"
        seed = f", seed={self.seed}" if self.seed else ""
        changes = "".join(
            f", {name}={repr(value).replace('inf', 'math.inf')}"
            for name, value in self._list_changes()
        )
        return f"Line({self.preset!r}{seed}{changes})"

    @property
    def name(self) -> str:
        """The name of the profile, and what was changed: ``mobile, loss 0.05``."""
        return ", ".join(
            [
                self.preset,
                *(
                    f"{n} {v if isinstance(v, str) else format(v, 'g')}"
                    for n, v in self._list_changes()
                ),
            ]
        )

    @property
    def description(self) -> str:
        """What the line does, in words."""
        return describe(self) or "changes nothing"

    @property
    def is_clean(self) -> bool:
        """Whether it changes nothing."""
        return not describe(self)

    @property
    def changes_arrival(self) -> bool:
        """Whether frames come at other times than every 20 ms."""
        return bool(self.jitter_ms or self.bunching)

    @property
    def has_noise(self) -> bool:
        """Whether it adds noise."""
        return math.isfinite(self.snr_db)

    @property
    def has_echo(self) -> bool:
        """Whether the caller's telephone lets what is heard back into the microphone."""
        return math.isfinite(self.echo_db)

    @property
    def delay_samples(self) -> int:
        """The delay in samples, eight for a millisecond."""
        return round(self.delay_ms * SAMPLE_RATE / 1000)

    @property
    def way_back(self) -> Line:
        """The same line in the other direction, without what the microphone does to sound.

        The caller's place and telephone add their noise, level, clipping and echo to what the
        caller says, and not to what is heard there.
        """
        return replace(self, **{name: getattr(_CLEAN, name) for name in OF_MICROPHONE})

    def apply(self, clip: Clip, *, heard: Clip | None = None) -> Clip:
        """Return a clip as it comes out of the line, to hear it.

        Jitter and bunches change when its frames come, and not what is in them.

        Args:
            clip: What the caller says.
            heard: What the caller hears meanwhile, for the echo.

        Returns:
            The sound that comes out: later by the delay, and longer by it.

        Raises:
            TypeError: If `clip` or `heard` is no clip.

        Example:
            >>> import twistream_kit as kit
            >>> clip = kit.load_clip("sample_audio/reply.wav")
            >>> kit.Line("bad_mobile", seed=1, delay_ms=0).apply(clip)
            Clip('reply, bad_mobile, delay_ms 0', 1.97 s)
        """
        _check_clip(clip)
        if heard is not None:
            _check_clip(heard)
        stream = self.open(speech_db=measure_speech_db(clip))
        silence = bytes([SILENCE])
        size = len(clip.payload) + self.delay_samples
        said = Clip(clip.payload.ljust(size, silence)).frames()
        leaking = Clip(b"" if heard is None else heard.payload.ljust(size, silence)).frames()
        if leaking:
            pairs = zip(said, leaking, strict=False)
            sound = b"".join(stream.take(frame, leak) for frame, leak in pairs)
        else:
            sound = b"".join(map(stream.take, said))
        name = ", ".join(filter(None, (clip.name, self.name)))
        return Clip(sound[:size], name, clip.clipped, clip.missing_seconds)

    def open(self, *, is_back: bool = False, speech_db: float | None = None) -> LineStream:
        """Return the line for the sound of one direction of a call, frame by frame.

        Args:
            is_back: Whether it is the way back, which loses other frames.
            speech_db: The level of the speech that will pass, in dBFS; by default -20.

        Example:
            >>> import twistream_kit as kit
            >>> stream = kit.Line("street", seed=2).open()
            >>> frames = [stream.take(frame) for frame in kit.Clip.silence(1.0).frames()]
            >>> len(frames), len(frames[0])
            (50, 160)
        """
        return LineStream(self, self.seed, is_back=is_back, speech_db=speech_db)

    def arrivals(self, frames: int) -> NDArray[np.float64]:
        """Return how long after it was sent each frame comes at the server.

        Args:
            frames: The number of frames from the begin of a call on.

        Returns:
            Milliseconds, float64, shape ``(frames,)``: the delay, the jitter and the bunches.

        Example:
            >>> import twistream_kit as kit
            >>> late = kit.Line("clean", delay_ms=100, jitter_ms=5).arrivals(10_000)
            >>> bool(late.min() >= 100), round(float(late.mean()))
            (True, 105)
        """
        require_type("a whole number", frames=frames)
        if not 0 <= frames <= 100_000_000:
            raise WrongValue(f"frames is {quote(frames)}; it must lie between 0 and 100,000,000")
        return make_jitter(self, self.seed).take_many(frames) + self.delay_ms

    def prepare(self) -> None:
        """Make what takes up to a fifth of a second once in a process, so that no call waits."""
        find_scale(self.jitter_ms)
        if self.has_noise:
            build_noise(self.noise)

    def to_dict(self) -> dict[str, Any]:
        """Return all parameters as plain values for JSON; what is infinite, and so off, is None."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in values.items()
        }

    def list_set(self) -> list[tuple[str, float | str]]:
        """Return the parameters that do something, and their values, in their order."""
        return [
            (name, getattr(self, name))
            for name in PARAMETER_NAMES
            if not is_off(COMPANIONS.get(name, (name, ""))[0], self)
        ]

    def _list_changes(self) -> list[tuple[str, Any]]:
        own = PRESETS[self.preset]
        changed = {n for n in PARAMETER_NAMES if getattr(self, n) != getattr(own, n)}
        # What does nothing is taken only where its companion is given as well (`check_effect`).
        changed |= {
            COMPANIONS[n][0] for n in changed & {*COMPANIONS} if is_off(COMPANIONS[n][0], self)
        }
        return [(n, getattr(self, n)) for n in PARAMETER_NAMES if n in changed]


def check_line(line: object, name: str) -> Line | None:
    """Return the line of an argument, which may be the name of a profile; None for none.

    Args:
        line: The argument.
        name: What it is called.

    Raises:
        WrongType: If it is something else.
        WrongValue: If there is no such profile.
    """
    if line is None or isinstance(line, Line):
        return line
    if not isinstance(line, str):
        kind = type(line).__name__
        raise WrongType(f"{name} is of type {kind}; give a kit.Line, or the name of a profile")
    return Line(line)


def _check_clip(clip: object) -> None:
    if not isinstance(clip, Clip):
        kind = type(clip).__name__
        raise WrongType(f"a line takes a Clip, and this is {kind}; kit.load_clip(path) reads one")


_CLEAN = Parameters()

PARAMETER_NAMES = tuple(each.name for each in fields(Parameters))
"""The names of all parameters, in their order."""
