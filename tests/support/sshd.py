"""A real sshd on loopback: own port, own keys, one user, and none of this machine's settings."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

import psutil

from twistream_kit.live.tunnel.tunnel import open_tunnel

START_SECONDS = 10


def sshd_program():
    """The path of sshd, which must be absolute because it starts itself again; None if missing."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Sshd:
    """It runs from the constructor on until `stop`.

    Args:
        folder: For keys and settings.
        settings: More lines for sshd_config; the first of a kind wins.
    """

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.key, self.port = folder / "client", _free_port()
        for name in ("client", "stranger", "host"):
            if not (folder / name).exists():
                _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        shutil.copy(folder / "client.pub", folder / "authorized_keys")
        host_key = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        config = folder / "sshd_config"
        config.write_text(
            settings
            + f"""
            Port {self.port}
            AddressFamily inet
            ListenAddress 127.0.0.1
            HostKey {folder / "host"}
            AuthorizedKeysFile {folder / "authorized_keys"}
            PidFile none
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            AllowTcpForwarding yes
            """
        )
        self._folder = folder
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # a root sshd wants it
        self._process = subprocess.Popen(
            [sshd_program(), "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for line in self._process.stderr:
            if "Server listening" in line:
                return
        raise RuntimeError(f"sshd ended with {self._process.wait(START_SECONDS)}: {line}")

    @property
    def host(self) -> str:
        """``user@127.0.0.1``."""
        return f"{getpass.getuser()}@127.0.0.1"

    def options(self, key: str = "client", known_hosts: str = "known_hosts") -> tuple[str, ...]:
        """What a client needs: the port, the keys, and nothing of the user's own settings."""
        return (
            "-F", "none", "-p", str(self.port), "-i", str(self._folder / key),
            "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
            "-o", f"UserKnownHostsFile={self._folder / known_hosts}",
            "-o", "GlobalKnownHostsFile=none",
        )  # fmt: skip

    def drop_connections(self) -> None:
        """Kill the processes that serve connections, as a reboot of the host does."""
        for child in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def stop(self) -> None:
        """Kill it and what it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.drop_connections()
        self._process.kill()
        self._process.wait(START_SECONDS)
        self._process.stderr.close()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=START_SECONDS)


def ssh_tunnel(server, host: Sshd, url: str = "http://127.0.0.1:{port}", **options):
    """Return a tunnel of the kit's to `server`, from a port of its choice unless one is given."""
    options.setdefault("ssh_options", host.options())
    return open_tunnel(server, "ssh", ssh=host.host, url=url, **options)


def ssh_clients() -> list[psutil.Process]:
    """The ssh clients that this process started, by way of their guards."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == "ssh":
                found.append(child)
    return found


def kill_ssh() -> None:
    """Kill these clients, as a machine that is out of memory does."""
    for client in ssh_clients():
        with contextlib.suppress(psutil.NoSuchProcess):
            client.kill()


def is_refused(port: int) -> bool:
    """Whether nobody listens at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
