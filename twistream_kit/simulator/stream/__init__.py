"""One Media Stream from Twilio's end.

The WebSocket client, the checks of each message, the playout buffer and the beat of 20 ms.
Nothing here knows TwiML, REST or telephones. Begin with `leg`, the buffer and its rules without a
clock; `client` connects it to a socket and `pacer` gives the beat.
"""
