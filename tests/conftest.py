"""What all tests share."""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# A run that decides whether something lands tries the same examples each time; every other run
# looks for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

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


@pytest.fixture(scope="session")
def sshd_folder(tmp_path_factory):
    """A folder whose keys all sshds of this run share."""
    return tmp_path_factory.mktemp("sshd")


@pytest.fixture
def sshd(sshd_folder):
    """A real OpenSSH server on loopback; called with more settings, another one."""
    names = runpy.run_path(str(Path(__file__).parent / "live" / "sshd.py"))
    if names["program"]() is None or shutil.which("ssh") is None:
        if os.environ.get("TWISTREAM_REQUIRE_BROWSER") == "1":
            pytest.fail("OpenSSH's client and server are required here and missing")
        pytest.skip("OpenSSH's client and server are not installed")
    running = []

    def start(settings=""):
        running.append(names["Sshd"](sshd_folder, settings))
        return running[-1]

    yield start
    for server in running:
        server.stop()
