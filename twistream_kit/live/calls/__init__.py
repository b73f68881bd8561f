"""One call at Twilio as seen from your side.

Its status callbacks, the requests to the REST API about it, and what is hung up when the
interpreter exits. Nothing here places a call (`live.dialling` does) or carries its sound
(`live.stream` does). Begin with `call`; `status` holds the callbacks and `sdk` the official
client, its errors and its limits in time.
"""
