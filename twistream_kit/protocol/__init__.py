"""The protocol of Media Streams.

Messages in both directions, the outbox, marks, the playout model, TwiML, signatures and Twilio's
error codes. Nothing here opens a socket, reads a clock or starts a thread: time is an argument.
Messages, sounds and documents are reviewed in `diagnosis`. Begin with `from_twilio` and
`to_twilio`, then `conversation`, which holds one stream from its start to its end.
"""
