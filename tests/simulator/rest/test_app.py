import asyncio
import json
import re
import urllib.request
from base64 import b64encode
from datetime import timedelta
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest
from twilio.rest import Client

from support.sdk import refused
from support.waiting import LIMIT_SECONDS
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.rest.http_client import LoopbackHttpClient
from twistream_kit.simulator.twilio import SimulatedTwilio

TWIML = "<Response><Pause length='30'/></Response>"
PAUSE = "<Pause length='30'/>"
ALICE = "+15550100001"


def raw(twilio, path, form=None, *, token=None, method=None):
    """Ask without the SDK; return the status and the JSON."""
    data = None if form is None else urlencode(form, doseq=True).encode()
    request = urllib.request.Request(twilio.url + path, data, method=method)
    secret = f"{twilio.account_sid}:{token or twilio.auth_token}"
    request.add_header("Authorization", "Basic " + b64encode(secret.encode()).decode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=LIMIT_SECONDS) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def calls_path(twilio):
    return f"/2010-04-01/Accounts/{twilio.account_sid}/Calls"


async def test_created_call_is_queued_and_looks_like_twilios(twilio, calls_path):
    twilio.phone(ALICE, "manual")
    form = {"To": ALICE, "From": twilio.numbers[0], "Twiml": TWIML}
    status, call = await asyncio.to_thread(raw, twilio, calls_path + ".json", form)
    assert status == 201
    assert call["status"] == "queued"
    assert re.fullmatch("CA[0-9a-f]{32}", call["sid"])
    assert call["uri"] == f"{calls_path}/{call['sid']}.json"
    assert (call["to"], call["from"]) == (ALICE, twilio.numbers[0])
    assert call["to_formatted"] == "(555) 010-0001"
    assert call["direction"] == "outbound-api"
    assert call["price_unit"] == "USD"
    null = {"date_created", "date_updated", "start_time", "end_time", "duration", "price"}
    assert {call[name] for name in null} == {None}
    assert set(call) >= {
        "sid", "date_created", "date_updated", "parent_call_sid", "account_sid", "to",
        "to_formatted", "from", "from_formatted", "phone_number_sid", "status", "start_time",
        "end_time", "duration", "price", "price_unit", "direction", "answered_by", "api_version",
        "forwarded_from", "group_sid", "caller_name", "queue_time", "trunk_sid", "uri",
        "subresource_uris",
    }  # fmt: skip
    for name, value in call.items():
        assert value is None or isinstance(value, str) or name == "subresource_uris"


async def test_fetched_call_has_its_dates_and_its_status(twilio, place, eventually):
    phone = twilio.phone(ALICE)
    answered = phone.until("in-call")
    call = await place(PAUSE)
    await answered
    fetched = await asyncio.to_thread(call.fetch)
    assert fetched.status == "in-progress"
    assert fetched.start_time is not None
    assert fetched.end_time is None
    completed = await asyncio.to_thread(call.update, status="completed")
    assert completed.status == "completed"
    assert completed.duration == "0"
    assert completed.end_time >= fetched.start_time


async def test_calls_are_listed_newest_first_filtered_and_in_pages(twilio, place):
    twilio.phone(ALICE, "manual")
    made = [(await place(PAUSE)).sid for _ in range(3)]
    other = await place(PAUSE, phone="+15550100002")

    def listed(**filters):
        return [call.sid for call in twilio.client.calls.list(**filters)]

    assert await asyncio.to_thread(listed) == [other.sid, *reversed(made)]
    assert await asyncio.to_thread(listed, page_size=1) == [other.sid, *reversed(made)]
    assert await asyncio.to_thread(listed, to=ALICE) == list(reversed(made))
    assert await asyncio.to_thread(listed, from_="+15550100002") == []
    assert await asyncio.to_thread(listed, limit=2) == [other.sid, made[2]]
    assert await asyncio.to_thread(listed, status="failed") == [other.sid]


async def test_calls_are_listed_by_the_time_of_their_answer(twilio, place, eventually, calls_path):
    twilio.phone(ALICE)
    call = await place(PAUSE)
    unanswered = await place(PAUSE, phone="+15550100002")
    await eventually(lambda: twilio.calls[0].started)
    today, day = twilio.calls[0].started, timedelta(days=1)

    def listed(**filters):
        return [found.sid for found in twilio.client.calls.list(**filters)]

    assert await asyncio.to_thread(listed, start_time=today) == [call.sid]
    assert await asyncio.to_thread(listed, start_time=today - day) == []
    assert await asyncio.to_thread(listed, start_time_after=today - day) == [call.sid]
    assert await asyncio.to_thread(listed, start_time_before=today - day) == []
    assert await asyncio.to_thread(listed, end_time_after=today - day) == [unanswered.sid]
    assert await asyncio.to_thread(listed, parent_call_sid=call.sid) == []
    status, body = await asyncio.to_thread(raw, twilio, f"{calls_path}.json?StartTime=yesterday")
    assert (status, body["code"]) == (422, 20422)


async def test_page_names_its_neighbours(twilio, place, calls_path):
    for _ in range(3):
        await place(PAUSE)
    _, page = await asyncio.to_thread(raw, twilio, f"{calls_path}.json?PageSize=1&Page=1")
    assert (page["page"], page["page_size"], page["start"], page["end"]) == (1, 1, 1, 1)
    assert page["next_page_uri"] == f"{calls_path}.json?PageSize=1&Page=2"
    assert page["previous_page_uri"] == f"{calls_path}.json?PageSize=1&Page=0"
    _, last = await asyncio.to_thread(raw, twilio, page["next_page_uri"])
    assert last["next_page_uri"] is None


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ({"to": ""}, 21201, 400),
        ({"from_": ""}, 21213, 400),
        ({"to": "12345"}, 21211, 400),
        ({"to": "+15005550006"}, 21211, 400),
        ({"from_": "alice"}, 21212, 400),
        ({"from_": "+15550100009"}, 21210, 400),
        ({"twiml": None}, 21205, 400),
        ({"twiml": None, "url": "example.com/voice"}, 21205, 400),
        ({"twiml": None, "url": "ftp://example.com/voice"}, 21205, 400),
        ({"status_callback": "nowhere"}, 21205, 400),
        ({"send_digits": "12x"}, 21206, 400),
        ({"timeout": 0}, 21208, 400),
        ({"timeout": 601}, 21208, 400),
        ({"twiml": None, "url": "https://example.com/voice", "method": "PUT"}, 21209, 400),
        ({"twiml": "<Response>" + "x" * 4000 + "</Response>"}, 32018, 400),
        ({"status_callback_event": ["answered", "hungup"]}, 20422, 422),
    ],
)
async def test_refused_call_has_twilios_code(twilio, change, code, status):
    wanted = {"to": ALICE, "from_": twilio.numbers[0], "twiml": TWIML, **change}
    error = await refused(twilio.client.calls.create, **wanted)
    assert (error.code, error.status) == (code, status)
    assert len(twilio.calls) == 0


async def test_error_body_has_code_message_more_info_and_status(twilio, calls_path):
    form = {"To": "nobody", "From": twilio.numbers[0], "Twiml": TWIML}
    assert await asyncio.to_thread(raw, twilio, calls_path + ".json", form) == (
        400,
        {
            "code": 21211,
            "message": "The 'To' number nobody is not a valid phone number.",
            "more_info": "https://www.twilio.com/docs/errors/21211",
            "status": 400,
        },
    )


async def test_wrong_token_is_401_and_20003(twilio, calls_path):
    status, body = await asyncio.to_thread(raw, twilio, calls_path + ".json", token="0" * 32)
    assert (status, body["code"], body["message"]) == (401, 20003, "Authenticate")


async def test_no_credentials_are_401_on_any_path(twilio):
    def ask():
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises(HTTPError) as caught:
            opener.open(f"{twilio.url}/anything", timeout=LIMIT_SECONDS)
        with caught.value as error:
            return error.code

    assert await asyncio.to_thread(ask) == 401


@pytest.mark.parametrize(
    "path",
    [
        "/2010-04-01/Accounts/{account}/calls.json",
        "/2010-04-01/Accounts/AC00000000000000000000000000000000/Calls.json",
        "/2010-04-01/Accounts/{account}/Calls/CA00000000000000000000000000000000.json",
        "/2010-04-01/Accounts/{account}/Messages.json",
        "/",
    ],
)
async def test_unknown_path_is_404_and_20404_naming_it(twilio, path):
    path = path.format(account=twilio.account_sid)
    status, body = await asyncio.to_thread(raw, twilio, path)
    assert (status, body["code"]) == (404, 20404)
    assert body["message"] == f"The requested resource {path} was not found"


async def test_unanswered_call_can_be_canceled(twilio, place):
    phone = twilio.phone(ALICE, "manual")
    ringing = phone.until("ringing")
    call = await place(PAUSE)
    await ringing
    assert (await asyncio.to_thread(call.update, status="canceled")).status == "canceled"
    await phone.until("idle")


async def test_completing_a_ringing_call_cancels_it(twilio, place):
    ringing = twilio.phone(ALICE, "manual").until("ringing")
    call = await place(PAUSE)
    await ringing
    assert (await asyncio.to_thread(call.update, status="completed")).status == "canceled"


async def test_answered_call_cannot_be_canceled(twilio, place):
    answered = twilio.phone(ALICE).until("in-call")
    call = await place(PAUSE)
    await answered
    assert (await refused(call.update, status="canceled")).code == 21220


async def test_ringing_call_cannot_be_redirected(twilio, place):
    ringing = twilio.phone(ALICE, "manual").until("ringing")
    call = await place(PAUSE)
    await ringing
    assert (await refused(call.update, twiml=TWIML)).code == 21220


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "busy"}, 20422),
        ({"twiml": TWIML, "url": "https://example.com"}, 20422),
        ({"url": "nowhere"}, 21205),
    ],
)
async def test_refused_update_has_twilios_code(twilio, place, change, code):
    answered = twilio.phone(ALICE).until("in-call")
    call = await place(PAUSE)
    await answered
    assert (await refused(call.update, **change)).code == code


@pytest.mark.parametrize(("switch", "code"), [(404, 20404), (400, 21220)])
async def test_update_of_an_ended_call_is_refused_as_switched(eventually, switch, code):
    async with SimulatedTwilio(behaviour=Behaviour(ended_call_update=switch)) as twilio:
        create = twilio.client.calls.create
        call = await asyncio.to_thread(create, to=ALICE, from_=twilio.numbers[0], twiml=TWIML)
        await eventually(lambda: twilio.calls[0].over)
        error = await refused(call.update, status="completed")
    assert (error.code, error.status) == (code, switch)


async def test_ended_call_can_be_deleted_and_a_running_one_cannot(twilio, place, eventually):
    answered = twilio.phone(ALICE).until("in-call")
    call = await place(PAUSE)
    await answered
    assert (await refused(call.delete)).code == 20009
    await asyncio.to_thread(call.update, status="completed")
    assert await asyncio.to_thread(call.delete)
    assert (await refused(call.fetch)).code == 20404


async def test_numbers_are_listed_fetched_and_changed(twilio):
    numbers = twilio.client.incoming_phone_numbers

    listed = await asyncio.to_thread(numbers.list)
    assert tuple(number.phone_number for number in listed) == twilio.numbers
    (second,) = await asyncio.to_thread(numbers.list, phone_number=twilio.numbers[1])
    await asyncio.to_thread(
        second.update,
        voice_url="https://example.com/voice",
        voice_method="GET",
        status_callback="https://example.com/status",
    )
    fetched = await asyncio.to_thread(numbers(second.sid).fetch)
    assert fetched.voice_url == "https://example.com/voice"
    assert fetched.voice_method == "GET"
    assert fetched.status_callback == "https://example.com/status"
    assert (await asyncio.to_thread(numbers(listed[0].sid).fetch)).voice_url is None


async def test_refused_change_of_a_number_changes_nothing(twilio):
    number = (await asyncio.to_thread(twilio.client.incoming_phone_numbers.list))[0]
    error = await refused(number.update, voice_url="https://example.com", voice_method="PUT")
    assert error.code == 21209
    error = await refused(number.update, voice_url="nowhere")
    assert error.code == 21205
    assert (await asyncio.to_thread(number.fetch)).voice_url is None
    unknown = twilio.client.incoming_phone_numbers("PN" + "0" * 32)
    assert (await refused(unknown.fetch)).code == 20404


async def test_account_is_fetched_without_its_token(twilio):
    account = await asyncio.to_thread(twilio.client.api.accounts(twilio.account_sid).fetch)
    assert (account.type, account.status) == ("Full", "active")
    assert account.auth_token is None


async def test_stream_is_started_and_stopped_through_rest(twilio, place, media, site, eventually):
    answered = twilio.phone(ALICE).until("in-call")
    call = await place(PAUSE)
    await answered
    status_url = site.serve("/stream", status=204)
    stream = await asyncio.to_thread(
        call.streams.create,
        url=media.url,
        name="ears",
        track="both_tracks",
        status_callback=status_url,
        parameter1_name="who",
        parameter1_value="Alice",
    )
    assert re.fullmatch("MZ[0-9a-f]{32}", stream.sid)
    assert (stream.name, stream.status) == ("ears", "in-progress")
    await eventually(lambda: media.of("media"))
    start = media.of("start")[0]["start"]
    assert start["tracks"] == ["inbound", "outbound"]
    assert start["customParameters"] == {"who": "Alice"}
    stopped = await asyncio.to_thread(call.streams("ears").update, status="stopped")
    assert stopped.status == "stopped"
    await eventually(lambda: media.of("stop") and media.endings)
    await eventually(lambda: len(site.at("/stream")) == 2)
    assert [request.params["StreamEvent"] for request in site.at("/stream")] == [
        "stream-started",
        "stream-stopped",
    ]
    assert twilio.calls[0].status == "in-progress"


@pytest.mark.parametrize(
    ("change", "code"),
    [({"url": ""}, 21205), ({"track": "all"}, 20422), ({"status_callback": "x"}, 21205)],
)
async def test_refused_stream_has_twilios_code(twilio, place, change, code):
    answered = twilio.phone(ALICE).until("in-call")
    call = await place(PAUSE)
    await answered
    error = await refused(call.streams.create, **{"url": "ws://127.0.0.1:9/x", **change})
    assert error.code == code
    assert (await refused(call.streams("none").update, status="stopped")).code == 20404


async def test_client_of_another_account_is_refused(twilio):
    http_client = LoopbackHttpClient(twilio.url, asyncio.get_running_loop())
    stranger = Client("AC" + "0" * 32, "1" * 32, http_client=http_client)
    assert (await refused(stranger.calls("CA" + "0" * 32).fetch)).status == 401
    http_client.close()
