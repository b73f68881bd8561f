"""ngrok's failures by its real SDK, which is only ever led to ports of this machine."""

import asyncio
import functools
import importlib.util
import socket
import subprocess
import sys
import textwrap
import traceback
import types

import pytest

from support.waiting import soon
from twistream_kit.errors import SettingsError, TunnelError
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.settings.settings import settings
from twistream_kit.live.tunnel import _ngrok
from twistream_kit.live.tunnel._ngrok import NgrokTunnel, scrub, to_error
from twistream_kit.live.tunnel.tunnel import open_tunnel

NGROK_TOKEN = "2abCDefGHijKLmnOPqrSTuvWXyz_4tHisIsNoToken"


@pytest.fixture
def deaf():
    """An address of this machine at which somebody listens and never speaks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def failure(**options):
    provider = NgrokTunnel(Secret(NGROK_TOKEN), **options)
    try:
        with pytest.raises(TunnelError) as raised:
            await provider.open("127.0.0.1:9")
    finally:
        await provider.close()
    return raised.value


async def test_service_that_is_not_reached_is_named(nobody):
    error = await failure(server_addr=nobody)
    assert str(error) == (
        "ngrok cannot be reached; ngrok said: failed to connect session failed to establish tcp "
        "connection. There is no public address. Check the network: connect.ngrok-agent.com, port "
        "443, or use another way: TWISTREAM_PUBLIC_URL or cloudflared."
    )


async def test_name_that_is_not_known_is_named():
    error = await failure(server_addr="connect.ngrok-agent.invalid:443")
    assert error.problem.startswith("ngrok cannot be reached; ngrok said: ")


async def test_service_that_never_answers_is_given_up(deaf):
    error = await failure(server_addr=deaf, open_seconds=0.3)
    assert error.problem == "ngrok cannot be reached; ngrok said: timed out after 0.3 s"


async def test_error_holds_on_to_nothing_of_the_sdk(nobody):
    error = await failure(server_addr=nobody)
    assert error.__cause__ is error.__context__ is None
    captured = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert NGROK_TOKEN not in "".join(captured.format())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (f"not look like a proper ngrok authtoken.\nYour authtoken: {NGROK_TOKEN}\nERR_NGROK_105",
         "ngrok refuses the authtoken"),
        (f"properly formed, but it is invalid. Your authtoken: {NGROK_TOKEN}\r\nERR_NGROK_107",
         "ngrok refuses the authtoken"),
        ("Your account is limited to 1 simultaneous ngrok agent sessions. ERR_NGROK_108",
         "a limit of this ngrok account is reached"),
        ("The endpoint 'https://a.ngrok.app' is already online. ERR_NGROK_334",
         "the domain is in use by another tunnel"),
        ("Reserved for another account. Are you using its authtoken? ERR_NGROK_320",
         "the domain of NGROK_DOMAIN does not belong to this ngrok account"),
        ("authentication failed", "ngrok refuses the authtoken"),
        ("Unheard of. ERR_NGROK_99999", "ngrok opened no tunnel"),
        ("failed to establish tcp connection", "ngrok cannot be reached"),
        ("something new", "ngrok opened no tunnel"),
    ],
)  # fmt: skip
def test_what_the_sdk_says_is_put_into_words_without_the_token(said, words):
    error = to_error(scrub(said, Secret(NGROK_TOKEN)))
    assert error.problem.startswith(f"{words}; ngrok said: ")
    assert NGROK_TOKEN not in str(error)
    assert "\n" not in str(error)


def test_token_that_is_quoted_in_another_form_is_scrubbed_too():
    said = scrub("Your authtoken: SomeOther_Token rest", Secret(NGROK_TOKEN))
    assert said == "Your authtoken: … rest"


async def test_failed_opening_falls_back_visibly_and_says_why(server, serve, nobody, monkeypatch):
    led_here = functools.partial(NgrokTunnel, server_addr=nobody)
    monkeypatch.setattr(_ngrok, "NgrokTunnel", led_here)
    monkeypatch.delenv("TWISTREAM_PUBLIC_URL", raising=False)
    given = settings(ngrok_authtoken=NGROK_TOKEN)
    here = f"http://127.0.0.1:{server.port}"
    async with open_tunnel(server, fallback_url=here, settings=given) as tunnel:
        assert tunnel.provider == "static"
        assert tunnel.fallback_reason.startswith("ngrok: ngrok cannot be reached; ngrok said: ")
        assert repr(tunnel).startswith(f"<Tunnel (static): {here}; no public address: ngrok: ")
        assert NGROK_TOKEN not in repr(tunnel)
    with pytest.raises(TunnelError, match="ngrok cannot be reached"):
        await open_tunnel(server, settings=given).__aenter__()


def test_missing_token_and_missing_package_are_reported_before_the_sdk_is_asked(
    server, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name in ("TWISTREAM_PUBLIC_URL", "NGROK_AUTHTOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="NGROK_AUTHTOKEN is not set"):
        open_tunnel(server, "ngrok")
    monkeypatch.setenv("NGROK_AUTHTOKEN", NGROK_TOKEN)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        TunnelError, match=r"is set, but the package ngrok is not installed\. .*pip"
    ):
        open_tunnel(server)


async def test_missing_package_is_reported_when_it_was_asked_for(server, monkeypatch):
    monkeypatch.setattr(_ngrok, "is_installed", lambda: False)
    tunnel = open_tunnel(server, "ngrok", settings=settings(ngrok_authtoken=NGROK_TOKEN))
    with pytest.raises(TunnelError, match="the package ngrok is not installed"):
        await tunnel.__aenter__()


def test_interpreter_that_ends_right_after_a_failure_ends_well(nobody):
    program = f"""
        import asyncio
        from twistream_kit.errors import TunnelError
        from twistream_kit.live.settings.secret import Secret
        from twistream_kit.live.tunnel._ngrok import NgrokTunnel

        async def main():
            try:
                await NgrokTunnel(Secret("t" * 40), server_addr="{nobody}").open("127.0.0.1:9")
            except TunnelError:
                print("refused")

        asyncio.run(main())
    """
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")


class SessionThatWorks:
    """Stands in for the SDK where it cannot be asked: an open session, led to a port here."""

    def __init__(self, url):
        self.address, self.asked = url, []
        self.over = asyncio.get_running_loop().create_future()

    def __getattr__(self, name):
        def note(*arguments):
            self.asked.append((name, *arguments))
            return self

        return note

    async def connect(self):
        return self

    async def listen_and_forward(self, origin):
        self.asked.append(("forward", origin))
        return self

    def url(self):
        return self.address

    async def join(self):
        await asyncio.shield(self.over)

    async def close(self):
        self.asked.append(("close",))


@pytest.fixture
async def session(server, monkeypatch):
    session = SessionThatWorks(f"http://127.0.0.1:{server.port}")
    sdk = types.SimpleNamespace(SessionBuilder=lambda: session)
    monkeypatch.setitem(sys.modules, "ngrok", sdk)
    monkeypatch.setattr(_ngrok, "is_installed", lambda: True)
    return session


async def test_open_session_leads_here_by_its_domain_and_is_closed(server, session):
    given = settings(ngrok_authtoken=NGROK_TOKEN, ngrok_domain="me.ngrok.app")
    async with open_tunnel(server, "ngrok", settings=given) as tunnel:
        assert tunnel.public_url == session.address
        assert ("authtoken", NGROK_TOKEN) in session.asked
        assert ("domain", "me.ngrok.app") in session.asked
        assert ("forward", f"http://127.0.0.1:{server.port}") in session.asked
    assert session.asked[-1] == ("close",)


async def test_session_that_ends_or_is_stopped_tells_the_server(server, session, eventually):
    given = settings(ngrok_authtoken=NGROK_TOKEN)
    async with open_tunnel(server, "ngrok", settings=given) as tunnel:
        session.over.set_exception(ValueError("closed", f"Your authtoken: {NGROK_TOKEN}"))
        why = await soon(tunnel.ended)
        assert why == "ngrok ended the tunnel: closed Your authtoken: …"
        assert await eventually(lambda: server.disconnect_reason) == why
    session.over = asyncio.get_running_loop().create_future()
    async with open_tunnel(server, "ngrok", settings=given) as tunnel:
        stop = next(asked[1] for asked in session.asked[::-1] if asked[0] == "handle_stop_command")
        await asyncio.to_thread(stop)
        assert "ngrok was stopped from its dashboard" in await soon(tunnel.ended)


async def test_connection_that_breaks_and_is_made_again_is_logged(
    server, session, said, eventually
):
    given = settings(ngrok_authtoken=NGROK_TOKEN)
    async with open_tunnel(server, "ngrok", settings=given) as tunnel:
        broken = next(a[1] for a in session.asked if a[0] == "handle_disconnection")
        await asyncio.to_thread(broken, "connect.ngrok-agent.com:443", f"eof {NGROK_TOKEN}")
        await eventually(lambda: "the connection to ngrok was lost; reconnecting: eof …" in said())
        assert tunnel.disconnect_reason == ""
