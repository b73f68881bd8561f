"""F09 and F10: what the programs of tunnels say is put into words, with advice that helps."""

from __future__ import annotations

import stat
import sys
import types

import pytest

import twistream_kit as kit
from support.cases import CASES, lines_of
from support.far_end import TOKEN
from twistream_kit.live.settings.settings import settings
from twistream_kit.live.tunnel import _ngrok

NGROK_TOKEN = "2abCDefGHijKLmnOPqrSTuvWXyz_4tHisIsNoToken"


class RefusingSession:
    """Stands in for ngrok's SDK: each call configures it, and connecting fails."""

    def __init__(self, *values: str) -> None:
        self.values = values

    def __getattr__(self, name: str) -> object:
        return lambda *_: self

    async def connect(self) -> None:
        raise ValueError(*self.values)


async def ngrok_error(monkeypatch: pytest.MonkeyPatch, *values: str) -> kit.TunnelError:
    session = RefusingSession(*values)
    sdk = types.SimpleNamespace(SessionBuilder=lambda: session)
    monkeypatch.setitem(sys.modules, "ngrok", sdk)
    monkeypatch.setattr(_ngrok, "is_installed", lambda: True)
    async with kit.StreamServer(auth_token=TOKEN) as server:
        given = settings(ngrok_authtoken=NGROK_TOKEN)
        with pytest.raises(kit.TunnelError) as raised:
            await kit.open_tunnel(server, "ngrok", settings=given).__aenter__()
    return raised.value


async def test_f09_account_that_is_not_verified_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await ngrok_error(monkeypatch, *lines_of("f09.txt"))
    assert "only for a verified account" in error.problem
    assert "ERR_NGROK_4018" in error.problem
    assert "Sign up" in error.fix
    assert "verify the account" in error.fix
    assert "its authtoken" in error.fix
    assert "Trying again does not help" in error.fix


@pytest.mark.parametrize(
    ("number", "problem", "fix"),
    [
        (9040, "from the IP address that this machine has", "Use another network"),
        (121, "older than ngrok allows", "pip install --upgrade ngrok"),
        (123, "e-mail address", "Verify it at https://dashboard.ngrok.com/user/settings"),
        (103, "suspended", "support"),
        (727, "all the HTTP requests that its plan allows", "larger plan"),
        (725, "all the data that its plan allows", "larger plan"),
        (107, "refuses the authtoken", "Copy it anew"),
        (9009, "through an HTTP or SOCKS proxy", "Connect without the proxy"),
    ],
)
async def test_others_of_f09_are_named_and_not_to_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, number: int, problem: str, fix: str
) -> None:
    error = await ngrok_error(
        monkeypatch, "failed to connect", f"Your token: {NGROK_TOKEN}", f"ERR_NGROK_{number}"
    )
    assert problem in error.problem
    assert fix in error.fix
    assert "Trying again" in error.fix
    assert "ry again" not in error.fix.replace("Trying again", "")
    assert NGROK_TOKEN not in str(error)


async def cloudflared_error(tmp_path, monkeypatch, program: bytes) -> kit.TunnelError:
    path = tmp_path / "cloudflared"
    path.write_bytes(program)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    async with kit.StreamServer(auth_token=TOKEN) as server:
        with pytest.raises(kit.TunnelError) as raised:
            await kit.open_tunnel(server, "cloudflared").__aenter__()
    return raised.value


async def test_f10_network_that_inspects_tls_is_named(tmp_path, monkeypatch) -> None:
    error = await cloudflared_error(tmp_path, monkeypatch, (CASES / "f10.sh").read_bytes())
    assert "certificate" in error.problem
    assert "the network inspects TLS" in error.problem
    assert "Trust that authority" in error.fix
    assert "another network" in error.fix
    assert "Trying again does not help" in error.fix
    assert "some minutes" not in error.fix


async def test_program_of_another_processor_is_named(tmp_path, monkeypatch) -> None:
    error = await cloudflared_error(tmp_path, monkeypatch, b"\x7fELF of another processor")
    assert "Exec format error" in error.problem
    assert "made for another kind of processor or system" in error.problem
    assert "uname -sm" in error.fix
    assert "ry again" not in error.fix
