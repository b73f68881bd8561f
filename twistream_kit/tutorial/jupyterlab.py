"""Start JupyterLab at the first notebook of a folder, and stay until it ends."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import socket
import subprocess
import sys
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from twistream_kit.errors import SettingsError
from twistream_kit.tutorial.folder import FIRST_NOTEBOOK

END_SECONDS = 15
"""How long JupyterLab gets to end its kernels after it was interrupted."""


def build_command(
    folder: Path,
    *,
    port: int | None = None,
    browser: str | None = None,
    open_browser: bool = True,
    allow_root: bool = False,
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command that starts JupyterLab at the first notebook of `folder`.

    Args:
        folder: The folder, which becomes JupyterLab's root.
        port: Its port, which it takes or fails; 0 for a free one; None for JupyterLab's choice.
        browser: The browser to open, by a name that `webbrowser` knows or a command.
        open_browser: Whether a browser is opened.
        allow_root: Whether it may run as root.
        options: More options of JupyterLab's; they go before ours.
    """
    ours = [
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
        "--ServerApp.answer_yes=True",  # one Ctrl-C ends it, without a question
        "--log-level=WARN",  # the address is still printed, without forty lines around it
    ]
    if port is not None:
        ours += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if browser is not None:
        ours.append(f"--ServerApp.browser={browser}")
    if not open_browser:
        ours.append("--no-browser")
    if allow_root:
        ours.append("--allow-root")
    given = {option.partition("=")[0] for option in options}
    kept = [option for option in ours if option.partition("=")[0] not in given]
    return [sys.executable, "-m", "jupyterlab", *kept, *options]


def join_command(command: Sequence[str]) -> str:
    """Return a command as it is typed into the shell of this system."""
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


def check_start(*, port: int | None, browser: str | None, allow_root: bool) -> None:
    """Refuse what JupyterLab would fail on, before it is started.

    Raises:
        SettingsError: If the port is taken, the browser is unknown, or it would run as root.
    """
    if port:
        _check_port(port)
    if browser is not None:
        try:
            webbrowser.get(browser)
        except webbrowser.Error as error:
            raise SettingsError(
                f"there is no browser {browser!r} here",
                fix="Give a name such as firefox or chromium, or a command that holds %s for the "
                "address; --no-browser opens none",
            ) from error
    if is_root() and not allow_root:
        raise SettingsError(
            "JupyterLab does not run as root unless it is allowed to",
            consequence="Anybody with its token could run any program here as root",
            fix="Run it as an ordinary user; in a container, where root is usual, say --allow-root",
        )


def is_root() -> bool:
    """Whether this process runs as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        if os.name == "posix":  # else a port in TIME_WAIT counts as taken
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise SettingsError(
                f"nothing can listen on port {port} here: {os.strerror(error.errno)}",
                fix="Give another --port, or none: JupyterLab then looks for a free one",
            ) from error


def run_jupyterlab(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run JupyterLab until it ends or is interrupted; return its exit code, 0 after Ctrl-C.

    Args:
        command: The command, of `build_command`.
        environment: Its environment; None for that of this process.
    """
    given = os.environ if environment is None else environment
    # A kernel of the user's other Python, under ~/.local, would otherwise go before this one's.
    settings = {"JUPYTER_PREFER_ENV_PATH": "1"} | dict(given)
    process = subprocess.Popen(command, env=settings)  # noqa: S603 - the command is ours
    with _end_with_this_process(process):
        try:
            return process.wait()
        except KeyboardInterrupt:
            _end(process)
            return 0


@contextmanager
def _end_with_this_process(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass SIGTERM on, so that no server stays behind; signals are set on the main thread only."""

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a JupyterLab that Ctrl-C has interrupted, as it has us, or interrupt it."""
    try:
        if os.name == "posix":  # an interrupt of this process alone has not reached it
            process.send_signal(signal.SIGINT)
        process.wait(END_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C does not wait
        process.terminate()
        process.wait(END_SECONDS)
