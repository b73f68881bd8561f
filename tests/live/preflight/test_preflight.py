"""What a preflight finds, against a simulator in which one thing at a time is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from dataclasses import dataclass, field

import pytest
from twilio.rest import Client

from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.errors import WouldDeadlock
from twistream_kit.live.preflight import preflight as preflight_module
from twistream_kit.live.preflight.preflight import preflight
from twistream_kit.live.server.local_proxy import LocalProxy
from twistream_kit.live.server.server import StreamServer
from twistream_kit.notebook.display.display import render_html
from twistream_kit.simulator.rest.account import SimulatedAccount
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE, BOB, CAROL = "+15550100001", "+15005550006", "+441632960001"
NAMES = (
    "credentials", "account", "from_", "to", "country", "public address", "WebSocket",
    "signatures", "TwiML", "clock",
)  # fmt: skip


async def found(client, **options):
    checks = await soon(preflight(client, **options))
    assert tuple(check.name for check in checks) == NAMES
    return checks


class NoUpgrade(LocalProxy):
    """A proxy that does not pass the header Upgrade on, as many do unless configured to."""

    async def _accept(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        head = re.sub(rb"(?im)^(upgrade|connection):.*\r\n", b"", head)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        far_writer.write(head)
        writer.write(await far_reader.read())
        far_writer.close()
        writer.close()


class Signing(LocalProxy):
    """A proxy that signs what comes unsigned."""

    async def _accept(self, reader, writer):
        signature = self._server.signature_for_handshake().encode()
        head = await reader.readuntil(b"\r\n\r\n")
        head = re.sub(rb"(?im)^x-twilio-signature:.*\r\n", b"", head)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        far_writer.write(head[:-2] + b"X-Twilio-Signature: " + signature + b"\r\n\r\n")
        async with asyncio.TaskGroup() as both_ways:
            for source, sink in ((reader, far_writer), (far_reader, writer)):
                both_ways.create_task(pump(source, sink))


class PageForHandshakes(LocalProxy):
    """A tunnel that passes /health on and answers each handshake with a page of its own."""

    async def _accept(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"upgrade: websocket" in head.lower():
            writer.write(
                b"HTTP/1.1 403 Forbidden\r\nNgrok-Error-Code: ERR_NGROK_727\r\n"
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
        else:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            far_writer.write(head)
            writer.write(await far_reader.read())
            far_writer.close()
        writer.close()


async def pump(source, sink):
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(65_536):
            sink.write(piece)
        sink.close()


@dataclass
class Bench:
    """One simulator, one server, and what stands between them."""

    twilio: SimulatedTwilio
    server: StreamServer
    resources: contextlib.AsyncExitStack
    client: Client

    async def put_between(self, proxy):
        running = await self.resources.enter_async_context(proxy(self.server))
        self.server.public_url = running.url

    async def forward_elsewhere(self):
        other = await self.resources.enter_async_context(StreamServer())
        self.server.public_url = f"http://127.0.0.1:{other.port}"

    async def stop_behind_its_address(self):
        self.server.public_url = "https://example.com"
        await self.resources.aclose()

    async def lose_the_tunnel(self):
        self.server.lose_public_url("ssh ended")
        await eventually(lambda: self.server.disconnect_reason)

    def log_in(self, username, password, **options):
        http_client = self.twilio.client.http_client
        self.client = Client(username, password, http_client=http_client, **options)


@dataclass
class Fault:
    """One thing that is wrong, and what a preflight has to make of it."""

    name: str
    failed: str
    """Names of the checks that fail, with a comma between them."""
    unknown: str = ""
    words: str = ""
    """Something that the first of the failed says."""
    account: SimulatedAccount = field(default_factory=SimulatedAccount)
    server: dict = field(default_factory=dict)
    call: dict = field(default_factory=dict)
    breaking: object = None
    """Takes the bench and breaks something; may return an awaitable."""


ALL_NUMBERS = "from_, to, country"
FAULTS = (
    Fault("wrong token", "credentials", f"account, {ALL_NUMBERS}", "20003",
          breaking=lambda bench: bench.log_in(bench.twilio.account_sid, "0" * 32)),
    Fault("test credentials", "credentials", f"account, {ALL_NUMBERS}", "20008",
          breaking=lambda bench: setattr(bench, "client", bench.twilio.test_client)),
    Fault("API key without account", "credentials", f"account, clock, {ALL_NUMBERS}", "account_sid",
          breaking=lambda bench: bench.log_in(bench.twilio.api_key, bench.twilio.api_secret)),
    Fault("closed account", "credentials", f"account, {ALL_NUMBERS}", "20003",
          SimulatedAccount(status="closed")),
    Fault("too many requests", "credentials", f"account, {ALL_NUMBERS}", "20429",
          breaking=lambda bench: bench.twilio.refuse_next(20429)),
    Fault("suspended account", "account", ALL_NUMBERS, "suspended",
          SimulatedAccount(status="suspended")),
    Fault("trial account", "account", "", "since 2026",
          SimulatedAccount(type="Trial", verified=(ALICE,))),
    Fault("number of somebody else's", "from_", "", "nor a verified caller ID",
          call={"from_": CAROL}),
    Fault("number without voice", "from_", "", "cannot be used for voice",
          SimulatedAccount(voiceless=(BOB,))),
    Fault("malformed from_", "from_", "", "E.164", call={"from_": "5550100001"}),
    Fault("malformed to", "to", "country", "E.164", call={"to": "+1 555 0100"}),
    Fault("number calling itself", "to", "", "itself", call={"to": BOB}),
    Fault("number not verified", "to, account", "", "not verified",
          SimulatedAccount(type="Trial", verified=(CAROL,))),
    Fault("country not permitted", "country", "", "United Kingdom",
          SimulatedAccount(blocked_countries=frozenset({"GB"})), call={"to": CAROL}),
    Fault("stopped server", "public address", "WebSocket, signatures, TwiML", "not running",
          breaking=lambda bench: bench.resources.aclose()),
    Fault("stopped server with a public address", "public address", "WebSocket, signatures",
          "not running", breaking=Bench.stop_behind_its_address),
    Fault("address of another server", "public address", "WebSocket, signatures",
          "not from this process", breaking=Bench.forward_elsewhere),
    Fault("lost tunnel", "public address", "WebSocket, signatures", "ssh ended",
          breaking=Bench.lose_the_tunnel),
    Fault("proxy that drops Upgrade", "WebSocket", "signatures", "HTTP 426",
          breaking=lambda bench: bench.put_between(NoUpgrade)),
    Fault("tunnel that answers handshakes itself", "WebSocket", "signatures",
          "is answered by ngrok, not by your server (ERR_NGROK_727, HTTP 403)",
          breaking=lambda bench: bench.put_between(PageForHandshakes)),
    Fault("proxy that signs for strangers", "signatures", "", "without one",
          breaking=lambda bench: bench.put_between(Signing)),
    Fault("server without signatures", "signatures", "", "checks none",
          server={"auth_token": None}),
    Fault("token of another account", "signatures", "", "not the one of the account",
          server={"auth_token": "f" * 32}),
    Fault("path that is no URL", "TwiML", "", "no URL may contain", server={"path": "/me{dia}"}),
    Fault("parameter too long", "TwiML", "", "501 characters",
          call={"parameters": {"x": "y" * 500}}),
    Fault("parameter that is a number", "TwiML", "", "must be strings",
          call={"parameters": {"x": 1}}),
    Fault("TwiML too long", "TwiML", "", "4000",
          call={"parameters": {f"x{n}": "y" * 400 for n in range(10)}}),
    Fault("Twilio's clock ahead", "clock", "", "behind Twilio's",
          SimulatedAccount(clock_ahead_seconds=60)),
    Fault("Twilio's clock behind", "clock", "", "ahead of Twilio's",
          SimulatedAccount(clock_ahead_seconds=-60)),
)  # fmt: skip


@pytest.fixture
async def set_up():
    """Start a simulator and a server of its account's, and stop both in the end."""
    async with contextlib.AsyncExitStack() as outer:

        async def start(account=None, **options):
            twilio = await outer.enter_async_context(SimulatedTwilio(account=account))
            resources = await outer.enter_async_context(contextlib.AsyncExitStack())
            server = StreamServer(**{"auth_token": twilio.auth_token} | options)
            await resources.enter_async_context(server)
            return Bench(twilio, server, resources, twilio.client)

        yield start


def names(text):
    return set(filter(None, text.split(", ")))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_one_fault_fails_its_own_check_and_no_other(set_up, fault):
    bench = await set_up(fault.account, **fault.server)
    if fault.breaking is not None:
        broken = fault.breaking(bench)
        if hasattr(broken, "__await__"):
            await broken
    options = {"to": ALICE, "from_": BOB, "server": bench.server} | fault.call
    checks = await found(bench.client, **options)
    by_name = {check.name: check for check in checks}
    assert {check.name for check in checks if check.passed is False} == names(fault.failed), checks
    assert {check.name for check in checks if check.passed is None} == names(fault.unknown), checks
    assert not checks.ok
    for check in checks.failed:
        assert check.detail
        assert check.consequence
        assert check.fix
    assert fault.words in str(by_name[fault.failed.partition(", ")[0]])
    assert bench.twilio.auth_token not in repr(checks)


def test_every_check_is_made_to_fail():
    assert set().union(*(names(fault.failed) for fault in FAULTS)) == set(NAMES)


async def test_all_is_well_with_a_healthy_account_and_server(set_up):
    bench = await set_up()
    checks = await found(
        bench.client, to=ALICE, from_=BOB, server=bench.server, parameters={"language": "en"}
    )
    assert [check.sign for check in checks] == ["✓"] * len(NAMES), checks
    assert checks.ok
    assert checks.verdict == "10 of 10 passed"


async def test_a_tunnel_and_an_api_key_are_as_good(set_up):
    bench = await set_up()
    await bench.put_between(LocalProxy)
    bench.log_in(
        bench.twilio.api_key, bench.twilio.api_secret, account_sid=bench.twilio.account_sid
    )
    checks = await found(bench.client, to=ALICE, from_=BOB, server=bench.server)
    assert checks.ok, checks
    assert {check.name for check in checks if check.passed is None} <= {"account"}
    assert bench.server.public_url in repr(checks)
    assert bench.twilio.api_secret not in repr(checks)


async def test_credentials_refused_in_a_region_bring_the_region_up(set_up):
    bench = await set_up()
    bench.log_in(bench.twilio.account_sid, "0" * 32, region="au1", edge="sydney")
    checks = await found(bench.client, to=ALICE, from_=BOB, server=bench.server)
    assert [check.name for check in checks.failed] == ["credentials"]
    assert "asks the region au1" in checks[0].fix
    bench.log_in(bench.twilio.account_sid, "0" * 32)
    checks = await found(bench.client, to=ALICE, from_=BOB, server=bench.server)
    assert "region" not in checks[0].fix


async def test_a_verified_caller_id_and_a_verified_number_are_known(set_up):
    bench = await set_up(SimulatedAccount(verified=(CAROL,)))
    checks = await found(bench.client, to=ALICE, from_=CAROL, server=bench.server)
    assert checks.ok, checks
    assert "verified caller ID" in repr(checks)


async def test_it_calls_nobody_and_leaves_nothing_behind(set_up, caplog):
    caplog.set_level(logging.INFO)
    bench = await set_up()
    assert (await found(bench.client, to=ALICE, from_=BOB, server=bench.server)).ok
    assert list(bench.twilio.calls) == []
    assert list(bench.server.streams) == []
    assert len(bench.twilio.debugger) == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= 40] == []
    assert bench.twilio.auth_token not in caplog.text
    # Nobody who waits for a stream is answered with the one that was opened to look.
    waiting = bench.server.next_stream()
    assert not waiting.done()


async def test_without_numbers_and_server_those_parts_are_left_out(set_up):
    bench = await set_up()
    checks = await found(bench.client)
    assert [check.sign for check in checks] == ["✓", "✓", *["–"] * 7, "✓"]
    assert checks.ok


async def test_a_notebook_shows_them_as_a_table(set_up):
    bench = await set_up()
    html = render_html(await found(bench.client, to="<script>", from_=BOB, server=bench.server))
    assert html.count("<tr ") == len(NAMES) + 1
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "8 of 10 passed, 1 failed" in html


async def test_a_part_that_never_ends_is_given_up_and_hides_no_other(set_up, monkeypatch):
    bench = await set_up()
    blocked = threading.Event()
    monkeypatch.setattr(preflight_module, "PART_SECONDS", 0.3)
    monkeypatch.setattr(
        preflight_module, "check_address", lambda *_, **__: blocked.wait(LIMIT_SECONDS)
    )
    try:
        checks = await found(bench.client, to=ALICE, from_=BOB, server=bench.server)
    finally:
        blocked.set()
    lost = [check.name for check in checks if check.passed is None]
    assert lost == ["public address", "WebSocket", "signatures"]
    assert checks.ok


async def test_simulator_that_has_stopped_is_said_and_not_raised():
    async with SimulatedTwilio() as twilio:
        client = twilio.client
    checks = await found(client, to=ALICE, from_=BOB)
    assert checks[0].passed is False
    assert "has stopped" in checks[0].detail


async def test_waiting_on_the_simulators_own_loop_is_refused(set_up):
    bench = await set_up()
    pending = preflight(bench.client)
    with pytest.raises(WouldDeadlock):
        pending.result(5)
    assert (await soon(pending)).ok


async def test_what_preflight_passes_can_be_called(set_up):
    """A check that said ✓ to a call that is then refused would be worse than none."""
    from twistream_kit.live.dialling.place import place_call

    bench = await set_up()
    bench.twilio.phone(ALICE)
    options = {"to": ALICE, "from_": BOB}
    assert (await found(bench.client, server=bench.server, **options)).ok
    call = await soon(place_call(bench.client, stream_url=bench.server.stream_url, **options))
    stream = await soon(bench.server.next_stream(call))
    assert stream.is_open
    await soon(call.hang_up())
