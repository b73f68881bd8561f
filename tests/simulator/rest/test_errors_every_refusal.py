"""Every code that a REST request can be refused with (PROTOCOL.md §5.3), met with the real SDK.

Each row brings its code about as a user would meet it, as far as there is a way; `refuse_next` is
for what lies inside Twilio.
"""

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

from twistream_kit.protocol.codes import TWILIO_CODES
from twistream_kit.simulator.rest._errors import REFUSALS, Refusal
from twistream_kit.simulator.rest.account import SimulatedAccount
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"
BERLIN = "+493012345678"
TWIML = "<Response><Pause length='30'/></Response>"
MAGIC = "+15005550006"
CALL_CODES = [known for known in TWILIO_CODES.values() if known.section == "5.3"]


def create(client, **change):
    wanted = {"to": ALICE, "from_": MAGIC, "twiml": TWIML, **change}
    return client.calls.create(**wanted)


def form(twilio, **fields):
    """Send a form as it is: for what the SDK has no argument for."""
    fields = {"To": ALICE, "From": MAGIC, "Twiml": TWIML, **fields}
    uri = f"/Accounts/{twilio.account_sid}/Calls.json"
    return twilio.client.api.v2010.create("POST", uri, data=fields)


def wrong_case(twilio):
    uri = f"/Accounts/{twilio.account_sid}/calls/CA{'0' * 32}.json"
    return twilio.client.api.v2010.fetch("GET", uri)


def fetch_any_number(client):
    return client.incoming_phone_numbers("PN" + "0" * 32).fetch()


def wrong_token(twilio):
    stranger = Client(twilio.account_sid, "0" * 32, http_client=twilio.client.http_client)
    return create(stranger)


def next_one(code):
    def ask(twilio):
        twilio.refuse_next(code)
        return create(twilio.client)

    return ask


def a_second_call(twilio):
    twilio.phone(ALICE, "manual")
    create(twilio.client)
    return create(twilio.client)


def redirect_while_it_rings(twilio):
    twilio.phone(ALICE, "manual")
    return create(twilio.client).update(twiml=TWIML)


@dataclass
class RefusedRequest:
    """How to meet `code`: what to ask of which account; and how many calls there are afterwards."""

    code: int
    ask: object
    status: int = 400
    account: dict = field(default_factory=dict)
    words: str = ""
    calls: int = 0


def to(number):
    return lambda twilio: create(twilio.test_client, to=number)


def live(**change):
    return lambda twilio: create(twilio.client, **change)


REFUSED_REQUESTS = [
    RefusedRequest(10001, live(), account={"status": "suspended"}),
    RefusedRequest(10004, a_second_call, account={"calls_at_once": 1}, words="1 at once", calls=1),
    RefusedRequest(13227, next_one(13227)),
    RefusedRequest(20003, wrong_token, 401, words="Authenticate"),
    RefusedRequest(20003, live(), 401, account={"status": "closed"}, words="Authenticate"),
    RefusedRequest(20005, lambda t: fetch_any_number(t.client), account={"status": "suspended"}),
    RefusedRequest(
        20008, lambda t: fetch_any_number(t.test_client), 403, words="Test Account Credentials"
    ),
    RefusedRequest(20404, wrong_case, 404, words="calls/CA"),
    RefusedRequest(20404, lambda t: t.client.calls("CA" + "0" * 32).fetch(), 404),
    RefusedRequest(
        20422, live(machine_detection="Perhaps"), 422, words="Enable or DetectMessageEnd"
    ),
    RefusedRequest(20429, next_one(20429), 429, words="Too Many Requests"),
    RefusedRequest(20500, next_one(20500), 500),
    RefusedRequest(20503, next_one(20503), 503),
    RefusedRequest(21201, live(to="")),
    RefusedRequest(21205, live(twiml=None)),
    RefusedRequest(21205, live(twiml=None, url="/relative")),
    RefusedRequest(21206, live(send_digits="call me")),
    RefusedRequest(21207, lambda t: form(t, IfMachine="Shout"), words="Continue or Hangup"),
    RefusedRequest(21208, live(timeout=-1)),
    RefusedRequest(21209, live(twiml=None, url="https://example.com", method="PUT")),
    RefusedRequest(21210, live(from_="+15550100009"), words="+15550100009"),
    RefusedRequest(
        21211, live(to="0301234"), words="The 'To' number 0301234 is not a valid phone number."
    ),
    RefusedRequest(21212, live(from_="alice")),
    RefusedRequest(21213, live(from_="")),
    RefusedRequest(21214, to("+15005550002"), words="+15005550002"),
    RefusedRequest(
        21215, live(to=BERLIN), account={"blocked_countries": frozenset({"DE"})}, words=BERLIN
    ),
    RefusedRequest(21216, live(), account={"blocklist": (ALICE,)}, words=ALICE),
    RefusedRequest(21217, to("+15005550001")),
    RefusedRequest(21218, live(twiml=None, application_sid="AP" + "0" * 32)),
    RefusedRequest(
        21219,
        live(),
        account={"type": "Trial"},
        words=f"The number {ALICE} is unverified. Trial accounts may only make calls to verified",
    ),
    RefusedRequest(21220, redirect_while_it_rings, calls=1),
]


@pytest.mark.parametrize("refused", REFUSED_REQUESTS, ids=lambda refused: str(refused.code))
async def test_sdk_meets(refused):
    account = SimulatedAccount(**refused.account)
    async with SimulatedTwilio(account=account) as twilio:
        with pytest.raises(TwilioRestException) as caught:
            await asyncio.to_thread(refused.ask, twilio)
        assert (caught.value.code, caught.value.status) == (refused.code, refused.status)
        assert refused.words in caught.value.msg
        assert len(twilio.calls) == refused.calls


def test_every_code_of_the_protocol_notes_is_met():
    assert {refused.code for refused in REFUSED_REQUESTS} == {known.code for known in CALL_CODES}


def test_simulator_and_explain_agree_on_the_http_status():
    # Two tables, written by themselves: what Twilio sends, and what a reader learns of it.
    explained = {known.code: known.http_status for known in CALL_CODES}
    assert {code: Refusal(code).status for code in explained} == explained


@pytest.mark.parametrize("code", REFUSALS)
def test_body_of_every_refusal_has_the_four_fields(code):
    body = Refusal(code).to_json()
    assert list(body) == ["code", "message", "more_info", "status"]
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert body["message"]
    assert isinstance(body["status"], int)


async def test_refusals_come_as_often_as_asked_for_and_then_no_more(twilio):
    twilio.phone(ALICE, "manual")
    twilio.refuse_next(20503, times=2)
    twilio.refuse_next(20429)
    met = []
    for _ in range(3):
        with pytest.raises(TwilioRestException) as caught:
            await asyncio.to_thread(create, twilio.client)
        met.append(caught.value.status)
    assert met == [503, 503, 429]
    assert (await asyncio.to_thread(create, twilio.client)).status == "queued"


async def test_sdk_hides_the_code_of_a_refused_list_in_the_answer(twilio):
    # A program that turns the SDK's errors into words must look there: the exception has no code.
    twilio.refuse_next(20429)
    with pytest.raises(TwilioException) as caught:
        await asyncio.to_thread(twilio.client.calls.list)
    assert not isinstance(caught.value, TwilioRestException)
    response = caught.value.args[1]
    assert (response.status_code, json.loads(response.text)["code"]) == (429, 20429)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((31951,), "one of 10001, 10004"), ((20503, 0), "1 or more"), ((20503, 1.5), "1 or more")],
)
def test_impossible_refusals_are_refused_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        SimulatedTwilio().refuse_next(*arguments)


@pytest.mark.parametrize("digits", [330, 5000])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Timeout", 21208),
        ("MachineDetectionTimeout", 20422),
        ("MachineDetectionSpeechThreshold", 20422),
        ("MachineDetectionSpeechEndThreshold", 20422),
        ("MachineDetectionSilenceTimeout", 20422),
    ],
)
async def test_number_of_any_length_is_refused_with_its_code(name, code, digits):
    async with SimulatedTwilio() as twilio:
        with pytest.raises(TwilioRestException) as refused:
            await asyncio.to_thread(form, twilio, **{name: "9" * digits})
    assert refused.value.code == code  # and not HTTP 500
    assert len(refused.value.msg) < 200


async def test_list_is_paged_by_a_number_of_any_length():
    async with SimulatedTwilio() as twilio:
        uri = f"/Accounts/{twilio.account_sid}/Calls.json"
        query = {"PageSize": "9" * 330, "Page": "9" * 5000}
        page = await asyncio.to_thread(twilio.client.api.v2010.page, "GET", uri, params=query)
    assert page.status_code == 200
