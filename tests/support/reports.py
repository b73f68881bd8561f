"""Reports of calls that never were."""

from collections import Counter

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.simulator.report import CallReport
from twistream_kit.simulator.stream.pacer import LatenessReport

PUNCTUAL = LatenessReport(frames=500, p50_ms=1, p95_ms=1, p99_ms=1, max_ms=2, late=0)


def report_of(*objections, lateness=PUNCTUAL):
    return CallReport(
        url="ws://127.0.0.1:1/media", stream_sid="MZ1", seconds=1.0, ending="stopped",
        close_code=1005, error_code=None, sent={}, received={}, objections=Counter(objections),
        debugger=(), first_sound_ms=None, heard=Clip.silence(0.1), lateness=lateness,
        capture=Capture(),
    )  # fmt: skip
