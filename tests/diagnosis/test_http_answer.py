"""Answers of servers, tunnels, hosts, proxies and networks, and who is said to have given them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistream_kit.diagnosis.http_answer import (
    HttpAnswer,
    explain_answer,
    explain_health_answer,
    read_status_line,
)

URL = "wss://voice.example.com/media"
HEALTH = "https://voice.example.com/health"


def answer_of(status: int, body: str = "", **headers: str) -> HttpAnswer:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return HttpAnswer.read(status, named, body.encode())


ON_THE_WAY = [
    (answer_of(404, "ERR_NGROK_3200"), "ngrok", "ERR_NGROK_3200"),
    (answer_of(404, "Tunnel 1a2b.ngrok.io not found"), "ngrok", "no ngrok agent serves"),
    (answer_of(502, Ngrok_Error_Code="ERR_NGROK_8012"), "ngrok", "cannot connect to your server"),
    (answer_of(403, ngrok_error_code="ERR_NGROK_3205"), "ngrok", "IP restrictions"),
    (answer_of(400, ngrok_error_code="ERR_NGROK_31337"), "ngrok", "ERR_NGROK_31337"),
    (answer_of(530, "error code: 1016", Server="cloudflare"), "Cloudflare", "error 1016"),
    (answer_of(530, "error code: 1033"), "Cloudflare", "error 1033"),
    (answer_of(429, "error code: 1015"), "Cloudflare", "Too many requests"),
    (answer_of(521, "<h1>Error 521</h1>", Server="cloudflare"), "Cloudflare", "error 521"),
    (answer_of(403, "…", Cf_Mitigated="challenge", Server="cloudflare"), "Cloudflare", "browser"),
    (answer_of(504, "<p>cloudflare-nginx</p>", Server="cloudflare"), "Cloudflare", "did not reach"),
    (answer_of(503, "503 - Tunnel Unavailable"), "localtunnel", "no localtunnel client"),
    (answer_of(511, "<h1>Friendly Reminder</h1> localtunnel"), "localtunnel", "reminder page"),
    (answer_of(503, "no tunnel here :("), "localhost.run", "no ssh session"),
    (answer_of(404, X_Railway_Fallback="true"), "Railway", "$PORT"),
    (answer_of(404, X_Vercel_Error="DEPLOYMENT_NOT_FOUND"), "Vercel", "nothing is deployed"),
    (answer_of(503, "//www.herokucdn.com/error-pages/"), "Heroku", "own error page"),
    (answer_of(403, "Your client does not have permission to get URL", Server="Google Frontend"),
     "Google Cloud", "authenticated"),
    (answer_of(503, Server="awselb/2.0"), "Amazon's load balancer", "did not reach"),
    (answer_of(502, "<center>nginx/1.24.0</center>"), "nginx", "did not reach"),
    (answer_of(404, "<hr><center>nginx/1.24.0</center>"), "nginx", "nginx's own page"),
    (answer_of(502, Server="Caddy"), "Caddy", "did not reach"),
    (answer_of(503, "no available server\n"), "Traefik", "did not reach"),
    (answer_of(503, "No server is available to handle this request."), "HAProxy", "did not reach"),
    (answer_of(503, "upstream connect error or disconnect/reset"), "Envoy", "did not reach"),
    (answer_of(403, X_Squid_Error="ERR_ACCESS_DENIED 0"), "a Squid proxy", "network"),
    (answer_of(403, "<title>Web Filter Violation</title> FortiGuard"), "Fortinet", "network"),
    (answer_of(400, "Client sent an HTTP request to an HTTPS server.\n"), "web server", "TLS"),
    (answer_of(511), "the network", "asks for a login first"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "source", "words"), ON_THE_WAY)
def test_answer_of_something_on_the_way_is_none_of_the_servers(answer, source, words) -> None:
    for found in (explain_answer(answer, URL), explain_health_answer(answer, HEALTH)):
        assert source in found.source
        assert found.problem.startswith("is answered by ")
        assert "not by your server" in found.problem
        assert any(word in str(found) for word in words.split("|"))
        assert "signature" not in found.problem
        assert found.fix


FRONTS = [
    "cloudflare",
    "nginx/1.24.0",
    "Apache/2.4.58",
    "Caddy",
    "envoy",
    "Fly/1a2b",
    "istio-envoy",
]
FRONTS += ["Google Frontend", "Vercel", "openresty", "Python/3.12 aiohttp/3.9", "uvicorn"]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 426, 429, 500, 503])
def test_servers_own_answer_behind_a_proxy_is_not_attributed_to_the_proxy(front, status) -> None:
    answer = answer_of(status, '{"detail": "no"}', Server=front, Via="1.1 google", CF_Ray="7-FRA")
    for found in (explain_answer(answer, URL), explain_health_answer(answer, HEALTH)):
        assert "not by your server" not in found.problem


def test_private_port_of_a_development_host_is_named() -> None:
    for host in ("abc-8080.euw.devtunnels.ms", "me-8080.app.github.dev"):
        found = explain_answer(answer_of(302, Location="https://x/auth"), f"wss://{host}/media")
        assert "the port seems to be private" in found.problem
        assert "public" in found.fix or "anonymous" in found.fix


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answer_of(401, WWW_Authenticate='Basic realm="x"'), "Basic realm"),
        (answer_of(302, Location="https://accounts.google.com/o/oauth2/auth?client=S3cr3t"),
         "accounts.google.com/o/oauth2/auth"),
        (answer_of(302, Location="/accounts/login/?next=/media"), "/accounts/login/"),
        (answer_of(302, Location="http://captive.hotel.example/"), "captive.hotel.example"),
        (answer_of(200, '<form><input name="p" type="password"></form>'), "a password"),
    ],
)  # fmt: skip
def test_login_is_named_and_no_secret_of_its_address(answer, words) -> None:
    for found in (explain_answer(answer, URL), explain_health_answer(answer, HEALTH)):
        assert found.source == "a login"
        assert words in found.problem
        assert "S3cr3t" not in str(found)


ORIGIN = [
    "Failed to open a WebSocket connection: missing Origin header.",
    "Cross origin websockets not allowed",
    "websocket: request origin not allowed by Upgrader.CheckOrigin",
    "Origin header is required",
    "Forbidden: Invalid Origin",
]


@pytest.mark.parametrize("text", ORIGIN)
@pytest.mark.parametrize("signed_url", [None, URL])
def test_demanded_origin_is_the_cause_and_not_the_signature(text, signed_url) -> None:
    found = explain_answer(answer_of(403, text), URL, signed_url=signed_url)
    assert "speaks of Origin, which browsers send and Twilio does not" in found.problem
    assert "Compare" not in found.fix
    assert ("no signature was sent, so none was refused" in found.problem) == (signed_url is None)


UNSIGNED = ["", "Forbidden", '{"detail":"Not authenticated"}', "Unauthorized", "Access denied"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("text", UNSIGNED)
def test_unsigned_handshake_was_refused_no_signature(status, text) -> None:
    found = explain_answer(answer_of(status, text), URL)
    assert "no signature was sent, so none was refused" in found.problem
    assert text in found.problem
    assert "auth_token=" in found.fix
    assert "--auth-token-from" in found.fix
    assert "Compare" not in found.fix


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("text", [*UNSIGNED, "Invalid signature"])
@pytest.mark.parametrize("url", [URL, "ws://127.0.0.1:8080/media"])
def test_signed_handshake_is_compared_in_token_url_and_scheme(status, text, url) -> None:
    found = explain_answer(answer_of(status, text), url, signed_url=url)
    assert "no signature" not in found.problem
    assert "auth token" in found.fix
    assert f"signed as '{url}'" in found.fix
    assert "Twilio signs the wss:// URL" in found.fix
    assert "computes over https://" in found.fix
    assert found.fix.startswith("Compare" if "signature" in text else "If it is the signature")


@pytest.mark.parametrize(
    ("answer", "problem", "fix"),
    [
        (answer_of(404, "Cannot GET /media"), "nothing is served at '/media'", "Check the path"),
        (answer_of(426, "Upgrade Required"), "Upgrade and Connection", "proxy_set_header Upgrade"),
        (answer_of(400, 'Can "Upgrade" only to "WebSocket".'), "did not see a handshake", "nginx"),
        (answer_of(400, "Bad Request"), "found the request wrong", "Upgrade"),
        (answer_of(405), "does not take GET", "<Stream url>"),
        (answer_of(200, "<html>Welcome</html>"), "an ordinary page", "the path of the WebSocket"),
        (answer_of(200, "<Response><Connect/></Response>"), "your TwiML", "<Stream url>"),
        (answer_of(400, '{"code":0,"message":"Transport unknown"}'), "Socket.IO", "plain"),
        (answer_of(500, "Internal Server Error"), "failed while it answered", "server's log"),
        (answer_of(501), "does not speak WebSocket", "with WebSocket"),
        (answer_of(502), "does not reach the server behind it", "port"),
        (answer_of(503), "takes no requests now", "has started"),
        (answer_of(504), "did not answer in time", "hangs"),
        (answer_of(429, Retry_After="30"), "more requests came", "Wait 30 s"),
        (answer_of(403, "Blocked request. This host (x) is not allowed"), "host", "allowedHosts"),
        (answer_of(400, "Invalid host header"), "does not know the host", "ALLOWED_HOSTS"),
        (answer_of(308, Location="/media/"), "a slash at the end", "wss://voice.example.com/media/"),
        (answer_of(301, Location="https://www.example.com/media"), "another address",
         "wss://www.example.com/media"),
        (answer_of(302), "without an address", "follows no redirects"),
        (answer_of(418, "short and stout"), "short and stout", "the path of the WebSocket"),
        (answer_of(599), "failed while it answered", "log"),
    ],
)  # fmt: skip
def test_status_of_the_server_is_explained_for_a_handshake(answer, problem, fix) -> None:
    found = explain_answer(answer, URL, signed_url=URL)
    assert problem in found.problem
    assert fix in found.fix
    assert f"HTTP {answer.status}" in found.problem
    assert "signature" not in str(found)
    assert "not by your server" not in found.problem


def test_redirection_to_tls_is_named() -> None:
    url = "ws://127.0.0.1:8080/media"
    found = explain_answer(answer_of(307, Location="https://127.0.0.1:8080/media"), url)
    assert "it wants TLS, 'wss://127.0.0.1:8080/media'" in found.problem


def test_path_with_auth_in_its_name_is_no_login() -> None:
    answer = answer_of(307, Location="/auth/media/")
    assert explain_answer(answer, "wss://example.com/auth/media").source == "server"


def test_body_is_quoted_short_and_without_what_a_terminal_obeys() -> None:
    said = answer_of(403, "a\x1b[31mred\u202e\n\n  end" + "x" * 900).quoted
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "\n" not in said
    assert len(said) < 250
    assert answer_of(403, "<style>p{}</style><p>Go&nbsp;away</p><script>x").quoted == "'Go away'"
    assert answer_of(403, "<head><title>Nope</title></head><body></body>").quoted == "'Nope'"
    assert answer_of(403, "  \n").quoted == ""


def test_status_of_http_1_0_is_read_from_the_error_of_the_library() -> None:
    error = ValueError("unsupported protocol; expected HTTP/1.1: HTTP/1.0 404 File not found")
    outer = RuntimeError("did not receive a valid HTTP response")
    outer.__cause__ = error
    assert read_status_line(outer).status == 404
    assert read_status_line(ValueError("220 smtp.example.com ready")) is None


@given(
    st.integers(100, 999),
    st.dictionaries(
        st.sampled_from(
            ["location", "www-authenticate", "server", "ngrok-error-code", "retry-after"]
        ),
        st.text(max_size=40),
    ),
    st.binary(max_size=300),
    st.sampled_from([URL, "ws://127.0.0.1:1/a%20b", "wss://[::1]:5/", "ws://h"]),
)
def test_any_answer_is_explained(status, headers, body, url) -> None:
    answer = HttpAnswer.read(status, headers.items(), body)
    for found in (
        explain_answer(answer, url),
        explain_answer(answer, url, signed_url=url),
        explain_health_answer(answer, url),
    ):
        assert found.problem
        assert found.fix
        assert str(found).isprintable()
