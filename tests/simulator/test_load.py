"""Many calls at once; the servers are raw ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import pickle
import resource
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any, cast
from unittest.mock import Mock

import pytest
from websockets.asyncio.server import ServerConnection, serve

from support.reports import report_of
from support.waiting import eventually, soon
from twistream_kit import caller
from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.load import LoadCall, LoadReport, LoadShare
from twistream_kit.errors import (
    CallRefused,
    SettingsError,
    TwistreamError,
    WrongState,
    WrongType,
    WrongValue,
)
from twistream_kit.pending import Pending, Subject
from twistream_kit.protocol.signature import sign
from twistream_kit.simulator import _load_link, _load_run, _load_share
from twistream_kit.simulator._load_link import ShareListener
from twistream_kit.simulator._load_machine import check_descriptors
from twistream_kit.simulator._load_run import LoadRun, build_report, compare_clocks
from twistream_kit.simulator._load_share import ShareOrder, Watch, run_share
from twistream_kit.simulator._load_validity import (
    MOST_LATE_START_SECONDS,
    note_early_answers,
    object_to,
)
from twistream_kit.simulator._own_thread import on_own_thread
from twistream_kit.simulator._remote import refuse_remote
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.load import simulate_calls
from twistream_kit.simulator.model.assumptions import Behaviour

TONE = Clip.tone(440, 0.1).payload


def media(sid: str, payload: bytes = TONE) -> str:
    content = {"payload": b64encode(payload).decode()}
    return json.dumps({"event": "media", "streamSid": sid, "media": content})


class Server:
    """Greets each caller; keeps the start messages and the signatures."""

    def __init__(self, answer: Callable[..., Any] | None = None) -> None:
        self.starts: list[dict[str, Any]] = []
        self.signatures: list[str | None] = []
        self.url = ""
        self._answer = answer

    async def handle(self, connection: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            while (message := json.loads(await connection.recv()))["event"] != "start":
                pass
            self.starts.append(message)
            assert connection.request is not None
            self.signatures.append(connection.request.headers.get("x-twilio-signature"))
            if self._answer is not None:
                await self._answer(connection, message)
            else:
                await connection.send(media(message["streamSid"]))
            async for _ in connection:
                pass


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    async with serve(server.handle, "127.0.0.1", 0, close_timeout=0.2) as served:
        port = next(iter(served.sockets)).getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/media"
        yield server


async def test_each_call_has_its_own_parameters_signature_and_sid() -> None:
    async with running(Server()) as server:
        run = simulate_calls(
            server.url,
            5,
            seconds=0.8,  # a busy machine hears the whole tone, too
            ramp_seconds=0.2,
            parameters=lambda number: {"customer": str(number)},
            auth_token="0" * 32,
            sample=2,
        )
        report = await soon(run)
    assert [call.number for call in report.calls] == [1, 2, 3, 4, 5]
    assert all(call.ok for call in report.calls), report.failures
    customers = {start["start"]["customParameters"]["customer"] for start in server.starts}
    assert customers == set("12345")
    assert len({start["streamSid"] for start in server.starts}) == 5
    assert server.signatures == [sign("0" * 32, server.url)] * 5
    assert len(report.first_sound_ms) == 5
    # The sample: the last call, and one in the middle.
    assert sorted(report.recorded) == [3, 5]
    assert report.recorded[5].heard.payload.strip(b"\xff\x7f") == TONE.strip(b"\xff\x7f")
    assert any(entry.size for entry in report.recorded[5].capture.entries)
    # Its frames are its own, and counted with those of all calls.
    frames = [report.recorded[number].lateness.frames for number in (3, 5)]
    assert all(each <= report.recorded[5].sent["media"] + 5 for each in frames)
    assert sum(frames) < len(report.own_late_ms)
    assert [call.is_recorded for call in report.calls] == [False, False, True, False, True]
    assert [(share.number, share.pid) for share in report.shares] == [(1, os.getpid())]
    assert report.calls[0].ends - report.calls[0].begins > 0.3
    assert len(report.own_late_ms) > 50
    if sys.platform == "linux":
        assert report.shares[0].waited is not None
    assert len(report.echo_idle_ms)
    assert len(report.echo_loaded_ms)


async def test_calls_that_fail_say_why_and_pass_the_limit() -> None:
    async def misbehave(connection: ServerConnection, start: dict[str, Any]) -> None:
        kind = start["start"]["customParameters"]["kind"]
        if kind == "0":
            await connection.close(1011)
        elif kind == "1":
            await connection.send(media("MZ0"))
        else:
            await connection.send(media(start["streamSid"]))

    async with running(Server(misbehave)) as server:
        report = await soon(
            simulate_calls(
                server.url,
                3,
                seconds=0.5,
                ramp_seconds=0,
                parameters=lambda number: {"kind": str(number % 3)},
                sample=0,
            )
        )
    assert [call.ok for call in report.calls] == [False, True, False]
    assert "another stream" in report.calls[0].failure or "streamSid" in report.calls[0].failure
    assert report.calls[2].failure.startswith("the server closed the connection")
    assert not report.ok
    assert report.list_cases() == {"failed_percent": "66.7 %, and 0 % is the limit"}
    assert not report.recorded


@pytest.mark.parametrize("workers", [None, 2])
async def test_a_run_ends_at_once_where_there_is_no_server(
    unused_tcp_port: int, workers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_load_run, "_CLOCK_SECONDS", 0.0)
    url = f"ws://127.0.0.1:{unused_tcp_port}/media"
    with contextlib.ExitStack() as stack:
        executor = workers and stack.enter_context(ThreadPoolExecutor(workers))
        # It would take an hour to begin all of them.
        run = simulate_calls(
            url, 50, seconds=600, ramp_seconds=3600, executor=executor or None, workers=workers
        )
        with pytest.raises(CallRefused) as caught:
            await soon(run)
    assert f"127.0.0.1:{unused_tcp_port}" in caught.value.problem
    assert caught.value.fix == "Is the server running, and on this port?"
    assert isinstance(run, LoadRun)
    assert run.watch.begun <= 2


async def test_a_server_that_refuses_some_calls_or_goes_away_is_reported() -> None:
    async with running(Server()) as server:
        run = simulate_calls(server.url, 6, seconds=0.2, ramp_seconds=1.2, sample=0)
        assert isinstance(run, LoadRun)
        await eventually(lambda: run.watch.ended >= 1)
    report = await soon(run)
    assert len(report.calls) == 6
    assert report.calls[0].ok
    assert not report.calls[-1].ok
    assert not report.is_interrupted


def test_one_refused_call_does_not_end_a_run_while_another_is_on_its_way() -> None:
    watch = Watch()
    watch.look_for_server()
    watch.begun, watch.ended, watch.refused = 2, 1, 1
    watch.look_for_server()
    watch.ended = 2  # and it was taken
    watch.look_for_server()
    assert not watch.stop.is_set()
    watch.refused = 2
    watch.look_for_server()
    assert watch.stop.is_set()


@pytest.mark.parametrize(
    ("line", "there_and_back_ms"),
    [(None, 0), (Line(delay_ms=200, jitter_ms=10, loss=0.02, seed=2), 400)],
    ids=["clean", "line"],
)
async def test_a_script_is_measured_as_in_a_recorded_call(
    line: Line | None, there_and_back_ms: int
) -> None:
    async def answer(connection: ServerConnection, start: dict[str, Any]) -> None:
        is_asked = False
        async for text in connection:
            message = json.loads(text)
            if message["event"] != "media":
                continue
            is_silent = set(message["media"]["payload"][:40]) <= set("/+")
            if is_asked and is_silent:
                await connection.send(media(start["streamSid"], Clip.tone(440, 0.4).payload))
                is_asked = False
            is_asked = is_asked or not is_silent

    script = [caller.wait(0.1), caller.say(Clip.tone(300, 0.2)), caller.wait(1.2), caller.hang_up()]
    async with running(Server(answer)) as server:
        report = await soon(
            simulate_calls(
                server.url, 2, seconds=5, ramp_seconds=0, script=script, sample=1, line=line
            )
        )
    assert not report.failed, report.failures
    light, recorded = report.calls
    assert (light.is_recorded, recorded.is_recorded) == (False, True)
    assert len(light.response_ms) == len(recorded.response_ms) == 1
    assert light.response_ms[0] == pytest.approx(recorded.response_ms[0], abs=60)
    assert light.response_ms[0] >= there_and_back_ms
    assert len(report.response_ms) == 2
    if line is not None:
        assert report.recorded[2].line == replace(line, seed=4), "each call loses other frames"
        assert report.line == (
            f"{line!r}: {line.description}; back the same; the number of a call is added to the "
            "seed"
        )
        assert f" {report.line}\n" in repr(report)
        assert report.to_dict()["line"] == report.line


@pytest.mark.parametrize("options", [{"say": Clip(TONE)}, {}])
async def test_a_server_that_echoes_is_fine_with_callers_who_speak_or_where_silence_is(
    options: dict[str, Any],
) -> None:
    async def echo(connection: ServerConnection, start: dict[str, Any]) -> None:
        async for text in connection:
            message = json.loads(text)
            if message["event"] == "media":
                payload = {"payload": message["media"]["payload"]}
                echoed = {"event": "media", "streamSid": start["streamSid"], "media": payload}
                await connection.send(json.dumps(echoed))

    run = {"seconds": 0.4, "ramp_seconds": 0, "sample": 1}
    async with running(Server(echo)) as server:
        report = await soon(simulate_calls(server.url, 2, **run, **options))
        if options:
            assert not report.failed, report.failures
            assert len(report.first_sound_ms) == 2
            assert len(report.response_ms) == 2
            is_early = any(each < 0 for call in report.calls for each in call.response_ms)
            assert is_early == ("began before the caller had ended" in repr(report.notes))
            return
        # A caller who says nothing is why; the recorded call says the same as the other.
        assert report.failures == {
            "the server sent nothing but silence, and the caller said nothing": 2
        }
        [note] = report.notes
        assert str(note).startswith("the callers said nothing in 2 of 2 calls, in which nothing ")
        assert "(--say, --script)" in note.fix
        report = await soon(simulate_calls(server.url, 2, **run, expect_silence=True))
    assert not report.failed, report.failures


def test_each_call_adds_its_number_to_the_seeds_of_its_lines() -> None:
    order = replace(ORDER, behaviour=Behaviour(line=Line("mobile", seed=7), line_back="street"))
    order = pickle.loads(pickle.dumps(order))
    behaviours = [order.make_plan(number).behaviour for number in (1, 2)]
    assert [each.line for each in behaviours] == [Line("mobile", seed=8), Line("mobile", seed=9)]
    assert [each.line_back for each in behaviours] == [
        Line("street", seed=1),
        Line("street", seed=2),
    ]
    assert ORDER.make_plan(1).behaviour == Behaviour()
    # Without a line of its own the way back has the seed of the line.
    both = replace(ORDER, behaviour=Behaviour(line="mobile")).make_plan(3).behaviour
    assert both.way_back == Line("mobile", seed=3).way_back


def test_a_clear_of_a_light_call_is_as_late_at_the_ear_as_the_sound() -> None:
    silence, tone = bytes([0xFF]) * 8000, Clip.tone(440, 1.0).payload
    for latency_ms, cleared in ((400.0, 1), (0.0, 0)):
        heard = Clip(silence + tone + silence)  # it stops at the ear 400 ms after the clear
        report = report_of(
            seconds=3.0, heard=heard, clean=heard, latency_ms=latency_ms, light_clears=(1.6,)
        )
        assert report.turns.cleared == cleared


async def test_stop_ends_all_calls_and_reports_what_it_has() -> None:
    async with running(Server()) as server:
        run = simulate_calls(server.url, 50, seconds=60, ramp_seconds=25, sample=0)
        assert isinstance(run, LoadRun)
        await eventually(lambda: len(server.starts) >= 2)
        run.stop()
        report = await soon(run)
    assert report.is_interrupted
    assert 2 <= len(report.calls) <= 20
    assert not report.failed, report.failures
    assert report.verdict.startswith("ended early") or not report.valid


def test_the_first_interrupt_of_a_wait_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, waits = Watch(), []

    def wait(_self: object, timeout: float | None = None) -> str:
        waits.append(timeout)
        if len(waits) == 1:
            raise KeyboardInterrupt
        return "what it has"

    monkeypatch.setattr(Pending, "result", wait)
    run = LoadRun(Subject("calls", "LoadReport"), watch, 3, progress=False)
    assert run.result() == "what it has"
    assert watch.stop.is_set()
    waits.clear()
    with pytest.raises(KeyboardInterrupt):  # the second one
        run.result()


def test_without_a_terminal_progress_is_a_line_a_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = Watch()
    lines = _load_run._Lines(watch, 50)
    lines.show(is_over=False)
    assert capsys.readouterr().err == ""
    watch.begun, watch.ended, watch.refused = 12, 3, 1
    lines._shown -= 1.1
    lines.show(is_over=False)
    lines.show(is_over=False)
    assert capsys.readouterr().err == "   0 s: 3 of 50 calls ended, 9 under way, 1 refused\n"


def test_an_address_elsewhere_is_refused_with_what_it_would_get() -> None:
    with pytest.raises(SettingsError) as caught:
        simulate_calls("wss://media.example.com/x", 50)
    text = str(caught.value)
    assert "media.example.com/x is not on this machine" in text
    assert "make 50 calls of 30 s to it at once" in text
    assert "remote=True (--remote in a shell)" in text
    for local in ("ws://localhost:1/x", "ws://[::1]:1/x", "wss://a.localhost/x"):
        refuse_remote(local, "break it")


def test_too_few_descriptors_are_found_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    check_descriptors(20)
    with pytest.raises(TwistreamError, match=r"1000 calls need about 1.* may open"):
        check_descriptors(1000)
    with pytest.raises(TwistreamError, match="ulimit -n"):
        simulate_calls("ws://127.0.0.1:1/media", 1000)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"calls": 0}, WrongValue, "calls is 0; give a number from 1 to 10000"),
        ({"calls": 2.5}, WrongType, "calls is 2.5; give a whole number"),
        ({"seconds": "30"}, WrongType, "seconds is '30'; give a number of seconds"),
        ({"seconds": 0}, WrongValue, "seconds is 0; a call lasts more than 0"),
        ({"ramp_seconds": float("nan")}, WrongValue, "ramp_seconds is nan"),
        ({"sample": 51}, WrongValue, "sample is 51; give a number from 0 to 50"),
        ({"workers": 2}, WrongState, "workers is 2, and there is no executor"),
        ({"workers": 0}, WrongValue, "workers is 0; give a number from 1 to 50"),
        ({"executor": 4}, WrongType, "executor is 4; give an Executor"),
        ({"limits": {"speed": 1}}, WrongValue, "limits has 'speed'"),
        ({"parameters": {"": "x"}}, ValueError, ""),
        ({"script": 7}, WrongType, "script is 7"),
        ({"say": "question.wav"}, WrongType, "say must be a Clip or PCMU bytes, not str"),
        ({"press": "5x"}, WrongValue, "press has 'x', which is no key"),
        (
            {"say": TONE, "script": [caller.hang_up()]},
            WrongValue,
            "script= says all that the callers do",
        ),
        ({"auth_token": 7}, WrongType, "auth_token is of type int"),
        ({"line": "moble"}, WrongValue, "the nearest is 'mobile'"),
        ({"line_back": 3}, WrongType, "line_back is of type int"),
    ],
)
def test_wrong_arguments_are_named_at_once(
    arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        simulate_calls("ws://localhost:1/media", **arguments)
    assert sentence in str(caught.value)


def test_a_url_that_twilio_would_not_open_is_refused_at_once() -> None:
    with pytest.raises(CallRefused, match="is not a wss URL"):
        simulate_calls("http://localhost/media")


# What makes a run invalid.

SHARE = LoadShare(2, "here", 7, 10, late_seconds=0.1, busy=0.4, own_late_ms=3.0)
ORDER = ShareOrder(
    number=2,
    run=1,
    url="ws://localhost:1/media",
    starts={1: 0.0},
    seconds=1.0,
    begin_at=None,
    offsets={"here": 0.0},
    recorded=frozenset(),
    script=None,
    seed=0,
    parameters=None,
    behaviour=Behaviour(),
    options={},
)


def test_answers_before_the_end_of_the_question_are_noted() -> None:
    calls = [
        LoadCall(number, 1, 0.0, 1.0, 0, ok=True, response_ms=times)
        for number, times in enumerate([(-200.0, 300.0), (math.inf,), ()], 1)
    ]
    [note] = note_early_answers(calls)
    assert str(note).startswith("response_ms is less than 0 for 1 of 3 answers: they began before")
    assert note.severity == "note"
    assert note_early_answers(calls[1:]) == []


def test_a_share_that_did_its_part_is_not_objected_to() -> None:
    assert object_to(SHARE, 0.2, is_compared=True) == []


@pytest.mark.parametrize(
    ("share", "jump", "is_compared", "sentence"),
    [
        ({"own_late_ms": 10.5}, 0.0, True, "share 2 sent its own frames late"),
        ({"busy": 0.96}, 0.0, True, "share 2 used 96% of a core"),
        ({}, -3600.0, True, "share 2 saw its clock set by -3600.0 s"),
        ({"late_seconds": 0.6}, 0.0, True, "share 2 began 0.6 s late"),
        (
            {"host": "elsewhere"},
            0.0,
            False,
            "share 2 ran on elsewhere, whose clock was not compared",
        ),
    ],
)
def test_what_a_share_did_wrong_is_said(
    share: dict[str, Any], jump: float, is_compared: bool, sentence: str
) -> None:
    [found] = object_to(replace(SHARE, **share), jump, is_compared=is_compared)
    assert str(found).startswith(sentence)
    assert found.consequence
    assert found.fix


@pytest.mark.parametrize(
    ("busy", "waited", "machine", "advice"),
    [
        (0.4, None, None, "Make fewer calls from one process, which used 40% of a core, or divide"),
        (0.4, 0.1, 0.5, "Make fewer calls from one process, which used 40% of a core, or divide"),
        (0.4, 0.39, None, "Make fewer calls from one process"),  # busy itself, with another thread
        (0.9, 0.1, 0.97, "Make fewer calls: it used 90% of a core, and 97% of the whole machine"),
        (0.4, 0.6, None, "It waited for a core 60% of the time, and used 40% of a core: end other"),
        # A load of three calls on a machine that is busy with something else.
        (0.05, 0.18, 1.0, "It waited for a core 18% of the time, and used 5% of a core: end other"),
        (0.17, None, 1.0, "It used 17% of a core, of the whole machine 100% were in use: end othe"),
        (0.17, 0.01, 0.4, "It used 17% of a core, so fewer calls may not help. Probably something"),
    ],
)
def test_the_advice_for_late_frames_fits_their_cause(
    busy: float, waited: float | None, machine: float | None, advice: str
) -> None:
    share = replace(SHARE, own_late_ms=50.0, busy=busy, waited=waited, machine_busy=machine)
    [found] = object_to(share, 0.0, is_compared=True)
    assert found.fix.startswith(advice)
    may_divide = advice.startswith("Make fewer calls from one process")
    assert may_divide == ("--workers" in found.fix)


def test_of_one_call_no_fewer_are_advised() -> None:
    share = replace(SHARE, calls=1, own_late_ms=50.0, busy=0.4)
    [found] = object_to(share, 0.0, is_compared=True)
    assert found.fix.startswith("Its process used 40% of a core with one call: end what else runs")


def test_no_report_of_a_run_shows_a_password() -> None:
    order = replace(ORDER, url="ws://ann:pa55@localhost/media")
    watch = Watch()
    watch.stop.set()
    report = build_report(order, 1, {}, [run_share(order, watch)])
    assert report.url == "ws://localhost/media"
    shown = f"{report!r}{report.to_json()}{report.to_junit()}{order!r}{order.make_plan(1)!r}"
    assert "pa55" not in shown


def test_progress_is_the_time_of_a_run_until_its_calls_end() -> None:
    watch = Watch()
    progress = _load_run._RunProgress(watch, 4, 10.0)
    assert progress.measure(100.0) == 0.0
    watch.begun = 1
    assert [progress.measure(at) for at in (101.0, 106.0, 999.0)] == [0.0, 0.5, 0.99]
    watch.begun = watch.ended = 4
    assert progress.measure(107.0) == 1.0


# Several processes.


class ElsewhereExecutor(Executor):
    """Runs at once, on a machine whose clock is fast."""

    def __init__(self, host: str, fast: float) -> None:
        self._host, self._fast = host, fast

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        clock = function(*args, **kwargs)
        future.set_result(replace(clock, host=self._host, at=clock.at + self._fast))
        return future


def test_the_clock_of_each_machine_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load_run, "_CLOCK_SECONDS", 0.0)
    monkeypatch.setattr(_load_link, "find_ways", lambda _hosts: ["127.0.0.1"])
    with on_own_thread(ShareListener()) as listener:
        clocks = compare_clocks(ElsewhereExecutor("other", 7.5), 2, listener, Watch())
        assert listener.address is not None
        assert len(listener.address.far) == 1  # opened once one is known to be elsewhere
    assert clocks.offsets["other"] == pytest.approx(7.5, abs=0.2)
    assert min(clocks.offsets.values()) == 0.0  # this machine's
    assert clocks.way >= 0
    assert clocks.are_linked


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ImportError("no module"), "a worker of the executor failed: ImportError"),
        (lambda: None, "the executor has not begun its work within 0.2 s"),
    ],
    ids=["fails", "never begins"],
)
def test_workers_that_do_not_begin_are_said(
    make: Callable[[], Exception | None], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Executor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if (error := make()) is not None:
                future.set_exception(error)
            return future

    monkeypatch.setattr(_load_run, "_CLOCK_LIMIT_SECONDS", 0.2)
    with pytest.raises(TwistreamError, match=sentence):
        compare_clocks(Broken(), 1, ShareListener(), Watch())
    stopped = Watch()
    stopped.stop.set()
    assert not compare_clocks(Broken(), 1, ShareListener(), stopped).offsets


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as made:
        yield made


async def check_two_shares(server: Server, executor: Executor, seconds: float = 0.5) -> LoadReport:
    run = simulate_calls(
        server.url, 6, seconds=seconds, ramp_seconds=0.2, executor=executor, workers=2, sample=2
    )
    report = await soon(run)
    assert not report.failed, report.failures
    assert [call.number for call in report.calls] == [1, 2, 3, 4, 5, 6]
    assert {call.number: call.share for call in report.calls} == {
        number: 2 - number % 2 for number in range(1, 7)
    }
    assert len(server.starts) == 6, "each call was made once"
    assert len({start["streamSid"] for start in server.starts}) == 6
    assert [share.number for share in report.shares] == [1, 2]
    assert all(share.host and share.calls == 3 for share in report.shares)
    assert sorted(report.recorded) == [3, 6]
    assert report.recorded[3].heard.payload.strip(b"\xff\x7f")
    return report


async def test_two_processes_make_all_calls_once_and_end_at_a_stop(
    pool: ProcessPoolExecutor,
) -> None:
    async with running(Server()) as server:
        report = await check_two_shares(server, pool)
        pids = {share.pid for share in report.shares}
        assert len(pids) == 2
        assert os.getpid() not in pids
        assert not report.notes
        await check_stop(server, pool)


async def check_stop(server: Server, executor: Executor) -> None:
    """Stop two shares of calls that would take ten minutes."""
    server.starts.clear()
    run = simulate_calls(
        server.url, 6, seconds=600, ramp_seconds=0.2, executor=executor, workers=2, sample=0
    )
    assert isinstance(run, LoadRun)
    await eventually(lambda: run.watch.begun == len(server.starts) == 6)
    assert run.watch.ended == 0
    run.stop()
    report = await soon(run)
    assert (run.watch.begun, run.watch.ended) == (6, 6)
    assert report.is_interrupted
    assert [call.number for call in report.calls] == [1, 2, 3, 4, 5, 6]
    assert not report.failed, report.failures
    assert not report.notes


class Unstarted(ThreadPoolExecutor):
    """Begins the first share only; its futures, as those of Dask, are cancelled even so."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        given: Future[Any] = Future()
        if function is run_share and args[0].number > 1:
            return given
        super().submit(function, *args, **kwargs).add_done_callback(
            lambda done: given.set_result(done.result())
        )
        return given


async def test_a_stop_cancels_a_share_that_never_began_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_load_run, "_CLOCK_SECONDS", 0.0)
    monkeypatch.setattr(_load_run, "_LINK_SECONDS", 0.0)
    async with running(Server()) as server:
        with Unstarted(2) as executor:
            run = simulate_calls(
                server.url, 4, seconds=600, ramp_seconds=0, executor=executor, workers=2
            )
            assert isinstance(run, LoadRun)
            await eventually(lambda: len(server.starts) == run.watch.begun == 2)
            run.stop()
            report = await soon(run)
    assert [call.number for call in report.calls] == [1, 3]
    assert report.is_interrupted


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> _load_run._Collection:
    """What collects shares that an executor runs; the time of a test is short."""
    monkeypatch.setattr(_load_run, "_STEP_SECONDS", 0.01)
    monkeypatch.setattr(_load_run, "_UNBEGUN_SECONDS", 0.02)
    monkeypatch.setattr(_load_run, "_LINK_SECONDS", 0.0)
    listener = cast("ShareListener", Mock(counts={}))
    return _load_run._Collection(Watch(), listener, _load_run.Clocks({}, 0.0, are_linked=True))


def share_that(outcome: object) -> Future[Any]:
    future: Future[Any] = Future()
    if outcome == "cancelled":
        future.cancel()
    elif isinstance(outcome, Exception):
        future.set_exception(outcome)
    elif outcome != "lost":
        future.set_result(outcome)
    return future


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        ("lost", "has not come back: nothing was heard for 0 s"),
        ("cancelled", "was cancelled by its executor"),
    ],
)
def test_a_share_that_an_executor_loses_makes_a_run_invalid(
    outcome: str, problem: str, shares: _load_run._Collection
) -> None:
    result = Mock(calls=[], share=SHARE)
    for number, each in enumerate([result, outcome], 1):
        shares.add(share_that(each), replace(ORDER, number=number))
    results, [lost] = shares.collect()
    assert results == [result]
    assert str(lost).startswith(f"share 2 {problem}. Its calls may not have been made")
    watch = Watch()
    watch.stop.set()
    report = build_report(ORDER, 2, {}, [run_share(replace(ORDER, starts={}), watch)], [lost])
    assert [*report.invalid] == [lost]
    assert report.verdict == "no call was made"


def test_shares_that_are_all_lost_or_of_which_one_fails_end_the_run(
    shares: _load_run._Collection,
) -> None:
    shares.add(share_that("lost"), ORDER)
    with pytest.raises(TwistreamError, match="the executor has lost all shares of the calls: sha"):
        shares.collect()


def test_where_one_share_fails_the_others_are_stopped(shares: _load_run._Collection) -> None:
    ends: Future[Any] = Future()
    cast("Any", shares)._listener.stop.side_effect = lambda: ends.set_result(
        Mock(calls=[], share=SHARE)
    )
    shares.add(share_that(KeyError("customer 3")), ORDER)
    shares.add(ends, replace(ORDER, number=3))
    with pytest.raises(TwistreamError, match="a share of the calls failed: KeyError: 'customer 3'"):
        shares.collect()
    assert ends.done()


@pytest.mark.parametrize(
    ("submit", "sentence"),
    [
        (Mock(side_effect=RuntimeError("no room")), "takes no work: RuntimeError: no room"),
        (Mock(return_value=7), "returned an object of type int, which is no Future"),
    ],
)
def test_an_executor_that_takes_no_work_is_said(submit: Mock, sentence: str) -> None:
    executor = cast("Executor", Mock(submit=submit))
    with pytest.raises(TwistreamError) as caught:
        compare_clocks(executor, 1, ShareListener(), Watch())
    assert sentence in caught.value.problem
    assert caught.value.fix


async def test_parameters_that_fail_for_one_call_end_the_run_and_leave_no_call_behind() -> None:
    def find(number: int) -> dict[str, str]:
        return {"customer": ["Ann", "Ben"][number - 1]}

    async with running(Server()) as server:
        run = simulate_calls(server.url, 3, seconds=600, ramp_seconds=0.2, parameters=find)
        with pytest.raises(TwistreamError) as caught:
            await soon(run)
    assert caught.value.problem == "call 3 could not be made: IndexError: list index out of range"
    assert "all its callers have hung up" in caught.value.consequence
    assert isinstance(run, LoadRun)
    assert run.watch.begun == run.watch.ended == 2


def test_a_call_that_does_not_end_in_time_is_kept_as_a_failed_one() -> None:
    share = _load_share._ShareRun(ORDER, Watch())
    for number in (1, 2):
        call = _load_share._BegunCall(number, ORDER.make_plan(number), 0.0, 0, is_cut_short=True)
        share._calls.append(call)
    share._calls[0].run = cast("Any", Mock(started_at=1.0, played_frames=0, gaps={}))
    [made] = share._build(1.0, 0.0, 0.0, 0.0).calls  # the other one was never connected
    assert (made.number, made.ok, made.failure) == (1, False, "it did not end in time")


def test_a_share_without_a_connection_says_so() -> None:
    address = _load_link.LinkAddress("another machine", ("127.0.0.1", 1), (), bytes(32))
    watch = Watch()
    watch.stop.set()  # the quickest of all runs
    result = run_share(replace(ORDER, link=address), watch)
    report = build_report(ORDER, 1, {}, [result])
    assert not any("connection" in str(each) for each in report.invalid)
    [note] = report.notes
    assert note.severity == "note"
    assert str(note).startswith("share 2 had no connection from ")
    assert "it could not be made" in str(note)
    assert f"  note: {note}\n" in repr(report)
    assert report.to_dict()["notes"][0]["text"] == str(note)


async def test_a_share_that_comes_back_twice_makes_a_run_invalid() -> None:
    async with running(Server()) as server:
        order = replace(ORDER, url=server.url, starts={2: 0.0}, seconds=0.2)
        with ThreadPoolExecutor(1) as threads:
            work = threads.submit(run_share, order)
            result = await soon(asyncio.wrap_future(work))
    report = build_report(order, 2, {}, [result, result])
    assert not report.valid
    text = str(report.invalid[-1])
    assert text.startswith("share 2 came back 2 times, from ")
    assert f"({os.getpid()})" in text
    assert "client.get_executor(pure=False)" in text


async def test_a_share_that_fails_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load_run, "_CLOCK_SECONDS", 0.0)

    class Broken(ThreadPoolExecutor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if function is run_share:
                function = sys.intern  # which takes no order
            return super().submit(function, *args, **kwargs)

    with Broken(1) as broken:
        run = simulate_calls("ws://127.0.0.1:1/media", 2, executor=broken, workers=1)
        with pytest.raises(TwistreamError, match="a share of the calls failed"):
            await soon(run)


@pytest.mark.slow
async def test_two_workers_of_dask_make_all_calls_once() -> None:
    distributed = pytest.importorskip("distributed")

    def begin() -> Any:
        return distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        )

    cluster = await asyncio.to_thread(begin)
    try:
        client = await asyncio.to_thread(distributed.Client, cluster)
        async with running(Server()) as server:
            executor = client.get_executor(pure=False)
            report = await check_two_shares(server, executor, seconds=2.0)
            await check_stop(server, executor)
        assert len({share.pid for share in report.shares}) == 2
        for share in report.shares:  # a busy machine may begin one late, and then says so
            is_said = f"share {share.number} began" in " ".join(map(str, report.invalid))
            assert is_said or share.late_seconds <= MOST_LATE_START_SECONDS
        await asyncio.to_thread(client.close)
    finally:
        await asyncio.to_thread(cluster.close)


@pytest.mark.slow
async def test_two_engines_of_ipyparallel_make_all_calls_once() -> None:
    ipyparallel = pytest.importorskip("ipyparallel")
    cluster = ipyparallel.Cluster(n=2)
    engines = await asyncio.to_thread(cluster.start_and_connect_sync)
    try:
        async with running(Server()) as server:
            executor = engines.executor()
            report = await check_two_shares(server, executor, seconds=2.0)
            await check_stop(server, executor)
        assert len({share.pid for share in report.shares}) == 2
    finally:
        await asyncio.to_thread(engines.close)
        await asyncio.to_thread(cluster.stop_cluster_sync)
