"""Asking how a call ended when nobody reports it."""

import threading

import pytest

from twistream_kit.errors import CallRefused, ServerStopped
from twistream_kit.live.calls import call as call_module
from twistream_kit.live.calls.call import poll_until

UNREACHABLE = CallRefused("Twilio could not be reached")


class Known(threading.Event):
    """An end that is known after so many pauses, which do not last."""

    def __init__(self, after=1_000):
        super().__init__()
        self.pauses = []
        self.after = after

    def wait(self, timeout=None):
        self.pauses.append(timeout)
        return len(self.pauses) > self.after


def run(*answers, after=1_000):
    """Ask, with these answers; return the pauses, what was given up with, and what is left."""
    known, given_up, left = Known(after), [], list(answers)

    def look():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    poll_until(known, look, given_up.append)
    return known.pauses, given_up, left


def test_pauses_grow_up_to_a_limit_and_end_when_the_end_is_known():
    pauses, given_up, left = run(*[True] * 9, after=8)
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15, 15]
    assert (given_up, left) == ([], [True])


def test_nobody_is_asked_for_who_does_not_want_to_know_any_more():
    assert run(False, True)[1:] == ([], [True])


def test_single_refusals_do_not_end_it():
    answers = [UNREACHABLE, UNREACHABLE, True] * call_module.MAX_REFUSALS
    assert run(*answers, False)[1:] == ([], [])


@pytest.mark.parametrize(
    "answers", [[UNREACHABLE] * call_module.MAX_REFUSALS, [ServerStopped.before("that")]]
)
def test_what_cannot_be_found_out_is_given_up(answers):
    assert run(*answers, True)[1:] == ([answers[-1]], [True])
