"""Each check of a preflight by itself, against answers of our own."""

import asyncio
import contextlib
import json
import re

import pytest
import requests
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from support.far_end import TOKEN
from support.sdk import refusal
from support.waiting import soon
from twistream_kit.errors import TunnelError
from twistream_kit.live.preflight._account import (
    ACCOUNT_CHECKS,
    CALLED_CHECKS,
    CALLER_CHECKS,
    CLOCK_CHECKS,
    check_clock,
)
from twistream_kit.live.preflight._address import ADDRESS_CHECKS, TWIML_CHECKS
from twistream_kit.live.preflight._timed_client import (
    REQUEST_SECONDS,
    ClockReading,
    make_timed_client,
)
from twistream_kit.live.preflight.check import (
    Check,
    Checks,
    fail_check,
    pass_check,
    run_checks,
    skip_check,
)
from twistream_kit.live.preflight.preflight import preflight
from twistream_kit.live.server import probe as probe_module
from twistream_kit.live.server.probe import probe_handshake

SID = "AC" + "0" * 32
KEY = "SK" + "1" * 32
ALICE, BOB = "+15550100001", "+15005550006"
NAMES = (
    "credentials", "account", "from_", "to", "country", "public address", "WebSocket",
    "signatures", "TwiML", "clock",
)  # fmt: skip

ACCOUNT = {"sid": SID, "status": "active", "type": "Full"}
US = {"iso_code": "US", "name": "United States", "low_risk_numbers_enabled": True}
HEALTHY = {
    rf"Accounts/{SID}.json": (200, ACCOUNT),
    r"Calls.json": (200, {"calls": []}),
    r"IncomingPhoneNumbers.json": (
        200,
        {"incoming_phone_numbers": [{"phone_number": BOB, "capabilities": {"voice": True}}]},
    ),
    r"OutgoingCallerIds.json": (200, {"outgoing_caller_ids": []}),
    r"lookups.*PhoneNumbers/": (200, {"country_code": "US", "valid": True}),
    r"DialingPermissions/Countries/US": (200, US),
}


class Network(HttpClient):
    """Answers by address; an exception is raised."""

    def __init__(self, answers, headers=None):
        super().__init__(None, False, None)
        self.answers = answers
        self.headers = headers
        self.requests = []

    def request(self, method, url, params=None, timeout=None, **options):
        self.requests.append((method, url, timeout))
        answer = next(
            (answer for part, answer in self.answers.items() if re.search(part, url)),
            (404, {"code": 20404, "message": f"{url} was not found"}),
        )
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return Response(status, json.dumps(body), self.headers)


def test_the_docstring_names_what_each_group_checks_in_order():
    groups = (ACCOUNT_CHECKS, CALLER_CHECKS, CALLED_CHECKS, ADDRESS_CHECKS, TWIML_CHECKS)
    names = [name for group in (*groups, CLOCK_CHECKS) for name in group]
    assert tuple(names) == NAMES
    said = " ".join(preflight.__doc__.split())
    assert f"with the checks, each ✓, ✗ or –: {', '.join(names)}." in said


def client_with(answers=None, *, username=SID, account_sid=SID, headers=None, **options):
    answers = answers or {}
    network = Network(
        answers | {part: HEALTHY[part] for part in HEALTHY if part not in answers}, headers
    )
    return Client(username, TOKEN, account_sid, http_client=network, **options), network


async def found(client, **options):
    options = {"to": ALICE, "from_": BOB} | options
    checks = await soon(preflight(client, **options))
    assert tuple(check.name for check in checks) == NAMES
    assert TOKEN not in repr(checks)
    return {check.name: check for check in checks}


class TestChecks:
    CHECKS = Checks(
        [
            pass_check("credentials", "Twilio accepts them"),
            fail_check("account", "it is a trial one", "no stream is opened", "upgrade it"),
            skip_check("to", "no to was given"),
        ]
    )

    def test_they_read_as_a_small_table_with_what_follows_and_what_to_do(self):
        assert repr(self.CHECKS).splitlines() == [
            "✓ credentials  Twilio accepts them",
            "✗ account      it is a trial one",
            "               What follows: no stream is opened.",
            "               What to do: upgrade it.",
            "– to           no to was given",
            "1 of 3 passed, 1 failed, 1 do not apply or could not be found out",
        ]

    def test_a_failed_one_makes_them_not_ok_and_an_unknown_one_does_not(self):
        assert not self.CHECKS.ok
        assert [check.name for check in self.CHECKS.failed] == ["account"]
        assert Checks([pass_check("a", "fine"), skip_check("b", "why")]).ok

    def test_failed_ones_alone_are_counted_without_those_that_passed(self):
        assert self.CHECKS.failed.verdict == "1 failed"
        assert Checks([pass_check("a", "fine")]).failed.verdict == "none"

    def test_long_lines_are_wrapped_below_their_beginning(self):
        lines = repr(Checks([pass_check("a", "word " * 40)])).splitlines()
        assert all(len(line) <= 96 for line in lines)
        assert lines[1].startswith(" " * 5 + "word")

    def test_a_check_reads_as_one_sentence_after_the_other(self):
        assert (
            str(Check("to", False, "bad", "no call", "mend it")) == "✗ to: bad. no call. mend it."
        )

    def test_a_check_that_breaks_hides_neither_the_others_nor_a_secret_in_its_words(self):
        def broken():
            raise KeyError(TOKEN)

        checks = run_checks(("a", "b"), broken)
        assert [(check.name, check.passed) for check in checks] == [("a", None), ("b", None)]
        assert "KeyError" in checks[0].detail
        assert TOKEN not in repr(checks)


class TestClock:
    @pytest.mark.parametrize(
        ("sent", "received", "date", "words"),
        [
            (1000.0, 1000.2, 1000.0, None),
            (1000.9, 1001.1, 1000.0, None),
            (1000.0, 1000.2, 1005.0, None),
            (1000.0, 1000.2, 995.0, None),
            (1000.0, 1000.2, 1006.0, "6 s behind Twilio's"),
            (1000.0, 1000.2, 993.0, "7 s ahead of Twilio's"),
            (1000.0, 1000.2, 1060.0, "60 s behind Twilio's"),
            (1000.0, 1020.0, 1019.0, None),  # a slow answer says nothing against the clock
        ],
    )
    def test_it_may_be_five_seconds_off_beyond_what_the_answer_leaves_open(
        self, sent, received, date, words
    ):
        check = check_clock([ClockReading(sent, received, date)])
        assert check.passed is (words is None)
        assert words is None or words in check.detail

    def test_the_quickest_answer_decides(self):
        slow, quick = ClockReading(0.0, 20.0, 12.0), ClockReading(0.0, 0.1, 12.0)
        assert check_clock([slow]).passed
        assert check_clock([slow, quick]).passed is False

    async def test_it_is_read_from_the_date_header_whatever_its_case(self):
        client, _ = client_with(headers={"dAtE": "Mon, 01 Jan 2001 00:00:00 GMT"})
        check = (await found(client))["clock"]
        assert check.passed is False
        assert "ahead of Twilio's" in check.detail

    @pytest.mark.parametrize("headers", [None, {}, {"Date": "soon"}])
    async def test_without_a_readable_date_it_is_unknown(self, headers):
        client, _ = client_with(headers=headers)
        assert (await found(client))["clock"].passed is None


class TestAccount:
    async def test_healthy_one_passes_and_every_question_has_a_limit_of_time(self):
        client, network = client_with()
        checks = await found(client)
        assert all(checks[name].passed for name in NAMES[:5])
        assert {timeout for *_, timeout in network.requests} == {REQUEST_SECONDS}
        assert {method for method, *_ in network.requests} == {"GET"}

    async def test_client_without_credentials_fails_the_check_and_asks_nothing(self, monkeypatch):
        monkeypatch.delenv("TWILIO_ACCOUNT_SID", raising=False)
        monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
        network = Network(HEALTHY)
        checks = await found(Client(http_client=network))
        assert checks["credentials"].passed is False
        assert "the client has none" in checks["credentials"].detail
        assert network.requests == []
        assert {checks[name].passed for name in NAMES[1:]} == {None}

    async def test_api_key_without_its_account_fails_with_what_is_missing(self):
        client, network = client_with(username=KEY, account_sid=None)
        checks = await found(client)
        assert "account_sid='AC…'" in checks["credentials"].fix
        assert network.requests == []

    async def test_api_key_that_may_not_read_the_account_is_accepted_all_the_same(self):
        answers = {rf"Accounts/{SID}.json": refusal(401, 20003)}
        client, _ = client_with(answers, username=KEY)
        checks = await found(client)
        assert checks["credentials"].passed
        assert checks["account"].passed is None
        assert "standard API key" in checks["account"].detail
        assert "on a trial account it would have to be verified" in checks["to"].detail
        assert checks["from_"].passed

    async def test_api_key_that_may_read_the_account_shows_a_trial(self):
        answers = {rf"Accounts/{SID}.json": (200, ACCOUNT | {"type": "Trial"})}
        client, _ = client_with(answers, username=KEY)
        assert (await found(client))["account"].passed is False

    @pytest.mark.parametrize("code", [20005, 10001])
    async def test_account_that_may_ask_nothing_is_the_accounts_fault(self, code):
        client, _ = client_with({rf"Accounts/{SID}.json": refusal(401, code)})
        checks = await found(client)
        assert checks["credentials"].passed
        assert checks["account"].passed is False
        assert {checks[name].passed for name in ("from_", "to", "country")} == {None}

    async def test_twilio_out_of_reach_fails_once_and_leaves_the_rest_unknown(self):
        error = requests.ConnectionError(f"https://{SID}:{TOKEN}@api.twilio.com")
        client, _ = client_with({"": error})
        checks = await found(client)
        assert "could not be reached" in checks["credentials"].detail
        assert {checks[name].passed for name in NAMES[1:]} == {None}

    async def test_answer_that_is_no_account_breaks_no_other_check(self):
        client, _ = client_with({rf"Accounts/{SID}.json": (200, [])})
        checks = await found(client)
        assert not checks["credentials"].passed
        assert {checks[name].passed for name in ("from_", "to", "country")} == {None}

    async def test_region_and_edge_of_the_client_are_kept(self):
        client, network = client_with(region="ie1", edge="dublin")
        await found(client)
        assert all(".dublin.ie1.twilio.com" in url for _, url, _ in network.requests)

    def test_timed_client_knows_the_same_account(self):
        client, _ = client_with(username=KEY)
        timed, _ = make_timed_client(client)
        assert (timed.username, timed.password, timed.account_sid) == (KEY, TOKEN, SID)


class TestNumbers:
    @pytest.mark.parametrize(
        "number", ["5550100001", "+1 555 010 0001", "+0123456789", "alice", ""]
    )
    async def test_what_is_not_e164_is_said_without_asking(self, number):
        client, network = client_with()
        checks = await found(client, to=number, from_=number)
        assert "21211" in checks["to"].consequence
        assert "21212" in checks["from_"].consequence
        assert checks["country"].passed is None
        assert len(network.requests) == 1

    @pytest.mark.parametrize("address", ["client:alice", "sip:alice@example.com"])
    async def test_address_that_twilio_calls_and_that_is_no_number_is_not_objected_to(
        self, address
    ):
        client, _ = client_with()
        checks = await found(client, to=address, from_=address)
        assert [checks[name].passed for name in ("to", "from_", "country")] == [None] * 3

    async def test_malformed_numbers_are_said_even_when_nothing_can_be_asked(self):
        client, _ = client_with({rf"Accounts/{SID}.json": refusal(401, 20003)})
        checks = await found(client, to="alice", from_="bob")
        assert checks["to"].passed is checks["from_"].passed is False

    async def test_a_number_that_only_contains_from_is_another(self):
        numbers = [{"phone_number": BOB + "9", "capabilities": {"voice": True}}]
        answers = {"IncomingPhoneNumbers.json": (200, {"incoming_phone_numbers": numbers})}
        client, _ = client_with(answers)
        check = (await found(client))["from_"]
        assert check.passed is False
        assert f"such as {BOB}9" in check.fix

    async def test_verified_caller_id_will_do_as_from(self):
        answers = {
            "IncomingPhoneNumbers.json": (200, {"incoming_phone_numbers": []}),
            "OutgoingCallerIds.json": (200, {"outgoing_caller_ids": [{"phone_number": BOB}]}),
        }
        client, _ = client_with(answers)
        assert (await found(client))["from_"].passed

    async def test_account_without_any_number_is_advised_how_to_get_one(self):
        answers = {"IncomingPhoneNumbers.json": (200, {"incoming_phone_numbers": []})}
        client, _ = client_with(answers)
        assert "in the console" in (await found(client))["from_"].fix

    async def test_impossible_number_is_said(self):
        client, _ = client_with({"lookups": (200, {"country_code": None, "valid": False})})
        checks = await found(client)
        assert "21217" in checks["to"].consequence
        assert checks["country"].passed is None

    @pytest.mark.parametrize(
        "answers",
        [
            {"lookups": refusal(403, 20403)},
            {"DialingPermissions": refusal(404, 20404)},
            {"DialingPermissions": (200, {"iso_code": "US"})},
            {"DialingPermissions": requests.ReadTimeout()},
        ],
    )
    async def test_what_twilio_does_not_tell_is_unknown_and_hides_nothing_else(self, answers):
        client, _ = client_with(answers)
        checks = await found(client)
        assert checks["country"].passed is None
        assert all(checks[name].passed for name in ("credentials", "account", "from_", "to"))

    async def test_everything_left_out_is_unknown(self):
        client, network = client_with()
        checks = await found(client, to=None, from_=None)
        assert {checks[name].passed for name in NAMES[2:]} == {None}
        assert len(network.requests) == 1


class TestRealClient:
    async def test_server_on_loopback_is_out_of_twilios_reach(self, serve):
        client, _ = client_with()
        checks = await found(client, server=await serve(auth_token=TOKEN))
        assert checks["public address"].passed is False
        assert "open_tunnel" in checks["public address"].fix
        assert {checks[name].passed for name in ("WebSocket", "signatures")} == {None}

    async def test_private_name_is_out_of_twilios_reach_whatever_it_answers_here(self, serve):
        client, _ = client_with()
        server = await serve(auth_token=TOKEN, public_url="https://server.local")
        checks = await found(client, server=server)
        assert "private network" in checks["public address"].detail

    async def test_host_with_an_underscore_gets_no_callbacks(self, serve):
        client, _ = client_with()
        server = await serve(auth_token=TOKEN, public_url="https://my_host.example.invalid")
        assert "underscore" in (await found(client, server=server))["TwiML"].detail

    async def test_password_in_the_address_is_objected_to(self, serve):
        client, _ = client_with()
        server = await serve(auth_token=TOKEN, public_url="https://me:secret@example.invalid")
        check = (await found(client, server=server))["TwiML"]
        assert "user or password" in check.detail


@pytest.fixture
async def host():
    """Listen on loopback and answer each connection with the same bytes; None says nothing."""
    async with contextlib.AsyncExitStack() as running:

        async def listen(answer):
            heads = []

            async def talk(reader, writer):
                # The writer itself is kept: one that is let go closes its connection (3.13).
                running.callback(lambda: writer.transport.abort())
                heads.append(await reader.read(65_536))
                if answer is not None:
                    writer.write(answer)
                    writer.close()

            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            running.callback(server.close)
            return f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heads

        yield listen


class TestProbe:
    async def test_it_tells_the_status_of_a_refusal(self, host, in_thread):
        address, heads = await host(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        answer = await in_thread(probe_handshake, f"ws://{address}/media", "signed")
        assert answer.status == 404
        assert b"x-twilio-signature: signed\r\n" in heads[0]
        assert b"sec-websocket-extensions" not in heads[0].lower()

    async def test_it_does_not_carry_a_signature_elsewhere(self, host, in_thread):
        elsewhere, heads = await host(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        address, _ = await host(
            f"HTTP/1.1 307 Temporary\r\nLocation: ws://{elsewhere}/\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        answer = await in_thread(probe_handshake, f"ws://{address}/media", "signed")
        assert answer.status == 307
        assert answer.headers["location"] == f"ws://{elsewhere}/"
        assert not any(heads)  # nothing was said there, even if somebody came

    @pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b""])
    async def test_what_speaks_no_http_is_no_websocket(self, host, in_thread, answer):
        address, _ = await host(answer)
        with pytest.raises(TunnelError, match="no WebSocket could be opened: ws://"):
            await in_thread(probe_handshake, f"ws://{address}/media", None)

    async def test_silence_has_a_limit(self, host, in_thread, monkeypatch):
        monkeypatch.setattr(probe_module, "PROBE_SECONDS", 0.1)
        address, _ = await host(None)
        with pytest.raises(TunnelError, match="did not answer in time"):
            await in_thread(probe_handshake, f"ws://{address}/media", None)

    async def test_port_without_tls_is_reported(self, host, in_thread):
        address, _ = await host(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(TunnelError, match=r"failed at TLS .*31910"):
            await in_thread(probe_handshake, f"wss://{address}/media", None)

    async def test_nothing_there_is_reported(self, in_thread):
        with pytest.raises(TunnelError, match="refused the connection"):
            await in_thread(probe_handshake, "ws://127.0.0.1:1/media", None)

    async def test_proxies_of_the_environment_do_not_catch_loopback(
        self, host, in_thread, monkeypatch
    ):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        address, _ = await host(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        answer = await in_thread(probe_handshake, f"ws://{address}/media", None)
        assert answer.status == 403

    async def test_server_keeps_no_stream_of_it_and_logs_no_complaint(self, serve, in_thread, said):
        server = await serve(auth_token=TOKEN)
        signature = server.signature_for_handshake()
        answer = await in_thread(probe_handshake, server.stream_url, signature)
        assert answer.status == 101
        assert list(server.streams) == []
        assert said(30) == []
