"""What a forked child makes of what runs in its parent: it says so, and waits for nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from support.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


def run(program):
    """Run a program that forks; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=4 * LIMIT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


IN_CHILD = """
    import os, sys, threading
    import twistream_kit as kit
    from twistream_kit.pending import Pending, fulfil, on_worker

    server = kit.start(kit.StreamServer())
    report = kit.simulate_call(server.url)
    stream = server.next_stream().result(10)
    playing, mark = stream.play(kit.Clip.tone(440, 20)), stream.mark("end")
    coming, working = server.next_stream(), on_worker("work", threading.Event().wait)
    done = Pending()
    fulfil(done, 7)
    called = []
    coming.add_done_callback(lambda _: called.append(1))

    def child():
        {child}

    if (pid := os.fork()) == 0:
        child()
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    {parent}
    sys.stdout.flush()
    kit.stop()
"""


def fork(child, parent="pass"):
    """Run both with a stream that plays; return the lines that they print."""
    lines = {"child": textwrap.dedent(child).strip(), "parent": textwrap.dedent(parent).strip()}
    program = textwrap.dedent(IN_CHILD)
    return run(
        program.replace("{child}", textwrap.indent(lines["child"], " " * 4).strip()).replace(
            "{parent}", lines["parent"]
        )
    )


def test_every_pending_of_the_parent_fails_in_the_child_and_goes_on_in_the_parent():
    lines = fork(
        """
        for each in (report, playing, mark, coming, working, stream.closed, server.stopped):
            assert each.done()
            print(type(each.exception(0)).__name__, each.exception(0).problem)
        print(done.result(0), called)
        """,
        """
        stream.clear()
        print(playing.result(10).ending, working.done(), called)
        """,
    )
    text = (
        "ServerStopped this process was forked, and what brings the result runs in its parent only"
    )
    assert lines == [text] * 7 + ["7 []", "cleared False []"]


def test_what_is_asked_for_in_the_child_fails_there_at_once():
    lines = fork(
        """
        print(stream.play(b"\\xff" * 160).result(10).ending)
        for ask in (server.next_stream, lambda: server.port):
            try:
                print(ask().result(10))
            except kit.ServerStopped as error:
                print(error.problem)
            except AttributeError:
                print("a number")
        """
    )
    assert lines == ["lost", "the stream server is not running", "a number"]


def test_a_child_can_start_a_server_of_its_own_and_the_parents_goes_on():
    lines = fork(
        """
        print(list(kit.running()))
        own = kit.start(kit.StreamServer(lambda stream: stream.close()))
        print(kit.simulate_call(own.url).result(20).ending)
        kit.stop()
        """,
        """
        print(list(kit.running()), stream.is_open)
        stream.close(now=True)
        print(report.result(20).ending)
        """,
    )
    assert lines == ["[]", "server-closed", "['StreamServer'] True", "server-closed"]


def test_a_fork_while_other_threads_settle_pendings_blocks_nobody():
    lines = run(
        """
        import os, sys, threading
        from twistream_kit.pending import Pending, fulfil

        def settle():
            while True:
                fulfil(Pending(), 1)

        for _ in range(4):
            threading.Thread(target=settle, daemon=True).start()
        left = [Pending() for _ in range(100)]
        for number in range(30):
            if (pid := os.fork()) == 0:
                ok = all(each.exception(0) is not None for each in left)
                os._exit(0 if ok else 3)
            assert os.waitpid(pid, 0)[1] == 0, number
        print("whole")
        sys.stdout.flush()
        os._exit(0)
        """
    )
    assert lines == ["whole"]
