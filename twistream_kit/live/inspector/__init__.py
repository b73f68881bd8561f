"""A proxy in front of any Media Streams server: it relays every byte unchanged and reviews a copy.

The stream server does not use these modules.  Begin with `inspector`, then `_connection` and
`_relay`, which handle one connection; `stream` holds the capture and the violations of one stream.
"""
