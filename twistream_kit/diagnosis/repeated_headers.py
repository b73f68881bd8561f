"""File headers in the midst of a stream: one more for each file that somebody sends as it is.

Twilio reads no headers, it plays them (PROTOCOL.md §4): each is heard as a click, whether it stands
at the beginning of a message or was cut in two.
"""

from __future__ import annotations

from twistream_kit.diagnosis.payload import container
from twistream_kit.protocol.objection import Objection
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.protocol.to_twilio import is_wav

_NAME_AT = 8
_HEAD_BYTES = 12
"""``RIFF``, a size, and ``WAVE``: the part of a WAV header that is told from sound for certain."""


class RepeatedHeaders:
    """Finds the second header, and a first one that stands in the midst of sound.

    Args:
        field: How the objections are to name the payload.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._tail = b""
        self._sent = 0
        self._last: int | None = None
        self._is_told = False
        self._is_compressed = False

    @property
    def is_packed(self) -> bool:
        """Whether there are files in the stream that cannot be listened to as they are.

        They are compressed, or their headers lie in between; their sound is judged unpacked.
        """
        return self._is_told or self._is_compressed

    def sent(self, payload: bytes, *, is_file: bool) -> Objection | None:
        """Note what was sent next; return what is to be said of it, once.

        Args:
            payload: Any length.
            is_file: Whether it may begin like a file of any format, so that it is worth a look.
        """
        begin, tail = self._sent, self._tail
        self._sent += len(payload)
        joined = tail + payload if tail else payload
        self._tail = joined[1 - _HEAD_BYTES :]
        if self._is_told:
            return None
        found: Objection | None = None
        place = joined.find(b"WAVE", _NAME_AT)
        while place != -1:
            if is_wav(joined[place - _NAME_AT : place + 4]):
                at = begin - len(tail) + place - _NAME_AT
                found = self._header("WAV", at, begin) or found
            place = joined.find(b"WAVE", place + 1)
        name = container(payload) if is_file else None
        if name and name != "WAV":
            self._is_compressed = True
            found = self._header(name, begin, begin) or found
        return found

    def _header(self, name: str, at: int, begin: int) -> Objection | None:
        last, self._last = self._last, at
        if last is not None:
            self._is_told = True
            return _repeated(self._field, name, (at - last) * 1000 // BYTES_PER_SECOND)
        return None if at == begin else _amid(self._field, name, at)


def _repeated(field: str, name: str, apart_ms: int) -> Objection:
    return Objection(
        None,
        field,
        f"holds a header ({name}) again, {apart_ms} ms of sound behind the one before",
        f"Twilio would play each as sound: a click every {apart_ms} ms, logging nothing",
        "Take the header off each piece; kit.load_clip(piece).payload is without",
    )


def _amid(field: str, name: str, at: int) -> Objection:
    return Objection(
        None,
        field,
        f"holds the header of a {name} file in the midst of the stream, at byte {at}",
        "Twilio would play it as sound: a click, and noise if the file is not μ-law at 8000 Hz",
        "Send kit.load_clip(path).payload; files are joined as clips: kit.load_clip(a) +"
        " kit.load_clip(b)",
    )
