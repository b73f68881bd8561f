"""`twistream load`: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from xml.etree import ElementTree

import pytest
from websockets.sync.server import ServerConnection, serve

from support.soaks import soak_of
from support.waiting import until
from twistream_kit import cli
from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.soak import SoakReport
from twistream_kit.pending import Pending, fulfil

TONE = b64encode(Clip.tone(440, 0.1).payload).decode()

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; return its exit code, what it printed, and its errors."""

    def run_it(*argv: object) -> tuple[int, str, str]:
        code = cli.main(["load", *map(str, argv)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run_it


@contextmanager
def greeter(customers: list[str]) -> Iterator[str]:
    """A server that plays 0.1 s, and notes the parameter *customer*."""

    def handle(socket: ServerConnection) -> None:
        with suppress(Exception):
            for text in socket:
                message = json.loads(text)
                if message["event"] == "start":
                    customers.append(message["start"]["customParameters"].get("customer", ""))
                    media = {"event": "media", "streamSid": message["streamSid"]}
                    socket.send(json.dumps({**media, "media": {"payload": TONE}}))

    with serve(handle, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/media"
        finally:
            server.shutdown()
            thread.join()


SHORT = ("--calls", 3, "--seconds", 0.4, "--ramp", 0.1)


def test_load_prints_json_and_writes_junit_and_limits_decide_the_exit_code(
    run: Run, tmp_path: Path
) -> None:
    customers: list[str] = []
    junit = tmp_path / "load.xml"
    with greeter(customers) as url:
        # The server answers no question: there is no script that asks one.
        code, out, err = run(
            url, *SHORT, "--param", "customer=c{call}", "--max-response", 800, "--json", "--junit",
            junit, "--line", "call_centre", "--line-seed", 3, "--save-recorded", tmp_path / "calls",
            "--html", tmp_path / "load.html",
        )  # fmt: skip
    report = json.loads(out)
    assert sorted(customers) == ["c1", "c2", "c3"]
    assert (report["asked"], report["failed"], len(report["calls"])) == (3, 0, 3)
    assert report["limits"] == {"failed_percent": 0.0, "response_ms": 800.0}
    assert code == 1
    assert report["line"].startswith("Line('call_centre', seed=3): 30 ms of delay;")
    assert report["cases"]["response_ms"] == "no call has shown such a time"
    assert f"saved {junit}" in err
    saved = tmp_path / "calls" / "call-3"
    assert sorted(path.name for path in saved.iterdir()) == [
        "heard.wav", "messages.jsonl", "report.json",
    ]  # fmt: skip
    assert f"saved {saved / 'heard.wav'}" in err
    assert "3 of 3 calls ended" in err
    page = (tmp_path / "load.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "no call has shown such a time" in page
    assert "report.recorded" not in page
    assert page.count('src="data:image/png;base64,') == 1
    assert not re.search(r"(?:src|href)=.(?!data:)", page), "nothing is fetched"
    cases = ElementTree.parse(junit).getroot().iter("testcase")
    # On a busy machine the run is invalid, and what is skipped for that stands last.
    assert {case.get("name") for case in cases} == {"valid", "failed_percent", "response_ms"}


def test_load_of_a_server_that_is_down_says_so_at_once_and_exits_with_3(
    run: Run, unused_tcp_port: int, tmp_path: Path
) -> None:
    junit = tmp_path / "load.xml"
    code, out, err = run(
        f"ws://127.0.0.1:{unused_tcp_port}/media", "--ramp", 600, "--max-late", 1, "--junit", junit
    )
    assert (code, out) == (3, "")
    assert "Is the server running, and on this port?" in err
    [case] = ElementTree.parse(junit).getroot().iter("testcase")
    assert [child.tag for child in case] == ["error"]


def test_load_replaces_no_recording_and_finds_out_before_the_run(run: Run, tmp_path: Path) -> None:
    heard = tmp_path / "call-50" / "heard.wav"
    heard.parent.mkdir()
    heard.write_bytes(b"old")
    for folder, options, sentence in (
        (tmp_path, (), f"{heard} exists"),
        (heard, (), f"{heard} is not a folder"),
        (tmp_path / "new", ("--sample", 0), "--sample 0 records none"),
    ):
        code, out, err = run("ws://127.0.0.1:9/media", "--save-recorded", folder, *options)
        assert sentence in err
        assert (code in (1, 2), out) == (True, "")
        assert "calls ended" not in err
    assert heard.read_bytes() == b"old"


def test_load_of_another_machine_needs_remote(run: Run) -> None:
    code, out, err = run("wss://bot.example.com/media")
    assert (code, out) == (2, "")
    assert "would make 50 calls of 30 s to it at once" in err
    assert "--remote" in err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--calls", 0), "calls is 0; give a number from 1 to 10000"),
        (("--max-late", 101), "'101' is no share"),
        (("--max-response", 0.8), "'0.8' is no limit"),
        (("--workers", 0), "workers is 0"),
        (("--script", "missing.toml"), "missing.toml"),
        (("--say", "missing.wav"), "missing.wav"),
        (("--press", "x"), "press has 'x'"),
        (("--press", 5, "--script", "talk.toml"), "--script says all that the caller does"),
        (("--line", "moble"), "the nearest is 'mobile'"),
        (("--line-seed", 3), "--line-seed decides what a line does by chance"),
        (("--param", "customer"), "--param takes NAME=VALUE"),
        (("--faults",), "--faults is for calls over a long time. Say how long with --minutes"),
        (("--max-thread-growth", 5), "--max-thread-growth is for calls over a long time"),
        (("--minutes", 0), "minutes is 0.0; give a number more than 0"),
        (("--minutes", 5, "--max-memory-growth", 0), "'0' is no growth: give a number above 0"),
        (("--minutes", 5, "--max-memory-growth", 9), "no process is measured; give pid= (--pid)"),
        (("--minutes", 5, "--pid", 2**31 - 1), "process 2147483647 cannot be read"),
        (
            ("--max-respnse", 800),
            "unrecognized arguments: --max-respnse 800; the nearest is --max-r",
        ),
        (("--html", "missing/load.html"), "missing is not a folder"),
        (("--html", "README.md"), "README.md"),
        (("--html", "x.xml", "--junit", "./x.xml"), "--html and --junit are both x.xml"),
    ],
)
def test_options_of_load_that_make_no_sense_are_usage_errors(
    run: Run, options: tuple[object, ...], sentence: str
) -> None:
    code, _, err = run("ws://127.0.0.1:9/media", *options)
    assert code == 2
    assert sentence in err


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[SoakReport], dict[str, object]]:
    """Let `twistream load --minutes` print a report that is made up; return what it was asked."""

    def set_report(report: SoakReport) -> dict[str, object]:
        asked: dict[str, object] = {}
        pending: Pending[SoakReport] = Pending()
        fulfil(pending, report)

        def run_soak(url: str, minutes: float, calls: int, **options: object) -> object:
            asked.update(options, url=url, minutes=minutes, calls=calls)
            return pending

        monkeypatch.setattr("twistream_kit.simulator.soak.run_soak", run_soak)
        return asked

    return set_report


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (soak_of(40), 0),
        (soak_of(40, memory_a_wave=1.0), 1),
        (soak_of(4), 0),
        (soak_of(40, ended="the process has ended"), 1),
        (soak_of(40, is_interrupted=True), 130),
    ],
)
def test_a_soak_ends_with_what_it_found(
    run: Run, made_up: Callable[[SoakReport], object], report: SoakReport, code: int
) -> None:
    made_up(report)
    found, out, _ = run("ws://127.0.0.1:9/media", "--minutes", 20)
    assert found == code
    assert report.verdict in out


def test_a_soak_has_its_options_and_writes_json_and_junit(
    run: Run, made_up: Callable[[SoakReport], dict[str, object]], tmp_path: Path
) -> None:
    asked = made_up(soak_of(40))
    junit = tmp_path / "soak.xml"
    code, out, _ = run(
        "ws://127.0.0.1:9/media", "--minutes", 60, "--pid", 4711, "--faults", "--fault-scale", 0.5,
        "--rest", 3, "--max-memory-growth", 30, "--max-response", 800, "--json", "--junit", junit,
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["growth"][0]["verdict"] == "does not grow"
    names = [case.get("name") for case in ElementTree.parse(junit).getroot().iter("testcase")]
    assert names[-3:] == ["memory_mb_per_hour", "descriptors_per_hour", "threads_per_hour"]
    assert (asked["minutes"], asked["calls"], asked["seconds"]) == (60.0, 20, 30)
    assert (asked["pid"], asked["faults"], asked["fault_scale"]) == (4711, True, 0.5)
    assert asked["limits"] == {"response_ms": 800.0, "memory_mb_per_hour": 30.0}
    assert asked["rest_seconds"] == 3.0
    assert "ramp_seconds" not in asked


def test_a_soak_of_another_machine_needs_remote(run: Run) -> None:
    code, _, err = run("wss://bot.example.com/media", "--minutes", 60, "--faults")
    assert code == 2
    assert "would make 20 calls of 30 s to it at once, for 60 minutes, and break streams" in err


@pytest.mark.slow
def test_an_interrupted_soak_prints_what_it_has() -> None:
    customers: list[str] = []
    with greeter(customers) as url:
        command = [sys.executable, "-m", "twistream_kit", "load", url, "--calls", "3"]
        process = subprocess.Popen(
            [*command, "--seconds", "1", "--ramp", "0", "--minutes", "60", "--rest", "0.2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        while "wave 1, 3 calls, none failed" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "of 60 minutes" in out
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupted_load_prints_what_it_has(workers: str) -> None:
    customers: list[str] = []
    with greeter(customers) as url:
        command = [sys.executable, "-m", "twistream_kit", "load", url, "--calls", "40"]
        process = subprocess.Popen(
            [*command, "--seconds", "600", "--ramp", "20", "--workers", workers],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stderr is not None
        until(lambda: len(customers) >= 4, 60)
        os.killpg(process.pid, signal.SIGINT)  # to its workers as well, as a terminal does
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 40 to ws://127.0.0.1" in out
    assert f"from {workers} process" in out
    assert "  note: " not in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_load_from_two_processes_over_a_line(run: Run) -> None:
    with greeter([]) as url:
        code, out, err = run(
            url, "--calls", 4, "--seconds", 1, "--ramp", 0.2, "--workers", 2, "--line", "mobile",
            "--line-seed", 7, "--json",
        )  # fmt: skip
    report = json.loads(out)
    assert code == (0 if report["ok"] else 1), "1 on a busy machine, which is said"
    assert report["failed"] == 0
    assert report["line"].startswith("Line('mobile', seed=7): ")
    assert [call["number"] for call in report["calls"]] == [1, 2, 3, 4]
    assert {share["pid"] for share in report["shares"]}.isdisjoint({os.getpid()})
    assert len({share["pid"] for share in report["shares"]}) == 2
    # The delay of the way back, 100 ms, is in the time to the first sound.
    assert all(call["first_sound_ms"] >= 100 for call in report["calls"])
    assert "4 of 4 calls ended, 0 under way" in err
