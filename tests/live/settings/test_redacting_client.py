"""Requests that fail in a shell with ``%xmode Verbose``, which prints the variables of all frames.

The shell runs in a process of its own: IPython's changes more of a process than a test should.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
import requests

from twistream_kit.live.settings._redacting_client import (
    TIMEOUT_SECONDS,
    RedactingHttpClient,
    _remove_secrets,
    make_client,
)
from twistream_kit.live.settings.secret import QuietText, Secret

SID, TOKEN = "AC" + "1" * 32, "5ec2e7" + "0123456789abcdef0123456789"
PAIR = b64encode(f"{SID}:{TOKEN}".encode()).decode()

SHELL = """
import contextlib, io, json, logging, signal, socket, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from IPython.core.interactiveshell import InteractiveShell

seen, answers = [], {"status": 401}

class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        seen.append(self.headers["Authorization"])
        self.rfile.read(int(self.headers["Content-Length"]))
        if answers["status"] is None:
            self.close_connection = True
            return
        body = json.dumps({"code": 20003, "message": "Authenticate", "status": 401}).encode()
        self.send_response(answers["status"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

web = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=web.serve_forever, daemon=True).start()
silent = socket.create_server(("127.0.0.1", 0))  # it takes connections and never says a word
with socket.create_server(("127.0.0.1", 0)) as gone:
    gone_port = gone.getsockname()[1]

def leads_to(client, port):
    client.get_hostname = lambda uri: uri.replace("https://api.twilio.com", f"http://127.0.0.1:{port}")
    return client

def interrupt_soon():
    main = threading.main_thread().ident
    threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT)).start()

shell = InteractiveShell.instance()
shell.user_ns.update(globals())
shell.run_line_magic("xmode", "Verbose")
shown = {}
for name, cell in json.loads(sys.argv[1]).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        shell.run_cell(cell)
    shown[name] = out.getvalue()
shown["authorization"] = seen[0]
print(json.dumps(shown))
"""

CALL = ".calls.create(to='+15550100001', from_='+15550100002', twiml='<Response/>')"
MINE = (
    "from twistream_kit.live.settings.settings import settings\nmine = settings().client()\n"
    "leads_to(mine, web.server_port)"
)
CASES = {
    "set up": MINE,
    "refused": f"leads_to(mine, gone_port){CALL}",
    "401": f"leads_to(mine, web.server_port){CALL}",
    "broken": f"answers['status'] = None\nmine{CALL}",
    "timeout": "mine.http_client.timeout = 0.2\nleads_to(mine, silent.getsockname()[1])" + CALL,
    "interrupt": f"mine.http_client.timeout = 8\ninterrupt_soon()\nmine{CALL}",
    "proxy": "mine.http_client.proxy = {'http': f'http://me:pr0xypass@127.0.0.1:{gone_port}'}\n"
    f"proxied = mine{CALL}",
    "bad proxy": "mine.http_client.proxy = {'http': 'http://me:pr0xypass@:0:x'}\n"
    f"proxied = mine{CALL}",
    "not latin": "from twistream_kit.live.settings._redacting_client import make_client\n"
    "from twistream_kit.live.settings.secret import Secret\n"
    "import os\nodd = Secret(os.environ['TWILIO_AUTH_TOKEN'] + chr(0x141))\n"
    f"make_client(mine.account_sid, odd){CALL}",
    "looked at": "(vars(mine), mine.auth, mine.password, mine.http_client._test_only_last_request,"
    " vars(mine.http_client._test_only_last_request), vars(mine.http_client))",
    "logged": "logging.basicConfig(level=0, stream=sys.stdout, force=True)\n"
    "mine.http_client.proxy = {}\nanswers['status'] = 401\n"
    f"leads_to(mine, web.server_port){CALL}",
    "control, 401": "from twilio.rest import Client\nimport os\nlogging.getLogger().setLevel(50)\n"
    "plain = Client(*(os.environ[n] for n in ('TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN')))\n"
    f"leads_to(plain, gone_port){CALL}",
}
KINDS = {
    "refused": "ConnectionError",
    "401": "TwilioRestException",
    "broken": "ConnectionError",
    "timeout": "ReadTimeout",
    "interrupt": "KeyboardInterrupt",
    "proxy": "ProxyError",
    "bad proxy": "InvalidURL",
    "not latin": "RequestException",
    "logged": "TwilioRestException",
}


def leaks(text):
    """Return which forms of the token stand in a text, in whole or in good part."""
    forms = [TOKEN, TOKEN[:12], TOKEN[-12:], PAIR, PAIR[48:64], PAIR[-16:-4]]
    forms.append(b64encode(TOKEN.encode()).decode()[:16])
    return [form for form in forms if form in text]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What a shell showed in each of the cases."""
    proxies = re.compile("(http|https|all|no)_proxy", re.IGNORECASE)
    environment = {name: v for name, v in os.environ.items() if not proxies.fullmatch(name)}
    environment |= {"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": TOKEN}
    folder = tmp_path_factory.mktemp("shell")
    environment |= {"IPYTHONDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", SHELL, json.dumps(CASES)],
        capture_output=True, text=True, timeout=60, env=environment, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout.splitlines()[-1])
    return {name: re.sub(r"\x1b\[[0-9;]*m", "", text) for name, text in texts.items()}


@pytest.mark.parametrize("case", KINDS)
def test_a_request_that_fails_shows_its_frames_but_no_secret(shown, case):
    assert KINDS[case] in shown[case]
    assert "client_base.py" in shown[case] or case in ("401", "logged"), "no frames were shown"
    assert leaks(shown[case]) == []
    assert "pr0xypass" not in shown[case].split("proxied = ")[-1].split("\n", 1)[-1]


def test_nothing_that_a_client_holds_shows_the_secret(shown):
    assert SID in shown["looked at"]
    assert "<secret>" in shown["looked at"]
    assert leaks(shown["looked at"]) == []


def test_the_same_with_a_plain_client_would_show_it(shown):
    assert leaks(shown["control, 401"]) != []


def test_requests_are_authenticated_with_sid_and_token(shown):
    assert shown["authorization"] == f"Basic {PAIR}"


def test_log_tells_of_the_request(shown):
    assert "BEGIN Twilio API Request" in shown["logged"]


def test_client_gives_up_after_a_while():
    client = make_client(SID, Secret(TOKEN))
    assert client.http_client.timeout == TIMEOUT_SECONDS


def fail_with(error, monkeypatch):
    """Let requests raise an error; return what the client raises."""

    def send(*_args, **_options):
        raise error

    client = make_client(SID, Secret(TOKEN))
    monkeypatch.setattr(client.http_client.session, "send", send)
    with pytest.raises(BaseException) as raised:
        client.calls.list()
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectTimeout(f"quoting {TOKEN}", request=requests.Request(auth=(SID, TOKEN))),
        requests.TooManyRedirects(f"to https://{SID}:{TOKEN}@elsewhere.example"),
        requests.JSONDecodeError(f"Authorization: Basic {PAIR}", "{", 0),
        OSError(5, f"Basic {PAIR[:-4]}"),
        ValueError(TOKEN),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_new_exception_of_the_same_kind_says_the_same_but_for_secrets(error, monkeypatch):
    raised = fail_with(error, monkeypatch)
    assert isinstance(raised, requests.RequestException)
    if type(error) in (requests.ConnectTimeout, requests.TooManyRedirects):
        assert type(raised) is type(error)
    assert raised is not error
    assert raised.__cause__ is raised.__context__ is raised.request is raised.response is None
    assert "<secret>" in str(raised)
    assert leaks(f"{raised} {raised!r} {vars(raised)} {raised.args}") == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_stays_one(kind, monkeypatch):
    assert type(fail_with(kind(TOKEN), monkeypatch)) is kind


def test_words_without_a_secret_stay_as_they_are():
    error = requests.ConnectionError("Max retries exceeded with url: https://api.twilio.com/2010")
    again = _remove_secrets(error, (SID, QuietText(TOKEN)))
    assert str(again) == str(error)
    assert str(_remove_secrets(error, None)) == str(error)


def test_it_is_the_sdks_own_client_otherwise():
    assert RedactingHttpClient().session is not None
