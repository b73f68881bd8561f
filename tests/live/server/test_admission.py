"""What a web page can send is no Twilio: `Origin`, `Sec-Fetch-Site`, and a `Host` of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.errors import SettingsError
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.server.admission import normalise_host
from twistream_kit.live.server.probe import (
    PROBE_HEADER,
    hash_nonce,
    probe_handshake,
    sign_probe,
)
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.server.stream_host import sign_own_probe
from twistream_kit.protocol import signature

TOKEN = "0123456789abcdef0123456789abcdef"
FORM = b"CallSid=CA1&CallStatus=ringing"
UPGRADE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


def handshake(*headers, host="localhost"):
    return head("GET", "/media", *UPGRADE, *headers, host=host)


def callback(*headers, host="localhost"):
    return head("POST", "/status", f"Content-Length: {len(FORM)}", *headers, host=host) + FORM


def get(path, *headers, host="localhost"):
    return head("GET", path, *headers, host=host)


def head(method, path, *headers, host):
    hosts = [f"Host: {host}"] if isinstance(host, str) else [f"Host: {each}" for each in host]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *hosts, *headers, "", ""]).encode()


def signed(url, form=""):
    return f"X-Twilio-Signature: {signature.sign(TOKEN, url, form or None)}"


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split(b" ")[1])


@pytest.fixture
def ask():
    """Send a request; return the answer, of a handshake that succeeds the head alone."""

    async def send(server, request):
        async with asyncio.timeout(LIMIT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                writer.write(request)
                answer = await reader.readuntil(b"\r\n\r\n")
                return answer if status(answer) == 101 else answer + await reader.read()
            finally:
                writer.close()

    return send


@pytest.fixture
async def inspect():
    """Run an inspector until the test ends."""
    async with contextlib.AsyncExitStack() as running:

        async def start(upstream, **options):
            return await running.enter_async_context(Inspector(upstream, **options))

        yield start


PAGES = ["Origin: http://localhost", "Origin: https://evil.example", "Origin: null", "Origin:"]
READS = [f"Sec-Fetch-Site: {site}" for site in ("cross-site", "same-site", "same-origin")]


class TestPages:
    @pytest.mark.parametrize("page", [*PAGES, *READS])
    @pytest.mark.parametrize(
        "request_", [handshake, callback, lambda page: get("/twiml", page),
                     lambda page: get("/health", page), lambda page: get("/nowhere", page)],
        ids=["handshake", "callback", "twiml", "health", "nowhere"],
    )  # fmt: skip
    async def test_request_of_a_web_page_is_refused_in_words(
        self, serve, ask, said, page, request_
    ):
        server = await serve()
        answer = await ask(server, request_(page))
        assert status(answer) == 403
        what = f"This request has {'an' if page < 'P' else 'a'} {page.partition(':')[0]} header"
        for words in (what, "any page in a browser could play Twilio", "send no such header"):
            assert words.encode() in answer
        assert any(what in line for line in said())
        assert server.streams == () == tuple(server.status_events)

    async def test_a_valid_signature_does_not_make_a_page_twilio(self, serve, ask):
        server = await serve(auth_token=TOKEN, public_url="https://example.com")
        right = signed(server.stream_url)
        assert status(await ask(server, handshake(right))) == 101
        assert status(await ask(server, handshake(right, PAGES[0]))) == 403

    async def test_address_typed_into_a_browser_is_answered(self, serve, ask):
        typed = ["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"]
        assert status(await ask(await serve(), get("/twiml", *typed))) == 200

    async def test_what_a_stranger_sent_makes_one_line_of_ascii_in_the_log(
        self, serve, inspect, ask, said
    ):
        inspector = await inspect((await serve()).url)
        await ask(inspector, get("/twiml", "Origin: \x9b31m" + "é" * 500))
        (line,) = [line for line in said() if line.startswith("refused: ")]
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 800

    async def test_our_own_probe_is_no_page(self, serve, in_thread):
        server = await serve()
        url, proof = server.stream_url, sign_probe(server.nonce, TOKEN)
        answer = await in_thread(lambda: probe_handshake(url, None, proof=proof))
        assert answer.status == 101


class TestProbes:
    async def test_our_own_unsigned_probe_is_refused_without_a_warning(
        self, server, in_thread, said
    ):
        url, proof = server.stream_url, sign_own_probe(server)
        answer = await in_thread(lambda: probe_handshake(url, None, proof=proof))
        assert answer.status == 403
        assert "a probe without a signature was refused, as it should be" in said()
        assert not any("a stream without a valid signature" in line for line in said())

    @pytest.mark.parametrize(
        "proof", ["the nonce", "its hash", "of another server", "of another token", "empty"]
    )
    async def test_a_stranger_who_knows_the_nonce_is_logged_as_a_warning(
        self, server, ask, said, proof
    ):
        header = {
            "the nonce": server.nonce, "its hash": hash_nonce(server.nonce),
            "of another server": sign_probe("0" * 32, TOKEN), "empty": "",
            "of another token": sign_probe(server.nonce, "x" + TOKEN),
        }[proof]  # fmt: skip
        assert status(await ask(server, handshake(f"{PROBE_HEADER}: {header}"))) == 403
        warnings = said(logging.WARNING)
        assert any("a stream without a valid signature was refused" in line for line in warnings)


KNOWN = ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:8080", "127.9.8.7", "[::1]:5"]
UNKNOWN = [
    "evil.example", "evil.example:80", "localhost.evil.example", "evil-localhost", "192.168.1.7",
    "127.0.0.1.evil.example", "[::2]", "[2001:db8::1]:80", "0.0.0.0", "", "a b", "127.0.0.1@evil",
    "[::1", "[localhost]", "localhost:80:80", "http://localhost",
]  # fmt: skip


class TestHosts:
    @pytest.mark.parametrize("host", KNOWN)
    async def test_loopback_is_let_in_without_a_token(self, serve, ask, host):
        server = await serve()
        assert status(await ask(server, handshake(host=host))) == 101
        assert status(await ask(server, callback(host=host))) == 204

    @pytest.mark.parametrize("host", UNKNOWN, ids=str)
    async def test_any_other_host_is_refused_without_a_token(self, serve, ask, said, host):
        server = await serve()
        for request in (
            handshake(host=host), callback(host=host), get("/twiml", host=host),
            get("/nowhere", host=host), get("/media", host=host),
        ):  # fmt: skip
            assert status(answer := await ask(server, request)) == 403
            assert b"which is not known here" in answer
            assert b"allowed_hosts=" in answer
        assert any("which is not known here" in line for line in said())
        assert server.streams == () == tuple(server.status_events)

    @pytest.mark.parametrize("host", UNKNOWN, ids=str)
    async def test_health_is_answered_for_every_host(self, serve, ask, host):
        server = await serve()
        answer = await ask(server, get("/health", host=host))
        assert (status(answer), answer.endswith(server.nonce.encode())) == (200, True)

    @pytest.mark.parametrize("host", UNKNOWN, ids=str)
    async def test_with_a_valid_signature_host_is_not_looked_at(self, serve, ask, host):
        server = await serve(auth_token=TOKEN, public_url="https://example.com")
        right = signed(server.stream_url)
        assert status(await ask(server, handshake(right, host=host))) == 101
        assert b"signature" in await ask(server, handshake(host=host))

    @pytest.mark.parametrize("host", [(), ("localhost", "localhost")], ids=["none", "two"])
    async def test_request_for_no_host_or_for_two_is_none(self, serve, inspect, ask, host):
        server = await serve()
        for where in (server, await inspect(server.url)):
            for request in (handshake(host=host), callback(host=host), get("/health", host=host)):
                answer = await ask(where, request)
                assert (status(answer), b"one Host" in answer) == (400, True)
        assert server.streams == () == tuple(server.status_events)

    async def test_public_host_follows_the_public_address(self, serve, ask):
        server = await serve()
        first, second = callback(host="One.example:443"), callback(host="two.example")
        assert [status(await ask(server, each)) for each in (first, second)] == [403, 403]
        server.public_url = "https://one.example"
        assert [status(await ask(server, each)) for each in (first, second)] == [204, 403]
        server.public_url = "wss://me:pw@Two.example.:8443/proxy"
        assert [status(await ask(server, each)) for each in (first, second)] == [403, 204]
        server.public_url = None
        assert [status(await ask(server, each)) for each in (first, second)] == [403, 403]

    async def test_allowed_hosts_are_let_in_whatever_their_case_and_port(self, serve, ask):
        server = await serve(allowed_hosts=["DevBox.lan", "stream_server:80", "fd00::0:1"])
        for host in ("devbox.LAN", "devbox.lan.:8080", "stream_server", "[FD00::1]:9"):
            assert status(await ask(server, callback(host=host))) == 204
        assert status(await ask(server, callback(host="x.devbox.lan"))) == 403

    async def test_server_on_all_addresses_takes_any_address_and_no_name(self, serve, ask):
        server = await serve(host="0.0.0.0")
        for address in ("192.168.1.7:80", "[fd00::5]:80", "10.0.0.1", "localhost"):
            assert status(await ask(server, callback(host=address))) == 204
        assert status(await ask(server, callback(host="evil.example"))) == 403

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_wildcards_are_known_as_such(self, host):
        server = StreamServer(host=host)
        assert server._is_own_host("[fd00::5]:80")
        assert not server._is_own_host("evil.example")

    def test_address_that_is_listened_on_is_known(self):
        server = StreamServer(host="192.168.1.7")
        assert server._is_own_host("192.168.1.7:8080")
        assert not server._is_own_host("192.168.1.8:8080")
        assert StreamServer(host="DevBox.lan")._is_own_host("devbox.lan:1")

    @pytest.mark.parametrize(
        "hosts",
        ["devbox.lan", ["https://devbox.lan"], ["*.lan"], [""], ["a/b"], [b"a"], ["bücher"]],
    )
    @pytest.mark.parametrize("make", [StreamServer, lambda **o: Inspector("ws://a/m", **o)])
    def test_what_is_no_list_of_hosts_is_refused_in_words(self, make, hosts):
        with pytest.raises(SettingsError, match=r"allowed_hosts .* Say for example allowed_hosts="):
            make(allowed_hosts=hosts)

    @pytest.mark.parametrize(
        ("authority", "host"),
        [("[::ffff:127.0.0.1]:1", "127.0.0.1"), ("::1", "::1"), ("A.b.:1", "a.b"), ("a:b", "")],
    )
    def test_host_is_compared_in_one_form(self, authority, host):
        assert normalise_host(authority) == host


class TestInspector:
    async def test_handshake_of_a_page_is_refused(self, serve, inspect, ask):
        server = await serve()
        inspector = await inspect(server.url)
        assert status(await ask(inspector, handshake())) == 101
        assert status(await ask(inspector, handshake(f"Origin: {inspector.base_url}"))) == 403
        assert server.streams == ()

    @pytest.mark.parametrize("page", PAGES)
    async def test_request_of_another_sites_page_is_refused(self, serve, inspect, ask, page):
        server = await serve()
        assert status(await ask(await inspect(server.url), callback(page))) == 403
        assert server.status_events == []

    async def test_page_of_the_server_itself_may_ask_it(self, serve, inspect, ask):
        server = await serve()
        inspector = await inspect(server.url)
        host = f"127.0.0.1:{inspector.port}"
        own = callback(f"Origin: http://{host}", host=host)
        answer = await ask(inspector, own)
        # It is our server behind that refuses it here, having seen the Origin as it came.
        assert f"an Origin header ('http://{host}')".encode() in answer

    @pytest.mark.parametrize("host", UNKNOWN, ids=str)
    async def test_other_hosts_never_reach_the_server(self, serve, inspect, ask, host):
        server = await serve()
        inspector = await inspect(server.url)
        for request in (handshake(host=host), callback(host=host), get("/", host=host)):
            assert status(answer := await ask(inspector, request)) == 403
            assert b"which is not known here" in answer
        assert (await ask(inspector, get("/health", host=host))).endswith(server.nonce.encode())
        assert server.status_events == []

    async def test_public_and_allowed_hosts_pass(self, serve, inspect, ask):
        server = await serve()
        inspector = await inspect(server.url, allowed_hosts=["devbox.lan"])
        assert status(await ask(inspector, callback(host="devbox.lan"))) == 204
        assert status(await ask(inspector, callback(host="one.example"))) == 403
        inspector.public_url = "https://one.example"
        assert status(await ask(inspector, callback(host="one.example"))) == 204
        assert status(await ask(inspector, handshake(host="one.example"))) == 101

    async def test_token_makes_host_of_no_account_for_handshakes_alone(self, serve, inspect, ask):
        server = await serve()
        inspector = await inspect(
            server.url, auth_token=TOKEN, public_url="https://one.example"
        )  # fmt: skip
        right = signed(inspector.stream_url)
        assert status(await ask(inspector, handshake(right, host="other.example"))) == 101
        assert status(await ask(inspector, callback(right, host="other.example"))) == 403
