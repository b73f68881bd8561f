"""Faults against servers: each planted one is found by its row, and a sound server is green."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import subprocess
import sys
import threading

import pytest
import uvicorn

import twistream_kit as kit
from support import faulty_servers
from support.far_end import TOKEN
from support.faulty_servers import PLANTED, SoundServer
from support.waiting import eventually, soon
from twistream_kit.pending import Subject, fulfil
from twistream_kit.simulator._fault_pending import FaultInjection
from twistream_kit.simulator._fault_rows import FAULTS
from twistream_kit.simulator._fault_run import FaultRun, FaultWatch, order_faults
from twistream_kit.simulator._fault_streams import FaultTarget
from twistream_kit.simulator.fault_report import FaultRow
from twistream_kit.simulator.faults import FAULT_NAMES

SCALE = 0.05
"""So quick are the faults here; what a server has to do has its whole time."""

SCALES = {"PlaysUnderALock": 0.1}
"""It takes 2 s to fill the buffers of a connection that has been fast."""

HEAVY = ("SendsUnderALock", "IsSilentOnceBlocked", "PlaysUnderALock")
"""They send so much that this process is late."""

MOST_TRIES = 3

SEEN = {
    "OneStreamSid": "had the streamSid of the other stream of the call",
    "RaisesAtUnknownEvents": "closed with 1011 (internal error)",
    "RefusesUnknownFields": "closed with 1011 (internal error)",
    "HasRoomForFewKeys": "After 20 keys at once, the server closed with 1011",
    "CannotStopTwice": "After stop twice, the server closed with 1011",
    "TakesGapsForTheEnd": "gaps of 250 ms, the server closed with 1011",
    "NeedsMedia": "While no media came, the server closed with 1011",
}
"""Those that are found at once, and what their row says; waits are longer on a late machine."""

SLOW_SEEN = {
    "LeavesAtUnknownEvents": "closed with 1000 (normal)",
    "NeverReadsOn": "the Close frame was not answered within ",
    "AnswersOnTheFirst": "On a second stream of the same call, no sound came within ",
    "KeepsTheTask": " s after the stop message, without a Close frame, the connection was",
    "KeepsAMarkForLater": "While its marks did not come back, no sound came for ",
    "ServesOneAtATime": "half open for 1.5 s, another call did not work: no sound came",
    "SendsUnderALock": "While nothing was read from a stream for 0.3 s, another call did not",
    "ForgetsNoBrokenStream": "The next ordinary call did not work: the server closed with 1013",
    "IsBusyFromTheHandshake": "The next ordinary call did not work: the server closed with 1013",
    "IsBusyFromConnected": "The next ordinary call did not work: the server closed with 1013",
    "LogsInTooLong": "An ordinary call 0.3 s later did not work: no sound came within ",
    "IsSilentAfterAGap": "After 2 gaps of 250 ms, no sound came for ",
    "IsSilentAfterUnknownEvents": "After 3 events that no version of today has, no sound came",
    "DropsUnknownFields": "With fields in every message that no version of today has, no sound",
    "IsSilentAfterKeys": "After 20 keys at once, no sound came for ",
    "IsDeafUntilItsMark": "While its marks did not come back, no sound came for ",
    "EndsTheOtherStream": "On the second, after the first of two streams had ended, no sound came",
    "SpeaksByTheFrames": "in a call whose caller says nothing it came after ",
    "IsSilentOnceBlocked": "After nothing was read for 0.3 s, no sound came for ",
    "PlaysUnderALock": "half open for 3.0 s, another call did not work: ",
    "LeaksItsSender": "messages of the server had the streamSid of another stream",
    "GoesOnSpeaking": "The next ordinary call did not work: the server closed with 1013",
}


@pytest.fixture(autouse=True)
def _servers_fail_quietly(caplog):
    caplog.set_level(logging.CRITICAL, "websockets")


async def inject(server, only, **options):
    async with server.running() as url:
        return await soon(kit.inject_faults(url, only=only, **{"scale": SCALE} | options), 200)


async def find_planted(names):
    """Try on each server the row that is meant for it; return the rows by the servers' names.

    While the machine is late, a server has more time, and what it lacks may not be seen: again.
    """
    rows = {}
    for _ in range(MOST_TRIES):
        late = [name for name in names if name not in rows or rows[name].outcome != "red"]
        kinds = [getattr(faulty_servers, name) for name in late]
        reports = await asyncio.gather(
            *(
                inject(kind(), PLANTED[kind], scale=SCALES.get(kind.__name__, SCALE))
                for kind in kinds
            )
        )
        rows |= {name: report.rows[0] for name, report in zip(late, reports, strict=True)}
    return rows


def assert_found(rows, seen):
    assert {name: row.outcome for name, row in rows.items()} == dict.fromkeys(seen, "red")
    assert {name: row.seen for name, row in rows.items() if seen[name] not in row.seen} == {}


async def test_a_planted_fault_is_found_by_its_row_which_is_green_without_it():
    only = {PLANTED[getattr(faulty_servers, name)] for name in SEEN}
    rows, *sound = await asyncio.gather(
        find_planted(SEEN), *(inject(SoundServer(), row) for row in only)
    )
    assert_found(rows, SEEN)
    assert [repr(report) for report in sound if not report.ok] == []


@pytest.mark.slow
async def test_so_is_one_that_shows_only_in_a_wait():
    rows, names = {}, [name for name in SLOW_SEEN if name not in HEAVY]
    for some in (names[:9], names[9:], HEAVY):  # all at once, this process would be late
        rows |= await find_planted(some)
    assert_found(rows, SLOW_SEEN)
    assert {*SEEN, *SLOW_SEEN} == {kind.__name__ for kind in PLANTED}
    assert {*PLANTED.values()} == {*FAULT_NAMES}, "each row finds something"


@pytest.mark.slow
async def test_it_is_green_in_every_row():
    report = await inject(SoundServer(), None, scale=0.2)
    assert report.ok, report
    assert {row.outcome for row in report.rows} == {"green"}


@pytest.mark.slow
async def test_a_sound_server_is_green_in_twenty_runs():
    async def try_all(seed):
        return await inject(SoundServer(), None, seed=seed)

    reports = [await asyncio.gather(*map(try_all, range(n, n + 5))) for n in range(0, 20, 5)]
    assert [str(report) for some in reports for report in some if not report.ok] == []


def test_the_seed_decides_the_order():
    first, same, other = ([each.name for each in order_faults(FAULTS, n)] for n in (1, 1, 2))
    assert first == same
    assert first != other
    assert sorted(first) == sorted(other) == sorted(FAULT_NAMES)


@pytest.mark.slow
async def test_a_server_that_only_listens_is_called_too():
    class Listens(SoundServer):
        async def greet(self, ws, state):
            pass

        async def hear(self, ws, state, payload):
            pass

    report = await inject(Listens(), ["hang-up-in-answer", "hang-up-after-start"])
    assert report.ok
    assert "the server said nothing" in report.ordinary
    outcomes = {row.name: row.outcome for row in report.rows}
    assert outcomes == {"hang-up-in-answer": "not tried", "hang-up-after-start": "green"}


class AlwaysFails(SoundServer):
    """Raises in each call."""

    async def hear(self, ws, state, payload):
        raise ValueError(payload)


class HasAStreamSidOfItsOwn(SoundServer):
    """Answers every stream with one that stands in the program."""

    async def greet(self, ws, state):
        await super().greet(ws, {"sid": "MZ" + "0" * 32})


async def test_a_server_whose_ordinary_call_fails_is_to_be_mended_first():
    fails, odd = await asyncio.gather(
        inject(AlwaysFails(), None), inject(HasAStreamSidOfItsOwn(), None)
    )
    assert not fails.ok
    assert not odd.ok
    assert {row.outcome for row in [*fails.rows, *odd.rows]} == {"not tried"}
    before = "An ordinary call does not work, before any fault: "
    assert fails.rows[0].seen.startswith(f"{before}the server closed with 1011 (internal error)")
    assert odd.rows[0].seen.startswith(f"{before}messages of the server have a streamSid that is")


@pytest.mark.slow
async def test_a_server_that_works_no_more_ends_the_run_in_words():
    class Exits(SoundServer):
        async def take(self, ws, state, message):
            if message["event"] == "dtmf":
                self.server.close(close_connections=False)
            return await super().take(ws, state, message)

    only = ["key-burst", "unknown-fields", "hang-up-after-start"]
    report = await inject(Exits(), only, seed=3)
    by_name = {row.name: row for row in report.rows}
    assert by_name["key-burst"].outcome == "red"
    assert "Connection refused" in by_name["key-burst"].seen or "31902" in by_name["key-burst"].seen
    after = [row for row in report.rows if row.outcome == "not tried"]
    place = [row.name for row in report.rows].index("key-burst")
    assert len(after) == 2 - place
    assert all("The server has not worked since key-burst" in row.seen for row in after)
    assert not report.ok


async def test_a_server_that_is_not_there_is_refused():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{held.getsockname()[1]}/media"
        with pytest.raises(kit.CallRefused) as caught:
            await soon(kit.inject_faults(url))
    assert caught.value.code == 31902


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": "half-closed"}, "there is no fault 'half-closed'; did you mean half-open? There"),
        ({"only": "x"}, "there is no fault 'x'; there are half-open, no-close"),
        ({"only": []}, "only is empty, so nothing would be tried"),
        ({"only": 5}, "only is 5; give names of faults"),
        ({"scale": 0}, "scale is 0; give a number above 0"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"seed": "x"}, "seed is 'x'; give a whole number"),
        ({"pid": 0}, "pid is 0; give the number of a process"),
        ({"auth_token": 5}, "auth_token is of type int"),
    ],
)
def test_a_wrong_argument_is_refused_in_words(options, words):
    with pytest.raises(kit.TwistreamError, match="^" + re.escape(words)):
        kit.inject_faults("ws://127.0.0.1:9/media", **options)


def test_another_machine_is_refused_with_what_would_be_done_to_it():
    with pytest.raises(kit.SettingsError) as caught:
        kit.inject_faults("wss://bot.example.com/media")
    assert str(caught.value) == (
        "wss://bot.example.com/media is not on this machine, and this would break about 51 streams "
        "on it. Callers who use it at the same time may notice, and it may stop working. If it is "
        "yours and nobody uses it, say remote=True (--remote in a shell)."
    )


def test_the_process_of_a_server_needs_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(kit.SettingsError, match=r"pip install 'twistream-kit\[load\]'"):
        kit.inject_faults("ws://127.0.0.1:9/media", pid=1)


def test_there_has_to_be_such_a_process():
    with pytest.raises(kit.SettingsError, match="process 2147483646 cannot be read"):
        kit.inject_faults("ws://127.0.0.1:9/media", pid=2**31 - 2)


async def echo(stream):
    async for samples in stream.audio():
        stream.play(samples)


@contextlib.asynccontextmanager
async def stream_server():
    async with kit.StreamServer(echo) as server:
        yield server.url


@contextlib.asynccontextmanager
async def stream_app():
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    app = kit.StreamApp(echo, auth_token=TOKEN, public_url=f"http://{address}")
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="websockets-sansio"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await eventually(lambda: server.started)
    try:
        yield f"ws://{address}/media"
    finally:
        server.should_exit = True
        await serving


@pytest.mark.slow
@pytest.mark.parametrize("serve", [stream_server, stream_app])
async def test_our_own_server_is_green_in_every_row(serve):
    async with serve() as url:
        report = await soon(kit.inject_faults(url, scale=0.2, auth_token=TOKEN), 200)
    assert report.ok, report
    assert {row.outcome for row in report.rows} == {"green"}, report


@pytest.mark.slow
@pytest.mark.parametrize("serve", [stream_server, stream_app])
async def test_so_it_is_beside_twenty_other_calls(serve):
    async with serve() as url:
        options = {"say": kit.Clip.tone(440, 1.0), "seconds": 20, "auth_token": TOKEN}
        others = [kit.simulate_call(url, **options) for _ in range(20)]
        report = await soon(kit.inject_faults(url, scale=0.1, auth_token=TOKEN), 200)
        calls = [await soon(each) for each in others]
    assert report.ok, report
    assert {call.ending for call in calls} == {"stopped"}


LEAKS = {
    "a descriptor": "kept.append(open(os.devnull))",
    "a thread": "threading.Thread(target=threading.Event().wait, daemon=True).start()",
    "memory": "kept.append(b'x' * 20_000_000)",
}

LEAKING = """
import asyncio, json, os, sys, threading
from websockets.asyncio.server import serve

kept = []

async def handle(ws):
    is_stopped = False
    async for text in ws:
        message = json.loads(text)
        if message["event"] == "media":
            await ws.send(text.replace('"track":"inbound",', ""))
        if message["event"] == "stop":
            is_stopped = True
            break
    if not is_stopped:
        LEAK

async def main():
    async with serve(handle, "127.0.0.1", 0) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media", flush=True)
        await server.serve_forever()

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", LEAKS)
async def test_what_a_process_keeps_of_each_stream_is_found(what):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAKING.replace("LEAK", LEAKS[what]), stdout=subprocess.PIPE
    )
    try:
        url = (await soon(process.stdout.readline())).decode().strip()
        only = ["hang-up-after-connected", "stop-twice"]
        report = await soon(kit.inject_faults(url, only=only, scale=SCALE, pid=process.pid), 60)
    finally:
        process.kill()
        await process.wait()
    rows = {row.name: row for row in report.rows}
    assert rows["hang-up-after-connected"].outcome == "red", report
    words = {"a descriptor": "1 descriptor", "a thread": "1 thread", "memory": "20 MB"}
    said = f"Each time it leaves something in process {process.pid}: {words[what]}."
    assert said in rows["hang-up-after-connected"].seen
    assert rows["stop-twice"].outcome == "green", report


async def test_a_run_that_is_stopped_has_the_rows_that_were_tried():
    async with SoundServer().running() as url:
        secret = url.replace("//", "//user:pa55@")
        run = kit.inject_faults(secret, only=["hang-up-before-connected", "half-open"], seed=1)
        assert "pa55" not in repr(run)
        await eventually(lambda: run.watch.now.startswith("half-open"))
        run.stop()
        report = await soon(run)
    assert report.is_interrupted
    assert "pa55" not in str(report) + report.to_junit() + str(report.to_dict())
    outcomes = {row.name: row.outcome for row in report.rows}
    assert outcomes["half-open"] == "not tried"
    assert "The run was interrupted." in {row.name: row.seen for row in report.rows}["half-open"]


def test_the_first_interrupt_brings_the_rows_and_the_second_ends_the_wait():
    watch = FaultWatch(2, 60)
    waits = []

    class Interrupted(FaultInjection):
        def _show_progress(self, timeout):
            waits.append(timeout)
            raise KeyboardInterrupt

    run = Interrupted(Subject("faults", "FaultReport"), watch, progress=True)
    done = threading.Timer(0.05, lambda: fulfil(run, "rows"))
    done.start()
    assert run.result() == "rows"
    assert watch.stop.is_set()
    with pytest.raises(KeyboardInterrupt):
        again = Interrupted(Subject("faults", "FaultReport"), watch, progress=True)
        again.result()


def test_which_faults_came_before_is_said_of_one_that_may_not_be_to_blame():
    watch = FaultWatch(2, 60)
    target = FaultTarget("ws://127.0.0.1:9/media", None, {}, kit.Behaviour())
    run = FaultRun(target, FAULTS, 0, 1.0, None, None, watch=watch)
    assert run._say_what_came_before(FAULTS[0]) == ""
    watch.rows += [FaultRow("gaps", "", "green", "", "", "", "")]
    watch.rows += [FaultRow("no-media", "", "not tried", "", "", "", "")]
    assert "on the same server gaps came before" in run._say_what_came_before(FAULTS[0])
    assert "--only half-open" in run._say_what_came_before(FAULTS[0])
