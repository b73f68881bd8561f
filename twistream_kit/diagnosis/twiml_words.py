"""Which elements and attributes TwiML has, as far as a stream's document needs them (§1.1 to §1.4).

Attributes are listed only for elements that stand around streams; those of others are not judged.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _names(
    "Connect Dial Echo Enqueue Gather Hangup Leave Pause Pay Play Prompt Queue Record Redirect"
    " Refer Reject Say Sms Start Stop"
)
"""What may stand directly inside <Response>."""

NOUNS = {
    "Response": VERBS,
    "Connect": _names(
        "AiSession Assistant Autopilot Conversation ConversationRelay ConversationRelaySession Room"
        " Stream VirtualAgent"
    ),
    "Start": _names("Recording Siprec Stream Transcription"),
    "Stop": _names("Recording Siprec Stream Transcription"),
    "Stream": frozenset({"Parameter"}),
    "Parameter": _names(""),
    "Pause": _names(""),
    "Hangup": _names(""),
}
"""What may stand inside these elements."""

ATTRIBUTES = {
    "Response": _names(""),
    "Connect": frozenset({"action", "method"}),
    "Start": frozenset({"action", "method"}),
    "Stop": _names(""),
    "Stream": frozenset(
        {"url", "name", "track", "statusCallback", "statusCallbackMethod", "connectorName"}
    ),
    "Parameter": frozenset({"name", "value"}),
    "Pause": frozenset({"length"}),
    "Hangup": _names(""),
    "Redirect": frozenset({"method"}),
    "Reject": frozenset({"reason"}),
    "Play": frozenset({"loop", "digits"}),
    "Say": frozenset({"voice", "loop", "language"}),
}
"""The attributes of these elements (§1.3)."""

INVENTED = {
    "bidirectional": "<Connect><Stream> is always both ways, <Start><Stream> never",
    "codec": "the sound is always μ-law at 8000 Hz",
    "encoding": "the sound is always μ-law at 8000 Hz",
    "sampleRate": "the sound is always μ-law at 8000 Hz",
    "contentType": "the sound is always μ-law at 8000 Hz",
    "mediaFormat": "the sound is always μ-law at 8000 Hz",
    "audioTrack": "<Connect><Stream> always brings the caller's voice",
}
"""Attributes of <Stream> that some guides make up, and what is true (§1.3, §9)."""

TRACKS = ("inbound_track", "outbound_track", "both_tracks")
"""The values of ``track``; under <Connect> only the first (§1.1, §1.2)."""
