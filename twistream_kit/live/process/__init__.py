"""Child processes, which end with the kit whatever happens to the interpreter.

Only `server_process`, which runs a server of the user's, knows what a program is for; tunnels
start theirs with `process`. Begin with that; `_guard` is the small program that ends the child when
its parent is gone.
"""
