"""How a call begins.

Placed through the REST API, or led to a server by the Voice URL of a number. Nothing here follows
the call afterwards; that is `live.calls`. Begin with `place` for outgoing calls and
`number_route` for incoming ones.
"""
