"""One Media Stream: the user's handle, its state, and the tasks that do its I/O.

The server passes in a WebSocket after the handshake; no module here listens on a port or knows
about calls.  Begin with `stream`, the handle.  `state` holds the state of a stream and `Playing`,
one playback; `session` runs the I/O tasks; `_reader` queues what arrives for the readers.
"""
