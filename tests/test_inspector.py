"""The inspector between the simulator and servers: FastAPI's and ours; its log, its command."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import threading

import pytest
import requests

import twistream_kit as kit
from support.waiting import LIMIT_SECONDS, until
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.files import review_capture
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.server.server import StreamServer
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.simulator.simulate_call import simulate_call

FASTAPI = """
import base64, json, socket, uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()

@app.websocket("/media")
async def media(socket: WebSocket):
    await socket.accept()
    count = 0
    try:
        while True:
            message = json.loads(await socket.receive_text())
            if message["event"] == "start":
                sid = message["streamSid"]
                for key in KEYS:
                    frame = base64.b64encode(bytes(range(60, 220)) * 5).decode()
                    await socket.send_json(
                        {"event": "media", "media": {key: frame}, "streamSid": sid}
                    )
                await socket.send_json(
                    {"event": "mark", "streamSid": sid, "mark": {"name": "said"}}
                )
            elif message["event"] == "mark":
                await socket.close(CODE)
                return
    except WebSocketDisconnect:
        pass

@app.get("/health")
def health():
    return "FastAPI is well"

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])
"""


@pytest.fixture
def fastapi():
    """A server of FastAPI's, in a process of its own; gives its address."""
    running = []

    def start(*, keys=("payload",) * 3, code=1000):
        program = f"KEYS, CODE = {keys!r}, {code}\n{FASTAPI}"
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return f"ws://127.0.0.1:{int(process.stdout.readline())}/media"

    yield start
    for process in running:
        process.terminate()
        process.wait(LIMIT_SECONDS)
        process.stdout.close()


class Wire:
    """A stretch of the way that remembers every byte of its one connection."""

    def __init__(self, url):
        self._authority = re.fullmatch(r"ws://(127\.0\.0\.1):(\d+)/media", url).groups()
        self.there, self.back = bytearray(), bytearray()

    async def __aenter__(self):
        self._listener = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/media"
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        await self._listener.wait_closed()

    async def _take(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection(*self._authority)
        with contextlib.suppress(OSError):
            await asyncio.gather(
                self._carry(reader, far_writer, self.there),
                self._carry(far_reader, writer, self.back),
            )
        writer.close()
        far_writer.close()

    async def _carry(self, reader, writer, find_remembered):
        while piece := await reader.read(65536):
            find_remembered += piece
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


async def call_between_wires(url):
    """Call through an inspector with a wire on either side; return what each of them saw."""
    async with (
        Wire(url) as behind,
        Inspector(behind.url) as inspector,
        Wire(inspector.url) as before,
    ):
        wait = inspector.next_stream()
        tone = kit.Clip.tone(440, 0.4)
        report = await simulate_call(before.url, say=tone, press="5", seconds=1.5, auth_token="t")
        async with asyncio.timeout(LIMIT_SECONDS):
            stream = await wait
            await stream.closed
    return before, behind, stream, report


def assert_the_same_passed(before, behind):
    head_there, _, body_there = bytes(before.there).partition(b"\r\n\r\n")
    head_behind, _, body_behind = bytes(behind.there).partition(b"\r\n\r\n")
    assert body_there == body_behind
    assert bytes(before.back) == bytes(behind.back)
    assert len(body_there) > 5000
    kept = [line for line in head_there.split(b"\r\n") if not line.lower().startswith(b"host:")]
    assert [line for line in head_behind.split(b"\r\n") if line in kept] == kept
    assert b"x-twilio-signature: " in head_behind


@pytest.mark.realtime
async def test_the_same_bytes_pass_through_it_between_simulator_and_fastapi(fastapi):
    before, behind, stream, report = await call_between_wires(fastapi(code=4000))
    assert_the_same_passed(before, behind)
    assert report.close_code == 4000
    assert (report.marks_received, report.marks_returned) == (1, 1)
    end = stream.closed.result(0)
    assert (end.ended_by, end.server_code) == ("server", 4000)
    assert [objection.code for objection in stream.objections] == [31921]
    assert [entry.code for entry in report.debugger] == [31921]
    sent = [e.message for e in stream.capture.entries if e.sender == "server"]
    assert [type(message) for message in sent] == [to_twilio.Media] * 3 + [to_twilio.Mark]


@pytest.mark.realtime
async def test_the_same_bytes_pass_through_it_between_simulator_and_our_server():
    async def handler(stream):
        await stream.play(kit.Clip.tone(300, 0.5), mark="first")
        stream.play(kit.Clip.tone(300, 5.0))
        await stream.mark("second")

    async with StreamServer(handler) as server:
        before, behind, stream, report = await call_between_wires(server.url)
    assert_the_same_passed(before, behind)
    assert report.ok, report
    end = stream.closed.result(0)
    assert (end.ended_by, end.twilio_code, end.said_stop) == ("twilio", 1005, True)
    theirs, ours = report.capture, stream.capture
    assert (ours.stream_sid, ours.call_sid) == (theirs.stream_sid, theirs.call_sid)
    for sender in ("twilio", "server"):
        one, other = ([e for e in c.entries if e.sender == sender] for c in (ours, theirs))
        assert [e.message for e in one] == [e.message for e in other]
        # Both count from their start; how little they differ, `make bench` measures.
        assert all(abs(a.at - b.at) < 5 for a, b in zip(one, other, strict=True))


@pytest.mark.realtime
async def test_the_misspelt_payload_of_a_fastapi_server_is_named(fastapi):
    async with Inspector(fastapi(keys=("playload",) * 5)) as inspector:
        wait = inspector.next_stream()
        report = await simulate_call(inspector.url, seconds=0.5)
        async with asyncio.timeout(LIMIT_SECONDS):
            stream = await wait
            await stream.closed
    assert [entry.code for entry in report.debugger] == [31951, 31921]
    worst = stream.objections[0]
    assert worst.code == 31951
    assert "playload" in str(worst)
    assert stream.times[worst] == 5


def test_the_log_and_the_timeline_of_a_notebook_show_an_inspected_stream(fastapi):
    inspector = kit.start(Inspector(fastapi(keys=("payload", "playload", "payload"))))
    try:
        wait = inspector.next_stream()
        report = simulate_call(inspector.url, seconds=1.0)
        stream = wait.result(LIMIT_SECONDS)
        report.result(LIMIT_SECONDS)
        end = stream.closed.result(LIMIT_SECONDS)
        log = StreamLog(stream)
        assert log.state == f"Ended: {end.detail}."
        (invalid,) = (line for line in log.lines if line["event"] == "invalid")
        assert "playload" in invalid["text"]
        assert invalid["sender"] == "server"
        assert {each["code"] for each in invalid["objections"]} == {31951}
        times = [line["at"] for line in log.lines]
        assert times == sorted(times)
        assert log.lines[-1]["event"] != "invalid"
        assert log.media[1]["text"].startswith("2 messages, 0.20 s of sound")
        log.close()
        assert kit.plot_timeline(stream.capture).axes
        assert kit.url_of(inspector) == inspector.url
    finally:
        kit.stop()


def test_it_is_made_on_one_loop_and_entered_on_another():
    async def make():
        return Inspector("ws://127.0.0.1:1/media")

    inspector = asyncio.run(make())

    async def enter():
        async with inspector:
            return inspector.port

    assert asyncio.run(enter())


@contextlib.contextmanager
def inspecting(*argv):
    """The command in a process of its own; gives where to connect, and what it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "twistream_kit", "inspect-stream", *map(str, argv)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    lines = []
    try:
        lines.append(process.stdout.readline())
        url = re.search(r"ws://\S+", lines[0])[0]
        reading = threading.Thread(target=lambda: lines.extend(process.stdout))
        reading.start()
        yield process, url, lines
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_SECONDS)
        reading.join(LIMIT_SECONDS)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait(LIMIT_SECONDS)
        process.stdout.close()
        process.stderr.close()


@pytest.mark.realtime
@pytest.mark.parametrize(("key", "code"), [("payload", 0), ("playload", 1)])
def test_the_command_tells_what_passes_saves_it_and_ends_with_ctrl_c(fastapi, tmp_path, key, code):
    upstream = fastapi(keys=("payload", key))
    folder = tmp_path / "calls"
    with inspecting("--upstream", upstream, "--save", folder) as (process, url, lines):
        simulate_call(url, seconds=0.6, parameters={"pin": "hidden"}).result(LIMIT_SECONDS)
        until(lambda: any("saved" in line for line in list(lines)))
    assert process.returncode == code
    text = "".join(lines)
    assert f"Everything is relayed to {upstream}; Ctrl-C ends this." in text
    for words in (
        r"\[1\]     \d\.\d\d s  from Twilio  Twilio connected",
        r"from Twilio  Twilio started the stream MZ\w{32}, parameters: pin",
        r"to Twilio    mark 'said' sent",
        r"from Twilio  mark 'said' came back",
        r"media        \d+ from Twilio \(\d\.\d\d s\)",
        r"\[1\] ended: your server closed with 1000",
        r"\[1\] marks: said heard",
    ):
        assert re.search(words, text), words
    assert "hidden" not in text
    if code:
        assert re.search(r"to Twilio    \{.*playload", text)
        assert re.search(r"error 31951  .*playload.*payload", text)
        assert re.search(r"\[1\] 1 × error \(31951\)", text)
    else:
        assert "[1] nothing to object to" in text
    (file,) = folder.iterdir()
    capture = Capture.load(file)
    assert isinstance(capture.entries[0].message, from_twilio.Connected)
    assert capture.redacted
    found = [str(each.objection) for each in review_capture(capture)]
    assert len(found) == code
    assert all("playload" in each for each in found)


def test_the_command_ends_in_words_where_it_cannot_begin():
    def run(*argv):
        command = [sys.executable, "-m", "twistream_kit", "inspect-stream", *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    for argv, words in (
        (["--upstream", "http//x"], "is not the address of a WebSocket server"),
        (["--upstream", "ws://localhost:1/media", "--port", "70000"], "from 0 to 65535"),
        (["--upstream", "ws://localhost:1/media", "--allowed-host", "a/b"], "'a/b' is no host"),
        ([], "--upstream"),
    ):
        done = run(*argv)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_the_command_lets_in_what_is_for_an_allowed_host():
    allowed = ("--allowed-host", "devbox.lan", "--allowed-host", "192.168.1.7")
    with inspecting("--upstream", "ws://127.0.0.1:1/media", *allowed) as (_, url, _lines):
        address = url.replace("ws:", "http:")
        found = {
            host: requests.get(address, headers={"Host": host}, timeout=LIMIT_SECONDS)
            for host in ("devbox.lan:80", "192.168.1.7", "another.lan")
        }
    # The server behind it is not there; what is refused does not get so far.
    assert {host: answer.status_code for host, answer in found.items()} == {
        "devbox.lan:80": 502,
        "192.168.1.7": 502,
        "another.lan": 403,
    }
    # Who runs the command has no argument to give, but an option.
    assert "--allowed-host" in found["another.lan"].text


def test_the_command_ends_with_zero_when_nothing_came():
    with inspecting("--upstream", "ws://127.0.0.1:1/media") as (process, _, lines):
        until(lambda: len(lines) == 2)
    assert process.returncode == 0
