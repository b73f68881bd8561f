"""A Cloudflare quick tunnel: the program `cloudflared`, without an account, with a random name."""

from __future__ import annotations

import asyncio
import os
import re
import shutil

from twistream_kit.errors import TunnelError
from twistream_kit.live.process.process import ChildProcess
from twistream_kit.live.tunnel._failures import (
    CANNOT_CONNECT,
    CANNOT_RUN,
    ProgramFailure,
    build_error,
    quote_lines,
)
from twistream_kit.live.tunnel._provider import TunnelRequest, suggest_another_way

PROGRAM = "cloudflared"

OPEN_SECONDS = 15.0
"""The timeout for getting an address and connecting."""

LOOKUP_SECONDS = 10.0
"""How long a new name may be missing in the DNS.  Users report of names that were looked up at once
that they did not resolve for half an hour, and of those looked up after 12 s that they did."""

# Log lines as reported in cloudflare/cloudflared issues #456, #555, #946, #972.  Error messages
# contain the address of the service itself, api.trycloudflare.com, which must not match.
_ADDRESS = re.compile(r"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com\b")
_CONNECTED = re.compile(r"Registered tunnel connection|Connection \S+ registered")
_FAILURES = (
    *CANNOT_RUN,
    ProgramFailure(
        r"429 Too Many Requests|error code: 1015|status_code=\"?429",
        "Cloudflare gives no more quick tunnels for now to this network's address (429 Too Many "
        "Requests, its error 1015)",
        "Wait some minutes, then open it again{another_way}",
    ),
    *CANNOT_CONNECT,
    ProgramFailure(
        r"flag provided but not defined|incorrect usage|unknown (flag|command)",
        "this cloudflared does not know an option that is given to it: it is too old",
        "Install a newer one (github.com/cloudflare/cloudflared). Trying again does not help",
    ),
    ProgramFailure(
        r"status_code=\"?5\d\d|error code: (1101|5\d\d)|50[0234] (internal|bad|service|gateway)",
        "Cloudflare's service for quick tunnels fails at the moment",
        "See www.cloudflarestatus.com, and try again in some minutes{another_way}",
    ),
    ProgramFailure(
        r"with quic|no recent network activity|handshake did not complete|quic connection"
        r"|failed to dial|edge.{0,60}(i/o timeout|refused|unreachable)|:7844",
        "cloudflared cannot reach Cloudflare on port 7844: a firewall blocks it, mostly UDP (QUIC)",
        "Let it use TCP: set TUNNEL_TRANSPORT_PROTOCOL=http2; or open port 7844 outwards (UDP or "
        "TCP) in the firewall{another_way}",
    ),
    ProgramFailure(
        r"looking for beginning of value|failed to (unmarshal|parse) quick Tunnel",
        "something other than Cloudflare's service answered cloudflared, or the service fails: a "
        "login page of the network, a proxy, a filter",
        "Open any page in a browser and look whether this network asks for a login; else try again "
        "in some minutes{another_way}",
    ),
    ProgramFailure(
        r"dial tcp|i/o timeout|network is unreachable|no route to host|connection re(fused|set)"
        r"|deadline exceeded|Client\.Timeout",
        "cloudflared cannot reach Cloudflare",
        "Check the network: https to api.trycloudflare.com, and port 7844 outwards (UDP or TCP)",
    ),
)

_UNKNOWN = ProgramFailure("", "{problem}", "Try again{another_way}")

# Others, such as TUNNEL_TOKEN and TUNNEL_URL, would make it open another tunnel.
_OPTIONS = (
    "TUNNEL_EDGE_BIND_ADDRESS", "TUNNEL_EDGE_IP_VERSION", "TUNNEL_REGION",
    "TUNNEL_TRANSPORT_PROTOCOL",
)  # fmt: skip


def is_installed() -> bool:
    """Whether `cloudflared` is on the PATH."""
    return shutil.which(PROGRAM) is not None


def make(request: TunnelRequest) -> CloudflaredTunnel:  # noqa: ARG001 - it has no arguments
    """Make a quick tunnel, not opened yet."""
    return CloudflaredTunnel()


class CloudflaredTunnel:
    """A quick tunnel, ``https://some-words.trycloudflare.com``.

    Args:
        open_seconds: The timeout for getting an address and connecting.
    """

    name = "cloudflared"
    settles_within = 20.0
    lookup_after = LOOKUP_SECONDS

    def __init__(self, *, open_seconds: float = OPEN_SECONDS) -> None:
        self._open_seconds = open_seconds
        self._child: ChildProcess | None = None

    async def open(self, origin: str) -> str:
        """Start the program, wait for its address and for its connection."""
        program = shutil.which(PROGRAM)
        if program is None:
            raise TunnelError(
                "cloudflared is not on the PATH",
                fix="Install it (one program: github.com/cloudflare/cloudflared)"
                + suggest_another_way("cloudflared"),
            )
        # A config.yml in the default places would override --url; an empty file does not.
        command = [program, "tunnel", "--config", os.devnull, "--no-autoupdate"]
        child = self._child = ChildProcess(
            [*command, "--url", f"http://{origin}"],
            environment={name: os.environ.get(name) for name in _OPTIONS},
        )
        await child.start()
        try:
            async with asyncio.timeout(self._open_seconds):
                address = await child.find(_ADDRESS)
                connected = await child.find(_CONNECTED)
        except TimeoutError:
            raise self._build_error(
                f"cloudflared was not ready within {self._open_seconds:g} s"
            ) from None
        if address is None or connected is None:
            raise self._build_error("cloudflared ended before it was ready")
        return address[0]

    async def wait_closed(self) -> str:
        """Wait until the program exits; return its exit code and its last line."""
        if self._child is None:
            return "cloudflared was not started"
        code = await self._child.exited
        said = quote_lines(self._child.lines) or "it said nothing"
        return f"cloudflared ended (exit code {code}): {said}"

    async def close(self) -> None:
        """Terminate the program."""
        if self._child is not None:
            await self._child.end()

    def _build_error(self, problem: str) -> TunnelError:
        return build_error(
            self._child.lines if self._child is not None else [],
            _FAILURES,
            unknown=_UNKNOWN,
            problem=problem,
            program=PROGRAM,
            path=shutil.which(PROGRAM) or PROGRAM,
            another_way=suggest_another_way("cloudflared"),
        )
