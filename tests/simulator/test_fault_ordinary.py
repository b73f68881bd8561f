"""What an ordinary call to a server is like, in words and figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator._fault_ordinary import UNKNOWN, find_pause, is_meant
from twistream_kit.simulator.stream.ending import StreamEnding

SPOKE = replace(UNKNOWN, seconds=2.0, first_sound=0.2, pause=0.1, hang_up_code=1000)


def end(code):
    return StreamEnding(EndCause("server-closed", code), code)


@pytest.mark.parametrize(
    ("sounds", "end", "pause"),
    [
        ([], 4.0, None),
        ([0.5, 0.75, 1.5], 1.75, 0.75),
        ([0.5, 0.75], 2.0, 1.25),
        ([0.5, 0.75], 4.0, None),
    ],
)
def test_a_server_goes_on_sounding_if_its_last_pause_is_no_longer_than_one(sounds, end, pause):
    assert find_pause(sounds, end, 2.0) == pause


@pytest.mark.parametrize(
    ("code", "meant"), [(1000, True), (1005, True), (4000, True), (1011, False)]
)
def test_a_code_of_the_application_is_meant(code, meant):
    assert is_meant(code) is meant
    assert (replace(SPOKE, ended=end(code)).problem == "") is meant


def test_it_is_said_in_words():
    assert str(SPOKE) == "the first sound after 200 ms"
    assert str(replace(SPOKE, pause=None)) == "the first sound after 200 ms, and none later"
    assert "there was no Close frame (1006)" in str(replace(SPOKE, hang_up_code=1006))
    assert "closed with 4001 (of the application) 2.0 s" in str(replace(SPOKE, ended=end(4001)))
    assert str(UNKNOWN).startswith("the server said nothing")
