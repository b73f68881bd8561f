"""What a handler raises stands below the cell that runs or ran last, in every supported kernel."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.notebook

HANDLERS = """
import asyncio
async def handler(stream):
    raise ValueError("it broke")
def plain(stream):
    kit.load_clip("nothing.wav")
server = kit.start(kit.StreamServer(handler))
"""


def printed_by(kernel, request, word):
    """Wait for a text with `word`; assert that it is the output of `request`, and return it."""
    kernel.wait(lambda: any(word in text for _, text in kernel.printed), word)
    assert {parent for parent, text in kernel.printed} == {request}
    return "".join(text for _, text in kernel.printed)


def test_a_handlers_error_stands_once_below_the_cell_that_runs_with_the_users_line(kernel):
    kernel.run(HANDLERS)
    kernel.forget()
    cell = kernel.begin("kit.simulate_call(server.url, seconds=0.3).result(30)")
    kernel.result_of(cell)
    text = printed_by(kernel, cell, "it broke")
    first, place, line, blank, error = text.splitlines()
    assert first.startswith("the handler of stream MZ")
    assert first.endswith(" failed:")
    assert (line, blank, error) == ('    raise ValueError("it broke")', "", "ValueError: it broke")
    assert place.startswith("Cell In[")
    assert place.endswith(", line 3, in handler")
    assert kernel.value("type(server.streams[-1].handler_error).__name__") == "ValueError"


def test_a_plain_handlers_error_below_the_cell_that_ran_last_though_a_button_was_pressed(kernel):
    kernel.run(
        "import ipywidgets\nbutton = ipywidgets.Button()\nlabel = ipywidgets.Label()\n"
        "pressed = []\nbutton.on_click(lambda _: pressed.append(1))\n" + HANDLERS
    )
    button = kernel.value("button.model_id")
    kernel.click(button)  # from here on, ipykernel 7 prints what a thread prints nowhere
    kernel.wait(lambda: kernel.value("pressed") == [1], "the button")
    kernel.run("""
second = kit.start(kit.StreamServer(plain), name="second")
gate = kit.start(kit.StreamServer(), name="gate")
call = kit.simulate_call(gate.url, seconds=30)
stream = gate.next_stream().result(30)
def call_second(done):
    kit.simulate_call(second.url, seconds=0.3)
stream.closed.add_done_callback(call_second)
""")
    kernel.forget()
    last = kernel.begin(
        "import threading; threading.Timer(0.3, stream.close, (), dict(now=True)).start()"
    )
    kernel.result_of(last)
    text = printed_by(kernel, last, "nothing.wav")
    assert '    kit.load_clip("nothing.wav")' in text.splitlines()
    assert text.splitlines()[-2] == "WavError: nothing.wav: there is no such file."
    assert "twistream_kit/" not in text


def test_errors_of_callbacks_and_listeners_are_printed_too_and_sound_goes_on(kernel):
    kernel.run("""
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer())
phone = twilio.phone("+15550100001")
def listener(state):
    raise LookupError(f"phone {state}")
stop = phone.follow(listener)
""")
    kernel.forget()
    cell = kernel.begin("""
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
stream = server.next_stream(call).result(30)
def callback(done):
    raise KeyError("of a callback")
stream.play(kit.Clip.tone(440, 0.1)).add_done_callback(callback)
print(stream.play(kit.Clip.tone(440, 0.1)).result(30).ending)
stop()
""")
    kernel.result_of(cell)
    text = printed_by(kernel, cell, "of a callback")
    assert text.count("KeyError: 'of a callback'") == 1
    assert "a done-callback of a Playing failed:" in text
    assert "LookupError: phone " in text
    assert "heard" in text.splitlines()


def test_of_many_equal_errors_one_is_printed_and_the_rest_counted(kernel):
    # Not the line of another test, within whose second it would be counted.
    kernel.run(HANDLERS.replace("it broke", "many broke"))
    kernel.forget()
    cell = kernel.begin("""
calls = [kit.simulate_call(server.url, seconds=0.3) for _ in range(5)]
for each in calls: each.exception(30)
""")
    kernel.result_of(cell)

    def count():
        text = "".join(text for _, text in kernel.printed)
        left_out = re.findall(r"\((once|\d+) more.*: ValueError: many broke\)", text)
        printed = text.count("\nValueError: many broke")
        return printed + sum(1 if many == "once" else int(many) for many in left_out)

    kernel.wait(lambda: count() == 5, "the number of those that were left out")
    printed = "".join(text for _, text in kernel.printed)
    assert printed.count("\nValueError: many broke") < 5
    assert {parent for parent, text in kernel.printed if "many" in text} == {cell}
