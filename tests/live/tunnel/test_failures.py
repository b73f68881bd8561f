"""What tunnel programs print when no tunnel comes up, and what is said of it."""

from __future__ import annotations

import pytest

from twistream_kit.live.process.process import ChildProcess
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.tunnel import _cloudflared, _ngrok, _ssh
from twistream_kit.live.tunnel._failures import find_failure, quote_lines

API = 'Post "https://api.trycloudflare.com/tunnel"'
REQUEST = f"failed to request quick Tunnel: {API}:"

CLOUDFLARED = [
    (f"{REQUEST} x509: “*.safezone.example” certificate name does not match input", "inspects TLS"),
    (f"{REQUEST} tls: failed to verify certificate: x509: certificate signed by unknown authority",
     "inspects TLS"),
    ((f"{REQUEST} tls: failed to verify certificate: x509: certificate has expired or is not yet "
     "valid: current time 2024-05-16T10:24:50Z is after 2021-09-30T14:01:15Z"), "clock"),
    (f"{REQUEST} dial tcp: lookup api.trycloudflare.com on 127.0.0.53:53: no such host", "resolve"),
    (f"{REQUEST} dial tcp: lookup api.trycloudflare.com: Temporary failure in name resolution",
     "resolve"),
    ((f"{REQUEST} dial tcp: lookup api.trycloudflare.com on 10.0.0.1:53: read udp 10.0.0.2:5->"
     "10.0.0.1:53: i/o timeout"), "resolve"),
    (f"{REQUEST} proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused", "proxy"),
    (f"{REQUEST} Proxy Authentication Required", "proxy"),
    (f"{REQUEST} dial tcp 104.16.231.132:443: i/o timeout", "cannot reach Cloudflare"),
    (f"{REQUEST} dial tcp 104.16.231.132:443: connect: network is unreachable", "cannot reach"),
    (f"{REQUEST} context deadline exceeded (Client.Timeout exceeded)", "cannot reach Cloudflare"),
    (('ERR Error unmarshaling QuickTunnel response: error code: 1015 status_code="429 Too Many '
     'Requests"\nfailed to unmarshal quick Tunnel: invalid character'), "no more quick tunnels"),
    (('ERR Error unmarshaling QuickTunnel response: error code: 1101 status_code="500 Internal '
     'Server Error"'), "service for quick tunnels fails"),
    ("failed to unmarshal quick Tunnel: invalid character '<' looking for beginning of value",
     "a login page of the network"),
    (('WRN Failed to create new quic connection error="failed to dial to edge with quic: timeout: '
     'no recent network activity" connIndex=0'), "port 7844"),
    (("ERR Unable to establish connection with Cloudflare edge error=\"DialContext error: dial tcp "
     '198.41.192.7:7844: i/o timeout"'), "port 7844"),
    ("/usr/bin/cloudflared cannot be started: Exec format error", "another kind of processor"),
    ("/usr/bin/cloudflared cannot be started: Permission denied", "may not execute cloudflared"),
    ("/usr/bin/cloudflared cannot be started: No such file or directory", "lacks a library"),
    ("cloudflared: /lib/libc.so.6: version `GLIBC_2.34' not found", "lacks a library"),
    ("Incorrect Usage: flag provided but not defined: -no-autoupdate", "too old"),
]  # fmt: skip

SSH = [
    ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
     "another host key than before", "ssh-keygen -R example.com"),
    ("Host key verification failed.", "is not known here", "ssh me@example.com"),
    ("me@example.com: Permission denied (publickey).", "refuses the login", "authorized_keys"),
    ("WARNING: UNPROTECTED PRIVATE KEY FILE!\nme@example.com: Permission denied (publickey).",
     "other users may read it", "chmod 600"),
    ('Load key "/k": invalid format\nme@example.com: Permission denied (publickey).',
     "cannot use the private key", "ssh-add"),
    ("Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures",
     "too many keys", "IdentitiesOnly=yes"),
    ("ssh: Could not resolve hostname example.com: Name or service not known",
     "the name example.com is not known", "spelling"),
    ("Error: remote port forwarding failed for listen port 8080", "does not forward its port 8080",
     "AllowTcpForwarding"),
    ("ssh: connect to host example.com port 22: Connection refused", "nothing listens", "-p"),
    ("ssh: connect to host example.com port 22: Connection timed out", "does not answer", "-p"),
    ("kex_exchange_identification: Connection closed by remote host", "before the login", "limits"),
    (("Unable to negotiate with 1.2.3.4 port 22: no matching host key type found. Their offer: "
     "ssh-rsa"), "no algorithm in common", "Update"),
    ("command-line: line 0: Bad configuration option: foo", "does not take its options", "Correct"),
]  # fmt: skip

NGROK = [
    ("Usage of ngrok requires a verified account and authtoken.", "only for a verified account"),
    ("We do not allow agents to connect to ngrok from your IP address (1.2.3.4).", "IP address"),
    ("may not start an ngrok agent session until the admin's email address is verified", "e-mail"),
    ('Your ngrok-agent version "2.3.41" is too old.', "older than ngrok allows"),
    ("The account X has been suspended.", "suspended"),
    ("failed to connect session: invalid peer certificate: UnknownIssuer", "inspects TLS"),
    ("dns error: failed to lookup address information: Name or service not known", "resolve"),
    ("Your IP does not match the IP ACL policy. ERR_NGROK_116", "other IP addresses"),
    ("rate limited for adding 5 sessions per minute. ERR_NGROK_349", "too many were opened"),
    ("Only paid plans may bind custom subdomains. ERR_NGROK_313", "plan of this ngrok account"),
    ("Invalid '_' in domain name. ERR_NGROK_355", "is not the name of a host"),
    ("The agent connects by a proxy. ERR_NGROK_9009", "HTTP or SOCKS proxy"),
]


def child_that_printed(text: str) -> ChildProcess:
    child = ChildProcess(["program"])
    child._kept.extend(text.splitlines())
    return child


def cloudflared_error(text: str):
    provider = _cloudflared.CloudflaredTunnel()
    provider._child = child_that_printed(text)
    return provider._build_error("cloudflared ended before it was ready")


def ssh_error(text: str):
    provider = _ssh.SshTunnel("me@example.com", url="https://example.com")
    provider._child = child_that_printed(text)
    return provider._build_error("ssh ended before it was ready")


@pytest.mark.parametrize(("text", "words"), CLOUDFLARED)
def test_failure_of_cloudflared_is_named(text: str, words: str) -> None:
    error = cloudflared_error(f"2026-01-02T03:04:05Z INF Requesting new quick Tunnel…\n{text}")
    assert words in str(error)
    assert "cloudflared said: " in error.problem
    assert not error.fix.startswith("Try again")
    assert error.consequence == "There is no public address"
    assert "{" not in str(error)


@pytest.mark.parametrize(("text", "problem", "fix"), SSH)
def test_failure_of_ssh_is_named(text: str, problem: str, fix: str) -> None:
    error = ssh_error(text)
    assert problem in error.problem
    assert fix in error.fix
    assert "{" not in str(error)


@pytest.mark.parametrize(("said", "words"), NGROK)
def test_failure_of_ngrok_is_named_with_and_without_its_number(said: str, words: str) -> None:
    error = _ngrok.to_error(said)
    assert words in str(error)
    assert not error.fix.startswith("Try again")


NUMBERS = [
    102, 103, 105, 106, 107, 108, 120, 121, 123, 324, 334, 702, 725, 727, 4018, 8013, 8014, 9009,
    9040, 115, 116, 300, 313, 319, 320, 337, 348, 349, 354, 382, 7117,
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_number_decides_whatever_else_ngrok_says(number: int) -> None:
    error = _ngrok.to_error(f"failed to connect authtoken simultaneous ERR_NGROK_{number}")
    assert f"ERR_NGROK_{number}" in error.problem
    assert not error.fix.startswith("Try again")
    alone = _ngrok.to_error(f"ERR_NGROK_{number}")
    assert (alone.problem.partition(";")[0], alone.fix) == (
        error.problem.partition(";")[0],
        error.fix,
    )


@pytest.mark.parametrize("build", [cloudflared_error, ssh_error, _ngrok.to_error])
def test_only_of_an_unknown_failure_nothing_better_is_said_and_its_lines_are_quoted(build) -> None:
    error = build("first\nsecond\nthis was never seen before")
    assert "this was never seen before" in error.problem
    assert error.fix.startswith(("Try again", "Try `ssh me@example.com`"))


def test_unknown_number_of_ngrok_leads_to_its_page() -> None:
    error = _ngrok.to_error("Unheard of. ERR_NGROK_99999")
    assert "https://ngrok.com/docs/errors/err_ngrok_99999" in error.fix


def test_quoted_lines_hide_passwords_clocks_and_what_a_terminal_obeys() -> None:
    lines = [
        "",
        "2026-01-02T03:04:05Z ERR proxyconnect http://bob:hunter2@proxy:3128 failed\x1b[31m",
        "the last one.",
        " ",
    ]
    assert quote_lines(lines) == "the last one"
    shown = quote_lines(lines, 3)
    assert "hunter2" not in shown
    assert "http://…@proxy:3128" in shown
    assert "\x1b" not in shown
    assert shown.startswith("ERR proxyconnect")
    assert quote_lines([]) == ""
    assert len(quote_lines(["x" * 10_000])) < 400


def test_the_line_that_shows_the_failure_is_quoted_and_not_the_last() -> None:
    error = cloudflared_error("ERR certificate signed by unknown authority\nbye")
    assert "said: ERR certificate signed by unknown authority" in error.problem


def test_token_is_quoted_nowhere() -> None:
    token = "2abCDefGHijKLmnOPqrSTuvWXyz_4tHisIsNoToken"
    said = _ngrok.scrub(f"Your authtoken: {token}\nERR_NGROK_105", Secret(token))
    assert token not in str(_ngrok.to_error(said))


@pytest.mark.parametrize("row", [row for _, row in _ngrok._FAILURES] + list(_cloudflared._FAILURES))
def test_trying_again_is_never_the_first_advice_for_a_known_failure(row) -> None:
    assert not row.fix.lower().startswith("try again")
    assert find_failure("nothing of the kind", [row]) is None
