"""What user code raises ends nothing but itself, and is logged."""

import asyncio
import logging

import pytest

from twistream_kit.guard import Guard, format_error


class WorkError(Exception):
    """Something that only these tests raise."""


class Alarm(BaseException):
    """Something that is neither an Exception nor known to anybody."""


KINDS = [WorkError, SystemExit, KeyboardInterrupt, Alarm, GeneratorExit, asyncio.CancelledError]


@pytest.mark.parametrize("kind", KINDS)
def test_a_guard_keeps_what_was_raised_and_says_it(caplog, kind):
    with Guard("a listener failed") as guard:
        raise kind("enough")
    assert type(guard.error) is kind
    assert "a listener failed" in caplog.text
    assert "Traceback" in caplog.text


def test_a_guard_around_what_goes_well_does_nothing(caplog):
    with Guard("a listener failed") as guard:
        pass
    assert guard.error is None
    assert caplog.records == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_guard_stands_a_log_that_fails_too(kind):
    class Fails(logging.Handler):
        def emit(self, record):
            raise kind("no log either")

    handler = Fails()
    logging.getLogger("twistream_kit").addHandler(handler)
    try:
        with Guard("a listener failed") as guard:
            raise WorkError("no")
    finally:
        logging.getLogger("twistream_kit").removeHandler(handler)
    assert isinstance(guard.error, WorkError)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_an_error_stands_an_error_that_cannot_be_said(kind):
    class Unspeakable(Exception):
        def __str__(self):
            raise kind

    assert format_error(Unspeakable()) == "Unspeakable: (its text cannot be had)"
    assert format_error(kind("enough")) == f"{kind.__name__}: enough"
    assert format_error(kind()) == kind.__name__
