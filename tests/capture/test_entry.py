"""Messages kept as bare tuples, and read back."""

from __future__ import annotations

import gc

import pytest

from twistream_kit.capture.entry import keep, message_of, time_of
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32

MESSAGES = [
    from_twilio.Connected(),
    from_twilio.Start(SID, "AC1", "CA1", custom_parameters={"to": "you"}),
    from_twilio.Media(SID, b"\x2a" * 160, 7, "outbound", 5, 177),
    from_twilio.Dtmf(SID, "#", 8),
    from_twilio.Mark(SID, "story#1", 9),
    from_twilio.Stop(SID, "AC1", "CA1", 10),
    from_twilio.Unknown("novelty", "{}"),
    to_twilio.Media(SID, b"\xff" * 160),
    to_twilio.Mark(SID, "story#1"),
    to_twilio.Clear(SID),
]


@pytest.mark.parametrize(
    "message", MESSAGES, ids=lambda each: f"{type(each).__module__}.{each}"[:50]
)
def test_a_kept_message_comes_back_as_it_passed(message):
    kept = keep(message, 12.5)
    assert message_of(kept) == message
    assert type(message_of(kept)) is type(message)
    assert time_of(kept) == 12.5


def test_a_whole_wav_file_that_was_sent_comes_back_too():
    text = to_twilio.Media(SID, b"RIFF----").to_json().replace("UklGRi0tLS0=", "UklGRi0tLS1XQVZF")
    sent = to_twilio.parse(text)
    assert sent.payload == b"RIFF----WAVE"
    assert message_of(keep(sent, 0.0)) == sent


@pytest.mark.parametrize("message", [m for m in MESSAGES if hasattr(m, "payload")])
def test_the_garbage_collector_leaves_kept_sound_out(message):
    whole = [keep(message, float(at)) for at in range(3)]
    gc.collect()
    assert not any(map(gc.is_tracked, whole))
