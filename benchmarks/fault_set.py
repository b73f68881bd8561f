"""Reported faults drawn anew: inputs of users, each with the right answer written beside it.

Voices, texts, numbers, pages and programs are drawn by a seed.  What is really wrong with an input
is known, because this file makes it wrong; `must` and `wrong` are written here, before anything is
run.  Voices are those of espeak-ng, in languages that no other set here uses.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import tempfile
import textwrap
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

Means = Literal["sound", "message", "file", "answer", "text", "twiml", "server"]
"""How an input is asked about: `fault_answers.ask`."""


@dataclass(frozen=True, slots=True)
class Case:
    """One input and its right answer.

    Attributes:
        name: The kind, as in ``A05``, or ``right``; and what was drawn.
        means: How it is asked about.
        content: The input: payload, a file, the bytes of an HTTP answer, a text, a program.
        suffix: The suffix of a file.
        must: Patterns that the answer must hold, each in any words.
        wrong: Patterns of a wrong cause, stated as if it were known.
        is_right: Whether nothing is wrong with it: then there must be no objection.
        arguments: Arguments of the call, for a server.
    """

    name: str
    means: Means
    content: bytes
    suffix: str = ""
    must: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    is_right: bool = False
    arguments: dict[str, object] | None = None


VOICES = ("nl", "sv", "pt-br", "pl", "it", "cs", "fi", "hu", "ro", "en-gb-scotland", "es-419", "el")
VARIANTS = ("", "+m1", "+m3", "+m5", "+m7", "+f1", "+f2", "+f4", "+f5")
TEXTS = (
    "The office is closed on Sunday. You can leave your name, and somebody will ring you back.",
    "Your parcel left the depot at seven, and the driver should be with you before noon today.",
    "For opening hours say hours, for a person say person, and to hear this again say again.",
    "We have moved to a larger house near the river; the bus stops right in front of the door.",
    "Nobody is free at the moment. You are the third in the queue, and it takes some minutes.",
)
SID = "MZ5d0c2a8e7b1f4396d0c2a8e7b1f43960"


class Draw:
    """What is drawn for one case: a voice, a text, numbers."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = np.random.default_rng([seed, number])

    def pick(self, *choices):
        """Return one of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: float, high: float) -> float:
        """Return a number between two others."""
        return float(self.rng.uniform(low, high))

    def speech(self, rate: int, seconds: float | None = None, peak: float | None = None):
        """Return speech of a drawn voice, properly resampled: floats at `rate`."""
        voice = self.pick(*VOICES) + self.pick(*VARIANTS)
        options = ["-p", str(int(self.number(25, 75))), "-s", str(int(self.number(130, 185)))]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "voice.wav")
            command = ["espeak-ng", "-v", voice, *options, "-w", str(path), self.pick(*TEXTS)]
            subprocess.run(command, check=True, capture_output=True)
            samples, made_at = soundfile.read(path, dtype="float64")
        samples = soxr.resample(samples, made_at, rate)
        if seconds is not None:
            samples = samples[: int(rate * seconds)]
        peak = self.number(0.35, 0.75) if peak is None else peak
        return samples / np.abs(samples).max() * peak


def int16(samples) -> np.ndarray:
    """Return floats as int16, correctly."""
    return np.clip(np.rint(np.asarray(samples) * 32767), -32768, 32767).astype("<i2")


def ulaw(samples) -> bytes:
    """Code int16 samples as μ-law (G.711), by a table of thresholds and not by the package."""
    values = np.asarray(samples).astype(np.int64)
    magnitude = np.minimum(np.abs(values) + 132, 32767)
    exponent = np.searchsorted([256, 512, 1024, 2048, 4096, 8192, 16384], magnitude, side="right")
    mantissa = (magnitude >> (exponent + 3)) & 15
    codes = ~(np.where(values < 0, 128, 0) | (exponent << 4) | mantissa) & 255
    return codes.astype(np.uint8).tobytes()


# ---- A: noise made before the coding -----------------------------------------------------------

TWICE = (r"twice|coded again|already|second time|once more",)
NOISE = (r"noise|hiss|no voice|unintelligible",)
AS_TEXT = (r"text|UTF-8|latin|ASCII|string|decod",)
OTHER_CODING = (
    r"\b(?:is|looks like|seems to be) (?:A-law|PCM8|PCM24|PCM16|float32)[^.]*not PCMU",
    r"\bis (?:A-law|PCM8 unsigned|PCM24|float32)\b",
)


def _coded_twice_16k(draw: Draw) -> bytes:
    good = ulaw(int16(draw.speech(8000)))
    taken = np.frombuffer(good[: len(good) // 2 * 2], "<i2") / 32768
    return ulaw(int16(soxr.resample(taken, 16000, 8000)))


def _coded_twice(draw: Draw) -> bytes:
    good = ulaw(int16(draw.speech(8000)))
    return ulaw(np.frombuffer(good[: len(good) // 2 * 2], "<i2"))


def _coded_twice_8bit(draw: Draw) -> bytes:
    return ulaw((np.frombuffer(ulaw(int16(draw.speech(8000))), np.uint8).astype(int) - 128) * 256)


def _codes_as_samples(draw: Draw) -> bytes:
    return ulaw(np.frombuffer(ulaw(int16(draw.speech(8000))), np.uint8).astype(np.int16))


def _wrapped(draw: Draw) -> bytes:
    loud = draw.speech(8000, peak=draw.number(1.25, 1.8))
    return ulaw((loud * 32768).astype(np.int64).astype(np.uint16).view(np.int16))


def _narrowed(draw: Draw) -> bytes:
    fine = int16(draw.speech(8000)).astype(np.int64) * 256 + draw.rng.integers(0, 256)
    fine = fine + draw.rng.integers(-200, 200, len(fine))
    return ulaw((fine & 0xFFFF).astype(np.uint16).view(np.int16))


def _lost_byte(draw: Draw) -> bytes:
    raw = int16(draw.speech(8000, 4)).tobytes()
    at = int(draw.number(0.8, 1.6) * 16000) | 1
    lost = raw[:at] + raw[at + 1 :]
    return ulaw(np.frombuffer(lost[: len(lost) // 2 * 2], "<i2"))


def _swapped(draw: Draw) -> bytes:
    return ulaw(int16(draw.speech(8000, 4)).byteswap())


def _as_text(how: str) -> Callable[[Draw], bytes]:
    def make(draw: Draw) -> bytes:
        good = ulaw(int16(draw.speech(8000, 3.5)))
        match how:
            case "utf-8":
                return good.decode("utf-8", "replace").encode()
            case "latin-1":
                return good.decode("latin-1").encode()
            case "ascii":
                return good.decode("latin-1").encode("ascii", "replace")
            case _:
                return bytes(code & 0x7F for code in good)

    return make


NOISES: dict[str, tuple[Callable[[Draw], bytes], tuple[str, ...]]] = {
    "A01": (_coded_twice_16k, (*NOISE, *TWICE)),
    "A02": (_coded_twice, TWICE),
    "A03": (_coded_twice_8bit, TWICE),
    "A04": (_codes_as_samples, (r"twice|coded again|already|noise",)),
    "A05": (_wrapped, (r"wrap|jump|overflow|whole scale",)),
    "A06": (_narrowed, NOISE),
    "A07": (_lost_byte, (*NOISE, r"byte", r"from [\d.]+ s|at [\d.]+ s|[\d.]+ s on")),
    "A08": (_swapped, (r"noise|byte order",)),
    "A09": (_as_text("utf-8"), AS_TEXT),
    "A10": (_as_text("latin-1"), AS_TEXT),
    "A11": (_as_text("ascii"), AS_TEXT),
    "A12": (_as_text("7 bits"), (r"7 bits|seven bits|top bit|half of (?:all|the) codes|text",)),
}


def noises(seed: int) -> Iterator[Case]:
    """Kind A, each fault with two voices where voices matter."""
    for count in range(2):
        for number, (name, (make, must)) in enumerate(NOISES.items()):
            if count and name in ("A10", "A11", "A12", "A04"):
                continue
            draw = Draw(seed, 100 + 50 * count + number)
            yield Case(f"{name}.{count + 1}", "sound", make(draw), must=must, wrong=OTHER_CODING)
    draw = Draw(seed, 190)
    good = ulaw(int16(draw.speech(8000)))
    media = {"event": "media", "streamSid": SID, "media": {"payload": good[8000:12000].hex()}}
    text = json.dumps(media).encode()
    yield Case("A13", "message", text, must=(r"hex",), wrong=OTHER_CODING)


# ---- B: rates ------------------------------------------------------------------------------------


def rates(seed: int) -> Iterator[Case]:
    """Kind B: speech that was not resampled; its rate may be named, or be one of several."""
    for number, rate in enumerate((12000, 16000, 16000, 22050, 24000)):
        draw = Draw(seed, 200 + number)
        payload = ulaw(int16(draw.speech(rate)))[:56000]
        others = [
            each for each in (11025, 12000, 16000, 22050, 24000, 32000, 44100) if each != rate
        ]
        alone = "|".join(map(str, others))
        yield Case(
            f"B{rate}.{number}",
            "sound",
            payload,
            must=(r"slow|low", rf"\b{rate}\b|(?:another|other|which|unknown) (?:sample )?rate"),
            wrong=(rf"^(?!.*\b{rate}\b).*\b(?:{alone})\b[^\n]*(?:9\d|100) % sure",),
        )


# ---- C: files ------------------------------------------------------------------------------------


def fmt(tag: int = 1, rate: int = 24000, bits: int = 16, extra: bytes = b"") -> bytes:
    """Return a fmt chunk of one channel."""
    align = bits // 8
    body = struct.pack("<HHIIHH", tag, 1, rate, rate * align, align, bits) + extra
    return b"fmt " + struct.pack("<I", len(body)) + body


def wav(data: bytes, *, head=None, before=b"", riff=None, size=None, behind=b"") -> bytes:
    """Return a WAV; `riff` and `size` are written in place of the right sizes."""
    size = len(data) if size is None else size
    body = b"WAVE" + (head or fmt()) + before + b"data" + struct.pack("<I", size) + data + behind
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def written(samples, rate: int, kind: str, subtype: str) -> bytes:
    """Return a file that libsndfile writes."""
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format=kind, subtype=subtype)
    return target.getvalue()


WELL = (r"well understood",)
READS_IT = (r"kit\.load_clip reads it",)


def files(seed: int) -> Iterator[Case]:
    """Kind C."""
    draw = Draw(seed, 300)
    rate = draw.pick(16000, 22050, 24000)
    pcm = int16(draw.speech(rate, 1.7)).tobytes()
    size = draw.pick(0x7FFFFFFF, 1_999_999_998, 0xFFFFFFF0, 0x7FFFFF00)
    placeholder = wav(pcm, head=fmt(rate=rate), size=size, riff=min(size + 36, 0xFFFFFFFF))
    yield Case(
        "C01",
        "file",
        placeholder,
        ".wav",
        must=(r"1\.7\d? s",),
        wrong=(r"\d{3,} ?s(?:econds)? (?:are )?missing", r"it is cut off"),
    )
    half = wav(pcm[: len(pcm) // 2 // 2 * 2], head=fmt(rate=rate), size=len(pcm))
    yield Case("C01 half is missing", "file", half, ".wav", must=(r"cut off|missing",))

    draw = Draw(seed, 301)
    parts = [int16(draw.speech(16000, draw.number(0.4, 0.7))).tobytes() for _ in range(3)]
    pieces = [wav(part, head=fmt(rate=16000)) for part in parts]
    must = (
        (
            r"follow|more WAV|joined|another WAV|WAV files|second (?:WAV|header)|end to end|"
            r"headers? [^.]{0,30}(?:inside|in the sound|within)"
        ),
    )
    yield Case("C02", "file", b"".join(pieces), ".wav", must=must)
    endless = wav(b"".join(pieces), head=fmt(rate=16000), riff=0xFFFFFFFF, size=0xFFFFFFFF)
    yield Case("C03", "file", endless, ".wav", must=must)

    draw = Draw(seed, 304)
    mp3 = written(draw.speech(24000, 2.5), 24000, "MP3", "MPEG_LAYER_III")
    tag = b"ID3\x03\0\0\0\0\0\x10TIT2\0\0\0\x06\0\0\0hello"
    garbled = (tag + mp3).decode("utf-8", "replace").encode()
    yield Case("C04", "file", garbled, ".mp3", must=(r"text|UTF-8|EF BF BD",), wrong=READS_IT)
    yield Case(
        "C05",
        "file",
        (tag + mp3)[:61],
        ".mp3",
        must=(r"cut short|damaged|cannot be decoded",),
        wrong=READS_IT,
    )

    draw = Draw(seed, 306)
    good = ulaw(int16(draw.speech(8000, 2.2)))
    fact = b"fact" + struct.pack("<II", 4, len(good))
    coded = wav(good, head=fmt(7, 8000, 8, b"\0\0"), before=fact)
    yield Case(
        "C06",
        "file",
        coded.decode("utf-8", "replace").encode(),
        ".wav",
        must=(r"text|UTF-8|EF BF BD",),
        wrong=WELL,
    )
    yield Case("C10", "sound", coded[44:], must=(r"header",))

    draw = Draw(seed, 307)
    word = int16(draw.speech(16000, 1.1)).tobytes()
    odd = wav(word + b"\0" * 2401 + word, head=fmt(rate=16000), behind=b"\0")
    yield Case(
        "C07",
        "file",
        odd,
        ".wav",
        must=(NOISE[0], r"byte", r"from 1\.\d|at 1\.\d|1\.\d+ s on"),
        wrong=WELL,
    )

    draw = Draw(seed, 308)
    loud = draw.speech(8000, 3.0, peak=draw.number(1.3, 1.7))
    wrapped = (loud * 32768).astype(np.int64).astype(np.uint16).view("<i2")
    yield Case(
        "C08",
        "file",
        wav(wrapped.tobytes(), head=fmt(rate=8000)),
        ".wav",
        must=(r"wrap|jump|overflow",),
        wrong=WELL,
    )

    draw = Draw(seed, 309)
    numbers = io.BytesIO()
    np.save(numbers, draw.speech(8000, 1.4) * 32767)
    yield Case("C09", "file", numbers.getvalue(), ".npy", must=(r"32768|32767|int16|range",))

    draw = Draw(seed, 311)
    kind, subtype = draw.pick(("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"))
    cut = written(draw.speech(16000, 1.6), 16000, kind, subtype)[: draw.pick(50, 70, 90)]
    must = (r"damaged|cut (?:short|off)|cannot be decoded|missing|no sound",)
    yield Case(f"C11 {kind}", "file", cut, f".{kind.lower()}", must=must, wrong=READS_IT)
    short = wav(int16([0.4, -0.4]).tobytes(), head=fmt(rate=draw.pick(32000, 44100, 48000)))
    yield Case("C12", "file", short, ".wav", must=(r"too short|nothing to send|less than",))

    draw = Draw(seed, 313)
    adpcm = bytearray(
        written(draw.speech(8000, 2.5), 8000, "WAV", draw.pick("IMA_ADPCM", "MS_ADPCM"))
    )
    at = adpcm.index(b"fact") + 8
    (promised,) = struct.unpack_from("<I", adpcm, at)
    struct.pack_into("<I", adpcm, at, promised + int(draw.number(1500, 4000)))
    yield Case("C13", "file", bytes(adpcm), ".wav", must=(r"2\.[45]\d* ?s", r"SAME SECONDS"))


# ---- D: HTTP answers -----------------------------------------------------------------------------


def page(status: str, body: str, **headers: str) -> bytes:
    """Return an HTTP answer."""
    content = body.encode()
    named = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines = [f"HTTP/1.1 {status}", *named, f"Content-Length: {len(content)}", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + content


SIGNATURE_REFUSED = (r"signature was not accepted",)


def answers(seed: int) -> Iterator[Case]:
    """Kind D: the page of a tunnel, or of the server, in place of a WebSocket."""
    draw = Draw(seed, 400)
    offline = f"<html><body>The endpoint {draw.pick('bold', 'calm')}-elk.ngrok-free.app is offline."
    html = "text/html"
    yield Case(
        "D05",
        "answer",
        page(
            "404 Not Found",
            f"{offline}<br>ERR_NGROK_3200</body></html>",
            Content_Type=html,
            ngrok_error_code="ERR_NGROK_3200",
        ),
        must=(r"ngrok", r"3200", r"offline|no (?:tunnel|agent)|not run"),
        wrong=(r"Check the path",),
    )
    yield Case(
        "D05 8012",
        "answer",
        page(
            "502 Bad Gateway",
            "<p>ERR_NGROK_8012</p>",
            Content_Type=html,
            Ngrok_Error_Code="ERR_NGROK_8012",
        ),
        must=(r"ngrok", r"8012", r"cannot connect|not reach|refus|nothing listens"),
    )
    yield Case(
        "D06",
        "answer",
        page(
            "511 Network Authentication Required",
            "<p>ERR_NGROK_6024</p>",
            Ngrok_Error_Code="ERR_NGROK_6024",
        ),
        must=(r"ngrok", r"6024", r"browser"),
    )
    yield Case(
        "D07",
        "answer",
        page(
            "403 Forbidden",
            "<p>ERR_NGROK_725</p>",
            Content_Type=html,
            Ngrok_Error_Code="ERR_NGROK_725",
        ),
        must=(r"ngrok", r"725", r"bandwidth|limit|plan|data"),
        wrong=SIGNATURE_REFUSED,
    )
    shown = draw.pick("error code: 1033", "<h1>Error 1033</h1><p>Ray ID: 8c2</p>")
    yield Case(
        "D08",
        "answer",
        page("530 ", shown, Server="cloudflare"),
        must=(r"Cloudflare", r"1033", r"cloudflared|tunnel"),
    )
    yield Case(
        "D08 1015",
        "answer",
        page("429 Too Many Requests", "error code: 1015", Server="cloudflare", CF_RAY="8c2-FRA"),
        must=(r"Cloudflare", r"1015|rate"),
    )
    said = draw.pick("Origin not allowed", "missing Origin header", "invalid origin")
    yield Case(
        "D01",
        "answer",
        page("403 Forbidden", said),
        must=(r"[Oo]rigin", r"no signature|without a signature|unsigned|not signed"),
        wrong=SIGNATURE_REFUSED,
    )
    yield Case(
        "D02",
        "answer",
        page("403 Forbidden", ""),
        must=(r"no signature|without a signature|unsigned|not signed", r"auth_token"),
        wrong=SIGNATURE_REFUSED,
    )


# ---- E: numbers ----------------------------------------------------------------------------------


def numbers(seed: int) -> Iterator[Case]:
    """Kind E: lines with numbers of several services, and with numbers of none."""
    draw = Draw(seed, 500)
    phone = f"+1555{draw.pick('011', '013')}{int(draw.number(1000, 9999))}"
    unverified = (
        f"[HTTP 400] Unable to create record: The number {phone} is unverified. Trial accounts may "
        "only make calls to verified numbers."
    )
    page_1016 = (
        "<html><head><title>Error 1016</title></head><body>Ray ID: 8c2 Cloudflare</body></html>"
    )
    lines: list[tuple[str, tuple[str, ...]]] = [
        ("TwilioRestException: [HTTP 401] Unable to fetch record: Authenticate", (r"20003",)),
        (unverified, (r"21219",)),
        (
            f"ERROR: {draw.pick('login', 'agent')} failed: ERR_NGROK_108",
            (r"ngrok", r"108", r"session"),
        ),
        (page_1016, (r"Cloudflare", r"1016")),
        (f"websocket: close {draw.pick(1012, 1001)} (service restart)", (r"WebSocket", r"restart")),
        ("ConnectionClosedError: no close frame; code 1006", (r"WebSocket", r"1006", r"31903")),
        ("server rejected WebSocket connection: HTTP 404", (r"HTTP", r"404", r"path")),
        (f"ErrorCode={draw.pick(31920, 31921)}&StreamEvent=stream-error", (r"319(20|21)",)),
    ]
    for number, (line, must) in enumerate(lines):
        yield Case(f"E{number}", "text", line.encode(), must=must)
    for number, line in enumerate(
        [
            f"call to {phone} took {draw.pick(1006, 1011)} ms",
            f"listening on port {draw.pick(1012, 31951, 11200)} since 2026-10-0{draw.pick(3, 7)}",
            f"sent {draw.pick(12100, 31950)} frames in {draw.pick(1002, 1003)} messages",
        ]
    ):
        yield Case(f"right text {number}", "text", line.encode(), is_right=True)


# ---- F: advice -----------------------------------------------------------------------------------


def twiml(inside: str) -> bytes:
    """Return a TwiML document."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{inside}</Response>'.encode()


def advice(seed: int) -> Iterator[Case]:
    """Kinds F and H01."""
    draw = Draw(seed, 600)
    host = f"{draw.pick('bot', 'line', 'call')}{int(draw.number(1, 90))}.example.org"
    path = draw.pick("/twilio/stream", "/ws", "/media-stream")
    good = f"wss://{host}{path}"
    twice = f"wss://{draw.pick('http', 'https', 'wss')}://{host}{path}"
    no_colon = f"wss{draw.pick('//', ':/', ';//')}{host}{path}"
    blank = f"{good}{draw.pick(' ', '&#9;')}"
    broken = f"{draw.pick('&#10;', '&#13;&#10;')}  {good}&#10;"
    placeholder = (r"Fill in the placeholder",)
    for name, url, must, wrong in (
        ("F01", twice, (r"two schemes|twice|scheme", good), (r"private network",)),
        ("F02", no_colon, (r"colon|wss://|slash", good), (r"is relative",)),
        ("F03", blank, (r"blank|space|tab|white", good), placeholder),
        ("F04", broken, (r"line break|blank|white|newline", good), placeholder),
    ):
        document = twiml(f'<Connect><Stream url="{url}"/></Connect>')
        needs = tuple(each.replace(".", r"\.") if each == good else each for each in must)
        yield Case(name, "twiml", document, must=needs, wrong=wrong)
    key = draw.pick("5", "#", "0")
    dtmf = {"event": "dtmf", "streamSid": SID, "dtmf": {"digit": key}}
    yield Case(
        "F05",
        "message",
        json.dumps(dtmf).encode(),
        must=(r"<Play digits|send_digits|SendDigits",),
        wrong=(r"play their sound",),
    )
    yield Case(
        "F06",
        "sound",
        ulaw(int16(_keys(draw))),
        must=(r"key|DTMF", r"<Play digits|send_digits|SendDigits"),
    )
    stream = f'<Connect><Stream url="{good}"/>{{}}</Connect>'
    record = f'<Record maxLength="{int(draw.number(20, 600))}"/>'
    way_out = (r"record=True|recordings\.create",)
    yield Case(
        "F07",
        "twiml",
        twiml(stream.format(record)),
        must=way_out,
        wrong=(r"[Pp]ut it beside <Connect>",),
    )
    yield Case(
        "F08",
        "twiml",
        twiml(record + stream.format("")),
        must=(r"message|first|only when|before", *way_out),
    )
    dial = draw.pick("555-0134-22", "(020) 7946 0018", "0171 555 018")
    yield Case("H01", "twiml", twiml(f"<Dial>{dial}</Dial>"), must=(r"E\.164|\+",))


def _keys(draw: Draw) -> np.ndarray:
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
    at = np.arange(int(8000 * draw.number(0.09, 0.2))) / 8000
    pause = np.zeros(int(8000 * draw.number(0.06, 0.12)))
    parts = []
    for _ in range(int(draw.number(6, 11))):
        row, column = int(draw.rng.integers(4)), int(draw.rng.integers(3))
        tone = np.sin(2 * np.pi * rows[row] * at) + np.sin(2 * np.pi * columns[column] * at)
        parts += [draw.number(0.2, 0.4) * tone, pause]
    return np.concatenate(parts)


# ---- G: servers ----------------------------------------------------------------------------------

_SERVER = """
import asyncio, base64, json, sys, time
from websockets.asyncio.server import serve

SOUND = base64.b64encode((b"\\xa0" * 10 + b"\\x20" * 10) * {repeats}).decode()

async def start_of(ws):
    async for text in ws:
        message = json.loads(text)
        if message["event"] == "start":
            return message["streamSid"]

async def play(ws, sid):
    await ws.send(json.dumps({{"event": "media", "streamSid": sid, "media": {{"payload": SOUND}}}}))
    await ws.send(json.dumps({{"event": "mark", "streamSid": sid, "mark": {{"name": "end"}}}}))

async def handler(ws):
{body}

async def main(port):
    async with serve(handler, "127.0.0.1", port):
        await asyncio.Future()

asyncio.run(main(int(sys.argv[1])))
"""


def program(body: str, seconds: float = 2.0) -> bytes:
    """Return a server whose handler is `body`."""
    repeats = int(seconds * 400)
    indented = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return _SERVER.format(body=indented, repeats=repeats).encode()


def servers(seed: int) -> Iterator[Case]:
    """Kind G, and servers with which nothing is wrong."""
    draw = Draw(seed, 700)
    reason = draw.pick("model not loaded", "quota exceeded", "no such tenant")
    heard = draw.number(0.4, 0.9)
    closes = (r"clos",)
    hangs = f"await ws.recv()\ntime.sleep({draw.pick(20, 25)})"
    listens = "async for _ in ws:\n    await asyncio.sleep(0)"
    plays = "sid = await start_of(ws)\nawait play(ws, sid)\n"
    reads = f"{plays}end = time.monotonic() + {heard:.2f}\n"
    reads += "while time.monotonic() < end:\n    await ws.recv()\n"
    some = f"for _ in range({int(draw.number(10, 40))}):\n    await ws.recv()\n"
    for name, body, must in (
        ("G01", hangs, (r"nothing|took in|never read|silence",)),
        ("G02", "await ws.recv()\nawait ws.recv()", (r"nothing|before", *closes)),
        ("G03", listens, (r"nothing|silence",)),
        ("G04", reads + "await ws.close(1000, 'done')", (r"0\.\d+ of|heard 0\.\d", r"mark")),
        ("G06", some + f"await ws.close(1011, {reason!r})", (reason, r"1011")),
        ("G07", f"await ws.close({draw.pick(1000, 1001)})", (r"before", *closes)),
        ("G08", f"{plays}await asyncio.sleep({heard:.2f})", (r"0\.\d+ of|heard 0\.\d",)),
    ):
        yield Case(
            name, "server", program(body), must=(*must, r"NOT OK"), arguments={"seconds": 4.0}
        )
    yield Case(
        "right server speaks and closes",
        "server",
        program(
            """
        sid = await start_of(ws)
        await play(ws, sid)
        async for text in ws:
            if json.loads(text)["event"] == "mark":
                break
        """,
            1.0,
        ),
        is_right=True,
    )
    yield Case(
        "right server echoes",
        "server",
        program(
            """
        sid = await start_of(ws)
        async for text in ws:
            message = json.loads(text)
            if message["event"] == "media":
                media = {"payload": message["media"]["payload"]}
                await ws.send(json.dumps({"event": "media", "streamSid": sid, "media": media}))
        """
        ),
        is_right=True,
        arguments={"seconds": 3.0, "say": True},
    )


_FRAME = b64encode(ulaw(int16(0.3 * np.sin(np.arange(160) * 0.7)))).decode()


# ---- what is right -------------------------------------------------------------------------------


def right_ones(seed: int) -> Iterator[Case]:
    """Inputs with which nothing is wrong."""
    for number in range(9):
        draw = Draw(seed, 800 + number)
        speech = draw.speech(8000, peak=draw.number(0.15, 0.95))
        yield Case(f"right speech {number}", "sound", ulaw(int16(speech)), is_right=True)
    draw = Draw(seed, 820)
    at = np.arange(8000 * 4) / 8000
    chord = sum(np.sin(2 * np.pi * f * at) for f in (220, 277, 330, draw.number(400, 500))) / 5
    chord *= 0.6 + 0.4 * np.sin(2 * np.pi * draw.number(0.3, 1.5) * at)
    yield Case("right music", "sound", ulaw(int16(chord)), is_right=True)
    hold = draw.speech(8000) + 0.02 * draw.rng.normal(size=1)[0]
    noisy = hold + 0.01 * draw.rng.normal(size=len(hold))
    yield Case("right speech in noise", "sound", ulaw(int16(noisy)), is_right=True)
    for kind, subtype, suffix in (
        ("WAV", "PCM_16", ".wav"),
        ("WAV", "ULAW", ".wav"),
        ("FLAC", "PCM_16", ".flac"),
        ("OGG", "VORBIS", ".ogg"),
        ("MP3", "MPEG_LAYER_III", ".mp3"),
    ):
        rate = 8000 if subtype == "ULAW" else draw.pick(16000, 24000)
        file = written(draw.speech(rate, 2.5, peak=0.6), rate, kind, subtype)
        yield Case(f"right {kind} {subtype}", "file", file, suffix, is_right=True)
    url = f"wss://{draw.pick('a', 'b')}{int(draw.number(1, 99))}.example.org/stream"
    connect = f'<Connect><Stream url="{url}"><Parameter name="lang" value="nl"/></Stream></Connect>'
    yield Case("right TwiML", "twiml", twiml(connect), is_right=True)
    say = "<Say>One moment</Say>"
    yield Case("right TwiML after Say", "twiml", twiml(say + connect), is_right=True)
    media = {"event": "media", "streamSid": SID, "media": {"payload": _FRAME}}
    mark = {"event": "mark", "streamSid": SID, "mark": {"name": f"turn {draw.pick(1, 7)}"}}
    for name, message in (("media", media), ("mark", mark)):
        yield Case(f"right {name}", "message", json.dumps(message).encode(), is_right=True)


def draw_cases(seed: int) -> list[Case]:
    """Return all cases of a seed, the same each time."""
    kinds = (noises, rates, files, answers, numbers, advice, servers, right_ones)
    return [case for kind in kinds for case in kind(seed)]
