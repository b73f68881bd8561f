"""The media lines of a capture file, read without JSON, because there are a hundred a second.

A line that looks exactly as `capture_file` writes it is taken apart by one expression; every other
one, however it differs, is left to the reader that knows all of JSON.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64

from twistream_kit.capture.capture_kept import FROM_TWILIO_MEDIA, TO_TWILIO_MEDIA, Kept

_BEGIN = rb'\{"at":(-?\d{1,12}\.\d{6}),"from":"%s","message":\{"event":"media",'
_FROM_TWILIO = re.compile(
    _BEGIN % b"twilio" + rb'"sequenceNumber":"(\d{1,18})","media":\{"track":"(inbound|outbound)",'
    rb'"chunk":"(\d{1,18})","timestamp":"(\d{1,18})","payload":"([^"\\]*)"\},'
    rb'"streamSid":"([A-Za-z0-9]*)"\}\}'
)
_TO_TWILIO = re.compile(
    _BEGIN % b"server" + rb'"streamSid":"([A-Za-z0-9]*)","media":\{"payload":"([^"\\]*)"\}\}\}'
)


class MediaLines:
    """Reads media lines; it remembers the few texts that stand in each of them."""

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}

    def read(self, line: bytes) -> Kept | None:
        """Return what is to be kept of a media message with its sound, None for any other line."""
        try:
            if found := _FROM_TWILIO.fullmatch(line):
                at, number, track, chunk, timestamp, payload, sid = found.groups()
                return (
                    FROM_TWILIO_MEDIA,
                    float(at),
                    self._text(sid),
                    a2b_base64(payload, strict_mode=True),
                    int(number),
                    self._text(track),
                    int(chunk),
                    int(timestamp),
                )
            if found := _TO_TWILIO.fullmatch(line):
                at, sid, payload = found.groups()
                sound = a2b_base64(payload, strict_mode=True)
                return (TO_TWILIO_MEDIA, float(at), self._text(sid), sound)
        except Base64Error:
            pass  # the other reader says what is wrong with it
        return None

    def _text(self, raw: bytes) -> str:
        text = self._texts.get(raw)
        if text is None:
            text = self._texts[raw] = raw.decode("ascii")
        return text
