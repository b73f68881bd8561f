"""The guard of a child process: ends a program when the process that started it has exited.

Run as a script, with nothing but the standard library:

    python _guard.py PARENT_PID PROGRAM ARGUMENT…

It starts the program in its own process group and holds the reading end of a pipe.  The pipe is
closed when the parent closes it, and also when the parent is killed, in which case no ``atexit``
hook runs.  Then the group gets SIGTERM, and SIGKILL after `GRACE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 1.5
"""The time that a program gets to exit after SIGTERM."""

CANNOT_START = 127
"""The shell's exit code for a program that cannot be started."""


def main(parent: int, command: list[str]) -> int:
    """Run `command` until it ends, or until the parent has exited; return its exit code."""
    # A handler, unlike SIG_IGN, is not inherited by the program.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - no shell
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return CANNOT_START
    threading.Thread(target=_end_when_released, args=(child,), daemon=True).start()
    while True:
        try:
            code = child.wait(1)
            break
        except subprocess.TimeoutExpired:
            # A fork of the parent may hold the pipe open after the parent has exited.
            if os.name != "nt" and os.getppid() != parent:
                _end(child)
    _signal_group(signal.SIGTERM)
    return code if code >= 0 else 128 - code


def _end_when_released(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 64):
        pass
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":
        child.terminate()
    _signal_group(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    child.kill()
    if os.name != "nt":
        _signal_group(signal.SIGKILL)  # this process is in the group, too, and ends here


def _signal_group(number: int) -> None:
    # Only if the group is our own, and not that of a shell or a kernel.
    if os.name != "nt" and os.getpgrp() == os.getpid():
        os.killpg(0, number)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
