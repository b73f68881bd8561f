"""What is played is reviewed once, on a clock that is cranked by hand."""

import asyncio
import functools
import heapq
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from support.following import run
from support.waiting import eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.resample import Resampler
from twistream_kit.live.stream import remark as module
from twistream_kit.live.stream.remark import REVIEWED_BYTES, SoundRemark
from twistream_kit.live.stream.stream import Speech
from twistream_kit.protocol import to_twilio

SAMPLES = Path(__file__).parents[3] / "sample_audio"
CASES = Path(__file__).parents[2] / "cases"
REPLY = load_clip(SAMPLES / "reply.wav").samples()
GREETING = load_clip(SAMPLES / "greeting.wav").samples()


class Timers:
    """The timers of an event loop whose time passes when it is told to."""

    def __init__(self):
        self.now = 0.0
        self.steps = 0
        self._due = []
        self._numbers = itertools.count()

    def time(self):
        return self.now

    def call_later(self, delay, function, *args):
        timer = Timer()
        heapq.heappush(self._due, (self.now + delay, next(self._numbers), timer, function, args))
        return timer

    def advance(self, seconds):
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            self.now, _, timer, function, args = heapq.heappop(self._due)
            if not timer.is_cancelled:
                self.steps += 1
                function(*args)
        self.now = until

    @property
    def is_idle(self):
        return all(timer.is_cancelled for _, _, timer, _, _ in self._due)


class Timer:
    is_cancelled = False

    def cancel(self):
        self.is_cancelled = True


def play(payload, size=160, *, seconds=600.0):
    """Play a payload in pieces, each when it is due; return the remarks."""
    said, loop = [], Timers()
    remark = SoundRemark(said.append, loop, "MZ1")
    for at in range(0, len(payload), size):
        remark.take(payload[at : at + size])
        loop.advance(len(payload[at : at + size]) / 8000)
    loop.advance(seconds)
    assert loop.is_idle, "it would go on for ever"
    return said


def upsample(samples, rate):
    resampler = Resampler(8000, rate)
    return np.concatenate([resampler.push(samples), resampler.flush()])


def encode_alaw(samples):
    from twistream_kit.audio.g711 import decode_alaw

    table = decode_alaw(bytes(range(256))).astype(int)
    order = np.argsort(table)
    place = np.clip(np.searchsorted(table[order], samples.astype(int)), 0, 255)
    return order[place].astype(np.uint8).tobytes()


WRONG = {
    "A-law": (encode_alaw(GREETING), "is A-law, not PCMU"),
    "16-bit": (GREETING.tobytes(), "PCM16"),
    "16-bit big-endian": (GREETING.astype(">i2").tobytes(), "PCM16"),
    "8-bit": ((GREETING // 256 + 128).astype(np.uint8).tobytes(), "PCM8 unsigned"),
    "32-bit float": ((GREETING / 32768).astype(np.float32).tobytes(), "float32"),
    "bytes swapped": ((CASES / "a08.ulaw").read_bytes(), "byte order"),
    "16 kHz": (encode_ulaw(upsample(REPLY, 16000)), "stream.speak(sample_rate=rate"),
    "encoded twice": (
        encode_ulaw(np.frombuffer(encode_ulaw(GREETING), np.int8).astype(np.int16) * 256),
        "twice",
    ),
    "24 kHz": (encode_ulaw(upsample(GREETING, 24000)), "stream.speak(sample_rate=rate"),
}


@pytest.mark.parametrize("size", [160, 1000, 8000, 10**9])
@pytest.mark.parametrize(("payload", "text"), WRONG.values(), ids=WRONG)
def test_what_is_no_pcmu_is_said_once_with_what_is_heard_and_what_to_do(payload, text, size):
    said = play(payload * 3, size)
    assert len(said) == 1
    assert said[0].startswith("the sound that is played ")
    assert text in said[0]
    assert said[0].count(". ") >= 2
    assert "\n" not in said[0]


async def test_way_out_for_sound_of_another_rate_plays_it_as_it_was_made(pair):
    payload = WRONG["16 kHz"][0] * 3
    [said] = play(payload)
    codes = re.findall(r"stream\.\w+\([^)]*\)", said)
    assert len(codes) == 2
    for code in codes:
        stream, end = await pair(send_ahead_seconds=590)
        playing = run(code, stream=stream, rate=16000, sound=payload)
        if isinstance(playing, Speech):
            playing.write(payload)
            playing.end()
        assert playing.total_ms == len(payload) // 16
        sent = functools.partial(end.of, to_twilio.Media)
        await eventually(lambda sent=sent: sum(len(m.payload) for m in sent()) * 2 >= len(payload))
        assert play(b"".join(message.payload for message in sent())) == []


def make_good_sounds():
    chance = np.random.default_rng(1)
    time = np.arange(72_000) / 8000
    for path in sorted(SAMPLES.glob("*.wav")):
        samples = load_clip(path).samples().astype(float)
        for gain in (1, 0.3, 0.1, 0.03, 0.01, 3):
            yield f"{path.stem} × {gain}", samples * gain
        noise = chance.normal(0, 200, len(samples))
        yield f"{path.stem} in noise", samples + noise
        yield f"{path.stem}, twice", np.concatenate([samples, np.zeros(6000), samples])
    for hz in (100, 350, 440, 500, 1000, 2000, 3400):
        for level in (32000, 12000, 1000, 60):
            yield f"{hz} Hz at {level}", level * np.sin(2 * np.pi * hz * time)
    yield "dialling tone", 6000 * (np.sin(2 * np.pi * 350 * time) + np.sin(2 * np.pi * 440 * time))
    chord = sum(
        np.sin(2 * np.pi * hz * time * (1 + 0.0004 * np.sin(30 * time)))
        for hz in (220, 277.2, 329.6, 440, 660)
    )
    yield "music", 4000 * chord * (0.6 + 0.4 * np.sin(2 * np.pi * 1.5 * time))
    for level in (20_000, 3000, 300, 30, 5):
        yield f"noise at {level}", chance.normal(0, level, 72_000)
    for level in (0, 3):
        yield f"silence of {level}", chance.normal(0, level, 72_000)
    yield "keys", Clip.dtmf("0123456789*#ABCD" * 2).samples().astype(float)


@pytest.mark.parametrize("size", [160, 10**9])
def test_no_good_sound_is_remarked_on(size):
    wrong = {}
    for name, samples in make_good_sounds():
        payload = encode_ulaw(np.clip(np.rint(samples), -32768, 32767).astype(np.int16))
        if said := play(payload, size):
            wrong[name] = said
    assert wrong == {}


def test_constant_level_is_said_when_nothing_explains_it():
    speech = encode_ulaw(GREETING[8000:16000])
    [said] = play(speech + b"\x80" * 1600 + speech)
    assert "0x80 as silence" in said


def test_short_sound_is_reviewed_when_nothing_follows():
    alaw = WRONG["A-law"][0][8000:13600]
    assert len(play(alaw)) == 1


def test_silence_before_the_sound_does_not_count():
    silence = b"\xff" * (REVIEWED_BYTES * 3)
    assert len(play(silence + WRONG["A-law"][0])) == 1
    assert len(play(silence + WRONG["A-law"][0], 8000)) == 1


def test_sound_after_a_good_beginning_of_another_source_is_reviewed():
    said, loop = [], Timers()
    remark = SoundRemark(said.append, loop, "MZ1")
    remark.take(encode_ulaw(GREETING[4000:12000]))
    loop.advance(300)
    assert said == []
    remark.take(WRONG["A-law"][0][8000:16000])
    loop.advance(300)
    assert len(said) == 1


def test_long_stream_costs_nothing_after_its_beginning():
    said, loop = [], Timers()
    remark = SoundRemark(said.append, loop, "MZ1")
    speech = np.tile(GREETING[4000:30000], 4)
    payload = encode_ulaw(speech)
    for at in range(0, len(payload), 160):
        remark.take(payload[at : at + 160])
        loop.advance(0.02)
    loop.advance(600)
    assert remark.is_done
    steps = loop.steps
    for _ in range(1000):
        remark.take(payload[:160])
        loop.advance(0.02)
    assert loop.steps == steps
    assert remark._waiting == []
    assert said == []


def test_remark_ends_the_review():
    said, loop = [], Timers()
    remark = SoundRemark(said.append, loop, "MZ1")
    remark.take(WRONG["A-law"][0])
    loop.advance(300)
    assert remark.is_done
    remark.take(WRONG["16-bit"][0])
    loop.advance(300)
    assert len(said) == 1
    assert loop.is_idle


def test_stopped_review_says_nothing_more():
    said, loop = [], Timers()
    remark = SoundRemark(said.append, loop, "MZ1")
    remark.take(WRONG["A-law"][0])
    loop.advance(0.51)
    remark.stop()
    loop.advance(300)
    assert said == []
    assert loop.is_idle


def test_streams_of_a_loop_take_turns_with_pauses():
    said, loop = [], Timers()
    remarks = [SoundRemark(said.append, loop, f"MZ{n}") for n in range(5)]
    for remark in remarks:
        remark.take(WRONG["A-law"][0])
    loop.advance(0.5)
    before = loop.steps
    loop.advance(0.1)
    # A step every 5 ms at most, whatever the number of streams.
    assert loop.steps - before <= 21
    loop.advance(600)
    assert len(said) == 5


async def test_review_runs_on_a_real_loop(monkeypatch):
    monkeypatch.setattr(module, "COLLECT_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    said = loop.create_future()
    remark = SoundRemark(said.set_result, loop, "MZ1")
    remark.take(WRONG["A-law"][0])
    assert "A-law" in await soon(said)
