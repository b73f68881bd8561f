"""The TwiML verbs that the simulator obeys, as plain values (PROTOCOL.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StreamNoun:
    """A ``<Stream>``, inside ``<Connect>`` or ``<Start>``.

    Attributes:
        url: Where the WebSocket is; absolute, wss (or ws on loopback).
        name: Unique in the call, or empty.
        track: ``inbound_track``, ``outbound_track`` or ``both_tracks``, as written.
        status_callback: Told when the stream starts, stops or fails; or empty.
        status_callback_method: GET or POST.
        parameters: Names and values of the ``<Parameter>`` elements.
    """

    url: str
    name: str = ""
    track: str = "inbound_track"
    status_callback: str = ""
    status_callback_method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Next:
    """Where the TwiML goes on: what ``<Redirect>`` and `action` attributes name.

    Attributes:
        url: Absolute.
        method: GET or POST.
    """

    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """``<Connect><Stream>``: both ways, and nothing else until it is over (§1.1)."""

    stream: StreamNoun
    action: Next | None = None


@dataclass(frozen=True, slots=True)
class StartStream:
    """``<Start><Stream>``: one way, while the next verbs run (§1.2)."""

    stream: StreamNoun


@dataclass(frozen=True, slots=True)
class StopStream:
    """``<Stop><Stream name=…/>``: ends a started stream (§1.2)."""

    name: str


@dataclass(frozen=True, slots=True)
class Say:
    """Read a text aloud; `loop` 0 means until the call ends."""

    text: str
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    """Play a sound file, or the tones of `digits`; `loop` 0 means until the call ends."""

    url: str = ""
    digits: str = ""
    loop: int = 1


@dataclass(frozen=True, slots=True)
class PlayBody:
    """The answer to the TwiML request was itself a sound file: play it (§1.5)."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, in seconds."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Leave this document for another one."""

    to: Next


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not answer an incoming call; `reason` is ``rejected`` or ``busy``."""

    reason: str = "rejected"


Verb = (
    ConnectStream
    | StartStream
    | StopStream
    | Say
    | Play
    | PlayBody
    | Pause
    | Hangup
    | Redirect
    | Reject
)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a document that Twilio would log, though it goes on.

    Attributes:
        code: Twilio's code.
        text: What is wrong and what follows.
    """

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """One TwiML document, read.

    Attributes:
        verbs: What to do, in order.
        remarks: What to log.
    """

    verbs: tuple[Verb, ...] = ()
    remarks: tuple[Remark, ...] = ()
