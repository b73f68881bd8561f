"""What a notebook starts and stops, without a kernel."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import textwrap
import threading

import pytest
import websockets

from support.waiting import LIMIT_SECONDS
from twistream_kit.errors import TwistreamError, WouldDeadlock
from twistream_kit.live.server.server import StreamServer
from twistream_kit.notebook.runtime.loop import KitLoop


def test_start_returns_what_entering_gave_and_runs_on_a_daemon_thread(background_loop, thing):
    one = thing()
    assert background_loop.start(one) is one
    assert isinstance(one.loop, KitLoop)
    assert one.thread is not threading.current_thread()
    assert one.thread.daemon


def test_all_things_share_one_loop(background_loop, thing):
    one, two = thing(), thing()
    background_loop.start(one, name="one")
    background_loop.start(two, name="two")
    assert one.loop is two.loop


def test_starting_the_same_object_again_returns_it(background_loop, thing):
    one = thing()
    background_loop.start(one)
    assert background_loop.start(one) is one
    assert one.notes == ["enter thing"]


def test_starting_the_same_object_under_another_name_returns_it(background_loop, thing):
    one = thing()
    background_loop.start(one)
    assert background_loop.start(one, name="other") is one
    assert background_loop.running() == ["Thing"]


def test_starting_another_of_the_class_stops_the_earlier_first_and_says_so(
    background_loop, thing, said
):
    notes = []
    background_loop.start(thing("first", notes=notes))
    background_loop.start(thing("second", notes=notes))
    assert notes == ["enter first", "leave first", "enter second"]
    assert background_loop.running() == ["Thing"]
    assert "Thing is started again; the earlier one is stopped" in said()


def test_two_names_let_two_of_a_class_run_side_by_side(background_loop, thing):
    notes = []
    background_loop.start(thing("one", notes=notes), name="one")
    background_loop.start(thing("two", notes=notes), name="two")
    assert background_loop.running() == ["one", "two"]
    assert notes == ["enter one", "enter two"]


def test_stop_leaves_everything_newest_first(background_loop, thing):
    notes = []
    for name in ("one", "two", "three"):
        background_loop.start(thing(name, notes=notes), name=name)
    background_loop.stop()
    assert notes[3:] == ["leave three", "leave two", "leave one"]
    assert background_loop.running() == []


def test_stop_takes_the_thing_its_value_or_its_name(background_loop, thing):
    one, two = thing("one"), thing("two")
    background_loop.start(one, name="one")
    background_loop.start(two, name="two")
    background_loop.start(lambda: thing("three"), name="three")
    background_loop.stop(one)
    background_loop.stop("two")
    assert background_loop.running() == ["three"]
    background_loop.stop("three")
    assert (one.notes[-1], two.notes[-1]) == ("leave one", "leave two")


def test_what_was_stopped_can_be_started_again(background_loop, thing):
    one = thing()
    background_loop.start(one)
    background_loop.stop(one)
    assert background_loop.start(one) is one
    assert one.notes == ["enter thing", "leave thing", "enter thing"]


def test_stopping_what_does_not_run_says_what_does(background_loop, thing):
    background_loop.start(thing(), name="one")
    with pytest.raises(TwistreamError) as caught:
        background_loop.stop("oen")
    assert str(caught.value) == "'oen' is not running. Running: one; stop() stops everything."


def test_stop_without_anything_running_is_fine(background_loop):
    background_loop.stop()
    with pytest.raises(TwistreamError, match="Running: nothing"):
        background_loop.stop("server")


def test_a_function_is_called_on_the_kits_loop(background_loop, thing):
    called_on = []

    def make():
        called_on.append(asyncio.get_running_loop())
        return thing()

    value = background_loop.start(make)
    assert called_on == [value.loop]
    assert background_loop.running() == ["make"]


def test_a_plain_websockets_server_runs_and_has_an_address(background_loop):
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    server = background_loop.start(lambda: websockets.serve(echo, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    assert background_loop.url_of(server) == f"ws://127.0.0.1:{port}"

    async def say(text):
        async with websockets.connect(background_loop.url_of(server), proxy=None) as connection:
            await connection.send(text)
            return await connection.recv()

    assert asyncio.run(say("hello")) == "hello"


def test_url_of_a_stream_server_is_its_own(background_loop):
    server = background_loop.start(StreamServer())
    assert background_loop.url_of(server) == server.url


def test_url_of_something_without_an_address_says_what_to_give():
    with pytest.raises(TypeError, match=r"^dict has no address: give url_of what kit\.start"):
        __import__("twistream_kit").url_of({})


async def a_coroutine():
    raise AssertionError


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (StreamServer, "the class StreamServer"),
        (a_coroutine, None),
        (lambda argument: argument, "function"),
        (7, "int"),
        ("server", "str"),
        (None, "NoneType"),
    ],
)
def test_start_refuses_what_it_cannot_start(background_loop, wrong, named):
    if named is None:
        wrong, named = wrong(), "coroutine"
    with pytest.raises(TypeError) as caught:
        background_loop.start(wrong)
    assert str(caught.value) == (
        "start() takes an async context manager, or a function without arguments that returns "
        f"one, not {named}; for example kit.start(kit.StreamServer()) or "
        "kit.start(lambda: websockets.serve(handler, '127.0.0.1', 0)). A server of your own, or an "
        "application in mine.py, runs in a process of its own: kit.start(kit.ServerProcess("
        '[sys.executable, "-m", "uvicorn", "mine:app", "--port", "0"])).'
    )
    assert background_loop.running() == []


def test_a_function_that_returns_nothing_to_enter_is_named(background_loop):
    def make():
        return []

    with pytest.raises(TypeError, match=r"^make returned list, which is not an async context"):
        background_loop.start(make)
    with pytest.raises(TypeError, match=r"^a_coroutine returned coroutine, which is not an async"):
        background_loop.start(a_coroutine)
    assert background_loop.running() == []


def test_the_things_own_exception_comes_out_of_the_call_and_nothing_is_left(background_loop, thing):
    error = OSError("no such port")
    with pytest.raises(OSError, match="no such port") as caught:
        background_loop.start(thing(fail=error))
    assert caught.value is error
    assert background_loop.running() == []


def test_a_port_in_use_is_said_in_the_cell(background_loop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="Say port=0 for a free one"):
            background_loop.start(StreamServer(port=taken.getsockname()[1]))
    assert background_loop.running() == []


def test_a_failed_start_leaves_the_others_running(background_loop, thing):
    background_loop.start(thing(), name="good")
    with pytest.raises(ValueError, match="broken"):
        background_loop.start(thing(fail=ValueError("broken")), name="bad")
    assert background_loop.running() == ["good"]


def test_an_error_while_stopping_is_logged_and_stopping_goes_on(background_loop, thing, said):
    class Stubborn(type(thing())):
        async def __aexit__(self, *_):
            raise ValueError("it will not go")

    notes = []
    background_loop.start(thing("first", notes=notes))
    background_loop.start(Stubborn("second", notes=notes))
    background_loop.stop()
    assert notes[-1] == "leave first"
    assert "stopping Stubborn failed: ValueError: it will not go" in said()


def test_what_never_gets_ready_is_given_up_in_words(background_loop, thing, monkeypatch, until):
    monkeypatch.setattr(background_loop, "START_SECONDS", 0.2)
    slow = thing(release=asyncio.Event())
    with pytest.raises(TwistreamError) as caught:
        background_loop.start(slow)
    assert "Thing was not ready within 0.2 s. It is being stopped" in str(caught.value)
    assert background_loop.running() == []
    until(lambda: slow.task.done())


def test_start_and_stop_are_refused_on_the_kits_own_loop(background_loop, thing):
    refused = []

    class Nested(type(thing())):
        async def __aenter__(self):
            for call in (lambda: background_loop.start(thing()), background_loop.stop):
                with pytest.raises(WouldDeadlock) as caught:
                    call()
                refused.append(str(caught.value))
            return self

    background_loop.start(Nested())
    assert refused == [
        f"kit.{name}() was called on the kit's own loop. It would wait for itself. Use "
        "`async with thing:` there."
        for name in ("start", "stop")
    ]


async def test_start_may_be_said_where_another_loop_runs(background_loop, thing):
    one = thing()
    assert background_loop.start(one) is one
    assert one.loop is not asyncio.get_running_loop()


def test_many_threads_that_start_the_same_object_get_one(background_loop, thing):
    one = thing()
    threads = [threading.Thread(target=background_loop.start, args=(one,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert one.notes == ["enter thing"]


def test_the_port_of_a_stopped_server_is_free_again(background_loop):
    server = background_loop.start(StreamServer())
    port = server.port
    background_loop.stop(server)
    socket.create_server(("127.0.0.1", port)).close()


def test_fifty_starts_and_stops_leave_no_task_and_no_thread_behind(background_loop):
    server = background_loop.start(StreamServer())
    loop = server._home.loop
    threads = set(threading.enumerate())
    for _ in range(50):
        background_loop.start(StreamServer())
    background_loop.stop()
    done = threading.Event()
    left = []

    def look():
        left.extend(task for task in asyncio.all_tasks(loop) if not task.done())
        done.set()

    loop.call_soon_threadsafe(look)
    assert done.wait(LIMIT_SECONDS)
    assert left == []
    assert set(threading.enumerate()) <= threads


PROGRAM = """
    import twistream_kit as kit
    async def handler(stream):
        async for _ in stream.events():
            pass
    def main():
        twilio = kit.start(kit.SimulatedTwilio())
        server = kit.start(kit.StreamServer(handler))
        phone = twilio.phone("+15550100001")
        kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                       stream_url=server.stream_url).result(30)
        stream = server.next_stream().result(30)
        stream.play(kit.Clip.tone(440, 300))
        print(server.port, flush=True)
    main()
"""


def test_a_program_that_ends_in_mid_call_ends_cleanly_and_frees_its_port():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    socket.create_server(("127.0.0.1", int(done.stdout))).close()


def test_stopping_everything_in_mid_call_gives_up_nothing(background_loop, make_call, said):
    up = make_call()
    playing = up.stream.play(b"\xff" * 8000 * 60)
    playing.heard(0.1).result(30)
    background_loop.stop()
    assert not [line for line in said() if "did not stop within" in line]
    assert playing.result(0).ending == "lost"
    assert up.stream.closed.result(0).reason == "server stopped"
