"""Code that is not ours, wherever the kit calls it, takes nothing from anybody else."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, field

import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import ServerStopped
from twistream_kit.live.calls.call import call_when_over
from twistream_kit.live.server.server import StreamServer
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.pending import HomeLoop, Pending
from twistream_kit.simulator.simulate_call import simulate_call

LIMIT = LIMIT_SECONDS


class Alarm(BaseException):
    """Something that is neither an Exception nor known to anybody."""


KINDS = [SystemExit, KeyboardInterrupt, Alarm, asyncio.CancelledError]


@dataclass(eq=False)
class Culprit:
    """Code of somebody's: it notes that it was called, and raises."""

    kind: type[BaseException]
    called: threading.Event = field(default_factory=threading.Event)

    def __call__(self, *_args):
        self.called.set()
        raise self.kind("enough")

    async def is_awaited(self, *_args):
        await asyncio.sleep(0)
        self()


# Where the kit calls it.  Each function brings the call about; `up` is a call on the kit's loop.


def as_async_handler(up, culprit, background):
    server = background.start(StreamServer(culprit_handler(culprit)), name="culprit")
    stream = call_up(server)
    assert stream.closed.result(LIMIT).reason == "handler"
    assert type(stream.handler_error) is culprit.kind


def culprit_handler(culprit):
    async def handler(stream):
        await culprit.is_awaited()

    return handler


def as_thread_handler(up, culprit, background):
    server = background.start(StreamServer(lambda stream: culprit()), name="culprit")
    assert call_up(server).closed.result(LIMIT).reason == "handler"


def as_task_of_a_handler(up, culprit, background):
    async def handler(stream):
        asyncio.create_task(culprit.is_awaited())  # noqa: RUF006 - as people write it

    call_up(background.start(StreamServer(handler), name="culprit"))


def on_playing(up, culprit, background):
    up.stream.play(b"\xff" * 160).add_done_callback(culprit)


def on_mark(up, culprit, background):
    up.stream.mark("here").add_done_callback(culprit)


def on_heard(up, culprit, background):
    up.stream.play(b"\xff" * 1600).heard(0.02).add_done_callback(culprit)


def on_stream_closed(up, culprit, background):
    up.stream.closed.add_done_callback(culprit)
    up.stream.close(now=True)


def on_next_stream(up, culprit, background):
    server = background.start(StreamServer(), name="culprit")
    server.next_stream().add_done_callback(culprit)
    simulate_call(server.url, seconds=30)


def on_call_ended(up, culprit, background):
    up.call.ended.add_done_callback(culprit)
    up.call.hang_up()


def on_call_over(up, culprit, background):
    call_when_over(up.call, culprit)
    up.call.hang_up()


def on_refresh(up, culprit, background):
    up.call.refresh().add_done_callback(culprit)


def on_report(up, culprit, background):
    simulate_call(up.server.url, seconds=0.1).add_done_callback(culprit)


def on_what_is_done(up, culprit, background):
    up.stream.play(b"").result(LIMIT)
    playing = up.stream.play(b"")
    playing.result(LIMIT)
    playing.add_done_callback(culprit)


def on_progress(up, culprit, background):
    up.server.follow_call(up.call.sid, culprit)


def on_later_progress(up, culprit, background):
    up.server.follow_call(up.call.sid, culprit)
    up.call.hang_up()


def on_server_stop(up, culprit, background):
    up.server.stopped.add_done_callback(culprit)
    background.stop(up.server)


def on_lost_address(up, culprit, background):
    up.server.follow_call(up.call.sid, print, culprit)
    up.server.lose_public_url("it was only tried")


def on_phone_state(up, culprit, background):
    up.phone.follow(culprit)
    up.phone.hang_up()


def on_phone_until(up, culprit, background):
    up.phone.until("idle").add_done_callback(culprit)
    up.phone.hang_up()


def on_said(up, culprit, background):
    up.phone.say(b"\xff" * 160).add_done_callback(culprit)


def on_dialled(up, culprit, background):
    up.twilio.phone("+15550100002").dial(up.twilio.numbers[0]).add_done_callback(culprit)


def on_frame(up, culprit, background):
    up.phone.call.handset.ear.on_frame.append(culprit)


def on_mouth(up, culprit, background):
    up.twilio.loop.call_soon_threadsafe(up.phone.call.handset.mouth.say, b"\xff" * 160, culprit)


def on_beat(up, culprit, background):
    up.twilio.loop.call_soon_threadsafe(up.twilio.pacer.add, culprit)


def as_loop_callback(up, culprit, background):
    up.server.loop.call_soon_threadsafe(culprit)


def as_task(up, culprit, background):
    loop = up.server.loop
    loop.call_soon_threadsafe(lambda: loop.create_task(culprit.is_awaited()) and None)


def as_asyncio_callback(up, culprit, background):
    async def wait():
        asyncio.ensure_future(up.stream.play(b"")).add_done_callback(culprit)

    asyncio.run_coroutine_threadsafe(wait(), up.server.loop)


def as_command(up, culprit, background):
    up.server._home.call(culprit)


def as_work(up, culprit, background):
    assert type(up.server._home.start(culprit.is_awaited()).exception(LIMIT)) is culprit.kind


def as_widget(up, culprit, background):
    PUMP.add(culprit)


def in_a_nested_wait(up, culprit, background):
    """Somebody's callback comes while an innocent handler waits on the loop."""
    endings = []

    async def handler(stream):
        asyncio.get_running_loop().call_later(0.01, culprit)
        endings.append(stream.play(b"\xff" * 800).result(LIMIT).ending)
        stream.close()

    server = background.start(StreamServer(handler), name="innocent")
    assert call_up(server).closed.result(LIMIT).reason == "closed"
    assert endings == ["heard"]


class Guest:
    """Something to start that exits when it is entered or left."""

    def __init__(self, *, enter=bool, leave=bool):
        self.enter, self.leave = enter, leave

    async def __aenter__(self):
        self.enter()
        return self

    async def __aexit__(self, *_):
        self.leave()


def as_guest_entered(up, culprit, background):
    with pytest.raises(culprit.kind):
        background.start(Guest(enter=culprit))


def as_guest_left(up, culprit, background):
    background.stop(background.start(Guest(leave=culprit)))


def as_factory(up, culprit, background):
    def make():
        return culprit()

    with pytest.raises(culprit.kind):
        background.start(make)


PLACES = [
    as_async_handler, as_thread_handler, as_task_of_a_handler, on_playing, on_mark, on_heard,
    on_stream_closed, on_next_stream, on_call_ended, on_call_over, on_refresh, on_report,
    on_what_is_done, on_progress, on_later_progress, on_server_stop, on_lost_address,
    on_phone_state, on_phone_until, on_said, on_dialled, on_frame, on_mouth, on_beat,
    as_loop_callback, as_task, as_asyncio_callback, as_command, as_work, as_widget,
    in_a_nested_wait, as_guest_entered, as_guest_left, as_factory,
]  # fmt: skip

RAISED_TO_WHO_WAITS = {as_work, as_guest_entered, as_factory}
"""What is raised there is raised again where somebody waits for it, and needs no line in a log."""

CANCELS = {as_task_of_a_handler, as_task}
"""A task that is cancelled has ended as asyncio's tasks may, and nothing is logged."""


def call_up(server):
    """Call a server straight; return its stream."""
    coming = server.next_stream()
    simulate_call(server.url, seconds=30)
    return coming.result(LIMIT)


@pytest.fixture
def logged(caplog):
    """Return the names of what was logged with a traceback."""
    return lambda: [
        record.exc_info[0].__name__
        for record in caplog.records
        if record.exc_info and record.exc_info[2] is not None
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_code_that_exits_takes_nothing_from_anybody_else(
    background_loop, make_call, until, logged, said, place, kind
):
    up, culprit = make_call(), Culprit(kind)
    other = call_up(background_loop.start(StreamServer(), name="other"))
    promised = [other.play(Clip.tone(440, 0.06)), other.mark("after it")]
    thread = the_kits_thread()

    place(up, culprit, background_loop)
    assert culprit.called.wait(LIMIT)
    if place not in RAISED_TO_WHO_WAITS and not (place in CANCELS and kind is KINDS[-1]):
        until(lambda: kind.__name__ in logged())

    assert [pending.result(LIMIT).ending for pending in promised] == ["heard", "heard"]
    assert the_kits_thread() is thread
    left = [up.stream.closed, other.closed, up.call.ended, other.play(b"\xff" * 80000)]
    background_loop.stop()
    assert background_loop.running() == []
    assert [pending for pending in left if not pending.done()] == []
    assert not [line for line in said() if "did not stop within" in line]


def the_kits_thread():
    (thread,) = [each for each in threading.enumerate() if each.name == "twistream_kit"]
    return thread


# If the thread ends all the same.


def stopped(loop):
    loop.call_soon_threadsafe(loop.stop)


def stopped_twice(loop):
    loop.call_soon_threadsafe(loop.stop)
    loop.call_soon_threadsafe(loop.call_soon, loop.stop)


def broken_once(loop):
    whole = loop._run_patched

    def breaks():
        loop._run_patched = whole
        raise Alarm("the selector is gone")

    loop._run_patched = breaks
    loop.call_soon_threadsafe(bool)


@pytest.mark.parametrize("end", [stopped, stopped_twice, broken_once])
def test_when_the_thread_ends_nothing_is_waited_for_in_vain(background_loop, make_call, said, end):
    up = make_call()
    loop, thread = up.server.loop, the_kits_thread()
    home = HomeLoop("something of somebody's")
    loop.call_soon_threadsafe(home.enter)
    waiting = up.server.next_stream()
    playing, marked = up.stream.play(b"\xff" * 80000), up.stream.mark("after it")
    heard, nobodys = playing.heard(5), Pending(loop)
    until_ringing = up.phone.until("ringing")
    work = home.start(asyncio.Event().wait())

    end(loop)
    # The loop could still leave the server in order, so a stream has what a stop gives it.
    for pending in (playing, marked, up.stream.closed, heard):
        assert pending.exception(LIMIT) is None
    for pending in (waiting, up.call.ended, nobodys, until_ringing, work):
        with pytest.raises(ServerStopped) as caught:
            pending.result(LIMIT)
        assert caught.value.fix
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert loop.is_closed()
    late = Pending(loop)
    with pytest.raises(ServerStopped, match=r"^the kit's event loop has ended\. The result cannot"):
        late.result(0)
    assert repr(up.stream)
    assert playing.heard_ms >= 0
    assert any(line.startswith("the kit's event loop has ended (") for line in said())
    assert background_loop.running() == []

    background_loop.stop()
    assert not [line for line in said() if "did not stop within" in line]
    again = background_loop.start(up.server)
    assert again is up.server
    assert again.loop is not loop
    assert call_up(again).play(b"\xff" * 160).result(LIMIT).ending == "heard"


def test_the_port_of_what_ran_on_a_thread_that_ended_is_free_for_the_next(background_loop):
    server = background_loop.start(StreamServer())
    port = server.port  # asked for now: a server that was left has none
    stopped(server.loop)
    again = background_loop.start(StreamServer(port=port))
    assert call_up(again).play(b"\xff" * 160).result(LIMIT).ending == "heard"


def test_a_start_that_waits_when_the_thread_ends_fails(background_loop):
    class Ends:
        async def __aenter__(self):
            await asyncio.sleep(0)
            asyncio.get_running_loop().stop()
            await asyncio.Event().wait()

        async def __aexit__(self, *_):
            pass

    with pytest.raises((ServerStopped, asyncio.CancelledError)):
        background_loop.start(Ends())
    assert background_loop.running() == []
    assert background_loop.start(StreamServer()).port


def test_a_handler_may_stop_the_loop_and_the_next_start_works(background_loop):
    async def handler(stream):
        asyncio.get_running_loop().stop()

    server = background_loop.start(StreamServer(handler))
    stream = call_up(server)
    assert stream.closed.result(LIMIT).reason == "server stopped"
    calm = background_loop.start(StreamServer())
    assert call_up(calm).play(b"\xff" * 160).result(LIMIT).ending == "heard"


def test_when_a_loop_is_broken_for_good_everything_that_waits_is_ended():
    program = """
        import json, sys, threading, time
        import twistream_kit as kit
        from twistream_kit.errors import ServerStopped
        from twistream_kit.pending import Pending

        usual = sys.getswitchinterval()
        twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
        server = kit.start(kit.StreamServer())
        phone = twilio.phone("+15550100001")
        call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                              stream_url=server.stream_url).result(10)
        stream = server.next_stream(call).result(10)
        playing, events = stream.play(b"\\xff" * 80000), stream.events()
        promised = [playing, playing.heard(5), stream.mark("m"), stream.closed, call.ended,
                    server.next_stream(), Pending(server.loop), phone.until("ringing")]
        reading = threading.Thread(target=lambda: list(events))
        reading.start()
        (thread,) = [each for each in threading.enumerate() if each.name == "twistream_kit"]

        def breaks():
            raise OSError("the selector is gone")

        loop = server.loop
        loop._run_patched = breaks
        loop.call_soon_threadsafe(bool)
        outcomes = [type(pending.exception(10)).__name__ for pending in promised]
        thread.join(10)
        reading.join(10)
        said = {"outcomes": outcomes, "thread": thread.is_alive(), "reading": reading.is_alive()}
        said["switch"] = abs(sys.getswitchinterval() - usual) < 1e-5
        said["running"], said["repr"] = kit.running(), repr(stream).partition(" has ended")[0]
        said["heard"] = playing.heard_ms >= 0
        kit.stop()
        again = kit.start(server)
        coming = again.next_stream()
        kit.simulate_call(again.url, seconds=5)
        said["again"] = coming.result(10).play(b"\\xff" * 160).result(10).ending
        kit.stop()
        from twistream_kit.notebook.runtime.activity_log import get_activity_log
        lines = [line.text for line in get_activity_log().lines]
        said["log"] = [text for text in lines if "has ended (" in text]
        said["late"] = [text for text in lines if "did not stop" in text]
        print(json.dumps(said))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["outcomes"] == ["ServerStopped"] * 8
    assert (said["thread"], said["reading"], said["switch"], said["heard"]) == (
        False, False, True, True,
    )  # fmt: skip
    assert said["running"] == said["late"] == []
    assert said["repr"].endswith("ended, the kit's event loop")
    assert said["again"] == "heard"
    (line,) = said["log"]
    assert line.startswith("the kit's event loop has ended (OSError: the selector is gone)")
