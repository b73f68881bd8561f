"""What a server does with each message, the same in every way in which a server is written."""

from __future__ import annotations

import base64
import json
from pathlib import Path

REASON = "upstream quota used up"
AFTER_MEDIA = 10
"""After so many media messages comes what ends the stream, or its fault."""


class Script:
    """The actions of one stream: ``("send", text)``, ``("close", code, reason)``, or a fault."""

    def __init__(self, wanted, tone):
        self.wanted = wanted
        self.tone = base64.b64encode(Path(tone).read_bytes()).decode()
        self.sid = ""
        self.n_media = 0

    def react(self, text):
        message = json.loads(text)
        if message["event"] == "start":
            self.sid = message["streamSid"]
            if self.wanted in ("good", "misspelt"):
                name = "payload" if self.wanted == "good" else "playload"
                yield self.send("media", media={name: self.tone})
                yield self.send("mark", mark={"name": "end"})
        elif message["event"] == "mark" and self.wanted == "good":
            yield ("close", 1000, "done")
        elif message["event"] == "media":
            self.n_media += 1
            if self.n_media == AFTER_MEDIA:
                yield from self.end()

    def end(self):
        if self.wanted == "closes":
            yield ("close", 1011, REASON)
        elif self.wanted == "binary":
            yield ("send", b"\xff" * 160)
        elif self.wanted in ("raises", "exits"):
            yield (self.wanted,)

    def send(self, event, **fields):
        return ("send", json.dumps({"event": event, "streamSid": self.sid, **fields}))
