import asyncio
import logging
import socket
import types
from pathlib import Path

import pytest

from support.far_end import TOKEN
from support.waiting import soon
from twistream_kit.errors import ServerStopped, SettingsError, TunnelError
from twistream_kit.live import tunnel as tunnel_folder
from twistream_kit.live.server.local_proxy import LocalProxy
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.settings.settings import settings
from twistream_kit.live.tunnel import _ngrok
from twistream_kit.live.tunnel._provider import (
    PROVIDERS,
    ProviderRow,
    join_words,
    list_auto_rows,
    suggest_another_way,
)
from twistream_kit.live.tunnel.tunnel import Tunnel, open_tunnel
from twistream_kit.protocol import to_twilio


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
        with pytest.raises(TunnelError, match="refused the connection"):
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


@pytest.mark.parametrize(
    "url", ["https://example.com/?a=1", "https://example.com#part", "http://127.0.0.1:9?a=1"]
)
def test_address_with_a_query_or_a_fragment_is_refused(url):
    with pytest.raises(SettingsError, match="has a query or a fragment"):
        open_tunnel(StreamServer(auth_token=TOKEN), "static", url=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://bob:hunter2@example.com",
        "https://bob:hunter2@[::1",
        "bob:hunter2@example.com",
        "https://bob:hunt@er2@example.com?x",
        "https://bob:hunter2@example.com:0",
    ],
)
@pytest.mark.parametrize("provider", ["static", "ssh"])
def test_refusal_of_an_address_does_not_show_its_password(url, provider):
    ssh = "me@host" if provider == "ssh" else None
    with pytest.raises(SettingsError) as refused:
        open_tunnel(StreamServer(auth_token=TOKEN), provider, url=url, ssh=ssh)
    assert "bob" not in str(refused.value)
    assert "er2" not in str(refused.value)


async def test_password_of_an_address_is_used_and_not_shown(server, proxy, nobody, said):
    url = proxy.url.replace("//", "//bob:hunter2@")
    async with open_tunnel(server, "static", url=url) as tunnel:
        assert tunnel.public_url == server.public_url == url
        assert repr(tunnel) == f"<Tunnel (static): {proxy.url}>"
    broken = f"http://bob:hunter2@{nobody}"
    with pytest.raises(TunnelError, match="refused the connection") as failed:
        await open_tunnel(server, "static", url=broken).__aenter__()
    async with open_tunnel(server, url=broken, fallback_url=url) as tunnel:
        assert "hunter2" not in f"{tunnel!r} {tunnel.fallback_reason} {failed.value}"
        later = open_tunnel(server, "static", url=proxy.url)
        async with later:
            assert repr(tunnel).startswith(
                f"<Tunnel (static): {proxy.url}; not used, the server's address is {proxy.url};"
            )
        assert "; not used, the server's address is none;" in repr(tunnel)
    lines = "\n".join(said())
    assert "leads here" in lines
    assert "hunter2" not in lines


async def test_address_does_not_outlive_its_server(said):
    server = StreamServer(auth_token=TOKEN)
    await server.__aenter__()
    async with LocalProxy(server) as proxy:
        provider = Dying(proxy.url)
        provider.blow = asyncio.Event()
        async with Tunnel(server, provider) as tunnel:
            await server.__aexit__(None, None, None)
            why = await soon(tunnel.ended)
            assert why == tunnel.disconnect_reason == "the server that it leads to has stopped"
            assert provider.is_closed
            assert (tunnel.public_url, server.public_url) == (None, None)
            assert repr(tunnel) == f"<Tunnel (dying): gone: {why}>"
            assert f"the tunnel to {proxy.url} is closed: {why}" in said()
    assert server.disconnect_reason == ""
    async with server, LocalProxy(server) as again, open_tunnel(server, "static", url=again.url):
        assert server.public_url == again.url


def test_missing_address_and_unknown_provider_are_named(monkeypatch, tmp_path):
    monkeypatch.delenv("TWISTREAM_PUBLIC_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    server = StreamServer(auth_token=TOKEN)
    monkeypatch.delenv("NGROK_AUTHTOKEN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    ways = "TWISTREAM_PUBLIC_URL .* NGROK_AUTHTOKEN .* cloudflared .* PATH"
    with pytest.raises(TunnelError, match=ways):
        open_tunnel(server)
    with pytest.raises(SettingsError, match="needs its address"):
        open_tunnel(server, "static")
    with pytest.raises(TunnelError, match="no tunnel provider 'carrier pigeon'"):
        open_tunnel(server, "carrier pigeon")


class Pigeon:
    """A provider that needs nothing but a setting and a program."""

    name, settles_within, lookup_after = "pigeon", 0.0, 0.0


@pytest.fixture
def pigeons(monkeypatch):
    """A row more in the table, after all others; gives what its program and setting are."""
    state = types.SimpleNamespace(installed=True)
    row = ProviderRow(
        "pigeon",
        lambda request: Pigeon(),
        "a letter to the loft",
        set_up="set TWISTREAM_CALL_TO and buy a pigeon",
        setting="call_to",
        is_installed=lambda: state.installed,
        not_installed="there is no pigeon",
        install="Buy one",
    )
    monkeypatch.setitem(PROVIDERS, row.name, row)
    return state


def words_of_providers():
    """Say which there are, and which of them ``"auto"`` takes."""
    names = "; ".join(f'``"{row.name}"``: {row.words}' for row in PROVIDERS.values())
    ways = "; ".join(availability(row) for row in list_auto_rows())
    return f'{names}.  ``"auto"`` takes the first to be had: {ways}.'


def availability(row):
    if row.setting and row.way == row.variable:
        return f"``{row.variable}``, where it is set"
    conditions = [f"``{row.variable}`` is set"] if row.setting else []
    if row.is_installed is not None:
        conditions.append("its program or package is installed")
    return f"{row.name}, where {join_words(conditions, 'and')}" if conditions else row.name


def test_the_docstring_of_the_folder_names_no_provider():
    said = tunnel_folder.__doc__.lower()
    assert [name for name in PROVIDERS if name in said] == []
    assert "`_table`" in said


@pytest.mark.usefixtures("nothing_there")
def test_provider_in_the_table_is_chosen_and_named_everywhere(pigeons, monkeypatch):
    server = StreamServer(auth_token=TOKEN)
    assert open_tunnel(server, "pigeon").provider == "pigeon"
    with pytest.raises(TunnelError, match="'cloudflared', 'ssh', 'pigeon'"):
        open_tunnel(server, "carrier")
    with pytest.raises(SettingsError, match="pigeon gives the address, so url means nothing"):
        open_tunnel(server, "pigeon", url="https://example.com")
    with pytest.raises(SettingsError, match="ssh, ssh_options and remote_port mean nothing"):
        open_tunnel(server, "pigeon", remote_port=0)
    with pytest.raises(TunnelError) as nothing:
        open_tunnel(server)
    assert nothing.value.problem == (
        "TWISTREAM_PUBLIC_URL, NGROK_AUTHTOKEN and TWISTREAM_CALL_TO are not set, and cloudflared "
        "is not on the PATH"
    )
    assert nothing.value.fix.endswith(", or set TWISTREAM_CALL_TO and buy a pigeon")
    for besides in ("ngrok", "cloudflared", "ssh"):
        assert suggest_another_way(besides).endswith(" or pigeon")
    refused = _ngrok.to_error("ERR_NGROK_108")
    assert refused.fix.endswith("another way: TWISTREAM_PUBLIC_URL, cloudflared or pigeon")
    words = words_of_providers()
    assert '``"pigeon"``: a letter to the loft.' in words
    assert "pigeon, where ``TWISTREAM_CALL_TO`` is set and its program or package" in words

    monkeypatch.setenv("TWISTREAM_CALL_TO", "+15005550006")
    assert open_tunnel(server).provider == "pigeon"
    pigeons.installed = False
    with pytest.raises(
        TunnelError, match=r"^TWISTREAM_CALL_TO is set, but there is no pigeon\. .* Buy one\.$"
    ):
        open_tunnel(server)


def test_docstring_and_page_name_the_providers_in_the_order_of_the_table():
    docstring = " ".join(open_tunnel.__doc__.split())
    assert " ".join(words_of_providers().split()) in docstring
    assert "%(" not in docstring
    page = (Path(__file__).parents[3] / "docs/how-to/tunnels.md").read_text()
    paragraph = page[page.index("`open_tunnel` takes the first") :].split("\n\n")[0]
    places = [paragraph.index(row.way or row.name) for row in list_auto_rows()]
    assert places == sorted(places)
    assert [name for name in PROVIDERS if name not in f"static {paragraph}"] == []


@pytest.fixture
def nothing_there(nothing_set, monkeypatch, tmp_path):
    """No setting, and no cloudflared on the PATH either."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("nothing_there")
async def test_without_any_way_the_fallback_is_taken_and_says_so(server, proxy, said):
    tunnel = open_tunnel(server, fallback_url=proxy.url)
    async with tunnel:
        assert server.public_url == tunnel.public_url == proxy.url
        assert tunnel.provider == "static"
        words = (
            "no public address: TWISTREAM_PUBLIC_URL and NGROK_AUTHTOKEN are not set, and "
            "cloudflared is not on the PATH; this one works from this machine only"
        )
        assert repr(tunnel) == f"<Tunnel (static): {proxy.url}; {words}>"
        assert said(logging.WARNING) == [f"{words}: {proxy.url}"]
    assert repr(tunnel) == "<Tunnel (static): not open>"


@pytest.mark.usefixtures("nothing_there")
async def test_configured_address_that_fails_falls_back_with_its_reason(server, proxy, nobody):
    async with open_tunnel(server, url=f"http://{nobody}", fallback_url=proxy.url) as tunnel:
        assert tunnel.public_url == proxy.url
        reason = f"static: http://{nobody}/health refused the connection"
        assert tunnel.fallback_reason == reason
    with pytest.raises(TunnelError, match="refused the connection"):
        await open_tunnel(server, url=f"http://{nobody}").__aenter__()


@pytest.mark.usefixtures("nothing_there")
async def test_fallback_that_fails_too_is_an_error(server, nobody):
    tunnel = open_tunnel(server, fallback_url=f"http://{nobody}")
    with pytest.raises(TunnelError, match="refused the connection"):
        await tunnel.__aenter__()
    assert tunnel.ended.result(0) == "it could not be opened"
    assert server.public_url is None


@pytest.mark.usefixtures("nothing_there")
async def test_malformed_setting_falls_back_where_that_is_allowed(server, proxy, monkeypatch):
    monkeypatch.setenv("TWISTREAM_PUBLIC_URL", "http://example.com")
    with pytest.raises(SettingsError, match="TWISTREAM_PUBLIC_URL"):
        open_tunnel(server)
    async with open_tunnel(server, fallback_url=proxy.url) as tunnel:
        assert "TWISTREAM_PUBLIC_URL" in tunnel.fallback_reason
    with pytest.raises(SettingsError, match="needs its address"):
        open_tunnel(server, "static", fallback_url=proxy.url)  # a slip of the pen is no reason
    with pytest.raises(SettingsError, match=r"fallback_url: .* is not an https address"):
        open_tunnel(server, fallback_url="example.com")


async def test_settings_may_be_given(server, proxy):
    given = settings(public_url=proxy.url)
    async with open_tunnel(server, settings=given) as tunnel:
        assert (tunnel.provider, tunnel.public_url) == ("static", proxy.url)


async def test_tunnel_tells_when_it_is_over_and_can_be_opened_again(server, proxy):
    tunnel = open_tunnel(server, "static", url=proxy.url)
    first = tunnel.ended
    async with tunnel:
        assert not first.done()
        with pytest.raises(RuntimeError, match="the tunnel is running already"):
            await tunnel.__aenter__()
    assert first.result(0) == "closed"
    async with tunnel:
        assert not tunnel.ended.done()
    assert tunnel.ended.result(0) == "closed"


async def test_provider_that_dies_while_the_address_is_proved_ends_the_opening(server, nobody):
    provider = Dying(f"http://{nobody}")
    tunnel = Tunnel(server, provider)
    with pytest.raises(TunnelError, match="the tunnel opened and closed at once: it fell over"):
        await soon(tunnel.__aenter__())
    assert provider.is_closed


async def test_tunnel_that_dies_after_a_later_one_leaves_its_address(server, proxy, said):
    provider = Dying(proxy.url)
    provider.blow = asyncio.Event()
    async with (
        Tunnel(server, provider) as tunnel,
        LocalProxy(server) as later,
        open_tunnel(server, "static", url=later.url),
    ):
        provider.blow.set()
        assert await soon(tunnel.ended) == "it fell over"
        assert server.public_url == later.url
        assert server.disconnect_reason == ""
    assert f"the tunnel to {proxy.url} is gone: it fell over" in said(logging.ERROR)


async def test_server_that_does_not_run_has_no_address_to_forward_to(proxy):
    tunnel = open_tunnel(StreamServer(auth_token=TOKEN), "static", url=proxy.url)
    with pytest.raises(ServerStopped, match="not running"):
        await tunnel.__aenter__()


def test_url_for_a_provider_that_gives_one_is_refused():
    with pytest.raises(SettingsError, match="cloudflared gives the address"):
        open_tunnel(StreamServer(auth_token=TOKEN), "cloudflared", url="https://example.com")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
async def test_provider_is_led_to_where_the_server_listens(serve, host):
    try:
        server = await serve(auth_token=TOKEN, host=host)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    provider = Dying("http://127.0.0.1:9")
    with pytest.raises(TunnelError):
        await Tunnel(server, provider).__aenter__()
    here = "[::1]" if ":" in host else "127.0.0.1"
    assert provider.origin == f"{here}:{server.port}"


async def test_call_passes_through_the_proxy_both_ways(server, proxy, dial):
    async with open_tunnel(server, "static", url=proxy.url):
        through = _At(proxy.url, server)
        end = await dial(through)
        stream = await soon(server.next_stream())
        playing = stream.play(b"\x11" * 16_000)
        await end.until(to_twilio.Mark, 2)
        assert b"".join(m.payload for m in end.of(to_twilio.Media)) == b"\x11" * 16_000
        await end.echo()
        assert (await soon(playing)).ending == "heard"
        await stream.close()
        assert await end.close_code() == 1000


async def test_proxy_passes_a_broken_connection_on(server, proxy, dial):
    async with open_tunnel(server, "static", url=proxy.url):
        end = await dial(_At(proxy.url, server))
        stream = await soon(server.next_stream())
        end.vanish()
        assert (await soon(stream.closed)).reason == "lost"


async def test_proxy_that_stops_breaks_its_connections(server, dial):
    async with LocalProxy(server) as proxy, open_tunnel(server, "static", url=proxy.url):
        await dial(_At(proxy.url, server))
        stream = await soon(server.next_stream())
    assert (await soon(stream.closed)).reason == "lost"


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


class Dying:
    """A provider that closes at once, or when it is blown at."""

    name, settles_within, lookup_after = "dying", 20.0, 0.0

    def __init__(self, url):
        self.url, self.blow, self.is_closed, self.origin = url, None, False, None

    async def open(self, origin):
        self.origin = origin
        return self.url

    async def wait_closed(self):
        if self.blow is not None:
            await self.blow.wait()
        return "it fell over"

    async def close(self):
        self.is_closed = True


class _Port:
    def __init__(self, port):
        self.port = port


class _At(_Port):
    """A server, by another port."""

    def __init__(self, url, server):
        super().__init__(int(url.rpartition(":")[2]))
        self.checks_signatures, self.stream_url = True, server.stream_url
        self.url = url.replace("http", "ws") + "/media"
