"""Captures of calls that are built message by message."""

from __future__ import annotations

from twistream_kit.capture.capture import Capture


def capture_of(stream_sid, *rows, call_sid="", started=0.0, **options):
    """Return a capture of `rows`, each a time in seconds since the start, and its message."""
    capture = Capture(stream_sid, call_sid, started, **options)
    for at, message in rows:
        capture.append(message, started + at)
    return capture
