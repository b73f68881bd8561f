"""What tests of many folders share; what needs no tearing down is in `support`."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import sys
import threading

import pytest
from hypothesis import settings

from support import second_run
from support.sshd import Sshd, sshd_program
from support.waiting import LIMIT_SECONDS, eventually, soon, until
from twistream_kit.live.settings.schema import SETTINGS
from twistream_kit.live.settings.settings import forget
from twistream_kit.simulator.twilio import SimulatedTwilio

# A run that decides whether something lands tries the same examples each time; every other run
# looks for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# The workers, and hundreds of programs and kernels that the tests start, import the same modules;
# where Python may not keep what it compiles, each of them compiles all anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Whatever account or tunnel this machine has: no test sees it, so none calls anybody.
for _name in [*os.environ]:
    if _name.startswith(("TWILIO_", "NGROK_", "TWISTREAM_PUBLIC_URL", "TWISTREAM_CALL_TO")):
        del os.environ[_name]
os.environ["TWISTREAM_ENV_FILE"] = ""
os.environ["PATH"] = os.pathsep.join(
    place
    for place in os.environ.get("PATH", "").split(os.pathsep)
    if not shutil.which("cloudflared", path=place)
)

# A run that a shell has put into the background ignores Ctrl+C, and so would every program that
# the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENT = ("slow", "browser", "notebook", "realtime")
"""Marks of tests that take long; they begin first, so that no worker is left alone with one."""


LONGEST = "test_notebooks_by_hand.py"
"""What mostly waits, for a quarter of an hour: it begins before all others."""


def pytest_configure(config):
    """Try failed tests again, where `.ci/run` asks for it."""
    second_run.register(config)


def pytest_collection_modifyitems(items):
    """Let what takes long begin first."""

    def rank(item):
        is_patient = any(item.get_closest_marker(mark) for mark in PATIENT)
        return not is_patient, item.path.name != LONGEST

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which a single worker does not need
def pytest_xdist_make_scheduler(config, log):
    """Keep together on one worker what shares things that are costly to make.

    The mark ``xdist_group`` would do, but pytest 9.2 does not let xdist 3.8 write it down.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return Together(config, log)


def group_of(nodeid):
    """Return what a test stays together with: the browser, else its file, or one notebook of it.

    One JupyterLab and one Chromium keep a core busy; more of them only take it from each other.
    """
    path, _, name = nodeid.partition("::")
    if "/browser/" in path:
        return "browser"
    return nodeid if path.endswith("/test_notebooks.py") and "top_to_bottom" in name else path


@pytest.fixture(scope="session")
def sshd_folder(tmp_path_factory):
    """A folder whose keys all sshds of this run share."""
    return tmp_path_factory.mktemp("sshd")


@pytest.fixture
def start_sshd(sshd_folder):
    """Start real OpenSSH servers on loopback, each with settings of its own."""
    if sshd_program() is None or shutil.which("ssh") is None:
        if os.environ.get("TWISTREAM_REQUIRE_BROWSER") == "1":
            pytest.fail("OpenSSH's client and server are required here and missing")
        pytest.skip("OpenSSH's client and server are not installed")
    running = []

    def start(settings=""):
        running.append(Sshd(sshd_folder, settings))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def sshd(start_sshd):
    """One real OpenSSH server on loopback."""
    return start_sshd()


@pytest.fixture
async def twilio():
    """A simulated Twilio whose phones ring so briefly that nobody waits for them."""
    async with SimulatedTwilio(ring_seconds=0.02) as simulated:
        yield simulated


@pytest.fixture(name="eventually")
def _eventually():
    """Wait until `condition()` is true, and fail when it never is."""
    return eventually


@pytest.fixture(name="until")
def _until():
    """Wait until `condition()` is true on a thread that has no loop."""
    return until


@pytest.fixture
def unused_tcp_port():
    """A port of the loopback interface that refuses connections.

    It is kept until the end of the test, unlike that of pytest-asyncio, at which another test's
    server may listen by then.
    """
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


@pytest.fixture
def collects_nothing():
    """Switch the garbage collector off: what is freed is freed because nothing refers to it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def nothing_set(monkeypatch, tmp_path):
    """No setting in the environment, in a file ``.env``, or remembered."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("TWISTREAM_ENV_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    forget()
    yield
    forget()


@pytest.fixture
def other_loop():
    """Run coroutines on a loop that runs on another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="another loop")
    thread.start()

    async def run(coroutine):
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        return await soon(asyncio.wrap_future(future))

    run.loop = loop
    yield run
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    loop.close()
