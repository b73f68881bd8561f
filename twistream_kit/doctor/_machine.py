"""The machine itself: loopback, JupyterLab's port, and ffmpeg."""

from __future__ import annotations

import os
import shutil
import socket
from ipaddress import ip_address

from twistream_kit.doctor.condition import Condition

JUPYTER_PORT = 8888
"""The port that JupyterLab takes unless another is given."""

_CONNECT_SECONDS = 5.0


def examine_loopback() -> list[Condition]:
    """Look whether servers can listen on 127.0.0.1, be reached there, and be named localhost."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            with socket.create_connection(address, _CONNECT_SECONDS):
                pass
    except OSError as error:
        return [
            Condition(
                "loopback",
                "error",
                f"no connection to 127.0.0.1 can be made: {os.strerror(error.errno or 0)}",
                "The simulator, the servers and JupyterLab all use it, so no call is possible",
                "Look at the firewall or the sandbox of this machine, which has to allow it",
            )
        ]
    if not _is_localhost_here():
        return [
            Condition(
                "loopback",
                "warning",
                "127.0.0.1 works, but localhost is not this machine",
                "An address with localhost, as JupyterLab prints one, may lead nowhere",
                "Write 127.0.0.1 in its place, or 127.0.0.1 localhost into the file hosts",
            )
        ]
    return [Condition("loopback", "ok", "127.0.0.1 and localhost lead here")]


def _is_localhost_here() -> bool:
    try:
        found = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ip_address(str(entry[4][0])).is_loopback for entry in found)


def examine_port() -> list[Condition]:
    """Look whether JupyterLab's port is free."""
    name = f"port {JUPYTER_PORT}"
    with socket.socket() as probe:
        if os.name == "posix":  # else a port in TIME_WAIT counts as taken
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", JUPYTER_PORT))
        except OSError:
            return [
                Condition(
                    name,
                    "note",
                    "in use, perhaps by a JupyterLab that runs already",
                    "JupyterLab takes the next free one; the kit's servers take free ones anyway",
                )
            ]
    return [Condition(name, "ok", "free for JupyterLab; the kit's servers take free ones")]


def examine_ffmpeg() -> list[Condition]:
    """Look for ffmpeg, which converts the files that the kit does not read."""
    found = shutil.which("ffmpeg")
    if found:
        return [Condition("ffmpeg", "ok", f"{found}, for M4A and other files to be converted with")]
    return [
        Condition(
            "ffmpeg",
            "note",
            "is not on the PATH",
            "M4A, WebM and AMR files cannot be converted here; WAV, MP3, OGG, FLAC and AIFF need "
            "no conversion",
            "If you have such files, install ffmpeg (ffmpeg.org, or your system's packages)",
        )
    ]
