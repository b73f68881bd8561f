import asyncio
import socket

import pytest

from twistream_kit.errors import ServerStopped, SettingsError, TunnelError
from twistream_kit.live.local_proxy import LocalProxy
from twistream_kit.live.server import StreamServer
from twistream_kit.live.tunnel import open_tunnel
from twistream_kit.protocol import to_twilio

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def server(serve):
    return await serve(auth_token=TOKEN)


@pytest.fixture
async def proxy(server):
    async with LocalProxy(server) as running:
        yield running


async def test_static_tunnel_is_proved_sets_the_address_and_resets_it(server, proxy):
    tunnel = open_tunnel(server, "static", url=proxy.url + "/")
    assert repr(tunnel) == "<Tunnel (static): not open>"
    assert server.public_url is None
    async with tunnel as opened:
        assert opened is tunnel
        assert tunnel.public_url == server.public_url == proxy.url
        assert server.stream_url == proxy.url.replace("http", "ws") + "/media"
        assert repr(tunnel) == f"<Tunnel (static): {proxy.url}>"
    assert server.public_url is None
    assert tunnel.public_url is None


async def test_tunnel_that_closes_leaves_the_address_of_a_later_one(server, proxy):
    async with LocalProxy(server) as second:
        first = open_tunnel(server, "static", url=proxy.url)
        await first.__aenter__()
        async with open_tunnel(server, "static", url=second.url):
            await first.__aexit__(None, None, None)
            assert server.public_url == second.url
    assert server.public_url is None


async def test_auto_takes_the_address_from_the_environment(server, proxy, monkeypatch):
    monkeypatch.setenv("TWISTREAM_PUBLIC_URL", proxy.url)
    async with open_tunnel(server) as tunnel:
        assert tunnel.public_url == proxy.url


async def test_address_that_leads_to_another_process_is_refused(server, serve):
    stranger = await serve()
    address = f"http://127.0.0.1:{stranger.port}"
    with pytest.raises(TunnelError, match="not from this process \\(HTTP 200\\)"):
        await open_tunnel(server, "static", url=address).__aenter__()
    assert server.public_url is None


async def test_address_where_nothing_lives_is_refused(server):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(TunnelError, match="does not answer \\(ConnectionError\\)"):
            await open_tunnel(server, "static", url=address).__aenter__()
    assert server.public_url is None


async def test_proof_is_not_caught_by_a_proxy_named_in_the_environment(server, proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with open_tunnel(server, "static", url=proxy.url):
        pass


async def test_server_that_lets_anybody_in_is_refused_unless_asked_for(serve):
    server = await serve()
    async with LocalProxy(server) as proxy:
        with pytest.raises(TunnelError, match="Anyone who finds the address could play into"):
            open_tunnel(server, "static", url=proxy.url)
        async with open_tunnel(server, "static", url=proxy.url, unsigned=True):
            assert server.public_url == proxy.url


@pytest.mark.parametrize(
    "url", ["http://example.com", "example.com", "wss://example.com", "https://", "https://[::1"]
)
def test_address_that_is_not_https_is_refused(url):
    with pytest.raises(SettingsError, match="is not an https address"):
        open_tunnel(StreamServer(auth_token=TOKEN), "static", url=url)


def test_missing_address_and_unknown_provider_are_named(monkeypatch, tmp_path):
    monkeypatch.delenv("TWISTREAM_PUBLIC_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    server = StreamServer(auth_token=TOKEN)
    with pytest.raises(TunnelError, match="there is no public address to use"):
        open_tunnel(server)
    with pytest.raises(SettingsError, match="needs its address"):
        open_tunnel(server, "static")
    with pytest.raises(TunnelError, match="no tunnel provider 'carrier pigeon'"):
        open_tunnel(server, "carrier pigeon")


async def test_call_passes_through_the_proxy_both_ways(server, proxy, dial):
    async with open_tunnel(server, "static", url=proxy.url):
        through = _At(proxy.url, server)
        end = await dial(through)
        stream = await asyncio.wait_for(server.next_stream(), 5)
        playing = stream.play(b"\x11" * 16_000)
        await end.until(to_twilio.Mark, 2)
        assert b"".join(m.payload for m in end.of(to_twilio.Media)) == b"\x11" * 16_000
        await end.echo()
        assert (await asyncio.wait_for(playing, 5)).ending == "heard"
        await stream.close()
        assert await end.close_code() == 1000


async def test_proxy_passes_a_broken_connection_on(server, proxy, dial):
    async with open_tunnel(server, "static", url=proxy.url):
        end = await dial(_At(proxy.url, server))
        stream = await asyncio.wait_for(server.next_stream(), 5)
        end.vanish()
        assert (await asyncio.wait_for(stream.closed, 5)).reason == "lost"


async def test_proxy_that_stops_breaks_its_connections(server, dial):
    async with LocalProxy(server) as proxy, open_tunnel(server, "static", url=proxy.url):
        await dial(_At(proxy.url, server))
        stream = await asyncio.wait_for(server.next_stream(), 5)
    assert (await asyncio.wait_for(stream.closed, 5)).reason == "lost"


async def test_proxy_before_a_server_that_stopped_hangs_up(server, proxy, ask):
    await server.__aexit__(None, None, None)
    port = int(proxy.url.rpartition(":")[2])
    try:
        answer = await ask(_Port(port), b"GET /health HTTP/1.1\r\n\r\n")
    except ConnectionError:
        answer = b""
    assert answer == b""
    await server.__aenter__()


async def test_proxy_that_does_not_run_has_no_address(server):
    proxy = LocalProxy(server)
    assert repr(proxy) == "<LocalProxy not running>"
    with pytest.raises(ServerStopped, match="the local proxy is not running"):
        _ = proxy.url


class _Port:
    def __init__(self, port):
        self.port = port


class _At(_Port):
    """A server, by another port."""

    def __init__(self, url, server):
        super().__init__(int(url.rpartition(":")[2]))
        self.checks_signatures, self.stream_url = True, server.stream_url
        self.url = url.replace("http", "ws") + "/media"
