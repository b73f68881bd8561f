"""The words of Media Streams, and the wrong ones people write for them (PROTOCOL.md §3, §4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

EVENTS = ("media", "mark", "clear")
"""All that a server may send (§4)."""

_SEND_NOTHING = "Send nothing in its place"
FROM_TWILIO = {
    "connected": f"{_SEND_NOTHING}: Twilio needs no greeting, whatever some guides say",
    "start": f"{_SEND_NOTHING}: the stream has begun when Twilio's own start has come",
    "dtmf": "Keys cannot be pressed through a stream; play their sound: kit.Clip.dtmf('1')",
    "stop": "To end the stream, close the socket: stream.close()",
}
"""Events that travel only the other way (§3), each with what to do instead."""

FOREIGN_EVENTS = {
    "playAudio": ("Plivo", "media"),
    "clearAudio": ("Plivo", "clear"),
    "checkpoint": ("Plivo", "mark"),
}
"""Events of other companies' streams, whose they are, and Twilio's word for them (§10.2)."""

FIELDS_FROM_TWILIO = frozenset(
    {"sequenceNumber", "track", "chunk", "timestamp", "accountSid", "callSid", "tracks"}
    | {"mediaFormat", "customParameters", "protocol", "version"}
)
"""Fields that only Twilio's own messages carry (§3); copied into an answer they are extra."""

_ALIASES = {
    "event": ("type", "action", "kind", "method", "message"),
    "streamSid": ("sid", "streamid", "stream", "streamuuid"),
    "media": ("audio", "data"),
    "payload": ("data", "audio", "content", "body", "bytes", "base64"),
    "name": ("label", "id", "mark", "markname", "markid"),
}


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return the one of `choices` that `word` is likely to mean, or an empty string.

    Case and punctuation do not count, so ``stream_sid`` means ``streamSid``.
    """
    plain = {_plain(choice): choice for choice in choices}
    close = get_close_matches(_plain(word[:64]), plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else ""


def meant_for(key: str, found: Iterable[str]) -> str:
    """Return the one of the `found` names that was likely written for `key`, or an empty string."""
    names = list(found)
    aliases = _ALIASES.get(key, ())
    by_sense = (name for name in names if _plain(name[:64]) in aliases)
    return nearest(key, names) or next(by_sense, "")


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.casefold())
