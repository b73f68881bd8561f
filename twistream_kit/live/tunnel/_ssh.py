"""Remote port forwarding (``ssh -R``): the port of a public host or a service leads here."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Sequence

from twistream_kit.errors import SettingsError, TunnelError, WrongValue
from twistream_kit.live.process.process import ChildProcess
from twistream_kit.live.tunnel._failures import CANNOT_RUN, ProgramFailure, build_error, quote_lines
from twistream_kit.live.tunnel._provider import TunnelRequest, check_url, suggest_another_way

OPEN_SECONDS = 15.0
"""The timeout for logging in and forwarding."""

REMOTE_PORT = 8080
"""The default port of the host, to which its own proxy forwards."""

SERVICE_PORT = 80
"""The remote port that services such as localhost.run require."""

# ssh reports that a fixed port is forwarded only in its verbose output (-v).
_CHATTER = re.compile(
    r"^(?:debug\d: |OpenSSH_|Authenticated to |Allocated port |Transferred: |Bytes per second: )"
)
_FORWARDED = re.compile(r"remote forward success for: listen")
_ALLOCATED = re.compile(r"Allocated port (\d+) for remote forward")
# localhost.run; serveo.net; pinggy.io, which prints the bare address.
_ADDRESS = re.compile(
    r"(?:tunneled with tls termination, |Forwarding HTTP traffic from |^\s*)"
    r"(https://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)/?\s*$"
)
_FAILURES = (
    *CANNOT_RUN,
    ProgramFailure(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "{host} shows another host key than before: it was set up anew, or another machine answers",
        "Find out why before you continue; then `ssh-keygen -R {bare_host}` removes the old key",
    ),
    ProgramFailure(
        r"Host key verification failed|host key is known for",
        "the host key of {host} is not known here",
        "Connect once with `ssh {host}` in a terminal and compare the key",
    ),
    ProgramFailure(
        r"UNPROTECTED PRIVATE KEY|bad permissions",
        "ssh does not use the private key, since other users may read it",
        "Take their rights away: chmod 600 path/to/key",
    ),
    ProgramFailure(
        r"Too many authentication failures",
        "{host} refuses the login after too many keys were tried",
        "Name the one key: ssh_options=('-i', 'path/to/key', '-o', 'IdentitiesOnly=yes')",
    ),
    ProgramFailure(
        r"Load key .*(invalid format|error in libcrypto|passphrase)|agent refused operation",
        "ssh cannot use the private key: it has another form, or its passphrase is not known here",
        "Add the key to the agent, which asks for its passphrase: ssh-add path/to/key",
    ),
    ProgramFailure(
        r"Permission denied",
        "{host} refuses the login",
        "Add the key with ssh-add, or name it: ssh_options=('-i', 'path/to/key'); its public half "
        "belongs into authorized_keys of that user at the host",
    ),
    ProgramFailure(
        r"Could not resolve hostname",
        "the name {bare_host} is not known",
        "Check the spelling and the network",
    ),
    ProgramFailure(
        r"remote port forwarding failed|administratively prohibited|forwarding is disabled",
        "{host} does not forward its port {port}",
        "It is in use, or the host allows no forwarding (AllowTcpForwarding in its sshd_config): "
        "try another remote_port, or 0 for any",
    ),
    ProgramFailure(
        r"Unable to negotiate|no matching (host key|key \w+|cipher|MAC)",
        "this ssh and {host} have no algorithm in common: one of them is much older",
        "Update it, or allow the one that ssh names in ssh_options=('-o', …)",
    ),
    ProgramFailure(
        r"Bad configuration option|Bad owner or permissions|Unsupported option|unknown option"
        r"|illegal option|Bad remote forwarding",
        "ssh does not take its options, or its configuration file",
        "Correct ssh_options, or the file that ssh names",
    ),
    ProgramFailure(
        r"Connection refused",
        "{host} does not answer: nothing listens on that port there",
        "Check the name and the port (ssh_options=('-p', '2222')), and that its sshd runs",
    ),
    ProgramFailure(
        r"kex_\w+_identification|Connection (closed|reset)|banner \w+:",
        "{host} closed the connection before the login: it takes no more, blocks this address, or "
        "is no ssh server",
        "Check the port (ssh_options=('-p', '2222')), and the host's limits and its log",
    ),
    ProgramFailure(
        r"timed out|No route to host|Network is unreachable",
        "{host} does not answer",
        "Check the name, the port (ssh_options=('-p', '2222')) and the network",
    ),
)
_UNKNOWN = ProgramFailure("", "{problem}", "Try `ssh {host}` in a terminal")
_LARGEST_CODE_OF_A_SIGNAL = 128 + 64


NOT_INSTALLED = "there is no program ssh on the PATH"


def is_installed() -> bool:
    """Whether the OpenSSH client is on the PATH."""
    return shutil.which("ssh") is not None


def make(request: TunnelRequest) -> SshTunnel:
    """Make a forward through the requested host, not opened yet.

    Raises:
        SettingsError: If the host is missing, or cannot be used.
    """
    if not request.ssh:
        raise SettingsError("a tunnel by ssh needs its host", fix="Say ssh='user@host'")
    return SshTunnel(
        request.ssh,
        url=request.url,
        remote_port=request.remote_port,
        options=request.ssh_options,
    )


class SshTunnel:
    """Remote port forwarding by the OpenSSH client.

    Args:
        host: ``user@host``, or a name from ``~/.ssh/config``.
        url: The public address of the host's proxy, ``https://example.com``; ``{port}`` in it is
            replaced by the port that the host chose.  None for a service that prints its address.
        remote_port: The port on the host; 0 lets the host choose.
        options: More arguments for ssh, such as ``("-p", "2222", "-i", "key")``; they precede the
            arguments of this class and take precedence.
        open_seconds: The timeout for logging in and forwarding.

    Raises:
        SettingsError: If `host` or `url` cannot be used.
    """

    name = "ssh"
    settles_within = 10.0
    lookup_after = 0.0

    def __init__(
        self,
        host: str,
        *,
        url: str | None = None,
        remote_port: int | None = None,
        options: Sequence[str] = (),
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        _check_host(host)
        if remote_port is None:
            remote_port = SERVICE_PORT if url is None else 0 if "{port}" in url else REMOTE_PORT
        if not 0 <= remote_port <= 65535:
            raise WrongValue(f"remote_port is {remote_port}; it is from 1 to 65535, or 0")
        if url is not None:
            check_url(url.replace("{port}", "1"))
        self._host, self._url, self._port = host, url, remote_port
        self._options, self._open_seconds = list(options), open_seconds
        self._child: ChildProcess | None = None

    async def open(self, origin: str) -> str:
        """Log in, forward the port, and find the public address."""
        child = self._child = ChildProcess(self._build_command(origin), noise=_CHATTER)
        await child.start()
        try:
            async with asyncio.timeout(self._open_seconds):
                address = await self._find_address(child)
        except TimeoutError:
            silence = f"ssh {self._host} was not ready within {self._open_seconds:g} s"
            raise self._build_error(silence) from None
        if address is None:
            raise self._build_error(f"ssh {self._host} ended before it was ready")
        return address.rstrip("/")

    async def wait_closed(self) -> str:
        """Wait until ssh exits; return its exit code and its last line."""
        if self._child is None:
            return "ssh was not started"
        code = await self._child.exited
        how = (
            f"was killed (signal {code - 128})"
            if 128 < code <= _LARGEST_CODE_OF_A_SIGNAL
            else f"ended (exit code {code})"
        )
        lines = self._child.lines
        return f"ssh {self._host} {how}" + (f": {quote_lines(lines)}" if lines else "")

    async def close(self) -> None:
        """Terminate ssh."""
        if self._child is not None:
            await self._child.end()

    async def _find_address(self, child: ChildProcess) -> str | None:
        if self._url is None:
            printed = await child.find(_ADDRESS)
            return printed and printed[1]
        forwarded = await child.find(_FORWARDED if self._port else _ALLOCATED)
        return forwarded and self._url.replace("{port}", str(self._port or forwarded[1]))

    def _build_command(self, origin: str) -> list[str]:
        program = shutil.which("ssh")
        if program is None:
            raise TunnelError(
                NOT_INSTALLED,
                fix="Install OpenSSH's client" + suggest_another_way("ssh"),
            )
        ours = [
            "BatchMode=yes",  # never prompt: the user would not see the prompt
            "ConnectTimeout=10",
            "ControlPath=none",  # a shared connection would keep the forward open after ssh exits
            "ExitOnForwardFailure=yes",
            "ServerAliveCountMax=3",
            "ServerAliveInterval=5",
        ]
        # A service prints its address in a session, which -N would not open.
        session = ["-T"] if self._url is None else ["-T", "-N"]
        forward = ["-v", "-R", f"{self._port}:{origin}"]
        options = [part for option in ours for part in ("-o", option)]
        return [program, *self._options, *session, *options, *forward, "--", self._host]

    def _build_error(self, problem: str) -> TunnelError:
        return build_error(
            self._child.lines if self._child is not None else [],
            _FAILURES,
            unknown=_UNKNOWN,
            problem=problem,
            program="ssh",
            path=shutil.which("ssh") or "ssh",
            host=self._host,
            bare_host=self._host.rpartition("@")[2],
            port=self._port,
        )


def _check_host(host: str) -> None:
    # ssh would read a host that begins with a dash as an option, and some options run a program.
    if host and not host.startswith("-") and host.isprintable() and " " not in host:
        return
    raise SettingsError(
        f"ssh={host!r} is not the name of a host",
        consequence="ssh would read it as something else",
        fix="Say ssh='user@host'",
    )
