"""What all calls of one simulator share, and what is asked of one call."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field

import aiohttp

from twistream_kit.simulator.call.twiml import Next
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.model.numbers import Sids
from twistream_kit.simulator.stream.pacer import Pacer


@dataclass(frozen=True, slots=True)
class CallContext:
    """What all calls of one simulator share: what a call needs and does not own.

    Attributes:
        account_sid: AC and 32 hex digits.
        auth_token: Signs all requests; never shown.
        behaviour: The switches of the simulator.
        debugger: Where faults go.
        sids: Names for calls and streams.
        pacer: The beat.
        connector: Web connections.
        executor: A thread for what would hold the beat up, such as reading a sound file.
        ring_seconds: How long an automatic telephone rings.
    """

    account_sid: str
    auth_token: str = field(repr=False)
    behaviour: Behaviour
    debugger: Debugger
    sids: Sids
    pacer: Pacer
    connector: aiohttp.BaseConnector
    executor: Executor
    ring_seconds: float


@dataclass(frozen=True, slots=True)
class Callback:
    """Where to report, and how.

    Attributes:
        url: Absolute; empty for nowhere.
        method: GET or POST.
    """

    url: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the TwiML of a call comes from: inline, or from a URL.

    Attributes:
        twiml: The document itself, when given inline.
        page: Where to fetch it, otherwise.
        fallback: Where to go when that fails, or None.
        into_live_call: True for inline TwiML that replaces that of a running call.
    """

    twiml: str = ""
    page: Next | None = None
    fallback: Next | None = None
    into_live_call: bool = False


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What was asked for when a call was made.

    Attributes:
        to: The number called.
        from_: The number calling.
        source: Where the TwiML is.
        direction: ``outbound-api`` or ``inbound``.
        callback: Told of the progress.
        events: Which progress, of `PROGRESS_EVENTS`.
        ring_limit: Seconds to ring before giving up.
        time_limit: Seconds the call may last after it was answered, or None.
        number_sid: The SID of the account's own number in the call.
    """

    to: str
    from_: str
    source: Source
    direction: str = "outbound-api"
    callback: Callback = Callback()
    events: tuple[str, ...] = ("completed",)
    ring_limit: float = 60.0
    time_limit: float | None = None
    number_sid: str | None = None
