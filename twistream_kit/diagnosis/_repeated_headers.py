"""File headers within a stream: one more for each file that is sent unchanged.

Twilio plays headers as sound: each is heard as a click, at the beginning of a message or divided
between two.
"""

from __future__ import annotations

from twistream_kit.errors import Objection
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.sound_file import WAV_HEAD_BYTES, find_container, find_wav_headers


class RepeatedHeaders:
    """Finds the second file header of a stream, and a first one within sound.

    Args:
        field: The name of the payload in the objections.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._tail = b""
        self._sent = 0
        self._last: int | None = None
        self._is_reported = False
        self._is_compressed = False
        self._is_interrupted = False

    @property
    def is_packed(self) -> bool:
        """Whether the stream contains files, so that its bytes cannot be analysed as sound.

        The files are compressed, or their headers interrupt the sound.
        """
        return self._is_reported or self._is_compressed or self._is_interrupted

    def note_sent(self, payload: bytes, *, is_file: bool) -> Objection | None:
        """Note the next payload; return an objection to its headers, once.

        Args:
            payload: The payload, of any length.
            is_file: Whether to check for the beginning of a file of any format.
        """
        begin, tail = self._sent, self._tail
        self._sent += len(payload)
        joined = tail + payload if tail else payload
        self._tail = joined[1 - WAV_HEAD_BYTES :]
        if self._is_reported:
            return None
        found: Objection | None = None
        # Usually there is none, and the search for bytes is faster than starting a generator.
        for place in find_wav_headers(joined) if b"WAVE" in joined else ():
            found = self._note_header("WAV", begin - len(tail) + place, begin) or found
        name = find_container(payload) if is_file else None
        if name and name != "WAV":
            self._is_compressed = True
            found = self._note_header(name, begin, begin) or found
        return found

    def _note_header(self, name: str, at: int, begin: int) -> Objection | None:
        last, self._last = self._last, at
        if last is not None:
            self._is_reported = True
            return _object_to_repeated_header(
                self._field, name, (at - last) * 1000 // BYTES_PER_SECOND
            )
        if at == begin:
            return None
        self._is_interrupted = True
        return _object_to_header_amid(self._field, name, at)


def _object_to_repeated_header(field: str, name: str, apart_ms: int) -> Objection:
    return Objection(
        None,
        field,
        f"holds a header ({name}) again, {apart_ms} ms of sound behind the one before",
        f"Twilio would play each as sound: a click every {apart_ms} ms, logging nothing",
        "Take the header off each piece; kit.load_clip(piece).payload is without",
    )


def _object_to_header_amid(field: str, name: str, at: int) -> Objection:
    return Objection(
        None,
        field,
        f"holds the header of a {name} file in the midst of the stream, at byte {at}",
        "Twilio would play it as sound: a click, and noise if the file is not μ-law at 8000 Hz",
        "Send kit.load_clip(path).payload; files are joined as clips: kit.load_clip(a) +"
        " kit.load_clip(b)",
    )
