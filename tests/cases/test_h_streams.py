"""The rows H04 to H06, and H02 at the server: what a stream misses, and who ended it."""

from __future__ import annotations

import pytest

from support.cases import running
from support.waiting import soon
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.simulator.simulate_call import simulate_call


async def inspect(program, **call):
    """Call a server of a row through an inspector; return the stream and the report."""
    async with running(program) as url, Inspector(url) as inspector:
        report = await soon(simulate_call(inspector.stream_url, **call))
        (stream,) = inspector.streams
        await soon(stream.closed)
        return stream, report


async def test_h05_what_a_server_writes_after_its_close_frame_is_not_looked_at():
    stream, report = await inspect("h05.py", seconds=0.5)
    assert stream.objections == []
    end = stream.closed.result(0)
    assert (end.ended_by, end.said_stop, end.server_code) == ("twilio", True, 1005)
    assert report.error_code is None


async def test_h06_close_by_the_server_is_31921_as_the_simulator_logs_it():
    stream, report = await inspect("g06.py")
    (objection,) = stream.objections
    assert (objection.code, objection.severity) == (31921, "error")
    assert "1011 'upstream quota used up'" in objection.problem
    assert report.error_code == 31921
    end = stream.closed.result(0)
    assert "1011 'upstream quota used up'" in end.detail
    assert (end.error_code, end.cause.cause, end.cause.close_code) == (31921, "server-closed", 1011)
    assert end.cause.close_reason == "upstream quota used up"


@pytest.mark.parametrize("program", ["g02.py", "g07.py"])
async def test_a_close_with_1000_is_no_error_for_either(program):
    stream, report = await inspect(program)
    assert [each for each in stream.objections if each.code] == []
    assert stream.closed.result(0).error_code == report.error_code == 31921
    assert not stream.closed.result(0).cause.is_error
