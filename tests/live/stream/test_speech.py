"""An utterance that comes in pieces: whole, cleared in the middle, too slow, too fast."""

import asyncio
import logging
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.far_end import FarEnd
from support.waiting import eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.encoder import PayloadEncoder
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.errors import LocalProtocolError
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import REMARKABLE_SECONDS, get_state
from twistream_kit.pending import Pending
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.marks import PlayOutcome

TONE = Clip.tone(440, 1.0)
SECOND = TONE.payload


def cut(whole, size):
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def sound_of(end):
    return b"".join(message.payload for message in end.of(to_twilio.Media))


async def end_of(end, speech):
    """Return the outcome, once all marks so far were returned."""
    await end.until(to_twilio.Mark)
    while not speech.done():
        names = [mark.name for mark in end.of(to_twilio.Mark)]
        await end.echo(*names)
        await asyncio.sleep(0.01)  # sleeps: between two looks at the marks
    return speech.result(0)


@pytest.mark.parametrize("size", [1, 7, 159, 160, 161, 800, 8000])
async def test_pieces_of_any_size_arrive_whole_in_frames(pair, size):
    stream, end = await pair()
    speech = stream.speak(mark="said")
    assert all(speech.write(piece) for piece in cut(SECOND[:4000], size))
    speech.end()
    await end.until(to_twilio.Mark)
    assert sound_of(end) == SECOND[:4000]
    assert {len(m.payload) for m in end.of(to_twilio.Media)} == {160}
    assert await end_of(end, speech) == PlayOutcome("heard", 500, 500)
    assert speech.progress == 1


async def test_a_rest_that_fills_no_frame_goes_out_at_the_end(pair):
    stream, end = await pair()
    speech = stream.speak()
    speech.write(SECOND[:250])
    await end.until(to_twilio.Media)
    assert sound_of(end) == SECOND[:160]
    speech.end()
    speech.end()
    await end.until(to_twilio.Mark)
    assert sound_of(end) == SECOND[:250]
    assert await end_of(end, speech) == PlayOutcome("heard", 31, 31)


async def test_arrays_and_bytes_of_another_rate_are_resampled_as_one_sound(pair):
    samples = np.repeat(decode_ulaw(SECOND), 3)
    expected = PayloadEncoder(24000)
    whole = expected.encode(samples) + expected.flush()
    for pieces in (cut(samples, 1111), cut(samples.tobytes(), 2221)):
        stream, end = await pair()
        with stream.speak(sample_rate=24000) as speech:
            assert all(speech.write(piece) for piece in pieces)
        assert await end_of(end, speech) == PlayOutcome("heard", 1000, 1000)
        assert sound_of(end) == whole


async def test_a_clear_in_the_middle_ends_the_speech_and_its_writes(pair):
    stream, end = await pair()
    speech = stream.speak()
    written = 0
    for count in range(200):
        if not speech.write(SECOND[:800]):
            break
        written += 100
        if count == 5:
            stream.clear()
            assert speech.done()
    assert written == 600
    speech.end()
    outcome = await soon(speech)
    assert (outcome.ending, outcome.total_ms) == ("cleared", 600)
    await end.until(to_twilio.Clear)
    assert end.received[-1] == to_twilio.Clear(stream.stream_sid)
    assert not get_state(stream).has_queued


async def test_a_clear_by_another_thread_is_seen_by_the_next_write(pair, in_thread):
    stream, end = await pair()
    speech = stream.speak()
    speech.write(SECOND)
    await in_thread(stream.clear)
    assert not speech.write(SECOND)  # it carries out the clear first
    assert (await soon(speech)).ending == "cleared"
    await end.until(to_twilio.Clear)
    assert end.received[-1] == to_twilio.Clear(stream.stream_sid)


async def test_a_named_mark_comes_back_after_a_clear(pair):
    stream, end = await pair()
    speech = stream.speak(mark="greeting")
    speech.write(SECOND)
    stream.clear()
    assert not speech.write(SECOND)
    assert not speech.done()
    (mark,) = [m for m in await end.until(to_twilio.Mark) if "@" not in m.name]
    assert end.received.index(mark) > end.received.index(to_twilio.Clear(stream.stream_sid))
    await end.echo(mark.name)
    assert (await soon(speech)).ending == "cleared"


async def test_a_source_slower_than_real_time_leaves_gaps_that_are_counted(pair):
    stream, end = await pair()
    speech = stream.speak()
    for _ in range(3):
        speech.write(SECOND[:160])
        await asyncio.sleep(0.12)  # sleeps: the source is slow
    speech.end()
    outcome = await end_of(end, speech)
    assert outcome.ending == "heard"
    assert outcome.gaps == 2
    assert outcome.gap_ms >= 2 * 90
    assert f"2 gaps, {outcome.gap_ms} ms in all" in repr(outcome)


async def test_a_fast_source_that_waits_keeps_no_more_than_is_sent_ahead(pair):
    stream, end = await pair(send_ahead_seconds=0.2)
    most = 0
    with stream.speak() as speech:
        for piece in cut(SECOND, 400):
            assert speech.write(piece)
            most = max(most, speech.total_ms - speech.heard_ms)
            assert await soon(speech.drained())
    assert 200 <= most <= 200 + 50
    assert (await end_of(end, speech)).ending == "heard"


async def test_drained_ends_with_the_speech(pair):
    stream, _ = await pair(send_ahead_seconds=0.2)
    speech = stream.speak()
    speech.write(SECOND * 4)
    waiting = speech.drained()
    assert not waiting.done()
    stream.clear()
    assert await soon(waiting) is False
    assert await soon(speech.drained()) is False


async def test_a_fast_source_that_does_not_wait_is_remarked_on_once(pair, said):
    stream, _ = await pair()
    speech = stream.speak()
    for _ in range(round(REMARKABLE_SECONDS) + 12):
        assert speech.write(SECOND)
    assert "speech.drained()" in speech.remark
    stream.clear()
    outcome = await soon(speech)
    assert outcome.remark == speech.remark
    assert sum(speech.remark in line for line in said(logging.WARNING)) == 1


async def test_a_thread_that_writes_faster_than_the_loop_takes_is_remarked_on_too(pair):
    stream, _ = await pair()
    speech = stream.speak()
    writer = threading.Thread(target=lambda: [speech.write(SECOND) for _ in range(75)])
    writer.start()
    writer.join()  # here on the loop, which takes nothing meanwhile
    assert "speech.drained()" in speech.remark
    stream.clear()
    assert (await soon(speech)).remark == speech.remark


async def test_threads_speak_one_after_the_other_and_at_once(pair, in_thread):
    stream, end = await pair()

    def talk(byte):
        with stream.speak(mark=f"of {byte}") as speech:
            return speech, [speech.write(bytes([byte]) * 160) for _ in range(50)]

    both = await asyncio.gather(in_thread(talk, 1), in_thread(talk, 2))
    await eventually(lambda: len(end.of(to_twilio.Media)) == 100)
    assert sorted(sound_of(end)) == [1] * 8000 + [2] * 8000
    for speech, taken in both:
        assert all(taken)
        assert (await end_of(end, speech)).ending == "heard"


async def test_leaving_the_block_ends_and_an_error_inside_clears(pair):
    stream, end = await pair()
    with stream.speak() as whole:
        whole.write(SECOND)
    with pytest.raises(ZeroDivisionError), stream.speak() as broken:
        broken.write(SECOND)
        1 / 0  # noqa: B018 - the error of the test
    assert (await soon(broken)).ending == "cleared"
    await end.until(to_twilio.Clear)
    await end.echo()
    assert (await soon(whole)).ending == "cleared"


async def test_writing_after_the_end_is_an_error(pair):
    stream, _ = await pair()
    speech = stream.speak()
    speech.end()
    with pytest.raises(ValueError, match=r"after end\(\).*stream.speak\(\)"):
        speech.write(SECOND)


async def test_what_is_no_sound_is_refused_and_the_speech_goes_on(pair):
    stream, end = await pair()
    speech = stream.speak()
    with pytest.raises(TypeError, match="int16, or float"):
        speech.write(np.zeros(160, np.int32))
    with pytest.raises(ValueError, match="±20000"):
        speech.write(np.full(160, 20000.0))
    for take in (speech.write, stream.play):
        with pytest.raises(ValueError, match=r"give one channel, samples\[:, 0\]"):
            take(np.zeros((160, 2), np.int16))
    with pytest.raises(ValueError, match="encoding is 'ALAW'"):
        stream.play(np.zeros(160, np.int16), encoding="ALAW")
    with pytest.raises(LocalProtocolError, match="WAV"):
        speech.write(b"RIFF\xe8\x03\x00\x00WAVEfmt " + bytes(100))
    wideband = stream.speak(sample_rate=24000)
    with pytest.raises(LocalProtocolError, match="WAV"):
        wideband.write(b"RIFF\xe8\x03\x00\x00WAVEfmt " + bytes(100))
    with pytest.raises(LocalProtocolError, match="Ogg"):
        stream.play(b"OggS\x00\x02" + bytes(201), sample_rate=24000)
    assert speech.write(SECOND)
    speech.end()
    await end.until(to_twilio.Mark)
    assert sound_of(end) == SECOND


@pytest.mark.parametrize(
    "options", [{"sample_rate": 10}, {"sample_rate": 8000, "encoding": "ALAW"}]
)
async def test_what_cannot_be_encoded_is_refused_before_it_begins(pair, options):
    stream, _ = await pair()
    with pytest.raises(ValueError, match=r"out of range|encoding is"):
        stream.speak(**options)
    assert stream.newest is None


async def test_a_speech_on_a_stream_that_has_ended_is_lost_and_takes_nothing(pair):
    stream, end = await pair()
    early = stream.speak()
    early.write(SECOND)
    await end.stop()
    await soon(stream.closed)
    assert not early.write(SECOND)
    assert (await soon(early)).ending == "lost"
    late = stream.speak()
    assert (await soon(late)) == PlayOutcome("lost", 0, 0)
    assert not late.write(SECOND)
    late.end()


async def test_close_ends_a_speech_and_lets_it_be_heard(pair):
    stream, end = await pair()
    speech = stream.speak()
    speech.write(SECOND[:1000])
    closing = stream.close()
    assert not speech.write(SECOND)
    assert await end_of(end, speech) == PlayOutcome("heard", 125, 125)
    assert sound_of(end) == SECOND[:1000]
    assert (await soon(closing)).reason == "closed"


async def test_a_callback_may_write_while_a_write_carries_out_a_clear(pair, in_thread):
    stream, _ = await pair()
    speech, other = stream.speak(), stream.speak(mark="other")
    speech.write(SECOND)
    answers = []
    speech.add_done_callback(lambda _: answers.append((speech.write(SECOND), other.write(SECOND))))
    await in_thread(stream.clear)
    assert not speech.write(SECOND)
    assert answers == [(False, False)]


async def test_heard_of_a_speech_that_is_still_written(pair):
    stream, end = await pair()
    speech = stream.speak()
    early, never = speech.heard(0.05), speech.heard(5)
    speech.write(SECOND[:800])
    assert await soon(early) >= 0.05
    speech.end()
    await end_of(end, speech)
    assert await soon(never) == 0.1


async def test_an_array_is_an_echo(pair):
    async def echo(stream):
        async for samples in stream.audio():
            stream.play(samples)

    stream, end = await pair(echo)
    for start in range(0, 800, 160):
        await end.media(SECOND[start : start + 160])
    await eventually(lambda: len(sound_of(end)) == 800)
    assert sound_of(end) == SECOND[:800]
    assert isinstance(stream.newest, Pending)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 500), max_size=40), st.lists(st.integers(0, 39), max_size=3))
def test_any_pieces_and_plays_between_them_arrive_whole(sizes, plays):
    async def talk():
        async with StreamServer() as server:
            end = await FarEnd.dial(server)
            await end.begin()
            stream = await soon(server.next_stream())
            speech = stream.speak(mark="whole")
            for count, size in enumerate(sizes):
                assert speech.write(b"\x01" * size)
                if count in plays:
                    stream.play(b"\x02" * 100)
            speech.end()
            await eventually(lambda: any(m.name == "whole#1" for m in end.of(to_twilio.Mark)))
            sound = sound_of(end)
            assert sound.count(1) == sum(sizes)
            assert sound.count(2) == 100 * len({n for n in plays if n < len(sizes)})
            await end.echo()
            assert (await soon(speech)).total_ms == round(sum(sizes) / 8)
            await end.connection.close()

    asyncio.run(talk())


async def test_sound_of_another_coding_is_remarked_on_once_in_its_outcome(pair, said):
    stream, _ = await pair(send_ahead_seconds=0.2)
    samples = (np.sin(np.arange(8000 * 3) * 0.3) * 8000).astype("<i2")
    speech = stream.speak(encoding="PCMU")
    for piece in cut(samples.tobytes(), 800):
        speech.write(piece)
    speech.end()
    await eventually(lambda: get_state(stream).remark)
    assert "PCM" in get_state(stream).remark
    stream.clear()
    outcome = await soon(speech)
    assert outcome.remark == get_state(stream).remark
    assert sum(outcome.remark in line for line in said(logging.WARNING)) == 1
    again = stream.play(samples.tobytes(), encoding="PCMU")
    stream.clear()
    assert (await soon(again)).remark == ""


async def test_close_plays_what_the_resampler_holds_back(pair):
    stream, end = await pair()
    speech = stream.speak(sample_rate=48000)
    speech.write(np.repeat(decode_ulaw(SECOND), 6))
    stream.close()
    assert not speech.write(np.zeros(480, np.int16))
    assert await end_of(end, speech) == PlayOutcome("heard", 1000, 1000)


async def test_a_speech_that_begins_after_the_end_takes_nothing_at_all(pair):
    stream, end = await pair()
    await end.stop()
    await soon(stream.closed)
    late = stream.speak(sample_rate=24000)
    assert not late.write(b"\0\0")
    assert await soon(late.drained()) is False


async def test_a_thread_that_clears_can_write_no_more(pair, in_thread):
    stream, _ = await pair()
    speech = stream.speak()
    speech.write(SECOND)

    def clear_and_write():
        stream.clear()
        return [speech.write(SECOND) for _ in range(3)]

    assert await in_thread(clear_and_write) == [False] * 3
    assert (await soon(speech)).total_ms == 1000


async def test_any_view_of_bytes_is_taken(pair):
    stream, end = await pair()
    speech = stream.speak()
    assert speech.write(memoryview(SECOND[:640])[::2])
    speech.end()
    await end.until(to_twilio.Mark)
    assert sound_of(end) == SECOND[:640:2]
