"""Media Streams servers in five ways, as their users write them; none imports `twistream_kit`.

Each is a program: ``python server.py PORT TONE``, where TONE is a file of PCMU.  The last part of
the path that Twilio calls says what the server does; see `script`.
"""
