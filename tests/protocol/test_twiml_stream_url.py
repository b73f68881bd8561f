"""The URL of a stream: made from the address of a server, and what Twilio would object to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.addresses import MALFORMED
from twistream_kit.errors import LocalProtocolError
from twistream_kit.protocol.twiml import build_stream_url, is_loopback, review_stream_url


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("https://host/x", "/media", "wss://host/x/media"),
        ("https://host", "media", "wss://host/media"),
        ("https://host/", "/media", "wss://host/media"),
        ("wss://host:8443", "/a/b", "wss://host:8443/a/b"),
        ("https://host", "//media", "wss://host//media"),
        ("http://127.0.0.1:5000", "/media", "ws://127.0.0.1:5000/media"),
        ("HTTPS://Host", "/media", "wss://Host/media"),
        ("https://[2001:db8::1]:1", "/media", "wss://[2001:db8::1]:1/media"),
    ],
)
def test_stream_url_is_the_socket_form_of_a_servers_address(base, path, expected):
    assert build_stream_url(base, path) == expected


@pytest.mark.parametrize(
    "base", ["", "host", "ftp://host", "https://", "https://:80", "https://h?a=b"]
)
def test_address_without_scheme_or_host_is_refused_in_words(base):
    with pytest.raises(LocalProtocolError, match=r"is not the address of a server\. .*https://"):
        build_stream_url(base)


@pytest.mark.parametrize("url", MALFORMED)
def test_refused_base_is_quoted_without_its_password(url):
    with pytest.raises(LocalProtocolError) as refused:
        build_stream_url(f"{url}?a=b")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:80/m", "http://localhost", "ws://[::1]:9/m"])
def test_loopback_is_recognised(url):
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url", ["wss://example.com", "ws://10.0.0.1", "ws://[::1", "", "localhost"]
)
def test_everything_else_is_not_loopback(url):
    assert not is_loopback(url)


@pytest.mark.parametrize(
    "url", ["wss://example.com/media", "wss://example.com:443", "wss://8.8.8.8/m"]
)
def test_public_wss_url_meets_no_objection(url):
    assert review_stream_url(url) == []


@pytest.mark.parametrize(
    ("url", "severity", "code", "problem"),
    [
        ("", "error", 31923, "is empty"),
        ("wss://{host}/m", "error", 31923, "holds '{', which no URL may contain"),
        ("wss://exa mple.com/m", "error", 31923, "holds a blank"),
        ("wss:///media", "error", 31923, "names no host"),
        ("wss://host.com:port/m", "error", 31923, "is no URL"),
        ("wss://host.com:99999/m", "error", 31923, "is no URL"),
        ("wss://[::1/m", "error", 31923, "is no URL"),
        ("https://example.com/m", "error", 31922, "begins with https:// instead of wss://"),
        ("ws://example.com/m", "error", 31922, "begins with ws:// instead of wss://"),
        ("example.com/m", "error", 31922, "has no scheme"),
        ("wss://example.com/m?token=1", "error", 31920, "has a query, ?token=1"),
        ("/media", "warning", None, "is relative"),
        ("ws://127.0.0.1:5000/m", "warning", 31922, "begins with ws:// instead of wss://"),
        ("wss://192.168.0.7/m", "warning", 31904, "which is a private network"),
        ("wss://localhost/m", "warning", 31904, "which is this machine"),
        ("wss://nas.local/m", "warning", 31904, "which is a private network"),
        ("wss://me:pw@example.com/m", "warning", None, "holds a user or password"),
        ("wss://example.com/m#top", "warning", None, "has a #fragment"),
        ("wss://example.com:8443/m", "note", None, "uses port 8443"),
    ],
)
def test_objection_to_a_url_is_named_with_its_code(url, severity, code, problem):
    first = review_stream_url(url)[0]
    assert (first.severity, first.code) == (severity, code)
    assert problem in first.problem
    assert first.fix


def test_password_in_a_url_is_not_repeated():
    texts = map(str, review_stream_url("ws://me:hunter2@example.com/m?a=b"))
    assert "hunter2" not in " ".join(texts)


@pytest.mark.parametrize("url", MALFORMED)
def test_password_in_a_malformed_url_is_not_repeated(url):
    texts = [str(objection) for objection in review_stream_url(url)]
    assert texts
    assert "hunter2" not in " ".join(texts)


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters()) | st.text("ws:/.[]@?#1a%", max_size=20))
def test_review_of_any_url_never_raises(url):
    for objection in review_stream_url(url):
        assert str(objection).encode()
    is_loopback(url)


@pytest.mark.parametrize(
    ("host", "what"),
    [
        ("127.9.9.9", "this machine"),
        ("[::1]", "this machine"),
        ("[::ffff:127.0.0.1]", "this machine"),
        ("10.1.2.3", "a private network"),
        ("172.31.0.1", "a private network"),
        ("[fd00::1]", "a private network"),
        ("[::ffff:192.168.1.2]", "a private network"),
        ("192.0.2.1", "reserved for examples"),
        ("198.51.100.7", "reserved for examples"),
        ("203.0.113.10", "reserved for examples"),
        ("[2001:db8::1]", "reserved for examples"),
        ("198.18.0.1", "reserved for measurements"),
        ("100.64.0.1", "shared inside the network of a provider"),
        ("169.254.1.1", "link-local, and valid on one cable or Wi-Fi only"),
        ("[fe80::1]", "link-local, and valid on one cable or Wi-Fi only"),
        ("224.0.0.1", "a multicast address, and no host's"),
        ("[ff02::1]", "a multicast address, and no host's"),
        ("0.0.0.0", "no host's: a server listens on it, and nobody can call it"),
        ("[::]", "no host's: a server listens on it, and nobody can call it"),
        ("255.255.255.255", "a broadcast address, and no host's"),
        ("240.0.0.1", "reserved, and no host's on the internet"),
        ("0.1.2.3", "reserved, and no host's on the internet"),
        ("192.0.0.171", "reserved, and no host's on the internet"),
    ],
)
def test_special_address_is_called_what_it_is(host, what):
    (objection,) = review_stream_url(f"wss://{host}/m")
    assert (objection.code, objection.severity) == (31904, "warning")
    assert objection.problem == f"leads to {host.strip('[]')}, which is {what}"
    assert ("simulator" in objection.consequence) == (what in ("this machine", "a private network"))


@pytest.mark.parametrize("host", ["8.8.8.8", "1.1.1.1", "[2606:4700::1111]", "172.32.0.1"])
def test_address_of_the_internet_meets_no_objection(host):
    assert review_stream_url(f"wss://{host}/m") == []


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
@pytest.mark.parametrize("scheme", ["http", "wss"])
def test_local_server_without_tls_is_led_to_a_tunnel_or_by_ws_to_the_simulator(scheme, host):
    objection = review_stream_url(f"{scheme}://{host}/m")[0]
    assert objection.fix.startswith("Open a tunnel, kit.start(kit.open_tunnel(server))")
    assert f"simulator, write ws://{host}/m" in objection.fix


@pytest.mark.parametrize("url", ["http://192.168.1.2/m", "ws://10.0.0.1:8080/m"])
def test_server_of_a_private_network_is_not_led_to_an_address_that_twilio_cannot_reach(url):
    assert all("wss://1" not in each.fix for each in review_stream_url(url))


@pytest.mark.parametrize("url", ["wss://example.com:0/m", "ws://127.0.0.1:0/m"])
def test_port_0_is_an_error(url):
    first = review_stream_url(url)[0]
    assert (first.severity, first.problem) == (
        "error",
        "uses port 0, on which no server can be called",
    )
