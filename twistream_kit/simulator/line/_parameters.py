"""The parameters of a line: their ranges, their profiles, and what they say in words.

The profiles are no carriers' lines.  Nobody has measured them: their figures are ours, chosen so
that each sounds like what its name says.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from twistream_kit.errors import WrongValue, quote, require_type
from twistream_kit.simulator.line._noise import NOISE_KINDS, NoiseKind

RANGES: Mapping[str, tuple[float, float, str]] = {
    "loss": (0, 0.5, "a share of the frames, 0.02 for 2 %"),
    "burst": (1, 50, "a mean number of frames"),
    "jitter_ms": (0, 200, "milliseconds"),
    "bunching": (0, 0.5, "a share of the frames, 0.02 for 2 %"),
    "bunch": (2, 50, "a mean number of frames"),
    "delay_ms": (0, 2000, "milliseconds"),
    "snr_db": (-10, 80, "decibels, or math.inf for no noise"),
    "gain_db": (-60, 30, "decibels"),
    "clipping_db": (-60, 0, "decibels below full scale"),
    "echo_db": (-60, 0, "decibels, or -math.inf for no echo"),
    "echo_ms": (0, 1000, "milliseconds"),
}
"""The least and the greatest value of each parameter, and what it is."""

LEAST_SHARE = dict.fromkeys(("loss", "bunching"), 1e-5)
"""The least shares that are not 0: of one frame in 100,000, which is one in 33 minutes."""

_INFINITE = {"snr_db": math.inf, "echo_db": -math.inf}
"""The parameters that may be infinite, and how they then are: off."""

COMPANIONS: Mapping[str, tuple[str, str]] = {
    "burst": ("loss", "loss=0.02"),
    "bunch": ("bunching", "bunching=0.02"),
    "noise": ("snr_db", "snr_db=15"),
    "echo_ms": ("echo_db", "echo_db=-18"),
}
"""The parameters that say how, the one that says how much of it, and an example of that one."""

_OTHER_NAMES = {
    **dict.fromkeys(("profile", "name", "kind", "line"), "preset"),
    **dict.fromkeys(("latency", "latency_ms"), "delay_ms"),
    **dict.fromkeys(("packet_loss", "drop", "lost"), "loss"),
    **dict.fromkeys(("volume", "level", "level_db"), "gain_db"),
    **dict.fromkeys(("snr", "noise_db"), "snr_db"),
}
"""What others call a parameter, whose name here is not like it."""

OF_MICROPHONE = ("noise", "snr_db", "gain_db", "clipping_db", "echo_db", "echo_ms")
"""What the place and the telephone of the caller do, which what is heard there does not pass."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a line; their defaults change nothing."""

    loss: float = 0.0
    burst: float = 2.0
    jitter_ms: float = 0.0
    bunching: float = 0.0
    bunch: float = 4.0
    delay_ms: float = 0.0
    noise: NoiseKind = "white"
    snr_db: float = math.inf
    gain_db: float = 0.0
    clipping_db: float = 0.0
    echo_db: float = -math.inf
    echo_ms: float = 150.0


_CLEAN = Parameters()

PRESETS: Mapping[str, Parameters] = {
    "clean": _CLEAN,
    "mobile": Parameters(
        loss=0.01,
        jitter_ms=6,
        bunching=0.01,
        delay_ms=100,
        noise="street",
        snr_db=30,
    ),
    "bad_mobile": Parameters(
        loss=0.06,
        burst=3,
        jitter_ms=20,
        bunching=0.04,
        bunch=6,
        delay_ms=180,
        noise="street",
        snr_db=20,
        gain_db=-6,
    ),
    "speakerphone": Parameters(
        jitter_ms=2,
        delay_ms=40,
        noise="white",
        snr_db=25,
        gain_db=-10,
        clipping_db=-12,
        echo_db=-18,
        echo_ms=120,
    ),
    "street": Parameters(
        loss=0.015,
        jitter_ms=8,
        bunching=0.01,
        delay_ms=100,
        noise="street",
        snr_db=10,
        clipping_db=-6,
    ),
    "call_centre": Parameters(
        jitter_ms=2,
        delay_ms=30,
        noise="babble",
        snr_db=15,
        gain_db=-3,
    ),
}


def describe(of: Parameters) -> str:
    """Return in words what a line does; empty if it changes nothing."""
    said = []
    if of.loss:
        said.append(f"{_say_share(of.loss)} of frames lost, {of.burst:g} at a time")
    if of.delay_ms:
        said.append(f"{of.delay_ms:g} ms of delay")
    if of.jitter_ms:
        said.append(f"{of.jitter_ms:g} ms of jitter")
    if of.bunching:
        said.append(f"{_say_share(of.bunching)} of frames in bunches of {of.bunch:g}")
    if of.gain_db:
        said.append(f"{abs(of.gain_db):g} dB {'softer' if of.gain_db < 0 else 'louder'}")
    if math.isfinite(of.snr_db):
        place = "below" if of.snr_db >= 0 else "above"
        said.append(f"{of.noise} noise {abs(of.snr_db):g} dB {place} speech")
    if of.clipping_db:
        said.append(f"clipped at {of.clipping_db:g} dBFS")
    if math.isfinite(of.echo_db):
        said.append(f"an echo of {of.echo_db:g} dB after {of.echo_ms:g} ms")
    return "; ".join(said)


def _say_share(share: float) -> str:
    return f"{100 * share:g} %"


def describe_unknown(name: str, known: Sequence[str], kind: str) -> str:
    """Say that there is no profile, or no parameter, of a name, and which is nearest."""
    meant = _OTHER_NAMES.get(name, "")
    close = [meant] if meant in known else get_close_matches(name, known, n=1, cutoff=0.5)
    nearest = f"; the nearest is {close[0]!r}" if close else ""
    return f"a line has no {kind} {quote(name)}{nearest}; there are {', '.join(known)}"


def check_parameter(name: str, value: Any) -> Any:
    """Return the value of a parameter; whole numbers become floats.

    Raises:
        WrongType, WrongValue: If it is no number, or out of range.
    """
    if name == "noise":
        require_type("a string", noise=value)
        if value not in NOISE_KINDS:
            raise WrongValue(describe_unknown(value, NOISE_KINDS, "noise"))
        return value
    require_type("a number", **{name: value})
    least, most, unit = RANGES[name]
    if value != _INFINITE.get(name) and not least <= value <= most:
        raise WrongValue(
            f"{name} is {quote(value)}; it must lie between {least:g} and {most:g} ({unit})"
        )
    if name in LEAST_SHARE and 0 < value < LEAST_SHARE[name]:
        raise WrongValue(
            f"{name} is {quote(value)}, so little that no call would show it; it must be 0, or "
            f"{LEAST_SHARE[name]:g} and more ({unit})"
        )
    if unit == "milliseconds" and 0 < value < 1:
        raise WrongValue(
            f"{name} is {quote(value)}, and less than one of its milliseconds is as good as none; "
            f"if {value:g} s are meant, give {name}={1000 * value:g}"
        )
    return float(value)


def check_effect(given: Collection[str], of: Parameters) -> None:
    """Refuse a parameter that was given and does nothing, because its companion is off.

    A companion that was given as well may be off: so one line of a series of them can be.

    Args:
        given: The names of the parameters that were given.
        of: All parameters.

    Raises:
        WrongValue: If there is one.
    """
    for name, (companion, example) in COMPANIONS.items():
        if name in given and companion not in given and is_off(companion, of):
            raise WrongValue(
                f"{name}={getattr(of, name)!r} does nothing, because the line has no {companion}; "
                f"give both: {name}={getattr(of, name)!r}, {example}"
            )


def is_off(companion: str, of: Parameters) -> bool:
    """Whether a parameter that says how much has the value with which nothing happens."""
    return bool(getattr(of, companion) == getattr(_CLEAN, companion))


def check_share(share_name: str, share: float, mean_name: str, mean: float) -> None:
    """Refuse a share of frames that runs of a mean length cannot reach.

    Between two runs there is one frame at least.

    Raises:
        WrongValue: If they cannot.
    """
    most = mean / (mean + 1)
    if share > most:
        raise WrongValue(
            f"{share_name} is {share:g} with {mean_name}={mean:g}, and at most {most:.3g} can be "
            f"reached, since one frame at least comes between two runs; give a greater {mean_name}="
        )
