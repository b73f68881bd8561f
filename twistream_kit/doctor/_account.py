"""The account and the ways to a public address, which only a real call needs.

Names and sources of settings are shown, and never a value.  Nothing is contacted, so whether an
account or an address works is not known here: `kit.preflight` finds that out.
"""

from __future__ import annotations

import os
from pathlib import Path

from twistream_kit.doctor.condition import Condition
from twistream_kit.errors import SettingsError
from twistream_kit.live.settings.schema import find_setting
from twistream_kit.live.settings.settings import FILE_VARIABLE, NEEDED, settings
from twistream_kit.live.tunnel.set_up import TunnelSetUp, list_set_ups

_ONLY_REAL_CALLS = "Calls through the simulator need none; real calls need"


def examine_account() -> list[Condition]:
    """Look which settings of a real call are set, and where."""
    file = _describe_file()
    try:
        found = settings()
    except SettingsError as error:
        return [Condition("account", "error", error.problem, error.consequence, error.fix)]
    present = [name for name in NEEDED if found.get(name) is not None]
    if not present:
        return [
            Condition(
                "account",
                "note",
                f"no setting of a Twilio account is set; {file}",
                f"{_ONLY_REAL_CALLS} an account",
                "For real calls copy .env.example to .env, in the folder of the tutorial, and fill "
                "it in",
            )
        ]
    shown = ", ".join(f"{find_setting(name).variable} ({found.source(name)})" for name in present)
    if found.ready:
        return [Condition("account", "ok", f"all that a real call needs is set: {shown}; {file}")]
    first = find_setting(found.missing[0])
    return [
        Condition(
            "account",
            "warning",
            f"set: {shown}; missing: {', '.join(found.missing)}; {file}",
            first.if_missing,
            "Set it in the environment or in the file .env; kit.preflight then tries the account",
        )
    ]


def _describe_file() -> str:
    """Return whether a file ``.env`` is read here, and which."""
    named = os.environ.get(FILE_VARIABLE)
    if named == "":
        return f"{FILE_VARIABLE} is empty, so no file .env is read"
    if named is not None:
        there = "is there" if Path(named).is_file() else "is not there"
        return f"{named}, named by {FILE_VARIABLE}, {there}"
    from dotenv import find_dotenv

    path = find_dotenv(usecwd=True)
    return f"{path} is read" if path else f"there is no file .env in {Path.cwd()} or above"


def examine_tunnels() -> list[Condition]:
    """Look which ways to a public address are set up, and which one would be taken."""
    try:
        found = settings()
    except SettingsError:
        return []  # said of the account
    ways = list_set_ups(found)
    automatic = [way for way in ways if way.instructions]
    usable = [way for way in automatic if way.is_usable]
    if usable:
        summary = Condition("public address", "ok", f"open_tunnel(server) takes {usable[0].way}")
    else:
        instructions = ", or ".join(way.instructions for way in automatic)
        summary = Condition(
            "public address",
            "note",
            "none is set up",
            f"{_ONLY_REAL_CALLS} one",
            f"For real calls {instructions}",
        )
    return [summary, *map(_describe_way, ways)]


def _describe_way(way: TunnelSetUp) -> Condition:
    name, parts = f"tunnel {way.name}", []
    if way.is_installed is not None:
        parts.append("installed" if way.is_installed else way.not_installed)
    if way.variable:
        parts.append(f"{way.variable} is {f'set ({way.source})' if way.source else 'not set'}")
    if way.usage and way.is_usable:
        parts.append(f"used as {way.usage}")
    detail = ", and ".join(parts)
    if way.source and way.is_installed is False:
        return Condition(name, "warning", detail, "It is set, and cannot be used", way.install)
    return Condition(name, "ok" if way.is_usable else "note", detail)
