"""A run that is waited for: its progress, its limit, and what an interrupt does."""

from __future__ import annotations

import sys
import threading

import pytest

from twistream_kit.errors import NoResultYet
from twistream_kit.pending import Subject, fail, fulfil
from twistream_kit.simulator._stoppable_run import StoppableRun, write_line


class Shown(StoppableRun[str]):
    """A run that notes what it was asked to show, and does something meanwhile."""

    def __init__(self, meanwhile=lambda: None):
        self.stopped = threading.Event()
        subject = Subject("a long run", "Report")
        super().__init__(subject, self.stopped, stop_seconds=5, progress=True)
        self.shown, self.meanwhile = [], meanwhile

    def _choose_progress(self):
        return self.show

    def show(self, is_over):
        self.shown.append(is_over)
        if not is_over:
            self.meanwhile()


def test_it_is_shown_until_the_report_is_there():
    run = Shown(lambda: fulfil(run, "the report"))
    assert run.result(30) == "the report"
    assert run.shown == [False, True]
    assert run.result(30) == "the report"
    assert run.shown == [False, True], "there is nothing to wait for any more"


def test_an_error_ends_what_is_shown():
    run = Shown(lambda: fail(run, ValueError("no")))
    with pytest.raises(ValueError, match=r"^no$"):
        run.result(30)
    assert run.shown == [False, True]


def test_a_report_that_comes_later_names_the_whole_time_that_was_waited():
    run = Shown()
    with pytest.raises(NoResultYet, match=r"within 0\.02 s"):
        run.result(0.02)
    assert run.shown[-1] is True
    assert not run.stopped.is_set(), "the run goes on"


def test_an_interrupt_ends_the_run_and_returns_its_report_and_the_second_one_ends_the_wait():
    def interrupt():
        raise KeyboardInterrupt

    run = Shown(interrupt)
    ends = threading.Thread(target=lambda: run.stopped.wait(30) and fulfil(run, "what it has"))
    ends.start()
    assert run.result() == "what it has"
    ends.join(30)
    again = Shown(interrupt)
    again.stop()
    with pytest.raises(KeyboardInterrupt):
        again.result()


@pytest.mark.parametrize("timeout", ["5", float("nan")])
def test_what_is_no_time_is_refused_as_everywhere(timeout):
    run = Shown()
    with pytest.raises((TypeError, ValueError), match="timeout"):
        run.result(timeout)
    assert run.shown == []


@pytest.mark.parametrize("is_closed", [True, False])
def test_nobody_who_reads_the_progress_is_no_error(monkeypatch, tmp_path, is_closed):
    closed = (tmp_path / "log").open("w", encoding="utf-8")
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if is_closed else None)
    write_line("half of it")
