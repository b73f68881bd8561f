"""Who ended it, in words."""

import typing

import pytest

from twistream_kit.protocol.ending import CAUSES, Cause, EndCause


def test_every_cause_has_words():
    assert set(CAUSES) == set(typing.get_args(Cause))


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (EndCause("callee-hung-up"), "the callee hung up"),
        (EndCause("server-closed", 1000), "your server closed the connection (1000)"),
        (
            EndCause("server-closed", 1011, "db down"),
            "your server closed the connection (1011 'db down')",
        ),
        (
            EndCause("handler-failed", 1011, detail="KeyError: 'x'"),
            "your handler raised an exception: KeyError: 'x'",
        ),
        (
            EndCause("twiml-replaced", is_guess=True),
            "the call's TwiML was replaced during the stream (probably)",
        ),
    ],
)
def test_the_words_of_an_ending(ended, words):
    assert ended.in_words == words
