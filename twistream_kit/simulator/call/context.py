"""The objects that all calls of one simulator share, and the plan of one call."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field

import aiohttp

from twistream_kit.errors import Objection
from twistream_kit.simulator.call.machine_detection import DetectionSettings
from twistream_kit.simulator.call.twiml import Next, Remark
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.model.numbers import Sids
from twistream_kit.simulator.stream.pacer import Pacer


@dataclass(frozen=True, slots=True)
class CallContext:
    """The objects that all calls of one simulator share.

    Attributes:
        account_sid: AC and 32 hex digits.
        auth_token: Signs all requests; never shown.
        behaviour: The switches of the simulator.
        debugger: Collects errors and warnings.
        sids: Makes the SIDs of calls and streams.
        pacer: The 20 ms clock.
        connector: The HTTP connections.
        executor: A thread for work that would delay the clock, such as reading a sound file.
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
    """The address of status callbacks.

    Attributes:
        url: The absolute URL; empty for no callbacks.
        method: GET or POST.
    """

    url: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Source:
    """The source of the TwiML of a call: inline, or a URL.

    Attributes:
        twiml: The document itself, if given inline.
        page: The URL to fetch it from, otherwise.
        fallback: The URL to fetch if that fails, or None.
        into_live_call: True for inline TwiML that replaces that of a running call.
    """

    twiml: str = ""
    page: Next | None = None
    fallback: Next | None = None
    into_live_call: bool = False


@dataclass(frozen=True, slots=True)
class DetectionPlan:
    """The machine detection of a requested call (§6.8).

    Attributes:
        settings: Its parameters.
        in_background: Whether the TwiML is not held back until the verdict.
        callback: Where the verdict is sent if it is found in the background.
    """

    settings: DetectionSettings
    in_background: bool = False
    callback: Callback = Callback()


@dataclass(frozen=True, slots=True)
class CallPlan:
    """The parameters of a requested call.

    Attributes:
        to: The number called.
        from_: The number calling.
        source: The source of the TwiML.
        direction: ``outbound-api`` or ``inbound``.
        callback: The address of the status callbacks.
        events: The subscribed events, of `PROGRESS_EVENTS`.
        ring_limit: The longest ringing time, in seconds.
        time_limit: The longest duration after the answer, in seconds, or None.
        number_sid: The SID of the account's own number in the call.
        digits: The keys that are sent to the callee before the TwiML, with ``w`` and ``W``.
        detection: How to find out whether a machine answers; None for not at all.
        remarks: Warnings about the request, which Twilio would log.
        notes: What of the request is ignored, which Twilio would not log.
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
    digits: str = ""
    detection: DetectionPlan | None = None
    remarks: tuple[Remark, ...] = ()
    notes: tuple[Objection, ...] = ()
