"""A proxy before any server of Media Streams: it passes every byte on unchanged and reads along.

Nothing here changes what passes, and nothing here is used by the stream server. Begin with
`inspector`, then `_connection` and `_relay`, which carry one connection; `stream` is what was found
on one stream.
"""
