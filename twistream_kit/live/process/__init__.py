"""Programs of others that run beside the kit and end with it, whatever happens to the interpreter.

Nothing here knows what a program is for; tunnels and the user's own servers are started with it.
Begin with `process`; `_guard` is the small program that ends the child when its parent is gone,
`server_process` runs a server of the user's.
"""
