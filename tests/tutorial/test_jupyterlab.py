"""How JupyterLab is started and ended; a small program stands in for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from twistream_kit.errors import SettingsError
from twistream_kit.tutorial import jupyterlab
from twistream_kit.tutorial.jupyterlab import (
    build_command,
    check_start,
    join_command,
    run_jupyterlab,
)

STAYS = """
import signal, sys, time
def end(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C comes twice
    print("ended by", signal.Signals(number).name, flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    signal.pause()
"""
"""What stands in for JupyterLab until it is interrupted."""

STARTS = """
import sys
from twistream_kit.tutorial.jupyterlab import run_jupyterlab
print("code", run_jupyterlab([sys.executable, "-c", sys.argv[1]]), flush=True)
"""


def options_of(command):
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    return command[3:]


def test_the_command_opens_the_tutorial_in_the_folder():
    options = options_of(build_command(Path("/a folder")))
    assert f"--ServerApp.root_dir={Path('/a folder')}" in options
    assert "--LabApp.default_url=/lab/tree/notebooks/tutorial.ipynb" in options
    assert not any(
        option.startswith(("--no-browser", "--allow-root", "--ServerApp.port"))
        for option in options
    )


def test_port_browser_and_root_become_options_of_jupyterlab():
    options = options_of(
        build_command(Path("f"), port=9000, browser="firefox", open_browser=False, allow_root=True)
    )
    assert "--ServerApp.port=9000" in options
    assert "--ServerApp.port_retries=0" in options
    assert "--ServerApp.browser=firefox" in options
    assert "--no-browser" in options
    assert "--allow-root" in options


def test_an_option_that_is_given_takes_the_place_of_ours():
    # JupyterLab refuses an option that is given twice.
    given = ["--log-level=INFO", "--ServerApp.root_dir=/elsewhere"]
    options = options_of(build_command(Path("f"), options=given))
    assert options[-2:] == given
    assert sum(option.startswith("--log-level") for option in options) == 1
    assert sum(option.startswith("--ServerApp.root_dir") for option in options) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows quotes otherwise")
def test_a_printed_command_can_be_typed():
    command = build_command(Path("/a folder"))
    echoed = subprocess.run(
        ["/bin/sh", "-c", f'printf "%s\\n" {join_command(command)}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert echoed.stdout.splitlines() == command


@pytest.fixture
def ordinary_user(monkeypatch):
    monkeypatch.setattr(jupyterlab, "is_root", lambda: False)


def test_a_port_in_use_is_refused_before_jupyterlab_starts(ordinary_user):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"nothing can listen on port {port}") as caught:
            check_start(port=port, browser=None, allow_root=False)
    assert caught.value.fix == "Give another --port, or none: JupyterLab then looks for a free one"
    check_start(port=0, browser=None, allow_root=False)


def test_an_unknown_browser_is_refused(ordinary_user):
    with pytest.raises(SettingsError, match="no browser 'netscape-of-old' here"):
        check_start(port=None, browser="netscape-of-old", allow_root=False)


def test_root_is_refused_unless_it_is_allowed(monkeypatch):
    monkeypatch.setattr(jupyterlab, "is_root", lambda: True)
    with pytest.raises(SettingsError, match="does not run as root") as caught:
        check_start(port=None, browser=None, allow_root=False)
    assert "--allow-root" in caught.value.fix
    check_start(port=None, browser=None, allow_root=True)


def test_the_exit_code_of_jupyterlab_is_returned():
    assert run_jupyterlab([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@pytest.mark.parametrize(("set_before", "seen"), [(None, "1"), ("0", "0")])
def test_the_kernel_of_this_environment_goes_first_unless_set_otherwise(tmp_path, set_before, seen):
    variable = "JUPYTER_PREFER_ENV_PATH"
    environment = {name: text for name, text in os.environ.items() if name != variable}
    if set_before is not None:
        environment[variable] = set_before
    file = tmp_path / "seen"
    program = f"import os; open({str(file)!r}, 'w').write(os.environ[{variable!r}])"
    assert run_jupyterlab([sys.executable, "-c", program], environment) == 0
    assert file.read_text() == seen


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals to one process")
@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
    ids=["Ctrl-C in a terminal", "SIGINT to one process", "SIGTERM to one process"],
)
def test_a_signal_ends_jupyterlab_too(number, whole_group):
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, STAYS],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as starter:
        assert starter.stdout.readline() == "ready\n"
        if whole_group:
            os.killpg(starter.pid, number)
        else:
            starter.send_signal(number)
        output, _ = starter.communicate(timeout=30)
    assert output.splitlines() == [f"ended by {number.name}", "code 0"]
    assert starter.returncode == 0
