"""What a file is that is no WAV file, told by its first bytes.

A download that brought an error page, an MP3 renamed to .wav and bare PCMU are the usual three.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from twistream_kit.errors import WavError

LOADABLE = "kit.load_clip reads it and converts it for a call"
OTHER_PROGRAM = "Convert it first, for example with ffmpeg -i IN -ar 8000 -ac 1 out.wav"
NOT_SOUND = (
    "Look at it in an editor; a download may have brought an error page instead of the sound"
)
HEADERLESS = (
    "If it is bare sound, say which: kit.load_clip(source, sample_rate=8000, encoding='PCMU')"
)


@dataclass(frozen=True, slots=True)
class Lookalike:
    """What a file looks like.

    Attributes:
        what: With its article, ``an MP3 file``.
        fix: What to do with it, one sentence.
    """

    what: str
    fix: str


_SIGNATURES: tuple[tuple[re.Pattern[bytes], Lookalike], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE if text else re.DOTALL), Lookalike(what, fix))
    for pattern, text, what, fix in (
        (rb"ID3", False, "an MP3 file", LOADABLE),
        (rb"OggS", False, "an OGG file", LOADABLE),
        (rb"fLaC", False, "a FLAC file", LOADABLE),
        (rb"\.snd", False, "an AU file", LOADABLE),
        (rb"FORM....AIF[FC]", False, "an AIFF file", LOADABLE),
        (rb"caff", False, "a CAF file", LOADABLE),
        (rb"riff\x2e\x91\xcf\x11", False, "a W64 file", LOADABLE),
        (rb"....ftyp", False, "an MP4 or M4A file", OTHER_PROGRAM),
        (rb"\x1aE\xdf\xa3", False, "a WebM or Matroska file", OTHER_PROGRAM),
        (rb"#!AMR", False, "an AMR file", OTHER_PROGRAM),
        (rb"\x30\x26\xb2\x75", False, "a WMA file", OTHER_PROGRAM),
        (rb"\xff[\xf1\xf9][\x40-\x7f][\x40\x41\x80\x81]", False, "an AAC file", OTHER_PROGRAM),
        (rb"RIFF....AVI ", False, "an AVI film", OTHER_PROGRAM),
        (rb"RIFF....WEBP", False, "a WebP picture", NOT_SOUND),
        (rb"\x89PNG|\xff\xd8\xff|GIF8", False, "a picture", NOT_SOUND),
        (rb"PK\x03\x04", False, "a ZIP archive", "Unpack it first"),
        (rb"\x1f\x8b", False, "a gzip archive", "Unpack it first"),
        (rb"%PDF", False, "a PDF document", NOT_SOUND),
        (
            rb"UklGR|data:audio",
            False,
            "a WAV file written as base64",
            "Decode it: base64.b64decode",
        ),
        (
            rb"version https://git-lfs",
            False,
            "a Git LFS pointer",
            "Fetch the file with git lfs pull",
        ),
        (rb"\s*<(!doctype html|html|head|body)", True, "an HTML page", NOT_SOUND),
        (rb"\s*<(\?xml|response)", True, "an XML document", NOT_SOUND),
        (rb"\s*[{\[]\s*([\"\[{}\]]|-?\d|$)", False, "JSON", NOT_SOUND),
    )
)

# Layer I to III, a legal bitrate and sample rate (ISO/IEC 11172-3 §2.4.2.3), so that
# headerless μ-law, whose silence is 0xFF, is not taken for an MP3.
_MPEG_FRAME = re.compile(rb"\xff[\xfa\xfb\xf2\xf3\xe2\xe3\xfc-\xfe][\x10-\xeb]", re.DOTALL)


def recognise(head: bytes) -> Lookalike:
    """Say what a file looks like.

    Args:
        head: Its first bytes, 64 of them if there are that many.
    """
    text = head.removeprefix(b"\xef\xbb\xbf")  # a UTF-8 byte order mark hides a page
    for pattern, lookalike in _SIGNATURES:
        if pattern.match(text):
            return lookalike
    if _MPEG_FRAME.match(head) and (head[2] >> 2) & 3 != 3:
        return Lookalike("an MP3 file", LOADABLE)
    if len(head) >= 16 and all(byte in b"\t\n\r" or 0x20 <= byte < 0x7F for byte in head):
        return Lookalike("a text file", NOT_SOUND)
    return Lookalike("headerless: nothing at its beginning says what it is", HEADERLESS)


def not_a_wav(head: bytes, name: str) -> WavError:
    """Build the error for a file that does not begin as a WAV file does."""
    if not head:
        return WavError(
            "the file is empty",
            source=name,
            offset=0,
            consequence="There is nothing to hear",
            fix="Fetch or record it again",
        )
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and recognise(head).fix == HEADERLESS:
        form = head[8:12].decode("latin-1")
        problem = f"it is a RIFF file, but of the kind {form!r}, not 'WAVE'"
        return WavError(problem, source=name, offset=8, fix=OTHER_PROGRAM)
    lookalike = recognise(head)
    return WavError(
        f"this is not a WAV file; it looks like {lookalike.what}"
        if lookalike.fix != HEADERLESS
        else f"this is not a WAV file; it is {lookalike.what}",
        source=name,
        offset=0,
        consequence="It has no RIFF header to show",
        fix=lookalike.fix,
    )
