"""What may be said on a Media Stream and what it means.

Messages in both directions, the outbox, marks, the playout model, TwiML, signatures and the codes
of Twilio. Nothing here opens a socket, reads a clock, starts a thread or judges anything: time is
an argument, and reviews are in `diagnosis`. Begin with `from_twilio` and `to_twilio`, then
`conversation`, which holds one stream from its start to its end.
"""
