"""Reports of calls that never were."""

from collections import Counter

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.report import CallReport
from twistream_kit.simulator.stream.pacer import LatenessReport

PUNCTUAL = LatenessReport(frames=500, p50_ms=1, p95_ms=1, p99_ms=1, max_ms=2, late=0)


def report_of(*objections, lateness=PUNCTUAL, **others):
    """Return the report of a call in which a tenth of a second of sound was heard."""
    fields: dict = dict(  # noqa: C408 - keywords, as in the call below
        url="ws://127.0.0.1:1/media", stream_sid="MZ1", seconds=1.0,
        ended=EndCause("caller-hung-up"), ending="stopped", close_code=1005, error_code=None,
        sent={"connected": 1, "start": 1}, received={"media": 1}, objections=Counter(objections),
        debugger=(), first_sound_ms=0.0, heard=Clip.tone(440, 0.1), cleared_seconds=0.0,
        lost_seconds=0.0, expect_silence=False, lateness=lateness, capture=Capture(),
    )  # fmt: skip
    return CallReport(**{**fields, **others})
