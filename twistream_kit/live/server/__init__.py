"""The server that Twilio connects to: WebSocket streams, webhooks and a health check on one port.

Nothing here plays or reads sound; `live.stream` handles each admitted socket. Begin with `server`;
`http` answers requests and decides on admission, `request_head` parses request heads with h11,
`addresses` holds the local and public addresses.
"""
