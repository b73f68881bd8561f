"""Every fix that is printed works: the faulty input, the fix applied, and nothing left.

`printed_fixes` finds all of them in the source.  Each has a row here, whose input brings it, or
stands in `NOT_APPLIED` with the reason.
"""

from __future__ import annotations

import functools
import io
import json
import re
import struct
import sys
import wave
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twistream_kit as kit
from support import damaged_sources, silent_servers
from support.cases import CASES
from support.following import STREAM, find_code, follow_in_message, follow_in_twiml, run
from support.printed_fixes import PrintedFix, assert_all_are_listed, find_printed_fixes
from twistream_kit.diagnosis.sound import identify_mistake
from twistream_kit.diagnosis.stream import StreamReviewer
from twistream_kit.errors import Objection

SAMPLES = Path(__file__).parents[1] / "sample_audio"


@dataclass(frozen=True)
class Row:
    """One faulty input, and how it is reviewed and mended.

    Attributes:
        name: What is wrong with it.
        subject: The input.
        review: Returns the objections to it.
        follow: Returns the input, changed as the fix of an objection says.
        modules: Where its objections are made.
        about: How the fix begins that is followed first; else that of the first objection is.
    """

    name: str
    subject: Any
    review: Callable[[Any], list[Objection]]
    follow: Callable[[Any, Objection], Any]
    modules: tuple[str, ...] = field(default=())
    about: str = ""


_MOST_STEPS = 8


@contextmanager
def noted() -> Iterator[dict[tuple[str, str], set[str]]]:
    """Note in which functions each objection is made, by its problem and fix."""
    made: dict[tuple[str, str], set[str]] = {}
    plain = Objection.__init__

    def note(self: Objection, *values: Any, **more: Any) -> None:
        plain(self, *values, **more)
        functions = made.setdefault((self.problem, self.fix), set())
        frame = sys._getframe(1)
        for _ in range(6):
            functions.add(frame.f_code.co_name)
            if frame.f_back is None:
                break
            frame = frame.f_back

    Objection.__init__ = note
    try:
        yield made
    finally:
        Objection.__init__ = plain


@dataclass(frozen=True)
class Followed:
    """An objection whose fix was applied, and the functions that made it."""

    objection: Objection
    functions: frozenset[str]


@functools.cache
def follow_all(number: int) -> tuple[Followed, ...]:
    """Apply one fix after the other until nothing is left to object to."""
    row = ROWS[number]
    subject, followed = row.subject, []
    with noted() as made:
        found = row.review(subject)
        assert found, "nothing is objected to"
        while found:
            assert len(followed) < _MOST_STEPS, f"it does not end: {found}"
            about = (each for each in found if row.about and each.fix.startswith(row.about))
            objection = next(about, found[0])
            before = {identify_mistake(each) for each in found}
            subject = row.follow(subject, objection)
            found = [] if subject is None else row.review(subject)
            new = [each for each in found if identify_mistake(each) not in before]
            assert not new, f"its fix brings another fault: {objection!r}, now {new}"
            same = [each for each in found if each == objection]
            assert not same, f"its fix does not remove it: {objection!r}, now {subject!r}"
            functions = made.get((objection.problem, objection.fix), set())
            followed.append(Followed(objection, frozenset(functions)))
    return tuple(followed)


STREAM_TAG = '<Stream url="wss://example.com/media"/>'
CONNECT = f"<Connect>{STREAM_TAG}</Connect>"


def respond(*verbs: str) -> str:
    return f"<Response>{''.join(verbs)}</Response>"


def stream(attributes: str = "", inside: str = "", *, url: str = "wss://example.com/media") -> str:
    return respond(f"<Connect><Stream url='{url}' {attributes}>{inside}</Stream></Connect>")


TWIML = {
    "lower case": "<response/>",
    "another root": "<TwiML/>",
    "misspelt root": "<Respons/>",
    "a verb alone": CONNECT,
    "version": '<Response version="2"/>',
    "byte order mark": "\ufeff<Response/>",
    "empty": "",
    "blank before the declaration": f" <?xml version='1.0'?>{respond(CONNECT)}",
    "bare &": respond("<Say>Q & A</Say>"),
    "not well-formed": "<Response><Connect></Response>",
    "plain text": "Not Found",
    "document type": f"<!DOCTYPE Response>{respond(CONNECT)}",
    "lower case verb": respond(f"<connect>{STREAM_TAG}</connect>"),
    "unknown element": respond("<Nonsense/>", CONNECT),
    "Stream alone": respond(STREAM_TAG),
    "Parameter beside": respond(f'<Connect>{STREAM_TAG}<Parameter name="a" value="b"/></Connect>'),
    "Number alone": respond("<Number>+15550100001</Number>"),
    "Say inside Connect": respond(f"<Connect>{STREAM_TAG}<Say>Hello</Say></Connect>"),
    "Say inside Stream": stream(inside="<Say>Hello</Say>"),
    "Hangup inside Connect": respond(f"<Connect>{STREAM_TAG}<Hangup/></Connect>"),
    "Say inside Dial": respond("<Dial><Say>Hello</Say><Number>+15550100001</Number></Dial>"),
    "Record inside Connect": respond(f"<Connect>{STREAM_TAG}<Record/></Connect>"),
    "Record before Connect": respond("<Record/>", CONNECT),
    "record as an attribute": stream("record='true'"),
    "Hangup before Connect": respond("<Hangup/>", CONNECT),
    "Reject before Connect": respond("<Reject/>", CONNECT),
    "a noun alone": STREAM_TAG,
    "a noun of Dial alone": "<Number>+15550100001</Number>",
    "one-way alone": f"<Start>{STREAM_TAG}</Start>",
    "Connect inside Gather": respond(f"<Gather>{CONNECT}</Gather>"),
    "Gather inside Say": respond("<Say>Hello<Gather/></Say>", CONNECT),
    "Pay with an action": respond("<Pay action='/x'/>", CONNECT),
    "Gather that always asks": respond("<Gather actionOnEmptyResult='true'/>", CONNECT),
    "Say without end": respond("<Say loop='0'>Hello</Say>", CONNECT),
    "Play without end": respond("<Play loop='0'>https://example.com/a.mp3</Play>", CONNECT),
    "action at Connect, and Say": respond(
        f"<Connect action='/x'>{STREAM_TAG}</Connect>", "<Say>Bye</Say>"
    ),
    "text in Response": respond("Hello &amp; welcome", CONNECT),
    "text behind Connect": respond("<Say>Hello</Say>", f"<Connect>{STREAM_TAG}now</Connect>"),
    "text in Hangup": respond(CONNECT, "<Hangup>Bye</Hangup>"),
    "url as text of Response": respond("wss://example.com/media"),
    "url as text beside a stream": respond(f"<Connect>{STREAM_TAG}wss://a.b/m</Connect>"),
    "url as text of Connect": respond("<Connect>wss://example.com/media</Connect>"),
    "url as text of Stream": respond("<Connect><Stream>wss://example.com/m</Stream></Connect>"),
    "Sip alone": respond("<Sip>alice@example.com</Sip>"),
    "invented: both ways": stream("bidirectional='true'"),
    "invented: codec": stream("codec='pcm'"),
    "invented: track": stream("audioTrack='both'"),
    "misspelt attribute": stream("statuscallback='https://example.com/s'"),
    "unknown attribute": stream("colour='red'"),
    "attribute of the SDK": stream("sampleRate='16000'"),
    "one-way": respond(f"<Start>{STREAM_TAG}</Start>", "<Pause length='5'/>"),
    "one-way before a word": respond(f"<Start>{STREAM_TAG}</Start>", "<Say>Hello</Say>"),
    "one-way, both tracks": respond(
        '<Start><Stream url="wss://example.com/m" track="both_tracks"/></Start>', "<Pause/>"
    ),
    "one-way, two": respond(f"<Start>{STREAM_TAG}{STREAM_TAG}</Start>", "<Pause/>"),
    "one-way, two with tracks": respond(
        f'<Start><Stream url="wss://example.com/m" track="both_tracks"/>{STREAM_TAG}</Start>',
        "<Pause/>",
    ),
    "one-way at the end": respond(f"<Start>{STREAM_TAG}</Start>"),
    "one-way at the end, both tracks": respond(
        '<Start><Stream url="wss://example.com/m" track="both_tracks"/></Start>'
    ),
    "one-way at the end, two": respond(f"<Start>{STREAM_TAG}{STREAM_TAG}</Start>"),
    "one-way at the end, two with tracks": respond(
        f'<Start><Stream url="wss://example.com/m" track="both_tracks"/>{STREAM_TAG}</Start>'
    ),
    "Connect is empty": respond("<Connect/>"),
    "two streams": respond(f"<Connect>{STREAM_TAG}{STREAM_TAG}</Connect>"),
    "Say after Connect": respond(CONNECT, "<Say>Bye</Say>"),
    "no url": respond("<Connect><Stream/></Connect>"),
    "track under Connect": stream("track='both_tracks'"),
    "misspelt track": respond(
        '<Start><Stream url="wss://example.com/m" track="outbound"/></Start>', CONNECT
    ),
    "unknown track": respond(
        '<Start><Stream url="wss://example.com/m" track="x"/></Start>', CONNECT
    ),
    "relative callback": stream("statusCallback='/status'"),
    "callback with two schemes": stream("statusCallback='https://https://example.com/s'"),
    "method": stream("statusCallbackMethod='PUT'"),
    "parameter without a name": stream(inside="<Parameter value='b'/>"),
    "long parameter": stream(inside=f"<Parameter name='a' value='{'b' * 500}'/>"),
    "attribute as parameter": stream(
        inside="<Parameter name='statusCallback' value='https://example.com/s'/>"
    ),
    "track as parameter": stream(inside="<Parameter name='track' value='both_tracks'/>"),
    "number with dashes": respond("<Dial>555-555-5555</Dial>"),
    "number with +": respond("<Dial><Number>+44 20 7946 0958</Number></Dial>"),
    "number with 00": respond("<Dial>0044 20 7946 0958</Dial>"),
    "caller": respond("<Dial callerId='(555) 555-5555'>+15550100001</Dial>"),
    "client as number": respond("<Dial>client:alice</Dial>"),
    "sip as number": respond("<Dial>sip:alice@example.com</Dial>"),
    "record of Dial": respond("<Dial record='yes'>+15550100001</Dial>"),
    **{
        f"url {url!r}": stream(url=url)
        for url in (
            "wss://https://example.com/m",
            "wss//example.com/m",
            "wss:/example.com/m",
            " wss://example.com/m",
            "wss://example.com/a b",
            "wss://example.com/m^a",
            "https://example.com/m",
            "ws://example.com/m",
            "example.com/m",
            "wss://example.com/m?a=1",
            "wss://example.com/m#x",
            "wss://me:pw@example.com/m",
            "wss://example.com:0/m",
            "wss;//example.com/m",
            "https://me:pw@example.com/m",
        )
    },
}

SOUND = kit.load_clip(SAMPLES / "greeting.wav")
SHORT = SOUND.payload[8000:8320]
TEXT = b64encode(SHORT).decode()


def media(payload: object = TEXT, **changes: object) -> dict[str, Any]:
    text = b64encode(payload).decode() if isinstance(payload, bytes) else payload
    return {"event": "media", "streamSid": STREAM, "media": {"payload": text}} | changes


def mark(**changes: object) -> dict[str, Any]:
    return {"event": "mark", "streamSid": STREAM, "mark": {"name": "x"}} | changes


class Sender:
    """A stream that returns what it would send."""

    def play(self, clip: kit.Clip) -> str:
        return kit.to_twilio.Media(STREAM, clip.payload).to_json()


MESSAGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "no streamSid": ({"event": "clear"}, {}),
    "no event": ({"streamSid": STREAM, "media": {"payload": TEXT}}, {}),
    "no payload": (media(media={}), {}),
    "playload": (media(media={"playload": TEXT}), {}),
    "stream_sid": ({"event": "clear", "stream_sid": STREAM}, {}),
    "extra": (media(colour="red"), {}),
    "streamSid inside": ({"event": "media", "media": {"payload": TEXT, "streamSid": STREAM}}, {}),
    "payload beside the event": ({"event": "media", "streamSid": STREAM, "payload": TEXT}, {}),
    "payload beside media": (media(media={}) | {"payload": TEXT}, {}),
    "mark as text": (mark(mark="greeting"), {}),
    "another company's": (media(event="playAudio"), {}),
    "capitals": (media(event="MEDIA"), {}),
    "unknown event": (media(event="say"), {}),
    "event is a number": (media(event=7), {}),
    "connected": ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, {}),
    "start": ({"event": "start", "streamSid": STREAM, "start": {}}, {}),
    "dtmf": ({"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "#"}}, {}),
    "stop": ({"event": "stop", "streamSid": STREAM}, {}),
    "name is a number": (mark(mark={"name": 7}), {}),
    "empty name": (mark(mark={"name": ""}), {}),
    "another stream": (mark(streamSid="MZ" + "9" * 32), {}),
    "twice": (json.dumps(mark())[:-1] + ', "event": "mark"}', {}),
    "empty": ("", {}),
    "printed dict": (str(mark()), {}),
    "not JSON": ("hello", {"payload": SHORT}),
    "a list": (json.dumps([mark()]), {}),
    "JSON in bytes": (json.dumps(mark()).encode(), {}),
    "sound in bytes": (SHORT, {"payload": SHORT, "clip": SOUND, "stream": Sender()}),
    "bytes in a dict": (media(media={"payload": SHORT}), {}),
    "payload is a number": (media(7), {"payload": SHORT}),
    "payload is a list": (media(list(SHORT)), {"payload": SHORT}),
    "without padding": (media(b64encode(SHORT[:-1]).decode()[:-1]), {"payload": SHORT}),
    "joined base64": (media(b64encode(b"abcd").decode() * 9), {"payload": SHORT}),
    "data URL": (media(f"data:audio/basic;base64,{TEXT}"), {}),
    "printed bytes": (media(str(b64encode(SHORT))), {"payload": SHORT}),
    "lines": (media(encodebytes(SHORT).decode()), {"payload": SHORT}),
    "for URLs": (media(urlsafe_b64encode(b"\xff\xfb" * 80).decode()), {"payload": SHORT}),
    "a WAV file": (
        media((SAMPLES / "greeting.wav").read_bytes()), {"path": SAMPLES / "greeting.wav"},
    ),
    "base64 twice": (media(b64encode(SHORT)), {"payload": SHORT}),
    "hexadecimal": (media(SHORT.hex().encode()), {"text": SHORT.hex()}),
    "numbers": (
        media(str(SOUND.samples()[8000:8100].tolist()).encode()),
        {"samples": SOUND.samples()[8000:8100], "sample_rate": 8000},
    ),
    "an address": (
        media(b"https://example.com/hello.wav"), {"fetched": SAMPLES / "greeting.wav"},
    ),
    "data URL as sound": (
        media(b"data:audio/wav;base64," + b64encode((SAMPLES / "question.wav").read_bytes())),
        {"text": "data:audio/wav;base64,"
         + b64encode((SAMPLES / "question.wav").read_bytes()).decode()},
    ),
    "printed sound": (media(str(b"\x81\x92\x9f\xa3" * 40).encode()), {"payload": SHORT}),
}  # fmt: skip


def alaw(samples: np.ndarray) -> bytes:
    """Encode by a search of the nearest value, which needs no code of the package."""
    from twistream_kit.audio.g711 import decode_alaw

    values = decode_alaw(bytes(range(256))).astype(np.int32)
    order = np.argsort(values)
    at = np.searchsorted(values[order], samples.astype(np.int32)).clip(1, 255)
    low, high = order[at - 1], order[at]
    nearer = np.abs(values[low] - samples) <= np.abs(values[high] - samples)
    return np.where(nearer, low, high).astype(np.uint8).tobytes()


# Without digital silence, which is objected to by itself.


def _raise(samples: np.ndarray, times: int) -> np.ndarray:
    """Return samples at a higher rate."""
    at = np.arange(len(samples) * times) / times
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)


VOICE = SOUND.samples() + np.random.default_rng(5).integers(1, 9, len(SOUND.payload), np.int16)

SOUNDS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "16-bit": (VOICE.astype("<i2").tobytes(), {"samples": VOICE, "sample_rate": 8000}),
    "16-bit, big-endian": (VOICE.astype(">i2").tobytes(), {}),
    "8-bit": (((VOICE >> 8) + 128).astype(np.uint8).tobytes(), {}),
    "A-law": (alaw(VOICE), {}),
    "24-bit": (
        (VOICE.astype("<i4") << 8).view(np.uint8).reshape(-1, 4)[:, :3].tobytes(), {},
    ),
    **{
        f"0x{byte:02X} as silence": (
            SOUND.payload[6000:16000] + bytes([byte]) * 400 + SOUND.payload[6000:16000],
            {"seconds": 0.05},
        )
        for byte in (0x00, 0x80, 0xD5, 0x55)
    },
    "at 24 kHz": (
        kit.encode_ulaw(_raise(VOICE, 3)), {"samples": _raise(VOICE, 3), "rate": 24000},
    ),
    "float16": ((VOICE / 32768).astype("<f2").tobytes(), {"np": np, "sample_rate": 8000}),
    "float16, big-endian": (
        (VOICE / 32768).astype(">f2").tobytes(), {"np": np, "sample_rate": 8000},
    ),
    "int8": ((VOICE >> 8).astype("i1").tobytes(), {"np": np, "sample_rate": 8000}),
    "float64": ((VOICE / 32768).astype("<f8").tobytes(), {"np": np, "sample_rate": 8000}),
    "int32 of 16 bits": (VOICE.astype("<i4").tobytes(), {"np": np, "sample_rate": 8000}),
    "int32": ((VOICE.astype("<i4") << 16).tobytes(), {"np": np, "sample_rate": 8000}),
    "float": (
        (VOICE / np.float32(32768)).astype("<f4").tobytes(),
        {"samples": VOICE / np.float32(32768), "sample_rate": 8000},
    ),
}  # fmt: skip
"""Sound in other codings, or spoiled before; what the user knows beside it."""


def follow_in_sound(sound: bytes, objection: Objection, names: dict[str, Any]) -> bytes:
    """Run the first code of the fix."""
    names = {"sound": sound, "fill": {"sample_rate": 8000}} | names
    codes = find_code(objection.fix)
    if objection.fix.startswith("The rate cannot be decided from the sound"):
        look_up, hear, send = codes[:3]
        assert run(look_up, path=SAMPLES / "greeting.wav").sample_rate
        rates = objection.sample_rates
        assert all(run(hear, objection=objection, rate=rate).seconds > 0 for rate in rates)
        assert names["rate"] in rates
        codes = [send]
    made = run(codes[0], **names)
    if objection.fix.startswith("Silence is 0xFF"):
        wrong = bytes([int(objection.problem.partition("0x")[2][:2], 16)]) * len(made)
        assert wrong in sound
        return sound.replace(wrong, made)
    # What is decoded wrongly may be noise that nothing objects to.
    assert np.corrcoef(kit.decode_ulaw(made), VOICE)[0, 1] > 0.9
    return made


def frames(sound: bytes, size: int = 160) -> list[bytes]:
    return [sound[at : at + size] for at in range(0, len(sound), size)]


def timed(pieces: list[bytes], times: list[float]) -> kit.Capture:
    """Return a capture of pieces sent at these times."""
    capture = kit.Capture(STREAM, "CA" + "1" * 32)
    capture.append(kit.from_twilio.Start(STREAM), 0.0)
    for piece, at in zip(pieces, times, strict=True):
        capture.append(kit.to_twilio.Media(STREAM, piece), at)
    return capture


def follow_in_pieces(_: Any, objection: Objection) -> list[bytes]:
    return run(find_code(objection.fix)[0], clip=SOUND)


def follow_by_resampler(_: Any, objection: Objection) -> list[bytes]:
    """Push all pieces through one resampler."""
    resampler = run(find_code(objection.fix)[0], rate=24000)
    pieces = [resampler.push(RAISED[at : at + 480]) for at in range(0, len(RAISED), 480)]
    return frames(kit.encode_ulaw(np.concatenate([*pieces, resampler.flush()])))


def follow_by_turning_down(_: Any, objection: Objection) -> list[bytes]:
    assert objection.fix.startswith("Turn the sound down before it is converted")
    return frames(kit.Clip.from_samples((VOICE // 2).astype(np.int16), 8000).payload)


def follow_by_joining(_: Any, objection: Objection) -> list[bytes]:
    """Join clips as the last words say."""
    path = SAMPLES / "question.wav"
    return frames(run(objection.fix.rpartition("as clips: ")[2], a=path, b=path).payload)


def follow_by_cutting_off(_: Any, objection: Objection) -> list[bytes]:
    (code,) = find_code(objection.fix)
    return frames(run(code, path=io.BytesIO(LONG_HEADER + SOUND.payload)))


def follow_to_the_source(damage: damaged_sources.Damage, objection: Objection) -> bytes:
    payload = damaged_sources.follow(damage, objection.fix)
    assert damaged_sources.is_heard(payload)
    return payload


def follow_by_pressing(_: Any, objection: Objection) -> None:
    """Press the keys by TwiML before the stream; as sound they are not sent any more."""
    play = re.search(r"<Play digits=[^>]*>", objection.fix)[0]
    assert kit.review_twiml(respond(play, CONNECT)) == []


def follow_for_each_piece(pieces: list[bytes], objection: Objection) -> list[bytes]:
    code = find_code(objection.fix)[0]
    return [run(code, piece=io.BytesIO(piece)) for piece in pieces]


def follow_by_clock(capture: kit.Capture, objection: Objection) -> kit.Capture:
    """Send each piece when it is due by a clock, as far ahead as the words say."""
    ahead = float(re.search(r"(\d+) ms ahead", objection.fix)[1]) / 1000
    pieces = sent_in(capture)
    times = np.cumsum([0, *(len(piece) / 8000 for piece in pieces[:-1])])
    return timed(pieces, [0.1 + max(0.0, float(at) - ahead) for at in times])


def follow_by_marks(capture: kit.Capture, objection: Objection) -> kit.Capture:
    """Send no more than the words say ahead of what is heard."""
    ahead = float(re.search(r"keeps (\d+) s ahead", objection.fix)[1])
    pieces = sent_in(capture)
    times = np.cumsum([0, *(len(piece) / 8000 for piece in pieces[:-1])])
    return timed(pieces, [0.1 + max(0.0, float(at) - ahead) for at in times])


def sent_in(capture: kit.Capture) -> list[bytes]:
    return [
        entry.message.payload
        for entry in capture.entries
        if isinstance(entry.message, kit.to_twilio.Media)
    ]


def as_wav(payload: bytes) -> bytes:
    """Return a WAV file of 16-bit sound."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(kit.decode_ulaw(payload).tobytes())
    return made.getvalue()


def review_early(is_early: bool) -> list[Objection]:
    """Review a message sent before, or after, the start of its stream."""
    reviewer = StreamReviewer(None, is_begun=False)
    if not is_early:
        reviewer.begin(STREAM)
    return list(reviewer.take(json.dumps(mark()), 0.0).new)


def follow_by_waiting(_: Any, objection: Objection) -> bool:
    assert objection.fix.startswith("Wait for start, and take the SID")
    return False


RAISED = _raise(VOICE, 3)
ROUGH = [
    kit.Clip.from_samples(RAISED[at : at + 480], 24000).payload
    for at in range(0, len(RAISED) - 480, 480)
]
LOUD = kit.encode_ulaw((VOICE * 8.0).clip(-32768, 32767).astype(np.int16))
WAV = (SAMPLES / "question.wav").read_bytes()

LONG_HEADER = (
    b"RIFF" + struct.pack("<I", 50 + len(SOUND.payload)) + b"WAVE"
    + b"fmt " + struct.pack("<IHHIIHHH", 18, 7, 1, 8000, 8000, 1, 8, 0)
    + b"fact" + struct.pack("<II", 4, len(SOUND.payload))
    + b"data" + struct.pack("<I", len(SOUND.payload))
)  # fmt: skip

STREAMS: dict[str, tuple[Any, Callable[[Any, Objection], Any]]] = {
    "no whole frames": (frames(SOUND.payload, 170), follow_in_pieces),
    "each piece converted on its own": (ROUGH, follow_by_resampler),
    "too loud": (frames(LOUD), follow_by_turning_down),
    "a header in the midst": (frames(SOUND.payload[:8040] + WAV), follow_by_joining),
    "the end of a header": (frames(LONG_HEADER[44:] + SOUND.payload), follow_by_cutting_off),
    "tones of keys": (frames((CASES / "f06.ulaw").read_bytes()), follow_by_pressing),
    "a header on each piece": (
        [as_wav(piece) for piece in frames(SOUND.payload, 1600)], follow_for_each_piece,
    ),
    "sleeps of 20 ms": (
        timed(frames(SOUND.payload), [0.0213 * at for at in range(len(frames(SOUND.payload)))]),
        follow_by_clock,
    ),
    "eleven minutes at once": (
        timed([kit.Clip.tone(440, 60).payload] * 11, [0.1] * 11), follow_by_marks,
    ),
}  # fmt: skip

_OF_SOUND = (
    "diagnosis._coding",
    "diagnosis._number_format",
    "diagnosis._rate",
    "diagnosis._repeated_headers",
    "diagnosis._sending_timing",
    "diagnosis.sound",
    "diagnosis.payload",
)

ROWS = [
    *(
        Row(
            f"TwiML: {name}",
            xml,
            kit.review_twiml,
            follow_in_twiml,
            ("diagnosis.twiml", "diagnosis.twiml_tree", "protocol.twiml", "protocol.url_repair"),
        )
        for name, xml in TWIML.items()
    ),
    *(
        Row(
            f"message: {name}",
            message,
            functools.partial(kit.review_message, stream_sid=STREAM),
            lambda message, objection, names=names: follow_in_message(message, objection, **names),
            ("diagnosis.message", *_OF_SOUND),
        )
        for name, (message, names) in MESSAGES.items()
    ),
    *(
        Row(
            f"sound: {name}",
            sound,
            lambda sound: kit.review_sound(frames(sound)),
            lambda sound, objection, names=names: follow_in_sound(sound, objection, names),
            _OF_SOUND,
        )
        for name, (sound, names) in SOUNDS.items()
    ),
    *(
        Row(f"stream: {name}", pieces, kit.review_sound, follow, _OF_SOUND, "Take the header off")
        for name, (pieces, follow) in STREAMS.items()
    ),
    *(
        Row(
            f"damaged: {name}",
            damage.payload,
            lambda payload: kit.review_sound(frames(payload)),
            lambda _, objection, damage=damage: follow_to_the_source(damage, objection),
            ("diagnosis._sample_damage", "diagnosis._text_damage"),
        )
        for name, damage in damaged_sources.DAMAGES.items()
    ),
    *(
        Row(
            f"call: {name}",
            trial,
            silent_servers.review,
            silent_servers.follow,
            ("simulator._causes",),
        )
        for name, trial in silent_servers.TRIALS.items()
    ),
    Row("before start", True, review_early, follow_by_waiting, ("diagnosis.stream",)),
]

_THE_SOURCE = "where the bytes come from is not in the input; it is to be looked at"
_THE_HOST = "the host of the server is not in the input"
_NO_ACCOUNT = "it asks for an account: no program of ours has one"
_PUBLIC = "a public address has to lead to this machine"
_ANOTHER_PROGRAM = "it is a setting of another program than the one that is reviewed"
_SERVER = "the program of a server is to be changed; a report says nothing of its text"
_THE_NETWORK = "what is between two machines is not in the input"
_OTHER_PROCESS = "which process is the server's is for the user to say"
_MAY_BE_MEANT = "it is a note about what may be meant, and says so"
_OF_A_SCRIPT = "how long a caller has patience is for the author of the script to say"
_OF_A_REQUEST = "tests/simulator/rest/test_call_request.py: the request as it says has no note"
_ERROR_PAGE = "it is the page of another program, in which its error is to be read"


NOT_APPLIED = {
    "diagnosis._text_damage": {
        "Read and write it as bytes: open(path, 'rb')": _THE_SOURCE,
    },
    "diagnosis.payload": {
        "If sound was meant, look at what the bytes were read from": _THE_SOURCE,
        "It may be an error that was answered in place of the sound": _ERROR_PAGE,
    },
    "diagnosis.sound": {
        "If speech was meant, look at what the bytes were read from": _THE_SOURCE,
        "Look at what the bytes were read from": _THE_SOURCE,
    },
    "diagnosis.twiml_tree": {
        "Look for the error page of a framework or tunnel": _ERROR_PAGE,
        "Look for elements that are not closed": "what was to be closed where is not in the input",
    },
    "diagnosis.twiml": {
        "Look for the error page of a framework or tunnel": _ERROR_PAGE,
        "Return only the verbs that come next": "which they are is not known",
        "Serve it by URL, or pass one short token": "served by URL, the document is right",
        "Leave it, if that is meant": _MAY_BE_MEANT,
        "Leave it, if a message is meant": _MAY_BE_MEANT,
        "Write it with + and the country's code": "the country is not known",
        "Write the number, with + and the country's code": "the number is not in the input",
        "Dial the whole number of who is meant": "the number is not in the input",
        "Write sip:user@host": _THE_HOST,
    },
    "simulator._load_run": {
        "With Dask, give client.get_executor(pure=False)": "tests/simulator/test_load.py runs it",
    },
    "simulator._load_validity": {
        "Let the workers connect to this machine": "it is the network of the user's machines",
        "Let them speak": "tests/simulator/test_load.py does it for an echo",
        "Look at the turns of a recorded call": _SERVER,
        "See whether the workers of the executor run": "they are another program's",
    },
    "protocol.twiml": {
        "Give a wss:// URL": _THE_HOST,
        "Write wss://host/path": _THE_HOST,
        "Write the whole wss:// URL": _THE_HOST,
        "Give the setting its value before the TwiML is written": _THE_HOST,
        "Fill in what stands for a value": "the value is not in the input",
        "Open a tunnel, kit.start(kit.open_tunnel(server))": _PUBLIC,
        "Serve the stream on 443": _PUBLIC,
    },
    "simulator._causes": {
        "Attach the listener": _SERVER,
        "Close with 1000 where": _SERVER,
        "Let nothing block it": _SERVER,
        "Look up what it stands for": "what is wrong is not known beyond Twilio's code",
        "Look into the log": _SERVER,
        "On line ": "the other call is a test of its own, which says what is to be mended",
        "Mend what the server sent": "what is to be mended is objected to by itself, with its fix",
        "Read messages in a loop": _SERVER,
        "Send a clear only when": _SERVER,
    },
    "simulator._process_usage": {
        "Give the number of the server's process": _OTHER_PROCESS,
        "See that it is the server's": _OTHER_PROCESS,
        "Start the server in a process of its own": "tests/simulator/test_soak.py does so",
    },
    "simulator._soak_run": {"Give the number of the process that serves": _OTHER_PROCESS},
    "simulator._script_run": {
        "Give it a longer limit=": _OF_A_SCRIPT,
        "Give it a shorter after=": _OF_A_SCRIPT,
        "Listen to what was heard": "what was expected is the user's to say",
        "Look at what the server does before it": _SERVER,
        "Look at who ended the call": _SERVER,
        "Give the call a longer seconds": "a length that the user chose",
        "Step {} (listen) has heard": "which of the two is meant is for the author to say",
    },
    "simulator.call.twiml": {"Try it with an account": _NO_ACCOUNT},
    "simulator.rest.call_request": {
        'Add machine_detection="Enable" or': _OF_A_REQUEST,
        'Add async_amd="true", or': _OF_A_REQUEST,
        "Leave one of the two out": _OF_A_REQUEST,
    },
    "simulator.simulate_call": {
        "Send sound as it is to be heard": _SERVER,
        "Pass values as <Parameter>": "which of the values the server needs is not known",
    },
    "live.inspector.stream": {
        "Look in the log of your server": _SERVER,
        "Switch compression (permessage-deflate) off": _ANOTHER_PROGRAM,
        "Let a WebSocket library build the frames": _ANOTHER_PROGRAM,
        "Check what runs between Twilio and the inspector": _ANOTHER_PROGRAM,
    },
}
"""The fixes that no program can apply, by module and by how they begin, and why."""


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.name for row in ROWS])
def test_fix_that_is_printed_is_followed_and_nothing_is_left(number):
    assert follow_all(number)


def find_most_exact(fixes: list[PrintedFix], row: Row, done: Followed) -> list[PrintedFix]:
    """Return the fixes in the source of which the printed one is an instance."""
    matching = [
        fix
        for fix in fixes
        if fix.module in row.modules
        and (not fix.function or fix.function in done.functions)
        and fix.pattern.fullmatch(done.objection.fix)
    ]
    longest = max((len(fix.text) for fix in matching), default=0)
    return [fix for fix in matching if len(fix.text) == longest]


def test_every_fix_of_an_objection_has_a_row_or_a_reason():
    fixes = [fix for fix in find_printed_fixes() if fix.made == "Objection"]
    covered = {
        fix
        for number, row in enumerate(ROWS)
        for done in follow_all(number)
        for fix in find_most_exact(fixes, row, done)
    }
    assert_all_are_listed(fixes, covered, NOT_APPLIED)
