"""A Pending says what it stands for: in its repr, when used like its result, and when late."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import weakref

import pytest

import twistream_kit as kit
from support.waiting import soon
from twistream_kit.pending import Pending, Subject, fail, fulfil

ALICE = "+15550100001"


def ringing(state="ringing", **options):
    return Pending(None, Subject(f"Call to {ALICE}", "Call", lambda: state, **options))


def test_its_repr_says_what_is_waited_for_how_far_it_is_and_how_to_get_it():
    pending = ringing()
    assert repr(pending) == "<Pending Call to +15550100001: ringing; .result(10) or await>"
    fulfil(pending, "the call")
    assert repr(pending) == "<Pending Call to +15550100001: 'the call'>"
    failed = ringing()
    fail(failed, kit.CallRefused("no", fix="Ask"))
    assert repr(failed) == "<Pending Call to +15550100001: CallRefused: no. Ask.>"


def test_its_state_is_asked_for_only_when_somebody_reads_it():
    asked = []
    pending = Pending(None, Subject("playback", "PlayOutcome", lambda: asked.append(1) or "x"))
    pending.done()
    assert asked == []
    assert "playback: x;" in repr(pending)
    assert asked == [1]


def test_a_state_that_cannot_be_had_is_no_obstacle():
    def fail_to_say():
        raise ZeroDivisionError

    pending = Pending(None, Subject("Call", "Call", fail_to_say))
    assert repr(pending) == "<Pending Call: pending; .result(10) or await>"
    with pytest.raises(kit.NoResultYet, match=r"Call: no result within 0 s\. It is still"):
        pending.result(0)


@pytest.mark.parametrize("name", ["hang_up", "play", "no_such_thing"])
@pytest.mark.parametrize("done", [False, True])
def test_what_its_result_would_have_is_answered_with_how_to_get_the_result(name, done):
    pending = ringing()
    if done:
        fulfil(pending, 1)
    with pytest.raises(AttributeError) as caught:
        getattr(pending, name)
    assert type(caught.value) is kit.NoSuchAttribute
    assert str(caught.value) == (
        f"this is a Pending of a Call, and has no {name!r}. Say .result(10) or await it."
    )
    assert not hasattr(pending, name)


def test_an_article_fits_its_noun():
    pending = Pending(None, Subject("end", "InspectedEnd"))
    with pytest.raises(kit.NoSuchAttribute, match="a Pending of an InspectedEnd, and"):
        pending.objections  # noqa: B018 - it raises


def test_names_for_which_tools_look_are_answered_as_by_any_object():
    for pending in (ringing(), Pending()):
        with pytest.raises(AttributeError) as caught:
            pending._repr_html_  # noqa: B018 - it raises
        assert type(caught.value) is AttributeError


def test_a_wait_in_vain_says_how_far_it_is():
    for wait in (ringing().result, ringing().exception):
        with pytest.raises(TimeoutError) as caught:
            wait(0.01)
        assert str(caught.value) == (
            f"Call to {ALICE}: no result within 0.01 s (ringing). It is still on its way and can "
            "be waited for again."
        )


def test_a_result_that_is_such_an_error_is_raised_as_it_is():
    pending = ringing()
    inner = kit.NoResultYet("another wait", fix="Wait")
    fail(pending, inner)
    with pytest.raises(kit.NoResultYet) as caught:
        pending.result(1)
    assert caught.value is inner


def test_an_interrupted_wait_has_one_line_beside_it(monkeypatch):
    wait = threading.Condition.wait

    def interrupt(condition, timeout=None):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return wait(condition, timeout)  # threads of other tests go on

    monkeypatch.setattr(threading.Condition, "wait", interrupt)
    playing = Pending(None, Subject("playback", "PlayOutcome", silence="stream.clear()"))
    calling = Pending(None, Subject("a call", "CallReport", ends="hangs up after 9 s"))
    for pending, said in (
        (playing, "Only the wait has ended, the sound goes on: stream.clear() silences it."),
        (calling, "Only the wait has ended: a call is still on its way, and hangs up after 9 s."),
        (ringing(), f"Only the wait has ended: Call to {ALICE} is still on its way."),
    ):
        shown = []
        with pytest.raises(KeyboardInterrupt) as caught:
            try:
                pending.result(1)
            except KeyboardInterrupt as error:
                shown = error._render_traceback_()  # as IPython does, while it is handled
                raise
        assert caught.value.__notes__ == [said]
        assert shown[-2:] == ["KeyboardInterrupt", said]
        assert not pending.done()
        assert fulfil(pending, 1)
        assert pending.result(1) == 1
    with pytest.raises(KeyboardInterrupt) as caught:
        Pending().result(1)
    assert not hasattr(caught.value, "__notes__")


async def test_a_cancelled_wait_says_it_once_however_many_wait_above_it():
    pending = ringing()

    async def wait_outside():
        return await pending

    task = asyncio.create_task(wait_outside())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert len(caught.value.__notes__) == 1
    assert not pending.done()


async def test_a_wait_that_is_cancelled_leaves_nothing_to_the_garbage_collector():
    class Sound:
        pass

    async def play(sound):
        await ringing()

    sound = Sound()
    task, left = asyncio.create_task(play(sound)), weakref.ref(sound)
    await asyncio.sleep(0)
    gc.disable()
    try:
        task.cancel()
        await asyncio.wait({task})
        del task, sound
        assert left() is None
    finally:
        gc.enable()


# Who makes them.


@pytest.fixture
async def up():
    async with kit.SimulatedTwilio(ring_seconds=0.02) as twilio, kit.StreamServer() as server:
        phone = twilio.phone(ALICE)
        call = await soon(
            kit.place_call(
                twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url
            )
        )
        stream = await soon(server.next_stream(call))
        yield twilio, server, phone, call, stream


MAKERS = {
    "place_call": (
        lambda twilio, server, phone, call, stream: kit.place_call(
            twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url
        ),
        r"Pending Call to \+15550100001: being placed",
    ),
    "next_stream": (
        lambda twilio, server, phone, call, stream: server.next_stream(),
        r"Pending next MediaStream: no call yet on ws://127.0.0.1:\d+/media",
    ),
    "next_stream of a call": (
        lambda twilio, server, phone, call, stream: server.next_stream("CA" + "0" * 32),
        "Pending MediaStream of call CA0+: no call yet on",
    ),
    "preflight": (
        lambda twilio, server, phone, call, stream: kit.preflight(
            twilio.client, from_=twilio.numbers[0]
        ),
        "Pending preflight: pending",
    ),
    "simulate_call": (
        lambda twilio, server, phone, call, stream: kit.simulate_call(server.url, seconds=1),
        "Pending simulated call to ws://127.0.0.1:",
    ),
    "play": (
        lambda twilio, server, phone, call, stream: stream.play(
            kit.Clip.tone(440, 1), mark="hello"
        ),
        r"Playing playback of 1000 ms \(hello\): \d+ of 1000 ms heard",
    ),
    "speak": (
        lambda twilio, server, phone, call, stream: stream.speak(),
        "Speech playback of 0 ms: 0 of 0 ms heard",
    ),
    "heard": (
        lambda twilio, server, phone, call, stream: stream.play(kit.Clip.tone(440, 2)).heard(1),
        r"Pending wait until 1000 ms of a playback were heard: \d+ ms so far",
    ),
    "mark": (
        lambda twilio, server, phone, call, stream: (
            stream.play(kit.Clip.tone(440, 1)),
            stream.mark("here"),
        )[1],
        "Pending mark 'here': pending",
    ),
    "closed": (
        lambda twilio, server, phone, call, stream: stream.closed,
        "Pending end of stream MZ[0-9a-f]+: still open",
    ),
    "hang_up": (
        lambda twilio, server, phone, call, stream: call.hang_up(),
        "Pending hanging up CA[0-9a-f]+: pending",
    ),
    "ended": (
        lambda twilio, server, phone, call, stream: call.ended,
        "Pending end of call CA[0-9a-f]+: (initiated|queued|ringing|in-progress)",
    ),
    "until": (
        lambda twilio, server, phone, call, stream: phone.until("ringing"),
        r"Pending state 'ringing' of phone \+15550100001: in-call",
    ),
    "say": (
        lambda twilio, server, phone, call, stream: phone.say(kit.Clip.tone(440, 1)),
        r"Pending saying 1.00 s into phone \+15550100001: in-call",
    ),
    "wait_for": (
        lambda twilio, server, phone, call, stream: twilio.debugger.wait_for(31951),
        "Pending entry 31951 in Twilio's debugger: it is empty",
    ),
    "stopped": (
        lambda twilio, server, phone, call, stream: server.stopped,
        "Pending stop of the server: pending",
    ),
}


@pytest.mark.parametrize("maker", MAKERS)
async def test_every_maker_of_a_pending_says_what_it_stands_for(up, maker):
    make, said = MAKERS[maker]
    pending = make(*up)
    text = repr(pending)
    assert re.fullmatch(f"<{said}.*; .result\\(10\\) or await>", text), text
    with pytest.raises(kit.NoSuchAttribute, match="'nonsense'") as caught:
        pending.nonsense  # noqa: B018 - it raises
    # It does not tell to look for it where it is not.
    assert "Say .result(10) or await it." not in str(caught.value)


@pytest.mark.parametrize("maker", sorted(MAKERS.keys() - {"stopped"}))
async def test_every_maker_of_a_pending_knows_the_class_of_its_result(up, maker):
    make, _ = MAKERS[maker]
    pending = make(*up)
    subject = pending._get_subject()
    missing = {"no such name"} | set(dir(subject.kind)) - set(dir(pending))
    for name in missing:
        if not name.startswith("_"):
            with pytest.raises(kit.NoSuchAttribute) as caught:
                getattr(pending, name)
            is_advised = caught.value.fix == "Say .result(10) or await it"
            assert is_advised == (name != "no such name"), caught.value


async def test_what_the_constructor_of_a_result_sets_is_known_as_its_own(up):
    twilio, server, *_ = up
    placing = kit.place_call(
        twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url
    )
    with pytest.raises(kit.NoSuchAttribute) as caught:
        placing.sid  # noqa: B018 - it raises
    assert caught.value.fix == "Say .result(10) or await it"


@pytest.mark.parametrize(
    ("maker", "name", "text"),
    [
        (
            "play",
            "clear",
            (
                "this is a Playing of a PlayOutcome, and neither has 'clear'. "
                "stream.clear() silences it."
            ),
        ),
        (
            "speak",
            "stop",
            (
                "this is a Speech of a PlayOutcome, and neither has 'stop'. "
                "stream.clear() silences it."
            ),
        ),
        (
            "say",
            "stop",
            (
                "this is a Pending of a number of seconds, and neither has 'stop'. "
                "phone.hang_up() silences it."
            ),
        ),
        (
            "play",
            "haerd_ms",
            (
                "this is a Playing of a PlayOutcome, and neither has 'haerd_ms'. "
                "Did you mean .heard_ms?"
            ),
        ),
        (
            "next_stream",
            "colsed",
            (
                "this is a Pending of a MediaStream, and neither has 'colsed'. "
                "Did you mean .result(10).closed?"
            ),
        ),
        (
            "mark",
            "play",
            (
                "this is a Pending of a MarkOutcome, and neither has 'play'. The MarkOutcome comes "
                "with .result(10) or await; dir() lists what each has."
            ),
        ),
        (
            "stopped",
            "x",
            (
                "this is a Pending without a result, and has no 'x'. "
                "Say .result(10) or await it to wait for the stop of the server."
            ),
        ),
    ],
)
async def test_a_name_that_neither_has_is_answered_with_what_helps(up, maker, name, text):
    make, _ = MAKERS[maker]
    with pytest.raises(kit.NoSuchAttribute) as caught:
        getattr(make(*up), name)
    assert str(caught.value) == text


async def test_the_advice_to_silence_a_playback_silences_it(up):
    stream = up[-1]
    playing = stream.play(kit.Clip.tone(440, 60))
    with pytest.raises(kit.NoSuchAttribute) as caught:
        playing.clear  # noqa: B018 - it raises
    assert caught.value.fix.startswith("stream.clear()")
    stream.clear()
    assert (await soon(playing)).ending == "cleared"


async def test_no_call_on_a_server_says_where_it_waits_and_what_to_do():
    async with kit.StreamServer() as server:
        waiting = asyncio.to_thread(server.next_stream().result, 0.01)
        with pytest.raises(kit.NoResultYet) as caught:
            await waiting
        assert str(caught.value) == (
            f"no call came within 0.01 s. {server.stream_url} waits for one. Place it with "
            "kit.place_call(…, stream_url=server.stream_url), or simulate one with "
            "kit.simulate_call(server.stream_url), then wait again."
        )
        async with kit.Inspector(server.url) as inspector:
            waiting = asyncio.to_thread(inspector.next_stream().result, 0.01)
            with pytest.raises(kit.NoResultYet, match=f"{inspector.stream_url} waits for one"):
                await waiting


async def test_a_wait_that_blocks_the_loop_of_the_server_says_so():
    async def answer(reader, writer):
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        calling = kit.simulate_call(url)
        for wait in (calling.result, calling.exception):
            with pytest.raises(kit.NoResultYet) as caught:
                wait(0.1)
            assert "The wait blocked this event loop" in caught.value.fix
            with pytest.raises(kit.NoResultYet) as caught:
                wait(0)
            assert caught.value.fix == "", "it asks, and blocks nothing"
        with pytest.raises(kit.CallRefused) as caught:
            await soon(calling)
        assert "blocked" not in str(caught.value)


async def test_a_handshake_that_timed_out_in_a_wait_that_blocked_says_so(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.stream.handshake.HANDSHAKE_SECONDS", 0.2)

    async def answer(reader, writer):
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"
        calling = kit.simulate_call(url)
        for _ in range(2):
            with pytest.raises(kit.CallRefused, match="did not answer within") as caught:
                calling.result(20)
            assert str(caught.value).count("The wait blocked this event loop") == 1
            assert caught.value.fix.endswith("forward WebSockets?")


async def test_a_call_that_is_not_answered_is_said_to_ring():
    async with kit.SimulatedTwilio(ring_seconds=60) as twilio, kit.StreamServer() as server:
        twilio.phone(ALICE, answer="manual")
        call = await soon(
            kit.place_call(
                twilio.client, to=ALICE, from_=twilio.numbers[0], stream_url=server.stream_url
            )
        )
        await soon(twilio.phone(ALICE).until("ringing"))
        waiting = asyncio.to_thread(server.next_stream(call).result, 0.01)
        with pytest.raises(kit.NoResultYet) as caught:
            await waiting
        assert caught.value.problem == f"no stream of call {call.sid} started within 0.01 s"
        assert caught.value.consequence.startswith("The call is ")
        assert caught.value.fix.endswith("wait longer, or answer it")
