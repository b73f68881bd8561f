"""Child processes that end when this process ends, even if it is killed.

Begin with `process`, which tunnels use for their programs; `server_process` runs a server of the
user, and `_guard` is the small program that ends the child when its parent has exited.
"""
