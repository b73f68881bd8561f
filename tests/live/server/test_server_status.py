"""What a server makes of status callbacks, and of the loss of its public address."""

from urllib.parse import urlencode

import pytest

from support.waiting import soon
from twistream_kit.errors import CallRefused, ServerStopped, TunnelError
from twistream_kit.live.server.server import StreamServer


@pytest.fixture
def tell(ask):
    async def post(server, **form):
        body = urlencode(form).encode()
        head = b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert b" 204 " in await ask(server, head + body)

    return post


async def test_a_call_that_ends_brings_no_stream_and_says_why(serve, tell):
    server = await serve()
    ours, other, any_call = (server.next_stream(call) for call in ("CA1", "CA2", None))
    await tell(server, CallSid="CA1", CallStatus="busy", SequenceNumber="2")
    with pytest.raises(CallRefused, match="ended as busy"):
        await soon(ours)
    assert not other.done()
    assert not any_call.done()
    with pytest.raises(CallRefused, match="ended as busy"):
        await soon(server.next_stream("CA1"))


async def test_a_stream_that_fails_says_so_to_who_waits_for_it(serve, tell):
    server = await serve()
    wait = server.next_stream("CA1")
    error = "Stream - Websocket - Handshake Error"
    await tell(
        server, CallSid="CA1", StreamSid="MZ1", StreamEvent="stream-error", StreamError=error
    )
    with pytest.raises(CallRefused, match=error):
        await soon(wait)


async def test_a_stream_that_came_is_found_after_its_call_has_ended(pair, dial, tell, serve):
    server = await serve()
    end = await dial(server)
    stream = await soon(server.next_stream(end.call_sid))
    await end.stop()
    await soon(stream.closed)
    await tell(server, CallSid=end.call_sid, CallStatus="completed")
    assert await soon(server.next_stream(end.call_sid)) is stream


async def test_of_two_streams_of_a_call_the_open_one_is_found(serve, dial):
    server = await serve()
    first = await dial(server)
    ended = await soon(server.next_stream(first.call_sid))
    await first.stop()
    await soon(ended.closed)
    second = await dial(server, start=False)
    second.call_sid = first.call_sid
    await second.begin()
    await soon(server.next_stream())
    found = await soon(server.next_stream(first.call_sid))
    assert found.stream_sid == second.stream_sid
    await second.stop()


async def test_progress_stands_in_the_capture_of_its_stream(serve, dial, tell):
    server = await serve()
    end = await dial(server, start=False)
    await tell(server, CallSid=end.call_sid, CallStatus="ringing")
    await tell(server, CallSid="CA-another", CallStatus="busy")
    await end.begin()
    stream = await soon(server.next_stream())
    await tell(server, CallSid=end.call_sid, CallStatus="completed")
    (before, ringing), (after, completed) = stream.capture.statuses
    assert (ringing, completed) == ("ringing", "completed")
    assert before < 0 < after


async def test_follow_call_receives_events_until_it_is_ended(serve, tell, eventually):
    server, received = await serve(), []
    await tell(server, CallSid="CA1", CallStatus="initiated")
    end = server.follow_call("CA1", received.append)
    await tell(server, CallSid="CA1", CallStatus="ringing")
    end()
    end()
    await tell(server, CallSid="CA1", CallStatus="completed")
    assert [event.name for event in received] == ["initiated", "ringing"]


async def test_follow_call_ends_with_the_server():
    async with StreamServer() as server:
        end = server.follow_call("CA1", print)
    end()
    with pytest.raises(ServerStopped):
        server.follow_call("CA1", print)


async def test_a_lost_address_ends_the_waits_and_shows_in_the_streams(pair, serve, dial, said):
    server = await serve(public_url="https://example.com")
    end = await dial(server)
    stream = await soon(server.next_stream())
    waits = [server.next_stream(), server.next_stream("CA-another")]
    server.lose_public_url("ssh ended with 255")
    for wait in waits:
        with pytest.raises(TunnelError, match="ssh ended with 255"):
            await soon(wait)
    assert (server.public_url, server.disconnect_reason) == (None, "ssh ended with 255")
    assert stream.disconnect_reason == "ssh ended with 255"
    assert stream.is_open
    assert "the public address is gone: ssh ended with 255" in said()
    assert server.stream_url == server.url
    await end.stop()


async def test_follow_call_hears_of_the_loss_of_the_address(serve, eventually, said):
    server, lost = await serve(public_url="https://example.com"), []

    def fails():
        raise ZeroDivisionError

    server.follow_call("CA1", print, on_loss=fails)
    server.follow_call("CA1", print, on_loss=lambda: lost.append(True))
    server.lose_public_url("ssh ended")
    await eventually(lambda: lost)
    assert lost == [True]


async def test_a_new_address_clears_the_disconnect_reason(serve):
    server = await serve(public_url="https://example.com")
    wait = server.next_stream()
    server.lose_public_url("gone")
    with pytest.raises(TunnelError):
        await soon(wait)
    server.public_url = "https://new.example.com"
    assert server.disconnect_reason == ""


async def test_losing_the_address_of_a_stopped_server_does_nothing():
    server = StreamServer(public_url="https://example.com")
    server.lose_public_url("gone")
    assert server.public_url == "https://example.com"
