"""The scope and the log on every supported kernel, while a cell keeps it busy."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.notebook

SET_UP = """
import time
from twistream_kit.notebook.widgets.scope import LiveScope
from twistream_kit.notebook.widgets.stream_log import StreamLog
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer())
phone = twilio.phone("+15550100001")
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)
scope, log = LiveScope(stream), StreamLog(stream, path={path!r})
"""

BUSY = "stream.play(kit.Clip.tone(440, 60)); phone.press('5')"


@pytest.fixture
def shown(kernel, tmp_path):
    """The scope and the log of a call, as a front end knows them: a function for each."""
    kernel.run(SET_UP.format(path=str(tmp_path / "call.jsonl")))
    ids = kernel.value("(scope.model_id, log.model_id)")
    kernel.forget()
    return ids


def test_they_go_on_while_a_cell_sleeps_and_print_nothing(kernel, shown, tmp_path):
    scope, log = shown
    cell = kernel.begin_and_hold(BUSY, tmp_path / "release")
    hears = "hears you; in view: 1 key"
    kernel.wait(lambda: hears in kernel.models[scope]["summary"], "sound in the scope")
    kernel.wait(lambda: "dtmf" in [line["event"] for line in kernel.models[log]["lines"]], "a key")
    assert not kernel.has_fallen_idle(cell)
    (tmp_path / "release").touch()
    assert kernel.result_of(cell) == ""
    assert kernel.errors == []


def test_the_capture_is_saved_while_a_cell_sleeps_where_the_kernel_can(kernel, shown, tmp_path):
    _, log = shown
    cell = kernel.begin_and_hold(BUSY, tmp_path / "release")
    kernel.wait(lambda: len(kernel.models[log]["lines"]) > 1, "a key in the log")
    kernel._comm(log, {"method": "custom", "content": {"kind": "save"}})
    if kernel.subshell is None:
        (tmp_path / "release").touch()
    kernel.wait(lambda: kernel.models[log]["saved"], "an answer to the button")
    assert kernel.has_fallen_idle(cell) is (kernel.subshell is None)
    assert str(tmp_path / "call.jsonl") in kernel.models[log]["saved"]
    assert (tmp_path / "call.jsonl").exists()
    (tmp_path / "release").touch()
    kernel.result_of(cell)
    assert kernel.errors == []
