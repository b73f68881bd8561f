"""Reviews of a message, a payload, a sound, a TwiML document, a file of messages, a capture.

Nothing here sends, plays or repairs anything: a review returns objections, each with what is wrong,
what follows and what to do.  Begin with `message`, which reviews one message; `payload` looks into
its bytes and `sound` listens to a whole stream.
"""
