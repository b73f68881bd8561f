"""The command line: for each command its help, its exit codes and what it prints where."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from callers import MOST_SECONDS, TONE, calm
from common import SAMPLES, STREAM, Pages
from sounds import ODD_WAVS
from websockets.sync.server import ServerConnection, serve
from wire import a_capture

COMMANDS = (
    "tutorial",
    "doctor",
    "inspect",
    "convert",
    "explain",
    "review",
    "call",
    "load",
    "faults",
    "inspect-stream",
)
GREETING, QUESTION = SAMPLES / "greeting.wav", SAMPLES / "question.wav"
CLEAR = json.dumps({"event": "clear", "streamSid": STREAM})
WRONG = json.dumps({"event": "media", "streamSid": STREAM, "media": {"playload": "/////w=="}})


def record() -> dict[str, str]:
    """One page for each command."""
    pages = Pages()
    _help(pages)
    _inspect(pages)
    _convert(pages)
    _explain(pages)
    _review(pages)
    _call(pages)
    _inspect_stream(pages)
    return pages.texts()


def run(*argv: object, stdin: bytes = b"") -> str:
    """Run a command in this process; return its exit code, its output and its errors."""
    [command] = entry_points(group="console_scripts", name="twistream")
    main = command.load()
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(part) for part in argv])
    finally:
        sys.stdin = before
    return f"exit code {code}\n--- stdout\n{out.getvalue()}\n--- stderr\n{err.getvalue()}"


def _add(pages: Pages, page: str, *argv: object, stdin: bytes = b"") -> None:
    shown = " ".join(str(part) for part in argv)
    pages.add(page, f"twistream {shown}"[:200], run(*argv, stdin=stdin))


def _help(pages: Pages) -> None:
    """Pages of help, without the layout, which is argparse's and differs between Pythons."""
    for argv in (["--help"], *([name, "--help"] for name in COMMANDS)):
        pages.add("help", f"twistream {' '.join(argv)}", _same_in_all_pythons(run(*argv)))
    wrong = (
        [],
        ["sing"],
        ["call"],
        ["convert", "a.wav"],
        ["inspect"],
        ["review"],
        ["explain"],
        ["inspect-stream"],
        ["call", "ws://127.0.0.1:1", "--seconds", "x"],
        ["explain", "31951", "more"],
        ["--nonsense"],
        ["inspect-stream", "--upstream", "x", "--port", "y"],
        ["tutorial", "--port", "70000"],
    )
    for argv in wrong:
        pages.add("help", f"twistream {' '.join(argv)}", _same_in_all_pythons(run(*argv)))
    done = subprocess.run(
        [sys.executable, "-m", "twistream_kit", "explain", "31951"],
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    pages.add(
        "help",
        "python -m twistream_kit explain 31951",
        f"{done.returncode}\n{done.stdout}{done.stderr}",
    )


def _same_in_all_pythons(text: str) -> str:
    text = re.sub(r"\n {6,}", "  ", text)  # wrapped lines, and options too long for their column
    text = re.sub(r"(-\w) ([^\s,]+), (--[\w-]+) \2", r"\1, \3 \2", text)
    text = re.sub(r"choose from .*\)", lambda found: found[0].replace("'", ""), text)
    return re.sub(r"(?<=\S) {2,}", "  ", text)


def _inspect(pages: Pages) -> None:
    _add(pages, "inspect", "inspect", QUESTION)
    _add(pages, "inspect", "inspect", GREETING, QUESTION)
    _add(pages, "inspect", "inspect", "missing.wav")
    _add(pages, "inspect", "inspect", SAMPLES, QUESTION)
    Path("odd").mkdir()
    for name in ("cut off", "HTML", "empty", "A-law"):
        path = Path("odd", f"{name}.wav")
        path.write_bytes(ODD_WAVS[name])
        _add(pages, "inspect", "inspect", path)


def _convert(pages: Pages) -> None:
    _add(pages, "convert", "convert", GREETING, QUESTION, "-o", "new")
    _add(pages, "convert", "convert", GREETING, QUESTION, "-o", "new")
    _add(pages, "convert", "convert", GREETING, "-o", "new", "--force")
    _add(
        pages, "convert", "convert", "missing.wav", "odd/HTML.wav", "odd/cut off.wav", "-o", "other"
    )
    _add(pages, "convert", "convert", GREETING, "-o", SAMPLES, "--force")
    _add(pages, "convert", "convert", GREETING, "-o", GREETING)
    _add(pages, "convert", "convert", SAMPLES, "-o", "folders")
    pages.add("convert", "files in new", sorted(path.name for path in Path("new").iterdir()))


def _explain(pages: Pages) -> None:
    for code in ("31951", "Error 11200 happened", "31952", "99999", "nothing", "-1"):
        _add(pages, "explain", "explain", code)


def _review(pages: Pages) -> None:
    capture = a_capture().save("call.jsonl")
    lines = capture.read_text().splitlines(keepends=True)
    files = {
        "good.jsonl": CLEAR + "\n" + CLEAR + "\n",
        "wrong.jsonl": CLEAR + "\n\n" + WRONG + "\n",
        "array.json": f"[{CLEAR}, {WRONG}]",
        "pretty.json": json.dumps(json.loads(WRONG), indent=2),
        "empty.jsonl": "",
        "noise.jsonl": "hello\n",
        "twiml.xml": "<Response><Conect/></Response>",
        "good.xml": "<Response><Say>Hello</Say></Response>",
        "damaged.jsonl": lines[0] + "rubbish\n" + "".join(lines[1:]),
        "header.jsonl": lines[0],
    }
    for name, text in files.items():
        Path(name).write_text(text)
        _add(pages, "review", "review", name)
    _add(pages, "review", "review", capture)
    _add(pages, "review", "review", capture, "--stream-sid", "MZ" + "9" * 32)
    _add(pages, "review", "review", "missing.jsonl")
    _add(pages, "review", "review", SAMPLES)
    _add(pages, "review", "review", GREETING)
    _add(pages, "review", "review", "-", stdin=WRONG.encode())
    _add(pages, "review", "review", "-", "--stream-sid", "MZ" + "9" * 32, stdin=CLEAR.encode())


@contextlib.contextmanager
def _server(kind: str) -> Iterator[str]:
    """A server of somebody else's, which plays a tone and a mark, or does one thing wrong."""

    def handle(socket: ServerConnection) -> None:
        for text in socket:
            message = json.loads(text)
            if message["event"] == "mark" and kind == "closes":
                return
            if message["event"] == "start":
                _plays(socket, message["streamSid"], kind)

    with serve(handle, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{running.socket.getsockname()[1]}/media"
        finally:
            running.shutdown()
            thread.join()


def _plays(socket: ServerConnection, sid: str, kind: str) -> None:
    key = "playload" if kind == "misspells" else "payload"
    media = {"event": "media", "streamSid": sid, "media": {key: b64encode(TONE.payload).decode()}}
    socket.send(json.dumps(media))
    socket.send(json.dumps({"event": "mark", "streamSid": sid, "mark": {"name": "tone"}}))
    if kind == "sends bytes":
        socket.send(b"\x00\x01")


def _call(pages: Pages) -> None:
    for kind in ("plays", "misspells", "sends bytes", "closes"):
        with _server(kind) as url:
            said = run("call", url, "--seconds", "1.5", "--param", "a=b", "--press", "5")
        pages.add("call", f"a server that {kind}", calm(said))
    with _server("plays") as url:
        said = run("call", url, "--seconds", "1.5", "--say", "odd/cut off.wav", "--save", "kept")
    pages.add("call", "--say --save", calm(said))
    pages.add("call", "files in kept", sorted(path.name for path in Path("kept").iterdir()))
    with _server("plays") as url:
        said = run("call", url, "--seconds", "1.5", "--json")
    data = json.loads(said.split("--- stdout\n")[1].split("\n--- stderr")[0])
    pages.add(
        "call",
        "--json: its keys",
        json.dumps(
            {
                name: sorted(value) if isinstance(value, dict) else type(value).__name__
                for name, value in data.items()
            },
            indent=1,
        ),
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    wrong = (
        [f"ws://127.0.0.1:{port}/media"],
        ["http://127.0.0.1/media"],
        ["ws://example.com/media"],
        ["nonsense"],
        ["ws://127.0.0.1:1/media", "--param", "x"],
        ["ws://127.0.0.1:1/media", "--press", "x"],
        ["ws://127.0.0.1:1/media", "--seconds", "-1"],
        ["ws://127.0.0.1:1/media", "--say", "missing.wav"],
        ["ws://127.0.0.1:1/media", "--auth-token-from", "NOT_SET_ANYWHERE"],
        ["ws://127.0.0.1:1/media", "--save", "no/such/folder/x.wav"],
        ["ws://127.0.0.1:1/media", "--save", "call.mp3"],
    )
    for argv in wrong:
        _add(pages, "call_refused", "call", *argv)


def _inspect_stream(pages: Pages) -> None:
    _add(pages, "inspect_stream", "inspect-stream", "--upstream", "nonsense")
    wrong_port = ("inspect-stream", "--upstream", "ws://127.0.0.1:1/media", "--port", "1000000")
    _add(pages, "inspect_stream", *wrong_port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("inspect-stream", "--upstream", "ws://127.0.0.1:1/media", "--port", port)
    pages.add("inspect_stream", "a port that is taken", said.replace(str(port), "PORT"))
    for kind in ("plays", "misspells"):
        pages.add("inspect_stream", f"before a server that {kind}", _inspected(kind))


def _inspected(kind: str) -> str:
    shutil.rmtree("inspected", ignore_errors=True)
    with _server(kind) as url:
        command = [
            sys.executable,
            "-u",
            "-m",
            "twistream_kit",
            "inspect-stream",
            "--upstream",
            url,
            "--save",
            "inspected",
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        watchdog = threading.Timer(MOST_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            address = lines[0].split()[-1]
            run("call", address, "--seconds", "1.5", "--press", "5", "--param", "secret=1")
            while lines[-1] and "saved " not in lines[-1]:
                lines.append(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            lines += process.stdout.readlines()
            code = process.wait(MOST_SECONDS)
        finally:
            watchdog.cancel()
            process.kill()
            process.stdout.close()
            process.wait()
    return f"exit code {code}\n{_calm_report(''.join(lines))}"


def _calm_report(text: str) -> str:
    """Return the report of a stream without times, numbers of media and the capture's name."""
    lines = []
    for line in sorted(text.splitlines(), key=_place_of):
        line = re.sub(r"^(\[\d+\]) +\d+\.\d\d s ", r"\1 TIME", line)
        line = re.sub(r"\d+ (from Twilio|to Twilio|server|twilio) \(\d+\.\d+ s\)", r"N \1", line)
        if re.search(r"TIME +media ", line):
            continue
        line = re.sub(r"call-\d+-\d+-\d+", "call-NAME", line)
        line = re.sub(r"\b\d+(\.\d+)? (s|ms|media)\b", r"N \2", line)
        if re.match(
            r"\[\d+\] (gaps|underruns|send-ahead|deaf window|late marks|first sound)", line
        ):
            line = line.split(":")[0] + ": …"
        if re.match(r"\[\d+\] (from|to) Twilio: ", line):
            head, counts = line.split(": ", 1)
            line = f"{head}: {sorted(re.split('[,;] ', counts))}"
        lines.append(line)
    return "\n".join(lines).replace(os.sep, "/")


def _place_of(line: str) -> tuple[int, int]:
    """Put what passed in one direction together, and what was wrong: that order is certain."""
    if not re.match(r"\[\d+\] +\d+\.\d\d s ", line):
        return (0, 0) if line.startswith(("Connect", "Everything")) else (2, 0)
    kinds = ("playload", "to Twilio", " key ", "from Twilio")
    return 1, next((number for number, kind in enumerate(kinds) if kind in line), len(kinds))
