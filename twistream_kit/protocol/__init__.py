"""What may be said on a Media Stream and what it means.

Messages in both directions, the outbox, marks, the playout model, TwiML, signatures and the codes
of Twilio. Nothing here opens a socket, reads a clock or starts a thread, for time is an argument;
messages, sounds and documents are judged in `diagnosis`. Begin with `from_twilio` and `to_twilio`,
then `conversation`, which holds one stream from its start to its end.
"""
