"""A number led to a server and back: the real SDK, the simulator, and answers of our own."""

import asyncio
import logging
import threading

import pytest

from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.errors import CallRefused, SettingsError
from twistream_kit.live.calls import exit_hooks
from twistream_kit.live.dialling.number_route import route_number
from twistream_kit.live.server.server import StreamServer
from twistream_kit.simulator.twilio import SimulatedTwilio

pytestmark = pytest.mark.usefixtures("nothing_left_for_the_exit")

ALICE = "+15550100001"
MINE = {
    "voice_url": "https://example.com/mine",
    "voice_method": "GET",
    "voice_fallback_url": "https://example.com/fallback",
    "voice_fallback_method": "GET",
    "status_callback": "https://example.com/my-status",
    "status_callback_method": "GET",
}
APPLICATION = "AP" + "1" * 32


@pytest.fixture
async def twilio():
    async with SimulatedTwilio(ring_seconds=0) as simulated:
        yield simulated


@pytest.fixture
async def server(twilio, serve):
    return await serve(auth_token=twilio.auth_token)


@pytest.fixture
def number(twilio):
    return twilio.numbers[0]


@pytest.fixture
def settings_of(twilio):
    """Look at, or change, what a number is set to."""

    async def look(number, **changes):
        def work():
            (found,) = twilio.client.incoming_phone_numbers.list(phone_number=number)
            changed = found.update(**changes) if changes else found
            names = (*MINE, "voice_application_sid", "trunk_sid")
            return {name: getattr(changed, name) or "" for name in names}

        return await asyncio.to_thread(work)

    return look


class Watched:
    """The simulator's transport, with something that happens before a request is sent."""

    def __init__(self, client, monkeypatch):
        self.requests = []
        self.before = lambda method, url: None
        usual = client.http_client.request

        def request(method, url, *args, **options):
            self.requests.append((method, url))
            self.before(method, url)
            return usual(method, url, *args, **options)

        monkeypatch.setattr(client.http_client, "request", request)


async def test_number_leads_here_and_back(twilio, server, number, settings_of):
    before = await settings_of(number, **MINE)
    route = route_number(twilio.client, number, server)
    assert repr(route) == f"<NumberRoute {number}: not routed>"
    assert not route.is_open
    assert route.previous == {}
    async with route as entered:
        assert entered is route
        assert route.is_open
        assert repr(route) == (
            f"<NumberRoute {number}: to {server.twiml_url}; before: https://example.com/mine>"
        )
        assert {name: route.previous[name] for name in MINE} == MINE
        now = await settings_of(number)
        assert now == before | {
            "voice_url": server.twiml_url,
            "voice_method": "POST",
            "status_callback": server.status_url,
            "status_callback_method": "POST",
        }
    assert await settings_of(number) == before
    assert not route.is_open
    assert exit_hooks._hooks == {}


async def test_number_without_settings_is_put_back_to_none(twilio, server, number, settings_of):
    before = await settings_of(number)
    assert before["voice_url"] == before["status_callback"] == ""
    async with route_number(twilio.client, number, server) as route:
        assert "; before: nothing>" in repr(route)
    assert await settings_of(number) == before


async def test_call_to_the_number_is_heard_here_and_its_end_reported(
    twilio, server, number, eventually
):
    async with route_number(twilio.client, number, server):
        phone = twilio.phone(ALICE)
        dialled = phone.dial(number)
        stream = await soon(server.next_stream())
        assert stream.parameters == {"from": ALICE, "to": number}
        call = await soon(dialled)
        phone.hang_up()
        await soon(stream.closed)
        await eventually(lambda: "completed" in [each.name for each in server.status_events])
    assert {each.call_sid for each in server.status_events} == {call.sid}
    assert len(twilio.debugger) == 0


async def test_number_is_put_back_after_an_error_inside(twilio, server, number, settings_of):
    before = await settings_of(number, **MINE)
    with pytest.raises(KeyError, match="inside"):
        async with route_number(twilio.client, number, server):
            raise KeyError("inside")
    assert await settings_of(number) == before


async def test_number_is_put_back_after_a_cancellation_inside(twilio, server, number, settings_of):
    before = await settings_of(number, **MINE)
    inside = asyncio.Event()

    async def wait_inside():
        async with route_number(twilio.client, number, server):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_inside())
    await soon(inside.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await settings_of(number) == before
    assert exit_hooks._hooks == {}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_cancellation_while_entering_changes_nothing(
    twilio, server, number, settings_of, monkeypatch, method
):
    before = await settings_of(number, **MINE)
    watched = Watched(twilio.client, monkeypatch)
    reached, go = threading.Event(), threading.Event()

    def hold(asked, url):
        if asked == method and not reached.is_set():
            reached.set()
            assert go.wait(LIMIT_SECONDS)

    watched.before = hold
    task = asyncio.create_task(route_number(twilio.client, number, server).__aenter__())
    assert await asyncio.to_thread(reached.wait, LIMIT_SECONDS)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await settings_of(number) == before
    assert exit_hooks._hooks == {}


async def test_cancellation_while_leaving_puts_back_first(
    twilio, server, number, settings_of, monkeypatch
):
    before = await settings_of(number, **MINE)
    route = await route_number(twilio.client, number, server).__aenter__()
    watched = Watched(twilio.client, monkeypatch)
    reached, go = threading.Event(), threading.Event()

    def hold(asked, url):
        reached.set()
        assert go.wait(LIMIT_SECONDS)

    watched.before = hold
    task = asyncio.create_task(route.__aexit__(None, None, None))
    assert await asyncio.to_thread(reached.wait, LIMIT_SECONDS)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await settings_of(number) == before


async def test_what_somebody_else_has_set_meanwhile_is_left(
    twilio, server, number, settings_of, said
):
    await settings_of(number, **MINE)
    async with route_number(twilio.client, number, server):
        theirs = await settings_of(number, voice_url="https://example.com/theirs")
    now = await settings_of(number)
    assert now["voice_url"] == theirs["voice_url"]
    assert now["voice_method"] == "POST"  # which belongs to the URL
    assert now["status_callback"] == MINE["status_callback"]
    assert now["status_callback_method"] == MINE["status_callback_method"]
    assert any("voice_url" in line and "somebody else" in line for line in said(logging.WARNING))


async def test_what_was_put_back_by_hand_meanwhile_is_no_error(
    twilio, server, number, settings_of, said
):
    before = await settings_of(number, **MINE)
    async with route_number(twilio.client, number, server):
        await settings_of(number, **MINE)
    assert await settings_of(number) == before
    assert said(logging.WARNING) == []


async def test_application_is_taken_off_and_put_back(twilio, server, number, settings_of):
    before = await settings_of(number, **MINE, voice_application_sid=APPLICATION)
    async with route_number(twilio.client, number, server) as route:
        assert route.previous["voice_application_sid"] == APPLICATION
        assert APPLICATION in repr(route)
        assert (await settings_of(number))["voice_application_sid"] == ""
    assert await settings_of(number) == before


async def test_number_on_a_trunk_is_refused_and_stays_there(twilio, server, number, settings_of):
    before = await settings_of(number, trunk_sid="TK" + "1" * 32)
    with pytest.raises(SettingsError, match="go to the SIP trunk TK111"):
        await route_number(twilio.client, number, server).__aenter__()
    assert await settings_of(number) == before
    assert exit_hooks._hooks == {}


async def test_number_that_the_account_has_not_is_refused_with_those_it_has(twilio, server):
    with pytest.raises(SettingsError, match="has no number") as refused:
        await route_number(twilio.client, "+15550199999", server).__aenter__()
    for number in twilio.numbers:
        assert number in str(refused.value)


async def test_part_of_a_number_is_not_the_number(twilio, server, number):
    with pytest.raises(SettingsError, match="has no number"):
        await route_number(twilio.client, number[:-2], server).__aenter__()


async def test_credentials_that_are_refused_are_said_in_words(twilio, server, number):
    twilio.client.auth = (twilio.account_sid, "0" * 32)
    with pytest.raises(CallRefused, match="to look for the number") as refused:
        await route_number(twilio.client, number, server).__aenter__()
    assert refused.value.code == 20003
    assert exit_hooks._hooks == {}


@pytest.mark.parametrize(
    ("public_url", "problem"),
    [
        (None, "leads to this machine"),
        ("http://example.com", "is not https"),
        ("https://my_host.example.com", "underscore"),
    ],
)
async def test_server_out_of_twilios_reach_is_refused_before_anything_is_asked(
    twilio, serve, number, monkeypatch, public_url, problem
):
    server = await serve(auth_token=twilio.auth_token, public_url=public_url)
    client = twilio.client
    monkeypatch.setattr(client.http_client, "dials_loopback", False)
    watched = Watched(client, monkeypatch)
    with pytest.raises(SettingsError, match=f"{problem}.*open_tunnel"):
        await route_number(client, number, server).__aenter__()
    assert watched.requests == []


async def test_server_that_lets_anybody_in_is_refused_unless_declared_unsigned(
    twilio, serve, number
):
    server = await serve()
    with pytest.raises(SettingsError, match="unsigned=True"):
        route_number(twilio.client, number, server)
    async with route_number(twilio.client, number, server, unsigned=True) as route:
        assert route.is_open


async def test_entering_twice_is_refused_and_again_afterwards_is_not(twilio, server, number):
    route = route_number(twilio.client, number, server)
    async with route:
        with pytest.raises(RuntimeError, match="entered already"):
            await route.__aenter__()
    async with route:
        assert route.is_open


async def test_routes_inside_each_other_are_put_back_one_by_one(
    twilio, server, serve, number, settings_of
):
    inner = await serve(auth_token=twilio.auth_token)
    before = await settings_of(number, **MINE)
    async with route_number(twilio.client, number, server):
        async with route_number(twilio.client, number, inner):
            assert (await settings_of(number))["voice_url"] == inner.twiml_url
        assert (await settings_of(number))["voice_url"] == server.twiml_url
    assert await settings_of(number) == before


async def test_routes_left_in_the_wrong_order_are_put_back_all_the_same(
    twilio, server, serve, number, settings_of, said
):
    upper_server = await serve(auth_token=twilio.auth_token)
    before = await settings_of(number, **MINE)
    lower = await route_number(twilio.client, number, server).__aenter__()
    upper = await route_number(twilio.client, number, upper_server).__aenter__()
    await lower.__aexit__(None, None, None)
    assert (await settings_of(number))["voice_url"] == upper_server.twiml_url
    await upper.__aexit__(None, None, None)
    assert await settings_of(number) == before
    assert not any("somebody else" in line for line in said(logging.WARNING))


async def test_one_of_two_routes_to_one_server_takes_nothing_from_the_other(
    twilio, server, number, settings_of
):
    before = await settings_of(number, **MINE)
    lower = await route_number(twilio.client, number, server).__aenter__()
    async with route_number(twilio.client, number, server):
        await lower.__aexit__(None, None, None)
        assert (await settings_of(number))["voice_url"] == server.twiml_url
    assert await settings_of(number) == before


async def test_simulator_that_stops_first_takes_its_numbers_along(serve, said):
    async with SimulatedTwilio() as twilio:
        server = await serve(auth_token=twilio.auth_token)
        route = await route_number(twilio.client, twilio.numbers[0], server).__aenter__()
    await route.__aexit__(None, None, None)
    assert not route.is_open
    assert exit_hooks._hooks == {}
    assert said(logging.WARNING) == []


async def test_failure_to_put_back_is_said_with_what_to_set_by_hand(
    twilio, server, number, settings_of, monkeypatch, said
):
    await settings_of(number, **MINE)
    route = await route_number(twilio.client, number, server).__aenter__()
    monkeypatch.setattr(twilio.client, "auth", (twilio.account_sid, "0" * 32))
    with pytest.raises(CallRefused) as refused:
        await route.__aexit__(None, None, None)
    assert refused.value.code == 20003
    assert any("https://example.com/mine" in line for line in said(logging.ERROR))
    # The exit of the interpreter tries once more.
    monkeypatch.undo()
    await asyncio.to_thread(route._put_back_within, LIMIT_SECONDS)
    assert (await settings_of(number))["voice_url"] == MINE["voice_url"]


async def test_failure_to_put_back_does_not_hide_the_error_inside(
    twilio, server, number, monkeypatch, said
):
    with pytest.raises(KeyError, match="inside"):
        async with route_number(twilio.client, number, server):
            monkeypatch.setattr(twilio.client, "auth", (twilio.account_sid, "0" * 32))
            raise KeyError("inside")
    assert any("could not be put back" in line for line in said(logging.ERROR))


async def test_exit_of_the_interpreter_puts_back_and_leaving_then_asks_nothing(
    twilio, server, number, settings_of, monkeypatch
):
    before = await settings_of(number, **MINE)
    route = await route_number(twilio.client, number, server).__aenter__()
    await asyncio.to_thread(exit_hooks.undo_all)
    assert await settings_of(number) == before
    watched = Watched(twilio.client, monkeypatch)
    await route.__aexit__(None, None, None)
    assert watched.requests == []


def test_constructing_touches_no_loop_and_no_network():
    server = StreamServer(auth_token="0" * 32)
    route = route_number(None, "+15005550006", server)
    assert not route.is_open
