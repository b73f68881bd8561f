"""Every notebook, run with marked secrets set: none of them is to be seen anywhere afterwards.

Nothing leaves this machine: whatever would is sent to a proxy that does not exist.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from twilio.base.exceptions import TwilioRestException

from twistream_kit.live.settings.settings import settings
from twistream_kit.simulator.twilio import SimulatedTwilio

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CELL_SECONDS = 120

SID, TOKEN = "AC" + "a1b2c3d4" * 4, "5ec2e75ec2e7a0b1c2d3e4f5a6b7c8d9"
KEY, API_SECRET = "SK" + "b2c3d4e5" * 4, "S3cr3tApiZ9y8X7w6V5u4T3s2R1q0P9o"
NGROK = "S3cr3tNgrok2Kx7Lm9Np1Qr_5St3Uv8Wx0Yz2Ab"

ACCOUNT = {
    "TWILIO_ACCOUNT_SID": SID,
    "TWILIO_AUTH_TOKEN": TOKEN,
    "TWILIO_API_KEY": KEY,
    "TWILIO_API_SECRET": API_SECRET,
    "TWILIO_PHONE_NUMBER": "+15005550006",
    "TWISTREAM_CALL_TO": "+15550100002",
    "TWILIO_REGION": "ie1",
    "TWILIO_EDGE": "dublin",
    "NGROK_AUTHTOKEN": NGROK,
    "NGROK_DOMAIN": "nobody.ngrok.app",
}

BEFORE = [
    "%xmode Verbose",
    "import logging, sys\nlogging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)",
]

AFTER = [
    "import os, pickle, requests\nimport twistream_kit as kit\nfound = kit.settings(ask=False)",
    "found",
    "[getattr(found, n) for n in dir(found) if not n.startswith('_')]",
    "found._found, found.__getstate__(), found.rows(), vars(found.client()), found.client().auth",
    "f'{found.auth_token} {found.auth_token!r}', found.auth_token.reveal()",
    "pickle.dumps(found)",
    "pickle.dumps([found.auth_token])",
    "pickle.dumps({'token': found.api_secret.reveal()})",
    "kit.settings(edge='Not An Edge')",
    "import dataclasses\ndataclasses.asdict(found.auth_token)",
    "def angry(stream):\n    raise RuntimeError(f'no use for {stream}', server)",
    "server = kit.start(kit.StreamServer(angry, auth_token=found.auth_token), name='angry')",
    "server",
    "server.twiml_url, vars(server)",
    "requests.post(server.twiml_url, data={'CallSid': 'CA1'}).raise_for_status()",
    "kit.simulate_call(server.url, seconds=0.2, auth_token=found.auth_token.reveal()).result(20)",
    "kit.simulate_call(server.url, seconds=0.2, auth_token='0' * 32).result(20)",
    "kit.StreamControls(server.streams[-1])",
    "kit.Workbench(server)",
    "raise server.streams[-1].handler_error",
    "kit.StreamServer(auth_token=found.auth_token, path='wrong')",
    "kit.StreamServer(auth_token=found.auth_token.reveal(), port=70_000)",
    "kit.start(kit.StreamServer(auth_token=found.auth_token, port=server.port), name='second')",
    "kit.start(kit.open_tunnel(server, 'static', url=found.public_url), name='tunnel')",
    "kit.start(kit.open_tunnel(server), name='tunnel')",
    "kit.open_tunnel(server, 'nonsense')",
    "client, url = found.client(), 'wss://example.com/media'",
    "kit.place_call(client, to=found.call_to, from_=found.phone_number, stream_url=url).result(60)",
    "await kit.place_call(client, to='nobody', from_=found.phone_number, stream_url=url)",
    "kit.place_call(client, to='1', from_='2', stream_url=server.stream_url)",
    "client.calls.list()",
    "os.environ.pop('TWILIO_API_KEY'); os.environ.pop('TWILIO_API_SECRET');",
    "kit.client_from_environment().calls.create(to='1', from_='2', twiml='<Response/>')",
    "from twistream_kit.live.preflight.preflight import preflight",
    "preflight(client, to=found.call_to, from_=found.phone_number, server=server).result(100)",
    "os.environ['TWILIO_AUTH_TOKEN'] += '0'; kit.settings()",
    "kit.stop()",
]

FAILURES = {
    "TypeError", "SettingsError", "HTTPError", "RuntimeError", "CannotListen", "TunnelError",
    "CallRefused",
}  # fmt: skip
"""What the cells above are to have raised, or nothing was proved."""


def forms(secret: str, *, user: str = "") -> set[str]:
    """Return in what form a secret could be seen, in whole or in good part."""
    pair = b64encode(f"{user}:{secret}".encode()).decode()
    begin = 4 * -(-(len(user) + 1) // 3)  # before it stands what belongs to the user's name alone
    alone = b64encode(secret.encode()).decode()
    return {
        secret[:12], secret[-12:], quote(secret), repr(secret)[1:13],
        pair[begin : begin + 12], pair[-16:-4], alone[:12],
    }  # fmt: skip


MARKS = forms(TOKEN, user=SID) | forms(API_SECRET, user=KEY) | forms(NGROK)


def leaks(text: str) -> list[str]:
    """Return what can be seen of the secrets in a text."""
    plain = re.sub(r"(\x1b|\\u001b)\[[0-9;]*m", "", text)
    return [mark for mark in MARKS if mark in plain]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set all there is to be set; what would leave this machine meets a closed door."""
    with socket.socket() as door:  # bound, so that nobody else opens it; not listening
        door.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{door.getsockname()[1]}"
        for name, value in (ACCOUNT | {"TWISTREAM_PUBLIC_URL": dead}).items():
            monkeypatch.setenv(name, value)
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, dead)
            monkeypatch.setenv(name.lower(), dead)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1,localhost")
        yield


def seen_of(sources: list[str], notebook: Any = None) -> tuple[Any, str]:
    """Run cells after those of a notebook; return it, and all that was said."""
    import nbformat  # takes four seconds of a core, which the other workers save

    from support.listener import Listener

    notebook = nbformat.v4.new_notebook() if notebook is None else notebook
    cells = [nbformat.v4.new_code_cell(source) for source in (*BEFORE, *sources)]
    for cell in notebook.cells:
        # Nobody rings here, so the minutes that a person is given for it need not be waited for.
        cell.source = re.sub(r"\.result\(\d{3,}\)", ".result(1)", cell.source)
        cell.source = re.sub(r"\bseconds=\d+\)", "seconds=1)", cell.source)
    notebook.cells = [*cells[: len(BEFORE)], *notebook.cells, *cells[len(BEFORE) :]]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    listener = Listener(notebook, FOLDER, CELL_SECONDS)
    listener.execute()
    return notebook, "\n".join(listener.said)


def errors(notebook: Any) -> set[str]:
    """Return the names of what its cells raised."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return {output.ename for output in outputs if output.output_type == "error"}


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_secret_is_seen_in_a_notebook_nor_in_what_its_kernel_says(
    path: Path, marked: None, capfd: pytest.CaptureFixture[str]
) -> None:
    import nbformat

    notebook, said = seen_of(AFTER, nbformat.read(path, as_version=4))
    printed = "".join(capfd.readouterr())
    state = json.dumps(notebook.metadata.get("widgets", {}))
    outputs = json.dumps([cell.get("outputs") for cell in notebook.cells])
    assert errors(notebook) >= FAILURES
    assert "variables_in" not in outputs
    assert "Traceback" in outputs
    assert "DEBUG:" in said
    assert len(state) > 1000
    assert leaks(outputs) == []
    assert leaks(state) == []
    assert leaks(said) == []
    assert leaks(printed) == []


CONTROL = [
    "import os, ipywidgets\nname = 'TWILIO_AUTH_TOKEN'",
    "os.environ[name]",
    "field = ipywidgets.Password(value=os.environ['TWILIO_API_SECRET'])\nfield",
    "def careless(token):\n    raise ValueError\ncareless(os.environ['NGROK_AUTHTOKEN'])",
    "import requests\nfrom twilio.rest import Client\nClient().calls.list()",
    "logging.getLogger('x').debug('token %s', os.environ[name][:12])",
    "os.write(2, os.environ[name].encode());",
]


@pytest.mark.notebook
def test_a_secret_that_is_shown_would_be_found(
    marked: None, capfd: pytest.CaptureFixture[str]
) -> None:
    notebook, said = seen_of(CONTROL)
    shown = [json.dumps(cell.outputs) for cell in notebook.cells[len(BEFORE) :]]
    printed = "".join(capfd.readouterr())
    assert [bool(leaks(text)) for text in shown] == [False, True, False, True, True, True, False]
    assert set(leaks(shown[3])) <= forms(NGROK)
    assert leaks(json.dumps(notebook.metadata["widgets"]))
    assert leaks(said)
    assert leaks(printed)
    assert forms(TOKEN, user=SID) & set(leaks(b64encode(f"{SID}:{TOKEN}".encode()).decode()))


@pytest.mark.parametrize("way", ["token", "API key", "wrong token"])
async def test_a_client_of_the_settings_is_let_in_by_the_simulator(way: str) -> None:
    async with SimulatedTwilio() as twilio:
        given: dict[str, Any] = {"account_sid": twilio.account_sid, "region": None}
        given["auth_token"] = "0" * 32 if way == "wrong token" else twilio.auth_token
        if way == "API key":
            given |= {"api_key": twilio.api_key, "api_secret": twilio.api_secret}
        client = settings(**given).client()
        client.http_client.session.trust_env = False
        origin = twilio.client.http_client.origin
        client.get_hostname = lambda uri: uri.replace("https://api.twilio.com", origin)
        if way == "wrong token":
            with pytest.raises(TwilioRestException) as refused:
                await asyncio.to_thread(client.calls("CA" + "0" * 32).fetch)
            assert (refused.value.status, refused.value.code) == (401, 20003)
        else:
            assert await asyncio.to_thread(client.calls.list) == []
            assert client.username == (twilio.api_key if way == "API key" else twilio.account_sid)
