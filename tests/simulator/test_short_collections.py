"""What is there when calls begin is left out of garbage collections for their time."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator

import pytest

from twistream_kit.simulator import _load_share
from twistream_kit.simulator._load_share import Watch
from twistream_kit.simulator._short_collections import leave_out_what_is_there, shorten_collections


class Circle:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def nothing_left_out() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_is_there_is_left_out_until_the_last_block_ends() -> None:
    with shorten_collections():
        first = gc.get_freeze_count()
        assert first > 1000
        with shorten_collections():
            circle = weakref.ref(Circle())
            leave_out_what_is_there()
            gc.collect()
            assert circle() is not None
        assert gc.get_freeze_count() >= first
        late = weakref.ref(Circle())
        gc.collect()
        assert late() is None, "what is new is collected as ever"
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert circle() is None


def test_what_a_program_has_frozen_itself_stays_frozen() -> None:
    gc.freeze()
    count = gc.get_freeze_count()
    with shorten_collections():
        leave_out_what_is_there()
        assert gc.get_freeze_count() <= count, "nothing was added"
    assert 0 < gc.get_freeze_count() <= count


def test_nothing_is_left_out_without_calls() -> None:
    leave_out_what_is_there()
    assert gc.get_freeze_count() == 0


def test_a_share_leaves_it_out_and_gives_it_back_when_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = []

    class Broken:
        def __init__(self, *_: object) -> None:
            counts.append(gc.get_freeze_count())

        def run(self) -> None:
            raise RuntimeError("broken")

    monkeypatch.setattr(_load_share, "_ShareRun", Broken)
    with pytest.raises(RuntimeError, match="broken"):
        _load_share.run_share(None, Watch())  # type: ignore[arg-type]  # no order is needed
    assert counts[0] > 1000
    assert gc.get_freeze_count() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_no_calls_and_collects_everything() -> None:
    with shorten_collections():
        child = os.fork()
        if not child:
            os._exit(0 if gc.get_freeze_count() == 0 else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
