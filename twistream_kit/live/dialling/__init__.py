"""Outgoing and incoming calls: place a call, and route a number to a server.

Nothing here follows the call afterwards; that is `live.calls`. Begin with `place` for outgoing
calls and `number_route` for incoming ones.
"""
