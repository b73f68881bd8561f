"""The workbench on every supported kernel: made before a call, used while a cell runs."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.notebook

SET_UP = """
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer())
phone = twilio.phone("+15550100001")
tone = kit.Clip(kit.Clip.tone(440, 30.0).payload, name="tone")
"""

WORKBENCH = "workbench = kit.Workbench(server, phone, [tone])\nworkbench"

DIAL = """
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
"""

FIND = """{"send": workbench.controls.send_button.model_id,
    "hang_up": workbench.controls.hang_up_button.model_id,
    "status": workbench.status.model_id, "heard": workbench.controls._heard_text.model_id,
    "recording": workbench.recording.model_id, "scope": workbench.scope.model_id}"""


def test_a_call_that_begins_and_ends_while_a_cell_runs(kernel, tmp_path):
    kernel.run(SET_UP)
    cell = kernel.begin(WORKBENCH)
    kernel.result_of(cell)
    (_, below) = [data for parent, data in kernel.shown if parent == cell]
    assert below["text/html"] == ""
    (name,) = kernel.outputs
    ids = kernel.value(FIND)

    def says(part, text):
        return text in str(kernel.models[ids[part]])

    kernel.wait(lambda: says("status", "Waiting for a call"), "word of the waiting")
    waits = kernel.subshell is None  # ipykernel 6: all clicks are handled after the cell
    busy = kernel.begin_and_hold(DIAL, tmp_path / "release")
    kernel.wait(lambda: says("status", "In a call"), "call")
    (scope,) = kernel.wait(lambda: kernel.models[ids["scope"]]["children"], "scope")
    kernel.wait(lambda: "Waveform" in kernel.models[scope[10:]].get("summary", ""), "waveform")
    kernel.click(ids["send"])
    if waits:
        (tmp_path / "release").touch()
    kernel.wait(lambda: says("heard", "now: tone"), "sound")
    kernel.click(ids["hang_up"])
    kernel.wait(lambda: says("status", "Waiting for the next call"), "end")
    kernel.wait(lambda: len(kernel.models[ids["recording"]]["children"]) == 2, "recording")
    kernel.wait(lambda: "What was sent" in kernel.outputs[name]["text/html"], "last picture")
    assert kernel.has_fallen_idle(busy) is waits
    (tmp_path / "release").touch()
    assert kernel.result_of(busy) == ""
    assert kernel.errors == []


def test_the_cell_run_again_has_one_workbench_and_leaves_nothing(kernel):
    kernel.run(SET_UP)
    kernel.run(WORKBENCH)
    kernel.run("from ipywidgets.widgets.widget import _instances as open_widgets")
    events = "len(get_ipython().events.callbacks['pre_run_cell'])"
    n_events, n_widgets = kernel.value(f"({events}, len(open_widgets))")
    for _ in range(3):
        kernel.run(SET_UP)  # Run All: the server is a new one, too
        kernel.run(WORKBENCH)
    assert kernel.value(events) == n_events
    more = kernel.value("len(open_widgets)") - n_widgets
    assert more == 3 * 4, "of each stay the box and the sentence that it is retired, with layouts"
    kernel.run("workbench.close()")
