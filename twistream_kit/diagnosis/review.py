"""`review`, which calls the review for the type of its argument.

It also recognises the content of a file, for the function and the command ``twistream review``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

from twistream_kit.diagnosis.message import review_message
from twistream_kit.errors import Objection, Objections, TwistreamError, WrongType, WrongValue, quote

if TYPE_CHECKING:
    from twistream_kit.capture.capture import Capture
    from twistream_kit.diagnosis.files import Mistakes
    from twistream_kit.protocol import to_twilio

# Everything else is imported where it is needed: it brings numpy in, and a message does without.

_LONGEST_NAME = 4096
"""No path is longer on any system, and most messages are."""

_ACCEPTED = (
    "a message (str, bytes or a dict), TwiML (a str that begins with <), payloads (a list of bytes "
    "or to_twilio.Media), a Path of a file with any of these or with a capture, a Capture, a "
    "CallReport or an InspectedStream"
)


class Followed(Protocol):
    """A stream that was followed, such as a `CallReport`, an `InspectedStream`, a `MediaStream`.

    Where it has `objections` of its own, those that no capture shows are taken over.
    """

    @property
    def capture(self) -> Capture:
        """All that passed."""


@overload
def review(
    thing: str | bytes | Mapping[str, Any] | Iterable[bytes | to_twilio.Media],
    *,
    stream_sid: str | None = None,
) -> Objections: ...


@overload
def review(
    thing: PathLike[str] | Capture | Followed, *, stream_sid: str | None = None
) -> Mistakes: ...


def review(thing: Any, *, stream_sid: str | None = None) -> Objections | Mistakes:
    """Review what a server sends: what would Twilio object to, and what would sound wrong?

    What Twilio accepts is in PROTOCOL.md: §4 for messages and payloads, §1 for TwiML.

    Args:
        thing: A message: text, bytes for a binary one, or a dict that is about to become JSON.
            TwiML: text whose first character is ``<``.  Payloads: a list or another iterable of
            bytes or `to_twilio.Media`.  A file: a `Path`, never a str; it holds messages, one a
            line or in one JSON document, or TwiML, or a capture.  A call: a `Capture`, a
            `CallReport`, an `InspectedStream` or a `MediaStream`.
        stream_sid: The stream that messages should be for; that of a capture if not given.  TwiML
            and payloads name none.

    Returns:
        Objections, errors first; of a file or a call `Mistakes`, which also say where each stands.
        Either is empty if all is well.

    Raises:
        TypeError: If `thing` is none of these, or a str that is the name of a file.
        CaptureError: If a file begins as a capture and cannot be read as one.
        TwistreamError: If a file holds nothing, or is a pipe or a device.
        OSError: If a file cannot be read; it is a TwistreamError, too.

    Example:
        >>> import twistream_kit as kit
        >>> kit.review({"event": "clear"})
        - streamSid is missing. Twilio would drop it with warning 31951, logged once per stream. ...
        >>> kit.review("<Response><Connect><Stream/></Connect></Response>")
        - <Stream> has no url. ...
        >>> kit.review([kit.load_clip("sample_audio/greeting.wav").payload])
        nothing to object to
    """
    if isinstance(thing, str):
        if _is_markup(thing):
            from twistream_kit.diagnosis.twiml import review_twiml

            return review_twiml(thing)
        _refuse_name(thing)
        return review_message(thing, stream_sid=stream_sid)
    if isinstance(thing, bytes | bytearray | memoryview):
        return review_message(bytes(thing), stream_sid=stream_sid)
    if isinstance(thing, Mapping):
        return review_message(thing, stream_sid=stream_sid)
    if isinstance(thing, PathLike):
        from twistream_kit.capture.file import read_file

        path = Path(thing)
        return review_contents(read_file(path), path, stream_sid=stream_sid)
    return _review_followed(thing, stream_sid)


def review_contents(raw: bytes, path: Path, *, stream_sid: str | None = None) -> Mistakes:
    """Review the content of a file, as `review` does.

    Args:
        raw: The whole content of the file.
        path: The name of the file in error messages.
        stream_sid: As for `review`.

    Raises:
        CaptureError: If it begins as a capture and cannot be read as one.
        TwistreamError: If it holds nothing.
    """
    from twistream_kit.capture.capture import Capture
    from twistream_kit.capture.file import is_capture
    from twistream_kit.diagnosis.files import Mistake, Mistakes, count_messages, read_messages
    from twistream_kit.diagnosis.files import review_capture as review_whole
    from twistream_kit.diagnosis.twiml import review_twiml

    if _is_markup(raw[:1000].decode("utf-8", "replace")):
        found = review_twiml(raw)
        return Mistakes((Mistake(each, None, where="TwiML") for each in found), "TwiML")
    if is_capture(raw):
        return review_whole(Capture.read(raw, path), stream_sid=stream_sid)
    messages = list(read_messages(raw))
    if not messages:
        fix = "Give one message a line, or one JSON document"
        raise TwistreamError(f"{path} holds no message", fix=fix)
    return Mistakes.join_equal(
        (
            (place, objection)
            for place, message in messages
            for objection in review_message(message, stream_sid=stream_sid)
        ),
        count_messages(len(messages)),
    )


def _review_followed(thing: Any, stream_sid: str | None) -> Objections | Mistakes:
    from twistream_kit.capture.capture import Capture
    from twistream_kit.diagnosis.files import review_capture

    if isinstance(thing, Capture):
        return review_capture(thing, stream_sid=stream_sid)
    capture = getattr(thing, "capture", None)
    if isinstance(capture, Capture):
        mistakes = review_capture(capture, stream_sid=stream_sid)
        mistakes.add_unplaced(Counter[Objection](getattr(thing, "objections", ())))
        return mistakes
    if isinstance(thing, Iterable):
        return _review_payloads(thing)
    raise WrongType(f"review() takes {_ACCEPTED}, not {type(thing).__name__}")


def _review_payloads(payloads: Iterable[Any]) -> Objections:
    from twistream_kit.diagnosis.sound import review_sound
    from twistream_kit.protocol import to_twilio

    payloads = list(payloads)
    for each in payloads:
        if not isinstance(each, bytes | bytearray | to_twilio.Media):
            raise WrongType(
                "review() takes a list of payloads (bytes or to_twilio.Media), and not one with "
                f"{type(each).__name__} in it; give it messages one by one, or as a file: "
                "kit.review(Path(…))"
            )
    return review_sound(payloads)


_FILE_NAME = re.compile(r"[^{}\[\]<>\n]+\.(jsonl?|ndjson|xml|txt|log|wav|ulaw|raw|mp3)")
"""What no message, no TwiML and no base64 looks like."""


def _is_markup(text: str) -> bool:
    return text.removeprefix("\ufeff").lstrip().startswith("<")


def _refuse_name(text: str) -> None:
    """Refuse the name of a file.

    Raises:
        WrongType: If there is a file of that name.
        WrongValue: If there is none, and it is the name of a file nevertheless.
    """
    if not text or len(text) > _LONGEST_NAME or text.lstrip().startswith("{"):
        return
    try:
        is_file = Path(text).is_file()
    except (OSError, ValueError):  # too long for this system, or with a null character
        return
    if is_file:
        raise WrongType(
            f"review() takes text as what is to be reviewed, and {quote(text, 200)} is the name of "
            f"a file; for what it holds say kit.review(Path({quote(text, 200)}))"
        )
    if _FILE_NAME.fullmatch(text):
        raise WrongValue(
            f"review() takes text as what is to be reviewed, and {quote(text, 200)} is the name of "
            f"a file that does not exist, seen from {Path.cwd()}; for what a file holds say "
            "kit.review(Path(…))"
        )
