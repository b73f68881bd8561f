import asyncio
import hashlib
import hmac
from base64 import b64encode

import aiohttp
import pytest
from aiohttp import web

from twistream_kit.simulator.call import web as web_module
from twistream_kit.simulator.call.twiml import TwimlFault
from twistream_kit.simulator.call.web import FetchedPage, WebClient, read_script

TOKEN = "12345"


@pytest.fixture
async def client():
    async with aiohttp.TCPConnector() as connector, WebClient(TOKEN, connector) as web_client:
        yield web_client


def signature(text):
    digest = hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()
    return b64encode(digest).decode()


async def fault_of(awaitable):
    with pytest.raises(TwimlFault) as caught:
        await awaitable
    return caught.value.code


async def test_post_carries_the_form_and_its_signature(client, site):
    url = site.serve("/voice?foo=1&bar=2")
    site.serve("/voice", "<Response/>")
    page = await client.fetch(url, params={"To": "+1555", "From": "+1444", "Empty": ""})
    assert (page.status, page.content_type, page.content) == (200, "text/xml", b"<Response/>")
    (request,) = site.requests
    assert request.params == {"To": "+1555", "From": "+1444", "Empty": ""}
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["User-Agent"] == "TwilioProxy/1.1"
    assert request.headers["X-Twilio-Signature"] == signature(f"{url}EmptyFrom+1444To+1555")


async def test_get_carries_the_params_in_the_query_and_signs_the_url_as_requested(client, site):
    url = site.serve("/voice")
    await client.fetch(url + "?a=b%20c", "GET", {"To": "+1 5/5"})
    (request,) = site.requests
    assert request.params == {"a": "b c", "To": "+1 5/5"}
    assert request.headers["X-Twilio-Signature"] == signature(request.url)


async def test_user_and_password_are_sent_and_not_signed(client, site):
    url = site.serve("/voice")
    await client.fetch(url.replace("://", "://alice:secret@"))
    (request,) = site.requests
    assert request.headers["Authorization"] == "Basic YWxpY2U6c2VjcmV0"
    assert request.headers["X-Twilio-Signature"] == signature(url)


async def test_ten_redirects_are_followed_and_eleven_are_11215(client, site):
    for number in range(12):
        site.serve(f"/{number}", status=302, Location=f"/{number + 1}")
    site.serve("/10", "<Response/>")
    assert (await client.fetch(f"{site.origin}/0")).url == f"{site.origin}/10"
    assert [request.method for request in site.requests] == ["POST"] + ["GET"] * 10
    assert site.requests[3].headers["X-Twilio-Signature"] == signature(site.requests[3].url)
    site.serve("/10", status=302, Location="/11")
    assert await fault_of(client.fetch(f"{site.origin}/0")) == 11215


async def test_redirect_that_keeps_the_method_keeps_the_form(client, site):
    site.serve("/a", status=307, Location="/b")
    site.serve("/b")
    await client.fetch(f"{site.origin}/a", params={"x": "1"})
    assert (site.requests[1].method, site.requests[1].params) == ("POST", {"x": "1"})


async def test_cookies_are_kept_for_one_client(client, site):
    url = site.serve("/voice", **{"Set-Cookie": "a=b"})
    await client.fetch(url)
    await client.fetch(url)
    assert "Cookie" not in site.requests[0].headers
    assert site.requests[1].headers["Cookie"] == "a=b"


async def test_body_of_64_kb_is_taken_and_one_byte_more_is_11750(client, site):
    url = site.serve("/voice", b"x" * 65536)
    assert len((await client.fetch(url)).content) == 65536
    site.serve("/voice", b"x" * 65537)
    assert await fault_of(client.fetch(url)) == 11750


async def test_error_page_is_11200_where_its_content_is_needed(client, site):
    page = await client.fetch(site.serve("/voice", status=503))
    assert page.status == 503
    with pytest.raises(TwimlFault, match="HTTP status 503"):
        page.check_status()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("voice", 11100),
        ("ftp://127.0.0.1/voice", 11100),
        ("http:///voice", 11100),
        ("http://127.0.0.1:99999/voice", 11100),
        ("http://[::1/voice", 11100),
        ("http://no-such-host.invalid/voice", 11210),
    ],
)
async def test_url_that_leads_nowhere_has_its_code(client, url, code):
    assert await fault_of(client.fetch(url)) == code


async def test_refused_connection_is_11202(client, site):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert await fault_of(client.fetch(f"http://127.0.0.1:{port}/")) == 11202


async def test_https_to_a_plain_port_is_11220(client, site):
    assert await fault_of(client.fetch(site.origin.replace("http", "https"))) == 11220


async def test_garbage_in_place_of_http_is_11206(client):
    async def babble(_reader, writer):
        writer.write(b"hello\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await fault_of(client.fetch(f"http://127.0.0.1:{port}/")) == 11206


async def test_silence_is_11200_after_the_limit(monkeypatch, client, site):
    monkeypatch.setattr(web_module, "FETCH_SECONDS", 0.1)

    async def never(_request):
        await asyncio.Event().wait()
        return web.Response()

    site.answers["/voice"] = never
    assert await fault_of(client.fetch(f"{site.origin}/voice")) == 11200


async def test_a_slow_connection_is_11201_with_the_limit(monkeypatch, client):
    async def refuse(*_arguments, **_options):
        raise aiohttp.ServerTimeoutError

    monkeypatch.setattr(web_module, "CONNECT_SECONDS", 0.25)
    monkeypatch.setattr(client, "_follow", refuse)
    with pytest.raises(TwimlFault, match=r"no connection within 0\.25 s") as caught:
        await client.fetch("http://127.0.0.1:1/")
    assert caught.value.code == 11201


def test_proxy_of_the_environment_is_not_used(monkeypatch):
    # trust_env decides it, and a request through a proxy could only be seen to fail.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async def trusts():
        async with aiohttp.TCPConnector() as connector, WebClient(TOKEN, connector) as client:
            return client._session.trust_env

    assert asyncio.run(trusts()) is False


def page(kind, content=b"<Response><Hangup/></Response>"):
    return FetchedPage("http://127.0.0.1/voice", 200, kind, content)


@pytest.mark.parametrize("kind", ["text/xml", "application/xml", "text/html", "text/plain"])
def test_content_types_of_twiml_are_read_as_twiml(kind):
    assert len(read_script(page(kind)).verbs) == 1


@pytest.mark.parametrize(
    ("kind", "content", "code"),
    [
        ("", b"<Response/>", 12300),
        ("application/json", b"{}", 12300),
        ("image/png", b"", 12300),
        ("text/xml", b"", 11770),
        ("text/html", b"<html></html>", 12102),
        ("text/xml", b"{}", 12100),
    ],
)
def test_other_answers_have_their_code(kind, content, code):
    with pytest.raises(TwimlFault) as caught:
        read_script(page(kind, content))
    assert caught.value.code == code
