"""What of each tunnel provider is set up on this machine, without opening one."""

from __future__ import annotations

from dataclasses import dataclass

from twistream_kit.live.settings.settings import Settings
from twistream_kit.live.tunnel._table import list_rows


@dataclass(frozen=True, slots=True)
class TunnelSetUp:
    """What is set up of one provider.

    Attributes:
        name: The name that `open_tunnel` takes.
        way: Its name in a sentence: a program or a setting.
        variable: The environment variable that it needs; empty if it needs none.
        source: Where that variable is set; empty if it is not.
        is_installed: Whether its program or package is there; None if it needs none.
        not_installed: The sentence for one that is not.
        install: The remedy for that.
        usage: A call with the arguments that it needs; empty if it needs none.
        instructions: How to set it up for ``"auto"``; empty if ``"auto"`` never chooses it.
    """

    name: str
    way: str
    variable: str
    source: str
    is_installed: bool | None
    not_installed: str
    install: str
    usage: str
    instructions: str

    @property
    def is_usable(self) -> bool:
        """Whether what it needs is set and installed."""
        return bool(self.source or not self.variable) and self.is_installed is not False


def list_set_ups(settings: Settings) -> list[TunnelSetUp]:
    """Return what is set up of each provider, in the order in which ``"auto"`` tries them."""
    return [
        TunnelSetUp(
            row.name,
            row.way or row.name,
            row.variable,
            (settings.source(row.setting) if row.setting else None) or "",
            None if row.is_installed is None else row.can_run(),
            row.not_installed,
            row.install,
            row.usage,
            row.set_up,
        )
        for row in list_rows()
    ]
