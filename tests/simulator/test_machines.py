"""Calls to machines, placed by the unchanged SDK: what is requested and notified, when, in order.

All calls of this file run at the same time, once.  Each has a telephone and paths of its own at the
customer's web server, which imports nothing of the kit.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from support.waiting import eventually
from support.web_server import WebServer
from twistream_kit.audio.clip import Clip
from twistream_kit.simulator.twilio import SimulatedTwilio

GREETING = Clip.tone(330, 1.1)  # too low for a beep
SOON = {
    "machine_detection_speech_threshold": 1000,
    "machine_detection_speech_end_threshold": 500,
    "machine_detection_silence_timeout": 2000,
}
ENABLE = {"machine_detection": "Enable", **SOON}
AT_END = {"machine_detection": "DetectMessageEnd", **SOON}
MAILBOX = {"answer": "mailbox", "greeting": GREETING, "silence_seconds": 0.5}
BACKGROUND = {"async_amd": "true"}
BY_GET = {"async_amd_status_callback_method": "GET"}
EVENTS = ["initiated", "ringing", "answered", "completed"]

# The name of a call: what its telephone is, and what the SDK gets beside the addresses.
CALLS = {
    "enable": (MAILBOX, ENABLE),
    "at end": (MAILBOX, AT_END),
    "no beep": (MAILBOX | {"beep_hz": None, "silence_seconds": 1.5}, AT_END),
    "fax": (MAILBOX | {"greeting": Clip.tone(2100, 1)}, AT_END),
    "human": ({}, ENABLE),
    "silent": ({}, AT_END),
    "enable, background": (MAILBOX, ENABLE | BACKGROUND),
    "at end, background": (MAILBOX, AT_END | BACKGROUND | BY_GET),
    "hung up": ({}, ENABLE | BACKGROUND),
    "undetected": (MAILBOX, {}),
    "keys": (MAILBOX, ENABLE | {"send_digits": "1w2W#"}),
}  # fmt: skip
MESSAGE = "<Say>Call me back</Say>"
GOES_ON = f"{MESSAGE}<Pause length='2'/>"
TWIML = {
    "enable, background": GOES_ON, "at end, background": GOES_ON, "silent": "<Hangup/>",
    "keys": "<Hangup/>",
}  # fmt: skip


@dataclass
class Finished:
    """What is known of a call when it is over."""

    requests: list = field(default_factory=list)
    answered_by: str | None = None
    phone: object = None
    call: object = None

    @property
    def order(self):
        """Return the requests to the customer in order, each with its status and verdict."""
        return [
            (request.path.rpartition("/")[2], request.params.get("CallStatus", ""),
             request.params.get("AnsweredBy", ""))
            for _, request in self.requests
        ]  # fmt: skip

    def at(self, name, status=""):
        """Return the seconds from the answered callback to a request, and what it said."""
        found = {
            (request.path.rpartition("/")[2], request.params.get("CallStatus", "")): (at, request)
            for at, request in self.requests
        }
        answered, _ = found["status", "in-progress"]
        at, request = found[name, status]
        return at - answered, request.params


@asynccontextmanager
async def customer():
    """Serve TwiML, and take callbacks with the time at which they come."""
    server = WebServer()

    async def answer(request):
        response = await server.answer(request)
        times.append(time.monotonic())
        return response

    times = []
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    server.origin = f"http://{host}:{port}"
    try:
        yield server, times
    finally:
        await runner.cleanup()


async def place(twilio, server, name, number):
    """Place one call and wait for its end."""
    telephone, options = CALLS[name]
    phone = twilio.phone(number, **telephone)
    base = f"/{number[1:]}"
    server.serve(f"{base}/status", status=204, kind="text/plain")
    server.serve(f"{base}/amd", status=204, kind="text/plain")
    url = server.twiml(f"{base}/voice", TWIML.get(name, MESSAGE))
    if options.get("async_amd"):
        options = options | {"async_amd_status_callback": f"{server.origin}{base}/amd"}
    answered = phone.until("in-call")
    created = await asyncio.to_thread(
        twilio.client.calls.create, to=number, from_=twilio.numbers[0], url=url,
        status_callback=f"{server.origin}{base}/status", status_callback_event=EVENTS, **options,
    )  # fmt: skip
    await answered
    if name == "human":
        phone.say(Clip.tone(330, 0.4))
    if name == "hung up":
        phone.hang_up()
    await eventually(lambda: (call := twilio.calls.find(created.sid)) and call.over)
    await eventually(lambda: "completed" in str(server.at(f"{base}/status")[-1].params))
    fetched = await asyncio.to_thread(twilio.client.calls(created.sid).fetch)
    return Finished([], fetched.answered_by, phone, twilio.calls.find(created.sid))


async def run_all():
    numbers = {name: f"+155501000{number:02}" for number, name in enumerate(CALLS, 1)}
    async with SimulatedTwilio(ring_seconds=0.02) as twilio, customer() as (server, times):
        placed = await asyncio.gather(
            *(place(twilio, server, name, number) for name, number in numbers.items())
        )
        finished = dict(zip(CALLS, placed, strict=True))
        for at, request in zip(times, server.requests, strict=True):
            number = f"+{request.path.split('/')[1]}"
            name = next(name for name, own in numbers.items() if own == number)
            finished[name].requests.append((at, request))
        assert twilio.debugger.codes == []
    return finished


@pytest.fixture(scope="module")
def calls():
    return asyncio.run(run_all())


FIRST = [("status", "initiated", ""), ("status", "ringing", ""), ("status", "in-progress", "")]


@pytest.mark.parametrize(
    ("name", "verdict", "seconds"),
    [
        ("enable", "machine_start", 1.0),
        ("at end", "machine_end_beep", 1.8),
        ("no beep", "machine_end_silence", 1.6),
        ("fax", "fax", 0.5),
        ("human", "human", 0.9),
        ("silent", "unknown", 2.0),
    ],
)
def test_6_8_the_twiml_waits_for_the_verdict_and_its_request_has_it(calls, name, verdict, seconds):
    """§6.8: docs/voice/answering-machine-detection."""
    call = calls[name]
    assert call.order == [
        *FIRST, ("voice", "in-progress", verdict), ("status", "completed", verdict)
    ]  # fmt: skip
    later, _ = call.at("voice", "in-progress")
    assert later > seconds / 2, "the callback of the answer may have been late"
    assert call.answered_by == verdict


@pytest.mark.parametrize(
    ("name", "verdict", "least_ms", "most_ms"),
    [
        ("enable, background", "machine_start", 1000, 1000),
        ("at end, background", "machine_end_beep", 1700, 1860),
    ],
)
def test_6_8_in_the_background_the_call_goes_on_and_a_callback_has_the_verdict(
    calls, name, verdict, least_ms, most_ms
):
    """§6.8: docs/voice/answering-machine-detection, AsyncAmd."""
    call = calls[name]
    # Which of the answered callback and the request for TwiML comes first is open (§10.31).
    first = call.order[:4]
    assert sorted(first) == sorted([*FIRST, ("voice", "in-progress", "")])
    assert call.order[4:] == [("amd", "", verdict), ("status", "completed", verdict)]
    _, sent = call.at("amd")
    assert set(sent) == {"CallSid", "AccountSid", "AnsweredBy", "MachineDetectionDuration"}
    assert sent["CallSid"] == call.call.sid
    assert least_ms <= int(sent["MachineDetectionDuration"]) <= most_ms
    assert call.at("amd")[0] > least_ms / 2000
    assert call.answered_by == verdict


def test_6_1_the_method_of_the_callback_is_post_by_default_and_may_be_get(calls):
    """§6.1, §6.8: the parameters of calls.create in twilio-python."""
    methods = [
        [request.method for _, request in calls[name].requests if request.path.endswith("/amd")]
        for name in ("enable, background", "at end, background")
    ]
    assert methods == [["POST"], ["GET"]]


def test_10_44_a_call_that_ends_before_the_verdict_has_none(calls):
    """§10.44."""
    call = calls["hung up"]
    assert [path for path, _, _ in call.order if path == "amd"] == []
    assert call.order[-1] == ("status", "completed", "")
    assert call.answered_by is None


def test_10_45_without_machine_detection_no_request_has_a_verdict(calls):
    """§10.45."""
    call = calls["undetected"]
    assert {verdict for _, _, verdict in call.order} == {""}
    assert call.answered_by is None


def test_6_8_keys_take_the_place_of_machine_detection(calls):
    """§6.8: the parameter send_digits of calls.create in twilio-python."""
    call = calls["keys"]
    assert call.phone.keys_heard == "12#"
    assert {verdict for _, _, verdict in call.order} == {""}
    assert call.answered_by is None


def test_10_46_the_twiml_waits_for_the_last_key(calls):
    """§10.46: three keys of 0.2 s, and pauses of 0.5 s and 1 s (§6.8)."""
    later, _ = calls["keys"].at("voice", "in-progress")
    assert later > 1.0


@pytest.mark.parametrize("name", ["at end", "no beep"])
def test_a_message_that_waits_for_the_end_of_the_greeting_is_recorded_whole(calls, name):
    """<Say> is 0.78 s of beeps."""
    recorded = calls[name].phone.recorded
    assert sum(abs(recorded.samples()) > 3000) / 8000 > 0.3
    said = recorded.payload.lstrip(b"\xff\x7f")
    assert len(said) / 8000 == pytest.approx(0.78, abs=0.08)


def test_a_message_that_does_not_wait_is_cut_off_at_its_begin(calls):
    assert len(calls["undetected"].phone.recorded.payload) == 0
    assert calls["undetected"].phone.heard.seconds < 1.1


def test_a_mailbox_that_hears_nothing_hangs_up_and_says_why(calls):
    call = calls["at end, background"]
    assert call.call.ended_by.in_words == (
        "the callee hung up: its mailbox heard nothing for 0.5 s"
    )
    assert call.phone.mailbox == "done"
    assert "0.00 s recorded" in repr(call.phone)
