"""The options of ``twistream load`` for calls over a long time, and what they forbid."""

from __future__ import annotations

import argparse
import math

from twistream_kit.errors import SettingsError

SOAK_LIMITS = {
    "max_memory_growth": ("memory_mb_per_hour", "MB", "memory grows by more MB an hour"),
    "max_descriptor_growth": ("descriptors_per_hour", "N", "more descriptors are left an hour"),
    "max_thread_growth": ("threads_per_hour", "N", "more threads are left an hour"),
}
"""The options that are limits of growth, as those of a load."""


def add_soak_options(load: argparse.ArgumentParser) -> None:
    """Add them, as a group of their own."""
    soak = load.add_argument_group(
        "for a long time",
        "With --minutes the calls come in waves; between two of them, when no call is\n"
        "under way, the process of the server is read: what it keeps shows in that.",
    )
    soak.add_argument(
        "--minutes", type=float, metavar="M", help="make waves of calls for so many minutes"
    )
    soak.add_argument(
        "--pid",
        type=int,
        metavar="N",
        help="say whether this process, the server's, grows: memory, descriptors, threads; fail "
        "if one does for certain",
    )
    soak.add_argument(
        "--faults",
        action="store_true",
        help="break streams beside the calls, in the ways of twistream faults, over and over",
    )
    soak.add_argument(
        "--fault-scale",
        type=float,
        metavar="X",
        help="multiply how long faults last with this; 1 if left out, less for calls below 30 s",
    )
    soak.add_argument(
        "--rest",
        type=float,
        metavar="S",
        help="let the server rest for so many seconds after each wave; 2 if left out",
    )
    for option, (_, unit, what) in SOAK_LIMITS.items():
        soak.add_argument(
            f"--{option.replace('_', '-')}",
            type=_parse_growth,
            metavar=unit,
            help=f"fail if {what}, or if the run is too short to tell",
        )


def _parse_growth(text: str) -> float:
    try:
        growth = float(text)
    except ValueError:
        growth = math.nan
    if not 0 < growth < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no growth: give a number above 0")
    return growth


def refuse_soak_options(arguments: argparse.Namespace) -> None:
    """Refuse what has no meaning without a length of time.

    Raises:
        SettingsError: If such an option is given.
    """
    for option in ("pid", "faults", "fault_scale", "rest", *SOAK_LIMITS):
        if getattr(arguments, option) not in (None, False):
            raise SettingsError(
                f"--{option.replace('_', '-')} is for calls over a long time",
                fix="Say how long with --minutes, such as --minutes 60, or leave it out",
            )
