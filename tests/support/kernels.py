"""Older ipykernels beside the newest, for the tests that drive a kernel as a front end does.

Each is put into a folder of its own by ``pip install --no-deps --target``, about a second each,
and kept under ``.kernels/`` at the root of the repository.  ipykernel is pure Python, and its
dependencies are those of the environment.  ``python tests/support/kernels.py`` does it
ahead of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import zmq
from jupyter_client.session import Session

FOLDER = Path(__file__).resolve().parents[2] / ".kernels"

OLDER = ("6.29.5", "7.3.0")
"""The oldest that is supported: all on one thread; and one whose clicks are always on a subshell.
The newest, which is in the environment, alternates between the two."""

MISSES_REQUESTS = "7.3.0"
"""As all ipykernels from 7.0 to 7.3 it sends answers past the stream that reads requests from the
same socket, and so can miss that one has come.  It lies there, with all later ones of its
connection, until somebody connects anew [S ipykernel#1529, #1554].  See `connect_once_more`."""

LETS_THE_NEXT_REQUEST_LIE = """\
import pathlib, time, zmq
thread = get_ipython().kernel.shell_channel_thread
def look_away():
    pathlib.Path("busy").touch()
    time.sleep(2.5)  # meanwhile the request comes
    thread._shell_socket.get(zmq.EVENTS)  # as when something is sent: it takes the wake-up
thread.io_loop.add_callback(thread.io_loop.call_later, 0.5, look_away)"""
"""A cell after which such a kernel misses a request; the file `busy` says when it may be sent."""

NEWEST = "newest"
KERNELS = (*OLDER, NEWEST)


def installed(version: str) -> Path:
    """Return the folder with that version, after installing it if it is not there yet."""
    target = FOLDER / f"ipykernel-{version}"
    if target.exists():
        return target
    FOLDER.mkdir(exist_ok=True)
    # Renamed when it is complete, so that two test runs at once cannot see half of one.
    part = FOLDER / f".{target.name}.{os.getpid()}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = ["--no-deps", "--target", str(part), f"ipykernel=={version}"]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        raise RuntimeError(f"ipykernel {version} could not be installed: {done.stderr}")
    try:
        part.rename(target)
    except OSError:  # the other run was quicker
        shutil.rmtree(part)
    return target


def write_spec(version: str, specs: Path) -> str:
    """Write the kernelspec of one version into `specs`; return the kernel's name."""
    name = f"ipykernel-{version}"
    environment = {"IPYTHONDIR": str(specs / "ipython")}
    if version != NEWEST:
        others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(installed(version)), *others])
        )
    argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
    spec = {
        "argv": [*argv, "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
        "env": environment,
    }
    folder = specs / "kernels" / name
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return name


def connect_once_more(connection_file: Path | str) -> None:
    """Connect to a kernel once more, so that it reads what it has missed."""
    found = json.loads(Path(connection_file).read_text(encoding="utf-8"))
    session = Session(key=found["key"].encode(), signature_scheme=found["signature_scheme"])
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(f"{found['transport']}://{found['ip']}:{found['shell_port']}")
        session.send(socket, "kernel_info_request", {})
        socket.poll(1000)  # it may be busy


if __name__ == "__main__":
    for each in OLDER:
        installed(each)
