"""Incoming calls as a whole: a phone dials, the number leads through a real ``ssh -R``, and back.

A signature is valid for the one address it was made for.  So a request that is let in here was
made for the tunnel's address; how many came, and by which method, is noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random

import numpy as np
import pytest

from support.sshd import is_refused, kill_ssh, ssh_tunnel
from support.waiting import eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.errors import CallRefused
from twistream_kit.live.dialling.number_route import route_number
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.server.webhooks import Webhooks
from twistream_kit.simulator.call._speech import make_error_tone

ALICE = "+15550100001"
SILENCE = b"\xff"


def noise(seconds, seed):
    """Sound in which every place is unlike every other, and that holds no silence."""
    return Clip(bytes(random.Random(seed).choices(range(0x70), k=int(seconds * 8000))))


GREETING, SONG, QUESTION = noise(0.2, 1), noise(0.5, 2), noise(0.3, 3)


@pytest.fixture
def tunnel_to(sshd):
    return functools.partial(ssh_tunnel, host=sshd)


@pytest.fixture
async def number(twilio):
    """A number that another server answers, which is not there; each field differs from ours."""
    (own,) = await asyncio.to_thread(twilio.client.incoming_phone_numbers.list, limit=1)
    await asyncio.to_thread(
        own.update,
        voice_url="http://127.0.0.1:9/before?x=1&y=%20",
        voice_method="GET",
        voice_fallback_url="http://127.0.0.1:9/fallback",
        voice_fallback_method="GET",
        status_callback="http://127.0.0.1:9/status",
        status_callback_method="GET",
        friendly_name="Front desk",
    )
    return own.phone_number


@pytest.fixture
def record_of(twilio):
    """Return all that Twilio says of a number: the JSON, whole."""

    async def ask(number):
        url = f"https://api.twilio.com/2010-04-01/Accounts/{twilio.account_sid}"
        url += "/IncomingPhoneNumbers.json"
        response = await asyncio.to_thread(
            twilio.client.request, "GET", url, params={"PhoneNumber": number}
        )
        (record,) = json.loads(response.text)["incoming_phone_numbers"]
        return record

    return ask


@pytest.fixture
def asked(monkeypatch):
    """What a server was asked for beside the streams: method, path, and the status answered."""
    noted, answer = [], Webhooks.answer

    def note(self, request, *args, **options):
        answered = answer(self, request, *args, **options)
        noted.append((request.method, request.path, int(answered.status)))
        return answered

    monkeypatch.setattr(Webhooks, "answer", note)
    return noted


async def hears(voice, payload):
    """Read a stream's `audio` until as much as `payload` was said; return what that was."""
    said = bytearray()
    async for samples in voice:
        said += encode_ulaw(np.asarray(samples)).replace(SILENCE, b"")
        if len(said) >= len(payload):
            break
    return bytes(said)


async def test_whole_incoming_call_through_a_tunnel(twilio, number, record_of, tunnel_to, asked):
    before = await record_of(number)
    phone = twilio.phone(ALICE)
    async with StreamServer(auth_token=twilio.auth_token) as server, tunnel_to(server) as tunnel:
        asked.clear()  # how the tunnel was proved
        async with route_number(twilio.client, number, server):
            during = await record_of(number)
            assert during["voice_url"] == f"{tunnel.public_url}/twiml"
            assert (during["voice_method"], during["status_callback_method"]) == ("POST", "POST")
            assert during["status_callback"] == f"{tunnel.public_url}/status"

            stream = server.next_stream()
            dialled = phone.dial(number)
            stream = await soon(stream)
            theirs = await soon(dialled)
            assert (theirs.direction, theirs.from_, theirs.to) == ("inbound", ALICE, number)
            assert stream.call_sid == theirs.sid
            assert stream.parameters == {"from": ALICE, "to": number}
            assert asked[0] == ("POST", "/twiml", 200)

            # Both ways, byte for byte, in order, and nothing else.
            voice = stream.audio()
            greeting, song = stream.play(GREETING), stream.play(SONG, mark="song")
            said = phone.say(QUESTION)
            assert await soon(hears(voice, QUESTION.payload)) == QUESTION.payload
            assert await soon(said) == QUESTION.seconds
            outcomes = [await soon(greeting), await soon(song)]
            assert [outcome.ending for outcome in outcomes] == ["heard", "heard"]
            ear = phone.heard.payload.replace(SILENCE, b"")
            assert ear == GREETING.payload + SONG.payload

            phone.hang_up()
            assert (await soon(stream.closed)).reason == "stop"
            assert stream.disconnect_reason == ""
            await eventually(lambda: len(server.status_events) == 3)
        assert await record_of(number) == before
    assert [event.name for event in server.status_events if event.stream_sid] == [
        "stream-started", "stream-stopped",
    ]  # fmt: skip
    assert [event.name for event in server.status_events if event.is_final] == ["completed"]
    assert {event.call_sid for event in server.status_events} == {theirs.sid}
    assert asked[1:] == [("POST", "/status", 204)] * 3
    reported = [name for _, name in stream.capture.statuses]
    assert sorted(reported) == ["completed", "stream-started", "stream-stopped"]
    assert theirs.status == "completed"
    assert len(twilio.debugger) == 0


class OutOfOrder(Exception):
    """What a cell may raise."""


@pytest.mark.parametrize("way", ["error", "cancellation"])
async def test_number_is_put_back_when_the_block_is_left_by(
    way, twilio, number, record_of, tunnel_to
):
    before = await record_of(number)
    phone = twilio.phone(ALICE)
    async with StreamServer(auth_token=twilio.auth_token) as server, tunnel_to(server):
        streams = []

        async def answer():
            async with route_number(twilio.client, number, server):
                waiting = server.next_stream()
                phone.dial(number)
                streams.append(await soon(waiting))
                if way == "error":
                    raise OutOfOrder
                await asyncio.Event().wait()

        answering = asyncio.create_task(answer())
        await eventually(lambda: streams)
        if way == "cancellation":
            answering.cancel()
        with pytest.raises(OutOfOrder if way == "error" else asyncio.CancelledError):
            await soon(answering)
        assert await record_of(number) == before
        # The call that was answered goes on: only the next ones go elsewhere.
        (stream,) = streams
        assert (await soon(stream.play(GREETING))).ending == "heard"
        assert phone.heard.payload.replace(SILENCE, b"") == GREETING.payload
        phone.hang_up()
        await soon(stream.closed)


async def test_server_with_another_token_lets_no_call_in(
    twilio, number, record_of, tunnel_to, asked, caplog
):
    before = await record_of(number)
    phone = twilio.phone(ALICE)
    async with StreamServer(auth_token="f" * 32) as server, tunnel_to(server) as tunnel:
        asked.clear()  # how the tunnel was proved
        async with route_number(twilio.client, number, server):
            waiting = server.next_stream()
            theirs = await soon(phone.dial(number))
            await soon(phone.until("idle"))
            await eventually(lambda: theirs.over and len(asked) == 2)
            assert asked == [("POST", "/twiml", 403), ("POST", "/status", 403)]
        assert await record_of(number) == before
        first = twilio.debugger[0]
        assert (first.code, first.call_sid) == (11200, theirs.sid)
        assert f"{tunnel.public_url}/twiml answered with HTTP status 403" in first.text
        # The number's fallback, which stays as it was, is not there; no report is let in either.
        await eventually(lambda: len(twilio.debugger.codes) > 2)
        assert sorted(twilio.debugger.codes[1:]) == [11202, 15003]
        assert make_error_tone() in phone.heard.payload
        assert not waiting.done()
        assert server.streams == ()
        assert server.status_events == []
        refused = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
        assert refused[0] == "a request for /twiml without a valid signature was refused"


async def test_dialling_while_the_tunnel_is_down_is_said_to_the_caller_and_mended_by_routing_anew(
    twilio, number, record_of, tunnel_to
):
    before = await record_of(number)
    phone = twilio.phone(ALICE)
    async with StreamServer(auth_token=twilio.auth_token) as server:
        async with tunnel_to(server) as tunnel, route_number(twilio.client, number, server):
            port = int(tunnel.public_url.rpartition(":")[2])
            kill_ssh()
            await eventually(lambda: server.disconnect_reason and is_refused(port))
            theirs = await soon(phone.dial(number))
            await soon(phone.until("idle"))
            await eventually(lambda: theirs.over)
            await eventually(lambda: len(twilio.debugger) == 3)  # TwiML, fallback, status
            assert twilio.debugger.codes == [11202] * 3
            assert make_error_tone() in phone.heard.payload
            assert server.streams == ()
            assert theirs.status == "completed"
        # What was put back needs no tunnel.
        assert await record_of(number) == before
        async with tunnel_to(server), route_number(twilio.client, number, server):
            waiting = server.next_stream()
            phone.dial(number)
            stream = await soon(waiting)
            assert (await soon(stream.play(GREETING))).ending == "heard"
            assert phone.heard.payload.replace(SILENCE, b"") == GREETING.payload
            phone.hang_up()
            await soon(stream.closed)
    assert await record_of(number) == before


@pytest.mark.parametrize("first_left", ["the tunnel", "the server"])
async def test_order_in_which_things_are_stopped_does_not_matter_to_the_number(
    first_left, twilio, number, record_of, tunnel_to
):
    # A notebook's cells start them one by one, and may stop them in any order.
    before = await record_of(number)
    async with contextlib.AsyncExitStack() as server_stack, contextlib.AsyncExitStack() as stack:
        server = StreamServer(auth_token=twilio.auth_token)
        await server_stack.enter_async_context(server)
        tunnel = await stack.enter_async_context(tunnel_to(server))
        route = route_number(twilio.client, number, server)
        await route.__aenter__()
        await (stack if first_left == "the tunnel" else server_stack).aclose()
        assert (await record_of(number))["voice_url"].endswith("/twiml")
        await route.__aexit__(None, None, None)
        assert await record_of(number) == before
        assert not route.is_open
    assert tunnel.ended.result(0) == (
        "closed" if first_left == "the tunnel" else "the server that it leads to has stopped"
    )


async def test_caller_who_hangs_up_while_it_rings_leaves_no_wait_of_the_next_behind(
    twilio, number, tunnel_to
):
    phone = twilio.phone(ALICE)
    async with (
        StreamServer(auth_token=twilio.auth_token) as server,
        tunnel_to(server),
        route_number(twilio.client, number, server),
    ):
        waiting = server.next_stream()
        dialled = phone.dial(number)
        await soon(phone.until("dialling"))
        with contextlib.suppress(CallRefused):
            phone.hang_up()
        theirs = await soon(dialled)
        await eventually(lambda: theirs.over)
        await soon(phone.until("idle"))
        if waiting.done():  # it was answered in this very moment
            await soon((await waiting).closed)
            waiting = server.next_stream()
        phone.dial(number)
        stream = await soon(waiting)
        assert stream.call_sid != theirs.sid
        phone.hang_up()
        await soon(stream.closed)
