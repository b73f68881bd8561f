"""Whether buttons wait for a running cell, by kernel and front end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from support.front_end import SILENT_SECONDS
from support.kernels import LETS_THE_NEXT_REQUEST_LIE, MISSES_REQUESTS
from support.waiting import until
from twistream_kit.notebook.runtime import kernel as kernel_module


def kernel_with(*ids):
    manager = SimpleNamespace(list_subshell=lambda: list(ids))
    return SimpleNamespace(shell_channel_thread=SimpleNamespace(manager=manager))


@pytest.mark.parametrize(
    ("kernel", "is_old", "why"),
    [
        (None, False, ""),
        (SimpleNamespace(), True, kernel_module.OLD_KERNEL),
        (kernel_with("one"), False, ""),
        (kernel_with(), False, kernel_module.NO_SUBSHELL),
        (SimpleNamespace(shell_channel_thread=None), False, ""),
    ],
    ids=["no kernel", "ipykernel 6", "a subshell", "none asked for", "unknown"],
)
def test_buttons_wait_without_a_subshell_and_nothing_is_said_of_the_unknown(
    monkeypatch, kernel, is_old, why
):
    monkeypatch.setattr(kernel_module, "find_kernel", lambda: kernel)
    monkeypatch.setattr(kernel_module, "do_buttons_wait", lambda: is_old)
    assert kernel_module.explain_button_delay() == why


CONTROLS = """
import time
import twistream_kit as kit
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer())
phone = twilio.phone("+15550100001")
call = kit.place_call(twilio.client, to=phone.number, from_=twilio.numbers[0],
                      stream_url=server.stream_url).result(30)
controls = kit.StreamControls(server.next_stream(call).result(30), call=call)
"""


@pytest.mark.notebook
@pytest.mark.parametrize("has_subshells", [True, False])
def test_a_front_end_without_subshells_is_warned_that_buttons_may_wait(
    fresh_kernel, has_subshells, tmp_path
):
    kernel = fresh_kernel("newest", subshells=has_subshells)
    kernel.run(CONTROLS)
    state = kernel.models[kernel.value("controls.state.model_id")]
    kernel.wait(
        lambda: kernel_module.NO_SUBSHELL not in state["value"], "the end of the first cell"
    )
    if has_subshells:
        cell = kernel.begin("time.sleep(0.6)")
        while not kernel.has_ended(cell):
            kernel.take_in()
            assert kernel_module.NO_SUBSHELL not in state["value"]
    else:
        cell = kernel.begin_and_hold("", tmp_path / "release")
        kernel.wait(
            lambda: kernel_module.NO_SUBSHELL in state["value"], "word that buttons may wait"
        )
        assert not kernel.has_ended(cell)
        (tmp_path / "release").touch()
    kernel.wait(lambda: kernel_module.NO_SUBSHELL not in state["value"], "the end of the waiting")
    assert kernel.errors == []


@pytest.mark.slow
@pytest.mark.notebook
def test_a_request_that_an_older_kernel_has_missed_is_read_once_somebody_connects(
    fresh_kernel, tmp_path
):
    """What ipykernel 7.0 to 7.3 do by chance when an answer and a request cross."""
    kernel = fresh_kernel(MISSES_REQUESTS)
    kernel.run(f"import os; os.chdir({str(tmp_path)!r})\n{LETS_THE_NEXT_REQUEST_LIE}")
    until((tmp_path / "busy").exists)
    missed = kernel.begin("print('missed')")
    kernel._misses_requests = False
    with pytest.raises(TimeoutError):
        kernel.wait(lambda: kernel.has_ended(missed), "end of the cell", SILENT_SECONDS)
    kernel._misses_requests = True
    assert kernel.result_of(missed) == "missed\n"
