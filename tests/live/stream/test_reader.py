import asyncio
import gc
import random
import threading
import weakref

import pytest

from support.waiting import eventually, soon
from twistream_kit.errors import WouldDeadlock
from twistream_kit.live.stream._reader import HELD_BYTES, HELD_SECONDS, Reader
from twistream_kit.live.stream.stream import get_state
from twistream_kit.protocol import from_twilio


@pytest.fixture
async def reader():
    return Reader(lambda item: item, asyncio.get_running_loop())


async def rest_of(reader):
    return [item async for item in reader]


async def test_items_come_in_order_until_the_end(reader):
    for item in "abc":
        reader._push(item, 0.0)
    reader._end()
    assert await rest_of(reader) == ["a", "b", "c"]
    assert await rest_of(reader) == []


async def test_waiting_reader_gets_what_comes_later(reader):
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    reader._push("late", 0.0)
    assert await soon(waiting) == "late"


async def test_waiting_reader_ends_with_the_stream(reader):
    waiting = asyncio.create_task(rest_of(reader))
    await asyncio.sleep(0)
    reader._end()
    assert await soon(waiting) == []


async def test_cancelled_wait_loses_nothing(reader):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(reader), 0.01)
    reader._push("a", 0.0)
    assert await soon(anext(reader)) == "a"


async def test_waits_that_were_given_up_leave_nothing_behind(reader):
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reader), 0)
    given_up = [asyncio.create_task(anext(reader)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    assert reader._waiters == []


async def test_work_on_an_item_is_done_by_the_one_who_reads():
    where = []
    reader = Reader(lambda item: where.append(threading.current_thread().name), None)
    reader._push("a", 0.0)
    assert where == []
    await asyncio.to_thread(list, reader)
    assert where[0] != threading.current_thread().name


async def test_ten_seconds_are_held_and_what_is_older_is_counted(reader):
    for frame in range(1000):
        reader._push(frame, frame * 0.02)
    last = 999 * 0.02
    reader._end()
    kept = await rest_of(reader)
    assert kept[-1] == 999
    assert len(kept) == pytest.approx(HELD_SECONDS / 0.02, abs=2)
    assert last - kept[0] * 0.02 <= HELD_SECONDS
    assert reader.dropped == 1000 - len(kept)


async def test_reader_that_reads_drops_nothing(reader):
    for frame in range(2000):
        reader._push(frame, frame * 0.02)
        assert await anext(reader) == frame
    assert reader.dropped == 0


async def test_after_a_long_silence_the_newest_item_is_kept(reader):
    reader._push("old", 0.0)
    reader._push("new", 100.0)
    assert reader.dropped == 1
    assert await anext(reader) == "new"


async def test_thread_reads_with_an_ordinary_loop(reader, in_thread):
    def read():
        return list(reader)

    reading = asyncio.create_task(in_thread(read))
    for item in "abc":
        await asyncio.sleep(0.005)  # sleeps: stands for a far end that takes its time
        reader._push(item, 0.0)
    reader._end()
    assert await reading == ["a", "b", "c"]


async def test_another_loop_reads_too(reader, other_loop):
    reading = asyncio.create_task(other_loop(rest_of(reader)))
    for item in "abc":
        await asyncio.sleep(0.005)  # sleeps: stands for a far end that takes its time
        reader._push(item, 0.0)
    reader._end()
    assert await reading == ["a", "b", "c"]


async def test_reader_whose_loop_was_closed_harms_nobody(reader):
    loop = asyncio.new_event_loop()

    def begin_to_wait():
        task = loop.create_task(anext(reader))
        task._log_destroy_pending = False
        loop.run_until_complete(asyncio.wait([task], timeout=0.001))
        loop.close()

    await asyncio.to_thread(begin_to_wait)
    assert len(reader._waiters) == 1
    reader._push("a", 0.0)
    assert await anext(reader) == "a"


async def test_ordinary_loop_on_the_feeding_loop_is_refused(reader):
    with pytest.raises(WouldDeadlock, match="Say `async for`, or make the handler an ordinary"):
        for _ in reader:
            pytest.fail("it must not begin")


async def test_two_waits_on_one_reader_get_one_item_each(reader):
    both = [asyncio.create_task(anext(reader)) for _ in range(2)]
    await asyncio.sleep(0)
    reader._push("a", 0.0)
    reader._push("b", 0.0)
    assert sorted(await asyncio.gather(*both)) == ["a", "b"]


async def test_readers_of_one_stream_do_not_depend_on_each_other(pair):
    stream, end = await pair()
    slow, fast = stream.audio(), stream.audio()
    await end.media(b"\x00" * 160)
    first = await soon(anext(fast))
    assert first.dtype == "int16"
    assert first.shape == (160,)
    await end.media(b"\xff" * 160)
    assert not (await soon(anext(fast))).any()
    late = stream.audio()
    await end.media(b"\x80" * 80)
    assert (await soon(anext(late))).shape == (80,)
    assert (await soon(anext(slow)) == first).all()


async def test_events_are_all_but_media(pair):
    stream, end = await pair()
    events = stream.events()
    await end.media()
    await end.send('{"event":"dtmf","streamSid":"MZ","dtmf":{"digit":"5"}}')
    await end.send('{"event":"novelty","x":1}')
    await end.echo("nobody's mark")
    await end.stop()
    kinds = [type(event).__name__ for event in await soon(rest_of(events))]
    assert kinds == ["Dtmf", "Unknown", "Mark", "Stop"]


async def test_stream_lets_go_of_readers_to_which_nobody_refers(pair):
    stream, end = await pair()
    kept, state = stream.audio(), get_state(stream)
    gone = [weakref.ref(make()) for make in (stream.audio, stream.events) for _ in range(20)]
    gc.collect()
    assert [find() for find in gone] == [None] * 40
    await end.media(b"\x80" * 80)
    assert (await soon(anext(kept))).shape == (80,)
    late = stream.audio(), stream.events()
    assert (len(state._audio_readers), len(state._event_readers)) == (2, 1)
    await end.stop()
    assert [await soon(rest_of(each)) for each in (kept, late[0])] == [[], []]


async def test_task_that_waits_for_sound_goes_on_if_nobody_else_refers_to_it(pair):
    stream, end = await pair()
    heard = []

    async def listen():
        async for _ in stream.audio():
            heard.append(True)  # noqa: PERF401 - seen while it goes on

    asyncio.create_task(listen())  # noqa: RUF006 - that nobody keeps it is what is tested
    await asyncio.sleep(0)
    for count in (1, 2, 3):
        gc.collect()
        await end.media()
        await eventually(lambda count=count: len(heard) == count)


async def test_readers_that_a_thread_makes_miss_nothing_from_then_on(pair, in_thread):
    stream, _ = await pair()
    state, readers = get_state(stream), []

    async def receive_all():
        for count in range(500):
            state.receive(from_twilio.Unknown("count", str(count)), 0.0)
            await asyncio.sleep(0)

    await asyncio.gather(
        in_thread(lambda: readers.extend(stream.events() for _ in range(50))), receive_all()
    )
    last = stream.events()
    state.receive(from_twilio.Unknown("count", "500"), 0.0)
    for reader in (*readers, last):
        items = [int(item.raw) for _, item in reader._queue]
        assert items == list(range(items[0], 501))
    assert len(last._queue) == 1


async def test_reader_of_an_ended_stream_ends_at_once(pair):
    stream, end = await pair()
    await end.stop()
    await soon(stream.closed)
    assert await soon(rest_of(stream.audio())) == []
    assert await asyncio.to_thread(list, stream.events()) == []


async def test_stream_reads_across_threads_and_loops(pair, in_thread, other_loop):
    stream, end = await pair()
    in_a_thread = asyncio.create_task(in_thread(list, stream.audio()))
    on_a_loop = asyncio.create_task(other_loop(rest_of(stream.audio())))
    for _ in range(3):
        await end.media()
    await end.stop()
    assert len(await in_a_thread) == 3
    assert len(await on_a_loop) == 3


async def test_large_items_are_held_up_to_a_size_and_the_newest_always(reader):
    for letter in "abcdefgh":
        event = from_twilio.Unknown(letter, letter * 3_000_000)
        reader._push(event, 0.0)
    reader._push(b"x" * (HELD_BYTES + 1), 0.0)
    assert reader.dropped == 8
    reader._end()
    assert len(await rest_of(reader)) == 1


async def test_size_is_free_again_after_an_item_was_read(reader):
    for _ in range(10):
        reader._push(b"x" * (HELD_BYTES // 2), 0.0)
        await soon(anext(reader))
    assert reader.dropped == 0


async def read_impatiently(reader):
    """Read to the end with waits that are given up again and again."""
    items = []
    while True:
        waiting = asyncio.create_task(anext(reader))
        for _ in range(5):
            await asyncio.sleep(0)
        waiting.cancel()
        try:
            items.append(await waiting)
        except asyncio.CancelledError:
            continue
        except StopAsyncIteration:
            return items


@pytest.mark.parametrize("pushes_at_home", [True, False])
async def test_no_wake_up_is_lost_on_any_loop_or_thread(in_thread, other_loop, pushes_at_home):
    home = asyncio.get_running_loop()
    n_items = 3000 if pushes_at_home else 500
    readers = [Reader(lambda item: item, home) for _ in range(5)]
    shared = Reader(lambda item: item, home)
    reading = [
        asyncio.create_task(rest_of(readers[0])),
        asyncio.create_task(read_impatiently(readers[1])),
        asyncio.create_task(other_loop(rest_of(readers[2]))),
        asyncio.create_task(other_loop(read_impatiently(readers[3]))),
        asyncio.create_task(in_thread(list, readers[4])),
    ]
    sharing = [
        asyncio.create_task(rest_of(shared)),
        asyncio.create_task(read_impatiently(shared)),
        asyncio.create_task(other_loop(rest_of(shared))),
        asyncio.create_task(in_thread(list, shared)),
        asyncio.create_task(in_thread(list, shared)),
    ]
    chance = random.Random(1)

    def push(first, last):
        for item in range(first, last):
            for reader in (*readers, shared):
                reader._push(item, 0.0)

    item = 0
    while item < n_items:
        # One by one, so that most pushes find somebody waiting, and sometimes many at once.
        last = min(n_items, item + chance.choice((1, 1, 1, 2, 40)))
        if pushes_at_home:
            push(item, last)
            await asyncio.sleep(0)
        else:
            await asyncio.to_thread(push, item, last)
        item = last
    for reader in (*readers, shared):
        if pushes_at_home:
            reader._end()
        else:
            await asyncio.to_thread(reader._end)
    for items in await soon(asyncio.gather(*reading)):
        assert items == list(range(n_items))
    shares = await soon(asyncio.gather(*sharing))
    assert sorted(item for share in shares for item in share) == list(range(n_items))
    assert all(share == sorted(share) for share in shares)
    assert all(reader._waiters == [] and reader.dropped == 0 for reader in (*readers, shared))


async def test_condition_is_made_only_when_a_thread_waits(reader):
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    reader._push("a", 0.0)
    assert await soon(waiting) == "a"
    assert reader._changed is None
