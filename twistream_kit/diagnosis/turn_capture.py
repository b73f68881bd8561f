"""What the messages of a call say about its turns: clears, sound sent to its end, the caller's."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from statistics import median

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.capture.replay import Replay, SentMark
from twistream_kit.capture.summary import FEW_MARKS
from twistream_kit.diagnosis._turn_meter import WholeSound
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND

_IDLE_SECONDS = 0.2
"""A server that sends sound as it is spoken sends some more often than this."""


def find_clears(replay: Replay) -> list[float]:
    """Return when the clears came that discarded sound, in seconds of the capture."""
    effective = {at for at, before, after, _ in replay.levels if before and not after}
    return [at for at in replay.clears if at in effective]


def find_whole(replay: Replay) -> list[WholeSound]:
    """Return the sound that was played to the end of what the server had sent."""
    times = [at for at, _ in replay.sent]
    ends = [*accumulate(size for _, size in replay.sent)]  # of the messages, in bytes
    marks = sorted((mark for mark in replay.marks if mark.name), key=_get_position)
    begins = {each.first for each in replay.intervals}  # after a clear the next one begins later
    begins.update(ends[-1:])
    found = []
    for interval in replay.intervals:
        first, end = interval.first, interval.first + interval.size
        if end not in begins:
            continue
        sent = times[bisect_right(ends, first) : bisect_left(ends, end) + 1]
        after = bisect_right(marks, first, key=_get_position)
        before = bisect_right(marks, end, key=_get_position)
        known_at = _find_known(sent, marks[after:before], end)
        ended = interval.started + interval.size / BYTES_PER_SECOND
        found.append(WholeSound(interval.started, ended, known_at))
    return found


def _find_known(sent: Sequence[float], marks: Sequence[SentMark], end: int) -> float:
    """Return from when on it is known that a server sends no more of a sound.

    Args:
        sent: When its messages were sent.
        marks: The marks within it and at its end.
        end: The position of its end.
    """
    gap = max((later - earlier for earlier, later in pairwise(sent)), default=0.0)
    known_at = sent[-1] + max(_IDLE_SECONDS, 1.5 * gap) if sent else math.inf
    within = {mark.position for mark in marks if mark.position < end}
    last_marks = [mark for mark in marks if mark.position == end and not mark.cleared]
    if any(mark.returned_at is not None for mark in last_marks):
        is_complete = len(within) <= FEW_MARKS
        known_at = -math.inf if is_complete else min(known_at, last_marks[0].sent_at)
    return known_at


def _get_position(mark: SentMark) -> int:
    return mark.position


def find_cut_off(capture: Capture, replay: Replay) -> float:
    """Return how many seconds of sound waited when the server closed the stream.

    The caller or Twilio may have ended it, and then there is a stop message; or it goes on, and
    then no mark is lost yet.
    """
    is_stopped = any(isinstance(entry.message, from_twilio.Stop) for entry in capture.entries)
    if is_stopped or "lost" not in capture.endings.values() or not replay.levels:
        return 0.0
    return replay.levels[-1][1] / BYTES_PER_SECOND


def render_said(capture: Capture) -> Clip:
    """Return the caller's sound, on the clock by which it arrived.

    `Capture.caller` puts the first message at the beginning of the call, and so all later ones too
    late, because Twilio's first messages come at once (§10.20).
    """
    said = capture.caller.payload
    sizes = [
        (entry.at, entry.size)
        for entry in capture.entries
        if isinstance(entry.message, from_twilio.Media) and entry.message.track == "inbound"
    ]
    position, early = len(said), []
    for at, size in reversed(sizes):  # from the end, since lost messages are filled in before
        early.append(position - round(at * BYTES_PER_SECOND))
        position -= size
    shift = round(median(early)) if early else 0
    return Clip(said[shift:] if shift > 0 else b"\xff" * -shift + said, "caller")
