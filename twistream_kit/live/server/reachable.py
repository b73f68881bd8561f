"""What a tunnel asks of what it leads to: a server, or an inspector before one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twistream_kit.live.calls.status import Listener


class Reachable(Protocol):
    """Something that listens on this machine, and can be given a public address.

    Attributes:
        public_url: The address at which Twilio reaches it, without the path, or None.
    """

    public_url: str | None

    @property
    def url(self) -> str:
        """The local address of its WebSocket."""

    @property
    def nonce(self) -> str:
        """What it answers to ``/health``, unlike any other process."""

    @property
    def checks_signatures(self) -> bool:
        """Whether only Twilio's streams get in."""

    def lose_public_url(self, why: str) -> None:
        """Note that the public address leads here no more; callable from any thread."""

    def follow_call(
        self, call_sid: str, listener: Listener, on_stop: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """Have `on_stop` called when it stops; return what ends that.

        Raises:
            ServerStopped: If it does not run.
        """
