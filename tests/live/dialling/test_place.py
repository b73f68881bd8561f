"""Placing calls: the real SDK's client, with answers of our own in place of the network's."""

import asyncio
import threading
import traceback

import pytest
import requests
from twilio.rest import Client

from support.sdk import Network, refusal
from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.errors import CallRefused, LocalProtocolError, WouldDeadlock
from twistream_kit.live.calls import exit_hooks
from twistream_kit.live.dialling.place import place_call
from twistream_kit.simulator.twilio import SimulatedTwilio

pytestmark = pytest.mark.usefixtures("nothing_left_for_the_exit")

PUBLIC = "wss://example.com/media"
SID = "CA" + "1" * 32


def client_with(*answers):
    network = Network(*answers)
    return Client("AC" + "0" * 32, "0" * 32, http_client=network), network


def forget_when_over(status="queued"):
    return 201, {"sid": SID, "status": status}


def dial(client, **options):
    options = {"to": "+15550100001", "from_": "+15005550006", "stream_url": PUBLIC} | options
    return place_call(client, **options)


async def test_call_is_placed_with_its_twiml_inline():
    client, network = client_with(forget_when_over())
    call = await soon(dial(client, parameters={"lang": "en"}))
    assert (call.sid, call.status, call.to, call.from_) == (
        SID, "queued", "+15550100001", "+15005550006",
    )  # fmt: skip
    assert repr(call) == f"<Call {SID}: +15005550006 to +15550100001, queued>"
    ((method, _, form),) = network.requests
    assert method == "POST"
    assert form == {
        "To": "+15550100001",
        "From": "+15005550006",
        "Twiml": form["Twiml"],
    }
    assert f'<Connect><Stream url="{PUBLIC}"><Parameter name="lang" value="en"' in form["Twiml"]


async def test_sdk_runs_on_a_thread_of_its_own():
    client, network = client_with(forget_when_over())
    await soon(dial(client))
    assert network.threads == {"calling +15550100001"}


async def form_of(**options):
    """The form that is sent for these options."""
    client, network = client_with(forget_when_over())
    await soon(dial(client, **options))
    ((_, _, form),) = network.requests
    return form


async def test_ring_time_and_time_limit_are_passed_on():
    form = await form_of(ring_seconds=600, time_limit_seconds=1)
    assert (form["Timeout"], form["TimeLimit"]) == (600, 1)


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("ring_seconds", 0, "1 to 600"),
        ("ring_seconds", 601, "1 to 600"),
        ("ring_seconds", -1, "1 to 600"),
        ("ring_seconds", 2.5, "1 to 600"),
        ("ring_seconds", "5", "1 to 600"),
        ("ring_seconds", True, "1 to 600"),
        ("time_limit_seconds", 0, "1 or more"),
        ("time_limit_seconds", float("nan"), "1 or more"),
    ],
)
def test_times_out_of_range_are_refused_in_words(name, value, range_):
    client, network = client_with()
    with pytest.raises(ValueError, match=f"{name} is .*seconds, {range_}"):
        dial(client, **{name: value})
    assert network.requests == []


async def test_callback_of_ones_own_receives_events_of_call_and_stream():
    form = await form_of(status_callback="https://example.com/status")
    assert form["StatusCallback"] == "https://example.com/status"
    assert form["StatusCallbackEvent"] == ["initiated", "ringing", "answered", "completed"]
    assert '<Stream statusCallback="https://example.com/status" url="wss' in form["Twiml"]


async def test_without_a_server_at_the_stream_url_nothing_is_reported():
    form = await form_of()
    assert "StatusCallback" not in form
    assert "statusCallback" not in form["Twiml"]


async def test_server_of_this_process_receives_events_by_default(serve):
    server = await serve(public_url="https://example.com/kit")
    form = await form_of(stream_url=server.stream_url)
    assert form["StatusCallback"] == "https://example.com/kit/status"
    assert 'statusCallback="https://example.com/kit/status"' in form["Twiml"]


async def test_server_of_this_process_receives_no_events_if_not_wanted(serve):
    server = await serve(public_url="https://example.com")
    form = await form_of(stream_url=server.stream_url, status_callback=False)
    assert "StatusCallback" not in form
    assert "statusCallback" not in form["Twiml"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://my_host.example.com/status", "underscore"),
        ("example.com/status", "not an absolute http"),
        ("wss://example.com/status", "not an absolute http"),
        ("https://[::1/status", "not an absolute http"),
        ("http://127.0.0.1:5000/status", "leads to this machine"),
        ("https://localhost/status", "leads to this machine"),
    ],
)
def test_callback_that_twilio_cannot_use_is_refused_before_anything_is_asked(url, problem):
    client, network = client_with()
    with pytest.raises(CallRefused, match=f"{problem}.*status_callback=False"):
        dial(client, status_callback=url)
    assert network.requests == []


async def test_underscore_in_the_public_address_is_said_before_anything_is_asked(serve):
    server = await serve(public_url="https://my_host.example.com")
    client, network = client_with(forget_when_over())
    with pytest.raises(CallRefused, match="underscore"):
        dial(client, stream_url=server.stream_url)
    assert network.requests == []
    await soon(dial(client, stream_url=server.stream_url, status_callback=False))


def test_callback_that_is_no_text_is_refused():
    client, _ = client_with()
    with pytest.raises(TypeError, match="status_callback is True"):
        dial(client, status_callback=True)


async def test_stream_reports_only_if_its_address_fits_into_the_twiml(said):
    callback = "https://example.com/status"
    parameters = {f"p{number}": "x" * 440 for number in range(8)}
    room = 4000 - len((await form_of(parameters=parameters))["Twiml"])
    parameters["last"] = "x" * (room - 70)
    form = await form_of(parameters=parameters, status_callback=callback)
    assert "statusCallback" not in form["Twiml"]
    assert form["StatusCallback"] == callback
    assert "no room in the TwiML" in said()[-1]


async def test_machine_detection_warns_that_the_stream_starts_late():
    client, network = client_with(forget_when_over())
    with pytest.warns(UserWarning, match="holds the stream back.*async_machine_detection") as seen:
        await soon(dial(client, machine_detection="DetectMessageEnd"))
    assert network.requests[0][2]["MachineDetection"] == "DetectMessageEnd"
    assert "AsyncAmd" not in network.requests[0][2]
    assert seen[0].filename == __file__


async def test_machine_detection_meanwhile_reports_to_the_callback():
    form = await form_of(
        machine_detection="Enable",
        async_machine_detection=True,
        status_callback="https://example.com/status",
    )
    assert (form["MachineDetection"], form["AsyncAmd"]) == ("Enable", "true")
    assert form["AsyncAmdStatusCallback"] == "https://example.com/status"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"machine_detection": "enable"}, "it is 'Enable' or 'DetectMessageEnd'"),
        ({"async_machine_detection": True}, "say machine_detection="),
        ({"machine_detection": "Enable", "async_machine_detection": True}, "there is none"),
    ],
)
def test_machine_detection_that_cannot_be_had_is_refused_in_words(options, words):
    client, network = client_with()
    with pytest.raises(ValueError, match=words):
        dial(client, **options)
    assert network.requests == []


@pytest.mark.parametrize("name", ["async_machine_detection", "hang_up_at_exit"])
@pytest.mark.parametrize("value", ["no", "yes", None, 1])
def test_what_only_looks_like_yes_or_no_is_refused(name, value):
    client, network = client_with()
    with pytest.raises(TypeError, match=f"{name} is {value!r}; give True or False"):
        dial(client, **{name: value})
    assert network.requests == []


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, 21211, "21211, .*words of Twilio's"),
        (401, 20003, "20003, .*words of Twilio's"),
        (400, 99999, "See https://www.twilio.com/docs/api/errors/99999"),
    ],
)
async def test_refusal_has_code_status_and_words(status, code, words):
    client, _ = client_with(refusal(status, code))
    with pytest.raises(CallRefused, match=words) as refused:
        await soon(dial(client))
    assert (refused.value.code, refused.value.status) == (code, status)
    assert refused.value.fix
    assert "\x1b" not in str(refused.value)


async def test_answer_that_is_not_twilios_is_a_refusal_too():
    client, _ = client_with((502, {"oops": "bad gateway"}))
    with pytest.raises(CallRefused, match=r"Twilio refused to call \+15550100001") as refused:
        await soon(dial(client))
    assert refused.value.status == 502


@pytest.mark.parametrize(
    "error",
    [requests.ConnectionError("no route"), requests.Timeout(), requests.exceptions.SSLError()],
)
async def test_network_that_fails_is_said_in_words(error):
    client, _ = client_with(error)
    with pytest.raises(CallRefused, match="Twilio could not be reached") as refused:
        await soon(dial(client))
    assert type(error).__name__ in str(refused.value)
    assert refused.value.code is None
    assert refused.value.__cause__ is refused.value.__context__ is None


@pytest.mark.parametrize(
    "answer",
    [refusal(401, 20003), (502, {}), requests.ConnectionError("no route"), LookupError("what?")],
)
async def test_verbose_traceback_of_a_refusal_shows_no_token(answer):
    token = "0123456789abcdef0123456789abcdef"
    network = Network(answer)
    client = Client("AC" + "0" * 32, token, http_client=network)
    # Whoever awaits the call is shown none of these frames; who reads its exception is.
    refused = await asyncio.to_thread(dial(client).exception, LIMIT_SECONDS)
    assert isinstance(refused, CallRefused)
    shown = traceback.TracebackException.from_exception(refused, capture_locals=True)
    words = "".join(shown.format())
    assert "in create" in words
    assert token not in words
    assert "Basic" not in words
    assert network.requests


@pytest.mark.parametrize(
    "url",
    [
        "ws://example.com/media",
        "https://example.com/media",
        "wss://127.0.0.1:5000/media",
        "ws://127.0.0.1:5000/media",
        "wss://localhost/media",
        "wss://[::1]/media",
        "example.com/media",
        "",
    ],
)
def test_stream_that_twilio_cannot_reach_is_refused_before_anything_is_asked(url):
    client, network = client_with()
    with pytest.raises(CallRefused, match="open_tunnel"):
        dial(client, stream_url=url)
    assert network.requests == []


def test_stream_url_with_a_query_and_too_long_a_parameter_are_refused():
    client, network = client_with()
    with pytest.raises(LocalProtocolError, match="query"):
        dial(client, stream_url=PUBLIC + "?token=x")
    with pytest.raises(LocalProtocolError, match="500"):
        dial(client, parameters={"a": "b" * 500})
    assert network.requests == []


async def test_simulators_client_may_dial_loopback(serve):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        phone = twilio.phone("+15550100001")
        call = await soon(
            place_call(
                twilio.client,
                to=phone.number,
                from_=twilio.numbers[0],
                stream_url=server.stream_url,
            )
        )
        stream = await soon(server.next_stream(call))
        assert stream.call_sid == call.sid


@pytest.mark.parametrize(
    ("to", "from_", "code"),
    [("+1555", None, 21211), ("nobody", None, 21211), ("+15550100001", "+15550199999", 21210)],
)
async def test_simulator_refuses_as_twilio_does(to, from_, code):
    async with SimulatedTwilio() as twilio:
        with pytest.raises(CallRefused) as refused:
            await soon(
                place_call(
                    twilio.client, to=to, from_=from_ or twilio.numbers[0],
                    stream_url="ws://127.0.0.1:1/media",
                )
            )  # fmt: skip
        assert (refused.value.code, refused.value.status) == (code, 400)


async def test_waiting_for_a_call_on_the_simulators_loop_is_refused():
    async with SimulatedTwilio() as twilio:
        twilio.phone("+15550100001", "busy")
        pending = place_call(
            twilio.client, to="+15550100001", from_=twilio.numbers[0],
            stream_url="ws://127.0.0.1:1/media",
        )  # fmt: skip
        with pytest.raises(WouldDeadlock, match="Say `await` instead"):
            pending.result(5)
        assert (await soon(pending)).sid.startswith("CA")


async def test_progress_that_came_before_the_answer_is_not_lost(serve):
    server = await serve(public_url="https://example.com")
    client, network = client_with(forget_when_over())
    answering, asked = threading.Event(), threading.Event()
    usual = network.request

    def slow(*args, **options):
        asked.set()
        assert answering.wait(LIMIT_SECONDS)
        return usual(*args, **options)

    network.request = slow
    placing = dial(client, stream_url=server.stream_url)
    await asyncio.to_thread(asked.wait, LIMIT_SECONDS)
    form = f"CallSid={SID}&CallStatus=ringing&SequenceNumber=1"
    await asyncio.to_thread(
        requests.post,
        f"http://127.0.0.1:{server.port}/status",
        data=form,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        timeout=LIMIT_SECONDS,
        proxies={"http": ""},
    )
    answering.set()
    call = await soon(placing)
    await eventually(lambda: call.status == "ringing")
    assert [event.name for event in call.events] == ["ringing"]


async def test_call_is_hung_up_at_the_exit_until_it_is_over():
    client, network = client_with(forget_when_over(), (200, {"sid": SID, "status": "completed"}))
    call = await soon(dial(client))
    assert len(exit_hooks._hooks) == 1
    await soon(call.hang_up())
    assert exit_hooks._hooks == {}
    exit_hooks.undo_all()
    assert len(network.requests) == 2


async def test_call_that_somebody_else_goes_on_with_is_left_alone_at_the_exit():
    client, _ = client_with(forget_when_over())
    await soon(dial(client, hang_up_at_exit=False))
    assert exit_hooks._hooks == {}


async def test_call_that_was_refused_leaves_nothing_for_the_exit():
    client, _ = client_with(refusal(400, 21211))
    with pytest.raises(CallRefused):
        await soon(dial(client))
    await eventually(lambda: not exit_hooks._hooks)  # forgotten by the worker, right after


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("wss://192.168.1.2/m", "it leads to 192.168.1.2, which is a private network"),
        ("wss://203.0.113.10/m", "it leads to 203.0.113.10, which is reserved for examples"),
        ("wss://nas.local/m", "it leads to nas.local, which is a private network"),
        ("http://localhost:8080/m", "it begins with http:// instead of wss://"),
    ],
)
def test_address_that_review_finds_out_of_reach_is_refused_with_the_same_words(url, why):
    client, network = client_with()
    with pytest.raises(CallRefused) as refused:
        dial(client, stream_url=url)
    assert why in refused.value.problem
    assert network.requests == []


def test_port_0_is_refused_before_anything_is_asked():
    client, network = client_with()
    with pytest.raises(LocalProtocolError, match="uses port 0"):
        dial(client, stream_url="wss://example.com:0/m")
    assert network.requests == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("wss://example.com/m#f", "has a #fragment"),
        ("wss://me:hunter2@example.com/m", "holds a user or password"),
    ],
)
async def test_parts_that_no_stream_uses_are_warned_of(url, words):
    client, _ = client_with(forget_when_over())
    with pytest.warns(UserWarning, match=words) as caught:
        call = dial(client, stream_url=url)
    await soon(call)
    assert "hunter2" not in str(caught[0].message)
    assert caught[0].filename == __file__


async def test_wss_on_this_machine_is_warned_of_where_the_simulator_dials():
    words = r"speaks TLS.* say ws://127\.0\.0\.1:1/m to the simulator"
    async with SimulatedTwilio() as twilio:
        twilio.phone("+15550100001", "busy")
        with pytest.warns(UserWarning, match=words):
            call = dial(twilio.client, stream_url="wss://127.0.0.1:1/m")
        await soon(call)


@pytest.mark.parametrize(
    ("to", "from_"),
    [
        ("client:alice", None),
        ("sip:alice@example.com", None),
        ("sips:alice@example.com;transport=tls", None),
        ("whatsapp:+15550100007", None),
        ("+15550100001", "client:alice"),
    ],
)
async def test_simulator_says_that_it_leaves_out_what_is_no_number(to, from_):
    async with SimulatedTwilio() as twilio:
        from_ = from_ or twilio.numbers[0]
        with pytest.raises(CallRefused, match="the simulator does not") as refused:
            await soon(dial(twilio.client, to=to, from_=from_, stream_url="ws://127.0.0.1:1/m"))
        assert (refused.value.code, refused.value.status) == (None, 501)
        assert "telephone number" not in str(refused.value)


@pytest.mark.parametrize("name", ["to", "from_"])
@pytest.mark.parametrize("around", ["{}\n", " {}", "{}\u200b", "{}\r\n"])
def test_number_with_blanks_around_it_is_refused(name, around):
    client, network = client_with()
    with pytest.raises(LocalProtocolError) as refused:
        dial(client, **{name: around.format("+15550100007")})
    assert (refused.value.field, refused.value.fix) == (name, f"Give {name}='+15550100007'")
    with pytest.raises(TypeError, match=f"{name} is None"):
        dial(client, **{name: None})
    assert network.requests == []


@pytest.mark.parametrize("to", ["client:alice", "sip:alice@example.com", "whatsapp:+15550100007"])
async def test_address_that_is_no_number_is_sent_to_twilio_as_it_is(to):
    client, network = client_with(forget_when_over())
    await soon(dial(client, to=to))
    assert network.requests
