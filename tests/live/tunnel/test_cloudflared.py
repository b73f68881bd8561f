import asyncio
import contextlib
import os
import shlex
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.errors import TunnelError
from twistream_kit.live.tunnel._cloudflared import CloudflaredTunnel
from twistream_kit.live.tunnel.tunnel import open_tunnel

STAND_IN = Path(__file__).with_name("stand_in_cloudflared.py")
ADDRESS = "https://four-dashed-random-words.trycloudflare.com"


class Edge:
    """Cloudflare's side: a client that asks for the name gets TLS, and what is behind it.

    It is reached as a proxy is, by CONNECT, so that no name has to be resolved.  While nothing
    is registered, it answers as Cloudflare does: 530.
    """

    def __init__(self, folder, certificate):
        self.register = folder / "edge"
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)
        self.names, self.not_yet = [], 0

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.names.append(head.split()[1].decode())
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.start_tls(self._tls)
        request = await reader.readuntil(b"\r\n\r\n")
        if self.not_yet or not self.register.exists():
            self.not_yet -= bool(self.not_yet)
            writer.write(b"HTTP/1.1 530 \r\nContent-Length: 16\r\n\r\nerror code: 1033")
            return
        host, port = self.register.read_text().removeprefix("http://").split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        far_writer.write(request.replace(b"keep-alive", b"close"))
        writer.write(await far_reader.read())
        far_writer.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """For any quick tunnel, made here and known to nobody else."""
    if shutil.which("openssl") is None:
        if os.environ.get("TWISTREAM_REQUIRE_BROWSER") == "1":
            pytest.fail("openssl is required here and missing")
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("edge") / "edge.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=trycloudflare.com "
        f"-addext subjectAltName=DNS:*.trycloudflare.com -keyout {path} -out {path}.crt"
    )
    subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=20)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
async def edge(tmp_path, certificate, monkeypatch):
    edge = Edge(tmp_path, certificate)
    async with await asyncio.start_server(edge.serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        for name in ("no_proxy", "NO_PROXY", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
        monkeypatch.setenv("STAND_IN_EDGE", str(edge.register))
        yield edge


@pytest.fixture
def cloudflared(tmp_path, monkeypatch):
    """Put the stand-in on the PATH, alone, and let it behave in one way."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "cloudflared"
    program.touch(0o755)

    def behave(way):
        # In the program itself, since it gets no variable that cloudflared does not need.
        program.write_text(
            f"#!/bin/sh\nexport STAND_IN_WAY='{way}' "
            f"STAND_IN_EDGE='{os.environ.get('STAND_IN_EDGE', '')}'\n"
            f'exec "{sys.executable}" "{STAND_IN}" "$@"\n'
        )
        monkeypatch.setenv("TUNNEL_TOKEN", "would lead astray")
        monkeypatch.setenv("PRIVATE_KEY", "is none of its business")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return behave


def stand_ins():
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.cmdline()[1:2] == [str(STAND_IN)]:
                found.append(child)
    return found


async def test_quick_tunnel_is_proved_through_its_public_name(server, edge, cloudflared):
    cloudflared("ready")
    edge.not_yet = 1
    tunnel = open_tunnel(server, "cloudflared")
    async with tunnel:
        assert tunnel.public_url == server.public_url == ADDRESS
        assert server.stream_url == ADDRESS.replace("https", "wss") + "/media"
        assert repr(tunnel) == f"<Tunnel (cloudflared): {ADDRESS}>"
        assert edge.names == [ADDRESS.removeprefix("https://") + ":443"] * 2
        assert len(stand_ins()) == 1
    await eventually(lambda: not stand_ins())
    assert not edge.register.exists()  # it had the time to unregister
    assert server.public_url is None
    assert tunnel.disconnect_reason == ""


async def test_auto_takes_cloudflared_where_it_is_on_the_path(
    server, edge, cloudflared, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name in ("TWISTREAM_PUBLIC_URL", "NGROK_AUTHTOKEN"):
        monkeypatch.delenv(name, raising=False)
    cloudflared("ready")
    async with open_tunnel(server, fallback_url="http://127.0.0.1:9") as tunnel:
        assert (tunnel.provider, tunnel.public_url) == ("cloudflared", ADDRESS)
        assert tunnel.fallback_reason == ""


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (
            "no network",
            r"cannot resolve the names of its service: .* cloudflared said: failed to request",
        ),
        (
            "429",
            r"gives no more quick tunnels for now .*429 Too Many Requests.* said: ERR Error unm",
        ),
        ("silent", r"was not ready within 0.5 s; cloudflared said: nothing"),
        (
            "blocked",
            r"on port 7844: a firewall .* TUNNEL_TRANSPORT_PROTOCOL=http2; or open",
        ),
    ],
)
async def test_tunnel_that_is_not_to_be_had_is_reported_in_words(way, words, edge, cloudflared):
    cloudflared(way)
    # One that is blocked has to have the time to say so.
    seconds = {"silent": 0.5, "blocked": 3.0}.get(way, LIMIT_SECONDS)
    provider = CloudflaredTunnel(open_seconds=seconds)
    with pytest.raises(TunnelError, match=words):
        await provider.open("127.0.0.1:9")
    await provider.close()
    await eventually(lambda: not stand_ins())


async def test_tunnel_that_dies_later_tells_the_server(server, edge, cloudflared, eventually):
    cloudflared("dies later")
    async with open_tunnel(server, "cloudflared") as tunnel:
        waiting = server.next_stream()
        edge.register.unlink()
        why = await soon(tunnel.ended)
        assert why.startswith("cloudflared ended (exit code 1): ")
        assert why.endswith('Initiating shutdown error="Unauthorized: Tunnel not found"')
        assert await eventually(lambda: server.disconnect_reason) == why
        with pytest.raises(TunnelError, match="the public address is gone: cloudflared ended"):
            await soon(waiting)


async def test_name_that_leads_to_another_server_is_refused(
    server, serve, edge, cloudflared, eventually
):
    stranger = await serve()
    cloudflared("ready")
    tunnel = open_tunnel(server, "cloudflared")
    opening = asyncio.create_task(tunnel.__aenter__())
    edge.not_yet = 1
    await eventually(lambda: edge.names)
    edge.register.write_text(f"http://127.0.0.1:{stranger.port}")
    with pytest.raises(TunnelError, match=r"not from this process \(HTTP 200\)"):
        await opening
    await eventually(lambda: not stand_ins())


async def test_certificate_that_does_not_hold_is_final(server, edge, cloudflared, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    cloudflared("ready")
    with pytest.raises(TunnelError, match=r"certificate that does not hold \(self-signed.* 31910"):
        await open_tunnel(server, "cloudflared").__aenter__()


async def test_missing_program_is_named(server, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TunnelError, match="cloudflared is not on the PATH"):
        await open_tunnel(server, "cloudflared").__aenter__()
