"""Servers and texts of calls, from which whatever depends on the clock is taken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from common import hashed, objections

import twistream_kit as kit

TONE = kit.Clip.tone(440, 0.2)
MOST_SECONDS = 120.0
"""The longest wait for anything here; nothing takes more than a second or two."""

_EITHER = "1000 or 1005"
_DEPENDS_ON_TIMING = "by a clock and not by sleeps"


def report_text(report: kit.CallReport) -> str:
    """Return what a report says, without its measurements."""
    data = report.to_dict()
    chosen = {
        name: data[name]
        for name in (
            "url",
            "stream_sid",
            "ending",
            "close_code",
            "error_code",
            "received",
            "marks_received",
            "marks_returned",
            "debugger",
        )
    }
    chosen["sent"] = {kind: n for kind, n in sorted(data["sent"].items()) if kind != "media"}
    if data["ending"] == "stopped":
        chosen["close_code"] = _EITHER  # at a stop either side may be the first to close
    lines = [f"{name}: {value}" for name, value in chosen.items()]
    lines += [f"keys of to_dict: {list(data)}", f"heard, without silence: {sound(report.heard)}"]
    lines += [f"{times} ×" for found, times in report.objections.items() if _is_steady(found)]
    lines.append(calm(objections(filter(_is_steady, report.objections))))
    lines += ["--- repr", calm(repr(report)), "--- capture", *passed(report.capture)]
    return "\n".join(lines)


def _is_steady(objection: Any) -> bool:
    return _DEPENDS_ON_TIMING not in objection.fix


def sound(clip: kit.Clip) -> str:
    """Return the hash of what is no silence; how much silence there is depends on the machine."""
    frames = [frame for frame in clip.frames() if set(frame) - {0xFF, 0x7F}]
    return hashed(b"".join(frames))


def calm(text: str) -> str:
    """Return a text about a call without what was measured in it."""
    lines = [
        re.sub(r"\bmedia \d+", "media N", line)
        for line in text.splitlines()
        if _DEPENDS_ON_TIMING not in line
    ]
    text = "\n".join(lines)
    text = re.sub(r"(?m)^(  (?:sent|received) +)(.*)$", _in_order, text)
    text = re.sub(r"\b\d+\.\d of (?=\d+\.\d s\b)", "N of ", text)
    text = re.sub(r"(?m)^(  timing +).*$", r"\1…", text)
    text = re.sub(r"(?m)^  turns +.*\n", "", text)  # whether a turn is found depends on the machine
    return re.sub(r"\b\d+(?:\.\d+)? (s|ms)\b", r"N \1", text)


def _in_order(counts: re.Match[str]) -> str:
    """Sort the kinds of messages, which stand in the order of their first one; leave media out."""
    kinds = (kind for kind in counts[2].split(", ") if not kind.startswith("media "))
    return counts[1] + ", ".join(sorted(kinds))


def passed(capture: kit.Capture) -> list[str]:
    """Return what passed beside the sound, in the order that is certain: of each kind by itself.

    Whether a key is pressed before a mark comes back depends on the machine.
    """
    lines = [
        f"{entry.sender}: {_SEQUENCE.sub('N', entry.message.to_json())}"
        for entry in capture.entries
        if type(entry.message).__name__ != "Media"
    ]
    return sorted(lines, key=lambda line: (line.startswith("server"), '"event":"dtmf"' in line))


_SEQUENCE = re.compile(r'(?<="sequenceNumber":")\d+')


async def plays_and_waits(stream: kit.MediaStream) -> None:
    """Play a tone, then wait for the end."""
    stream.play(TONE, mark="tone")
    await stream.closed


async def plays_and_hangs_up(stream: kit.MediaStream) -> None:
    """Play a tone to its end, then close the stream."""
    await stream.play(TONE, mark="goodbye")
    await stream.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread or loop brings about."""
    async with asyncio.timeout(MOST_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is nothing that tells it
            await asyncio.sleep(0.01)  # sleeps: between two looks


def statusless(text: str) -> str:
    """Return the repr of a call without its status, which is perhaps on its way already."""
    return re.sub(r", (queued|initiated|ringing|in-progress)>", ", …>", text)


async def soon(awaitable: Any) -> Any:
    """Wait, but not for ever."""
    return await asyncio.wait_for(awaitable, MOST_SECONDS)
