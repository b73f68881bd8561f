"""Kind D: an HTTP answer says who gave it before it says why."""

from __future__ import annotations

import re
import stat

import pytest

import twistream_kit as kit
from support.cases import CASES, answering, running
from support.far_end import TOKEN
from support.waiting import soon
from twistream_kit.live.tunnel._cloudflared import CloudflaredTunnel

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"

MISTAKEN = (
    "signature was not accepted",
    "compare the auth token and the public URL",
    "somebody else's server",
    "not from this process",
    "Check the path",
    "leads nowhere",
    "asks for a login",
)
"""What was said of these answers, and was wrong."""


async def refusal(url: str, **options: object) -> str:
    """Return what a simulated call says of a handshake that was refused."""
    with pytest.raises(kit.CallRefused) as refused:
        await soon(kit.simulate_call(url, seconds=0.5, **options))
    assert refused.value.code == 31920
    return str(refused.value)


async def test_d01_missing_origin_is_no_refused_signature() -> None:
    async with running("d01.py") as url:
        said = await refusal(url)
    assert "no signature was sent, so none was refused" in said
    assert "missing Origin header" in said
    assert "Twilio does not" in said
    assert "origins=[None, " in said
    assert not [each for each in MISTAKEN if each in said]


@pytest.mark.parametrize("program", ["d02.py", "d03.py"])
async def test_d02_and_d03_unsigned_call_learns_how_to_sign(program: str) -> None:
    async with running(program) as url:
        said = await refusal(url)
    assert "no signature was sent, so none was refused" in said
    assert "kit.simulate_call(url, auth_token=…)" in said
    assert "--auth-token-from" in said
    assert "Origin that is demanded" in said
    assert not [each for each in MISTAKEN if each in said]


async def test_d03_signed_call_is_admitted() -> None:
    async with running("d03.py") as url:
        report = await soon(kit.simulate_call(url, seconds=0.3, auth_token=AUTH_TOKEN))
    assert report.sent["start"] == 1


async def test_d04_signature_over_https_is_named_besides_token_and_url() -> None:
    async with running("d04.py") as url:
        said = await refusal(url, auth_token=AUTH_TOKEN)
    assert "auth token" in said
    assert f"the URL, which was signed as '{url}'; and its scheme" in said
    assert re.search(r"Twilio signs the wss:// URL .* computes over https://", said)
    assert "no signature was sent" not in said
    assert AUTH_TOKEN not in said


@pytest.mark.parametrize(
    ("program", "wrong", "right", "token"),
    [
        ("d01.py", '"origins": ["https://example.com"]', None, None),
        ("d04.py", '"https://"', '"ws://"', AUTH_TOKEN),
    ],
)
async def test_printed_fix_works(tmp_path, program, wrong, right, token) -> None:
    async with running(program) as url:
        said = await refusal(url, auth_token=token)
    if right is None:
        found = re.search(r"origins=(\[None, 'https://example.com'\])", said)
        right = f'"origins": {found[1]}'
    else:
        assert "let it put wss:// in its place (ws:// for this call)" in said
    source = (CASES / program).read_text()
    assert wrong in source
    mended = tmp_path / program
    mended.write_text(source.replace(wrong, right))
    async with running(mended) as url:
        report = await soon(kit.simulate_call(url, seconds=0.3, auth_token=token))
    assert report.sent["start"] == 1


PAGES = {
    "d05.http": ("ngrok", "ERR_NGROK_3200", "No ngrok agent serves this name now"),
    "d06.http": (
        "ngrok",
        "ERR_NGROK_6024",
        "ngrok shows it to requests that look like a browser's",
    ),
    "d07.http": ("ngrok", "ERR_NGROK_727", "all the HTTP requests that its plan allows"),
    "d08.http": ("Cloudflare", "error 1033", "no cloudflared is connected for it"),
}


@pytest.mark.parametrize("name", PAGES)
async def test_d05_to_d08_page_of_a_tunnel_is_attributed_to_it(name: str) -> None:
    service, number, meaning = PAGES[name]
    async with (
        answering((CASES / name).read_bytes()) as port,
        kit.StreamServer(auth_token=TOKEN) as server,
        kit.SimulatedTwilio() as twilio,
    ):
        address = f"http://127.0.0.1:{port}"
        with pytest.raises(kit.TunnelError) as proof:
            await kit.open_tunnel(server, "static", url=address).__aenter__()
        called = await refusal(f"ws://127.0.0.1:{port}/media")
        server.public_url = address
        checks = await soon(kit.preflight(twilio.client, server=server))
    [checked] = [each for each in checks.failed if each.name == "public address"]
    for said in (str(proof.value), called, str(checked)):
        assert f"is answered by {service}, not by your server" in said
        assert number in said
        assert meaning in said
        assert not [each for each in MISTAKEN if each in said]
    assert checked.detail == proof.value.problem
    assert checked.fix == proof.value.fix
    assert proof.value.fix in called


async def test_d09_name_that_is_too_new_is_no_refused_connection(
    tmp_path, monkeypatch, caplog
) -> None:
    program = tmp_path / "cloudflared"
    program.write_bytes((CASES / "d09.sh").read_bytes())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(CloudflaredTunnel, "settles_within", 2.0)
    monkeypatch.setattr(CloudflaredTunnel, "lookup_after", 0.1)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with kit.StreamServer(auth_token=TOKEN) as server:
        with pytest.raises(kit.TunnelError) as raised:
            await kit.open_tunnel(server, "cloudflared").__aenter__()
    said = str(raised.value)
    assert "https://plain-paper-boat.trycloudflare.com/health does not resolve yet" in said
    assert "A new name takes some seconds" in said
    assert "30 minutes" in said
    assert "No connection was tried" in said
    assert "refused" not in said
    assert "Start the proxy" not in said
    assert "plain-paper-boat.trycloudflare.com does not resolve here yet; waiting" in caplog.text


async def test_refused_connection_of_a_tunnel_is_no_unknown_name(unused_tcp_port: int) -> None:
    async with kit.StreamServer(auth_token=TOKEN) as server:
        address = f"http://127.0.0.1:{unused_tcp_port}"
        with pytest.raises(kit.TunnelError) as raised:
            await kit.open_tunnel(server, "static", url=address).__aenter__()
    assert "refused the connection" in str(raised.value)
    assert "resolve" not in str(raised.value)
