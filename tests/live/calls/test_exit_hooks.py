"""What is undone at the exit: by hand, and in interpreters that really exit."""

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.errors import ServerStopped
from twistream_kit.live.calls import exit_hooks as exit_hooks_module
from twistream_kit.live.calls.exit_hooks import register_exit_hook, undo_all
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"

DIAL = """
    import sys
    from urllib.parse import urlsplit

    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    from twistream_kit.live.dialling.place import place_call

    origin, account, token, from_, stream_url = sys.argv[1:]


    class Loopback(TwilioHttpClient):
        dials_loopback = True

        def __init__(self):
            super().__init__(timeout=10)
            self.session.trust_env = False

        def request(self, method, url, *args, **options):
            return super().request(method, origin + urlsplit(url).path, *args, **options)


    client = Client(account, token, http_client=Loopback())
    placing = place_call(client, to="+15550100001", from_=from_, stream_url=stream_url)
"""

IN_ONE_PROCESS = """
    import twistream_kit as kit
    from twistream_kit.notebook.runtime import background

    twilio = kit.start(kit.SimulatedTwilio())
    server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
    phone = twilio.phone("+15550100001")
    call = kit.place_call(
        twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
    ).result(10)
    stream = server.next_stream(call).result(10)

    import atexit

    stop = background.stop


    def last_look(*args):
        if not args:
            print(*[call.status for call in twilio.calls], stream.closed.result(5).reason)
        stop(*args)


    background.stop = last_look
"""


@pytest.fixture(autouse=True)
def nothing_else_is_left(monkeypatch):
    monkeypatch.setattr(exit_hooks_module, "_hooks", {})


def run(script, *arguments, ending=""):
    """Run a script in an interpreter of its own; return what it wrote and its exit code."""
    code = textwrap.dedent(script) + ending
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode


def test_newest_is_undone_first_and_only_once():
    undone = []
    for name in "abc":
        register_exit_hook(name, lambda seconds, name=name: undone.append(name))
    undo_all()
    undo_all()
    assert undone == ["c", "b", "a"]


def test_what_is_forgotten_is_not_undone():
    undone = []
    forget = register_exit_hook("a", lambda seconds: undone.append("a"))
    register_exit_hook("b", lambda seconds: undone.append("b"))
    forget()
    forget()
    undo_all()
    assert undone == ["b"]


def test_each_has_three_seconds_and_all_have_ten():
    limits = []
    register_exit_hook("a", limits.append)
    register_exit_hook("b", limits.append)
    undo_all()
    assert limits == [3.0, 3.0]
    register_exit_hook("c", limits.append)
    undo_all(0.5)
    assert 0 < limits[-1] <= 0.5


def test_what_there_is_no_time_for_is_named(said):
    register_exit_hook("call CA1", lambda seconds: pytest.fail("there was no time"))
    undo_all(0)
    assert said() == ["call CA1 is left as it is: there was no time to undo it"]


def test_one_that_fails_does_not_keep_the_next_from_being_undone(said):
    undone = []

    def fails(seconds):
        raise OSError("no network")

    def stopped(seconds):
        raise ServerStopped("the simulator has stopped")

    register_exit_hook("first", lambda seconds: undone.append("first"))
    register_exit_hook("call CA2", fails)
    register_exit_hook("call CA3", stopped)
    undo_all()
    assert undone == ["first"]
    assert said() == ["call CA2 is left as it is: no network"]


def test_forked_child_leaves_what_is_its_parents_alone(monkeypatch):
    undone = []
    register_exit_hook("a", lambda seconds: undone.append("a"))
    parent = os.getpid()
    monkeypatch.setattr(exit_hooks_module.os, "getpid", lambda: parent + 1)
    undo_all()
    assert undone == []


def test_runs_before_what_was_registered_at_exit_by_then():
    script = """
        import atexit
        from twistream_kit.live.calls.exit_hooks import register_exit_hook

        register_exit_hook("early", lambda seconds: print("early"))
        atexit.register(print, "registered in between")
        register_exit_hook("late", lambda seconds: print("late"))
    """
    assert run(script) == ("late\nearly\nregistered in between\n", "", 0)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("placing.result(10)\n", 0),
        ("\n", 0),  # before Twilio has answered
        ("placing.result(10)\nraise RuntimeError('out of order')\n", 1),
        ("placing.result(10)\nsys.exit(3)\n", 3),
    ],
)
async def test_call_is_hung_up_when_its_interpreter_exits(serve, in_thread, ending, code):
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        server = await serve(auth_token=twilio.auth_token)
        twilio.phone(ALICE)
        arguments = (
            twilio.url, twilio.account_sid, twilio.auth_token, twilio.numbers[0], server.stream_url,
        )  # fmt: skip
        running = asyncio.create_task(asyncio.to_thread(run, DIAL, *arguments, ending=ending))
        async with asyncio.timeout(LIMIT_SECONDS):
            _, errors, exit_code = await running
        assert exit_code == code
        assert "left as it is" not in errors
        assert twilio.auth_token not in errors
        (call,) = twilio.calls
        assert call.status in ("completed", "canceled")


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("\nraise RuntimeError('x')\n", 1)])
def test_simulated_call_of_the_same_process_is_hung_up_before_its_server_stops(ending, code):
    written, errors, exit_code = run(IN_ONE_PROCESS, ending=ending)
    assert (written, exit_code) == ("completed stop\n", code), errors
    assert "left as it is" not in errors


def test_call_that_is_over_is_not_asked_for_again():
    ending = textwrap.dedent("""
        from twistream_kit.live.calls import exit_hooks as exit_hooks_module

        call.hang_up().result(10)
        print(len(exit_hooks_module._hooks))
    """)
    written, errors, _ = run(IN_ONE_PROCESS, ending=ending)
    assert written == "0\ncompleted stop\n", errors


def test_number_that_leads_here_is_put_back_before_its_server_stops():
    ending = textwrap.dedent("""
        from twistream_kit.live.dialling.number_route import route_number

        number = twilio.client.incoming_phone_numbers.list(limit=1)[0]
        number.update(voice_url="https://example.com/mine")
        route = kit.start(route_number(twilio.client, number.phone_number, server))
        print(number.fetch().voice_url == server.twiml_url)
    """)
    look = "print(number.fetch().voice_url, route.is_open)"
    script = IN_ONE_PROCESS.replace("print(*[", f"{look}; print(*[")
    written, errors, _ = run(script, ending=ending)
    assert written == "True\nhttps://example.com/mine False\ncompleted stop\n", errors
