"""Reviews of a message, a payload, a sound, a stream, a TwiML document, a file, a capture.

Nothing here sends, plays or repairs anything: a review returns objections, each with what is wrong,
what follows and what to do.  Begin with `message`, which reviews one message; `payload` looks into
its bytes, `sound` listens to many, and `stream` follows all that a server says with these three.
"""
