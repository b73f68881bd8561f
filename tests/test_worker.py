import threading

import pytest

from support.waiting import soon
from twistream_kit.errors import TwistreamError
from twistream_kit.pending import on_worker


async def test_work_is_done_on_a_thread_of_that_name():
    name = await soon(on_worker("digger", lambda: threading.current_thread().name))
    assert name == "digger"


async def test_error_of_the_work_goes_to_whoever_waits():
    def fails():
        raise KeyError("nothing there")

    with pytest.raises(KeyError, match="nothing there"):
        await soon(on_worker("digger", fails))


def test_work_that_blocks_blocks_nobody_who_does_not_wait():
    go = threading.Event()
    pending = on_worker("digger", lambda: go.wait(5))
    assert not pending.done()
    with pytest.raises(TimeoutError, match="still on its way"):
        pending.result(0.01)
    go.set()
    assert pending.result(5) is True


def test_work_for_which_no_thread_can_be_started_fails_for_whoever_waits(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pending = on_worker("digger", lambda: 1)
    with pytest.raises(TwistreamError) as caught:
        pending.result(0)
    assert str(caught.value) == (
        "no thread could be started for digger: can't start new thread. It was not done. "
        "End other work of this process or of this machine, then try again."
    )
