"""The buttons of a call, pressed by a front end while a cell runs, on every supported kernel.

On ipykernel 6 all clicks wait for the running cell, an awaiting one too, and the controls say so.
Newer ones have subshells, and there every click has to act while the cell goes on.
"""

from __future__ import annotations

import pytest

from support.waiting import LIMIT_SECONDS

pytestmark = [pytest.mark.notebook, pytest.mark.realtime]

SET_UP = """
import asyncio, time
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer())
phone = twilio.phone("+15550100001")
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)
tone = kit.Clip(kit.Clip.tone(440, 60.0).payload, name="tone")
beep = kit.Clip(kit.Clip.tone(880, 0.2).payload, name="beep")
controls = kit.StreamControls(stream, clips=[tone, beep], call=call)
controls
"""

NAMES = (
    "clip",
    "send_button",
    "mark_button",
    "clear_button",
    "hang_up_button",
    "progress",
    "state",
    "log_view",
)

HOLD = """
import os
limit = time.monotonic() + 180
while not os.path.exists({release!r}) and time.monotonic() < limit: {wait}
"""
CELLS = {
    "sleeps": "time.sleep(0.02)",
    "computes": "sum(range(100))",
    # In short waits: without us too, an interrupt is seen only when the kernel's loop wakes up.
    "awaits": "await asyncio.sleep(0.02)",
}
"""How a cell holds the kernel, for as long as a test needs to press the buttons."""

BUTTONS_WAIT = "A cell is running: on this kernel, buttons wait until it ends."


@pytest.fixture
def call(kernel):
    """Controls on a call in the kernel: functions to press and to look."""
    kernel.run(SET_UP)
    return ControlsInKernel(kernel)


@pytest.fixture
def call_without_subshells(fresh_kernel):
    """The same in the newest kernel, with a front end that knows no subshells, as some do."""
    kernel = fresh_kernel("newest", subshells=False)
    kernel.run("import twistream_kit as kit" + SET_UP)
    return ControlsInKernel(kernel)


class ControlsInKernel:
    """The front end's side of one `StreamControls`."""

    def __init__(self, kernel):
        self.kernel = kernel
        self._ids = kernel.value(f"{{n: getattr(controls, n).model_id for n in {NAMES}}}")
        outputs = dict(kernel.outputs)
        kernel.forget()
        kernel.outputs.update(outputs)

    def __getattr__(self, name):
        return self.kernel.models[self._ids[name]]

    def click(self, name):
        self.kernel.click(self._ids[name])

    def change(self, name, **state):
        self.kernel.change(self._ids[name], **state)

    def until(self, condition, what, seconds=LIMIT_SECONDS):
        return self.kernel.wait(condition, what, seconds)

    def says(self, text):
        return text in self.log_view["value"]

    def outcome(self):
        """How the newest playback ended, and how much of it was heard, in milliseconds."""
        return self.kernel.value("(lambda o: (o.ending, o.heard_ms))(stream.newest.result(30))")

    def quiet(self):
        """Whether nothing was printed and nothing raised since the controls were shown."""
        return self.kernel.errors == [] and self.kernel.printed == []


def test_buttons_act_while_no_cell_runs(call):
    call.until(lambda: "<b>In a call</b>" in call.state["value"], "call")
    call.click("send_button")
    call.until(lambda: call.progress["value"] > 0.007, "progress")
    call.click("clear_button")
    call.until(lambda: call.progress["bar_style"] == "warning", "clear")
    assert call.quiet()
    ending, heard_ms = call.outcome()
    assert ending == "cleared"
    assert 0 < heard_ms < 60_000
    assert BUTTONS_WAIT not in call.state["value"]


@pytest.mark.parametrize("doing", CELLS)
def test_buttons_act_while_a_cell_runs_or_say_that_they_wait(call, doing, kernel_version, tmp_path):
    release = tmp_path / "release"
    cell = call.kernel.begin(HOLD.format(release=str(release), wait=CELLS[doing]))
    if kernel_version.startswith("6."):
        act_after_the_cell(call, cell, release)
    else:
        act_during_the_cell(call, cell)
    ending, heard_ms = call.outcome()
    assert ending == "cleared"
    assert heard_ms < 60_000
    assert call.kernel.value("stream.is_open")


def act_during_the_cell(call, cell):
    call.click("send_button")
    call.until(lambda: call.says("sent tone"), "send")
    call.until(lambda: call.progress["value"] > 0.007, "progress")
    call.click("mark_button")
    call.until(lambda: call.says("asked for mark-1"), "mark")
    call.click("clear_button")
    call.until(lambda: call.says("tone was cleared after"), "clear")
    call.until(lambda: call.progress["bar_style"] == "warning", "display of the clear")
    assert not call.kernel.has_fallen_idle(cell), "the buttons waited for the cell"
    assert BUTTONS_WAIT not in call.state["value"]
    assert call.quiet()
    call.kernel.manager.interrupt_kernel()
    call.until(lambda: call.kernel.has_ended(cell), "interrupt")


def act_after_the_cell(call, cell, release):
    call.until(lambda: BUTTONS_WAIT in call.state["value"], "word that buttons wait")
    assert not call.kernel.has_fallen_idle(cell)
    call.click("send_button")
    call.click("mark_button")
    call.click("clear_button")
    with pytest.raises(TimeoutError):  # if a click is handled during the cell, say so no more
        call.until(lambda: call.says("sent tone"), "send", 0.5)
    release.touch()
    call.until(
        lambda: call.says("sent tone") or call.kernel.has_fallen_idle(cell), "end of the cell"
    )
    assert call.kernel.has_fallen_idle(cell), "a click was handled before the end of the cell"
    call.until(lambda: call.says("tone was cleared after"), "clear")
    call.until(lambda: BUTTONS_WAIT not in call.state["value"], "end of the waiting")
    assert call.quiet()


def test_the_chosen_clip_crosses_to_the_kernel(call):
    call.change("clip", index=1)
    call.click("send_button")
    call.until(lambda: call.says("beep was heard"), "end of the beep")
    call.change("clip", index=0)
    call.click("send_button")
    call.until(lambda: call.says("sent tone (60.0 s)"), "sound")
    assert call.quiet()


@pytest.mark.parametrize(
    "kernel_version",
    [pytest.param("7.3.0", marks=pytest.mark.slow), "newest"],
    indirect=True,
    scope="session",
)
def test_a_click_after_many_updates_still_acts_during_a_blocking_cell(call):
    """On 7.4 a widget's messages follow the shell of the parent of its last update."""
    for number in range(3):
        call.change("clip", index=number % 2)
        call.click("send_button")
        call.until(lambda: not call.clear_button["disabled"], "sound")
        cell = call.kernel.begin("stream.clear(); stream.mark('x').result(30); time.sleep(180)")
        call.until(lambda: call.clear_button["disabled"], "clear by the cell")
        call.click("mark_button")
        call.until(lambda n=number: call.says(f"asked for mark-{n + 1}"), "mark")
        assert not call.kernel.has_fallen_idle(cell)
        call.kernel.manager.interrupt_kernel()
        call.until(lambda c=cell: call.kernel.has_ended(c), "interrupt")


def test_hang_up_ends_the_call_from_the_front_end(call):
    call.click("hang_up_button")
    call.until(lambda: "<b>Ended</b>" in call.state["value"], "end")
    for name in ("send_button", "mark_button", "clear_button", "hang_up_button"):
        call.until(lambda name=name: getattr(call, name)["disabled"], name)
    (below,) = call.kernel.outputs
    call.until(lambda: "Ended" in call.kernel.outputs[below]["text/html"], "last picture")
    assert call.quiet()
    assert call.kernel.value("stream.closed.result(30).reason") in ("stop", "far end")


def test_clicks_on_what_has_ended_do_nothing_bad(call):
    call.kernel.run("stream.close(now=True).result(30)")
    call.until(lambda: "<b>Ended</b>" in call.state["value"], "end")
    for name in ("send_button", "mark_button", "clear_button", "hang_up_button"):
        call.click(name)
    call.until(lambda: call.says("tone was lost"), "word of the loss")
    assert call.quiet()


def test_an_interrupted_cell_leaves_the_call_as_it_was(call):
    call.click("send_button")
    call.until(lambda: call.progress["value"] > 0.004, "progress")
    cell = call.kernel.begin("time.sleep(180)")
    call.until(lambda: call.progress["value"] > 0.017, "progress during the cell")
    call.kernel.manager.interrupt_kernel()
    call.until(lambda: call.kernel.has_ended(cell), "interrupt")
    assert call.kernel.status_of(cell) == "error"
    assert call.kernel.value("stream.is_open and not stream.newest.done()")
    assert call.kernel.value("stream.newest.heard(0.8).result(30)") >= 0.8
    call.click("clear_button")
    call.until(lambda: call.says("tone was cleared"), "clear")


def test_an_interrupted_wait_ends_the_wait_alone(call):
    cell = call.kernel.begin("playing = stream.play(beep + tone); playing.result(60)")
    call.until(lambda: call.progress["value"] > 0.007, "progress during the cell")
    call.kernel.manager.interrupt_kernel()
    call.until(lambda: call.kernel.has_ended(cell), "interrupt")
    assert call.kernel.status_of(cell) == "error"
    assert call.kernel.value("playing.done()") is False
    call.kernel.run("stream.clear()")
    assert call.outcome()[0] == "cleared"


def test_clicks_of_a_front_end_without_subshells_wait_and_none_is_lost(call_without_subshells):
    call = call_without_subshells
    cell = call.kernel.begin("time.sleep(1)")
    for name in ("send_button", "mark_button", "clear_button"):
        call.click(name)
    call.until(lambda: call.says("tone was cleared after"), "clear")
    assert call.kernel.has_fallen_idle(cell)
    call.until(lambda: call.says("mark-1 was cleared"), "mark")
    assert call.quiet()
