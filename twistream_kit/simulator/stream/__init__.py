"""Twilio's end of one Media Stream.

The handshake, the WebSocket client, the check of each message, the playout buffer and the 20 ms
timer.  These modules do not depend on TwiML, REST or telephones.  Begin with `leg`, the state of a
stream without I/O and clock; `client` connects it to a WebSocket, and `pacer` calls it every 20 ms.
"""
