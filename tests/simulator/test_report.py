from collections import Counter
from dataclasses import replace

import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.sound import SendingPace
from twistream_kit.errors import Objection
from twistream_kit.simulator.report import CallReport
from twistream_kit.simulator.stream.pacer import LatenessReport

PUNCTUAL = LatenessReport(frames=500, p50_ms=1, p95_ms=1, p99_ms=1, max_ms=2, late=0)
LATE = replace(PUNCTUAL, max_ms=300.0, late=50)


def report_of(*objections, lateness=PUNCTUAL):
    return CallReport(
        url="ws://127.0.0.1:1/media", stream_sid="MZ1", seconds=1.0, ending="hung up",
        close_code=1005, error_code=None, sent={}, received={}, objections=Counter(objections),
        debugger=(), first_sound_ms=None, heard=Clip.silence(0.1), lateness=lateness,
        capture=Capture(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def slow():
    """What a review says of sound that comes more slowly than it is."""
    pace = SendingPace()
    loud = Clip.tone(440, 0.02).payload
    for number in range(200):
        if found := pace.sent(loud, 0.05 * number):
            return found
    return pytest.fail("the pace was not objected to")


def test_what_twilio_logs_or_the_ear_minds_is_not_fine():
    assert report_of().ok
    assert report_of(Objection(None, "media", "is odd", severity="note")).ok
    assert not report_of(Objection(None, "media", "is odd", severity="warning")).ok
    assert not report_of(Objection(31951, "media", "is bad")).ok


def test_a_slow_server_is_believed_only_where_the_simulator_itself_was_punctual(slow):
    assert not report_of(slow).ok
    assert report_of(slow, lateness=LATE).ok
    assert not report_of(Objection(31951, "media", "is bad"), lateness=LATE).ok


def test_no_objections_is_said_only_where_there_are_none(slow):
    assert "no objections" in repr(report_of())
    assert "no objections" not in repr(report_of(slow, lateness=LATE))
    assert "more slowly" in repr(report_of(slow, lateness=LATE))
