"""The REST resources about the account, its numbers and where it may call, with the real SDK."""

import asyncio
import time
from email.utils import parsedate_to_datetime

import pytest
from twilio.rest import Client

from support.sdk import refused
from twistream_kit.errors import CallRefused
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.rest.account import SimulatedAccount
from twistream_kit.simulator.rest.app import find_validation_errors
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"
BERLIN = "+493012345678"
TWIML = "<Response><Pause length='30'/></Response>"


def account_of(twilio, client=None):
    return (client or twilio.client).api.accounts(twilio.account_sid).fetch()


def call(client, to=ALICE, from_="+15005550006", **options):
    return client.calls.create(to=to, from_=from_, twiml=TWIML, **options)


@pytest.fixture
def key_client(twilio):
    return Client(
        twilio.api_key,
        twilio.api_secret,
        account_sid=twilio.account_sid,
        http_client=twilio.client.http_client,
    )


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ("Full", "active")),
        ({"account": SimulatedAccount(type="Trial")}, ("Trial", "active")),
        ({"account": SimulatedAccount(status="suspended")}, ("Full", "suspended")),
        ({"behaviour": Behaviour(trial="announcement")}, ("Trial", "active")),
    ],
)
async def test_account_shows_its_type_and_status(options, shown):
    async with SimulatedTwilio(**options) as twilio:
        account = await asyncio.to_thread(account_of, twilio)
        assert (account.type, account.status) == shown
        assert account.sid == twilio.account_sid
        assert twilio.account.type == shown[0]


async def test_closed_account_shows_nothing_at_all():
    async with SimulatedTwilio(account=SimulatedAccount(status="closed")) as twilio:
        assert (await refused(account_of, twilio)).code == 20003


async def test_verified_numbers_are_listed_found_and_fetched(twilio):
    twilio.verify(ALICE)
    twilio.verify(BERLIN)
    verified = twilio.client.outgoing_caller_ids
    listed = await asyncio.to_thread(verified.list)
    assert [each.phone_number for each in listed] == [ALICE, BERLIN]
    (found,) = await asyncio.to_thread(verified.list, phone_number=BERLIN)
    fetched = await asyncio.to_thread(verified(found.sid).fetch)
    assert (fetched.phone_number, fetched.friendly_name) == (BERLIN, BERLIN)
    assert fetched.date_created is not None
    assert await asyncio.to_thread(verified.list, phone_number="+15550100009") == []
    named = await asyncio.to_thread(verified.list, friendly_name="(555) 010-0001")
    assert [each.phone_number for each in named] == [ALICE]
    assert (await refused(verified("PN" + "0" * 32).fetch)).code == 20404


async def test_call_from_a_verified_number_is_placed_and_names_it(twilio):
    twilio.verify(BERLIN)
    twilio.phone(ALICE, "manual")
    created = await asyncio.to_thread(call, twilio.client, from_=BERLIN)
    (verified,) = await asyncio.to_thread(twilio.client.outgoing_caller_ids.list)
    assert (created._from, created.phone_number_sid) == (BERLIN, verified.sid)


async def test_trial_account_can_call_once_the_number_is_verified():
    async with SimulatedTwilio(account=SimulatedAccount(type="Trial")) as twilio:
        twilio.phone(ALICE, "manual")
        assert (await refused(call, twilio.client)).code == 21219
        twilio.verify(ALICE)
        assert (await asyncio.to_thread(call, twilio.client)).status == "queued"


async def test_number_shows_whether_it_has_voice():
    account = SimulatedAccount(voiceless=("+15005550009",))
    async with SimulatedTwilio(account=account) as twilio:
        numbers = await asyncio.to_thread(twilio.client.incoming_phone_numbers.list)
        assert [number.capabilities["voice"] for number in numbers] == [True, False]


@pytest.mark.parametrize(
    ("number", "country", "calling_code"),
    [(ALICE, "US", "1"), (BERLIN, "DE", "49"), ("+35012345678", None, None)],
)
async def test_look_up_names_the_country(twilio, number, country, calling_code):
    found = await asyncio.to_thread(twilio.client.lookups.v2.phone_numbers(number).fetch)
    assert (found.country_code, found.calling_country_code) == (country, calling_code)
    assert found.valid is True
    assert found.validation_errors == []
    assert found.phone_number == number
    assert found.line_type_intelligence is None


async def test_look_up_of_an_impossible_number_says_what_is_wrong(twilio):
    found = await asyncio.to_thread(twilio.client.lookups.v2.phone_numbers("+4930").fetch)
    assert (found.valid, found.validation_errors) == (False, ["TOO_SHORT"])
    assert found.country_code is None


@pytest.mark.parametrize(
    ("number", "errors"),
    [
        ("+15550100001", []),
        ("+12", ["TOO_SHORT"]),
        ("+1" + "2" * 15, ["TOO_LONG"]),
        ("alice", ["NOT_A_NUMBER"]),
        ("", ["NOT_A_NUMBER"]),
        ("+1٣٣٣٣٣٣٣", ["NOT_A_NUMBER"]),
        ("5550100001", ["INVALID_COUNTRY_CODE"]),
        ("+0445550100", ["INVALID_COUNTRY_CODE"]),
    ],
)
def test_validation_errors_are_twilios_words(number, errors):
    assert find_validation_errors(number) == errors


async def test_permission_of_a_country_is_shown_as_set():
    account = SimulatedAccount(blocked_countries=frozenset({"DE"}))
    async with SimulatedTwilio(account=account) as twilio:
        countries = twilio.client.voice.v1.dialing_permissions.countries
        germany = await asyncio.to_thread(countries("DE").fetch)
        assert (germany.name, germany.country_codes) == ("Germany", ["+49"])
        assert germany.low_risk_numbers_enabled is False
        britain = await asyncio.to_thread(countries("GB").fetch)
        assert britain.low_risk_numbers_enabled is True
        assert britain.high_risk_special_numbers_enabled is False
        assert (await refused(countries("ZZ").fetch)).code == 20404


async def test_look_ups_and_permissions_want_credentials_too(twilio):
    stranger = Client(twilio.account_sid, "0" * 32, http_client=twilio.client.http_client)
    assert (await refused(stranger.lookups.v2.phone_numbers(ALICE).fetch)).status == 401
    countries = stranger.voice.v1.dialing_permissions.countries
    assert (await refused(countries("US").fetch)).status == 401


async def test_api_key_opens_everything_but_the_account(twilio, key_client):
    twilio.phone(ALICE, "manual")
    created = await asyncio.to_thread(call, key_client)
    assert created.account_sid == twilio.account_sid
    assert [each.sid for each in await asyncio.to_thread(key_client.calls.list)] == [created.sid]
    assert (await refused(account_of, twilio, key_client)).code == 20003
    wrong = Client(
        twilio.api_key, "0" * 32, account_sid=twilio.account_sid,
        http_client=twilio.client.http_client,
    )  # fmt: skip
    assert (await refused(call, wrong)).code == 20003


async def test_call_with_test_credentials_is_checked_and_not_placed(twilio, site):
    phone = twilio.phone(ALICE)
    url = site.serve("/status", status=204)
    client = twilio.test_client
    created = await asyncio.to_thread(call, client, status_callback=url)
    assert (created.status, created.direction) == ("queued", "outbound-api")
    assert created.account_sid == client.account_sid != twilio.account_sid
    assert len(twilio.calls) == 0
    assert (phone.state, site.requests) == ("idle", [])
    assert (await refused(client.calls(created.sid).fetch)).code == 20008
    assert (await refused(call, client, to="nobody")).code == 21211


@pytest.mark.parametrize(
    ("to", "from_", "code"),
    [
        ("+15005550001", "+15005550006", 21217),
        ("+15005550002", "+15005550006", 21214),
        ("+15005550003", "+15005550006", 21215),
        ("+15005550004", "+15005550006", 21216),
        (ALICE, "+15005550001", 21212),
        (ALICE, "+15005550009", 21210),
    ],
)
async def test_magic_numbers_are_refused_with_test_credentials(twilio, to, from_, code):
    assert (await refused(call, twilio.test_client, to=to, from_=from_)).code == code


async def test_magic_numbers_are_not_magic_with_live_credentials(twilio):
    assert (await asyncio.to_thread(call, twilio.client, to="+15005550002")).status == "queued"


async def test_test_credentials_look_numbers_up_and_read_nothing_else(twilio):
    client = twilio.test_client
    found = await asyncio.to_thread(client.lookups.v2.phone_numbers(ALICE).fetch)
    assert found.country_code == "US"
    countries = client.voice.v1.dialing_permissions.countries
    assert (await refused(countries("US").fetch)).code == 20008
    assert (await refused(client.api.accounts(twilio.account_sid).fetch)).code == 20008


@pytest.mark.parametrize("ahead", [0.0, 60.0, -3600.0])
async def test_every_answer_shows_twilios_clock(ahead):
    async with SimulatedTwilio(account=SimulatedAccount(clock_ahead_seconds=ahead)) as twilio:

        def shifts():
            for path in (f"/2010-04-01/Accounts/{twilio.account_sid}.json", "/nowhere"):
                response = twilio.client.request("GET", f"https://api.twilio.com{path}")
                yield parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()
            nobody = Client("AC" + "0" * 32, "0" * 32, http_client=twilio.client.http_client)
            response = nobody.request("GET", "https://api.twilio.com/")
            yield parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()

        found = await asyncio.to_thread(lambda: list(shifts()))
    assert len(found) == 3
    for shift in found:
        assert abs(shift - ahead) < 3


async def test_places_are_free_again_when_calls_are_over(eventually):
    async with SimulatedTwilio(account=SimulatedAccount(calls_at_once=1)) as twilio:
        twilio.phone(ALICE, "manual")
        first = await asyncio.to_thread(call, twilio.client)
        assert (await refused(call, twilio.client)).code == 10004
        await asyncio.to_thread(first.update, status="canceled")
        assert (await asyncio.to_thread(call, twilio.client)).status == "queued"


async def test_incoming_call_counts_among_the_calls_at_once():
    async with SimulatedTwilio(account=SimulatedAccount(calls_at_once=1)) as twilio:
        twilio.phone(ALICE, "manual")
        await asyncio.to_thread(call, twilio.client)
        with pytest.raises(CallRefused, match="calls already") as caught:
            await twilio.phone("+15550100002").dial(twilio.numbers[0])
        assert caught.value.code == 10004


async def test_trial_account_of_2026_takes_calls_from_verified_numbers_only(site):
    async with SimulatedTwilio(account=SimulatedAccount(type="Trial")) as twilio:
        number = (await asyncio.to_thread(twilio.client.incoming_phone_numbers.list))[0]
        url = site.twiml("/voice", "<Say>Hello</Say><Pause length='9'/>")
        await asyncio.to_thread(number.update, voice_url=url)
        phone = twilio.phone(ALICE)
        with pytest.raises(CallRefused, match="not verified"):
            await phone.dial(twilio.numbers[0])
        assert phone.state == "idle"
        twilio.verify(ALICE)
        assert (await phone.dial(twilio.numbers[0])).status == "in-progress"


async def test_number_is_handed_to_an_application_or_a_trunk_and_back(twilio, site):
    number = (await asyncio.to_thread(twilio.client.incoming_phone_numbers.list))[0]
    application, trunk = "AP" + "1" * 32, "TK" + "2" * 32
    url = site.twiml("/voice", "<Say>Hello</Say><Pause length='9'/>")
    await asyncio.to_thread(number.update, voice_url=url, voice_application_sid=application)
    shown = await asyncio.to_thread(number.fetch)
    assert (shown.voice_application_sid, shown.trunk_sid) == (application, None)
    phone = twilio.phone(ALICE)
    with pytest.raises(CallRefused, match=application):
        await phone.dial(number.phone_number)
    shown = await asyncio.to_thread(number.update, trunk_sid=trunk)
    assert (shown.voice_application_sid, shown.trunk_sid) == (None, trunk)
    shown = await asyncio.to_thread(number.update, voice_application_sid=application)
    assert (shown.voice_application_sid, shown.trunk_sid) == (application, None)
    shown = await asyncio.to_thread(number.update, voice_application_sid="")
    assert (shown.voice_application_sid, shown.voice_url) == (None, url)
    assert (await phone.dial(number.phone_number)).status == "in-progress"


@pytest.mark.parametrize(
    ("change", "code"),
    [({"voice_application_sid": "AP1"}, 21218), ({"trunk_sid": "AP" + "1" * 32}, 20422)],
)
async def test_malformed_application_or_trunk_changes_nothing(twilio, change, code):
    number = (await asyncio.to_thread(twilio.client.incoming_phone_numbers.list))[0]
    error = await refused(number.update, voice_url="https://example.com/", **change)
    assert error.code == code
    assert (await asyncio.to_thread(number.fetch)).voice_url is None


@pytest.mark.parametrize(
    "options",
    [
        {"machine_detection": "Enable"},
        {"machine_detection": "DetectMessageEnd", "machine_detection_timeout": 3},
        {"machine_detection": "DetectMessageEnd", "machine_detection_timeout": 59},
        {"machine_detection": "Enable", "async_amd": "true", "time_limit": 60},
        {"async_amd": "true", "async_amd_status_callback": "https://example.com/amd"},
        {"machine_detection_silence_timeout": 2000, "record": True},
    ],
)
async def test_machine_detection_is_accepted(twilio, options):
    twilio.phone(ALICE, "manual")
    created = await asyncio.to_thread(call, twilio.client, **options)
    assert (created.status, created.answered_by) == ("queued", None)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"machine_detection": "enable"}, 20422),
        ({"async_amd": "yes"}, 20422),
        ({"machine_detection_timeout": 2}, 20422),
        ({"machine_detection_timeout": 60}, 20422),
        ({"machine_detection_timeout": "\u0663\u0663"}, 20422),
        ({"machine_detection_speech_threshold": 999}, 20422),
        ({"machine_detection_speech_end_threshold": 5001}, 20422),
        ({"machine_detection_silence_timeout": 1999}, 20422),
        ({"async_amd_status_callback": "nowhere"}, 21205),
        ({"async_amd_status_callback": "https://e.org", "async_amd_status_callback_method": "PUT"},
         21209),
        ({"time_limit": 0}, 20422),
    ],
)  # fmt: skip
async def test_impossible_machine_detection_is_refused(twilio, options, code):
    assert (await refused(call, twilio.client, **options)).code == code
    assert len(twilio.calls) == 0


async def test_secrets_are_in_no_repr(twilio):
    secrets = {twilio.auth_token, twilio.api_secret, twilio.test_client.password}
    assert len(secrets) == 3
    running = twilio._running
    shown = repr(twilio) + repr(running) + repr(twilio.account) + repr(twilio.test_client)
    for secret in secrets:
        assert secret not in shown
