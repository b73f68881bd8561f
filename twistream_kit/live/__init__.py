"""Your side of a call.

The server that Twilio connects to, its streams, outgoing calls, settings, tunnels, checks before
a call, and the inspector of other servers. Nothing here knows how the simulator works, and
nothing here builds or parses the wire format itself. Begin with `server.server`, then
`stream.session`, which runs one stream, `stream.stream`, which is what its user holds, and
`stream.state`, on which both work.
"""
