"""The kit in a real kernel, from its first import to its last breath, on every supported one."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import psutil
import pytest

from support.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.notebook

SAMPLES = Path(__file__).resolve().parents[3] / "sample_audio"

START = """
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
phone = twilio.phone("+15550100001")
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
stream = server.next_stream().result(30)
playing = stream.play(kit.Clip.tone(440, 60.0))
playing.heard(0.1).result(30)
"""


def list_ports(kernel):
    """Return the ports on which the kernel's process listens."""
    process = psutil.Process(kernel.value("__import__('os').getpid()"))
    with contextlib.suppress(AttributeError):
        return ports_of(process.net_connections())
    return ports_of(process.connections())


def ports_of(connections):
    return {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def ends_by_itself(kernel):
    """Expect that the kernel ends because it was asked to, and need not be killed."""
    kernel.manager.shutdown_wait_time = 2 * LIMIT_SECONDS
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < LIMIT_SECONDS


def test_the_kernel_is_the_one_that_was_asked_for(kernel, kernel_version):
    version = kernel.value("__import__('ipykernel').__version__")
    assert version == kernel_version or kernel_version == "newest"
    major, minor = map(int, version.split(".")[:2])
    found = (
        "__import__('twistream_kit.notebook.runtime.kernel', fromlist=['x'])"
        ".read_ipykernel_version()"
    )
    assert kernel.value(found) == (major, minor)
    assert (kernel.subshell is None) == (major < 7)


def test_after_stop_no_port_is_open_and_no_thread_is_left(kernel):
    kernel.run("kit.start(kit.StreamServer()); kit.stop()")  # the loop's own thread stays
    ports = list_ports(kernel)
    threads = "sorted(t.name for t in __import__('threading').enumerate())"
    before = kernel.value(threads)
    kernel.run(START)
    assert len(list_ports(kernel)) == len(ports) + 2
    kernel.run("kit.stop()")
    assert list_ports(kernel) == ports
    assert kernel.value("playing.result(0).ending") == "lost"
    kernel.wait(lambda: kernel.value(threads) == before, "the end of the threads")
    assert kernel.errors == []


def test_the_cell_that_starts_everything_can_be_run_again_in_mid_call(kernel):
    kernel.run(START + "first = stream")
    kernel.run(START)
    assert kernel.value("list(kit.running())") == ["SimulatedTwilio", "StreamServer"]
    state = "(first is stream, first.closed.done(), stream.is_open, playing.done())"
    assert kernel.value(state) == (False, True, True, False)


def test_a_wav_report_is_shown_richly_without_touching_the_notebook_package(fresh_kernel):
    kernel = fresh_kernel("newest")
    kernel.run("import twistream_kit as kit, sys")
    assert kernel.value("[m for m in sys.modules if m.startswith('twistream_kit.')]") == []
    cell = kernel.begin(f"kit.inspect_wav({str(SAMPLES / 'greeting.wav')!r})")
    kernel.result_of(cell)
    ((_, shown),) = [item for item in kernel.shown if item[0] == cell]
    assert "<table" in shown["text/html"]
    assert shown["text/plain"].startswith("greeting.wav: WAV, PCM, 16 bit, stereo")


def test_importing_the_kit_before_anything_else_prints_nothing(kernel, kernel_version):
    assert kernel.run("import twistream_kit as kit; kit.start") == ""


def test_errors_in_a_cell_are_the_things_own(kernel):
    kernel.run("first = kit.start(kit.StreamServer(), name='first')")
    cell = kernel.begin("kit.start(kit.StreamServer(port=first.port))")
    with pytest.raises(Exception, match=r"CannotListen: .*Another program has it"):
        kernel.result_of(cell)
    assert kernel.value("list(kit.running())") == ["first"]


def test_code_that_exits_in_one_cell_leaves_the_kit_usable_in_the_next(kernel):
    kernel.run("""
import argparse, sys
async def handler(stream):
    argparse.ArgumentParser().parse_args(["--no-such-option"])
server = kit.start(kit.StreamServer(handler), name="exits")
calm = kit.start(kit.StreamServer(), name="calm")
coming = calm.next_stream()
talk = kit.simulate_call(calm.url, seconds=30)
stream = coming.result(30)
""")
    kernel.run("report = kit.simulate_call(server.url, seconds=30).result(20)")
    assert kernel.value("repr(server.streams[-1].handler_error)") == "SystemExit(2)"
    kernel.run("""
stream.play(b"").result(30)
called = __import__("threading").Event()
def exits(done):
    called.set()
    sys.exit(3)
stream.mark("here").add_done_callback(exits)
stream.closed.add_done_callback(exits)
server.loop.call_soon_threadsafe(sys.exit, 4)
assert called.wait(30)
""")
    assert kernel.value("stream.play(kit.Clip.tone(440, 0.1)).result(30).ending") == "heard"
    assert kernel.value("sorted(kit.running())") == ["calm", "exits"]
    kernel.run("kit.stop()")
    assert kernel.value("(list(kit.running()), stream.closed.result(0).reason)") == (
        [], "server stopped",
    )  # fmt: skip
    kernel.run("server = kit.start(kit.StreamServer())")
    assert kernel.value("kit.simulate_call(server.url, seconds=0.2).result(20).ending") == "stopped"
    kernel.run("from twistream_kit.notebook.runtime.activity_log import get_activity_log")
    lines = kernel.value(
        "[line.text for line in get_activity_log().lines if line.level == 'ERROR']"
    )
    assert any("SystemExit: 2" in line for line in lines)
    assert any("SystemExit: 3" in line for line in lines)
    assert any("SystemExit: 4" in line for line in lines)
    assert not any("did not stop" in line for line in lines)


def test_a_restart_in_mid_call_frees_the_ports_and_hangs_nowhere(fresh_kernel, kernel_version):
    kernel = fresh_kernel(kernel_version)
    kernel.run("import twistream_kit as kit" + START)
    port = kernel.value("server.port")
    with ends_by_itself(kernel):
        kernel.restart()
    assert is_free(port)
    kernel.run("import twistream_kit as kit")
    assert kernel.value("list(kit.running())") == []
    kernel.run(f"server = kit.start(kit.StreamServer(port={port}))")
    assert kernel.value("server.port") == port


def test_a_kernel_that_is_asked_to_end_in_mid_call_ends(fresh_kernel, kernel_version):
    kernel = fresh_kernel(kernel_version)
    kernel.run("import twistream_kit as kit" + START)
    port, pid = kernel.value("(server.port, __import__('os').getpid())")
    with ends_by_itself(kernel):
        kernel.manager.shutdown_kernel(now=False)
    assert not psutil.pid_exists(pid)
    assert is_free(port)


def test_a_kernel_that_is_killed_in_mid_call_leaves_no_port_behind(fresh_kernel):
    kernel = fresh_kernel("newest")
    kernel.run("import twistream_kit as kit" + START)
    port = kernel.value("server.port")
    kernel.manager.shutdown_kernel(now=True)
    assert is_free(port)
