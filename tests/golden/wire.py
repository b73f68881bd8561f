"""What goes over the wire and into files, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path

import numpy as np
import websockets
from common import ACCOUNT, CALL, SAMPLES, STREAM, TOKEN, Pages, hashed, listed, outcome
from sounds import ODD_WAVS, pcm

import twistream_kit as kit
from twistream_kit import from_twilio, to_twilio

TO_TWILIO = [
    to_twilio.Media(STREAM, b""),
    to_twilio.Media(STREAM, bytes(range(256))),
    to_twilio.Mark(STREAM, "greeting"),
    to_twilio.Mark(STREAM, 'ü "quoted" \\ \n 🎈'),
    to_twilio.Clear(STREAM),
    to_twilio.Clear('MZ"'),
]
FROM_TWILIO = [
    from_twilio.Connected(),
    from_twilio.Start(STREAM, ACCOUNT, CALL),
    from_twilio.Start(STREAM, custom_parameters={"name": "Ünal", "empty": ""}, sequence_number=9),
    from_twilio.Media(STREAM, b"\xff" * 160, 2, "inbound", 1, 57),
    from_twilio.Dtmf(STREAM, "#", 7),
    from_twilio.Mark(STREAM, "greeting", 8),
    from_twilio.Stop(STREAM, ACCOUNT, CALL, 9),
    from_twilio.parse(
        '{"event":"video","sequenceNumber":"3","streamSid":"' + STREAM + '","x":[1]}'
    ),
]
NOT_FROM_TWILIO = [
    "",
    "[]",
    "{",
    "null",
    '"media"',
    b"\x00\xff",
    "{}",
    '{"event":7}',
    '{"event":"start"}',
    '{"event":"start","start":{}}',
    '{"event":"start","start":{"streamSid":7}}',
    '{"event":"start","streamSid":"MZ1","start":{"customParameters":[]}}',
    '{"event":"media","streamSid":"MZ1"}',
    '{"event":"media","media":{"payload":"AAAA"}}',
    '{"event":"media","streamSid":"MZ1","media":{"payload":"A"}}',
    '{"event":"media","streamSid":"MZ1","media":{"payload":7}}',
    '{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA","chunk":"x"}}',
    '{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA","chunk":" 4 ","timestamp":"7"}}',
    '{"event":"media","streamSid":"MZ1","sequenceNumber":5,"media":{"payload":"","track":"both"}}',
    '{"event":"dtmf","streamSid":"MZ1","dtmf":{}}',
    '{"event":"dtmf","streamSid":"MZ1"}',
    '{"event":"mark","streamSid":"MZ1","mark":{"name":null}}',
    '{"event":"stop","streamSid":"MZ1"}',
    '{"event":"stop","streamSid":"MZ1","stop":{"callSid":5}}',
    '{"event":"connected"}',
    '{"event":"connected","protocol":"Call","version":"2.0.0","extra":true}',
    "[" * 200_000,
]
NOT_TO_TWILIO = [
    "",
    "[]",
    "{",
    b"{}",
    "NaN",
    '{"event":NaN}',
    "{}",
    '{"event":"clear"}',
    '{"event":"say"}',
    '{"event":"clear","streamSid":7}',
    '{"event":"clear","streamSid":"MZ1","extra":1}',
    '{"event":"mark","streamSid":"MZ1"}',
    '{"event":"mark","streamSid":"MZ1","mark":[]}',
    '{"event":"mark","streamSid":"MZ1","mark":{"name":7}}',
    '{"event":"media","streamSid":"MZ1","media":{"payload":"A"}}',
    '{"event":"media","streamSid":"MZ1","media":{"payload":"AA A="}}',
    '{"event":"media","streamSid":"MZ1","media":{"payload":"UklGRgAAAABXQVZF"}}',
    "[" * 200_000,
]


def record() -> dict[str, str]:
    """Messages, the order in which they leave, files, TwiML, signatures."""
    pages = Pages()
    _messages(pages)
    _payloads(pages)
    _twiml(pages)
    _captures(pages)
    pages.add("outbox", "what a server sends, by what its handler does", asyncio.run(_outbox()))
    pages.add("signatures", "of a handshake", asyncio.run(_handshakes()))
    return pages.texts()


def _messages(pages: Pages) -> None:
    for message in TO_TWILIO:
        pages.add("to_twilio", repr(message)[:80], message.to_json())
        assert to_twilio.parse(message.to_json()) == message
    for message in FROM_TWILIO:
        pages.add("from_twilio", repr(message)[:80], message.to_json())
        assert from_twilio.parse(message.to_json()) == message
    for text in NOT_FROM_TWILIO:
        said = outcome(lambda text=text: from_twilio.parse(text), repr)
        pages.add("from_twilio_read", repr(text)[:120], said)
    for text in NOT_TO_TWILIO:
        said = outcome(lambda text=text: to_twilio.parse(text), repr)
        pages.add("to_twilio_read", repr(text)[:120], said)
    wav = Path(SAMPLES / "tone_440.wav").read_bytes()
    pages.add(
        "to_twilio_read", "Media of a WAV file", outcome(lambda: to_twilio.Media(STREAM, wav))
    )


def _payloads(pages: Pages) -> None:
    for path in sorted(SAMPLES.glob("*.wav")):
        pages.add(
            "payloads",
            f"load_clip({path.name})",
            outcome(lambda path=path: kit.load_clip(path), _clip),
        )
    for name, raw in ODD_WAVS.items():
        pages.add(
            "payloads", f"load_clip of {name}", outcome(lambda raw=raw: kit.load_clip(raw), _clip)
        )
    everything = np.arange(-32768, 32768).astype(np.int16)
    pages.add("payloads", "encode_ulaw of all int16", hashed(kit.encode_ulaw(everything)))
    all_bytes = kit.decode_ulaw(bytes(range(256)))
    pages.add("payloads", "decode_ulaw of all bytes", all_bytes.tolist())
    for rate in (8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000):
        resampler = kit.Resampler(rate)
        samples = pcm(440, 0.3, rate)
        pieces = [resampler.push(samples[at : at + 1000]) for at in range(0, len(samples), 1000)]
        payload = b"".join([*pieces, resampler.flush()])
        pages.add("payloads", f"a tone through Resampler({rate})", hashed(payload))
    clips = {
        "tone": kit.Clip.tone(440, 0.1),
        "dtmf": kit.Clip.dtmf("1#A"),
        "silence": kit.Clip.silence(0.05),
        "from_samples": kit.Clip.from_samples(pcm(440, 0.1, 16000), 16000),
        "sum": kit.Clip.tone(440, 0.1) + kit.Clip.silence(0.05),
    }
    for name, clip in clips.items():
        written = clip.save(Path(f"{name}.wav")).read_bytes()
        text = f"{_clip(clip)}\nfile: {hashed(written)}, header {written[:58].hex(' ')}"
        pages.add("payloads", f"Clip: {name}", text)
    for name in ("question", "greeting"):
        done = kit.convert_file(SAMPLES / f"{name}.wav", f"{name}-converted.wav")
        written = Path(f"{name}-converted.wav").read_bytes()
        pages.add("payloads", f"convert_file({name})", f"{done!r}\n{hashed(written)}")


def _clip(clip: kit.Clip) -> str:
    return (
        f"{clip!r}: {clip.seconds} s, clipped {clip.clipped}, "
        f"missing {clip.missing_seconds:.4f}\n{hashed(clip.payload)}"
    )


def _twiml(pages: Pages) -> None:
    url = "wss://example.com/media"
    arguments = [
        {"url": url},
        {"url": url, "parameters": {"name": "Ünal <&>", "id": "7"}, "name": "main"},
        {
            "url": url,
            "status_callback": "https://example.com/status",
            "status_callback_method": "GET",
        },
        {"url": url, "action": "/next", "method": "POST"},
        {"url": "ws://127.0.0.1:5000/media"},
        {"url": "ws://example.com/media"},
        {"url": url + "?a=1"},
        {"url": "https://example.com"},
        {"url": "wss://"},
        {"url": ""},
        {"url": "/media"},
        {"url": url, "method": "PUT"},
        {"url": url, "parameters": {"": "x"}},
        {"url": url, "parameters": {"n": 7}},
        {"url": url, "parameters": {"n": "\x00"}},
        {"url": url, "parameters": {"n": "x" * 500}},
        {"url": url, "parameters": {f"n{i}": "x" * 400 for i in range(12)}},
    ]
    for options in arguments:
        said = outcome(lambda options=options: kit.connect_stream(**options))
        pages.add("twiml", repr(options)[:150], said)


def a_capture() -> kit.Capture:
    """A call of a second or two, of which everything is known."""
    capture = kit.Capture(STREAM, CALL, started=100.0)
    clip = kit.Clip.tone(440, 1.2).payload
    capture.note_status(98.0, "ringing")
    capture.note_status(99.5, "in-progress")
    capture.append(from_twilio.Connected(), 100.0)
    capture.append(
        from_twilio.Start(STREAM, ACCOUNT, CALL, custom_parameters={"customer": "42"}), 100.0
    )
    for frame in range(75):
        silence = frame < 20 or frame > 60
        payload = b"\xff" * 160 if silence else clip[frame * 16 : frame * 16 + 160]
        at = 100.02 + frame * 0.02
        media = from_twilio.Media(STREAM, payload, frame + 2, "inbound", frame + 1, 57 + 20 * frame)
        capture.append(media, at)
    for start in range(0, len(clip), 160):
        capture.append(to_twilio.Media(STREAM, clip[start : start + 160]), 100.3)
    capture.append(to_twilio.Mark(STREAM, "greeting#1@1s"), 100.3)
    capture.append(to_twilio.Mark(STREAM, "greeting#1"), 100.31)
    capture.append(from_twilio.Dtmf(STREAM, "5", 80), 100.8)
    capture.append(to_twilio.Clear(STREAM), 100.9)
    capture.append(from_twilio.Mark(STREAM, "greeting#1@1s", 81), 100.92)
    capture.append(from_twilio.Mark(STREAM, "greeting#1", 82), 100.92)
    capture.note_ending("greeting#1", "cleared")
    capture.append(to_twilio.Media(STREAM, clip[:1600]), 101.0)
    capture.append(to_twilio.Mark(STREAM, "second"), 101.0)
    capture.append(from_twilio.Mark(STREAM, "second", 83), 101.21)
    capture.note_ending("second", "heard")
    capture.note_odd(101.3, '{"event":"media","streamSid":"' + STREAM + '","playload":"AAAA"}')
    capture.note_odd(101.31, b"\x00\x01binary")
    capture.append(from_twilio.Stop(STREAM, ACCOUNT, CALL, 84), 101.5)
    capture.note_status(101.6, "completed")
    return capture


def _captures(pages: Pages) -> None:
    capture = a_capture()
    for redact in (False, True):
        path = capture.save(f"call-{redact}.jsonl", redact=redact)
        written = path.read_text(encoding="utf-8")
        lines = written.splitlines()
        short = [line for line in lines if len(line) < 260 and '"payload"' not in line]
        pages.add("captures", f"saved, redact={redact}", "\n".join([*short, hashed(written)]))
        media = [line for line in lines if '"payload"' in line]
        pages.add(
            "captures",
            f"of the lines with sound, the first and last, redact={redact}",
            listed([media[0][:400], media[-1][:300]]),
        )
        again = kit.Capture.load(path)
        pages.add("captures", f"read again, redact={redact}", again)
        copy = again.save(f"again-{redact}.jsonl", redact=redact)
        assert (copy.read_text(encoding="utf-8") == written) or redact
        pages.add("captures", f"saved again, redact={redact}", hashed(copy.read_bytes()))
    wav = capture.stereo("call.wav").read_bytes()
    pages.add("captures", "stereo", f"{hashed(wav)}, header {wav[:44].hex(' ')}")
    pages.add("captures", "caller", _clip(capture.caller))
    pages.add("captures", "heard", _clip(capture.heard))
    whole = Path("call-False.jsonl").read_bytes()
    broken = {
        "empty": b"",
        "text": b"hello",
        "one brace": b"{",
        "cut off": whole[: len(whole) // 2],
        "header alone": whole.splitlines()[0],
        "WAV": (SAMPLES / "question.wav").read_bytes()[:500],
        "newer": whole.replace(b'"version":', b'"version":9', 1),
        "line that is no JSON": whole + b"{\n",
        "HTML": b"<html></html>",
        "a JSON list": b"[]",
        "no version": b'{"kind":"capture"}\n',
    }
    for name, raw in broken.items():
        said = outcome(lambda raw=raw: kit.Capture.read(raw, Path("given.jsonl")))
        pages.add("captures", f"read: {name}", said)


async def _outbox() -> str:
    """What a client receives that speaks as Twilio does, message by message."""
    tone = kit.Clip.tone(440, 0.06)

    def plays(stream):
        stream.play(tone, mark="hello")
        stream.mark("between")
        stream.play(tone)

    def interrupts(stream):
        stream.play(kit.Clip.tone(440, 9), mark="long")
        stream.mark("kept")
        stream.clear()
        stream.play(tone, mark="after")

    def long(stream):
        stream.play(kit.Clip.tone(440, 2.5), mark="story")

    def same_names(stream):
        for _ in range(2):
            stream.play(tone, mark="again")

    texts = []
    for name, does in {
        "two sounds and a mark": plays,
        "an interruption": interrupts,
        "two seconds and a half": long,
        "one name twice": same_names,
    }.items():
        messages = await _received(does)
        texts.append(f"--- {name}\n{listed(_counted(messages))}")
    return "\n".join(texts)


async def _received(does) -> list[str]:
    async def handler(stream):
        does(stream)
        stream.mark("end of the record")
        await stream.closed

    messages: list[str] = []
    async with (
        kit.StreamServer(handler) as server,
        websockets.connect(server.url, proxy=None) as client,
    ):
        await client.send(from_twilio.Connected().to_json())
        await client.send(from_twilio.Start(STREAM, ACCOUNT, CALL).to_json())
        async for text in client:
            messages.append(text)
            if "end of the record" in text:
                break
        await client.send(from_twilio.Stop(STREAM, ACCOUNT, CALL, 2).to_json())
    return messages


def _counted(messages: list[str]) -> list[str]:
    """Join runs of media into one line each."""
    lines: list[str] = []
    run: list[str] = []
    for text in [*messages, ""]:
        if '"media"' in text:
            run.append(text)
            continue
        if run:
            payload = b"".join(
                base64.b64decode(json.loads(each)["media"]["payload"]) for each in run
            )
            lines.append(f"{len(run)} × media, {hashed(payload)}, all of it {hashed(''.join(run))}")
            run = []
        if text:
            lines.append(text)
    return lines


async def _handshakes() -> str:
    """What a call's handshake looks like, and which ones a server lets in."""
    seen = []

    async def keep(socket):
        seen.append(socket.request)
        async for _ in socket:
            pass

    lines = []
    async with websockets.serve(keep, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for token in (None, TOKEN):
            url = f"ws://127.0.0.1:{port}/media"
            await kit.simulate_call(url, auth_token=token, seconds=0.1)
            headers = seen.pop().headers
            lines.append(f"token given: {token is not None}")
            lines += sorted(
                f"  {key}: {_steady_header(key, value)}" for key, value in headers.items()
            )
            if token:
                signed = [_signed(token, each) for each in (url, url.replace("ws:", "wss:", 1))]
                lines.append(
                    f"  signature is HMAC-SHA1 of [ws, wss] url: "
                    f"{[headers['X-Twilio-Signature'] == each for each in signed]}"
                )
    async with kit.StreamServer(auth_token=TOKEN) as server:
        right = server.signature_for_handshake()
        lines.append(
            f"signature_for_handshake is that of wss: "
            f"{right == _signed(TOKEN, server.url.replace('ws:', 'wss:', 1))}, "
            f"of ws: {right == _signed(TOKEN, server.url)}"
        )
        for name, signature in {"none": None, "wrong": "x", "right": right}.items():
            headers = {} if signature is None else {"X-Twilio-Signature": signature}
            try:
                async with websockets.connect(
                    server.url, additional_headers=headers, proxy=None, compression=None
                ):
                    said = "let in"
            except websockets.InvalidStatus as error:
                body = (error.response.body or b"").decode()
                said = f"{error.response.status_code} {error.response.reason_phrase}: {body}"
            lines.append(f"signature {name}: {said}")
    return listed(lines)


def _signed(token: str, text: str) -> str:
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


def _steady_header(key: str, value: str) -> str:
    steady = {"sec-websocket-key": "KEY", "x-twilio-signature": "SIGNATURE"}
    return steady.get(key.lower(), value)
