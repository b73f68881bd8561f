"""One stream of a call.

The handle that its user holds, the state behind it, and the tasks that read and write its socket.
Nothing here listens on a port or knows about calls; a socket past its handshake is given to it.
Begin with `stream`, the handle; `state` is what stands behind it (with `Playing`, one playback),
`session` what moves it, and `_reader` the queue of what arrives.
"""
