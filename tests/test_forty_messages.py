"""The message this project comes from, and what else is sent to Twilio and never heard.

One table: what is sent, the code that Twilio logs (None: it logs nothing), the field at fault, and
words of the fix.  Sources: PROTOCOL.md §4, §5 and the threads of §9.
"""

from __future__ import annotations

import json
from base64 import b64encode, encodebytes, urlsafe_b64encode
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import soxr

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.diagnosis.message import review_message
from twistream_kit.diagnosis.sound import SoundReview, review_sound

SID = "MZ00000000000000000000000000000011"
CALL = "CA00000000000000000000000000000011"
GREETING = "sample_audio/greeting.wav"
HEADER = (
    b"RIFF\xa4\x1f\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\x80\x1f\0\0"
)


def b64(payload: bytes) -> str:
    return b64encode(payload).decode()


def media(payload=None, **changes):
    text = b64(payload) if isinstance(payload, bytes) else payload
    return {"event": "media", "streamSid": SID, "media": {"payload": text}, **changes}


def mark(**changes):
    return {"event": "mark", "streamSid": SID, "mark": {"name": "x"}, **changes}


SOUND = bytes(range(0x90, 0xB0)) * 10


class Bad(NamedTuple):
    """A message, or the payloads of a stream, and what must be said of it first."""

    name: str
    sent: object
    code: int | None
    field: str
    fix: str


MESSAGES = [
    # the question itself, as it was asked and in its two next variations
    Bad("playload beside the event, a WAV file, no mark",
        {"event": "media", "streamSid": SID, "playload": b64(HEADER + SOUND)},
        31951, "playload", 'Write "media": {"payload": …}'),
    Bad("playload without a streamSid",
        {"event": "media", "playload": b64(HEADER + SOUND)},
        31951, "streamSid", "Add streamSid"),
    Bad("playload inside media",
        {"event": "media", "streamSid": SID, "media": {"playload": b64(HEADER + SOUND)}},
        31951, "media.playload", "Rename it to media.payload"),
    # names
    Bad("stream_sid", {"event": "clear", "stream_sid": SID},
        31951, "stream_sid", "Rename it to streamSid"),
    Bad("no streamSid", {"event": "clear"}, 31951, "streamSid", "Add streamSid"),
    Bad("streamSid of another call", {"event": "clear", "streamSid": SID[:-1] + "2"},
        31951, "streamSid", "Use the stream_sid of this call's start message"),
    Bad("the call's SID for the stream's", {"event": "clear", "streamSid": CALL},
        31951, "streamSid", "Use the stream_sid of this call's start message"),
    Bad("streamSid null", {"event": "clear", "streamSid": None},
        31951, "streamSid", "Use the stream_sid of this call's start message"),
    Bad("streamSid inside media",
        {"event": "media", "media": {"streamSid": SID, "payload": b64(SOUND)}},
        31951, "media.streamSid", "Move it to the top"),
    Bad("type for event", {"type": "clear", "streamSid": SID},
        31951, "type", "Rename it to event"),
    Bad("no event", {"streamSid": SID, "media": {"payload": b64(SOUND)}},
        31951, "event", "Add event"),
    Bad("event in capitals", media(SOUND, event="MEDIA"), 31951, "event", "Write 'media'"),
    Bad("Plivo's playAudio", media(SOUND, event="playAudio"), 31951, "event", "Write 'media'"),
    Bad("Plivo's clearAudio", {"event": "clearAudio", "streamSid": SID},
        31951, "event", "Write 'clear'"),
    Bad("an event that is none", {"event": "say", "streamSid": SID, "text": "hello"},
        31951, "event", "'media', 'mark' or 'clear'"),
    Bad("a greeting", {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        31951, "event", "Twilio needs no greeting"),
    Bad("keys pressed by the server",
        {"event": "dtmf", "streamSid": SID, "dtmf": {"track": "inbound_track", "digit": "1"}},
        31951, "event", "keys cannot be sent through a stream"),
    Bad("stop to hang up", {"event": "stop", "streamSid": SID}, 31951, "event", "stream.close()"),
    # structure
    Bad("payload beside the event", {"event": "media", "streamSid": SID, "payload": b64(SOUND)},
        31951, "payload", 'Write "media": {"payload": …}'),
    Bad("media is the payload itself", media(media=b64(SOUND)),
        31951, "media", 'Write "media": {"payload": …}'),
    Bad("mark without its name", mark(mark={}), 31951, "mark.name", "Add mark.name"),
    Bad("mark without its object", {"event": "mark", "streamSid": SID},
        31951, "mark", 'Write "mark": {"name": …}'),
    Bad("mark with a label", mark(mark={"label": "x"}),
        31951, "mark.label", "Rename it to mark.name"),
    Bad("mark with a number for a name", mark(mark={"name": 7}),
        31951, "mark.name", "str(number)"),
    Bad("mark with an empty name", mark(mark={"name": ""}),
        None, "mark.name", "Give each mark a name"),
    Bad("clear with an object", {"event": "clear", "streamSid": SID, "clear": {}},
        31951, "clear", "Leave it out"),
    Bad("sequenceNumber copied from Twilio", media(SOUND, sequenceNumber="4"),
        31951, "sequenceNumber", "Leave it out"),
    Bad("track copied from Twilio", media(media={"payload": b64(SOUND), "track": "outbound"}),
        31951, "media.track", "Leave it out"),
    # text that is no JSON, and what is no text
    Bad("a dict as Python prints it", str(media(SOUND)), 31951, "", "json.dumps(message)"),
    Bad("an empty message", "", 31951, "", "Send nothing instead"),
    Bad("two messages in one", json.dumps(mark()) + "\n" + json.dumps(mark()),
        31951, "", "to_json()"),
    Bad("a number that JSON has not", json.dumps(media(SOUND, at=float("nan"))),
        31951, "", "to_json()"),
    Bad("a list of messages", json.dumps([mark()]), 31951, "", "one object for each message"),
    Bad("JSON sent as bytes", json.dumps(mark()).encode(), 31950, "", "Send it as str"),
    Bad("bare sound sent as bytes", SOUND, 31950, "", "stream.play(clip)"),
    # base64
    Bad("bytes as Python prints them", media(str(b64encode(SOUND))),
        31951, "media.payload", "Use b64encode(payload).decode()"),
    Bad("a data URL", media("data:audio/wav;base64," + b64(SOUND)),
        31951, "media.payload", "Send what follows the comma"),
    Bad("base64 in lines", media(encodebytes(SOUND).decode()),
        31951, "media.payload", "Use b64encode, not encodebytes"),
    Bad("base64 for URLs", media(urlsafe_b64encode(b"\xff\xfb" * 80).decode()),
        31951, "media.payload", "not urlsafe_b64encode"),
    Bad("base64 without padding", media(b64(SOUND).rstrip("=")),
        31951, "media.payload", "in one piece"),
    Bad("numbers in a list", media(list(SOUND)),
        31951, "media.payload", "Numbers in a list are not sound"),
    Bad("no payload", media(None), 31951, "media.payload", "Send base64 text"),
    Bad("hexadecimal", media(SOUND.hex() + "0"), 31951, "media.payload", "b64encode(payload)"),
    # base64 that Twilio accepts, and no sound in it
    Bad("an empty payload", media(b""), None, "media.payload", "what the bytes were read from"),
    Bad("a WAV file", media(HEADER + SOUND), None, "media.payload", "kit.load_clip(path)"),
    Bad("an AU file", media(b".snd\0\0\0\x18\0\0\0\x80\0\0\0\1\0\0\x1f\x40\0\0\0\1" + SOUND),
        None, "media.payload", "kit.load_clip(path)"),
    Bad("an MP3 file with a tag", media(b"ID3\x04\0\0\0\0\0\x10" + SOUND),
        None, "media.payload", "kit.load_clip(path)"),
    Bad("an Ogg file", media(b"OggS\0\2" + bytes(8) + SOUND),
        None, "media.payload", "kit.load_clip(path)"),
    Bad("a FLAC file", media(b"fLaC\0\0\0\x22" + SOUND),
        None, "media.payload", "kit.load_clip(path)"),
    Bad("base64 twice", media(b64encode(np.random.default_rng(1).bytes(160))),
        None, "media.payload", "Encode the bytes once"),
    Bad("an error as JSON", media(b'{"error":{"message":"Incorrect API key provided"}}'),
        None, "media.payload", "look at the status"),
    Bad("an error as HTML", media(b"<!DOCTYPE html><html><head><title>502</title></head></html>"),
        None, "media.payload", "look at the status"),
    Bad("an error in words", media(b"The quota of this key is used up, try again tomorrow."),
        None, "media.payload", "look at the status"),
    Bad("silence of 0x00", media(bytes(1600)), None, "media.payload", "Silence is 0xFF"),
]  # fmt: skip


@pytest.mark.parametrize("bad", MESSAGES, ids=lambda bad: bad.name)
def test_a_bad_message_is_reviewed_into_code_field_and_fix(bad):
    first, *_ = review_message(bad.sent, stream_sid=SID)
    assert (first.code, first.field) == (bad.code, bad.field), str(first)
    assert bad.fix in first.fix
    assert first.problem


def test_the_question_is_answered_whole():
    misspelt, header = review_message(MESSAGES[0].sent, stream_sid=SID)
    assert "playload" in str(misspelt)
    assert "31951" in str(misspelt)
    assert "whole WAV file" in str(header)
    assert "logging nothing" in str(header)


@cache
def greeting(sample_rate=8000):
    """The sample's speech at another rate, int16."""
    samples, rate = soundfile.read(GREETING, always_2d=True)
    return (soxr.resample(samples.mean(axis=1), rate, sample_rate) * 32767).astype(np.int16)


def frames(payload, size=160):
    return [payload[at : at + size] for at in range(0, len(payload), size)]


def in_time(payloads):
    """Each piece sent when the one before has been played."""
    return [(payload, n * len(payloads[0]) / 8000) for n, payload in enumerate(payloads)]


def piecewise(ms):
    size = 24 * ms
    samples = greeting(24000)
    return [
        encode_ulaw(soxr.resample(samples[at : at + size], 24000, 8000))
        for at in range(0, len(samples) - size, size)
    ]


def alaw():
    pcm = greeting().astype(np.int32)
    magnitude = np.where(pcm >= 0, pcm, ~pcm) >> 4
    exponent = np.maximum(np.int32(0), np.frexp(np.maximum(magnitude, 1))[1] - 5)
    mantissa = (magnitude >> np.maximum(exponent - 1, 0)) & 15
    mantissa = np.where(exponent == 0, magnitude & 15, mantissa)
    exponent = np.where((exponent == 0) & (magnitude >= 16), 1, exponent)
    codes = (exponent << 4) | mantissa | np.where(pcm >= 0, 0x80, 0)
    return (codes ^ 0x55).astype(np.uint8).tobytes()


def drifting():
    """20 ms of sound, then a sleep of 20 ms, then a little work."""
    payload = load_clip(GREETING).payload
    return [(piece, n * 0.0213) for n, piece in enumerate(frames(payload))]


STREAMS = [
    Bad("a WAV file in frames", lambda: in_time(frames(HEADER + Clip.tone(440, 1).payload)),
        None, "media.payload", "kit.load_clip(path)"),
    Bad("a header in each piece", lambda: in_time([HEADER + Clip.tone(440, 0.1).payload] * 5),
        None, "media.payload", "kit.load_clip"),
    Bad("PCM16", lambda: in_time(frames(greeting().astype("<i2").tobytes())),
        None, "media.payload", "kit.Clip.from_samples"),
    Bad("PCM16, big-endian", lambda: in_time(frames(greeting().astype(">i2").tobytes())),
        None, "media.payload", "kit.Clip.from_samples"),
    Bad("PCM16 at 24 kHz", lambda: in_time(frames(greeting(24000).astype("<i2").tobytes())),
        None, "media.payload", "kit.Clip.from_samples"),
    Bad("8-bit PCM", lambda: in_time(frames(((greeting() >> 8) + 128).astype(np.uint8).tobytes())),
        None, "media.payload", "kit."),
    Bad("A-law", lambda: in_time(frames(alaw())), None, "media.payload", "kit."),
    Bad("speech at 24 kHz", lambda: in_time(frames(encode_ulaw(greeting(24000)))),
        None, "media.payload", "24000"),
    Bad("clipped",
        lambda: in_time(frames(encode_ulaw((greeting() * 8.0).clip(-32768, 32767).astype("i2")))),
        None, "media.payload", "Turn the sound down"),
    Bad("each piece converted on its own", lambda: in_time(piecewise(20)),
        None, "media.payload", "one kit.Resampler"),
    Bad("nothing but silence", lambda: in_time(frames(Clip.silence(2).payload)),
        None, "media.payload", "kit.plot_waveform"),
    Bad("sizes of no whole frame", lambda: in_time(frames(load_clip(GREETING).payload, 170)),
        None, "media.payload", "multiples of 160"),
    Bad("20 ms, then a sleep of 20 ms", drifting, None, "media", "use a clock and not sleeps"),
    Bad("eleven minutes at once", lambda: [(Clip.tone(440, 60).payload, 0.0)] * 11,
        31931, "media", "Wait for a mark"),
]  # fmt: skip


@pytest.mark.parametrize("bad", STREAMS, ids=lambda bad: bad.name)
def test_a_bad_stream_is_reviewed_into_code_field_and_fix(bad):
    review = SoundReview(SID)
    found = [each for payload, at in bad.sent() for each in review.note_sent(payload, at)]
    found += review.finish(60.0)
    fitting = [o for o in found if (o.code, o.field) == (bad.code, bad.field) and bad.fix in o.fix]
    assert fitting, found
    assert all(each.consequence for each in found)


@pytest.mark.parametrize("name", ["greeting", "question", "reply", "dtmf_123", "tone_440"])
def test_good_sound_meets_no_objection(name):
    clip = load_clip(f"sample_audio/{name}.wav")
    assert review_sound(clip.frames()) == []
    assert review_message(media(clip.payload), stream_sid=SID) == []


def test_there_are_more_than_forty():
    assert len(MESSAGES) + len(STREAMS) > 40
