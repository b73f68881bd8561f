"""What the live side says when it is asked for the impossible: one table, exact text.

Each says what is wrong, what follows and what to do.
"""

import asyncio
import errno
import re
import struct

import pytest
import requests
from twilio.rest import Client

from support.far_end import TOKEN
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.local_proxy import LocalProxy
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.settings import settings
from twistream_kit.live.tunnel import tunnel

WAV = b"RIFF" + struct.pack("<I", 1000) + b"WAVEfmt " + bytes(100)


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWISTREAM_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def path():
    StreamServer(path="media")


def public_url():
    StreamServer(public_url="example.com")


def empty_token():
    StreamServer(auth_token="")


def handler():
    StreamServer("greet")


def send_ahead():
    StreamServer(send_ahead_seconds=0.1)


def dead_after():
    StreamServer(dead_after=0)


def port_number():
    StreamServer(port=70_000)


def port_of_a_stopped_server():
    return StreamServer().port


def wait_at_a_stopped_server():
    return StreamServer().next_stream().result(0)


def proxy_that_does_not_run():
    return LocalProxy(StreamServer()).url


def no_account_at_all():
    settings.client_from_environment()


def unsigned_tunnel():
    tunnel.open_tunnel(StreamServer(), "static", url="https://example.com")


def tunnel_without_address():
    tunnel.open_tunnel(StreamServer(auth_token=TOKEN))


def tunnel_without_url():
    tunnel.open_tunnel(StreamServer(auth_token=TOKEN), "static")


def unknown_provider():
    tunnel.open_tunnel(StreamServer(auth_token=TOKEN), "bongo")


def tunnel_without_tls():
    tunnel.open_tunnel(StreamServer(auth_token=TOKEN), "static", url="http://example.com")


def tunnel_to_somebody_else():
    server = StreamServer(auth_token=TOKEN)

    async def run():
        async with server, StreamServer() as other:
            url = f"http://127.0.0.1:{other.port}"
            async with tunnel.open_tunnel(server, "static", url=url):
                pass

    asyncio.run(run())


def tunnel_to_nobody():
    async def run():
        async with StreamServer() as gone:
            url = f"http://127.0.0.1:{gone.port}"
        server = StreamServer(auth_token=TOKEN)
        async with server, tunnel.open_tunnel(server, "static", url=url):
            pass

    asyncio.run(run())


def loopback_for_the_real_twilio():
    client = Client("AC" + "0" * 32, "0" * 32)
    place_call(client, to="+1", from_="+2", stream_url="ws://127.0.0.1:5000/media")


def network_down():
    class Down:
        def request(self, *args, **options):
            raise requests.ConnectionError("no route to host")

    client = Client("AC" + "0" * 32, "0" * 32, http_client=Down())
    url = "wss://example.com/media"
    place_call(client, to="+15550100001", from_="+15005550006", stream_url=url).result(
        LIMIT_SECONDS
    )


TEXTS = {
    path: (
        "the path 'media' cannot be used for streams. It has to begin with a slash, hold no query "
        "(Twilio drops one), and be none of /twiml, /status, /health. Leave it out, or say "
        "path='/media'."
    ),
    public_url: (
        "the public address 'example.com' cannot be used. It needs a scheme and a host, and no "
        "query. Give it as https://example.com, without the path of the stream."
    ),
    empty_token: (
        "auth_token is empty. No signature could be valid, so every request would be refused. "
        "Give the account's token, or leave it out to check nothing."
    ),
    handler: (
        "handler is str, not a function: give `async def (stream)` or an ordinary function of one "
        "stream."
    ),
    send_ahead: (
        "send_ahead_seconds is 0.1; it must be between 0.2 (less starves Twilio's buffer) and 590 "
        "(Twilio discards what goes beyond ten minutes)."
    ),
    dead_after: "dead_after is 0; it is a number of seconds above 0.",
    port_number: "port is 70000; it is from 1 to 65535, or 0 for a free one.",
    port_of_a_stopped_server: (
        "the stream server is not running, so it has no port. Start it with kit.start(server) or "
        "`async with server`."
    ),
    wait_at_a_stopped_server: (
        "the stream server is not running. Enter it with `async with` or kit.start(…)."
    ),
    proxy_that_does_not_run: "the local proxy is not running. Start it with kit.start.",
    no_account_at_all: (
        "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set. Without an account there is nobody "
        "to place a call. Set them in the environment or in a file .env beside the notebook (see "
        ".env.example), or use kit.SimulatedTwilio(), which needs none."
    ),
    unsigned_tunnel: (
        "this server checks no signatures. Anyone who finds the address could play into your call. "
        "Make it with StreamServer(auth_token=…), or say unsigned=True."
    ),
    tunnel_without_address: (
        "TWISTREAM_PUBLIC_URL and NGROK_AUTHTOKEN are not set, and cloudflared is not on the PATH. "
        "There is no public address, and Twilio cannot reach this machine. Set "
        "TWISTREAM_PUBLIC_URL to an https address that leads here, or set NGROK_AUTHTOKEN and "
        "install the package ngrok, or put cloudflared on the PATH."
    ),
    tunnel_without_url: "a static tunnel needs its address. Say url='https://…'.",
    unknown_provider: (
        "there is no tunnel provider 'bongo'. Say one of 'auto', 'static', 'ngrok', "
        "'cloudflared', 'ssh'."
    ),
    tunnel_without_tls: (
        "'http://example.com' is not an https address. Twilio connects streams over TLS only. "
        "Give the https address under which this machine is reached."
    ),
    tunnel_to_somebody_else: (
        "http://127.0.0.1:PORT/health answers, but not from this process (HTTP 200). Calls would "
        "go to somebody else's server, or to an earlier one of yours. Point the proxy or tunnel at "
        "this server's port."
    ),
    tunnel_to_nobody: (
        "http://127.0.0.1:PORT/health refused the connection. Twilio would not reach this "
        "server either. Start the proxy or tunnel that leads to this server's port, and try again."
    ),
    loopback_for_the_real_twilio: (
        "ws://127.0.0.1:PORT/media cannot be reached by Twilio: it needs a wss address on the "
        "public internet, and it begins with ws:// instead of wss://. The call would be answered "
        "and dropped, with error 31920 or 31922. Open a tunnel first: "
        "kit.start(kit.open_tunnel(server)), then use server.stream_url."
    ),
    network_down: (
        "Twilio could not be reached (ConnectionError) to call +15550100001 from +15005550006. "
        "Whether the request arrived is not known. Look at the network, the proxy and the name of "
        "the region, then at the calls in the Twilio console before you try again."
    ),
}


@pytest.mark.parametrize("wrong", TEXTS, ids=lambda wrong: wrong.__name__)
def test_mistake_is_answered_with_exactly_this(wrong):
    with pytest.raises(Exception) as raised:
        wrong()
    assert re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", str(raised.value)) == TEXTS[wrong]


def test_port_in_use_says_what_to_do():
    async def run():
        async with StreamServer() as first:
            port = first.port
            with pytest.raises(OSError, match="cannot listen") as raised:
                await StreamServer(port=port).__aenter__()
            return port, raised.value

    port, error = asyncio.run(run())
    assert error.errno == errno.EADDRINUSE
    assert str(error) == (
        f"the stream server cannot listen on 127.0.0.1, port {port}: {error.__cause__.strerror}. "
        "Another program has it, or the earlier server still runs. Say port=0 for a free one, or "
        "stop the other."
    )


STREAM_TEXTS = [
    (
        lambda stream: stream.play(WAV),
        (
            "media.payload starts with RIFF: it is a whole WAV file, not bare PCMU. Twilio would "
            "accept it and play noise, logging nothing. Send kit.load_clip(path).payload."
        ),
    ),
    (
        lambda stream: stream.play("greeting.wav"),
        (
            "sound is bytes, or an array of int16 or of float in [-1, 1], not str; "
            "stream.play(kit.load_clip(path)) plays a file."
        ),
    ),
    (
        lambda stream: stream.speak().write(Clip.tone(440, 1)),
        (
            "sound is bytes, or an array of int16 or of float in [-1, 1], not Clip; "
            "stream.play(clip) plays it."
        ),
    ),
    (
        lambda stream: stream.speak().write([0.5]),
        (
            "sound is bytes, or an array of int16 or of float in [-1, 1], not list; "
            "np.array(samples, 'int16') makes an array, of floats np.array(samples, 'float32')."
        ),
    ),
    (
        lambda stream: stream.mark(""),
        (
            "mark.name is ''. Twilio would log warning 31951 and never return it. Give the mark a "
            "short name of ASCII letters."
        ),
    ),
    (
        lambda stream: stream.play(b"").heard(-1),
        "heard() takes a duration in seconds, 0 or more, not -1.",
    ),
    (
        lambda stream: stream.closed.result(1),
        (
            "result() was called on the event loop that has to bring the result. Both would wait "
            "for ever. Say `await` instead, or call it from an ordinary function on another thread."
        ),
    ),
    (
        lambda stream: next(iter(stream.audio())),
        (
            "`for` over a stream runs on the event loop that feeds the stream. Both would wait for "
            "ever. Say `async for`, or make the handler an ordinary function."
        ),
    ),
]


@pytest.mark.parametrize(("wrong", "text"), STREAM_TEXTS)
async def test_mistake_on_a_stream_is_answered_with_exactly_this(pair, wrong, text):
    stream, _ = await pair()
    with pytest.raises(Exception) as raised:
        wrong(stream)
    assert str(raised.value) == text
