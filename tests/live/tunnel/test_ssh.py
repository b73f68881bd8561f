import asyncio
import os
import re
import signal
import socket

import pytest

from support.far_end import TOKEN
from support.sshd import is_refused, ssh_clients, ssh_tunnel
from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import SettingsError, TunnelError
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.tunnel._ssh import SshTunnel
from twistream_kit.live.tunnel.tunnel import open_tunnel
from twistream_kit.protocol import signature
from twistream_kit.simulator.twilio import SimulatedTwilio

CHOSEN = "http://127.0.0.1:{port}"
TONE = Clip.tone(440, 0.2)


async def until_gone(processes, eventually):
    await eventually(lambda: not any(p.is_running() and p.status() != "zombie" for p in processes))


async def test_port_that_the_host_chose_leads_here_and_is_given_back(sshd, server, eventually):
    tunnel = ssh_tunnel(server, sshd)
    async with tunnel:
        port = int(tunnel.public_url.rpartition(":")[2])
        assert port not in (0, server.port)
        assert server.public_url == tunnel.public_url == f"http://127.0.0.1:{port}"
        assert repr(tunnel) == f"<Tunnel (ssh): http://127.0.0.1:{port}>"
        (client,) = ssh_clients()
    assert server.public_url is None
    assert tunnel.ended.result(0) == "closed"
    assert tunnel.disconnect_reason == ""
    await until_gone([client], eventually)
    await eventually(lambda: is_refused(port))  # sshd takes a moment to see that its client left


async def test_port_that_was_asked_for_is_the_one_that_leads_here(sshd, server):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    async with ssh_tunnel(server, sshd, f"http://127.0.0.1:{port}/", remote_port=port) as tunnel:
        assert tunnel.public_url == f"http://127.0.0.1:{port}"


async def test_signed_webhook_comes_through_and_an_unsigned_one_is_refused(sshd, server, ask):
    async with ssh_tunnel(server, sshd) as tunnel:
        host = tunnel.public_url.removeprefix("http://")
        signed = signature.sign(TOKEN, f"{tunnel.public_url}/twiml")
        head = f"GET /twiml HTTP/1.1\r\nHost: {host}\r\n"
        there = At(tunnel.public_url)
        answer = await ask(there, f"{head}X-Twilio-Signature: {signed}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert f"ws://{host}/media".encode() in answer
        assert (await ask(there, f"{head}\r\n".encode())).startswith(b"HTTP/1.1 403")


async def test_call_of_the_simulator_is_heard_and_answered_through_the_tunnel(sshd):
    async with (
        SimulatedTwilio(ring_seconds=0.02) as twilio,
        StreamServer(auth_token=twilio.auth_token) as server,
        ssh_tunnel(server, sshd) as tunnel,
    ):
        phone = twilio.phone("+15550100001")
        call = await soon(
            place_call(
                twilio.client, to=phone.number, from_=twilio.numbers[0],
                stream_url=server.stream_url, status_callback=False,
            ),
        )  # fmt: skip
        stream = await soon(server.next_stream(call))
        assert server.stream_url.startswith(tunnel.public_url.replace("http", "ws"))
        assert (await soon(stream.play(TONE))).ending == "heard"
        assert TONE.payload[:800] in phone.heard.payload
        voice = stream.audio()
        await soon(phone.say(TONE))
        async with asyncio.timeout(LIMIT_SECONDS):
            async for samples in voice:
                if abs(samples).max() > 1000:
                    break
        await soon(call.hang_up())
        await soon(stream.closed)


@pytest.mark.parametrize("victim", ["ssh", "its guard", "sshd"])
async def test_tunnel_that_is_killed_in_mid_call_tells_everybody(
    victim, sshd, server, dial, said, eventually
):
    async with ssh_tunnel(server, sshd) as tunnel:
        await dial(At(tunnel.public_url, server))
        stream = await soon(server.next_stream())
        waiting = server.next_stream(call="CA" + "f" * 32)
        (client,) = ssh_clients()
        if victim == "sshd":
            sshd.drop_connections()
        else:
            (client if victim == "ssh" else client.parent()).send_signal(signal.SIGKILL)
        why = await soon(tunnel.ended)
        assert re.match(
            rf"ssh {sshd.host} (was killed \(signal 9\)$|ended \(exit code 255\): Connection)", why
        )
        assert tunnel.disconnect_reason == why
        assert repr(tunnel) == f"<Tunnel (ssh): gone: {why}>"
        await eventually(lambda: server.disconnect_reason)
        assert server.disconnect_reason == why
        assert server.public_url is None
        assert tunnel.public_url is None
        with pytest.raises(TunnelError, match="the public address is gone: ssh "):
            await soon(waiting)
        assert (await soon(stream.closed)).reason == "lost"
        assert any("the public address is gone" in line for line in said())
        await until_gone([client], eventually)
    assert tunnel.ended.result(0) == why


async def test_port_that_is_taken_there_is_refused_in_words(sshd, server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TunnelError, match=f"does not forward its port {port}; ssh said: Error"):
            await ssh_tunnel(server, sshd, remote_port=port).__aenter__()
    await eventually(lambda: not ssh_clients())
    assert server.public_url is None


async def test_host_that_forbids_forwarding_is_named(start_sshd, server):
    host = start_sshd("AllowTcpForwarding no\n")
    with pytest.raises(
        TunnelError, match=r"does not forward its port 0; .* try another remote_port"
    ):
        await ssh_tunnel(server, host).__aenter__()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "stranger"}, "refuses the login; ssh said: .*Permission denied.* Add the key"),
        ({"known_hosts": "nobody"}, "the host key of .* is not known here; .* Connect once with"),
    ],
)
async def test_wrong_key_is_named(options, words, sshd, server):
    with pytest.raises(TunnelError, match=words):
        await ssh_tunnel(server, sshd, ssh_options=sshd.options(**options)).__aenter__()
    await eventually(lambda: not ssh_clients())


async def test_changed_host_key_is_named(sshd, sshd_folder, server):
    stranger = (sshd_folder / "stranger.pub").read_text()
    (sshd_folder / "changed").write_text(f"[127.0.0.1]:{sshd.port} {stranger}")
    with pytest.raises(TunnelError, match="shows another host key than before"):
        options = sshd.options(known_hosts="changed")
        await ssh_tunnel(server, sshd, ssh_options=options).__aenter__()


async def test_host_that_is_not_there_is_named(sshd, server):
    sshd.stop()
    with pytest.raises(
        TunnelError, match=r"@127.0.0.1 does not answer: nothing listens .*; ssh said: .*refused"
    ):
        await ssh_tunnel(server, sshd).__aenter__()
    nobody = open_tunnel(
        server, "ssh", ssh="nobody.invalid", url=CHOSEN, ssh_options=("-F", "none")
    )
    with pytest.raises(TunnelError, match=r"the name nobody.invalid is not known"):
        await nobody.__aenter__()


async def test_host_that_says_nothing_is_given_up(sshd, server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = ("-p", str(silent.getsockname()[1]), *sshd.options())
        provider = SshTunnel(sshd.host, url=CHOSEN, options=options, open_seconds=0.5)
        with pytest.raises(TunnelError, match=r"was not ready within 0.5 s; ssh said: nothing"):
            await provider.open("127.0.0.1:9")
        await provider.close()
    await eventually(lambda: not ssh_clients())


async def test_opening_that_is_cancelled_leaves_nothing_running(sshd, server, eventually):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = ("-p", str(silent.getsockname()[1]), *sshd.options())
        tunnel = ssh_tunnel(server, sshd, ssh_options=options)
        entering = asyncio.create_task(tunnel.__aenter__())
        await eventually(ssh_clients)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
    await eventually(lambda: not ssh_clients())
    assert tunnel.ended.result(0) == "it could not be opened"
    assert server.public_url is None


async def test_service_tells_its_address_in_a_session(start_sshd):
    banner = "echo welcome, see https://localhost.run/docs; echo 1a.lhr.life tunneled with tls "
    host = start_sshd(f"ForceCommand {banner}termination, https://1a.lhr.life; cat\n")
    provider = SshTunnel(host.host, remote_port=0, options=host.options())
    try:
        assert await provider.open("127.0.0.1:9") == "https://1a.lhr.life"
        assert ssh_clients()
    finally:
        await provider.close()
    await eventually(lambda: not ssh_clients())


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch here", "a b", "a\nb"])
def test_host_that_ssh_would_take_for_something_else_is_refused(host):
    server = StreamServer(auth_token=TOKEN)
    with pytest.raises(SettingsError, match="host"):
        open_tunnel(server, "ssh", ssh=host, url="https://example.com")


def test_missing_host_wrong_port_and_wrong_address_are_named():
    server = StreamServer(auth_token=TOKEN)
    with pytest.raises(SettingsError, match="needs its host"):
        open_tunnel(server, "ssh", url="https://example.com")
    with pytest.raises(ValueError, match="remote_port is 70000"):
        open_tunnel(server, "ssh", ssh="a", url="https://example.com", remote_port=70000)
    with pytest.raises(SettingsError, match="not an https address"):
        open_tunnel(server, "ssh", ssh="a", url="http://example.com:{port}")
    with pytest.raises(SettingsError, match="mean nothing to 'static'"):
        open_tunnel(server, "static", ssh="a", url="https://example.com")


async def test_missing_program_is_named(server, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TunnelError, match="there is no program ssh on the PATH"):
        await open_tunnel(server, "ssh", ssh="a", url="https://example.com").__aenter__()


async def test_ssh_gets_no_secret_by_its_environment(sshd, server, monkeypatch):
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "f" * 32)
    async with ssh_tunnel(server, sshd):
        (client,) = ssh_clients()
        assert "TWILIO_AUTH_TOKEN" not in client.environ()
        assert client.environ()["PATH"] == os.environ["PATH"]


class At:
    """Another way to a server: its port, and what the server itself expects."""

    def __init__(self, url, server=None):
        self.port = int(url.rpartition(":")[2])
        self.url = url.replace("http", "ws") + "/media"
        if server is not None:
            self.checks_signatures, self.stream_url = True, server.stream_url
