"""The values in the log records of a stream, from which other programs make metrics and traces."""

import logging

import pytest

from support.waiting import eventually, soon
from twistream_kit.protocol import to_twilio

TONE = b"\x00" * 800


@pytest.fixture
def records(caplog):
    """Return the values of all records of streams so far, without the SIDs, which are checked."""
    caplog.set_level(logging.DEBUG, "twistream_kit.live")
    usual = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

    def read(stream):
        found = []
        for record in caplog.records:
            values = {name: each for name, each in vars(record).items() if name not in usual}
            if "event_name" in values:
                assert values.pop("stream_sid") == stream.stream_sid
                assert values.pop("call_sid") == stream.call_sid
                found.append((record.levelname, values))
        return found

    return read


async def test_a_stream_logs_its_start_each_playback_and_its_end(pair, records):
    stream, end = await pair()
    playing = stream.play(TONE, mark="greeting")
    await end.until(to_twilio.Mark)
    await end.echo()
    await soon(playing)
    with stream.speak() as speech:
        speech.write(TONE)
    await end.until(to_twilio.Mark)
    await end.stop()
    await soon(stream.closed)
    assert records(stream) == [
        ("INFO", {"event_name": "stream.started"}),
        ("DEBUG", {"event_name": "playback.queued", "playback": "greeting#1", "mark": "greeting"}),
        (
            "DEBUG",
            {
                "event_name": "playback.ended",
                "playback": "greeting#1",
                "ending": "heard",
                "heard_ms": 100,
                "total_ms": 100,
                "gaps": 0,
                "gap_ms": 0,
            },
        ),
        ("DEBUG", {"event_name": "playback.queued", "playback": "play#2", "mark": None}),
        (
            "DEBUG",
            {
                "event_name": "playback.ended",
                "playback": "play#2",
                "ending": "lost",
                "heard_ms": speech.heard_ms,
                "total_ms": 100,
                "gaps": 0,
                "gap_ms": 0,
            },
        ),
        (
            "INFO",
            {
                "event_name": "stream.ended",
                "reason": "stop",
                "cause": "twilio-stopped",
                "close_code": None,
                "error_code": None,
            },
        ),
    ]


async def test_a_handler_that_fails_is_logged_with_its_stream(pair, records):
    async def fail(stream):
        raise ZeroDivisionError

    stream, _ = await pair(fail)
    await soon(stream.closed)
    (_, started), (level, failed), (_, ended) = records(stream)
    assert started == {"event_name": "stream.started"}
    assert (level, failed) == ("ERROR", {"event_name": "handler.failed", "is_of_user": True})
    assert (ended["cause"], ended["close_code"], ended["error_code"]) == (
        "handler-failed",
        1011,
        31921,
    )


async def test_at_the_default_level_a_playback_is_not_logged(pair, caplog):
    caplog.set_level(logging.INFO, "twistream_kit.live")
    stream, end = await pair()
    stream.play(TONE)
    await end.until(to_twilio.Mark)
    await end.stop()
    await soon(stream.closed)
    names = [getattr(record, "event_name", None) for record in caplog.records]
    assert names == ["stream.started", "stream.ended"]


async def test_what_becomes_known_later_of_an_end_is_logged(serve, dial, records):
    server = await serve(public_url="https://example.com")
    end = await dial(server)
    stream = await soon(server.next_stream())
    end.vanish()
    await soon(stream.closed)
    server.lose_public_url("the tunnel broke")
    await eventually(lambda: stream.disconnect_reason)
    known = {"event_name": "stream.cause_known", "cause": "tunnel-lost"}
    await eventually(lambda: records(stream)[-1] == ("INFO", known))
