"""What the caller of one simulated call does, and the checks of it: refused at once, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import LocalProtocolError
from twistream_kit.protocol import to_twilio
from twistream_kit.simulator.model.assumptions import PARAMETER_LIMIT, Behaviour
from twistream_kit.simulator.stream.leg import DIGITS

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What the caller does.  The token is kept out of every repr."""

    url: str
    say: bytes
    press: str
    seconds: float | None
    parameters: Mapping[str, str]
    behaviour: Behaviour
    auth_token: str | None = field(repr=False)
    number: int = field(default_factory=lambda: next(_numbers))


def spoken(say: object) -> bytes:
    """Return the PCMU of `say`, which is a `Clip`, bytes or None."""
    if say is None:
        return b""
    if isinstance(say, Clip):
        return say.payload
    if not isinstance(say, bytes):
        kind = type(say).__name__
        raise TypeError(f"say must be a Clip or PCMU bytes, not {kind}; kit.load_clip(path) reads")
    if to_twilio.is_wav(say):
        raise LocalProtocolError(
            "starts with RIFF: it is a whole WAV file, not bare PCMU",
            field="say",
            consequence="The server would hear its header as noise",
            fix="Pass kit.load_clip(path)",
        )
    return say


def keys(press: str) -> str:
    """Return `press` if a telephone has all its keys."""
    if not isinstance(press, str):
        raise TypeError(f"press is {press!r}; give the keys as a string, such as '12#'")
    wrong = sorted(set(press) - DIGITS)
    if wrong:
        raise ValueError(f"press has {wrong[0]!r}, which is no key of a telephone: 0-9, *, #, A-D")
    return press


def length(seconds: float | None) -> float | None:
    """Return `seconds` if a call can last that long."""
    if seconds is not None and not isinstance(seconds, int | float):
        raise TypeError(f"seconds is {seconds!r}; give a number, or None")
    if seconds is not None and not 0 < seconds <= 4 * 3600:
        raise ValueError(f"seconds is {seconds!r}; a call lasts more than 0 and at most 14400 s")
    return seconds


def strings(parameters: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return `parameters` if they could stand in TwiML (PROTOCOL.md §1.4)."""
    if not isinstance(parameters, Mapping | None):
        raise TypeError(f"parameters is {parameters!r}; give a dict of names and values")
    for name, value in (parameters or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"parameter {name!r} is {value!r}; names and values are strings")
        if len(name) + len(value) >= PARAMETER_LIMIT:
            raise ValueError(
                f"parameter {name!r} is too long: name and value together must stay under "
                f"{PARAMETER_LIMIT} characters (Twilio's limit)"
            )
    return dict(parameters or {})
