"""The workbench: what it shows before a call, during calls and after them."""

from __future__ import annotations

import threading
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from ipywidgets.widgets import widget

from support.drawings import drawings_in
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WavError
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.widgets import workbench as module
from twistream_kit.notebook.widgets.controls import StreamControls
from twistream_kit.notebook.widgets.phone import PhoneWidget
from twistream_kit.notebook.widgets.workbench import Workbench
from twistream_kit.simulator.twilio import SimulatedTwilio

OPEN = widget._instances
"""All widgets that are open, by the id of each; the public name of it is deprecated."""

SAMPLES = Path(__file__).parents[3] / "sample_audio"


class Desk:
    """A workbench, and what it takes to have calls on it."""

    def __init__(self, start, handler=None):
        self.twilio = start(SimulatedTwilio(ring_seconds=0.02))
        self.server = start(StreamServer(handler))
        self.phone = self.twilio.phone("+15550100001")
        self.made = []

    def make(self, *args, **options):
        self.made.append(Workbench(self.server, *args, **options))
        return self.made[-1]

    def call(self, number="+15550100001"):
        phone = self.twilio.phone(number)
        call = place_call(
            self.twilio.client,
            to=phone.number,
            from_=self.twilio.numbers[0],
            stream_url=self.server.stream_url,
        ).result(LIMIT_SECONDS)
        return call, self.server.next_stream(call).result(LIMIT_SECONDS)


@pytest.fixture
def desk(background_loop):
    desk = Desk(background_loop.start)
    yield desk
    for workbench in desk.made:
        workbench.close()


@pytest.fixture
def workbench(desk, tone):
    return desk.make(desk.phone, [tone])


def only(box):
    (child,) = box.children
    return child


def test_before_any_call_it_says_where_it_waits_for_one(desk, workbench):
    url = f"<code>{desk.server.stream_url}</code>"
    assert workbench.status.value == f"<b>Waiting for a call</b> on {url}"
    assert workbench.stream is None
    assert workbench.phone.number == desk.phone.number
    assert workbench.controls.send_button.disabled
    assert "waveform of the call appears here" in only(workbench.scope).value
    assert workbench.recording.children == ()
    assert workbench._chooser.layout.display == "none"


def test_it_shows_a_call_from_its_begin_to_its_end_and_waits_for_the_next(desk, workbench, until):
    _, stream = desk.call()
    until(lambda: workbench.stream is stream)
    until(lambda: stream.call_sid in workbench.status.value)
    until(lambda: repr(only(workbench.scope)) == f"<LiveScope of {stream!r}>")
    assert only(workbench.stream_log).lines[0]["event"] == "start"
    workbench.controls.send_button.click()
    until(lambda: workbench.controls.progress.value > 0.002)
    desk.phone.hang_up()
    until(lambda: "<b>Waiting for the next call</b> on <code>ws://" in workbench.status.value)
    until(lambda: workbench.controls.state.value.startswith("<b>Ended</b>: the callee hung up"))
    until(lambda: len(workbench.recording.children) == 2)
    player, figures = workbench.recording.children
    assert player.seconds == pytest.approx(stream.capture.recording.seconds)
    assert "Figures of the call" in figures.value
    assert "What was sent" in figures.value


def test_a_button_pressed_by_a_cell_acts_on_a_stream_that_the_pump_has_not_seen(
    desk, workbench, monkeypatch, until
):
    PUMP.remove(workbench._update)
    _, stream = desk.call()
    assert workbench.stream is None
    workbench.controls.send_button.click()
    assert stream.newest.mark == "tone"
    assert workbench.stream is stream
    desk.phone.hang_up()
    stream.closed.result(LIMIT_SECONDS)
    _, following = desk.call()
    workbench.controls.mark_button.click()
    assert workbench.stream is following


def test_on_the_loop_of_the_server_nothing_waits_for_the_pump(background_loop, tone, until):
    shown = []

    async def handler(stream):
        with workbench._lock_held_elsewhere:
            workbench.show(stream)
            shown.append(stream)
            await stream.play(tone.payload[:800])

    desk = Desk(background_loop.start, handler)
    workbench = desk.make()
    workbench._lock_held_elsewhere = HeldElsewhere(workbench._lock)
    _, stream = desk.call()
    until(lambda: shown == [stream])
    until(lambda: workbench.stream is stream)
    workbench.close()


class HeldElsewhere:
    """Another thread holds a lock meanwhile: who waits for it on this one never ends."""

    def __init__(self, lock):
        self._lock, self._held, self._done = lock, threading.Event(), threading.Event()

    def __enter__(self):
        threading.Thread(target=self._hold, daemon=True).start()
        assert self._held.wait(LIMIT_SECONDS)

    def __exit__(self, *_):
        self._done.set()

    def _hold(self):
        with self._lock:
            self._held.set()
            self._done.wait(LIMIT_SECONDS)


def test_it_takes_no_stream_away(desk, workbench, until):
    call = place_call(
        desk.twilio.client, to=desk.phone.number, from_=desk.twilio.numbers[0],
        stream_url=desk.server.stream_url,
    ).result(LIMIT_SECONDS)  # fmt: skip
    until(lambda: workbench.stream is not None)
    assert desk.server.next_stream().result(LIMIT_SECONDS) is workbench.stream
    call.hang_up().result(LIMIT_SECONDS)


def test_a_stream_that_ended_between_two_looks_is_shown(background_loop, until):
    desk = Desk(background_loop.start, lambda stream: stream.close())
    workbench = desk.make()
    _, stream = desk.call()
    stream.closed.result(LIMIT_SECONDS)
    until(lambda: workbench.stream is stream)
    until(lambda: workbench.recording.children)
    workbench.close()


def test_of_two_streams_the_first_stays_and_the_other_can_be_chosen(desk, workbench, until):
    call, first = desk.call()
    until(lambda: workbench.stream is first)
    other_call, second = desk.call("+15550100002")
    until(lambda: "2 streams are open" in workbench.status.value)
    assert workbench.stream is first
    until(lambda: workbench._chooser.layout.display is None)
    assert [sid for _, sid in workbench._chooser.options] == [second.stream_sid, first.stream_sid]
    assert workbench._chooser.value == first.stream_sid
    workbench._chooser.value = second.stream_sid
    until(lambda: workbench.stream is second)
    workbench.controls.send_button.click()
    assert second.newest.mark == "tone"
    assert first.newest is None
    call.hang_up().result(LIMIT_SECONDS)
    first.closed.result(LIMIT_SECONDS)
    until(lambda: "are open" not in workbench.status.value)
    assert workbench.stream is second
    other_call.hang_up().result(LIMIT_SECONDS)
    until(lambda: workbench.recording.children)
    assert workbench.stream is second


def test_when_the_stream_that_is_shown_ends_another_open_one_is_shown(desk, workbench, until):
    call, first = desk.call()
    until(lambda: workbench.stream is first)
    _, second = desk.call("+15550100002")
    call.hang_up().result(LIMIT_SECONDS)
    until(lambda: workbench.stream is second)
    workbench.show(first)
    until(lambda: workbench.recording.children)
    assert workbench.stream is first, "it was chosen, though it has ended"
    with pytest.raises(TypeError, match=r"not Pending; server\.next_stream"):
        workbench.show(desk.server.next_stream())


def test_a_handler_that_raises_stands_in_it_with_a_sign(background_loop, until):
    def handler(stream):
        raise ValueError("<no> such file")

    desk = Desk(background_loop.start, handler)
    workbench = desk.make()
    desk.call()
    until(lambda: "✖" in workbench.controls.state.value)
    assert "ValueError: &lt;no&gt; such file" in workbench.controls.state.value
    workbench.close()


def test_a_server_that_has_stopped_is_said_and_one_that_is_started_again_goes_on(
    desk, workbench, background_loop, until
):
    background_loop.stop(desk.server)
    until(lambda: "<b>The server is not running</b>" in workbench.status.value)
    background_loop.start(desk.server)
    until(lambda: "<b>Waiting for a call</b>" in workbench.status.value)
    _, stream = desk.call()
    until(lambda: workbench.stream is stream)


def test_a_lost_public_address_is_said(desk, workbench, until):
    desk.server.public_url = "https://somebody:secret@bench.example"
    until(lambda: "<code>wss://bench.example/media</code>" in workbench.status.value)
    desk.server.lose_public_url("the tunnel ended")
    until(lambda: "<b>The public address was lost</b>: the tunnel ended" in workbench.status.value)


def test_a_second_workbench_of_the_server_retires_the_first(desk, workbench, until):
    _, stream = desk.call()
    until(lambda: workbench.stream is stream)
    second = desk.make(desk.phone)
    assert workbench.is_retired
    assert workbench.status.value == module.RETIRED
    assert workbench.children == (workbench.status,)
    assert workbench._update not in PUMP._updates
    assert workbench.controls.comm is workbench.phone.comm is None
    until(lambda: second.stream is stream)
    assert stream.is_open
    with pytest.raises(RuntimeError, match="this workbench was retired or closed"):
        workbench.show(stream)
    assert workbench.children == (workbench.status,)
    second.close()
    with pytest.raises(RuntimeError, match="this workbench was retired or closed"):
        second.show(stream)


def test_a_workbench_whose_server_was_replaced_is_retired_too(desk, workbench, background_loop):
    other = Desk(background_loop.start)  # the cells are run again
    assert not workbench.is_retired
    newer = other.make(other.phone)
    assert workbench.is_retired
    assert not newer.is_retired
    newer.close()


def test_two_servers_have_a_workbench_each(desk, workbench, background_loop, until):
    other = background_loop.start(StreamServer(), name="other")
    second = Workbench(other)
    assert not workbench.is_retired
    assert second.phone is None
    second.close()


def test_clips_are_clips_or_paths(desk, tone):
    workbench = desk.make(clips=[tone, SAMPLES / "greeting.wav", str(SAMPLES / "reply.wav")])
    names = [clip.name for _, clip in workbench.controls.clip.options]
    assert names == ["tone", "greeting", "reply"]
    for wrong, said in [
        ("greeting.wav", "not str; write"),
        (tone, "not Clip; write"),
        (3, "not int; write"),
    ]:
        with pytest.raises(TypeError, match=said):
            Workbench(desk.server, clips=wrong)
    with pytest.raises(WavError, match=r"nothing\.wav"):
        Workbench(desk.server, clips=["nothing.wav"])
    for wrong, said in [
        (
            np.zeros(8000),
            r"clips\[1\] is of type ndarray, not Clip; kit\.Clip\.from_samples\(",
        ),
        (
            3,
            r"clips\[1\] is of type int, not Clip; kit\.load_clip\(path\) makes one",
        ),
    ]:
        with pytest.raises(TypeError, match=said):
            Workbench(desk.server, clips=[tone, wrong])
        with pytest.raises(TypeError, match=said):
            StreamControls(None, clips=[tone, wrong])
        with pytest.raises(TypeError, match=said.replace("clips", "voices")):
            PhoneWidget(desk.phone, voices=[tone, wrong])


def test_other_things_are_refused_with_what_to_write(desk):
    with pytest.raises(TypeError, match="takes a StreamServer, not SimulatedTwilio"):
        Workbench(desk.twilio)
    with pytest.raises(TypeError, match="phone is a str; it must be a simulated telephone"):
        Workbench(desk.server, "+15550100001")


def test_every_part_stands_in_a_box_of_ones_own(workbench):
    parts = [workbench.phone, workbench.controls, workbench.scope, workbench.stream_log]
    box = ipywidgets.HBox([*parts, workbench.recording, workbench.status])
    assert len(box.children) == 6
    box.close()


def test_an_observer_that_raises_does_not_end_it(desk, workbench, until, caplog):
    def observe(_change):
        raise SystemExit

    workbench.scope.observe(observe, "children")
    _, stream = desk.call()
    until(lambda: workbench.stream is stream)
    until(lambda: "the workbench could not be updated" in caplog.text)
    workbench.scope.unobserve(observe, "children")
    desk.phone.hang_up()
    until(lambda: "<b>Waiting for the next call</b>" in workbench.status.value)
    assert caplog.text.count("the workbench could not be updated") == 1


def interrupt_once(workbench, monkeypatch, name):
    """Have the user's interrupt arrive in the next call of `name` on the thread of the test."""
    meant, left = getattr(workbench, name), [1]

    def interrupted(*args):
        if left and threading.current_thread() is threading.main_thread():
            left.pop()
            raise KeyboardInterrupt
        return meant(*args)

    monkeypatch.setattr(workbench, name, interrupted)


@pytest.mark.parametrize("press", ["send", "show"])
def test_an_interrupt_of_a_cell_is_not_swallowed_and_cuts_nothing_off(
    desk, tone, until, monkeypatch, caplog, press
):
    workbench = desk.make(clips=[tone])
    PUMP.remove(workbench._update)  # so that the cell's thread is the first
    _, stream = desk.call()
    interrupt_once(workbench, monkeypatch, "_list_streams" if press == "send" else "_attach")
    with pytest.raises(KeyboardInterrupt):
        workbench.controls.send_button.click() if press == "send" else workbench.show(stream)
    assert "could not be updated" not in caplog.text
    PUMP.add(workbench._update)
    until(lambda: workbench.stream is stream and "In a call" in workbench.status.value)
    assert workbench.controls._stream is stream


def test_an_interrupt_between_the_parts_of_a_stream_leaves_none_out(desk, until, monkeypatch):
    workbench = desk.make()
    PUMP.remove(workbench._update)
    _, stream = desk.call()
    interrupt_once(workbench.controls, monkeypatch, "attach")
    with pytest.raises(KeyboardInterrupt):
        workbench.show(stream)
    PUMP.add(workbench._update)
    until(lambda: workbench.stream is stream)
    assert type(workbench.scope.children[0]).__name__ == "LiveScope"


def test_an_interrupt_on_another_thread_is_an_observers_and_is_logged(
    desk, workbench, until, caplog
):
    def observe(_change):
        raise KeyboardInterrupt

    workbench.scope.observe(observe, "children")
    _, stream = desk.call()
    until(lambda: workbench.stream is stream)
    until(lambda: "the workbench could not be updated" in caplog.text)


def test_an_observer_of_the_earlier_workbench_does_not_fail_the_new_one(desk, until, caplog):
    first = desk.make()
    first.status.observe(lambda _change: 1 / 0, "value")
    second = desk.make()
    assert first.is_retired
    assert not second.is_retired
    assert caplog.text.count("an earlier workbench could not be retired") == 1
    _, stream = desk.call()
    until(lambda: second.stream is stream)


def test_an_interrupt_while_the_earlier_one_is_retired_leaves_no_half_made_workbench(
    desk, monkeypatch
):
    first = desk.make()
    is_open = len(OPEN)
    monkeypatch.setattr(first, "retire", raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Workbench(desk.server)
    assert set(module._SHOWN) == {first}
    assert len(OPEN) == is_open


def raise_interrupt():
    raise KeyboardInterrupt


def test_a_workbench_with_an_observer_that_raises_is_closed_all_the_same(desk):
    is_open = len(OPEN)
    workbench = Workbench(desk.server)
    workbench.status.observe(lambda _change: 1 / 0, "value")
    with pytest.raises(ZeroDivisionError):
        workbench.close()
    assert len(OPEN) == is_open


def test_a_page_without_a_kernel_shows_a_drawing(workbench, desk):
    html = workbench._repr_mimebundle_()["text/html"]
    assert "Run the notebook to use it." in html
    [(words, drawing)] = drawings_in(html)
    assert words.startswith("A workbench for calls: ")
    assert ">Telephone</text>" in drawing
    [(_, without)] = drawings_in(desk.make()._repr_mimebundle_()["text/html"])
    assert ">Telephone</text>" not in without


def test_the_last_picture_has_the_recording_and_the_figures(desk, workbench, until):
    assert workbench._draw_last_picture() is None
    _, stream = desk.call()
    until(lambda: workbench.stream is stream)
    stream.play(Clip.tone(440, 0.3)).result(LIMIT_SECONDS)
    desk.phone.hang_up()
    until(lambda: workbench.recording.children and workbench._has_last_picture)
    picture = workbench._draw_last_picture()
    for part in ("<b>Ended</b>: ", "<audio ", "What was sent"):
        assert part in picture
    _, following = desk.call()
    until(lambda: workbench.stream is following)
    until(lambda: not workbench._has_last_picture)
    until(lambda: workbench.recording.children == ())


def count_all():
    threads = [each for each in threading.enumerate() if each.name != "twistream_kit widgets"]
    return len(OPEN), len(PUMP._updates), len(threads)


def test_twenty_calls_leave_nothing_behind(desk, workbench, until):
    def settle():
        until(lambda: workbench._has_last_picture and len(PUMP._updates) == 1)
        until(lambda: count_all() == count_all())
        return count_all()

    counts = []
    for _ in range(20):
        call, stream = desk.call()
        until(lambda s=stream: workbench.stream is s)
        call.hang_up().result(LIMIT_SECONDS)
        counts.append(settle())
    until(lambda: count_all()[:2] == counts[1][:2] and count_all()[2] <= counts[1][2])


def test_closing_leaves_nothing_behind_and_the_server_goes_on(desk, tone, until):
    before = set(OPEN)
    workbench = desk.make(desk.phone, [tone])
    _, stream = desk.call()
    until(lambda: workbench.stream is stream)
    workbench.close()
    assert [type(OPEN[name]) for name in set(OPEN) - before] == []
    assert workbench._update not in PUMP._updates
    assert stream.is_open
