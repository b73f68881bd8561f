"""What is said of faulty messages, payloads, sounds, TwiML documents and captures, and of codes."""

from __future__ import annotations

import json
from base64 import b64encode, encodebytes, urlsafe_b64encode
from contextlib import suppress

import numpy as np
from common import (
    CALL,
    SAMPLES,
    STREAM,
    Pages,
    fields_of,
    format_error,
    hashed,
    html_lines,
    objections,
    outcome,
)
from notebook_shell import render_html
from sounds import ODD_WAVS, pcm
from wire import a_capture

import twistream_kit as kit
from twistream_kit import from_twilio, to_twilio

_SOUND = bytes(range(0x90, 0xB0)) * 10
_WAV = ODD_WAVS["plain PCM at 8 kHz"]


def _b64(payload: bytes) -> str:
    return b64encode(payload).decode()


def _media(payload: object = None, **changes: object) -> dict:
    text = _b64(payload) if isinstance(payload, bytes) else payload
    return {"event": "media", "streamSid": STREAM, "media": {"payload": text}} | changes


def _mark(**changes: object) -> dict:
    return {"event": "mark", "streamSid": STREAM, "mark": {"name": "x"}} | changes


MESSAGES = {
    # right ones
    "media": _media(_SOUND),
    "mark": _mark(),
    "clear": {"event": "clear", "streamSid": STREAM},
    # names and places
    "playload beside the event": {"event": "media", "streamSid": STREAM, "playload": _b64(_WAV)},
    "playload without streamSid": {"event": "media", "playload": _b64(_WAV)},
    "playload in media": _media(media={"playload": _b64(_SOUND)}),
    "payload beside the event": {"event": "media", "streamSid": STREAM, "payload": _b64(_SOUND)},
    "media is text": _media(media=_b64(_SOUND)),
    "media is missing": {"event": "media", "streamSid": STREAM},
    "stream_sid": {"event": "clear", "stream_sid": STREAM},
    "streamSID": {"event": "clear", "streamSID": STREAM},
    "no streamSid": {"event": "clear"},
    "another stream": {"event": "clear", "streamSid": "MZ" + "9" * 32},
    "the SID of the call": {"event": "clear", "streamSid": CALL},
    "streamSid null": {"event": "clear", "streamSid": None},
    "streamSid inside media": {"event": "media", "media": {"streamSid": STREAM, "payload": "AAAA"}},
    "type for event": {"type": "clear", "streamSid": STREAM},
    "no event": {"streamSid": STREAM, "media": {"payload": _b64(_SOUND)}},
    "event is a number": {"event": 7, "streamSid": STREAM},
    "capitals": _media(_SOUND, event="MEDIA"),
    "playAudio": _media(_SOUND, event="playAudio"),
    "clearAudio": {"event": "clearAudio", "streamSid": STREAM},
    "say": {"event": "say", "streamSid": STREAM, "text": "hello"},
    "connected": {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    "start": {"event": "start", "streamSid": STREAM, "start": {}},
    "dtmf": {"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "1"}},
    "stop": {"event": "stop", "streamSid": STREAM},
    "an event of a speech service": {"type": "response.audio.delta", "delta": _b64(_SOUND)},
    "mark without name": _mark(mark={}),
    "mark without object": {"event": "mark", "streamSid": STREAM},
    "mark with label": _mark(mark={"label": "x"}),
    "mark with number": _mark(mark={"name": 7}),
    "mark with empty name": _mark(mark={"name": ""}),
    "mark, long": _mark(mark={"name": "x" * 2000}),
    "mark, not ASCII": _mark(mark={"name": "ü"}),
    "clear with object": {"event": "clear", "streamSid": STREAM, "clear": {}},
    "sequenceNumber": _media(_SOUND, sequenceNumber="4"),
    "track": _media(media={"payload": _b64(_SOUND), "track": "outbound"}),
    # text
    "a dict as Python prints it": str(_media(_SOUND)),
    "empty": "",
    "blank": "  \n",
    "two in one": json.dumps(_mark()) + "\n" + json.dumps(_mark()),
    "cut off": json.dumps(_mark())[:-9],
    "NaN": json.dumps(_media(_SOUND, at=float("nan"))),
    "a list": json.dumps([_mark()]),
    "a string": json.dumps(json.dumps(_mark())),
    "JSON in bytes": json.dumps(_mark()).encode(),
    "sound in bytes": _SOUND,
    "no bytes": b"",
    "a WAV file in bytes": _WAV,
    "lone surrogate": '"\ud800"',
    # base64
    "repr of bytes": _media(str(b64encode(_SOUND))),
    "data URL": _media("data:audio/wav;base64,AAAA"),
    "lines": _media(encodebytes(_SOUND).decode()),
    "for URLs": _media(urlsafe_b64encode(b"\xff\xfb" * 80).decode()),
    "no padding": _media(_b64(_SOUND).rstrip("=")),
    "a list of numbers": _media(list(_SOUND)),
    "null": _media(None),
    "hexadecimal": _media(_SOUND.hex() + "0"),
    "Latin": _media("ÿÿÿÿ"),
    # payloads that Twilio accepts
    "empty payload": _media(b""),
    "one byte": _media(b"\xff"),
    "161 bytes": _media(b"\xd5" * 161),
    "zeros": _media(bytes(1600)),
    "FF": _media(b"\xff" * 1600),
    "twice": _media(b64encode(_SOUND * 3)),
    "16-bit": _media(pcm(440, 0.2, 8000).astype("<i2").tobytes()),
    "an error in words": _media(b"The quota of this key is used up, try again tomorrow."),
    **{f"file: {name}": _media(raw) for name, raw in ODD_WAVS.items()},
}


def record() -> dict[str, str]:
    """One page for each kind of thing that is reviewed."""
    pages = Pages()
    for name, message in MESSAGES.items():
        said = outcome(lambda message=message: kit.review(message, stream_sid=STREAM), objections)
        pages.add("messages", name, said)
    for message in (_mark(), {"event": "clear", "streamSid": "nonsense"}, {"event": "clear"}):
        said = outcome(lambda message=message: kit.review(message), objections)
        pages.add("messages", f"without stream_sid=: {message}", said)
    pages.add("messages", "repr of a review", repr(kit.review(MESSAGES["playload in media"])))
    pages.add("messages", "repr of none", repr(kit.review(json.dumps(_mark()))))
    pages.add(
        "messages", "HTML", html_lines(render_html(kit.review(json.dumps(MESSAGES["capitals"]))))
    )
    for message in (7, None, ["x"], object):
        pages.add(
            "messages", f"{message!r}", outcome(lambda message=message: kit.review(message), str)
        )
    for name, source in _sounds().items():
        said = outcome(lambda source=source: kit.review_sound(source), objections)
        pages.add("sounds", name, said)
    _codes(pages)
    for name, xml in TWIML.items():
        said = outcome(lambda xml=xml: kit.review_twiml(xml), objections)
        pages.add("twiml", name, said)
    for name, capture in {"a call": a_capture(), "empty": kit.Capture()}.items():
        mistakes = kit.review_capture(capture)
        pages.add("captures", name, f"{len(mistakes)} mistakes")
        for mistake in mistakes:
            pages.add("captures", f"{name}, {mistake.place}", fields_of(mistake))
    return pages.texts()


def _frames(payload: bytes, size: int = 160) -> list[bytes]:
    return [payload[at : at + size] for at in range(0, len(payload), size)]


def _timed(payloads: list[bytes], step: float | None = None) -> kit.Capture:
    """A capture of payloads sent one after the other, in time or with the given step."""
    capture = kit.Capture(STREAM, CALL)
    capture.append(from_twilio.Start(STREAM), 0.0)
    at = 0.1
    for payload in payloads:
        capture.append(to_twilio.Media(STREAM, payload), at)
        at += len(payload) / 8000 if step is None else step
    return capture


def _alaw(samples: np.ndarray) -> bytes:
    pcm16 = samples.astype(np.int32)
    magnitude = np.where(pcm16 >= 0, pcm16, ~pcm16) >> 4
    exponent = np.maximum(np.int32(0), np.frexp(np.maximum(magnitude, 1))[1] - 5)
    mantissa = (magnitude >> np.maximum(exponent - 1, 0)) & 15
    mantissa = np.where(exponent == 0, magnitude & 15, mantissa)
    exponent = np.where((exponent == 0) & (magnitude >= 16), 1, exponent)
    return (
        (((exponent << 4) | mantissa | np.where(pcm16 >= 0, 0x80, 0)) ^ 0x55).astype("u1").tobytes()
    )


def _resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    at = np.arange(int(len(samples) * rate / 8000)) * 8000 / rate
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)


def _sounds() -> dict[str, object]:
    clip = kit.load_clip(SAMPLES / "greeting.wav")
    voice = clip.samples()
    at_24k = _resampled(voice, 24000)
    pieces = [
        kit.Clip.from_samples(at_24k[at : at + 480], 24000).payload
        for at in range(0, len(at_24k) - 480, 480)
    ]
    noise = np.random.default_rng(7).integers(0, 256, 32000).astype(np.uint8).tobytes()
    with_header = _WAV[:44] + clip.payload
    return {
        "a voice, bytes": clip.payload,
        "a voice, in time": _timed(_frames(clip.payload)),
        "a voice, at once": _timed(_frames(clip.payload), 0.0),
        "frames of a list": _frames(clip.payload),
        "messages": [to_twilio.Media(STREAM, piece) for piece in _frames(clip.payload)],
        "nothing": b"",
        "no frames": [],
        "empty frames": [b""] * 5,
        "a header at the beginning": with_header,
        "a header in frames": _timed(
            [to_twilio.parse(json.dumps(_media(piece))).payload for piece in _frames(clip.payload)]
        ),
        "16-bit": voice.astype("<i2").tobytes(),
        "16-bit in time": _timed(_frames(voice.astype("<i2").tobytes())),
        "16-bit, big-endian": voice.astype(">i2").tobytes(),
        "16-bit at 24 kHz": at_24k.astype("<i2").tobytes(),
        "8-bit": ((voice >> 8) + 128).astype(np.uint8).tobytes(),
        "A-law": _alaw(voice),
        "24 kHz": kit.encode_ulaw(at_24k),
        "16 kHz": kit.encode_ulaw(_resampled(voice, 16000)),
        "4 kHz": kit.encode_ulaw(_resampled(voice, 4000)),
        "clipped": kit.encode_ulaw((voice * 8.0).clip(-32768, 32767).astype(np.int16)),
        "each piece converted on its own": _timed(pieces),
        "silence": kit.Clip.silence(2).payload,
        "zeros": bytes(16000),
        "no whole frames": _timed(_frames(clip.payload, 170)),
        "tiny pieces": _timed(_frames(clip.payload[:4000], 20)),
        "20 ms, then a sleep of 20 ms": _timed(_frames(clip.payload), 0.0213),
        "half as fast as it plays": _timed(_frames(clip.payload), 0.04),
        "eleven minutes at once": _timed([kit.Clip.tone(440, 60).payload] * 11, 0.0),
        "base64 in frames": b64encode(clip.payload),
        "hexadecimal": clip.payload.hex().encode(),
        "white noise": noise,
        "text": b"The quota of this key is used up, try again tomorrow. " * 40,
        "the same frame again and again": clip.payload[8000:8160] * 100,
        "coded twice": kit.encode_ulaw(
            np.frombuffer(clip.payload, np.uint8).astype(np.int16) * 100
        ),
        "a WAV file, bytes": _WAV,
        "a call": a_capture(),
        "no sound at all": kit.Capture(),
    }


def _codes(pages: Pages) -> None:
    known = []
    for number in range(10000, 100_000):
        with suppress(LookupError):
            known.append(kit.explain(number))
    pages.add("codes", "all that are known", " ".join(str(code.code) for code in known))
    for code in known:
        page = f"codes_{code.code // 10000}xxxx"
        html = hashed(render_html(code))
        pages.add(
            page,
            code.code,
            f"{code}\n--- {code.level}, HTTP {code.http_status}, {code.url}\n--- HTML: {html}",
        )
    pages.add("codes", "HTML of 31951", html_lines(render_html(kit.explain(31951))))
    pages.add("codes", "repr of 31951", repr(kit.explain(31951)))
    for asked in ("Error 31951 - Stream", "31951", 31952, "nothing", "", 0, -1, 99999, "1 2 31951"):
        try:
            said = str(kit.explain(asked).code)  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001 - every error is a record
            said = format_error(error)
        pages.add("codes", f"explain({asked!r})", said)
    for text in [*range(100, 5000), *(f"ERR_NGROK_{number}" for number in range(10_000))]:
        with suppress(LookupError):
            explained = kit.explain(text)
            if "not among the numbers known here" not in repr(explained):
                pages.add("codes_of_services", text, repr(explained))
    pages.add("codes_of_services", "HTML of 1006", html_lines(render_html(kit.explain(1006))))
    pages.add("codes_of_services", "HTML of 1015", html_lines(render_html(kit.explain(1015))))


_STREAM = "<Stream url='wss://example.com/media'/>"
_CONNECT = f"<Connect>{_STREAM}</Connect>"


def _stream(attributes: str = "", inside: str = "", url: str = "wss://example.com/media") -> str:
    stream = f"<Stream url='{url}' {attributes}>{inside}</Stream>"
    return f"<Response><Connect>{stream}</Connect></Response>"


TWIML = {
    "right": f"<Response>{_CONNECT}</Response>",
    "as bytes": f"<Response>{_CONNECT}</Response>".encode(),
    "no stream": "<Response><Dial><Number>+15550100001</Number></Dial></Response>",
    "empty": "",
    "blank": " ",
    "no XML": "hello",
    "JSON": "{}",
    "HTML": "<html><body/></html>",
    "bare &": "<Response>\n<Say>Q & A</Say></Response>",
    "bare <": "<Response><Say>a < b</Say></Response>",
    "mismatched": "<Response><Connect></Response>",
    "open": "<Response><Connect>",
    "two roots": "<Response/><Response/>",
    "blank before the declaration": " <?xml version='1.0'?><Response/>",
    "BOM": "\ufeff<Response/>",
    "surrogate": "<Response>\ud800</Response>",
    "entities": '<!DOCTYPE a [<!ENTITY a "aa">]><Response>&a;</Response>',
    "lower case": "<response/>",
    "version": '<Response version="2"/>',
    "connect": "<Response><connect/></Response>",
    "Conect": "<Response><Conect/></Response>",
    "stream": "<Response><Connect><stream/></Connect></Response>",
    "Stream alone": f"<Response>{_STREAM}</Response>",
    "Parameter outside": (
        f"<Response><Connect>{_STREAM}<Parameter name='a' value='b'/></Connect></Response>"
    ),
    "Say inside Stream": _stream(inside="<Say>hi</Say>"),
    "text inside": _stream(inside="hello"),
    "Start": f"<Response><Start>{_STREAM}</Start></Response>",
    "Start and Pause": f"<Response><Start>{_STREAM}</Start><Pause length='60'/></Response>",
    "Say after Connect": f"<Response>{_CONNECT}<Say>Bye.</Say></Response>",
    "Connect with action": f"<Response><Connect action='/next'>{_STREAM}</Connect></Response>",
    "Connect without Stream": "<Response><Connect/></Response>",
    "two Streams": f"<Response><Connect>{_STREAM}{_STREAM}</Connect></Response>",
    "no url": "<Response><Connect><Stream/></Connect></Response>",
    **{
        f"url {url!r}": _stream(url=url)
        for url in (
            "",
            "https://example.com",
            "ws://example.com/m",
            "ws://127.0.0.1:5000/m",
            "wss://",
            "/m",
            "wss://example.com/m?a=1",
            "wss://example.com:8443/m",
            "wss://user:secret@example.com/m",
            "wss://example.com/m#x",
            "wss://localhost/m",
            "wss://10.0.0.1/m",
            "wss://exa mple.com",
        )
    },
    **{
        f"attribute {text}": _stream(attributes=text)
        for text in (
            "track='inbound_track'",
            "track='both_tracks'",
            "track='left'",
            "URL='x'",
            "statuscallback='x'",
            "statusCallback='/relative'",
            "statusCallbackMethod='PUT'",
            "name='a'",
            "nonsense='1'",
        )
    },
    "Parameter": _stream(inside="<Parameter name='a' value='b'/>"),
    "Parameter without name": _stream(inside="<Parameter value='b'/>"),
    "Parameter without value": _stream(inside="<Parameter name='a'/>"),
    "Parameter twice": _stream(inside="<Parameter name='a' value='b'/>" * 2),
    "Parameter too long": _stream(inside=f"<Parameter name='a' value='{'b' * 500}'/>"),
    "4000 characters": f"<Response><Say>{'a' * 4000}</Say></Response>",
    "64 kB": f"<Response><Say>{'a' * 65536}</Say></Response>",
    "deep": "<Response>" + "<a>" * 500 + "</a>" * 500 + "</Response>",
    "Stop": "<Response><Stop><Stream name='a'/></Stop></Response>",
}
