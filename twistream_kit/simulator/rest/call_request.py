"""Reads and checks the REST requests for calls as Twilio does (PROTOCOL.md §5.3, §6.1, §6.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, get_args
from urllib.parse import urlsplit

from twistream_kit.errors import Objection, hide_user
from twistream_kit.protocol.rest import (
    PROGRESS_EVENTS,
    RING_SECONDS_LIMIT,
    is_e164,
    is_other_address,
)
from twistream_kit.protocol.twiml import INLINE_LIMIT
from twistream_kit.simulator.call.context import Callback, CallPlan, DetectionPlan, Source
from twistream_kit.simulator.call.machine_detection import DetectionMode, DetectionSettings
from twistream_kit.simulator.call.twiml import Next, Remark, parse_count
from twistream_kit.simulator.model.numbers import AccountNumber
from twistream_kit.simulator.rest._errors import NOT_SIMULATED, Refusal

RING_SECONDS = 60
"""The default ringing time of a call (§6.1)."""

_MACHINE_RANGES = {
    "MachineDetectionTimeout": range(3, 60),
    "MachineDetectionSpeechThreshold": range(1000, 6001),
    "MachineDetectionSpeechEndThreshold": range(500, 5001),
    "MachineDetectionSilenceTimeout": range(2000, 10001),
}
"""The figures of answering machine detection (§6.1): the first in seconds, the others in ms."""

NO_CALLBACK = 21262
"""The warning that nobody is notified of the verdict of a detection in the background (§5.2)."""

_SEND_DIGITS = re.compile(r"[0-9A-Da-d#*wW]{1,32}")


def read_plan(form: Form, allow: Callable[[str, str], str | None]) -> CallPlan:
    """Read the request for a new call.

    The parameters of §6.1 that are not named in this module, such as recording, are ignored.

    Args:
        form: The parameters of the request.
        allow: Takes the numbers to call and to call from, both E.164; returns the SID of the
            latter, or raises `Refusal` if this account may not place the call.

    Raises:
        Refusal: With the code of §5.3 for the first error.
    """
    to, from_ = form.get("To").strip(), form.get("From").strip()
    _check_numbers(to, from_)
    number_sid = allow(to, from_)
    detection = _read_machine_detection(form)
    digits = form.get("SendDigits")
    if digits and not _SEND_DIGITS.fullmatch(digits):
        raise Refusal(21206, f"SendDigits {digits} is not valid: 0-9, A-D, #, *, w and W, up to 32")
    return CallPlan(
        to=to,
        from_=from_,
        source=_read_source(form),
        callback=_read_callback(form, "StatusCallback"),
        events=_read_events(form.get_all("StatusCallbackEvent")),
        ring_limit=_read_seconds(form, "Timeout", RING_SECONDS, RING_SECONDS_LIMIT),
        time_limit=_read_seconds(form, "TimeLimit", 0) or None,
        number_sid=number_sid,
        digits=digits,
        # Keys and detection exclude each other (§6.8).
        detection=None if digits else detection,
        remarks=() if digits else _warn_of_no_callback(detection),
        notes=_object_to_ignored(form),
    )


def make_incoming_plan(from_: str, number: AccountNumber) -> CallPlan:
    """Return the plan of a call that the number `from_` makes to a number of the account."""
    fallback = number.voice_fallback_url
    return CallPlan(
        to=number.phone_number,
        from_=from_,
        source=Source(
            page=Next(number.voice_url, number.voice_method),
            fallback=Next(fallback, number.voice_fallback_method) if fallback else None,
        ),
        direction="inbound",
        callback=Callback(number.status_callback, number.status_callback_method),
        number_sid=number.sid,
    )


def read_change(form: Form) -> Change:
    """Read the request that updates a call.

    Raises:
        Refusal: With the code of §5.3 for the first error.
    """
    status = form.get("Status")
    if status and status not in {"completed", "canceled"}:
        raise Refusal(20422, f"Status {status} is not valid: completed or canceled")
    url, twiml = form.get("Url"), form.get("Twiml")
    if url and twiml:
        # It is documented that they exclude each other, but not with which code (§6.4).
        raise Refusal(20422, "Url and Twiml exclude each other")
    return Change(status, _read_source(form, live=True) if url or twiml else None)


@dataclass(frozen=True, slots=True)
class Change:
    """The requested change of a call.

    Attributes:
        status: ``completed``, ``canceled`` or empty.
        source: The TwiML that replaces the running one, or None.
    """

    status: str = ""
    source: Source | None = None


def check_url(url: str, name: str) -> str:
    """Return `url` if it is an absolute http(s) URL, else raise `Refusal` 21205."""
    # Loopback is accepted here, unlike with Twilio: the servers under test run on this machine.
    try:
        parts = urlsplit(url)
        reachable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        reachable = False
    if not reachable:
        raise Refusal(21205, f"{name} is not a valid URL: {hide_user(url)}")
    return url


def read_method(form: Form, name: str) -> str:
    """Return the HTTP method in `form`, by default POST; raise `Refusal` 21209 for others."""
    method = form.get(name, "POST").upper()
    if method not in {"GET", "POST"}:
        raise Refusal(21209, f"{name} {method} is not valid: GET or POST")
    return method


class Form(Protocol):
    """The form of a request; a name may occur more than once."""

    def get(self, key: str, default: str = "", /) -> str:
        """Return the first value of `key`."""

    def get_all(self, key: str, /) -> list[str]:
        """Return every value of `key`."""


def _check_numbers(to: str, from_: str) -> None:
    if not to:
        raise Refusal(21201)
    if not from_:
        raise Refusal(21213)
    for name, address in (("to", to), ("from", from_)):
        if is_other_address(address):
            raise Refusal(
                NOT_SIMULATED,
                f"Twilio places calls {name} {address}, and the simulator does not: it has no"
                " telephones of the Voice SDK, of SIP or of WhatsApp. Try it with an account, or"
                " call a number here, such as that of twilio.phone('+15550100001')",
            )
    if not is_e164(to) or to == from_:
        raise Refusal(21211, f"The 'To' number {to} is not a valid phone number.")
    if not is_e164(from_):
        raise Refusal(21212, f"The 'From' number {from_} is not a valid phone number.")


def _read_machine_detection(form: Form) -> DetectionPlan | None:
    # IfMachine is the former name of MachineDetection; only its code is documented (§5.3).
    _require_choice(form, "IfMachine", ("Continue", "Hangup"), code=21207)
    _require_choice(form, "MachineDetection", get_args(DetectionMode))
    _require_choice(form, "AsyncAmd", ("true", "false"))
    defaults = DetectionSettings()
    settings = DetectionSettings(
        mode="DetectMessageEnd" if form.get("MachineDetection") == "DetectMessageEnd" else "Enable",
        timeout_seconds=_read_figure(form, "Timeout", defaults.timeout_seconds),
        speech_threshold_ms=_read_figure(form, "SpeechThreshold", defaults.speech_threshold_ms),
        speech_end_threshold_ms=_read_figure(
            form, "SpeechEndThreshold", defaults.speech_end_threshold_ms
        ),
        silence_timeout_ms=_read_figure(form, "SilenceTimeout", defaults.silence_timeout_ms),
    )
    callback = _read_callback(form, "AsyncAmdStatusCallback")
    if not form.get("MachineDetection"):
        return None
    return DetectionPlan(settings, form.get("AsyncAmd") == "true", callback)


def _warn_of_no_callback(detection: DetectionPlan | None) -> tuple[Remark, ...]:
    if detection is None or not detection.in_background or detection.callback.url:
        return ()
    text = (
        "AsyncAmd=true without AsyncAmdStatusCallback: nobody will be notified of the verdict; "
        "answered_by of the call has it"
    )
    return (Remark(NO_CALLBACK, text),)


def _object_to_ignored(form: Form) -> tuple[Objection, ...]:
    """Return what the request says of machine detection to no effect (§6.8)."""
    if not form.get("MachineDetection"):
        names = [name for name in (*_MACHINE_RANGES, "AsyncAmdStatusCallback") if form.get(name)]
        if form.get("AsyncAmd") == "true":
            names.append("AsyncAmd")
        if not names:
            return ()
        verb = "are" if len(names) > 1 else "is"
        return (
            _object(
                ", ".join(names),
                f"{verb} given without MachineDetection",
                "No machine is detected, and answered_by stays empty",
                'Add machine_detection="Enable" or "DetectMessageEnd"',
            ),
        )
    if form.get("SendDigits"):
        return (
            _object(
                "MachineDetection",
                "is ignored beside SendDigits",
                "No machine is detected, and answered_by stays empty",
                "Leave one of the two out",
            ),
        )
    if form.get("AsyncAmdStatusCallback") and form.get("AsyncAmd") != "true":
        return (
            _object(
                "AsyncAmdStatusCallback",
                "is given without AsyncAmd=true",
                "Nothing is sent to it: the call waits for the verdict, and the request for its "
                "TwiML has AnsweredBy",
                'Add async_amd="true", or leave the callback out',
            ),
        )
    return ()


def _object(field: str, problem: str, consequence: str, fix: str) -> Objection:
    return Objection(None, field, problem, consequence, fix, "warning")


def _read_figure(form: Form, name: str, default: int) -> int:
    """Return a figure of machine detection."""
    name = f"MachineDetection{name}"
    text, legal = form.get(name), _MACHINE_RANGES[name]
    if not text:
        return default
    figure = parse_count(text)
    if figure is None or figure not in legal:
        raise Refusal(20422, f"{name} {text[:40]} is not valid: {legal.start} to {legal.stop - 1}")
    return figure


def _require_choice(form: Form, name: str, choices: tuple[str, ...], *, code: int = 20422) -> None:
    # The code 20422 for all of these except IfMachine is an assumption [ASM].
    if (text := form.get(name)) and text not in choices:
        raise Refusal(code, f"{name} {text} is not valid: {' or '.join(choices)}")


def _read_source(form: Form, *, live: bool = False) -> Source:
    if sid := form.get("ApplicationSid"):
        # An application takes precedence over Url and Twiml, and there is none here.
        raise Refusal(21218, f"ApplicationSid {sid} is not valid")
    url, twiml = form.get("Url"), form.get("Twiml")
    if url:  # and `Twiml` is ignored (§6.1)
        fallback = form.get("FallbackUrl")
        return Source(
            page=Next(check_url(url, "Url"), read_method(form, "Method")),
            fallback=(
                Next(check_url(fallback, "FallbackUrl"), read_method(form, "FallbackMethod"))
                if fallback
                else None
            ),
        )
    if not twiml:
        raise Refusal(21205)
    if len(twiml) > INLINE_LIMIT:
        raise Refusal(
            32018,
            f"Twiml has {len(twiml)} characters; the limit is {INLINE_LIMIT}",
        )
    return Source(twiml=twiml, into_live_call=live)


def _read_callback(form: Form, name: str) -> Callback:
    url = form.get(name)
    return Callback(check_url(url, name), read_method(form, f"{name}Method")) if url else Callback()


def _read_events(wanted: list[str]) -> tuple[str, ...]:
    for event in wanted:
        if event not in PROGRESS_EVENTS:
            raise Refusal(20422, f"StatusCallbackEvent {event} is not one of {PROGRESS_EVENTS}")
    return tuple(wanted) or ("completed",)


def _read_seconds(form: Form, name: str, default: int, limit: int | None = None) -> int:
    text = form.get(name)
    if not text:
        return default
    seconds = parse_count(text)
    if not seconds or (limit is not None and seconds > limit):
        raise Refusal(21208 if name == "Timeout" else 20422, f"{name} {text[:40]} is not valid")
    return seconds
