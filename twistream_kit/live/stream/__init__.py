"""One stream of a call.

The handle that its user holds, what arrives on it, and the tasks that read and write its socket.
Nothing here listens on a port or knows about calls; a socket past its handshake is given to it.
Begin with `stream`, the handle; `session` is the machinery behind it and `_reader` the queue of
what arrives.
"""
