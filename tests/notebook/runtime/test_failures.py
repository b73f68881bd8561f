"""The errors of the user's code are printed once, and a flood of them is counted."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from support.waiting import LIMIT_SECONDS, until
from twistream_kit.guard import Guard, log_user_error, report
from twistream_kit.notebook.runtime import failures
from twistream_kit.notebook.runtime.failures import CellOutput, FailurePrinter


class Output(CellOutput):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = []

    def write(self, text):
        self.written.append(text)


@pytest.fixture
def logger():
    """A logger of the kit's with a printer, and nothing else."""
    logger = logging.getLogger("twistream_kit.test_failures")
    logger.propagate = False
    logger.output = Output()
    printer = FailurePrinter(logger.output)
    logger.addHandler(printer)
    yield logger
    logger.removeHandler(printer)


def fail_with(text):
    raise ValueError(text)


def catch(text="it broke", act=fail_with):
    with pytest.raises(ValueError) as caught:
        act(text)
    return caught.value


def test_an_error_of_the_users_is_printed_with_their_line(logger):
    log_user_error(logger, "the handler failed", catch())
    (text,) = logger.output.written
    lines = text.splitlines()
    assert lines[0] == "the handler failed:"
    assert lines[-3:] == ["    raise ValueError(text)", "", "ValueError: it broke"]


def test_nothing_else_is_printed(logger):
    logger.error("an error of the kit", exc_info=catch())
    logger.warning("a warning")
    assert logger.output.written == []


def test_equal_errors_are_counted_and_others_printed(logger, monkeypatch):
    def fail_elsewhere(text):
        raise ValueError(text)

    monkeypatch.setattr(failures, "FLOOD_SECONDS", 0.3)
    for number in range(4):
        log_user_error(logger, f"the handler of stream {number} failed", catch(str(number)))
    log_user_error(logger, "another", catch("other", fail_elsewhere))
    assert [text.splitlines()[0] for text in logger.output.written] == [
        "the handler of stream 0 failed:",
        "another:",
    ]
    until(lambda: len(logger.output.written) == 3)
    assert logger.output.written[-1] == "(3 more times within 0.3 s: ValueError: 0)\n"
    log_user_error(logger, "later", catch())
    assert logger.output.written[-1].startswith("later:")


def test_each_of_many_threads_is_printed_or_counted(logger, monkeypatch):
    monkeypatch.setattr(failures, "FLOOD_SECONDS", 0.3)
    error = catch()
    threads = [
        threading.Thread(target=log_user_error, args=(logger, "failed", error)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    until(lambda: "more times" in logger.output.written[-1])
    assert logger.output.written[-1] == "(19 more times within 0.3 s: ValueError: it broke)\n"
    assert len(logger.output.written) == 2


def test_what_the_users_own_logging_shows_in_the_terminal_is_not_printed_again(logger):
    theirs = logging.StreamHandler(sys.stderr)
    logger.addHandler(theirs)
    log_user_error(logger, "failed", catch())
    assert logger.output.written == []
    logger.removeHandler(theirs)
    log_user_error(logger, "failed", catch())
    assert len(logger.output.written) == 1


def test_outside_of_a_kernel_it_goes_to_stderr(capsys):
    output = CellOutput()
    output.attach()
    output.write("it broke\n")
    assert capsys.readouterr().err == "it broke\n"


def test_a_closed_stderr_is_no_obstacle(monkeypatch, tmp_path):
    with (tmp_path / "closed").open("w") as file:
        pass
    monkeypatch.setattr(sys, "stderr", file)
    CellOutput().write("lost")
    monkeypatch.setattr(sys, "stderr", None)
    CellOutput().write("lost")


def test_only_user_code_is_marked(caplog):
    with Guard("a listener failed", of_user=True):
        fail_with("theirs")
    report("a command failed", catch("ours"))
    assert [getattr(record, "is_of_user", False) for record in caplog.records] == [True, False]
