"""A Cloudflare quick tunnel: the program `cloudflared`, without an account, with a random name."""

from __future__ import annotations

import asyncio
import os
import re
import shutil

from twistream_kit.errors import TunnelError
from twistream_kit.live.process.process import ChildProcess
from twistream_kit.live.tunnel._provider import TunnelRequest, suggest_another_way

PROGRAM = "cloudflared"

OPEN_SECONDS = 15.0
"""The timeout for getting an address and connecting."""

# Log lines as reported in cloudflare/cloudflared issues #456, #555, #946, #972.  Error messages
# contain the address of the service itself, api.trycloudflare.com, which must not match.
_ADDRESS = re.compile(r"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com\b")
_CONNECTED = re.compile(r"Registered tunnel connection|Connection \S+ registered")
_FAILURES = (
    (
        re.compile(r"429 Too Many Requests|error code: 1015"),
        "Cloudflare gives no more quick tunnels for now (429 Too Many Requests)",
        "Wait some minutes{suggest_another_way}",
    ),
    (
        re.compile(r"dial tcp|no such host|i/o timeout|network is unreachable|failed to dial"),
        "cloudflared cannot reach Cloudflare",
        "Check the network: https to api.trycloudflare.com, and port 7844 outwards (UDP or TCP)",
    ),
    (
        re.compile(r"failed to (?:unmarshal|parse|request) quick Tunnel"),
        "Cloudflare gave no quick tunnel",
        "Try again in some minutes{suggest_another_way}",
    ),
)

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
        return f"cloudflared ended (exit code {code}): {_get_last_line(self._child.lines)}"

    async def close(self) -> None:
        """Terminate the program."""
        if self._child is not None:
            await self._child.end()

    def _build_error(self, problem: str) -> TunnelError:
        lines = self._child.lines if self._child is not None else []
        text = "\n".join(lines)
        fix = "Try again{suggest_another_way}"
        for pattern, words, remedy in _FAILURES:
            if pattern.search(text):
                problem, fix = words, remedy
                break
        return TunnelError(
            f"{problem}; its last line: {_get_last_line(lines)}",
            consequence="There is no public address",
            fix=fix.format(suggest_another_way=suggest_another_way("cloudflared")),
        )


def _get_last_line(lines: list[str]) -> str:
    return lines[-1].rstrip(".") if lines else "it said nothing"
