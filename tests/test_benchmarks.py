"""Every part of the benchmarks works; what it measures is nobody's business here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import callers
import load
import pytest
import turn_server
import turn_truth
from websockets.asyncio.server import ServerConnection, serve

import twistream_kit as kit
from support.chromium import find_chromium
from twistream_kit.audio.g711 import decode_ulaw

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
RUN = HERE.parent / "benchmarks" / "run.py"

PARTS = {
    "codec": "encode",
    "server": "server CPU, bare websockets echo",
    "echo": "server CPU, echo by speak",
    "asgi": "server CPU, StreamApp under uvicorn, echo by speak",
    "calls": "calls on one core, echo by speak: late over 5 ms, beyond the bare echo",
    "first_sound": "start → first sound, 3 calls, a clip plays",
    "memory": "memory of an open stream beyond it, echo by speak",
    "slow_peer": "a peer that does not read: a clear meanwhile",
    "clear": "clear → silence at the phone",
    "inspector": "inspector, added delay one way, 1 call",
    "heads": "loop held by 10 heads",
    "simulator": "simulator, 1 call",
    "load": "simulated calls: CPU a frame, without a recording",
    "ten_minutes": "through the plain objects",
    "payload": "windows of wrong coding found",
    "speech": "speech in silence, -20 dB: ours",
    "tones": "keys of 20 ms: found, wrong",
    "conversations": "speech at -12 dB, in silence",
    "lines": "clean: cost of a frame",
    "line_turns": "turns on clean",
    "turns": "speech at -12 dB, in silence: invalid calls of 2",
    "faults": "reported faults drawn anew",
    "capture": "loaded, summarised and drawn",
    "parsers": "reader, capture: grows like",
    "import": "over a bare interpreter",
}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *args], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_benchmarks_prints_its_line_of_the_table(part):
    done = run("--tiny", part)
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("what ")[2]
    assert PARTS[part] in table
    assert done.stderr == ""


@pytest.mark.browser
@pytest.mark.skipif(
    not (find_chromium() or os.environ.get("TWISTREAM_REQUIRE_BROWSER")),
    reason="no Chromium on PATH; set TWISTREAM_REQUIRE_BROWSER=1 to make this a failure",
)
def test_the_way_to_the_ear_is_measured_in_a_browser():
    done = run("--tiny", "ear")
    assert done.returncode == 0, done.stderr
    for way in ("kernel → ear", "ear → kernel"):
        for state in ("idle", "a cell sleeps", "a cell computes"):
            assert re.search(rf"{way}, {state}: median and p95 +\d+ and \d+ ms", done.stdout)
    clicks = r"click on Clear → silence at the ear, \d+ clicks: median and p95 +-?\d+ and -?\d+ ms"
    assert re.search(clicks, done.stdout)


@pytest.mark.browser
@pytest.mark.skipif(
    not (find_chromium() or os.environ.get("TWISTREAM_REQUIRE_BROWSER")),
    reason="no Chromium on PATH; set TWISTREAM_REQUIRE_BROWSER=1 to make this a failure",
)
def test_the_way_from_the_command_tutorial_to_a_call_is_measured_in_a_browser():
    command = [sys.executable, str(RUN.with_name("first_call.py")), "--wheel", "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert re.search(r"folder written, JupyterLab up +\d+\.\d s", done.stdout)
    assert re.search(r"code 10: .*dial\(\) +\d+\.\d s", done.stdout)
    whole = "twistream tutorial → first sound of a call, with the reading, without pip install"
    assert re.search(rf"{whole} +\d+\.\d s +≤ 180 s", done.stdout)


def test_without_a_browser_the_way_to_the_ear_is_left_out_in_words(monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = run("--tiny", "ear")
    assert done.returncode == 0, done.stderr
    assert "left out: there is no Chromium on PATH" in done.stdout


def test_the_server_of_known_delays_decodes_as_the_package_does():
    assert decode_ulaw(bytes(range(256))).tolist() == turn_server.SAMPLES


def test_caller_is_recognised_by_its_frames():
    speech = kit.Clip.silence(0.1) + kit.Clip.tone(440, 0.2) + kit.Clip.silence(0.1)
    known = turn_server.KnownClip(speech.payload)
    frames = [b"\xff" * 160, *speech.frames()]
    edges = [known.take(frame, float(at)) for at, frame in enumerate(frames)]
    assert (edges.index("begins"), edges.index("ends")) == (6, 15)
    assert known.heard == [[6.0, 15.0]]


def test_answer_that_a_clear_cut_off_ended_with_its_last_audible_frame():
    answer = turn_server.Answer([True] * 10 + [False] * 40, [b""] * 50)
    answer.note_all(5.0)
    assert (answer.began, answer.ended) == (5.0, pytest.approx(5.2))
    answer.note_clear(5.0, 5.11)
    assert answer.ended == 5.11
    assert answer.or_ended is None  # the frame before was audible, too
    answer.note_clear(5.0, 5.5)
    assert answer.ended == pytest.approx(5.2)


def test_a_clear_in_the_only_audible_frame_after_a_pause_leaves_two_true_ends():
    answer = turn_server.Answer([True] * 10 + [False] * 4 + [True] * 6, [b""] * 20)
    answer.note_clear(5.0, 5.285)  # in frame 14
    assert (answer.ended, answer.or_ended) == (5.285, pytest.approx(5.2))
    answer.note_clear(5.0, 5.305)
    assert (answer.ended, answer.or_ended) == (5.305, None)
    log = log_of_a_call(or_ended=14.1)
    for heard_ms, error in ((110.0, 10.0), (195.0, -5.0)):
        measured = turn_truth.Measured("1", 2, [510.0, 290.0], [heard_ms], [0.5, 3.0, 9.0], "")
        trial = turn_truth.compare(7, measured, log)
        assert trial.barge_ins == pytest.approx([error])
        assert trial.later_ends == pytest.approx([heard_ms - 200])
    figures = {f.what: f.figure for f in turn_truth.list_figures("it", [trial], has_aim=True)}
    assert figures["it: barge-ins with two true ends"] == "1; errors with the later: -5 ms"


def log_of_a_call(
    late_ms: tuple[float, ...] = (0.5, 2.0, 8.0), or_ended: float | None = None
) -> dict:
    """What the server says of a call: it answered after 0.5 and 0.3 s, and stopped after 0.2 s."""
    return {
        "trial": "1",
        "question": [[11.0, 12.0]],
        "stop": [[14.0, 15.0]],
        "answers": [
            {"began": 12.52, "ended": 14.2, "or_ended": or_ended},
            {"began": 15.32, "ended": 17.0, "or_ended": None},
        ],
        "late_ms": list(late_ms),
    }


def test_turns_are_compared_with_when_the_server_wrote_the_answers():
    measured = turn_truth.Measured("1", 2, [510.0, 290.0], [215.0], [0.5, 3.0, 9.0], "")
    trial = turn_truth.compare(7, measured, log_of_a_call())
    assert trial.responses == pytest.approx([10.0, -10.0])
    assert trial.barge_ins == pytest.approx([15.0])
    assert (trial.number, trial.explain_invalid()) == (7, "")
    missed = turn_truth.compare(8, replace(measured, found=1, responses=[510.0]), log_of_a_call())
    assert (missed.missed_turns, missed.false_turns, missed.no_response) == (1, 0, 1)
    too_many = turn_truth.compare(9, replace(measured, found=4), log_of_a_call())
    assert (too_many.missed_turns, too_many.false_turns) == (0, 2)


def test_calls_in_which_somebody_was_late_are_counted_with_the_reason_and_shown_beside():
    punctual = turn_truth.Measured("1", 2, [510.0, 290.0], [215.0], [0.5, 3.0, 9.0], "")
    late = replace(punctual, responses=[900.0, 290.0], own_ms=[1.0, 400.0, 500.0])
    trials = [
        turn_truth.compare(0, punctual, log_of_a_call()),
        turn_truth.compare(1, late, log_of_a_call()),
        turn_truth.compare(2, punctual, log_of_a_call(late_ms=(1.0, 30.0, 90.0))),
        turn_truth.compare(3, replace(punctual, failure="CallRefused"), None),
        turn_truth.compare(4, punctual, None),
    ]
    figures = {f.what: f for f in turn_truth.list_figures("it", trials, has_aim=True)}
    assert figures["it: error of response, 2"].reached
    assert figures["it: turns of 1 calls"].figure == "false 0, missed 0"
    assert "at most 400" in figures["it, invalid calls too: error of response, 6"].figure
    invalid = figures["it: invalid calls of 5"].figure
    assert invalid.startswith("4 (")
    for reason in (
        "1: the simulator late by over 10 ms",
        "1: the server late by over 10 ms",
        "1: no report (CallRefused)",
        "1: no report (the server has no log of it)",
    ):
        assert reason in invalid
    assert "worst call 400.0" in figures["it: own lateness, of a call"].figure
    patient = {f.what: f for f in turn_truth.list_figures("it", trials, has_aim=True, late_ms=50)}
    assert patient["it: invalid calls of 5"].figure.startswith("3 (")
    only_late = list(turn_truth.list_figures("it", trials[1:2], has_aim=True))
    assert [f.reached for f in only_late[:3]] == [False] * 3, "nothing valid reaches no aim"


def test_a_call_that_is_in_the_log_is_not_made_again(tmp_path, capsys):
    log = tmp_path / "calls.jsonl"
    trial = turn_truth.Trial(0, [5.0], [5.0], own_ms=[0.5, 3.0, 9.0], server_ms=[0.5, 2.0, 8.0])
    log.write_text(json.dumps(asdict(trial)) + "\n")
    turn_truth.main(["--clean", "1", "--log", str(log)])
    shown = capsys.readouterr().out
    assert "turns of 1 calls: false 0, missed 0" in shown
    assert "invalid calls of 1: 0" in shown
    assert len(log.read_text().splitlines()) == 1


MEDIA = '"event":"media"'
FRAMES = 10


def change_byte(texts: list[str]) -> list[str]:
    begin = texts[4].index('"payload":"') + len('"payload":"') + 8
    letter = "B" if texts[4][begin] == "A" else "A"
    return [*texts[:4], texts[4][:begin] + letter + texts[4][begin + 1 :], *texts[5:]]


FAULTS = {
    "the third is missing": lambda texts: texts[:2] + texts[3:],
    "the last is missing": lambda texts: texts[:-1],
    "the third comes twice": lambda texts: texts[:3] + texts[2:],
    "the last comes twice": lambda texts: [*texts, texts[-1]],
    "two change places": lambda texts: [texts[1], texts[0], *texts[2:]],
    "a byte is changed": change_byte,
    "the end of one is cut off": lambda texts: [
        re.sub(r'(payload":"[^"]{40})[^"]*', r"\1", text) if text == texts[3] else text
        for text in texts
    ],
}


async def echo_ten(change) -> callers.Caller:
    """Return a caller who has heard what `change` makes of ten frames."""

    async def answer(socket: ServerConnection) -> None:
        texts = []
        async for text in socket:
            if MEDIA in text:
                texts.append(text)
                if len(texts) == FRAMES:
                    for changed in change(texts):
                        await socket.send(changed)

    speech = callers.make_speech()
    async with serve(answer, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        sounds = callers.Sound(speech), callers.Sound(speech)
        caller = callers.Caller(1, *sounds, echoes=True)
        await caller.connect(url, url)
        caller.begin()
        for _ in range(FRAMES):
            caller.speak()
        try:
            await caller.wait_received(FRAMES * 160)
        finally:
            caller.transport.close()
            await caller.closed
        caller.check()
    return caller


async def test_a_caller_hears_every_byte():
    caller = await echo_ten(lambda texts: texts)
    assert (caller.received, caller.media, len(caller.delays)) == (1600, 10, 10)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_caller_notices_what_is_missing_doubled_or_changed(fault, monkeypatch):
    monkeypatch.setattr(callers, "LIMIT_SECONDS", 2.0)
    with pytest.raises(callers.WrongSound):
        await echo_ten(FAULTS[fault])


def test_the_benchmarks_know_all_their_parts_by_name():
    done = run("nonsense")
    assert done.returncode == 2
    assert all(part in done.stderr for part in PARTS)


def test_the_table_of_the_benchmarks_says_which_machine_it_was():
    assert "cores" in run("--tiny", "import").stdout


@pytest.mark.parametrize(
    ("invalid", "made", "greatest", "above"),
    [
        ({200, 250}, [100, 150, 200, 250], 150, [200, 250]),
        ({150, 250, 300}, [100, 150, 200, 250, 300], 200, [250, 300]),
        ({100, 150}, [100, 150], None, [100, 150]),
        (set(), [100, 150, 200, 250, 300], 300, []),
        ({300}, [100, 150, 200, 250, 300], 250, [300]),
    ],
)
def test_the_load_goes_up_until_two_runs_in_a_row_are_invalid(
    invalid, made, greatest, above, monkeypatch
):
    monkeypatch.setattr(load, "MOST_CALLS", 300)
    levels = []

    def run(level):
        levels.append(level)
        return SimpleNamespace(asked=level, valid=level not in invalid)

    valid, found = load.find_limit(count(100, 50), run)
    assert levels == made
    assert (valid and valid.asked) == greatest
    assert [report.asked for report in found] == above
